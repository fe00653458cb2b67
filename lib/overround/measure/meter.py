"""What a stage costs: time, processor, memory, input and output, and what it counted. Nothing here sleeps or prints.

Stages may lie inside one another, and side by side in threads: none disturbs what another measures.
"""

import os
import tracemalloc
from collections.abc import Callable
from contextlib import ContextDecorator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock, get_ident
from typing import Any

import pandas as pd

from overround.measure import procfs
from overround.stopwatch import listener

_PARTS = ("encode", "look", "write", "fsync", "commit", "lock")
_KINDS = ("hit", "revalidated", "missed")
UNITS = {
    "wall_s": "s",
    "cpu_s": "s",
    "io_wait_s": "s",
    "block_io_s": "s",
    "compile_s": "s",
    **{f"store_{part}_s": "s" for part in _PARTS},
    "peak_mb": "MB",
    "allocated_peak_mb": "MB",
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
    """A stage while it runs: add what it counts, e.g. `stage.count(rows=len(quotes))`."""

    def __init__(self, meter: "Meter", name: str, outer: "Stage | None"):
        self.counts: dict[str, float] = {}
        self.outer = outer
        self.peak_mb = self.allocated_mb = 0.0
        self.shared = False  # another stage, neither around nor inside this one, ran at the same time
        self.name, self.thread = name, get_ident()
        self._meter, self._ended, self._lock = meter, False, Lock()

    def count(self, **numbers: float) -> None:
        """Add to the stage's counters; the names are those of `UNITS`. Times of parts also count in the stages around."""
        with self._lock:
            late = self._ended
            if not late:
                for name, number in numbers.items():
                    self.counts[name] = self.counts.get(name, 0.0) + number
        if late:  # a pool goes on working when the stage that asked for the work has ended
            self._meter.record(self.name, **numbers)
        if self.outer is not None and (
            times := {name: number for name, number in numbers.items() if name.startswith(_TIMES)}
        ):
            self.outer.count(**times)

    def end(self) -> dict[str, float]:
        """What was counted; whatever comes later goes to the meter."""
        with self._lock:
            self._ended = True
            return self.counts

    def around(self, other: "Stage") -> bool:
        """Whether the other stage lies inside this one."""
        stage: Stage | None = other
        while stage is not None and stage is not self:
            stage = stage.outer
        return stage is self


class _Measuring(ContextDecorator):
    """One entry of a stage."""

    def __init__(self, meter: "Meter", name: str, workers: int, allocations: bool):
        self._of = meter, name, workers, allocations

    def _recreate_cm(self) -> "_Measuring":
        return _Measuring(*self._of)

    def __enter__(self) -> Stage:
        meter, name, _, allocations = self._of
        outer = listener.get()
        self._stage = Stage(meter, name, outer if isinstance(outer, Stage) else None)
        listener.set(self._stage)
        _watch(self._stage, allocations)
        self._began = procfs.begin()
        return self._stage

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        now, stage = procfs.end(), self._stage
        meter, name, workers, allocations = self._of
        _unwatch(stage)
        # not by the token of `set`: a generator may be left in another context than it was entered in
        listener.set(stage.outer)
        counts = stage.end()
        # where stages run side by side the process's counters are those of all: then the thread's, and what
        # its helpers tell
        values = procfs.between(self._began, now, thread_only=stage.shared)
        if stage.shared:
            values["cpu_s"] += counts.get("helpers_cpu_s", 0.0)
        values["peak_mb"] = stage.peak_mb
        if kind is not None and not issubclass(kind, GeneratorExit):
            values["errors"] = 1.0
        if allocations:
            values["allocated_peak_mb"] = stage.allocated_mb
        if workers > 1:
            values["worker_s"] = values["wall_s"] * workers
        for metric, value in counts.items():
            values[metric] = values.get(metric, 0.0) + value
        if not values.get("read_bytes"):
            values.pop("read_bytes", None)
        meter._add(name, values)


@dataclass
class Meter:
    """Collects the measurements of one run; a stage that is entered again adds to what it has cost so far.

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

    def stage(self, name: str, *, workers: int = 1, allocations: bool = False) -> _Measuring:
        """Measure what happens inside, also when it fails; as context manager or decorator.

        Records wall_s; cpu_s; io_wait_s, what is left of the wall time without cpu_s and without this
        thread's waiting for a processor (it waited for a disk, the network, a lock or another process), and
        block_io_s where the kernel counts it; peak_mb, the highest resident memory of the process inside the
        stage (on Linux; elsewhere so far); bytes read and written by system calls and from and to storage;
        errors; the store's time by part; compile_s, what kernels took to be compiled, once on a machine;
        rows_per_s where rows were counted. Bytes, errors and parts of 0 are left out.

        Processor time and bytes are the whole process's while no other stage runs beside this one, and else
        those of this thread and of the pools that it started.

        Parameters
        ----------
        name : str
            Of the stage.
        workers : int
            Threads or processes that share the work: adds thread_efficiency, their busy time over wall x
            workers. A `WatchedPool` tells of itself.
        allocations : bool
            Also the highest sum of what Python and NumPy hold that was allocated inside, by `tracemalloc`:
            this slows Python down.
        """
        return _Measuring(self, name, workers, allocations)

    def record(self, stage: str, **values: float) -> None:
        """Add measurements made elsewhere; sums add up, maxima and quantiles take the larger."""
        self._add(stage, values)

    def _add(self, stage: str, values: dict[str, float]) -> None:
        with self._lock:
            kept = self.stages.setdefault(stage, {})
            for metric, value in values.items():
                old = kept.get(metric)
                kept[metric] = (
                    float(value) if old is None else max(old, value) if metric in _LARGER else old + value
                )

    def away(self, name: str, work: Callable[..., Any]) -> "Away":
        """The work, measured wherever it is done: hand it to a pool of processes or a cluster, and its answers to `home`."""
        return Away(name, work)

    def home(self, answer: "Measured") -> Any:
        """Take what was measured away, and return the work's own result. Inside a stage with workers it was busy time of these."""
        for stage, values in answer.stages.items():
            self.record(stage, **values)
        around = listener.get()
        if around is not None:
            around.count(busy_s=sum(values["wall_s"] for values in answer.stages.values()))
        return answer.result

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

    def __reduce__(self) -> tuple[Any, ...]:
        """Locks stay in their process."""
        return Meter, (self.run_id, self.stages)


@dataclass(frozen=True)
class Measured:
    """A result, and what it has cost where it was made."""

    result: Any
    stages: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Away:
    """Work that measures itself, and can be sent to another process."""

    name: str
    work: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Measured:
        """Do the work."""
        meter = Meter("")
        with meter.stage(self.name):
            result = self.work(*args, **kwargs)
        return Measured(result, meter.stages)


def request_figures(requests: list[dict]) -> dict[str, float]:
    """Figures of calls, from the rows of a `Fetcher`: answered by the cache (hit), confirmed by the provider (revalidated), or missed.

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
    """One row a stage in order of time, one column a metric.

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
    """What the numbers were measured on."""
    import platform

    return {
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def innermost() -> Stage | None:
    """The stage that this thread is in, of several within each other the last begun."""
    # a copy in one step, and no lock: whoever only looks must not make a stage wait
    return next((stage for stage in reversed(_running.copy()) if stage.thread == get_ident()), None)


def _with_ratios(values: dict[str, float]) -> dict[str, float]:
    busy = values.get("busy_s", values.get("cpu_s", 0.0))
    shown = {metric: value for metric, value in values.items() if metric not in _HIDDEN}
    if values.get("worker_s"):
        shown["thread_efficiency"] = busy / values["worker_s"]
    if "rows" in shown and shown.get("wall_s"):
        shown["rows_per_s"] = shown["rows"] / shown["wall_s"]
    return shown


# The high-water marks of memory are one for the process. Whenever a stage begins they are first told to all
# stages that run, and then reset; whenever one ends they are told again: so each stage sees the highest of
# all spans between its begin and its end.
_running: list[Stage] = []
_tracing: dict[Stage, int] = {}  # bytes that were held when it began
_traced_before = False
_marks = Lock()


def _watch(stage: Stage, allocations: bool) -> None:
    global _traced_before
    with _marks:
        if allocations and not _tracing:
            _traced_before = tracemalloc.is_tracing()
            tracemalloc.start(1)
        _tell_marks()
        procfs.reset_peak()
        for other in _running:
            if not other.around(stage):
                other.shared = stage.shared = True
        _running.append(stage)
        if allocations:
            tracemalloc.reset_peak()
            _tracing[stage] = tracemalloc.get_traced_memory()[0]


def _unwatch(stage: Stage) -> None:
    with _marks:
        _tell_marks()
        if stage in _running:  # a process forked inside the stage knows nothing of it
            _running.remove(stage)
        if _tracing.pop(stage, None) is not None and not _tracing and not _traced_before:
            tracemalloc.stop()


def _tell_marks() -> None:
    if _running:
        peak = procfs.peak_mb()
        for one in _running:
            one.peak_mb = max(one.peak_mb, peak)
    if _tracing:
        peak = tracemalloc.get_traced_memory()[1]
        for one, before in _tracing.items():
            one.allocated_mb = max(one.allocated_mb, (peak - before) / 1024**2)


def _forked() -> None:
    global _marks
    _running.clear()
    _tracing.clear()
    _marks = Lock()


os.register_at_fork(after_in_child=_forked)
