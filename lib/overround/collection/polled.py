"""The state of a poller, which its parts write to, and the errors that it survives."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from overround.errors import StoreError
from overround.schema import COLLECTED

_log = logging.getLogger(__name__)


@dataclass
class Polled:
    """The state of a poller: shown while it runs, and returned at its end.

    Examples
    --------
    >>> import overround as ov
    >>> print(ov.collection.Polled(polls=2, inserted={"events": 10, "quotes": 720, "results": 0}, requests=3))
    2 polls: 10 new events, 720 new quotes; 3 requests, 0 answered by the cache; last call 0 ms
    """

    polls: int = 0
    inserted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COLLECTED, 0))
    unchanged: int = 0  # prices seen again
    set_aside: int = 0
    last_set_aside: str = ""
    requests: int = 0
    cache_hits: int = 0
    quota_remaining: float | None = None
    latency_s: float = 0.0  # of the last call
    errors: int = 0
    last_error: str = ""
    waiting: int = 0  # rows that the store has not taken yet
    next_poll_s: float = 0.0  # seconds since 1970
    plan: str = ""  # decision of the quota planner, where the quota does not pay for every poll
    ended: str = ""

    def __str__(self) -> str:
        """The state in one line."""
        new = ", ".join(
            f"{number:,} new {table}"
            for table, number in self.inserted.items()
            if number or table == "quotes"
        )
        quota = "" if self.quota_remaining is None else f"; quota {self.quota_remaining:,.0f}"
        calls = f"{self.requests:,} requests, {self.cache_hits:,} answered by the cache"
        waiting = f"; {self.waiting:,} rows wait for the store" if self.waiting else ""
        trouble = f"; {self.errors:,} errors, the last: {self.last_error}" if self.errors else ""
        planned = f"; {self.plan.rstrip('.')}" if self.plan else ""
        aside = (
            f"; {self.set_aside:,} parts set aside, the last: {self.last_set_aside}" if self.set_aside else ""
        )
        latency = f"last call {1000 * self.latency_s:.0f} ms"
        return f"{self.polls:,} polls: {new}; {calls}{quota}; {latency}{waiting}{trouble}{aside}{planned}"


def note(state: Polled, trouble: str) -> None:
    """Log and count an error."""
    _log.warning("%s", trouble)
    state.errors, state.last_error = state.errors + 1, trouble


@contextmanager
def noted(state: Polled) -> Iterator[None]:
    """Note errors of the store inside the block instead of raising them: what is done there can wait."""
    try:
        yield
    except (StoreError, OSError) as error:
        note(state, str(error))
