"""Runs, strategies, leagues and bookmakers against each other: paired by day, corrected for how many, and
nothing said of too few.
"""

import re

import numpy as np
import pandas as pd
import pytest

from overround import compare_ledgers
from overround.errors import ParameterError
from overround.evaluation import compare_parts, compare_within, comparison_verdict, difference_curves
from overround.evaluation.comparison import by_significance
from tests.support.books import efficient_market
from tests.support.ledgers import at_better_prices, ledger_of


def test_a_run_against_itself_differs_by_nothing_and_a_better_one_by_its_edge():
    ledger = ledger_of(3_000, seed=7)
    # the same bets at prices that are 5 % better pay 5 % more whenever they win
    better = at_better_prices(ledger, 0.05)

    table = compare_ledgers({"base": ledger, "same": ledger, "better": better}, simulations=2_000)

    assert table.loc["same", ["difference", "low", "high"]].tolist() == [0, 0, 0]
    assert table.loc["better", "low"] > 0
    assert table.loc["better", "p"] < 0.01
    assert re.search(
        r"differs from that of base: \+[\d.]+ \([\d.]+ to [\d.]+\) percentage points, p 0",
        comparison_verdict(table),
    )


def test_different_strategies_without_an_edge_are_within_noise():
    table = compare_ledgers({"one": ledger_of(seed=11), "two": ledger_of(seed=12)}, simulations=2_000)

    assert table.loc["two", "low"] < 0 < table.loc["two", "high"]
    assert "within noise" in comparison_verdict(table)


def test_one_run_is_no_comparison():
    with pytest.raises(ParameterError, match="at least two"):
        compare_ledgers({"one": ledger_of(seed=1)})


@pytest.mark.slow
def test_comparing_many_runs_corrects_for_how_many_there_are():
    found, naive = 0, 0
    for seed in range(25):
        base = ledger_of(100, seed=seed)
        rng = np.random.default_rng(seed)
        runs = {
            "base": base,
            **{f"r{i}": base.assign(profit=base["profit"] + rng.normal(0, 1, len(base))) for i in range(12)},
        }
        table = compare_ledgers(runs, simulations=300)
        naive += table["p"].min() <= 0.05
        found += table["p_adjusted"].min() <= 0.05
        assert (table["p_adjusted"] >= table["p"]).iloc[1:].all()

    # 5 % of 25 is 1.25; 5 is exceeded by chance in two of a thousand
    assert found <= 5
    assert naive >= 8
    assert table.attrs["tried"] == 13
    assert "corrected for 12 runs" in comparison_verdict(table)


@pytest.mark.parametrize("order", [("some", "none"), ("none", "some")])
def test_a_run_without_bets_can_be_compared_and_has_no_difference(order):
    """Found by iterating over a store in which the second reference made no signal."""
    ledger = ledger_of(40, seed=1)
    sides = {"some": ledger, "none": ledger.iloc[:0]}

    got = compare_ledgers({name: sides[name] for name in order}, simulations=200)

    assert got[["difference", "low", "high", "p", "p_adjusted"]].isna().all().all()
    assert comparison_verdict(got)


def test_the_closing_line_tells_a_difference_long_before_the_profit_does():
    two = ledger_of(300, seed=12).assign(clv=lambda ledger: ledger["clv"] + 0.03)

    row = compare_ledgers({"one": ledger_of(300, seed=11), "two": two}, simulations=500).loc["two"]

    assert row["verdict"] == "within noise"
    assert row["clv_difference"] == pytest.approx(0.03)
    assert 0 < row["clv_low"] <= row["clv_difference"] <= row["clv_high"] < 0.04


def test_a_side_that_lost_every_bet_of_a_few_is_not_certain_to_be_worse():
    # drawn again, its days lose everything every time
    ledger = ledger_of(400, seed=1)
    unlucky = ledger[ledger["result"] == "lost"].iloc[::8]

    table = compare_ledgers(
        {"all": ledger, "unlucky": unlucky, "better": at_better_prices(ledger, 0.05)}, simulations=300
    )

    assert table.loc["unlucky", "difference"] == pytest.approx(-1 - table.loc["all", "yield"])
    assert table.loc["unlucky", ["low", "high", "p", "p_adjusted"]].isna().all()
    assert table["verdict"].tolist() == ["", "too few bets", "higher"]
    assert comparison_verdict(table).startswith("The yield of better differs from that of all: ")
    alone = comparison_verdict(table.loc[["all", "unlucky"]])
    assert re.match(
        r"Too few bets to tell the yield of unlucky from that of all: −[\d.]+ percentage points, \d+ common match days",
        alone,
    )


def test_a_side_that_is_away_for_long_costs_the_others_none_of_their_days():
    # in one of seven resamples it has no bet at all
    ledger = ledger_of(600, seed=2)
    rare = ledger[ledger["starts_at"] < ledger["starts_at"].min() + pd.Timedelta(days=2)]
    pair = {"base": ledger, "better": at_better_prices(ledger, 0.05)}

    with_it, without = (
        compare_ledgers({**pair, "rare": rare}, simulations=500),
        compare_ledgers(pair, simulations=500),
    )

    assert with_it.loc["better"].tolist() == without.loc["better"].tolist()
    assert with_it.loc["rare", "verdict"] == "too few bets"


