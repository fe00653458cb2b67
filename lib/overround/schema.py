"""The tidy tables: columns, types, keys, units and checks of what comes in.

One row is one fact. Times are UTC, prices are decimal odds above 1. This module describes and checks; it
stores nothing.
"""

import ctypes
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from overround.errors import TableError
from overround.stopwatch import timed

TIME = pa.timestamp("us", tz="UTC")
TIME_KIND = "datetime64[us, UTC]"  # the same in pandas
TEXT, REAL, WHOLE, FLAG = pa.string(), pa.float64(), pa.int32(), pa.bool_()

MARKETS = ("h2h", "h2h_lay", "totals", "spreads")
OUTCOMES = {
    "h2h": ("home", "draw", "away"),
    "h2h_lay": ("home", "draw", "away"),
    "totals": ("over", "under"),
    "spreads": ("home", "away"),
}
PHASES = ("snapshot", "early", "close")
# columns of a provider's file that summarise the market; nobody can bet at these prices
NOT_AN_ACCOUNT = ("market_average", "market_maximum")
# share of the winnings on a market that an exchange keeps: Betfair's market base rate
COMMISSION = {"betfair_exchange": 0.05}


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
    "result",
    "status",
)
_LARGE = 2**26  # bytes of a table: freed memory of smaller ones is soon used again


@dataclass(frozen=True)
class Table:
    """Columns and keys of a table; `key` is empty for a log, to which rows are only added."""

    name: str
    columns: dict[str, pa.DataType]
    key: tuple[str, ...] = ()
    partition: tuple[str, ...] = ()
    # may be null or missing
    optional: frozenset[str] = field(default_factory=frozenset)
    # when and from where a row came: a row that differs only here counts as unchanged
    provenance: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the table."""
        return pa.schema(
            [pa.field(name, kind, nullable=name in self.optional) for name, kind in self.columns.items()]
        )


_SIGNAL = {
    "event_id": TEXT,
    "market": TEXT,
    "line": REAL,
    "outcome": TEXT,
    "side": TEXT,
    "bookmaker": TEXT,
    "price": REAL,
    "probability": REAL,
    "edge": REAL,
    "placed_at": TIME,
    "strategy": TEXT,
}
SIGNAL_COLUMNS = tuple(_SIGNAL)
# the standard error of a signal's edge
OPTIONAL_SIGNAL_COLUMNS = ("edge_se",)
LEDGER_COLUMNS = (
    *SIGNAL_COLUMNS,
    "stake",
    "result",
    "profit",
    "settled_at",
    "bankroll",
    "bankroll_at_start",
    "closing_price",
    "closing_fair",
    "clv",
)

TABLES = {
    table.name: table
    for table in (
        # `starts_at` is midnight UTC of the match day where `time_known` is false: the provider gave a date
        # only
        Table(
            "events",
            {
                "event_id": TEXT,
                "sport": TEXT,
                "competition": TEXT,
                "season": TEXT,
                "starts_at": TIME,
                "time_known": FLAG,
                "home": TEXT,
                "away": TEXT,
                "source": TEXT,
            },
            key=("event_id",),
            partition=("competition", "season"),
        ),
        # `line` is the total's line, or the home team's handicap for both outcomes of a spread; null for h2h.
        # `observed_at` is the bookmaker's own clock time for the price, null for the phases early and close.
        Table(
            "quotes",
            {
                "event_id": TEXT,
                "bookmaker": TEXT,
                "market": TEXT,
                "line": REAL,
                "outcome": TEXT,
                "phase": TEXT,
                "observed_at": TIME,
                "price": REAL,
                "collected_at": TIME,
                "source": TEXT,
                "competition": TEXT,
                "season": TEXT,
            },
            key=("event_id", "bookmaker", "market", "line", "outcome", "phase", "observed_at"),
            partition=("competition", "season"),
            optional=frozenset({"line", "observed_at"}),
            provenance=("collected_at", "source"),
        ),
        # scores are null unless status is "final"; `settled_at` is null where the provider does not give it
        Table(
            "results",
            {
                "event_id": TEXT,
                "home_score": WHOLE,
                "away_score": WHOLE,
                "status": TEXT,
                "settled_at": TIME,
                "competition": TEXT,
                "season": TEXT,
            },
            key=("event_id",),
            partition=("competition", "season"),
            optional=frozenset({"home_score", "away_score", "settled_at"}),
        ),
        # the current price, for a poller that stores only changes: `observed_at` is that of its row in
        # `quotes`, `last_seen_at` the time of the newest answer that still showed it
        Table(
            "standing",
            {
                "event_id": TEXT,
                "bookmaker": TEXT,
                "market": TEXT,
                "line": REAL,
                "outcome": TEXT,
                "price": REAL,
                "observed_at": TIME,
                "last_seen_at": TIME,
                "competition": TEXT,
                "season": TEXT,
            },
            key=("event_id", "bookmaker", "market", "line", "outcome"),
            partition=("competition", "season"),
            optional=frozenset({"line"}),
        ),
        Table(
            "requests",
            {
                "provider": TEXT,
                "endpoint": TEXT,
                "status": WHOLE,
                "from_cache": FLAG,
                "latency_s": REAL,
                "bytes": pa.int64(),
                "quota_remaining": REAL,
                "at": TIME,
            },
            optional=frozenset({"quota_remaining"}),
        ),
        Table(
            "measurements",
            {"run_id": TEXT, "stage": TEXT, "metric": TEXT, "value": REAL, "unit": TEXT, "at": TIME},
            optional=frozenset({"value"}),
        ),
        Table(
            "runs",
            {
                "run_id": TEXT,
                "notebook": TEXT,
                "parameters": TEXT,
                "git_revision": TEXT,
                "versions": TEXT,
                "store_version": TEXT,
                "status": TEXT,
                "started_at": TIME,
                "ended_at": TIME,
            },
            key=("run_id",),
            optional=frozenset({"ended_at"}),
        ),
        # every settled bet of every run, so that any two runs can be compared later
        Table(
            "ledgers",
            {
                "run_id": TEXT,
                **_SIGNAL,
                "stake": REAL,
                "result": TEXT,
                "profit": REAL,
                "settled_at": TIME,
                "bankroll": REAL,
                "closing_price": REAL,
                "closing_fair": REAL,
                "clv": REAL,
                "starts_at": TIME,
                "competition": TEXT,
                "season": TEXT,
                "edge_se": REAL,
                "bankroll_at_start": REAL,
            },
            key=("run_id", "event_id", "bookmaker", "market", "line", "outcome", "side", "strategy"),
            partition=("run_id",),
            optional=frozenset(
                {
                    "line",
                    "closing_price",
                    "closing_fair",
                    "clv",
                    "probability",
                    "edge",
                    "bankroll_at_start",  # of a ledger that was stored before there was this column
                    *OPTIONAL_SIGNAL_COLUMNS,
                }
            ),
        ),
    )
}


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
        release_memory()  # what decoding took is not kept beside the frame
    rows = encode_text(rows)
    columns = {}
    for name in names:
        if name in ENCODED and pa.types.is_dictionary(rows[name].type):
            columns[name] = _categorical(rows[name])
            rows = rows.drop_columns([name])  # one column at a time: both copies of all would be too much
    # not `split_blocks`: it shares Arrow's memory, which pandas cannot write to
    frame = rows.to_pandas(self_destruct=True, memory_pool=pa.system_memory_pool()).assign(**columns)[names]
    if large:
        release_memory()
    return frame


def release_memory() -> None:
    """Return freed memory to the system, which only glibc has to be told.

    In Arrow 26 `release_unused` of the system pool does so only where that pool is the default (no issue
    upstream found).
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


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


