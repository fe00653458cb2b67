"""The tables on disk: Delta Lake under one root. Append a batch, read it back, ask in SQL, name a version.

Nothing here fetches or computes; what is appended has passed the checks of `overround.tables`.
"""

import json
import os
import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from overround.errors import StoreError, TableError
from overround.tables import TABLES, TIME, Table, tidy, to_arrow

if TYPE_CHECKING:
    from deltalake import DeltaTable

_ATTEMPTS = 40
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

    def __repr__(self) -> str:
        """Name the root and the tables with their versions."""
        return f"Store({self.root!r}: {self.version() or 'empty'})"

    def append(self, name: str, rows: pd.DataFrame | Iterable[dict]) -> Appended:
        """Add a batch: all of it or none, on disk when this returns, nothing twice.

        A row whose key is new is inserted; one whose key is stored with other values replaces them (a correction: the version
        before still holds the old ones); one that is stored as it is counts as unchanged. Two writers that append the same
        batch at the same time store it once.

        Raises
        ------
        TableError
            Rows that break the table's contract; nothing is written.
        StoreError
            The batch could not be committed; nothing is written.
        """
        from deltalake.exceptions import CommitFailedError, DeltaError

        table = _table(name)
        batch = to_arrow(name, rows)
        if table.key:
            batch = _last_of_each_key(table, batch)
        for attempt in range(_ATTEMPTS):
            delta = self._open(name, create=True)
            if delta is None:
                raise StoreError(f"store {self.root}: the table {name} can be neither opened nor made there.")
            new, changed = _news(table, delta, batch)
            unchanged = batch.num_rows - new.num_rows - changed.num_rows
            if not new.num_rows and not changed.num_rows:
                return Appended(0, 0, unchanged, delta.version())
            try:
                _commit(table, delta, new, changed)
            except CommitFailedError:  # another writer was first: look again at what is new
                time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311
                continue
            except (DeltaError, OSError) as error:
                raise StoreError(
                    f"store {self.root}: {name} could not take {batch.num_rows} rows ({error}); nothing was written."
                ) from None
            if self.is_local:
                _sync(Path(self.root) / name, delta.version())
            return Appended(new.num_rows, changed.num_rows, unchanged, delta.version())
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
            frame = delta.to_pyarrow_dataset().to_table(columns=[*wanted, *key], filter=_filter(where)).to_pandas()
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
        for name in TABLES:
            delta = self._open(name, version=_version_of(name, version))
            if delta is not None:
                _register(connection, name, delta, self.is_local)
        try:
            return _utc(connection.sql(query).to_arrow_table()).to_pandas()
        except duckdb.Error as error:
            raise StoreError(f"store {self.root}: {error}") from None
        finally:
            connection.close()

    def version(self) -> str:
        """Versions of the tables that research reads, e.g. `events=3,quotes=12,results=3`: give it to `read` to see the same rows again."""
        tables = ((name, self._open(name)) for name in ("events", "quotes", "results"))
        return ",".join(f"{name}={delta.version()}" for name, delta in tables if delta is not None)

    def _open(self, name: str, *, create: bool = False, version: int | None = None) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        uri = f"{self.root.rstrip('/')}/{name}"
        if self.is_local and not create and not (Path(uri) / "_delta_log").is_dir():
            return None
        try:
            if create and not DeltaTable.is_deltatable(uri):
                table = TABLES[name]
                DeltaTable.create(uri, table.schema, mode="ignore", partition_by=list(table.partition) or None)
            return DeltaTable(uri, version=version)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            what = f"version {version} of {name}" if version is not None else name
            raise StoreError(f"store {self.root}: {what} cannot be opened ({error}).") from None


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


def _last_of_each_key(table: Table, batch: pa.Table) -> pa.Table:
    keys = batch.select(list(table.key)).to_pandas()
    again = keys.duplicated(keep="last")
    return batch.filter(pa.array(~again)) if again.any() else batch


