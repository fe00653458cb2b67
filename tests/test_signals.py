"""Signals: what a strategy wants to bet, and that it cannot look ahead."""

import numpy as np
import pandas as pd
import pytest

from overround import blind_signals, closing_lines, value_signals
from overround.errors import ParameterError
from tests.books import KICK_OFF, quote, quotes, three_way

FAIR = (2.0, 4.0, 4.0)  # sums to one: a sharp book without a margin


def at(hours_before: float) -> str:
    return str(KICK_OFF - pd.Timedelta(hours=hours_before))[:19]


def snapshots(bookmaker, prices, hours_before, event="m1"):
    return three_way(event, bookmaker, prices, phase="snapshot", at=at(hours_before))


def test_a_price_better_than_the_sharp_fair_price_is_bet_once_where_it_is_best():
    rows = quotes(three_way(bookmaker="pinnacle", prices=FAIR), three_way(bookmaker="soft", prices=(2.1, 3.6, 3.6)),
                  three_way(bookmaker="softer", prices=(2.2, 3.5, 3.5)))  # fmt: skip

    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02)

    assert signals[["outcome", "bookmaker", "price"]].to_numpy().tolist() == [["home", "softer", 2.2]]
    assert signals["edge"].tolist() == pytest.approx([0.1])  # 0.5 x 2.2 - 1


def test_a_bet_is_placed_at_the_first_moment_with_enough_edge():
    rows = quotes(snapshots("pinnacle", FAIR, 10), snapshots("soft", (2.0, 3.6, 3.6), 9), snapshots("soft", (2.1, 3.6, 3.6), 5),
                  snapshots("soft", (2.3, 3.6, 3.6), 2))  # fmt: skip

    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02)

    assert signals["price"].tolist() == [2.1]
    assert signals["placed_at"].tolist() == [KICK_OFF - pd.Timedelta(hours=5)]


def test_a_price_that_stands_still_becomes_a_bet_when_the_sharp_book_moves():
    rows = quotes(snapshots("pinnacle", FAIR, 10), snapshots("slow", (1.95, 3.8, 3.8), 9), snapshots("pinnacle", (1.8, 4.5, 4.5), 3))

    signals = value_signals(rows, "pinnacle", "multiplicative", 0.02)

    assert signals[["bookmaker", "price"]].to_numpy().tolist() == [["slow", 1.95]]
    assert signals["placed_at"].tolist() == [KICK_OFF - pd.Timedelta(hours=3)]


def test_a_price_is_held_against_what_the_sharp_book_shows_at_the_same_poll():
    # by the bookmakers' clocks the soft price came a minute before the sharp one moved, but one poll brought both
    poll = pd.Timestamp(at(5), tz="UTC")
    before, after = snapshots("pinnacle", FAIR, 10), snapshots("pinnacle", (2.3, 3.6, 3.5), 5.1)
    soft = snapshots("soft", (2.2, 3.3, 3.3), 5.2)
    rows = quotes(before, after, soft)
    rows["collected_at"] = rows["collected_at"].where(rows["observed_at"] < pd.Timestamp(at(6), tz="UTC"), poll)

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
        from_every, from_changes = value_signals(every, reference, min_edge=0.01), value_signals(changes, reference, min_edge=0.01)
        assert len(from_every) > 10
        pd.testing.assert_frame_equal(from_every, from_changes)


def test_a_price_seen_too_long_ago_no_longer_stands():
    rows = quotes(snapshots("slow", (2.3, 3.8, 3.8), 50), snapshots("pinnacle", FAIR, 3))

    assert value_signals(rows, "pinnacle", max_age_h=24).empty
    assert len(value_signals(rows, "pinnacle", max_age_h=72)) == 1


def test_nothing_that_happens_later_changes_an_earlier_signal():
    rng = np.random.default_rng(5)
    groups = []
    for event in range(30):
        p = rng.dirichlet([5, 3, 4])
        for hours in (40, 30, 20, 10, 5, 1):
            for name, noise, margin in (("pinnacle", 0.02, 1.02), ("soft", 0.15, 1.06), ("softer", 0.2, 1.07), ("other", 0.1, 1.05)):
                q = p * np.exp(rng.normal(0, noise, 3))
                groups.append(three_way(f"m{event}", name, tuple(1 / (q / q.sum() * margin)), phase="snapshot", at=at(hours)))
    rows = quotes(*groups)
    cut = KICK_OFF - pd.Timedelta(hours=15)
    future = rows["collected_at"] > cut
    shuffled = rows.assign(price=rows["price"].where(~future, 1 + rng.random(len(rows)) * 9))

    for reference in ("pinnacle", "consensus"):
        known = value_signals(rows, reference).query("placed_at <= @cut")
        other = value_signals(shuffled, reference).query("placed_at <= @cut")
        assert len(known) > 5
        pd.testing.assert_frame_equal(known.reset_index(drop=True), other.reset_index(drop=True))


