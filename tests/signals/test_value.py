"""Signals: what a strategy wants to bet, and that it cannot look ahead."""

import numpy as np
import pandas as pd
import pytest

from overround import Flat, Store, backtest, closing_lines, value_signals
from overround.errors import ParameterError
from overround.signals import blind_signals, seed_signals
from tests.support.books import KICK_OFF, quote, quotes, result, results, three_way
from tests.support.markets import random_market, slow_seed, slow_value

FAIR = (2.0, 4.0, 4.0)  # sums to one: a sharp book without a margin


def at(hours_before: float) -> str:
    return str(KICK_OFF - pd.Timedelta(hours=hours_before))[:19]


def snapshots(bookmaker, prices, hours_before, event="m1"):
    return three_way(event, bookmaker, prices, phase="snapshot", at=at(hours_before))


def test_a_price_better_than_the_sharp_fair_price_is_bet_once_where_it_is_best():
    rows = quotes(
        three_way(bookmaker="pinnacle", prices=FAIR),
        three_way(bookmaker="soft", prices=(2.1, 3.6, 3.6)),
        three_way(bookmaker="softer", prices=(2.2, 3.5, 3.5)),
    )

    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02)

    assert signals[["outcome", "bookmaker", "price"]].to_numpy().tolist() == [["home", "softer", 2.2]]
    assert signals["edge"].tolist() == pytest.approx([0.1])  # 0.5 x 2.2 - 1


def test_an_edge_at_an_exchange_is_what_its_commission_leaves():
    exchange = three_way(bookmaker="betfair_exchange", prices=(2.14, 4.0, 4.5))
    rows = quotes(
        three_way(bookmaker="pinnacle", prices=FAIR),
        exchange,
        three_way(bookmaker="soft", prices=(2.1, 3.6, 3.6)),
    )

    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02).set_index("outcome")

    # 1 + 1.14 x 0.95 = 2.083 pays less than 2.1; 1 + 3.5 x 0.95 = 4.325, and 4.325 / 4 - 1 = 0.08125
    assert signals["bookmaker"].to_dict() == {"home": "soft", "away": "betfair_exchange"}
    assert signals.loc["away", ["price", "edge"]].tolist() == pytest.approx([4.5, 0.08125])


def test_a_bet_is_placed_at_the_first_moment_with_enough_edge():
    rows = quotes(
        snapshots("pinnacle", FAIR, 10),
        snapshots("soft", (2.0, 3.6, 3.6), 9),
        snapshots("soft", (2.1, 3.6, 3.6), 5),
        snapshots("soft", (2.3, 3.6, 3.6), 2),
    )

    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02)

    assert signals["price"].tolist() == [2.1]
    assert signals["placed_at"].tolist() == [KICK_OFF - pd.Timedelta(hours=5)]


def test_a_price_that_stands_still_becomes_a_bet_when_the_sharp_book_moves():
    rows = quotes(
        snapshots("pinnacle", FAIR, 10),
        snapshots("slow", (1.95, 3.8, 3.8), 9),
        snapshots("pinnacle", (1.8, 4.5, 4.5), 3),
    )

    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02)

    assert signals[["bookmaker", "price"]].to_numpy().tolist() == [["slow", 1.95]]
    assert signals["placed_at"].tolist() == [KICK_OFF - pd.Timedelta(hours=3)]


def test_a_price_is_held_against_what_the_sharp_book_shows_at_the_same_poll():
    # by the bookmakers' clocks the soft price came a minute before the sharp one moved, but one poll brought
    # both
    poll = pd.Timestamp(at(5), tz="UTC")
    before, after = snapshots("pinnacle", FAIR, 10), snapshots("pinnacle", (2.3, 3.6, 3.5), 5.1)
    soft = snapshots("soft", (2.2, 3.3, 3.3), 5.2)
    rows = quotes(before, after, soft)
    rows["collected_at"] = rows["collected_at"].where(
        rows["observed_at"] < pd.Timestamp(at(6), tz="UTC"), poll
    )

    assert value_signals(rows, "pinnacle", "multiplicative").empty


