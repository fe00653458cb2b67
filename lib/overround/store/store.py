"""The tables on disk: Delta Lake under one root. Append a batch, read it back, ask in SQL, name a version.

Nothing here fetches or computes; what is appended has passed the checks of `overround.schema`.
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

from overround.errors import StoreError, TableError
from overround.schema import ENCODED, TABLES, TEXT, Table, to_arrow, to_frame
from overround.stopwatch import timed
from overround.store.commits import (
    Partition,
    adopt,
    commit,
    dataset,
    in_order,
    log_condition,
    make_table,
    mark_of,
    marked,
    news,
    row_condition,
    without_repeats,
)
from overround.store.fsync import sync
from overround.store.maintenance import compact, tend, vacuum
from overround.store.object_store import hint, options, reason, short, without_keys
from overround.store.price_changes import Standing, only_changes
from overround.store.sql import encoded_batches, register, utc

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from overround.settings import Settings

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

    Examples
    --------
    >>> import overround as ov
    >>> from tempfile import mkdtemp
    >>> store = ov.Store(mkdtemp())
    >>> for name, table in zip(("events", "quotes", "results"), ov.example(), strict=True):
    ...     done = store.append(name, table)
    >>> store.sql("SELECT count(*) AS matches FROM events")["matches"].tolist()
    [100]
    >>> store.version()
    'events=1,quotes=1,results=1'
    """

    def __init__(self, root: str | Path | None = None):
        self.root = str(_settings().store_root if root is None else root)
        self.is_local = "://" not in self.root
        if self.is_local and Path(self.root).is_file():
            raise StoreError(f"store {self.root}: that is a file; a folder is expected.")
        self._options = None if self.is_local else options(self.root, _settings().store_timeout)
        self._opened: dict[str, tuple[DeltaTable, dict[Partition, Standing]]] = {}
        # appends to a log on an object store whose answer was lost: mark -> version before
        self._unsure: dict[str, int] = {}

    def __repr__(self) -> str:
        """Name the root and the tables with their versions."""
        return f"Store({self.root!r}: {self.version() or 'empty'})"

    def append(
        self, name: str, rows: pd.DataFrame | Iterable[dict], *, changes_only: bool = False
    ) -> Appended:
        """Add a batch: all of it or none, on disk when this returns, nothing twice.

        A row whose key is new is inserted; one whose key is stored with other values replaces them (a
        correction: the version before still holds the old ones); one that is stored as it is counts as
        unchanged. Two writers that append the same batch at the same time store it once.

        Parameters
        ----------
        name : str
            One of the tables.
        rows : DataFrame or iterable of dict
            As `overround.schema.tidy` takes them.
        changes_only : bool
            Of quotes with a clock time, store a price only where it differs from the one before it: the row
            of the same event, bookmaker, market, line, outcome and phase with the latest earlier
            `observed_at`, in the store or in this batch. A repetition counts as unchanged. A row whose key is
            stored is a correction as ever. A row that arrives late is held against what stood at its own
            time; nothing that was stored after it is taken away, and a repetition that was left out after it
            does not come back: then the late price seems to stand until the next price is seen.

        Raises
        ------
        TableError
            Rows that break the table's contract; nothing is written.
        StoreError
            The batch could not be committed; nothing is written.
        """
        from deltalake.exceptions import CommitFailedError

        table = _table(name)
        if changes_only and "observed_at" not in table.key:
            raise StoreError(
                f"table {name} has no prices that could stand unchanged; changes_only is for quotes."
            )
        batch = to_arrow(name, rows)
        batch = without_repeats(table, batch) if table.key else batch
        mark = None if self.is_local else mark_of(table, batch)
        for attempt in range(_ATTEMPTS):
            try:
                return self._append(table, batch, changes_only, mark)
            except CommitFailedError:  # another writer was first: look again at what is new
                with timed("store_lock_s"):
                    time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311
        raise StoreError(
            f"store {self.root}: {name} was changed by other writers {_ATTEMPTS} times in a row; nothing was written."
        )

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
            In the table's types and its order of columns, those in `schema.ENCODED` as categoricals; empty
            where nothing is stored.

        Raises
        ------
        TableError, StoreError
            For a table or a column that does not exist, a version that is not there, files that cannot be
            read.
        """
        table = _table(name)
        asked = None if columns is None else list(columns)
        kick_off = name in _READ_WITH_KICK_OFF and (asked is None or "starts_at" in asked)
        wanted = [column for column in table.columns if asked is None or column in asked]
        # a kick-off is the event's: it is read beside these, and is no condition on them
        own = [column for column in asked or () if not (kick_off and column == "starts_at")]
        unknown = [column for column in (*own, *(where or {})) if column not in table.columns]
        if unknown:
            raise StoreError(f"table {name} has no column {unknown[0]!r}; it has {', '.join(table.columns)}.")
        delta = self._open(name, version=_version_of(name, version))
        if delta is None:
            frame = to_frame(table.schema.empty_table())[wanted]
        else:
            key = ["event_id"] if kick_off and "event_id" not in wanted else []
            try:
                frame = to_frame(_rows(table, delta, [*wanted, *key], where))
            except (OSError, pa.ArrowException) as error:
                raise StoreError(
                    f"store {self.root}: {name} cannot be read ({short(error)}).{hint(error)}"
                ) from None
        if kick_off:
            frame["starts_at"] = self._kick_off(
                frame["event_id"], where, None if isinstance(version, int) else version
            )
        return frame[[*wanted, *(["starts_at"] if kick_off else [])]]

    def sql(
        self,
        query: str,
        version: str | Mapping[str, int] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Answer of DuckDB to a query over the tables, each under its own name; all times in the query and the answer are UTC.

        `values` are those of `$name` in the query.

        Raises
        ------
        StoreError
            With DuckDB's own words where the query is wrong, or where it asks nothing.
        """
        import duckdb

        connection = duckdb.connect()
        try:
            for name in TABLES:
                delta = self._open(name, version=_version_of(name, version))
                if delta is not None:
                    register(connection, name, delta, self.is_local)
            answer = connection.sql(query, params=dict(values) if values else None)
            if answer is None:
                raise StoreError(f"store {self.root}: the query asks nothing; write a SELECT.")
            return to_frame(utc(encoded_batches(answer)))
        except (
            duckdb.IOException,
            duckdb.InvalidInputException,
        ) as error:  # a file that is gone, or no Parquet file
            raise StoreError(
                f"store {self.root}: {reason(error) or without_keys(str(error))}.{hint(error)}"
            ) from None
        except duckdb.Error as error:
            raise StoreError(f"store {self.root}: {without_keys(str(error))}") from None
        finally:
            connection.close()

    def version(self) -> str:
        """Versions of the tables that research reads, e.g. `events=3,quotes=12,results=3`: give it to `read` to see the same rows again."""
        tables = ((name, self._open(name)) for name in ("events", "quotes", "results"))
        return ",".join(f"{name}={delta.version()}" for name, delta in tables if delta is not None)

    def identity(self, name: str) -> str:
        """A table's own number, other for a table that was made anew under the same name; empty where there is none."""
        delta = self._open(name)
        return "" if delta is None else str(delta.metadata().id)

    def files(self, name: str, version: int | str | Mapping[str, int] | None = None) -> pa.Table:
        """Files of a table by its log, none opened: path, rows, size_bytes and the columns that it is partitioned by."""
        delta, by = self._open(name, version=_version_of(name, version)), _table(name).partition
        named = {
            "path": "path",
            "num_records": "rows",
            "size_bytes": "size_bytes",
            **{f"partition.{column}": column for column in by},
        }
        if delta is None:
            return pa.table({column: [] for column in named.values()})
        return (
            pa.table(delta.get_add_actions(flatten=True))
            .select(list(named))
            .rename_columns(list(named.values()))
        )

    def compact(self) -> int:
        """Rewrite each partition that is in many files into one, in order; returns how many partitions that were."""
        return compact(self)

    def vacuum(self, retention_days: float = 7) -> int:
        """Remove files that no version younger than this and no recorded run needs; returns how many."""
        return vacuum(self, retention_days)

    def check(self) -> pd.DataFrame:
        """What is wrong with the files, one finding a row: table, what, where, mend; empty where all is well."""
        from overround.store.repair import check

        return check(self)

    def repair(self) -> list[str]:
        """Mend what `check` finds; returns a sentence for each thing done."""
        from overround.store.repair import repair

        return repair(self)

    def _append(self, table: Table, given: pa.Table, changes_only: bool, mark: str | None) -> Appended:
        from deltalake.exceptions import CommitFailedError, DeltaError

        name, before = table.name, None
        try:
            delta, memory = self._for_writing(table)
            if mark in self._unsure:
                if (version := marked(delta, mark, self._unsure[mark])) is not None:
                    self._keep(name, delta, memory)
                    return Appended(0, 0, given.num_rows, version)
                del self._unsure[mark]
            batch = only_changes(table, delta, given, memory) if changes_only else given
            new, changed = news(table, delta, batch)
            unchanged, before = given.num_rows - new.num_rows - changed.num_rows, delta.version()
            if not new.num_rows and not changed.num_rows:
                self._keep(name, delta, memory)
                return Appended(0, 0, unchanged, before)
            parts = commit(table, delta, new, changed, mark)
        except (DeltaError, OSError, pa.ArrowException) as error:
            if mark is not None and before is not None:
                # the answer to a commit that went through may be lost: then it stands in the log, in the way
                # of its own repetition
                if (version := self._stands(name, mark, before)) is not None:
                    return Appended(new.num_rows, changed.num_rows, unchanged, version)
                if not table.key:  # where there is one, it tells
                    self._unsure[mark] = before
            if isinstance(error, CommitFailedError):
                if before is not None:
                    self._keep(name, delta, memory)
                raise
            so = (
                "append the batch again: nothing is stored twice"
                if mark and before is not None
                else "nothing was written"
            )
            raise StoreError(
                f"store {self.root}: {name} could not take {given.num_rows} rows ({short(error)}); {so}.{hint(error)}"
            ) from None
        done = Appended(new.num_rows, changed.num_rows, unchanged, delta.version())
        try:
            if self.is_local:
                sync(Path(self.root) / name, delta.version(), data=changed.num_rows > 0)
        except OSError as error:
            raise StoreError(
                f"store {self.root}: {name} has taken {given.num_rows} rows, which the disk has not confirmed ({error})."
            ) from None
        tend(self, table, delta, parts, memory)
        self._keep(name, delta, memory)
        return done

    def _open(self, name: str, *, create: bool = False, version: int | None = None) -> "DeltaTable | None":
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError, TableNotFoundError

        uri = f"{self.root.rstrip('/')}/{name}"
        if self.is_local and not create and not (Path(uri) / "_delta_log").is_dir():
            return None
        try:
            # not `is_deltatable`: in delta-rs 1.6 it keeps the interpreter locked for as long as an object
            # store takes
            return DeltaTable(uri, version=version, storage_options=self._options)
        except TableNotFoundError:
            if version is not None:
                raise StoreError(
                    f"store {self.root}: version {version} of {name} is not there: it never was, or the vacuum took it."
                ) from None
            return make_table(uri, TABLES[name], self._options) if create else None
        except (DeltaError, OSError) as error:
            what = f"version {version} of {name}" if version is not None else name
            raise StoreError(
                f"store {self.root}: {what} cannot be opened ({short(error)}).{hint(error)}"
            ) from None

    def _kick_off(
        self, of: pd.Series, where: Mapping[str, Any] | None, version: str | Mapping[str, int] | None
    ) -> Any:
        """When each of these events starts; those of the same league and season are looked at first."""
        near = {name: value for name, value in (where or {}).items() if name in TABLES["events"].partition}
        events = of.cat.categories
        found = self._starts(near, version)
        at = found.index.get_indexer(events)
        if near and (at < 0).any():  # an event may have moved to another season
            found = pd.concat([found, self._starts({"event_id": events[at < 0].tolist()}, version)])
            at = found.index.get_indexer(events)
        return found.array.take(at, allow_fill=True).take(of.cat.codes, allow_fill=True)

    def _starts(self, where: Mapping[str, Any], version: str | Mapping[str, int] | None) -> pd.Series:
        found = self.read("events", where, ("event_id", "starts_at"), version)
        return pd.Series(found["starts_at"].array, found["event_id"].astype("str"))

    def _stands(self, name: str, mark: str, before: int) -> int | None:
        """The version in which an append with this mark stands, if it can be seen that it does."""
        try:
            delta = self._open(name)
            return marked(delta, mark, before) if delta is not None else None
        except (StoreError, OSError, pa.ArrowException):
            return None

    def _for_writing(self, table: Table) -> "tuple[DeltaTable, dict[Partition, Standing]]":
        """The table at its newest version; an open one is brought up to date, which takes a tenth of opening it."""
        # taken out while in use: two threads of one store each have their own
        delta, memory = self._opened.pop(table.name, (None, {}))
        if delta is not None and (not self.is_local or self._is_there(table.name, delta.version())):
            # bringing up to date lists the log, which is long: first look whether there is a next version
            if not self.is_local or self._is_there(table.name, delta.version() + 1):
                delta = self._up_to_date(table.name, delta)
        else:
            delta, memory = self._open(table.name, create=True), {}
        if delta is None:
            raise StoreError(
                f"store {self.root}: the table {table.name} can be neither opened nor made there."
            )
        if adopt(table, delta):
            if self.is_local:
                sync(Path(self.root) / table.name, delta.version(), data=False)
            delta = self._open(table.name)
            assert delta is not None  # noqa: S101  # it was there a line ago
        return delta, memory

    def _up_to_date(self, name: str, delta: "DeltaTable") -> "DeltaTable | None":
        from deltalake.exceptions import DeltaError

        try:
            delta.update_incremental()
        except DeltaError:  # so long ago that the log's entries since are gone
            return self._open(name)
        return delta

    def _is_there(self, name: str, version: int) -> bool:
        """Whether the log has the entry of a version: the one that was opened, unless the folder was removed since or made anew."""
        return (Path(self.root) / name / "_delta_log" / f"{version:020d}.json").exists()

    def _keep(self, name: str, delta: "DeltaTable", memory: "dict[Partition, Standing]") -> None:
        self._opened[name] = (delta, memory)

    def __getstate__(self) -> dict[str, Any]:
        """Open tables stay in their process."""
        return {**self.__dict__, "_opened": {}}


