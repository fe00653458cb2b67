"""Where a run's stages spend their time: call stacks, looked at so many times a second from a thread beside, which slows nobody down.

A profiler that is told of every call makes code of many small calls much slower than it is; this one only looks. What it has seen is
kept as folded stacks (`a;b;c microseconds`, a line each), which other programs for flame graphs read, too.
"""

import faulthandler
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

import pandas as pd

from overround import meter
from overround.settings import PACKAGE, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIX = ".stacks"
POOL = "threads of a pool"
_INTERVAL_S = 0.025  # a look takes up to a millisecond, in which nothing else goes on
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
        self._looks = _Looks()

    def start(self) -> "Sampler":
        """Begin."""
        self._idle = frozenset(self._looks())
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
                self._idle = frozenset(self._looks())
            last = now
        self.cpu_s = time.thread_time()

    def _look(self, stages: Mapping[int, "meter.Stage"], seconds: float) -> None:
        looks = self._looks()
        for thread, stage in stages.items():
            for other, calls in looks.items():
                # threads that came while only one thread was in a stage work for it
                helps = len(stages) == 1 and other not in self._idle and other != threading.get_ident()
                if calls and (other == thread or (helps and not calls[0][0].endswith(_IDLE))):
                    stack = _stack(calls)
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


_NAMES: dict[tuple[str, str], str] = {}
_STACKS: dict[tuple[tuple[str, str], ...], str] = {}
_THREAD = re.compile(r"(?:Thread|Current thread) 0x([0-9a-f]+)")
_CALL = re.compile(r'  File "(.*)", line .* in (.*)')


class _Looks:
    """What each thread is at: its calls as (file, function), newest first.

    Written down by `faulthandler`, which makes no object of a frame. Frames of other threads, as `sys._current_frames` gives them, crashed
    one run in five before Python 3.12 (python/cpython#99110 and #106883); so does the dump, but seldom: it has to be asked for.
    """

    def __init__(self) -> None:
        self._file = TemporaryFile()  # noqa: SIM115  open for as long as the sampler looks on

    def __call__(self) -> dict[int, tuple[tuple[str, str], ...]]:
        self._file.seek(0)
        self._file.truncate()
        faulthandler.dump_traceback(self._file)
        text = os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0).decode(errors="replace")
        found = {}
        for part in text.split("\n\n"):
            if thread := _THREAD.match(part):
                found[int(thread[1], 16)] = tuple(_CALL.findall(part)[:_DEEPEST])
        return found


def _stack(calls: tuple[tuple[str, str], ...]) -> str:
    """Names of the calls, outermost first, from the notebook's own cell on where there is one."""
    found = _STACKS.get(calls)
    if found is None:
        names = [_name(call) for call in calls]
        names = names[: names.index(_CELL) + 1] if _CELL in names else names
        found = _STACKS[calls] = ";".join(reversed(names))
    return found


def _name(call: tuple[str, str]) -> str:
    """`function (module)`, with no path of this machine; semicolons and blanks in names would end them."""
    name = _NAMES.get(call)
    if name is None:
        file, function = call
        cell = "ipykernel_" in file or file.startswith("<ipython-input")
        called = function.replace(";", ",").replace(" ", "_")
        name = _NAMES[call] = _CELL if cell else f"{called} ({_module(file)})"
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
