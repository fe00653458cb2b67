"""Having tried many strategies is no edge: family-wise error, agreement with arch, what luck shows at best,
overfitting.
"""

import numpy as np
import pandas as pd
import pytest

from overround import Flat, backtest, correct_for_search, luck_test
from overround.errors import ParameterError
from overround.evaluation import (
    backtest_overfitting,
    daily_profits,
    deflated_p,
    effective_number,
    luck_of_the_best,
)
from overround.evaluation.redrawn_results import moments_of_profit
from overround.stats import day_draws, step_down
from tests.support.books import bet, bets, efficient_market, result, results


def strategies(market, n, rng, share=0.3):
    """Random subsets of all bets of a market: no edge, but shared luck."""
    return {f"s{i}": market[rng.random(len(market)) < share] for i in range(n)}


def bet_like(rng, days, k):
    """Daily profits without an edge: one bet a strategy on some days, at prices from 1.5 to 6; a day's luck
    is shared.
    """
    price = rng.uniform(1.5, 6, (days, k))
    lucky = rng.random((days, 1)) * 0.5 + rng.random((days, k)) * 0.5
    # the mean of two uniform numbers is below x with probability 2 x^2 for x up to one half
    won = lucky < np.sqrt(np.minimum(1 / price, 0.5) / 2)
    return np.where(rng.random((days, k)) < 0.5, won * np.maximum(price, 2) - 1, 0.0)


@pytest.mark.parametrize("bootstrap", ["stationary", "circular"])
@pytest.mark.parametrize("edge", [0.0, 0.6])
def test_p_values_agree_with_arch(bootstrap, edge):
    from arch.bootstrap import SPA

    # eight days in a row share their luck, so that the length of blocks matters
    noise = np.random.default_rng(4).standard_normal((307, 30)).cumsum(axis=0)
    profits = (noise[7:] - np.vstack([np.zeros((1, 30)), noise[:-8]])) / np.sqrt(8)
    profits[:, 0] += edge
    profits[:, 1] -= 0.5
    peer = SPA(np.zeros(300), -profits, block_size=8, reps=1_500, bootstrap=bootstrap, seed=1)
    peer.compute()

    # arch divides nothing by a standard error, whatever its argument `studentize` says
    mine = correct_for_search(
        profits, block_days=8, bootstrap=bootstrap, studentized=False, simulations=1_500
    ).attrs

    for name in ("lower", "consistent", "upper"):
        p = peer.pvalues[name]
        assert mine[f"spa_{name}"] == pytest.approx(p, abs=4 * np.sqrt(2 * max(p * (1 - p), 1e-3) / 1_500))
    assert mine["reality_check"] == mine["spa_upper"]


def test_days_are_drawn_in_blocks_of_the_length_asked_for():
    for bootstrap, length in (("stationary", 1), ("stationary", 6), ("circular", 6)):
        drawn = next(day_draws(120, 300, 1, block_days=length, bootstrap=bootstrap))
        goes_on = (np.diff(drawn, axis=1) % 120 == 1).mean()

        assert goes_on == pytest.approx(1 - 1 / length + 1 / 120 / length, abs=0.01)
        assert np.bincount(drawn.ravel(), minlength=120).min() > 200  # each day 300 times, but for chance


def test_the_step_down_is_done_by_hand():
    # against both: one history in three has a maximum of at least 2; against the second alone none reaches
    # 1.9, but whoever did worse than a strategy that may be luck may not be certain
    drawn = np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 1.0]])

    def of(places):
        return drawn[:, places]

    assert step_down(np.array([2.0, 1.9]), of, len(drawn)).tolist() == [0.5, 0.5]
    assert step_down(np.array([4.0, 1.9]), of, len(drawn)).tolist() == [0.25, 0.25]
    assert step_down(np.array([4.0, 0.9]), of, len(drawn)).tolist() == [0.25, 0.5]


def test_the_standard_errors_are_those_of_arch():
    from arch.bootstrap import SPA

    profits = np.cumsum(np.random.default_rng(5).standard_normal((120, 6)), axis=0) % 3
    peer = SPA(np.zeros(120), -profits, block_size=7, reps=10, seed=1)
    peer.compute()

    table = correct_for_search(profits, block_days=7, simulations=10)

    assert (profits.mean(axis=0) / table["statistic"]).tolist() == pytest.approx(
        np.sqrt(peer._loss_diff_var / 120).tolist(), rel=1e-5
    )


