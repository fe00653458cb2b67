"""Rows of one group under one number."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# one market as one bookmaker showed it at one time
MARKET = ("event_id", "bookmaker", "market", "line", "phase", "observed_at")


# what can be backed: the outcome of a market, whoever quotes it
SELECTION = ("event_id", "market", "line", "outcome")


def group_codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Number of the group that each row is in, equal where all columns are equal (nothing equals nothing), and the number of groups."""
    codes, size = np.zeros(len(frame), np.int64), 1
    for column in columns:
        values = frame[column]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            values = values.astype("int64")  # NaT becomes one number of its own
        one, names = pd.factorize(values, use_na_sentinel=False)
        codes, found = pd.factorize(codes * len(names) + one)
        codes, size = codes.astype(np.int64), len(found)
    return codes, size


OFFER = (*SELECTION, "bookmaker")
