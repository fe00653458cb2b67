"""A first answer that is bad, then a good one, over real HTTP: the next collection asks again and stores all."""

import gzip
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import overround as ov
from overround import Store, collect
from overround.collection.collector import Gathering
from overround.errors import OverroundError, SourceError, TableError
from overround.http.client import Answer, Fetcher
from overround.measure.meter import Meter
from overround.schema import COLLECTED, tidy
from overround.settings import Settings
from overround.sources import local_server
from overround.sources.base import Batch, read
from overround.sources.replay import Shown
from overround.sources.sample.market import Market
from overround.sources.sample.source import batches
from overround.sources.the_odds_api.client import historical_odds, open_fetcher
from tests.support.polls import SPORT, START, answer, event, polled, priced, settings_for

PAGE = b"<html>Welcome to our WiFi</html>"
BAD_JSON = [PAGE, b"", b'{"message": "Log in"}', b'[{"id": ', b'["a", "b"]', b"null"]
AT = datetime(2024, 8, 16, 18, 55, tzinfo=UTC)
ODDS = [event({"onebook": (2.0, 3.5, 4.0)}, AT)]
SCORES = [
    {
        **ODDS[0],
        "completed": True,
        "scores": [{"name": "Birch", "score": "1"}, {"name": "Alder", "score": "0"}],
    }
]
CSV = b"Div,Date,HomeTeam,AwayTeam,FTHG,FTAG,FTR,PSH,PSD,PSA\r\n" + b"".join(
    f"E0,{day:02}/09/2023,Ashby,Team{day},1,0,H,2.0,3.5,4.0\r\n".encode() for day in range(1, 31)
)


class Script(local_server.Handler):
    """The next of the answers to each path, the last one for ever."""

    def __init__(self, answers: dict[str, list], calls: list[str], *args: object):
        self.answers, self.calls = answers, calls
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.calls.append(path)
        bodies = next((bodies for end, bodies in self.answers.items() if path.endswith(end)), None)
        if bodies is None:
            self.answer(b"{}", 404)
            return
        body, headers = bodies[min(self.calls.count(path), len(bodies)) - 1]
        self.answer(body, 200, headers)


@pytest.fixture
def script() -> Iterator[Callable[[dict], tuple[str, list[str]]]]:
    with ExitStack() as stack:

        def start(answers: dict[str, list]) -> tuple[str, list[str]]:
            calls: list[str] = []
            pairs = {
                end: [one if isinstance(one, tuple) else (one, {}) for one in bodies]
                for end, bodies in answers.items()
            }
            return stack.enter_context(local_server.answering(partial(Script, pairs, calls))), calls

        yield start


def stored(settings: Settings, table: str = "events") -> int:
    return len(Store(settings.store_root).read(table))


