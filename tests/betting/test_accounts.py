"""Accounts with their limits, and what becomes of a price and a stake on the way to the bookmaker."""

import numpy as np
import pandas as pd
import pytest

from overround import Account, Execution, Flat, Kelly, Percentage, arbitrage_signals, backtest
from overround.betting.accounts import TAKEN, worse_prices
from overround.errors import ParameterError
from overround.schema import LEDGER_COLUMNS
from tests.support.books import KICK_OFF, bet, bets, quotes, result, results, season, three_way

RULE = Flat(100)


def one(price=2.0, *, score=(1, 0), rule=RULE, bookmaker="acme", bankroll=1_000, commission=None, **more):
    """The ledger row of a single bet."""
    wanted = bets(bet(price=price, bookmaker=bookmaker))
    return backtest(
        wanted,
        results(result("m1", *score)),
        stake=rule,
        bankroll=bankroll,
        commission=commission or {},
        **more,
    ).iloc[0]


def test_each_account_has_its_own_money():
    wanted = bets(bet("m1", bookmaker="rich"), bet("m2", bookmaker="poor"))
    accounts = [Account("rich", 1_000), Account("poor", 100)]

    ledger = backtest(
        wanted, results(result("m1"), result("m2", 0, 1)), stake=Percentage(0.5), accounts=accounts
    ).set_index("bookmaker")

    assert ledger["stake"].to_dict() == {"rich": 500.0, "poor": 50.0}
    assert ledger["account_bankroll"].to_dict() == {"rich": 1500.0, "poor": 50.0}
    assert ledger["bankroll"].iloc[-1] == 1550.0
    assert set(ledger["bankroll_at_start"]) == {1100.0}


def test_accounts_without_their_own_money_share_the_bankroll():
    wanted = bets(bet("m1", bookmaker="a"), bet("m2", bookmaker="b"))

    ledger = backtest(
        wanted, results(result("m1"), result("m2")), stake=Flat(800), accounts=[Account("a"), Account("b")]
    )

    assert ledger["stake"].tolist() == pytest.approx([500.0, 500.0])
    assert ledger.attrs == {
        "bankroll": 1000.0,
        "unsettled": 0,
        "refused": {},
        "reduced": {"short of money": 2},
    }


def test_a_bet_without_an_account_is_in_the_ledger_with_no_stake():
    wanted = bets(bet("m1", bookmaker="acme"), bet("m2", bookmaker="elsewhere"))

    ledger = backtest(wanted, results(result("m1"), result("m2")), accounts=[Account("acme")]).set_index(
        "event_id"
    )

    assert ledger["taken"].to_dict() == {"m1": "full", "m2": "no account"}
    assert ledger.loc["m2", ["stake", "profit"]].tolist() == [0, 0]
    assert ledger.attrs["refused"] == {"no account": 1}


@pytest.mark.parametrize(
    ("account", "price", "stake", "taken"),
    [
        ({"max_stake": 40}, 2.0, 40.0, "limited"),
        ({"max_payout": 150}, 2.0, 75.0, "limited"),  # 75 x 2.00
        ({"min_stake": 101}, 2.0, 0.0, "below minimum"),
        ({"min_stake": 100}, 2.0, 100.0, "full"),
        ({"stake_step": 30}, 2.0, 90.0, "full"),
        ({"stake_step": 200}, 2.0, 0.0, "below minimum"),
        ({"max_stake": 66.67, "stake_step": 0.01}, 2.0, 66.67, "limited"),
    ],
)
def test_an_account_limits_its_stakes(account, price, stake, taken):
    row = one(price, accounts=[Account("acme", **account)])

    assert (row["stake"], row["asked"], row["taken"]) == (pytest.approx(stake), 100.0, taken)


def test_commission_on_an_exchange_is_on_the_net_of_a_market_only():
    # back 100 at 3.0 and lay 60 at 2.5 on the same outcome, won: 200 - 90 = 110 net, of which 5 % is 5.5; on
    # a market that lost: none; and what another market lost does not count
    wanted = bets(
        bet("m1", price=3.0, bookmaker="x"),
        bet("m1", price=2.5, side="lay", bookmaker="x"),
        bet("m1", "over", price=2.0, market="totals", line=2.5, bookmaker="x"),
        bet("m2", price=2.0, bookmaker="x"),
    )
    wanted["amount"] = [100.0, 60.0, 10.0, 10.0]

    class Given:
        def sizes(self, signals):
            return signals["amount"].to_numpy(), np.zeros(len(signals))

    ledger = backtest(wanted, results(result("m1"), result("m2")), stake=Given(), commission={"x": 0.05})

    profit = ledger.groupby(["event_id", "market"])["profit"].sum().to_dict()
    assert profit == pytest.approx({("m1", "h2h"): 110 - 5.5, ("m1", "totals"): -10, ("m2", "h2h"): 9.5})
    assert ledger["bankroll"].iloc[-1] == pytest.approx(1000 + 110 - 5.5 - 10 + 9.5)


