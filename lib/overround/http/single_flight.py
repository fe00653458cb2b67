"""One call for simultaneous requests for the same: threads share a future, processes a file lock."""

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


class SingleFlight(Generic[T]):
    """Calls in progress in this process, by key."""

    def __init__(self) -> None:
        self._in_progress: dict[str, Future[T]] = {}
        self._lock = threading.Lock()

    def share(self, key: str, work: Callable[[], T]) -> tuple[T, bool]:
        """The result of the first caller's work for a key, and whether it was shared; all get its error."""
        with self._lock:
            flight = self._in_progress.get(key)
            if is_first := flight is None:
                flight = self._in_progress[key] = Future()
        if not is_first:
            return flight.result(), True
        try:
            flight.set_result(work())
        except BaseException as error:
            flight.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._in_progress[key]
        return flight.result(), False


@contextmanager
def only_process(file: Path, wait_s: float) -> Iterator[None]:
    """Exclude other processes that lock the same file; after `wait_s` in vain go on without the lock."""
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
        except OSError:  # no folder, a read-only or full disk: nothing is cached there, no lock is needed
            return None
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(held).st_ino == file.stat().st_ino:
                return held
        except FileNotFoundError:
            pass  # its holder has just removed it
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(held)
                return None
            time.sleep(_PAUSE_S)
        except OSError:  # a network file system without locks
            os.close(held)
            return None
        os.close(held)
