"""One sample of a workload, in a fresh process as a program or in this one; needs only the standard library.

So any revision of the project can be measured: `PYTHONPATH` says whose library the workload imports.
"""

import importlib.util
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

_STEPS = 150_000  # about 10 ms


def calibrate() -> tuple[float, float]:
    """Seconds of a fixed loop, with and without the queue for a processor: how slow the machine is now."""
    return _clocked(_loop)


def take(
    run: Callable[[], object], floor: Callable[[], object] | None = None, *, repeats: int = 1
) -> dict[str, float]:
    """Run it a number of times, each beside the calibration loop; medians of the figures, the highest peak.

    Returns
    -------
    dict
        wall_s, own_s (wall time less this thread's queue for a processor, i.e. without other programs), cpu_s
        (of the process), io_wait_s, peak_mb, bytes read and written, calibration_s and calibration_own_s (of
        the loop); floor_s where there is one: the own time of the least work that could give the same.
    """
    taken: dict[str, list[float]] = {}
    for _ in range(repeats):
        before = calibrate()
        figures: dict[str, float] = {}
        _procfs.reset_peak()
        first = _procfs.begin()
        extra = run()
        last = _procfs.end()
        figures |= _procfs.between(first, last, thread_only=False)
        figures["own_s"] = figures["wall_s"] - _procfs.queued_s(first, last)
        figures["peak_mb"] = _procfs.peak_mb()
        # before and after: a machine that became busy meanwhile is seen by the second
        figures |= dict(
            zip(("calibration_s", "calibration_own_s"), map(max, before, calibrate()), strict=True)
        )
        if isinstance(extra, dict):  # figures that only the work itself knows
            figures |= extra
        if floor is not None:
            figures["floor_s"] = _clocked(floor)[1]
        for name, value in figures.items():
            taken.setdefault(name, []).append(value)
    return {
        name: max(values) if name == "peak_mb" else statistics.median(values)
        for name, values in taken.items()
    }


def _loop() -> None:
    total = 0
    for number in range(_STEPS):
        total += number & 7


def _clocked(run: Callable[[], object]) -> tuple[float, float]:
    """Wall time and own time of it, in seconds."""
    first = _procfs.begin()
    run()
    last = _procfs.end()
    wall = last[0] - first[0]
    return wall, wall - _procfs.queued_s(first, last)


def main(text: str) -> None:
    """Take the sample that the text (JSON) asks for, and print it as the last line."""
    asked = json.loads(text)
    workloads = _beside("workloads")
    with (
        tempfile.TemporaryDirectory() as folder,
        workloads.WORKLOADS[asked["workload"]](Path(folder), **asked["options"]) as work,
    ):
        run, floor = work
        run()  # compilers, caches, imports
        figures: dict[str, Any] = take(run, floor, repeats=asked["repeats"])
    figures["load"] = os.getloadavg()[0]
    print("\n" + json.dumps(figures))


def _beside(name: str) -> ModuleType:
    """A module found from this folder, whatever `overround` is on the path."""
    spec = importlib.util.spec_from_file_location(f"_{Path(name).name}", Path(__file__).parent / f"{name}.py")
    assert spec is not None and spec.loader is not None  # noqa: S101  # a file beside this one
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_procfs = _beside("../measure/procfs")

if __name__ == "__main__":
    main(sys.argv[1])
