"""The poller against a provider that plays back answers over real HTTP, in the time of the answers; and as a
process, killed politely.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

from overround import Store
from overround.collection.poll_settings import PollSettings
from overround.collection.polled import Polled
from overround.collection.poller import poll
from overround.collection.stored_prices import load_prices
from overround.durations import seconds
from overround.errors import FetchError, ParameterError, StoreError
from overround.sources import local_server
from overround.sources.replay import Replay, Shown, _Handler, recorded_answers
from overround.sources.the_odds_api.client import Offer
from tests.support.commands import ROOT, home, overround
from tests.support.polls import (
    CANARY,
    SPORT,
    START,
    WORLD_CUP,
    answer,
    collect_recorded,
    event,
    iso,
    polled,
    priced,
    settings_for,
)


def home_prices(folder: Path) -> list[float]:
    quotes = (
        Store(str(folder / "store"))
        .read("quotes", {"outcome": "home"})
        .sort_values("observed_at", kind="stable")
    )
    return quotes["price"].tolist()


def test_only_changes_are_stored_and_when_a_price_was_last_seen_is_kept(play, tmp_path: Path):
    done = polled(
        play([priced(0, 2.0), priced(1, 2.0), priced(2, 2.1), priced(3, 2.1), priced(4, 2.1)]), tmp_path
    )

    store = Store(str(tmp_path / "store"))
    assert home_prices(tmp_path) == [2.0, 2.1]
    assert len(store.read("quotes")) == 4
    assert (done.polls, done.inserted, done.unchanged) == (5, {"events": 1, "quotes": 4, "results": 0}, 11)
    standing = store.read("standing").set_index("outcome")
    assert standing.loc["home", ["price", "observed_at"]].tolist() == [
        2.1,
        pd.Timestamp(START) + pd.Timedelta(seconds=110),
    ]
    assert set(standing["last_seen_at"]) == {pd.Timestamp(START) + pd.Timedelta(minutes=4)}


@pytest.mark.slow
@pytest.mark.parametrize("forgotten", [(), ("standing",), ("standing", "events")])
def test_collecting_again_adds_nothing_also_when_what_stands_is_forgotten(
    play, tmp_path: Path, forgotten: tuple
):
    answers = [priced(0, 2.0), priced(1, 2.1), priced(2, 2.0), priced(3, 2.0)]
    polled(play(answers), tmp_path)
    for table in forgotten:
        shutil.rmtree(tmp_path / "store" / table)

    again = polled(play(answers), tmp_path)

    assert home_prices(tmp_path) == [2.0, 2.1, 2.0]
    assert again.inserted["quotes"] == 0


def test_a_second_poller_goes_on_where_the_first_one_ended(play, tmp_path: Path):
    polled(play([priced(0, 2.0), priced(1, 2.1)]), tmp_path)

    polled(play([priced(2, 2.1), priced(3, 2.2)]), tmp_path)

    assert home_prices(tmp_path) == [2.0, 2.1, 2.2]


@pytest.mark.slow
def test_a_price_that_another_poller_saw_change_is_not_taken_for_the_one_that_stands(play, tmp_path: Path):
    other = play([priced(1.5, 1.9)])

    def progress(now: Polled) -> None:
        if now.polls == 2:
            polled(other, tmp_path)

    polled(play([priced(n, 2.0) for n in range(12)]), tmp_path, progress=progress)

    # what the other one wrote is looked at every few minutes
    assert home_prices(tmp_path) == [2.0, 1.9, 2.0]


def test_an_event_whose_kick_off_moves_across_new_year_stays_one_event_in_its_first_season(
    play, tmp_path: Path
):
    moved = "2031-01-02T15:00:00Z"
    polled(play([priced(0, 2.0, kick_off="2030-12-31T15:00:00Z"), priced(1, 2.1, kick_off=moved)]), tmp_path)
    polled(play([priced(2, 2.1, kick_off=moved), priced(3, 2.2, kick_off=moved)]), tmp_path)

    store = Store(str(tmp_path / "store"))
    (only,) = store.read("events").itertuples()
    quotes = store.read("quotes")
    assert (only.starts_at, only.season) == (pd.Timestamp(moved), "2030")
    assert home_prices(tmp_path) == [2.0, 2.1, 2.2]
    assert set(quotes["season"]) == {"2030"}
    assert set(quotes["starts_at"]) == {pd.Timestamp(moved)}


def test_prices_in_play_are_kept_and_can_be_told_by_their_time(play, tmp_path: Path):
    polled(play([priced(0, 2.0), priced(179, 1.9), priced(190, 1.2)]), tmp_path)

    quotes = Store(str(tmp_path / "store")).read("quotes", {"outcome": "home"}).sort_values("observed_at")
    assert (quotes["observed_at"] >= quotes["starts_at"]).tolist() == [False, False, True]


def test_two_accounts_of_one_exchange_do_not_take_turns(play, tmp_path: Path):
    def both(minute: float) -> Shown:
        at = START + timedelta(minutes=minute)
        older, newer = (
            event({key: (price, 3.5, 4.0)}, at - timedelta(seconds=age))["bookmakers"]
            for key, price, age in (("betfair_ex_uk", 2.0, 20), ("betfair_ex_eu", 2.02, 10))
        )
        return answer(minute, {**event({}, at), "bookmakers": newer + older})

    polled(play([both(0), both(1), both(2)]), tmp_path)

    assert home_prices(tmp_path) == [2.02]


def test_a_price_that_changes_under_an_old_time_is_stored_at_the_time_of_the_answer(play, tmp_path: Path):
    polled(
        play(
            [
                answer(minute, event({"onebook": (price, 3.5, 4.0)}, START))
                for minute, price in ((1, 2.0), (2, 2.1), (3, 2.0))
            ]
        ),
        tmp_path,
    )

    quotes = Store(str(tmp_path / "store")).read("quotes", {"outcome": "home"}).sort_values("observed_at")
    assert quotes["price"].tolist() == [2.0, 2.1, 2.0]
    assert quotes["observed_at"].tolist() == [
        pd.Timestamp(START) + pd.Timedelta(minutes=minute) for minute in (0, 2, 3)
    ]


def test_an_answer_from_before_the_price_that_stands_changes_nothing(play, tmp_path: Path):
    polled(play([priced(0, 2.0), priced(5, 2.1), priced(3, 1.5), priced(6, 2.1)]), tmp_path)

    assert home_prices(tmp_path) == [2.0, 2.1]


def ended(at: datetime) -> bytes:
    over = {
        **event({}, at),
        "completed": True,
        "last_update": iso(at),
        "scores": [{"name": "Birch", "score": "2"}, {"name": "Alder", "score": "1"}],
    }
    return json.dumps([over]).encode()


def test_scores_settle_events_and_are_asked_for_only_when_a_match_should_have_ended(play, tmp_path: Path):
    server = play([priced(minute, 2.0) for minute in (0, 100, 270, 290, 291, 292, 310)], scores=ended)

    done = polled(server, tmp_path)

    # the match should have ended at minute 285; at 290 it has a result, and nothing is awaited any more
    assert [path.split("?")[0].rsplit("/", 1)[1] for path in server.hits].count("scores") == 1
    (result,) = Store(str(tmp_path / "store")).read("results").itertuples()
    assert (result.home_score, result.away_score, result.status, result.season) == (2, 1, "final", "2030")
    assert done.inserted["results"] == 1


@pytest.mark.slow
def test_a_match_that_never_ends_is_asked_for_less_and_less(play, tmp_path: Path):
    server = play([priced(30 * n, 2.0) for n in range(24)])

    polled(server, tmp_path, every_s=1800)

    # kick-off is at minute 180, the end at 285: at each poll from 300 to 540, then every hour until 690
    assert sum("/scores" in path for path in server.hits) == 9 + 2


@pytest.mark.slow
def test_requests_and_measurements_are_written_now_and_then_not_at_every_poll(play, tmp_path: Path):
    polled(play([priced(n, 2.0 + n / 100) for n in range(21)]), tmp_path)

    store = Store(str(tmp_path / "store"))
    requests, measured = store.read("requests"), store.read("measurements")
    assert len(requests) == 21
    assert set(requests["endpoint"].str.contains(SPORT)) == {True}
    assert len(list((tmp_path / "store" / "requests").glob("*.parquet"))) <= 5
    polls = measured[(measured["stage"] == "poll") & (measured["metric"] == "polls")]
    assert polls["value"].sum() == 21
    assert {"wall_s", "io_wait_s", "latency_p50_ms", "cache_hit_share"} <= set(measured["metric"])


def test_two_users_of_a_cache_share_their_calls(play, tmp_path: Path):
    server = play([priced(0, 2.0)])
    for _ in range(2):
        settings = settings_for(tmp_path, server.url, live_ttl=60)
        done = poll([SPORT], PollSettings(every_s=0.01, polls=3), settings=settings)

    assert len(server.hits) == 1
    assert (done.requests, done.cache_hits) == (3, 3)


GOOD = [2.0, 2.1, 2.2]
FAULTS = {
    "html": lambda at: Shown(
        at, b"<!DOCTYPE html><title>Bad gateway</title>", headers={"Content-Type": "text/html"}
    ),
    "truncated JSON": lambda at: Shown(
        at, json.dumps([event({"onebook": (9.0, 9.0, 9.0)}, at)]).encode()[:-40]
    ),
    "reset mid-body": lambda at: Shown(at, b"[" + b" " * 4000 + b"]", cut=100),
    "wrong types": lambda at: Shown(
        at, json.dumps([{**event({}, at), "bookmakers": 7}, 3, {"id": [1]}]).encode()
    ),
    "another shape": lambda at: Shown(at, b'{"message": 3}'),
    "nothing": lambda at: Shown(at, b""),
    "key refused in the middle": lambda at: Shown(
        at, b'{"message": "API key is not valid", "error_code": "INVALID_KEY"}', 401
    ),
    "quota used up": lambda at: Shown(
        at, b'{"message": "Usage quota has been reached.", "error_code": "OUT_OF_USAGE_CREDITS"}', 401
    ),
    "unprocessable": lambda at: Shown(at, b'{"message": "Invalid markets"}', 422),
}


_FIRST = ("html", "truncated JSON", "wrong types", "key refused in the middle")


@pytest.mark.parametrize(
    "fault", [*_FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in FAULTS if name not in _FIRST)]
)
def test_after_a_fault_it_goes_on_and_no_row_is_lost_or_doubled(play, tmp_path: Path, fault: str):
    answers: list[Shown] = []
    for n, price in enumerate(GOOD):
        answers += [priced(10 * n, price), FAULTS[fault](START + timedelta(minutes=10 * n + 5))]
    server = play([*answers, priced(70, GOOD[-1])])

    done = polled(server, tmp_path)

    # a sport that failed waits for the next poll, which here brings the next answer
    assert home_prices(tmp_path) == GOOD
    assert done.inserted["quotes"] == len(GOOD) + 2
    # a connection that broke is tried again at once, by the fetcher
    assert done.errors + done.set_aside >= len(GOOD) or fault == "reset mid-body"
    assert CANARY not in done.last_error


@pytest.mark.slow
@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_provider_that_is_down_for_several_polls_is_asked_again_until_it_answers(
    play, tmp_path: Path, status: int
):
    down = [Shown(START + timedelta(minutes=2), b"{}", status, {"Retry-After": "0"})] * 12
    server = play([priced(0, 2.0), priced(1, 2.1), *down, priced(3, 2.2)])

    done = poll(
        [SPORT],
        PollSettings(every_s=0.2, ttl=0, until=datetime.now(UTC) + timedelta(seconds=60)),
        settings=settings_for(tmp_path, server.url),
        progress=(seen := []).append,
        stop=_Once(lambda: seen and seen[-1].inserted["quotes"] == 5),
    )

    assert home_prices(tmp_path) == [2.0, 2.1, 2.2]
    assert done.ended == "it was told to stop"
    assert CANARY not in done.last_error


class _Once:
    """An event that is set as soon as something is true."""

    def __init__(self, is_so: Callable):
        self._is_so = is_so

    def is_set(self) -> bool:
        return bool(self._is_so())

    def wait(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.5))


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (
            Shown(START, b'{"message": "API key is not valid", "error_code": "INVALID_KEY"}', 401),
            "The Odds API answered 401 to /v4/sports/soccer_nowhere/odds: API key is not valid. "
            "Check OVERROUND_ODDS_API_KEY.",
        ),
        (
            Shown(START, b'{"message": "Unknown sport", "error_code": "UNKNOWN_SPORT"}', 404),
            "The Odds API answered 404 to /v4/sports/soccer_nowhere/odds: Unknown sport.",
        ),
        (
            Shown(START, b'{"message": "Invalid markets: goals", "error_code": "INVALID_MARKET"}', 422),
            "The Odds API answered 422 to /v4/sports/soccer_nowhere/odds: Invalid markets: goals.",
        ),
    ],
)
def test_what_cannot_get_better_ends_it_at_the_first_poll_with_the_providers_reason(
    play, tmp_path: Path, shown: Shown, sentence: str
):
    server = play([shown])

    with pytest.raises(FetchError) as caught:
        polled(server, tmp_path, polls=5)

    assert str(caught.value) == sentence
    assert len(server.hits) == 1
    assert Store(str(tmp_path / "store")).read("requests")["status"].tolist() == [shown.status]


def test_a_quota_that_is_used_up_is_waited_for_also_at_the_first_poll(play, tmp_path: Path):
    done = polled(play([FAULTS["quota used up"](START), priced(2, 2.0)]), tmp_path)

    assert home_prices(tmp_path) == [2.0]
    assert done.errors == 1


@pytest.mark.parametrize("left", ["-2", "-0.5", "-1e308", "-0", "0.5", "1e308", "-inf", "1_0", "\xb2"])
def test_whatever_the_provider_says_of_the_quota_the_poller_goes_on(play, tmp_path: Path, left: str):
    answers = [priced(n, 2.0 + n / 10) for n in range(3)]
    answers = [replace(one, headers={"x-requests-remaining": left}) for one in answers]

    done = polled(play(answers), tmp_path)

    assert (done.polls, done.errors) == (3, 0)
    assert home_prices(tmp_path) == [2.0, 2.1, 2.2]


@pytest.mark.parametrize("sports", [(SPORT, "soccer_over", "soccer_gone"), ("soccer_over", SPORT)])
def test_a_sport_that_the_provider_refuses_costs_the_others_nothing(tmp_path: Path, sports: tuple):
    with playing_only(SPORT, [priced(n, 2.0 + n / 10) for n in range(3)]) as server:
        done = polled(server, tmp_path, sports=sports)

    assert home_prices(tmp_path) == [2.0, 2.1, 2.2]
    assert done.polls == 3
    assert done.errors >= len(sports) - 1
    assert re.fullmatch(
        r"The Odds API answered 404 to /v4/sports/soccer_(over|gone)/odds: Unknown sport\.", done.last_error
    )


def test_where_every_sport_is_refused_it_ends(tmp_path: Path):
    with (
        playing_only("soccer_other", [priced(0, 2.0)]) as server,
        pytest.raises(FetchError, match=r"soccer_gone/odds: Unknown sport\."),
    ):
        polled(server, tmp_path, sports=(SPORT, "soccer_gone"))


@contextmanager
def playing_only(sport: str, answers: list[Shown]) -> Iterator[Replay]:
    """A provider that knows one sport."""

    class OneSport(_Handler):
        def do_GET(self) -> None:
            if f"/sports/{sport}/" in self.path:
                super().do_GET()
            else:
                self.answer(b'{"message": "Unknown sport", "error_code": "UNKNOWN_SPORT"}', 404)

    replay = Replay(answers)
    with local_server.answering(partial(OneSport, replay)) as replay.url:
        yield replay


def test_polls_are_spaced_wider_where_the_quota_does_not_pay_for_all_of_them(play, tmp_path: Path):
    waits: list[float] = []
    answers = [priced(n, 2.0) for n in range(3)]
    for remaining in (20_000_000, 600):
        server = play([replace(one, headers={"x-requests-remaining": str(remaining)}) for one in answers])
        done = polled(
            server,
            tmp_path / str(remaining),
            sleep=lambda wait_s, server=server: (waits.append(wait_s), server.sleep(wait_s)),
        )

    assert waits[:2] == [60, 60]
    # 100 polls of 6 credits are left for 27 days; the kick-off is in three hours, so the next is not a
    # quarter of a day away
    assert all(120 < wait_s < 6 * 3600 for wait_s in waits[2:])
    assert done.plan.startswith("600 credits at 6 a poll pay for 100 of ")
    assert done.plan.rstrip(".") in str(done)


class FullDisk(Store):
    """A store that takes nothing while it is full."""

    full = False

    def append(self, name, rows, **more):  # type: ignore[no-untyped-def]
        if self.full:
            raise StoreError("no space left on device; nothing was written.")
        return super().append(name, rows, **more)


def test_rows_that_the_store_does_not_take_wait_and_none_is_lost(play, tmp_path: Path):
    store = FullDisk(str(tmp_path / "store"))
    server = play([priced(n, 2.0 + n / 10) for n in range(6)])

    def progress(now: Polled) -> None:
        store.full = 2 <= now.polls < 5
        waited.append(now.waiting)

    waited: list[int] = []
    done = polled(server, tmp_path, store=store, progress=progress)

    assert home_prices(tmp_path) == [2.0, 2.1, 2.2, 2.3, 2.4, 2.5]
    assert max(waited) == 3
    assert done.waiting == 0


def test_rows_that_could_not_be_stored_until_the_end_are_said(play, tmp_path: Path):
    store = FullDisk(str(tmp_path / "store"))
    store.full = True

    with pytest.raises(
        StoreError, match="4 rows that were collected could not be stored: no space left on device"
    ):
        polled(play([priced(0, 2.0)]), tmp_path, store=store)


def test_a_clock_that_is_set_back_does_not_stop_the_polling(play, tmp_path: Path):
    server = play([priced(n, 2.0 + n / 10) for n in range(6)])
    hours_back = iter([0, 0, 0, *[8] * 100])
    waits: list[float] = []

    def sleep(wait_s: float) -> None:
        waits.append(wait_s)
        server.sleep(wait_s)

    poll(
        [SPORT],
        PollSettings(every_s=60, polls=6, ttl=0),
        settings=settings_for(tmp_path, server.url),
        sleep=sleep,
        clock=lambda: server.clock() - 3600 * next(hours_back),
    )

    assert len(home_prices(tmp_path)) == 6
    assert max(waits) <= 60


@pytest.mark.slow
def test_memory_holds_only_events_that_are_on_offer_or_just_over(play, tmp_path: Path):
    days = [
        answer(
            1440 * day,
            event(
                {"onebook": (2.0, 3.5, 4.0)},
                START + timedelta(days=day),
                name=f"e{day}",
                kick_off=iso(START + timedelta(days=day + 1)),
            ),
        )
        for day in range(7)
    ]
    polled(play(days), tmp_path)

    standing = load_prices(
        Store(str(tmp_path / "store")), [SPORT], since_s=(START + timedelta(days=5)).timestamp()
    )

    assert sorted(standing.prices) == ["e4", "e5", "e6"]
    standing.forget((START + timedelta(days=7)).timestamp())
    assert [len(one) for one in (standing.prices, standing.events, standing.settled)] == [1, 1, 0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", 30), ("5m", 300), ("12h", 43_200), ("2d", 172_800), ("4w", 2_419_200), ("0.5s", 0.5)],
)
def test_durations_are_read(text: str, expected: float):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["30", "s", "-5s", "0s", "1y", "521.6w", "5 minutes", ""])
def test_a_wrong_duration_is_a_clear_sentence(text: str):
    with pytest.raises(
        ParameterError, match=r"write a number above 0 and s, m, h, d or w, e.g. 30s, 5m, 12h, 2d or 4w"
    ):
        seconds(text)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"every_s": 0}, "an interval of 0 s cannot be kept"),
        ({"polls": 0}, "0 polls cannot be made"),
        ({"until": datetime(2026, 1, 1)}, "until is 2026-01-01 00:00:00, without a time zone"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_fetched(tmp_path: Path, given: dict, sentence: str):
    with pytest.raises(ParameterError, match=sentence):
        poll([SPORT], PollSettings(**given), settings=settings_for(tmp_path, "http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"regions": "eu uk"}, "regions 'eu uk' cannot be asked for"),
        ({"markets": ""}, "markets '' cannot be asked for"),
    ],
)
def test_an_offer_that_cannot_be_asked_for_is_a_sentence(given: dict, sentence: str):
    with pytest.raises(ParameterError, match=sentence):
        PollSettings(offer=Offer(**given))


def test_bookmakers_stand_in_place_of_regions_and_ten_cost_as_much_as_a_region():
    offer = Offer(bookmakers=",".join(f"book{n}" for n in range(11)), markets="h2h,totals")

    assert "regions" not in offer.parameters()
    assert offer.cost == 4
    assert Offer().cost == 6


def files_with(text: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_finishes_its_batch_and_leaves_no_key(
    play, tmp_path: Path, number: int
):
    now = datetime.now(UTC).replace(microsecond=0)
    kick_off = iso(now + timedelta(hours=1))
    answers = []
    for n in range(50):
        at = now + timedelta(seconds=n)
        body = json.dumps([event({"onebook": (2.0 + n / 100, 3.5, 4.0)}, at, kick_off=kick_off)]).encode()
        answers.append(Shown(at, body, headers={"x-requests-remaining": str(20_000_000 - n)}))
    server = play(answers)
    env = home(
        tmp_path, OVERROUND_ODDS_API_URL=server.url, OVERROUND_ODDS_API_KEY=CANARY, OVERROUND_LIVE_TTL="0"
    )
    command = [
        sys.executable,
        "-m",
        "overround.cli.main",
        "collect",
        "the-odds-api",
        "--sport",
        SPORT,
        "--every",
        "1s",
    ]
    with subprocess.Popen(
        command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 60
        while server.turn < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)

    assert process.returncode == 0, err
    assert out.rstrip().endswith("ended because it was told to stop.")
    assert "polls: " in err
    taken = server.turn
    assert home_prices(tmp_path) == [2.0 + n / 100 for n in range(taken)]
    store = Store(str(tmp_path / "store"))
    assert len(store.read("requests")) == taken >= 4
    assert store.read("requests")["quota_remaining"].min() == 20_000_000 - taken + 1
    assert len(store.read("standing")) == 3
    assert files_with(CANARY, tmp_path) == []
    assert CANARY not in out + err


@pytest.mark.slow
def test_the_command_says_what_is_wrong(play, tmp_path: Path):
    env = home(
        tmp_path,
        OVERROUND_ODDS_API_URL=play([FAULTS["unprocessable"](START)]).url,
        OVERROUND_ODDS_API_KEY=CANARY,
    )

    wrong = overround("collect", "the-odds-api", "--sport", SPORT, "--every", "30", env=env, code=2)
    elsewhere = overround("collect", "football-data", "--league", "E0", "--every", "30s", env=env, code=2)
    refused = overround("collect", "the-odds-api", "--sport", SPORT, "--every", "30s", env=env, code=1)

    assert "duration '30' cannot be read" in wrong.stderr
    assert "only the-odds-api has current prices" in elsewhere.stderr
    assert "The Odds API answered 422 to /v4/sports/soccer_nowhere/odds: Invalid markets." in refused.stderr


@dataclass
class _Change:
    """A price as it changed, for the independent reading; None when it was gone."""

    price: float | None
    observed_at: pd.Timestamp


def independent_changes(answers: list[Shown]) -> dict[tuple, list[_Change]]:
    """Per event, bookmaker, market, point and outcome the prices, in order of time, that differ from the one
    before, and when each was gone; by no code of ours.
    """
    found: dict[tuple, list[_Change]] = {}
    starts: dict[str, str] = {}
    for shown in answers:
        at, seen = pd.Timestamp(shown.at), set()
        for one in json.loads(shown.content()):
            starts[one["id"]] = one["commence_time"]
            for book in one["bookmakers"]:
                for market in book["markets"]:
                    if market["key"] not in (
                        "h2h",
                        "totals",
                    ):  # to_qualify, in the knock-out rounds, has no place in the tables
                        continue
                    for outcome in market["outcomes"]:
                        shown_price = outcome["price"]
                        price = 1 + (shown_price / 100 if shown_price > 0 else 100 / -shown_price)
                        side = {one["home_team"]: "home", one["away_team"]: "away"}.get(
                            outcome["name"], outcome["name"].lower()
                        )
                        key = (one["id"], book["key"], market["key"], outcome.get("point"), side)
                        seen.add(key)
                        path, when = found.setdefault(key, []), pd.Timestamp(market["last_update"])
                        if not path or path[-1].price != price:
                            # what was gone is back when the answer says so, whatever the bookmaker says
                            back = path and path[-1].price is None and when <= path[-1].observed_at
                            path.append(_Change(price, at if back else when))
        for key in found.keys() - seen if seen else ():
            if found[key][-1].price is not None and pd.Timestamp(starts[key[0]]) > at:
                found[key].append(_Change(None, at))
    return found


def assert_exactly(store: Store, changes: dict[tuple, list[_Change]]) -> None:
    quotes = store.read("quotes").sort_values("observed_at", kind="stable")
    expected = [(*key, one.price, one.observed_at) for key, path in changes.items() for one in path]
    columns = ["event_id", "bookmaker", "market", "line", "outcome", "price", "observed_at"]
    got = quotes[columns].astype({"line": object, "price": object}).where(quotes[columns].notna(), None)
    assert len(quotes) == len(expected)
    assert set(got.itertuples(index=False, name=None)) == set(expected)


@pytest.mark.slow
def test_recorded_answers_become_exactly_the_changes_that_an_independent_reading_finds(
    recorded: Path, tmp_path: Path
):
    # openings, matches in play, kick-offs that move; every answer of the tournament: `python -m
    # benchmarks.week --recorded FOLDER`
    answers = recorded_answers(recorded / "the-odds-api" / WORLD_CUP / "odds")[400:800]
    changes = independent_changes(answers)
    store = Store(str(tmp_path / "store"))

    done = collect_recorded(answers, tmp_path)

    assert_exactly(store, changes)
    assert done.inserted["quotes"] == sum(map(len, changes.values())) > 10_000
    assert done.errors == done.set_aside == 0
    again = collect_recorded(answers, tmp_path)
    assert again.inserted == {"events": 0, "quotes": 0, "results": 0}
    shutil.rmtree(tmp_path / "store" / "standing")
    without_memory = collect_recorded(answers[::4], tmp_path)
    assert without_memory.inserted == {"events": 0, "quotes": 0, "results": 0}
    assert_exactly(store, changes)


@pytest.mark.slow
def test_two_processes_at_once_store_what_one_would(recorded: Path, tmp_path: Path):
    answers = recorded_answers(recorded / "the-odds-api" / WORLD_CUP / "odds")[400:460]
    script = (
        "import sys; from pathlib import Path; from overround.sources.replay import recorded_answers\n"
        "from tests.support.polls import *\n"
        "print(collect_recorded(recorded_answers(Path(sys.argv[1]))[400:460], Path(sys.argv[2])).errors)"
    )
    command = [
        sys.executable,
        "-c",
        script,
        str(recorded / "the-odds-api" / WORLD_CUP / "odds"),
        str(tmp_path),
    ]

    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=300)[0].strip() for one in both]

    assert said == ["0", "0"]
    assert_exactly(Store(str(tmp_path / "store")), independent_changes(answers))
