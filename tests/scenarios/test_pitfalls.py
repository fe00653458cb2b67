"""The known ways to fool oneself with a backtest, one test each that fails when the defect is planted.

Settlement, order of time, commission, staking on doubtful probabilities and walk-forward have theirs beside
the engine and the models.
"""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from overround import (
    Flat,
    Kelly,
    backtest,
    baselines,
    breakdown,
    closing_lines,
    clv_by_close,
    compare_ledgers,
    correct_for_search,
    evaluate,
    luck_test,
    value_signals,
    verdict,
)
from overround.errors import ParameterError
from overround.evaluation import (
    across_methods,
    always_quoted,
    at_each_price,
    haircut,
    luck_of_the_best,
    missing_odds,
    resampled_drawdowns,
    suspicious,
    without_best,
    wrong_prices,
)
from overround.forecasts import probability_scores
from overround.prices.fair import fair_probabilities
from overround.signals import blind_signals
from overround.stats import interval
from tests.support.books import bet, bets, efficient_market, noisy_quotes, result, results, season
from tests.support.commands import ROOT


@pytest.fixture(scope="module")
def market():
    """Prices of 20 bookmakers with a margin of 5 % who err by 4 %, and results: nobody has an edge."""
    return noisy_quotes(1_500, 20, seed=3)


# look-ahead through closing prices or results


def test_a_strategy_that_knows_results_is_flagged_and_an_honest_one_is_not():
    honest = efficient_market(500, seed=1)
    honest = honest[honest["outcome"] == "home"]
    known = (honest["result"] == "won") & (np.arange(len(honest)) % 2 == 0)
    leak = honest[known | (np.arange(len(honest)) % 4 == 1)]
    leak.attrs.update(honest.attrs)

    assert suspicious(leak).loc["results known", "flagged"]
    assert "as if results had been known" in verdict(evaluate(leak, simulations=200), leak)
    assert not suspicious(honest).loc["results known", "flagged"]
    assert "Check first" not in verdict(evaluate(honest, simulations=200), honest)


def test_a_strategy_chosen_by_the_closing_move_is_flagged_and_one_that_merely_beats_the_close_is_not():
    honest = efficient_market(400, seed=2)
    rng = np.random.default_rng(2)
    # the close moves by 5 % either way from the price taken; an honest strategy foresees two moves in three
    moved = np.exp(rng.normal(0, 0.05, len(honest)))
    judged = honest.assign(clv=moved - 1)
    leak = judged[judged["clv"] > 0]
    foresees = judged[(judged["clv"] > 0) | (rng.random(len(judged)) < 0.5)]

    assert suspicious(leak).loc["close known", "flagged"]
    assert not suspicious(foresees).loc["close known", "flagged"]


@pytest.mark.parametrize(("reference", "bets_at", "wrong"), [("b7", "b0", True), ("b0", "b7", False)])
def test_a_reference_that_is_wrong_confirms_its_own_edges_and_everybody_elses_close_does_not(
    market, reference, bets_at, wrong
):
    shown, ended = market
    signals = value_signals(shown, reference, "multiplicative", 0.02, bookmakers=[bets_at])
    ledger = backtest(
        signals, ended, stake=Flat(1), closing=closing_lines(shown, reference, "multiplicative")
    )

    table = clv_by_close(ledger, shown, "multiplicative", simulations=300)

    assert table["bets"].tolist() == 3 * [len(ledger)]  # so the reference stands there once
    # it did not move: its close repeats the edge, which is at least 2 %
    assert table.loc["the reference", "clv"] == pytest.approx(ledger["edge"].mean())
    assert table.loc["the reference", "low"] > 0.02
    # the bookmaker that does not err takes its margin of 5 % of every bet; the one that errs was beaten by
    # what was seen
    assert table.loc["everybody, in the mean", "clv"] == pytest.approx(
        -0.05 if wrong else ledger["edge"].mean(), abs=0.01
    )
    assert table.loc["the same bookmaker, with its margin"].tolist() == [len(ledger), 0, 0, 0, 0]
    assert ("Flagged" in table.attrs.get("says", "")) == wrong


