"""Politeness towards one provider, below the cache: spacing, retries, limits of time and size, rests."""

import http.client
import io
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_result,
    stop_after_attempt,
    stop_before_delay,
)
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from overround.http.dates import correct_date
from overround.http.decoding import decoded
from overround.http.loopback import on_loopback
from overround.http.redaction import is_secret

# no answer, or an incomplete one
_RETRIED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_LONGEST_REST_S = 3600.0
_CHUNK = 1 << 16


@dataclass(frozen=True)
class RetryPolicy:
    """Limits of a call (time, retries, size of the answer), and when a failing provider is left alone.

    A `Retry-After` of more than `longest_wait_s` ends the call, and the provider is left alone for that long
    (an hour at most).
    """

    attempts: int = 5
    deadline_s: float = 120.0  # for a call with all its retries
    first_wait_s: float = 0.5  # doubles with each retry, plus as much jitter as the first wait
    longest_wait_s: float = 30.0
    connect_s: float = 5.0
    read_s: float = 30.0  # without receiving a single byte
    failures: int = 5  # failed calls in a row after which the provider is left alone
    rest_s: float = 60.0
    largest_bytes: int = 64 << 20


class ProviderResting(requests.RequestException):
    """Too many calls failed in a row; the message says when calls resume."""


class AnswerTooLarge(requests.RequestException):
    """The answer exceeds the largest allowed size."""


def failed(status: int) -> bool:
    """Whether a status means that the provider is in trouble or too busy, so that a retry may help."""
    return status == 429 or status >= 500


