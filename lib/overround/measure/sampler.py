"""Sampling profiler of a run's stages: a hundred times a second the main thread records its own call stack.

A profiler that hooks into every call slows down code with many small calls. The samples are stored as folded
stacks (one line `a;b;c microseconds` each), a format that other flame graph programs read. Why it is our own:
docs/decisions/0005-profiling.md.
"""

import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import CodeType, FrameType

import pandas as pd

from overround.measure import meter
from overround.settings import PACKAGE

SUFFIX = ".stacks"
_INTERVAL_S = 0.01
_CELL = "cell (notebook)"
_DEEPEST = 60

Stacks = dict[str, Counter]  # stage -> stack, outermost first -> microseconds


class Sampler:
    """Samples the main thread's stages from `start` to `stop` into `stacks`; `cpu_s` is its own CPU time.

    A timer's signal interrupts the main thread between two bytecodes, or as soon as a call into a compiled
    library returns; the time since the last sample is then attributed to that call. Other threads are not
    sampled: before Python 3.12 that can crash the process (python/cpython#99110 and #106883). Nothing is
    recorded where there is no such timer, outside the main thread, or where the signal already has a handler.
    """

    def __init__(self, interval_s: float = _INTERVAL_S):
        self.stacks: Stacks = {}
        self.cpu_s = 0.0
        self._interval_s, self._last, self._is_running = interval_s, 0.0, False

    def start(self) -> "Sampler":
        """Start sampling."""
        main = threading.current_thread() is threading.main_thread()
        if main and hasattr(signal, "setitimer") and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
            self._is_running, self._last = True, time.perf_counter()
            signal.signal(signal.SIGALRM, self._sample)
            # system calls of libraries that do not expect the signal are restarted
            signal.siginterrupt(signal.SIGALRM, False)
            signal.setitimer(signal.ITIMER_REAL, self._interval_s)
        return self

    def stop(self) -> Stacks:
        """Stop sampling; returns `stacks`."""
        if self._is_running:
            self._is_running = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
        return self.stacks

    def _sample(self, _: int, frame: FrameType | None) -> None:
        began, now = time.thread_time(), time.perf_counter()
        # while other threads hold the interpreter, the next signal may arrive inside this handler
        while frame is not None and frame.f_code is Sampler._sample.__code__:
            frame = frame.f_back
        if stage := meter.innermost():
            self.stacks.setdefault(stage.name, Counter())[_stack(frame)] += int(1e6 * (now - self._last))
        self._last = now
        self.cpu_s += time.thread_time() - began
        if self._is_running:  # one shot each: on a busy machine a repeating timer would sample this handler
            signal.setitimer(signal.ITIMER_REAL, self._interval_s)


def write(stacks: Stacks, file: Path) -> None:
    """Write stacks to a file, each below the name of its stage."""
    lines = [
        f"{stage};{stack} {spent}" for stage, seen in stacks.items() for stack, spent in sorted(seen.items())
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def read(file: Path) -> Stacks:
    """Read stacks; none if the file is missing. Lines that are not stacks are skipped."""
    stacks: Stacks = {}
    with suppress(OSError):
        for line in file.read_text(encoding="utf-8").splitlines():
            path, _, spent = line.rpartition(" ")
            stage, _, stack = path.partition(";")
            if stack and spent.isdecimal():
                stacks.setdefault(stage, Counter())[stack] += int(spent)
    return stacks


def call_table(stacks: Mapping[str, int]) -> pd.DataFrame:
    """Functions by their own time.

    Parameters
    ----------
    stacks : mapping
        Stacks of one stage, outermost call first, joined by semicolons -> microseconds.

    Returns
    -------
    DataFrame
        function, module, itself (its own share of the time), with_calls (share of the time in which it was on
        the stack), seconds (its own); the most expensive first.

    Examples
    --------
    >>> import overround as ov
    >>> stacks = {"cell (notebook);fit (model)": 700_000, "cell (notebook);read (store)": 300_000}
    >>> ov.measure.call_table(stacks)[["function", "itself"]].to_dict("records")
    [{'function': 'fit', 'itself': 0.7}, {'function': 'read', 'itself': 0.3}, {'function': 'cell', 'itself':
    0.0}]
    """
    itself: Counter = Counter()
    inside: Counter = Counter()
    for stack, spent in stacks.items():
        names = stack.split(";")
        itself[names[-1]] += spent
        inside.update(dict.fromkeys(names, spent))
    whole = max(1, sum(stacks.values()))
    rows = [
        {
            "function": name.partition(" ")[0],
            "module": name.partition(" ")[2].strip("()"),
            "itself": itself[name] / whole,
            "with_calls": spent / whole,
            "seconds": itself[name] / 1e6,
        }
        for name, spent in inside.items()
    ]
    table = pd.DataFrame(rows, columns=["function", "module", "itself", "with_calls", "seconds"])
    return table.sort_values(
        ["itself", "with_calls", "function"], ascending=[False, False, True], kind="stable", ignore_index=True
    )


_NAMES: dict[CodeType, str] = {}


def _stack(frame: FrameType | None) -> str:
    """Names of the calls, outermost first, starting at the notebook's cell if there is one."""
    names: list[str] = []
    while frame is not None and len(names) < _DEEPEST and names[-1:] != [_CELL]:
        names.append(_name(frame.f_code))
        frame = frame.f_back
    return ";".join(reversed(names))


def _name(code: CodeType) -> str:
    """`function (module)` without paths of this machine, and without the separators semicolon and space."""
    name = _NAMES.get(code)
    if name is None:
        cell = "ipykernel_" in code.co_filename or code.co_filename.startswith("<ipython-input")
        called = code.co_name.replace(";", ",").replace(" ", "_")
        name = _NAMES[code] = _CELL if cell else f"{called} ({_module(code.co_filename)})"
    return name


def _module(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(PACKAGE):
        parts: tuple[str, ...] = ("overround", *path.relative_to(PACKAGE).parts)
    elif "site-packages" in path.parts:
        parts = path.parts[len(path.parts) - path.parts[::-1].index("site-packages") :]
    else:  # the standard library, a script, or code without a file
        parts = (
            path.parts[-2:]
            if path.parent.name in ("json", "email", "http", "concurrent", "futures", "urllib")
            else (path.name,)
        )
    name = ".".join(parts).removesuffix(".py").removesuffix(".__init__").replace(" ", "_").replace(";", ",")
    return name.strip("<>").removeprefix("frozen_")
