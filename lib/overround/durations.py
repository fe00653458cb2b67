"""Durations as typed on the command line."""

import re
from datetime import timedelta

from overround.errors import ParameterError

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LONGEST_S = 3650 * _UNITS["d"]


def seconds(text: str) -> float:
    """Seconds of a duration such as 30s, 5m or 5min, 12h, 2d, 4w.

    Raises
    ------
    ParameterError
        The text is not a duration of at most 3650 days.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(s|m|min|h|d|w)", text.strip())
    duration = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0 < duration <= _LONGEST_S:
        raise ParameterError(
            f"duration {text!r} cannot be read; write a number above 0 and s, m, h, d or w, "
            "e.g. 30s, 5m, 12h, 2d or 4w, up to 3650d."
        )
    return duration


def span(text: str) -> timedelta:
    """A duration as a difference of times."""
    return timedelta(seconds=seconds(text))
