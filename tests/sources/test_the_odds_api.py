"""The Odds API: its traps in small answers written for the purpose, then recorded answers read a second,
independent way.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from overround.errors import FetchError, ParameterError, SettingsError, SourceError
from overround.http.client import Answer, Fetcher
from overround.settings import Settings
from overround.sources.base import Batch, Selection
from overround.sources.the_odds_api.client import Offer, batches, historical_odds, odds, open_source
from overround.sources.the_odds_api.parser import parse_many, parse_odds, parse_scores
from tests.support.servers import Served

NOW = datetime(2030, 5, 4, 12, 0, tzinfo=UTC)
H2H = [("Alder", 4.0), ("Birch", 1.9), ("Draw", 3.5)]  # ordered by name: the away team first


def market(key: str = "h2h", outcomes: list | None = None, **more: object) -> dict:
    return {
        "key": key,
        "outcomes": [dict(zip(("name", "price", "point"), one, strict=False)) for one in outcomes or H2H],
        **more,
    }


def event(*bookmakers: dict, **more: object) -> dict:
    return {
        "id": "e1",
        "sport_key": "soccer_nowhere",
        "sport_title": "Nowhere",
        "commence_time": "2030-05-04T14:00:00Z",
        "home_team": "Birch",
        "away_team": "Alder",
        "bookmakers": list(bookmakers),
        **more,
    }


def book(*markets: dict, key: str = "onebook", **more: object) -> dict:
    return {"key": key, "title": "A Bookmaker", "markets": list(markets), **more}


def parse(*events: object, **more: object) -> Batch:
    return parse_odds(json.dumps(list(events)).encode(), "the answer", fetched_at=NOW, **more)  # type: ignore[arg-type]


def prices(batch: Batch) -> dict:
    quotes = batch.quotes
    return {
        (m, None if pd.isna(line) else line, o): p
        for m, line, o, p in quotes[["market", "line", "outcome", "price"]].itertuples(index=False)
    }


def test_outcomes_are_told_by_team_name_whatever_their_order():
    assert prices(parse(event(book(market())))) == {
        ("h2h", None, "home"): 1.9,
        ("h2h", None, "away"): 4.0,
        ("h2h", None, "draw"): 3.5,
    }


def test_an_event_has_the_providers_id_the_sport_key_as_competition_and_its_year_as_season():
    (row,) = parse(event()).events.drop(columns=["status", "same_as", "last_asked_at"]).to_dict("records")

    assert row == {
        "event_id": "e1",
        "sport": "soccer",
        "competition": "soccer_nowhere",
        "season": "2030",
        "home": "Birch",
        "away": "Alder",
        "starts_at": pd.Timestamp("2030-05-04T14:00Z"),
        "time_known": True,
        "source": "the-odds-api",
    }


def test_totals_and_spreads_have_a_line_and_a_spreads_line_is_the_home_teams_for_both():
    batch = parse(
        event(
            book(
                market("totals", [("Over", 1.9, 2.5), ("Under", 1.95, 2.5)]),
                market("spreads", [("Alder", 1.8, 0.75), ("Birch", 2.0, -0.75)]),
                market("spreads", [("Alder", 1.7, 0.0), ("Birch", 2.1, 0.0)]),
            )
        )
    )

    assert prices(batch) == {
        ("totals", 2.5, "over"): 1.9,
        ("totals", 2.5, "under"): 1.95,
        ("spreads", -0.75, "away"): 1.8,
        ("spreads", -0.75, "home"): 2.0,
        ("spreads", 0.0, "away"): 1.7,
        ("spreads", 0.0, "home"): 2.1,
    }


def test_lay_prices_are_a_market_of_their_own_and_bookmakers_have_one_name():
    quotes = parse(event(book(market(), market("h2h_lay"), key="betfair_ex_eu"))).quotes

    assert quotes.groupby("market").size().to_dict() == {"h2h": 3, "h2h_lay": 3}
    assert set(quotes["bookmaker"]) == {"betfair_exchange"}


def test_markets_that_have_no_table_are_counted():
    batch = parse(event(book(market(), market("btts"), market("btts"))))

    assert len(batch.quotes) == 3
    assert batch.set_aside[["where", "row", "column", "value"]].to_numpy().tolist() == [
        ["the answer", 0, "markets", "btts"]
    ]
    assert batch.set_aside["reason"][0].startswith("2 of this market")


@pytest.mark.parametrize(
    ("of_market", "of_book", "expected"),
    [
        ("2030-05-04T11:00:00Z", "2030-05-04T10:00:00Z", "2030-05-04T11:00Z"),
        (None, "2030-05-04T10:00:00Z", "2030-05-04T10:00Z"),
        (None, None, NOW),
        (1904122800, None, "2030-05-04T11:00Z"),
        ("2030-05-04T13:00:00+02:00", None, "2030-05-04T11:00Z"),
    ],
)
def test_a_price_is_as_old_as_its_market_then_its_bookmaker_then_the_answer(
    of_market: object, of_book: object, expected: object
):
    quotes = parse(event(book(market(last_update=of_market), last_update=of_book))).quotes

    assert set(quotes["observed_at"]) == {pd.Timestamp(expected)}  # type: ignore[arg-type]
    assert set(quotes["collected_at"]) == {pd.Timestamp(NOW)}


@pytest.mark.parametrize("data", [event(book(market())), [event(book(market()))]])
def test_a_historical_answer_is_unwrapped_and_its_time_is_the_snapshots(data: object):
    wrapped = {
        "timestamp": "2030-05-01T00:05:00Z",
        "previous_timestamp": None,
        "next_timestamp": "2030-05-01T00:10:00Z",
        "data": data,
    }

    quotes = parse_odds(json.dumps(wrapped).encode(), "the answer", fetched_at=NOW).quotes

    assert set(quotes["observed_at"]) == {pd.Timestamp("2030-05-01T00:05Z")} and len(quotes) == 3


@pytest.mark.parametrize("field", ["market", "bookmaker"])
@pytest.mark.parametrize("update", ["2030-05-04T12:00:06Z", "2030-05-04T18:00:00Z", "2090-01-01T00:00:00Z"])
def test_an_update_later_than_its_answer_counts_as_the_answers_time(field: str, update: str):
    live = event(
        book(market(last_update=update)) if field == "market" else book(market(), last_update=update)
    )
    past = {"timestamp": "2030-05-04T11:55:00Z", "data": [live]}

    assert (parse(live).quotes["observed_at"] == NOW).all()
    batch = parse_odds(json.dumps(past).encode(), "the answer", fetched_at=NOW)
    assert (batch.quotes["observed_at"] == datetime(2030, 5, 4, 11, 55, tzinfo=UTC)).all()


@pytest.mark.parametrize(
    ("update", "settled"),
    [
        ("15:50:00Z", "15:50:00Z"),
        ("16:00:01Z", "16:00:01Z"),
        ("16:00:06Z", "16:00:00Z"),
        ("23:00:00Z", "16:00:00Z"),
    ],
)
def test_a_score_is_settled_when_its_answer_came_at_the_latest(update: str, settled: str):
    day = "2030-05-04T"
    done = event(completed=True, scores=SCORES, last_update=day + update)
    batch = parse_scores(
        json.dumps([done]).encode(), "the scores", fetched_at=datetime.fromisoformat(day + "16:00:00Z")
    )

    assert batch.results["settled_at"].tolist() == [pd.Timestamp(day + settled)]


def test_prices_in_play_are_kept():
    update = "2030-05-04T14:30:00Z"
    content = json.dumps([event(book(market(last_update=update)))]).encode()
    batch = parse_odds(content, "the answer", fetched_at=datetime.fromisoformat(update))

    assert (batch.quotes["observed_at"] > batch.events["starts_at"][0]).all() and len(batch.quotes) == 3


def test_an_empty_answer_and_an_event_without_bookmakers_are_fine():
    without = event()
    del without["bookmakers"]

    assert [len(parse(*events).quotes) for events in ([], [event()], [without])] == [0, 0, 0]
    assert [len(parse(*events).events) for events in ([], [event()], [without])] == [0, 1, 1]
    assert parse().set_aside.empty


def test_of_the_same_key_twice_the_last_is_kept():
    twice = market(outcomes=[("Alder", 4.0), ("Alder", 4.2), ("Birch", 1.9)])

    assert prices(parse(event(book(twice))))["h2h", None, "away"] == 4.2


def test_many_answers_are_one_batch_with_each_event_as_last_seen():
    first = event(book(market(last_update="2030-05-01T00:00:00Z")), commence_time="2029-12-31T14:00:00Z")
    later = event(
        book(market(last_update="2030-05-01T00:00:00Z")),
        book(market(last_update="2030-05-02T00:00:00Z"), key="other"),
    )
    answers = [
        Answer("u", 200, json.dumps([one]).encode(), NOW + timedelta(hours=n), False, {})
        for n, one in enumerate((first, later))
    ]

    batch = parse_many(answers)

    assert batch.events["starts_at"].tolist() == [pd.Timestamp("2030-05-04T14:00Z")]
    assert len(batch.quotes) == 6
    # the season is that of the first sight, or a kick-off that is moved across New Year would tear the
    # event's prices apart
    assert set(batch.quotes["season"]) == set(batch.events["season"]) == {"2029"}


@pytest.mark.parametrize(
    ("shown", "american"),
    [
        ([150, -200, 300], True),
        ([150, 250, 300], True),  # nothing tells, and three decimal odds from 100 up are no market
        ([101.0, 1.01, 15.0], False),
        ([101, 250.5, 300], False),
        ([1000, 101, 2], False),
        ([150, -200, 50], True),  # one bad price does not turn an American answer into a decimal one
    ],
)
def test_american_odds_are_told_by_the_whole_answer(shown: list, american: bool):
    batch = parse(event(book(market(outcomes=list(zip(("Birch", "Alder", "Draw"), shown, strict=True))))))

    assert batch.quotes["price"][0] == (1 + shown[0] / 100 if american else shown[0])


def test_a_format_that_is_given_is_not_guessed():
    shown = [("Birch", 150), ("Alder", 250), ("Draw", 300)]

    assert (
        prices(parse(event(book(market(outcomes=shown))), odds_format="decimal"))["h2h", None, "home"] == 150
    )
    assert (
        prices(parse(event(book(market(outcomes=shown))), odds_format="american"))["h2h", None, "home"] == 2.5
    )


def as_decimal(price: float) -> float:
    """Hand formula: +150 pays 1.5 for 1, -200 pays 1 for 2."""
    return 1 + (price / 100 if price > 0 else 100 / -price)


american_prices = st.integers(100, 20_000) | st.integers(-20_000, -101)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(american_prices, american_prices, st.integers(-300, 300)), min_size=1, max_size=5),
    st.integers(1_500_000_000, 2_000_000_000),
)
def test_american_or_decimal_and_unix_or_iso_give_the_same_rows(shown: list, at: int):
    def answer(price: Callable, time: Callable) -> list:
        return [
            event(
                book(
                    market(
                        "spreads",
                        [("Birch", price(one), line / 4), ("Alder", price(other), -line / 4)],
                        last_update=time(at + n),
                    ),
                    market(outcomes=[("Birch", price(one)), ("Alder", price(-150)), ("Draw", price(other))]),
                ),
                id=f"e{n}",
                commence_time=time(at + n),
            )
            for n, (one, other, line) in enumerate(shown)
        ]

    left = parse(*answer(lambda price: price, lambda time: time))
    right = parse(*answer(as_decimal, lambda time: f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"))

    pd.testing.assert_frame_equal(left.events, right.events)
    pd.testing.assert_frame_equal(left.quotes, right.quotes)
    assert len(left.quotes) >= 4 * len(shown) and left.set_aside.empty


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"<!DOCTYPE html><title>Bad gateway</title>",
        b'{"message": "Unknown sport"}',
        b"3",
        b"null",
        b'{"data": [], "timestamp": "yesterday"}',
        b'{"data": [], "timestamp": [1]}',
        b'{"data": null, "timestamp": "2030-05-01T00:05:00Z"}',
        b"[" * 100_000,
    ],
)
def test_an_answer_of_another_shape_is_one_clear_sentence(content: bytes):
    with pytest.raises(SourceError, match=r"^https://x/odds: expected a JSON list of events.*\.$"):
        parse_odds(content, "https://x/odds", fetched_at=NOW)


@pytest.mark.parametrize(
    ("bad", "column", "quotes"),
    [
        (event(id=7), "events[0].id", 3),
        (event(home_team=None), "events[0].home_team", 3),
        (event(away_team="Birch"), "events[0].away_team", 3),
        (
            event(commence_time="2030-05-04 14:00"),
            "events[0].commence_time",
            3,
        ),  # no zone: not known which moment
        (event(commence_time=True), "events[0].commence_time", 3),
        (event(bookmakers="none"), "events[0].bookmakers", 3),
        (event(sport_key="\ud800"), "events[0].sport_key", 3),
        ("event", "events[0]", 3),
        (event("book"), "events[0].bookmakers[0]", 3),  # type: ignore[arg-type]
        (event(book(market(), key=3)), "events[0].bookmakers[0].key", 3),  # type: ignore[arg-type]
        (event(book(market(last_update="soon"))), "events[0].bookmakers[0].markets[0].last_update", 3),
        (
            event(book(market(outcomes=[("Birch", 2.0), ("Cedar", 2.0)]))),
            "events[0].bookmakers[0].markets[0].outcomes[1].name",
            4,
        ),
        (
            event(book(market(outcomes=[("Birch", 2.0), ("Alder", 1.0)]))),
            "events[0].bookmakers[0].markets[0].outcomes[1].price",
            4,
        ),
        (
            event(book(market(outcomes=[("Birch", "2.0")]))),
            "events[0].bookmakers[0].markets[0].outcomes[0].price",
            3,
        ),
        (
            event(book(market(outcomes=[("Birch", float("nan"))]))),
            "events[0].bookmakers[0].markets[0].outcomes[0].price",
            3,
        ),
        (
            event(book(market("totals", [("Over", 2.0)]))),
            "events[0].bookmakers[0].markets[0].outcomes[0].point",
            3,
        ),
        (
            event(book(market("spreads", [("Draw", 2.0, 1)]))),
            "events[0].bookmakers[0].markets[0].outcomes[0].name",
            3,
        ),
    ],
)
def test_one_bad_part_is_set_aside_and_the_rest_kept(bad: object, column: str, quotes: int):
    batch = parse(bad, event(book(market()), id="good"))

    assert batch.set_aside["column"].tolist() == [column]
    assert batch.set_aside["where"].tolist() == ["the answer"] and batch.set_aside["row"].tolist() == [0]
    assert len(batch.quotes) == quotes and "good" in set(batch.events["event_id"])


names = [
    "id",
    "sport_key",
    "commence_time",
    "home_team",
    "away_team",
    "bookmakers",
    "markets",
    "outcomes",
    "name",
    "price",
    "point",
    "key",
    "last_update",
    "timestamp",
    "data",
    "completed",
    "scores",
    "score",
]
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.sampled_from(["2030-05-04T14:00:00Z", "Draw", "h2h"])
)
anything = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["event", "book", "market", "outcome"]), st.sampled_from(names), anything),
        max_size=3,
    ),
    anything,
)
def test_whatever_the_provider_sends_is_read_or_refused_in_one_sentence(changes: list, whole: object):
    one_market = market()
    parts = {"outcome": one_market["outcomes"][0], "market": one_market, "book": book(one_market)}
    parts["event"] = event(parts["book"])
    for part, column, value in changes:
        parts[part][column] = value
    for content in (json.dumps([parts["event"]]), json.dumps(whole)):
        for read in (parse_odds, parse_scores):
            try:
                assert isinstance(read(content.encode(), "x", fetched_at=NOW), Batch)
            except SourceError as error:
                assert re.search("expected a JSON list|events can be read", str(error))


SCORES = [{"name": "Alder", "score": "0"}, {"name": "Birch", "score": "12"}]


def scores(*events: dict) -> Batch:
    return parse_scores(json.dumps(list(events)).encode(), "the scores", fetched_at=NOW)


def test_a_completed_event_has_its_score_by_team_name_and_the_others_none():
    batch = scores(
        event(id="done", completed=True, scores=SCORES, last_update="2030-05-04T16:01:00Z"),
        event(id="live", completed=False, scores=SCORES, last_update="2030-05-04T15:01:00Z"),
        event(id="next", completed=False, scores=None, last_update=None),
    )

    assert batch.results.to_dict("records") == [
        {
            "event_id": "done",
            "home_score": 12,
            "away_score": 0,
            "status": "final",
            "settled_at": pd.Timestamp("2030-05-04T16:01Z"),
            "with_overtime": None,
            "competition": "soccer_nowhere",
            "season": "2030",
        }
    ]
    assert batch.events["event_id"].tolist() == ["done", "live", "next"] and batch.set_aside.empty


@pytest.mark.parametrize(
    "bad",
    [None, [], SCORES[:1], [{"name": "Alder", "score": "2.5"}, SCORES[1]], "2-1", [{"name": [], "score": 1}]],
)
def test_a_completed_event_without_a_whole_score_is_set_aside(bad: object):
    batch = scores(
        event(completed=True, scores=bad, last_update=None), event(id="good", completed=True, scores=SCORES)
    )

    assert batch.results["event_id"].tolist() == ["good"] and batch.results["settled_at"].isna().all()
    assert batch.set_aside["column"].tolist() == ["events[0].scores"]


class _Provider(BaseHTTPRequestHandler):
    """Answers as the provider does: odds, scores, or its own errors."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.hits.append(self.path)  # type: ignore[attr-defined]
        status, body = 200, [event(book(market()), completed=True, scores=SCORES)]
        if "/nosport/" in self.path:
            status, body = 404, {"message": "Unknown sport", "error_code": "UNKNOWN_SPORT"}  # type: ignore[assignment]
        if "apiKey=spent" in self.path:
            status, body = (
                401,
                {
                    "message": "Usage quota has been reached. See usage plans",
                    "error_code": "OUT_OF_USAGE_CREDITS",
                },
            )  # type: ignore[assignment]
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def test_live_odds_and_scores_of_each_sport_are_collected_and_no_key_is_kept(tmp_path: Path):
    with (
        closing(Served(_Provider)) as server,
        Fetcher("the-odds-api", server.url, tmp_path, secrets={"apiKey": "fine-key"}) as fetcher,
    ):
        odds, results = batches(fetcher, "soccer_nowhere", Offer(markets="h2h"), ttl=60)
        list(batches(fetcher, "soccer_nowhere", Offer(markets="h2h"), ttl=60))

    assert len(odds.quotes) == 3 and len(results.results) == 1
    assert [path.split("?")[0] for path in server.hits] == [
        "/v4/sports/soccer_nowhere/odds",
        "/v4/sports/soccer_nowhere/scores",
    ]
    assert (
        "regions=eu%2Cuk&markets=h2h&oddsFormat=decimal&dateFormat=iso" in server.hits[0]
        and "daysFrom=3" in server.hits[1]
    )
    assert b"fine-key" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert [one["from_cache"] for one in fetcher.requests] == [False, False, True, True]


