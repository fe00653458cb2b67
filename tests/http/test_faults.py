"""What can go wrong between a provider, the disk and us, over real sockets: a call ends in bounded time, and
no answer is lost.
"""

import gzip
import json
import logging
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import struct
import subprocess
import sys
import threading
import time
import zlib
from contextlib import closing, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
import requests

from overround.errors import FetchError
from overround.http import adapter as http_adapter
from overround.http import client as fetch
from overround.http.adapter import CircuitBreaker, ProviderResting
from overround.http.client import Fetcher, RetryPolicy
from overround.http.loopback import on_loopback
from tests.support.disks import mounted
from tests.support.servers import Served, require

BODY = json.dumps([{"price": 2.35}] * 100).encode()
GZIPPED = gzip.compress(BODY)
QUICK = RetryPolicy(attempts=3, first_wait_s=0.01, deadline_s=20, read_s=5)
RESET = object()


class Wire:
    """A server that sends what a script says: bytes, pauses in seconds, and RESET; `paths` are those asked
    for.
    """

    def __init__(self, script):
        self._script, self.paths = script, []
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._socket.close()

    def _accept(self):
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with closing(connection):
            asked = b""
            while b"\r\n\r\n" not in asked:
                got = connection.recv(65536)
                if not got:
                    return
                asked += got
            self.paths.append(asked.split()[1].decode())
            for step in self._script(len(self.paths)):
                try:
                    if step is RESET:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    if isinstance(step, bytes):
                        connection.sendall(step)
                    else:
                        time.sleep(step)
                except OSError:
                    return


def head(length, *more, status="200 OK"):
    return "\r\n".join(
        [f"HTTP/1.1 {status}", f"Content-Length: {length}", "Connection: close", *more, "", ""]
    ).encode()


OK = head(len(BODY)) + BODY


def status(code, *more):
    return head(2, *more, status=f"{code} Trouble") + b"no"


@pytest.fixture
def wire():
    wires = []

    def start(*steps, then=None):
        """The first calls get one step each (a list of steps for several), all later ones `then` or the
        last.
        """
        script = [
            step if isinstance(step, list) else [step] for step in (*steps, *([] if then is None else [then]))
        ]
        wires.append(Wire(lambda nth: script[min(nth, len(script)) - 1]))
        return wires[-1]

    yield start
    for one in wires:
        one.close()


