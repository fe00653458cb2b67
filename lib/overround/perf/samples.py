"""Samples of the library's costs, taken in turns, A B A B, each in a fresh process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from overround.errors import ParameterError, RunError
from overround.measure.paired import LOOPS, loop_of
from overround.perf.sides import Side
from overround.perf.worker import take
from overround.perf.workloads import WORKLOADS
from overround.settings import PACKAGE

PAIRS, REPEATS = 15, 5
DEFAULT = ("margin", "signals", "backtest", "evaluate", "append", "read", "collect")
_LONGEST_S = 600
Progress = Callable[[str], object]


def measure(
    sides: Mapping[str, Side],
    workloads: Iterable[str] = DEFAULT,
    *,
    pairs: int = PAIRS,
    repeats: int = REPEATS,
    progress: Progress = str,
) -> pd.DataFrame:
    """Samples of each workload, the sides in turns, each sample in a process of its own.

    Parameters
    ----------
    sides : mapping
        Name of the side ("A", "B") -> what it is.
    workloads : iterable of str
        Of `overround.perf.workloads.WORKLOADS`.
    pairs : int
        Samples of each side; of two stored ones, all are taken.
    repeats : int
        Calls in a process after an uncounted one; a sample is their median.
    progress : callable
        Called with what is measured next, in words.

    Returns
    -------
    DataFrame
        workload, pair, side, load, at, and the figures of `overround.perf.worker.take`.

    Raises
    ------
    ParameterError
        For a workload that does not exist or an option that it does not take.
    RunError
        Where a workload fails, with its last words. A workload that another revision does not have, or a
        baseline has no samples of, is left out as long as there are others: `attrs["left_out"]` says why.

    Examples
    --------
    >>> import overround as ov
    >>> here = ov.perf.Side("this checkout")
    >>> samples = ov.perf.measure({"A": here, "B": here}, ["margin"], pairs=1, repeats=1)
    >>> samples["side"].tolist()
    ['A', 'B']
    """
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for workload in known(workloads):
        try:
            rows += _in_turns(sides, workload, pairs, repeats, progress)
        except _NotThere as error:
            left_out[workload] = str(error)
    if left_out and not rows:
        raise RunError(next(iter(left_out.values())))
    samples = pd.DataFrame(rows)
    samples = _on_one_scale(samples) if any(side.kept is not None for side in sides.values()) else samples
    samples.attrs["left_out"] = left_out
    return samples


def in_turns(
    name: str,
    before: Callable[[], object],
    after: Callable[[], object],
    *,
    pairs: int = PAIRS,
    warm: bool = True,
) -> pd.DataFrame:
    """Samples of two ways to do one thing, in turns in this process, as `measure` gives them.

    Parameters
    ----------
    name : str
        Of the workload.
    before, after : callable
        Work without arguments.
    pairs : int
        Samples of each.
    warm : bool
        Do both once before, uncounted.

    Examples
    --------
    >>> import overround as ov
    >>> samples = ov.perf.in_turns("sum", lambda: sum(range(20_000)), lambda: sum(range(10_000)), pairs=5)
    >>> samples["side"].value_counts().to_dict()
    {'A': 5, 'B': 5}
    """
    if warm:
        before()
        after()
    rows = [
        {"workload": name, "pair": pair, "side": side, **take(work)}
        for pair in range(pairs)
        for side, work in (("A", before), ("B", after))
    ]
    return pd.DataFrame(rows)


def known(workloads: Iterable[str]) -> list[str]:
    """Names of workloads, each once; ParameterError for one that does not exist."""
    asked = list(dict.fromkeys(workloads))
    unknown = [name for name in asked if name not in WORKLOADS]
    if unknown or not asked:
        raise ParameterError(
            f"workload {(unknown or [''])[0]!r} is unknown; there are {', '.join(WORKLOADS)}."
        )
    return asked


class _NotThere(RunError):
    """A revision does not have a workload, or a baseline has no samples of it."""


def _in_turns(
    sides: Mapping[str, Side], workload: str, pairs: int, repeats: int, progress: Progress
) -> list[dict[str, Any]]:
    rows = []
    for side in sides.values():
        if side.kept is not None and workload not in set(side.kept["workload"]):
            raise _NotThere(
                f"{side.name} has no samples of {workload}; "
                f"it has {', '.join(side.kept['workload'].unique())}."
            )
    if all(side.kept is not None for side in sides.values()):  # nothing to measure: all that there is
        pairs = 1 + max(int(side.kept["pair"].max()) for side in sides.values() if side.kept is not None)
    for pair in range(pairs):
        progress(f"{workload}, pair {pair + 1} of {pairs}")
        for name, side in sides.items():
            if side.kept is not None:
                earlier = side.kept[(side.kept["workload"] == workload) & (side.kept["pair"] == pair)]
                rows += earlier.assign(side=name).to_dict("records")
                continue
            try:
                rows.append(
                    {"workload": workload, "pair": pair, "side": name, **_sample(side, workload, repeats)}
                )
            except RunError as error:
                if pair or side.library == PACKAGE.parent:
                    raise
                raise _NotThere(str(error)) from None
    return rows


def _sample(side: Side, workload: str, repeats: int) -> dict[str, Any]:
    asked = json.dumps({"workload": workload, "options": dict(side.options), "repeats": repeats})
    # both sides cache bytecode, else a new checkout would compile in every sample and this one in none
    environment = {
        **os.environ,
        **side.environment,
        "PYTHONPATH": str(side.library),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    try:
        # without the folder of the program on the path, whose modules would be found as if they were the
        # standard library's
        done = subprocess.run(  # noqa: S603  our own module
            [sys.executable, "-P", str(PACKAGE / "perf" / "worker.py"), asked],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunError(
            f"workload {workload} of {side.name} took more than {_LONGEST_S} s: "
            "ask for fewer repeats, or less work."
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if "unexpected keyword argument" in last and side.options:
            raise ParameterError(f"workload {workload} does not take {', '.join(side.options)}: {last}.")
        raise RunError(f"workload {workload} of {side.name} failed: {last}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return {**figures, "at": datetime.now(UTC).isoformat(timespec="seconds")}


def _on_one_scale(samples: pd.DataFrame) -> pd.DataFrame:
    """Times in units of each side's own calibration loop: a baseline was taken at another speed.

    Each metric has its own loop: a queue for the processor makes the loop's wall time longer, but not its own
    time.
    """
    return pd.concat([_scaled(mine) for _, mine in samples.groupby("workload", sort=False)])


def _scaled(samples: pd.DataFrame) -> pd.DataFrame:
    usual = samples.groupby("side")[[loop for loop in LOOPS if loop in samples]].quantile(0.25)
    times = [column for column in ("wall_s", "own_s", "cpu_s", "floor_s", *LOOPS) if column in samples]
    by_loop = {column: usual[loop_of(samples, column)] for column in times}
    return samples.assign(
        **{
            column: samples[column] * samples["side"].map(loop["A"] / loop)
            for column, loop in by_loop.items()
        }
    )
