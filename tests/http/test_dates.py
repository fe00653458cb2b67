"""A wrong clock of a provider or a proxy does not move its answers in time."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import ThreadingHTTPServer
from threading import Thread

import pandas as pd
import pytest

from overround import Store, collect
from overround.collection.poll_settings import PollSettings
from overround.collection.poller import poll
from overround.http.client import Answer, Fetcher
from overround.http.dates import RECORDED
from overround.sources import local_server
from tests.support.polls import SPORT, event, settings_for
from tests.support.servers import require

SLACK = timedelta(seconds=6)  # five, and the whole seconds of the header


class Clock(local_server.Handler):
    """Answers with a clock that is off, or with a Date of its own."""

    def __init__(self, date: Callable[[], str], body: Callable[[], bytes], more: dict, *args: object):
        self.date, self.body, self.more = date, body, more
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.answer(
            self.body() if "/scores" not in self.path else b"[]", headers={"Date": self.date(), **self.more}
        )


def now() -> datetime:
    return datetime.now(UTC)


def off_by(error: timedelta) -> Callable[[], str]:
    return lambda: format_datetime(now() + error, usegmt=True)


@pytest.fixture
def clock() -> Iterator[Callable]:
    with ExitStack() as stack:

        def start(
            date: Callable[[], str], body: Callable[[], bytes] = lambda: b"[]", host="127.0.0.1", **more
        ):
            server = stack.enter_context(ThreadingHTTPServer((host, 0), partial(Clock, date, body, more)))
            stack.callback(server.shutdown)
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            return f"http://{host}:{server.server_port}"

        yield start


def asked_twice(url: str, folder) -> tuple[datetime, Answer, Answer]:
    before = now()
    with Fetcher("provider", url, folder) as fetcher:
        return before, fetcher.get("/odds"), fetcher.get("/odds")


HOURS = [timedelta(hours=n) for n in (-150, -24, -3, -0.5, 0.5, 2, 24, 150)]


@pytest.mark.parametrize("error", [timedelta(seconds=n) for n in (-60, -8, 8, 60)] + HOURS, ids=str)
def test_a_date_before_the_call_or_after_the_answer_is_not_believed(clock, tmp_path, error):
    before, answer, kept = asked_twice(clock(off_by(error)), tmp_path)

    assert before - SLACK <= answer.fetched_at <= now()
    assert kept.from_cache and kept.fetched_at == answer.fetched_at


@pytest.mark.parametrize("seconds", [-4, -1, 0, 1, 4])
def test_clocks_may_differ_by_seconds_and_no_answer_is_from_the_future(clock, tmp_path, seconds):
    before, answer, kept = asked_twice(clock(off_by(timedelta(seconds=seconds))), tmp_path)

    assert before - SLACK <= answer.fetched_at <= now()
    if seconds < 0:
        assert answer.fetched_at <= now() + timedelta(seconds=seconds)  # as the provider says
    assert kept.fetched_at == answer.fetched_at


@pytest.mark.parametrize("text", ["", "yesterday", "Sat, 99 Foo 2024", "Thu, 01 Jan 1970 00:00:07 GMT"])
def test_what_is_no_date_leaves_the_time_of_this_machine(clock, tmp_path, text):
    before, answer, _ = asked_twice(clock(lambda: text), tmp_path)

    assert before - SLACK <= answer.fetched_at <= now()


@pytest.mark.parametrize(
    ("at", "more"),
    [
        (now() - timedelta(hours=3), {RECORDED: "yes"}),
        (datetime(2024, 8, 16, 19, tzinfo=UTC), {}),
        (datetime(2060, 5, 4, 12, tzinfo=UTC), {}),
    ],
)
def test_recorded_answers_that_are_played_back_on_this_machine_keep_their_time(clock, tmp_path, at, more):
    _, answer, kept = asked_twice(clock(lambda: format_datetime(at, usegmt=True), **more), tmp_path)

    assert answer.fetched_at == kept.fetched_at == at.replace(microsecond=0)


def own_address() -> str:
    """An address of this machine in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        return probe.getsockname()[0]


@pytest.mark.parametrize("more", [{}, {RECORDED: "yes"}])
def test_only_servers_on_this_machine_may_live_in_another_time(clock, tmp_path, monkeypatch, more):
    host = own_address()
    require(bool(host) and not host.startswith("127."), "this machine is in no network", of_machine=True)
    monkeypatch.setenv("NO_PROXY", host)
    url = clock(lambda: "Sat, 17 Aug 2024 12:00:00 GMT", host=host, **more)

    before, answer, _ = asked_twice(url, tmp_path)

    assert before - SLACK <= answer.fetched_at <= now()


@pytest.mark.parametrize("error", HOURS, ids=str)
@pytest.mark.parametrize("how", ["collect", "poll"])
def test_prices_are_not_moved_by_a_wrong_clock(clock, tmp_path, error, how):
    kick_off = f"{now() + timedelta(days=9):%Y-%m-%dT%H:%M:%SZ}"

    def body() -> bytes:
        one = event({"fresh": (2.0, 3.5, 4.0), "ahead": (2.1, 3.4, 4.0)}, now(), kick_off=kick_off)
        one["bookmakers"][0]["last_update"] = one["bookmakers"][0]["markets"][0]["last_update"] = None
        ahead = f"{now() + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
        one["bookmakers"][1]["last_update"] = one["bookmakers"][1]["markets"][0]["last_update"] = ahead
        return json.dumps([one]).encode()

    settings = settings_for(tmp_path, clock(off_by(error), body), live_ttl=0)
    before = pd.Timestamp(now())
    if how == "poll":
        poll([SPORT], PollSettings(polls=1, ttl=0), settings=settings)
    else:
        collect("the-odds-api", leagues=[SPORT], settings=settings)

    quotes = Store(settings.store_root).read("quotes")
    assert len(quotes) == 6
    for column in ("observed_at", "collected_at"):
        assert quotes[column].between(before - SLACK, pd.Timestamp(now())).all()
