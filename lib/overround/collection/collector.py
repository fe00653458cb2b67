"""Fetch, parse, append: a source's jobs one after the other, each batch stored before the next is fetched.

The setting `batch_rows` gathers several batches into one append.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import pandas as pd

from overround.errors import FetchError, SourceError, TableError
from overround.measure.meter import Meter, request_figures
from overround.progress import followed
from overround.settings import Settings, load_settings
from overround.sources.base import SET_ASIDE_COLUMNS, Batch, Selection
from overround.sources.registry import find_source, open_source
from overround.store.store import Store

FETCH, APPEND = "fetch and parse", "append"


@dataclass
class Collected:
    """The outcome of a collection: rows by table, cells set aside, failed jobs, calls."""

    source: str
    rows: pd.DataFrame
    set_aside: pd.DataFrame
    failed: dict[str, str]
    requests: pd.DataFrame
    jobs: int
    meter: Meter = field(repr=False)

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
        As the source writes them: E0 and 2425 for football-data, soccer_epl for the-odds-api; the sample
        defaults to all of its own.
    store, settings, meter : optional
        By default those of this environment.

    Returns
    -------
    Collected

    Raises
    ------
    ParameterError
        A source, league or season does not exist; raised before anything is fetched.
    FetchError, SourceError
        Every job failed. Otherwise a failed job is listed in `failed`, and the others are stored.
    TableError
        An answer breaks the contract of a table: batches before it, and those gathered with it, are stored.

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
    totals = pd.DataFrame(
        0, index=["events", "quotes", "results"], columns=["inserted", "updated", "unchanged"]
    )
    aside: list[pd.DataFrame] = []
    failed: dict[str, str] = {}
    with open_source(source, settings, Selection(tuple(leagues), tuple(seasons))) as connection:
        gathering = Gathering(store, meter, totals, settings.batch_rows, connection.changes_only)
        try:
            for name, job in followed(connection.jobs.items(), "jobs"):
                try:
                    _run(job(), gathering, meter, aside)
                except (FetchError, SourceError) as error:
                    failed[name] = str(error)
                    if len(failed) == len(connection.jobs):
                        raise
        finally:
            # even if a later job fails: what was gathered is not lost
            gathering.store_all()
        requests = pd.DataFrame(connection.fetcher.requests)
        if len(requests):
            store.append("requests", requests)
            meter.record(FETCH, **request_figures(connection.fetcher.requests))
        jobs = len(connection.jobs)
    set_aside = (
        pd.concat(aside, ignore_index=True) if aside else pd.DataFrame(columns=list(SET_ASIDE_COLUMNS))
    )
    return Collected(source, totals, set_aside, failed, requests, jobs, meter)


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
    changes_only : bool
        Applies to quotes, see `Store.append`.
    """

    store: Store
    meter: Meter
    totals: pd.DataFrame
    least_rows: int = 0
    changes_only: bool = False
    _gathered: list[Batch] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Take a batch; store all that were gathered once they have enough rows."""
        self._gathered.append(batch)
        if sum(len(rows) for one in self._gathered for rows in one.tables.values()) >= self.least_rows:
            self.store_all()

    def store_all(self) -> None:
        """Store the gathered batches."""
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        try:
            self._store(_concatenated(gathered))
        except TableError:
            if len(gathered) == 1:
                raise
            # a defect in one batch must not cost the others, including those after it
            wrong: list[TableError] = []
            for batch in gathered:
                try:
                    self._store(batch)
                except TableError as error:
                    wrong.append(error)
            if wrong:
                raise wrong[0] from None

    def _store(self, batch: Batch) -> None:
        with self.meter.stage(APPEND) as stage:
            for table, rows in batch.tables.items():
                if len(rows):
                    done = self.store.append(
                        table, rows, changes_only=table == "quotes" and self.changes_only
                    )
                    self.totals.loc[table] += pd.Series(asdict(done))[self.totals.columns]
                    stage.count(rows=len(rows))


def _concatenated(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    tables = {}
    for name, first in batches[0].tables.items():
        filled = [batch.tables[name] for batch in batches if len(batch.tables[name])]
        tables[name] = pd.concat(filled or [first], ignore_index=True)
    return Batch(**tables)


def _run(batches: Iterable[Batch], gathering: Gathering, meter: Meter, aside: list[pd.DataFrame]) -> None:
    iterator = iter(batches)
    while True:
        with meter.stage(FETCH) as stage:
            batch = next(iterator, None)
            if batch is None:
                return
            stage.count(rows=len(batch.quotes))
        if len(batch.set_aside):
            aside.append(batch.set_aside)
        gathering.add(batch)
