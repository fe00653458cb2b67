"""Times as whole microseconds since 1970 in UTC, which compiled loops and searches read, and back."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError

Times = NDArray[np.int64]  # microseconds since 1970, UTC


def microseconds(times: pd.Series) -> Times:
    """Times as numbers; a time that is missing is the smallest of them.

    Raises
    ------
    ParameterError
        For times without a time zone: whose noon it is, nobody knows.
    """
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        if times.dtype.kind == "M" and times.notna().any():
            raise ParameterError(f"column {times.name!r} has times without a time zone; give UTC.")
        times = pd.to_datetime(times, utc=True)
    return times.to_numpy("M8[us]").view(np.int64)


def as_times(numbers: Times) -> pd.Series:
    """Turn the numbers of `microseconds` back into times."""
    # numbers are taken as UTC, and as they are: DatetimeIndex(..., tz="UTC") converts from UTC to UTC
    return pd.Series(numbers, dtype="datetime64[us, UTC]", copy=False)


def moment(given: pd.Timestamp | str, what: str, example: str) -> pd.Timestamp:
    """A time in UTC from a text or a time, of which one without a zone is taken as UTC.

    Raises
    ------
    ParameterError
        For a text that is no time: `what` it was to be, and an `example`.
    """
    try:
        at = pd.Timestamp(given)
    except ValueError:
        raise ParameterError(f"{what} is {given!r}; it takes a date or time, such as {example}.") from None
    return at.tz_localize("UTC") if at.tzinfo is None else at.tz_convert("UTC")


DAY_US = 86_400_000_000


HOUR_US = 3_600_000_000
