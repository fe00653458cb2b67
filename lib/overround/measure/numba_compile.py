"""`njit` for all kernels: compiling counts as `compile_s` in the stage that waits for it."""

from typing import Any

from numba import njit as njit
from numba.core.event import Listener, register

from overround.stopwatch import timed


class _Compiling(Listener):
    """Times compilations, not loads from the cache; under numba's lock only one thread compiles at a time."""

    def __init__(self) -> None:
        self._running: list[timed] = []  # nested: a kernel that calls another compiles it

    def on_start(self, event: Any) -> None:
        self._running.append(timed("compile_s").__enter__())

    def on_end(self, event: Any) -> None:
        self._running.pop().__exit__()


register("numba:compile", _Compiling())

# for loops that hold no lock of Python's, so that threads run them side by side
compiled = njit(cache=True, nogil=True)
