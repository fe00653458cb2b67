"""What a stage costs: wall and CPU time, peak memory, time blocked, and what it counted. Nothing here sleeps or prints."""

import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_SCHEDULE = Path("/proc/thread-self/schedstat")
UNITS = {
    "wall_s": "s", "cpu_s": "s", "io_wait_s": "s", "peak_mb": "MB", "rows": "rows", "rows_per_s": "rows/s", "thread_efficiency": "share",
    "requests": "requests", "requests_failed": "requests", "cache_hits": "requests", "cache_hit_share": "share",
    "latency_p50_ms": "ms", "latency_p95_ms": "ms", "latency_max_ms": "ms", "bytes": "bytes",
}  # fmt: skip


@dataclass
class Stage:
    """A stage while it runs: add what it counts, e.g. `stage.count(rows=len(quotes))`."""

    counts: dict[str, float] = field(default_factory=dict)

    def count(self, **numbers: float) -> None:
        """Add to the stage's counters; the names are those of `UNITS`."""
        for name, number in numbers.items():
            self.counts[name] = self.counts.get(name, 0.0) + number


@dataclass
class Meter:
    """Collects the measurements of one run; a stage that is entered again adds to what it has cost so far.

    Examples
    --------
    >>> meter = Meter("doc")
    >>> with meter.stage("sum") as stage:
    ...     total = sum(range(1000))
    ...     stage.count(rows=1000)
    >>> sorted(meter.frame()["metric"])
    ['cpu_s', 'io_wait_s', 'peak_mb', 'rows', 'rows_per_s', 'wall_s']
    """

    run_id: str
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, *, workers: int = 1) -> Iterator[Stage]:
        """Measure what happens inside, also when it fails.

        Records wall_s; cpu_s of the whole process; io_wait_s, the time in which this thread was neither on a processor nor waiting
        for one (it waited for a disk, the network, a lock or another process); peak_mb, the highest resident memory inside the
        stage (on Linux; elsewhere of the process so far); with several workers thread_efficiency, CPU time over wall x workers;
        rows_per_s where rows were counted.
        """
        stage = Stage()
        _reset_peak()
        wall, cpu, on_cpu = time.perf_counter(), time.process_time(), _thread_on_or_waiting_for_cpu_s()
        try:
            yield stage
        finally:
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            blocked = max(0.0, wall - (_thread_on_or_waiting_for_cpu_s() - on_cpu))
            values = {"wall_s": wall, "cpu_s": cpu, "io_wait_s": blocked, "peak_mb": _peak_mb(), **stage.counts}
            if workers > 1:
                values["worker_s"] = wall * workers
            self.record(name, **values)

    def record(self, stage: str, **values: float) -> None:
        """Add measurements made elsewhere; sums add up, maxima and quantiles take the larger."""
        kept = self.stages.setdefault(stage, {})
        for metric, value in values.items():
            old = kept.get(metric)
            kept[metric] = float(value) if old is None else max(old, value) if UNITS.get(metric) in ("MB", "ms", "share") else old + value

    def frame(self) -> pd.DataFrame:
        """The measurements so far, in the columns of the table `measurements`."""
        now = datetime.now(UTC)
        rows = [
            {"run_id": self.run_id, "stage": stage, "metric": metric, "value": float(value), "unit": UNITS.get(metric, ""), "at": now}
            for stage, values in self.stages.items()
            for metric, value in _with_ratios(values).items()
        ]
        return pd.DataFrame(rows, columns=["run_id", "stage", "metric", "value", "unit", "at"])


def request_figures(requests: list[dict]) -> dict[str, float]:
    """Latency of the calls that reached the network, cache hits and bytes, from the rows of a `Fetcher`."""
    if not requests:
        return {}
    frame = pd.DataFrame(requests)
    called = frame[~frame["from_cache"].astype(bool)]
    figures = {
        "requests": len(frame),
        "requests_failed": int((frame["status"] != 200).sum()),
        "cache_hits": int(frame["from_cache"].sum()),
        "cache_hit_share": float(frame["from_cache"].mean()),
        "bytes": float(frame["bytes"].sum()),
    }
    if len(called):
        p50, p95 = called["latency_s"].quantile([0.5, 0.95]) * 1000
        figures |= {"latency_p50_ms": p50, "latency_p95_ms": p95, "latency_max_ms": called["latency_s"].max() * 1000}
    return figures


def cost_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """One row a stage in order of time, one column a metric."""
    wide = measurements.pivot_table(index="stage", columns="metric", values="value", aggfunc="last", sort=False)
    return wide[[metric for metric in UNITS if metric in wide]]


def _with_ratios(values: dict[str, float]) -> dict[str, float]:
    values = dict(values)
    worker_s = values.pop("worker_s", 0.0)
    if worker_s:
        values["thread_efficiency"] = values["cpu_s"] / worker_s
    if "rows" in values and values.get("wall_s"):
        values["rows_per_s"] = values["rows"] / values["wall_s"]
    return values


def _thread_on_or_waiting_for_cpu_s() -> float:
    try:
        on_cpu, queued, _ = _SCHEDULE.read_bytes().split()
        return (int(on_cpu) + int(queued)) / 1e9
    except (OSError, ValueError):  # not Linux
        return time.thread_time()


def _reset_peak() -> None:
    try:
        _CLEAR.write_bytes(b"5")  # resets the high-water mark of resident memory, see proc(5)
    except OSError:
        return


def _peak_mb() -> float:
    try:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1024**2


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    import platform

    return {"cores": str(os.cpu_count()), "python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
