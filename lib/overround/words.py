"""Columns of text at the speed of numbers: a million rows hold a handful of words, and often only one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def coded(column: pd.Series, words: Sequence[str]) -> NDArray[np.int8]:
    """Place of each value among these words, -1 for any other value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = as_text(column)
    known = pa.array(list(words), pa.large_string())
    if len(texts) and _constant(texts):
        code = pc.index_in(texts.slice(0, 1), value_set=known)[0].as_py()
        return np.full(len(texts), -1 if code is None else code, np.int8)
    return pc.index_in(texts, value_set=known).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int8)


def places(column: pd.Series, among: pd.Series) -> NDArray[np.int64] | None:
    """Place of each text in another column, -1 where it is not in it; None where the two are equal, row by row."""
    import pyarrow.compute as pc

    wanted, there = as_text(column), as_text(among)
    if wanted.equals(there):
        return None
    return pc.index_in(wanted, value_set=there).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def rising(column: pd.Series) -> NDArray[np.bool_]:
    """Whether each text is after the one before it in the order of its bytes; shape (n - 1,)."""
    import pyarrow.compute as pc

    texts = as_text(column)
    return pc.greater(texts.slice(1), texts.slice(0, max(len(texts) - 1, 0))).to_numpy(zero_copy_only=False)


def spelled(codes: NDArray[np.int8], words: Sequence[str]) -> pd.Series:
    """Words of these codes, as a column of text."""
    import pyarrow as pa

    return pd.Series(pa.array(list(words), pa.large_string()).take(pa.array(codes)), dtype="str")


def moved(texts: Any, order: NDArray[np.int64]) -> Any:
    """The texts of an Arrow array in another order."""
    import pyarrow as pa

    return texts if _constant(texts) else texts.take(pa.array(order))


def _constant(texts: Any) -> bool:
    # equal to the value before it everywhere: one comparison of memory
    return texts.slice(1).equals(texts.slice(0, max(len(texts) - 1, 0)))


def as_text(column: pd.Series) -> Any:
    """The column as one Arrow array (Arrow loads when used, so its type cannot be named here)."""
    import pyarrow as pa

    texts = pa.array(column if column.dtype == "str" else column.astype("str"), from_pandas=True)
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return texts if texts.type == pa.large_string() else texts.cast(pa.large_string())
