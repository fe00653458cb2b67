"""Checks of the meter and the comparison: planted costs read back, and comparisons with a known answer.

`python -m benchmarks.truths [COMPARISONS]` makes 100 or COMPARISONS comparisons of a loop of 100 ms with
itself, and with one of a tenth more steps, each sample in a fresh process, the three in turns.
"""

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from overround import perf
from overround.http.client import Fetcher
from overround.measure import Meter
from overround.measure.meter import request_figures
from overround.measure.paired import NOISE, WORSE, compare
from overround.sources.local_server import Handler, answering
from overround.stopwatch import timed

PAIRS, REPEATS, STAGE_S, TRIED = 12, 1, 0.1, 1_000_000
METRICS = ("own_s", "cpu_s", "wall_s")
MB, THREADS, LARGE, WRITTEN, CALLS = 1024**2, 3, 25_000_000, 8_000_000, 40


def main() -> None:
    """Read planted costs back, then compare a loop with itself and with one that is a tenth slower."""
    planted()
    comparisons(next((int(word) for word in sys.argv[1:] if word.isdecimal()), 100))


def planted() -> None:
    """Planted costs, timed independently, against the meter."""
    meter = Meter("truths")
    rows: list[tuple[str, float, float, str]] = []

    def measured(stage: str, metric: str) -> float:
        return float(meter.frame().set_index(["stage", "metric"])["value"].get((stage, metric), 0.0))

    with meter.stage("sleep"):
        slept = _seconds(lambda: time.sleep(0.2))
    rows += [
        ("sleeps 0.2 s: wall", slept, measured("sleep", "wall_s"), "s"),
        ("sleeps 0.2 s: waited", slept, measured("sleep", "io_wait_s"), "s"),
    ]
    spent: list[float] = []
    with meter.stage("burn"):
        threads = [threading.Thread(target=lambda: spent.append(_burn(0.2))) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    rows.append((f"computes 0.2 s in each of {THREADS} threads", sum(spent), measured("burn", "cpu_s"), "s"))
    with meter.stage("nothing"):
        pass
    with meter.stage("large"):
        block = np.ones(LARGE)
        del block
    rows.append(
        (
            "takes 200 MB and frees them",
            LARGE * 8 / MB,
            measured("large", "peak_mb") - measured("nothing", "peak_mb"),
            "MB",
        )
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        meter.stage("write"),
        (Path(folder) / "f").open("wb", buffering=0) as file,
    ):
        file.write(b"x" * WRITTEN)
        with timed("store_fsync_s"):
            forced = _seconds(lambda: os.fsync(file.fileno()))
    rows += [
        ("writes 8 MB and forces them: bytes", WRITTEN / MB, measured("write", "written_bytes") / MB, "MB"),
        ("writes 8 MB and forces them: forcing", forced, measured("write", "store_fsync_s"), "s"),
    ]
    slept_ms, figures = _served()
    rows += [
        (
            f"server's waits, quantile {q}",
            float(np.percentile(slept_ms, q)),
            figures[f"latency_p{q}_ms"],
            "ms",
        )
        for q in (50, 95, 99)
    ]
    print("\nWhat was planted, and what the meter says")
    for name, truth, told, unit in rows:
        print(f"  {name:<48} {truth:10.3f} {told:10.3f} {unit:<3} {100 * (told / truth - 1):+6.2f} %")


def comparisons(number: int) -> None:
    """Verdicts on the same loop twice, and on one that is a tenth slower."""
    same: dict[str, Counter] = {metric: Counter() for metric in METRICS}
    slower: dict[str, Counter] = {metric: Counter() for metric in METRICS}
    began = time.monotonic()
    with ExitStack() as stack:
        tried = perf.measure(
            {"A": stack.enter_context(perf.resolved(f"steps={TRIED}"))[0]}, ["spin"], pairs=9, repeats=1
        )
        steps = round(TRIED * STAGE_S / tried["own_s"].median())
        # told apart by their options, else they are the same
        a, again, tenth = stack.enter_context(
            perf.resolved(f"steps={steps}", f"steps={steps + 1}", f"steps={11 * steps // 10}")
        )
        print(f"\nA stage of {1000 * STAGE_S:.0f} ms is {steps:,} steps here")
        for done in range(1, number + 1):
            samples = perf.measure(
                {"A": a, "again": again, "tenth": tenth}, ["spin"], pairs=PAIRS, repeats=REPEATS
            )
            for tally, other in ((same, "again"), (slower, "tenth")):
                pair = samples[samples["side"].isin(["A", other])].replace({"side": {other: "B"}})
                for metric in METRICS:
                    tally[metric][compare(pair, metric, seed=done).verdict] += 1
            if done % 10 == 0 or done == number:
                print(
                    f"\n{done} comparisons of {PAIRS} pairs, {time.monotonic() - began:.0f} s, "
                    f"load {os.getloadavg()[0]:.1f}"
                )
                for metric in METRICS:
                    print(
                        f"  {metric:<8} the same: within noise {same[metric][NOISE]} of {done} (goal 95 %); "
                        f"a tenth slower: found {slower[metric][WORSE]} of {done} (goal 80 %), "
                        f"{dict(slower[metric])}",
                        flush=True,
                    )


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _burn(seconds: float) -> float:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass
    return time.thread_time() - began


def _served() -> tuple[list[float], dict[str, float]]:
    """Delays of a server on loopback in ms, and the latencies that the fetcher recorded."""
    waits = np.random.default_rng(3).lognormal(np.log(0.2), 0.3, CALLS)
    slept: list[float] = []

    class Waiting(Handler):
        def do_GET(self) -> None:
            slept.append(1000 * _seconds(lambda: time.sleep(waits[len(slept)])))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"[]")

    with (
        tempfile.TemporaryDirectory() as folder,
        answering(Waiting) as url,
        Fetcher("p", url, Path(folder)) as fetcher,
    ):
        for number in range(CALLS):
            fetcher.get(f"a/{number}")
        figures = request_figures(fetcher.requests)
    return slept, figures


if __name__ == "__main__":
    main()
