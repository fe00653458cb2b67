"""Keep tables fast as they grow: few files, a short log, nothing on disk that nobody can read.

Rows are never changed here, and no version that a recorded run has pinned is ever removed.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from overround.errors import ParameterError, StoreError
from overround.schema import TABLES, Table
from overround.store import reading
from overround.store.catalog import CHECKPOINT_EVERY, Catalog
from overround.store.commits import Partition, commit_hooks, commit_properties, dataset, scope_of
from overround.store.data_files import ROW_GROUP, commit_files, file_system, read_file
from overround.store.fsync import to_disk

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from overround.store.price_changes import LatestPrices

_log = logging.getLogger(__name__)

# that many files of a partition below one of two sizes become one: so a row is rewritten a few times in all
_FILES, _SMALL_BYTES = 32, (2**18, 2**23)
_CLEAN_EVERY, _VACUUM_EVERY = 64, 2048
# two hours of polls every 30 seconds: time enough to record which version a run has read; no more, since each
# commit lists the whole log
_VERSIONS = 256
# on an object store entries of the log stay a day whatever their number: a machine that went to sleep in the
# middle of a commit must find them
_LOG_HOURS = 24
# files that were merged stay a day for readers that have begun
_VACUUM_DAYS = 1.0
_LONGEST_DAYS = 36_500


def after_append(
    catalog: Catalog,
    table: Table,
    delta: "DeltaTable",
    parts: list[Partition],
    memory: "dict[Partition, LatestPrices]",
) -> None:
    """Merge small files and shorten the log now and then; never fails, since the batch is stored already."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    version = delta.version()
    try:
        if catalog.is_local and version % CHECKPOINT_EVERY == 0:
            to_disk((catalog.folder(table.name) / "_delta_log").glob(f"{version:020d}.checkpoint*"))
        for part in parts:
            _merge_small(catalog, table, delta, part, memory.get(part))
        if version % _VACUUM_EVERY == 0:
            vacuum(catalog, _VACUUM_DAYS, tables=[table.name])
        elif version % _CLEAN_EVERY == 0:
            _shorten_log(catalog, table.name, delta)
    except CommitFailedError:
        pass  # another writer is at it; the next append looks again
    except (DeltaError, OSError, StoreError) as error:
        _log.warning("%s: maintenance is put off: %s", table.name, str(error).splitlines()[0])


def compact(catalog: Catalog) -> int:
    """Rewrite each partition that is in several files into one, sorted by event and time.

    By event first: to read one event, or the price before each kick-off, then takes a few row groups instead
    of all. Appends become no slower: the times of a file decide whether it can hold a batch's keys, and those
    of a compacted file end before the current files begin.

    Returns
    -------
    int
        How many partitions were rewritten.
    """
    from deltalake import WriterProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError

    done = 0
    for table in TABLES.values():
        delta = catalog.open(table.name)
        for part in _in_many_files(table, delta) if delta else []:
            for _ in range(5):  # collectors may be at work in this partition
                delta = catalog.open(table.name)
                assert delta is not None  # noqa: S101  # it was there above
                scope = scope_of(table, [part])
                rows = dataset(table, delta, scope.files, everything=True).to_table(filter=scope.rows)
                try:
                    write_deltalake(
                        delta,
                        _ordered(rows),
                        mode="overwrite",
                        predicate=scope.sql,
                        writer_properties=WriterProperties(max_row_group_size=ROW_GROUP, compression="ZSTD"),
                        commit_properties=commit_properties(delta, [part]),
                        post_commithook_properties=commit_hooks(),
                    )
                except CommitFailedError:
                    continue
                catalog.sync(table.name, delta)
                done += 1
                break
    return done


def vacuum(catalog: Catalog, retention_days: float = 7, tables: list[str] | None = None) -> int:
    """Remove files and log entries that neither a version younger than this nor a pinned one needs.

    A batch that another process is writing is safe as long as the retention is longer than writing takes.

    Returns
    -------
    int
        How many data files were removed.
    """
    if not 0 <= retention_days <= _LONGEST_DAYS:
        raise ParameterError(
            f"retention_days is {retention_days}; it takes a number of days from 0 to {_LONGEST_DAYS}."
        )
    removed = 0
    for name in tables or list(TABLES):
        delta = catalog.open(name)
        if delta is None:
            continue
        keep = [
            version
            for version in pinned(catalog, name)
            if version <= delta.version() and _opens(catalog, name, version)
        ]
        removed += len(
            delta.vacuum(
                retention_hours=round(retention_days * 24),
                dry_run=False,
                full=True,
                enforce_retention_duration=False,
                keep_versions=keep or None,
                post_commithook_properties=commit_hooks(),
            )
        )
        _shorten_log(catalog, name, delta)
    return removed


