"""Fetch, parse, append: one job of a source after the other, each batch on disk before the next is asked for."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import import_module

import pandas as pd

from overround.errors import FetchError, ParameterError, SourceError
from overround.meter import Meter, request_figures
from overround.settings import Settings, load_settings
from overround.sources import SET_ASIDE_COLUMNS, SOURCES, Ask, Batch, Connection
from overround.store import Store

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
        return text + (f"; {len(self.failed)} of {self.jobs} jobs failed: {next(iter(self.failed.values()))}" if self.failed else "") + "."


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
        As the source writes them: E0 and 2425 for football-data, soccer_epl for the-odds-api; the sample has all its own.
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
        Where every job failed. A job that fails among others is listed in `failed`, and the others are stored.
    """
    if source not in SOURCES:
        raise ParameterError(f"source {source!r} is unknown; the sources are {', '.join(SOURCES)}.")
    settings = settings or load_settings()
    store = store or Store(settings.store_root)
    meter = meter or Meter("collect")
    totals = pd.DataFrame(0, index=["events", "quotes", "results"], columns=["inserted", "updated", "unchanged"])
    aside: list[pd.DataFrame] = []
    failed: dict[str, str] = {}
    module = import_module(f"overround.sources.{SOURCES[source]}")
    with module.connected(settings, Ask(tuple(leagues), tuple(seasons))) as connection:
        for name, job in connection.jobs.items():
            try:
                _run(job(), store, meter, connection, totals, aside)
            except (FetchError, SourceError) as error:
                failed[name] = str(error)
                if len(failed) == len(connection.jobs):
                    raise
        requests = pd.DataFrame(connection.fetcher.requests)
        if len(requests):
            store.append("requests", requests)
            meter.record(FETCH, **request_figures(connection.fetcher.requests))
        jobs = len(connection.jobs)
    set_aside = pd.concat(aside, ignore_index=True) if aside else pd.DataFrame(columns=list(SET_ASIDE_COLUMNS))
    return Collected(source, totals, set_aside, failed, requests, jobs, meter)


def _run(
    batches: Iterable[Batch], store: Store, meter: Meter, connection: Connection, totals: pd.DataFrame, aside: list[pd.DataFrame]
) -> None:
    iterator = iter(batches)
    while True:
        with meter.stage(FETCH) as stage:
            batch = next(iterator, None)
            if batch is None:
                return
            stage.count(rows=len(batch.quotes))
        with meter.stage(APPEND) as stage:
            # events first: a reader never sees a price of a match that it does not know
            for table, rows in (("events", batch.events), ("quotes", batch.quotes), ("results", batch.results)):
                if len(rows):
                    done = store.append(table, rows, changes_only=table == "quotes" and connection.changes_only)
                    totals.loc[table] += pd.Series(asdict(done))[totals.columns]
                    stage.count(rows=len(rows))
        if len(batch.set_aside):
            aside.append(batch.set_aside)