class _History(BaseHTTPRequestHandler):
    """Odds now, and odds as they stood at four times."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.hits.append(self.path)  # type: ignore[attr-defined]
        path, _, query = self.path.partition("?")
        if "/historical/" in path:
            times = [f"2030-05-01T00:{minute:02d}:00Z" for minute in (0, 5, 10, 15)]
            n = max(
                n
                for n, time in enumerate(times)
                if time.replace(":", "%3A") <= dict(part.split("=") for part in query.split("&"))["date"]
            )
            body: object = {
                "timestamp": times[n],
                "next_timestamp": times[n + 1] if n < 3 else None,
                "data": [event(book(market()))],
            }
        else:
            body = [event(book(market()))]
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[tuple[Served, Fetcher]]:
    with (
        closing(Served(_History)) as server,
        Fetcher("the-odds-api", server.url, tmp_path, secrets={"apiKey": "fine-key"}) as fetcher,
    ):
        yield server, fetcher


def test_past_odds_are_followed_from_snapshot_to_snapshot_and_fetched_once(history: tuple):
    server, fetcher = history
    start, end = datetime(2030, 5, 1, 0, 2, tzinfo=UTC), datetime(2030, 5, 1, 0, 10, tzinfo=UTC)
    for _ in range(2):
        found = list(
            historical_odds(fetcher, "soccer_nowhere", start, end, Offer(markets="h2h", regions="us"))
        )

    assert [len(batch.quotes) for batch in found] == [3, 0, 0]  # only what has changed
    assert len(server.hits) == 3 and all("regions=us&" in path for path in server.hits)


def test_past_odds_need_times_with_a_zone(history: tuple):
    with pytest.raises(ParameterError, match="times with a zone"):
        next(historical_odds(history[1], "soccer_nowhere", datetime(2030, 5, 1), datetime(2030, 5, 2)))


@pytest.mark.parametrize(
    ("offer", "asked"),
    [
        (
            Offer("us,us2,au", "h2h,h2h_lay,spreads,totals", odds_format="american"),
            "regions=us%2Cus2%2Cau&markets=h2h%2Ch2h_lay%2Cspreads%2Ctotals&oddsFormat=american&dateFormat=iso",
        ),
        (
            Offer(bookmakers="pinnacle,bet365", markets="h2h"),
            "bookmakers=pinnacle%2Cbet365&markets=h2h&oddsFormat=decimal&dateFormat=iso",
        ),
    ],
)
def test_any_regions_or_bookmakers_markets_and_format_can_be_asked_for(
    tmp_path: Path, offer: Offer, asked: str
):
    with (
        closing(Served(_Provider)) as server,
        Fetcher("the-odds-api", server.url, tmp_path, secrets={"apiKey": "fine-key"}) as fetcher,
    ):
        odds(fetcher, "soccer_nowhere", offer, ttl=0)

    assert asked in server.hits[0]


def test_known_seasons_stay_and_a_sieve_takes_rows_out_before_they_become_tables():
    seasons = {"e1": "2029"}
    answers = [Answer("u", 200, json.dumps([event(book(market())), event(id="e2")]).encode(), NOW, False, {})]

    batch = parse_many(answers, seasons=seasons, sieve=lambda rows, at: rows.events.pop("e1"))

    assert batch.events["event_id"].tolist() == ["e2"]
    assert set(batch.quotes["season"]) == {"2029"} and seasons == {"e1": "2029", "e2": "2030"}


def test_the_shortest_american_price_is_a_price():
    assert parse(event(book(market(outcomes=[("Birch", -1_000_000)]))), odds_format="american").quotes[
        "price"
    ].tolist() == [1.0001]


def settings_with(tmp_path: Path, url: str = "http://127.0.0.1:9", key: str = "fine-key") -> Settings:
    return Settings(cache=tmp_path, odds_api_url=url, odds_api_key=SecretStr(key))


def test_a_connection_has_a_job_for_each_sport(tmp_path: Path):
    with (
        closing(Served(_Provider)) as server,
        open_source(
            settings_with(tmp_path, server.url), Selection(leagues=("soccer_nowhere", "soccer_b"))
        ) as open_,
    ):
        assert list(open_.jobs) == ["soccer_nowhere", "soccer_b"]
        odds, results = open_.jobs["soccer_b"]()

    assert (len(odds.quotes), len(results.results), server.hits[0].split("?")[0]) == (
        3,
        1,
        "/v4/sports/soccer_b/odds",
    )


@pytest.mark.parametrize(
    ("selection", "key", "message"),
    [
        (Selection(), "k", "no league is given; a league is a sport key such as soccer_epl"),
        (Selection(("../E0",)), "k", "league '../E0' is unknown"),
        (Selection(("soccer_epl",), ("2425",)), "k", "season '2425' cannot be asked for"),
        (Selection(("soccer_epl",)), "", "OVERROUND_ODDS_API_KEY"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_fetched(
    tmp_path: Path, selection: Selection, key: str, message: str
):
    with (
        pytest.raises((ParameterError, SettingsError), match=message),
        open_source(settings_with(tmp_path, key=key), selection),
    ):
        pass


@pytest.mark.parametrize(
    ("key", "sport", "status", "message"),
    [
        ("fine-key", "nosport", 404, "The Odds API answered 404 to /v4/sports/nosport/odds: Unknown sport."),
        (
            "spent",
            "soccer",
            401,
            "The Odds API answered 401 to /v4/sports/soccer/odds: Usage quota has been reached. See usage plans. "
            "Check OVERROUND_ODDS_API_KEY, or wait until its quota is renewed.",
        ),
    ],
)
def test_a_refusal_is_told_in_the_providers_words(
    tmp_path: Path, key: str, sport: str, status: int, message: str
):
    with (
        closing(Served(_Provider)) as server,
        Fetcher("the-odds-api", server.url, tmp_path, secrets={"apiKey": key}) as fetcher,
        pytest.raises(FetchError) as caught,
    ):
        list(batches(fetcher, sport, Offer(), ttl=30))

    assert (str(caught.value), caught.value.status) == (message, status)


def independent(content: bytes, decimal: Callable[[float], float]) -> pd.DataFrame:
    """Read the prices of an answer by pandas' own JSON flattening."""
    books = pd.json_normalize(
        json.loads(content),
        ["bookmakers", "markets", "outcomes"],
        [
            "id",
            "home_team",
            "away_team",
            ["bookmakers", "key"],
            ["bookmakers", "markets", "key"],
            ["bookmakers", "markets", "last_update"],
        ],
    )
    books.columns = [name.rsplit(".", 1)[-1] if "last" in name else name for name in books.columns]
    books["outcome"] = (
        books["name"]
        .str.lower()
        .mask(books["name"] == books["home_team"], "home")
        .mask(books["name"] == books["away_team"], "away")
    )
    books["price"] = books["price"].map(decimal)
    return books.rename(columns={"id": "event_id", "bookmakers.markets.key": "market"})


