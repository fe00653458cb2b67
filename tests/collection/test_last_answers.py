"""What the last answers before kick-off leave in the store, whoever asked, and whatever the clocks say."""

from pathlib import Path

import pandas as pd
import pytest

import overround as ov
from overround import Store
from overround.sources.replay import Shown
from overround.sources.the_odds_api.client import Offer
from tests.collection.test_withdrawals import SOFT, book, bought, match, shown, withdrawn
from tests.support.commands import home, overround
from tests.support.polls import SPORT, START, answer, polled

KICK_OFF_MINUTE = 180


def minutes(times: pd.Series) -> list[float]:
    return ((times - pd.Timestamp(START)) / pd.Timedelta(minutes=1)).tolist()


def last_asked(folder: Path, name: str = "e1") -> float:
    events = Store(str(folder / "store")).read("events", {"event_id": name})
    return minutes(events["last_asked_at"])[0]


def in_seconds(second: float, *books: dict) -> Shown:
    return shown(second / 60, *books)


def test_an_answer_to_upcoming_withdraws_of_the_events_that_it_shows(play, tmp_path: Path):
    both, other = [book("sharp"), book("soft", SOFT)], match(book("sharp"), name="e2")

    polled(play([answer(0, match(*both), other), answer(5, match(both[0]))]), tmp_path, sports=("upcoming",))

    # e2 may be on offer still, only no longer among the next ones
    assert {one[0] for one in withdrawn(tmp_path)} == {"soft"}
    quotes = Store(str(tmp_path / "store")).read("quotes")
    assert set(quotes["competition"]) == {SPORT}
    assert set(Store(str(tmp_path / "store")).read("events")["competition"]) == {SPORT}


def test_an_answer_about_another_sport_does_not_forget_when_this_one_was_asked(play, tmp_path: Path):
    other = {**match(book("sharp"), name="e2", kick_off="2030-05-09T15:00:00Z"), "sport_key": "soccer_other"}
    mine = match(*(book(name) for name in ("sharp", "soft", "third")))
    # in each poll this sport's answer first; kick-off is between the two answers of the last but one
    times = [(n, (mine, other)[n % 2]) for n in range(150, KICK_OFF_MINUTE + 3)]

    polled(
        play([answer(minute - 0.5, what) for minute, what in times]),
        tmp_path,
        sports=(SPORT, "soccer_other"),
        polls=len(times) // 2,
    )

    assert last_asked(tmp_path) == 179.5


def test_history_that_is_bought_later_does_not_move_the_last_answer_back(play, tmp_path: Path):
    books = [book(name) for name in ("sharp", "soft", "third")]
    polled(play([shown(minute, *books) for minute in (0, 100, 179, 185)]), tmp_path)
    assert last_asked(tmp_path) == 179

    bought(play, tmp_path, [shown(minute, *books) for minute in (0, 60, 120, 200)], 0, 200)

    assert last_asked(tmp_path) == 179
    quotes = Store(str(tmp_path / "store")).read("quotes")
    assert set(ov.closing_lines(quotes, "sharp")["bookmaker"]) == {"sharp", "soft", "third"}


def test_a_slower_second_poller_does_not_move_the_last_answer_back(play, tmp_path: Path):
    books = [book(name) for name in ("sharp", "soft", "third")]
    # the slower one is still running when the other one writes: it asks in between, and does not know
    fast = play([shown(minute, *books) for minute in (0, 179, 185)])
    slow = play([shown(minute, *books) for minute in (0, 90, 190)])
    turns = iter([lambda: None, lambda: polled(fast, tmp_path)])

    def sleep(_: float) -> None:
        slow.sleep(_)
        next(turns)()

    polled(slow, tmp_path, sleep=sleep, offer=Offer(regions="us"))

    assert last_asked(tmp_path) == 179


@pytest.mark.parametrize(
    ("second", "prices"), [((2.2, 3.4, 3.9), [2.05, 2.2]), (None, [2.05, 0, 2.05])], ids=["moved", "away"]
)
def test_a_clock_that_is_a_little_ahead_delays_no_change(play, tmp_path: Path, second, prices):
    # an update of 4 s after its answer is believed; the next answers come 2 and 4 s after the first
    soft = book("soft", SOFT, 4 / 60)
    then = [book("soft", second, 1 / 60)] if second else []
    last = then or [soft]

    polled(
        play(
            [
                in_seconds(0, book("sharp"), soft),
                in_seconds(2, book("sharp"), *then),
                in_seconds(4, book("sharp"), *last),
            ]
        ),
        tmp_path,
        every_s=2,
    )

    quotes = Store(str(tmp_path / "store")).read("quotes", {"bookmaker": "soft", "outcome": "home"})
    quotes = quotes.sort_values("observed_at")
    assert quotes["price"].fillna(0).tolist() == prices
    assert quotes["observed_at"].is_unique


def test_closing_quotes_have_the_rows_of_closing_lines(play, tmp_path: Path):
    # one bookmaker moves every five minutes up to 40 before kick-off, as the only one
    answers = [
        shown(n, book("still"), book("sharp", (2 + n / 1000, 3.5, 4.0), n), book("third"))
        for n in range(0, 141, 5)
    ]
    polled(play(answers), tmp_path)
    quotes = Store(str(tmp_path / "store")).read("quotes")

    assert ov.closing_lines(quotes, "sharp").empty
    assert ov.prices.closing_quotes(quotes).empty
    assert (ov.forecasts.early_and_close(quotes)["phase"] != "close").all()


def test_a_poller_sees_what_another_process_withdrew_though_nothing_else_changes(play, tmp_path: Path):
    # a single collection in minute 5 does not show what the poller sees before and after it
    both, alone = [book("sharp"), book("soft", SOFT)], [book("sharp")]
    poller = play([shown(minute, *both) for minute in (0, 10, 20)])
    other = play([shown(5, *alone)])
    turns = iter([lambda: polled(other, tmp_path), lambda: None])

    def sleep(_: float) -> None:
        poller.sleep(_)
        next(turns)()

    polled(poller, tmp_path, sleep=sleep)

    quotes = Store(str(tmp_path / "store")).read("quotes", {"bookmaker": "soft", "outcome": "home"})
    quotes = quotes.sort_values("observed_at")
    assert list(zip(minutes(quotes["observed_at"]), quotes["price"].fillna(0), strict=True)) == [
        (0, 2.05),
        (5, 0),
        (20, 2.05),
    ]


def test_the_page_of_a_collection_counts_no_withdrawal_as_a_price(play, tmp_path: Path):
    both = [book("sharp"), book("soft", SOFT)]
    polled(play([shown(0, *both), shown(5, both[0]), shown(10, both[0])]), tmp_path)

    done = overround(
        *("run", "collection", "-p", "source=the-odds-api"),
        env=home(tmp_path, OVERROUND_STORE=str(tmp_path / "store")),
    )

    assert "; 6 prices;" in done.stderr
