"""The tables on disk: Delta Lake under one root. Append a batch, read it back, ask in SQL, name a version.

Nothing here fetches or computes; what is appended has passed the checks of `overround.tables`.
"""

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overround.changes import Standing, only_changes
from overround.commit import Partition, adopt, commit, configuration, dataset, news, without_repeats
from overround.durable import sync
from overround.errors import StoreError, TableError
from overround.maintenance import tend
from overround.stopwatch import timed
from overround.tables import TABLES, TIME, Table, tidy, to_arrow

if TYPE_CHECKING:
    from deltalake import DeltaTable

_ATTEMPTS = 40
_CHECK = "`overround store check` looks for damage."
_READ_WITH_KICK_OFF = ("quotes", "results")


@dataclass(frozen=True)
class Appended:
    """What one append did to a table."""

    inserted: int
    updated: int
    unchanged: int
    version: int


class Store:
    """The tables under one root.

    Parameters
    ----------
    root : str or Path, optional
        A folder or an object-store URL; by default the setting `OVERROUND_STORE`.
    """

    def __init__(self, root: str | Path | None = None):
        if root is None:
            from overround.settings import load_settings

            root = load_settings().store_root
        self.root = str(root)
        self.is_local = "://" not in self.root
        self._opened: dict[str, tuple[DeltaTable, dict[Partition, Standing]]] = {}

    def __repr__(self) -> str:
        """Name the root and the tables with their versions."""
        return f"Store({self.root!r}: {self.version() or 'empty'})"

    def append(self, name: str, rows: pd.DataFrame | Iterable[dict], *, changes_only: bool = False) -> Appended:
        """Add a batch: all of it or none, on disk when this returns, nothing twice.

        A row whose key is new is inserted; one whose key is stored with other values replaces them (a correction: the version
        before still holds the old ones); one that is stored as it is counts as unchanged. Two writers that append the same
        batch at the same time store it once.

        Parameters
        ----------
        name : str
            One of the tables.
        rows : DataFrame or iterable of dict
            As `overround.tables.tidy` takes them.
        changes_only : bool
            Of quotes with a clock time, store a price only where it differs from the one before it: the row of the same event,
            bookmaker, market, line, outcome and phase with the latest earlier `observed_at`, in the store or in this batch. A
            repetition counts as unchanged. A row whose key is stored is a correction as ever. A row that arrives late is held
            against what stood at its own time; nothing that was stored after it is taken away, and a repetition that was left
            out after it does not come back: then the late price seems to stand until the next price is seen.

        Raises
        ------
        TableError
            Rows that break the table's contract; nothing is written.
        StoreError
            The batch could not be committed; nothing is written.
        """
        from deltalake.exceptions import CommitFailedError, DeltaError

        table = _table(name)
        if changes_only and "observed_at" not in table.key:
            raise StoreError(f"table {name} has no prices that could stand unchanged; changes_only is for quotes.")
        batch = to_arrow(name, rows)
        given = batch = without_repeats(table, batch) if table.key else batch
        for attempt in range(_ATTEMPTS):
            try:
                delta, memory = self._for_writing(table)
                if changes_only:
                    batch = only_changes(table, delta, given, memory if self.is_local else None)
                new, changed = news(table, delta, batch)
                unchanged = given.num_rows - new.num_rows - changed.num_rows
                if not new.num_rows and not changed.num_rows:
                    self._keep(name, delta, memory)
                    return Appended(0, 0, unchanged, delta.version())
                parts = commit(table, delta, new, changed)
            except CommitFailedError:  # another writer was first: look again at what is new
                with timed("store_lock_s"):
                    time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311
                continue
            except (DeltaError, OSError, pa.ArrowException) as error:
                raise StoreError(
                    f"store {self.root}: {name} could not take {batch.num_rows} rows ({_short(error)}); nothing was written. {_CHECK}"
                ) from None
            done = Appended(new.num_rows, changed.num_rows, unchanged, delta.version())
            try:
                if self.is_local:
                    sync(Path(self.root) / name, delta.version(), data=changed.num_rows > 0)
            except OSError as error:
                raise StoreError(
                    f"store {self.root}: {name} has taken {batch.num_rows} rows, which the disk has not confirmed ({error})."
                ) from None
            tend(self, table, delta, parts, memory)
            self._keep(name, delta, memory)
            return done
        raise StoreError(f"store {self.root}: {name} was changed by other writers {_ATTEMPTS} times in a row; nothing was written.")

    def read(
        self,
        name: str,
        where: Mapping[str, Any] | None = None,
        columns: Iterable[str] | None = None,
        version: int | str | Mapping[str, int] | None = None,
    ) -> pd.DataFrame:
        """Rows of a table.

        Parameters
        ----------
        name : str
            One of the tables; `quotes` and `results` also carry `starts_at` of their event.
        where : mapping, optional
            Column -> value, or a list of values.
        columns : iterable of str, optional
            Those wanted, by default all.
        version : int, str or mapping, optional
            A version of this table, or what `version()` returned; by default the newest.

        Returns
        -------
        DataFrame
            In the table's types; empty where nothing is stored.
        """
        table = _table(name)
        kick_off = name in _READ_WITH_KICK_OFF and (columns is None or "starts_at" in set(columns))
        wanted = [column for column in table.columns if columns is None or column in set(columns)]
        unknown = [
            column
            for column in (*(columns or ()), *(where or {}))
            if column not in table.columns and not (kick_off and column == "starts_at")
        ]
        if unknown:
            raise StoreError(f"table {name} has no column {unknown[0]!r}; it has {', '.join(table.columns)}.")
        delta = self._open(name, version=_version_of(name, version))
        if delta is None:
            frame = tidy(name, pd.DataFrame({column: [] for column in table.columns}))[wanted]
        else:
            key = ["event_id"] if kick_off and "event_id" not in wanted else []
            try:
                frame = dataset(table, delta).to_table(columns=[*wanted, *key], filter=_filter(where)).to_pandas()
            except (OSError, pa.ArrowException) as error:
                raise StoreError(f"store {self.root}: {name} cannot be read ({_short(error)}). {_CHECK}") from None
        if kick_off:
            events = self.read("events", columns=("event_id", "starts_at"), version=version if not isinstance(version, int) else None)
            frame["starts_at"] = events.set_index("event_id")["starts_at"].reindex(frame["event_id"]).array
        return frame[[*wanted, *(["starts_at"] if kick_off else [])]]

    def sql(self, query: str, version: str | Mapping[str, int] | None = None) -> pd.DataFrame:
        """Answer of DuckDB to a query over the tables, each under its own name; all times in the query and the answer are UTC.

        Raises
        ------
        StoreError
            With DuckDB's own words where the query is wrong.
        """
        import duckdb

        connection = duckdb.connect()
        try:
            for name in TABLES:
                delta = self._open(name, version=_version_of(name, version))
                if delta is not None:
                    _register(connection, name, delta, self.is_local)
            return _utc(connection.sql(query).to_arrow_table()).to_pandas()
        except (duckdb.IOException, duckdb.InvalidInputException) as error:  # a file that is gone, or no Parquet file
            raise StoreError(f"store {self.root}: {error} {_CHECK}") from None
        except duckdb.Error as error:
            raise StoreError(f"store {self.root}: {error}") from None
        finally:
            connection.close()

    def version(self) -> str:
        """Versions of the tables that research reads, e.g. `events=3,quotes=12,results=3`: give it to `read` to see the same rows again."""
        tables = ((name, self._open(name)) for name in ("events", "quotes", "results"))
        return ",".join(f"{name}={delta.version()}" for name, delta in tables if delta is not None)

    def compact(self) -> int:
        """Rewrite each partition that is in many files into one, in order; returns how many partitions that were."""
        from overround.maintenance import compact

        return compact(self)

    def vacuum(self, retention_days: float = 7) -> int:
        """Remove files that no version younger than this and no recorded run needs; returns how many."""
        from overround.maintenance import vacuum

        return vacuum(self, retention_days)

    def check(self) -> pd.DataFrame:
        """What is wrong with the files, one finding a row: table, what, where, mend; empty where all is well."""
        from overround.repairs import check

        return check(self)

    def repair(self) -> list[str]:
        """Mend what `check` finds; returns a sentence for each thing done."""
        from overround.repairs import repair

        return repair(self)

    def _open(self, name: str, *, create: bool = False, version: int | None = None) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        uri = f"{self.root.rstrip('/')}/{name}"
        if self.is_local and not create and not (Path(uri) / "_delta_log").is_dir():
            return None
        try:
            if create and not DeltaTable.is_deltatable(uri):
                _make(uri, TABLES[name])
            return DeltaTable(uri, version=version)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            what = f"version {version} of {name}" if version is not None else name
            raise StoreError(f"store {self.root}: {what} cannot be opened ({_short(error)}). {_CHECK}") from None

    def _for_writing(self, table: Table) -> "tuple[DeltaTable, dict[Partition, Standing]]":
        """The table at its newest version; an open one is brought up to date, which takes a tenth of opening it."""
        # taken out while in use: two threads of one store each have their own
        delta, memory = self._opened.pop(table.name, (None, {}))
        if delta is not None and (not self.is_local or self._is_there(table.name, delta.version())):
            # bringing up to date lists the log, which is long: first look whether there is a next version
            if not self.is_local or self._is_there(table.name, delta.version() + 1):
                delta.update_incremental()
        else:
            delta, memory = self._open(table.name, create=True), {}
        if delta is None:
            raise StoreError(f"store {self.root}: the table {table.name} can be neither opened nor made there.")
        if adopt(table, delta):
            if self.is_local:
                sync(Path(self.root) / table.name, delta.version(), data=False)
            delta = self._open(table.name)
            assert delta is not None  # noqa: S101  # it was there a line ago
        return delta, memory

    def _is_there(self, name: str, version: int) -> bool:
        """Whether the log has the entry of a version: the one that was opened, unless the folder was removed since or made anew."""
        return (Path(self.root) / name / "_delta_log" / f"{version:020d}.json").exists()

    def _keep(self, name: str, delta: "DeltaTable", memory: "dict[Partition, Standing]") -> None:
        self._opened[name] = (delta, memory)

    def __getstate__(self) -> dict[str, Any]:
        """Open tables stay in their process."""
        return {**self.__dict__, "_opened": {}}


