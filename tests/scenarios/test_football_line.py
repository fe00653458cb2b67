"""The main line on eleven recorded seasons of the Premier League, served over HTTP as football-data.co.uk
does.
"""

import csv
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overround import Flat, Store, backtest
from overround.signals import blind_signals
from tests.support.commands import ROOT, home, overround
from tests.support.football import BOOKS
from tests.support.pages import faults_of_reports
from tests.support.servers import Served, _Handler

pytestmark = pytest.mark.slow
SEASONS = [f"{year % 100:02d}{(year + 1) % 100:02d}" for year in range(2014, 2025)]


@pytest.fixture(scope="session")
def provider(tmp_path_factory, recorded) -> Iterator[tuple[Served, Path]]:
    """football-data.co.uk on loopback: the recorded seasons, and the divisions that only a mid-season copy
    has.
    """
    recorded = recorded / "football-data"
    site = tmp_path_factory.mktemp("provider")
    for file in (*recorded.glob("midseason/2425-20250225/*.csv"), *recorded.glob("mmz4281/*/*.csv")):
        season = "2425" if file.parent.name.startswith("2425-") else file.parent.name
        target = site / "mmz4281" / season / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to(file)
    served = Served(partial(_Handler, directory=str(site)))
    yield served, site
    served.close()


@pytest.fixture(scope="session")
def football(provider, tmp_path_factory) -> dict[str, str]:
    """The environment of a finished run on eleven seasons of the Premier League."""
    env = home(tmp_path_factory.mktemp("football"), OVERROUND_FOOTBALL_DATA_URL=provider[0].url)
    seasons = [word for season in SEASONS for word in ("--season", season)]
    overround(
        "run", "--source", "football-data", "--league", "E0", *seasons, "-p", "simulations=2000", env=env
    )
    return env


def plain_rows(site: Path, season: str, league: str = "E0") -> list[dict[str, str]]:
    text = (site / "mmz4281" / season / f"{league}.csv").read_bytes()
    try:
        lines = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        lines = text.decode("cp1252")
    return [row for row in csv.DictReader(lines.splitlines()) if row.get("HomeTeam")]


def plain_prices(rows: list[dict[str, str]]) -> Counter:
    """Number of prices of each market, bookmaker and phase in a file."""
    counted: Counter = Counter()

    def number(row: dict[str, str], column: str) -> float:
        cell = (row.get(column) or "").strip()
        return float(cell) if cell else 0.0

    for row in rows:
        for mark, phase in (("", "early"), ("C", "close")):
            lined = any(
                (row.get(column) or "").strip() for column in ({"": ("AHh", "BbAHh"), "C": ("AHCh",)}[mark])
            )
            for prefix, name in {**BOOKS, "P": "pinnacle"}.items():
                counted["h2h", name, phase] += sum(number(row, f"{prefix}{mark}{side}") > 1 for side in "HDA")
                counted["totals", name, phase] += sum(
                    number(row, f"{prefix}{mark}{side}2.5") > 1 for side in "<>"
                )
                counted["spreads", name, phase] += lined * sum(
                    number(row, f"{prefix}{mark}AH{side}") > 1 for side in "HA"
                )
    return +counted


def test_exactly_the_matches_and_prices_of_the_files_are_stored(football, provider):
    store = Store(football["OVERROUND_STORE"])

    for season in SEASONS:
        rows = plain_rows(provider[1], season)
        got = (
            store.read("quotes", {"season": season})
            .groupby(["market", "bookmaker", "phase"])
            .size()
            .to_dict()
        )
        assert len(store.read("events", {"season": season})) == len(rows) == 380
        assert got == dict(plain_prices(rows)), season


def test_the_champions_have_their_points(football):
    store = Store(football["OVERROUND_STORE"])

    def points(team: str, season: str) -> int:
        games = store.read("results", {"season": season}).merge(
            store.read("events", {"season": season}), on="event_id"
        )
        home, away = games[games["home"] == team], games[games["away"] == team]
        ahead = pd.concat([home["home_score"] - home["away_score"], away["away_score"] - away["home_score"]])
        return int(3 * (ahead > 0).sum() + (ahead == 0).sum())

    assert (points("Leicester", "1516"), points("Man City", "1718"), points("Liverpool", "2425")) == (
        81,
        100,
        84,
    )


def test_a_second_collection_stores_nothing_and_asks_the_provider_nothing(football, provider):
    store, asked = Store(football["OVERROUND_STORE"]), len(provider[0].hits)
    version = store.version()

    seasons = [word for season in SEASONS for word in ("--season", season)]
    done = overround("collect", "football-data", "--league", "E0", *seasons, env=football)

    assert (
        "0 new events, 0 new quotes, 0 new results; 11 requests, 11 of them answered by the cache"
        in done.stdout
    )
    assert store.version() == version
    assert len(provider[0].hits) == asked


@pytest.mark.parametrize("outcome", ["home", "draw", "away"])
def test_blind_backing_at_average_prices_yields_what_ten_lines_of_pandas_say(football, provider, outcome):
    store = Store(football["OVERROUND_STORE"])

    ledger = backtest(
        blind_signals(store.read("quotes"), "market_average", outcome),
        store.read("results"),
        stake=Flat(1),
        bankroll=1e6,
    )

    files = [
        pd.read_csv(provider[1] / "mmz4281" / season / "E0.csv", encoding="latin-1") for season in SEASONS
    ]
    letter = {"home": "H", "draw": "D", "away": "A"}[outcome]
    prices = pd.concat(
        [file["Avg" + letter] if "Avg" + letter in file else file["BbAv" + letter] for file in files]
    )
    won = pd.concat([file["FTR"] for file in files]) == letter
    known = prices.notna()
    expected = np.where(won, prices - 1, -1)[known].sum() / known.sum()
    assert len(ledger) == known.sum() > 4000
    assert ledger["profit"].sum() / ledger["stake"].sum() == pytest.approx(expected, abs=1e-9)


def test_the_pages_on_real_data_have_no_fault_and_name_their_source(football, browser):
    reports = Path(football["OVERROUND_REPORTS"])

    assert faults_of_reports(browser, reports) == []
    page = next(reports.glob("runs/*/backtest-sharp.html")).read_text()
    assert "football-data.co.uk" in page
    assert "Simulated market" not in page


def test_one_season_of_every_other_division_is_collected(football, provider):
    from overround.sources.football_data.leagues import DIVISIONS

    others = [division for division in DIVISIONS if division != "E0"]
    words = [word for division in others for word in ("--league", division)]

    done = overround("collect", "football-data", *words, "--season", "2425", env=football)

    assert f"{len(others)} requests" in done.stdout
    events = Store(football["OVERROUND_STORE"]).read("events", {"season": "2425"})
    for division in others:
        rows = [row for row in plain_rows(provider[1], "2425", division) if row["Div"] == division]
        assert (events["competition"] == division).sum() == len(rows) > 90, division


def test_the_quick_start_of_the_readme_does_what_it_says(football):
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]

    said = subprocess.run(
        [sys.executable, "-c", code + "\nprint(len(ledger))"],
        env=football,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert said.returncode == 0, said.stderr
    assert int(said.stdout) > 10
