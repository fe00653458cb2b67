"""A poller's calls and costs, written to the store from time to time."""

from overround.collection.collector import FETCH
from overround.collection.polled import Polled, noted
from overround.measure.meter import Meter, request_figures
from overround.provenance import new_pipeline
from overround.store.store import Store

POLL = "poll"  # the stage, and the label of the run in the table `measurements`


class PollLog:
    """Calls and costs of a poller for the tables `requests` and `measurements`.

    Attributes
    ----------
    meter : Meter
        Measures the stages until the next `write`, which replaces it.
    """

    def __init__(self, store: Store, state: Polled):
        self._store, self._state, self._run_id = store, state, f"{new_pipeline()}.{POLL}"
        self.meter = Meter(self._run_id)
        self._calls: list[dict] = []
        self._written: dict[str, int] = {}

    def add(self, calls: list[dict]) -> None:
        """Take over rows of a `Fetcher`."""
        self._calls += calls
        self._state.requests += len(calls)
        for call in calls:
            self._state.cache_hits += bool(call["from_cache"])
            self._state.latency_s = call["latency_s"]
            if call["quota_remaining"] is not None:
                self._state.quota_remaining = call["quota_remaining"]

    def write(self) -> None:
        """Append calls and measurements since the last time."""
        state = self._state
        totals = {"polls": state.polls, "errors": state.errors, "prices_unchanged": state.unchanged}
        since = {name: total - self._written.get(name, 0) for name, total in totals.items()}
        self.meter.record(FETCH, **request_figures(self._calls))
        self.meter.record(POLL, **since)
        for name, rows in (("requests", self._calls), ("measurements", self.meter.frame())):
            if len(rows):
                with noted(state):
                    self._store.append(name, rows)
        self._calls, self.meter, self._written = [], Meter(self._run_id), totals
