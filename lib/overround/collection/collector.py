"""Fetch, parse, append: a source's jobs one after the other, each batch stored before the next is fetched.

The setting `batch_rows` gathers several batches into one append.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import pandas as pd

from overround.collection.corrections import CORRECTION_COLUMNS, blank_cells
from overround.collection.identity import Identities, Reconciled
from overround.collection.stored_prices import (
    FORGET_S,
    flush_asked,
    flush_prices,
    load_prices,
    with_last_asked,
)
from overround.errors import FetchError, OverroundError, SourceError, TableError
from overround.measure.meter import Meter, request_figures
from overround.progress import followed
from overround.schema import COLLECTED
from overround.settings import Settings, load_settings
from overround.sources.base import SET_ASIDE_COLUMNS, Batch, Connection, Selection
from overround.sources.registry import find_source, open_source
from overround.sources.the_odds_api.history import History
from overround.sources.the_odds_api.open_prices import OpenPrices
from overround.store.store import Store

FETCH, APPEND = "fetch and parse", "append"
_CORRECTED = {
    "team": "matches under a corrected name",
    "date": "on a corrected date",
    "kick-off": "at a corrected time",
    "sides": "with home and away the other way round",
    "score": "scores corrected",
    "score gone": "scores withdrawn",
    "retracted": "matches retracted",
    "returned": "retracted matches shown again",
    "united": "matches that were stored twice united",
    "blank price": "stored prices kept whose cell is blank now",
}


@dataclass
class Collected:
    """The outcome of a collection: rows by table, cells set aside, failed jobs, calls, notes for the user.

    `corrections` lists what a newer file changed in stored matches: what ("team", "date", "kick-off",
    "sides", "score", "score gone", "retracted", "returned", "united", "blank price"), event_id, before, after
    and where. `notes` also says which files were not believed, and in what.
    """

    source: str
    rows: pd.DataFrame
    set_aside: pd.DataFrame
    failed: dict[str, str]
    requests: pd.DataFrame
    jobs: int
    meter: Meter = field(repr=False)
    corrections: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(CORRECTION_COLUMNS)))
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The outcome in one sentence."""
        new = ", ".join(f"{row.inserted:,} new {table}" for table, row in self.rows.iterrows())
        cached = int(self.requests["from_cache"].sum()) if len(self.requests) else 0
        calls = f"{len(self.requests):,} requests, {cached:,} of them answered by the cache"
        text = f"{self.source}: {new}; {calls}; {len(self.set_aside):,} cells set aside"
        corrected = self.corrections["what"].value_counts()
        said = [f"{corrected[what]:,} {words}" for what, words in _CORRECTED.items() if what in corrected]
        text += "".join(f"; {part}" for part in [*said, *self.notes])
        return (
            text
            + (
                f"; {len(self.failed)} of {self.jobs} jobs failed: {next(iter(self.failed.values()))}"
                if self.failed
                else ""
            )
            + "."
        )


def collect(
    source: str,
    *,
    leagues: Iterable[str] = (),
    seasons: Iterable[str] = (),
    history: History | None = None,
    store: Store | None = None,
    settings: Settings | None = None,
    meter: Meter | None = None,
) -> Collected:
    """Collect a source's matches, prices and results into the store.

    Parameters
    ----------
    source : str
        One of `overround.sources.SOURCES`.
    leagues, seasons : iterable of str
        As the source writes them: E0 and 2425 for football-data, or fixtures for the matches of the next
        days; soccer_epl for the-odds-api; the sample defaults to all of its own.
    history : History, optional
        Past odds to buy from the-odds-api, in place of what is on offer now; `overround.sources.bill` says
        what they cost.
    store, settings, meter : optional
        By default those of this environment.

    Returns
    -------
    Collected

    Raises
    ------
    ParameterError
        A source, league or season does not exist; raised before anything is fetched.
    FetchError, SourceError, TableError
        Every job failed: the provider does not answer or refuses, an answer cannot be read, or its rows break
        the contract of a table. Otherwise a failed job is listed in `failed`, and the others are stored.

    Examples
    --------
    >>> import overround as ov
    >>> ov.collect("nowhere")
    Traceback (most recent call last):
        ...
    overround.errors.ParameterError: source 'nowhere' is unknown; the sources are sample, football-data,
    the-odds-api.
    """
    find_source(source)
    settings = settings or load_settings()
    store = store or Store(settings.store_root)
    meter = meter or Meter("collect")
    totals = pd.DataFrame(0, index=list(COLLECTED), columns=["inserted", "updated", "unchanged"])
    aside: list[pd.DataFrame] = []
    failed: dict[str, OverroundError] = {}
    with open_source(source, settings, Selection(tuple(leagues), tuple(seasons), history)) as connection:
        gathering = Gathering(
            store,
            meter,
            totals,
            settings.batch_rows,
            connection.changes_only,
            connection.one_line,
            failed,
            connection.fetcher.forget_key,
        )
        prices = _prices_before(connection, store)
        known = [] if prices is None else [prices]
        try:
            for name, job in followed(connection.jobs.items(), "jobs"):
                try:
                    _run(name, job(*known), gathering, meter, aside)
                except (FetchError, SourceError, TableError) as error:
                    failed[name] = error
        finally:
            # even if a later job fails: what was gathered is not lost
            gathering.store_all()
            if prices is not None:
                flush_prices(prices, store)
                flush_asked(prices, store)
        if failed and len(failed) == len(connection.jobs):
            raise next(reversed(failed.values()))
        requests = pd.DataFrame(connection.fetcher.requests)
        if len(requests):
            store.append("requests", requests)
            meter.record(FETCH, **request_figures(connection.fetcher.requests))
        jobs = len(connection.jobs)
    set_aside = (
        pd.concat(aside, ignore_index=True) if aside else pd.DataFrame(columns=list(SET_ASIDE_COLUMNS))
    )
    reasons = {name: str(error) for name, error in failed.items()}
    corrections = pd.DataFrame(gathering.corrections, columns=list(CORRECTION_COLUMNS))
    notes = [*connection.notes, *gathering.notes]
    return Collected(source, totals, set_aside, reasons, requests, jobs, meter, corrections, notes)


