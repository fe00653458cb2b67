"""One commit to one Delta table: which rows of a batch are new, and the commit itself.

It never retries: the caller looks at the table again and decides.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from overround.grouping import combined_codes
from overround.schema import Table
from overround.stopwatch import timed
from overround.store.data_files import by_partition, commit_files, local_system

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties

Partition = tuple[str, ...]
# up to this many keys of a batch Arrow filters the stored rows by; beyond, reading all rows costs less
_MOST_KEYS = 100_000
_MARK = "overround"


@dataclass(frozen=True)
class Scope:
    """The rows of some partitions and a span of time, as conditions for the log, for Arrow and in SQL."""

    files: list[tuple[str, str, Any]]  # which files the log rules out
    rows: pc.Expression | None
    sql: str | None  # which rows a commit replaces


@timed("store_encode_s")
def without_repeats(table: Table, batch: pa.Table) -> pa.Table:
    """The batch with the last row of each key."""
    again = repeated(table, batch)
    return batch.filter(pa.array(~again)) if again.any() else batch


@timed("store_look_s")
def split_new_and_changed(table: Table, delta: "DeltaTable", batch: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of the batch whose key is not stored, and those whose key is stored with other values."""
    if not table.key or not batch.num_rows:
        return batch, batch.slice(0, 0)
    values = [
        column for column in table.columns if column not in table.key and column not in table.provenance
    ]
    if len(table.key) == 1:
        # an event that moved to another season is still the same event: look everywhere
        files, near = [], None
        if batch.num_rows <= _MOST_KEYS:
            near = pc.field(table.key[0]).isin(batch[table.key[0]])
    else:
        scope = scope_of(table, partitions(table, batch), batch)
        files, near = scope.files, scope.rows
        # the log has the times of each file: for prices that are new to the store usually no file is left
        if not _any_file(table, delta, files):
            return batch, batch.slice(0, 0)
    stored = dataset(table, delta, files).to_table(columns=[*table.key, *values], filter=near)
    if not stored.num_rows:
        return batch, batch.slice(0, 0)
    rows = pa.concat_tables([stored, batch.select(stored.column_names)])
    keys, n = row_codes(rows.select(list(table.key)))
    row_of_key = np.full(n, -1)
    row_of_key[keys[: stored.num_rows][::-1]] = np.arange(stored.num_rows)[::-1]
    stored_row = row_of_key[keys[stored.num_rows :]]
    known = stored_row >= 0
    before = stored.take(pa.array(stored_row[known]))
    after = batch.select(stored.column_names).filter(pa.array(known))
    codes, _ = row_codes(pa.concat_tables([before, after]).select(values))
    changed = np.flatnonzero(known)[codes[: after.num_rows] != codes[after.num_rows :]]
    return batch.filter(pa.array(~known)), batch.take(changed)


@timed("store_commit_s")
def commit(
    table: Table, delta: "DeltaTable", new: pa.Table, changed: pa.Table, mark: str | None = None
) -> list[Partition]:
    """Write new and changed rows as one version; returns the partitions they are in.

    The log keeps the mark, which a commit to an object store has: `find_commit` finds the commit by it when
    the answer was lost.

    Raises
    ------
    CommitFailedError
        Another writer was first in one of these partitions.
    """
    if changed.num_rows:
        return _rewrite(table, delta, new, changed, mark)
    return _add(table, delta, new, mark)


def _add(table: Table, delta: "DeltaTable", new: pa.Table, mark: str | None) -> list[Partition]:
    from deltalake import WriterProperties, write_deltalake

    parts, rows = partitions(table, new), with_columns_on_disk(delta, new)
    if mark is None:
        once = commit_properties(delta, parts) if table.key else None
        files = by_partition(table, parts, rows)
        commit_files(table, delta, files, properties=once, hooks=commit_hooks())
    else:
        # delta-rs uploads a file in one request, Arrow in three; there is no disk to force it to
        write_deltalake(
            delta,
            rows,
            mode="append",
            writer_properties=WriterProperties(compression="ZSTD"),
            commit_properties=commit_properties(delta, parts, mark),
            post_commithook_properties=commit_hooks(),
        )
    return parts