def test_prices_to_back_and_to_lay_are_of_one_market():
    wanted = bets(
        bet("m1", price=3.0, bookmaker="x"),
        bet("m1", "away", price=3.0, market="h2h_lay", side="lay", bookmaker="x"),
    )

    ledger = backtest(wanted, results(result("m1", 0, 1)), stake=Flat(100), commission={"x": 0.05})

    assert ledger["profit"].sum() == -100 - 200  # both lost
    drawn = backtest(wanted, results(result("m1", 0, 0)), stake=Flat(100), commission={"x": 0.05})
    assert drawn["profit"].sum() == 0  # -100 + 100: nothing won on the market, nothing kept


@pytest.mark.parametrize(("score", "profit"), [((1, 0), 100 - 5), ((0, 1), -100 - 5), ((None, None), 0)])
def test_commission_on_turnover_is_on_every_stake_that_is_not_void(score, profit):
    row = one(score=score, accounts=[Account("acme", commission=0.05, commission_on="turnover")])

    assert row["profit"] == pytest.approx(profit)


def test_commission_on_turnover_is_money_that_must_be_there():
    row = one(
        rule=Flat(1_000), score=(0, 1), accounts=[Account("acme", commission=0.25, commission_on="turnover")]
    )

    assert (row["stake"], row["bankroll"]) == (800.0, 0.0)  # 800 + 200


def test_a_bankrupt_account_takes_no_more_bets_and_the_others_go_on():
    at = [str(KICK_OFF + pd.Timedelta(days=day))[:19] for day in range(3)]
    rows = [
        bet(f"{name}{day}", bookmaker=name, placed=at[day], start=KICK_OFF + pd.Timedelta(days=day))
        for day in range(3)
        for name in "ab"
    ]
    ended = results(*(result(f"a{day}", 0, 1) for day in range(3)), *(result(f"b{day}") for day in range(3)))

    ledger = backtest(
        bets(*rows), ended, stake=Flat(100), accounts=[Account("a", 100), Account("b", 100)]
    ).set_index("event_id")

    assert ledger.loc[["a0", "a1", "a2"], "taken"].tolist() == ["full", "bankrupt", "bankrupt"]
    assert ledger.loc[["b0", "b1", "b2"], "stake"].tolist() == [100.0] * 3
    assert ledger.attrs["refused"] == {"bankrupt": 2}


def test_slippage_takes_a_share_of_the_profit_part():
    got = worse_prices(np.array([2.0, 2.0]), np.array([False, True]), Execution(slippage=0.02))

    assert got.tolist() == pytest.approx([1.98, 2.02])
    row = one(execution=Execution(slippage=0.02))
    assert (row["price"], row["wanted_price"], row["profit"]) == pytest.approx((1.98, 2.0, 98.0))


@pytest.mark.parametrize(
    ("price", "ticks", "back", "lay"),
    [  # Betfair's ladder: 0.01 to 2, 0.02 to 3, 0.05 to 4, 0.1 to 6, 0.2 to 10, 0.5 to 20, 1 to 30, 2 to 50, 5 to 100, 10 to 1000
        (2.0, 1, 1.99, 2.02),
        (2.02, 1, 2.0, 2.04),
        (3.0, 2, 2.96, 3.1),
        (4.1, 2, 3.95, 4.3),
        (10.0, 1, 9.8, 10.5),
        (100.0, 1, 95.0, 110.0),
        (1.01, 3, 1.01, 1.04),
        (1000.0, 1, 990.0, 1000.0),
        (2.01, 1, 2.0, 2.02),
    ],
)
def test_ticks_go_down_the_ladder_to_back_and_up_to_lay(price, ticks, back, lay):
    got = worse_prices(np.array([price, price]), np.array([False, True]), Execution(ticks=ticks))

    assert got.tolist() == pytest.approx([back, lay])


def test_stakes_are_sized_at_the_price_that_was_wanted():
    plain, worse = one(rule=Kelly(1.0, 1.0)), one(rule=Kelly(1.0, 1.0), execution=Execution(slippage=0.1))

    assert plain["stake"] == worse["stake"] == pytest.approx(100.0)  # (0.55 x 2 - 1) / 1