class CircuitBreaker:
    """Opens after `failures` failed calls in a row; one call is tried after `rest_s`, and closes it again.

    Parameters
    ----------
    provider : str
        Its name in the message.
    failures : int
        Failed calls in a row.
    rest_s : float
        How long the provider is left alone.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self, provider: str, failures: int, rest_s: float, clock: Callable[[], float] = time.monotonic
    ):
        self._provider, self._limit, self._rest_s, self._clock = provider, failures, rest_s, clock
        self._failures, self._until, self._lock = 0, 0.0, threading.Lock()

    def enter(self) -> bool:
        """Request a call; True if it is the trial call after a rest.

        Raises
        ------
        ProviderResting
            The breaker is open.
        """
        with self._lock:
            if not self._until:
                return False
            left = self._until - self._clock()
            if left > 0:
                at = datetime.now(UTC) + timedelta(seconds=left)
                times = "times" if self._failures > 1 else "time"
                raise ProviderResting(
                    f"{self._provider} failed {self._failures} {times} in a row and is left alone "
                    f"for another {left:.0f} s, until {at:%H:%M:%S} UTC"
                )
            self._until = self._clock() + self._rest_s  # other calls wait for the outcome of the trial
            return True

    def succeeded(self) -> None:
        """Close the breaker: the provider answers."""
        with self._lock:
            self._failures, self._until = 0, 0.0

    def failed(self, rest_s: float = 0.0) -> None:
        """Count a failed call; `rest_s` is the rest that the provider itself requested."""
        with self._lock:
            self._failures += 1
            if self._until or rest_s or self._failures >= self._limit:
                self._until = self._clock() + max(self._rest_s, min(rest_s, _LONGEST_REST_S))


class PoliteAdapter(HTTPAdapter):
    """Sends the calls that the cache cannot answer, and adds the keys, for the provider's own host only.

    Keys are added here, below everything that stores or logs.

    Parameters
    ----------
    base_url : str
        Of the provider, which alone receives the secrets.
    min_interval_s : float
        Minimum time between two calls.
    query, headers : mapping
        Secrets.
    policy, breaker, sleep
        See `RetryPolicy` and `CircuitBreaker`; `sleep` waits between attempts.
    """

    def __init__(
        self,
        base_url: str,
        min_interval_s: float,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        policy: RetryPolicy,
        breaker: CircuitBreaker,
        *,
        workers: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._base, self._query, self._headers = urlsplit(base_url), dict(query), dict(headers)
        self._policy, self._breaker, self._sleep = policy, breaker, sleep
        self._interval, self._next, self._turn = min_interval_s, 0.0, threading.Lock()
        super().__init__(pool_maxsize=workers, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create connection pools that respect the deadline."""
        super().init_poolmanager(*args, **kwargs)
        _use_timed_pools(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Create connection pools of a proxy that respect the deadline."""
        return _use_timed_pools(super().proxy_manager_for(*args, **kwargs))

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Send a request and read the whole body; a failed response is returned after the last retry."""
        policy, is_trial = self._policy, self._breaker.enter()
        options.update(stream=True, timeout=(policy.connect_s, policy.read_s))
        if on_loopback(request.url or ""):
            options["proxies"] = {}  # a proxy named by the environment cannot reach this machine's addresses
        limits = stop_after_attempt(1 if is_trial else policy.attempts) | stop_before_delay(policy.deadline_s)
        longest_s = policy.longest_wait_s + policy.first_wait_s
        retrying = Retrying(
            retry=retry_if_exception(_may_heal)
            | retry_if_result(lambda response: failed(response.status_code)),
            # also where the provider asks for a longer wait
            stop=lambda state: limits(state) or state.upcoming_sleep > longest_s,
            wait=self._wait,
            sleep=self._sleep,
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        deadline = time.monotonic() + policy.deadline_s
        try:
            response = retrying(self._attempt, self._with_secrets(request), deadline, options)
        except _RETRIED:
            self._breaker.failed()
            raise
        if failed(response.status_code):
            asked = _retry_after(response) or 0.0
            self._breaker.failed(asked if asked > policy.longest_wait_s else 0.0)
        else:
            self._breaker.succeeded()
        # layers above must not see the URL and headers that carried the keys
        response.request, response.url = request, request.url or ""
        return response

    def _attempt(
        self, request: requests.PreparedRequest, deadline: float, options: dict[str, Any]
    ) -> requests.Response:
        self._wait_turn()
        _deadline.at, asked = deadline, datetime.now(UTC)
        response = super().send(request, **options)
        # urllib3 takes a compressed body for whole that is cut off; so it gets to see no encoding
        response.raw.headers.discard("Content-Encoding")
        chunks, size = [], 0
        for chunk in response.iter_content(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._policy.largest_bytes:
                response.close()
                raise AnswerTooLarge(f"more than {self._policy.largest_bytes >> 20} MB")
        # requests has no public way to set a body that was read under a limit of size and time; it keeps its
        # own here (requests 2.x; tests/http/test_privates.py fails when that changes)
        response._content = self._checked(response, b"".join(chunks))
        if not failed(response.status_code):  # a date for a retry is relative to the provider's own clock
            correct_date(response.headers, request.url or "", asked, datetime.now(UTC))
        return response

    def _checked(self, response: requests.Response, body: bytes) -> bytes:
        """The body without its encoding; an answer that a consumer will read has to be whole."""
        most = self._policy.largest_bytes
        try:
            body = decoded(body, response.headers.get("Content-Encoding", ""), most)
        except requests.exceptions.ContentDecodingError:
            if response.status_code == 200:
                raise
            return b""  # an error whose text is garbled is still that error
        if len(body) > most:
            raise AnswerTooLarge(f"more than {most >> 20} MB")
        return body

    def _wait_turn(self) -> None:
        if self._interval:
            with self._turn:
                wait = self._next - time.monotonic()
                self._next = max(self._next, time.monotonic()) + self._interval
            if wait > 0:
                self._sleep(wait)

    def _with_secrets(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        sent = request.copy()
        for name in ("Cache-Control", "X-ACTUAL-NO-CACHE"):  # notes of requests-cache to itself
            sent.headers.pop(name, None)
        parts = urlsplit(sent.url or "")
        # not where a redirect leaves TLS
        if parts.netloc == self._base.netloc and parts.scheme in ("https", self._base.scheme):
            # a redirect may already contain the key; the other parameters stay exactly as written
            kept = [pair for pair in str(parts.query).split("&") if pair.partition("=")[0] not in self._query]
            both = "&".join(filter(None, [*kept, urlencode(self._query)]))
            sent.url = urlunsplit(parts._replace(query=both))
            sent.headers.update(self._headers)
        else:
            for name in [name for name in sent.headers if is_secret(name)]:
                del sent.headers[name]
        return sent

    def _wait(self, state: RetryCallState) -> float:
        policy = self._policy
        asked = _retry_after(state.outcome.result()) if state.outcome and not state.outcome.failed else None
        wait = (
            min(policy.first_wait_s * 2 ** (state.attempt_number - 1), policy.longest_wait_s)
            if asked is None
            else asked
        )
        return wait + random.uniform(0, policy.first_wait_s)  # noqa: S311  spreads the pollers, no secret


def _may_heal(error: BaseException) -> bool:
    return isinstance(error, _RETRIED) and not isinstance(error, requests.exceptions.SSLError)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the provider asks to wait: a number, or a date relative to the provider's own clock."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        now = (
            parsedate_to_datetime(response.headers["Date"])
            if "Date" in response.headers
            else datetime.now(UTC)
        )
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None


# A socket's timeout restarts with each byte: a server that sends one per second could hold a call for days.
# The connections made here read under the deadline of the call that runs in their thread. urllib3 has no
# parameter that carries it this far down (its timeouts are per read, see urllib3/urllib3#1271), and the pools
# can only be replaced through the undocumented `pool_classes_by_scheme` (urllib3 2.x;
# tests/http/test_privates.py fails when that changes).
_deadline = threading.local()


def _use_timed_pools(manager: Any) -> Any:
    manager.pool_classes_by_scheme = {"http": _TimedPool, "https": _TimedPoolTLS}
    return manager


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket):
        self._raw, self._sock, self._timeout_s = raw, sock, sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = getattr(_deadline, "at", float("inf")) - time.monotonic()
        if left <= 0:
            raise TimeoutError("the whole answer took too long")
        self._sock.settimeout(left if self._timeout_s is None else min(left, self._timeout_s))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any):
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


class _TimedConnection(HTTPConnection):
    response_class = _TimedResponse


class _TimedConnectionTLS(HTTPSConnection):
    response_class = _TimedResponse


class _TimedPool(HTTPConnectionPool):
    ConnectionCls = _TimedConnection


class _TimedPoolTLS(HTTPSConnectionPool):
    ConnectionCls = _TimedConnectionTLS
