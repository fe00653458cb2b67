"""The luck test: what it draws, that it rejects as often as it says, and that it finds an edge."""

import numpy as np
import pandas as pd
import pytest

from overround import Account, Execution, Flat, Kelly, Percentage, backtest, luck_test
from overround.errors import ParameterError
from overround.evaluation import luck_band
from overround.evaluation.drawdown import bankroll_at_start
from tests.support.books import KICK_OFF, bet, bets, result, results, season, whole
from tests.support.reference_book import play, random_case


def sized(n=400, *, seed, edge=0.0, claimed=0.03, rule, **more):
    """A ledger of bets that claim an edge, on prices `edge` better than fair."""
    wanted, ended, closing = season(n, seed=seed, edge=edge)
    p = np.minimum((1 + claimed) / wanted["price"], 0.95)
    return backtest(
        wanted.assign(probability=p, edge=p * wanted["price"] - 1), ended, stake=rule, closing=closing, **more
    )


def closed(wanted, fair):
    return wanted[["event_id", "market", "line", "outcome", "bookmaker"]].assign(
        closing_price=wanted["price"], closing_fair=fair
    )


def test_a_single_bet_is_as_lucky_as_its_closing_probability():
    wanted = bets(bet(price=4.0))
    ledger = backtest(wanted, results(result()), stake=Flat(10), closing=closed(wanted, 0.25))

    assert luck_test(ledger, simulations=40_000)["p"] == pytest.approx(0.25, abs=0.007)


def test_stakes_are_sized_again_in_every_history():
    # two bets of half the bankroll at 2.0, one after the other, both won: 1000 -> 1500 -> 2250
    wanted = bets(bet("m1"), bet("m2", placed="2025-03-02 12:00", start=KICK_OFF + pd.Timedelta(days=1)))
    ledger = backtest(
        wanted, results(result("m1"), result("m2")), stake=Percentage(0.5), closing=closed(wanted, 0.5)
    )

    again = luck_band(ledger, simulations=4_000, stake=Percentage(0.5), levels=(0.0, 0.5, 1.0))
    as_they_were = luck_band(ledger, simulations=4_000, levels=(0.0, 1.0))

    assert again.iloc[-1].tolist() == pytest.approx(
        [-750, -250, 1250]
    )  # 250, 750 (two histories of four) and 2250
    assert as_they_were.iloc[-1].tolist() == pytest.approx([-1250, 1250])
    assert luck_test(ledger, stake=Percentage(0.5))["restaked"] is True
    assert luck_test(ledger)["restaked"] is False


def test_flat_stakes_that_money_never_limits_are_the_same_sized_again_or_not():
    ledger = sized(seed=3, rule=Flat(1))

    plain, again = luck_test(ledger), luck_test(ledger, stake=Flat(1))

    assert plain["p"] == again["p"]
    assert plain["profit"] == pytest.approx(again["profit"])


@pytest.mark.parametrize("seed", range(12))
def test_a_history_with_the_ledgers_own_results_is_the_ledger(seed):
    # closing probabilities of 0 and 1 leave nothing to draw: every history is what happened, under all limits
    case = random_case(seed)
    half = {"h2h": None, "totals": 2.5, "spreads": -0.5}
    case.bets = [{**one, "line": half[one["market"]], "home": one["home"] or 0} for one in case.bets]
    keys = [(one["event"], one["market"], one["outcome"], one["bookmaker"], one["side"]) for one in case.bets]
    case.bets = [one for i, one in enumerate(case.bets) if keys.index(keys[i]) == i]
    for one in case.bets:
        one.pop("accepted", None)
    ledger = whole(case)
    won = ledger["result"].isin(["won"]) == (ledger["side"] == "back")
    ledger["closing_fair"] = won.astype(float)
    accounts = None
    if case.accounts is not None:
        accounts = [
            Account(
                name,
                rule.bankroll,
                rule.most,
                rule.payout,
                rule.minimum,
                rule.step,
                rule.fee or rule.tax,
                "turnover" if rule.tax else "winnings",
            )
            for name, rule in case.accounts.items()
        ]
    execution = Execution(size=case.size, cut_to_size=case.cut_to_size) if np.isfinite(case.size) else None

    class Given:
        floor = case.floor

        def sizes(self, signals):
            which = signals["strategy"].astype(int)
            return np.array([case.bets[i]["amount"] for i in which]), np.array(
                [case.bets[i]["share"] for i in which]
            )

    expected = luck_test(
        ledger, simulations=20, stake=Given(), accounts=accounts, execution=execution, commission=case.fees
    )["expected"]
    band = luck_band(
        ledger,
        simulations=20,
        stake=Given(),
        accounts=accounts,
        execution=execution,
        commission=case.fees,
        levels=(0.0, 1.0),
    )

    _, trail = play(case)
    # what the close knows of the profit for sure is taken out where it is an advantage
    gone = ledger["profit"].sum() if expected > 0 else 0.0
    assert band[0.0].iloc[-1] == pytest.approx(band[1.0].iloc[-1])
    if expected <= 0:
        assert band[0.0].iloc[-1] == pytest.approx(trail[-1][1] - bankroll_at_start(ledger), abs=1e-6)
    else:
        assert abs(band[0.0].iloc[-1]) <= gone + 1e-6