def test_closing_lines_are_held_against_each_other_on_the_same_bets(market):
    shown, ended = market
    late = shown["event_id"] >= "m01000"
    shown = shown[
        late | (shown["phase"] == "early") | (shown["bookmaker"] == "b0")
    ]  # before, one bookmaker's close is known
    ledger = backtest(
        value_signals(shown, "b0", min_edge=0.02), ended, stake=Flat(1), closing=closing_lines(shown, "b0")
    )

    table = clv_by_close(ledger, shown, simulations=300)
    none = clv_by_close(ledger.iloc[:0], shown, simulations=300)

    recent = ledger["event_id"] >= "m01000"
    assert table["bets"].tolist() == [len(ledger), recent.sum(), recent.sum(), recent.sum()]
    assert table.loc["the reference, where others close too", "clv"] == pytest.approx(
        ledger.loc[recent, "clv"].mean()
    )
    assert none["bets"].tolist() == [0, 0, 0]
    assert none["clv"].isna().all()


def test_by_the_close_of_the_reference_a_ledger_is_worth_what_its_evaluation_says(market):
    shown, ended = market
    void = ended.copy()
    void.loc[::7, ["home_score", "away_score", "status"]] = [np.nan, np.nan, "abandoned"]
    ledger = backtest(
        value_signals(shown, "b0", min_edge=0.02), void, stake=Flat(1), closing=closing_lines(shown, "b0")
    )
    ledger.loc[::5, "stake"] = 0.0  # as of a bet that was not placed

    table = clv_by_close(ledger, shown, simulations=300, seed=3)
    evaluation = evaluate(ledger, simulations=300, seed=3)

    assert (ledger["result"] == "void").any()
    assert table.loc["the reference", "bets"] == evaluation.loc["bets", "value"] < len(ledger)
    assert table.loc["the reference", ["clv", "low", "high"]].tolist() == pytest.approx(
        evaluation.loc["clv", ["value", "low", "high"]].tolist()
    )
    assert table.loc["the reference", "beat_close"] == pytest.approx(evaluation.loc["beat_close", "value"])


def test_a_signal_made_from_prices_after_kick_off_is_refused():
    with pytest.raises(ParameterError, match="after its kick-off"):
        backtest(bets(bet(placed="2025-03-01 15:01")), results(result()))


# outcomes not really used


def test_outcomes_decide_the_profit():
    wanted, ended, _ = season(300, seed=4)
    flipped = ended.assign(home_score=ended["away_score"], away_score=ended["home_score"])

    as_it_was, other, lost = (
        backtest(wanted, scores, stake=Flat(1))
        for scores in (ended, flipped, ended.assign(home_score=0.0, away_score=1.0))
    )

    assert as_it_was["profit"].sum() != pytest.approx(other["profit"].sum())
    assert set(as_it_was.loc[as_it_was["result"] == "won", "event_id"]).isdisjoint(
        other.loc[other["result"] == "won", "event_id"]
    )
    assert lost["profit"].sum() == -lost["stake"].sum()


# the best of N columns is not one account


@pytest.mark.slow
def test_a_blind_edge_at_the_best_of_20_prices_is_flagged_as_one_of_the_maximum_alone(market):
    shown, ended = market
    ledger = pd.concat(
        [
            backtest(blind_signals(shown, "market_maximum", outcome), ended, stake=Flat(1))
            for outcome in ("home", "draw", "away")
        ],
        ignore_index=True,
    )

    table = at_each_price(ledger, shown, simulations=200)
    baseline = baselines(ledger, shown, ended, simulations=200)

    books = [name for name in table.index if name.startswith("b") and name != "best of all"]
    assert len(books) == 20
    # a margin of 5 %, and the largest of 20 errors of 4 % adds about 7.5 %
    assert table.loc[books, "yield"].mean() == pytest.approx(-0.05, abs=0.04)
    assert table.loc["market_maximum", "yield"] - table.loc[books, "yield"].mean() == pytest.approx(
        0.075, abs=0.015
    )
    assert table.loc["market_average", "yield"] < table.loc["market_maximum", "yield"] - 0.05
    # blind bets on the same column earn the same: there is no skill in it
    assert baseline.loc["every outcome", "yield"] == pytest.approx(table.loc["market_maximum", "yield"])
    assert suspicious(ledger).loc["no account", "flagged"]


