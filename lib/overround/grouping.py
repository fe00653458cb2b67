"""Numbers for groups of rows: equal rows have the same number."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# one market as one bookmaker showed it at one time
MARKET = ("event_id", "bookmaker", "market", "line", "phase", "observed_at")
# what can be backed: the outcome of a market, whoever quotes it
SELECTION = ("event_id", "market", "line", "outcome")
# a selection at one bookmaker
OFFER = (*SELECTION, "bookmaker")


def group_codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Number the rows by group: those that are equal in all columns have the same number.

    Missing values are equal to each other. A categorical gives its codes without a look at the words, and
    only one table of hashes is built, of the columns' codes together; nothing is sorted.

    Parameters
    ----------
    frame : DataFrame
        Any index.
    columns : sequence of str
        Columns of text (plain or categorical), numbers, flags or times.

    Returns
    -------
    codes : ndarray of int64, shape (n_rows,)
        From 0, in order of first appearance: int64, since NumPy indexes by it without a copy.
    n_groups : int

    Examples
    --------
    >>> import pandas as pd
    >>> bets = pd.DataFrame({"market": ["totals", "h2h", "totals", "h2h"], "line": [2.5, None, 2.5, None]})
    >>> codes, n = group_codes(bets, ["market", "line"])
    >>> codes.tolist(), n
    ([0, 1, 0, 1], 2)
    """
    return combined_codes(len(frame), (column_codes(frame[name]) for name in columns))


def codes_and_words(values: pd.Series) -> tuple[NDArray[np.signedinteger], pd.Index]:
    """Number the values of a column; also returns the value of each number, which may occur in no row.

    Missing values of a categorical have the number -1, others a number of their own.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.to_numpy(), values.cat.categories
    return pd.factorize(values, use_na_sentinel=False)


def column_codes(values: pd.Series) -> tuple[NDArray[np.signedinteger], int]:
    """Number the values of a column, missing ones too; also returns how many numbers there are.

    Those of a categorical are its own codes, in the order of its categories and with missing values last;
    others are numbered in order of first appearance.
    """
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.astype("int64")  # NaT becomes a number of its own
    codes, words = codes_and_words(values)
    n, missing = len(words), codes < 0
    return (np.where(missing, n, codes.astype(np.int32)), n + 1) if missing.any() else (codes, n)


def combined_codes(
    n_rows: int, columns: Iterable[tuple[NDArray[np.signedinteger], int]]
) -> tuple[NDArray[np.int64], int]:
    """Number the rows from the codes of their columns, each with a bound that its codes stay below.

    Returns
    -------
    codes : ndarray of int64, shape (n_rows,)
        From 0, in order of first appearance.
    n_groups : int
    """
    code: NDArray[np.signedinteger] = np.zeros(n_rows, np.int64)
    space = 1
    for codes, n in columns:
        if n <= 1:  # the same in all rows
            continue
        if space * n >= 2**62:
            code, found = pd.factorize(code)
            space = len(found)
        space *= n
        code = np.multiply(code, n, dtype=np.int32 if space < 2**31 else np.int64)
        code += codes.astype(code.dtype, copy=False)
    code, found = pd.factorize(code)
    return code.astype(np.int64, copy=False), len(found)
