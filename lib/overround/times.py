"""Times as whole microseconds since 1970 in UTC, for compiled loops and searches, and back."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError

Times = NDArray[np.int64]  # microseconds since 1970, UTC


def microseconds(times: pd.Series) -> Times:
    """Times as numbers; a missing time becomes the smallest integer.

    Raises
    ------
    ParameterError
        The times have no time zone, so that they are ambiguous.
    """
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        if times.dtype.kind == "M" and times.notna().any():
            raise ParameterError(f"column {times.name!r} has times without a time zone; give UTC.")
        times = pd.to_datetime(times, utc=True)
    return times.to_numpy("M8[us]").view(np.int64)


def as_times(numbers: Times) -> pd.Series:
    """Turn the numbers of `microseconds` back into times."""
    # unlike DatetimeIndex(..., tz="UTC"), this does not convert from UTC to UTC
    return pd.Series(numbers, dtype="datetime64[us, UTC]", copy=False)


def moment(given: pd.Timestamp | str, what: str, example: str) -> pd.Timestamp:
    """A text or a time as a time in UTC; without a zone it counts as UTC.

    Raises
    ------
    ParameterError
        The text is not a time; the message says `what` it is and gives an `example`.
    """
    try:
        at = pd.Timestamp(given)
        if pd.isna(at):
            raise ValueError
    except ValueError:
        raise ParameterError(f"{what} is {given!r}; it takes a date or time, such as {example}.") from None
    return at.tz_localize("UTC") if at.tzinfo is None else at.tz_convert("UTC")


DAY_US = 86_400_000_000


HOUR_US = 3_600_000_000
