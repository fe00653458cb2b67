"""Two-way and three-way match odds of one match: which is which, and that neither judges the other."""

import numpy as np
import pandas as pd
import pytest

from overround import Flat, backtest, baselines, closing_lines, fair_probabilities, value_signals
from overround.forecasts import score_table
from overround.prices import lowest_margin, relative_prices
from overround.prices.board import boards
from overround.prices.staleness import stale_prices
from overround.prices.standing import prices_by_bookmaker
from overround.signals import blind_signals, consensus_signals, model_signals, seed_signals
from tests.support.books import KICK_OFF, quote, quotes, result, results, three_way

AT = "2025-03-01 10:00"


def two_way(bookmaker, home, away, event="m1", **more):
    more = {"phase": "snapshot", "at": AT, **more}
    return [quote(event, bookmaker, side, price, **more) for side, price in (("home", home), ("away", away))]


def with_draw(bookmaker, *prices, event="m1", **more):
    return three_way(event, bookmaker, prices, **{"phase": "snapshot", "at": AT, **more})


def ways_by_bookmaker(rows):
    (board,) = boards(rows, None)
    return dict(zip(board.names, board.ways[:, -1].tolist(), strict=True))


SHARP, SOFT = two_way("pinnacle", 1.9, 2.0), two_way("soft", 2.2, 1.75)
EURO = with_draw("euro", 2.3, 4.2, 2.6)


def test_a_bookmaker_offers_what_it_shows():
    rows = quotes(SHARP, EURO, two_way("no_away", 2.2, 1.75)[:1])

    # the one whose away price is missing may offer either
    assert ways_by_bookmaker(rows) == {"pinnacle": 2, "euro": 3, "no_away": 0}


@pytest.mark.parametrize(("others", "ways"), [([SHARP], 2), ([EURO], 3), ([], 0)])
def test_what_a_bookmaker_does_not_say_is_what_the_others_offer(others, ways):
    # 1 / 2.3 + 1 / 2.6 = 0.82 is no book: the draw is missing
    rows = quotes(two_way("lacks", 2.3, 2.6), *others)

    assert ways_by_bookmaker(rows)["lacks"] == ways


def test_what_is_shown_later_does_not_count_before():
    later = quote("m1", "euro", "draw", 4.2, phase="snapshot", at="2025-03-01 11:00")
    rows = quotes([one for one in EURO if one["outcome"] != "draw"], later)

    (board,) = boards(rows, "power")

    assert board.ways.tolist() == [[0, 3]]
    assert np.isnan(board.fair[0, 0]).all()
    assert not np.isnan(board.fair[0, 1]).any()


def test_lines_have_no_ways():
    rows = quotes([quote(outcome=side, line=2.5, market="totals", price=1.9) for side in ("over", "under")])

    assert ways_by_bookmaker(rows) == {"acme": 0}


def test_a_three_way_book_hides_no_two_way_bet():
    alone, beside = value_signals(quotes(SHARP, SOFT)), value_signals(quotes(SHARP, SOFT, EURO))

    assert len(alone) == 1
    pd.testing.assert_frame_equal(alone, beside)
    assert beside["ways"].tolist() == [2]


def test_a_three_way_reference_does_not_judge_a_two_way_price():
    # P(home) of the three-way sharp is about 0.41: 2.6 would be worth 7 % if a tie lost
    rows = quotes(
        with_draw("pinnacle", 2.3, 4.2, 2.6), two_way("soft", 2.6, 1.55), two_way("other", 2.3, 1.7)
    )

    assert value_signals(rows).empty
    as_well = value_signals(quotes(rows.to_dict("records"), with_draw("also", 2.6, 4.0, 2.3)))
    assert as_well[["bookmaker", "ways"]].to_numpy().tolist() == [["also", 3]]