def _prices_before(connection: Connection, store: Store) -> OpenPrices | None:
    """The prices that stood before a live source is asked, or before the history that is bought begins."""
    if not connection.changes_only:
        return None
    begins_at = connection.begins_at
    begin_s = (begins_at or datetime.now(UTC)).timestamp()
    return load_prices(
        store,
        connection.competitions,
        since_s=begin_s - FORGET_S,
        as_of_s=None if begins_at is None else begin_s,
    )


@dataclass
class Gathering:
    """Batches on their way to the store, one by one or several as one append, which saves commits and files.

    Parameters
    ----------
    store, meter : Store, Meter
        Where they go, and what measures the appends.
    totals : DataFrame
        Counts by table; appends add to it.
    least_rows : int
        Rows to gather before an append; 0: each batch is appended by itself.
    changes_only, one_line : bool
        Apply to quotes, see `Store.append`.
    failed : dict
        Job -> its first error; a batch that breaks the contract of a table is noted here and not stored.
    forget_key : callable
        Takes an answer of such a batch out of the cache, by its key.
    corrections, notes : list
        What newer files changed in stored matches, and which were not believed; see `Collected`.
    """

    store: Store
    meter: Meter
    totals: pd.DataFrame
    least_rows: int = 0
    changes_only: bool = False
    one_line: bool = False
    failed: dict[str, OverroundError] = field(default_factory=dict)
    forget_key: Callable[[str], None] = lambda key: None
    corrections: list[tuple] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _gathered: list[tuple[str, Reconciled]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._identities = Identities(self.store)

    def add(self, batch: Batch, job: str = "") -> None:
        """Take a batch of a job; store all that were gathered once they have enough rows."""
        with self.meter.stage(APPEND):
            self._gathered.append((job, self._identities.reconcile(batch)))
        rows = (len(rows) for _, one in self._gathered for rows in one.batch.tables.values())
        if sum(rows) >= self.least_rows:
            self.store_all()

    def store_all(self) -> None:
        """Store the gathered batches; a defect in one costs neither the others nor those after it."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        try:
            self._store([one for _, one in gathered])
        except TableError as error:
            self._identities.forget()
            if len(gathered) == 1:
                self._refuse(*gathered[0], error)
                return
            for job, one in gathered:
                try:
                    self._store([one])
                except TableError as of_batch:
                    self._refuse(job, one, of_batch)

    def _refuse(self, job: str, one: Reconciled, error: TableError) -> None:
        self.failed.setdefault(job, error)
        for key in one.batch.cached_as:
            self.forget_key(key)

    def _store(self, some: list[Reconciled]) -> None:
        batch = _concatenated([one.batch for one in some])
        with self.meter.stage(APPEND) as stage:
            # first, so that no name is stored whose older one is not known to mean the same
            self._append_all("aliases", [one.aliases for one in some])
            for table, rows in batch.tables.items():
                if len(rows):
                    if table == "events" and self.changes_only:
                        rows = with_last_asked(self.store, rows)
                    of_quotes = {"changes_only": self.changes_only, "one_line": self.one_line}
                    done = self.store.append(table, rows, **(of_quotes if table == "quotes" else {}))
                    self.totals.loc[table] += pd.Series(asdict(done))[self.totals.columns]
                    stage.count(rows=len(rows))
            for one in some:
                self.corrections += one.corrections
                self.notes += one.notes
                if one.is_new:
                    self.corrections += blank_cells(self.store, one.batch)
            self._append_all("editions", [one.editions for one in some])

    def _append_all(self, table: str, some: list[pd.DataFrame]) -> None:
        rows = [one for one in some if len(one)]
        if rows:
            self.store.append(table, pd.concat(rows, ignore_index=True))


def _concatenated(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    tables = {}
    for name, first in batches[0].tables.items():
        filled = [batch.tables[name] for batch in batches if len(batch.tables[name])]
        tables[name] = pd.concat(filled or [first], ignore_index=True)
    return Batch(**tables)


def _run(
    job: str, batches: Iterable[Batch], gathering: Gathering, meter: Meter, aside: list[pd.DataFrame]
) -> None:
    iterator = iter(batches)
    while True:
        with meter.stage(FETCH) as stage:
            batch = next(iterator, None)
            if batch is None:
                return
            stage.count(rows=len(batch.quotes))
        if len(batch.set_aside):
            aside.append(batch.set_aside)
        gathering.add(batch, job)
