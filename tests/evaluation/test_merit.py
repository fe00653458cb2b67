"""Figures of merit, and that luck does not pass for skill."""

import sys

import numpy as np
import pandas as pd
import pytest

from overround import Flat, backtest, evaluate, figures, luck_test, verdict
from overround.errors import ParameterError
from overround.evaluation.drawdown import max_drawdown
from overround.evaluation.luck import luck_band
from overround.forecasts import probability_scores
from overround.formatting import percent
from tests.support.books import bet, bets, result, results, season


def ledger_of(n=400, *, seed, edge=0.0, rule=Flat(1)):  # noqa: B008 - frozen
    wanted, ended, closing = season(n, seed=seed, edge=edge)
    return backtest(wanted, ended, stake=rule, closing=closing)


def test_yield_profit_and_hit_rate_are_what_a_calculator_says():
    wanted = bets(bet("m1", price=2.0), bet("m2", price=3.0), bet("m3", price=4.0))
    ledger = backtest(
        wanted, results(result("m1", 1, 0), result("m2", 0, 1), result("m3", 0, 0)), stake=Flat(10)
    )

    value = evaluate(ledger, simulations=200)["value"]

    assert value[["bets", "staked", "profit", "final_bankroll"]].tolist() == pytest.approx([3, 30, -10, 990])
    assert value[["yield", "roi", "hit_rate", "mean_price"]].tolist() == pytest.approx(
        [-1 / 3, -0.01, 1 / 3, 3.0]
    )


def test_drawdown_is_measured_from_the_peak_and_the_start_counts():
    assert max_drawdown(path_ledger([20.0, -30, 20])) == pytest.approx(0.25)
    assert max_drawdown(path_ledger([-20.0, 10])) == pytest.approx(0.2)
    assert max_drawdown(path_ledger([20.0]).iloc[:0]) == 0


def test_a_drawdown_does_not_hang_on_the_order_of_bets_settled_at_the_same_moment():
    together = ["2025-03-01 15:00", "2025-03-02 15:00", "2025-03-02 15:00", "2025-03-03 15:00"]
    for profits in ([10.0, 40, -30, 5], [10.0, -30, 40, 5]):
        ledger = path_ledger(profits, days=pd.to_datetime(together, utc=True))
        value = evaluate(ledger, simulations=200)["value"]
        assert value[["max_drawdown", "drawdown_days"]].tolist() == [0, 0]
        assert "the deepest is 0.0\u00a0%" in figures.drawdown(ledger).alt


@pytest.mark.slow
def test_on_efficient_markets_the_luck_test_rejects_as_often_as_it_says():
    p = np.array([luck_test(ledger_of(seed=seed), simulations=400, seed=1)["p"] for seed in range(200)])

    # 200 tries at 5 %: between 4 and 17 with 95 % probability
    assert 4 <= (p <= 0.05).sum() <= 17
    assert 0.4 < p.mean() < 0.6


@pytest.mark.slow
def test_a_planted_edge_is_found():
    p = [luck_test(ledger_of(5_000, seed=seed, edge=0.05), simulations=400)["p"] for seed in range(10)]

    assert np.mean(np.array(p) < 0.05) >= 0.8


def test_flipping_every_outcome_changes_the_answer():
    wanted, ended, closing = season(400, seed=8)
    flipped = ended.assign(home_score=ended["away_score"], away_score=ended["home_score"])

    assert evaluate(backtest(wanted, ended, closing=closing))["value"]["profit"] != pytest.approx(
        evaluate(backtest(wanted, flipped, closing=closing))["value"]["profit"]
    )


def test_two_bets_on_one_match_are_drawn_together():
    # backing all three outcomes at fair prices with the same money back whatever happens: luck has nothing to
    # decide
    fair = {"home": 0.5, "draw": 0.3, "away": 0.2}
    for picked in (("home", "draw", "away"), ("draw", "away"), ("home", "away")):
        wanted = bets(*(bet(outcome=outcome, price=1 / fair[outcome]) for outcome in picked))
        closing = wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
            closing_price=wanted["price"], closing_fair=wanted["outcome"].map(fair)
        )
        ledger = backtest(wanted, results(result()), stake=Flat(1), closing=closing)
        ledger = ledger.assign(stake=ledger["outcome"].map(fair))

        spread = luck_band(ledger, simulations=500, levels=(0.0, 1.0)).iloc[-1]
        sizes = set(np.round(spread, 9))
        covered = sum(fair[outcome] for outcome in picked)
        assert sizes == ({0.0} if covered == 1 else {round(-covered, 9), round(1 - covered, 9)})


