"""Parquet files of a Delta table: written and forced to the disk here, then named in the log.

That is faster than by delta-rs. A file that no commit names is invisible: an orphan, which the vacuum takes.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, unquote
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from overround.schema import Table
from overround.stopwatch import timed
from overround.store.addresses import real_folder
from overround.store.fsync import drop_empty, new_folder, to_disk

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction

ROW_GROUP = 131_072
_LONG = 64


def local_folder(delta: "DeltaTable") -> Path | None:
    """The table's folder, None where it is on an object store."""
    return real_folder(delta.table_uri)


def local_system(delta: "DeltaTable") -> pafs.FileSystem | None:
    """Arrow's own file system for a table on this machine; paths are relative to the table.

    deltalake's handler is written in Python: up to Arrow 24, threads may release what they read by it when
    the interpreter has begun to end, which ends the process with a signal (apache/arrow#49942).
    """
    folder = local_folder(delta)
    return None if folder is None else pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())


def file_system(delta: "DeltaTable") -> pafs.FileSystem:
    """The table's own files, wherever it is; paths are relative to the table."""
    from deltalake.fs import DeltaStorageHandler

    # private, but delta-rs 1.6 has no public way from a table to its store (no issue upstream found)
    return local_system(delta) or pafs.PyFileSystem(DeltaStorageHandler.from_table(delta._table))


def read_file(
    delta: "DeltaTable", path: str, schema: pa.Schema, columns: list[str] | None = None, rows: Any = None
) -> pa.Table:
    """One data file of the table; on an object store read whole, in one request."""
    folder = local_folder(delta)
    if folder is not None:
        source: Any = folder / path
    else:
        with file_system(delta).open_input_file(path) as file:
            source = pa.BufferReader(file.read())
    return pq.read_table(source, columns=columns, schema=schema, partitioning=None, filters=rows)


def read_files(table: Table, delta: "DeltaTable", files: list[dict[str, Any]]) -> pa.Table:
    """Whole data files by their rows of the log, also columns that only another version knows."""
    on_disk = pa.schema(delta.schema().to_arrow())
    schema = pa.schema([column for column in on_disk if column.name not in table.partition])

    def whole(file: dict[str, Any]) -> pa.Table:
        rows = read_file(delta, unquote(file["path"]), schema)
        for name in table.partition:
            rows = rows.append_column(name, pa.repeat(pa.scalar(file[name]), rows.num_rows))
        return rows

    # several at once where each is a request
    with ThreadPoolExecutor(1 if local_folder(delta) else 8) as pool:
        return pa.concat_tables(pool.map(whole, files))


def in_order(files: ds.Dataset) -> ds.Dataset:
    """The same files sorted by path: the order of the log depends on where its last checkpoint is."""
    if not isinstance(files, ds.FileSystemDataset):
        return files
    fragments = sorted(files.get_fragments(), key=lambda file: file.path)
    return ds.FileSystemDataset(fragments, files.schema, files.format, files.filesystem)


def write_file(
    table: Table, delta: "DeltaTable", part: tuple[str, ...], rows: pa.Table, *, data_change: bool
) -> "AddAction":
    """Write the rows of one partition into a file; in a folder it is on disk when this returns."""
    from deltalake.transaction import AddAction

    values = dict(zip(table.partition, part, strict=True))
    # `name=value` folders are how DuckDB and others know the columns that are not in the file
    path = "/".join(
        (
            *(f"{name}={quote(value, safe='')}" for name, value in values.items()),
            f"part-{uuid4()}.zstd.parquet",
        )
    )
    rows, folder = rows.drop_columns(list(table.partition)), local_folder(delta)
    if folder is not None:
        out = pa.BufferOutputStream()
        bounds = _encode(rows, out)
        try:
            with _opened(folder / path, folder) as file:
                # on disk before the log names it: otherwise a power cut could leave a version with a missing
                # file
                with timed("store_write_s"):
                    size = file.write(out.getvalue())
                    file.flush()
                with timed("store_fsync_s"):
                    os.fsync(file.fileno())
            to_disk([(folder / path).parent])
        except OSError:
            with suppress(OSError):  # a full or failing disk: nothing is left of a try
                (folder / path).unlink(missing_ok=True)
            drop_empty((folder / path).parent, folder)
            raise
    else:
        with file_system(delta).open_output_stream(path) as file:
            bounds = _encode(rows, file)
            size = file.tell()
    return AddAction(path, size, values, int(time.time() * 1000), data_change, json.dumps(bounds))


def _opened(path: Path, above: Path) -> BinaryIO:
    """A new file in a folder that may have to be made."""
    try:
        new_folder(path.parent, above)
        return path.open("wb")
    except FileNotFoundError:  # another writer, whose commit failed, has just removed the folder as empty
        new_folder(path.parent, above)
        return path.open("wb")


@timed("store_encode_s")
def _encode(rows: pa.Table, file: Any) -> dict[str, Any]:
    """Write the rows; returns the file's statistics for the log."""
    written: list[pq.FileMetaData] = []
    pq.write_table(rows, file, compression="zstd", row_group_size=ROW_GROUP, metadata_collector=written)
    return _bounds(rows, written[0])


def _bounds(rows: pa.Table, written: pq.FileMetaData) -> dict[str, Any]:
    """Statistics of a file for the log, so that readers and appends need not open it.

    Of every column: delta-rs 1.6 assumes that no row meets a condition on a column without bounds in the log
    (delta-io/delta-rs#3173, closed, yet still so).
    """
    least: dict[str, Any] = {}
    most: dict[str, Any] = {}
    for place, name in enumerate(rows.column_names):
        groups = [
            written.row_group(group).column(place).statistics for group in range(written.num_row_groups)
        ]
        known = [group for group in groups if group is not None and group.has_min_max]
        if known:
            least[name] = _bound(min(group.min for group in known), "")
            # a cut text sorts before the whole one: append the greatest character
            most[name] = _bound(max(group.max for group in known), chr(0x10FFFF))
    nulls = {name: rows[name].null_count for name in rows.column_names}
    return {"numRecords": rows.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}


def _bound(bound: Any, after_cut: str) -> Any:
    if isinstance(bound, datetime):
        return f"{bound:%Y-%m-%dT%H:%M:%S.%fZ}"
    if isinstance(bound, float) and not math.isfinite(bound):
        return math.copysign(sys.float_info.max, bound)
    return bound[:_LONG] + after_cut if isinstance(bound, str) and len(bound) > _LONG else bound


def by_partition(
    table: Table, parts: list[tuple[str, ...]], rows: pa.Table
) -> Iterable[tuple[tuple[str, ...], pa.Table]]:
    """The rows of each of these partitions."""
    for part in parts:
        of_part = rows
        if len(parts) > 1:
            for name, value in zip(table.partition, part, strict=True):
                of_part = of_part.filter(pc.equal(of_part[name], value))
        yield part, of_part
