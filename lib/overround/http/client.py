"""The only way to the network: cached, polite, logged without keys."""

import logging
import math
import time
from base64 import b64encode
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import requests
from requests_cache import CachedResponse, CachedSession

from overround.errors import FetchError
from overround.formatting import printable
from overround.http.adapter import AnswerTooLarge, CircuitBreaker, PoliteAdapter, RetryPolicy, failed
from overround.http.cache import MAX_STALE_S, AnswerCache
from overround.http.dates import read_date
from overround.http.decoding import ENCODINGS
from overround.http.failures import why_no_answer
from overround.http.redaction import is_secret, redact, redact_debug_logs
from overround.http.single_flight import SingleFlight, only_process
from overround.stopwatch import WatchedPool

FOREVER = -1
OTHER_PROCESS_S = 15.0  # longest wait for another process that is making the same call
_CLOCK_SLACK_S = 5.0  # by how much the clock may have been set back since an answer was stored
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """A provider's answer; `fetched_at` is when the provider gave it, even if it comes from the cache.

    That is the header Date, unless it is before the call or after the answer's arrival: see `http.dates`.

    `is_stale` marks an answer from the cache, older than requested, that stands in for a failing provider.
    """

    url: str  # redacted
    status: int
    content: bytes
    fetched_at: datetime
    from_cache: bool
    headers: Mapping[str, str]
    is_stale: bool = False
    key: str = ""  # under which it is cached