def assert_same_prices(batch: Batch, other: pd.DataFrame) -> None:
    by = ["event_id", "market", "outcome", "price"]
    pd.testing.assert_frame_equal(
        batch.quotes[by].sort_values(by, ignore_index=True),
        other[by].astype(batch.quotes[by].dtypes).sort_values(by, ignore_index=True),
    )
    assert sorted(batch.quotes["observed_at"]) == sorted(pd.to_datetime(other["last_update"], utc=True))


@pytest.mark.slow
def test_recorded_decimal_answers_agree_with_an_independent_reading(recorded: Path):
    files = sorted((recorded / "the-odds-api/soccer_epl/odds").glob("*.json"))
    assert len(files) == 3

    for file in files:
        batch = parse_odds(file.read_bytes(), file.name, fetched_at=NOW)

        assert_same_prices(batch, independent(file.read_bytes(), lambda price: price))
        assert (
            len(batch.events) == 10
            and batch.set_aside.empty
            and set(batch.quotes["market"]) == {"h2h", "h2h_lay"}
        )
        united = batch.events[batch.events["home"] == "Manchester United"].iloc[0]
        assert (united["away"], united["season"], united["starts_at"]) == (
            "Fulham",
            "2024",
            pd.Timestamp("2024-08-16T19:00Z"),
        )


