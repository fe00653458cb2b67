"""Bets that hedge each other: the profit is the same whatever happens, and what is promised is what the
backtest pays.
"""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround import Flat, arbitrage_signals, backtest
from overround.errors import ParameterError
from overround.signals import back_lay, dutch, middle_signals
from tests.support.books import KICK_OFF, quote, quotes, result, results, three_way
from tests.support.markets import random_market, slow_covers

PRICE = st.floats(1.02, 30)


@settings(deadline=None)
@given(st.lists(PRICE, min_size=1, max_size=8), st.floats(0, 0.1))
def test_dutching_wins_the_same_whichever_outcome_happens(prices, commission):
    stakes, profit = dutch(prices, outlay=100, commission=commission)

    wins = stakes * (np.array(prices) - 1) * (1 - commission) + stakes - 100
    assert stakes.sum() == pytest.approx(100)
    assert wins == pytest.approx([float(profit)] * len(prices), abs=1e-9)


def test_dutching_for_a_profit_stakes_what_wins_it_and_not_where_it_cannot_be_won():
    stakes, profit = dutch([[3.0, 4.0], [1.5, 2.0]], profit=50)

    assert stakes[0] == pytest.approx([40, 30])  # 40 x 3 - 70 = 30 x 4 - 70 = 50
    assert profit[0] == pytest.approx(50)
    assert np.isnan(stakes[1]).all()
    with pytest.raises(ParameterError, match="either outlay"):
        dutch([2.0])


@settings(deadline=None)
@given(PRICE, PRICE, st.floats(0, 0.1), st.floats(0, 0.1))
def test_back_and_lay_leave_the_same_both_ways(back, lay, commission, back_commission):
    stake, profit, outlay = back_lay(back, lay, commission=commission, back_commission=back_commission)

    happens = (back - 1) * (1 - back_commission) - stake * (lay - 1)
    assert happens == pytest.approx(float(profit), rel=1e-9, abs=1e-9)
    assert stake * (1 - commission) - 1 == pytest.approx(float(profit))
    assert outlay == pytest.approx(1 + stake * (lay - 1))


def paid(signals: pd.DataFrame, home: int, away: int) -> float:
    """Profit per unit laid out, as the backtest settles it: each bet's money at risk is its share of the
    outlay.
    """
    stakes = np.where(signals["side"] == "lay", signals["share"] / (signals["price"] - 1), signals["share"])
    profits = [
        backtest(signals.iloc[[i]], results(result(home=home, away=away)), stake=Flat(stake), bankroll=1e6)[
            "profit"
        ].sum()
        for i, stake in enumerate(stakes)
    ]
    return float(sum(profits))


def test_an_arbitrage_pays_what_it_guarantees_whatever_happens():
    rows = quotes(
        three_way(bookmaker="a", prices=(2.3, 3.2, 3.2)),
        three_way(bookmaker="b", prices=(2.0, 3.8, 3.3)),
        three_way(bookmaker="betfair_exchange", prices=(2.1, 3.4, 3.9)),
        three_way(bookmaker="market_maximum", prices=(9, 9, 9)),
    )

    signals = arbitrage_signals(rows)

    net = np.array([2.3, 3.8, 1 + 2.9 * 0.95])  # the exchange keeps 5 % of a win
    guaranteed = 1 / (1 / net).sum() - 1
    assert signals.set_index("outcome")["bookmaker"].to_dict() == {
        "home": "a",
        "draw": "b",
        "away": "betfair_exchange",
    }
    assert signals["guaranteed"].tolist() == pytest.approx([guaranteed] * 3)
    for score in ((1, 0), (1, 1), (0, 1)):
        assert paid(signals, *score) == pytest.approx(guaranteed)