class Fetcher:
    """A cached session with one provider, to be shared by threads.

    Parameters
    ----------
    provider : str
        Name in the `requests` table.
    base_url : str
        Prefix of all paths.
    cache_folder : Path
        Holds `http.sqlite`, readable by its owner only. If it cannot be used, calls are made without it,
        after one warning.
    identity : str, optional
        Replaces `base_url` in the cache's keys, for a server whose address changes but whose answers do not.
    min_interval_s : float
        Minimum time between two calls that reach the network.
    secrets, secret_headers : mapping, optional
        Query parameters and headers sent with every call to the provider's own host, and stored nowhere.
    workers : int
        Threads of `get_many`, and connections kept open.
    policy : RetryPolicy
        Retries, time limits, the largest answer, and when a failing provider is left alone.

    Attributes
    ----------
    requests : list of dict
        One row per call, as in the table `requests`. An answer that the provider confirmed (304) is
        `from_cache` and has 0 bytes. Use `drain` where calls go on for days.
    quota : float or None
        Credits left, from the latest answer that stated them.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        cache_folder: Path,
        *,
        identity: str = "",
        min_interval_s: float = 0.0,
        secrets: Mapping[str, str] | None = None,
        secret_headers: Mapping[str, str] | None = None,
        workers: int = 4,
        policy: RetryPolicy | None = None,
    ):
        self.provider = provider
        try:
            self.base_url, user, password = _without_user(base_url.rstrip("/"))
        except ValueError as error:
            raise FetchError(f"{provider}: its address cannot be used ({error}).") from None
        self.workers = workers
        self.requests: list[dict[str, Any]] = []
        self.quota: float | None = None
        self._identity = identity or self.base_url
        query, headers = dict(secrets or {}), {**user, **(secret_headers or {})}
        self._secret_values = [
            value for value in (*query.values(), *headers.values(), password) if len(value) > 3
        ]
        self._folder = Path(cache_folder)
        self._in_progress: SingleFlight[Answer] = SingleFlight()
        self._lock, self._warned_stale = Lock(), False
        policy = policy or RetryPolicy()
        self._cache = AnswerCache(self._folder / "http.sqlite")
        adapter = PoliteAdapter(
            self.base_url,
            min_interval_s,
            query,
            headers,
            policy,
            CircuitBreaker(provider, policy.failures, policy.rest_s),
            workers=workers,
        )
        self._session = _session(
            self.base_url, self._cache, adapter, lambda request, **_: self._key(request.url)
        )
        redact_debug_logs()

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        ttl: float = FOREVER,
        stale_if_error: bool = True,
    ) -> Answer:
        """Fetch one path, from the cache while the cached answer is younger than `ttl` seconds.

        An older answer is revalidated if it came with an ETag or a date, and fetched again otherwise. Threads
        and processes that need the same answer at the same time share one call.

        Parameters
        ----------
        path : str
            Relative to `base_url`.
        params : mapping, optional
            Query parameters.
        ttl : float
            Seconds; 0 always asks the provider.
        stale_if_error : bool
            If the provider fails (no answer, 429, 5xx, or resting after failures), return its previous
            answer, up to a day too old, marked `is_stale` and with its own `fetched_at`, so that rows with
            that time are those already stored. Not for other errors: the user must learn of a refused key or
            quota (401).

        Raises
        ------
        FetchError
            No answer, or a status other than 200; the message names the URL without its secrets.
        """
        started = time.perf_counter()
        url = self._url(path, params)
        key = self._key(url)
        cached = self._fresh(key, ttl)
        if cached:
            return self._hit(url, key, cached, started)
        failure: tuple[str, int] | None = None
        try:
            answer, shared = self._in_progress.share(
                f"{key} {stale_if_error}", partial(self._fetch, url, key, ttl, stale_if_error, started)
            )
        except FetchError as error:
            failure = str(error), error.status
        if failure:  # a fresh error: the one from below knows the URL with its key, and is shared by threads
            raise FetchError(*failure)
        if shared:
            answer = replace(answer, from_cache=True)
            if not answer.is_stale:
                self._observe(answer.url, answer.status, True, started, len(answer.content), None)
        return answer

    def get_many(
        self,
        calls: Iterable[tuple[str, Mapping[str, Any]]],
        *,
        ttl: float = FOREVER,
        stale_if_error: bool = True,
    ) -> Iterable[Answer]:
        """Answers to many calls in order, fetched by `workers` threads slightly ahead of the reader."""
        pool = WatchedPool(self.workers)
        submitted = (
            pool.submit(self.get, path, params, ttl=ttl, stale_if_error=stale_if_error)
            for path, params in calls
        )
        try:
            # twice the workers: a slow call leaves the others something to do, and only few answers are held
            # in memory
            ahead = deque(islice(submitted, 2 * self.workers))
            while ahead:
                answer = ahead.popleft().result()
                ahead.extend(islice(submitted, 1))
                yield answer
        finally:
            pool.shutdown(cancel_futures=True)

    def holds(self, path: str, params: Mapping[str, Any] | None = None) -> bool:
        """Whether the cache has an answer to this call, however old."""
        return self._cache.get_response(self._key(self._url(path, params))) is not None

    def forget(self, answer: Answer) -> None:
        """Drop an answer that must not be kept, so that the next call asks the provider again."""
        self.forget_key(answer.key)

    def forget_key(self, key: str) -> None:
        """Drop the answer that is cached under a key."""
        with suppress(KeyError):
            del self._cache.responses[key]

    def drain(self) -> list[dict[str, Any]]:
        """Return the rows of `requests` so far, and empty the list."""
        with self._lock:
            rows, self.requests = self.requests, []
        return rows

    def close(self) -> None:
        """Close connections and the cache."""
        self._session.close()

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _url(self, path: str, params: Mapping[str, Any] | None) -> str:
        prepared = requests.PreparedRequest()
        with suppress(requests.RequestException):  # its message quotes the parameters
            prepared.prepare_url(f"{self.base_url}/{path.lstrip('/')}", dict(params or {}))
        if not prepared.url:
            raise FetchError(
                f"{self.provider}: {redact(self.base_url)}/{self._scrub(path)} "
                "is no address that can be asked for."
            )
        return prepared.url

    def _fetch(self, url: str, key: str, ttl: float, stale_if_error: bool, started: float) -> Answer:
        with only_process(self._folder / f"{key}.lock", OTHER_PROCESS_S):
            cached = self._fresh(key, ttl)
            if cached:  # fetched by another process in the meantime
                return self._hit(url, key, cached, started)
            try:
                # stored in any case, even with a ttl of 0: it may be confirmed, or stand in, later
                expires = FOREVER if ttl == FOREVER else max(1, math.ceil(ttl))
                response = self._session.get(url, expire_after=expires)
            except (OSError, ValueError) as error:  # a RequestException is an OSError
                self._observe(redact(url), 0, False, started, 0, None)
                took_s = time.perf_counter() - started
                reason = why_no_answer(error, url, self._session.verify, took_s)
                may_be_stale = stale_if_error and not isinstance(error, AnswerTooLarge)
                return self._instead(url, key, ttl, reason, 0, may_be_stale)
        status, confirmed = response.status_code, bool(getattr(response, "revalidated", False))
        body, headers = response.content, dict(response.headers)
        quota = credits_left(headers)
        self.quota = self.quota if quota is None else quota
        self._observe(redact(url), status, confirmed, started, 0 if confirmed else len(body), quota)
        if status == 200:
            self._warned_stale = False
            return Answer(redact(url), status, body, _answered_at(response), confirmed, headers, key=key)
        said = " ".join(body[:160].decode("utf-8", "replace").split())
        reason = f"{redact(url)} answered {status}: {said}"
        return self._instead(url, key, ttl, reason, status, stale_if_error and failed(status))

    def _instead(
        self, url: str, key: str, ttl: float, reason: str, status: int, may_be_stale: bool
    ) -> Answer:
        """The previous answer in place of one that failed; FetchError where there is none."""
        cached = self._cache.get_response(key) if may_be_stale else None
        if cached is None or _age_s(cached) >= ttl + MAX_STALE_S:
            raise FetchError(f"{self.provider}: {self._scrub(reason)}", status)
        logger.log(
            logging.DEBUG if self._warned_stale else logging.WARNING,
            "%s: %s; what it said at %s stands in until it answers again.",
            self.provider,
            self._scrub(reason).rstrip("."),
            f"{_answered_at(cached):%Y-%m-%d %H:%M:%S} UTC",
        )
        self._warned_stale = True
        return replace(_from_cache(url, key, cached), is_stale=True)

    def _fresh(self, key: str, ttl: float) -> CachedResponse | None:
        cached = self._cache.get_response(key)
        if cached is None or ttl == FOREVER:
            return cached
        # an answer from the future: the clock was set back, and the answer's age is unknown
        return cached if -_CLOCK_SLACK_S <= _age_s(cached) < ttl else None

    def _hit(self, url: str, key: str, cached: CachedResponse, started: float) -> Answer:
        size = len(cached.content or b"")
        self._observe(redact(url), cached.status_code, True, started, size, None)
        return _from_cache(url, key, cached)

    def _scrub(self, text: str) -> str:
        for value in self._secret_values:  # a provider may repeat the key in its message
            text = text.replace(value, "***")
        return printable(text)

    def _key(self, url: str | None) -> str:
        parts = urlsplit(url or "")
        path = parts.path.removeprefix(urlsplit(self.base_url).path)
        query = sorted(
            (name, value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
            if not is_secret(name)
        )
        return blake2b(
            f"{self.provider} {self._identity} {path} {query}".encode(), digest_size=16
        ).hexdigest()

    def _observe(
        self, endpoint: str, status: int, from_cache: bool, started: float, size: int, quota: float | None
    ) -> None:
        row = {
            "provider": self.provider,
            "endpoint": endpoint,
            "status": status,
            "from_cache": from_cache,
            "latency_s": time.perf_counter() - started,
            "bytes": size,
            "quota_remaining": quota,
            "at": datetime.now(UTC),
        }
        with self._lock:
            self.requests.append(row)


def _session(base_url: str, cache: AnswerCache, adapter: PoliteAdapter, key_fn: Any) -> CachedSession:
    # requests-cache's own stale_if_error would turn a 401 into a 200, so it stays off; redirects use the same
    # key
    session = CachedSession(backend=cache, key_fn=key_fn, allowable_methods=("GET",), stale_if_error=False)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers["User-Agent"] = "overround (research workbench)"
    session.headers["Accept-Encoding"] = ENCODINGS
    # proxies and certificates from the environment, read once: requests reads them at every call, which costs
    # more than the call itself
    named = session.merge_environment_settings(base_url, {}, None, None, None)
    session.proxies.update(named["proxies"])
    session.verify, session.cert, session.trust_env = named["verify"], named["cert"], False
    return session


def _without_user(url: str) -> tuple[str, dict[str, str], str]:
    """Split off user name and password: the URL without them, the header that sends them, the password."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    user = unquote(user)
    basic = {"Authorization": f"Basic {b64encode(user.encode()).decode()}"} if user else {}
    return urlunsplit(parts._replace(netloc=host)), basic, user.partition(":")[2]


def _from_cache(url: str, key: str, cached: CachedResponse) -> Answer:
    content, headers = cached.content or b"", dict(cached.headers)
    return Answer(redact(url), cached.status_code, content, _answered_at(cached), True, headers, key=key)


def _age_s(cached: CachedResponse) -> float:
    return (datetime.now(UTC) - cached.created_at).total_seconds()


def _answered_at(response: requests.Response) -> datetime:
    """When the provider answered: by its own clock (header Date, also in the cache), else by ours."""
    at = read_date(response.headers.get("Date"))
    if at is not None and at.year > 2000:  # older: a machine that was never told the time
        return at
    created = getattr(response, "created_at", None) or datetime.now(UTC)
    return created.replace(tzinfo=created.tzinfo or UTC)


def credits_left(headers: Mapping[str, str]) -> float | None:
    """Credits left according to the header x-requests-remaining; None if it is missing or unreadable.

    A plan that was reduced, or a call that cost more than was left, makes it negative: none are left.
    """
    text = next((text for name, text in headers.items() if name.lower() == "x-requests-remaining"), "")
    try:
        number = float(text)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
