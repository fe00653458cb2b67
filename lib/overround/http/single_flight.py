"""One call for many that ask the same at once: among threads by a shared future, among processes by a lock on a file."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
_PAUSE_S = 0.02


class Flights(Generic[T]):
    """Calls that are under way in this process, by key."""

    def __init__(self) -> None:
        self._under_way: dict[str, Future[T]] = {}
        self._lock = threading.Lock()

    def share(self, key: str, work: Callable[[], T]) -> tuple[T, bool]:
        """Result of the work for a key, done by whoever comes first; whether another did it. Its error is everyone's."""
        with self._lock:
            flight = self._under_way.get(key)
            if leads := flight is None:
                flight = self._under_way[key] = Future()
        if not leads:
            return flight.result(), True
        try:
            flight.set_result(work())
        except BaseException as error:
            flight.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._under_way[key]
        return flight.result(), False


@contextmanager
def only_process(file: Path, wait_s: float) -> Iterator[None]:
    """Keep other processes out while inside, if they ask for the same file; after `wait_s` in vain go on all the same."""
    held = _lock(file, wait_s)
    try:
        yield
    finally:
        if held is not None:
            file.unlink(missing_ok=True)
            os.close(held)


def _lock(file: Path, wait_s: float) -> int | None:
    until = time.monotonic() + wait_s
    while True:
        try:
            held = os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except (
            OSError
        ):  # no folder, a read-only or full disk: nothing is cached there, so nothing is waited for
            return None
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(held).st_ino == file.stat().st_ino:
                return held
        except FileNotFoundError:
            pass  # whoever held it removed it just now
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(held)
                return None
            time.sleep(_PAUSE_S)
        except OSError:  # a network file system without locks
            os.close(held)
            return None
        os.close(held)
