"""Fetching over real HTTP on loopback: cached, retried, observed, and without a trace of the key."""

import logging
import os
import stat
import time
from http.server import BaseHTTPRequestHandler

import pytest

from overround.errors import FetchError
from overround.fetch import Fetcher, is_secret, redact
from tests.conftest import Served

KEY = "canary-0123456789abcdef"


class _Provider(BaseHTTPRequestHandler):
    """Answers by path: /ok, /busy (429, then 200), /broken (500 always), /denied (401 with the key in its words), /slow."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        hits = self.server.hits
        hits.append(self.path)
        path = self.path.partition("?")[0]
        status, body, headers = 200, b"[]", {"x-requests-remaining": "321"}
        if path == "/busy" and len(hits) == 1:
            status, headers = 429, {"Retry-After": "0"}
        elif path == "/broken":
            status, body = 500, b"<html>sorry</html>"
        elif path == "/denied":
            status, body = 401, b'{"message": "API key is not valid"}'
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def provider():
    served = Served(_Provider)
    yield served
    served.close()


@pytest.fixture
def fetcher(provider, tmp_path):
    with Fetcher("test", provider.url, tmp_path / "cache", secrets={"apiKey": KEY}) as fetcher:
        yield fetcher


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
        served = Served(_Provider)
        with Fetcher("test", served.url, tmp_path / "cache", identity="the same") as fetcher:
            fetched = fetcher.get("ok")
        served.close()

    assert fetched.from_cache


def test_a_busy_provider_is_asked_again(fetcher, provider):
    assert fetcher.get("busy").status == 200
    assert len(provider.hits) == 2


def test_an_error_says_provider_url_and_status_and_is_not_cached(fetcher, provider):
    for _ in range(2):
        with pytest.raises(FetchError, match=r"test: http://127.0.0.1:\d+/denied answered 401: .*not valid") as error:
            fetcher.get("denied")

    assert error.value.status == 401
    assert len(provider.hits) == 2  # never retried, never remembered


def test_no_answer_says_so(tmp_path):
    gone = Served(_Provider)
    gone.close()

    with (
        Fetcher("test", gone.url, tmp_path / "cache", secrets={"apiKey": KEY}) as fetcher,
        pytest.raises(FetchError, match="no answer from") as error,
    ):
        fetcher.get("ok")

    assert KEY not in str(error.value)
    assert error.value.__cause__ is None


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
    assert not any(b"\x80\x04\x95" in path.read_bytes() for path in file.parent.iterdir())  # how a pickle begins


def test_every_call_is_observed(fetcher):
    fetcher.get("ok")
    fetcher.get("ok")

    rows = [(row["status"], row["from_cache"], row["bytes"], row["quota_remaining"]) for row in fetcher.requests]
    assert rows == [(200, False, 2, 321.0), (200, True, 2, 321.0)]
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
    ["apiKey", "api_key", "API-KEY", "x-api-key", "X-RapidAPI-Key", "token", "access_token", "Authorization", "key", "X-Application"],
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
