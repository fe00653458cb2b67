"""Time that parts of a stage take, told to whoever measures the stage: a part need not know who listens, and if nobody does costs 1 us.

A part inside another counts for itself alone, so the parts of a stage never add up to more than it took in
one thread.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ContextDecorator
from contextvars import ContextVar, copy_context
from typing import Any, Protocol


class Listener(Protocol):
    """Whoever measures a stage."""

    def count(self, **numbers: float) -> None:
        """Add to what the stage has cost."""


listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_around: ContextVar["timed | None"] = ContextVar("around", default=None)


class timed(ContextDecorator):
    """Seconds of a piece of work, added to the stage around it under this name; as context manager or decorator."""

    def __init__(self, name: str):
        self._name = name

    def _recreate_cm(self) -> "timed":
        return timed(self._name)

    def __enter__(self) -> "timed":
        self._to = listener.get()
        if self._to is not None:
            self._outer, self._inside = _around.get(), 0.0
            _around.set(self)
            self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._to is not None:
            took = time.perf_counter() - self._began
            _around.set(self._outer)
            if self._outer is not None:
                self._outer._inside += took
            self._to.count(**{self._name: max(0.0, took - self._inside)})


class WatchedPool(ThreadPoolExecutor):
    """A pool of threads whose work counts in the stage in which the pool was made: how long it worked, of how long it could have."""

    def __init__(self, workers: int):
        super().__init__(workers)
        self._size, self._to, self._began = workers, listener.get(), time.perf_counter()

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand over work; it is done in the context of whoever hands it over."""
        if self._to is None:
            return super().submit(work, *args, **kwargs)
        return super().submit(copy_context().run, self._watched, work, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the pool."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if self._to is not None:
            self._to.count(worker_s=self._size * (time.perf_counter() - self._began))
            self._to = None

    def _watched(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        to, began, cpu = self._to, time.perf_counter(), time.thread_time()
        _around.set(None)  # it works beside the part that handed it over, not inside
        try:
            return work(*args, **kwargs)
        finally:
            if to is not None:
                to.count(busy_s=time.perf_counter() - began, helpers_cpu_s=time.thread_time() - cpu)