def test_a_rule_that_did_not_make_the_ledger_is_refused():
    ledger = sized(seed=1, rule=Kelly(0.5))

    with pytest.raises(ParameterError, match="not the rule that made this ledger"):
        luck_test(ledger, stake=Kelly(0.25))
    with pytest.raises(ParameterError, match="not the rule that made this ledger"):
        luck_test(ledger.iloc[50:].set_axis(range(350)), stake=Kelly(0.5))


def test_a_part_of_a_ledger_without_its_start_needs_the_bankroll_to_be_staked_again():
    ledger = sized(seed=1, rule=Kelly(0.5))
    stored = ledger.drop(columns="bankroll_at_start")
    stored.attrs = {}
    unknown = stored.assign(bankroll=stored["bankroll"] + np.arange(len(stored)))

    with pytest.raises(ParameterError, match="give `bankroll`"):
        luck_test(unknown, stake=Kelly(0.5))
    assert luck_test(unknown, stake=Kelly(0.5), bankroll=1_000) == luck_test(ledger, stake=Kelly(0.5))
    assert luck_test(stored, stake=Kelly(0.5), bankroll=1_000) == luck_test(ledger, stake=Kelly(0.5))


def test_refusals_and_limits_hold_in_every_history():
    how = {
        "accounts": [Account("acme", max_stake=30, stake_step=1)],
        "execution": Execution(refusal=0.3, slippage=0.01, size=25),
    }
    ledger = sized(seed=2, rule=Kelly(0.5), **how)

    tested = luck_test(ledger, stake=Kelly(0.5), simulations=2_000, **how)

    assert tested["bets"] == 400
    assert 0 < tested["p"] < 1
    # most of what could be won, in one history: nobody wins more than the largest stakes do
    most = (25 * (ledger["price"] - 1) * (ledger["accepted"] > 0)).sum()
    assert luck_band(ledger, stake=Kelly(0.5), levels=(1.0,), **how)[1.0].max() < most


def test_the_histories_do_not_depend_on_the_number_of_threads(monkeypatch):
    ledger = sized(seed=5, rule=Kelly(0.5))

    several = luck_band(ledger, stake=Kelly(0.5), simulations=2_000)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    alone = luck_band(ledger, stake=Kelly(0.5), simulations=2_000)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(7)))
    many = luck_band(ledger, stake=Kelly(0.5), simulations=2_000)

    pd.testing.assert_frame_equal(several, alone, check_exact=True)
    pd.testing.assert_frame_equal(several, many, check_exact=True)
    assert not several.equals(luck_band(ledger, stake=Kelly(0.5), simulations=2_000, seed=8))


def test_what_the_close_confirms_is_an_edge_and_not_luck():
    # prices 5 % better than the close: histories that kept that advantage would do as well as the bettor
    ledger = sized(3_000, seed=1, edge=0.05, rule=Kelly(0.25), claimed=0.05)

    tested = luck_test(ledger, stake=Kelly(0.25), simulations=2_000)

    assert tested["p"] < 0.05
    assert tested["expected"] > 0
    band = luck_band(ledger, stake=Kelly(0.25), simulations=2_000, levels=(0.5,))
    assert (
        band[0.5].iloc[-1] < 0
    )  # fair bets, each history a martingale: the median loses where the mean does not


def test_lines_push_as_often_as_they_did():
    # a handicap of 0 at evens: three of ten were draws
    n = 1_000
    wanted = bets(
        *(
            bet(
                f"m{i}",
                market="spreads",
                line=0.0,
                start=KICK_OFF + pd.Timedelta(days=i),
                placed="2025-03-01 12:00",
            )
            for i in range(n)
        )
    )
    ended = results(
        *(result(f"m{i}", 1 if i % 10 < 3 else 2, 1 if i % 2 or i % 10 < 3 else 3) for i in range(n))
    )
    ledger = backtest(wanted, ended, stake=Flat(1), bankroll=10_000, closing=closed(wanted, 0.5))
    assert (ledger["result"] == "push").mean() == 0.3

    band = luck_band(ledger, simulations=4_000, levels=(0.1587, 0.8413))

    # the standard deviation of 700 bets of one unit, not of 1,000
    assert (band[0.8413] - band[0.1587]).iloc[-1] / 2 == pytest.approx(np.sqrt(700), rel=0.06)


