"""Figures of probabilities: who is sharp, whether they happen as often as they say, what a method of margin removal is worth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LINES, MIDDLE
from overround.errors import ParameterError
from overround.figures.style import canvas, finish, panels, short, spread_labels
from overround.formatting import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SURE = 0.05  # p-value adjusted for all that is compared
_FEWEST_WINS = 10  # expected in a band that is drawn: below, the interval is wider than the figure


def sharpness(scores: pd.DataFrame, reference: str, *, note: str = "") -> Picture:
    """Accuracy of each bookmaker's last prices against the reference's on the same matches, as `probability_scores` has it."""
    rows = scores.dropna(subset=["gap"]).sort_values("gap", ascending=False)
    figure, axes = canvas(1.1 + 0.3 * max(len(rows), 1))
    at, sure = np.arange(len(rows)), rows["p_adjusted"] < _SURE
    axes.axvline(0, color=DARK, linewidth=1)
    axes.hlines(at, 1000 * rows["low"], 1000 * rows["high"], color=MIDDLE, linewidth=1.4)
    _dots(axes, 1000 * rows["gap"], at, sure)
    axes.set_yticks(
        at, [f"{short(name)}  ({percent(margin - 1)})" for name, margin in rows["overround"].items()]
    )
    axes.set_xlabel("excess log loss, thousandths; filled if Holm's p < 0.05")
    axes.grid(axis="y", visible=False)
    finish(axes, f"Last prices against {short(reference)} (margin in brackets)", "", note)
    worse, better = int((sure & (rows["gap"] > 0)).sum()), int((sure & (rows["gap"] < 0)).sum())
    text = f"{worse} bookmakers are less accurate than {reference} beyond noise, {better} more accurate, allowing for {len(rows)} compared"
    return Picture(
        figure, f"Log loss of each bookmaker's last price against {reference} on the same matches: {text}."
    )


def reliability_diagram(table: pd.DataFrame, panel: str = "bookmaker", *, note: str = "") -> Picture:
    """How much more or less often things happened than was said, with intervals, as `reliability` has it; a panel for each bookmaker.

    Drawn is the distance to the diagonal of the usual diagram, which would hide deviations of a point or two.
    """
    names = list(dict.fromkeys(table[panel]))
    columns = min(len(names), 3) or 1
    figure, grid = panels(1.1 + 1.7 * max(1, -(-len(names) // columns)), len(names), columns)
    lines = []
    for axes, name in zip(grid, names, strict=False):
        rows = table[table[panel] == name]
        x, off = 100 * rows["predicted"], 100 * (rows["observed"] - rows["predicted"])
        low, high = 100 * (rows["low"] - rows["predicted"]), 100 * (rows["high"] - rows["predicted"])
        sure = (low > 0) | (high < 0)
        axes.axhline(0, color=DARK, linewidth=1)
        axes.vlines(x, low, high, color=MIDDLE, linewidth=1.4)
        _dots(axes, x, off, sure)
        axes.set_title(short(name), loc="left", fontsize=10)
        lines.append(f"{name} {int(sure.sum())} of {len(rows)}, widest {off.abs().max():.1f} points")
    grid[0].set_xlim(0, None)
    _say_empty(grid, table)
    _around(
        figure,
        "Observed less predicted; filled if the 95 % interval excludes 0",
        "predicted probability, %",
        "percentage points",
        note,
    )
    text = "; ".join(lines) or "no decided matches"
    return Picture(figure, f"Reliability: bins whose interval excludes the predicted probability: {text}.")


def longshots(table: pd.DataFrame, *, note: str = "") -> Picture:
    """Favourite-longshot bias before and after: observed over expected wins by price under each method, as `longshot_bias` has it.

    Raises
    ------
    ParameterError
        Where the table has more than one row of a method and price band: choose one bookmaker, market and
        phase.
    """
    if table.duplicated(["method", "band"]).any():
        raise ParameterError(
            "the table has several groups; a figure of long shots shows one: choose a bookmaker, market and phase."
        )
    methods = list(dict.fromkeys(table["method"]))
    figure, grid = panels(3.2, len(methods), len(methods) or 1)
    rows = table[table["selections"] * table["expected"] >= _FEWEST_WINS]
    off = []
    for axes, method in zip(grid, methods, strict=False):
        mine = rows[rows["method"] == method]
        sure = (mine["low"] > 1) | (mine["high"] < 1)
        axes.axhline(1, color=DARK, linewidth=1)
        axes.vlines(mine["price"], mine["low"], mine["high"], color=MIDDLE, linewidth=1.4)
        _dots(axes, mine["price"], mine["ratio"], sure)
        axes.set_title(short(method), loc="left", fontsize=10)
        off.append(f"{method} {int(sure.sum())} of {len(mine)}")
    if len(rows):
        grid[0].set_xscale("log")
        grid[0].set_xticks([1.2, 2, 4, 8, 16], ["1.2", "2", "4", "8", "16"])
        grid[0].set_xticks([], minor=True)
    _say_empty(grid, rows)
    at = f" at {short(table['bookmaker'].iloc[0], 20)}" if "bookmaker" in table and len(table) else ""
    _around(
        figure,
        f"Wins over expected wins{at}; filled if the interval excludes 1",
        "price (logarithmic)",
        "ratio",
        note,
    )
    return Picture(
        figure,
        f"Observed over expected wins{at} by price: bands whose interval excludes 1: {'; '.join(off) or 'no decided matches'}.",
    )


def methods_compared(
    table: pd.DataFrame, reference: str, panel: str = "bookmaker", *, note: str = ""
) -> Picture:
    """Log loss under each method of margin removal less that under another, as `score_table` with a method as reference has it."""
    rows = table[(table["method"] != reference) & table["gap"].notna()]
    names = list(dict.fromkeys(rows[panel]))
    methods = list(rows.groupby("method")["gap"].mean().sort_values(ascending=False).index)
    columns = min(len(names), 3) or 1
    figure, grid = panels(
        1.2 + (0.5 + 0.22 * max(len(methods), 1)) * max(1, -(-len(names) // columns)), len(names), columns
    )
    best = []
    for axes, name in zip(grid, names, strict=False):
        mine = rows[rows[panel] == name].set_index("method").reindex(methods)
        at, sure = np.arange(len(methods)), (mine["low"] > 0) | (mine["high"] < 0)
        axes.axvline(0, color=DARK, linewidth=1)
        axes.hlines(at, 1000 * mine["low"], 1000 * mine["high"], color=MIDDLE, linewidth=1.4)
        _dots(axes, 1000 * mine["gap"], at, sure)
        axes.set_yticks(at, [short(method) for method in methods])
        axes.set_ylim(-0.6, len(methods) - 0.4)
        axes.grid(axis="y", visible=False)
        axes.set_title(short(name), loc="left", fontsize=10)
        best.append(f"{name} {mine['gap'].idxmin()} by {-1000 * mine['gap'].min():.2f}")
    _say_empty(grid, rows)
    unit = f"log loss less that of {short(reference)}, thousandths; lower is better"
    _around(figure, "Methods of margin removal; filled if the 95 % interval excludes 0", unit, "", note)
    return Picture(
        figure, f"Log loss against {reference}, lowest in thousandths at {'; '.join(best) or 'none'}."
    )


def sharpness_by_season(
    table: pd.DataFrame, reference: str, bookmakers: Sequence[str] = (), *, note: str = ""
) -> Picture:
    """Log loss less the reference's, season by season, as `score_table` by season has it; by default the five with most matches."""
    rows = table[(table["bookmaker"] != reference) & table["gap"].notna()]
    names = list(bookmakers) or list(rows.groupby("bookmaker")["common"].sum().nlargest(5).index)
    seasons = sorted(set(rows["season"]))
    figure, axes = canvas(3.4)
    axes.axhline(0, color=DARK, linewidth=1)
    ends, above = [], []
    for i, name in enumerate(names):
        mine = rows[rows["bookmaker"] == name].sort_values("season")
        at = np.array([seasons.index(season) for season in mine["season"]], float) + 0.12 * (
            i - (len(names) - 1) / 2
        )
        colour = LINES[i % len(LINES)]
        axes.vlines(at, 1000 * mine["low"], 1000 * mine["high"], color=colour, linewidth=1, alpha=0.45)
        axes.plot(at, 1000 * mine["gap"], color=colour, linewidth=1.3, marker="o", markersize=3.5)
        if len(mine):
            ends.append((1000 * mine["gap"].iloc[-1], len(seasons) - 1 + 0.35, short(name), colour))
            above.append(f"{name} worse in {int((mine['gap'] > 0).sum())} of {len(mine)}")
    axes.set_xticks(range(len(seasons)), [short(season) for season in seasons])
    spread_labels(axes, ends)
    finish(axes, f"Log loss less that of {short(reference)}; bars: 95 % intervals", "thousandths", note)
    return Picture(
        figure, f"Log loss against {reference} by season: {'; '.join(above) or 'no decided matches'}."
    )


def _dots(axes: "Axes", x: ArrayLike, y: ArrayLike, filled: pd.Series) -> None:
    axes.scatter(
        x,
        y,
        s=26,
        zorder=3,
        color=[ACCENT if flag else "white" for flag in filled],
        edgecolors=ACCENT,
        linewidths=1.3,
    )


def _say_empty(grid: Sequence["Axes"], rows: pd.DataFrame) -> None:
    for axes in grid if rows.empty else ():
        axes.set_axis_off()
        axes.text(
            0.5,
            0.5,
            "too few matches with a result",
            ha="center",
            va="center",
            transform=axes.transAxes,
            color=MIDDLE,
            fontsize=9,
        )


def _around(figure: "Figure", title: str, across: str, up: str, note: str) -> None:
    """Title, the axes' common units, and a note below."""
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
    figure.supxlabel(f"{across}\n{note}" if note else across, fontsize=9)
    if up:
        figure.supylabel(up, fontsize=9)