def test_the_interval_is_by_day_so_that_copies_of_a_bet_do_not_narrow_it():
    ledger = ledger_of(seed=5)
    doubled = pd.concat([ledger, ledger.assign(bookmaker="twin")], ignore_index=True)
    doubled.attrs.update(ledger.attrs)

    one, two = (evaluate(book, simulations=2_000).loc["yield"] for book in (ledger, doubled))

    assert (two["low"], two["high"]) == pytest.approx((one["low"], one["high"]))


@pytest.mark.slow
def test_the_interval_covers_the_truth_as_often_as_it_says():
    covered = 0
    for seed in range(150):
        row = evaluate(ledger_of(600, seed=seed, edge=0.02), simulations=300).loc["yield"]
        covered += row["low"] <= 0.02 <= row["high"]

    assert 134 <= covered <= 150  # 95 % of 150 is 142.5, three standard deviations 8


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    ledger = ledger_of(seed=6)

    pd.testing.assert_frame_equal(
        evaluate(ledger, simulations=500, seed=1), evaluate(ledger, simulations=500, seed=1), check_exact=True
    )
    assert (
        evaluate(ledger, simulations=500, seed=1).loc["yield", "low"]
        != evaluate(ledger, simulations=500, seed=2).loc["yield", "low"]
    )


def test_scores_of_a_hand_made_forecast():
    fair = pd.DataFrame(
        {
            "event_id": "m1",
            "market": "h2h",
            "bookmaker": "acme",
            "outcome": ["home", "draw", "away"],
            "fair": [0.5, 0.3, 0.2],
            "overround": 1.05,
        }
    )

    row = probability_scores(fair, results(result("m1", 1, 1)), "acme").loc["acme"]

    # Brier 0.25 + 0.49 + 0.04; log loss -ln 0.3; RPS (0.5^2 + (0.5 + 0.3 - 1)^2) / 2
    assert row[["matches", "overround", "brier", "log_loss", "rps"]].tolist() == pytest.approx(
        [1, 1.05, 0.78, -np.log(0.3), 0.145]
    )


def test_bookmakers_are_compared_on_the_matches_that_both_quote():
    # "easy" quotes only the foregone match, where it is worse than "sharp" although its own mean is the
    # better one
    def book(event, name, p):
        return {
            "event_id": event,
            "market": "h2h",
            "bookmaker": name,
            "outcome": ["home", "draw", "away"],
            "fair": p,
            "overround": 1.05,
        }

    fair = pd.concat(
        [
            pd.DataFrame(book(*one))
            for one in (
                ("m1", "sharp", [0.9, 0.06, 0.04]),
                ("m2", "sharp", [0.34, 0.33, 0.33]),
                ("m1", "easy", [0.85, 0.1, 0.05]),
            )
        ],
        ignore_index=True,
    )

    scores = probability_scores(fair, results(result("m1", 1, 0), result("m2", 1, 0)), "sharp")

    assert scores.loc["easy", "log_loss"] < scores.loc["sharp", "log_loss"]
    assert list(scores.index) == ["sharp", "easy"]
    assert scores.loc["easy", "gap"] == pytest.approx(np.log(0.9 / 0.85))


def test_the_verdict_says_edge_luck_and_closing_line():
    wanted, ended, closing = season(4_000, seed=2, edge=0.12)
    ledger = backtest(wanted, ended, stake=Flat(1), closing=closing)
    good = verdict(evaluate(ledger, simulations=500), ledger)
    none = ledger.head(0)
    none.attrs.update(ledger.attrs)

    assert good.startswith("An edge that luck hardly explains. Test: 4,000 bets, yield ")
    assert "closing line" in good
    assert verdict(evaluate(none, simulations=200), none) == "No bets: nothing met the strategy's conditions."


def test_without_closing_prices_the_verdict_does_not_claim_to_have_tested_luck():
    wanted, ended, _ = season(4_000, seed=2, edge=0.12)
    ledger = backtest(wanted, ended, stake=Flat(1))

    assert "luck untested" in verdict(evaluate(ledger, simulations=200), ledger)


