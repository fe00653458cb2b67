"""Times and snapshots as The Odds API writes them, for servers that imitate it."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime


def iso(seconds: float) -> str:
    """A time, in seconds since 1970."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stood_at(times: Sequence[float], at: float) -> tuple[int, dict[str, str | None]]:
    """The snapshot that stood at a time, by its number, -1 before the first; and the times around it."""
    number = bisect_right(times, at) - 1
    around = {"timestamp": max(number, 0), "previous_timestamp": number - 1, "next_timestamp": number + 1}
    return number, {name: iso(times[one]) if 0 <= one < len(times) else None for name, one in around.items()}
