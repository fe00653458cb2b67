"""Figures of comparisons: the difference first, with its interval or its band; levels only below it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, LINES, MIDDLE
from overround.evaluation.comparison import FEW, HIGHER, LOWER, by_significance, in_points
from overround.figures.style import canvas, dates, finish, label, panels, short, spread_labels

# panels of a figure beyond which nobody compares
_MOST = 8


def differences(comparison: pd.DataFrame, *, note: str = "") -> Picture:
    """Difference of each run's yield to the first run's, with its interval, the surest on top; filled where it is beyond noise."""
    rows = by_significance(comparison.dropna(subset=["difference"]))
    figure, axes = canvas(1.1 + 0.34 * max(len(rows), 1))
    _intervals(axes, rows, [short(name) for name in rows.index])
    axes.set_xlabel("difference in yield, percentage points, with 95 % interval")
    finish(axes, f"Against {short(comparison.index[0])} (filled: beyond noise)", "", note)
    text = "; ".join(f"{name} {_said(row)}" for name, row in rows.iterrows())
    return Picture(figure, f"Difference in yield to {comparison.index[0]}: {text or 'none can be told'}.")


def difference_curves(curves: pd.DataFrame, comparison: pd.DataFrame, *, note: str = "") -> Picture:
    """How each difference came about, a panel each on the same scales, the surest first, with the band in which two equals stay.

    Parameters
    ----------
    curves : DataFrame
        What `overround.difference_curves` returned.
    comparison : DataFrame
        What `compare_ledgers` said of the same ledgers: its verdicts allow for how many were compared.
    note : str
        Below the figure.
    """
    first, told = comparison.index[0], by_significance(comparison)
    names = [name for name in told.index if name in set(curves["run"])][:_MOST]
    columns = 1 if len(names) < 2 else 2
    figure, grid = panels(0.8 + 2.3 * -(-max(len(names), 1) // columns), len(names), columns)
    words = []
    for axes, name in zip(grid, names, strict=False):
        mine, verdict = curves[curves["run"] == name], told.loc[name, "verdict"]
        colour = ACCENT if verdict in (HIGHER, LOWER) else DARK
        axes.fill_between(
            mine["at"],
            -100 * mine["noise"],
            100 * mine["noise"],
            color=LIGHT,
            alpha=0.6,
            linewidth=0,
            step="post",
        )
        axes.axhline(0, color=MIDDLE, linewidth=1)
        axes.plot(mine["at"], 100 * mine["difference"], color=colour, linewidth=1.6, drawstyle="steps-post")
        end, noise = mine["difference"].iloc[-1], mine["noise"].iloc[-1]
        label(axes, mine["at"].iloc[-1], 100 * end, f" {in_points(end)}", colour)
        axes.set_title(f"{short(name)}: {verdict}", loc="left", fontsize=10)
        dates(axes)
        where = "outside" if abs(end) > noise else "inside"
        words.append(f"{name} ends at {in_points(end)} points, {where} the band of ±{100 * noise:.1f}")
    figure.suptitle(
        f"Difference in yield to {short(first)}; grey: noise alone",
        x=0.01,
        ha="left",
        fontweight="bold",
        fontsize=11,
    )
    figure.supylabel("percentage points", fontsize=10)
    if note:
        figure.supxlabel(note, x=0.99, ha="right", fontsize=8, color=MIDDLE)
    return Picture(
        figure,
        f"Running difference in yield to {first} over time: {'; '.join(words) or 'no run has bets to compare'}.",
    )


def part_differences(parts: pd.DataFrame, against: str, *, note: str = "", most: int = 24) -> Picture:
    """Differences in each league, at each bookmaker and so on, a panel a run on the same scale; filled where beyond noise.

    Parameters
    ----------
    parts : DataFrame
        What `compare_within` or `compare_parts` returned; several of the latter may be put one below the
        other.
    against : str
        What the differences are to.
    note : str
        Below the figure.
    most : int
        Parts that are drawn, those with most money.
    """
    by = str(parts.columns[0])
    known = parts.dropna(subset=["difference"])
    order = known.groupby(by)["p_adjusted"].min().sort_values(na_position="last", kind="stable").index
    kept = known.groupby(by)["staked"].sum().nlargest(most).index
    order = [part for part in order if part in set(kept)]
    runs = list(dict.fromkeys(known["run"]))[:_MOST]
    columns = min(max(len(runs), 1), 2)
    figure, grid = panels(
        0.9 + (0.6 + 0.26 * max(len(order), 1)) * -(-max(len(runs), 1) // columns), len(runs), columns
    )
    for axes, run in zip(grid, runs, strict=False):
        rows = known[known["run"] == run].set_index(by).reindex(order)
        _intervals(axes, rows, [short(part, 24) for part in order])
        axes.set_title(short(run), loc="left", fontsize=10)
    ends = known.loc[known[by].isin(order), ["low", "high"]].to_numpy(float)
    if np.isfinite(
        ends
    ).any():  # a part of few bets has no interval, and may lie anywhere: it must not squeeze the rest
        left, right = min(np.nanmin(ends), 0.0), max(np.nanmax(ends), 0.0)
        grid[0].set_xlim(100 * left - 6 * (right - left), 100 * right + 6 * (right - left))
    figure.suptitle(
        f"By {short(by)}: difference to {short(against, 40)} (filled: beyond noise)",
        x=0.01,
        ha="left",
        fontweight="bold",
        fontsize=11,
    )
    figure.supxlabel(
        f"difference in yield, percentage points, with 95 % interval{chr(10) + note if note else ''}",
        fontsize=9,
    )
    sure = known[known["verdict"].isin((HIGHER, LOWER))]
    text = "; ".join(
        f"{row['run']} at {row[by]} {_said(row)}" for _, row in by_significance(sure).head(6).iterrows()
    )
    count = f"{len(sure) or 'none'} of {int((known['verdict'] != FEW).sum())} beyond noise"
    return Picture(
        figure,
        f"Differences in yield to {against} by {short(by)}, {len(runs)} runs: {count}{': ' + text if text else ''}.",
    )


def compared_bankrolls(ledgers: Mapping[str, pd.DataFrame], *, note: str = "") -> Picture:
    """Running profit of several runs on one axis."""
    figure, axes = canvas(3.6)
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
    finish(axes, "Profit of each run", "profit", note)
    text = "; ".join(f"{name} ends at {end:,.0f}" for end, _, name, _ in ends)
    return Picture(figure, f"Running profit of {len(ledgers)} runs: {text or 'no bets'}.")


def _intervals(axes, rows: pd.DataFrame, names: list[str]) -> None:  # type: ignore[no-untyped-def]
    """A row each: interval and estimate, filled where it is beyond noise, a cross where the bets are too few for an interval."""
    at = np.arange(len(rows))[::-1]
    value, sure = (
        100 * rows["difference"].to_numpy(float),
        rows["verdict"].isin((HIGHER, LOWER)).to_numpy(bool),
    )
    few = rows["verdict"].eq(FEW).to_numpy(bool)
    axes.axvline(0, color=DARK, linewidth=1)
    axes.hlines(
        at,
        100 * rows["low"],
        100 * rows["high"],
        color=[ACCENT if one else MIDDLE for one in sure],
        linewidth=1.6,
    )
    axes.scatter(value[few], at[few], s=24, color=MIDDLE, marker="x", linewidths=1.2, zorder=3)
    dots = ~few & ~np.isnan(value)
    axes.scatter(
        value[dots],
        at[dots],
        s=34,
        zorder=3,
        color=[ACCENT if one else "white" for one in sure[dots]],
        edgecolors=[ACCENT if one else MIDDLE for one in sure[dots]],
        linewidths=1.4,
    )
    axes.set_yticks(at, names)
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes.grid(axis="y", visible=False)


def _said(row: pd.Series) -> str:
    return f"{in_points(*row[['difference', 'low', 'high']])} points, {row['verdict']}"