@pytest.mark.parametrize(
    ("share", "text"), [(0.0213, "2.1\u00a0%"), (-0.004, "−0.4\u00a0%"), (float("nan"), "–")]
)
def test_percentages_are_written_the_same_everywhere(share, text):
    assert percent(share) == text


def path_ledger(profits, *, days=None, start=100.0, stake=10.0):
    """One bet a day with these profits, settled in the evening."""
    n = len(profits)
    when = (
        pd.date_range("2025-03-01 15:00", periods=n, freq="D", tz="UTC")
        if days is None
        else pd.DatetimeIndex(days)
    )
    wanted = bets(
        *(bet(f"m{i}", placed=str(t - pd.Timedelta(hours=3))[:19], start=t) for i, t in enumerate(when))
    )
    ledger = backtest(wanted, results(*(result(f"m{i}") for i in range(n))), stake=Flat(1))
    after = start + np.cumsum(profits)
    return ledger.assign(profit=profits, stake=stake, bankroll=after, bankroll_at_start=start)


def test_the_length_of_a_drawdown_runs_from_its_peak_until_the_peak_is_regained():
    ledger = path_ledger([10.0, -20, -10, 15, 20, 5, -5, 10])

    value = evaluate(ledger, simulations=200)["value"]

    # peak 110 on day 1, down to 80 on day 3, 115 on day 5
    assert value["max_drawdown"] == pytest.approx(30 / 110)
    assert value["drawdown_days"] == pytest.approx(4)
    # 3 days and 1 day of 7 days and the 5 hours from placement to settlement
    assert value["under_water"] == pytest.approx(4 / (7 + 5 / 24))
    assert value[["turnover", "roi"]].tolist() == pytest.approx([0.8, 0.25])


def test_a_drawdown_that_is_not_regained_lasts_to_the_end():
    assert evaluate(path_ledger([-10.0, -10, 5]), simulations=200).loc[
        "drawdown_days", "value"
    ] == pytest.approx(2 + 5 / 24)
    assert evaluate(path_ledger([5.0, 5, 5]), simulations=200).loc[
        ["drawdown_days", "under_water"], "value"
    ].tolist() == [0, 0]


def test_one_path_hides_ruin():
    # wins first, then losses back to the start: this path never lost anything, one in four like it loses half
    profits = [40.0] * 10 + [-40.0] * 10
    value = evaluate(path_ledger(profits, stake=40.0, start=400.0), simulations=2_000)["value"]

    assert value["max_drawdown"] == pytest.approx(0.5)
    assert value["ruin"] > 0.15
    assert value["drawdown_median"] < value["drawdown_95"] <= 1
    calm = evaluate(path_ledger([4.0, -4.0] * 10), simulations=2_000)["value"]
    assert calm["max_drawdown"] < 0.05
    assert calm["drawdown_95"] > 3 * calm["max_drawdown"]


@pytest.mark.slow
def test_ruin_agrees_with_the_reflection_principle():
    # a fair game of 100 rounds of 1 with 10 to lose: P(min <= -10) = 2 P(S < -10) + P(S = -10)
    from scipy.stats import binom

    ledger = path_ledger([1.0, -1.0] * 50, start=20.0, stake=1.0)
    exact = 2 * binom.cdf(44, 100, 0.5) + binom.pmf(45, 100, 0.5)

    assert evaluate(ledger, simulations=2_000).loc["ruin", "value"] == pytest.approx(exact, abs=0.04)


def test_where_stakes_follow_the_bankroll_days_compound():
    from overround.evaluation import resampled_drawdowns

    # +25 % and -20 % in turn: every path of compounded returns depends only on how many of each were drawn,
    # and none is below 0
    profits, bankroll = [], 100.0
    for i in range(40):
        profits.append(bankroll * (0.25 if i % 2 == 0 else -0.2))
        bankroll += profits[-1]
    ledger = path_ledger(profits, stake=1.0).assign(
        stake=lambda frame: 100 + np.concatenate([[0], frame["profit"].cumsum()[:-1]])
    )

    falls, _ = resampled_drawdowns(ledger, simulations=500)

    steps = np.log(1 - falls) / np.log(0.8)
    assert (falls < 1).all()
    assert np.allclose(steps, np.round(steps), atol=1e-6)  # ln 1.25 = -ln 0.8


