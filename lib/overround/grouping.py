"""Numbers for groups of rows: equal rows have the same number."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

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


def mapped(values: pd.Series, numbers: Mapping[str, float], other: float = -1) -> NDArray[Any]:
    """Number of each word, `other` for any word without one: int8 if all are small whole numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> mapped(pd.Series(["home", "away", "home"]), {"home": 1, "draw": 0}).tolist()
    [1, -1, 1]
    """
    table = np.array([*numbers.values(), other])
    if table.dtype.kind == "i" and np.abs(table).max() < 128:
        table = table.astype(np.int8)
    if is_constant(values):
        return np.full(len(values), numbers.get(values.iloc[0], other), table.dtype)
    if isinstance(values.dtype, pd.CategoricalDtype):
        of_word = table[pd.Index(list(numbers)).get_indexer(values.cat.categories)]
        return np.append(of_word, table[-1:]).take(values.cat.codes)
    import pyarrow as pa
    import pyarrow.compute as pc

    place = pc.index_in(_arrow_text(values), value_set=pa.array(list(numbers), pa.large_string()))
    return table.take(place.fill_null(-1).to_numpy(zero_copy_only=False))


def rows_of(values: pd.Series, among: pd.Series) -> NDArray[np.int64] | None:
    """Row of each text in another column, -1 where it has none; None where the two are equal row by row."""
    if isinstance(values.dtype, pd.CategoricalDtype) and isinstance(among.dtype, pd.CategoricalDtype):
        same_words = values.cat.categories.equals(among.cat.categories)
        if same_words and np.array_equal(values.cat.codes, among.cat.codes):
            return None
        row_of_word = np.full(len(among.cat.categories) + 1, -1, np.int64)  # the last is that of no word
        row_of_word[among.cat.codes[::-1]] = np.arange(len(among))[::-1]  # of equal ones the first
        row_of_word[-1] = -1
        if not same_words:
            row_of_word = np.append(row_of_word[among.cat.categories.get_indexer(values.cat.categories)], -1)
        return row_of_word.take(values.cat.codes)
    import pyarrow.compute as pc

    wanted, there = _arrow_text(values), _arrow_text(among)
    if wanted.equals(there):
        return None
    return pc.index_in(wanted, value_set=there).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def sorted_codes(values: pd.Series) -> NDArray[np.signedinteger]:
    """Place of each value among the sorted values; missing ones come last, as pandas sorts."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, words = values.cat.codes.to_numpy(), values.cat.categories
        if not words.is_monotonic_increasing:
            codes = np.append(np.argsort(np.argsort(words)), -1).take(codes)
    else:
        codes, words = pd.factorize(values, sort=True)
    return np.where(codes < 0, len(words), codes) if (codes < 0).any() else codes


def rising(values: pd.Series) -> NDArray[np.bool_]:
    """Whether each text sorts after the one before it, shape (n - 1,)."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = sorted_codes(values)
        return codes[1:] > codes[:-1]
    texts = values.astype("str").array
    return np.asarray(texts[1:] > texts[:-1], bool)


def is_constant(values: pd.Series) -> bool:
    """Whether a column of text has the same value in all rows."""
    if not len(values):
        return False
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy()
        return bool((codes == codes[0]).all())
    texts = _arrow_text(values)
    return texts[1:].equals(texts[:-1])


def _arrow_text(values: pd.Series) -> Any:
    """The texts as one Arrow array; Arrow is loaded when it is used, so its type cannot be named here."""
    import pyarrow as pa

    texts = pa.array(values if values.dtype == "str" else values.astype("str"), pa.large_string())
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