def _settings() -> "Settings":
    from overround.settings import load_settings

    return load_settings()


def _table(name: str) -> Table:
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; the tables are {', '.join(TABLES)}.")
    return TABLES[name]


def _rows(table: Table, delta: "DeltaTable", columns: list[str], where: Mapping[str, Any] | None) -> pa.Table:
    """Rows of a table, its text columns in `ENCODED` as dictionaries, never as the words of all rows."""
    texts = {name for name in ENCODED if table.columns.get(name) == TEXT}
    # a column with a condition is encoded after the condition is met
    found = in_order(dataset(table, delta, log_condition(table, where), encoded=texts - set(where or {})))
    wanted = {name: pc.field(name) for name in columns}
    for name in texts & set(where or {}) & set(columns):
        wanted[name] = wanted[name].cast(pa.dictionary(pa.int32(), TEXT))
    return found.to_table(columns=wanted, filter=row_condition(where))


def _version_of(name: str, version: int | str | Mapping[str, int] | None) -> int | None:
    if version is None or isinstance(version, int):
        return version
    if isinstance(version, str):
        try:
            version = {
                table: int(number)
                for table, number in (part.split("=") for part in version.split(",") if part)
            }
        except ValueError:
            raise StoreError(
                f"version {version!r} cannot be read; it looks like 'events=3,quotes=12,results=3'."
            ) from None
    return version.get(name)
