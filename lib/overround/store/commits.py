"""One commit to one Delta table: which rows of a batch are new, and the commit itself.

It never retries: the caller looks at the table again and decides.
"""

import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import reduce
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from numpy.typing import NDArray

from overround.grouping import combined_codes
from overround.schema import Table
from overround.stopwatch import timed
from overround.store.data_files import by_partition, local_folder, local_system, read_files, write_file
from overround.store.fsync import drop_empty

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties

Partition = tuple[str, ...]
# conditions on columns, all of which have to hold, as delta-rs takes them for its log
Scope = list[tuple[str, str, Any]]
# up to this many keys of a batch Arrow filters the stored rows by; beyond, reading all rows costs less
_MOST_KEYS = 100_000
_MARK = "overround"


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
        scope, near = [], None
        if batch.num_rows <= _MOST_KEYS:
            near = pc.field(table.key[0]).isin(batch[table.key[0]])
    else:
        scope = scope_of(table, partitions(table, batch), batch)
        # the log has the times of each file: for prices that are new to the store usually no file is left
        if not files_of(table, delta, scope).num_rows:
            return batch, batch.slice(0, 0)
        near = pq.filters_to_expression(scope) if scope else None
    stored = dataset(table, delta, scope).to_table(columns=[*table.key, *values], filter=near)
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


@timed("store_look_s")
def at_other_lines(table: Table, delta: "DeltaTable", batch: pa.Table) -> pa.Table:
    """Stored quotes of the phases without times whose selection the batch has, but at other lines only."""
    columns = [*table.key, *table.partition]
    batch = batch.select(columns)
    batch = batch.filter(pc.and_(pc.is_null(batch["observed_at"]), pc.is_valid(batch["line"])))
    if not batch.num_rows:
        return batch
    scope = scope_of(table, partitions(table, batch))
    if not files_of(table, delta, scope).num_rows:
        return batch.slice(0, 0)
    near = pq.filters_to_expression(scope) & pc.field("observed_at").is_null() & pc.field("line").is_valid()
    stored = dataset(table, delta, scope).to_table(columns=columns, filter=near)
    selection = [name for name in table.key if name not in ("line", "observed_at")]
    rows = pa.concat_tables([stored, batch])
    selections, keys = (row_codes(rows.select(names))[0] for names in (selection, list(table.key)))
    n = stored.num_rows
    gone = np.isin(selections[:n], selections[n:]) & ~np.isin(keys[:n], keys[n:])
    return stored.filter(pa.array(gone))


@timed("store_commit_s")
def commit(
    table: Table,
    delta: "DeltaTable",
    new: pa.Table,
    changed: pa.Table,
    mark: str | None = None,
    replaced: pa.Table | None = None,
) -> list[Partition]:
    """Write new and changed rows as one version, without those `replaced`; returns the partitions.

    The log keeps the mark, which a commit to an object store has: `find_commit` finds the commit by it when
    the answer was lost.

    Raises
    ------
    CommitFailedError
        Another writer was first in one of these partitions.
    """
    from deltalake import WriterProperties, write_deltalake

    rows = with_columns_on_disk(delta, pa.concat_tables([new, changed]))
    columns = list(dict.fromkeys((*table.key, *table.partition)))
    old = pa.concat_tables([one.select(columns) for one in (changed, replaced) if one is not None])
    if old.num_rows:
        kept, removed = _without(table, delta, old)
        rows = pa.concat_tables([kept, rows.select(kept.column_names).cast(kept.schema)])
        return commit_files(table, delta, rows, removed, mark=mark)
    if mark is None:
        return commit_files(table, delta, rows)
    parts = partitions(table, rows)
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


def commit_files(
    table: Table,
    delta: "DeltaTable",
    rows: pa.Table,
    removed: Iterable[dict[str, Any]] = (),
    *,
    mark: str | None = None,
    data_change: bool = True,
) -> list[Partition]:
    """Write a file for the rows of each partition and commit them in place of the removed files.

    Not by delta-rs's merge: in 1.6 it records the bounds of text as string views, which Arrow cannot compare
    with strings (apache/arrow#49368), so a filter fails on its files. Nor by its optimize: in 1.6 two of them
    on the same files both commit, and every row is there twice, since delta-io/delta-rs#3982 allows the
    removal of a file that another compaction removed.

    Parameters
    ----------
    removed : iterable of dict
        Rows of `files_of`.
    data_change : bool
        False for a compaction. `delta` is at the new version afterwards.

    Returns
    -------
    list
        The partitions that were written.
    """
    from deltalake.exceptions import DeltaError
    from deltalake.transaction import AddAction, RemoveAction

    removed, parts, now = list(removed), partitions(table, rows), int(time.time() * 1000)
    actions: list[Any] = []
    claimed = {*parts, *(partition_of(table, file) for file in removed)}
    before = delta.version()
    try:
        for part, of_part in by_partition(table, parts, rows):
            actions.append(write_file(table, delta, part, of_part, data_change=data_change))
        for file in removed:
            values = {name: file[name] for name in table.partition}
            # delta-rs quotes the paths it is given
            path = unquote(file["path"])
            actions.append(RemoveAction(path, data_change, now, file["size_bytes"], values))
        delta.create_write_transaction(
            actions,
            "append",
            delta.schema(),
            list(table.partition),
            commit_properties=commit_properties(delta, claimed, mark) if table.key or removed else None,
            post_commithook_properties=commit_hooks(),
        )
    except (DeltaError, OSError, pa.ArrowException):
        _remove_unnamed(delta, [action.path for action in actions if isinstance(action, AddAction)], before)
        raise
    delta.update_incremental()
    return parts


