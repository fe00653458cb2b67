"""Figures of a day: its counts beside those of the week before, its prices, and what moved."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, MIDDLE
from overround.figures.style import (
    beside,
    canvas,
    cumulative,
    finish,
    finish_panels,
    logarithmic,
    panels,
    row_canvas,
    short,
    zero,
)


def day_counts(
    days: pd.DataFrame,
    until: pd.Timestamp,
    figures: Sequence[str] = ("prices", "matches", "signals", "bets settled"),
    *,
    note: str = "",
) -> Picture:
    """Counts of the last day beside those of the seven days before it, a panel each.

    Parameters
    ----------
    days : DataFrame
        What `overround.reports.daily.days` returned.
    until : Timestamp
        When the last day ends.
    figures : sequence of str
        Rows of `days` that are counts.
    note : str
        Below the figure.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> until = pd.Timestamp("2026-08-15 06:00", tz="UTC")
    >>> days = pd.DataFrame([[90, 100, 95, 105, 98, 102, 99, 140]], ["prices"])
    >>> print(ov.figures.day_counts(days, until, ["prices"]).alt)
    Bars of the last eight days: prices 90, a day before 100.
    """
    names = list(figures)
    grid = panels(0.9 + 1.45 * -(-len(names) // 2), len(names), 2)
    at = -np.arange(days.shape[1])
    ticks = [0, -7] if days.shape[1] > 7 else [0]
    for place, (axes, name) in enumerate(zip(grid, names, strict=True)):
        values = days.loc[name].to_numpy(float)
        most = max(float(np.nanmax(np.append(values, 0.0))), 1.0)
        # each panel counts something else: a bar is a share of the panel's highest
        axes.bar(at, np.nan_to_num(values) / most, width=0.72, color=[ACCENT, *[LIGHT] * (len(values) - 1)])
        axes.set_ylim(0, 1.22)
        axes.set_yticks([])
        for x in ticks:
            if not np.isnan(values[-x]):
                height, colour = values[-x] / most + 0.04, DARK if x else ACCENT
                axes.text(x, height, f"{values[-x]:,.0f}", ha="center", fontsize=9, color=colour)
        axes.set_xticks(at, [f"{until + pd.Timedelta(days=int(x), hours=-12):%a}" for x in at])
        axes.tick_params(axis="x", labelbottom=place >= len(names) - 2, length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False)
        axes.set_title(name.capitalize(), loc="left", fontsize=10)
    words = "; ".join(
        f"{name} {_count(days.loc[name, 0])}, a day before {_count(days.loc[name, 1])}" for name in names
    )
    title = "The last day (coloured) and the seven before it"
    return finish_panels(grid, title, note, f"Bars of the last eight days: {words}.")


def price_distribution(now: pd.Series, before: pd.Series, *, note: str = "") -> Picture:
    """Cumulative distribution of the last day's prices and of those of the week before.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> today = quotes["collected_at"] >= quotes["collected_at"].max() - pd.Timedelta(days=1)
    >>> print(ov.figures.price_distribution(quotes["price"][today], quotes["price"][~today]).alt)
    Cumulative distribution of prices: the week before 5,640 prices, median 3.08, middle half 2.29 to 3.91;
    the last day 360 prices, median 2.91, middle half 2.54 to 3.61.
    """
    axes, words = canvas(2.6), []
    for values, name, colour, width, side in (
        (before, "the week before", MIDDLE, 1.2, -1),
        (now, "the last day", ACCENT, 2.0, 1),
    ):
        prices = values.dropna().astype(float)
        if prices.empty:
            continue
        low, middle, upper = prices.quantile([0.25, 0.5, 0.75])
        cumulative(
            axes, prices, f"{name}: median {middle:.2f}", colour, 14 * side, -16 * side, linewidth=width
        )
        words.append(
            f"{name} {len(prices):,} prices, median {middle:.2f}, middle half {low:.2f} to {upper:.2f}"
        )
    if words:
        logarithmic(axes)
    alt = f"Cumulative distribution of prices: {'; '.join(words) or 'no prices'}."
    return finish(
        axes, "How high prices are", "% of prices up to this", note, alt, across="price (logarithmic)"
    )


def movers(moves: pd.DataFrame, *, note: str = "") -> Picture:
    """Selections whose price moved most, as `overround.reports.daily.moves` returns them.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> row = {"match": "Leeds – Hull", "outcome": "home", "begin": 2.1, "end": 1.9, "move": 0.105}
    >>> print(ov.figures.movers(pd.DataFrame([row])).alt)
    Largest moves of 1 selections: Leeds – Hull home 2.10 to 1.90.
    """
    pairs = zip(moves["match"], moves["outcome"], strict=True)
    names = [f"{short(match, 40)}, {outcome}" for match, outcome in pairs]
    axes, at = row_canvas(names, frame=1.3, downwards=True)
    size = 100 * moves["move"].to_numpy(float)
    colours = np.where(size > 0, ACCENT, DARK).tolist()
    zero(axes, upright=True)
    axes.hlines(at, 0, size, color=colours, linewidth=3)
    for y, x, colour, row in zip(at, size, colours, moves.itertuples(index=False), strict=True):
        axes.scatter([x], [y], s=36, color=colour, marker=">" if x > 0 else "<", linewidths=0, zorder=3)
        text = f"  {row.begin:.2f} → {row.end:.2f}  ".replace(" ", "\N{NO-BREAK SPACE}")
        beside(axes, (x, y), text, colour, va="center", ha="left" if x > 0 else "right", fontsize=8.5)
    axes.tick_params(axis="y", labelsize=8.5)
    axes.set_ylim(-0.7, max(len(moves), 1) - 0.3)
    if len(moves):
        # room for the prices beside the arrows
        low, high = min(size.min(), 0), max(size.max(), 0)
        room = 0.55 * (high - low)
        axes.set_xlim(low - room * (low < 0), high + room * (high > 0))
    text = "; ".join(
        f"{row.match} {row.outcome} {row.begin:.2f} to {row.end:.2f}"
        for row in moves.head(5).itertuples(index=False)
    )
    alt = f"Largest moves of {len(moves)} selections: {text or 'none'}."
    return finish(
        axes,
        "What moved most before kick-off",
        "",
        note,
        alt,
        across="change of the probability, %;\nmedian of the bookmakers",
    )


def _count(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:,.0f}"
