"""Past odds that are bought: what they cost is said first, a limit holds, and no call is paid twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from overround import Store, collect
from overround.errors import FetchError, ParameterError, SourceError
from overround.schema import TABLES
from overround.sources import local_server
from overround.sources.the_odds_api.client import Offer
from overround.sources.the_odds_api.history import History, bill
from tests.support.commands import home
from tests.support.polls import CANARY, SPORT, event, iso, settings_for

START = datetime(2024, 8, 16, tzinfo=UTC)
STEP = timedelta(minutes=10)
KICK_OFF = "2024-08-20T15:00:00Z"
ONE = Offer(regions="eu", markets="h2h")
PRICE = 10  # of one market in one region


def shown(number: int, sport: str = SPORT) -> list[dict]:
    """The odds at step `number`: the home price moves at each."""
    at = START + number * STEP
    books = {"onebook": (2.0 + number / 100, 3.5, 4.0)} | (
        {"leaver": (2.1, 3.4, 3.9)} if number % 8 < 5 else {}
    )
    one = event(books, at, name=f"{sport}1", kick_off=KICK_OFF)
    return [{**one, "sport_key": sport}]


class Seller(local_server.Handler):
    """Sells past odds; `bodies` replaces what it says at some steps, `headers` goes with each answer."""

    def __init__(
        self, calls: list[tuple[str, str]], bodies: dict, headers: dict, wait_s: float, *args: object
    ):
        self.calls, self.bodies, self.headers_sent, self.wait_s = calls, bodies, headers, wait_s
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        sport, at = parts.path.split("/")[4], datetime.fromisoformat(parse_qs(parts.query)["date"][0])
        self.calls.append((sport, iso(at)))
        time.sleep(self.wait_s)
        number = (at - START) // STEP
        document = {
            "timestamp": iso(START + number * STEP),
            "next_timestamp": iso(START + (number + 1) * STEP),
            "data": shown(number, sport),
        }
        status, body = self.bodies.get((sport, number), (200, json.dumps(document).encode()))
        self.answer(body, status, self.headers_sent)


Start = Callable[..., tuple[str, list[tuple[str, str]]]]


@pytest.fixture
def seller() -> Iterator[Start]:
    with ExitStack() as stack:

        def start(bodies: dict | None = None, headers: dict | None = None, wait_s: float = 0.0):
            calls: list[tuple[str, str]] = []
            handler = partial(Seller, calls, bodies or {}, headers or {}, wait_s)
            return stack.enter_context(local_server.answering(handler)), calls

        yield start


def history(times: int, credits: int = 1_000_000, **more) -> History:
    return History(START, START + (times - 1) * STEP, STEP, credits, **{"offer": ONE, **more})


def empty(number: int) -> tuple[int, bytes]:
    at = START + number * STEP
    return 200, json.dumps({"timestamp": iso(at), "next_timestamp": iso(at + STEP), "data": []}).encode()


def home_prices(folder: Path) -> pd.DataFrame:
    of_one = {"outcome": "home", "bookmaker": "onebook"}
    quotes = Store(str(folder / "store")).read("quotes", of_one)
    return quotes.sort_values(["event_id", "observed_at"])


def test_past_odds_come_into_the_store_in_order_with_the_times_of_their_snapshots(seller, tmp_path):
    url, calls = seller()
    settings = settings_for(tmp_path, url)

    done = collect("the-odds-api", leagues=[SPORT, "soccer_other"], history=history(6), settings=settings)

    assert calls == [(sport, iso(START + n * STEP)) for sport in (SPORT, "soccer_other") for n in range(6)]
    for _, quotes in home_prices(tmp_path).groupby("event_id", observed=True):
        assert quotes["price"].round(2).tolist() == [2.0, 2.01, 2.02, 2.03, 2.04, 2.05]
        assert quotes["observed_at"].tolist() == [pd.Timestamp(START + n * STEP) for n in range(6)]
        assert (quotes["collected_at"] == quotes["observed_at"]).all()
    assert not done.notes and not done.failed


def test_nothing_is_asked_for_or_stored_twice(seller, tmp_path):
    url, calls = seller()
    settings = settings_for(tmp_path, url)
    assert bill([SPORT], history(6), settings).credits == 6 * PRICE
    collect("the-odds-api", leagues=[SPORT], history=history(6), settings=settings)

    assert bill([SPORT], history(8), settings).cached == 6
    again = collect("the-odds-api", leagues=[SPORT], history=history(6, credits=0), settings=settings)

    assert len(calls) == 6 and again.rows["inserted"].sum() == 0 and not again.notes


@pytest.mark.parametrize(
    ("offer", "price"),
    [
        (Offer(), 60),  # ten times three markets in two regions
        (Offer(markets="h2h,totals", regions="us"), 20),
        (Offer(markets="h2h", bookmakers=",".join("abcdefghijk")), 20),  # ten bookmakers are a region
    ],
)
def test_a_bill_counts_times_markets_regions_and_sports_less_what_is_in_the_cache(
    seller, tmp_path, offer, price
):
    url, calls = seller()
    settings = settings_for(tmp_path, url)
    collect("the-odds-api", leagues=[SPORT], history=history(2, offer=offer), settings=settings)

    found = bill([SPORT, "soccer_other", SPORT], history(577, offer=offer), settings)

    assert (found.calls, found.cached, found.credits) == (2 * 577, 2, (2 * 577 - 2) * price)
    assert len(calls) == 2


@pytest.mark.parametrize(("credits", "bought"), [(0, 0), (9, 0), (10, 1), (39, 3), (60, 6), (75, 6)])
def test_the_limit_of_credits_holds_and_is_said(seller, tmp_path, credits, bought):
    url, calls = seller()
    settings = settings_for(tmp_path, url)

    done = collect("the-odds-api", leagues=[SPORT], history=history(6, credits), settings=settings)

    assert len(calls) == len(home_prices(tmp_path)) == bought
    if bought < 6:
        (note,) = done.notes
        assert f"{bought} of 6 times are stored; stopped before {iso(START + bought * STEP)}" in note
        assert f"the limit of {credits} credits has {credits - bought * PRICE} left" in note
        collect("the-odds-api", leagues=[SPORT], history=history(6), settings=settings)
    assert len(set(calls)) == len(calls) == len(home_prices(tmp_path)) == 6


def test_the_limit_is_that_of_all_sports_together_and_what_is_in_the_cache_costs_nothing(seller, tmp_path):
    url, calls = seller()
    settings = settings_for(tmp_path, url)
    collect("the-odds-api", leagues=["soccer_other"], history=history(3), settings=settings)

    done = collect(
        "the-odds-api", leagues=[SPORT, "soccer_other"], history=history(4, 2 * PRICE), settings=settings
    )

    assert Counter(sport for sport, _ in calls) == {SPORT: 2, "soccer_other": 3}
    assert [note.split(":")[0] for note in done.notes] == [SPORT, "soccer_other"]
    assert "2 of 4 times" in done.notes[0] and "3 of 4 times" in done.notes[1]


def test_an_empty_answer_is_free(seller, tmp_path):
    url, calls = seller({(SPORT, n): empty(n) for n in (0, 2)})

    done = collect(
        "the-odds-api", leagues=[SPORT], history=history(4, 2 * PRICE), settings=settings_for(tmp_path, url)
    )

    assert len(calls) == 4 and len(home_prices(tmp_path)) == 2 and not done.notes


@pytest.mark.parametrize("remaining", ["-5", "1e400", "many", "", "nan", "99999999999999999999", "0"])
def test_odd_quota_headers_change_nothing(seller, tmp_path, remaining):
    headers = {"x-requests-remaining": remaining, "x-requests-used": remaining, "x-requests-last": remaining}
    url, _ = seller(headers=headers)

    done = collect(
        "the-odds-api", leagues=[SPORT], history=history(3, 3 * PRICE), settings=settings_for(tmp_path, url)
    )

    assert len(home_prices(tmp_path)) == 3 and not done.notes


QUOTA = (401, b'{"message": "Usage quota has been reached."}')
PAGE = (200, b"<html>Welcome to our WiFi</html>")
LIVE = (200, json.dumps(shown(2)).encode())
NO_TIME = (200, json.dumps({"timestamp": iso(START), "next_timestamp": "soon", "data": shown(2)}).encode())


NO_LIST = (200, json.dumps({**shown(2)[0], "timestamp": iso(START)}).encode())


@pytest.mark.parametrize("bad", [QUOTA, PAGE, LIVE, NO_TIME, NO_LIST])
def test_a_refusal_costs_only_its_sport_and_is_asked_for_again(seller, tmp_path, bad):
    url, calls = seller(bodies := {(SPORT, 2): bad})
    settings = settings_for(tmp_path, url)

    done = collect("the-odds-api", leagues=[SPORT, "soccer_other"], history=history(4), settings=settings)
    assert list(done.failed) == [SPORT] and len(home_prices(tmp_path)) == 2 + 4
    with pytest.raises((FetchError, SourceError)):
        collect("the-odds-api", leagues=[SPORT], history=history(4), settings=settings)
    bodies.clear()
    collect("the-odds-api", leagues=[SPORT, "soccer_other"], history=history(4), settings=settings)

    assert len(home_prices(tmp_path)) == 8
    # what was answered well was asked for once
    assert Counter(calls) == Counter([*set(calls), *2 * [(SPORT, iso(START + 2 * STEP))]])


def test_the_newest_snapshot_is_not_taken_for_that_of_a_time_that_is_not_yet_over(seller, tmp_path):
    now = datetime.now(UTC).replace(microsecond=0)
    recent = {"timestamp": iso(now - timedelta(minutes=7)), "next_timestamp": None, "data": shown(0)}
    long_ago = {**recent, "timestamp": iso(START)}
    number = (now - START) // STEP
    url, calls = seller(
        {
            (SPORT, number): (200, json.dumps(recent).encode()),
            (SPORT, 0): (200, json.dumps(long_ago).encode()),
        }
    )
    settings = settings_for(tmp_path, url)
    for start in (now, START):
        for _ in range(2):
            asked = History(start, start, STEP, 100, ONE)
            collect("the-odds-api", leagues=[SPORT], history=asked, settings=settings)

    assert Counter(calls) == {(SPORT, iso(now)): 2, (SPORT, iso(START)): 1}


def test_nothing_more_is_bought_where_the_cache_cannot_keep_it(seller, tmp_path):
    url, calls = seller()
    (tmp_path / "file").write_text("")
    settings = settings_for(tmp_path, url).model_copy(update={"cache": tmp_path / "file"})

    with pytest.raises(SourceError, match="the cache cannot keep this answer"):
        collect("the-odds-api", leagues=[SPORT], history=history(4), settings=settings)

    assert len(calls) == len(home_prices(tmp_path)) == 1  # what was paid for is stored


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"start": START.replace(tzinfo=None)}, "need times with a zone"),
        ({"end": START - STEP}, "the end is before the start"),
        ({"step": timedelta(0)}, "a step of 0 s cannot be used"),
        ({"step": -STEP}, "a step of -600 s cannot be used"),
        ({"step": timedelta(seconds=30)}, "a step of 30 s cannot be used"),
        ({"step": timedelta(seconds=90.5)}, "a step of 90.5 s cannot be used"),
        ({"end": START + timedelta(days=4000), "step": timedelta(minutes=1)}, "are too many to buy at once"),
        ({"credits": -1}, "-1 credits cannot be spent"),
    ],
)
def test_what_cannot_be_bought_is_said(more, said):
    with pytest.raises(ParameterError, match=said):
        History(**{"start": START, "end": START + STEP, "step": STEP, **more})


def test_only_the_odds_api_sells_past_odds_and_knows_no_seasons(seller, tmp_path):
    url, calls = seller()
    settings = settings_for(tmp_path, url)
    for source, seasons in (("football-data", ()), ("sample", ()), ("the-odds-api", ("2024",))):
        with pytest.raises(ParameterError, match="past odds"):
            collect(source, leagues=[SPORT], seasons=seasons, history=history(2), settings=settings)

    assert not calls


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, 3])
def test_after_kill_9_the_same_command_goes_on_and_pays_no_answer_twice(seller, tmp_path, kills):
    url, calls = seller(wait_s=0.02)
    env = home(tmp_path, OVERROUND_ODDS_API_URL=url, OVERROUND_ODDS_API_KEY=CANARY)
    words = [
        *("collect", "the-odds-api", "--sport", SPORT, "--sport", "soccer_other"),
        *("--from", iso(START), "--to", iso(START + 39 * STEP), "--step", "10min"),
        *("--regions", "eu", "--markets", "h2h", "--yes"),
    ]
    command = [sys.executable, "-m", "overround.cli.main", *words]
    wanted = {(sport, iso(START + n * STEP)) for sport in (SPORT, "soccer_other") for n in range(40)}
    cut = set()
    for kill in range(kills):
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = len(calls) + 15 + kill
        while len(calls) < until:
            assert process.poll() is None
            time.sleep(0.003)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.1)
        cut.add(calls[-1])  # its answer may have been on the way

    done = subprocess.run(command, env=env, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert set(calls) == wanted
    twice = {call for call, times in Counter(calls).items() if times > 1}
    assert twice <= cut
    assert len(home_prices(tmp_path)) == 80
    store = Store(env["OVERROUND_STORE"])
    assert store.check().empty
    # the same rows as of a purchase that nobody interrupted, those included that say that a price is gone
    settings = settings_for(tmp_path, url).model_copy(update={"store": str(tmp_path / "other")})
    collect("the-odds-api", leagues=[SPORT, "soccer_other"], history=history(40), settings=settings)
    assert len(calls) == len(wanted) + sum(times - 1 for times in Counter(calls).values())
    rows, others = (
        one.read("quotes").astype(str).sort_values([*TABLES["quotes"].key], ignore_index=True)
        for one in (store, Store(tmp_path / "other"))
    )
    pd.testing.assert_frame_equal(rows, others)
    assert rows["price"].isna().sum() == 2 * 5 * 3  # left five times, three outcomes