def _news(table: Table, delta: "DeltaTable", batch: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Rows of the batch whose key is not stored, and rows stored under their key with other values."""
    if not table.key or not batch.num_rows:
        return batch, batch.slice(0, 0)
    values = [column for column in table.columns if column not in table.key and column not in table.provenance]
    near = _filter({column: batch[column].unique().to_pylist() for column in table.partition})
    if "observed_at" in table.key:
        near = _within(near, "observed_at", batch["observed_at"])
    if len(table.key) == 1 and batch.num_rows <= 10_000:
        # an event that moved to another season is still the same event
        near = pc.field(table.key[0]).isin(batch[table.key[0]])
    stored = delta.to_pyarrow_dataset().to_table(columns=[*table.key, *values], filter=near)
    if not stored.num_rows:
        return batch, batch.slice(0, 0)
    import duckdb

    same_key = " AND ".join(f"s.{column} IS NOT DISTINCT FROM b.{column}" for column in table.key)
    differs = " OR ".join(f"s.{column} IS DISTINCT FROM b.{column}" for column in values)
    connection = duckdb.connect()
    connection.register("b", batch.select([*table.key, *values]).append_column("row", pa.array(range(batch.num_rows))))
    connection.register("s", stored)
    found = connection.sql(f"SELECT b.row, ({differs}) AS differs FROM b JOIN s ON {same_key}").to_arrow_table()  # noqa: S608
    connection.close()
    known = found["row"].to_pandas()
    changed = known[found["differs"].to_pandas()]
    is_new = pd.Series(True, index=range(batch.num_rows))
    is_new[known] = False
    return batch.filter(pa.array(is_new)), batch.take(pa.array(sorted(changed.unique()), pa.int64()))


def _within(near: pc.Expression | None, column: str, values: pa.ChunkedArray) -> pc.Expression | None:
    span = pc.min_max(values).as_py()
    if span["min"] is None:
        inside = pc.field(column).is_null()
    else:
        inside = (pc.field(column) >= pa.scalar(span["min"], values.type)) & (pc.field(column) <= pa.scalar(span["max"], values.type))
        if values.null_count:
            inside = inside | pc.field(column).is_null()
    return inside if near is None else near & inside


def _commit(table: Table, delta: "DeltaTable", new: pa.Table, changed: pa.Table) -> None:
    from deltalake import CommitProperties, Transaction, write_deltalake

    stored, columns = delta.to_pyarrow_dataset(), list(table.partition)
    touched = [new.select(columns), changed.select(columns)]
    if changed.num_rows:
        # also the partitions that hold the old rows: an event may have moved to another season
        touched.append(stored.to_table(columns=columns, filter=_filter({table.key[0]: changed[table.key[0]].unique().to_pylist()})))
    parts = pa.concat_tables(touched).to_pandas().drop_duplicates()
    # one name per partition: two writers that looked at the same rows cannot both commit, so neither stores a row twice
    names = ["/".join(map(str, row)) for row in parts.itertuples(index=False)] if table.key else []
    once = CommitProperties(app_transactions=[Transaction(f"append {name}", delta.version() + 1) for name in names])
    if not changed.num_rows:
        write_deltalake(delta, new, mode="append", commit_properties=once)
        return
    # a correction rewrites the partitions it touches (a league's season); merge would do, but in delta-rs 1.6 its files cannot be
    # read back with a filter: it records their bounds as string views, which Arrow cannot compare with strings
    kept = _without(table, stored.to_table(filter=_filter({name: parts[name].unique().tolist() for name in columns})), parts, changed)
    rows = pa.concat_tables([kept.select(table.schema.names).cast(table.schema), new, changed])
    write_deltalake(delta, rows, mode="overwrite", predicate=_inside(parts), commit_properties=once)


def _inside(parts: pd.DataFrame) -> str | None:
    quoted = [{name: "'" + str(value).replace("'", "''") + "'" for name, value in row.items()} for row in parts.to_dict("records")]
    return " OR ".join("(" + " AND ".join(f"{name} = {value}" for name, value in row.items()) + ")" for row in quoted if row) or None


def _without(table: Table, stored: pa.Table, parts: pd.DataFrame, changed: pa.Table) -> pa.Table:
    """Stored rows of these partitions whose key is not among the changed ones."""
    keys = stored.select(list(dict.fromkeys((*table.key, *table.partition)))).to_pandas()
    gone = keys[list(table.key)].merge(changed.select(list(table.key)).to_pandas().assign(_gone=True), how="left", on=list(table.key))[
        "_gone"
    ]
    mine = (
        keys.merge(parts.assign(_mine=True), how="left", on=list(table.partition))["_mine"]
        if table.partition
        else pd.Series(True, keys.index)
    )
    return stored.filter(pa.array(gone.isna() & mine.notna()))


def _sync(folder: Path, version: int) -> None:
    """Force a commit to the disk: delta-rs leaves that to the operating system."""
    log = folder / "_delta_log" / f"{version:020d}.json"
    files = [folder / unquote(action["add"]["path"]) for line in log.read_text().splitlines() if "add" in (action := json.loads(line))]
    # data before log, entries of folders last
    for path in (*files, log, *{file.parent for file in files}, log.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _utc(answer: pa.Table) -> pa.Table:
    kinds = [pa.field(one.name, TIME) if pa.types.is_timestamp(one.type) else one for one in answer.schema]
    return answer.cast(pa.schema(kinds))


def _register(connection: Any, name: str, delta: "DeltaTable", is_local: bool) -> None:
    files = delta.file_uris() if is_local else []
    if files:
        # the table's own files: DuckDB prunes and streams them itself, through a dataset it is 40 times slower
        listing = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
        source = f"read_parquet([{listing}], hive_partitioning=true, hive_types_autocast=false, union_by_name=true)"
    else:
        source = f"_{name}"
        connection.register(source, delta.to_pyarrow_dataset())
    # plain timestamps in UTC: a timestamp with a zone would be cut into days by the machine's own zone
    columns = ", ".join(
        f'make_timestamp(epoch_us("{column}")) AS "{column}"' if kind == TIME else f'"{column}"'
        for column, kind in TABLES[name].columns.items()
    )
    connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {source}")  # noqa: S608
