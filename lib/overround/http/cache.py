"""Where answers are kept: one SQLite file under requests-cache, which may break, fill up or be locked without ever holding up a call."""

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
from requests_cache.serializers import SerializerPipeline, Stage

T = TypeVar("T")
logger = logging.getLogger(__name__)

BUSY_S = 2.0  # longest wait for another process that holds the file
PAUSE_S = 30.0  # how long a cache that failed is left alone
KEPT_STALE_S = 24 * 3600.0  # an expired answer may still be confirmed by the provider, or stand in for it
_HOUR_S = 3600
# a secret; and what would make requests-cache look for another key, though one provider's calls differ in
# nothing but their URL
_LEFT_OUT = ("set-cookie", "vary")
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class AnswerCache(BaseCache):
    """Answers by key in one file, of mode 0600.

    To requests-cache every answer is expired: whether one is fresh enough is for the caller to say, who knows
    how old it may be now, not how old it was allowed to get when it was stored. So requests-cache asks the
    provider to confirm it where it can.
    """

    def __init__(self, file: Path):
        super().__init__(str(file))
        self.responses = _Rows(file)

    def save_response(
        self, response: requests.Response, cache_key: str | None = None, expires: datetime | None = None
    ) -> None:
        """Keep an answer, or one that was confirmed, as of now; neither the request nor cookies are kept."""
        kept = {name: text for name, text in response.headers.items() if name.lower() not in _LEFT_OUT}
        self.responses[cache_key or ""] = CachedResponse(
            content=response.content,
            status_code=response.status_code,
            reason=response.reason,
            headers=CaseInsensitiveDict(kept),
            created_at=datetime.now(UTC),
            expires=expires,
        )


class _Rows(BaseStorage[str, CachedResponse]):
    """The table. One connection, used by one thread at a time; after an error nothing is written, or not even read, for a while."""

    def __init__(self, file: Path):
        super().__init__(
            serializer=SerializerPipeline(
                [Stage(dumps=_dumps, loads=_loads)], name="overround", is_binary=True
            )
        )
        self._file, self._lock = file, threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._closed_until, self._read_only_until, self._warned, self._pruned = 0.0, 0.0, False, -1
        self._with(lambda _: None)  # what is wrong is said when the cache is opened

    def __getitem__(self, key: str) -> CachedResponse:
        row = self._with(
            lambda connection: connection.execute(
                "SELECT value FROM answers WHERE key = ?", (key,)
            ).fetchone()
        )
        answer = self.deserialize(key, row[0]) if row else None
        if answer is None:  # also a garbled row, which the next answer replaces
            raise KeyError(key)
        return answer

    def __setitem__(self, key: str, answer: CachedResponse) -> None:
        row = key, self.serialize(answer), answer.expires_unix
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
        return iter(
            [
                key
                for (key,) in self._with(
                    lambda connection: connection.execute("SELECT key FROM answers").fetchall()
                )
                or ()
            ]
        )

    def __len__(self) -> int:
        return (
            self._with(lambda connection: connection.execute("SELECT count(*) FROM answers").fetchone())
            or (0,)
        )[0]

    def close(self) -> None:
        with self._lock:
            if self._connection:
                with suppress(
                    sqlite3.Error
                ):  # a full disk, when the log is written back: it stays for the next one who opens
                    self._connection.close()
                self._connection = None

    def _with(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T | None:
        """Do something with the connection; None where the cache cannot be used, which is said once."""
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
                if (
                    not writes or not self._connection
                ):  # a full disk, or another process that writes, does not keep us from reading
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
        os.close(
            os.open(self._file, os.O_CREAT | os.O_RDONLY, 0o600)
        )  # SQLite gives its log and index the same mode
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
        """Remove what nobody will use, once an hour for all processes: the file's free number says when it was last done."""
        self._pruned = int(time.time() // _HOUR_S)
        if connection.execute("PRAGMA user_version").fetchone()[0] == self._pruned:
            return
        connection.execute("DELETE FROM answers WHERE expires < ?", (time.time() - KEPT_STALE_S,))
        connection.execute("PRAGMA incremental_vacuum").fetchall()
        connection.execute(f"PRAGMA user_version = {self._pruned}")
        for left in self._file.parent.glob("*.lock"):
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - _HOUR_S:
                    left.unlink()

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        """Move a broken file out of the way, unless another process has done so since."""
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
    """Make the table where there is none; return the file's free number."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # acts on a new file only
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
            # two processes that make the file together are refused at once, whatever the timeout
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


# A row is one line of JSON and then the body as it came: a fifth of what base64 in JSON costs to read, and no
# code runs from it.
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
    """Read a row; ValueError for one that was damaged, which SQLite itself does not notice."""
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
