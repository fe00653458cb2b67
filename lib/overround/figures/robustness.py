"""Figures of how a result holds: at worse prices, and placed later."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, MIDDLE
from overround.figures.style import canvas, finish, spread_labels
from overround.formatting import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def price_cuts(curve: pd.DataFrame, *, note: str = "") -> Picture:
    """Yield and closing-line value had every price been worse, as `haircut` has it."""
    figure, axes = canvas(2.9)
    x = 100 * curve.index.to_numpy(float)
    _curve(axes, x, curve)
    axes.set_xlabel("every price worse by, %")
    finish(axes, "At worse prices", "yield, %", note)
    gone = curve.index[curve["yield"] <= 0]
    turns = (
        f"; it is gone at {percent(gone[0])}"
        if len(gone)
        else f"; it is above zero up to {percent(curve.index.max())}"
    )
    return Picture(
        figure,
        f"Yield against a cut of every price: {_ends(curve, percent)}{turns if curve['yield'].notna().any() else ''}.",
    )


def delays(curve: pd.DataFrame, *, note: str = "") -> Picture:
    """Yield had every bet been placed later, as `delay_curve` has it; without clock times the figure says so."""
    figure, axes = canvas(2.9 if len(curve) else 1.6)
    if curve.empty:
        axes.text(
            0.5,
            0.5,
            "These prices have no clock times:\nwhat stood later is not known.",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=MIDDLE,
        )
        axes.set_axis_off()
        finish(axes, "Placed later", "", note)
        return Picture(
            figure, "Yield against later placement cannot be told: these prices have no clock times."
        )
    # waits grow by doubling: equal steps read better than minutes to scale
    at = np.arange(len(curve), dtype=float)
    _curve(axes, at, curve)
    axes.set_xticks(
        at, [f"{wait:g}\n{bets:,}" for wait, bets in zip(curve.index, curve["bets"], strict=True)]
    )
    axes.set_xlabel("minutes later, and the bets that could still be placed")
    finish(axes, "Placed later", "yield, %", note)
    return Picture(
        figure, f"Yield against later placement: {_ends(curve, lambda wait: f'{wait:g} minutes')}."
    )


def _curve(axes: "Axes", x: NDArray[np.float64], curve: pd.DataFrame) -> None:
    axes.axhline(0, color=DARK, linewidth=1)
    axes.fill_between(x, 100 * curve["low"], 100 * curve["high"], color=LIGHT, alpha=0.6, linewidth=0)
    axes.plot(x, 100 * curve["yield"], color=ACCENT, linewidth=1.8, marker="o", markersize=4)
    axes.plot(x, 100 * curve["clv"], color=DARK, linewidth=1.2, linestyle=(0, (4, 3)))
    ends = (("yield", "yield", ACCENT), ("high", "95 %", MIDDLE), ("clv", "closing line", DARK))
    spread_labels(
        axes,
        [
            (100 * curve[name].iloc[-1], x[-1], word, colour)
            for name, word, colour in ends
            if curve[name].notna().any()
        ],
    )


def _ends(curve: pd.DataFrame, write: Callable[[float], str]) -> str:
    known = curve[curve["yield"].notna()]
    if known.empty:
        return "no bets"
    first, last = known["yield"].iloc[[0, -1]]
    return f"{percent(first)} at {write(known.index[0])}, {percent(last)} at {write(known.index[-1])}"