def _rewrite(
    table: Table, delta: "DeltaTable", new: pa.Table, changed: pa.Table, mark: str | None
) -> list[Partition]:
    """Rewrite the files that may hold the old rows.

    Not by delta-rs's merge: in 1.6 it records the bounds of text as string views, which Arrow cannot compare
    with strings (apache/arrow#49368), so a filter fails on its files.
    """
    from deltalake import write_deltalake

    key, both = list(table.key), pa.concat_tables([new, changed])
    touched = both
    if len(key) == 1:
        # also the partitions that hold the old rows: an event may have moved to another season
        old = dataset(table, delta).to_table(
            columns=list(table.partition), filter=pc.field(key[0]).isin(changed[key[0]])
        )
        touched = pa.concat_tables([both.select(list(table.partition)), old])
    parts = partitions(table, touched)
    scope = scope_of(table, parts, both)
    stored = dataset(table, delta, scope.files, everything=True).to_table(filter=scope.rows)
    codes, _ = row_codes(pa.concat_tables([stored.select(key), changed.select(key)]))
    kept = stored.filter(pa.array(~np.isin(codes[: stored.num_rows], codes[stored.num_rows :])))
    added = with_columns_on_disk(delta, both).select(kept.column_names).cast(kept.schema)
    write_deltalake(
        delta,
        pa.concat_tables([kept, added]),
        mode="overwrite",
        predicate=scope.sql,
        commit_properties=commit_properties(delta, parts, mark),
        post_commithook_properties=commit_hooks(),
    )
    return parts


def mark_of(table: Table, batch: pa.Table) -> str:
    """Identifier of an append in the log of an object store.

    For a table without a key it is a hash of the batch: appended again after a lost answer, the rows are
    recognised by it.
    """
    if table.key:
        return uuid4().hex
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_table(batch)
    return hashlib.sha256(out.getvalue()).hexdigest()


def find_commit(delta: "DeltaTable", mark: str, before: int) -> int | None:
    """The version after `before` whose commit has the mark, or None."""
    later = delta.version() - before
    entries = delta.history(later) if later > 0 else []
    return next(
        (entry["version"] for entry in entries if entry.get(_MARK) == mark and entry["version"] > before),
        None,
    )


def commit_properties(
    delta: "DeltaTable", parts: Iterable[Partition], mark: str | None = None
) -> "CommitProperties":
    """One application transaction per partition: of two writers that read the same version only one commits.

    So neither stores a row twice. Compaction uses the same names.
    """
    from deltalake import CommitProperties, Transaction

    return CommitProperties(
        app_transactions=[Transaction(f"append {'/'.join(part)}", delta.version() + 1) for part in parts],
        custom_metadata={_MARK: mark} if mark else None,
    )


def commit_hooks() -> "PostCommitHookProperties":
    """Write checkpoints as configured, but drop no log entry, whatever an older table's properties say."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(cleanup_expired_logs=False)


def partitions(table: Table, rows: pa.Table) -> list[Partition]:
    """The partitions that the rows are in; the empty one of a table without partitions."""
    if not table.partition:
        return [()]
    words = [rows[name].unique() for name in table.partition]
    if max(map(len, words)) > 1:
        found = rows.select(list(table.partition)).group_by(list(table.partition)).aggregate([])
        words = [found[name] for name in table.partition]
    return sorted(zip(*(word.to_pylist() for word in words), strict=True))


def scope_of(table: Table, parts: list[Partition], rows: pa.Table | None = None) -> Scope:
    """These partitions, limited to the span of the rows' times where every row has one."""
    files: list[tuple[str, str, Any]] = [
        (name, "in", sorted({part[i] for part in parts})) for i, name in enumerate(table.partition)
    ]
    conditions, sql = [], []
    if table.partition:
        exact = [
            reduce(and_, (pc.field(n) == v for n, v in zip(table.partition, part, strict=True)))
            for part in parts
        ]
        conditions.append(reduce(or_, exact))
        texts = (
            " AND ".join(f"{n} = {quoted(v)}" for n, v in zip(table.partition, part, strict=True))
            for part in parts
        )
        sql.append("(" + " OR ".join(f"({text})" for text in texts) + ")")
    if rows is not None and rows.num_rows and "observed_at" in table.key:
        times = rows["observed_at"]
        if times.null_count == 0:
            span = pc.min_max(times).as_py()
            for sign, at in ((">=", span["min"]), ("<=", span["max"])):
                files.append(("observed_at", sign, at))
                sql.append(f"observed_at {sign} '{at.isoformat()}'")
            first, last = (pa.scalar(span[end], times.type) for end in ("min", "max"))
            conditions.append((pc.field("observed_at") >= first) & (pc.field("observed_at") <= last))
    return Scope(files, reduce(and_, conditions) if conditions else None, " AND ".join(sql) or None)


