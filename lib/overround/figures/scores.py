"""Figures of probabilities: sharpness, calibration, and the methods of margin removal."""

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from overround.display.elements import Picture
from overround.display.palette import LINES, MIDDLE
from overround.errors import ParameterError
from overround.figures.style import (
    canvas,
    dots,
    finish,
    finish_panels,
    name_rows,
    panels,
    say,
    short,
    spread_labels,
    zero,
)
from overround.formatting import percent
from overround.prices.margin import METHODS

_SURE = 0.05  # p-value adjusted for all comparisons
_FEWEST_WINS = 10  # expected in a band that is drawn: below, the interval is wider than the figure


def sharpness(scores: pd.DataFrame, reference: str, *, note: str = "") -> Picture:
    """Accuracy of each bookmaker's last prices against the reference's, see `probability_scores`.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> fair = ov.fair_probabilities(ov.prices.closing_quotes(quotes))
    >>> scores = ov.forecasts.probability_scores(fair, results, "sharp")
    >>> print(ov.figures.sharpness(scores, "sharp").alt)
    Log loss of each bookmaker's last price against sharp on the same matches: 0 bookmakers are less
    accurate than sharp beyond noise, 0 more accurate, allowing for 4 compared.
    """
    rows = scores.dropna(subset=["gap"]).sort_values("gap", ascending=False)
    axes = canvas(1.1 + 0.3 * max(len(rows), 1))
    sure = rows["p_adjusted"] < _SURE
    margins = rows["overround"].items()
    _gaps(axes, rows, sure, [f"{short(name)}  ({percent(margin - 1)})" for name, margin in margins])
    worse, better = int((sure & (rows["gap"] > 0)).sum()), int((sure & (rows["gap"] < 0)).sum())
    alt = (
        f"Log loss of each bookmaker's last price against {reference} on the same matches: "
        f"{worse} bookmakers are less accurate than {reference} beyond noise, {better} more accurate, "
        f"allowing for {len(rows)} compared."
    )
    return finish(
        axes,
        f"Last prices against {short(reference)} (margin in brackets)",
        "",
        note,
        alt,
        across="excess log loss, thousandths; filled if Holm's p < 0.05",
    )


def reliability_diagram(table: pd.DataFrame, panel: str = "bookmaker", *, note: str = "") -> Picture:
    """Observed less predicted frequencies with intervals, see `reliability`; a panel per bookmaker.

    It shows the distance to the diagonal of the usual diagram, which would hide deviations of a point or two.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> table = ov.forecasts.reliability(quotes, results)
    >>> print(ov.figures.reliability_diagram(table).alt)
    Reliability: bins whose interval excludes the predicted probability: sharp 0 of 20, widest 15.9 points;
    soft_1 0 of 20, widest 8.5 points; soft_2 0 of 20, widest 10.5 points; soft_3 0 of 20, widest 14.1
    points.
    """
    grid, parts = _panels(table, panel, 1.1, 1.7)
    words = []
    for axes, name, rows in parts:
        x, off = 100 * rows["predicted"], 100 * (rows["observed"] - rows["predicted"])
        low, high = 100 * (rows["low"] - rows["predicted"]), 100 * (rows["high"] - rows["predicted"])
        sure = (low > 0) | (high < 0)
        zero(axes)
        axes.vlines(x, low, high, color=MIDDLE, linewidth=1.4)
        dots(axes, x, off, sure)
        words.append(f"{name} {int(sure.sum())} of {len(rows)}, widest {off.abs().max():.1f} points")
    grid[0].set_xlim(0, None)
    _say_empty(grid, table)
    text = "; ".join(words) or "no decided matches"
    return finish_panels(
        grid,
        "Observed less predicted; filled if the 95 % interval excludes 0",
        note,
        f"Reliability: bins whose interval excludes the predicted probability: {text}.",
        across="predicted probability, %",
        up="percentage points",
    )


