"""Planning of polls so that a provider's quota lasts. Pure functions that never fetch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from overround.errors import ParameterError

APPROACH = 60  # n seconds before a kick-off, a poll every n / 60 seconds is wanted
SHORTEST_S, LONGEST_S = 30.0, 6 * 3600.0


@dataclass(frozen=True)
class Plan:
    """When to poll next, with a sentence why; `stretch` is the actual over the wanted spacing of polls."""

    next_poll: datetime
    spacing_s: float
    polls: int  # at most, until the reset
    stretch: float
    sentence: str


def plan(
    now: datetime,
    *,
    remaining: float,
    resets_at: datetime,
    cost: float,
    kick_offs: Iterable[datetime] = (),
    shortest_s: float = SHORTEST_S,
    longest_s: float = LONGEST_S,
) -> Plan:
    """When to poll next so that the quota lasts until its reset, with most of it spent near kick-offs.

    Parameters
    ----------
    now, resets_at : datetime
        With a time zone.
    remaining, cost : float
        Credits left, and credits per poll; free polls are only spaced.
    kick_offs : iterable of datetime
        Those in the past are ignored.
    shortest_s, longest_s : float
        Bounds of the time between two polls; the quota may require more than `longest_s`.

    Returns
    -------
    Plan
        Followed poll after poll, it never spends more than `remaining`.

    Notes
    -----
    At a time t before the next kick-off the wanted spacing is d(t) = t / 60 seconds, within the bounds. The
    polls wanted until the reset are the integral of 1 / d. If the quota pays for only n, each poll takes a
    share of 1 / n of the integral, so that all gaps grow in proportion.

    Raises
    ------
    ParameterError
        A time has no zone, a number is negative, or the bounds are reversed.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> import overround as ov
    >>> noon = datetime(2024, 8, 17, 12, tzinfo=UTC)
    >>> ov.collection.plan(noon, remaining=0, resets_at=datetime(2024, 9, 1, tzinfo=UTC), cost=3).sentence
    'The quota is used up (0 credits, 3 a poll): waiting for its reset at 2024-09-01 00:00 UTC.'
    """
    kick_offs = list(kick_offs)
    if any(time.tzinfo is None for time in (now, resets_at, *kick_offs)):
        raise ParameterError("times of a plan need a time zone, such as datetime.now(UTC).")
    if not (remaining >= 0 and cost >= 0 and 0 < shortest_s <= longest_s):
        raise ParameterError(
            "a plan needs remaining >= 0, cost >= 0 and 0 < shortest_s <= longest_s, "
            f"not {remaining}, {cost}, {shortest_s}, {longest_s}."
        )
    pace = _Pace(shortest_s, longest_s)
    ahead = sorted((time - now).total_seconds() for time in kick_offs if time > now)
    until = (resets_at - now).total_seconds()
    if until <= 0:  # the reset is due: assume that it has happened, the next answer will tell
        return _plan(now, pace.after(1.0, ahead), 1, 1.0, "The quota is due to be reset", ahead)
    affordable = math.floor(remaining / cost) if cost else math.inf
    if affordable < 1:
        sentence = (
            f"The quota is used up ({remaining:g} credits, {cost:g} a poll): "
            f"waiting for its reset at {_clock(resets_at)}."
        )
        return Plan(resets_at, until, 0, math.inf, sentence)
    wanted = pace.polls(until, ahead)
    stretch = max(1.0, wanted / affordable)
    polls = int(min(affordable, math.ceil(wanted)))
    if not cost:
        why = "Polls are free"
    elif stretch > 1:
        why = (
            f"{remaining:g} credits at {cost:g} a poll pay for {affordable:,} of {wanted:,.0f} polls wanted "
            f"until the reset at {_clock(resets_at)}: {stretch:.1f} times the wanted spacing"
        )
    else:
        why = f"{remaining:g} credits at {cost:g} a poll last until the reset at {_clock(resets_at)}"
    # the last share ends at the reset, when the quota is renewed
    return _plan(now, min(pace.after(stretch, ahead), until), polls, stretch, why, ahead)


@dataclass(frozen=True)
class _Pace:
    """Wanted polls as a density over time, integrated in closed form between consecutive kick-offs."""

    shortest_s: float
    longest_s: float

    def polls(self, until: float, ahead: list[float]) -> float:
        """Polls wanted between now and `until`."""
        total = 0.0
        for begin, end, kick_off in self._segments(ahead):
            if begin >= until:
                break
            total += self._cumulated(kick_off - begin) - self._cumulated(kick_off - min(end, until))
        last = ahead[-1] if ahead else 0.0
        return total + max(0.0, until - last) / self.longest_s

    def after(self, share: float, ahead: list[float]) -> float:
        """Seconds from now until `share` polls have been wanted."""
        for begin, end, kick_off in self._segments(ahead):
            amount = self._cumulated(kick_off - begin) - self._cumulated(kick_off - end)
            if share <= amount:
                return max(
                    self.shortest_s, kick_off - self._inverse(self._cumulated(kick_off - begin) - share)
                )
            share -= amount
        return max(self.shortest_s, (ahead[-1] if ahead else 0.0) + share * self.longest_s)

    def _segments(self, ahead: list[float]) -> list[tuple[float, float, float]]:
        return [(begin, end, end) for begin, end in pairwise([0.0, *ahead])]

    def _cumulated(self, left: float) -> float:
        """Polls wanted in the last `left` seconds before a kick-off: one every left / 60 s, within bounds."""
        near, far = APPROACH * self.shortest_s, APPROACH * self.longest_s
        if left <= near:
            return left / self.shortest_s
        return APPROACH + APPROACH * math.log(min(left, far) / near) + max(0.0, left - far) / self.longest_s

    def _inverse(self, polls: float) -> float:
        near, far = APPROACH * self.shortest_s, APPROACH * self.longest_s
        if polls <= APPROACH:
            return polls * self.shortest_s
        if polls <= self._cumulated(far):
            return near * math.exp((polls - APPROACH) / APPROACH)
        return far + (polls - self._cumulated(far)) * self.longest_s


def _plan(now: datetime, spacing_s: float, polls: int, stretch: float, why: str, ahead: list[float]) -> Plan:
    next_poll = now + timedelta(seconds=spacing_s)
    kick_off = f"; the next kick-off is in {_duration(ahead[0])}" if ahead else "; no kick-off is known"
    return Plan(
        next_poll,
        spacing_s,
        polls,
        stretch,
        f"{why}; next poll in {_duration(spacing_s)}, at {_clock(next_poll)}{kick_off}.",
    )


def _clock(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
