"""Find damage that a crash, a full disk or a deleted file left in a store, and mend what can be mended.

`check` only looks. `repair` reports what was lost: a row that is gone from the disk can only be collected
again.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from overround.errors import StoreError
from overround.schema import TABLES, Table
from overround.store.catalog import Catalog
from overround.store.commits import commit_files, commit_hooks, dataset, files_of, repeated, scope_of
from overround.store.data_files import file_system, read_files
from overround.store.fsync import to_disk
from overround.store.object_store import reason, short

if TYPE_CHECKING:
    from deltalake import DeltaTable

HALF_WRITTEN, UNREADABLE, MISSING, DAMAGED, TWICE, ORPHAN = (
    "half-written last log entry",
    "log cannot be read",
    "missing file",
    "damaged file",
    "rows stored twice",
    "orphan file",
)
_COLUMNS = ("table", "what", "where", "mend")
# operations that always add or remove a file; others, such as a vacuum, may leave only their name in the log
_WITH_FILES = ("WRITE", "OPTIMIZE", "MERGE", "DELETE", "UPDATE")


def check(catalog: Catalog) -> pd.DataFrame:
    """Look for damage in every table of a store.

    On an object store an entry of the log is whole or does not exist, so none is half-written; files are
    compared with the log by size alone, since reading them costs too much; and orphans are left to `vacuum`.

    Returns
    -------
    DataFrame
        One finding a row: table, what, where, mend. An orphan file is not damage: it is of a batch that was
        never acknowledged, or of a version whose log is gone.
    """
    findings = [
        (table.name, *finding) for table in TABLES.values() for finding in _check_table(catalog, table)
    ]
    return pd.DataFrame(findings, columns=list(_COLUMNS))


def repair(catalog: Catalog) -> list[str]:
    """Mend what `check` finds, except orphans (see `vacuum`) and logs that cannot be read.

    Returns
    -------
    list of str
        A sentence for each thing done; empty where nothing was wrong.
    """
    damaged = check(catalog).query("what != @ORPHAN")["table"].unique()
    return [f"{name}: {done}" for name in damaged for done in _repair_table(catalog, TABLES[name])]


def _check_table(catalog: Catalog, table: Table) -> Iterator[tuple[str, str, str]]:
    """What is wrong, where, and what mends it."""
    folder = catalog.folder(table.name)
    if catalog.is_local and not (folder / "_delta_log").is_dir():
        return
    torn = half_written(folder) if catalog.is_local else None
    if torn is not None:
        yield HALF_WRITTEN, str(torn), "repair removes it: its batch was never acknowledged"
    try:
        delta = catalog.open(table.name, int(torn.stem) - 1 if torn is not None else None)
    except StoreError as error:
        if error.__context__ and reason(error.__context__):
            raise  # out of reach, not damaged
        yield UNREADABLE, str(folder / "_delta_log"), f"restore the folder from a backup: {error}"
        return
    if delta is None:
        return
    bad = _bad_files(catalog, table, delta)
    for path, (what, rows) in bad.items():
        lost = f"repair drops it from the log: {rows:,} rows are lost unless the file comes back"
        yield what, str(folder / path) if catalog.is_local else path, lost
    if table.key and not bad:
        for part, count in _repeats(table, delta).items():
            yield TWICE, "/".join(part) or str(folder), f"repair keeps the last of each: {count:,} rows go"
    if catalog.is_local:
        for path in _orphans(catalog, table, delta):
            yield ORPHAN, str(folder / path), "vacuum removes it when it is old enough"


def _repair_table(catalog: Catalog, table: Table) -> Iterator[str]:
    """What was done, a sentence each."""
    name = table.name
    catalog.forget(name)
    while catalog.is_local and (torn := half_written(catalog.folder(name))) is not None:
        torn.unlink()
        to_disk([torn.parent])
        yield f"the half-written last log entry {torn.name} is removed; its batch was never acknowledged."
    try:
        delta = catalog.open(name)
    except StoreError as error:
        yield f"NOT MENDED, its log cannot be read: {error}"
        return
    if delta is None:
        return
    if bad := _bad_files(catalog, table, delta):
        unknown = _drop_from_log(catalog, name, delta, bad)
        if unknown is not None:
            yield f"NOT MENDED, its log names files that no table of ours does ({unknown})."
            return
        catalog.sync(name, delta)
        lost = sum(rows for _, rows in bad.values())
        yield f"{lost:,} ROWS ARE LOST with {len(bad)} missing or damaged files; collect them again."
    for part, count in _repeats(table, delta).items() if table.key else ():
        _keep_last(table, delta, part)
        catalog.sync(name, delta)
        yield f"{count:,} rows that were stored twice are removed from {'/'.join(part) or name}."


def _drop_from_log(
    catalog: Catalog, name: str, delta: "DeltaTable", bad: dict[str, tuple[str, int]]
) -> str | None:
    """Put damaged files aside and drop missing ones from the log; returns the reason if that failed."""
    from deltalake.exceptions import DeltaError

    for path, (what, _) in bad.items():
        if what == DAMAGED:
            file_system(delta).move(path, f"{path}.damaged")
    catalog.show_files(name)
    try:
        delta.repair(post_commithook_properties=commit_hooks())
    except DeltaError as error:  # a log that names files by absolute addresses was not written here
        return str(error).splitlines()[0]
    return None


def half_written(folder: Path) -> Path | None:
    """The newest entry of a table's log if its commit is incomplete, else None."""
    entries = sorted(path for path in (folder / "_delta_log").glob("*.json") if path.stem.isdigit())
    if not entries or int(entries[-1].stem) == 0:
        return None
    try:
        actions = list(_actions(entries[-1]))
    except ValueError:
        return entries[-1]
    operation = next(
        (action["commitInfo"].get("operation", "") for action in actions if "commitInfo" in action), ""
    )
    hollow = operation in _WITH_FILES and not any(
        kind in action for action in actions for kind in ("add", "remove")
    )
    return entries[-1] if not actions or hollow else None


