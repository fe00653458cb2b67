"""The engine: settlement rules, order of time, money that is tied up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround import Flat, Kelly, Percentage, backtest, luck_test
from overround.betting.engine import COMMISSION
from overround.betting.settlement import MATCH, settle
from overround.encoding import encode
from overround.errors import ParameterError
from tests.support.books import KICK_OFF, bet, bets, result, results, season


@pytest.mark.parametrize(
    ("market", "line", "outcome", "score", "ended"),
    [
        ("h2h", None, "home", (2, 1), 1),
        ("h2h", None, "home", (1, 1), -1),
        ("h2h", None, "draw", (1, 1), 1),
        ("h2h", None, "draw", (2, 1), -1),
        ("h2h", None, "away", (0, 1), 1),
        ("h2h", None, "away", (1, 1), -1),
        ("totals", 2.5, "over", (2, 1), 1),
        ("totals", 2.5, "under", (2, 1), -1),
        ("totals", 3.0, "over", (2, 1), 0),
        ("totals", 3.0, "under", (2, 1), 0),
        ("totals", 2.75, "over", (2, 1), 0.5),
        ("totals", 2.75, "under", (2, 1), -0.5),
        ("totals", 2.25, "over", (1, 1), -0.5),
        ("totals", 2.25, "under", (1, 1), 0.5),
        ("spreads", -0.25, "home", (1, 1), -0.5),
        ("spreads", -0.25, "away", (1, 1), 0.5),
        ("spreads", 0.25, "home", (1, 1), 0.5),
        ("spreads", -1.0, "home", (2, 1), 0),
        ("spreads", -1.5, "home", (2, 1), -1),
        ("spreads", -1.5, "away", (2, 1), 1),
        ("spreads", -0.75, "home", (2, 1), 0.5),
        ("spreads", 0.0, "away", (0, 0), 0),
        ("spreads", 1.25, "home", (0, 1), 0.5),
    ],
)
def test_selections_end_as_bookmakers_settle_them(market, line, outcome, score, ended):
    got = settle(
        *(pd.Series([value]) for value in (market, np.nan if line is None else line, outcome, *score)),
        ways=pd.Series([3]),
    )

    assert got.tolist() == [ended]


@given(line=st.integers(-12, 12).map(lambda q: q / 4), home=st.integers(0, 6), away=st.integers(0, 6))
def test_the_two_sides_of_a_handicap_always_cancel(line, home, away):
    ends = [
        settle(*(pd.Series([v]) for v in ("spreads", line, side, home, away)))[0] for side in ("home", "away")
    ]

    assert sum(ends) == 0


@pytest.mark.parametrize(
    ("market", "line", "outcome", "score", "profit"),
    [  # 100 at 1.95, the published examples of Asian handicap settlement
        ("spreads", -0.25, "home", (1, 1), -50.0),
        ("spreads", 0.25, "home", (0, 0), 47.5),
        ("totals", 2.75, "over", (2, 1), 47.5),
        ("totals", 3.0, "over", (2, 1), 0.0),
        ("h2h", None, "home", (1, 0), 95.0),
        ("h2h", None, "home", (0, 0), -100.0),
    ],
)
def test_a_hundred_at_1_95(market, line, outcome, score, profit):
    ledger = backtest(
        bets(bet("m1", outcome, 1.95, market=market, line=line)),
        results(result("m1", *score)),
        stake=Flat(100),
    )

    assert ledger["profit"].tolist() == pytest.approx([profit])
    assert ledger["bankroll"].tolist() == pytest.approx([1000 + profit])


def test_a_match_that_ended_without_a_score_returns_the_stake():
    ledger = backtest(bets(bet()), results(result(home=None, away=None, status="abandoned")), stake=Flat(100))

    assert ledger[["result", "profit", "bankroll"]].to_numpy().tolist() == [["void", 0.0, 1000.0]]


def test_a_match_without_a_result_is_left_out_and_counted():
    ledger = backtest(bets(bet("m1"), bet("m2")), results(result("m1")))

    assert ledger["event_id"].tolist() == ["m1"]
    assert ledger.attrs["unsettled"] == 1


def test_winnings_are_not_there_before_they_are_settled():
    # m1 wins 1000 at 17:00; m2 is placed at 16:00 and sees what m1 has tied up, m3 at 17:00 sees the winnings
    wanted = bets(
        bet("m1", placed="2025-03-01 12:00"),
        bet("m2", placed="2025-03-01 16:00", start=KICK_OFF + pd.Timedelta(hours=2)),
        bet("m3", placed="2025-03-01 17:00", start=KICK_OFF + pd.Timedelta(hours=3)),
    )

    ledger = backtest(
        wanted, results(result("m1"), result("m2"), result("m3")), stake=Percentage(0.5)
    ).set_index("event_id")

    assert ledger["stake"].to_dict() == {
        "m1": 500.0,
        "m2": 250.0,
        "m3": 625.0,
    }  # 500 + 250 + (250 + 1000) / 2


def test_a_provider_that_tells_when_a_match_was_settled_is_believed():
    later = backtest(bets(bet()), results(result(settled_at="2025-03-05 10:00")))
    unknown = backtest(bets(bet()), results(result()))

    assert later["settled_at"].tolist() == [pd.Timestamp("2025-03-05 10:00", tz="UTC")]
    assert unknown["settled_at"].tolist() == [KICK_OFF + MATCH]


def test_a_match_without_a_time_pays_out_at_the_end_of_its_day():
    day = pd.Timestamp("2013-05-04", tz="UTC")

    wanted, ended = bets(bet(placed="2013-05-03 12:00", start=day)), results(result())

    for known, hours in ((False, 24), (True, 2), (None, 2)):
        after = pd.Timedelta(hours=hours)
        for frames in ((wanted, ended.assign(time_known=known)), (wanted.assign(time_known=known), ended)):
            assert backtest(*frames)["settled_at"].tolist() == [day + after]
    # a time that is not said to be unknown is a time, also midnight
    assert backtest(wanted, ended)["settled_at"].tolist() == [day + pd.Timedelta(hours=2)]


def test_bets_of_the_same_moment_share_what_is_free():
    wanted = bets(bet("m1"), bet("m2"), bet("m3"))

    ledger = backtest(
        wanted, results(*(result(e) for e in ("m1", "m2", "m3"))), stake=Flat(500), bankroll=900
    )

    assert ledger["stake"].tolist() == pytest.approx([300.0] * 3)


@pytest.mark.slow
@given(order=st.permutations(range(6)))
@settings(max_examples=25, deadline=None)
def test_the_order_of_bets_placed_together_changes_nothing(order):
    rows = [
        bet(f"m{i}", outcome, 1.5 + i / 3, probability=0.8)
        for i, outcome in enumerate(["home", "draw", "away"] * 2)
    ]
    ended = results(*(result(f"m{i}", i % 3, 1) for i in range(6)))

    straight = backtest(bets(*rows), ended, stake=Kelly(1.0, 0.4))
    mixed = backtest(bets(*(rows[i] for i in order)), ended, stake=Kelly(1.0, 0.4))

    pd.testing.assert_frame_equal(straight, mixed, check_exact=True)


def test_money_is_neither_made_nor_lost():
    wanted, ended, _ = season(2_000, seed=3)

    ledger = backtest(wanted, ended, stake=Kelly(1.0, 0.3))

    assert ledger["bankroll"].iloc[-1] == pytest.approx(1000 + ledger["profit"].sum())
    assert (ledger["bankroll"] >= -1e-9).all()


def test_when_every_bet_loses_the_profit_is_minus_the_turnover():
    wanted, ended, _ = season(300, seed=4)

    ledger = backtest(wanted, ended.assign(home_score=0.0, away_score=1.0), stake=Flat(1))

    assert ledger["profit"].sum() == -ledger["stake"].sum() == -300


def test_an_exchange_keeps_its_commission_of_what_is_won():
    ledger = backtest(bets(bet(bookmaker="betfair_exchange", price=3.0)), results(result()), stake=Flat(100))

    assert ledger["profit"].tolist() == pytest.approx([200 * (1 - COMMISSION["betfair_exchange"])])


def test_a_lay_bet_ties_up_its_liability_and_wins_the_stake():
    wanted = bets(bet("m1", price=4.0, side="lay"), bet("m2", price=4.0, side="lay"))

    ledger = backtest(wanted, results(result("m1", 0, 1), result("m2", 1, 0)), stake=Flat(100)).set_index(
        "event_id"
    )

    assert ledger["profit"].to_dict() == {"m1": 100.0, "m2": -300.0}
    alone = backtest(wanted.head(1), results(result("m1", 1, 0)), stake=Flat(500), bankroll=900)
    assert alone["stake"].tolist() == pytest.approx([300.0])  # a liability of 900


def test_closing_line_value_is_the_price_against_the_margin_free_close():
    closing = pd.DataFrame(
        {
            "event_id": ["m1"],
            "market": ["h2h"],
            "line": [np.nan],
            "outcome": ["home"],
            "bookmaker": ["acme"],
            "closing_price": [1.9],
            "closing_fair": [0.51],
        }
    )

    ledger = backtest(bets(bet(), bet("m2")), results(result(), result("m2")), closing=closing).set_index(
        "event_id"
    )

    assert ledger.loc["m1", ["closing_price", "clv"]].tolist() == pytest.approx([1.9, 0.02])  # 2.0 x 0.51 - 1
    assert ledger.loc["m2", ["closing_price", "clv"]].isna().all()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"side": "hold"}, "'hold'.*back, lay"),
        ({"placed_at": KICK_OFF + pd.Timedelta(minutes=1)}, "after its kick-off"),
        ({"price": 1.0}, "a bet on m1 has the price 1.0; decimal odds are above 1."),
        ({"price": np.nan}, "the price nan"),
    ],
)
def test_impossible_bets_are_refused(change, what):
    with pytest.raises(ParameterError, match=what):
        backtest(bets({**bet(), **change}), results(result()))


UNKNOWN = [
    (("h2h", None, "Home"), "row 1: 'Home' is not an outcome of h2h; its outcomes are home, draw, away"),
    (("h2h", None, "over"), "'over' is not an outcome of h2h"),
    (("h2h", None, None), "is not an outcome of h2h"),
    (("totals", 2.5, "home"), "'home' is not an outcome of totals; its outcomes are over, under"),
    (("spreads", 0.5, "draw"), "'draw' is not an outcome of spreads; its outcomes are home, away"),
    (("btts", None, "yes"), "market 'btts' cannot be settled; these can: h2h, totals, spreads, h2h_lay"),
    (("totals", None, "over"), "row 1: a bet on 'over' of totals has no line"),
    (("spreads", None, "away"), "a bet on 'away' of spreads has no line"),
    (("totals", float("inf"), "over"), "a bet on 'over' of totals has no line"),
]


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(("selection", "said"), UNKNOWN, ids=[f"{one[0]}-{one[2]}" for one, _ in UNKNOWN])
def test_what_cannot_be_settled_is_refused_with_its_row_and_word(selection, said, encoded):
    market, line, outcome = selection
    # the second row is placed first
    wanted = bets(
        bet(), {**bet(market=market, line=line, outcome=outcome), "placed_at": KICK_OFF - pd.Timedelta("9h")}
    )
    wanted = encode(wanted) if encoded else wanted

    with pytest.raises(ParameterError, match=said):
        backtest(wanted, results(result()))
    with pytest.raises(ParameterError, match=said):
        settle(wanted["market"], wanted["line"], wanted["outcome"], [1, 1], [0, 0])


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("signals", "probability"),
        ("signals", "season"),
        ("results", "settled_at"),
        ("closing lines", "closing_fair"),
    ],
)
def test_a_column_that_is_missing_is_named_with_its_table(table, column):
    wanted, ended, closing = season(3, seed=1)
    tables = {"signals": wanted, "results": ended, "closing lines": closing}
    tables[table] = tables[table].drop(columns=column)

    with pytest.raises(ParameterError, match=f"{table} need the column '{column}'; they have event_id, "):
        backtest(tables["signals"], tables["results"], closing=tables["closing lines"])


def test_a_bet_whose_time_has_no_zone_is_refused():
    with pytest.raises(ParameterError, match="column 'placed_at' has times without a time zone; give UTC"):
        backtest(bets(bet()).assign(placed_at=pd.Timestamp("2025-03-01 12:00")), results(result()))


def test_an_empty_or_negative_bankroll_is_refused():
    with pytest.raises(ParameterError, match="bankroll is 0"):
        backtest(bets(bet()), results(result()), bankroll=0)


@pytest.mark.parametrize(
    "rule", [lambda: Flat(0), lambda: Kelly(1.5), lambda: Kelly(0.5, 0), lambda: Percentage(2)]
)
def test_impossible_stakes_are_refused(rule):
    with pytest.raises(ParameterError, match="must be above 0"):
        rule()


@pytest.mark.parametrize("column", ["season", "competition", "strategy"])
def test_a_column_of_text_that_is_empty_in_all_rows_stays_empty(column):
    wanted = bets(bet(), bet("m2"))
    wanted[column] = pd.Series([None, None], dtype="str")

    ledger = backtest(wanted, results(result(), result("m2")))

    assert len(ledger) == 2
    assert ledger[column].isna().all()


def test_no_bets_make_an_empty_ledger():
    ledger = backtest(bets(bet()).head(0), results(result()))

    assert ledger.empty
    assert ledger.attrs["bankroll"] == 1000


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("result", "result 'W' is unknown; allowed: lost, half_lost, push, half_won, won, void"),
        ("side", "side 'W' is unknown; allowed: back, lay"),
        ("outcome", "row 1: 'W' is not an outcome of h2h"),
    ],
)
def test_a_ledger_with_a_word_of_another_program_is_not_judged(column, said):
    ledger = backtest(bets(bet(), bet("m2")), results(result(), result("m2"))).assign(closing_fair=0.5)
    ledger[column] = ledger[column].astype("str").where(ledger.index == 0, "W")

    with pytest.raises(ParameterError, match=said):
        luck_test(ledger, simulations=10)
