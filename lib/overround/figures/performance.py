"""Figures of performance: samples of two programs side by side, and a stage's history."""

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, MIDDLE
from overround.figures.style import canvas, columns, finish, nothing, short
from overround.measure.paired import NOISE, Change, compare, pairs_of

_UNITS = {
    "wall_s": ("wall time", "ms", 1000.0),
    "own_s": ("own time", "ms", 1000.0),
    "cpu_s": ("processor time", "ms", 1000.0),
    "peak_mb": ("peak memory", "MB", 1.0),
}

_FEW = 3  # runs make no time line


def change(
    samples: pd.DataFrame,
    *,
    metric: str = "wall_s",
    threshold: float = 0.05,
    names: tuple[str, str] = ("before", "after"),
    note: str = "",
) -> Picture:
    """Every sample as a dot, a row of two a workload, in multiples of its median before; the ratio with its interval beside.

    Times are as `overround.measure.paired.compare` judges them: at the usual speed of the machine where it
    can tell, and else as taken.

    Parameters
    ----------
    samples : DataFrame
        As `overround.perf.measure` gives them.
    metric : str
        wall_s, own_s, cpu_s or peak_mb.
    threshold : float
        A change smaller than this share is none.
    names : pair of str
        What the sides are called.
    note : str
        Below the figure.
    """
    workloads = list(dict.fromkeys(samples["workload"]))
    found = {
        name: compare(samples[samples["workload"] == name], metric, threshold=threshold) for name in workloads
    }
    what, unit, factor = _UNITS.get(metric, (metric, "", 1.0))
    taken = {name: pairs_of(samples[samples["workload"] == name], metric) for name in workloads}
    figure, axes = canvas(1.35 + 0.62 * len(workloads))
    for place, name in enumerate(workloads):
        _row(axes, len(workloads) - 1 - place, *taken[name], found[name])
    at = np.arange(len(workloads))[::-1]
    axes.set_yticks(at, [f"{short(name, 30)}\n{_said(one, unit, factor)}" for name, one in found.items()])
    axes.set_ylim(-0.6, len(workloads) - 0.4)
    axes.axvline(1, color=MIDDLE, linewidth=1)
    axes.set_xscale("log")
    _ticks(
        axes,
        np.concatenate([(values / found[name].before).ravel() for name, (values, _) in taken.items()]),
        found,
    )
    axes.grid(axis="y", visible=False)
    floors = any(one.floor / one.before > axes.get_xlim()[0] for one in found.values())
    key = f"grey: {names[0]}, blue: {names[1]}, hollow: set aside{', dashed: floor' if floors else ''}"
    axes.set_xlabel(f"{what}, in multiples of the median of {names[0]} (logarithmic)\n{key}")
    finish(axes, f"{what.capitalize()}: {names[1]} against {names[0]}", "", note)
    words = "; ".join(str(one) for one in found.values())
    return Picture(figure, f"Samples of {names[0]} and {names[1]}, ratios with 95 % intervals. {words}.")


def stage_history(
    history: pd.DataFrame, found: pd.DataFrame, *, metric: str = "cpu_s", most: int = 6, note: str = ""
) -> Picture:
    """Time line of stages, a panel each: those that changed first, then the dearest; a change where it began, with its size.

    Parameters
    ----------
    history, found : DataFrame
        Of `overround.perf.anomalies.histories` and `watch`.
    metric : str
        What the history is of.
    most : int
        Stages that are shown.
    note : str
        Below the figure.
    """
    from matplotlib.ticker import MaxNLocator

    runs = history.groupby("stage")["value"].transform("size")
    history = history[runs >= _FEW]
    if history.empty:
        return nothing(f"No stage has {_FEW} runs with the same parameters yet.")
    dear = history.groupby("stage")["value"].median().sort_values(ascending=False).index
    stages = list(dict.fromkeys([*found["stage"], *dear]))[:most]
    figure, axes = columns(0.7 + 0.85 * len(stages), len(stages))
    what, unit, factor = _UNITS.get(metric, (metric, "", 1.0))
    for one, stage in zip(axes, stages, strict=False):
        mine = history[history["stage"] == stage].reset_index(drop=True)
        run = np.arange(1, len(mine) + 1)
        values = factor * mine["value"].to_numpy(float)
        one.scatter(run, values, s=9, color=MIDDLE, linewidths=0)
        for change in found[found["stage"] == stage].itertuples(index=False):
            _mark(one, mine, run, factor, change)
        one.set_ylim(0, None)
        one.set_ylabel(unit)
        one.set_title(short(stage, 60), loc="left", fontsize=9)
    axes[-1].set_xlabel("run, oldest first")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.suptitle(
        f"{what.capitalize()} of stages, run by run", x=0.01, ha="left", fontweight="bold", fontsize=11
    )
    if note:
        axes[-1].annotate(note, (1, -0.62), xycoords="axes fraction", ha="right", fontsize=8, color=MIDDLE)
    words = "; ".join(
        f"{one.stage} {one.kind} at run {one.run_id}, {one.ratio:.2f} times"
        for one in found.head(most).itertuples(index=False)
    )
    return Picture(
        figure, f"{what.capitalize()} of {len(stages)} stages over their runs. Changes: {words or 'none'}."
    )


