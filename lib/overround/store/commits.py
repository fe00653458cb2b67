"""One commit to one Delta table: what of a batch is new, and the commit itself.

It never retries: who calls it looks at the table again and decides.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
import pandas as pd
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
# keys of a batch that Arrow looks for in what is stored; a million of them cost it more than putting all that
# is stored in order
_LOOKED_FOR = 100_000
_MARK = "overround"


@dataclass(frozen=True)
class Scope:
    """The rows of some partitions, of a span of time: said to the log (which files), to Arrow (which rows) and in SQL (what to replace)."""

    files: list[tuple[str, str, Any]]
    rows: pc.Expression | None
    sql: str | None


@timed("store_encode_s")
def without_repeats(table: Table, batch: pa.Table) -> pa.Table:
    """The batch with the last row of each key."""
    again = repeated(table, batch)
    return batch.filter(pa.array(~again)) if again.any() else batch


@timed("store_look_s")
def split_new_and_changed(table: Table, delta: "DeltaTable", batch: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of the batch whose key is not stored, and rows stored under their key with other values."""
    if not table.key or not batch.num_rows:
        return batch, batch.slice(0, 0)
    values = [
        column for column in table.columns if column not in table.key and column not in table.provenance
    ]
    if len(table.key) == 1:
        # an event that moved to another season is still the same event: look everywhere
        files, near = (
            [],
            pc.field(table.key[0]).isin(batch[table.key[0]]) if batch.num_rows <= _LOOKED_FOR else None,
        )
    else:
        scope = scope_of(table, partitions(table, batch), batch)
        files, near = scope.files, scope.rows
        # the log knows the times of each file: for prices that are new to the store usually none is left to
        # read
        if not _any_file(table, delta, files):
            return batch, batch.slice(0, 0)
    stored = dataset(table, delta, files).to_table(columns=[*table.key, *values], filter=near)
    if not stored.num_rows:
        return batch, batch.slice(0, 0)
    rows = pa.concat_tables([stored, batch.select(stored.column_names)])
    code, n = row_codes(rows.select(list(table.key)))
    theirs, ours = code[: stored.num_rows], code[stored.num_rows :]
    place = np.full(n, -1)
    place[theirs[::-1]] = np.arange(stored.num_rows)[::-1]
    found = place[ours]
    known = found >= 0
    pairs = pa.concat_tables(
        [stored.take(pa.array(found[known])), batch.select(stored.column_names).filter(pa.array(known))]
    ).select(values)
    kinds, _ = row_codes(pairs)
    half = len(kinds) // 2
    changed = np.flatnonzero(known)[kinds[:half] != kinds[half:]]
    return batch.filter(pa.array(~known)), batch.take(changed)


@timed("store_commit_s")
def commit(
    table: Table, delta: "DeltaTable", new: pa.Table, changed: pa.Table, mark: str | None = None
) -> list[Partition]:
    """Write new and changed rows as one version; returns the partitions they are in.

    A mark, which a commit to an object store has, stands in the log: by it `find_commit` finds the commit again
    when its answer was lost.

    Raises
    ------
    CommitFailedError
        Another writer was first in one of these partitions.
    """
    from deltalake import WriterProperties, write_deltalake

    both = pa.concat_tables([new, changed])
    if not changed.num_rows:
        parts = partitions(table, new)
        if mark is not None:
            # delta-rs uploads a file in one request, a file system in three; nothing is to be forced to a
            # disk here
            write_deltalake(
                delta,
                with_columns_on_disk(delta, new),
                mode="append",
                writer_properties=WriterProperties(compression="ZSTD"),
                commit_properties=commit_properties(delta, parts, mark),
                post_commithook_properties=commit_hooks(),
            )
            return parts
        once = commit_properties(delta, parts) if table.key else None
        commit_files(
            table,
            delta,
            by_partition(table, parts, with_columns_on_disk(delta, new)),
            properties=once,
            hooks=commit_hooks(),
        )
        return parts
    # a correction rewrites the files that may hold the old rows. Not by delta-rs's merge: in 1.6 it records
    # the bounds of text as string views, which Arrow cannot compare with strings (apache/arrow#49368), so a
    # filter fails on these files
    touched = both
    if len(table.key) == 1:
        # also the partitions that hold the old rows: an event may have moved to another season
        old = dataset(table, delta).to_table(
            columns=list(table.partition), filter=pc.field(table.key[0]).isin(changed[table.key[0]])
        )
        touched = pa.concat_tables([both.select(list(table.partition)), old])
    parts = partitions(table, touched)
    scope = scope_of(table, parts, both)
    stored = dataset(table, delta, scope.files, everything=True).to_table(filter=scope.rows)
    keys, _ = row_codes(pa.concat_tables([stored.select(list(table.key)), changed.select(list(table.key))]))
    kept = stored.filter(pa.array(~np.isin(keys[: stored.num_rows], keys[stored.num_rows :])))
    rows = pa.concat_tables(
        [kept, with_columns_on_disk(delta, both).select(kept.column_names).cast(kept.schema)]
    )
    write_deltalake(
        delta,
        rows,
        mode="overwrite",
        predicate=scope.sql,
        commit_properties=commit_properties(delta, parts, mark),
        post_commithook_properties=commit_hooks(),
    )
    return parts


