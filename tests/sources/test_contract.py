"""Every registered source over real HTTP on loopback: what its connection and its batches must hold."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from pydantic import SecretStr

from overround import Store
from overround.errors import ParameterError
from overround.schema import tidy
from overround.settings import Settings
from overround.sources.base import SET_ASIDE_COLUMNS, Batch, Connection, Selection
from overround.sources.registry import SOURCES, open_source
from overround.sources.sample.market import Market
from overround.sources.sample.source import serving

SEASON = (
    "Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,B365H,B365D,B365A,PSH,PSD,PSA\n"
    "E0,16/08/2024,20:00,Ashby,Bexley,1,0,H,2.0,3.5,4.0,2.05,3.5,3.9\n"
    "E0,17/08/2024,15:00,Corby,Dover,2,2,D,1.5,4.2,7.0,1.53,4.3,x\n"
)


@contextmanager
def _the_odds_api(settings: Settings, *_: object) -> Iterator[tuple[Settings, Selection]]:
    # the sample's server answers in this provider's format
    with serving(Market(leagues=1, seasons=1, teams=4), latency_s=0) as url:
        key = SecretStr("any")
        yield (
            settings.model_copy(update={"odds_api_url": url, "odds_api_key": key}),
            Selection(("soccer_sim_premier",)),
        )


@contextmanager
def _football_data(settings: Settings, folder: Path, serve: Callable) -> Iterator[tuple[Settings, Selection]]:
    (folder / "mmz4281" / "2425").mkdir(parents=True)
    (folder / "mmz4281" / "2425" / "E0.csv").write_text(SEASON)
    yield (
        settings.model_copy(update={"football_data_url": serve(folder).url}),
        Selection(("E0",), ("2425",)),
    )


@contextmanager
def _sample(settings: Settings, *_: object) -> Iterator[tuple[Settings, Selection]]:
    yield settings, Selection(("soccer_sim_premier",), ("2024",))  # it brings its own server


PROVIDERS = {"sample": _sample, "football-data": _football_data, "the-odds-api": _the_odds_api}


@pytest.fixture(params=SOURCES)
def provider(request, tmp_path, serve) -> Iterator[tuple[str, Settings, Selection]]:
    """A source's name, settings that lead to a server of it, and a selection of one league."""
    name = request.param
    assert name in PROVIDERS, f"say in PROVIDERS how a server of the source {name} is started"
    with PROVIDERS[name](Settings(cache=tmp_path / "cache"), tmp_path / "site", serve) as (
        settings,
        selection,
    ):
        yield name, settings, selection


def _check_batch(name: str, batch: Batch) -> None:
    assert tuple(batch.set_aside) == SET_ASIDE_COLUMNS
    for table in ("events", "quotes", "results"):
        rows = getattr(batch, table)
        pd.testing.assert_frame_equal(tidy(table, rows), rows)  # types and columns are the table's
        assert rows["event_id"].str.len().min() > 0 or rows.empty
    assert set(batch.events["source"]) | set(batch.quotes["source"]) <= {name}
    assert set(batch.quotes["event_id"]) | set(batch.results["event_id"]) <= set(batch.events["event_id"])
    assert (batch.quotes["price"] > 1).all()
    assert (batch.quotes["collected_at"] <= pd.Timestamp.now("UTC") + pd.Timedelta(days=1)).all()


def test_a_source_yields_tables_that_the_store_takes_and_names_what_it_sets_aside(provider, tmp_path):
    name, settings, selection = provider
    store, quotes = Store(str(tmp_path / "store")), 0

    with open_source(name, settings, selection) as connection:
        assert isinstance(connection, Connection)
        assert connection.fetcher.provider == name
        assert len(connection.jobs) == 1  # one league, at most one season
        for job in connection.jobs.values():
            for batch in job():
                _check_batch(name, batch)
                for table in ("events", "quotes", "results"):
                    if len(getattr(batch, table)):
                        store.append(table, getattr(batch, table))
                quotes += len(batch.quotes)
        calls = connection.fetcher.requests

    assert quotes == len(store.read("quotes")) > 0
    assert {row["status"] for row in calls} == {200}


def test_a_job_can_be_run_again_and_yields_the_same(provider):
    name, settings, selection = provider

    with open_source(name, settings, selection) as connection:
        (job,) = connection.jobs.values()
        first, again = list(job()), list(job())

    assert len(first) == len(again)
    for one, same in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one.quotes, same.quotes)
        pd.testing.assert_frame_equal(one.events, same.events)


def test_a_league_that_does_not_exist_is_named_before_anything_is_fetched(provider):
    name, settings, _ = provider

    with (
        pytest.raises(ParameterError, match="no such league"),
        open_source(name, settings, Selection(("no such league",), ())),
    ):
        pass