@pytest.mark.parametrize(
    ("market", "line", "outcome", "won", "middle"),
    [
        ("totals", 2.75, "over", (3, 1), 3),
        ("totals", 2.25, "over", (3, 1), 2),
        ("totals", 2.25, "under", (1, 0), 2),
        ("spreads", -0.25, "home", (1, 0), 0),
        ("spreads", -0.25, "away", (0, 1), 0),
        ("spreads", 0.25, "home", (1, 0), 0),
    ],
)
def test_quarter_lines_are_fair_at_the_price_of_the_close(market, line, outcome, won, middle):
    n = 300
    wanted = bets(*(bet(f"m{i}", outcome, 2.5, market=market, line=line) for i in range(n)))
    scores = [
        (middle, 0) if i % 4 == 0 and market == "totals" else (1, 1) if i % 4 == 0 else won for i in range(n)
    ]
    ledger = backtest(
        wanted,
        results(*(result(f"m{i}", *score) for i, score in enumerate(scores))),
        stake=Flat(1),
        closing=closed(wanted, 0.4),
    )
    assert set(ledger["result"]) <= {"won", "half_won", "half_lost"}
    assert ledger["result"].str.startswith("half").mean() == 0.25

    tested = luck_test(ledger, simulations=4_000)
    band = luck_band(ledger, simulations=4_000, levels=(0.5,))

    assert tested["expected"] == pytest.approx(0.0, abs=1e-9)  # 0.4 x 2.5
    assert band[0.5].iloc[-1] == pytest.approx(0.0, abs=1.5)


def test_bets_on_different_lines_of_one_match_are_drawn_together():
    # over 2.5 and under 3.5 of one match: at least one of the two wins, in every history
    wanted = bets(bet("m1", "over", market="totals", line=2.5), bet("m1", "under", market="totals", line=3.5))
    ledger = backtest(
        wanted, results(result("m1", 2, 1)), stake=Flat(10), closing=closed(wanted, [0.5, 0.75])
    )

    lowest = luck_band(ledger, simulations=2_000, levels=(0.0,))[0.0].iloc[-1]

    assert lowest == pytest.approx(
        0 - 5
    )  # one won, one lost; the close says that they were worth 5 together, which is taken out


def test_a_handicap_and_the_result_of_a_match_are_drawn_together():
    wanted = bets(bet("m1", "home"), bet("m1", "home", market="spreads", line=-0.5, side="lay"))
    ledger = backtest(wanted, results(result("m1")), stake=Flat(10), closing=closed(wanted, [0.5, 0.5]))

    spread = luck_band(ledger, simulations=500, levels=(0.0, 1.0)).iloc[-1]

    assert spread.tolist() == pytest.approx([0.0, 0.0])


def efficient(seed, rule, n=400):
    ledger = sized(n, seed=seed, rule=rule)
    return luck_test(ledger, simulations=400, seed=1, stake=rule)["p"]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Flat(1), Kelly(0.5)])
def test_on_efficient_markets_the_luck_test_rejects_as_often_as_it_says(rule):
    p = np.array([efficient(seed, rule) for seed in range(200)])

    # 200 tries at 5 %: between 4.4 and 17.2, that is 2.2 to 8.6 %, with 95 % probability
    assert 0.022 <= (p <= 0.05).mean() <= 0.086
    assert 0.4 < p.mean() < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("rule", [Flat(1), Kelly(0.25)])
def test_an_edge_of_three_per_cent_over_five_thousand_bets_is_found(rule):
    # at prices near 1.5 the standard error of the yield is 1.0 %; at 2.0 it is 1.4 % and no test of profit
    # has a power above 0.72
    found = []
    for seed in range(60):
        wanted, ended, closing = favourites(5_000, seed)
        ledger = backtest(wanted, ended, stake=rule, closing=closing, bankroll=10_000)
        found.append(luck_test(ledger, simulations=1_000, stake=rule)["p"] <= 0.05)

    assert np.mean(found) > 0.8


def favourites(n, seed):
    """Bets on favourites, results and closing lines, at prices that are 3 % better than fair."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.6, 0.75, n)
    start = pd.Series(KICK_OFF + pd.to_timedelta(np.arange(n) // 5, unit="D")).astype("datetime64[us, UTC]")
    event = np.array([f"m{i:05d}" for i in range(n)])
    wanted = (
        bets(bet())
        .take(np.zeros(n, int))
        .reset_index(drop=True)
        .assign(
            event_id=event,
            price=1.03 / p,
            probability=p,
            edge=0.03,
            starts_at=start,
            placed_at=start - pd.Timedelta(hours=3),
        )
    )
    ended = results(result()).take(np.zeros(n, int)).reset_index(drop=True)
    ended = ended.assign(event_id=event, home_score=(rng.random(n) < p).astype(float))
    return wanted, ended, closed(wanted, p)
