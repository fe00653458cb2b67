"""Where a run's stages spend their time: call stacks, looked at so many times a second from a thread beside, which slows nobody down.

A profiler that is told of every call makes code of many small calls much slower than it is; this one only looks. What it has seen is
kept as folded stacks (`a;b;c microseconds`, a line each), which other programs for flame graphs read, too.
"""

import gc
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING

import pandas as pd

from overround import meter
from overround.settings import PACKAGE, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".stacks"
POOL = "threads of a pool"
_INTERVAL_S = 0.01
_LONGEST_S = 0.5  # for which one look may stand: the machine was asleep
_CELL = "cell (notebook)"
_DEEPEST = 60
# a thread whose newest call is one of these has nothing to do
_IDLE = ("concurrent/futures/thread.py", "multiprocessing/pool.py")

Stacks = dict[str, Counter]  # stage -> stack, outermost first -> microseconds


class Sampler:
    """Looks at the stages that run, from `start` to `stop`; `stacks` is what it has seen, `cpu_s` what looking took."""

    def __init__(self, interval_s: float = _INTERVAL_S):
        self.stacks: Stacks = {}
        self.cpu_s = 0.0
        self._interval_s, self._end = interval_s, threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="overround-sampler", daemon=True)
        self._idle: frozenset[int] = frozenset()  # threads that were there when no stage ran

    def start(self) -> "Sampler":
        """Begin."""
        self._idle = frozenset(_frames())
        self._thread.start()
        return self

    def stop(self) -> Stacks:
        """End; what was seen."""
        self._end.set()
        self._thread.join()
        return self.stacks

    def _look_on(self) -> None:
        last = time.perf_counter()
        while not self._end.wait(self._interval_s):
            now = time.perf_counter()
            if stages := meter.running():
                self._look(stages, min(now - last, _LONGEST_S))
            else:
                self._idle = frozenset(_frames())
            last = now
        self.cpu_s = time.thread_time()

    def _look(self, stages: Mapping[int, "meter.Stage"], seconds: float) -> None:
        frames = _frames()
        for thread, stage in stages.items():
            for other, frame in frames.items():
                # threads that came while only one thread was in a stage work for it
                helps = len(stages) == 1 and other not in self._idle and other != threading.get_ident()
                if other == thread or (helps and not frame.f_code.co_filename.endswith(_IDLE)):
                    stack = _stack(frame)
                    self.stacks.setdefault(stage.name, Counter())[stack if other == thread else f"{POOL};{stack}"] += int(1e6 * seconds)


@contextmanager
def sampled(interval_s: float = _INTERVAL_S) -> "Iterator[Sampler]":
    """A sampler for as long as the block lasts."""
    sampler = Sampler(interval_s).start()
    try:
        yield sampler
    finally:
        sampler.stop()


def write(stacks: Stacks, file: Path) -> None:
    """Keep stacks, those of a stage below its name."""
    lines = [f"{stage};{stack} {spent}" for stage, seen in stacks.items() for stack, spent in sorted(seen.items())]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def read(file: Path) -> Stacks:
    """Stacks that were kept; none where the file is not there. Lines that are no stack are left out."""
    stacks: Stacks = {}
    with suppress(OSError):
        for line in file.read_text(encoding="utf-8").splitlines():
            path, _, spent = line.rpartition(" ")
            stage, _, stack = path.partition(";")
            if stack and spent.isdecimal():
                stacks.setdefault(stage, Counter())[stack] += int(spent)
    return stacks


def of_run(run_id: str, settings: Settings) -> Path:
    """The file of a run's stacks: beside its page."""
    pipeline, _, label = run_id.partition(".")
    return settings.reports_folder / "runs" / pipeline / f"{label}{SUFFIX}"


def of_stage(stage: str, pipeline: str, settings: Settings) -> Counter:
    """Stacks of a stage as `history.stage_costs` names it (`<label>: <stage>`); empty where none were kept."""
    label, _, name = stage.partition(": ")
    return read(of_run(f"{pipeline}.{label}", settings)).get(name, Counter())


def call_table(stacks: Mapping[str, int]) -> pd.DataFrame:
    """Functions by the time that they took themselves.

    Parameters
    ----------
    stacks : mapping
        Stack, outermost first, joined by semicolons -> microseconds; of one stage.

    Returns
    -------
    DataFrame
        function, module, itself (share of the whole), with_calls (share of it in which the function was on the stack), seconds (of
        itself); the dearest first.
    """
    itself: Counter = Counter()
    inside: Counter = Counter()
    for stack, spent in stacks.items():
        names = [name for name in stack.split(";") if name != POOL]
        if names:
            itself[names[-1]] += spent
        inside.update(dict.fromkeys(names, spent))
    whole = max(1, sum(stacks.values()))
    rows = [
        {"function": name.partition(" ")[0], "module": name.partition(" ")[2].strip("()"), "itself": itself[name] / whole,
         "with_calls": spent / whole, "seconds": itself[name] / 1e6}
        for name, spent in inside.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["function", "module", "itself", "with_calls", "seconds"])
    return table.sort_values(["itself", "with_calls", "function"], ascending=[False, False, True], kind="stable", ignore_index=True)


_NAMES: dict[CodeType, str] = {}
_STACKS: dict[tuple[CodeType, ...], str] = {}


def _frames() -> dict[int, FrameType]:
    """What each thread is at."""
    # before Python 3.12 a garbage collection inside this call waits for ever for a lock that the call itself holds: python/cpython#106883
    collects = gc.isenabled()
    gc.disable()
    try:
        return sys._current_frames()
    finally:
        if collects:
            gc.enable()


def _stack(frame: FrameType | None) -> str:
    """Names of the calls, outermost first, from the notebook's own cell on where there is one."""
    codes: list[CodeType] = []
    while frame is not None and len(codes) < _DEEPEST:
        code = frame.f_code
        codes.append(code)
        if _NAMES.get(code) == _CELL:
            break
        frame = frame.f_back
    key = tuple(codes)
    found = _STACKS.get(key)
    if found is None:
        names = [_name(code) for code in codes]
        # a cell that is seen for the first time
        names = names[: names.index(_CELL) + 1] if _CELL in names else names
        found = _STACKS[key] = ";".join(reversed(names))
    return found


def _name(code: CodeType) -> str:
    """`function (module)`, with no path of this machine; semicolons and blanks in names would end them."""
    name = _NAMES.get(code)
    if name is None:
        cell = "ipykernel_" in code.co_filename or code.co_filename.startswith("<ipython-input")
        called = code.co_qualname.replace(";", ",").replace(" ", "_")
        name = _NAMES[code] = _CELL if cell else f"{called} ({_module(code.co_filename)})"
    return name


def _module(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(PACKAGE):
        parts: tuple[str, ...] = ("overround", *path.relative_to(PACKAGE).parts)
    elif "site-packages" in path.parts:
        parts = path.parts[len(path.parts) - path.parts[::-1].index("site-packages") :]
    else:  # the standard library, a script, or code without a file
        parts = path.parts[-2:] if path.parent.name in ("json", "email", "http", "concurrent", "futures", "urllib") else (path.name,)
    name = ".".join(parts).removesuffix(".py").removesuffix(".__init__").replace(" ", "_").replace(";", ",")
    return name.strip("<>").removeprefix("frozen_")