def longshots(table: pd.DataFrame, *, note: str = "") -> Picture:
    """Favourite-longshot bias: observed over expected wins by price and method, see `longshot_bias`.

    Raises
    ------
    ParameterError
        If the table has more than one row per method and price band: choose one bookmaker, market and phase.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> table = ov.forecasts.longshot_bias(quotes[quotes["bookmaker"] == "soft_1"], results)
    >>> print(ov.figures.longshots(table[table["phase"] == "close"]).alt)
    Observed over expected wins at soft 1 by price: bands whose interval excludes 1: multiplicative 0 of 4;
    shin 0 of 4; power 0 of 4.
    """
    if table.duplicated(["method", "band"]).any():
        raise ParameterError(
            "the table has several groups; a figure of long shots shows one: "
            "choose a bookmaker, market and phase."
        )
    grid, parts = _panels(table, "method", 0.0, 3.2, columns=len(METHODS))
    rows = table[table["selections"] * table["expected"] >= _FEWEST_WINS]
    off = []
    for axes, method, part in parts:
        mine = part[part.index.isin(rows.index)]
        sure = (mine["low"] > 1) | (mine["high"] < 1)
        zero(axes, at=1)
        axes.vlines(mine["price"], mine["low"], mine["high"], color=MIDDLE, linewidth=1.4)
        dots(axes, mine["price"], mine["ratio"], sure)
        off.append(f"{method} {int(sure.sum())} of {len(mine)}")
    if len(rows):
        grid[0].set_xscale("log")
        grid[0].set_xticks([1.2, 2, 4, 8, 16], ["1.2", "2", "4", "8", "16"])
        grid[0].set_xticks([], minor=True)
    _say_empty(grid, rows)
    at = f" at {short(table['bookmaker'].iloc[0], 20)}" if "bookmaker" in table and len(table) else ""
    text = "; ".join(off) or "no decided matches"
    return finish_panels(
        grid,
        f"Wins over expected wins{at}; filled if the interval excludes 1",
        note,
        f"Observed over expected wins{at} by price: bands whose interval excludes 1: {text}.",
        across="price (logarithmic)",
        up="ratio",
    )


def methods_compared(
    table: pd.DataFrame, reference: str, panel: str = "bookmaker", *, note: str = ""
) -> Picture:
    """Log loss under each margin method less that of the reference method, see `score_table`.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> last = ov.prices.closing_quotes(quotes)
    >>> methods = ["multiplicative", "shin"]
    >>> scores = ov.forecasts.score_table(last, results, methods, reference="multiplicative")
    >>> print(ov.figures.methods_compared(scores[scores["phase"] == "close"], "multiplicative").alt)
    Log loss against multiplicative, lowest in thousandths at sharp shin by -0.67; soft_1 shin by -1.57;
    soft_2 shin by -1.65; soft_3 shin by -1.76.
    """
    rows = table[(table["method"] != reference) & table["gap"].notna()]
    methods = list(rows.groupby("method", observed=True)["gap"].mean().sort_values(ascending=False).index)
    grid, parts = _panels(rows, panel, 1.2, 0.5 + 0.22 * max(len(methods), 1))
    best = []
    for axes, name, part in parts:
        mine = part.set_index("method").reindex(methods)
        _gaps(axes, mine, (mine["low"] > 0) | (mine["high"] < 0), [short(method) for method in methods])
        axes.set_ylim(-0.6, len(methods) - 0.4)
        best.append(f"{name} {mine['gap'].idxmin()} by {-1000 * mine['gap'].min():.2f}")
    _say_empty(grid, rows)
    return finish_panels(
        grid,
        "Methods of margin removal; filled if the 95 % interval excludes 0",
        note,
        f"Log loss against {reference}, lowest in thousandths at {'; '.join(best) or 'none'}.",
        across=f"log loss less that of {short(reference)}, thousandths; lower is better",
    )


def sharpness_by_season(
    table: pd.DataFrame, reference: str, bookmakers: Sequence[str] = (), *, note: str = ""
) -> Picture:
    """Log loss less the reference's by season, see `score_table`; by default of the five most quoted.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example(matches=120, a_season=60)
    >>> table = ov.forecasts.score_table(quotes, results, ("power",), ("season",), reference="sharp")
    >>> print(ov.figures.sharpness_by_season(table, "sharp").alt)
    Log loss against sharp by season: soft_1 worse in 0 of 2; soft_2 worse in 1 of 2; soft_3 worse in 1 of
    2.
    """
    rows = table[(table["bookmaker"] != reference) & table["gap"].notna()]
    matches = rows.groupby("bookmaker", observed=True)["common"].sum()
    names = list(bookmakers) or list(matches.nlargest(5).index)
    seasons = sorted(set(rows["season"]))
    axes = canvas(3.4)
    of = {name: rows[rows["bookmaker"] == name].set_index("season").sort_index() for name in names}
    _gaps_by_part(axes, of, seasons)
    axes.set_xticks(range(len(seasons)), [short(season) for season in seasons])
    above = [
        f"{name} worse in {int((mine['gap'] > 0).sum())} of {len(mine)}"
        for name, mine in of.items()
        if len(mine)
    ]
    alt = f"Log loss against {reference} by season: {'; '.join(above) or 'no decided matches'}."
    title = f"Log loss less that of {short(reference)}; bars: 95 % intervals"
    return finish(axes, title, "thousandths", note, alt)