def test_a_store_of_changes_only_gives_the_same_bets_as_one_of_every_price():
    # every poll shows all outcomes; the collector that keeps changes only drops those that did not move
    rng = np.random.default_rng(8)
    groups = []
    for event in range(25):
        for name, margin in (("pinnacle", 1.02), ("a", 1.05), ("b", 1.06), ("c", 1.07)):
            price = 1 / (rng.dirichlet([5, 3, 4]) * 0.3 + np.array([0.4, 0.28, 0.32]) * 0.7) / margin
            for hours in (20, 15, 10, 5, 1):
                moved = rng.random(3) < 0.4
                price = np.round(np.where(moved, price * np.exp(rng.normal(0, 0.03, 3)), price), 2)
                groups.append(snapshots(name, tuple(price), hours, event=f"m{event}"))
    every = quotes(*groups)
    key = ["event_id", "bookmaker", "outcome"]
    ordered = every.sort_values("observed_at", kind="stable")
    changes = ordered[ordered["price"] != ordered.groupby(key)["price"].shift()]

    assert len(changes) < 0.7 * len(every)
    for reference in ("pinnacle", "consensus"):
        from_every, from_changes = (
            value_signals(every, reference, min_edge=0.01),
            value_signals(changes, reference, min_edge=0.01),
        )
        assert len(from_every) > 10
        pd.testing.assert_frame_equal(from_every, from_changes)


def test_a_price_seen_too_long_ago_no_longer_stands():
    rows = quotes(snapshots("slow", (2.3, 3.8, 3.8), 50), snapshots("pinnacle", FAIR, 3))

    assert value_signals(rows, "pinnacle", max_age_h=24).empty
    assert len(value_signals(rows, "pinnacle", max_age_h=72)) == 1


def test_in_play_prices_and_closing_prices_are_no_bets():
    rows = quotes(
        three_way(bookmaker="pinnacle", prices=FAIR),
        three_way(bookmaker="soft", prices=(2.4, 3.6, 3.6), phase="close"),
        three_way(bookmaker="pinnacle", prices=FAIR, phase="close"),
        snapshots("soft", (2.4, 3.6, 3.6), -1),
        snapshots("pinnacle", FAIR, -1),
    )

    assert value_signals(rows, "pinnacle").empty
    assert value_signals(rows, "pinnacle", at_close=True)["price"].tolist() == [2.4]
    assert value_signals(rows, "pinnacle", at_close=True)["placed_at"].tolist() == [KICK_OFF]


def test_market_maximum_is_no_account_unless_it_is_named():
    rows = quotes(
        three_way(bookmaker="pinnacle", prices=FAIR),
        three_way(bookmaker="market_maximum", prices=(2.4, 4.4, 4.4)),
    )

    assert value_signals(rows, "pinnacle").empty
    assert len(value_signals(rows, "pinnacle", bookmakers=["market_maximum"])) == 3


def test_an_edge_too_good_to_be_true_and_a_reference_that_is_no_market_are_left_alone():
    palpable = quotes(
        three_way(bookmaker="pinnacle", prices=FAIR), three_way(bookmaker="soft", prices=(2.9, 3.6, 3.6))
    )
    shifted = quotes(
        three_way(bookmaker="pinnacle", prices=(4.0, 4.0, 4.0)),
        three_way(bookmaker="soft", prices=(3.2, 2.8, 2.8)),
    )

    assert value_signals(palpable, "pinnacle").empty
    assert value_signals(shifted, "pinnacle", "multiplicative").empty


def test_a_bookmaker_without_prices_is_refused():
    with pytest.raises(ParameterError, match=r"'nobody'.*pinnacle"):
        value_signals(quotes(three_way(bookmaker="pinnacle")), bookmakers=["nobody"])