def mark_of(table: Table, batch: pa.Table) -> str:
    """What names an append in the log of an object store.

    Of a log, which has no key, the batch's own content: appended again after a lost answer, the rows are
    known by it.
    """
    if table.key:
        return uuid4().hex
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, batch.schema) as stream:
        stream.write_table(batch)
    return hashlib.sha256(out.getvalue()).hexdigest()


def find_commit(delta: "DeltaTable", mark: str, before: int) -> int | None:
    """The version after this one that has the mark, or None."""
    later = delta.version() - before
    entries = delta.history(later) if later > 0 else []
    return next(
        (entry["version"] for entry in entries if entry.get(_MARK) == mark and entry["version"] > before),
        None,
    )


def commit_properties(
    delta: "DeltaTable", parts: Iterable[Partition], mark: str | None = None
) -> "CommitProperties":
    """One application transaction a partition: of two writers that looked at the same version only one can commit.

    So neither stores a row twice. Compaction goes by the same names.
    """
    from deltalake import CommitProperties, Transaction

    return CommitProperties(
        app_transactions=[Transaction(f"append {'/'.join(part)}", delta.version() + 1) for part in parts],
        custom_metadata={_MARK: mark} if mark else None,
    )


def commit_hooks() -> "PostCommitHookProperties":
    """Checkpoints as configured, but no log entry is dropped, whatever an older table's properties say."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(cleanup_expired_logs=False)


def partitions(table: Table, rows: pa.Table) -> list[Partition]:
    """Those that the rows are in; of a table without partitions the empty one."""
    if not table.partition:
        return [()]
    words = [rows[name].unique() for name in table.partition]
    if max(map(len, words)) > 1:
        found = rows.select(list(table.partition)).group_by(list(table.partition)).aggregate([])
        words = [found[name] for name in table.partition]
    return sorted(zip(*(word.to_pylist() for word in words), strict=True))


def scope_of(table: Table, parts: list[Partition], rows: pa.Table | None = None) -> Scope:
    """These partitions, from the first to the last time in the rows where all of them have one."""
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
        said = (
            " AND ".join(f"{n} = {quoted(v)}" for n, v in zip(table.partition, part, strict=True))
            for part in parts
        )
        sql.append("(" + " OR ".join(f"({one})" for one in said) + ")")
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
    """Arrow's view of the files that the log does not rule out; columns that an older table lacks are null in it.

    Columns that this version does not know are left out unless `everything` is wanted, as for a rewrite.
    Those in `encoded` are dictionaries.
    """
    schema = table.schema
    if everything:
        schema = pa.schema(delta.schema().to_arrow())
    # deltalake's own handler for an object store: it is told the sizes, and asks for none
    return delta.to_pyarrow_dataset(
        schema=schema,
        filesystem=local_system(delta),
        file_pruning_predicate=files or None,
        parquet_read_options=ds.ParquetReadOptions(dictionary_columns=encoded),
    )


def with_columns_on_disk(delta: "DeltaTable", rows: pa.Table) -> pa.Table:
    """Rows with nulls in the columns that only the table on disk has: another version's."""
    for one in pa.schema(delta.schema().to_arrow()):
        if one.name not in rows.column_names:
            rows = rows.append_column(one.with_nullable(True), pa.nulls(rows.num_rows, one.type))
    return rows


def repeated(table: Table, rows: pa.Table) -> NDArray[np.bool_]:
    """Whether the key of each row comes again further down."""
    return pd.Series(row_codes(rows.select(list(table.key)))[0]).duplicated(keep="last").to_numpy()


def row_codes(rows: pa.Table) -> tuple[NDArray[np.int64], int]:
    """`grouping.group_codes` of all columns of an Arrow table; nulls are equal to each other."""
    encoded = (_one_piece(column).dictionary_encode(null_encoding="encode") for column in rows.columns)
    columns = ((column.indices.to_numpy(), len(column.dictionary)) for column in encoded)
    return combined_codes(rows.num_rows, columns)


def _one_piece(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _any_file(table: Table, delta: "DeltaTable", files: list[tuple[str, str, Any]]) -> bool:
    """Whether the log has a file that this leaves; as `file_uris` with the same conditions, in a tenth of its time."""
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
            # a file without bounds for the column has only nulls in it, or was written by somebody who gave
            # none
            right = pc.fill_null(
                (pc.greater_equal if sign == ">=" else pc.less_equal)(bound, pa.scalar(value, bound.type)),
                True,
            )
        left = right if left is None else pc.and_(left, right)
    return log.num_rows > 0 if left is None else pc.any(left, min_count=0).as_py()


def quoted(value: str) -> str:
    """A text as SQL writes it."""
    return "'" + value.replace("'", "''") + "'"