def dataset(
    table: Table,
    delta: "DeltaTable",
    files: list | None = None,
    *,
    everything: bool = False,
    encoded: Iterable[str] = (),
) -> Any:
    """Arrow's view of the files that the log does not rule out.

    Parameters
    ----------
    table, delta
        Columns that an older table on disk lacks are null.
    files : list, optional
        Conditions as delta-rs takes them for its log.
    everything : bool
        Also the columns of another version, which this one does not know, as a rewrite needs them.
    encoded : iterable of str
        Text columns that become dictionaries.
    """
    schema = table.schema
    if everything:
        schema = pa.schema(delta.schema().to_arrow())
    # for an object store deltalake's own handler, which knows the sizes and so makes no request for them
    return delta.to_pyarrow_dataset(
        schema=schema,
        filesystem=local_system(delta),
        file_pruning_predicate=files or None,
        parquet_read_options=ds.ParquetReadOptions(dictionary_columns=encoded),
    )


def with_columns_on_disk(delta: "DeltaTable", rows: pa.Table) -> pa.Table:
    """The rows with nulls in the columns that only the table on disk has, written by another version."""
    for column in pa.schema(delta.schema().to_arrow()):
        if column.name not in rows.column_names:
            rows = rows.append_column(column.with_nullable(True), pa.nulls(rows.num_rows, column.type))
    return rows


def repeated(table: Table, rows: pa.Table) -> NDArray[np.bool_]:
    """Whether the key of each row occurs again further down."""
    codes, n = row_codes(rows.select(list(table.key)))
    places, last = np.arange(len(codes)), np.empty(n, np.intp)
    last[codes] = places
    return last[codes] != places


def row_codes(rows: pa.Table) -> tuple[NDArray[np.int64], int]:
    """`grouping.group_codes` of all columns of an Arrow table; nulls are equal to each other."""
    encoded = (_one_piece(column).dictionary_encode(null_encoding="encode") for column in rows.columns)
    columns = ((column.indices.to_numpy(), len(column.dictionary)) for column in encoded)
    return combined_codes(rows.num_rows, columns)


def _one_piece(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _any_file(table: Table, delta: "DeltaTable", files: list[tuple[str, str, Any]]) -> bool:
    """Whether any file meets the conditions by the log: `file_uris`, in a tenth of its time."""
    log, left = pa.table(delta.get_add_actions(flatten=True)), None
    for name, sign, value in files:
        column = (
            f"partition.{name}" if name in table.partition else f"{'max' if sign == '>=' else 'min'}.{name}"
        )
        if column not in log.column_names:
            continue
        bound = log[column]
        if sign == "in":
            right = pc.is_in(bound, pa.array(value, bound.type))
        else:
            # a file without bounds for the column has only nulls in it, or another writer gave none
            right = pc.fill_null(
                (pc.greater_equal if sign == ">=" else pc.less_equal)(bound, pa.scalar(value, bound.type)),
                True,
            )
        left = right if left is None else pc.and_(left, right)
    return log.num_rows > 0 if left is None else pc.any(left, min_count=0).as_py()


def quoted(value: str) -> str:
    """A string literal of SQL."""
    return "'" + value.replace("'", "''") + "'"
