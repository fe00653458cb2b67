"""Cost of measuring: CPU us of an empty stage, alone, nested, in a large process, as a share of 10 ms."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from overround.measure import Meter, procfs
from overround.stopwatch import timed

LIMIT_US, STAGE_S, LIMIT_SHARE = 50, 0.010, 0.01
N, ROUNDS = 200, 41


def main() -> None:
    """Print the cost of each way to measure, and whether it is below the limits."""
    meter = Meter("bench")

    def stage() -> None:
        with meter.stage("empty"):
            pass

    def part() -> None:
        with timed("store_fsync_s"):
            pass

    print(
        f"\nCost of measuring, CPU us (median of {ROUNDS} rounds of {N}; limit {LIMIT_US} us a stage, "
        f"{LIMIT_SHARE:.0%} of {STAGE_S:.3f} s)"
    )
    alone = _told("an empty stage", stage)
    with meter.stage("outer"):
        _told("an empty stage inside another", stage)
        _told("a part of a stage (timed)", part)
    _told("a part of a stage that nobody measures", part)
    large = np.ones(250_000_000)
    in_large = _told(f"an empty stage in a process of {procfs.peak_mb():,.0f} MB", stage)
    _told("  of it to reset the peak of memory", procfs.reset_peak)
    del large
    worst = max(alone, in_large)
    share = worst / 1e6 / STAGE_S
    print(
        f"  {share:.2%} of a stage of 10 ms; "
        f"{'within' if worst <= LIMIT_US and share <= LIMIT_SHARE else 'OVER'} the limits"
    )
    _of_an_append()


def _told(name: str, work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(N):
            work()
        times.append((time.process_time() - began) / N * 1e6)
    middle = statistics.median(times)
    print(f"  {name:<48} {middle:8.2f} ({min(times):.2f} to {max(times):.2f})")
    return middle


def _of_an_append() -> None:
    """Say where the time of storing 20,000 quotes goes."""
    from benchmarks.store import batch
    from overround.store.store import Store

    meter = Meter("append")
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for number in range(6):
            rows = batch(number, 20_000)
            with meter.stage("warm" if not number else "append"):
                store.append("quotes", rows)
    values = meter.stages["append"]
    parts = {name: value for name, value in values.items() if name.startswith("store_")}
    print("\nAppending 20,000 quotes ms each, and what no part explains")
    for name, value in parts.items():
        print(f"  {name:<48} {1000 * value / 5:8.2f}")
    print(f"  {'the rest':<48} {1000 * (values['wall_s'] - sum(parts.values())) / 5:8.2f}")
