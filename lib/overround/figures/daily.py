"""Figures of a day: its counts beside those of the week before, its prices, what moved; and a calendar of a whole collection."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, MIDDLE
from overround.figures.style import canvas, finish, label, panels, short

_WEEKS, _BLOCK = 54, 9  # of the calendar: weeks in a year's row, rows of squares from one year to the next


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
        Said below the figure.
    """
    names = list(figures)
    figure, grid = panels(0.9 + 1.45 * -(-len(names) // 2), len(names), 2)
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
                axes.text(
                    x,
                    values[-x] / most + 0.04,
                    f"{values[-x]:,.0f}",
                    ha="center",
                    fontsize=9,
                    color=ACCENT if x == 0 else DARK,
                )
        axes.set_xticks(at, [f"{until + pd.Timedelta(days=int(x), hours=-12):%a}" for x in at])
        axes.tick_params(axis="x", labelbottom=place >= len(names) - 2, length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(visible=False)
        axes.set_title(name.capitalize(), loc="left", fontsize=10)
    figure.suptitle(
        "The last day (coloured) and the seven before it", x=0.01, ha="left", fontweight="bold", fontsize=11
    )
    if note:
        figure.supxlabel(note, x=0.99, ha="right", fontsize=8, color=MIDDLE)
    words = "; ".join(
        f"{name} {_count(days.loc[name, 0])}, a day before {_count(days.loc[name, 1])}" for name in names
    )
    return Picture(figure, f"Bars of the last eight days: {words}.")


def price_distribution(now: pd.Series, before: pd.Series, *, note: str = "") -> Picture:
    """Share of prices up to each height: of the last day, and of the week before it."""
    figure, axes = canvas(2.6)
    words = []
    for values, name, colour, width in (
        (before, "the week before", MIDDLE, 1.2),
        (now, "the last day", ACCENT, 2.0),
    ):
        prices = np.sort(values.dropna().to_numpy(float))
        if not len(prices):
            continue
        share = np.linspace(0, 1, min(len(prices), 400))
        axes.plot(
            np.quantile(prices, share), 100 * share, color=colour, linewidth=width, drawstyle="steps-post"
        )
        middle = float(np.median(prices))
        mine = colour == ACCENT
        axes.annotate(
            f"{name}: median {middle:.2f}",
            (middle, 50),
            xytext=(14 if mine else -14, -16 if mine else 16),
            textcoords="offset points",
            color=colour,
            fontsize=9,
            ha="left" if mine else "right",
        )
        low, upper = np.quantile(prices, [0.25, 0.75])
        words.append(
            f"{name} {len(prices):,} prices, median {middle:.2f}, middle half {low:.2f} to {upper:.2f}"
        )
    if words:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if f"{x:g}"[0] in "235" else "")
    axes.set_ylim(0, 101)
    axes.set_xlabel("price (logarithmic)")
    finish(axes, "How high prices are", "% of prices up to this", note)
    return Picture(figure, f"Cumulative distribution of prices: {'; '.join(words) or 'no prices'}.")


def movers(moves: pd.DataFrame, *, note: str = "") -> Picture:
    """Selections whose price moved most, by the change of their probability, as `overround.reports.daily.moves` has them."""
    figure, axes = canvas(1.3 + 0.3 * max(len(moves), 1))
    at = np.arange(len(moves))[::-1]
    size = 100 * moves["move"].to_numpy(float)
    colours = [ACCENT if one > 0 else DARK for one in size]
    axes.axvline(0, color=DARK, linewidth=1)
    axes.hlines(at, 0, size, color=colours, linewidth=3)
    for y, x, colour, row in zip(at, size, colours, moves.itertuples(index=False), strict=True):
        axes.scatter([x], [y], s=36, color=colour, marker=">" if x > 0 else "<", linewidths=0, zorder=3)
        text = f"  {row.begin:.2f} → {row.end:.2f}  ".replace(" ", "\N{NO-BREAK SPACE}")
        axes.annotate(text, (x, y), va="center", ha="left" if x > 0 else "right", fontsize=8.5, color=colour)
    axes.set_yticks(
        at,
        [
            f"{short(match, 40)}, {outcome}"
            for match, outcome in zip(moves["match"], moves["outcome"], strict=True)
        ],
    )
    axes.tick_params(axis="y", labelsize=8.5)
    axes.set_ylim(-0.7, max(len(moves), 1) - 0.3)
    if len(moves):
        # room for the prices beside the arrows
        room = 0.55 * (max(size.max(), 0) - min(size.min(), 0))
        axes.set_xlim(
            min(size.min(), 0) - room * (size.min() < 0), max(size.max(), 0) + room * (size.max() > 0)
        )
    axes.set_xlabel("change of the probability, %;\nmedian of the bookmakers")
    axes.grid(axis="y", visible=False)
    finish(axes, "What moved most before kick-off", "", note)
    text = "; ".join(
        f"{row.match} {row.outcome} {row.begin:.2f} to {row.end:.2f}"
        for row in moves.head(5).itertuples(index=False)
    )
    return Picture(figure, f"Largest moves of {len(moves)} selections: {text or 'none'}.")


def coverage_calendar(counts: pd.Series, what: str = "prices", *, note: str = "") -> Picture:
    """A calendar of a collection, a row of weeks a year: a square a day, the darker the more came in, pale grey where nothing did.

    Parameters
    ----------
    counts : Series
        Indexed by day; days that are missing between the first and the last had none.
    what : str
        What is counted.
    note : str
        Said below the figure.
    """
    mine = counts.copy()
    mine.index = pd.DatetimeIndex(mine.index).tz_localize(None).normalize()
    mine = mine.groupby(level=0).sum().sort_index()
    every = pd.date_range(mine.index.min(), mine.index.max()) if len(mine) else pd.DatetimeIndex([])
    values = mine.reindex(every, fill_value=0).to_numpy(float)
    years = list(dict.fromkeys(every.year)) or [0]
    row = _BLOCK * (every.year.to_numpy() - years[0]) + every.day_of_week.to_numpy()
    column = _week(every)
    figure, axes = canvas(0.7 + 1.0 * len(years))
    most = max(values.max(initial=0), 1.0)
    axes.imshow(_shaded(values / most, row, column, len(years)), interpolation="nearest", aspect="equal")
    # gaps between the squares
    axes.set_xticks(np.arange(_WEEKS + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(_BLOCK * len(years) + 1) - 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor", axis="both", color="white", linewidth=1.2)
    axes.set_xticks([])
    axes.set_yticks(
        [_BLOCK * block + day for block in range(len(years)) for day in (0, 2, 4, 6)],
        ["Mon", "Wed", "Fri", "Sun"] * len(years),
        fontsize=8,
    )
    axes.tick_params(which="both", length=0)
    axes.set_ylim(_BLOCK * len(years) - 1.5, -2)
    axes.spines[:].set_visible(False)
    for block, year in enumerate(years if len(every) else []):
        axes.annotate(
            f"{year}",
            (-0.8, _BLOCK * block - 1.2),
            ha="right",
            va="center",
            fontsize=9,
            fontweight="bold",
            annotation_clip=False,
        )
        months = pd.date_range(f"{year}-01-01", periods=12, freq="MS")
        for month, x in zip(months, _week(months), strict=True):
            label(axes, x - 0.5, _BLOCK * block - 1.2, f"{month:%b}", MIDDLE)
    none = int((values == 0).sum())
    finish(axes, f"{what.capitalize()} a day (darkest {most:,.0f}, pale grey none)", "", note)
    span = (
        f"from {every[0]:%Y-%m-%d} to {every[-1]:%Y-%m-%d}, {none:,} without any, at most {most:,.0f} on a day"
        if len(every)
        else "known"
    )
    return Picture(figure, f"Calendar of {what}: {len(every):,} days {span}.")


def _week(days: pd.DatetimeIndex) -> np.ndarray:
    """Column of each day in its year's row: weeks begin on Monday."""
    first = (
        pd.DatetimeIndex([f"{year}-01-01" for year in days.year]).day_of_week
        if len(days)
        else days.day_of_week
    )
    return (days.day_of_year.to_numpy() - 1 + first.to_numpy()) // 7


def _shaded(share: np.ndarray, row: np.ndarray, column: np.ndarray, years: int) -> np.ndarray:
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    shades = LinearSegmentedColormap.from_list("overround", ["#c5dcea", ACCENT])
    image = np.zeros((_BLOCK * years, _WEEKS, 4))
    # by the root: days differ a hundredfold
    image[row, column] = np.where((share > 0)[:, None], shades(np.sqrt(share)), to_rgba("#e9ecee"))
    return image


def _count(value: float) -> str:
    return "unknown" if np.isnan(value) else f"{value:,.0f}"
