"""Staking rules: what they stake, and that theory holds for what then becomes of the money."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from overround import Flat, Kelly, Percentage, backtest, staking_rule
from overround.betting import DrawdownControl, EdgeProportional, SimultaneousKelly, TargetProfit
from overround.betting.staking import shrinkage, together
from overround.errors import ParameterError
from tests.support.books import KICK_OFF, bet, bets, result, results, season


def growth(stakes, price, probability):
    """Expected log wealth of independent bets on matches, by all their results."""
    n = len(stakes)
    total = 0.0
    for number in range(2**n):
        won = np.array([number >> i & 1 for i in range(n)], bool)
        chance = np.where(won, probability, 1 - probability).prod()
        total += chance * np.log(1 + (stakes * np.where(won, price - 1, -1.0)).sum())
    return total


def independent(price, probability):
    return bets(
        *(
            bet(f"m{i}", price=o, probability=p)
            for i, (o, p) in enumerate(zip(price, probability, strict=True))
        )
    )


def test_one_bet_is_staked_as_kelly_says():
    wanted = bets(bet(price=2.5, probability=0.5))

    assert together(wanted).tolist() == pytest.approx([1 / 6])  # (0.5 x 2.5 - 1) / 1.5
    assert SimultaneousKelly(0.5, 1.0).sizes(wanted)[1] == pytest.approx(Kelly(0.5, 1.0).sizes(wanted)[1])


def test_a_bet_at_an_exchange_is_staked_as_kelly_says_of_what_its_commission_leaves():
    rows = bets(
        bet(bookmaker="betfair_exchange", price=3.0, probability=0.4),
        bet("m2", bookmaker="betfair_exchange", price=3.0, probability=0.3, side="lay"),
    )
    ended = results(result(), result("m2", 0, 1))

    for rule in (Kelly(1.0, cap=1.0), SimultaneousKelly(1.0, cap=1.0)):
        back, lay = (
            backtest(rows[at : at + 1], ended, stake=rule, bankroll=1_000)["stake"].iloc[0] for at in (0, 1)
        )
        # 1 + 2 x 0.95 = 2.9 pays: (0.4 x 2.9 - 1) / 1.9; a lay bet risks 2 to win 0.95: 0.7 - 0.3 x 2 / 0.95
        # of the bankroll, 2 a unit
        assert back == pytest.approx(1_000 * 0.16 / 1.9)
        assert lay == pytest.approx(1_000 * (0.7 - 0.3 * 2 / 0.95) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_independent_bets_are_staked_where_expected_log_wealth_is_greatest(seed):
    rng = np.random.default_rng(seed)
    n = 2 + seed
    p = rng.uniform(0.2, 0.7, n)
    price = rng.uniform(0.98, 1.3, n) / p

    stakes = together(independent(price, p))

    found = minimize(lambda f: -growth(f, price, p), np.full(n, 0.05), bounds=[(0, 0.9 / n)] * n, tol=1e-12)
    assert stakes == pytest.approx(found.x, abs=1e-5)
    assert growth(stakes, price, p) >= -found.fun - 1e-13
    assert (stakes[price * p < 1] == 0).all()


def test_more_bets_than_can_be_enumerated_grow_nearly_as_fast():
    rng = np.random.default_rng(3)
    p = rng.uniform(0.2, 0.7, 10)
    price = rng.uniform(1.02, 1.2, 10) / p
    wanted = independent(price, p)

    best, near, alone = (
        growth(together(wanted, 10), price, p),
        growth(together(wanted, 1), price, p),
        Kelly(1.0, 1.0).sizes(wanted)[1],
    )

    assert 0.998 * best < near < best
    assert near > growth(alone, price, p)


def test_outcomes_of_one_market_are_staked_as_smoczynski_and_tomkins_say():
    p, price = np.array([0.55, 0.3, 0.15]), np.array([2.0, 3.5, 4.5])
    wanted = bets(
        *(
            bet("m1", outcome, o, probability=q)
            for outcome, o, q in zip(("home", "draw", "away"), price, p, strict=True)
        )
    )

    stakes = together(wanted)

    # expected returns 1.1, 1.05, 0.675; reserve (1 - 0.85) / (1 - 1/2 - 1/3.5) = 0.7; stakes 0.55 - 0.7/2 and
    # 0.3 - 0.7/3.5
    assert stakes == pytest.approx([0.2, 0.1, 0.0])
    # one more unit on a backed outcome, or kept, is worth the same at the maximum; on the other it is worth
    # less
    wealth = 1 - stakes.sum() + stakes * price
    assert p * price / wealth == pytest.approx([(p / wealth).sum()] * 2 + [0.15 * 4.5 / 0.7])
    assert (p / wealth).sum() > 0.15 * 4.5 / 0.7


def test_a_sure_profit_is_staked_by_probability():
    p = np.array([0.5, 0.3, 0.2])
    wanted = bets(
        *(
            bet("m1", outcome, o, probability=q)
            for outcome, o, q in zip(("home", "draw", "away"), (2.3, 3.8, 6.0), p, strict=True)
        )
    )

    assert together(wanted) == pytest.approx(p)  # 1/2.3 + 1/3.8 + 1/6 < 1


def test_of_two_prices_of_one_outcome_the_better_is_taken():
    wanted = bets(bet(bookmaker="a", price=2.0), bet(bookmaker="b", price=2.1))

    stakes = together(wanted)

    assert stakes == pytest.approx([0.0, (0.55 * 2.1 - 1) / 1.1], abs=1e-6)


def test_a_lay_bet_and_a_back_bet_on_one_market_know_of_each_other():
    wanted = bets(
        bet(price=2.3, probability=0.5), bet(price=3.5, probability=0.3, outcome="draw", side="lay")
    )
    price, p = wanted["price"].to_numpy(), np.array([0.5, 0.3, 0.2])
    returns = np.array([[1.3, 1 / 2.5], [-1.0, -1.0], [-1.0, 1 / 2.5]])

    stakes = together(wanted)

    found = minimize(
        lambda f: -(p * np.log(1 + returns @ f)).sum(), [0.05, 0.02], bounds=[(0, 0.45)] * 2, tol=1e-12
    )
    assert stakes == pytest.approx(found.x, abs=1e-5)
    # the engine stakes the backer's stake and ties up the liability
    assert SimultaneousKelly(1.0, 1.0).sizes(wanted)[1] == pytest.approx(stakes / [1, price[1] - 1])


def test_two_markets_of_one_match_are_staked_as_one_bet():
    alone = together(bets(bet()))
    both = together(bets(bet(), bet("m1", "over", market="totals", line=2.5)))

    assert both.sum() < 1.01 * alone.sum()


def test_bets_at_different_times_do_not_know_of_each_other():
    wanted = bets(bet("m1", price=2.3), bet("m2", price=2.3, placed="2025-03-01 13:00"))

    assert together(wanted) == pytest.approx(Kelly(1.0, 1.0).sizes(wanted)[1])


def played(n, price, p, rule, *, seed, estimate=None, error=0.0):
    """The ledger of n bets, one a day, at one price and true probability."""
    rng = np.random.default_rng(seed)
    estimate = np.full(n, p) if estimate is None else estimate
    start = pd.Series(KICK_OFF + pd.to_timedelta(np.arange(n), unit="D")).astype("datetime64[us, UTC]")
    event = np.array([f"m{i:06d}" for i in range(n)])
    wanted = (
        bets(bet())
        .take(np.zeros(n, int))
        .reset_index(drop=True)
        .assign(
            event_id=event,
            price=price,
            probability=estimate,
            edge=estimate * price - 1,
            edge_se=error * price,
            starts_at=start,
            placed_at=start - pd.Timedelta(hours=1),
        )
    )
    ended = (
        results(result())
        .take(np.zeros(n, int))
        .reset_index(drop=True)
        .assign(event_id=event, home_score=(rng.random(n) < p).astype(float))
    )
    return backtest(wanted, ended, stake=rule)


def test_kelly_grows_as_fast_as_theory_says():
    n, price, p = 4_000, 2.1, 0.52
    share = (p * price - 1) / (price - 1)
    expected = p * np.log(1 + share * (price - 1)) + (1 - p) * np.log(1 - share)
    spread = np.sqrt(p * (1 - p)) * (np.log(1 + share * (price - 1)) - np.log(1 - share))

    seen = [
        np.log(played(n, price, p, Kelly(1.0, 1.0), seed=seed)["bankroll"].iloc[-1] / 1_000) / n
        for seed in range(8)
    ]

    # the mean of 32,000 bets, within three standard errors
    assert np.mean(seen) == pytest.approx(expected, abs=3 * spread / np.sqrt(8 * n))
    # and the interval is narrow enough to tell it from staking twice as much, which grows by nothing
    assert 3 * spread / np.sqrt(8 * n) < expected


@pytest.mark.slow
def test_on_noisy_probabilities_shrunk_kelly_has_the_higher_median_growth():
    price, p, error, n = 2.06, 0.5, 0.04, 400
    growths = {False: [], True: []}
    for seed in range(40):
        estimate = np.clip(p + np.random.default_rng(1_000 + seed).normal(0, error, n), 0.05, 0.95)
        for shrink, seen in growths.items():
            ledger = played(n, price, p, Kelly(1.0, 1.0, shrink), seed=seed, estimate=estimate, error=error)
            seen.append(np.log(ledger["bankroll"].iloc[-1] / 1_000))

    assert np.median(growths[True]) > np.median(growths[False]) + 0.2


def test_shrinkage_is_that_of_baker_and_mchale():
    wanted = bets(bet(price=2.2, probability=0.5), bet("m2", price=2.2, probability=0.5)).assign(
        edge_se=[0.1, 0.0]
    )

    assert shrinkage(wanted) == pytest.approx([0.5, 1.0])  # edge 0.1: 0.01 / (0.01 + 0.01)
    plain, shrunk = Kelly(1.0, 1.0).sizes(wanted)[1], Kelly(1.0, 1.0, shrink=True).sizes(wanted)[1]
    assert shrunk == pytest.approx(plain * [0.5, 1.0])
    assert SimultaneousKelly(1.0, 1.0, shrink=True).sizes(wanted)[1] == pytest.approx(
        together(wanted) * [0.5, 1.0]
    )


def test_shrunk_kelly_needs_the_standard_error_of_the_edge():
    with pytest.raises(ParameterError, match="edge_se"):
        Kelly(shrink=True).sizes(bets(bet()))


def test_a_drawdown_is_never_larger_than_what_the_rule_promises():
    wanted, ended, _ = season(600, seed=4)
    ended = ended.assign(home_score=np.where(np.arange(600) < 200, ended["home_score"], 0.0), away_score=1.0)

    bold, careful = (
        backtest(wanted, ended, stake=rule)
        for rule in (Percentage(0.3), DrawdownControl(Percentage(0.3), 0.2))
    )

    def deepest(ledger):
        path = np.append(1_000, ledger.groupby("settled_at")["bankroll"].last())
        return (1 - path / np.maximum.accumulate(path)).max()

    assert deepest(bold) > 0.9
    assert 0.15 < deepest(careful) <= 0.2 + 1e-9


def test_the_surplus_shrinks_with_the_distance_to_the_floor():
    wanted = bets(
        bet("m1", placed="2025-03-01 12:00"),
        bet("m2", placed="2025-03-02 12:00", start=KICK_OFF + pd.Timedelta(days=1)),
    )

    ledger = backtest(
        wanted, results(result("m1", 0, 1), result("m2")), stake=DrawdownControl(Percentage(0.5), 0.2)
    )

    assert ledger["stake"].tolist() == pytest.approx(
        [100.0, 50.0]
    )  # half of 1000 - 800, then half of 900 - 800


def test_a_win_brings_the_target_whatever_the_price():
    wanted = bets(bet("m1", price=1.5), bet("m2", price=4.0), bet("m3", price=4.0, side="lay"))

    ledger = backtest(wanted, results(result("m1"), result("m2"), result("m3", 0, 1)), stake=TargetProfit(30))

    assert ledger["profit"].tolist() == pytest.approx([30.0] * 3)


def test_the_edge_is_staked_in_proportion_and_never_below_nothing():
    wanted = bets(
        bet("m1", price=2.0, probability=0.52),
        bet("m2", price=2.0, probability=0.45),
        bet("m3", price=2.0, probability=0.9),
    )

    assert EdgeProportional(0.5, 0.1).sizes(wanted)[1] == pytest.approx([0.02, 0.0, 0.1])


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        ("flat", Flat(0.5)),
        ("percentage", Percentage(0.5)),
        ("target", TargetProfit(0.5)),
        ("edge", EdgeProportional(0.5, 0.1)),
        ("kelly", Kelly(0.5, 0.1)),
        ("kelly-shrunk", Kelly(0.5, 0.1, shrink=True)),
        ("kelly-joint", SimultaneousKelly(0.5, 0.1)),
        ("kelly-joint-shrunk", SimultaneousKelly(0.5, 0.1, shrink=True)),
        ("kelly-drawdown", DrawdownControl(Kelly(0.5, 0.1), 0.3)),
    ],
)
def test_rules_are_known_by_their_names(kind, rule):
    assert staking_rule(kind, 0.5, 0.1, 0.3) == rule


def test_an_unknown_rule_is_told_the_names_of_those_that_exist():
    with pytest.raises(
        ParameterError,
        match=r"staking 'martingale' is unknown; the rules are flat, percentage, target, edge, kelly",
    ):
        staking_rule("martingale", 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SimultaneousKelly(exact=20),
        lambda: DrawdownControl(most=1.0),
        lambda: TargetProfit(0),
        lambda: EdgeProportional(0.5, 2),
    ],
)
def test_impossible_rules_are_refused(make):
    with pytest.raises(ParameterError, match=r"must be|share between"):
        make()
