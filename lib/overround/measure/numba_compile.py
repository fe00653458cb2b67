"""Where modules of kernels have `njit` from: what it takes to compile counts in the stage that had to wait for it, as `compile_s`."""

from typing import Any

from numba import njit as njit
from numba.core.event import Listener, register

from overround.stopwatch import timed


class _Compiling(Listener):
    """Told by numba when it compiles, not when it loads what it compiled before; it holds a lock meanwhile, so in one thread at a time."""

    def __init__(self) -> None:
        self._running: list[timed] = []  # a kernel that calls another compiles it inside

    def on_start(self, event: Any) -> None:
        self._running.append(timed("compile_s").__enter__())

    def on_end(self, event: Any) -> None:
        self._running.pop().__exit__()


register("numba:compile", _Compiling())
