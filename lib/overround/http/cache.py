"""The cache of answers: one SQLite file under requests-cache.

A broken, full or locked file never stops a call: it is made without the cache.
"""

import json
import logging
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import requests
from requests.structures import CaseInsensitiveDict
from requests_cache import BaseCache, BaseStorage, CachedResponse

T = TypeVar("T")
logger = logging.getLogger(__name__)

BUSY_S = 2.0  # longest wait for another process that holds the file
PAUSE_S = 30.0  # how long the file is left alone after an error
MAX_STALE_S = 24 * 3600.0  # expired answers are kept: the provider may confirm them, or they stand in for it
_HOUR_S = 3600
# a secret; and a header that would make requests-cache use another key, though calls to one provider differ
# only in their URL
_LEFT_OUT = ("set-cookie", "vary")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class AnswerCache(BaseCache):
    """Answers by key in one file, of mode 0600.

    Requests-cache sees every answer as expired, so that it asks the provider for confirmation where it can:
    how old an answer may be is decided by the caller when it is read, not when it is stored.
    """

    def __init__(self, file: Path):
        super().__init__(str(file))
        self.responses = _Rows(file)

    def save_response(
        self, response: requests.Response, cache_key: str | None = None, expires: datetime | None = None
    ) -> None:
        """Store a new or confirmed answer with the time of now, without its request and cookies."""
        headers = {name: text for name, text in response.headers.items() if name.lower() not in _LEFT_OUT}
        self.responses[cache_key or ""] = CachedResponse(
            content=response.content,
            status_code=response.status_code,
            reason=response.reason,
            headers=CaseInsensitiveDict(headers),
            created_at=datetime.now(UTC),
            expires=expires,
        )


class _Rows(BaseStorage[str, CachedResponse]):
    """The table, over one connection shared by threads; after an error it is left alone for a while."""

    def __init__(self, file: Path):
        super().__init__(serializer=None)
        self._file, self._lock = file, threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed_until, self._read_only_until, self._warned, self._pruned = 0.0, 0.0, False, -1
        self._with(lambda _: None)  # opens the file, so that a problem is logged at once

    def __getitem__(self, key: str) -> CachedResponse:
        for (row,) in self._select("SELECT value FROM answers WHERE key = ?", key):
            with suppress(ValueError):  # a garbled row, which the next answer replaces
                return _loads(row)
        raise KeyError(key)

    def __setitem__(self, key: str, answer: CachedResponse) -> None:
        row = key, _dumps(answer), answer.expires_unix
        self._with(
            lambda connection: connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", row),
            writes=True,
        )
        if self._pruned != int(time.time() // _HOUR_S):
            self._with(self._prune, writes=True)

    def __delitem__(self, key: str) -> None:
        self._with(
            lambda connection: connection.execute("DELETE FROM answers WHERE key = ?", (key,)), writes=True
        )

    def __iter__(self) -> Iterator[str]:
        return (key for (key,) in self._select("SELECT key FROM answers"))

    def __len__(self) -> int:
        return sum(number for (number,) in self._select("SELECT count(*) FROM answers"))

    def close(self) -> None:
        with self._lock:
            if self._connection:
                # a full disk, when the log is written back: the log stays for the next connection
                with suppress(sqlite3.Error):
                    self._connection.close()
                self._connection = None

    def _select(self, sql: str, *parameters: str) -> list[tuple]:
        return self._with(lambda connection: connection.execute(sql, parameters).fetchall()) or []

    def _with(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T | None:
        """Use the connection; None where the cache cannot be used, which is logged once as a warning."""
        with self._lock:
            if time.monotonic() < (self._read_only_until if writes else self._closed_until):
                return None
            try:
                try:
                    result = work(self._open())
                except sqlite3.DatabaseError as error:
                    if not _is_corrupt(error):
                        raise
                    self._set_aside(error)
                    result = work(self._open())
                return result
            except (sqlite3.Error, OSError) as error:
                self._read_only_until = time.monotonic() + PAUSE_S
                # a full disk, or another process that writes, does not prevent reading
                if not writes or not self._connection:
                    self.close()
                    self._closed_until = self._read_only_until
                logger.log(
                    logging.DEBUG if self._warned else logging.WARNING,
                    "The cache %s cannot be used (%s): answers are fetched anew until it can.",
                    self._file,
                    error,
                )
                self._warned = True
                return None

    def _open(self) -> sqlite3.Connection:
        if self._connection:
            return self._connection
        self._file.parent.mkdir(parents=True, exist_ok=True)
        # SQLite gives its log and index the same mode
        os.close(os.open(self._file, os.O_CREAT | os.O_RDONLY, 0o600))
        if self._file.stat().st_mode & 0o077:
            self._file.chmod(0o600)
        connection = sqlite3.connect(
            self._file, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        try:
            version = _prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        if version != int(time.time() // _HOUR_S):
            self._prune(connection)
        return connection

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Remove outdated answers, once an hour for all processes: `user_version` is the last hour."""
        self._pruned = int(time.time() // _HOUR_S)
        if connection.execute("PRAGMA user_version").fetchone()[0] == self._pruned:
            return
        connection.execute("DELETE FROM answers WHERE expires < ?", (time.time() - MAX_STALE_S,))
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.execute(f"PRAGMA user_version = {self._pruned}")
        for lock in self._file.parent.glob("*.lock"):
            with suppress(FileNotFoundError):
                if lock.stat().st_mtime < time.time() - _HOUR_S:
                    lock.unlink()

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Move a broken file out of the way, unless another process has already done so."""
        self.close()
        with suppress(sqlite3.Error), closing(sqlite3.connect(self._file, timeout=BUSY_S)) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",):
                return
        aside = self._file.with_suffix(".corrupt")
        self._file.replace(aside)
        for suffix in ("-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        logger.warning(
            "The cache %s is broken (%s): it was moved to %s, and a new one is begun.",
            self._file,
            error,
            aside.name,
        )


def _prepare(connection: sqlite3.Connection) -> int:
    """Create the table if it is missing; return the file's `user_version`."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only has an effect on a new file
            # readers and a writer do not wait for each other
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA journal_size_limit = 16777216")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value BLOB, expires REAL)"
            )
            connection.execute("CREATE INDEX IF NOT EXISTS answers_by_expiry ON answers (expires)")
            return connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.OperationalError as error:
            # of two processes that create the file together one fails at once, whatever the timeout
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


# A row is one line of JSON, then the body as received: reading it costs a fifth of base64 in JSON, and unlike
# a pickle it cannot run code.
def _dumps(answer: CachedResponse) -> bytes:
    body = answer.content or b""
    line: dict[str, Any] = {
        "status": answer.status_code,
        "reason": answer.reason,
        "at": answer.created_at.timestamp(),
        "headers": dict(answer.headers),
        "crc": zlib.crc32(body),
    }
    return json.dumps(line).encode() + b"\n" + body


def _loads(row: bytes) -> CachedResponse:
    """Read a row; ValueError for a damaged one, which SQLite itself does not detect."""
    begin, _, body = row.partition(b"\n")
    try:
        line = json.loads(begin)
        whole = zlib.crc32(body) == line["crc"]
        answer = CachedResponse(
            content=body,
            status_code=line["status"],
            reason=line["reason"],
            headers=CaseInsensitiveDict(line["headers"]),
            created_at=datetime.fromtimestamp(line["at"], UTC),
            expires=_LONG_AGO,
        )
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not an answer: {error!r}") from None
    if not whole:
        raise ValueError("its checksum differs")
    return answer