def test_backing_at_a_bookmaker_and_laying_at_an_exchange_pays_what_it_guarantees():
    rows = quotes(
        three_way(bookmaker="soft", prices=(2.5, 3.2, 2.9)),
        three_way(bookmaker="betfair_exchange", prices=(2.18, 3.3, 3.0)),
        three_way(bookmaker="betfair_exchange", prices=(2.2, 3.4, 3.1), market="h2h_lay"),
    )

    signals = arbitrage_signals(rows)

    assert signals[["market", "outcome", "side", "bookmaker", "price"]].to_numpy().tolist() == [
        ["h2h", "home", "lay", "betfair_exchange", 2.2],
        ["h2h", "home", "back", "soft", 2.5],
    ]
    stake = 2.5 / (2.2 - 0.05)
    assert signals["guaranteed"].tolist() == pytest.approx([(stake * 0.95 - 1) / (1 + stake * 1.2)] * 2)
    assert signals["share"].sum() == pytest.approx(1)
    for score in ((1, 0), (1, 1), (0, 1)):
        assert paid(signals, *score) == pytest.approx(signals["guaranteed"].iloc[0])
    assert arbitrage_signals(rows, lay=False).empty


def test_prices_that_never_stood_together_are_no_arbitrage():
    shown = (("a", (2.3, 3.2, 3.2), 9), ("a", (1.9, 3.2, 3.2), 5), ("b", (1.8, 3.9, 4.0), 3))
    rows = quotes(
        *(
            three_way(
                bookmaker=name,
                prices=prices,
                phase="snapshot",
                at=str(KICK_OFF - pd.Timedelta(hours=hours))[:19],
            )
            for name, prices, hours in shown
        )
    )

    assert arbitrage_signals(rows).empty
    assert len(arbitrage_signals(rows[rows["price"] != 1.9])) == 3


def test_totals_are_covered_line_by_line_only():
    sides = [("a", "over", 2.5, 2.2), ("b", "under", 2.5, 1.7), ("b", "under", 3.5, 2.1)]
    rows = quotes([quote(bookmaker=b, outcome=o, line=x, price=p, market="totals") for b, o, x, p in sides])

    assert arbitrage_signals(rows).empty
    assert len(arbitrage_signals(rows.assign(line=2.5).drop(index=1))) == 2


@pytest.mark.parametrize("seed", range(12))
def test_covers_are_those_of_a_slow_reading(seed):
    rows = random_market(seed)

    signals = arbitrage_signals(rows, lay=False)

    first = signals.drop_duplicates("arbitrage")
    found = sorted(
        zip(
            first["event_id"],
            first["market"],
            first["line"].astype(object).where(first["line"].notna(), None),
            first["placed_at"],
            first["edge"],
            strict=True,
        )
    )
    slow = slow_covers(rows, {"betfair_exchange": 0.05})
    assert len(slow) > 0
    assert [one[:4] for one in found] == [one[:4] for one in slow]
    assert [one[4] for one in found] == pytest.approx([one[4] for one in slow])


def line(bookmaker, outcome, at, price, market="totals"):
    return quote(bookmaker=bookmaker, outcome=outcome, line=at, price=price, market=market)


@pytest.mark.parametrize(
    ("market", "first", "second", "both", "one"),
    [
        ("totals", ("over", 2.5, 2.1), ("under", 3.5, 1.9), [(2, 1)], [(1, 1), (2, 2)]),
        ("spreads", ("home", 0.5, 2.0), ("away", -1.5, 2.0), [(0, 0), (1, 0)], [(0, 1), (2, 0)]),
    ],
)
def test_a_middle_pays_what_it_says_if_one_wins_and_if_both_do(market, first, second, both, one):
    rows = quotes([line("a", *first, market), line("b", *second, market)])

    signals = middle_signals(rows, max_break_even=0.2)

    assert len(signals) == 2
    row = signals.iloc[0]
    back = 1 / (1 / first[2] + 1 / second[2])
    assert (row["if_one"], row["if_both"], row["break_even"]) == pytest.approx(
        (back - 1, 2 * back - 1, (1 - back) / back)
    )
    assert row["break_even"] * row["if_both"] + (1 - row["break_even"]) * row["if_one"] == pytest.approx(0)
    for score in both:
        assert paid(signals, *score) == pytest.approx(row["if_both"])
    for score in one:
        assert paid(signals, *score) == pytest.approx(row["if_one"])


