"""Fetch, parse, append: a source's jobs one after the other, each batch stored before the next is fetched.

The setting `batch_rows` gathers several batches into one append.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace

import pandas as pd

from overround.errors import FetchError, OverroundError, SourceError, TableError
from overround.measure.meter import Meter, request_figures
from overround.progress import followed
from overround.schema import COLLECTED
from overround.settings import Settings, load_settings
from overround.sources.base import SET_ASIDE_COLUMNS, Batch, Selection
from overround.sources.registry import find_source, open_source
from overround.sources.the_odds_api.history import History
from overround.store.store import Store

FETCH, APPEND = "fetch and parse", "append"


@dataclass
class Collected:
    """The outcome of a collection: rows by table, cells set aside, failed jobs, calls, notes for the user."""

    source: str
    rows: pd.DataFrame
    set_aside: pd.DataFrame
    failed: dict[str, str]
    requests: pd.DataFrame
    jobs: int
    meter: Meter = field(repr=False)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """The outcome in one sentence."""
        new = ", ".join(f"{row.inserted:,} new {table}" for table, row in self.rows.iterrows())
        cached = int(self.requests["from_cache"].sum()) if len(self.requests) else 0
        calls = f"{len(self.requests):,} requests, {cached:,} of them answered by the cache"
        text = f"{self.source}: {new}; {calls}; {len(self.set_aside):,} cells set aside"
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
            store, meter, totals, settings.batch_rows, connection.changes_only, connection.one_line, failed
        )
        try:
            for name, job in followed(connection.jobs.items(), "jobs"):
                try:
                    _run(name, job(), gathering, meter, aside)
                except (FetchError, SourceError, TableError) as error:
                    failed[name] = error
        finally:
            # even if a later job fails: what was gathered is not lost
            gathering.store_all()
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
    return Collected(source, totals, set_aside, reasons, requests, jobs, meter, connection.notes)


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
    """

    store: Store
    meter: Meter
    totals: pd.DataFrame
    least_rows: int = 0
    changes_only: bool = False
    one_line: bool = False
    failed: dict[str, OverroundError] = field(default_factory=dict)
    forget_key: Callable[[str], None] = lambda key: None
    _gathered: list[tuple[str, Batch]] = field(default_factory=list)

    def add(self, batch: Batch, job: str = "") -> None:
        """Take a batch of a job; store all that were gathered once they have enough rows."""
        if batch.provisional:
            self.store_all()  # results may be among them
            batch = _without_results(batch, self.store)
        self._gathered.append((job, batch))
        if sum(len(rows) for _, one in self._gathered for rows in one.tables.values()) >= self.least_rows:
            self.store_all()

    def store_all(self) -> None:
        """Store the gathered batches; a defect in one costs neither the others nor those after it."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        try:
            self._store(_concatenated([batch for _, batch in gathered]))
        except TableError as error:
            if len(gathered) == 1:
                self._refuse(*gathered[0], error)
                return
            for job, batch in gathered:
                try:
                    self._store(batch)
                except TableError as of_batch:
                    self._refuse(job, batch, of_batch)

    def _refuse(self, job: str, batch: Batch, error: TableError) -> None:
        self.failed.setdefault(job, error)
        for key in batch.cached_as:
            self.forget_key(key)

    def _store(self, batch: Batch) -> None:
        with self.meter.stage(APPEND) as stage:
            for table, rows in batch.tables.items():
                if len(rows):
                    of_quotes = {"changes_only": self.changes_only, "one_line": self.one_line}
                    done = self.store.append(table, rows, **(of_quotes if table == "quotes" else {}))
                    self.totals.loc[table] += pd.Series(asdict(done))[self.totals.columns]
                    stage.count(rows=len(rows))


def _without_results(batch: Batch, store: Store) -> Batch:
    """The batch without the matches of which the store has a result."""
    leagues = {"competition": batch.events["competition"].unique().tolist()}
    played = store.read("results", leagues, ["event_id"])["event_id"]
    tables = {name: rows[~rows["event_id"].isin(played)] for name, rows in batch.tables.items()}
    return replace(batch, **tables)


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