def _make(uri: str, table: Table) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        DeltaTable.create(uri, table.schema, mode="ignore", partition_by=list(table.partition) or None, configuration=configuration())
    except DeltaError:
        if not DeltaTable.is_deltatable(uri):  # else another process made it at the same moment
            raise
    if "://" not in uri:
        sync(Path(uri), 0)


def _short(error: Exception) -> str:
    """First line of an error: delta-rs appends its stack."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _table(name: str) -> Table:
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}.")
    return TABLES[name]


def _version_of(name: str, version: int | str | Mapping[str, int] | None) -> int | None:
    if version is None or isinstance(version, int):
        return version
    if isinstance(version, str):
        try:
            version = {table: int(number) for table, number in (part.split("=") for part in version.split(",") if part)}
        except ValueError:
            raise StoreError(f"version {version!r} cannot be read; it looks like 'events=3,quotes=12,results=3'.") from None
    return version.get(name)


def _filter(where: Mapping[str, Any] | None) -> pc.Expression | None:
    condition = None
    for column, value in (where or {}).items():
        values = list(value) if isinstance(value, list | tuple | set | frozenset | pd.Series) else [value]
        one = pc.field(column).isin(values)
        condition = one if condition is None else condition & one
    return condition


def _utc(answer: pa.Table) -> pa.Table:
    kinds = [pa.field(one.name, TIME) if pa.types.is_timestamp(one.type) else one for one in answer.schema]
    return answer.cast(pa.schema(kinds))


def _register(connection: Any, name: str, delta: "DeltaTable", is_local: bool) -> None:
    table = TABLES[name]
    files = delta.file_uris() if is_local else []
    if files:
        # the table's own files: DuckDB prunes and streams them itself, through a dataset it is 40 times slower
        listing = ", ".join(f"'{file.replace(chr(39), chr(39) * 2)}'" for file in files)
        source = f"read_parquet([{listing}], hive_partitioning=true, hive_types_autocast=false)"
        if [one.name for one in delta.schema().fields] != list(table.columns):
            # another version's table: its files may lack a column, which an empty table of all columns supplies
            source = source[:-1] + ", union_by_name=true)"
            connection.register(f"_{name}", table.schema.empty_table())
            source = f"(SELECT * FROM {source} UNION ALL BY NAME SELECT * FROM _{name})"  # noqa: S608
    else:
        source = f"_{name}"
        connection.register(source, dataset(table, delta))
    # plain timestamps in UTC: a timestamp with a zone would be cut into days by the machine's own zone. In these words and not
    # as a cast, since DuckDB turns a condition on them into one on the file's own column, and skips what it rules out
    columns = ", ".join(
        f'make_timestamp(epoch_us("{column}")) AS "{column}"' if kind == TIME else f'"{column}"' for column, kind in table.columns.items()
    )
    connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {source}")  # noqa: S608
