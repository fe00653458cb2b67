"""Keep tables fast as they grow: few files, a short log, nothing on disk that nobody can read.

Rows are never changed here, and no version that a recorded run has pinned is ever removed.
"""

import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.fs as pafs

from overround.errors import ParameterError, StoreError
from overround.schema import TABLES, Table
from overround.store import reading
from overround.store.catalog import CHECKPOINT_EVERY, Catalog
from overround.store.commits import Partition, commit_files, commit_hooks, files_of, partition_of, scope_of
from overround.store.data_files import file_system, read_files
from overround.store.fsync import to_disk

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from overround.store.price_changes import LatestPrices

_log = logging.getLogger(__name__)

# that many files of a partition below one of two sizes become one: so a row is rewritten a few times in all
_FILES, _SMALL_BYTES = 32, ((0, 2**18), (2**18, 2**23))
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
    except (DeltaError, OSError, StoreError, pa.ArrowException) as error:
        # Arrow's errors are not all OSErrors: a damaged file among those to be merged is none
        first_line = str(error).partition("\n")[0] or type(error).__name__
        _log.warning("%s: maintenance is put off: %s", table.name, first_line)


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
    from deltalake.exceptions import CommitFailedError

    done = 0
    for table in TABLES.values():
        delta = catalog.open(table.name)
        files = files_of(table, delta, []).to_pylist() if delta else []
        for part, number in Counter(partition_of(table, file) for file in files).items():
            for _ in range(5 if number > 1 else 0):  # collectors may be at work in this partition
                delta = catalog.open(table.name)
                assert delta is not None  # noqa: S101  # it was there above
                with suppress(CommitFailedError):
                    _merge(catalog, table, delta, files_of(table, delta, scope_of(table, [part])))
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
        catalog.show_files(name)
        gone = delta.vacuum(
            retention_hours=round(retention_days * 24),
            dry_run=False,
            full=True,
            enforce_retention_duration=False,
            keep_versions=keep or None,
            post_commithook_properties=commit_hooks(),
        )
        # of a file that delta-rs knew by a link (`addresses`), only the link is gone
        for path in gone if catalog.is_local and not TABLES[name].partition else ():
            (catalog.folder(name) / path).unlink(missing_ok=True)
        removed += len(gone)
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
    files = files_of(table, delta, scope_of(table, [part]))
    sizes = files["size_bytes"].to_numpy()
    for least, below in _SMALL_BYTES:
        chosen = (least <= sizes) & (sizes < below)
        if chosen.sum() >= _FILES:
            up_to_date = latest is not None and latest.files == set(files["path"].to_pylist())
            _merge(catalog, table, delta, files.filter(pa.array(chosen)))
            if latest is not None and up_to_date:
                # the same rows in other files: the remembered prices stay true
                now = files_of(table, delta, scope_of(table, [part]))
                latest.files = frozenset(now["path"].to_pylist())
            return


def _merge(catalog: Catalog, table: Table, delta: "DeltaTable", files: pa.Table) -> None:
    removed = files.to_pylist()
    commit_files(table, delta, _ordered(read_files(table, delta, removed)), removed, data_change=False)
    catalog.sync(table.name, delta)


def _ordered(rows: pa.Table) -> pa.Table:
    order = [(name, "ascending") for name in ("event_id", "observed_at", "at") if name in rows.column_names]
    return rows.sort_by(order) if order else rows


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
    spans = [(newest - _VERSIONS, newest), *((version, version) for version in pinned(catalog, name))]
    needed = {version for first, last in spans for version in range(base(first), last + 1)}
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
