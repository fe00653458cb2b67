"""The recorded football market, 2012/13 to 2024/25 in nine divisions: who is sharp, who is calibrated, where
the margin lies.

What is asserted is what the archive says. By log loss Pinnacle's close is the best named price. By
calibration alone nobody can be ranked first: once the margin is removed by the power method, every large
bookmaker's close is within what chance would show.
"""

import re
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from overround import figures
from overround.forecasts import calibration_table, longshot_bias, reliability, score_table
from overround.schema import NOT_AN_ACCOUNT
from overround.sources.football_data.parser import parse
from overround.stats import holm

pytestmark = pytest.mark.slow
LEAGUES = ("E0", "E1", "E2", "E3", "D1", "SP1", "I1", "F1", "N1")
SEASONS = [f"{year % 100:02d}{(year + 1) % 100:02d}" for year in range(2012, 2025)]
METHODS = ["multiplicative", "shin", "power"]


@pytest.fixture(scope="module")
def archive(recorded) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All 1X2 quotes and all results."""
    quotes, results = [], []
    for league in LEAGUES:
        for season in SEASONS:
            file = recorded / "football-data" / "mmz4281" / season / f"{league}.csv"
            batch = parse(
                file.read_bytes(),
                file.name,
                competition=league,
                season=season,
                collected_at=datetime(2025, 7, 1, tzinfo=UTC),
            )
            h2h = batch.quotes[batch.quotes["market"] == "h2h"]
            quotes.append(h2h.merge(batch.events[["event_id", "starts_at"]], on="event_id"))
            results.append(batch.results)
    return pd.concat(quotes, ignore_index=True), pd.concat(results, ignore_index=True)


@pytest.fixture(scope="module")
def closing(archive) -> pd.DataFrame:
    """Closing prices of bookmakers, by name."""
    quotes, _ = archive
    return quotes[(quotes["phase"] == "close") & ~quotes["bookmaker"].isin(NOT_AN_ACCOUNT)]


def common(quotes: pd.DataFrame, bookmakers: list[str]) -> pd.DataFrame:
    """Their quotes of the matches that all of them priced."""
    mine = quotes[quotes["bookmaker"].isin(bookmakers)]
    priced = mine.groupby("event_id").size()
    return mine[mine["event_id"].isin(priced.index[priced == 3 * len(bookmakers)])]


@pytest.fixture(scope="module")
def steady(closing) -> list[str]:
    """Bookmakers with a close of at least nine in ten matches since all have one (2019/20)."""
    recent = closing[closing["season"].isin(SEASONS[7:])]
    share = recent.groupby("bookmaker")["event_id"].nunique() / recent["event_id"].nunique()
    names = sorted(share.index[share >= 0.9])
    assert names == ["bet365", "bwin", "pinnacle", "williamhill"]
    return names


@pytest.mark.parametrize("method", METHODS)
def test_pinnacles_close_has_the_lowest_log_loss_of_the_steady_bookmakers_on_the_same_matches(
    archive, closing, steady, method
):
    table = score_table(common(closing, steady), archive[1], [method], reference="pinnacle").set_index(
        "bookmaker"
    )

    assert table["matches"].min() > 20_000
    assert table.index[0] == "pinnacle"
    others = table.drop(index="pinnacle")
    assert (others["gap"] > 0.0005).all()
    assert (others["p_adjusted"] < 0.05).all()


def test_no_named_bookmakers_close_is_better_than_pinnacles(archive, closing):
    table = (
        score_table(closing, archive[1], ["power"], reference="pinnacle")
        .set_index("bookmaker")
        .drop(index="pinnacle")
    )

    assert len(table) >= 8
    assert not ((table["gap"] < 0) & (table["p"] < 0.05)).any()
    assert set(table.index[table["p_adjusted"] < 0.05]) == {"bet365", "bwin", "interwetten"}


def test_pinnacles_close_beats_every_early_price_of_the_thirteen_seasons(archive):
    quotes, results = archive
    close = (quotes["phase"] == "close") & (quotes["bookmaker"] == "pinnacle")
    early = quotes[(quotes["phase"] == "early") & ~quotes["bookmaker"].isin(NOT_AN_ACCOUNT)]
    both = pd.concat([early, quotes[close].assign(bookmaker="pinnacle's close", phase="early")])

    table = (
        score_table(both, results, ["power"], reference="pinnacle's close")
        .set_index("bookmaker")
        .drop(index="pinnacle's close")
    )

    long = table[table["common"] > 40_000]
    assert sorted(long.index) == ["bet365", "betvictor", "bwin", "interwetten", "pinnacle", "williamhill"]
    assert (long["gap"] > 0.0025).all()
    assert (long["p_adjusted"] < 1e-6).all()


def test_every_bookmaker_learns_between_early_and_close(archive):
    table = score_table(archive[0], archive[1], ["power"], reference="early")

    learnt = table[(table["phase"] == "close") & (table["common"] > 10_000)]
    assert len(learnt) >= 6
    assert (learnt["high"] < 0).all()


def test_pinnacles_close_is_calibrated_once_the_margin_is_removed(archive, closing):
    mine = closing[closing["bookmaker"] == "pinnacle"]

    table = calibration_table(mine, archive[1], METHODS).set_index("method")
    bins = reliability(mine, archive[1], ["power"], bins=20)

    assert table["matches"].min() > 48_000
    assert table.loc["multiplicative", "p"] < 0.001
    for method in ("shin", "power"):
        assert abs(table.loc[method, "slope"] - 1) < 0.02
        assert table.loc[method, "p"] > 0.05
        assert table.loc[method, "ece"] < table.loc[method, "ece_by_chance"]
    off = ((bins["low"] > bins["predicted"]) | (bins["high"] < bins["predicted"])).sum()
    assert off <= 2  # of 20, one is expected by chance


def test_as_quoted_pinnacles_close_is_nearest_to_calibrated_and_after_power_no_steady_bookmaker_is_told_from_it(
    archive, closing, steady
):
    names = [*steady, "betvictor", "interwetten"]

    table = calibration_table(common(closing, names), archive[1], ["multiplicative", "power"]).set_index(
        ["method", "bookmaker"]
    )

    assert table["matches"].min() > 16_000
    off = (table["slope"] - 1).abs()
    assert off["multiplicative"].idxmin() == "pinnacle"
    assert (off["power"] < 2 * table.loc["power", "slope_error"]).all()
    best = table.loc["power", "ece"].min()
    assert table.loc[("power", "pinnacle"), "ece"] - best < 0.001
    assert (table.loc["power", "ece"].loc[steady] < table.loc["power", "ece_by_chance"].loc[steady]).all()


def test_favourite_longshot_bias_is_there_before_and_gone_after_power_and_mostly_after_shin(archive):
    named = archive[0][~archive[0]["bookmaker"].isin(NOT_AN_ACCOUNT)]

    table = calibration_table(named, archive[1], METHODS)
    table = table[table.groupby(["bookmaker", "phase"])["matches"].transform("min") > 15_000].set_index(
        ["method", "bookmaker", "phase"]
    )

    before, shin, power = (table.loc[method] for method in METHODS)
    assert len(before) == 13
    assert (before["slope"] > 1.04).all()
    assert (holm(before["p"].to_numpy()) < 0.01).all()
    assert (holm(power["p"].to_numpy()) > 0.05).all()
    assert np.abs(power["slope"] - 1).max() < 0.035
    assert ((shin["slope"] - 1) < 0.55 * (before["slope"] - 1)).all()
    # Shin's method leaves some at the dearest books only
    left = shin[holm(shin["p"].to_numpy()) < 0.05].index.get_level_values("bookmaker")
    assert set(left) <= {"interwetten", "williamhill"}


def test_the_figures_show_the_bias_before_and_none_after(archive):
    quotes, results = archive
    bet365 = quotes[(quotes["bookmaker"] == "bet365") & (quotes["phase"] == "early")]

    bias = longshot_bias(bet365, results, METHODS)

    said = re.findall(r"(\w+) (\d+) of 12", figures.longshots(bias).alt)
    found = {method: int(bands) for method, bands in said}
    assert found["multiplicative"] >= 4
    assert found["shin"] <= 1
    assert found["power"] <= 1
    rows = bias[bias["method"] == "multiplicative"].set_index("band")
    assert (rows.loc[1.0:1.5, "low"] > 1).all()  # favourites win more than expected
    assert rows.loc[7.0, "high"] < 1
    assert (rows.loc[1.0:1.5, "yield"] > -0.04).all()
    assert (rows.loc[7.0:, "yield"] < -0.12).all()
