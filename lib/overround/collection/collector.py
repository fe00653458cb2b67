"""Fetch, parse, append: one job of a source after the other, each answer on disk before the next is asked for, unless told to gather."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import import_module

import pandas as pd

from overround.errors import FetchError, ParameterError, SourceError, TableError
from overround.measure.meter import Meter, request_figures
from overround.progress import followed
from overround.settings import Settings, load_settings
from overround.sources.base import SET_ASIDE_COLUMNS, SOURCES, Ask, Batch
from overround.store.store import Store

FETCH, APPEND = "fetch and parse", "append"


@dataclass
class Collected:
    """What a collection did: rows by table, cells set aside with the reason, jobs that failed with theirs, calls made."""

    source: str
    rows: pd.DataFrame
    set_aside: pd.DataFrame
    failed: dict[str, str]
    requests: pd.DataFrame
    jobs: int
    meter: Meter = field(repr=False)

    def __str__(self) -> str:
        """Say it in one sentence."""
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
    """Bring a source's matches, prices and results into the store.

    Parameters
    ----------
    source : str
        One of `overround.sources.SOURCES`.
    leagues, seasons : iterable of str
        As the source writes them: E0 and 2425 for football-data, soccer_epl for the-odds-api; the sample has
        all its own.
    store, settings, meter : optional
        By default those of this environment.

    Returns
    -------
    Collected

    Raises
    ------
    ParameterError
        For a source, league or season that does not exist, before anything is fetched.
    FetchError, SourceError
        Where every job failed. A job that fails among others is listed in `failed`, and the others are
        stored.
    TableError
        An answer that was read but breaks the contract of a table: what came before it, or was gathered with
        it, is stored.

    Examples
    --------
    >>> import overround as ov
    >>> ov.collect("nowhere")
    Traceback (most recent call last):
        ...
    overround.errors.ParameterError: source 'nowhere' is unknown; the sources are sample, football-data, the-odds-api.
    """
    if source not in SOURCES:
        raise ParameterError(f"source {source!r} is unknown; the sources are {', '.join(SOURCES)}.")
    settings = settings or load_settings()
    store = store or Store(settings.store_root)
    meter = meter or Meter("collect")
    totals = pd.DataFrame(
        0, index=["events", "quotes", "results"], columns=["inserted", "updated", "unchanged"]
    )
    aside: list[pd.DataFrame] = []
    failed: dict[str, str] = {}
    module = import_module(f"overround.sources.{SOURCES[source]}")
    with module.connected(settings, Ask(tuple(leagues), tuple(seasons))) as connection:
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
            # also when a later job ends it all: what was gathered is not given up
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
    """Batches on their way to the store: each as it comes, or several as one append, which costs a commit and its files only once.

    Parameters
    ----------
    store, meter : Store, Meter
        Where they go, and what measures it.
    totals : DataFrame
        Counts by table, added to.
    least_rows : int
        Rows that are waited for before they are stored together; 0: each batch by itself.
    changes_only : bool
        Of prices, as in `Store.append`.
    """

    store: Store
    meter: Meter
    totals: pd.DataFrame
    least_rows: int = 0
    changes_only: bool = False
    _waiting: list[Batch] = field(default_factory=list)

    def add(self, batch: Batch) -> None:
        """Take a batch, and store what waits if it is enough."""
        self._waiting.append(batch)
        if (
            sum(len(one.events) + len(one.quotes) + len(one.results) for one in self._waiting)
            >= self.least_rows
        ):
            self.store_all()

    def store_all(self) -> None:
        """Store what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            self._store(_together(waiting))
        except TableError:
            if len(waiting) == 1:
                raise
            # what one of them has wrong must not cost the others, those behind it neither
            wrong: list[TableError] = []
            for batch in waiting:
                try:
                    self._store(batch)
                except TableError as error:
                    wrong.append(error)
            if wrong:
                raise wrong[0] from None

    def _store(self, batch: Batch) -> None:
        with self.meter.stage(APPEND) as stage:
            # events first: a reader never sees a price of a match that it does not know
            for table, rows in (
                ("events", batch.events),
                ("quotes", batch.quotes),
                ("results", batch.results),
            ):
                if len(rows):
                    done = self.store.append(
                        table, rows, changes_only=table == "quotes" and self.changes_only
                    )
                    self.totals.loc[table] += pd.Series(asdict(done))[self.totals.columns]
                    stage.count(rows=len(rows))


def _together(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    parts = [
        [one.events for one in batches],
        [one.quotes for one in batches],
        [one.results for one in batches],
    ]
    full = [[rows for rows in frames if len(rows)] or frames[:1] for frames in parts]
    return Batch(*(pd.concat(frames, ignore_index=True) for frames in full))


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
