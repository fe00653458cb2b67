"""Figures of performance: samples of two programs side by side, and a stage's history."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, MIDDLE
from overround.figures.style import column, finish, finish_panels, nothing, row_canvas, short
from overround.measure.paired import NOISE, Change, compare, pairs_of

_DASHES = (0, (2, 2))
_UNITS = {
    "wall_s": ("wall time", "ms", 1000.0),
    "own_s": ("own time", "ms", 1000.0),
    "cpu_s": ("processor time", "ms", 1000.0),
    "peak_mb": ("peak memory", "MB", 1.0),
}

_NEAR_ONE = [0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3]  # ratios
_FEWEST_RUNS = 3  # of a time line


def change(
    samples: pd.DataFrame,
    *,
    metric: str = "wall_s",
    threshold: float = 0.05,
    names: tuple[str, str] = ("before", "after"),
    note: str = "",
) -> Picture:
    """Samples as dots, two rows per workload, in multiples of its median before, with the ratio's interval.

    Times are those that `overround.measure.paired.compare` uses: at the usual speed of the machine if that
    is known, otherwise as measured.

    Parameters
    ----------
    samples : DataFrame
        As `overround.perf.measure` returns them.
    metric : str
        wall_s, own_s, cpu_s or peak_mb.
    threshold : float
        Smaller changes count as none.
    names : pair of str
        Names of the two sides.
    note : str
        Below the figure.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> rows = [
    ...     {"workload": name, "pair": pair, "side": side, "wall_s": wall, "calibration_s": 0.05}
    ...     for name, after in (("read", 2.0), ("append", 1.02))
    ...     for pair in range(9)
    ...     for side, wall in (("A", 1 + pair / 100), ("B", after + pair / 100))
    ... ]
    >>> samples = pd.DataFrame(rows)
    >>> print(ov.figures.change(samples).alt)
    Samples of before and after, ratios with 95 % intervals. read, wall_s: +96.2 % (+93.5 to +99.0), worse
    (9 pairs); append, wall_s: +1.9 % (+1.9 to +2.0), within noise (9 pairs).
    """
    found, taken = {}, {}
    for name, rows in samples.groupby("workload", sort=False):
        found[name] = compare(rows, metric, threshold=threshold)
        taken[name] = pairs_of(rows, metric)
    what, unit, factor = _UNITS.get(metric, (metric, "", 1.0))
    names_of = [f"{short(name, 30)}\n{_in_words(one, unit, factor)}" for name, one in found.items()]
    axes, at = row_canvas(names_of, 0.62, 1.35, downwards=True)
    for y, (name, one) in zip(at, found.items(), strict=True):
        _row(axes, y, *taken[name], one)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.axvline(1, color=MIDDLE, linewidth=1)
    axes.set_xscale("log")
    ratios = [(values / found[name].before).ravel() for name, (values, _) in taken.items()]
    _ticks(axes, np.concatenate(ratios), found)
    floors = any(one.floor / one.before > axes.get_xlim()[0] for one in found.values())
    key = f"grey: {names[0]}, blue: {names[1]}, hollow: set aside{', dashed: floor' if floors else ''}"
    words = "; ".join(str(one) for one in found.values())
    alt = f"Samples of {names[0]} and {names[1]}, ratios with 95 % intervals. {words}."
    return finish(
        axes,
        f"{what.capitalize()}: {names[1]} against {names[0]}",
        "",
        note,
        alt,
        across=f"{what}, in multiples of the median of {names[0]} (logarithmic)\n{key}",
    )


def stage_history(
    history: pd.DataFrame, found: pd.DataFrame, *, metric: str = "cpu_s", most: int = 6, note: str = ""
) -> Picture:
    """Time line of stages, a panel each: first those that changed, then the most expensive.

    Parameters
    ----------
    history, found : DataFrame
        What `overround.perf.anomalies.histories` and `watch` returned.
    metric : str
        Metric of the history.
    most : int
        Stages that are shown.
    note : str
        Below the figure.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> value = [1.0, 1.02, 0.98] * 7 + [1.5, 1.52, 1.48] * 7
    >>> at = pd.date_range("2026-08-01", periods=len(value), freq="D", tz="UTC")
    >>> run_id = at.strftime("%Y%m%d")
    >>> history = pd.DataFrame({"stage": "backtest: fit", "run_id": run_id, "at": at, "value": value})
    >>> print(ov.figures.stage_history(history, ov.perf.anomalies.watch(history)).alt)
    Processor time of 1 stages over their runs. Changes: backtest: fit slower at run 20260826, 1.50 times.
    """
    runs = history.groupby("stage")["value"].transform("size")
    history = history[runs >= _FEWEST_RUNS]
    if history.empty:
        return nothing(f"No stage has {_FEWEST_RUNS} runs with the same parameters yet.")
    dear = history.groupby("stage")["value"].median().sort_values(ascending=False).index
    stages = list(dict.fromkeys([*found["stage"], *dear]))[:most]
    grid = column(0.7 + 0.85 * len(stages), len(stages))
    what, unit, factor = _UNITS.get(metric, (metric, "", 1.0))
    for axes, stage in zip(grid, stages, strict=False):
        runs = history[history["stage"] == stage].reset_index(drop=True)
        run, values = np.arange(1, len(runs) + 1), factor * runs["value"].to_numpy(float)
        axes.scatter(run, values, s=9, color=MIDDLE, linewidths=0)
        for change in found[found["stage"] == stage].itertuples(index=False):
            span = ((runs["at"] >= change.began_at) & (runs["at"] <= change.noticed_at)).to_numpy()
            _mark(axes, run[span], values[span], change)
        axes.set_ylim(0, None)
        axes.set_ylabel(unit)
        axes.set_title(short(stage, 60), loc="left", fontsize=9)
    grid[-1].set_xlabel("run, oldest first")
    grid[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    words = "; ".join(
        f"{one.stage} {one.kind} at run {one.run_id}, {one.ratio:.2f} times"
        for one in found.head(most).itertuples(index=False)
    )
    alt = f"{what.capitalize()} of {len(stages)} stages over their runs. Changes: {words or 'none'}."
    return finish_panels(grid, f"{what.capitalize()} of stages, run by run", note, alt)


def _mark(axes: Axes, run: np.ndarray, values: np.ndarray, change: Any) -> None:
    """A change: coloured dots from where it began to where it was noticed, and its size."""
    colour = ACCENT if change.kind in ("slower", "accepted") else DARK
    axes.scatter(run, values, s=16, color=colour, linewidths=0, zorder=3)
    axes.axvline(run[0] - 0.5, color=colour, linewidth=0.8, linestyle=_DASHES)
    # where the dots after it are not
    height, side = (0.95, "top") if change.kind == "faster" else (0.06, "bottom")
    text = change.kind if change.kind == "recovered" else f"{change.kind} {change.ratio:.2f}×"
    place = ("data", "axes fraction")
    axes.annotate(f" {text}", (run[0], height), xycoords=place, fontsize=8, color=colour, va=side)


def _row(axes: Axes, at: float, taken: np.ndarray, quiet: np.ndarray, one: Change) -> None:
    # dots of a side are spread by a fixed pattern, so that the same samples give the same figure
    spread = 0.07 * ((np.arange(len(taken)) * 0.618) % 1 - 0.5)
    for side, offset, colour in ((0, 0.22, MIDDLE), (1, 0.06, ACCENT)):
        x, y = taken[:, side] / one.before, at + offset + spread
        axes.scatter(x[quiet], y[quiet], s=14, color=colour, alpha=0.75, linewidths=0)
        axes.scatter(x[~quiet], y[~quiet], s=14, facecolors="none", edgecolors=colour, linewidths=0.7)
    if np.isfinite(one.floor):
        axes.plot(
            [one.floor / one.before] * 2, [at - 0.2, at + 0.34], color=DARK, linewidth=1, linestyle=_DASHES
        )
    colour, weight = (MIDDLE, "normal") if one.verdict == NOISE else (DARK, "bold")
    axes.plot([one.low, one.high], [at - 0.16] * 2, color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.plot([one.ratio], [at - 0.16], marker="D", markersize=5, color=colour)
    text = f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f}), {one.verdict}"
    place = ("axes fraction", "data")
    how: dict[str, Any] = {"fontsize": 8.5, "va": "center", "color": colour, "fontweight": weight}
    axes.annotate(text, (1.01, at - 0.05), xycoords=place, **how)


def _ticks(axes: Axes, values: np.ndarray, found: dict[str, Change]) -> None:
    # a distant floor stays outside: next to it all the samples would be one dot
    intervals = [end for one in found.values() for end in (one.low, one.high)]
    low, high = min(*values, *intervals, 0.8), max(*values, *intervals, 1.25)
    axes.set_xlim(low / 1.1, high * 1.1)
    locator = LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,))
    axes.xaxis.set_major_locator(FixedLocator(_NEAR_ONE) if high < 4 * low else locator)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")


def _in_words(one: Change, unit: str, factor: float) -> str:
    floor = f", floor {_amount(factor * one.floor)}" if np.isfinite(one.floor) else ""
    return f"{_amount(factor * one.before)} → {_amount(factor * one.after)} {unit}{floor}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
