"""Manners towards one provider, below the cache: spacing, retries, limits of time and size, and a rest when it is down."""

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
from tenacity.stop import stop_base
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from overround.http.loopback import on_loopback
from overround.http.redaction import is_secret

# no answer, or one that broke off
_RETRIED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_LONGEST_REST_S = 3600.0
_CHUNK = 1 << 16


@dataclass(frozen=True)
class Patience:
    """How long one call may take, how often it is repeated, how large its answer may be.

    A `Retry-After` of more than `longest_wait_s` ends the call, and the provider is left alone for that long
    (an hour at most).
    """

    attempts: int = 5
    deadline_s: float = 120.0  # for a call with all its retries
    first_wait_s: float = 0.5  # doubled at each retry, and up to as much again added at random
    longest_wait_s: float = 30.0
    connect_s: float = 5.0
    read_s: float = 30.0  # without a single byte
    failures: int = 5  # calls in a row after which the provider is left alone
    rest_s: float = 60.0
    largest_bytes: int = 64 << 20


class ProviderResting(requests.RequestException):
    """Too many calls failed in a row; the message says when the provider will be asked again."""


class AnswerTooLarge(requests.RequestException):
    """The answer is larger than any that was meant."""


def failed(status: int) -> bool:
    """Whether a status means that the provider is in trouble or too busy, so that another attempt may help."""
    return status == 429 or status >= 500


class Circuit:
    """Open after `failures` calls failed in a row; lets one call through after `rest_s`, and closes when that succeeds.

    Parameters
    ----------
    provider : str
        Named in the message.
    failures : int
        Failed calls in a row.
    rest_s : float
        How long the provider is left alone.
    clock : callable
        Seconds that never go backwards, whatever is done to the clock on the wall.
    """

    def __init__(
        self, provider: str, failures: int, rest_s: float, clock: Callable[[], float] = time.monotonic
    ):
        self._provider, self._limit, self._rest_s, self._clock = provider, failures, rest_s, clock
        self._failures, self._until, self._lock = 0, 0.0, threading.Lock()

    def enter(self) -> bool:
        """Ask to make a call; True where it is the one that tries whether the provider is back.

        Raises
        ------
        ProviderResting
            The circuit is open.
        """
        with self._lock:
            if not self._until:
                return False
            left = self._until - self._clock()
            if left > 0:
                at = datetime.now(UTC) + timedelta(seconds=left)
                raise ProviderResting(
                    f"{self._provider} failed {self._failures} {'times' if self._failures > 1 else 'time'} in a row and is left alone "
                    f"for another {left:.0f} s, until {at:%H:%M:%S} UTC"
                )
            self._until = self._clock() + self._rest_s  # the others wait for what the one finds
            return True

    def succeeded(self) -> None:
        """Close it: the provider answers."""
        with self._lock:
            self._failures, self._until = 0, 0.0

    def failed(self, rest_s: float = 0.0) -> None:
        """Count a call that failed; `rest_s` is what the provider itself asked for."""
        with self._lock:
            self._failures += 1
            if self._until or rest_s or self._failures >= self._limit:
                self._until = self._clock() + max(self._rest_s, min(rest_s, _LONGEST_REST_S))


