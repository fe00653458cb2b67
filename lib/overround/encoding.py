"""Text of few words as codes: Arrow dictionaries on the way from Parquet, pandas categoricals in frames."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pyarrow as pa

from overround.memory import trim
from overround.schema import TEXT, TIME_KIND

# text columns that repeat a handful of words: dictionary-encoded from Parquet to the frame
ENCODED = (
    "event_id",
    "sport",
    "bookmaker",
    "market",
    "outcome",
    "phase",
    "source",
    "competition",
    "season",
    "side",
    "strategy",
    "reference",
    "result",
    "status",
)
_LARGE = 2**26  # bytes of a table: freed memory of smaller ones is soon used again


def encode(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with the text columns in `ENCODED` as categoricals, their categories sorted.

    Parameters
    ----------
    frame : DataFrame
        Any of our tables, signals or ledgers; columns that are not text are left as they are.

    Returns
    -------
    DataFrame
        A copy that shares the other columns; rows sort as they do by the text itself. A categorical whose
        categories are sorted is left as it is, with its unused categories.
    """
    columns = {}
    for name in frame.columns.intersection(ENCODED):
        values = frame[name]
        if isinstance(values.dtype, pd.CategoricalDtype):
            if not values.cat.categories.is_monotonic_increasing:
                columns[name] = values.cat.reorder_categories(values.cat.categories.sort_values())
        elif _is_text(values):
            columns[name] = values.astype("category")
    return frame.assign(**columns)


def _is_text(values: pd.Series) -> bool:
    if values.dtype == object:
        return pd.api.types.infer_dtype(values, skipna=True) in ("string", "empty")
    return isinstance(values.dtype, pd.StringDtype)


def encode_text(rows: pa.Table) -> pa.Table:
    """The same rows with the text columns in `ENCODED` as Arrow dictionaries."""
    for place, column in enumerate(rows.schema):
        if column.name in ENCODED and (
            pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        ):
            rows = rows.set_column(place, column.name, rows[place].dictionary_encode())
    return rows


def to_frame(rows: pa.Table) -> pd.DataFrame:
    """Rows from Arrow as a frame: text columns in `ENCODED` as categoricals, as `encode` makes them.

    Only words that occur in the rows are categories, whatever words a dictionary of Arrow holds. The Arrow
    table gives its memory back on the way and cannot be used afterwards.
    """
    names, large = rows.column_names, rows.nbytes > _LARGE
    if large:
        trim()  # what decoding took is not kept beside the frame
    rows = encode_text(rows)
    columns = {}
    for name in names:
        if name in ENCODED and pa.types.is_dictionary(rows[name].type):
            columns[name] = _categorical(rows[name])
            rows = rows.drop_columns([name])  # one column at a time: both copies of all would be too much
    # not `split_blocks`: it shares Arrow's memory, which pandas cannot write to
    frame = rows.to_pandas(self_destruct=True, memory_pool=pa.system_memory_pool()).assign(**columns)[names]
    if large:
        trim()
    return frame


def _categorical(column: pa.ChunkedArray) -> pd.Categorical:
    """A column of dictionaries with only the words that occur as categories, sorted."""
    pieces = column.unify_dictionaries().chunks or [
        pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], TEXT))
    ]
    words = pieces[0].dictionary.to_pandas()
    codes = [piece.indices.fill_null(-1).to_numpy(zero_copy_only=False) for piece in pieces]
    used = np.zeros(len(words) + 1, bool)
    for piece in codes:
        used[piece] = True  # a missing value's -1 is the last place
    kept = np.flatnonzero(used[:-1])
    kept = kept[words.to_numpy(object)[kept].argsort()]
    recoded = np.full(len(words) + 1, -1, np.min_scalar_type(-max(len(kept), 1)))
    recoded[kept] = np.arange(len(kept))
    found = np.concatenate([recoded[piece] for piece in codes])
    return pd.Categorical.from_codes(found, pd.Index(words[kept], dtype="str"), validate=False)


def encode_like(frame: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """The frame encoded where the one that it was made from is, and otherwise as it is."""
    return encode(frame) if isinstance(given["event_id"].dtype, pd.CategoricalDtype) else frame


def no_rows(columns: Iterable[str], **kinds: str) -> pd.DataFrame:
    """An empty table: text in the columns of `ENCODED`, times in those called `..._at`, else numbers.

    Parameters
    ----------
    columns : iterable of str
        In this order.
    **kinds
        Types of columns that are none of these.
    """
    usual = {
        name: "str" if name in ENCODED else TIME_KIND if name.endswith("_at") else "float64"
        for name in columns
    }
    return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, kind)) for name, kind in usual.items()})
