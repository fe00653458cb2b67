"""The one way out to the network: cached, polite, observed and redacted."""

import logging
import os
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from requests_cache import DEFAULT_IGNORED_PARAMS, CachedSession, SQLiteCache
from urllib3.util.retry import Retry

from overround.errors import FetchError

FOREVER = -1
TIMEOUT_S = (5, 30)  # to connect, to wait for the next bytes
# names, in lower case and without - and _, under which providers take a key
_SECRET_NAMES = {
    "apikey",
    "key",
    "token",
    "accesstoken",
    "authtoken",
    "xapikey",
    "xauthtoken",
    "xrapidapikey",
    "xapplication",
    "authorization",
}
_PARAMETER = re.compile(r"""[?&]([\w.-]+)=[^&\s"']*""")
_IGNORED = [*DEFAULT_IGNORED_PARAMS, "apiKey", "key", "token", "X-RapidAPI-Key", "X-Application"]


@dataclass(frozen=True)
class Answer:
    """What a provider answered; `fetched_at` is when it did, also if the answer comes from the cache."""

    url: str  # redacted
    status: int
    content: bytes
    fetched_at: datetime
    from_cache: bool
    headers: Mapping[str, str]


class Fetcher:
    """A cached session with one provider.

    Parameters
    ----------
    provider : str
        Name in the `requests` table.
    base_url : str
        Where the provider's paths begin.
    cache_folder : Path
        Holds `http.sqlite`, readable by its owner only.
    identity : str, optional
        What stands for `base_url` in the cache's keys: a server whose address changes but whose answers do not.
    min_interval_s : float
        Least time between two calls that reach the network.
    secrets : mapping, optional
        Query parameters sent with every call and never kept.
    """

    def __init__(
        self, provider: str, base_url: str, cache_folder: Path, *,
        identity: str = "", min_interval_s: float = 0.0, secrets: Mapping[str, str] | None = None, workers: int = 4,
    ):  # fmt: skip
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self.workers = workers
        self.requests: list[dict[str, Any]] = []
        self._identity = identity or self.base_url
        self._secrets = dict(secrets or {})
        self._session = _session(cache_folder, min_interval_s, workers, self._cache_key)
        _redact_debug_logs()

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, ttl: float = FOREVER) -> Answer:
        """Fetch one path, from the cache while the cached answer is younger than `ttl` seconds.

        Raises
        ------
        FetchError
            No answer, or a status other than 200; the message names the URL without its secrets.
        """
        url = f"{self.base_url}/{path.lstrip('/')}"
        query = {**(params or {}), **self._secrets}
        started = time.perf_counter()
        try:
            response = self._session.get(url, params=query, expire_after=ttl, timeout=TIMEOUT_S, allow_redirects=True)
        except requests.RequestException as error:
            self._observe(redact(url, query), 0, False, started, 0, None)
            # the library's own message quotes the URL with its key
            raise FetchError(f"{self.provider}: no answer from {redact(url, query)} ({type(error).__name__}).") from None
        from_cache = bool(getattr(response, "from_cache", False))
        content = response.content
        self._observe(
            redact(url, query), response.status_code, from_cache, started, len(content), response.headers.get("x-requests-remaining")
        )
        if response.status_code != 200:
            begin = " ".join(content[:160].decode("utf-8", "replace").split())
            raise FetchError(f"{self.provider}: {redact(url, query)} answered {response.status_code}: {begin}", response.status_code)
        return Answer(redact(url, query), response.status_code, content, _answered_at(response), from_cache, dict(response.headers))

    def get_many(self, calls: Iterable[tuple[str, Mapping[str, Any]]], *, ttl: float = FOREVER) -> Iterable[Answer]:
        """Answers to many calls in their order, fetched by a pool of `workers` threads."""
        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(lambda call: self.get(call[0], call[1], ttl=ttl), calls)

    def close(self) -> None:
        """Close connections and the cache."""
        self._session.close()

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cache_key(self, request: Any, **_: Any) -> str:
        parts = urlsplit(request.url)
        path = parts.path.removeprefix(urlsplit(self.base_url).path)
        query = sorted((name, value) for name, value in parse_qsl(parts.query) if not is_secret(name))
        return blake2b(f"{self.provider} {self._identity} {path} {query}".encode(), digest_size=16).hexdigest()

    def _observe(self, endpoint: str, status: int, from_cache: bool, started: float, size: int, quota: str | None) -> None:
        self.requests.append({
            "provider": self.provider, "endpoint": endpoint, "status": status, "from_cache": from_cache,
            "latency_s": time.perf_counter() - started, "bytes": size,
            "quota_remaining": float(quota) if quota and quota.replace(".", "", 1).isdigit() else None, "at": datetime.now(UTC),
        })  # fmt: skip


def _answered_at(response: requests.Response) -> datetime:
    """When the provider answered: by its own clock (the header Date, kept in the cache), else by ours."""
    try:
        return parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        created = getattr(response, "created_at", None) or datetime.now(UTC)
        return created.replace(tzinfo=created.tzinfo or UTC)


def is_secret(name: str) -> bool:
    """Whether a query parameter or header of this name carries a key, by the names providers use."""
    return name.lower().replace("-", "").replace("_", "") in _SECRET_NAMES


def redact(url: str, params: Mapping[str, Any] | None = None) -> str:
    """Return the URL with its parameters, those that carry a secret left out."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in (*parse_qsl(parts.query), *(params or {}).items()) if not is_secret(name)]
    return urlunsplit(parts._replace(query=urlencode(query, safe=":,/")))


class _PoliteAdapter(HTTPAdapter):
    """Waits between calls; sits below the cache, so that hits are never delayed."""

    def __init__(self, min_interval_s: float, **kwargs: Any):
        super().__init__(**kwargs)
        self._interval, self._next, self._turn = min_interval_s, 0.0, Lock()

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        if self._interval:
            with self._turn:
                wait = self._next - time.monotonic()
                self._next = max(self._next, time.monotonic()) + self._interval
            if wait > 0:
                time.sleep(wait)
        return super().send(*args, **kwargs)


def _session(folder: Path, min_interval_s: float, workers: int, key_fn: Any) -> CachedSession:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "http.sqlite"
    if not file.exists():
        os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
    # JSON because the default, pickle, would run code from the file; WAL because without it a failed bulk commit loses answers silently
    backend = SQLiteCache(file, wal=True, busy_timeout=10_000, serializer="json")
    session = CachedSession(backend=backend, ignored_parameters=_IGNORED, key_fn=key_fn, allowable_methods=("GET",))
    retry = Retry(total=4, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False,
                  respect_retry_after_header=True, allowed_methods=("GET",))  # fmt: skip
    adapter = _PoliteAdapter(min_interval_s, max_retries=retry, pool_maxsize=workers)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.headers["User-Agent"] = "overround (research workbench)"
    return session


def _redact_debug_logs() -> None:
    for name in ("urllib3.connectionpool", "urllib3.util.retry", "requests_cache.session", "requests_cache.backends.base"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _RedactFilter) for one in logger.filters):
            logger.addFilter(_RedactFilter())


class _RedactFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _PARAMETER.sub(lambda found: "" if is_secret(found[1]) else found[0], record.getMessage()), ()
        return True
