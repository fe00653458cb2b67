"""Costs of a stage: time, CPU, memory, input and output, and its own counters. Nothing here sleeps or prints.

Stages may be nested, or run side by side in threads, without disturbing each other's measurements.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock, get_ident

import pandas as pd

from overround.measure import procfs
from overround.stopwatch import listener

_PARTS = ("encode", "look", "write", "fsync", "commit", "lock")
_KINDS = ("hit", "revalidated", "missed")
UNITS = {
    "wall_s": "s",
    "cpu_s": "s",
    "io_wait_s": "s",
    "compile_s": "s",
    **{f"store_{part}_s": "s" for part in _PARTS},
    "peak_mb": "MB",
    "rows": "rows",
    "rows_per_s": "rows/s",
    "thread_efficiency": "share",
    "errors": "errors",
    "requests": "requests",
    "requests_failed": "requests",
    "cache_hits": "requests",
    "cache_hit_share": "share",
    **dict.fromkeys(_KINDS, "requests"),
    "latency_p50_ms": "ms",
    "latency_p95_ms": "ms",
    "latency_p99_ms": "ms",
    "latency_max_ms": "ms",
    **{f"latency_{kind}_{q}_ms": "ms" for kind in _KINDS[:2] for q in ("p50", "p95", "p99", "max")},
    "bytes": "bytes",
    "read_bytes": "bytes",
    "written_bytes": "bytes",
    "disk_read_bytes": "bytes",
    "disk_written_bytes": "bytes",
}
_LARGER = frozenset(
    metric for metric, unit in UNITS.items() if unit in ("MB", "ms", "share")
)  # the others add up
_TIMES = ("store_", "compile_")
_HIDDEN = ("busy_s", "worker_s", "helpers_cpu_s")


class Stage:
    """A running stage with its counters, e.g. `stage.count(rows=len(quotes))`."""

    def __init__(self, meter: "Meter", name: str, outer: "Stage | None"):
        self.counts: dict[str, float] = {}
        self.outer = outer
        self.peak_mb = 0.0
        self.shared = False  # whether a stage that is not nested with this one ran at the same time
        self.name, self.thread = name, get_ident()
        self._meter, self._ended, self._lock = meter, False, Lock()

    def count(self, **numbers: float) -> None:
        """Add to the counters, named as in `UNITS`; times of parts also count in the enclosing stages."""
        with self._lock:
            late = self._ended
            if not late:
                for name, number in numbers.items():
                    self.counts[name] = self.counts.get(name, 0.0) + number
        if late:  # a pool may still be working when the stage that started it has ended
            self._meter.record(self.name, **numbers)
        if self.outer is not None and (
            times := {name: number for name, number in numbers.items() if name.startswith(_TIMES)}
        ):
            self.outer.count(**times)

    def end(self) -> dict[str, float]:
        """The counters; anything counted later goes to the meter."""
        with self._lock:
            self._ended = True
            return self.counts

    def around(self, other: "Stage") -> bool:
        """Whether the other stage is nested in this one."""
        stage: Stage | None = other
        while stage is not None and stage is not self:
            stage = stage.outer
        return stage is self


@dataclass
class Meter:
    """The measurements of one run; a stage that is entered again adds to its costs so far.

    Examples
    --------
    >>> import overround as ov
    >>> meter = ov.measure.Meter("doc")
    >>> with meter.stage("sum") as stage:
    ...     total = sum(range(1000))
    ...     stage.count(rows=1000)
    >>> sorted(meter.frame()["metric"])
    ['cpu_s', 'io_wait_s', 'peak_mb', 'rows', 'rows_per_s', 'wall_s']
    """

    run_id: str
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock, repr=False, compare=False)

    @contextmanager
    def stage(self, name: str, *, workers: int = 1) -> Iterator[Stage]:
        """Measure a block or a function, even if it fails; as context manager or decorator.

        Records wall_s; cpu_s; io_wait_s, the wall time minus cpu_s and minus this thread's waiting for a CPU
        (i.e. waiting for a disk, the network, a lock or another process); peak_mb, the highest resident
        memory of the process during the stage (on Linux; elsewhere since the process began); bytes read and
        written by system calls and on storage; errors; the store's time by part; compile_s, the compilation
        of kernels, once per machine; rows_per_s where rows were counted. Bytes, errors and parts of 0 are
        left out.

        CPU time and bytes are those of the whole process while no other stage runs beside this one, otherwise
        those of this thread and the pools it started.

        Parameters
        ----------
        name : str
            Name of the stage.
        workers : int
            Threads or processes that share the work: adds thread_efficiency, their busy time over wall time
            times workers. A `WatchedPool` reports by itself.
        """
        outer = listener.get()
        stage = Stage(self, name, outer if isinstance(outer, Stage) else None)
        listener.set(stage)
        _watch(stage)
        began, errors = procfs.begin(), dict[str, float]()
        try:
            yield stage
        except BaseException as error:
            if not isinstance(error, GeneratorExit):
                errors = {"errors": 1.0}
            raise
        finally:
            now = procfs.end()
            _unwatch(stage)
            # not with the token of `set`: a generator may be left in another context than it was entered in
            listener.set(stage.outer)
            counts = stage.end()
            # where stages run side by side the process's counters cover all of them: use those of the thread,
            # plus what its pool reports
            values = procfs.between(began, now, thread_only=stage.shared) | errors
            if stage.shared:
                values["cpu_s"] += counts.get("helpers_cpu_s", 0.0)
            values["peak_mb"] = stage.peak_mb
            if workers > 1:
                values["worker_s"] = values["wall_s"] * workers
            for metric, value in counts.items():
                values[metric] = values.get(metric, 0.0) + value
            if not values.get("read_bytes"):
                values.pop("read_bytes", None)
            self.record(name, **values)

    def record(self, stage: str, **values: float) -> None:
        """Add measurements made elsewhere: amounts are summed, of maxima and quantiles the larger is kept."""
        with self._lock:
            kept = self.stages.setdefault(stage, {})
            for metric, value in values.items():
                old = kept.get(metric)
                kept[metric] = (
                    float(value) if old is None else max(old, value) if metric in _LARGER else old + value
                )

    def frame(self) -> pd.DataFrame:
        """The measurements so far, in the columns of the table `measurements`."""
        now = datetime.now(UTC)
        with self._lock:
            stages = {stage: dict(values) for stage, values in self.stages.items()}
        rows = [
            {
                "run_id": self.run_id,
                "stage": stage,
                "metric": metric,
                "value": float(value),
                "unit": UNITS.get(metric, ""),
                "at": now,
            }
            for stage, values in stages.items()
            for metric, value in _with_ratios(values).items()
        ]
        return pd.DataFrame(rows, columns=["run_id", "stage", "metric", "value", "unit", "at"])


def request_figures(requests: list[dict]) -> dict[str, float]:
    """Figures of calls from the rows of a `Fetcher`: cache hits, those revalidated by the provider, misses.

    latency_p50_ms and so on are of those that missed; of the others latency_hit_p50_ms and
    latency_revalidated_p50_ms.

    Examples
    --------
    >>> import overround as ov
    >>> calls = [{"from_cache": True, "bytes": 9, "status": 200, "latency_s": 0.01}]
    >>> ov.measure.request_figures(calls)["cache_hit_share"]
    1.0
    """
    if not requests:
        return {}
    frame = pd.DataFrame(requests)
    cached, empty = frame["from_cache"].astype(bool), frame["bytes"] == 0
    kinds = {"hit": cached & ~empty, "revalidated": cached & empty, "missed": ~cached}
    figures = {
        "requests": len(frame),
        "requests_failed": int((frame["status"] != 200).sum()),
        "cache_hits": int(cached.sum()),
        "cache_hit_share": float(cached.mean()),
        **{kind: int(rows.sum()) for kind, rows in kinds.items()},
        "bytes": float(frame["bytes"].sum()),
    }
    for kind, rows in kinds.items():
        if rows.any():
            name = "latency" if kind == "missed" else f"latency_{kind}"
            quantiles = frame.loc[rows, "latency_s"].quantile([0.5, 0.95, 0.99, 1.0]) * 1000
            figures |= {
                f"{name}_{q}_ms": float(value)
                for q, value in zip(("p50", "p95", "p99", "max"), quantiles, strict=True)
            }
    return figures


def cost_table(measurements: pd.DataFrame) -> pd.DataFrame:
    """One row per stage in order of time, one column per metric.

    Examples
    --------
    >>> import overround as ov
    >>> meter = ov.measure.Meter("doc")
    >>> with meter.stage("sum") as stage:
    ...     stage.count(rows=1_000)
    >>> "stage" in ov.measure.cost_table(meter.frame()).reset_index()
    True
    """
    wide = measurements.pivot_table(
        index="stage", columns="metric", values="value", aggfunc="last", sort=False
    )
    return wide[[metric for metric in UNITS if metric in wide]]


def machine() -> dict[str, str]:
    """The machine that the numbers were measured on."""
    import platform

    return {
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def innermost() -> Stage | None:
    """The innermost stage of this thread."""
    # an atomic copy instead of a lock: an observer must not make a stage wait
    return next((stage for stage in reversed(_running.copy()) if stage.thread == get_ident()), None)


def _with_ratios(values: dict[str, float]) -> dict[str, float]:
    busy = values.get("busy_s", values.get("cpu_s", 0.0))
    shown = {metric: value for metric, value in values.items() if metric not in _HIDDEN}
    if values.get("worker_s"):
        shown["thread_efficiency"] = busy / values["worker_s"]
    if "rows" in shown and shown.get("wall_s"):
        shown["rows_per_s"] = shown["rows"] / shown["wall_s"]
    return shown


# A process has one high-water mark of memory. Whenever a stage begins, the mark is passed to all running
# stages and then reset; whenever one ends it is passed on again: so each stage sees the highest mark of all
# spans between its begin and its end.
_running: list[Stage] = []
_marks = Lock()


def _watch(stage: Stage) -> None:
    with _marks:
        _pass_on_marks()
        procfs.reset_peak()
        for other in _running:
            if not other.around(stage):
                other.shared = stage.shared = True
        _running.append(stage)


def _unwatch(stage: Stage) -> None:
    with _marks:
        _pass_on_marks()
        if stage in _running:  # missing in a process that was forked inside the stage
            _running.remove(stage)


def _pass_on_marks() -> None:
    if _running:
        peak = procfs.peak_mb()
        for one in _running:
            one.peak_mb = max(one.peak_mb, peak)


def _forked() -> None:
    global _marks
    _running.clear()
    _marks = Lock()


os.register_at_fork(after_in_child=_forked)