def test_the_step_down_finds_what_arch_finds():
    from arch.bootstrap import StepM

    profits = np.random.default_rng(6).standard_normal((400, 40))
    profits[:, :6] += np.linspace(0.16, 0.4, 6)
    peer = StepM(np.zeros(400), -profits, size=0.05, block_size=5, reps=1_000, seed=1)
    peer.compute()

    table = correct_for_search(profits, block_days=5, studentized=False)

    clear = (table["p_adjusted"] - 0.05).abs() > 0.02
    assert set(table.index[clear & (table["p_adjusted"] <= 0.05)]) <= set(peer.superior_models)
    assert set(peer.superior_models) <= set(table.index[~clear | (table["p_adjusted"] <= 0.05)])
    assert len(peer.superior_models) >= 3
    assert (table["p_adjusted"] >= table["p"]).all()


def family_wise_errors(runs, days, k, simulations):
    found = {"spa": 0, "step": 0, "naive": 0}
    for seed in range(runs):
        table = correct_for_search(
            bet_like(np.random.default_rng(seed), days, k), simulations=simulations, seed=seed
        )
        found["spa"] += table.attrs["spa_consistent"] <= 0.05
        found["step"] += table["p_adjusted"].min() <= 0.05
        found["naive"] += table["p"].min() <= 0.05
    return found


def test_of_many_strategies_without_an_edge_one_passes_in_at_most_5_percent_of_runs():
    found = family_wise_errors(80, 250, 60, 199)

    # 5 % of 80 is 4; 9 is exceeded by chance once in two hundred
    assert found["spa"] <= 9
    assert found["step"] <= 9
    assert found["naive"] >= 40  # uncorrected, most searches find something


@pytest.mark.slow
def test_a_thousand_strategies_without_an_edge_pass_in_at_most_5_percent_of_runs():
    found = family_wise_errors(100, 500, 1_000, 299)

    assert found["spa"] <= 11  # 5 % of 100 is 5; 11 is exceeded once in a hundred
    assert found["step"] <= 11
    assert found["naive"] == 100


def test_a_planted_edge_is_found_among_many():
    profits = bet_like(np.random.default_rng(1), 500, 200)
    profits[:, 17] += 0.6 * (profits[:, 17] != 0)

    table = correct_for_search(profits)

    assert table.attrs["best"] == 17
    assert table.attrs["spa_consistent"] < 0.05
    assert table["p_adjusted"].idxmin() == 17
    assert (table["p_adjusted"] <= 0.05).sum() == 1


def on_lines(market, line, scores, p):
    """A unit on the home team or on over at evens, in as many matches as there are scores."""
    wanted = bets(
        *(
            bet(f"m{i}", "over" if market == "totals" else "home", market=market, line=line)
            for i in range(len(scores))
        )
    )
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=2.0, closing_fair=p
    )
    ended = results(*(result(f"m{i}", *score) for i, score in enumerate(scores)))
    return backtest(wanted, ended, stake=Flat(1), bankroll=10_000, closing=closing)


@pytest.mark.parametrize(
    ("market", "line", "scores", "share", "middle"),
    [
        ("spreads", 0.0, [(1, 1), (2, 1), (1, 1), (1, 2)], 0.5, 0.0),
        ("totals", 3.0, [(2, 1), (4, 0), (1, 0), (1, 0)], 0.25, 0.0),
        ("totals", 2.75, [(2, 1), (4, 0), (1, 0), (1, 0)], 0.25, 0.5),
        ("totals", 2.5, [(2, 1), (4, 0), (1, 0), (1, 0)], 0.0, 0.0),
    ],
)
def test_lines_push_and_end_by_halves_in_the_histories_as_often_as_they_did(
    market, line, scores, share, middle
):
    ledger = on_lines(market, line, 300 * scores, 0.5)

    from overround.evaluation.multiple_testing import _null

    null = _null({"all": ledger}, "market", 4_000, 1, "stationary", 3)

    # a bet at a fair price: m in the middle, the rest won and lost so that the mean is 0; of the variance 1 a
    # push leaves 1 - m
    expected = (1 - share) + share * middle**2
    assert null.drawn(np.array([0])).std() == pytest.approx(np.sqrt(1_200 * expected), rel=0.04)
    assert moments_of_profit(ledger)[1].sum() == pytest.approx(1_200 * expected)
    assert moments_of_profit(ledger)[0].sum() == pytest.approx(0.0, abs=1e-9)


def test_a_lay_bet_on_a_line_is_the_other_side_of_it():
    back = on_lines("totals", 2.75, 50 * [(2, 1), (4, 0), (1, 0), (1, 0)], 0.4)
    lay = back.assign(
        side="lay",
        profit=-back["profit"],
        result=back["result"].map(
            {"won": "lost", "lost": "won", "half_won": "half_lost", "half_lost": "half_won", "push": "push"}
        ),
    )

    mean, variance = zip(*(moments_of_profit(one) for one in (back, lay)), strict=True)

    assert np.allclose(mean[0], -mean[1])
    assert np.allclose(variance[0], variance[1])