def test_the_sharpe_like_ratio_is_the_textbook_one():
    rng = np.random.default_rng(1)
    profits = rng.normal(0.2, 1, 365)
    ledger = path_ledger(profits, start=1e6)

    row = evaluate(ledger, simulations=1_000).loc["sharpe"]

    assert row["value"] == pytest.approx(profits.mean() / profits.std(ddof=1) * np.sqrt(365.25), rel=1e-3)
    assert row["low"] < row["value"] < row["high"]


def test_no_interval_of_the_evaluation_is_moved_by_a_copy_of_every_bet():
    ledger = ledger_of(seed=5)
    doubled = pd.concat([ledger, ledger.assign(bookmaker="twin")], ignore_index=True)
    doubled.attrs.update(ledger.attrs)

    one, two = (evaluate(book, simulations=1_000) for book in (ledger, doubled))

    for metric in ("yield", "hit_rate", "mean_price", "clv", "beat_close"):
        assert two.loc[metric, ["low", "high"]].tolist() == pytest.approx(
            one.loc[metric, ["low", "high"]].tolist()
        ), metric
    # dependence is seen: a copy of every bet asks for twice the bets
    assert (
        two.loc["bets_needed", "value"] == pytest.approx(2 * one.loc["bets_needed", "value"], abs=1)
        or one["value"]["yield"] <= 0
    )


def test_the_number_tried_deflates_the_p_and_the_verdict_says_so():
    wanted, ended, closing = season(4_000, seed=2, edge=0.03)
    ledger = backtest(wanted, ended, stake=Flat(1), closing=closing)
    alone, searched = (evaluate(ledger, tried=tried, simulations=500) for tried in (1, 2_000))

    assert searched.loc["luck_p_corrected", "value"] == pytest.approx(
        1 - (1 - alone.loc["luck_p", "value"]) ** 2_000
    )
    assert verdict(searched, ledger).startswith("A profit that luck may explain.")
    assert "as the best of 2,000 strategies in up to" in verdict(searched, ledger)
    assert "strategies" not in verdict(alone, ledger)
    with pytest.raises(ParameterError, match="tried is 0"):
        evaluate(ledger, tried=0)


def test_a_staking_rule_goes_on_to_the_luck_test(monkeypatch):
    module = sys.modules["overround.evaluation.merit"]  # the name overround.evaluate is the function
    seen = {}
    real = module.luck_test

    def spy(ledger, **more):
        seen.update(more)
        more.pop("stake", None)
        return real(ledger, **more)

    monkeypatch.setattr(module, "luck_test", spy)
    rule = Flat(2)
    evaluate(ledger_of(seed=1), stake=rule, simulations=100)

    assert seen["stake"] is rule


def test_an_empty_ledger_has_an_evaluation_without_numbers_it_cannot_have():
    ledger = ledger_of(seed=1)
    none = ledger.head(0)
    none.attrs.update(ledger.attrs)

    value = evaluate(none, simulations=100)["value"]

    assert value[["bets", "staked", "max_drawdown"]].tolist() == [0, 0, 0]
    assert value[["yield", "clv", "luck_p", "ruin", "sharpe", "bets_needed"]].isna().all()


def test_a_ledger_that_does_not_say_its_bankroll_has_no_drawdown_and_no_ruin():
    lost = path_ledger([-60.0, -10]).assign(bankroll_at_start=[100.0, 200.0])  # put together from two

    found = evaluate(lost, simulations=100)

    needed = [
        "max_drawdown",
        "drawdown_days",
        "under_water",
        "drawdown_median",
        "drawdown_95",
        "ruin",
        "roi",
        "sharpe",
        "final_bankroll",
    ]
    assert found.loc[needed, "value"].isna().all()  # ruin, the days and the time under water were 0
    assert found.loc["profit", "value"] == -70


def test_bets_without_a_stake_are_not_counted():
    ledger = ledger_of(seed=3)
    refused = pd.concat(
        [ledger, ledger.head(50).assign(stake=0.0, profit=0.0, price=90.0, clv=9.0)], ignore_index=True
    )
    refused.attrs.update(ledger.attrs)

    pd.testing.assert_frame_equal(evaluate(refused, simulations=200), evaluate(ledger, simulations=200))
