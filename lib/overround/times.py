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
