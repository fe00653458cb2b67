"""Prices that an answer no longer shows: withdrawn from its time on, over real HTTP on loopback."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

import overround as ov
from overround import Store
from overround.prices.standing import standing_price
from overround.sources.replay import Shown
from overround.sources.the_odds_api.client import Offer
from tests.support.commands import ROOT
from tests.support.polls import (
    KICK_OFF,
    SPORT,
    START,
    answer,
    collect_recorded,
    event,
    iso,
    polled,
    settings_for,
    shown_prices,
)

SHARP, SOFT = (2.0, 3.5, 4.0), (2.05, 3.4, 3.9)
MOVED = (1.8, 3.7, 4.8)


def book(key: str, prices: tuple = SHARP, at: float = 0, market: str = "h2h", **more: object) -> dict:
    """A bookmaker's prices of a market, last updated in a minute."""
    names = ("Birch", "Draw", "Alder") if market == "h2h" else ("Over", "Under")
    if market == "spreads":
        names = ("Birch", "Alder")
    outcomes = [{"name": name, "price": price} for name, price in zip(names, prices, strict=True)]
    if "point" in more:
        signs = (1, -1) if market == "spreads" else (1, 1)
        outcomes = [{**one, "point": sign * more["point"]} for one, sign in zip(outcomes, signs, strict=True)]
    updated = iso(START + timedelta(minutes=at))
    return {
        "key": key,
        "title": key,
        "last_update": updated,
        "markets": [{"key": market, "last_update": updated, "outcomes": outcomes}],
    }


def match(*books: dict, name: str = "e1", kick_off: str = KICK_OFF) -> dict:
    """An event; the markets of a bookmaker that is given twice are joined."""
    joined: dict[str, dict] = {}
    for one in books:
        known = joined.setdefault(one["key"], {**one, "markets": []})
        known["markets"] = known["markets"] + one["markets"]
    return event({}, START, name=name, kick_off=kick_off) | {"bookmakers": list(joined.values())}


def shown(minute: float, *books: dict, **more: object) -> Shown:
    return answer(minute, match(*books, **more))  # type: ignore[arg-type]


def withdrawn(folder: Path) -> list[tuple]:
    """Bookmaker, market, line, outcome and minute of each withdrawal."""
    quotes = Store(str(folder / "store")).read("quotes")
    gone = quotes[quotes["price"].isna()].sort_values(["observed_at", "bookmaker", "outcome"])
    minutes = (gone["observed_at"] - pd.Timestamp(START)) / pd.Timedelta(minutes=1)
    line = gone["line"].astype(object).where(gone["line"].notna(), None)
    return list(zip(gone["bookmaker"], gone["market"], line, gone["outcome"], minutes, strict=True))