def pinned(catalog: Catalog, name: str) -> list[int]:
    """Versions of a table that recorded runs have read."""
    found = set()
    for text in reading.read(catalog, "runs", columns=["store_version"])["store_version"].unique():
        parts = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        if parts.get(name, "").isdigit():
            found.add(int(parts[name]))
    return sorted(found)


def _merge_small(
    catalog: Catalog, table: Table, delta: "DeltaTable", part: Partition, latest: "LatestPrices | None"
) -> None:
    log = delta.get_add_actions(flatten=True)
    if log.num_rows < _FILES:
        return
    files = pa.table(log).select(["path", "size_bytes", *(f"partition.{name}" for name in table.partition)])
    for name, value in zip(table.partition, part, strict=True):
        files = files.filter(pc.equal(files[f"partition.{name}"], value))
    sizes, (small, medium) = files["size_bytes"].to_numpy(), _SMALL_BYTES
    groups = (sizes < small, (sizes >= small) & (sizes < medium))
    chosen = next((mask for mask in groups if mask.sum() >= _FILES), None)
    if chosen is None:
        return
    files = files.filter(pa.array(chosen)).to_pylist()
    where = scope_of(table, [part]).files
    up_to_date = latest is not None and latest.files == frozenset(
        delta.file_uris(file_pruning_predicate=where)
    )
    on_disk = pa.schema(delta.schema().to_arrow())
    schema = pa.schema([column for column in on_disk if column.name not in table.partition])
    # several at once where each is a request
    with ThreadPoolExecutor(1 if catalog.is_local else 8) as pool:
        rows = pa.concat_tables(pool.map(lambda file: read_file(delta, unquote(file["path"]), schema), files))
    for name, value in zip(table.partition, part, strict=True):
        rows = rows.append_column(name, pa.repeat(pa.scalar(value), rows.num_rows))
    # not delta-rs's own optimize: in 1.6 two of them on the same files both commit, and every row is there
    # twice, since delta-io/delta-rs#3982 allows the removal of a file that another compaction removed
    properties = commit_properties(delta, [part])
    commit_files(table, delta, [(part, _ordered(rows))], files, properties=properties, hooks=commit_hooks())
    catalog.sync(table.name, delta, data=False)
    if latest is not None and up_to_date:
        # the same rows in other files: the remembered prices stay true
        latest.files = frozenset(delta.file_uris(file_pruning_predicate=where))


def _ordered(rows: pa.Table) -> pa.Table:
    order = [(name, "ascending") for name in ("event_id", "observed_at", "at") if name in rows.column_names]
    return rows.sort_by(order) if order else rows


def _in_many_files(table: Table, delta: "DeltaTable") -> list[Partition]:
    files = pa.table(delta.get_add_actions(flatten=True))
    if not table.partition:
        return [()] if files.num_rows > 1 else []
    names = [f"partition.{name}" for name in table.partition]
    counted = files.group_by(names).aggregate([("path", "count")])
    return [tuple(row[name] for name in names) for row in counted.to_pylist() if row["path_count"] > 1]


def _opens(catalog: Catalog, name: str, version: int) -> bool:
    try:
        return catalog.open(name, version) is not None
    except StoreError:
        return False


def _shorten_log(catalog: Catalog, name: str, delta: "DeltaTable") -> None:
    """Drop entries that neither one of the newest versions nor a pinned one needs.

    A version needs the last checkpoint at or before it and the entries since.
    """
    delta.create_checkpoint()
    if catalog.is_local:
        log = catalog.folder(name) / "_delta_log"
        # on disk before the entries go that it replaces
        to_disk([*log.glob(f"{delta.version():020d}.checkpoint*"), log / "_last_checkpoint", log])
    system = file_system(delta)
    entries: dict[int, list[pafs.FileInfo]] = {}
    for info in system.get_file_info(pafs.FileSelector("_delta_log")):
        number = info.base_name.split(".", 1)[0]
        if number.isdigit():
            entries.setdefault(int(number), []).append(info)
    checkpoints = sorted(
        version
        for version, infos in entries.items()
        if any(".checkpoint" in info.base_name for info in infos)
    )

    def base(version: int) -> int:
        return max((checkpoint for checkpoint in checkpoints if checkpoint <= version), default=0)

    newest = max(entries)
    needed = set(range(base(newest - _VERSIONS), newest + 1))
    for version in pinned(catalog, name):
        needed.update(range(base(version), version + 1))
    newest_to_drop = datetime.now(UTC) - timedelta(hours=0 if catalog.is_local else _LOG_HOURS)
    old = [
        info
        for version in entries.keys() - needed
        for info in entries[version]
        if info.mtime is None or info.mtime <= newest_to_drop
    ]
    with ThreadPoolExecutor(1 if catalog.is_local else 8) as pool:
        list(pool.map(partial(_drop, system), sorted(info.path for info in old)))


def _drop(system: pafs.FileSystem, path: str) -> None:
    with suppress(FileNotFoundError):  # another process does the same
        system.delete_file(path)