@pytest.mark.parametrize("reference", ["consensus", "consensus_median", "consensus_margin"])
def test_a_consensus_is_of_books_that_offer_as_many_ways(reference):
    american = [two_way(f"us{n}", 1.9, 2.0) for n in range(3)]
    european = [with_draw(f"eu{n}", 2.3, 4.2, 2.6) for n in range(3)]
    asked = [two_way("soft", 2.2, 1.75), with_draw("weak", 2.6, 4.0, 2.3)]
    one, other = (
        value_signals(quotes(*books, mine), reference, bookmakers=[mine[0]["bookmaker"]])
        for books, mine in zip((american, european), asked, strict=True)
    )

    both = value_signals(quotes(*american, *european, *asked), reference, bookmakers=["soft", "weak"])

    assert (len(one), len(other)) == (1, 1)
    # of a selection one bet: the higher price
    assert both["bookmaker"].tolist() == other["bookmaker"].tolist() == ["weak"]
    assert both["probability"].tolist() == other["probability"].tolist()
    assert both["edge_se"].tolist() == other["edge_se"].tolist()
    without = value_signals(quotes(*american, *european, asked[0]), reference, bookmakers=["soft"])
    assert without["probability"].tolist() == pytest.approx(one["probability"].tolist())


def test_too_few_of_the_same_ways_are_no_consensus():
    rows = quotes(
        *[two_way(f"us{n}", 1.9, 2.0) for n in range(2)], EURO, with_draw("eu", 2.3, 4.2, 2.6), SOFT
    )

    assert value_signals(rows, "consensus").empty


def test_fair_prices_are_those_of_the_own_market():
    fair = fair_probabilities(quotes(SHARP, EURO), "multiplicative")

    sums = fair.groupby("bookmaker")["fair"].agg(["count", "sum"])
    assert sums.loc["pinnacle"].tolist() == pytest.approx([2, 1])
    assert sums.loc["euro"].tolist() == pytest.approx([3, 1])
    # 1 / 1.9 + 1 / 2.0, and 1 / 2.3 + 1 / 4.2 + 1 / 2.6
    books = fair.drop_duplicates("bookmaker").set_index("bookmaker")["overround"]
    assert books.to_dict() == pytest.approx({"pinnacle": 1.0263158, "euro": 1.0574932})


def test_the_close_that_judges_offers_as_many_ways():
    american = [two_way(f"us{n}", 1.9, 2.0) for n in range(3)]
    european = [with_draw(f"eu{n}", 2.3, 4.2, 2.6) for n in range(3)]

    mixed = closing_lines(quotes(*american, *european))

    fair = mixed[mixed["outcome"] == "home"].groupby("ways")["closing_fair"].agg(["min", "max"])
    for ways, books in ((2, american), (3, european)):
        alone = closing_lines(quotes(*books))
        own = alone.loc[alone["outcome"] == "home", "closing_fair"].iloc[0]
        assert fair.loc[ways].tolist() == pytest.approx([own, own])


@pytest.mark.parametrize(("ways", "judged_by"), [(2, "american"), (3, "european"), (None, "european")])
def test_a_bet_is_judged_by_the_close_of_its_ways(ways, judged_by):
    books = {
        "american": [two_way(f"us{n}", 1.9, 2.0) for n in range(3)],
        "european": [with_draw(f"eu{n}", 2.3, 4.2, 2.6) for n in range(3)],
    }
    closing = closing_lines(quotes(*books["american"], *books["european"]))
    wanted = value_signals(quotes(*books["european"], with_draw("eu0", 2.7, 4.2, 2.2)), "eu1").assign(
        ways=ways
    )

    ledger = backtest(wanted.head(1), results(result()), stake=Flat(1), closing=closing)

    alone = closing_lines(quotes(*books[judged_by]))
    assert ledger["closing_fair"].tolist() == pytest.approx(
        alone.loc[alone["outcome"] == wanted["outcome"].iloc[0], "closing_fair"].head(1).tolist()
    )
    # where nobody closes with its ways, nothing judges it
    other = closing_lines(quotes(*books["american" if judged_by == "european" else "european"]))
    if ways:
        assert backtest(wanted.head(1), results(result()), closing=other)["closing_fair"].isna().all()