@pytest.mark.parametrize(("winner", "flagged"), [("market_maximum", True), ("b4", False)])
def test_only_an_edge_that_no_account_shows_is_flagged(market, winner, flagged):
    shown, ended = market
    # a bonus of 20 % on one column alone
    better = shown.assign(price=np.where(shown["bookmaker"] == winner, 1.2 * shown["price"], shown["price"]))
    ledger = backtest(blind_signals(better, "market_maximum", "home"), ended, stake=Flat(1))

    table = at_each_price(ledger, better, simulations=200)

    assert table.loc[winner, "low"] > 0
    assert table.attrs["only_at_maximum"] == flagged
    assert ("Flagged" in table.attrs.get("says", "")) == flagged


# wrong prices


def test_one_wrong_price_that_makes_the_profit_is_seen_three_ways(market):
    shown, ended = market
    ledger = backtest(blind_signals(shown, "b7", "away"), ended, stake=Flat(1)).head(300)
    hit = ledger.index[(ledger["result"] == "won") & (ledger["price"] < 4)][0]
    # a comma in the wrong place
    wrong = ledger.assign(
        price=ledger["price"].where(ledger.index != hit, 100 * ledger["price"]),
        profit=ledger["profit"].where(ledger.index != hit, 100 * ledger.loc[hit, "price"] - 1),
    )
    same = (
        shown["event_id"].eq(ledger.loc[hit, "event_id"])
        & shown["bookmaker"].eq("b7")
        & shown["outcome"].eq("away")
    )
    seen = shown.assign(price=shown["price"].where(~same, 100 * shown["price"]))

    top = without_best(wrong)

    assert top.loc["none", "yield"] > 0 > top.loc["best 1", "yield"]
    assert top.loc["best 1", "share_of_profit"] > 1
    assert suspicious(wrong).loc["few bets", "flagged"]
    assert not suspicious(ledger).loc["few bets", "flagged"]
    assert wrong_prices(wrong, seen).index.tolist() == [hit]
    assert wrong_prices(ledger, shown).empty


# availability, limits, slippage


def test_the_yield_never_rises_with_a_haircut_whatever_is_bet():
    rng = np.random.default_rng(5)
    wanted, ended, closing = season(200, seed=5, edge=0.05)
    for side in ("back", "lay"):
        ledger = backtest(
            wanted.assign(side=side), ended, stake=Kelly() if side == "back" else Flat(1), closing=closing
        )
        table = haircut(ledger, sorted(rng.uniform(0, 0.3, 8)), simulations=50)

        assert (table["yield"].diff().dropna() <= 0).all()
        assert table["yield"].iloc[-1] < table["yield"].iloc[0]
        assert (table["clv"].diff().dropna() < 0).all()


# many strategies tried


@pytest.mark.slow
def test_the_best_of_a_thousand_strategies_without_an_edge_looks_like_one_until_it_is_corrected():
    market = efficient_market(400, seed=11)
    rng = np.random.default_rng(11)
    tried = {f"s{i}": market[rng.random(len(market)) < 0.1] for i in range(300)}

    best = luck_of_the_best(tried, simulations=400)
    table = correct_for_search(tried, histories="market", simulations=400)

    assert best["p"] < 0.02
    assert best["p_corrected"] > 0.05
    assert best["tried"] == 300
    # every table shows how many were tried, and the adjusted p
    assert table.attrs["tried"] == 300
    assert table["p_adjusted"].min() > 0.05
    compared = compare_ledgers(dict(list(tried.items())[:5]), simulations=100)
    assert compared.attrs["tried"] == 5
    assert "p_adjusted" in compared
    evaluated = evaluate(tried[best["best"]], tried=300, simulations=400)["value"]
    assert evaluated["tried"] == 300
    assert evaluated["luck_p_corrected"] > 0.05


# bets depend on each other


def naive_width(ledger):
    rng = np.random.default_rng(1)
    profit, n = ledger["profit"].to_numpy(), len(ledger)
    low, high = interval(np.array([profit[rng.integers(0, n, n)].mean() for _ in range(1_500)]))
    return high - low