ALL = [("soft", "h2h", None, outcome, 5.0) for outcome in ("away", "draw", "home")]
LEAVES = {
    "the bookmaker is out": ([book("sharp")], ALL),
    "it has no market": ([book("sharp"), {**book("soft"), "markets": []}], ALL),
    "its market has no outcome": (
        [book("sharp"), {**book("soft"), "markets": [{"key": "h2h", "outcomes": []}]}],
        ALL,
    ),
    "one outcome is suspended": (
        [book("sharp"), {**book("soft"), "markets": [{"key": "h2h", "outcomes": [
            {"name": "Birch", "price": SOFT[0]}, {"name": "Alder", "price": SOFT[2]}]}]}],
        [ALL[1]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LEAVES)
def test_what_leaves_an_answer_is_withdrawn_at_its_time_and_once(play, tmp_path: Path, case: str):
    books, gone = LEAVES[case]
    both = [book("sharp"), book("soft", SOFT)]

    polled(play([shown(0, *both), *(shown(minute, *books) for minute in (5, 10, 15))]), tmp_path)

    assert withdrawn(tmp_path) == gone
    standing = Store(str(tmp_path / "store")).read("standing").set_index(["bookmaker", "outcome"])
    for name, _, _, outcome, _ in gone:
        assert pd.isna(standing.loc[(name, outcome), "price"])
        assert standing.loc[(name, outcome), "last_seen_at"] == pd.Timestamp(START)


def test_a_line_that_moved_and_a_match_that_left_are_withdrawn(play, tmp_path: Path):
    def spread(point: float) -> dict:
        return book("soft", (1.95, 1.93), market="spreads", point=point)

    other = match(book("sharp"), name="e2")
    offer = Offer(markets="h2h,spreads")
    answers = [
        answer(0, match(spread(-0.5), book("sharp")), other),
        answer(5, match(spread(-0.75), book("sharp"))),
    ]

    polled(play(answers), tmp_path, offer=offer)

    gone = withdrawn(tmp_path)
    assert [one for one in gone if one[1] == "spreads"] == [
        ("soft", "spreads", -0.5, "away", 5.0),
        ("soft", "spreads", -0.5, "home", 5.0),
    ]
    assert len([one for one in gone if one[1] == "h2h"]) == 3  # those of the other match


def test_a_return_at_the_old_price_and_time_is_a_change_after_the_withdrawal(play, tmp_path: Path):
    both = [book("sharp"), book("soft", SOFT)]

    polled(play([shown(0, *both), shown(5, both[0]), shown(10, *both), shown(15, *both)]), tmp_path)

    quotes = Store(str(tmp_path / "store")).read("quotes", {"bookmaker": "soft", "outcome": "home"})
    quotes = quotes.sort_values("observed_at")
    assert quotes["price"].fillna(0).tolist() == [2.05, 0, 2.05]
    minutes = (quotes["observed_at"] - pd.Timestamp(START)) / pd.Timedelta(minutes=1)
    assert minutes.tolist() == [0, 5, 10]


def _bad(minute: float) -> Shown:
    """A price that cannot be read, and a bookmaker less."""
    return shown(minute, book("sharp", (2.0, 0.5, 4.0)))


SILENT = {
    "an empty list": answer(5),
    "no bookmaker at all": shown(5),
    "an answer that is partly set aside": _bad(5),
    "an error": Shown(START + timedelta(minutes=5), b"{}", 503),
    "an answer from before": shown(-5, book("sharp")),
}


@pytest.mark.parametrize("case", SILENT)
def test_a_gap_of_the_feed_and_an_answer_that_is_not_whole_withdraw_nothing(play, tmp_path: Path, case: str):
    both = [book("sharp"), book("soft", SOFT)]

    polled(
        play([shown(0, *both), SILENT[case], shown(1500, *both, kick_off="2030-05-09T15:00:00Z")]), tmp_path
    )

    assert withdrawn(tmp_path) == []


def test_nothing_is_withdrawn_after_kick_off_and_a_postponed_match_goes_on(play, tmp_path: Path):
    both, late = [book("sharp"), book("soft", SOFT)], "2030-05-05T15:00:00Z"
    minute = 3 * 60.0  # kick-off

    polled(play([shown(0, *both), shown(minute, both[0])]), tmp_path)
    assert withdrawn(tmp_path) == []
    polled(play([shown(minute + 5, both[0], kick_off=late)]), tmp_path)

    assert {one[4] for one in withdrawn(tmp_path)} == {minute + 5}


@pytest.mark.parametrize(
    "other", [Offer(regions="us"), Offer(bookmakers="sharp"), Offer(markets="totals"), Offer(regions="eu")]
)
def test_an_answer_of_another_scope_withdraws_nothing(play, tmp_path: Path, other: Offer):
    both = [book("sharp"), book("soft", SOFT)]
    polled(play([shown(0, *both)]), tmp_path)

    polled(play([shown(5, book("sharp"), book("new"))]), tmp_path, offer=other)
    assert withdrawn(tmp_path) == []
    # the scope by which they were seen, in another order
    polled(play([shown(10, book("sharp"), book("new"))]), tmp_path, offer=Offer(regions="uk,eu"))

    assert {one[0] for one in withdrawn(tmp_path)} == {"soft"}


def test_a_poller_that_was_killed_knows_what_the_next_one_has_to_withdraw(play, tmp_path: Path):
    # a process of its own, which is gone before anything but its prices was written
    script = (
        "import os, sys; from pathlib import Path; from overround.collection import poll, PollSettings\n"
        "from tests.support.polls import *\n"
        "poll([SPORT], PollSettings(ttl=0), settings=settings_for(Path(sys.argv[2]), sys.argv[1]),\n"
        "     clock=START.timestamp, progress=lambda polled: os.kill(os.getpid(), 9))"
    )
    server = play([shown(0, book("sharp"), book("soft", SOFT))])
    done = subprocess.run([sys.executable, "-c", script, server.url, str(tmp_path)], cwd=ROOT, check=False)
    assert done.returncode == -9

    polled(play([shown(5, book("sharp"))]), tmp_path)

    assert withdrawn(tmp_path) == ALL


def test_collecting_now_and_then_withdraws_as_a_poller_does(play, tmp_path: Path):
    for minute, books in ((0, [book("sharp"), book("soft", SOFT)]), (5, [book("sharp")])):
        # collected now, so of a match that has not begun
        server = play([shown(minute, *books, kick_off="2045-05-04T15:00:00Z")])
        ov.collect("the-odds-api", leagues=[SPORT], settings=settings_for(tmp_path, server.url, live_ttl=0))

    quotes = Store(str(tmp_path / "store")).read("quotes")
    gone = quotes[quotes["price"].isna()]
    assert set(gone["bookmaker"]) == {"soft"} and len(gone) == 3


def bought(play, folder: Path, answers: list[Shown], first: float, last: float) -> None:
    """Buy past odds from one minute to another, every five."""
    start, end = (START + timedelta(minutes=minute) for minute in (first, last))
    history = ov.sources.History(start, end, timedelta(minutes=5), 10_000)
    settings = settings_for(folder, play(answers).url)
    ov.collect("the-odds-api", leagues=[SPORT], settings=settings, history=history)


def test_history_that_is_bought_late_takes_back_no_price_that_was_seen_later(play, tmp_path: Path):
    both, alone = [book("sharp"), book("soft", SOFT)], [book("sharp")]
    polled(play([shown(0, *both), shown(30, *both), shown(60, *both)]), tmp_path)

    bought(play, tmp_path, [shown(0, *both), shown(10, *alone), shown(20, *alone)], 5, 25)

    quotes = Store(str(tmp_path / "store")).read("quotes", {"bookmaker": "soft", "outcome": "home"})
    quotes = quotes.sort_values("observed_at")
    minutes = (quotes["observed_at"] - pd.Timestamp(START)) / pd.Timedelta(minutes=1)
    # gone from 10 on, and there again when it was next seen for certain
    assert list(zip(minutes, quotes["price"].fillna(0), strict=True)) == [(0, 2.05), (10, 0), (60, 2.05)]


def test_history_that_is_bought_backwards_keeps_all_its_prices(play, tmp_path: Path):
    path = [shown(5 * n, book("sharp", (2.0 + n / 100, 3.5, 4.0), 5 * n)) for n in range(8)]
    bought(play, tmp_path, path, 20, 35)
    bought(play, tmp_path, path, 0, 15)

    backwards = Store(str(tmp_path / "store")).read("quotes", {"outcome": "home"}).sort_values("observed_at")
    assert backwards["price"].round(2).tolist() == [2.0, 2.01, 2.02, 2.03, 2.04, 2.05, 2.06, 2.07]


def test_signals_arbitrage_and_closes_see_nothing_where_it_was_withdrawn(play, tmp_path: Path):
    books = [book(name, SOFT) for name in ("soft", "other", "third")]
    high = book("high", (2.6, 3.4, 3.9))
    answers = [
        shown(0, book("sharp"), *books, high),
        shown(5, book("sharp"), *books),
        shown(10, book("sharp", MOVED, 10), *books[1:]),
        shown(175, book("sharp", MOVED, 10), *books[1:]),
    ]
    polled(play(answers), tmp_path)
    quotes = Store(str(tmp_path / "store")).read("quotes")

    signals = ov.value_signals(quotes, "sharp", min_edge=0.02)
    later = signals[signals["placed_at"] > pd.Timestamp(START) + pd.Timedelta(minutes=5)]
    assert len(later) and not set(later["bookmaker"]) & {"soft", "high"}
    closing = ov.closing_lines(quotes, "sharp")
    assert set(closing["bookmaker"]) == {"sharp", "other", "third"}
    assert set(ov.prices.closing_quotes(quotes)["bookmaker"]) == {"sharp", "other", "third"}
    early_and_close = ov.forecasts.early_and_close(quotes)
    assert set(early_and_close.loc[early_and_close["phase"] == "close", "bookmaker"]) == set(
        closing["bookmaker"]
    )
    at = pd.Series(pd.Timestamp(START) + pd.to_timedelta([4, 6], unit="min"))
    bets = quotes[(quotes["bookmaker"] == "high") & (quotes["outcome"] == "home")].iloc[[0, 0]]
    found = standing_price(bets.reset_index(drop=True), quotes, at, 24.0)
    assert found[0] == 2.6 and pd.isna(found[1])
    fair = ov.fair_probabilities(quotes)
    assert fair.loc[quotes["price"].isna(), "fair"].isna().all()


def test_a_price_from_before_a_gap_up_to_kick_off_is_no_close(play, tmp_path: Path):
    def until(last: int) -> pd.DataFrame:
        """Polls every five minutes up to a minute; kick-off is in minute 180."""
        folder = tmp_path / str(last)
        names = ("sharp", "soft", "other")
        answers = [
            shown(n, book("still"), *(book(name, (2 + n / 1000, 3.5, 4.0), n) for name in names))
            for n in range(0, last + 1, 5)
        ]
        polled(play(answers), folder)
        return ov.closing_lines(Store(str(folder / "store")).read("quotes"), "sharp")

    # half an hour is allowed, and what has not changed for hours stands as long as the others are shown
    assert set(until(155)["bookmaker"]) == {"sharp", "soft", "other", "still"}
    assert until(140).empty


def test_a_user_may_say_so_but_only_of_a_snapshot(tmp_path: Path):
    quotes = ov.example(4).quotes
    store = Store(str(tmp_path))
    gone = quotes.head(3).assign(price=float("nan"))

    assert store.append("quotes", gone).inserted == 3
    with pytest.raises(
        ov.errors.TableError,
        match="column 'price': row 0 is empty; decimal odds are above 1, and only a snapshot",
    ):
        store.append("quotes", gone.assign(phase="close"))
    never = quotes.tail(3).assign(price=float("nan"))
    assert store.append("quotes", never, changes_only=True).inserted == 0  # nothing equals nothing


def test_no_bet_takes_a_price_that_the_recorded_answer_of_its_moment_does_not_show(
    recorded: Path, tmp_path: Path
):
    # every answer of the tournament, of WNBA and of others: 0 of 191 value bets and of 87 arbitrages; before
    # withdrawals were kept, 44 of each
    answers = ov.sources.replay.recorded_answers(recorded / "the-odds-api" / "soccer_fifa_world_cup" / "odds")
    answers = answers[400:700]
    collect_recorded(answers, tmp_path)
    shows = {pd.Timestamp(one.at): shown_prices(one) for one in answers}
    quotes = Store(str(tmp_path / "store")).read("quotes")

    bets = pd.concat([ov.value_signals(quotes, "consensus", min_edge=0.0), ov.arbitrage_signals(quotes)])

    assert len(bets) > 50
    for bet in bets.itertuples():
        line = None if pd.isna(bet.line) else bet.line
        key = (bet.event_id, bet.bookmaker, bet.market, line, bet.outcome)
        assert shows[bet.placed_at].get(key) == round(bet.price, 9)