class PoliteAdapter(HTTPAdapter):
    """Sends what the cache lacks. Keys are added here, below everything that keeps or logs, and only for the provider's own host.

    Parameters
    ----------
    host : str
        Network location that gets the secrets.
    min_interval_s : float
        Least time between two calls.
    query, headers : mapping
        Secrets.
    patience, circuit, sleep
        See `Patience` and `Circuit`; `sleep` waits between attempts.
    """

    def __init__(
        self,
        host: str,
        min_interval_s: float,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        patience: Patience,
        circuit: Circuit,
        *,
        workers: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._host, self._query, self._headers = host, dict(query), dict(headers)
        self._patience, self._circuit, self._sleep = patience, circuit, sleep
        self._interval, self._next, self._turn = min_interval_s, 0.0, threading.Lock()
        super().__init__(pool_maxsize=workers, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make pools whose connections keep the deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _TimedPool, "https": _TimedPoolTLS}

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Make pools of a proxy whose connections keep the deadline."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = {"http": _TimedPool, "https": _TimedPoolTLS}
        return manager

    def send(self, request: requests.PreparedRequest, *_: Any, **options: Any) -> requests.Response:
        """Answer a request with its whole body read; statuses that mean trouble are returned when the retries are used up."""
        patience, trial = self._patience, self._circuit.enter()
        options.update(stream=True, timeout=(patience.connect_s, patience.read_s))
        if on_loopback(request.url or ""):
            options[
                "proxies"
            ] = {}  # a proxy that the environment names cannot reach this machine's own addresses
        retrying = Retrying(
            retry=retry_if_exception(_may_heal)
            | retry_if_result(lambda response: failed(response.status_code)),
            stop=stop_after_attempt(1 if trial else patience.attempts)
            | stop_before_delay(patience.deadline_s)
            | _Asked(patience),
            wait=self._wait,
            sleep=self._sleep,
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        deadline = time.monotonic() + patience.deadline_s
        try:
            response = retrying(self._attempt, self._with_secrets(request), deadline, options)
        except _RETRIED:
            self._circuit.failed()
            raise
        if failed(response.status_code):
            asked = _retry_after(response) or 0.0
            self._circuit.failed(asked if asked > patience.longest_wait_s else 0.0)
        else:
            self._circuit.succeeded()
        # nothing above may see the URL and the headers that carried the keys
        response.request, response.url = request, request.url or ""
        return response

    def _attempt(
        self, request: requests.PreparedRequest, deadline: float, options: dict[str, Any]
    ) -> requests.Response:
        self._wait_turn()
        _deadline.at = deadline
        response = super().send(request, **options)
        chunks, size = [], 0
        for chunk in response.iter_content(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._patience.largest_bytes:
                response.close()
                raise AnswerTooLarge(f"more than {self._patience.largest_bytes >> 20} MB")
        response._content = b"".join(chunks)  # where requests itself keeps a body that was read
        return response

    def _wait_turn(self) -> None:
        if self._interval:
            with self._turn:
                wait = self._next - time.monotonic()
                self._next = max(self._next, time.monotonic()) + self._interval
            if wait > 0:
                self._sleep(wait)

    def _with_secrets(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        sent = request.copy()
        for name in ("Cache-Control", "X-ACTUAL-NO-CACHE"):  # what requests-cache says to itself
            sent.headers.pop(name, None)
        parts = urlsplit(sent.url or "")
        if str(parts.netloc) == self._host:
            # a redirect may have quoted the key already; what is asked for stays as it was written
            query = [
                pair
                for pair in str(parts.query).split("&")
                if pair and pair.partition("=")[0] not in self._query
            ]
            sent.url = urlunsplit(
                parts._replace(query="&".join([*query, *([urlencode(self._query)] if self._query else [])]))
            )
            sent.headers.update(self._headers)
        else:
            for name in [name for name in sent.headers if is_secret(name)]:
                del sent.headers[name]
        return sent

    def _wait(self, state: RetryCallState) -> float:
        patience = self._patience
        asked = _retry_after(state.outcome.result()) if state.outcome and not state.outcome.failed else None
        wait = (
            min(patience.first_wait_s * 2 ** (state.attempt_number - 1), patience.longest_wait_s)
            if asked is None
            else asked
        )
        return wait + random.uniform(0, patience.first_wait_s)  # noqa: S311 (so that many pollers do not come back together)


class _Asked(stop_base):
    """Stop where the provider asks for more time than anyone waits."""

    def __init__(self, patience: Patience):
        self._most_s = patience.longest_wait_s + patience.first_wait_s

    def __call__(self, retry_state: RetryCallState) -> bool:
        return retry_state.upcoming_sleep > self._most_s


def _may_heal(error: BaseException) -> bool:
    return isinstance(error, _RETRIED) and not isinstance(error, requests.exceptions.SSLError)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that the provider asks to wait: given as such, or as a date, which is read by the provider's own clock."""
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


# A timeout of a socket begins anew with each byte: a server that sends one a second would hold a call for
# days. The connections made here read under the deadline of the call that runs in their thread; urllib3 has
# no parameter that would carry it so far down.
_deadline = threading.local()


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket):
        self._raw, self._sock, self._patience = raw, sock, sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = getattr(_deadline, "at", float("inf")) - time.monotonic()
        if left <= 0:
            raise TimeoutError("the whole answer took too long")
        self._sock.settimeout(left if self._patience is None else min(left, self._patience))
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
