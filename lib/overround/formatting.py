"""Numbers as text for readers: percentages, money, durations."""

from collections.abc import Callable
from typing import Any

import numpy as np


def percent(share: float, digits: int = 1, *, sign: bool = False) -> str:
    """A fraction as a percentage, with a true minus sign and a no-break space, e.g. "2.1 %".

    Examples
    --------
    >>> import overround as ov
    >>> print(ov.percent(0.0213), ov.percent(-0.004, 2), ov.percent(0.05, sign=True))
    2.1 % −0.40 % +5.0 %
    """
    if np.isnan(share):
        return "–"
    text = f"{share * 100:{'+' if sign else ''}.{digits}f}\N{NO-BREAK SPACE}%"
    return text.replace("-", "−")


def duration(seconds: float) -> str:
    """A duration as text: 42 s, 3 min 5 s, 2 h 10 min, 3 days 4 h."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= _MANY_HOURS:
        return f"{hours // 24} days {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


INTERVAL = "95 % interval"


Format = Callable[[Any], str]


def _figures(value: float, most: int | None = None) -> str:
    if value == 0:
        return "0"
    if not np.isfinite(value):
        return f"{value}".replace("-", "−")
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    digits = digits if most is None else min(digits, most)
    return f"{value:,.{digits}f}".replace("-", "−")


FORMATS: dict[str, Format] = {
    "percent": lambda x: percent(x, 2),
    "signed percent": lambda x: percent(x, 2, sign=True),
    "short percent": percent,
    "points": lambda x: f"{100 * x:.1f}".replace("-", "−"),
    "count": lambda x: f"{x:,.0f}".replace("-", "−"),
    "money": lambda x: f"{x:,.0f}".replace("-", "−"),
    "odds": lambda x: f"{x:.2f}",
    "figures": _figures,
    "seconds": lambda x: _figures(x, most=3),
    "p": lambda x: "–" if np.isnan(x) else "< 0.001" if x < 0.001 else f"{x:.3f}",
    "score": lambda x: f"{x:.4f}".replace("-", "−"),
    "ratio": lambda x: f"{x:.2f}".replace("-", "−"),
    "yes": lambda x: "yes" if x else "no",
    "day": lambda x: f"{x:%Y-%m-%d}",
    "time": lambda x: f"{x:%Y-%m-%d %H:%M}",
    "minutes": lambda x: duration(60 * x),
    "hours": lambda x: duration(3600 * x),
    "text": str,
}


# formats of the columns of our own tables
BY_NAME: dict[str, str] = {
    INTERVAL: "text",
    **dict.fromkeys(
        (
            "yield",
            "shrunk",
            "share_of_profit",
            "missing",
            "roi",
            "edge",
            "mean_edge",
            "probability",
            "fair",
            "hit_rate",
            "beat_close",
            "from_cache",
            "thread_efficiency",
        ),
        "percent",
    ),
    **dict.fromkeys(("low", "high", "shrunk_low", "shrunk_high", "cut"), "short percent"),
    **dict.fromkeys(("difference", "clv"), "signed percent"),
    **dict.fromkeys(("price", "mean_price", "stake"), "odds"),
    **dict.fromkeys(("overround", "brier", "log_loss", "rps", "gap"), "score"),
    **dict.fromkeys(("p", "p_adjusted", "luck_p"), "p"),
    **dict.fromkeys(("staked", "profit"), "money"),
    **dict.fromkeys(("rows", "rows_per_s", "peak_mb"), "count"),
    **dict.fromkeys(("wall_s", "cpu_s", "io_wait_s"), "seconds"),
    **dict.fromkeys(("placed_at", "settled_at", "starts_at", "begin", "end"), "time"),
    **dict.fromkeys(("first", "last"), "day"),
    "ratio": "ratio",
    "flagged": "yes",
    "line": "figures",
    "change": "text",
}


_MANY_HOURS = 48


# used in our own sentences, though Python calls them unprintable
_HARMLESS = "\n\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}"


def printable(text: str) -> str:
    """The text with control characters, which a terminal would obey, escaped; line ends are kept."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one in _HARMLESS else one.encode("unicode_escape").decode()
        for one in text
    )
