"""Figures of comparisons: the difference first, with its interval or its band; levels only below it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, LINES, MIDDLE
from overround.evaluation.comparison import FEW, HIGHER, LOWER, by_significance, in_points
from overround.figures.style import (
    canvas,
    dates,
    dots,
    finish,
    finish_panels,
    label,
    name_rows,
    panels,
    short,
    spread_labels,
    zero,
)

_MOST_PANELS = 8  # beyond which nobody compares


def differences(comparison: pd.DataFrame, *, note: str = "") -> Picture:
    """Difference of each run's yield to the first run's with its interval; filled beyond noise.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> comparison = ov.compare_ledgers(ledgers, simulations=200)
    >>> print(ov.figures.differences(comparison).alt)
    Difference in yield to 1%: 3% −1.8 (−17.9 to 22.5) points, within noise.
    """
    rows = by_significance(comparison.dropna(subset=["difference"]))
    axes = canvas(1.1 + 0.34 * max(len(rows), 1))
    _intervals(axes, rows, [short(name) for name in rows.index])
    text = "; ".join(f"{name} {_in_words(row)}" for name, row in rows.iterrows())
    alt = f"Difference in yield to {comparison.index[0]}: {text or 'none can be told'}."
    return finish(
        axes,
        f"Against {short(comparison.index[0])} (filled: beyond noise)",
        "",
        note,
        alt,
        across="difference in yield, percentage points, with 95 % interval",
    )


def difference_curves(curves: pd.DataFrame, comparison: pd.DataFrame, *, note: str = "") -> Picture:
    """How each difference came about over time, with the band of noise; a panel each on the same scales.

    Parameters
    ----------
    curves : DataFrame
        What `overround.difference_curves` returned.
    comparison : DataFrame
        What `compare_ledgers` returned for the same ledgers: its verdicts allow for how many were compared.
    note : str
        Below the figure.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> comparison = ov.compare_ledgers(ledgers, simulations=200)
    >>> curves = ov.evaluation.difference_curves(ledgers)
    >>> print(ov.figures.difference_curves(curves, comparison).alt)
    Running difference in yield to 1% over time: 3% ends at −1.8 points, inside the band of ±20.6.
    """
    first, compared = comparison.index[0], by_significance(comparison)
    names = [name for name in compared.index if name in set(curves["run"])][:_MOST_PANELS]
    columns = 1 if len(names) < 2 else 2
    grid = panels(0.8 + 2.3 * -(-max(len(names), 1) // columns), len(names), columns)
    words = []
    for axes, name in zip(grid, names, strict=False):
        rows, verdict = curves[curves["run"] == name], compared.loc[name, "verdict"]
        colour = ACCENT if verdict in (HIGHER, LOWER) else DARK
        at, noise = rows["at"], 100 * rows["noise"]
        axes.fill_between(at, -noise, noise, color=LIGHT, alpha=0.6, linewidth=0, step="post")
        axes.axhline(0, color=MIDDLE, linewidth=1)
        axes.plot(at, 100 * rows["difference"], color=colour, linewidth=1.6, drawstyle="steps-post")
        end = rows["difference"].iloc[-1]
        label(axes, at.iloc[-1], 100 * end, f" {in_points(end)}", colour)
        axes.set_title(f"{short(name)}: {verdict}", loc="left", fontsize=10)
        dates(axes)
        where = "outside" if abs(end) > rows["noise"].iloc[-1] else "inside"
        words.append(f"{name} ends at {in_points(end)} points, {where} the band of ±{noise.iloc[-1]:.1f}")
    text = "; ".join(words) or "no run has bets to compare"
    return finish_panels(
        grid,
        f"Difference in yield to {short(first)}; grey: noise alone",
        note,
        f"Running difference in yield to {first} over time: {text}.",
        up="percentage points",
    )


def part_differences(parts: pd.DataFrame, against: str, *, note: str = "", most: int = 24) -> Picture:
    """Differences by league, bookmaker and so on, a panel per run on the same scale; filled beyond noise.

    Parameters
    ----------
    parts : DataFrame
        What `compare_within` or `compare_parts` returned; several of the latter may be concatenated.
    against : str
        What the differences are relative to.
    note : str
        Below the figure.
    most : int
        Parts that are drawn: those with the most money staked.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> parts = ov.evaluation.compare_within(ledgers, "outcome", simulations=200)
    >>> print(ov.figures.part_differences(parts, "1%").alt)
    Differences in yield to 1% by outcome, 1 runs: none of 1 beyond noise.
    """
    by = str(parts.columns[0])
    known = parts.dropna(subset=["difference"])
    of_part = known.groupby(by, observed=True).agg({"p_adjusted": "min", "staked": "sum"})
    largest = of_part.loc[of_part["staked"].nlargest(most).sort_index().index]
    order = list(largest.sort_values("p_adjusted", kind="stable").index)
    runs = list(dict.fromkeys(known["run"]))[:_MOST_PANELS]
    columns = min(max(len(runs), 1), 2)
    height = 0.9 + (0.6 + 0.26 * max(len(order), 1)) * -(-max(len(runs), 1) // columns)
    grid = panels(height, len(runs), columns)
    for axes, run in zip(grid, runs, strict=False):
        rows = known[known["run"] == run].set_index(by).reindex(order)
        _intervals(axes, rows, [short(part, 24) for part in order])
        axes.set_title(short(run), loc="left", fontsize=10)
    ends = known.loc[known[by].isin(order), ["low", "high"]].to_numpy(float)
    # a part of few bets has no interval, and may lie anywhere: it must not squeeze the rest
    if np.isfinite(ends).any():
        left, right = min(np.nanmin(ends), 0.0), max(np.nanmax(ends), 0.0)
        grid[0].set_xlim(100 * left - 6 * (right - left), 100 * right + 6 * (right - left))
    sure = known[known["verdict"].isin((HIGHER, LOWER))]
    text = "; ".join(
        f"{row['run']} at {row[by]} {_in_words(row)}" for _, row in by_significance(sure).head(6).iterrows()
    )
    count = f"{len(sure) or 'none'} of {int((known['verdict'] != FEW).sum())} beyond noise"
    return finish_panels(
        grid,
        f"By {short(by)}: difference to {short(against, 40)} (filled: beyond noise)",
        note,
        f"Differences in yield to {against} by {short(by)}, {len(runs)} runs: "
        f"{count}{': ' + text if text else ''}.",
        across="difference in yield, percentage points, with 95 % interval",
    )


def compared_bankrolls(ledgers: Mapping[str, pd.DataFrame], *, note: str = "") -> Picture:
    """Running profit of several runs on the same axes.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> print(ov.figures.compared_bankrolls(ledgers).alt)
    Running profit of 2 runs: 1% ends at -160; 3% ends at -82.
    """
    axes = canvas(3.6)
    axes.axhline(0, color=MIDDLE, linewidth=1)
    ends = []
    for i, (name, ledger) in enumerate(ledgers.items()):
        path = ledger.groupby("settled_at")["profit"].sum().sort_index().cumsum()
        colour = LINES[i % len(LINES)]
        if len(path):
            axes.plot(path.index, path, color=colour, linewidth=1.6, drawstyle="steps-post")
            ends.append((path.iloc[-1], path.index[-1], short(name), colour))
    if ends:
        dates(axes)
    spread_labels(axes, ends)
    text = "; ".join(f"{name} ends at {end:,.0f}" for end, _, name, _ in ends)
    alt = f"Running profit of {len(ledgers)} runs: {text or 'no bets'}."
    return finish(axes, "Profit of each run", "profit", note, alt)


def _intervals(axes: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """Interval and estimate of each row, filled beyond noise; a cross if the bets are too few."""
    at = np.arange(len(rows))[::-1]
    value = 100 * rows["difference"].to_numpy(float)
    sure = rows["verdict"].isin((HIGHER, LOWER)).to_numpy(bool)
    few = rows["verdict"].eq(FEW).to_numpy(bool)
    known = ~few & ~np.isnan(value)
    colours = np.where(sure, ACCENT, MIDDLE)
    zero(axes, upright=True)
    axes.hlines(at, 100 * rows["low"], 100 * rows["high"], color=colours.tolist(), linewidth=1.6)
    axes.scatter(value[few], at[few], s=24, color=MIDDLE, marker="x", linewidths=1.2, zorder=3)
    dots(axes, value[known], at[known], sure[known], colours[known])
    name_rows(axes, at, names)
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)


def _in_words(row: pd.Series) -> str:
    return f"{in_points(*row[['difference', 'low', 'high']])} points, {row['verdict']}"
