"""Times of the parts of a stage, reported to the stage that is being measured; without one they cost 1 us.

A part nested in another counts only for itself, so that in one thread the parts never add up to more than
their stage.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ContextDecorator
from contextvars import ContextVar, copy_context
from typing import Any, Protocol


class Listener(Protocol):
    """Receives the measurements, e.g. a stage of `Meter`."""

    def count(self, **numbers: float) -> None:
        """Add to the costs."""


listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_enclosing: ContextVar["timed | None"] = ContextVar("enclosing", default=None)


class timed(ContextDecorator):
    """Adds the seconds of a block or function to the enclosing stage under a name."""

    def __init__(self, name: str):
        self._name = name

    def _recreate_cm(self) -> "timed":
        return timed(self._name)

    def __enter__(self) -> "timed":
        self._to = listener.get()
        if self._to is not None:
            self._outer, self._inside = _enclosing.get(), 0.0
            _enclosing.set(self)
            self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._to is not None:
            took = time.perf_counter() - self._began
            _enclosing.set(self._outer)
            if self._outer is not None:
                self._outer._inside += took
            self._to.count(**{self._name: max(0.0, took - self._inside)})


class WatchedPool(ThreadPoolExecutor):
    """A thread pool that reports its busy and its total time to the stage in which it was created."""

    def __init__(self, workers: int):
        super().__init__(workers)
        self._size, self._to, self._began = workers, listener.get(), time.perf_counter()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Submit a function; it runs in a copy of the caller's context."""
        if self._to is None:
            return super().submit(work, *args, **kwargs)
        return super().submit(copy_context().run, self._watched, work, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Shut down, and report the pool's total time."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if self._to is not None:
            self._to.count(worker_s=self._size * (time.perf_counter() - self._began))
            self._to = None

    def _watched(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        to, began, cpu = self._to, time.perf_counter(), time.thread_time()
        _enclosing.set(None)  # it runs beside the part that submitted it, not inside
        try:
            return work(*args, **kwargs)
        finally:
            if to is not None:
                to.count(busy_s=time.perf_counter() - began, helpers_cpu_s=time.thread_time() - cpu)
