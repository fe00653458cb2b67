"""The values in an answer of The Odds API: texts, numbers, prices and times, checked."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

EPOCH, MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
# American prices of -1000000 occur in play
_HIGHEST_PRICE = 1e7
# seconds since 1970 of a plausible time: from 1980 to 2100
_EARLIEST, _LATEST = 315e6, 4.1e9
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_TEXT = 300


class Unusable(Exception):
    """Path, value and reason of a part of an answer that cannot be read."""


def is_american(content: bytes) -> bool:
    """Whether the prices of an answer are American; see `parser.parse_many`."""
    prices = [float(price) for price in re.findall(rb'"price"\s*:\s*(-?[0-9][0-9.eE+-]*)', content)]
    decimal = sum(1 < price < 100 or not price.is_integer() for price in prices)
    return sum(price <= -100 for price in prices) >= decimal


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a number that a price could be."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -_HIGHEST_PRICE < value < _HIGHEST_PRICE
    )


def text_of(part: dict, column: str, path: str) -> str:
    """A text of a part of an answer; others are unusable."""
    value = part.get(column)
    # half a surrogate pair is valid JSON, but cannot be stored as text
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT or _SURROGATE.search(value):
        raise Unusable(f"{path}.{column}", value, f"a text of at most {_LONGEST_TEXT} characters is required")
    return value


def time_or_none(part: dict, column: str, path: str) -> int | None:
    """A time in microseconds since 1970, None where there is none; what is no time is unusable."""
    value = part.get(column)
    try:
        return None if value is None else time_of(value)
    except (TypeError, ValueError):
        raise Unusable(
            f"{path}.{column}",
            value,
            "not a time; ISO 8601 with its zone, or seconds since 1970, from 1980 to 2099",
        ) from None


@lru_cache(maxsize=65_536, typed=True)
def time_of(value: Any) -> int:
    """Microseconds since 1970 of an ISO or unix time."""
    if isinstance(value, str):
        # a time without a zone is ambiguous and raises TypeError
        time = (datetime.fromisoformat(value) - EPOCH) // MICROSECOND
    elif isinstance(value, int | float) and abs(value) < _LATEST:
        time = (datetime.fromtimestamp(value, UTC) - EPOCH) // MICROSECOND
    else:
        raise ValueError
    if not _EARLIEST < time / 1e6 < _LATEST:
        raise ValueError
    return time


def times(microseconds: ArrayLike) -> pd.DatetimeIndex:
    """Times from whole numbers, None where there is none."""
    return pd.DatetimeIndex(np.array(microseconds, dtype="datetime64[us]")).tz_localize("UTC")