@pytest.fixture
def nobody_as_proxy(monkeypatch):
    """The environment names a proxy that hangs up on everybody; gives what was asked of it."""
    proxy = Wire(lambda nth: [RESET])
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv(name.lower(), proxy.url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield proxy.paths
    proxy.close()


@contextmanager
def took_less_than(seconds):
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


# the provider


def test_a_connection_that_is_refused_is_tried_again_and_then_said(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    with (
        Fetcher("test", url, tmp_path, policy=QUICK) as fetcher,
        took_less_than(5),
        pytest.raises(FetchError, match="test: no answer from"),
    ):
        fetcher.get("odds")


@pytest.mark.parametrize(
    "broken",
    [
        [head(len(BODY)) + BODY[:50], 0.05, RESET],
        [head(len(BODY)) + BODY[:50]],  # cut off: fewer bytes than announced
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"40\r\n" + BODY[:20]],
        [head(20, "Content-Encoding: gzip") + b"this is not gzip at" + b"."],
        [head(40, "Content-Encoding: gzip") + GZIPPED[:40]],
        [head(len(GZIPPED) - 4, "Content-Encoding: gzip") + GZIPPED[:-4]],
        [head(len(GZIPPED), "Content-Encoding: gzip") + GZIPPED[:-8] + b"12345678"],
        [head(2 * len(GZIPPED) - 9, "Content-Encoding: x-gzip") + (2 * GZIPPED)[:-9]],
        [b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + GZIPPED[:40]],
        [head(30, "Content-Encoding: deflate") + zlib.compress(BODY)[:30]],
        [head(5, "Content-Encoding: deflate") + zlib.compress(BODY)[2:7]],
        [head(len(BODY), "Content-Encoding: br") + BODY],
        [RESET],
        [b""],
    ],
    ids=[
        "reset in the body",
        "cut off",
        "cut off in a chunk",
        "garbled",
        "cut gzip",
        "gzip without its end",
        "gzip with a wrong checksum",
        "gzip cut in its second member",
        "cut gzip without a length",
        "cut deflate",
        "cut bare deflate",
        "Brotli that was not asked for",
        "reset at once",
        "closed at once",
    ],
)
def test_an_answer_that_breaks_off_is_never_taken_and_asked_for_again(wire, tmp_path, broken):
    server = wire(broken, broken, then=OK)

    with Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher:
        answer = fetcher.get("odds")

    assert answer.content == BODY
    assert len(server.paths) == 3


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("gzip", gzip.compress(BODY)),
        ("X-GZIP", gzip.compress(BODY[:99]) + gzip.compress(BODY[99:]) + b"\0\0"),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY)[2:-4]),
        ("identity", BODY),
        ("deflate, gzip", gzip.compress(zlib.compress(BODY))),
        ("gzip", b""),
    ],
    ids=["gzip", "members and padding", "deflate", "bare deflate", "identity", "twice", "empty"],
)
def test_a_whole_compressed_answer_is_taken_and_kept_as_it_was_before(wire, tmp_path, name, packed):
    server = wire(head(len(packed), f"Content-Encoding: {name}") + packed)

    with Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher:
        contents = [fetcher.get("odds").content for _ in range(2)]

    assert contents == [BODY if packed else b""] * 2
    assert len(server.paths) == 1


def test_what_is_too_large_once_unpacked_is_not_unpacked(wire, tmp_path):
    bomb = gzip.compress(bytes(8 << 20))
    server = wire(head(len(bomb), "Content-Encoding: gzip") + bomb)
    policy = RetryPolicy(attempts=1, largest_bytes=1 << 20)

    with (
        Fetcher("test", server.url, tmp_path, policy=policy) as fetcher,
        pytest.raises(FetchError, match="more than 1 MB"),
    ):
        fetcher.get("odds")


def test_a_refusal_whose_text_is_garbled_is_still_that_refusal(wire, tmp_path):
    server = wire(head(3, "Content-Encoding: gzip", status="401 No") + b"key")

    with (
        Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher,
        pytest.raises(FetchError, match="answered 401"),
    ):
        fetcher.get("odds")

    assert len(server.paths) == 1


def test_a_date_of_a_machine_that_was_never_told_the_time_is_not_believed(wire, tmp_path):
    server = wire(head(len(BODY), "Date: Thu, 01 Jan 1970 00:00:07 GMT") + BODY)

    with Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher:
        times = [fetcher.get("odds").fetched_at for _ in range(2)]

    assert all(abs(datetime.now(UTC) - at) < timedelta(minutes=1) for at in times)


def test_an_answer_that_always_breaks_off_is_an_error_and_not_kept(wire, tmp_path):
    server = wire([head(len(BODY)) + BODY[:50]])

    with Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher:
        for _ in range(2):
            with pytest.raises(FetchError, match="no answer from") as error:
                fetcher.get("odds")

    assert error.value.status == 0
    assert len(server.paths) == 6


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_call_to_this_machine_never_goes_through_a_proxy(wire, tmp_path, nobody_as_proxy, host):
    url = wire([OK]).url.replace("127.0.0.1", host)

    with Fetcher("test", url, tmp_path, policy=QUICK) as fetcher:
        assert fetcher.get("odds").content == BODY


