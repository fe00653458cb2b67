"""What a poller notes about itself: its calls and costs in the store, its troubles in the log."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from overround.collection.collector import FETCH
from overround.errors import StoreError
from overround.measure.meter import Meter, request_figures
from overround.provenance import new_pipeline
from overround.store.store import Store

POLL = "poll"  # the stage, and the label of the run in the table `measurements`

_log = logging.getLogger(__name__)


class Troubles:
    """Errors that a poller survived: their number and the last one."""

    def __init__(self) -> None:
        self.number, self.last = 0, ""

    def note(self, trouble: str) -> None:
        """Log and count an error."""
        _log.warning("%s", trouble)
        self.number, self.last = self.number + 1, trouble

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note errors of the store inside the block instead of raising them: what is done there can wait."""
        try:
            yield
        except (StoreError, OSError) as error:
            self.note(str(error))


class PollLog:
    """Calls and costs of a poller, written to `requests` and `measurements` from time to time.

    Attributes
    ----------
    meter : Meter
        Measures the stages until the next `write`, which replaces it.
    requests, cache_hits : int
        Calls so far, and how many of them the cache answered.
    latency_s : float
        Of the last call.
    quota_remaining : float or None
        Credits left, from the last answer that stated them.
    """

    def __init__(self, store: Store, troubles: Troubles):
        self._store, self._troubles, self._run_id = store, troubles, f"{new_pipeline()}.{POLL}"
        self.meter = Meter(self._run_id)
        self.requests = self.cache_hits = 0
        self.latency_s, self.quota_remaining = 0.0, None
        self._calls: list[dict] = []
        self._written = {"polls": 0, "errors": 0, "prices_unchanged": 0}

    def add(self, calls: list[dict]) -> None:
        """Take over rows of a `Fetcher`."""
        if not calls:
            return
        self._calls += calls
        self.requests += len(calls)
        self.cache_hits += sum(bool(call["from_cache"]) for call in calls)
        self.latency_s = calls[-1]["latency_s"]
        quotas = [call["quota_remaining"] for call in calls if call["quota_remaining"] is not None]
        self.quota_remaining = quotas[-1] if quotas else self.quota_remaining

    def write(self, *, polls: int, prices_unchanged: int) -> None:
        """Append calls and measurements since the last time; the totals so far are given."""
        totals = {"polls": polls, "errors": self._troubles.number, "prices_unchanged": prices_unchanged}
        self.meter.record(FETCH, **request_figures(self._calls))
        self.meter.record(POLL, **{name: total - self._written[name] for name, total in totals.items()})
        for name, rows in (("requests", self._calls), ("measurements", self.meter.frame())):
            if len(rows):
                with self._troubles.noted():
                    self._store.append(name, rows)
        self._calls, self.meter, self._written = [], Meter(self._run_id), totals
