"""When a poller polls next, and which sports wait after errors. Nothing here fetches or sleeps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from overround.collection.quota import LONGEST_S, plan
from overround.http.client import Answer

_LONGEST_WAIT_S = 900


@dataclass
class Turn:
    """When a sport is asked for again, and what is known of its last answers."""

    sport: str
    failures: int = 0
    not_before: float = 0.0
    answered_at: datetime | None = None
    accepted: bool = False
    refused: bool = False  # asking again cannot help, and no answer has ever been accepted
    scores_at: float = float("-inf")

    def waits(self, now: float) -> bool:
        """Whether the sport is left out of this poll, because it failed in the last ones."""
        return bool(self.failures) and 0 < self.not_before - now <= _LONGEST_WAIT_S

    def fail(self, now: float, every_s: float) -> None:
        """Count an error and wait longer after each: a single one costs one poll at most."""
        self.failures += 1
        wait_s = min(every_s * 2 ** (self.failures - 1), max(_LONGEST_WAIT_S, every_s))
        self.not_before = now + wait_s - 0.5 * every_s

    def is_new(self, answer: Answer) -> bool:
        """Whether an answer is not the last one again, which may still be in the cache."""
        return self.answered_at is None or not answer.from_cache or answer.fetched_at > self.answered_at


class Schedule:
    """Times of polls: at equal intervals, or spaced wider where the quota does not pay for all.

    Parameters
    ----------
    every_s : float
        Wanted seconds from poll to poll.
    cost : float
        Credits per poll.
    begin : float
        When polling begins, in seconds since 1970.

    Attributes
    ----------
    due : float
        When the next poll is due, in seconds since 1970.
    plan : str
        The decision of the quota planner; empty where the quota pays for every poll.
    """

    def __init__(self, every_s: float, cost: float, begin: float):
        self._every_s, self._cost = every_s, cost
        self.due, self.plan = begin, ""

    def advance(self, now: float, quota: float | None, kick_offs: Iterable[datetime]) -> None:
        """Set when the next poll is due, after one that has just been made."""
        # missed polls are not made up for, and a clock that was set back does not stop the polling
        on_time = now - self._every_s <= self.due <= now
        self.due = max(
            (self.due if on_time else now) + self._every_s, self._affordable(now, quota, kick_offs)
        )

    def _affordable(self, now: float, quota: float | None, kick_offs: Iterable[datetime]) -> float:
        """The earliest next poll with which the quota lasts until it is renewed."""
        if quota is None:
            return now
        at = datetime.fromtimestamp(now, UTC)
        planned_with = partial(
            plan,
            at,
            remaining=quota,
            resets_at=_next_month(at),
            cost=self._cost,
            kick_offs=list(kick_offs),
            shortest_s=self._every_s,
        )
        if planned_with(longest_s=self._every_s).stretch <= 1:
            self.plan = ""
            return now
        planned = planned_with(longest_s=max(LONGEST_S, self._every_s))
        self.plan = planned.sentence
        return planned.next_poll.timestamp()


def is_due(last: float, now: float, after_s: float) -> bool:
    """Whether `after_s` seconds have passed since `last`, or the clock was set back."""
    return now - last >= after_s or now < last


def _next_month(now: datetime) -> datetime:
    """When The Odds API renews quotas: at the beginning of a month, UTC."""
    return (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