def test_the_surest_difference_stands_first_and_not_the_largest():
    ledger = ledger_of(3_000, seed=7)
    wild = ledger.iloc[::30].assign(profit=lambda bets: bets["profit"] + 0.1)
    sides = {"base": ledger, "none": ledger.head(0), "wild": wild, "sure": at_better_prices(ledger, 0.01)}

    table = by_significance(compare_ledgers(sides, simulations=500))

    assert table["difference"].abs().idxmax() == "wild"
    assert table.index.tolist() == ["base", "sure", "wild", "none"]


def test_a_difference_in_one_league_alone_is_found_there_and_the_number_of_leagues_is_allowed_for():
    ledger = ledger_of(2_000, seed=3)
    ledger["competition"] = np.where(
        np.arange(len(ledger)) % 4 == 0, "E0", np.where(np.arange(len(ledger)) % 4 == 1, "D1", "I1")
    )
    here = ledger["competition"] == "E0"
    better = pd.concat([at_better_prices(ledger[here], 0.05), ledger[~here]])

    table = compare_within({"base": ledger, "better": better}, "competition", simulations=500).set_index(
        "competition"
    )

    assert table["verdict"].to_dict() == {"D1": "within noise", "E0": "higher", "I1": "within noise"}
    assert table.loc["E0", "bets"] == here.sum()
    assert table.loc["E0", "p_adjusted"] >= table.loc["E0", "p"]
    whole = compare_ledgers(
        {"base": ledger[here], "better": better[better["competition"] == "E0"]}, simulations=500
    ).loc["better"]
    assert table.loc["E0", "difference"] == pytest.approx(whole["difference"])


def test_a_bookmaker_is_held_against_the_rest_of_the_bets():
    ledger = ledger_of(2_000, seed=4)
    generous = np.arange(len(ledger)) % 3 == 0
    ledger = ledger.assign(
        profit=ledger["profit"] + 0.4 * generous, bookmaker=np.where(generous, "generous", "mean")
    )

    table = compare_parts(ledger, "bookmaker", name="run", simulations=500).set_index("bookmaker")

    yields = ledger.groupby("bookmaker")["profit"].sum() / ledger.groupby("bookmaker")["stake"].sum()
    assert table.loc["generous", "difference"] == pytest.approx(yields["generous"] - yields["mean"])
    assert table["difference"].sum() == pytest.approx(0)
    assert table["verdict"].tolist() == ["higher", "lower"]
    assert compare_parts(ledger.head(1), "bookmaker").empty


@pytest.mark.slow
def test_leagues_without_a_difference_are_told_apart_as_rarely_as_promised():
    rng, found = np.random.default_rng(1), 0
    for seed in range(120):
        market = efficient_market(120, seed=seed)
        ledger = market[market["outcome"] == "home"].assign(
            competition=lambda bets: rng.integers(0, 5, len(bets)).astype(str)
        )
        found += (compare_parts(ledger, "competition", simulations=300)["p_adjusted"] <= 0.05).any()

    assert found <= 12  # 5 % of 120 is 6, with a standard deviation of 2.4


def test_a_curve_ends_at_the_difference_and_its_band_at_the_interval():
    one, two = ledger_of(1_500, seed=11), ledger_of(1_200, seed=12)

    curve = difference_curves({"one": one, "two": two})

    row = compare_ledgers({"one": one, "two": two}, simulations=4_000).loc["two"]
    assert curve["difference"].iloc[-1] == pytest.approx(row["difference"])
    assert curve["noise"].iloc[-1] == pytest.approx((row["high"] - row["low"]) / 2, rel=0.08)
    assert curve["noise"].is_monotonic_increasing
    assert curve["at"].is_monotonic_increasing


def test_a_side_that_bets_earlier_makes_no_difference_of_it():
    # both lose a tenth of every stake, one in the first half and the other in the second
    ledger = ledger_of(400, seed=5)
    ledger["profit"] = -0.1 * ledger["stake"]

    curve = difference_curves({"early": ledger.head(200), "late": ledger.tail(200)})

    assert np.allclose(curve["difference"], 0)


def test_a_difference_that_comes_from_one_week_is_a_step():
    ledger = ledger_of(500, seed=6)
    days = ledger["starts_at"].dt.normalize()
    week = days.between(days.min() + pd.Timedelta(days=40), days.min() + pd.Timedelta(days=46))
    better = ledger.assign(profit=ledger["profit"] + 0.5 * week)

    curve = difference_curves({"base": ledger, "better": better}).set_index("at")["difference"]

    gain = 0.5 * week.sum() / len(ledger)
    assert curve.iloc[-1] == pytest.approx(gain)
    step = curve.loc[days.min() + pd.Timedelta(days=46)] - curve.loc[days.min() + pd.Timedelta(days=39)]
    assert step == pytest.approx(gain, rel=0.1)


@pytest.mark.slow
def test_equals_leave_the_band_of_noise_as_rarely_as_it_says():
    outside = 0
    for seed in range(200):
        curve = difference_curves(
            {"one": ledger_of(300, seed=seed), "two": ledger_of(300, seed=1_000 + seed)}
        )
        outside += abs(curve["difference"].iloc[-1]) > curve["noise"].iloc[-1]

    assert 1 <= outside <= 19  # 5 % of 200 is 10, three standard deviations 9


def test_sides_without_a_stake_have_no_curve():
    ledger = ledger_of(40, seed=1)

    assert difference_curves({"some": ledger, "none": ledger.head(0)}).empty
    assert difference_curves({"none": ledger.head(0), "some": ledger}).empty