def _remove_unnamed(delta: "DeltaTable", paths: list[str], before: int) -> None:
    """Remove files of a failed commit, and their empty folders, unless the log names them after `before`.

    An error may also come after the entry was written, e.g. of a checkpoint on a full disk. Where the log
    cannot be read, and on an object store, the files stay for the vacuum.
    """
    folder = local_folder(delta)
    if folder is None:
        return
    with suppress(OSError):
        # not by glob, which takes a folder that cannot be read for an empty one
        entries = [entry for entry in (folder / "_delta_log").iterdir() if entry.suffix == ".json"]
        later = [entry.read_bytes() for entry in entries if entry.stem.isdigit() and int(entry.stem) > before]
        for path in paths:
            name = path.rpartition("/")[2]  # has an identifier of its own, and nothing that is quoted
            if not any(name.encode() in entry for entry in later):
                (folder / unquote(path)).unlink(missing_ok=True)
                drop_empty((folder / unquote(path)).parent, folder)


def _without(table: Table, delta: "DeltaTable", changed: pa.Table) -> tuple[pa.Table, list[dict[str, Any]]]:
    """The files that hold an old value of a changed row: their other rows, and the files."""
    # an event may have moved to another season: look everywhere
    scope = [] if len(table.key) == 1 else scope_of(table, partitions(table, changed), changed)
    files = files_of(table, delta, scope).to_pylist()
    stored = read_files(table, delta, files)
    keys = pa.concat_tables([rows.select(list(table.key)) for rows in (stored, changed)])
    codes, _ = row_codes(keys)
    old = np.isin(codes[: stored.num_rows], codes[stored.num_rows :])
    file = np.repeat(np.arange(len(files)), [one["rows"] for one in files])
    hit = np.unique(file[old])
    return stored.filter(pa.array(np.isin(file, hit) & ~old)), [files[number] for number in hit]


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
    scope: Scope = [
        (name, "in", sorted({part[i] for part in parts})) for i, name in enumerate(table.partition)
    ]
    if rows is not None and rows.num_rows and "observed_at" in table.key:
        times = rows["observed_at"]
        if times.null_count == 0:
            first, last = pc.min_max(times).as_py().values()
            scope += [("observed_at", ">=", first), ("observed_at", "<=", last)]
    return scope


def files_of(table: Table, delta: "DeltaTable", scope: Scope) -> pa.Table:
    """Files that may hold rows of a scope by the log: `file_uris`, in a tenth of its time.

    Returns
    -------
    Table
        path (quoted), size_bytes, rows, and the partition columns.
    """
    log = pa.table(delta.get_add_actions(flatten=True))
    may = [pa.array(np.ones(log.num_rows, bool))]
    for name, sign, value in scope:
        bounds = "partition" if name in table.partition else "max" if sign == ">=" else "min"
        if f"{bounds}.{name}" not in log.column_names:
            continue
        bound = log[f"{bounds}.{name}"]
        if sign == "in":
            may.append(pc.is_in(bound, pa.array(value, bound.type)))
        else:
            compare = pc.greater_equal if sign == ">=" else pc.less_equal
            # a file without bounds for the column has only nulls in it, or another writer gave none
            may.append(pc.fill_null(compare(bound, pa.scalar(value, bound.type)), True))
    found = log.select(
        ["path", "size_bytes", "num_records", *(f"partition.{name}" for name in table.partition)]
    )
    return found.rename_columns(["path", "size_bytes", "rows", *table.partition]).filter(reduce(pc.and_, may))


def partition_of(table: Table, file: dict[str, Any]) -> Partition:
    """The partition that a file of `files_of` is in."""
    return tuple(file[name] for name in table.partition)


def dataset(
    table: Table, delta: "DeltaTable", scope: Scope | None = None, *, encoded: Iterable[str] = ()
) -> Any:
    """Arrow's view of the files that the log does not rule out.

    Parameters
    ----------
    table, delta
        Columns that an older table on disk lacks are null.
    scope : list, optional
        By default all files.
    encoded : iterable of str
        Text columns that become dictionaries.
    """
    # for an object store deltalake's own handler, which knows the sizes and so makes no request for them
    return delta.to_pyarrow_dataset(
        schema=table.schema,
        filesystem=local_system(delta),
        file_pruning_predicate=scope or None,
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


def quoted(value: str) -> str:
    """A string literal of SQL."""
    return "'" + value.replace("'", "''") + "'"
