"""Figures of forecasts: how far each is from the market's close, season by season, and whether what it tells happens."""

import numpy as np
import pandas as pd

from overround.figures.look import ACCENT, DARK, LIGHT, LINES, MIDDLE, canvas, finish, short, spread_labels
from overround.show import Picture


def forecast_gaps(scores: pd.DataFrame, reference: str, *, note: str = "") -> Picture:
    """Log loss of each forecast above the reference's, by season, with its interval.

    Parameters
    ----------
    scores : DataFrame
        What `compare_forecasts(..., by="season")` returned; the first column names the parts.
    reference : str
        The forecast that the others were held against.
    """
    by = scores.columns[0]
    parts = sorted(set(scores[by]))
    names = [name for name in dict.fromkeys(scores.index) if name != reference]
    figure, axes = canvas(3.6)
    axes.axhline(0, color=DARK, linewidth=1)
    ends = []
    for i, name in enumerate(names):
        rows = scores.loc[[name]].set_index(by).reindex(parts)
        # side by side, so that intervals do not cover each other
        at = np.arange(len(parts)) + (i - (len(names) - 1) / 2) * 0.14
        colour = LINES[i % len(LINES)]
        axes.vlines(at, 1000 * rows["low"], 1000 * rows["high"], color=colour, linewidth=1.1, alpha=0.45)
        axes.plot(at, 1000 * rows["gap"], color=colour, linewidth=1.4, marker="o", markersize=4)
        ends.append((1000 * rows["gap"].iloc[-1], len(parts) - 0.6, short(name), colour))
    every = np.arange(0, len(parts), 1 + len(parts) // 10)
    axes.set_xticks(every, [short(parts[number]) for number in every])
    if parts:
        axes.set_xlim(-0.6, len(parts) - 0.6)
    spread_labels(axes, [end for end in ends if np.isfinite(end[0])])
    finish(axes, f"Log loss less that of {reference}, by {by}", "thousandths of a nat, with 95 % interval", note)
    means = {name: 1000 * np.average(rows["gap"], weights=rows["matches"]) for name, rows in scores.groupby(level=0) if name in names}
    text = "; ".join(f"{name} {mean:+.1f}" for name, mean in means.items())
    return Picture(figure, f"Log loss above {reference} over {len(parts)} values of {by}, mean in thousandths of a nat: {text or 'none'}.")


def forecast_reliability(reliability: pd.DataFrame, name: str, reference: str, *, note: str = "") -> Picture:
    """How much more often something happened than was told, against what was told: one forecast, and the reference in grey."""
    figure, axes = canvas(3.2)
    axes.axhline(0, color=DARK, linewidth=1)
    mine = reliability[reliability["forecast"] == name]
    other = reliability[reliability["forecast"] == reference]
    axes.plot(100 * other["told"], 100 * (other["happened"] - other["told"]), color=MIDDLE, linewidth=1.4, marker="o", markersize=4)
    chance = [100 * (mine[end] - mine["happened"]) for end in ("low", "high")]
    axes.fill_between(100 * mine["told"], *chance, color=LIGHT, alpha=0.6, linewidth=0)
    axes.plot(100 * mine["told"], 100 * (mine["happened"] - mine["told"]), color=ACCENT, linewidth=1.6, marker="o", markersize=4)
    axes.set_xlabel("told, %")
    # both lines end near each other: their labels stand apart
    ends = [(100 * (rows["happened"] - rows["told"]).iloc[-1], 100 * rows["told"].iloc[-1], short(label), colour)
            for rows, label, colour in ((mine, name, ACCENT), (other, reference, MIDDLE)) if len(rows)]  # fmt: skip
    spread_labels(axes, ends)
    finish(axes, "Happened less told; grey band: chance alone", "percentage points", note)
    off = 100 * (mine["happened"] - mine["told"])
    outside = int(((mine["told"] < mine["low"]) | (mine["told"] > mine["high"])).sum())
    groups = f"{len(mine)} groups of {int(mine['outcomes'].mean()) if len(mine) else 0:,} outcomes"
    away = f"happened less told from {off.min():+.1f} to {off.max():+.1f} percentage points" if len(mine) else "nothing was told"
    return Picture(figure, f"Reliability of {name} in {groups}: {away}, {outside} groups beyond chance.")
