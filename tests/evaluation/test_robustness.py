"""Checks on a ledger: a few bets, worse prices, later prices, other prices, wrong prices, prices that are
missing.
"""

import numpy as np
import pandas as pd
import pytest

from overround import Flat, backtest, baselines, closing_lines, example, value_signals
from overround.errors import ParameterError
from overround.evaluation import (
    across_methods,
    always_quoted,
    at_each_price,
    bets_needed,
    delay_curve,
    delayed,
    haircut,
    missing_odds,
    suspicious,
    without_best,
    wrong_prices,
)
from overround.evaluation.drawdown import bankroll_at_start
from overround.evaluation.other_prices import only_one
from overround.signals import blind_signals
from tests.support.books import (
    KICK_OFF,
    bet,
    bets,
    efficient_market,
    noisy_quotes,
    quotes,
    result,
    results,
    three_way,
)


@pytest.fixture(scope="module")
def market():
    return noisy_quotes(300, 8, seed=1)


@pytest.fixture(scope="module")
def blind(market):
    shown, ended = market
    return backtest(
        blind_signals(shown, "b3", "home"), ended, stake=Flat(1), closing=closing_lines(shown, "b0")
    )


def test_leaving_the_best_bets_out_is_what_a_calculator_says():
    wanted = bets(*(bet(f"m{i}", price=price) for i, price in enumerate((11.0, 2.0, 2.0, 2.0))))
    ledger = backtest(
        wanted, results(result("m0"), result("m1"), result("m2", 0, 1), result("m3", 0, 1)), stake=Flat(10)
    )

    table = without_best(ledger, counts=(1, 2))

    assert table["profit"].to_dict() == pytest.approx(
        {"none": 90, "best 1": -10, "best 2": -20, "best 1 %": -10}
    )
    assert table.loc["best 1", ["bets", "yield", "share_of_profit"]].tolist() == pytest.approx(
        [3, -1 / 3, 100 / 90]
    )
    assert without_best(ledger[ledger["profit"] < 0])["share_of_profit"].isna().all()


def test_worse_prices_never_help_and_do_what_a_calculator_says():
    wanted = bets(
        bet("m1", price=3.0),
        bet("m2", price=2.0),
        bet("m3", price=4.0, side="lay"),
        bet("m4", price=4.0, side="lay"),
    )
    ended = results(result("m1"), result("m2", 0, 1), result("m3"), result("m4", 0, 1))
    ledger = backtest(wanted, ended, stake=Flat(10))

    table = haircut(ledger, (0, 0.01, 0.03, 0.5), simulations=50)

    # won 20 - 0.3 at 2.97; lost 10; the lay lost 30 + 0.4 at 4.04 and won 10
    assert table.loc[0.0, "profit"] == pytest.approx(20 - 10 - 30 + 10)
    assert table.loc[0.01, "profit"] == pytest.approx(19.7 - 10 - 30.4 + 10)
    assert (table["profit"].diff().dropna() < 0).all()
    with pytest.raises(ParameterError, match="cut of 1"):
        haircut(ledger, (1,))


def test_the_yield_falls_with_every_haircut(blind):
    table = haircut(blind, simulations=50)

    assert len(table) == 7
    assert (table["yield"].diff().dropna() < 0).all()
    assert (table[["low", "high"]].diff().dropna() < 0).all().all()
    assert (table["clv"].diff().dropna() < 0).all()


def timed(*prices, start=KICK_OFF):
    """The home price of one bookmaker at so many hours before kick-off."""
    return quotes(
        *(
            row
            for hours, price in prices
            for row in three_way(
                prices=(price, 3.5, 4.0), phase="snapshot", at=str(start - pd.Timedelta(hours=hours))[:19]
            )
        )
    )


def test_a_later_bet_gets_the_price_that_stands_then_and_none_after_kick_off():
    shown = timed((5, 2.4), (4, 2.2), (3, 2.1), (1, 2.6))
    wanted = bets(bet(price=2.4, placed="2025-03-01 10:00"))

    def price(minutes):
        return delayed(wanted, shown, minutes)["price"].tolist()

    assert [price(m) for m in (0, 59, 60, 119, 121, 240)] == [[2.4], [2.4], [2.2], [2.2], [2.1], [2.6]]
    moved = delayed(wanted, shown, 60)
    assert moved["placed_at"].tolist() == [pd.Timestamp("2025-03-01 11:00", tz="UTC")]
    assert moved["edge"].tolist() == pytest.approx([0.55 * 2.2 - 1])
    assert delayed(wanted, shown, 300).empty
    assert delayed(wanted, shown, 300).attrs["dropped"] == 1
    with pytest.raises(ParameterError, match="before its signal"):
        delayed(wanted, shown, -1)