def _actions(entry: Path) -> Iterator[dict[str, Any]]:
    """The lines of an entry of the log."""
    # as bytes: text would also be split at Unicode line separators, which a name may contain
    return map(json.loads, entry.read_bytes().splitlines())


def _bad_files(catalog: Catalog, table: Table, delta: "DeltaTable") -> dict[str, tuple[str, int]]:
    """Files of the newest version that are missing or damaged, with the number of rows the log gives them."""
    sizes = _sizes(catalog, delta)
    bad = {}
    for file in files_of(table, delta, []).to_pylist():
        path, rows = unquote(file["path"]), file["rows"]
        if path not in sizes:  # or elsewhere, in a log written by someone else: not ours to move
            bad[path] = MISSING, rows or 0
        elif sizes[path] != file["size_bytes"] or (
            catalog.is_local and not _is_whole(catalog.folder(table.name) / path, rows)
        ):
            bad[path] = DAMAGED, rows or 0
    return bad


def _is_whole(path: Path, rows: int) -> bool:
    try:
        return pq.read_metadata(path).num_rows == rows
    except (OSError, pa.ArrowException):
        return False


def _sizes(catalog: Catalog, delta: "DeltaTable") -> dict[str, int]:
    """Size of each file of the table's folder, by its path there."""
    try:
        found = file_system(delta).get_file_info(pafs.FileSelector("", recursive=True))
    except OSError as error:
        raise StoreError(f"store {catalog.root}: its files cannot be listed ({short(error)}).") from None
    return {info.path: info.size for info in found}


def _repeats(table: Table, delta: "DeltaTable") -> dict[tuple[str, ...], int]:
    """Number of surplus rows by partition; of the whole table, under (), where the key is one column."""
    columns = list(dict.fromkeys((*table.key, *table.partition)))
    rows = dataset(table, delta).to_table(columns=columns)
    again = repeated(table, rows)
    twice = rows.filter(pa.array(again))
    if not twice.num_rows:
        return {}
    if len(table.key) == 1 or not table.partition:
        return {(): twice.num_rows}
    parts = zip(*(twice[name].to_pylist() for name in table.partition), strict=True)
    return dict(sorted(Counter(parts).items()))


def _keep_last(table: Table, delta: "DeltaTable", part: tuple[str, ...]) -> None:
    files = files_of(table, delta, scope_of(table, [part]) if part else []).to_pylist()
    rows = read_files(table, delta, files)
    commit_files(table, delta, rows.filter(pa.array(~repeated(table, rows))), files)


def _orphans(catalog: Catalog, table: Table, delta: "DeltaTable") -> list[str]:
    """Data files that no entry of the log names."""
    named = set(files_of(table, delta, [])["path"].to_pylist())
    for entry in (catalog.folder(table.name) / "_delta_log").glob("*.json"):
        with suppress(ValueError):  # the half-written one
            for action in _actions(entry):
                named |= {action[kind]["path"] for kind in ("add", "remove") if kind in action}
    there = {path for path in _sizes(catalog, delta) if Path(path).suffix == ".parquet"}
    return sorted(path for path in there - set(map(unquote, named)) if not path.startswith("_delta_log"))
