"""Tables of the experiments by module of the library: before, after, and whether the change counts."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from overround.measure.paired import LOOPS, compare, difference, pairs_of

# experiment, named "before / after" -> module of the library
EXPERIMENTS = {
    "cache off / on": "collector",
    "one by one / pooled fetches": "collector",
    "row by row / batch insert": "collector",
    "whole answers / only changes": "collector",
    "loop / vectorised signals": "signals",
    "loop / compiled backtest": "backtest",
    "cold / warm kernels": "overall",
}
TOGETHER = "all together"
METRICS = {
    "wall_s": ("runtime", "ms", 1000.0),
    "calls_per_s": ("throughput", "calls a second", 1.0),
    "own_s": ("own time", "ms", 1000.0),
    "cpu_s": ("processor time", "ms", 1000.0),
    "peak_mb": ("memory", "MB", 1.0),
    "latency_ms": ("median API latency", "ms", 1.0),
    "io_wait_s": ("I/O wait", "ms", 1000.0),
    "thread_efficiency": ("thread efficiency", "%", 100.0),
    "calls": ("API calls", "", 1.0),
}
_CLOCK_S = 1e-3  # shorter waits are the clock's noise
# sums over experiments, but for what does not add up
_SUMS = {
    **dict.fromkeys(("wall_s", "own_s", "cpu_s", "io_wait_s", "calls"), "sum"),
    **dict.fromkeys(("latency_ms", "thread_efficiency", "workers"), "mean"),
    **dict.fromkeys(LOOPS, "median"),
    "peak_mb": "max",
}


def by_module(
    samples: pd.DataFrame, modules: Mapping[str, str] = EXPERIMENTS, *, threshold: float = 0.05
) -> dict[str, pd.DataFrame]:
    """A table for each module and one of all.

    Parameters
    ----------
    samples : DataFrame
        Of `run`, or of `overround.perf.measure`.
    modules : mapping
        Workload -> module; of what `measure` gives: `overround.perf.workloads.MODULES`.
    threshold : float
        A change smaller than this share is none.

    Returns
    -------
    dict
        Module -> frame of experiment, figure (with its unit), change (with its 95 % interval), verdict,
        before, after (medians). Of a module with several experiments the first rows are of all together.
    """
    tables: dict[str, list[dict]] = {}
    for name, mine in samples.groupby(samples["workload"].map(modules), sort=False):
        each = [its for _, its in mine.groupby("workload", sort=False)]
        together = [total(mine)] if len(each) > 1 and name != "overall" else []
        tables[str(name)] = [row for one in together + each for row in _rows(one, threshold)]
    tables["overall"] = [*_rows(total(samples), threshold), *tables.pop("overall", [])]
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def total(samples: pd.DataFrame) -> pd.DataFrame:
    """Samples of all experiments together: sums, but the highest peak, the mean latency and efficiency."""
    how = {name: sum_ for name, sum_ in _SUMS.items() if name in samples}
    return samples.groupby(["pair", "side"], as_index=False).agg(how).assign(workload=TOGETHER)


def _rows(samples: pd.DataFrame, threshold: float) -> list[dict]:
    experiment = {"experiment": str(samples["workload"].iloc[0])}
    present = [
        one for one in METRICS if one in samples and samples[one].notna().all() and (samples[one] > 0).any()
    ]
    return [experiment | _row(samples, metric, threshold) for metric in present]


def _row(samples: pd.DataFrame, metric: str, threshold: float) -> dict:
    """Figure, change, verdict where there is one, and both medians."""
    what, unit, factor = METRICS[metric]
    values, quiet = pairs_of(samples, metric)
    middle = np.median(values[quiet], axis=0)  # of the pairs that decide the change
    crowded = (
        metric == "latency_ms"
        and "workers" in samples
        and np.ptp(samples.groupby("side")["workers"].median()) > 0
    )
    # pooled calls wait longer each but are all answered sooner: throughput and runtime decide
    what += ", pooled" if crowded else ""
    before, after = factor * middle
    row = {"figure": f"{what}, {unit}" if unit else what, "change": "", "verdict": ""}
    row |= {"before": before, "after": after}
    if metric == "io_wait_s" and middle.max() < _CLOCK_S:
        return row | {"change": "below the clock’s 1 ms"}
    if crowded or metric in ("thread_efficiency", "calls") or not (samples[metric] > 0).all():
        # more of it is not worse, or it may be 0: no ratio
        moved = [f"{factor * one:+z.3g}".replace("-", "−") for one in difference(samples, metric)]
        return row | {"change": f"{moved[0]} ({moved[1]} to {moved[2]})"}
    if metric != "calls_per_s":
        one = compare(samples, metric, threshold=threshold)
        return row | {"change": one.change(), "verdict": one.verdict}
    # more of it is better: judged by the seconds a call
    one = compare(samples.assign(calls_per_s=1 / samples[metric]), metric, threshold=threshold)
    more = replace(one, ratio=1 / one.ratio, low=1 / one.high, high=1 / one.low)
    return row | {"change": more.change(), "verdict": one.verdict}
