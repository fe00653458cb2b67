"""Fetching over real HTTP on loopback: cached, retried, observed, and without a trace of the key."""

import logging
import os
import sqlite3
import stat
import threading
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround.errors import FetchError
from overround.http.adapter import RetryPolicy
from overround.http.client import Fetcher
from overround.http.redaction import is_secret, redact
from tests.support.servers import Served

KEY = "canary-0123456789abcdef"
QUICK = RetryPolicy(attempts=3, first_wait_s=0.01, deadline_s=10)


class _Provider(BaseHTTPRequestHandler):
    """Answers by path.

    /ok, /busy (429, then 200), /broken (500 always), /denied (401 with the key in its words), /slow (0.3 s),
    /dated and /tagged (304 where it is asked to confirm), /moved/... (to another path), /away/PORT (to
    another host), /unsure (as `server.status` says).
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes, the second of which would wait 40 ms

    def log_message(self, *_: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return (
            f"Sat, 17 Aug 2024 12:00:{len(self.server.hits):02} GMT"
            if self.path.startswith("/tagged")
            else super().date_time_string(timestamp)
        )

    def do_GET(self) -> None:
        hits = self.server.hits
        hits.append(self.path)
        self.server.seen.append(self.headers)
        path = self.path.partition("?")[0]
        status, body, headers = 200, b"[]", {"x-requests-remaining": "321"}
        if path == "/busy" and len(hits) == 1:
            status, headers = 429, {"Retry-After": "0"}
        elif path == "/broken":
            status, body = 500, b"<html>sorry</html>"
        elif path == "/denied":
            status, body = 401, f'{{"message": "API key {KEY} is not valid"}}'.encode()
        elif path == "/slow":
            time.sleep(0.3)
        elif path == "/tagged":
            headers |= {"ETag": '"one"', "Vary": "Accept-Encoding"}
            if self.headers["If-None-Match"] == '"one"':
                status, body = 304, b""
        elif path == "/dated":
            headers |= {
                "Last-Modified": "Sat, 17 Aug 2024 12:00:00 GMT",
                "Vary": "*",
                "Cache-Control": "no-store",
            }
            if self.headers["If-Modified-Since"] == "Sat, 17 Aug 2024 12:00:00 GMT":
                status, body = 304, b""
        elif path == "/moved":
            status, headers["Location"] = 301, "/ok?moved=1"
        elif path.startswith("/away/"):
            status, headers["Location"] = 302, f"http://localhost:{path[6:]}/ok"
        elif path == "/unsure":
            status, body = self.server.status, b"[1]" if self.server.status == 200 else b"no"
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def provider():
    served = start()
    yield served
    served.close()


def start():
    served = Served(_Provider)
    served.server = served._server
    served.server.seen, served.server.status = [], 200
    return served


@pytest.fixture
def fetcher(provider, tmp_path):
    with Fetcher("test", provider.url, tmp_path / "cache", secrets={"apiKey": KEY}, policy=QUICK) as fetcher:
        yield fetcher


@pytest.mark.slow
def test_a_fresh_answer_comes_from_the_cache_and_is_as_old_as_it_was(fetcher, provider):
    first = fetcher.get("ok", {"a": 1}, ttl=60)
    time.sleep(1.1)
    again = fetcher.get("ok", {"a": 1}, ttl=60)

    assert len(provider.hits) == 1
    assert (first.from_cache, again.from_cache) == (False, True)
    assert (again.content, again.fetched_at) == (first.content, first.fetched_at)


def test_a_stale_answer_is_fetched_again(fetcher, provider):
    fetcher.get("ok", ttl=0.05)
    time.sleep(0.1)
    fetcher.get("ok", ttl=0.05)

    assert len(provider.hits) == 2


def test_another_key_is_no_other_question(provider, tmp_path):
    for key in (KEY, "another-key"):
        with Fetcher("test", provider.url, tmp_path / "cache", secrets={"apiKey": key}) as fetcher:
            fetcher.get("ok")

    assert len(provider.hits) == 1


def test_a_server_whose_address_changes_is_known_by_its_identity(tmp_path):
    for _ in range(2):
        served = start()
        with Fetcher("test", served.url, tmp_path / "cache", identity="the same") as fetcher:
            fetched = fetcher.get("ok")
        served.close()

    assert fetched.from_cache


def test_a_busy_provider_is_asked_again(fetcher, provider):
    assert fetcher.get("busy").status == 200
    assert len(provider.hits) == 2


def test_an_error_says_provider_url_and_status_and_is_not_cached(fetcher, provider):
    for _ in range(2):
        with pytest.raises(
            FetchError, match=r"test: http://127.0.0.1:\d+/denied answered 401: .*not valid"
        ) as error:
            fetcher.get("denied")

    assert error.value.status == 401
    assert len(provider.hits) == 2  # never retried, never remembered


def test_no_answer_says_so(tmp_path):
    gone = start()
    gone.close()

    with (
        Fetcher("test", gone.url, tmp_path / "cache", secrets={"apiKey": KEY}, policy=QUICK) as fetcher,
        pytest.raises(FetchError, match="no answer from") as error,
    ):
        fetcher.get("ok")

    assert KEY not in str(error.value)
    assert (
        error.value.__cause__ is error.value.__context__ is None
    )  # both would be kept by whoever keeps the error


def test_the_key_is_nowhere_on_disk_nor_in_logs_nor_in_what_is_kept(fetcher, provider, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)

    fetcher.get("ok", {"regions": "eu"})
    with pytest.raises(FetchError) as error:
        fetcher.get("denied")

    assert f"apiKey={KEY}" in provider.hits[0]  # it was sent
    kept = b"".join(path.read_bytes() for path in (tmp_path / "cache").iterdir())
    for text in (kept.decode("latin-1"), caplog.text, repr(fetcher.requests), str(error.value)):
        assert KEY not in text


def test_the_cache_is_readable_by_its_owner_only_and_holds_no_pickle(fetcher, tmp_path):
    fetcher.get("ok")

    file = tmp_path / "cache" / "http.sqlite"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(
        b"\x80\x04\x95" in path.read_bytes() for path in file.parent.iterdir()
    )  # how a pickle begins


def test_every_call_is_observed(fetcher):
    fetcher.get("ok")
    fetcher.get("ok")

    rows = [
        (row["status"], row["from_cache"], row["bytes"], row["quota_remaining"]) for row in fetcher.requests
    ]
    assert rows == [
        (200, False, 2, 321.0),
        (200, True, 2, None),
    ]  # what was said of the quota earlier is no news
    assert all(0 < row["latency_s"] < 5 for row in fetcher.requests)


def test_many_calls_come_back_in_their_order(fetcher):
    answers = list(fetcher.get_many([("ok", {"n": n}) for n in range(12)]))

    assert [answer.url.rpartition("=")[2] for answer in answers] == [str(n) for n in range(12)]


def test_calls_that_reach_the_network_keep_their_distance_and_hits_do_not(provider, tmp_path):
    with Fetcher("test", provider.url, tmp_path / "cache", min_interval_s=0.1) as fetcher:
        started = time.perf_counter()
        for n in (1, 2, 3, 1, 2, 3, 1, 2, 3):
            fetcher.get("ok", {"n": n})
        took = time.perf_counter() - started

    assert 0.2 <= took < 0.8


@pytest.mark.parametrize(
    "name",
    [
        "apiKey",
        "api_key",
        "API-KEY",
        "x-api-key",
        "X-RapidAPI-Key",
        "token",
        "access_token",
        "Authorization",
        "key",
        "X-Application",
    ],
)
def test_the_names_under_which_providers_take_a_key_are_secret(name):
    assert is_secret(name)
    assert KEY not in redact(f"http://host/path?{name}={KEY}&regions=eu")


def test_what_is_no_secret_stays_in_the_url():
    assert redact("http://host/p", {"regions": "eu", "apiKey": KEY}) == "http://host/p?regions=eu"


def test_the_file_mode_does_not_depend_on_the_umask(provider, tmp_path):
    old = os.umask(0)
    try:
        with Fetcher("test", provider.url, tmp_path / "open") as fetcher:
            fetcher.get("ok")
    finally:
        os.umask(old)

    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (tmp_path / "open").iterdir()} == {0}


def test_what_is_kept_is_judged_by_how_old_it_may_be_now_not_by_what_was_said_when_it_was_kept(
    fetcher, provider
):
    fetcher.get("ok")
    time.sleep(0.1)

    assert not fetcher.get("ok", ttl=0.05).from_cache
    assert fetcher.get("ok", ttl=60).from_cache


def test_a_time_to_live_of_zero_always_asks(fetcher, provider):
    fetcher.get("ok", ttl=0)
    fetcher.get("ok", ttl=0)

    assert len(provider.hits) == 2


@pytest.mark.parametrize("path", ["tagged", "dated"])
def test_a_stale_answer_is_confirmed_without_its_body_and_is_fresh_again(fetcher, provider, path):
    first = fetcher.get(path, ttl=0.2)
    time.sleep(0.25)
    confirmed = fetcher.get(path, ttl=0.2)
    again = fetcher.get(path, ttl=0.2)

    assert len(provider.hits) == 2
    assert (confirmed.content, confirmed.status, confirmed.from_cache) == (first.content, 200, True)
    assert again.from_cache
    rows = [
        (row["status"], row["from_cache"], row["bytes"], row["quota_remaining"]) for row in fetcher.requests
    ]
    assert rows == [(200, False, 2, 321), (200, True, 0, 321), (200, True, 2, None)]
    if path == "tagged":  # a confirmed answer is what the provider says now
        assert (confirmed.fetched_at - first.fetched_at).total_seconds() == 1
        assert again.fetched_at == confirmed.fetched_at


@pytest.mark.parametrize("status", [429, 500, 503])
def test_where_the_provider_fails_what_it_said_before_stands_in_and_says_that_it_is_stale(
    fetcher, provider, caplog, status
):
    first = fetcher.get("unsure", ttl=0)
    provider.server.status = status
    stale = [fetcher.get("unsure", ttl=0) for _ in range(2)]
    provider.server.status = 200
    good = fetcher.get("unsure", ttl=0)

    assert (first.is_stale, *(one.is_stale for one in stale), good.is_stale) == (False, True, True, False)
    assert stale[0].fetched_at == first.fetched_at and stale[0].content == first.content
    assert [row["status"] for row in fetcher.requests] == [200, status, status, 200]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (
        len(warnings) == 1
        and f"answered {status}" in warnings[0]
        and "stands in until it answers again" in warnings[0]
    )


def test_where_nobody_answers_what_was_said_before_stands_in_unless_it_is_not_wanted(provider, tmp_path):
    with Fetcher("test", provider.url, tmp_path, policy=QUICK) as fetcher:
        fetcher.get("ok", ttl=0)
    provider.close()

    with Fetcher("test", provider.url, tmp_path, policy=QUICK) as fetcher:
        assert fetcher.get("ok", ttl=0).is_stale
        with pytest.raises(FetchError, match="no answer from"):
            fetcher.get("ok", ttl=0, stale_if_error=False)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refused_key_or_quota_or_question_is_never_covered_up_nor_asked_again(fetcher, provider, status):
    fetcher.get("unsure", ttl=0)
    provider.server.status = status

    with pytest.raises(FetchError, match=f"answered {status}") as error:
        fetcher.get("unsure", ttl=0)

    assert error.value.status == status
    assert len(provider.hits) == 2


def test_threads_that_miss_together_make_one_call(fetcher, provider):
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: fetcher.get("slow", ttl=60), range(16)))

    assert len(provider.hits) == 1
    assert sum(not answer.from_cache for answer in answers) == 1
    assert {answer.content for answer in answers} == {b"[]"}
    assert sum(row["from_cache"] for row in fetcher.requests) == 15


def test_threads_that_fail_together_fail_with_the_same_words(fetcher, provider):
    together = threading.Barrier(8)

    def ask(_):
        together.wait()
        with pytest.raises(FetchError) as error:
            fetcher.get("broken")
        return str(error.value)

    with ThreadPoolExecutor(8) as pool:
        words = set(pool.map(ask, range(8)))

    assert len(words) == 1
    assert len(provider.hits) < 8 * QUICK.attempts


def test_two_fetchers_of_one_process_that_miss_together_make_one_call(provider, tmp_path):
    with (
        Fetcher("test", provider.url, tmp_path) as one,
        Fetcher("test", provider.url, tmp_path) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        list(pool.map(lambda fetcher: fetcher.get("slow"), (one, other)))

    assert len(provider.hits) == 1
    assert not list(tmp_path.glob("*.lock"))


def test_many_calls_are_started_only_a_little_ahead_of_the_reader(provider, tmp_path):
    with Fetcher("test", provider.url, tmp_path, workers=2) as fetcher:
        answers = iter(fetcher.get_many(("ok", {"n": n}) for n in range(1_000)))
        for _ in range(3):
            next(answers)
        answers.close()

    assert 3 <= len(provider.hits) <= 7


def test_many_calls_use_few_connections(provider, tmp_path):
    ports = set()
    with Fetcher("test", provider.url, tmp_path, workers=4) as fetcher:
        original = _Provider.setup

        def setup(handler):
            ports.add(handler.client_address[1])
            original(handler)

        _Provider.setup = setup
        try:
            list(fetcher.get_many(("ok", {"n": n}) for n in range(40)))
        finally:
            _Provider.setup = original

    assert len(ports) <= 5


def test_a_redirect_is_followed_and_kept(fetcher, provider):
    fetcher.get("moved", ttl=60)

    assert fetcher.get("moved", ttl=60).from_cache
    assert len(provider.hits) == 2


def test_a_key_goes_to_its_provider_only(provider, tmp_path):
    other = start()
    with Fetcher(
        "test", provider.url, tmp_path, secrets={"apiKey": KEY}, secret_headers={"x-apisports-key": KEY}
    ) as fetcher:
        fetcher.get(f"away/{other.url.rpartition(':')[2]}")
    other.close()

    assert f"apiKey={KEY}" in provider.hits[0] and provider.server.seen[0]["x-apisports-key"] == KEY
    assert KEY not in other.hits[0] and KEY not in str(other.server.seen[0])


@pytest.mark.parametrize("where", ["secrets", "secret_headers", "params", "base_url"])
@pytest.mark.parametrize("name", ["apiKey", "APIKEY", "x-api-key", "X-RapidAPI-Key", "token"])
def test_a_key_of_any_kind_is_in_no_file_log_row_or_error(provider, tmp_path, caplog, where, name):
    caplog.set_level(logging.DEBUG)
    url = provider.url.replace("http://", f"http://user:{KEY}@") if where == "base_url" else provider.url
    kept = {where: {name: KEY}} if where.startswith("secret") else {}

    with Fetcher("test", url, tmp_path, policy=QUICK, **kept) as fetcher:
        params = {name: KEY} if where == "params" else {}
        answer = fetcher.get("ok", {"regions": "eu", **params})
        errors = []
        for path in ("broken", "denied") if where != "params" else ("broken",):
            with pytest.raises(FetchError) as error:
                fetcher.get(path, params)
            errors += [str(error.value), repr(error.value.__context__)]
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("latin-1")

    sent = f"{provider.hits[0]} {provider.server.seen[0]}"
    assert (b64encode(f"user:{KEY}".encode()).decode() if where == "base_url" else KEY) in sent
    for text in (files, caplog.text, repr(fetcher.requests), repr(answer), *errors):
        assert KEY not in text


@settings(max_examples=40, deadline=None)
@given(
    path=st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8),
    params=st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=5),
        st.one_of(st.none(), st.integers(), st.text(st.characters(exclude_categories=("Cs",)), max_size=5)),
        max_size=3,
    ),
)
def test_an_answer_is_found_again_whatever_the_question(path, params):
    served = _odd()

    served["fetcher"].get(f"odd/{path}", params)

    assert served["fetcher"].get(f"odd/{path}", params).from_cache


_ODD = {}


def _odd():
    if not _ODD:
        from tempfile import TemporaryDirectory

        _ODD["folder"] = TemporaryDirectory()
        _ODD["fetcher"] = Fetcher("test", start().url, _ODD["folder"].name)
    return _ODD


def test_blank_and_missing_parameters_are_different_questions(fetcher, provider):
    fetcher.get("ok", {"a": ""})
    fetcher.get("ok", {})

    assert len(provider.hits) == 2


def test_the_quota_is_known_after_a_call(fetcher):
    fetcher.get("ok")

    assert fetcher.quota == 321


def test_rows_can_be_taken_so_that_they_do_not_pile_up(fetcher):
    fetcher.get("ok")

    assert len(fetcher.drain()) == 1
    assert fetcher.drain() == fetcher.requests == []


def test_a_file_that_others_could_read_is_closed_to_them_with_its_log(provider, tmp_path):
    (tmp_path / "http.sqlite").touch(0o644)
    (tmp_path / "http.sqlite").chmod(0o644)

    with Fetcher("test", provider.url, tmp_path) as fetcher:
        fetcher.get("ok")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}

    assert set(modes.values()) == {0o600}
    assert {"http.sqlite", "http.sqlite-wal", "http.sqlite-shm"} <= set(modes)


def test_what_expired_long_ago_is_removed_once_an_hour_and_the_rest_stays(provider, tmp_path):
    with Fetcher("test", provider.url, tmp_path) as fetcher:
        fetcher.get("ok", {"n": 1}, ttl=30)
        fetcher.get("ok", {"n": 2}, ttl=30)
        fetcher.get("ok", {"n": 3})
    with closing(sqlite3.connect(tmp_path / "http.sqlite")) as database:  # a week and an hour later
        database.execute("UPDATE answers SET expires = expires - 7 * 86400 WHERE rowid = 1")
        database.execute("PRAGMA user_version = 1")
        database.commit()

    with Fetcher("test", provider.url, tmp_path) as fetcher:
        hits = [fetcher.get("ok", {"n": n}, ttl=3600).from_cache for n in (1, 2, 3)]

    assert hits == [False, True, True]


def test_only_the_provider_named_is_answered_from_its_cache(provider, tmp_path):
    for name in ("one", "other"):
        with Fetcher(name, provider.url, tmp_path) as fetcher:
            fetcher.get("ok")

    assert len(provider.hits) == 2


@pytest.mark.parametrize("url", ["http://", "http://[", "ftp//x"])
def test_an_address_that_is_none_is_said(tmp_path, url):
    with (
        pytest.raises(FetchError, match=r"^test: ") as error,
        Fetcher("test", url, tmp_path, policy=QUICK) as fetcher,
    ):
        fetcher.get("ok", {"apiKey": KEY})

    assert KEY not in str(error.value)