@pytest.mark.slow
def test_recorded_american_answers_agree_with_an_independent_reading(recorded: Path):
    with zipfile.ZipFile(recorded / "the-odds-api/soccer_fifa_world_cup/odds/2026-06.zip") as archive:
        answers = [archive.read(name) for name in archive.namelist()[1::230]]

    batches_ = [parse_odds(content, "x", fetched_at=NOW) for content in answers]
    together = parse_many(Answer("x", 200, content, NOW, False, {}) for content in answers)

    for batch, content in zip(batches_, answers, strict=True):
        assert_same_prices(batch, independent(content, as_decimal))
        assert batch.set_aside.empty and {"h2h", "totals"} == set(batch.quotes["market"])
    key = ["event_id", "bookmaker", "market", "line", "outcome", "observed_at"]
    assert len(together.quotes) == len(pd.concat([batch.quotes for batch in batches_])[key].drop_duplicates())
    assert len(together.events) == pd.concat([batch.events for batch in batches_])["event_id"].nunique()


@pytest.mark.slow
def test_every_recorded_answer_can_be_read(recorded: Path):
    answers = quotes = 0
    for file in sorted((recorded / "the-odds-api").glob("*/odds/*.zip")):
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist()[::40]:
                batch = parse_odds(archive.read(name), f"{file.name} {name}", fetched_at=NOW)
                assert set(batch.set_aside["column"]) <= {"markets"}, batch.set_aside
                answers, quotes = answers + 1, quotes + len(batch.quotes)

    assert answers > 100 and quotes > 50_000


