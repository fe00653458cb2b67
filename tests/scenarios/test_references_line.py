"""The main line with its defaults on recorded files from which the sharp bookmaker has left, or never was in.

The files are served over HTTP under the provider's paths.
"""

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest

from overround import Store
from tests.support.commands import home, overround

pytestmark = pytest.mark.slow
_PINNACLE = [f"P{mark}{side}" for mark in ("S", "SC") for side in "HDA"]
_PINNACLE += [f"P{mark}{side}" for mark in ("", "C") for side in (">2.5", "<2.5", "AHH", "AHA")]
LEFT = pd.Timestamp("2025-01-16", tz="UTC")


def without_pinnacle(file: Path, target: Path) -> None:
    """A season's file as it would be had Pinnacle left on 16 January 2025."""
    rows = list(csv.reader(io.StringIO(file.read_text("utf-8-sig", errors="replace"))))
    columns = [place for place, name in enumerate(rows[0]) if name in _PINNACLE]
    date = rows[0].index("Date")
    assert len(columns) == 14, file
    for row in rows[1:]:
        if len(row) > date and row[date]:
            day, month, year = row[date].split("/")
            if (int(year) % 100, int(month), int(day)) >= (25, 1, 16):
                for place in columns:
                    row[place] = ""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text.getvalue(), "utf-8")


def words_of(option: str, values) -> list[str]:
    return [word for value in values for word in (option, value)]


def records(env: dict[str, str]) -> dict[str, dict]:
    pages = Path(env["OVERROUND_REPORTS"]).glob("runs/*/*.json")
    return {page.stem: json.loads(page.read_text()) for page in sorted(pages)}


@pytest.fixture(scope="module")
def blanked(tmp_path_factory, recorded) -> Path:
    """All recorded divisions of 2024/25 without Pinnacle from 16 January on."""
    site = tmp_path_factory.mktemp("blanked")
    for file in recorded.glob("football-data/mmz4281/2425/*.csv"):
        without_pinnacle(file, site / "mmz4281" / "2425" / file.name)
    return site


def test_after_pinnacle_has_left_the_line_goes_on_with_the_next_reference(blanked, serve, tmp_path):
    divisions = sorted(file.stem for file in blanked.rglob("*.csv"))
    env = home(tmp_path, OVERROUND_FOOTBALL_DATA_URL=serve(blanked).url)

    asked = [*words_of("--league", divisions), "--season", "2425", "-p", "simulations=200"]
    overround("run", "--source", "football-data", *asked, env=env)

    found = records(env)
    assert {record["status"] for record in found.values()} == {"ok"}
    runs = [(run["from"], run["to"], run["reference"]) for run in found["backtest-sharp"]["references"]]
    assert runs == [
        ("2024-08-01", "2024-08-31", "consensus"),
        ("2024-09-01", "2025-01-31", "pinnacle"),
        ("2025-02-01", None, "betfair_exchange"),
    ]
    # 219 matches of 16 to 31 January without Pinnacle, and what it had not priced before
    assert found["backtest-sharp"]["metrics"]["matches_without_reference"] > 200
    assert "of 3,942 matches have no price of their period's reference" in found["backtest-sharp"]["verdict"]
    assert (
        "against consensus, from Sep 2024 pinnacle, from Feb 2025 betfair_exchange"
        in (found["signals"]["verdict"])
    )
    store = Store(env["OVERROUND_STORE"])
    bets = store.read("ledgers", {"run_id": found["backtest-sharp"]["run_id"]})
    matches = store.read("events")["starts_at"] < LEFT
    early = bets["starts_at"] < LEFT
    per_match = (~early).sum() / (~matches).sum(), early.sum() / matches.sum()
    # 0.148 bets a match after Pinnacle has left, 0.116 before
    assert per_match[0] >= 0.8 * per_match[1] > 0.05
    assert set(bets["reference"]) == {"consensus", "pinnacle", "betfair_exchange"}


def test_a_fixed_reference_that_has_left_works_as_before_and_the_page_says_since_when(
    blanked, serve, tmp_path
):
    env = home(tmp_path, OVERROUND_FOOTBALL_DATA_URL=serve(blanked).url)
    overround("collect", "football-data", "--league", "E0", "--season", "2425", env=env)

    asked = ["--source", "football-data", "-p", "reference=pinnacle", "-p", "simulations=200"]
    overround("run", "backtest", *asked, env=env)

    (record,) = records(env).values()
    # of 380 matches 207 were before 16 January
    said = "pinnacle shows no prices from January 2025 on: 173 of 380 matches, without a bet."
    assert record["verdict"].endswith(said)
    assert record["references"] == []
    page = next(Path(env["OVERROUND_REPORTS"]).glob("runs/*/backtest.html")).read_text()
    assert page.count(said) >= 2  # in the verdict and below the heading of the reference


def test_a_first_period_without_a_past_takes_the_consensus(recorded, serve, tmp_path):
    # August 2026: Pinnacle has no column, and some of the files are web pages or another division's
    site = tmp_path / "site"
    target = site / "mmz4281" / "2627"
    target.mkdir(parents=True)
    for file in recorded.glob("football-data/daily-2627/2026-08-16/*.csv"):
        (target / file.name).symlink_to(file)
    env = home(tmp_path, OVERROUND_FOOTBALL_DATA_URL=serve(site).url)

    asked = [*words_of("--league", ["E1", "SC0", "B1", "N1"]), "--season", "2627", "-p", "simulations=200"]
    overround("run", "--source", "football-data", *asked, env=env)

    found = records(env)
    assert {record["status"] for record in found.values()} == {"ok"}
    (run,) = found["signals"]["references"]
    assert (run["from"], run["reference"], run["why"]) == ("2026-07-01", "consensus", "nothing is known yet")
    assert found["collect"]["metrics"]["failed_jobs"] == 1

    failed = overround(
        "run", "backtest", "--source", "football-data", "-p", "reference=pinnacle", env=env, code=1
    )
    said = failed.stdout + failed.stderr
    assert "reference 'pinnacle' has no prices here; bookmakers are bet365, betfair_exchange" in said
    assert "or auto: found from the past, a period at a time." in said


def test_a_season_that_is_asked_for_alone_knows_the_seasons_before_it(recorded, serve, tmp_path):
    site = tmp_path / "site"
    for season in ("2324", "2425"):
        target = site / "mmz4281" / season
        target.mkdir(parents=True)
        (target / "E0.csv").symlink_to(recorded / "football-data" / "mmz4281" / season / "E0.csv")
    env = home(tmp_path, OVERROUND_FOOTBALL_DATA_URL=serve(site).url)
    overround("collect", "football-data", "--league", "E0", "--season", "2324", "--season", "2425", env=env)

    overround("run", "signals", "--source", "football-data", "--season", "2425", env=env)

    (record,) = records(env).values()
    assert [(run["from"], run["reference"]) for run in record["references"]] == [("2024-08-01", "pinnacle")]
    again = overround("rebuild", record["run_id"], env=env)
    assert "numbers are the same to the last bit" in again.stderr