def test_in_play_prices_and_closing_prices_are_no_bets():
    rows = quotes(three_way(bookmaker="pinnacle", prices=FAIR), three_way(bookmaker="soft", prices=(2.4, 3.6, 3.6), phase="close"),
                  three_way(bookmaker="pinnacle", prices=FAIR, phase="close"), snapshots("soft", (2.4, 3.6, 3.6), -1),
                  snapshots("pinnacle", FAIR, -1))  # fmt: skip

    assert value_signals(rows, "pinnacle").empty
    assert value_signals(rows, "pinnacle", at_close=True)["price"].tolist() == [2.4]
    assert value_signals(rows, "pinnacle", at_close=True)["placed_at"].tolist() == [KICK_OFF]


def test_market_maximum_is_no_account_unless_it_is_named():
    rows = quotes(three_way(bookmaker="pinnacle", prices=FAIR), three_way(bookmaker="market_maximum", prices=(2.4, 4.4, 4.4)))

    assert value_signals(rows, "pinnacle").empty
    assert len(value_signals(rows, "pinnacle", bookmakers=["market_maximum"])) == 3


def test_an_edge_too_good_to_be_true_and_a_reference_that_is_no_market_are_left_alone():
    palpable = quotes(three_way(bookmaker="pinnacle", prices=FAIR), three_way(bookmaker="soft", prices=(2.9, 3.6, 3.6)))
    shifted = quotes(three_way(bookmaker="pinnacle", prices=(4.0, 4.0, 4.0)), three_way(bookmaker="soft", prices=(3.2, 2.8, 2.8)))

    assert value_signals(palpable, "pinnacle").empty
    assert value_signals(shifted, "pinnacle", "multiplicative").empty


def test_a_bookmaker_without_prices_is_refused():
    with pytest.raises(ParameterError, match=r"'nobody'.*pinnacle"):
        value_signals(quotes(three_way(bookmaker="pinnacle")), bookmakers=["nobody"])


def test_quotes_without_kick_off_are_refused():
    with pytest.raises(ParameterError, match="starts_at"):
        value_signals(quotes(three_way()).drop(columns="starts_at"))


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
        three_way(bookmaker="pinnacle", prices=FAIR, start=start), three_way(bookmaker="soft", prices=(2.2, 3.6, 3.6), start=start)
    )

    assert value_signals(rows, "pinnacle")["placed_at"].tolist() == [pd.Timestamp(placed, tz="UTC")]


def test_blind_signals_back_every_match_at_the_first_price_or_the_last():
    rows = quotes(snapshots("soft", (2.0, 3.5, 3.9), 9), snapshots("soft", (2.2, 3.4, 3.3), 2), snapshots("soft", (5.0, 3.4, 1.3), -0.5))

    rows = pd.concat([rows, quotes(quote(bookmaker="soft", market="spreads", line=-0.5, phase="snapshot", at=at(9)))])

    assert blind_signals(rows, "soft", "home")["price"].tolist() == [2.0]
    assert blind_signals(rows, "soft", "home", at_close=True)["price"].tolist() == [2.2]


def test_closing_lines_are_the_last_prices_before_kick_off_with_the_sharp_fair_price():
    rows = quotes(snapshots("soft", (2.0, 3.5, 3.9), 9), snapshots("soft", (2.2, 3.4, 3.3), 2), snapshots("pinnacle", (2.1, 4.2, 3.5), 3),
                  snapshots("pinnacle", FAIR, 1), snapshots("pinnacle", (9.0, 4.0, 1.4), -1))  # fmt: skip

    closing = closing_lines(rows, "pinnacle", "multiplicative").set_index(["bookmaker", "outcome"])

    assert closing.loc[("soft", "home"), "closing_price"] == 2.2
    assert closing.loc[("soft", "home"), "closing_fair"] == pytest.approx(0.5)


def test_without_the_reference_the_consensus_of_three_closes_and_two_are_not_enough():
    three = quotes(
        *(three_way(bookmaker=name, prices=FAIR, phase="close") for name in "abc"), quote(bookmaker="market_average", phase="close")
    )
    two = three[three["bookmaker"] != "c"]

    assert closing_lines(three, "pinnacle")["closing_fair"].dropna().unique() == pytest.approx([0.5, 0.25])
    assert closing_lines(two, "pinnacle")["closing_fair"].isna().all()