def test_refusals_are_as_frequent_as_asked_and_the_same_for_a_seed():
    wanted, ended, _ = season(2_000, seed=1)

    ledger = backtest(wanted, ended, stake=Flat(1), execution=Execution(refusal=0.3, seed=5))
    again = backtest(
        wanted.sample(frac=1, random_state=1), ended, stake=Flat(1), execution=Execution(refusal=0.3, seed=5)
    )
    other = backtest(wanted, ended, stake=Flat(1), execution=Execution(refusal=0.3, seed=6))

    assert ledger.attrs["refused"]["refused"] == (ledger["stake"] == 0).sum() == pytest.approx(600, abs=80)
    pd.testing.assert_frame_equal(ledger, again, check_exact=True)
    assert (ledger["stake"] != other["stake"]).any()


def test_a_refused_bet_can_be_taken_in_part():
    ledger = backtest(*season(200, seed=1)[:2], stake=Flat(10), execution=Execution(refusal=0.5, partial=0.4))

    assert sorted(set(ledger["stake"])) == [4.0, 10.0]
    assert ledger.attrs["reduced"] == {"partly": (ledger["stake"] == 4).sum()}


@pytest.mark.parametrize(("cut", "stake", "taken"), [(True, 30.0, "partly"), (False, 0.0, "too large")])
def test_a_stake_above_the_size_is_cut_or_refused(cut, stake, taken):
    row = one(execution=Execution(size=30, cut_to_size=cut))

    assert (row["stake"], row["taken"]) == (stake, taken)


@pytest.mark.parametrize(
    ("columns", "execution", "taken"),
    [
        ({}, {"delay_s": 30, "price_life_s": 20}, "price gone"),
        ({}, {"delay_s": 20, "price_life_s": 20}, "full"),
        ({"priced_at": "2025-03-01 11:59:30"}, {"price_life_s": 20}, "price gone"),
        ({"priced_at": "2025-03-01 11:59:50"}, {"price_life_s": 20}, "full"),
        ({"price_until": "2025-03-01 12:00:10"}, {"delay_s": 20}, "price gone"),
        ({"price_until": "2025-03-01 12:00:10"}, {"delay_s": 5}, "full"),
        ({"price_until": None}, {"delay_s": 20}, "full"),
        ({}, {"delay_s": 4 * 3600}, "after kick-off"),
    ],
)
def test_a_price_is_there_for_a_given_time_only(columns, execution, taken):
    times = {
        name: pd.Series([pd.Timestamp(at, tz="UTC")], dtype="datetime64[us, UTC]")
        for name, at in columns.items()
    }

    row = backtest(bets(bet()).assign(**times), results(result()), execution=Execution(**execution)).iloc[0]

    assert row["taken"] == taken
    assert (row["stake"] > 0) == (taken == "full")
    assert row["placed_at"] == pd.Timestamp("2025-03-01 12:00", tz="UTC") + pd.Timedelta(
        seconds=execution.get("delay_s", 0)
    )


def test_nothing_asked_gives_the_same_ledger_and_no_new_column():
    wanted, ended, _ = season(500, seed=2)

    plain = backtest(wanted, ended, stake=Kelly(0.5))
    asked = backtest(wanted, ended, stake=Kelly(0.5), accounts=[Account("acme")], execution=Execution())

    assert list(plain.columns) == [*LEDGER_COLUMNS, "starts_at", "competition", "season"]
    pd.testing.assert_frame_equal(plain, asked[plain.columns], check_exact=True)
    assert set(asked["taken"]) <= set(TAKEN)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Account("a", bankroll=0), "account at 'a': bankroll is 0"),
        (lambda: Account("a", max_stake=-1), "max_stake is -1"),
        (lambda: Account("a", stake_step=-0.01), "stake_step is -0.01"),
        (lambda: Account("a", commission=1.0), "commission at 'a' is 1.0"),
        (lambda: one(commission={"acme": 5}), "commission at 'acme' is 5; it is a share, from 0 to below 1"),
        (
            lambda: arbitrage_signals(quotes(three_way()), commission={"acme": -0.05}),
            "commission at 'acme' is -0.05",
        ),
        (lambda: Account("a", commission_on="profit"), "allowed: winnings, turnover"),
        (lambda: Execution(refusal=1.5), "refusal is 1.5.*at most 1"),
        (lambda: Execution(ticks=-1), "ticks is -1"),
        (lambda: Execution(size=0), "size is 0"),
        (lambda: one(accounts=[]), "at least one.*got none"),
        (lambda: one(accounts=[Account("a"), Account("a")]), "one a bookmaker; got a, a"),
    ],
)
def test_impossible_accounts_are_refused(make, what):
    with pytest.raises(ParameterError, match=what):
        make()
