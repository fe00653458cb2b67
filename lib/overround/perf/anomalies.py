"""Stages that have become slower, from their history; medians, so that single slow runs raise no alarm."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround.runs.history import without_compiling
from overround.schema import FOUND

SLOWER, RECOVERED, FASTER, ACCEPTED = "slower", "recovered", "faster", "accepted"
LOOK = 5  # newest runs that are compared with those before
LEAST = 20  # runs before the first comparison
_MEMORY = 60  # runs that define the usual level
_CLIP = 2.5  # of one run's deviation: no single run, however slow, decides
_LIMIT = 2.2  # of the mean clipped deviation: see `changes`
_BACK = 0.8  # below which a slow stage has recovered
_LEAST_CHANGE = np.log(1.10)
_LEAST_SPREAD = np.log(1.02)  # smaller is a clock's jitter
_SETTLED = 10  # runs after a change that define a new level
_ACCEPTED_AFTER = 30


@dataclass(frozen=True)
class Change:
    """A change of level: where it was noticed, where it began, the usual value and the one since."""

    kind: str
    noticed: int
    began: int
    usual: float
    now: float

    @property
    def ratio(self) -> float:
        """The value now over the usual one."""
        return self.now / self.usual


def changes(values: ArrayLike) -> list[Change]:
    """Changes of level in a stage's costs, in the order in which they would have been noticed.

    Parameters
    ----------
    values : array_like, shape (n_runs,)
        Seconds or megabytes, oldest first, above 0.

    Returns
    -------
    list of Change
        slower; recovered (back at the level before); faster; accepted (slower for 30 runs: the new usual).

    Notes
    -----
    Logarithms of the newest five runs are compared with median and MAD (times 1.4826) of up to sixty before.
    Each deviation is clipped at 2.5 MADs and their mean compared with 2.2, which takes at least four slow
    runs of five; the medians must differ by a tenth as well. Both limits were set on simulated histories
    (`tests/perf/test_anomalies.py`). The clipped score is Huber's (1981, Robust Statistics); sequential
    inspection follows Page (1954), Biometrika 41, 100-115.
    """
    logs = np.log(np.asarray(values, float))
    found: list[Change] = []
    since, slow, spread = 0, None, float("nan")
    for at in range(LOOK, len(logs)):
        newest = logs[at - LOOK + 1 : at + 1]
        if slow is None:
            usual = logs[max(since, at - LOOK + 1 - _MEMORY) : at - LOOK + 1]
            if len(usual) < (LEAST if np.isnan(spread) else _SETTLED):
                continue
            middle = float(np.median(usual))
            if len(usual) >= LEAST:
                spread = _spread(usual, middle)
            score, step = _score(newest, middle, spread), float(np.median(newest)) - middle
            if abs(score) <= _LIMIT or abs(step) <= _LEAST_CHANGE or np.sign(score) != np.sign(step):
                continue
            began = at - LOOK + 1 + int(np.argmax(np.sign(step) * (newest - middle) > abs(step) / 2))
            found.append(_change(SLOWER if step > 0 else FASTER, at, began, middle, newest))
            if step > 0:
                slow = middle, began
            else:
                since = began
        else:
            middle, began = slow
            if _score(newest, middle, spread) < _BACK:
                found.append(_change(RECOVERED, at, at - LOOK + 1, middle, newest))
                slow = None
            elif at - began >= _ACCEPTED_AFTER:
                found.append(_change(ACCEPTED, at, began, middle, logs[began : at + 1]))
                slow, since = None, began
    return found


def histories(
    measurements: pd.DataFrame, runs: pd.DataFrame, metric: str = "cpu_s", *, least: float = 0.01
) -> pd.DataFrame:
    """Cost of each stage in each run of the same notebook with the same parameters, oldest first.

    Parameters
    ----------
    measurements, runs : DataFrame
        The tables.
    metric : str
        cpu_s, wall_s, peak_mb or another in which less is better.
    least : float
        Stages that usually cost less are left out: what they cost is the clock's noise.

    Returns
    -------
    DataFrame
        stage, run_id, at, value (times `without_compiling`); `stage` is `<label>: <stage>`, with a number
        behind it where parameters differ.
    """
    measurements = without_compiling(measurements)
    rows = measurements[(measurements["metric"] == metric) & (measurements["stage"] != FOUND)]
    rows = rows.merge(runs[["run_id", "parameters", "started_at"]], on="run_id")
    if rows.empty:
        return pd.DataFrame({"stage": [], "run_id": [], "at": [], "value": []})
    label = rows["run_id"].str.partition(".")[2]
    rows = rows.assign(
        stage=label + ": " + rows["stage"],
        under=rows["parameters"].map(_without_names),
        at=rows["started_at"],
    )
    number = rows.groupby("stage")["under"].transform(lambda under: pd.factorize(under)[0])
    rows["stage"] = rows["stage"].where(number == 0, rows["stage"] + " (" + (number + 1).astype(str) + ")")
    usual = rows.groupby("stage")["value"].transform("median")
    rows = rows[(usual >= least) & (rows["value"] > 0)].sort_values("at", kind="stable")
    return rows[["stage", "run_id", "at", "value"]].reset_index(drop=True)


def watch(history: pd.DataFrame) -> pd.DataFrame:
    """Changes of every stage of `histories`.

    Returns
    -------
    DataFrame
        stage, kind, run_id (at which it was noticed), began_at, noticed_at, usual, now, ratio, open (slower,
        and not over yet); newest first.
    """
    rows = []
    for stage, mine in history.groupby("stage", sort=False):
        found = changes(mine["value"])
        for one in found:
            run_id, noticed_at = mine[["run_id", "at"]].iloc[one.noticed]
            still = one.kind == SLOWER and one is found[-1]
            times = mine["at"].iloc[one.began], noticed_at
            rows.append((stage, one.kind, run_id, *times, one.usual, one.now, one.ratio, still))
    columns = ["stage", "kind", "run_id", "began_at", "noticed_at", "usual", "now", "ratio", "open"]
    return pd.DataFrame(rows, columns=columns).sort_values(
        "noticed_at", ascending=False, kind="stable", ignore_index=True
    )


def _spread(usual: NDArray[np.float64], middle: float) -> float:
    return max(1.4826 * float(np.median(np.abs(usual - middle))), _LEAST_SPREAD)


def _score(newest: NDArray[np.float64], middle: float, spread: float) -> float:
    return float(np.clip((newest - middle) / spread, -_CLIP, _CLIP).mean())


def _change(kind: str, at: int, began: int, middle: float, now: NDArray[np.float64]) -> Change:
    return Change(kind, at, began, float(np.exp(middle)), float(np.exp(np.median(now))))


def _without_names(parameters: str) -> str:
    """Parameters without those that name a run or its data."""
    named = ("run_id", "pipeline", "store_version")
    return json.dumps({name: value for name, value in json.loads(parameters).items() if name not in named})
