"""Columns of text at the speed of numbers: a million rows hold a handful of words, and often only one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def coded(column: pd.Series, words: Sequence[str], codes: NDArray[np.int8] | None = None) -> NDArray[np.int8]:
    """Place of each value among these words, -1 for any other value; or what `codes` has at that place."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = as_text(column)
    known = pa.array(list(words), pa.large_string())
    alike = len(texts) > 0 and _ends_alike(texts) and _constant(*_memory(texts))
    code = (
        pc.index_in(texts.slice(0, 1) if alike else texts, value_set=known)
        .fill_null(-1)
        .to_numpy(zero_copy_only=False)
        .astype(np.int8)
    )
    code = code if codes is None else codes.take(code)
    return np.full(len(texts), code[0], code.dtype) if alike else code


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

    from overround.betting.text_kernels import rising

    texts = as_text(column)
    every, data = _memory(texts)
    if every > 0 and every % 8 == 0:
        return rising(data.view(np.uint64).reshape(-1, every // 8))
    return pc.greater(texts.slice(1), texts.slice(0, max(len(texts) - 1, 0))).to_numpy(zero_copy_only=False)


def spelled(codes: NDArray[np.int8], words: Sequence[str]) -> pd.Series:
    """Words of these codes, as a column of text."""
    from overround.betting.text_kernels import STEP, spell

    letters = [word.encode() for word in words]
    lengths = np.array([len(word) for word in letters])
    room = -(-lengths.max() // STEP) * STEP
    table = np.frombuffer(b"".join(word.ljust(room) for word in letters), np.uint8).reshape(
        len(letters), room
    )
    return pd.Series(_texts(*spell(codes, lengths, table)), dtype="str")


def moved(texts: Any, order: NDArray[np.int64]) -> Any:
    """The texts of an Arrow array in another order of all of them."""
    import pyarrow as pa

    every, data = _memory(texts)
    if every < 0:
        return texts.take(pa.array(order))
    if _ends_alike(texts) and _constant(every, data):
        return texts
    # texts of one length, as identifiers are: a third of the time, and their places stay
    offsets = _offsets(texts)
    return _texts(offsets - offsets[0] if offsets[0] else offsets, data.view(f"V{every}").take(order))


def _ends_alike(texts: Any) -> bool:
    """Whether the first text is also the last: most columns that are not constant are told by these."""
    return texts[0] == texts[len(texts) - 1]


def _constant(every: int, data: NDArray[np.uint8]) -> bool:
    """Whether all texts are equal, by what `_memory` says of them."""
    from overround.betting.text_kernels import repeats

    return every >= 0 and repeats(data, every)


def _memory(texts: Any) -> tuple[int, NDArray[np.uint8]]:
    """How long every text of an Arrow array is in bytes, -1 where they differ or some are missing, and the bytes of all."""
    from overround.betting.text_kernels import width

    if not len(texts) or texts.null_count:
        return -1, np.empty(0, np.uint8)
    offsets, data = _offsets(texts), texts.buffers()[2]
    every = width(offsets)
    return every, np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if every > 0 else np.empty(
        0, np.uint8
    )


def _offsets(texts: Any) -> NDArray[np.int64]:
    return np.frombuffer(texts.buffers()[1], np.int64)[texts.offset : texts.offset + len(texts) + 1]


def _texts(offsets: NDArray[np.int64], data: NDArray) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(
        pa.large_string(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def as_text(column: pd.Series) -> Any:
    """The column as one Arrow array (Arrow loads when used, so its type cannot be named here)."""
    import pyarrow as pa

    texts = pa.array(column if column.dtype == "str" else column.astype("str"), from_pandas=True)
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    return texts if texts.type == pa.large_string() else texts.cast(pa.large_string())