def test_quotes_without_kick_off_are_refused():
    with pytest.raises(ParameterError, match="starts_at"):
        value_signals(quotes(three_way()).drop(columns="starts_at"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [  # an unknown outcome was taken for the one before it, an unknown phase for a price of 1970
        ({"outcome": "Home"}, "column 'outcome': 'Home' is unknown; allowed: home, over, draw, away, under."),
        ({"market": "corners"}, "column 'market': 'corners' is unknown; allowed: h2h, totals"),
        ({"phase": "late"}, "column 'phase': 'late' is unknown; allowed: early, snapshot, close."),
        (
            {"starts_at": KICK_OFF.tz_localize(None)},
            "column 'starts_at' has times without a time zone; give UTC.",
        ),
    ],
)
def test_quotes_that_are_none_are_refused(change, sentence):
    with pytest.raises(ParameterError, match=sentence):
        blind_signals(
            quotes(three_way()).assign(**change),
            "acme",
            change.get("outcome", "home"),
            market=change.get("market", "h2h"),
        )


@pytest.mark.parametrize(
    ("start", "placed"),
    [
        ("2025-03-01 15:00", "2025-02-28 12:00"),  # Saturday: the Friday before
        ("2025-03-03 20:00", "2025-02-28 12:00"),  # Monday: still that Friday
        ("2025-03-04 20:00", "2025-03-04 12:00"),  # Tuesday: the same day
        ("2025-03-06 20:00", "2025-03-04 12:00"),  # Thursday: the Tuesday before
        ("2025-02-28 20:00", "2025-02-28 12:00"),  # Friday: the same day
        ("2025-02-28 11:00", "2025-02-28 11:00"),  # before noon: at kick-off
    ],
)
def test_an_early_price_is_placed_when_the_provider_collects_it(start, placed):
    start = pd.Timestamp(start, tz="UTC")
    rows = quotes(
        three_way(bookmaker="pinnacle", prices=FAIR, start=start),
        three_way(bookmaker="soft", prices=(2.2, 3.6, 3.6), start=start),
    )

    assert value_signals(rows, "pinnacle")["placed_at"].tolist() == [pd.Timestamp(placed, tz="UTC")]


def test_blind_signals_back_every_match_at_the_first_price_or_the_last():
    rows = quotes(
        snapshots("soft", (2.0, 3.5, 3.9), 9),
        snapshots("soft", (2.2, 3.4, 3.3), 2),
        snapshots("soft", (5.0, 3.4, 1.3), -0.5),
    )

    rows = pd.concat(
        [rows, quotes(quote(bookmaker="soft", market="spreads", line=-0.5, phase="snapshot", at=at(9)))]
    )

    assert blind_signals(rows, "soft", "home")["price"].tolist() == [2.0]
    assert blind_signals(rows, "soft", "home", at_close=True)["price"].tolist() == [2.2]


def test_closing_lines_are_the_last_prices_before_kick_off_with_the_sharp_fair_price():
    rows = quotes(
        snapshots("soft", (2.0, 3.5, 3.9), 9),
        snapshots("soft", (2.2, 3.4, 3.3), 2),
        snapshots("pinnacle", (2.1, 4.2, 3.5), 3),
        snapshots("pinnacle", FAIR, 1),
        snapshots("pinnacle", (9.0, 4.0, 1.4), -1),
    )

    closing = closing_lines(rows, "pinnacle", "multiplicative").set_index(["bookmaker", "outcome"])

    assert closing.loc[("soft", "home"), "closing_price"] == 2.2
    assert closing.loc[("soft", "home"), "closing_fair"] == pytest.approx(0.5)


def test_without_the_reference_the_consensus_of_three_closes_and_two_are_not_enough():
    three = quotes(
        *(three_way(bookmaker=name, prices=FAIR, phase="close") for name in "abc"),
        quote(bookmaker="market_average", phase="close"),
    )
    two = three[three["bookmaker"] != "c"]

    assert closing_lines(three, "pinnacle")["closing_fair"].dropna().unique() == pytest.approx([0.5, 0.25])
    assert closing_lines(two, "pinnacle")["closing_fair"].isna().all()


def rows_of(signals, columns):
    lines = signals["line"].astype(object).where(signals["line"].notna(), None)
    return sorted(
        zip(signals["event_id"], signals["market"], lines, *(signals[name] for name in columns), strict=True)
    )


@pytest.mark.parametrize("reference", ["pinnacle", "consensus"])
@pytest.mark.parametrize("seed", range(6))
def test_value_is_that_of_a_slow_reading(seed, reference):
    rows = random_market(seed)

    signals = value_signals(rows, reference, min_edge=0.01)

    fast = rows_of(signals, ("outcome", "bookmaker", "price", "probability", "placed_at"))
    slow = slow_value(rows, reference, 0.01)
    assert len(slow) > 3
    assert [(*one[:6], one[7]) for one in fast] == [(*one[:6], one[7]) for one in slow]
    assert [one[6] for one in fast] == pytest.approx([one[6] for one in slow], abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_seed_rule_is_that_of_a_slow_reading(seed):
    rows = random_market(seed)

    fast = rows_of(seed_signals(rows), ("outcome", "bookmaker", "price", "placed_at"))

    assert fast == slow_seed(rows)
    assert len(fast) > 3


def test_the_seed_rule_buys_above_evens_where_bookmakers_agree_at_the_best_price():
    rows = quotes(
        three_way(bookmaker="a", prices=(2.0, 3.5, 3.9)),
        three_way(bookmaker="b", prices=(2.1, 3.4, 3.4)),
        three_way(bookmaker="market_maximum", prices=(2.2, 3.6, 4.0)),
    )

    signals = seed_signals(rows)

    # mean 2.05 with deviation 0.07, 3.45 with 0.07, 3.65 with 0.35
    assert signals[["outcome", "bookmaker", "price"]].to_numpy().tolist() == [
        ["draw", "a", 3.5],
        ["home", "b", 2.1],
    ]
    ledger = backtest(signals, results(result(home=1, away=0)), stake=Flat(1))
    assert ledger.set_index("outcome")["profit"].to_dict() == pytest.approx({"draw": -1, "home": 1.1})


def test_quotes_in_categories_and_in_any_order_give_the_same_bets():
    rows = random_market(2)
    coded = rows.sample(frac=1, random_state=9).astype(
        dict.fromkeys(("event_id", "bookmaker", "market", "outcome", "phase"), "category")
    )

    plain, other = value_signals(rows, min_edge=0.0), value_signals(coded, min_edge=0.0)

    assert len(plain) > 5
    pd.testing.assert_frame_equal(plain, other.astype(plain.dtypes), check_exact=True)


def test_a_board_cut_into_small_parts_says_the_same(monkeypatch):
    from functools import partial

    from overround.signals import value as module

    rows = random_market(4)
    whole = value_signals(rows, "consensus", min_edge=0.0)
    monkeypatch.setattr(module, "boards", partial(module.boards, cells=1))

    pd.testing.assert_frame_equal(whole, value_signals(rows, "consensus", min_edge=0.0), check_exact=True)


def test_a_bet_at_the_close_is_placed_at_kick_off_and_knows_no_price_seen_later():
    late = (
        pd.DataFrame(snapshots("soft", (2.4, 3.6, 3.6), 0.1))
        .assign(collected_at=KICK_OFF + pd.Timedelta(minutes=1))
        .to_dict("records")
    )
    rows = quotes(snapshots("pinnacle", FAIR, 3), snapshots("soft", (2.2, 3.6, 3.6), 1), late)

    signals = value_signals(rows, "pinnacle", at_close=True)

    assert signals[["price", "placed_at"]].to_numpy().tolist() == [[2.2, KICK_OFF]]
    assert (
        closing_lines(rows, "pinnacle")
        .set_index(["bookmaker", "outcome"])
        .loc[("soft", "home"), "closing_price"]
        == 2.4
    )


def test_a_ledger_is_stored_with_and_without_the_error_of_its_edges(tmp_path):
    rows = quotes(
        three_way(bookmaker="pinnacle", prices=FAIR), three_way(bookmaker="soft", prices=(2.1, 3.6, 3.6))
    )
    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02)
    ledger = backtest(signals, results(result(home=1, away=0)), stake=Flat(1))
    store = Store(tmp_path)

    store.append("ledgers", ledger.drop(columns="edge_se", errors="ignore").assign(run_id="without"))
    store.append("ledgers", ledger.assign(run_id="with", edge_se=0.25))

    assert store.read("ledgers").set_index("run_id")["edge_se"].to_dict() == pytest.approx(
        {"without": np.nan, "with": 0.25}, nan_ok=True
    )
    assert len(backtest(signals.drop(columns="edge_se"), results(result(home=1, away=0)), stake=Flat(1))) == 1