def _mark(axes, mine: pd.DataFrame, run: np.ndarray, factor: float, change) -> None:  # type: ignore[no-untyped-def]
    """A change: dots from where it began to where it was noticed in colour, and its size."""
    span = (mine["at"] >= change.began_at) & (mine["at"] <= change.noticed_at)
    colour = ACCENT if change.kind in ("slower", "accepted") else DARK
    axes.scatter(
        run[span], factor * mine["value"].to_numpy(float)[span], s=16, color=colour, linewidths=0, zorder=3
    )
    axes.axvline(run[span][0] - 0.5, color=colour, linewidth=0.8, linestyle=(0, (2, 2)))
    # where the dots after it are not
    height, side = (0.95, "top") if change.kind == "faster" else (0.06, "bottom")
    text = change.kind if change.kind == "recovered" else f"{change.kind} {change.ratio:.2f}×"
    at = (run[span][0], height)
    axes.annotate(f" {text}", at, xycoords=("data", "axes fraction"), fontsize=8, color=colour, va=side)


def _row(axes, at: float, taken: np.ndarray, quiet: np.ndarray, one: Change) -> None:  # type: ignore[no-untyped-def]
    # dots of a side are spread by a fixed pattern, so that the same samples give the same figure
    spread = 0.07 * ((np.arange(len(taken)) * 0.618) % 1 - 0.5)
    for side, offset, colour in ((0, 0.22, MIDDLE), (1, 0.06, ACCENT)):
        values = taken[:, side] / one.before
        axes.scatter(values[quiet], at + offset + spread[quiet], s=14, color=colour, alpha=0.75, linewidths=0)
        axes.scatter(
            values[~quiet],
            at + offset + spread[~quiet],
            s=14,
            facecolors="none",
            edgecolors=colour,
            linewidths=0.7,
        )
    if np.isfinite(one.floor):
        axes.plot(
            [one.floor / one.before] * 2,
            [at - 0.2, at + 0.34],
            color=DARK,
            linewidth=1,
            linestyle=(0, (2, 2)),
        )
    strong = one.verdict != NOISE
    axes.plot(
        [one.low, one.high],
        [at - 0.16] * 2,
        color=DARK if strong else MIDDLE,
        linewidth=2.2,
        solid_capstyle="butt",
    )
    axes.plot([one.ratio], [at - 0.16], marker="D", markersize=5, color=DARK if strong else MIDDLE)
    text = f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f}), {one.verdict}"
    axes.annotate(
        text,
        (1.01, at - 0.05),
        xycoords=("axes fraction", "data"),
        fontsize=8.5,
        va="center",
        color=DARK if strong else MIDDLE,
        fontweight="bold" if strong else "normal",
    )


def _ticks(axes, values: np.ndarray, found: dict[str, Change]) -> None:  # type: ignore[no-untyped-def]
    from matplotlib.ticker import FixedLocator, NullLocator

    # a floor that is far away stays outside: the samples and what is between them would be a dot
    intervals = [end for one in found.values() for end in (one.low, one.high)]
    low, high = min(*values, *intervals, 0.8), max(*values, *intervals, 1.25)
    axes.set_xlim(low / 1.1, high * 1.1)
    steps = [s * 10.0**e for e in range(-6, 7) for s in (1, 2, 5)]
    shown = [one for one in steps if low / 1.1 <= one <= high * 1.1]
    if high / low < 4:
        shown = [
            one
            for one in (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3)
            if low / 1.1 <= one <= high * 1.1
        ]
    while len(shown) > 8:
        shown = (
            [one for one in shown if round(np.log10(one), 6) == int(np.log10(one))]
            if len(shown) > 12
            else shown[::2]
        )
    axes.xaxis.set_major_locator(FixedLocator(shown))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")


def _said(one: Change, unit: str, factor: float) -> str:
    floor = f", floor {_amount(factor * one.floor)}" if np.isfinite(one.floor) else ""
    return f"{_amount(factor * one.before)} → {_amount(factor * one.after)} {unit}{floor}"


def _amount(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