@pytest.mark.parametrize(
    "bad",
    [
        (gzip.compress(CSV)[:200], {"Content-Encoding": "gzip"}),
        PAGE,
        b"",
        b"Service unavailable",
        CSV[: len(CSV) // 2 + 10],
        CSV.replace(b"E0,", b"E1,"),
    ],
    ids=["cut gzip", "portal", "empty", "text", "cut in a line", "another league"],
)
def test_a_bad_file_of_a_past_season_is_asked_for_again(script, tmp_path: Path, bad):
    url, calls = script({"E0.csv": [bad, CSV]})
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", football_data_url=url)
    for _ in range(2):
        with suppress(OverroundError):
            collect("football-data", leagues=["E0"], seasons=["2324"], settings=settings)
    collect("football-data", leagues=["E0"], seasons=["2324"], settings=settings)

    assert stored(settings) == 30 and stored(settings, "quotes") == 90
    assert len(calls) == 2  # the good one is kept


@pytest.mark.parametrize("bad", BAD_JSON)
@pytest.mark.parametrize("path", ["/odds", "/scores"])
def test_a_bad_live_answer_is_asked_for_again(script, tmp_path: Path, path, bad):
    good = {"/odds": json.dumps(ODDS).encode(), "/scores": json.dumps(SCORES).encode()}
    url, calls = script({end: [bad, body] if end == path else [body] for end, body in good.items()})
    settings = settings_for(tmp_path, url, live_ttl=600)
    for _ in range(3):
        with suppress(SourceError):
            collect("the-odds-api", leagues=[SPORT], settings=settings)

    assert (stored(settings), stored(settings, "quotes"), stored(settings, "results")) == (1, 3, 1)
    assert calls.count(f"/v4/sports/{SPORT}{path}") == 2


def snapshot(following: object = "2024-08-16T19:00:00Z", data: object = ODDS) -> bytes:
    return json.dumps(
        {"timestamp": "2024-08-16T18:55:00Z", "next_timestamp": following, "data": data}
    ).encode()


@pytest.mark.parametrize(
    "bad",
    [
        *BAD_JSON,
        json.dumps(ODDS).encode(),
        snapshot(data="log in"),
        snapshot(data=[1]),
        snapshot("soon"),
        snapshot(7),
    ],
)
def test_a_bad_past_answer_is_asked_for_again(script, tmp_path: Path, bad):
    url, calls = script({"/odds": [bad, snapshot()]})
    found = []
    for _ in range(3):
        with open_fetcher(settings_for(tmp_path, url), [SPORT]) as fetcher, suppress(SourceError):
            found = [len(batch.events) for batch in historical_odds(fetcher, SPORT, AT, AT)]

    assert found == [1]
    assert len(calls) == 2


def test_an_answer_that_knows_no_next_page_yet_is_asked_for_again(script, tmp_path: Path):
    later = {"timestamp": "2024-08-16T19:00:00Z", "next_timestamp": None, "data": ODDS}
    url, calls = script({"/odds": [snapshot(None), snapshot(), json.dumps(later).encode()]})
    end = datetime(2024, 8, 16, 19, tzinfo=UTC)
    with open_fetcher(settings_for(tmp_path, url), [SPORT]) as fetcher:
        # a reader that stops after the first page leaves nothing in the cache either
        first = next(historical_odds(fetcher, SPORT, AT, end))
        second = list(historical_odds(fetcher, SPORT, AT, end))

    assert len(first.events) == 1 and len(second) == 2
    assert len(calls) == 3


@pytest.mark.parametrize("bad", BAD_JSON[:4])
@pytest.mark.parametrize("path", ["/odds", "/scores"])
def test_a_bad_answer_of_the_sample_is_asked_for_again(script, tmp_path: Path, path, bad):
    good = {"/odds": snapshot(), "/scores": snapshot(data=SCORES)}
    url, _ = script({end: [bad, body] if end == path else [body] for end, body in good.items()})
    market = Market(leagues=1, seasons=1, teams=2)
    with Fetcher("sample", url, tmp_path, workers=1) as fetcher:
        with pytest.raises(SourceError, match="expected a JSON list"):
            list(batches(fetcher, market))
        odds, scores = batches(fetcher, market)

    assert len(odds.quotes) == 3 and len(scores.results) == 1


UNREADABLE = [b'["a", "b"]', b'[{"id": 7}]', json.dumps([{**ODDS[0], "home_team": None}, 3]).encode()]


@pytest.mark.parametrize("bad", [*BAD_JSON, *UNREADABLE])
def test_a_poller_asks_again_after_a_bad_answer_however_long_answers_count_as_current(
    play, tmp_path: Path, bad
):
    server = play([priced(0, 2.0), Shown(START, bad), priced(2, 2.2)])
    good, refused, again = (polled(server, tmp_path, polls=1, ttl=ttl) for ttl in (0, 0, 600))

    assert (good.errors, refused.errors, again.errors) == (0, 1, 0)
    assert server.turn == 3
    assert stored(settings_for(tmp_path, server.url), "quotes") == 4  # three prices and a change


@pytest.mark.parametrize("bad", UNREADABLE)
@pytest.mark.parametrize("path", ["/odds", "/scores"])
def test_an_answer_of_which_no_event_can_be_read_is_an_error_and_not_a_success(script, tmp_path, path, bad):
    bodies = {"/odds": [json.dumps(ODDS).encode()], "/scores": [json.dumps(SCORES).encode()], path: [bad]}
    url, _ = script(bodies)

    with pytest.raises(SourceError, match=rf"{path}.*: none of its [12] events can be read; events\[[01]\]"):
        collect("the-odds-api", leagues=[SPORT], settings=settings_for(tmp_path, url))


@pytest.mark.parametrize("least_rows", [0, 100])
def test_an_answer_that_only_the_store_refuses_is_asked_for_again(script, tmp_path: Path, least_rows):
    url, calls = script({"/odds": [b"[]"]})
    example, store = ov.example(), Store(tmp_path / "store")
    odd = Batch(example.events, example.quotes.assign(price=0.5), example.results)
    totals = pd.DataFrame(0, list(COLLECTED), ["inserted", "updated", "unchanged"])
    with Fetcher("provider", url, tmp_path) as fetcher:
        for found in (odd, Batch(*example)):
            failed: dict = {}
            meter, forget = Meter("test"), fetcher.forget_key
            gathering = Gathering(store, meter, totals, least_rows, failed=failed, forget_key=forget)
            batch = read(
                fetcher, [fetcher.get("/odds")], lambda answers, found=found: (next(answers), found)[1]
            )
            gathering.add(batch, "job")
            gathering.store_all()
            assert list(failed) == (["job"] if found is odd else [])

    assert len(calls) == 2 and len(store.read("quotes")) == len(example.quotes)


def test_an_answer_of_which_a_table_is_refused_is_asked_for_again(script, tmp_path: Path):
    url, calls = script({"/odds": [b"[]"]})

    def parse(answers: Iterator[Answer]) -> Batch:
        next(answers)
        return Batch(*(tidy(name, [{"event_id": "e1"}]) for name in COLLECTED))

    with Fetcher("provider", url, tmp_path) as fetcher:
        for _ in range(2):
            with pytest.raises(TableError):
                read(fetcher, [fetcher.get("/odds")], parse)

    assert len(calls) == 2


def shown(minute: int, price: float, ahead_s: int) -> Shown:
    """An answer in which the clock of a bookmaker is ahead of the provider's."""
    at = START + timedelta(minutes=minute)
    return answer(minute, event({"onebook": (price, 3.5, 4.0)}, at + timedelta(seconds=ahead_s)))


@pytest.mark.parametrize("ahead_s", [6, 240, 590, 3600, 6 * 3600])
def test_collect_and_poll_store_the_same_prices_where_a_bookmakers_clock_is_ahead(
    play, tmp_path: Path, ahead_s
):
    answers = [shown(0, 2.0, ahead_s), shown(2, 2.2, 0), shown(4, 2.4, 0)]
    polled(play(answers), tmp_path / "polled")
    server = play(answers)
    settings = settings_for(tmp_path / "collected", server.url, live_ttl=0)
    for _ in answers:
        collect("the-odds-api", leagues=[SPORT], settings=settings)

    for folder in ("polled", "collected"):
        quotes = Store(str(tmp_path / folder / "store")).read("quotes", {"outcome": "home"})
        quotes = quotes.sort_values("observed_at")
        assert quotes["price"].tolist() == [2.0, 2.2, 2.4]
        assert ((quotes["observed_at"] - pd.Timestamp(START)) / pd.Timedelta("1min")).tolist() == [0, 2, 4]
        assert (quotes["observed_at"] <= quotes["collected_at"]).all()