def test_copies_of_every_bet_shrink_a_naive_interval_by_the_root_of_two_and_ours_not_at_all():
    one = efficient_market(400, seed=6)
    one = one[one["outcome"] == "home"]
    two = pd.concat([one, one.assign(bookmaker="twin")], ignore_index=True)
    two.attrs.update(one.attrs)

    rows = [evaluate(ledger, simulations=500).loc["yield"] for ledger in (one, two)]

    assert naive_width(one) / naive_width(two) == pytest.approx(np.sqrt(2), rel=0.1)
    assert rows[1]["high"] - rows[1]["low"] == pytest.approx(rows[0]["high"] - rows[0]["low"])


def test_a_day_whose_bets_share_their_luck_widens_the_interval():
    market = efficient_market(500, seed=7, per_day=10)
    home = market[market["outcome"] == "home"]
    # every bet of a day ends as the first of it
    first = home.groupby(home["starts_at"].dt.normalize())["result"].transform("first")
    shared = home.assign(profit=np.where(first == "won", home["price"] - 1, -1.0), result=first)

    alone, together = (evaluate(ledger, simulations=500).loc["yield"] for ledger in (home, shared))

    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


# yield is noise


def test_yield_closing_line_and_log_loss_come_with_intervals_and_the_bets_that_the_edge_needs():
    wanted, ended, closing = season(1_500, seed=8, edge=0.05)
    ledger = backtest(wanted, ended, stake=Flat(1), closing=closing)
    rng = np.random.default_rng(8)
    ledger = ledger.assign(clv=ledger["clv"] + rng.normal(0, 0.05, len(ledger)))

    table = evaluate(ledger, simulations=500)

    for metric in ("yield", "clv", "beat_close", "hit_rate"):
        assert table.loc[metric, "low"] < table.loc[metric, "value"] < table.loc[metric, "high"], metric
    # the closing line knows long before the profit does
    assert table.loc["clv", "low"] > 0.04
    assert table.loc["yield", "high"] - table.loc["yield", "low"] > 5 * (
        table.loc["clv", "high"] - table.loc["clv", "low"]
    )
    assert table.loc["bets_needed", "value"] > 300
    shown, scores = noisy_quotes(200, 3, seed=8)
    gaps = probability_scores(fair_probabilities(shown[shown["phase"] == "close"]), scores, "b0")
    assert (gaps.loc["b1", "low"] < gaps.loc["b1", "gap"]) & (gaps.loc["b1", "gap"] < gaps.loc["b1", "high"])


# strategies compared on different bets


def test_strategies_are_compared_by_paired_differences_on_common_days():
    market = efficient_market(600, seed=9)
    home = market[market["outcome"] == "home"]
    # the same bets at prices 1 % better: certain, though both yields are uncertain by far more
    better = home.assign(profit=np.where(home["result"] == "won", 1.01 * home["price"] - 1, -1.0))
    elsewhere = better[better["starts_at"] > better["starts_at"].median()]

    paired = compare_ledgers({"home": home, "better": better}, simulations=500).loc["better"]
    half = compare_ledgers({"home": home, "elsewhere": elsewhere}, simulations=500).loc["elsewhere"]

    assert paired["low"] > 0
    assert paired["p_adjusted"] < 0.01
    assert paired["high"] - paired["low"] < 0.01
    assert half["common_days"] < paired["common_days"] == 120
    assert half["p_adjusted"] > 0.05


# the margin method makes the "value"


def test_value_that_only_one_margin_method_sees_is_flagged():
    shown, ended = noisy_quotes(600, 5, seed=4)
    strategy = {"simulations": 100, "stake": Flat(1), "min_edge": 0.01}
    methods = ("multiplicative", "power", "shin", "odds_ratio")
    bets_of = {method: value_signals(shown, "b0", method, 0.01) for method in methods}
    seen = {
        method: set(zip(wanted["event_id"], wanted["outcome"], strict=True))
        for method, wanted in bets_of.items()
    }
    only = seen["multiplicative"] - seen["power"] - seen["shin"] - seen["odds_ratio"]
    # results that pay for what multiplicative alone sees
    scores = {"home": (1.0, 0.0), "draw": (0.0, 0.0), "away": (0.0, 1.0)}
    lucky = ended.set_index("event_id")
    for event, outcome in only:
        lucky.loc[event, ["home_score", "away_score"]] = scores[outcome]

    as_it_was = across_methods(shown, ended, "b0", methods, **strategy)
    flagged = across_methods(shown, lucky.reset_index(), "b0", methods, **strategy)

    assert as_it_was["bets"].to_dict() == {method: len(wanted) for method, wanted in bets_of.items()}
    assert as_it_was.attrs["only_under"] == ""
    assert len(only) > 20
    assert flagged.attrs["only_under"] == "multiplicative"
    assert "multiplicative alone" in flagged.attrs["says"]