def test_other_strategies_compare_prices_of_as_many_ways():
    # the mean of two-way prices is 1.9, of all it would be above 2
    rows = quotes(
        two_way("us0", 1.9, 2.0), two_way("us1", 1.91, 1.99), *[EURO, with_draw("eu", 2.3, 4.2, 2.6)]
    )

    seeds = seed_signals(rows)
    assert set(zip(seeds["outcome"], seeds["ways"], strict=True)) == {("home", 3), ("draw", 3), ("away", 3)}
    soft = consensus_signals(
        quotes(
            *[two_way(f"us{n}", 1.9, 2.0) for n in range(4)],
            *[with_draw(f"eu{n}", 2.3, 4.2, 2.6) for n in range(4)],
        )
    )
    assert soft.empty
    chances = {"probability_home": 0.47, "probability_draw": 0.2, "probability_away": 0.33}
    model = pd.DataFrame([{"event_id": "m1", "predicted_at": KICK_OFF - pd.Timedelta(days=2), **chances}])
    assert set(model_signals(model, rows, 0.01)["ways"]) == {3}


@pytest.mark.parametrize(("books", "ways"), [(SHARP, 2), (EURO, 3)])
def test_a_blind_bet_knows_its_ways_though_one_outcome_is_bet(books, ways):
    rows = quotes(books)

    assert blind_signals(rows, books[0]["bookmaker"], "home")["ways"].tolist() == [ways]
    assert blind_signals(rows, books[0]["bookmaker"], "over").empty


def test_stale_prices_are_stale_beside_their_like():
    # three-way books shorten home; the two-way book has not moved, and nobody of its kind has
    before = [with_draw(f"eu{n}", 2.3, 4.2, 2.6) for n in range(3)]
    after = [with_draw(f"eu{n}", 2.0, 4.3, 3.1, at="2025-03-01 11:00") for n in range(3)]

    assert stale_prices(quotes(*before, *after, SHARP)).empty
    assert not stale_prices(quotes(*before, *after, with_draw("pinnacle", 2.3, 4.2, 2.6))).empty


def test_a_margin_is_that_of_the_own_market():
    # 1.04 with a draw, 1.026 without
    assert lowest_margin(quotes(SHARP, with_draw("euro", 2.3, 4.4, 2.65))) == "pinnacle"


def test_a_tie_decides_no_two_way_market_in_scores():
    rows = quotes(
        [{**one, "phase": "close"} for one in [*SHARP, *EURO, *two_way("pinnacle", 1.9, 2.0, event="m2")]]
    )

    scores = score_table(
        rows, results(result(home=1, away=1), result("m2", 2, 0)), ("power",), reference="euro"
    )

    assert scores.set_index("bookmaker")["matches"].to_dict() == {"euro": 1, "pinnacle": 1}


def test_a_bet_has_a_price_at_bookmakers_that_offer_as_many_ways():
    rows = quotes(SHARP, SOFT, EURO)
    wanted = value_signals(rows)

    prices = prices_by_bookmaker(pd.concat([wanted, wanted.assign(ways=3), wanted.assign(ways=None)]), rows)

    assert prices.fillna(0).to_numpy().tolist() == [[0, 1.9, 2.2], [2.3, 0, 0], [2.3, 1.9, 2.2]]


def test_prices_are_relative_to_those_of_as_many_ways():
    two = [two_way(name, home, 2.0) for name, home in (("a", 1.9), ("b", 1.9), ("c", 2.0))]
    three = [with_draw(name, 2.3, 4.2, 2.6) for name in ("d", "e", "f")]

    alone, beside = (
        relative_prices(quotes(*books)).set_index("bookmaker") for books in (two, [*two, *three])
    )

    pd.testing.assert_frame_equal(alone, beside[beside.index.isin(alone.index)])


def test_a_blind_bettor_bets_the_outcomes_that_were_offered():
    rows = quotes(SHARP, SOFT, EURO)
    ledger = backtest(value_signals(rows), results(result()), stake=Flat(1))

    table = baselines(ledger, rows, results(result()), simulations=20)

    assert table.index.tolist() == [
        "these bets",
        "every outcome",
        "a random outcome",
        "every home",
        "every away",
    ]
    # home at 2.20 won, away at 1.75 lost
    assert table.loc["every outcome", "yield"] == pytest.approx((1.2 - 1) / 2)
