"""The tidy tables: columns, types, keys, units and checks of what comes in.

One row is one fact. Times are UTC, prices are decimal odds above 1. This module describes and checks; it
stores nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

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
# what became of an event; no ordinary reading shows those of `HIDDEN`, nor their prices and results: the
# provider has taken a retracted one back, a retired one goes on under the id in `same_as`
HIDDEN = ("retracted", "retired")
EVENT_STATUS = ("scheduled", "played", "awarded", "abandoned", "postponed", *HIDDEN)
# columns of a provider's file that summarise the market; nobody can bet at these prices
NOT_AN_ACCOUNT = ("market_average", "market_maximum")
# share of the winnings on a market that an exchange keeps: Betfair's market base rate
COMMISSION = {"betfair_exchange": 0.05}


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
# as a reference: found from the past, one period after the other (`forecasts.reference_periods`)
AUTO = "auto"
# the standard error of a signal's edge; how many outcomes the bookmaker's match odds have: 2, where a tie
# gives the stake back, or 3, with a draw (null in other markets, and where it is not known); and whose
# probability says that there is an edge
OPTIONAL_SIGNAL_COLUMNS = ("edge_se", "ways", "reference")
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
        # only. The id outlives corrections of all other columns. `status` is one of `EVENT_STATUS`, null
        # where the provider does not say it; `same_as` is the id under which a retired event goes on.
        # `last_asked_at` is the last answer before kick-off to a source that is asked again and again; null
        # where it is not known.
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
                "status": TEXT,
                "same_as": TEXT,
                "last_asked_at": TIME,
            },
            key=("event_id",),
            partition=("competition", "season"),
            optional=frozenset({"status", "same_as", "last_asked_at"}),
        ),
        # `line` is the total's line, or the home team's handicap for both outcomes of a spread; null for h2h.
        # `observed_at` is the bookmaker's own clock time for the price, null for the phases early and close.
        # A snapshot without a price says that there was nothing any more: from the answer on that no longer
        # showed it.
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
            optional=frozenset({"line", "observed_at", "price"}),
            provenance=("collected_at", "source"),
        ),
        # scores are null unless status is "final"; `settled_at` is null where the provider does not give it;
        # `with_overtime` says whether overtime that was played counts in the score (null: not known)
        Table(
            "results",
            {
                "event_id": TEXT,
                "home_score": WHOLE,
                "away_score": WHOLE,
                "status": TEXT,
                "settled_at": TIME,
                "with_overtime": FLAG,
                "competition": TEXT,
                "season": TEXT,
            },
            key=("event_id",),
            partition=("competition", "season"),
            optional=frozenset({"home_score", "away_score", "settled_at", "with_overtime"}),
        ),
        # the current price, for a poller that stores only changes: `observed_at` is that of its row in
        # `quotes`, `last_seen_at` the time of the newest answer that still showed it, `scope` whose prices
        # were asked for in that answer (regions or bookmakers)
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
                "scope": TEXT,
                "competition": TEXT,
                "season": TEXT,
            },
            key=("event_id", "bookmaker", "market", "line", "outcome"),
            partition=("competition", "season"),
            optional=frozenset({"line", "price", "scope"}),
        ),
        # names that mean the same: from `since` on the source writes `means` for `name`; `kind` is team
        Table(
            "aliases",
            {"kind": TEXT, "source": TEXT, "competition": TEXT, "name": TEXT, "means": TEXT, "since": TIME},
            key=("kind", "source", "competition", "name"),
            provenance=("since",),
        ),
        # when the newest file (or complete answer) about a season was fetched: an older one, from a cache or
        # another machine, changes nothing any more
        Table(
            "editions",
            {"source": TEXT, "competition": TEXT, "season": TEXT, "fetched_at": TIME, "matches": WHOLE},
            key=("source", "competition", "season"),
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
                "ways": WHOLE,
                "reference": TEXT,
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
        Exactly the table's columns, in order; words as text, which is what a store takes (`encoding.encode`
        makes categoricals of them).

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
    elif table.name == "events":
        allowed = {"status": EVENT_STATUS}
    for column, words in allowed.items():
        found = set(arrays[column].drop_null().unique().to_pylist()) - set(words)
        if found:
            raise TableError(
                f"table {table.name}, column {column!r}: {sorted(found)[0]!r} is unknown; "
                f"allowed: {', '.join(words)}."
            )
    if table.name == "quotes" and len(arrays["price"]):
        prices = arrays["price"].to_numpy(zero_copy_only=False)
        bad = ~((prices > 1) & (prices < float("inf")))
        if bad.any():
            # a snapshot may say that there is nothing any more
            gone = np.isnan(prices) & (pc.equal(arrays["phase"], "snapshot").to_numpy(zero_copy_only=False))
            bad &= ~gone
        if bad.any():
            row = int(bad.argmax())
            rule = "decimal odds are above 1"
            if np.isnan(prices[row]):
                raise TableError(
                    f"table quotes, column 'price': row {row} is empty; {rule}, and only a snapshot may have "
                    "none: the price was withdrawn."
                )
            raise TableError(f"table quotes, column 'price': row {row} is {float(prices[row])!r}; {rule}.")


# the tables that a source fills, in the order of storing: no price of a match that is unknown
COLLECTED = ("events", "quotes", "results")
FOUND = "found"  # the stage under which the table `measurements` has a run's figures of merit