def test_histories_of_the_market_keep_bets_on_one_match_together():
    # backing all three outcomes with stakes of their probabilities returns the same whatever happens
    fair = {"home": 0.5, "draw": 0.3, "away": 0.2}
    wanted = bets(*(bet(outcome=outcome, price=1 / p) for outcome, p in fair.items()))
    closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=wanted["price"], closing_fair=wanted["outcome"].map(fair)
    )
    ledger = backtest(wanted, results(result()), stake=Flat(1), closing=closing)
    hedged = ledger.assign(stake=ledger["outcome"].map(fair), profit=0.0)

    from overround.evaluation.multiple_testing import _null

    null = _null(
        {"hedged": hedged, "home": ledger[ledger["outcome"] == "home"]}, "market", 400, 1, "stationary", 3
    )

    assert np.abs(null.drawn(np.array([0]))).max() < 1e-9
    assert set(np.round(null.drawn(np.array([1])).ravel(), 9)) == {-1.0, 1.0}


@pytest.mark.parametrize("margin", [0.0, 0.04, -0.03])
def test_one_strategy_alone_has_the_p_of_the_luck_test(margin):
    market = efficient_market(300, seed=3, margin=margin)
    one = market[(market["result"] == "won") | (np.arange(len(market)) % 9 > 0)]

    table = correct_for_search({"one": one}, histories="market", simulations=5_000)

    expected = luck_test(one, simulations=5_000)["p"]
    assert 0.001 < expected < 0.5
    assert table.attrs["spa_consistent"] == pytest.approx(expected, abs=0.03)
    assert table["p"].iloc[0] == table["p_adjusted"].iloc[0]


def corrected(seed, matches=120, n=50):
    rng = np.random.default_rng(seed)
    best = luck_of_the_best(
        strategies(efficient_market(matches, seed=seed), n, rng), simulations=400, seed=seed
    )
    return best["p"], best["p_corrected"]


@pytest.mark.slow
def test_after_the_best_of_50_is_picked_the_corrected_test_rejects_as_often_as_it_says():
    p = np.array([corrected(seed) for seed in range(200)])

    assert 0.022 <= (p[:, 1] <= 0.05).mean() <= 0.086
    assert (p[:, 0] <= 0.05).mean() > 0.5  # the winner alone looks like an edge


def test_the_best_of_many_without_an_edge_is_explained_by_luck():
    best = luck_of_the_best(
        strategies(efficient_market(250, seed=9), 50, np.random.default_rng(9)), simulations=400
    )

    assert best["tried"] == 50
    assert best["p_corrected"] > best["p"]
    assert best["p_corrected"] > 0.05
    assert best["yield_by_luck"] > 0.05


def test_an_edge_planted_in_one_of_50_is_found_against_the_market():
    market = efficient_market(600, seed=5)
    tried = strategies(market, 50, np.random.default_rng(5))
    rng = np.random.default_rng(6)
    # knows one result in five that the market does not
    tried["s7"] = market[
        (rng.random(len(market)) < 0.15) | ((market["result"] == "won") & (rng.random(len(market)) < 0.15))
    ]

    table = correct_for_search(tried, histories="market")

    assert table.attrs["best"] == "s7"
    assert table["p_adjusted"].idxmin() == "s7"
    assert table.loc["s7", "p_adjusted"] < 0.05


def test_a_winner_whose_rivals_are_not_known_is_deflated_by_their_number():
    assert deflated_p(0.004, 1) == pytest.approx(0.004)
    assert deflated_p(0.004, 1_000) == pytest.approx(1 - 0.996**1_000)
    assert deflated_p(1e-12, 1_000) == pytest.approx(1e-9)  # 1 - (1 - p) would lose the digits
    assert deflated_p(1.0, 3) == 1
    with pytest.raises(ParameterError, match="at least 1 strategy"):
        deflated_p(0.01, 0)


def test_copies_of_one_strategy_count_once():
    rng = np.random.default_rng(2)
    one, many = rng.standard_normal((800, 1)), rng.standard_normal((800, 20))

    assert effective_number(np.repeat(one, 20, axis=1)) == pytest.approx(1)
    assert effective_number(many) == pytest.approx(20, rel=0.05)
    assert effective_number(np.hstack([many, many[:, :10]])) == pytest.approx(20, abs=2)


def test_copies_of_the_winner_do_not_deflate_it():
    profits = bet_like(np.random.default_rng(3), 200, 1)

    alone, copied = (
        correct_for_search(np.repeat(profits, n, axis=1)).attrs["spa_consistent"] for n in (1, 100)
    )

    assert copied == alone