def forecast_gaps(scores: pd.DataFrame, reference: str, *, note: str = "") -> Picture:
    """Log loss of each forecast above the reference's, by season, with its interval.

    Parameters
    ----------
    scores : DataFrame
        What `compare_forecasts(..., by="season")` returned; the first column names the parts.
    reference : str
        The forecast that the others were compared with.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example(matches=120, a_season=60)
    >>> forecasts = {name: ov.forecasts.market_probabilities(quotes, name) for name in ("sharp", "soft_1")}
    >>> scores = ov.forecasts.compare_forecasts(forecasts, results, "sharp", by="season")
    >>> print(ov.figures.forecast_gaps(scores, "sharp").alt)
    Log loss above sharp over 1 values of season, mean in thousandths of a nat: soft_1 -6.7.
    """
    by = scores.columns[0]
    parts = sorted(set(scores[by]))
    names = [name for name in dict.fromkeys(scores.index) if name != reference]
    axes = canvas(3.6)
    _gaps_by_part(axes, {name: scores.loc[[name]].set_index(by).reindex(parts) for name in names}, parts)
    every = np.arange(0, len(parts), 1 + len(parts) // 10)
    axes.set_xticks(every, [short(parts[number]) for number in every])
    if parts:
        axes.set_xlim(-0.6, len(parts) - 0.6)
    means = {
        name: 1000 * np.average(rows["gap"], weights=rows["matches"])
        for name, rows in scores.groupby(level=0, observed=True)
        if name in names
    }
    text = "; ".join(f"{name} {mean:+.1f}" for name, mean in means.items())
    alt = (
        f"Log loss above {reference} over {len(parts)} values of {by}, "
        f"mean in thousandths of a nat: {text or 'none'}."
    )
    unit = "thousandths of a nat, with 95 % interval"
    return finish(axes, f"Log loss less that of {reference}, by {by}", unit, note, alt)


def _gaps_by_part(axes: Axes, rows_of: Mapping[str, pd.DataFrame], parts: Sequence) -> None:
    """Log loss less the reference's in each part, in thousandths with interval: a line for each name."""
    zero(axes)
    ends = []
    for i, (name, rows) in enumerate(rows_of.items()):
        colour, shown = LINES[i % len(LINES)], 1000 * rows[["low", "gap", "high"]]
        # side by side, so that intervals do not cover each other
        at = np.array([parts.index(part) for part in rows.index]) + 0.13 * (i - (len(rows_of) - 1) / 2)
        axes.vlines(at, shown["low"], shown["high"], color=colour, linewidth=1, alpha=0.45)
        axes.plot(at, shown["gap"], color=colour, linewidth=1.4, marker="o", markersize=4)
        if rows["gap"].tail(1).notna().any():
            ends.append((shown["gap"].iloc[-1], len(parts) - 0.62, short(name), colour))
    spread_labels(axes, ends)


def _gaps(axes: Axes, rows: pd.DataFrame, sure: pd.Series, names: Sequence[str]) -> None:
    """Excess log loss of each row with its interval, in thousandths."""
    at = np.arange(len(rows))
    zero(axes, upright=True)
    axes.hlines(at, 1000 * rows["low"], 1000 * rows["high"], color=MIDDLE, linewidth=1.4)
    dots(axes, 1000 * rows["gap"], at, sure)
    name_rows(axes, at, names)


def _panels(
    rows: pd.DataFrame, by: str, frame: float, height: float, columns: int = 3
) -> tuple[list[Axes], list[tuple[Axes, Hashable, pd.DataFrame]]]:
    """A panel for each value of a column, also each with its value and its rows; heights in inches."""
    parts = list(rows.groupby(by, sort=False, observed=True))
    columns = min(len(parts), columns) or 1
    grid = panels(frame + height * max(1, -(-len(parts) // columns)), len(parts), columns)
    for axes, (name, _) in zip(grid, parts, strict=False):
        axes.set_title(short(name), loc="left", fontsize=10)
    return grid, [(axes, name, part) for axes, (name, part) in zip(grid, parts, strict=False)]


def _say_empty(grid: Sequence[Axes], rows: pd.DataFrame) -> None:
    for axes in grid if rows.empty else ():
        say(axes, "too few matches with a result", fontsize=9)