# missing odds


def test_a_result_that_lives_on_missing_odds_is_seen(market):
    shown, ended = market
    # a bookmaker took its prices down on 300 matches that the home team won
    won = set(
        ended.loc[
            (ended["home_score"] > ended["away_score"]) & (ended["event_id"] >= "m00600"), "event_id"
        ].head(300)
    )
    kept = shown[~((shown["bookmaker"] == "b2") & shown["event_id"].isin(won))]
    ledger = backtest(blind_signals(kept, "b3", "home"), ended, stake=Flat(1))

    rate = missing_odds(kept)["missing"]
    everywhere = always_quoted(ledger, kept)

    assert rate[("b2", "L1", "2425")] == pytest.approx(300 / 1_500)
    assert rate.drop(("b2", "L1", "2425")).max() == 0
    assert len(everywhere) == 1_200
    assert not set(everywhere["event_id"]) & won
    assert everywhere["profit"].sum() / 1_200 < ledger["profit"].sum() / 1_500 - 0.2


# one path hides ruin


def test_a_path_that_went_well_shows_how_it_might_have_gone():
    ledger = efficient_market(300, seed=10)
    ledger = ledger[ledger["outcome"] == "home"].reset_index(drop=True)
    # the same bets in an order that loses nothing: winners first
    lucky = ledger.assign(
        starts_at=ledger.sort_values("profit", ascending=False)["starts_at"].sort_values().array
    )
    lucky = lucky.assign(profit=np.sort(ledger["profit"])[::-1])
    lucky = lucky.assign(bankroll=60 + lucky["profit"].cumsum(), bankroll_at_start=60.0)

    falls, ruined = resampled_drawdowns(lucky, simulations=1_000)
    table = evaluate(lucky, simulations=1_000)["value"]

    assert lucky["bankroll"].min() >= 60 + min(0.0, lucky["profit"].sum())
    assert ruined > 0.02
    assert table["drawdown_95"] > table["drawdown_median"] > 0.1
    assert np.ptp(falls) > 0.2


# determinism

REPORT = """
import hashlib, pickle, sys
sys.path.insert(0, {root!r})
from overround import breakdown, correct_for_search, evaluate, luck_of_the_best
from tests.support.books import efficient_market
market = efficient_market(60, seed=1)
tried = {{name: market[market["outcome"] == name] for name in ("home", "draw", "away")}}
tables = [evaluate(market, simulations=200), correct_for_search(tried, simulations=200), breakdown(market, "outcome", simulations=50)]
texts = [table.to_csv() for table in tables] + [repr(luck_of_the_best(tried, simulations=200))]
print(hashlib.sha256("".join(texts).encode()).hexdigest())
"""


def test_the_same_data_and_seed_give_the_same_bytes():
    market = efficient_market(80, seed=1)
    tried = {name: market[market["outcome"] == name] for name in ("home", "draw", "away")}

    def everything(order):
        ledgers = {name: tried[name] for name in order}
        tables = [
            evaluate(market, simulations=200),
            breakdown(market, simulations=50),
            haircut(market, simulations=50),
        ]
        tables += [
            correct_for_search(ledgers, histories=kind, simulations=100).sort_index()
            for kind in ("days", "market")
        ]
        return pickle.dumps([table.to_csv() for table in tables])

    assert everything(tried) == everything(tried)
    assert luck_test(market, simulations=200) == luck_test(market, simulations=200)


@pytest.mark.slow
def test_two_processes_at_once_give_the_bytes_of_one():
    command = [sys.executable, "-c", REPORT.format(root=str(ROOT))]
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    together = {process.communicate()[0] for process in pair}

    alone = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert together == {alone}
    assert len(alone.strip()) == 64
