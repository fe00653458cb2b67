"""The tables on disk: Delta Lake under one root. Append a batch, read it back, ask in SQL, name a version.

Nothing here fetches or computes; what is appended has passed the checks of `overround.schema`.
"""

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from overround.encoding import to_frame
from overround.errors import StoreError
from overround.schema import COLLECTED, TABLES, Table, to_arrow
from overround.stopwatch import timed
from overround.store import maintenance, reading
from overround.store.catalog import LAYOUT, Catalog, find_table, layout_of
from overround.store.commits import (
    at_other_lines,
    commit,
    files_of,
    find_commit,
    mark_of,
    split_new_and_changed,
    without_repeats,
)
from overround.store.object_store import explained, hint, options, reason, short, without_keys
from overround.store.price_changes import only_changes
from overround.store.sql import encoded_answer, register

_ATTEMPTS = 40


@dataclass(frozen=True)
class Appended:
    """What one append did to a table.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> store, events = ov.Store(mkdtemp()), ov.example().events
    >>> first = store.append("events", events)
    >>> again = store.append("events", events)
    >>> isinstance(again, ov.store.Appended), first.inserted, again.inserted, again.unchanged
    (True, 100, 0, 100)
    """

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
        from overround.settings import expand_home, load_settings

        given = str(load_settings().store_root if root is None else root)
        self.is_local = "://" not in given
        self.root = expand_home(given) if self.is_local else given
        if self.is_local and Path(self.root).is_file():
            raise StoreError(f"store {self.root}: that is a file; a folder is expected.")
        self.catalog = Catalog(
            self.root, None if self.is_local else options(self.root, load_settings().store_timeout)
        )
        # appends to a log on an object store whose answer was lost: mark -> version before
        self._unconfirmed: dict[str, int] = {}

    def __repr__(self) -> str:
        """Name the root and the tables with their versions."""
        return f"Store({self.root!r}: {self.version() or 'empty'})"

    def append(
        self,
        name: str,
        rows: pd.DataFrame | Iterable[dict],
        *,
        changes_only: bool = False,
        one_line: bool = False,
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
            As `overround.schema.tidy` takes them; text may be categorical.
        changes_only : bool
            Of quotes with a clock time, store a price only where it differs from the one before it: the row
            of the same event, bookmaker, market, line, outcome and phase with the latest earlier
            `observed_at`, in the store or in this batch. A repetition counts as unchanged, a row whose key
            is stored is a correction. A row that arrives late is compared with the price before its own
            time; no row that was stored after it is removed, and a repetition that was left out after it is
            not restored: the late price then seems to last until the next price is seen.
        one_line : bool
            Of quotes without a clock time, a bookmaker's market has one line in each phase: stored rows of a
            selection of the batch at lines that the batch does not have are removed.

        Raises
        ------
        TableError
            Rows that break the table's contract; nothing is written.
        StoreError
            The batch could not be committed; nothing is written.
        """
        from deltalake.exceptions import CommitFailedError

        table = find_table(name)
        if (changes_only or one_line) and "observed_at" not in table.key:
            raise StoreError(
                f"table {name} has no prices that could stand unchanged; "
                f"{'changes_only' if changes_only else 'one_line'} is for quotes."
            )
        batch = to_arrow(name, rows)
        batch = without_repeats(table, batch) if table.key else batch
        mark = None if self.is_local else mark_of(table, batch)
        for attempt in range(_ATTEMPTS):
            try:
                return self._append(table, batch, changes_only, one_line, mark)
            except CommitFailedError:  # another writer was first: see again which rows are new
                with timed("store_lock_s"):
                    time.sleep(random.uniform(0, 0.02 * (attempt + 1)))  # noqa: S311
        raise StoreError(
            f"store {self.root}: {name} was changed by other writers {_ATTEMPTS} times in a row; "
            "nothing was written."
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
            Column -> value, or a list of values. Events that the provider has retracted, or that go on under
            another id, are left out with their quotes and results, unless `where` names `event_id` or, of
            events, `status` or `same_as`. Ledgers are given under the ids that go on.
        columns : iterable of str, optional
            Those wanted, by default all.
        version : int, str or mapping, optional
            A version of this table, or what `version()` returned; by default the newest.

        Returns
        -------
        DataFrame
            In the table's types and its order of columns, those in `encoding.ENCODED` as categoricals with
            sorted categories; empty where nothing is stored.

        Raises
        ------
        TableError, StoreError
            For a table or a column that does not exist, a version that is not there, files that cannot be
            read.
        """
        return reading.read(self.catalog, name, where, columns, version)

    def current_ids(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The rows of a frame of your own (signals, a ledger) under the ids that go on for retired ones.

        A match that was stored twice, under an old and a new name, goes on under one id. Bets that hold the
        other one find their results and closing prices under it: those of a stored ledger, which `read` gives
        under current ids, and those of a file by this.

        Parameters
        ----------
        frame : DataFrame
            With the column event_id. Where home and away are the other way round under the id that goes on,
            `outcome` and the `line` of spreads are turned with them.

        Examples
        --------
        >>> import overround as ov
        >>> from tempfile import mkdtemp
        >>> store, events = ov.Store(mkdtemp()), ov.example().events.head(2)
        >>> old, new = events["event_id"]
        >>> done = store.append("events", events.assign(status=["retired", None], same_as=[new, None]))
        >>> bets = ov.datasets.example_signals().head(1).assign(event_id=old)
        >>> (store.current_ids(bets)["event_id"] == new).all()
        True
        """
        return reading.under_current_ids(self.catalog, frame)

    def sql(
        self,
        query: str,
        version: str | Mapping[str, int] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Answer of DuckDB to a query over the tables, each under its own name.

        All times in the query and in the answer are UTC. Text columns of the answer that are named in
        `encoding.ENCODED` are categoricals, as `read` gives them.

        Parameters
        ----------
        query : str
            One SELECT.
        version : str or mapping, optional
            What `version()` returned; by default the newest.
        values : mapping, optional
            Those of `$name` in the query.

        Raises
        ------
        StoreError
            With DuckDB's own words where the query is wrong, or where it asks nothing.
        """
        import duckdb

        connection = duckdb.connect()
        try:
            for name in TABLES:
                delta = self.catalog.open(name, reading.version_of(name, version))
                if delta is not None:
                    register(connection, name, delta)
            answer = connection.sql(query, params=dict(values) if values else None)
            if answer is None:
                raise StoreError(f"store {self.root}: the query asks nothing; write a SELECT.")
            return to_frame(encoded_answer(answer))
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            # a file that is gone, or is no Parquet file
            raise StoreError(
                f"store {self.root}: {reason(error) or without_keys(str(error))}.{hint(error)}"
            ) from None
        except duckdb.Error as error:
            raise StoreError(f"store {self.root}: {without_keys(str(error))}") from None
        finally:
            connection.close()

    def version(self) -> str:
        """Versions of the tables that research reads, e.g. `events=3,quotes=12,results=3`.

        Give it to `read` to see the same rows again.
        """
        tables = ((name, self.catalog.open(name)) for name in COLLECTED)
        return ",".join(f"{name}={delta.version()}" for name, delta in tables if delta is not None)

    def identity(self, name: str) -> str:
        """Identifier of a table, a new one when it was removed and made again; empty where there is none."""
        delta = self.catalog.open(name)
        return "" if delta is None else str(delta.metadata().id)

    def files(self, name: str, version: int | str | Mapping[str, int] | None = None) -> pa.Table:
        """Files of a table by its log, none is opened: path, size_bytes, rows and the partition columns."""
        delta = self.catalog.open(name, reading.version_of(name, version))
        table = find_table(name)
        if delta is None:
            return pa.table({column: [] for column in ("path", "size_bytes", "rows", *table.partition)})
        return files_of(table, delta, [])

    def compact(self) -> int:
        """Rewrite each partition that is in several files into one, sorted; returns their number."""
        with explained(self.root, "compacting"):
            return maintenance.compact(self.catalog)

    def vacuum(self, retention_days: float = 7) -> int:
        """Remove files that no version younger than this and no recorded run needs; returns their number."""
        with explained(self.root, "the vacuum"):
            return maintenance.vacuum(self.catalog, retention_days)

    def check(self) -> pd.DataFrame:
        """Look for damage in the files.

        Returns
        -------
        DataFrame
            One finding a row: table, what, where, mend; empty where all is well.
        """
        from overround.store.repair import check

        with explained(self.root, "the check"):
            return check(self.catalog)

    def repair(self) -> list[str]:
        """Mend what `check` finds; returns a sentence for each thing done."""
        from overround.store.repair import repair

        with explained(self.root, "the repair"):
            return repair(self.catalog)

    @property
    def layout(self) -> int:
        """Number of the layout of its prices; before 2, what an answer no longer showed is not marked."""
        delta = self.catalog.open("quotes")
        return LAYOUT if delta is None else layout_of(delta)

    def upgrade(self) -> int:
        """Mark the prices of an older layout that were gone; returns their number.

        See `overround.store.upgrade`: the table `standing` tells when each was last shown.
        """
        from overround.store.upgrade import upgrade

        with explained(self.root, "the upgrade"):
            return upgrade(self)

    def _append(
        self, table: Table, given: pa.Table, changes_only: bool, one_line: bool, mark: str | None
    ) -> Appended:
        from deltalake.exceptions import CommitFailedError, DeltaError

        name, before = table.name, None
        try:
            delta, memory = self.catalog.open_for_writing(table)
            if mark in self._unconfirmed:
                version = find_commit(delta, mark, self._unconfirmed[mark])
                if version is not None:
                    self.catalog.put_back(name, delta, memory)
                    return Appended(0, 0, given.num_rows, version)
                del self._unconfirmed[mark]
            batch = only_changes(table, delta, given, memory) if changes_only else given
            new, changed = split_new_and_changed(table, delta, batch)
            unchanged, before = given.num_rows - new.num_rows - changed.num_rows, delta.version()
            replaced = at_other_lines(table, delta, batch) if one_line else None
            if not new.num_rows and not changed.num_rows and not replaced:
                self.catalog.put_back(name, delta, memory)
                return Appended(0, 0, unchanged, before)
            partitions = commit(table, delta, new, changed, mark, replaced)
        except (DeltaError, OSError, pa.ArrowException) as error:
            if mark is not None and before is not None:
                # the commit may have succeeded and only its answer been lost
                version = self._version_with(name, mark, before)
                if version is not None:
                    return Appended(new.num_rows, changed.num_rows, unchanged, version)
                if not table.key:  # where there is a key, it shows the next time what is stored
                    self._unconfirmed[mark] = before
            if isinstance(error, CommitFailedError):
                if before is not None:
                    self.catalog.put_back(name, delta, memory)
                raise
            so = (
                "append the batch again: nothing is stored twice"
                if mark and before is not None
                else "nothing was written"
            )
            raise StoreError(
                f"store {self.root}: {name} could not take {given.num_rows} rows "
                f"({short(error)}); {so}.{hint(error)}"
            ) from None
        done = Appended(new.num_rows, changed.num_rows, unchanged, delta.version())
        try:
            self.catalog.sync(name, delta)
        except OSError as error:
            raise StoreError(
                f"store {self.root}: {name} has taken {given.num_rows} rows, "
                f"which the disk has not confirmed ({error})."
            ) from None
        maintenance.after_append(self.catalog, table, delta, partitions, memory)
        self.catalog.put_back(name, delta, memory)
        return done

    def _version_with(self, name: str, mark: str, before: int) -> int | None:
        """The version of an append with this mark, None where there is none or the log cannot be read now."""
        try:
            delta = self.catalog.open(name)
            return find_commit(delta, mark, before) if delta is not None else None
        except (StoreError, OSError, pa.ArrowException):
            return None