def test_choosing_among_strategies_without_an_edge_is_overfitting_and_choosing_a_real_one_is_not():
    rng = np.random.default_rng(8)
    null = [backtest_overfitting(rng.standard_normal((320, 40)), blocks=8)["pbo"] for _ in range(40)]
    real = rng.standard_normal((320, 40))
    real[:, 3] += 0.4

    assert 0.4 < np.mean(null) < 0.6
    found = backtest_overfitting(real, blocks=16)
    assert found["choices"] == 12_870
    assert found["pbo"] < 0.01
    assert found["rank"] > 0.95


def test_overfitting_is_what_a_loop_over_all_halves_says():
    from itertools import combinations

    profits = np.random.default_rng(9).standard_normal((60, 7))
    blocks = np.array_split(np.arange(60), 6)
    ranks = []
    for half in combinations(range(6), 3):
        inside = np.concatenate([blocks[i] for i in half])
        outside = np.setdiff1d(np.arange(60), inside)
        sharpe = [profits[rows].mean(axis=0) / profits[rows].std(axis=0) for rows in (inside, outside)]
        ranks.append((sharpe[1] <= sharpe[1][sharpe[0].argmax()]).sum() / 8)

    found = backtest_overfitting(profits, blocks=6)

    assert found["rank"] == pytest.approx(np.mean(ranks))
    assert found["pbo"] == pytest.approx((np.array(ranks) <= 0.5).mean())


def test_a_strategy_that_never_bet_is_not_the_best_and_breaks_nothing():
    market = efficient_market(60, seed=1)

    for histories in ("days", "market"):
        table = correct_for_search(
            {"none": market.head(0), "some": market.head(80)}, histories=histories, simulations=200
        )

        assert table.attrs["best"] == "some"
        assert table.loc["none", ["p", "p_adjusted"]].tolist() == [1, 1]
        assert np.isfinite([value for name, value in table.attrs.items() if name != "best"]).all()


def test_strategies_without_a_bet_that_can_be_tested_have_no_p_value():
    market = efficient_market(30, seed=1)

    no_bets = correct_for_search({"a": market.head(0), "b": market.head(0)})
    no_close = correct_for_search({"a": market.assign(closing_fair=np.nan)}, histories="market")

    assert no_bets[["p", "p_adjusted"]].isna().all().all()
    assert no_close["profit"].tolist() == pytest.approx([market["profit"].sum()])
    assert np.isnan(no_close.attrs["spa_consistent"])
    with pytest.raises(ParameterError, match="no bet has a closing probability"):
        luck_of_the_best({"a": market.assign(closing_fair=np.nan)})


def test_daily_profits_are_the_sums_of_each_day_of_each_strategy():
    market = efficient_market(20, seed=2, per_day=4)

    profits = daily_profits(
        {"home": market[market["outcome"] == "home"], "late": market[market["event_id"] >= "m00012"]}
    )

    assert profits.shape == (5, 2)
    assert profits["home"].sum() == pytest.approx(market.loc[market["outcome"] == "home", "profit"].sum())
    assert (profits["late"].iloc[:3] == 0).all()


@pytest.mark.parametrize(
    ("tried", "more", "what"),
    [
        ({}, {}, "no ledger"),
        (np.zeros((0, 3)), {}, "no day"),
        (np.array([[1.0, np.nan]]), {}, "holes"),
        (np.ones((5, 2)), {"histories": "market"}, "need a ledger"),
        (np.ones((5, 2)), {"histories": "dreams"}, "'dreams' is unknown"),
        (np.ones((5, 2)), {"block_days": 9}, "allowed: 1 to 5"),
        (np.ones((5, 2)), {"bootstrap": "boot"}, "stationary, circular"),
    ],
)
def test_what_cannot_be_tested_is_refused_with_a_reason(tried, more, what):
    with pytest.raises(ParameterError, match=what):
        correct_for_search(tried, **more)


def test_the_same_seed_gives_the_same_table():
    profits = pd.DataFrame(bet_like(np.random.default_rng(1), 100, 5))

    pd.testing.assert_frame_equal(
        correct_for_search(profits, seed=3), correct_for_search(profits, seed=3), check_exact=True
    )
    assert (
        correct_for_search(profits, seed=3)["p"].tolist() != correct_for_search(profits, seed=4)["p"].tolist()
    )


def test_a_strategy_that_clearly_loses_is_not_as_likely_by_luck_as_one_that_breaks_even():
    rng = np.random.default_rng(4)
    days = rng.normal([0.0, -0.5], 1, (400, 2))  # the second lies ten standard errors below nothing

    judged = correct_for_search(days, simulations=500)

    assert judged["p"].iloc[1] > 0.99
    assert (judged["p_adjusted"] >= judged["p"]).all()
