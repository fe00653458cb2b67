"""Reduce a batch to price changes: compare each price with the one before it, remembered or stored."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overround.schema import Table
from overround.stopwatch import timed
from overround.store.commits import Partition, dataset, files_of, partitions, row_codes, scope_of
from overround.store.data_files import by_partition, read_file

if TYPE_CHECKING:
    from deltalake import DeltaTable

_TIME, _VALUE = "observed_at", "price"
_NOTHING = 0.0  # in place of the price that a withdrawal lacks: decimal odds are above 1
# an event whose prices are this much older than a batch is forgotten, and read again when it comes back
_FORGET_AFTER_US = 2 * 86_400_000_000


@dataclass
class LatestPrices:
    """The latest stored price of each quote of some events of one partition, as of these files.

    It saves reading the history of every open match at every poll; other events are read from the store.
    """

    files: frozenset[str] = frozenset()
    events: set[str] = field(default_factory=set)
    rows: pa.Table | None = None


@timed("store_look_s")
def only_changes(
    table: Table, delta: "DeltaTable", batch: pa.Table, memory: dict[Partition, LatestPrices]
) -> pa.Table:
    """The rows of a batch that do not repeat the price before them.

    Rows without a clock time pass. A row whose key is stored passes unless its price is the stored one: it is
    a correction. `memory` is kept up to date.
    """
    clocked = batch[_TIME].is_valid()
    rows = batch.filter(clocked)
    if not rows.num_rows:
        return batch
    columns = [name for name in table.key if name != _TIME] + [_TIME, _VALUE]
    kept = [batch.filter(pc.invert(clocked))]
    for part, of_part in by_partition(table, partitions(table, rows), rows):
        stored = _prices_before(table, delta, part, of_part.select(columns), memory)
        kept.append(of_part.filter(pa.array(_is_change(stored, of_part.select(columns)))))
    return pa.concat_tables(kept)


def _is_change(stored: pa.Table, batch: pa.Table) -> np.ndarray:
    """Whether each row of the batch differs from the price before it and from the one with its key."""
    rows = pa.concat_tables([stored, batch])
    quote, at, price = _quotes(rows), _times(rows), pc.fill_null(rows[_VALUE], _NOTHING).to_numpy()
    given = np.arange(len(quote)) >= stored.num_rows
    # by quote, in order of time; a stored row goes before a given one with the same key
    order = np.lexsort((given, at, quote))
    before, here = order[:-1], order[1:]
    same = np.zeros(len(quote), bool)
    opens = quote[here] != quote[before]
    # with the same key as the row before, equal prices are a repetition and others a correction; what never
    # stood cannot be withdrawn
    same[here] = np.where(opens, price[here] == _NOTHING, price[here] == price[before])
    same[order[:1]] = price[order[:1]] == _NOTHING
    return ~same[stored.num_rows :]


def _prices_before(
    table: Table, delta: "DeltaTable", part: Partition, batch: pa.Table, memory: dict[Partition, LatestPrices]
) -> pa.Table:
    events = set(batch["event_id"].unique().to_pylist())
    known = memory.setdefault(part, LatestPrices())
    _refresh(table, delta, part, known, batch.column_names)
    if unknown := events - known.events:
        found = _history(table, delta, part, batch.column_names, unknown)
        known.rows = _latest(pa.concat_tables([known.rows, found]) if known.rows is not None else found)
        known.events |= unknown
    latest = known.rows
    assert latest is not None  # noqa: S101  # a batch has an event, so one was looked up
    late = _late_events(latest, batch)
    if late:
        old = pc.is_in(latest["event_id"], pa.array(sorted(late), pa.string()))
        latest = pa.concat_tables(
            [latest.filter(pc.invert(old)), _history(table, delta, part, batch.column_names, late)]
        )
    _forget(known, batch)
    return latest


def _refresh(
    table: Table, delta: "DeltaTable", part: Partition, latest: LatestPrices, columns: list[str]
) -> None:
    """Read the files added since; where one is gone (another writer's rewrite), forget all."""
    files = frozenset(files_of(table, delta, scope_of(table, [part]))["path"].to_pylist())
    if latest.files - files:
        latest.events, latest.rows = set(), None
    elif latest.rows is not None:
        known = pa.array(sorted(latest.events), pa.string())
        wanted = pc.field("event_id").isin(known) & pc.field(_TIME).is_valid()
        for file in files - latest.files:
            added = read_file(delta, unquote(file), latest.rows.schema, columns, wanted)
            latest.rows = _latest(pa.concat_tables([latest.rows, added]))
    latest.files = files


def _history(
    table: Table, delta: "DeltaTable", part: Partition, columns: list[str], events: set[str]
) -> pa.Table:
    names = sorted(events)
    scope = [*scope_of(table, [part]), ("event_id", ">=", names[0]), ("event_id", "<=", names[-1])]
    rows = pq.filters_to_expression([*scope, ("event_id", "in", names)]) & pc.field(_TIME).is_valid()
    return dataset(table, delta, scope).to_table(columns=columns, filter=rows)


def _latest(rows: pa.Table) -> pa.Table:
    """The last row of each quote; of two at the same time the one further down."""
    quote, at = _quotes(rows), _times(rows)
    order = np.lexsort((at, quote))
    last = np.append(quote[order][1:] != quote[order][:-1], True)
    return rows.take(order[last]) if len(order) else rows


def _late_events(latest: pa.Table, batch: pa.Table) -> set[str]:
    """Events that have a price in the batch from before their latest stored one."""
    rows = pa.concat_tables([latest, batch])
    quote, at = _quotes(rows), _times(rows)
    latest_at = np.full(quote.max(initial=-1) + 1, np.iinfo(np.int64).min)
    latest_at[quote[: latest.num_rows]] = at[: latest.num_rows]
    late = at[latest.num_rows :] < latest_at[quote[latest.num_rows :]]
    return set(batch["event_id"].filter(pa.array(late)).to_pylist())


def _forget(latest: LatestPrices, batch: pa.Table) -> None:
    if latest.rows is None or not latest.rows.num_rows:
        return
    of_row, n = row_codes(latest.rows.select(["event_id"]))
    newest = np.zeros(n, np.int64)
    np.maximum.at(newest, of_row, _times(latest.rows))
    is_new = newest >= _times(batch).min() - _FORGET_AFTER_US
    latest.rows = latest.rows.filter(pa.array(is_new[of_row]))
    # an event without a stored price is cheap to look up again, and would never be forgotten
    latest.events = set(latest.rows["event_id"].unique().to_pylist())


def _quotes(rows: pa.Table) -> np.ndarray:
    """Number of the quote of each row: the key without its time."""
    return row_codes(rows.drop_columns([_TIME, _VALUE]))[0]


def _times(rows: pa.Table) -> np.ndarray:
    return rows[_TIME].cast(pa.int64()).to_numpy()
