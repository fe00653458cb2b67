"""Figures of how robust a result is: at worse prices, and placed later."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, MIDDLE
from overround.figures.style import DASHED, canvas, finish, say, spread_labels, zero
from overround.formatting import percent


def price_cuts(curve: pd.DataFrame, *, note: str = "") -> Picture:
    """Yield and closing-line value had every price been worse, as `haircut` returns it.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> print(ov.figures.price_cuts(ov.evaluation.haircut(ledger, simulations=200)).alt)
    Yield against a cut of every price: −11.7 % at 0.0 %, −14.3 % at 3.0 %; it is gone at 0.0 %.
    """
    axes = canvas(2.9)
    _curve(axes, 100 * curve.index.to_numpy(float), curve)
    gone = curve.index[curve["yield"] <= 0]
    turns = ""
    if curve["yield"].notna().any():
        above = f"it is above zero up to {percent(curve.index.max())}"
        turns = f"; {f'it is gone at {percent(gone[0])}' if len(gone) else above}"
    alt = f"Yield against a cut of every price: {_ends(curve, percent)}{turns}."
    return finish(axes, "At worse prices", "yield, %", note, alt, across="every price worse by, %")


def delays(curve: pd.DataFrame, *, note: str = "") -> Picture:
    """Yield had every bet been placed later, see `delay_curve`; without clock times the figure says so.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.datasets.example_signals()
    >>> curve = ov.evaluation.delay_curve(signals, quotes, results, (0, 720), simulations=200)
    >>> print(ov.figures.delays(curve).alt)
    Yield against later placement: −11.7 % at 0 minutes, 0.0 % at 720 minutes.
    """
    axes = canvas(2.9 if len(curve) else 1.6)
    if curve.empty:
        say(axes, "These prices have no clock times:\nwhat stood later is not known.")
        alt = "Yield against later placement cannot be told: these prices have no clock times."
        return finish(axes, "Placed later", "", note, alt)
    # waits double from one to the next: equal steps read better than minutes to scale
    at = np.arange(len(curve), dtype=float)
    _curve(axes, at, curve)
    waits = zip(curve.index, curve["bets"], strict=True)
    axes.set_xticks(at, [f"{wait:g}\n{bets:,}" for wait, bets in waits])
    alt = f"Yield against later placement: {_ends(curve, lambda wait: f'{wait:g} minutes')}."
    return finish(
        axes,
        "Placed later",
        "yield, %",
        note,
        alt,
        across="minutes later, and the bets that could still be placed",
    )


def _curve(axes: Axes, x: NDArray[np.float64], curve: pd.DataFrame) -> None:
    zero(axes)
    axes.fill_between(x, 100 * curve["low"], 100 * curve["high"], color=LIGHT, alpha=0.6, linewidth=0)
    axes.plot(x, 100 * curve["yield"], color=ACCENT, linewidth=1.8, marker="o", markersize=4)
    axes.plot(x, 100 * curve["clv"], color=DARK, linewidth=1.2, linestyle=DASHED)
    ends = (("yield", "yield", ACCENT), ("high", "95 %", MIDDLE), ("clv", "closing line", DARK))
    known = [end for end in ends if curve[end[0]].notna().any()]
    spread_labels(axes, [(100 * curve[name].iloc[-1], x[-1], word, colour) for name, word, colour in known])


def _ends(curve: pd.DataFrame, write: Callable[[float], str]) -> str:
    known = curve[curve["yield"].notna()]
    if known.empty:
        return "no bets"
    first, last = known["yield"].iloc[[0, -1]]
    return f"{percent(first)} at {write(known.index[0])}, {percent(last)} at {write(known.index[-1])}"
