"""The Delta tables under one root: open a version, make a missing table, keep open what is written to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from overround.errors import StoreError, TableError
from overround.schema import TABLES, Table
from overround.store.addresses import address, show_files
from overround.store.commits import Partition, commit_hooks
from overround.store.fsync import drop_empty, sync
from overround.store.object_store import hint, short

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from overround.store.price_changes import LatestPrices

# versions between two checkpoints; fewer where each entry of the log is a request of its own
CHECKPOINT_EVERY, CHECKPOINT_EVERY_REMOTE = 50, 10
# of the tables; up to 1 no row said that a price was gone
LAYOUT = 2
_LAYOUT = "Overround layout "


class Catalog:
    """The tables under one root.

    Parameters
    ----------
    root : str
        A folder or an object-store URL.
    options : dict of str, optional
        Settings of delta-rs for an object store, None for a folder.
    """

    def __init__(self, root: str, options: dict[str, str] | None = None):
        self.root = root
        self.is_local = options is None
        self._options = options
        self._in_hand: dict[str, tuple[DeltaTable, dict[Partition, LatestPrices]]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Open tables stay in their process."""
        return {**self.__dict__, "_in_hand": {}}

    def folder(self, name: str) -> Path:
        """Where a table is, if its root is a folder."""
        return Path(self.root) / name

    def show_files(self, name: str) -> None:
        """Make delta-rs see a table's data files, which it else only knows by the log."""
        if self.is_local:
            show_files(self.folder(name))

    def open(self, name: str, version: int | None = None) -> "DeltaTable | None":
        """A table at a version, by default the newest; None where there is no such table.

        Raises
        ------
        StoreError
            For a version that is not there, or a log that cannot be read.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        if self.is_local and not (self.folder(name) / "_delta_log").is_dir():
            return None
        try:
            # not `is_deltatable`: in delta-rs 1.6 it holds the interpreter's lock while it waits for an
            # object store, as other calls did until delta-io/delta-rs#4402
            delta = DeltaTable(self._uri(name), version=version, storage_options=self._options)
        except TableNotFoundError:
            if version is None:
                return None
            raise StoreError(
                f"store {self.root}: version {version} of {name} is not there: "
                "it never was, or the vacuum took it."
            ) from None
        except (DeltaError, OSError) as error:
            what = f"version {version} of {name}" if version is not None else name
            raise StoreError(
                f"store {self.root}: {what} cannot be opened ({short(error)}).{hint(error)}"
            ) from None
        if layout_of(delta) > LAYOUT:
            raise StoreError(
                f"store {self.root}: {name} is of layout {layout_of(delta)}, of a later version of "
                f"Overround; this one knows up to {LAYOUT}: update it."
            )
        return delta

    def open_for_writing(self, table: Table) -> "tuple[DeltaTable, dict[Partition, LatestPrices]]":
        """A table at its newest version, made if missing, and what is remembered of its latest prices.

        A table that was put back is brought up to date, which takes a tenth of the time of opening it. Two
        threads never get the same one.
        """
        from deltalake.exceptions import DeltaError

        delta, memory = self._in_hand.pop(table.name, (None, {}))
        if delta is not None:
            self._uri(table.name)  # its links, where it needs some, may be gone
        # the folder may have been removed or replaced since
        if delta is not None and (not self.is_local or self._has_version(table.name, delta.version())):
            # delta-rs lists the whole log to bring a table up to date: look for the next version first
            if not self.is_local or self._has_version(table.name, delta.version() + 1):
                try:
                    delta.update_incremental()
                except DeltaError:  # so long ago that the log's entries since are gone
                    delta = self.open(table.name)
        else:
            delta, memory = self.open(table.name) or self._make(table), {}
        if delta is None:
            raise StoreError(
                f"store {self.root}: the table {table.name} can be neither opened nor made there."
            )
        if add_missing_columns(table, delta):
            self.sync(table.name, delta)
            delta = self.open(table.name)
            assert delta is not None  # noqa: S101  # it was there a line ago
        return delta, memory

    def put_back(self, name: str, delta: "DeltaTable", memory: "dict[Partition, LatestPrices]") -> None:
        """Keep a table open for the next `open_for_writing`."""
        self._in_hand[name] = (delta, memory)

    def set_layout(self, name: str) -> None:
        """Note that a table is of the present layout."""
        delta = self.open(name)
        if delta is not None:
            delta.alter.set_table_description(f"{_LAYOUT}{LAYOUT}", post_commithook_properties=commit_hooks())
            delta.update_incremental()
            self.sync(name, delta)
            self.forget(name)

    def forget(self, name: str) -> None:
        """Open the table anew the next time."""
        self._in_hand.pop(name, None)

    def sync(self, name: str, delta: "DeltaTable") -> None:
        """Force the newest entry of the log to the disk; nothing on an object store."""
        if self.is_local:
            sync(self.folder(name), delta.version())

    def _uri(self, name: str) -> str:
        return address(self.folder(name)) if self.is_local else f"{self.root.rstrip('/')}/{name}"

    def _make(self, table: Table) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        log = self.folder(table.name) / "_delta_log"
        there = next((folder for folder in log.parents if folder.exists()), log) if self.is_local else log
        uri = self._uri(table.name)
        try:
            DeltaTable.create(
                uri,
                table.schema,
                mode="ignore",
                partition_by=list(table.partition) or None,
                description=f"{_LAYOUT}{LAYOUT}",
                configuration=_configuration(self.is_local),
                storage_options=self._options,
            )
        except (DeltaError, OSError) as error:
            # another process may have made it at the same moment
            if self.open(table.name) is None:
                if self.is_local:
                    drop_empty(log, there)
                raise StoreError(
                    f"store {self.root}: {table.name} cannot be made ({short(error)}).{hint(error)}"
                ) from None
        if self.is_local:
            sync(self.folder(table.name), 0)
        return self.open(table.name)

    def _has_version(self, name: str, version: int) -> bool:
        return (self.folder(name) / "_delta_log" / f"{version:020d}.json").exists()


def _configuration(is_local: bool) -> dict[str, str]:
    """Properties of a new table: opening it replays few commits, and delta-rs leaves the log alone.

    By itself delta-rs drops log entries after 30 days, and with them the versions that reports have pinned;
    `maintenance.vacuum` knows those.
    """
    return {
        "delta.checkpointInterval": str(CHECKPOINT_EVERY if is_local else CHECKPOINT_EVERY_REMOTE),
        "delta.enableExpiredLogCleanup": "false",
        # for how long a checkpoint lists removed files; `vacuum` does not need them
        "delta.deletedFileRetentionDuration": "interval 1 days",
    }


def layout_of(delta: "DeltaTable") -> int:
    """Number of a table's layout; version 0.1 gave none."""
    number = (delta.metadata().description or "").removeprefix(_LAYOUT)
    return int(number) if number.isdecimal() else 1


def add_missing_columns(table: Table, delta: "DeltaTable") -> bool:
    """Add optional columns that a table of an older version lacks, and let those be empty that it required.

    True where that made a new version.
    """
    from deltalake.schema import Schema

    have = {column.name for column in delta.schema().fields}
    lacking = [column for column in table.columns if column not in have]
    required = [column for column in lacking if column not in table.optional]
    if required:
        raise StoreError(
            f"table {table.name} on disk has no column {required[0]!r}, which cannot be empty: "
            "collect into a new store."
        )
    if lacking:
        wanted = Schema.from_arrow(pa.schema([table.schema.field(column) for column in lacking]))
        delta.alter.add_columns(wanted.fields, post_commithook_properties=commit_hooks())
    required = [
        column.name
        for column in delta.schema().fields
        if column.name in table.optional and not column.nullable
    ]
    for name in required:
        delta.alter.drop_column_not_null(name, post_commithook_properties=commit_hooks())
    return bool(lacking or required)


def find_table(name: str) -> Table:
    """Description of a table.

    Raises
    ------
    TableError
        With the list of tables.
    """
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}.")
    return TABLES[name]