@pytest.mark.parametrize(
    ("over", "under", "possible"),
    [(2.5, 2.75, False), (2.5, 3.0, False), (2.75, 3.25, False), (2.25, 3.5, True), (2.0, 4.0, True)],
)
def test_two_lines_without_a_score_between_them_are_no_middle(over, under, possible):
    rows = quotes([line("a", "over", over, 2.0), line("b", "under", under, 2.0)])

    assert len(middle_signals(rows)) == 2 * possible


@pytest.mark.parametrize(
    ("market", "line", "left"),
    [
        ("totals", 2.5, 1.0),
        ("totals", 3.0, 0.0),  # at three goals both stakes come back
        ("totals", 2.25, 0.5),  # at two goals under wins by half and over loses by half
        ("totals", 2.75, 0.5),
        ("spreads", 0.0, 0.0),
        ("spreads", -1.0, 0.0),
        ("spreads", -0.5, 1.0),
        ("spreads", 0.25, 0.5),
        ("h2h", None, 0.0),  # two ways: a tie
    ],
)
def test_guaranteed_is_the_least_profit_over_all_scores(market, line, left):
    sides = ("over", "under") if market == "totals" else ("home", "away")
    rows = [
        quote(bookmaker=book, outcome=side, line=line, price=price, market=market)
        for book, prices in (("a", (2.1, 1.85)), ("b", (1.85, 2.1)))
        for side, price in zip(sides, prices, strict=True)
    ]

    signals = arbitrage_signals(quotes(rows))

    # 1 / (1 / 2.1 + 1 / 2.1) - 1 = 0.05
    assert signals["edge"].tolist() == pytest.approx([0.05, 0.05])
    paid_at = [paid(signals, home, away) for home in range(6) for away in range(6)]
    assert signals["guaranteed"].tolist() == pytest.approx([min(paid_at)] * 2, abs=1e-12)
    assert min(paid_at) == pytest.approx(left * signals["edge"].iloc[0], abs=1e-12)
    assert max(paid_at) == pytest.approx(signals["edge"].iloc[0])


def test_two_ways_and_three_are_not_legs_of_one_arbitrage():
    two = [quote(bookmaker="us", outcome=o, price=p) for o, p in (("home", 2.3), ("away", 1.7))]
    three = three_way(bookmaker="eu", prices=(2.2, 4.0, 2.7))

    # home at 2.3 and away at 2.7 cover every result but a tie, at which the one pays back and the other loses
    assert arbitrage_signals(quotes(two, three)).empty
    like = [quote(bookmaker="us2", outcome=o, price=p) for o, p in (("home", 1.7), ("away", 2.3))]
    found = arbitrage_signals(quotes(two, like, three))
    assert found["ways"].tolist() == [2, 2]
    assert set(found["bookmaker"]) == {"us", "us2"}


def test_a_lay_of_three_ways_does_not_hedge_a_back_of_two():
    two = [quote(bookmaker="us", outcome=o, price=p) for o, p in (("home", 2.3), ("away", 1.7))]
    exchange = three_way(bookmaker="betfair_exchange", prices=(2.0, 4.0, 4.0))
    lays = [{**one, "market": "h2h_lay", "price": one["price"] + 0.02} for one in exchange]
    three = three_way(bookmaker="eu", prices=(2.3, 3.6, 3.5))

    assert arbitrage_signals(quotes(two, exchange, lays)).empty
    found = arbitrage_signals(quotes(two, exchange, lays, three))
    assert set(found["ways"]) == {3}