def tidy(name: str, rows: pd.DataFrame | Iterable[dict]) -> pd.DataFrame:
    """Rows in the table's own columns and types, checked.

    Parameters
    ----------
    name : str
        One of `TABLES`.
    rows : DataFrame or iterable of dict
        Columns by name; optional columns may be missing.

    Returns
    -------
    DataFrame
        Exactly the table's columns, in order; words as text, which is what a store takes (`encode` makes
        categoricals of them).

    Raises
    ------
    TableError
        Naming the table, the column and the first row or value that breaks the contract.
    """
    return to_arrow(name, rows).to_pandas()


@timed("store_encode_s")
def to_arrow(name: str, rows: pd.DataFrame | Iterable[dict]) -> pa.Table:
    """Like `tidy`, as an Arrow table."""
    table = TABLES[name]
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=list(table.columns))
    missing = [column for column in table.columns if column not in frame and column not in table.optional]
    if missing:
        raise TableError(
            f"table {name}: column {missing[0]!r} is missing; it needs {', '.join(table.columns)}."
        )
    arrays = {}
    for column, kind in table.columns.items():
        values = frame[column] if column in frame else pd.Series([None] * len(frame))
        if pa.types.is_timestamp(kind):
            values = _utc(name, column, values)
        try:
            if kind == TEXT and isinstance(values.dtype, pd.CategoricalDtype):
                # a twentieth of the time that Arrow takes from a categorical to text
                words = pa.Array.from_pandas(values.cat.categories, type=kind)
                arrays[column] = words.take(pa.array(values.cat.codes, mask=values.isna()))
            else:
                arrays[column] = pa.Array.from_pandas(values, type=kind, safe=not pa.types.is_timestamp(kind))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise TableError(f"table {name}, column {column!r}: {error}; it takes {kind}.") from None
    _check(table, arrays)
    return pa.table({column: _one_chunk(values) for column, values in arrays.items()}, schema=table.schema)


def _one_chunk(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _utc(name: str, column: str, values: pd.Series) -> pd.Series:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values
    if isinstance(values.dtype, np.dtype) and values.dtype.kind == "M" and values.notna().any():
        raise TableError(f"table {name}, column {column!r}: times without a time zone; give UTC.")
    try:
        return pd.to_datetime(values, utc=True)
    except (ValueError, TypeError, OverflowError) as error:
        raise TableError(
            f"table {name}, column {column!r}: {str(error).splitlines()[0]}; it takes times, in UTC."
        ) from None


def _check(table: Table, arrays: dict) -> None:
    for column, values in arrays.items():
        if column not in table.optional and values.null_count:
            row = values.is_null().to_pylist().index(True)
            raise TableError(
                f"table {table.name}, column {column!r}: row {row} is empty; a value is required."
            )
    allowed: dict[str, tuple[str, ...]] = {}
    if table.name == "quotes":
        allowed = {"market": MARKETS, "phase": PHASES, "outcome": ("home", "draw", "away", "over", "under")}
    for column, words in allowed.items():
        found = set(arrays[column].unique().to_pylist()) - set(words)
        if found:
            raise TableError(
                f"table {table.name}, column {column!r}: {sorted(found)[0]!r} is unknown; "
                f"allowed: {', '.join(words)}."
            )
    if table.name == "quotes" and len(arrays["price"]):
        prices = arrays["price"].to_numpy(zero_copy_only=False)
        bad = ~((prices > 1) & (prices < float("inf")))
        if bad.any():
            row = int(bad.argmax())
            raise TableError(
                f"table quotes, column 'price': row {row} is {float(prices[row])!r}; "
                "decimal odds are above 1."
            )


FOUND = "found"  # the stage under which the table `measurements` has a run's figures of merit