def test_a_delay_costs_a_strategy_that_lives_on_being_first():
    rng = np.random.default_rng(3)
    rows, wanted, ended = [], [], []
    for i in range(150):
        start = KICK_OFF + pd.Timedelta(days=i // 3)
        event = f"m{i}"
        for hours, price in ((5, 2.3), (4.9, 2.0)):  # the price is corrected after six minutes
            rows += three_way(
                event,
                prices=(price, 3.5, 4.0),
                phase="snapshot",
                at=str(start - pd.Timedelta(hours=hours))[:19],
                start=start,
            )
        wanted.append(bet(event, price=2.3, placed=str(start - pd.Timedelta(hours=5))[:19], start=start))
        ended.append(result(event, int(rng.random() < 0.5), 0))

    curve = delay_curve(bets(*wanted), quotes(*rows), results(*ended), (0, 5, 10), simulations=50)

    assert curve["bets"].tolist() == [150, 150, 150]
    assert curve.loc[0.0, "yield"] == curve.loc[5.0, "yield"]
    assert curve.loc[10.0, "yield"] < curve.loc[5.0, "yield"] - 0.1


def test_without_clock_times_a_delay_is_said_to_be_unknown(market, blind):
    shown, ended = market

    with pytest.raises(ParameterError, match="no clock times"):
        delayed(blind_signals(shown, "b3", "home"), shown, 5)
    assert delay_curve(blind_signals(shown, "b3", "home"), shown, ended).empty


def test_bets_needed_is_the_textbook_number():
    # a unit at fair odds of 5, one a day: standard deviation 2; (1.6449 + 0.8416)^2 x 4 / 0.1^2 = 2,473
    n = 5_000
    start = KICK_OFF + pd.to_timedelta(np.arange(n), unit="D")
    profit = np.where(np.arange(n) % 5 == 0, 4.0, -1.0)
    ledger = pd.DataFrame({"starts_at": start, "stake": 1.0, "profit": profit})

    assert bets_needed(ledger, 0.1) == pytest.approx(2_473, rel=0.001)
    assert np.isnan(bets_needed(ledger))  # a yield of zero is never told from zero
    assert bets_needed(ledger.assign(profit=profit + 0.05)) == pytest.approx(4 * 2_473, rel=0.001)


def test_the_number_of_bets_needed_has_the_power_that_it_says():
    rng = np.random.default_rng(1)
    price, edge = 3.0, 0.1
    n = 1_300
    found = []
    for _ in range(300):
        profit = np.where(rng.random(n) < (1 + edge) / price, price - 1, -1.0)
        found.append(profit.mean() / (profit.std() / np.sqrt(n)) > 1.645)
    ledger = pd.DataFrame(
        {
            "starts_at": KICK_OFF + pd.to_timedelta(np.arange(n), unit="D"),
            "stake": 1.0,
            "profit": np.where(np.arange(n) % 30 < 11, price - 1, -1.0),
        }
    )

    assert bets_needed(ledger, edge) == pytest.approx(n, rel=0.05)
    assert 0.73 < np.mean(found) < 0.88


def test_bets_without_thought_earn_minus_the_margin_on_the_same_prices(market, blind):
    shown, ended = market

    table = baselines(blind, shown, ended, simulations=500)

    own = blind["profit"].sum() / blind["stake"].sum()
    assert table.loc["these bets", "yield"] == pytest.approx(own)
    assert table.loc["every outcome", "bets"] == 900
    assert table.loc["every home", "yield"] == pytest.approx(own)
    # an equal stake on every outcome, settled in plain pandas
    mine = shown[(shown["bookmaker"] == "b3") & (shown["phase"] == "early")].merge(ended, on="event_id")
    came = np.select(
        [mine["outcome"] == "home", mine["outcome"] == "draw"],
        [mine["home_score"] > mine["away_score"], mine["home_score"] == mine["away_score"]],
        mine["home_score"] < mine["away_score"],
    )
    assert table.loc["every outcome", "yield"] == pytest.approx((came * mine["price"] - 1).mean())
    assert (
        table.loc["a random outcome", "low"]
        < table.loc["every outcome", "yield"]
        < table.loc["a random outcome", "high"]
    )
    assert 0 < table.attrs["p_random"] < 1


def test_bets_without_thought_beside_no_back_bets_are_none():
    _, shown, ended = example(20)
    ledger = backtest(blind_signals(shown, "sharp", "home"), ended)

    for none in (ledger.head(0), ledger.assign(side="lay")):
        table = baselines(none, shown, ended, simulations=50)
        assert table["bets"].tolist() == [0, 0, 0]
        assert np.isnan(table.attrs["p_random"])


def test_the_same_bets_at_each_price_are_each_bookmakers_own_yield(market, blind):
    shown, ended = market

    table = at_each_price(blind, shown, simulations=50)

    for name in ("b0", "b5", "market_average", "market_maximum"):
        own = backtest(blind_signals(shown, name, "home"), ended, stake=Flat(1))
        assert table.loc[name, "yield"] == pytest.approx(own["profit"].sum() / own["stake"].sum(), abs=1e-12)
    assert table.loc["as placed", "yield"] == table.loc["b3", "yield"]
    assert table.loc["best of all", "yield"] == pytest.approx(table.loc["market_maximum", "yield"])


def test_the_price_of_each_bookmaker_pays_its_own_commission_whoever_took_the_bet():
    shown = quotes(
        three_way(bookmaker="acme"), three_way(bookmaker="betfair_exchange", prices=(2.02, 3.5, 4.0))
    )
    ledger = backtest(bets(bet(price=2.02, bookmaker="betfair_exchange")), results(result()), stake=Flat(10))

    table = at_each_price(ledger, shown, simulations=50)

    # 2.02 at the exchange pays 1 + 1.02 x 0.95 = 1.969, less than 2.00 elsewhere
    assert table["yield"].to_dict() == pytest.approx(
        {"as placed": 0.969, "acme": 1.0, "betfair_exchange": 0.969, "best of all": 1.0}
    )


def test_a_ledger_without_a_wrong_price_has_none_flagged_and_a_planted_one_is_found(market, blind):
    shown, _ = market
    at = blind.index[7]
    typo = blind.loc[at]
    planted = (
        shown["event_id"].eq(typo["event_id"])
        & shown["bookmaker"].eq("b3")
        & shown["outcome"].eq("home")
        & shown["phase"].eq("early")
    )
    wrong = shown.assign(price=shown["price"].where(~planted, 10 * shown["price"]))

    assert wrong_prices(blind, shown).empty
    found = wrong_prices(
        blind.assign(price=blind["price"].where(blind.index != at, 10 * typo["price"])), wrong
    )
    assert found.index.tolist() == [at]
    assert found["others"].tolist() == [7]
    assert found["median"].iloc[0] == pytest.approx(typo["price"], rel=0.2)


def test_missing_rates_count_the_matches_that_a_bookmaker_does_not_quote(market, blind):
    shown, _ = market
    holes = shown[~((shown["bookmaker"] == "b5") & (shown["event_id"] >= "m00210"))]

    table = missing_odds(holes)

    assert table.loc[("b5", "L1", "2425")].tolist() == pytest.approx([300, 210, 0.3])
    assert table.drop(index=[("b5", "L1", "2425")])["missing"].eq(0).all()
    kept = always_quoted(blind, holes)
    assert len(kept) == 210
    # also of a ledger whose index has a name, or says nothing
    assert always_quoted(blind.rename_axis("bet"), holes)["event_id"].tolist() == kept["event_id"].tolist()
    assert len(always_quoted(pd.concat([blind, blind]), holes)) == 420
    assert (kept["event_id"] < "m00210").all()
    assert bankroll_at_start(kept) == bankroll_at_start(blind)
    # a bookmaker that hardly ever quotes does not decide
    assert (
        len(always_quoted(blind, shown[~((shown["bookmaker"] == "b5") & (shown["event_id"] >= "m00020"))]))
        == 300
    )


def test_the_same_strategy_runs_under_each_margin_method(market):
    shown, ended = market

    table = across_methods(
        shown, ended, "b0", ("power", "shin"), simulations=50, stake=Flat(1), min_edge=0.01
    )

    signals = value_signals(shown, "b0", "shin", 0.01)
    ledger = backtest(signals, ended, stake=Flat(1))
    assert table.loc["shin", ["bets", "yield"]].tolist() == pytest.approx(
        [len(ledger), ledger["profit"].sum() / ledger["stake"].sum()]
    )


def test_an_edge_is_flagged_where_exactly_one_of_several_shows_it():
    def table(*lows):
        return pd.DataFrame({"low": lows}, index=["power", "shin", "additive"][: len(lows)])

    assert only_one(table(0.01, -0.01, -0.02)) == "power"
    assert only_one(table(0.01, 0.01, -0.02)) == ""
    assert only_one(table(-0.01, -0.01, -0.02)) == ""
    assert only_one(table(0.01)) == ""


def test_an_honest_ledger_is_not_suspicious():
    for seed in range(5):
        assert (
            not suspicious(efficient_market(200, seed=seed))
            .loc[["results known", "few bets", "no account"], "flagged"]
            .any()
        )


def test_bets_at_the_markets_maximum_are_flagged(market):
    shown, ended = market
    ledger = backtest(blind_signals(shown, "market_maximum", "home"), ended)

    checks = suspicious(ledger)

    assert checks.loc["no account", ["found", "flagged"]].tolist() == [1, True]
    assert not suspicious(ledger.head(0))["flagged"].any()
