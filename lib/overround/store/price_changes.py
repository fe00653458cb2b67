"""Only price changes are news: what stood before each price, from a memory of the latest ones and, for late rows, from the store."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overround.schema import Table
from overround.stopwatch import timed
from overround.store.commits import Partition, dataset, partitions, row_codes, scope_of
from overround.store.data_files import by_partition, path_in, read_file

if TYPE_CHECKING:
    from deltalake import DeltaTable

_TIME, _VALUE = "observed_at", "price"
# an event whose prices are older than this by the side of a batch is looked up again when it comes back
_FORGET_AFTER_US = 2 * 86_400_000_000


@dataclass
class LatestPrices:
    """The latest stored price of each quote of some events of one partition, true as of these files.

    It saves reading the history of every open match at every poll; what it does not know is read from the
    store.
    """

    files: frozenset[str] = frozenset()
    events: set[str] = field(default_factory=set)
    rows: pa.Table | None = None


@timed("store_look_s")
def only_changes(
    table: Table, delta: "DeltaTable", batch: pa.Table, memory: dict[Partition, LatestPrices]
) -> pa.Table:
    """The rows of a batch that are no repetition of the price before them.

    Rows without a clock time pass. A row whose key is stored passes too, unless its price is the stored one:
    it is a correction. `memory` is kept up to date.
    """
    clocked = batch[_TIME].is_valid()
    rows = batch.filter(clocked)
    if not rows.num_rows:
        return batch
    columns = [name for name in table.key if name != _TIME] + [_TIME, _VALUE]
    kept = [batch.filter(pc.invert(clocked))]
    for part, mine in by_partition(table, partitions(table, rows), rows):
        stored = _stood(table, delta, part, mine.select(columns), memory)
        kept.append(mine.filter(pa.array(_is_change(stored, mine.select(columns)))))
    return pa.concat_tables(kept)


def _is_change(stored: pa.Table, batch: pa.Table) -> np.ndarray:
    """For each row of the batch, whether neither the price before it nor the one stored under its key equals its own."""
    rows = pa.concat_tables([stored, batch])
    quote, at, price = _quotes(rows), _times(rows), rows[_VALUE].to_numpy()
    given = np.arange(len(quote)) >= stored.num_rows
    # by quote, in order of time; what is stored under a key goes before what is given under it
    order = np.lexsort((given, at, quote))
    before, here = order[:-1], order[1:]
    same = np.zeros(len(quote), bool)
    # under the same key this finds a repetition, or a correction where the prices differ
    same[here] = (quote[here] == quote[before]) & (price[here] == price[before])
    # a correction to the price that stood before is not a repetition of it: its key is stored with another
    # price
    return ~same[stored.num_rows :]


def _stood(
    table: Table, delta: "DeltaTable", part: Partition, batch: pa.Table, memory: dict[Partition, LatestPrices]
) -> pa.Table:
    events = set(batch["event_id"].unique().to_pylist())
    standing = memory.setdefault(part, LatestPrices())
    _refresh(table, delta, part, standing, batch.column_names)
    if unknown := events - standing.events:
        found = _history(table, delta, part, batch.column_names, unknown)
        standing.rows = _latest(
            pa.concat_tables([standing.rows, found]) if standing.rows is not None else found
        )
        standing.events |= unknown
    latest = standing.rows
    assert latest is not None  # noqa: S101  # a batch has an event, so one was looked up
    late = _late_events(latest, batch)
    if late:
        old = pc.is_in(latest["event_id"], pa.array(sorted(late), pa.string()))
        latest = pa.concat_tables(
            [latest.filter(pc.invert(old)), _history(table, delta, part, batch.column_names, late)]
        )
    _forget(standing, batch)
    return latest


def _refresh(
    table: Table, delta: "DeltaTable", part: Partition, standing: LatestPrices, columns: list[str]
) -> None:
    """Read the files that came since; where one went (a rewrite by another writer), forget."""
    files = frozenset(delta.file_uris(file_pruning_predicate=scope_of(table, [part]).files))
    if standing.files - files:
        standing.events, standing.rows = set(), None
    elif standing.rows is not None:
        known = pa.array(sorted(standing.events), pa.string())
        wanted = pc.field("event_id").isin(known) & pc.field(_TIME).is_valid()
        for file in files - standing.files:
            come = read_file(delta, path_in(delta, file), standing.rows.schema, columns, wanted)
            standing.rows = _latest(pa.concat_tables([standing.rows, come]))
    standing.files = files


def _history(
    table: Table, delta: "DeltaTable", part: Partition, columns: list[str], events: set[str]
) -> pa.Table:
    scope, names = scope_of(table, [part]), sorted(events)
    files = [*scope.files, ("event_id", ">=", names[0]), ("event_id", "<=", names[-1])]
    of_events = pc.field("event_id").isin(names) & pc.field(_TIME).is_valid()
    return dataset(table, delta, files).to_table(
        columns=columns, filter=of_events if scope.rows is None else scope.rows & of_events
    )


def _latest(rows: pa.Table) -> pa.Table:
    """The last row of each quote; of two at the same time the one that comes later in the table."""
    quote, at = _quotes(rows), _times(rows)
    order = np.lexsort((at, quote))
    last = np.append(quote[order][1:] != quote[order][:-1], True)
    return rows.take(order[last]) if len(order) else rows


def _late_events(latest: pa.Table, batch: pa.Table) -> set[str]:
    """Events of which the batch has a price from before the latest one stored."""
    rows = pa.concat_tables([latest, batch])
    quote, at = _quotes(rows), _times(rows)
    stands = np.full(quote.max(initial=-1) + 1, np.iinfo(np.int64).min)
    stands[quote[: latest.num_rows]] = at[: latest.num_rows]
    late = at[latest.num_rows :] < stands[quote[latest.num_rows :]]
    return set(batch["event_id"].filter(pa.array(late)).to_pylist())


def _forget(standing: LatestPrices, batch: pa.Table) -> None:
    if standing.rows is None or not standing.rows.num_rows:
        return
    now = _times(batch).min()
    seen = (
        pa.table({"event": standing.rows["event_id"], "at": _times(standing.rows)})
        .group_by("event")
        .aggregate([("at", "max")])
    )
    old = set(seen.filter(pc.less(seen["at_max"], now - _FORGET_AFTER_US))["event"].to_pylist())
    if old:
        standing.rows = standing.rows.filter(
            pc.invert(pc.is_in(standing.rows["event_id"], pa.array(sorted(old), pa.string())))
        )
    # an event without a stored price is cheap to look up again, and would be remembered for ever
    standing.events = set(standing.rows["event_id"].unique().to_pylist())


def _quotes(rows: pa.Table) -> np.ndarray:
    """A small number for each quote: the key without its time."""
    return row_codes(rows.drop_columns([_TIME, _VALUE]))[0]


def _times(rows: pa.Table) -> np.ndarray:
    return rows[_TIME].cast(pa.int64()).to_numpy()