@pytest.mark.slow
def test_documented_historical_answers_are_read(recorded: Path):
    folder = recorded / "the-odds-api/documented"
    odds = parse_odds((folder / "historical-odds.soccer_epl.trimmed.json").read_bytes(), "x", fetched_at=NOW)
    events = parse_odds((folder / "historical-events.basketball_nba.json").read_bytes(), "x", fetched_at=NOW)

    # the document's example has two bookmakers and no last_update
    assert prices(odds)["h2h", None, "home"] in (3.22, 3.29) and len(odds.quotes) == 6
    assert set(odds.quotes["observed_at"]) == {pd.Timestamp("2024-03-02T11:55:41Z")}
    assert len(events.events) == 3 and set(events.events["sport"]) == {"basketball"} and events.quotes.empty


@pytest.mark.parametrize(
    ("sport", "with_overtime"),
    [
        ("icehockey_nhl", True),
        ("americanfootball_nfl", True),
        ("soccer_epl", None),
        ("soccer_fifa_world_cup", None),
    ],
)
def test_a_final_score_contains_overtime_where_the_sport_is_known_to_count_it(sport, with_overtime):
    batch = scores(event(completed=True, scores=SCORES, sport_key=sport))

    assert batch.results["with_overtime"].tolist() == [with_overtime]