def test_a_call_to_any_other_machine_goes_through_the_proxy(tmp_path, nobody_as_proxy):
    with (
        Fetcher("test", "http://odds.invalid", tmp_path, policy=QUICK) as fetcher,
        pytest.raises(FetchError, match="no answer"),
    ):
        fetcher.get("odds")
    assert nobody_as_proxy  # asked, and hung up


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://127.0.0.1:80/a", True),
        ("http://127.8.9.10", True),
        ("http://[::1]:5/", True),
        ("http://LOCALHOST:5", True),
        ("http://localhost./", True),
        ("https://api.localhost", True),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.1", False),
        ("http://[2001:db8::1]", False),
        ("", False),
    ],
)
def test_which_addresses_are_this_machine(url, is_here):
    assert on_loopback(url) is is_here


def test_silence_ends_after_the_time_allowed(wire, tmp_path):
    server = wire([20])

    with (
        Fetcher(
            "test", server.url, tmp_path, policy=RetryPolicy(attempts=2, first_wait_s=0.01, read_s=0.2)
        ) as fetcher,
        took_less_than(4),
        pytest.raises(FetchError, match="no answer from"),
    ):
        fetcher.get("odds")

    assert len(server.paths) == 2


@pytest.mark.slow
@pytest.mark.parametrize("begin", [head(1000), b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["body", "headers"])
def test_a_server_that_drips_is_left_after_the_time_allowed_for_the_whole(wire, tmp_path, begin):
    server = wire([begin, *[b"x", 0.05] * 1000])

    with (
        Fetcher(
            "test", server.url, tmp_path, policy=RetryPolicy(deadline_s=0.5, first_wait_s=0.01)
        ) as fetcher,
        took_less_than(4),
        pytest.raises(FetchError, match=r"no answer from .* within 0"),
    ):
        fetcher.get("odds")


def test_an_answer_of_20_mb_is_taken_and_kept(wire, tmp_path):
    large = b"[" + b"1," * 10_000_000 + b"1]"
    server = wire(head(len(large)) + large)

    with Fetcher("test", server.url, tmp_path) as fetcher:
        assert fetcher.get("odds").content == large
        assert fetcher.get("odds").content == large

    assert len(server.paths) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_larger_than_any_that_was_meant_is_not_read_to_its_end(wire, tmp_path, packed):
    large = b" " * (50 << 20)
    body, more = (gzip.compress(large, 1), ("Content-Encoding: gzip",)) if packed else (large, ())
    server = wire(head(len(body), *more) + body)

    with (
        Fetcher("test", server.url, tmp_path, policy=RetryPolicy(largest_bytes=1 << 20)) as fetcher,
        pytest.raises(FetchError, match="more than 1 MB; it was not read"),
    ):
        fetcher.get("odds")

    assert len(server.paths) == 1  # it would be as large again


@pytest.mark.parametrize(
    ("asked", "least_s"),
    [(None, 0.0), ("7", 7.0), ("date", 7.0), ("soon", 0.0)],
    ids=["no word", "seconds", "date", "nonsense"],
)
def test_a_busy_provider_is_given_the_time_that_it_asks_for(wire, tmp_path, asked, least_s):
    # the provider's clock is an hour ahead of ours: only the difference of its own two times counts
    theirs = datetime.now(UTC) + timedelta(hours=1)
    words = [
        f"Retry-After: {format_datetime(theirs + timedelta(seconds=7), usegmt=True)}"
        if asked == "date"
        else f"Retry-After: {asked}"
    ]
    server = wire(
        status(429, f"Date: {format_datetime(theirs, usegmt=True)}", *(words if asked else [])), then=OK
    )

    with Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher:
        waits = waits_of(fetcher)
        assert fetcher.get("odds").content == BODY

    assert len(waits) == 1 and least_s <= waits[0] <= least_s + 3 * QUICK.first_wait_s
    assert len(server.paths) == 2


def waits_of(fetcher):
    """Seconds that would have been waited between attempts."""
    waits = []
    fetcher._session.get_adapter("http://")._sleep = fetcher._session.get_adapter("https://")._sleep = (
        waits.append
    )
    return waits


def test_a_provider_that_asks_for_long_is_left_alone_for_so_long_and_nobody_waits(wire, tmp_path):
    server = wire(status(429, "Retry-After: 600"))

    with Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher, took_less_than(4):
        with pytest.raises(FetchError, match="answered 429"):
            fetcher.get("odds")
        with pytest.raises(
            FetchError,
            match=r"test failed 1 time in a row and is left alone for another (600|59\d) s, until .* was not asked",
        ):
            fetcher.get("odds")

    assert len(server.paths) == 1


@pytest.mark.parametrize("code", [500, 502, 503, 504, 599])
def test_a_provider_in_trouble_is_asked_again_and_then_believed(wire, tmp_path, code):
    server = wire(status(code))

    with (
        Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher,
        pytest.raises(FetchError, match=f"answered {code}: no") as error,
    ):
        fetcher.get("odds")

    assert error.value.status == code
    assert len(server.paths) == 3


def test_a_page_instead_of_data_is_handed_on_as_it_is(wire, tmp_path):
    page = b"<!DOCTYPE html><title>Maintenance</title>"
    server = wire(head(len(page), "Content-Type: text/html") + page)

    with Fetcher("test", server.url, tmp_path) as fetcher:
        assert fetcher.get("odds").content == page


@pytest.mark.parametrize(
    ("base", "asked", "told"),
    [
        ("https://api.test", "https://api.test/odds", True),
        ("https://api.test", "http://api.test/odds", False),
        ("http://api.test", "https://api.test/odds", True),
        ("http://api.test", "http://api.test/odds", True),
        ("https://api.test", "https://other.test/odds", False),
    ],
)
def test_a_redirect_out_of_tls_is_followed_without_the_key(base, asked, told):
    adapter = http_adapter.PoliteAdapter(
        base, 0, {"apiKey": "k"}, {"X-Key": "k"}, RetryPolicy(), CircuitBreaker("test", 9, 9)
    )

    with closing(adapter):
        sent = adapter._with_secrets(requests.Request("GET", asked).prepare())

    assert ("apiKey=k" in sent.url, "X-Key" in sent.headers) == (told, told)


def test_waits_double_up_to_a_limit_and_no_two_pollers_come_back_together(wire, tmp_path):
    waits = []
    adapter = http_adapter.PoliteAdapter(
        "",
        0,
        {},
        {},
        RetryPolicy(attempts=7, first_wait_s=1, longest_wait_s=8),
        CircuitBreaker("test", 9, 9),
        sleep=waits.append,
    )

    with closing(adapter), pytest.raises(requests.ConnectionError):
        adapter.send(requests.Request("GET", "http://127.0.0.1:1/").prepare())

    assert [int(wait - 1e-9) for wait in waits] == pytest.approx([1, 2, 4, 8, 8, 8], abs=1)
    assert all(least <= wait <= least + 1 for wait, least in zip(waits, [1, 2, 4, 8, 8, 8], strict=True))
    assert len({wait % 1 for wait in waits}) == 6


def test_a_certificate_is_checked_against_the_one_that_the_environment_names_and_never_tried_again(
    tmp_path, monkeypatch
):
    require(bool(shutil.which("openssl")), "there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            key,
            "-out",
            certificate,
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        check=True,
        capture_output=True,
    )
    served = Served(Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    served._server.socket = context.wrap_socket(served._server.socket, server_side=True)
    served._server.handle_error = lambda *_: None
    url = served.url.replace("http:", "https:")

    with Fetcher("test", url, tmp_path / "cache") as fetcher:
        waits = waits_of(fetcher)
        with pytest.raises(FetchError, match="SSLError"):
            fetcher.get("odds")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with Fetcher("test", url, tmp_path / "cache") as fetcher:
        assert fetcher.get("odds").content == BODY
    served.close()

    assert waits == []


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("what", ["missing", "empty", "no PEM"])
def test_certificates_that_are_not_there_or_none_are_said_and_end_no_caller(
    wire, tmp_path, monkeypatch, name, what
):
    bundle = tmp_path / "ca.pem"
    if what != "missing":
        bundle.write_text("" if what == "empty" else "no certificate\n")
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(name, str(bundle))
    url = wire(OK).url.replace("http:", "https:")

    with Fetcher("test", url, tmp_path / "cache", policy=QUICK) as fetcher:
        with pytest.raises(
            FetchError, match=rf"{bundle}, which REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE"
        ) as caught:
            fetcher.get("odds")

        assert [row["status"] for row in fetcher.requests] == [0]
    assert caught.value.status == 0


def test_a_call_without_tls_needs_no_certificates(wire, tmp_path, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nowhere.pem"))

    with Fetcher("test", wire(OK).url, tmp_path / "cache") as fetcher:
        assert fetcher.get("odds").content == BODY


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        (None, "answered 302"),
        ("/odds", "redirects in a circle"),
        ("ftp://127.0.0.1/odds", "redirects to what cannot be asked for"),
        ("file:///etc/passwd", "redirects to what cannot be asked for"),
        ("http://[bad/odds", "redirects to what cannot be asked for"),
        ("http://127.0.0.1:99999/odds", "redirects to what cannot be asked for"),
        ("http://127.0.0.1:port/odds", "redirects to what cannot be asked for"),
        ("http:///odds", "redirects in a circle"),
        ("http://a..b/", "redirects to what cannot be asked for"),
        ("/\xff", "redirects to what cannot be asked for"),
    ],
)
def test_a_redirect_that_leads_nowhere_is_one_sentence(wire, tmp_path, location, sentence):
    moved = [f"Location: {location}"] if location else []
    server = wire(head(2, *moved, status="302 Found").decode().encode("latin-1") + b"no")

    with (
        Fetcher("test", server.url, tmp_path / "cache", policy=QUICK) as fetcher,
        pytest.raises(FetchError) as caught,
    ):
        fetcher.get("odds")

    assert f"{server.url}/odds {sentence}" in str(caught.value)


class Page(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(BODY)


# the circuit


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_the_circuit_opens_after_failures_in_a_row_tries_once_later_and_closes():
    clock = Clock()
    circuit = CircuitBreaker("test", 3, 60, clock)
    for _ in range(2):
        circuit.failed()
    circuit.succeeded()
    for _ in range(3):
        assert circuit.enter() is False
        circuit.failed()

    with pytest.raises(
        ProviderResting, match="test failed 3 times in a row and is left alone for another 60 s, until"
    ):
        circuit.enter()
    clock.now += 59
    with pytest.raises(ProviderResting, match="another 1 s"):
        circuit.enter()
    clock.now += 2
    assert circuit.enter() is True  # one tries
    with pytest.raises(ProviderResting):
        circuit.enter()  # the others wait for what it finds
    circuit.failed()
    with pytest.raises(ProviderResting, match=r"failed 4 times .* another 60 s"):
        circuit.enter()
    clock.now += 61
    assert circuit.enter() is True
    circuit.succeeded()
    assert circuit.enter() is False


@pytest.mark.slow
def test_a_provider_that_keeps_failing_is_left_alone_and_found_again(wire, tmp_path):
    server = wire(*[status(500)] * 4, then=OK)
    policy = RetryPolicy(attempts=2, first_wait_s=0.01, failures=2, rest_s=0.5)

    with Fetcher("test", server.url, tmp_path, policy=policy) as fetcher:
        for words in ("answered 500", "answered 500", "left alone", "left alone"):
            with pytest.raises(FetchError, match=words):
                fetcher.get("odds")
        assert len(server.paths) == 4
        time.sleep(0.6)
        assert fetcher.get("odds").content == BODY
        assert fetcher.get("scores").content == BODY


def test_while_a_provider_is_left_alone_what_it_said_before_stands_in(wire, tmp_path):
    server = wire(OK, status(500), status(500))

    with Fetcher("test", server.url, tmp_path, policy=RetryPolicy(attempts=1, failures=2)) as fetcher:
        answers = [fetcher.get("odds", ttl=0) for _ in range(5)]

    assert [answer.is_stale for answer in answers] == [False, True, True, True, True]
    assert [row["status"] for row in fetcher.requests] == [200, 500, 500, 0, 0]
    assert len(server.paths) == 3


def test_what_was_said_more_than_a_day_ago_never_stands_in(wire, tmp_path, monkeypatch):
    server = wire(OK, then=status(500))
    with Fetcher("test", server.url, tmp_path, policy=QUICK) as fetcher:
        fetcher.get("odds")
        monkeypatch.setattr(fetch, "MAX_STALE_S", -1)

        with pytest.raises(FetchError, match="answered 500"):
            fetcher.get("odds", ttl=0)


def test_refused_keys_do_not_open_the_circuit(wire, tmp_path):
    server = wire(status(401))

    with Fetcher("test", server.url, tmp_path, policy=RetryPolicy(failures=2)) as fetcher:
        for _ in range(5):
            with pytest.raises(FetchError, match="answered 401"):
                fetcher.get("odds")


# the clock


@pytest.mark.parametrize("hours", [-5, 5])
def test_a_clock_that_is_set_back_or_forward_makes_no_answer_fresh_for_hours(
    wire, tmp_path, monkeypatch, hours
):
    server = wire(OK)

    class Shifted(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(hours=hours)

    with Fetcher("test", server.url, tmp_path) as fetcher:
        fetcher.get("odds", ttl=30)
        monkeypatch.setattr(fetch, "datetime", Shifted)
        assert not fetcher.get("odds", ttl=30).from_cache


# the disk


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_a_file_in_place_of_the_folder_means_no_cache_one_warning_and_every_answer(wire, tmp_path, caplog):
    server = wire(OK)
    (tmp_path / "cache").write_text("not a folder")

    with Fetcher("test", server.url, tmp_path / "cache") as fetcher:
        assert [fetcher.get("odds").content for _ in range(3)] == [BODY] * 3

    assert len(server.paths) == 3
    assert len(warnings(caplog)) == 1 and "cannot be used" in warnings(caplog)[0]


def test_a_read_only_folder_means_no_cache_one_warning_and_every_answer(wire, tmp_path, caplog):
    server, folder = wire(OK), tmp_path / "cache"
    folder.mkdir(0o500)

    # permissions do not bind root
    with (
        mounted(folder, "ro") if os.geteuid() == 0 else nullcontext(),
        Fetcher("test", server.url, folder) as fetcher,
    ):
        assert [fetcher.get("odds").content for _ in range(3)] == [BODY] * 3

    assert len(warnings(caplog)) == 1 and "cannot be used" in warnings(caplog)[0]


FULL = """
import logging, resource, sys
logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
from overround.http.client import Fetcher
url, folder, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Fetcher("test", url, folder) as fetcher:
    fetcher.get("odds")
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    print(*(len(fetcher.get("odds", {"n": n}).content) for n in range(100)))
    print(fetcher.get("odds").from_cache)
"""


def full(url, folder, limit=0):
    done = subprocess.run(
        [sys.executable, "-c", FULL, url, folder, str(limit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines() or pytest.fail(done.stderr)


@pytest.mark.slow
def test_a_file_that_may_not_grow_costs_one_warning_and_no_answer(wire, tmp_path):
    large = b"[" + b"1," * 10_000 + b"1]"
    server = wire(head(len(large)) + large)

    warning, sizes, kept = full(server.url, tmp_path, 400_000)

    assert warning.startswith("WARNING The cache") and "cannot be used" in warning
    assert sizes.split() == [str(len(large))] * 100
    assert kept == "True"  # what was kept before costs no call


@pytest.mark.slow
def test_a_full_disk_costs_one_warning_and_no_answer(wire, tmp_path):
    large = b"[" + b"1," * 10_000 + b"1]"
    server = wire(head(len(large)) + large)

    with mounted(tmp_path, "size=1m"):
        warning, sizes, kept = full(server.url, tmp_path)

    assert warning.startswith("WARNING The cache") and "full" in warning
    assert sizes.split() == [str(len(large))] * 100
    assert kept == "True"  # what was kept before costs no call


def test_a_cache_that_failed_is_used_again_later(wire, tmp_path, monkeypatch):
    server, folder = wire(OK), tmp_path / "cache"
    folder.write_text("not a folder")
    monkeypatch.setattr("overround.http.cache.PAUSE_S", 0.2)

    with Fetcher("test", server.url, folder) as fetcher:
        fetcher.get("odds")
        folder.unlink()
        time.sleep(0.3)
        fetcher.get("odds")
        assert fetcher.get("odds").from_cache


@pytest.mark.parametrize("how", ["garbage", "cut off", "overwritten inside"])
def test_a_broken_file_is_moved_aside_and_a_new_one_begun(wire, tmp_path, caplog, how):
    server, file = wire(OK), tmp_path / "http.sqlite"
    with Fetcher("test", server.url, tmp_path) as fetcher:
        for n in range(20):
            fetcher.get("odds", {"n": n})
    content = file.read_bytes()
    file.write_bytes(
        {"garbage": b"garbage" * 5000, "cut off": content[:5000], "overwritten inside": b""}[how]
        or content[:4096] + b"\x55" * len(content)
    )

    with Fetcher("test", server.url, tmp_path) as fetcher:
        assert [fetcher.get("odds", {"n": n}).content for n in range(20)] == [BODY] * 20
        assert fetcher.get("odds", {"n": 3}).from_cache

    assert len(warnings(caplog)) == 1 and "moved to http.corrupt" in warnings(caplog)[0]
    assert (tmp_path / "http.corrupt").exists()


def test_a_byte_that_changed_in_a_kept_answer_is_noticed(wire, tmp_path):
    server, file = wire(OK), tmp_path / "http.sqlite"
    with Fetcher("test", server.url, tmp_path) as fetcher:
        fetcher.get("odds")
    content = file.read_bytes()
    assert b"2.35" in content
    file.write_bytes(content.replace(b"2.35", b"9.35", 1))  # SQLite keeps no checksums: it would hand this on

    with Fetcher("test", server.url, tmp_path) as fetcher:
        assert fetcher.get("odds").content == BODY

    assert len(server.paths) == 2


def test_a_row_that_is_no_answer_is_replaced(wire, tmp_path):
    server = wire(OK)
    with Fetcher("test", server.url, tmp_path) as fetcher:
        fetcher.get("odds")
        for garbage in (
            b"",
            b"\x80\x04\x95rubbish",
            b"{}\n",
            b'{"crc": 0, "status": 200, "reason": "", "at": 1e99, "headers": {}}\n',
        ):
            with closing(sqlite3.connect(tmp_path / "http.sqlite")) as database:
                database.execute("UPDATE answers SET value = ?", (garbage,))
                database.commit()
            answer = fetcher.get("odds")
            assert (answer.content, answer.from_cache) == (BODY, False)


# other processes

LOCK = """
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(60)
"""


@contextmanager
def process(code, *arguments):
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def test_a_cache_locked_by_another_process_holds_up_no_call_for_more_than_seconds(
    wire, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("overround.http.cache.BUSY_S", 0.4)
    server = wire(OK)
    with Fetcher("test", server.url, tmp_path) as fetcher:
        fetcher.get("odds")
    # one that is not in our mode, so that not even readers get in
    with closing(sqlite3.connect(tmp_path / "http.sqlite")) as database:
        database.execute("PRAGMA journal_mode = DELETE")

    with process(LOCK, tmp_path / "http.sqlite") as holder:
        assert holder.stdout.readline() == "locked\n"
        with took_less_than(15), Fetcher("test", server.url, tmp_path) as fetcher:
            assert [fetcher.get("odds", {"n": n}).content for n in range(20)] == [BODY] * 20

    assert len(warnings(caplog)) == 1 and "database is locked" in warnings(caplog)[0]


def test_while_another_process_writes_kept_answers_are_read_and_new_ones_not_lost(
    wire, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr("overround.http.cache.BUSY_S", 0.4)
    server = wire(OK)

    with Fetcher("test", server.url, tmp_path) as fetcher:
        fetcher.get("odds")
        with process(LOCK, tmp_path / "http.sqlite") as holder, took_less_than(15):
            assert holder.stdout.readline() == "locked\n"
            assert fetcher.get("odds").from_cache
            assert [fetcher.get("odds", {"n": n}).content for n in range(10)] == [BODY] * 10
            assert fetcher.get("odds").from_cache

    assert len(warnings(caplog)) == 1


ASK = """
import sys
from overround.http.client import Fetcher
with Fetcher("test", sys.argv[1], sys.argv[2]) as fetcher:
    print("ready", flush=True)
    sys.stdin.readline()
    answer = fetcher.get("odds", ttl=600)
    print(answer.from_cache, len(answer.content), flush=True)
"""


@contextmanager
def asking(count, *arguments):
    """Processes that have opened the cache and ask at a word."""
    command = [sys.executable, "-c", ASK, *map(str, arguments)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for one in running:
            assert one.stdout.readline() == "ready\n"
        yield running
    finally:
        for one in running:
            one.kill()
            one.communicate()


def go(running):
    running.stdin.write("\n")
    running.stdin.flush()


@pytest.mark.slow
def test_processes_that_miss_together_make_one_call(wire, tmp_path):
    server = wire([1.0, OK])

    with asking(3, server.url, tmp_path) as running:
        for one in running:
            go(one)
        said = sorted(one.stdout.readline() for one in running)

    assert said == [f"False {len(BODY)}\n", f"True {len(BODY)}\n", f"True {len(BODY)}\n"]
    assert len(server.paths) == 1
    assert not list(tmp_path.glob("*.lock"))


def test_a_process_that_is_killed_while_it_fetches_leaves_nobody_waiting(wire, tmp_path):
    server = wire([30], then=OK)

    with asking(2, server.url, tmp_path) as (first, second):
        go(first)
        until = time.monotonic() + 10
        while not server.paths and time.monotonic() < until:
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
        first.wait()
        go(second)
        with took_less_than(10):
            assert second.stdout.readline() == f"False {len(BODY)}\n"

    assert len(server.paths) == 2


@pytest.mark.slow
def test_another_process_that_hangs_is_not_waited_for_longer_than_is_set(wire, tmp_path, monkeypatch):
    server = wire([30], then=OK)
    monkeypatch.setattr(fetch, "OTHER_PROCESS_S", 0.3)

    with asking(1, server.url, tmp_path) as (hanging,), Fetcher("test", server.url, tmp_path) as fetcher:
        go(hanging)
        until = time.monotonic() + 10
        while not server.paths and time.monotonic() < until:
            time.sleep(0.01)
        with took_less_than(5):
            assert fetcher.get("odds", ttl=600).content == BODY


@pytest.mark.slow
def test_many_processes_that_begin_a_cache_together_all_get_their_answers(wire, tmp_path):
    server = wire(OK)
    code = (
        "import sys; from overround.http.client import Fetcher\n"
        "with Fetcher('t', *sys.argv[1:]) as f: print(len(f.get('odds').content))"
    )

    running = [
        subprocess.Popen([sys.executable, "-c", code, server.url, tmp_path], stdout=-1, stderr=-1, text=True)
        for _ in range(4)
    ]

    assert [one.communicate(timeout=60) for one in running] == [(f"{len(BODY)}\n", "")] * 4
    assert len(server.paths) == 1
