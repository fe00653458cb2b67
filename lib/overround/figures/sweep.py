"""Figures of a sweep: yields over the space, the best variants, their neighbours, p-values and picks."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, LogLocator

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, LINES, MIDDLE
from overround.errors import ParameterError
from overround.figures.style import (
    DASHED,
    beside,
    canvas,
    cloud,
    dates,
    finish,
    say,
    short,
    spread_labels,
    zero,
)
from overround.formatting import FORMATS, percent
from overround.sweeps.result import Sweep
from overround.sweeps.selection import Choices, stability
from overround.sweeps.space import spelled
from overround.sweeps.summary import SURE, most_telling, value_groups

# cells keep their colours on dark paper, and so do the numbers in them: none of these is in the palette
_LOSS, _NOTHING, _GAIN, _ON_LIGHT, _ON_DARK = "#8b8f94", "#f4f6f7", "#0a5f84", "#14171a", "#fdfdfd"
_MOST_LINES, _BEST = 200, 5
_FEW = 30  # median bets of a cell's variants, below which its number is in brackets
_MOST_WORDS = 8  # on an axis
_ROOM = 62  # letters that fit side by side below a figure


def yield_map(sweep: Sweep, x: str = "", y: str = "", *, note: str = "") -> Picture:
    """Yield over two parameters: median of each cell's variants in per cent, marked where one is significant.

    Numbers of few bets are in brackets.

    Parameters
    ----------
    sweep : Sweep
        What `overround.sweep` returned.
    x, y : str, optional
        Varied parameters; by default those that matter most.
    note : str
        Below the figure.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> print(ov.figures.yield_map(swept).alt)
    Map of median yield over min edge: from −12.9 % (min edge 0.03) to −11.1 % (min edge 0.01); 0 of 3
    cells have a variant that is significant after correction, 0 only one that is so alone.
    """
    names = _axes_of_map(sweep, x, y)
    cells, across, up = _cells(sweep, names)
    axes = canvas(1.7 + 0.42 * len(up))
    _draw_cells(axes, cells)
    axes.set(xlim=(-0.55, len(across) - 0.45), ylim=(-0.55, len(up) - 0.45))
    turned = len(across) * max(map(len, across)) > _ROOM
    axes.set_xticks(range(len(across)), [short(word, 18) for word in across], fontsize=9)
    for tick in axes.get_xticklabels() if turned else []:
        tick.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(up)), [short(word, 18) for word in up], fontsize=9)
    titles = [name.replace("_", " ") for name in names]
    unit = titles[1] if len(titles) > 1 else ""
    where = " and ".join(titles) or "one variant"
    alt = f"Map of median yield over {where}: {_ends_of_map(cells, titles, across, up)}."
    return finish(
        axes,
        "Yield, %, median of the variants of a cell",
        unit,
        note,
        alt,
        across=f"{titles[0] if titles else 'nothing varies'}\n"
        "● p < 0.05 with all that were tried counted; ○ only alone\n"
        f"frame: the best; brackets: fewer than {_FEW} bets",
    )


def parallel_coordinates(sweep: Sweep, *, note: str = "") -> Picture:
    """Each variant a line through its parameters to its yield: what the best of them share.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> print(ov.figures.parallel_coordinates(swept).alt)
    Parallel coordinates of 3 variants that bet. Most significant: min edge 0.02: −11.7 %; min edge 0.03:
    −12.9 %; min edge 0.01: −11.1 %.
    """
    table = sweep.table[sweep.table["bets"] > 0].sort_values("statistic", ascending=False, kind="stable")
    few = table.iloc[np.unique(np.linspace(0, len(table) - 1, min(len(table), _MOST_LINES)).astype(int))]
    axes = canvas(3.6)
    scales = [_scale(sweep, name) for name in sweep.varied]
    low, high = table["yield"].agg(["min", "max"]).fillna(0.0)
    scales.append(
        (
            (table["yield"] - low) / ((high - low) or 1.0),
            [(0.0, FORMATS["points"](low)), (1.0, FORMATS["points"](high))],
        )
    )
    best, at = table.head(_BEST), np.arange(len(scales))
    heights = pd.concat([scale for scale, _ in scales], axis=1).T
    axes.plot(at, heights[few.index], color=LIGHT, linewidth=0.7)
    axes.plot(at, heights[best.index], color=ACCENT, linewidth=1.6, marker="o", markersize=3.5)
    box = {"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"}
    for x, (_, marks) in enumerate(scales):
        axes.axvline(x, color=MIDDLE, linewidth=0.8, zorder=0)
        for y, text in marks:
            beside(axes, (x, y), short(text, 16), right=6, fontsize=8.5, va="center", zorder=4, bbox=box)
    axes.set_xticks(at, [name.replace("_", " ") for name in sweep.varied] + ["yield, %"])
    axes.set(xlim=(-0.1, len(scales) - 0.65), ylim=(-0.06, 1.06), yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    shown = f", {len(few)} of them drawn" if len(few) < len(table) else ""
    words = [f"{sweep.labels[variant]}: {percent(row['yield'])}" for variant, row in best.head(3).iterrows()]
    alt = (
        f"Parallel coordinates of {len(table):,} variants that bet{shown}. "
        f"Most significant: {'; '.join(words) or 'none'}."
    )
    title = f"Every variant a line; the {len(best)} most significant with dots"
    return finish(axes, title, "", note, alt)


def neighbours(sweep: Sweep, *, note: str = "") -> Picture:
    """Yield of each variant against its neighbours' mean, see `stability`: isolated peaks are mostly luck.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> print(ov.figures.neighbours(swept).alt)
    Yield against that of neighbours in the space of parameters: 3 variants, correlation -0.19; the best
    yields −11.7 %, its 2 neighbours −12.0 %, 0 of them win.
    """
    near = stability(sweep).dropna()
    axes = canvas(3.2)
    own, theirs = 100 * near["yield"], 100 * near["neighbour_yield"]
    zero(axes)
    zero(axes, upright=True)
    best, text = sweep.table.attrs["best"], "no variant with neighbours placed a bet"
    cloud(axes, own, theirs, near.index == best)
    if len(near) > 1:
        ends = [own.min(), own.max()]
        axes.plot(ends, ends, color=MIDDLE, linewidth=1, linestyle=DASHED)
        varies = own.std() > 0 and theirs.std() > 0
        correlation = f", correlation {np.corrcoef(own, theirs)[0, 1]:.2f}" if varies else ""
        text = f"{len(near):,} variants{correlation}"
    if best in near.index:
        row, point = near.loc[best], (own[best], theirs[best])
        axes.scatter(*point, s=60, color=ACCENT, marker="D", zorder=3)
        beside(axes, point, "the best", ACCENT, -8, 8)
        text += (
            f"; the best yields {percent(row['yield'])}, its {int(row['neighbours'])} neighbours "
            f"{percent(row['neighbour_yield'])}, "
            f"{round(row['neighbours'] * row['neighbours_winning'])} of them win"
        )
    unit = "mean yield of its neighbours, %"
    alt = f"Yield against that of neighbours in the space of parameters: {text}."
    return finish(
        axes,
        "Yield of a variant, and of its neighbours",
        unit,
        note,
        alt,
        across="yield of a variant, %; dashed: as much as its neighbours'",
    )


def corrected_p_values(sweep: Sweep, *, note: str = "") -> Picture:
    """p-values of all variants in ascending order, alone and corrected for all of them, logarithmic.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> print(ov.figures.corrected_p_values(swept).alt)
    p-values of 3 variants by the luck test: 0 are at most 0.05 alone, 0 with all 3 counted.
    """
    tested = sweep.table["luck_p"].notna().any()
    alone, corrected = ("luck_p", "luck_p_adjusted") if tested else ("p", "p_adjusted")
    rows = sweep.table.dropna(subset=[corrected]).sort_values([alone, corrected])
    axes = canvas(3.0)
    rank = np.arange(1, len(rows) + 1)
    few = np.unique(np.geomspace(1, max(len(rows), 1), 300).astype(int))[: len(rows)] - 1
    axes.axhline(SURE, color=DARK, linewidth=1)
    look: dict[str, Any] = {"linewidth": 1.8, "markersize": 4, "marker": "o" if len(rows) < 20 else None}
    look["drawstyle"] = "steps-post" if len(rows) > 1 else None
    for values, colour, dashes in ((rows[alone], MIDDLE, DASHED), (np.sort(rows[corrected]), ACCENT, "-")):
        # one history in a thousand is as good as none
        height = np.clip(np.asarray(values, float), 1e-4, 1.0)
        axes.plot(rank[few], height[few], color=colour, linestyle=dashes, **look)
    axes.set(xscale="log", yscale="log")
    axes.set_yticks([1e-4, 1e-3, 1e-2, SURE, 0.2, 1], ["0.0001", "0.001", "0.01", "0.05", "0.2", "1"])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0.7 * max(min(rows[alone].min(), 0.01), 1e-4) if len(rows) else 1e-3, 1.4)
    axes.set_xlim(0.85, max(1.15 * len(rows), 2.0))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if len(rows) > 9 else FixedLocator(rank.tolist()))
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    by = "luck test" if tested else "days drawn anew"
    counts = [int((rows[name] <= SURE).sum()) for name in (alone, corrected)]
    alt = (
        f"p-values of {len(rows):,} variants by the {by}: {counts[0]:,} are at most 0.05 alone, "
        f"{counts[1]:,} with all {sweep.tried:,} counted."
    )
    return finish(
        axes,
        f"p-values ({by}), before and after correction",
        "p (logarithmic)",
        note,
        alt,
        across="variants, the smallest p first (logarithmic)\n"
        "dashed: alone; line: corrected for all that were tried",
    )


def picks(choices: Choices, *, note: str = "") -> Picture:
    """Profit of following the best variant so far, and of the best in hindsight: `walk_forward_choice`.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> choices = ov.sweeps.walk_forward_choice(swept, every_days=7, least_days=2)
    >>> print(ov.figures.picks(choices).alt)
    Profit of picks by the past alone: no variant would have been picked.
    """
    daily = choices.daily
    axes = canvas(3.0)
    zero(axes)
    if daily.empty:
        say(axes, "No variant had a profit behind it long enough to be picked.")
        alt = "Profit of picks by the past alone: no variant would have been picked."
        return finish(axes, "Picked by the past alone", "", note, alt)
    total, ends = daily.cumsum(), []
    for column, name, colour, dashes in (
        ("hindsight_profit", "in hindsight", MIDDLE, DASHED),
        ("profit", "picked", ACCENT, "-"),
    ):
        axes.plot(daily.index, total[column], color=colour, linewidth=1.8, linestyle=dashes)
        ends.append((total[column].iloc[-1], daily.index[-1], name, colour))
    held = choices.periods[choices.periods["staked"] > 0]
    changed = held.index[(held["variant"] != held["variant"].shift()).to_numpy()]
    at = pd.DatetimeIndex([max(begin, daily.index[0]) for begin in changed])
    height = np.interp(at.as_unit("us").asi8, daily.index.as_unit("us").asi8, total["profit"])
    axes.plot(at, height, color=LINES[1], linestyle="none", marker="|", markersize=12, markeredgewidth=1.8)
    dates(axes)
    spread_labels(axes, ends)
    profit, staked, best, best_staked = (
        daily[name].sum() for name in ("profit", "staked", "hindsight_profit", "hindsight_staked")
    )
    hindsight = percent(best / best_staked) if best_staked else "nothing"
    text = (
        f"{profit:,.0f} on {staked:,.0f} staked, yield {percent(choices.value)}, "
        f"with {max(len(at) - 1, 0)} changes; "
        f"the variant that is best in hindsight yields {hindsight} over the same days"
    )
    alt = f"Profit of picks by the past alone: {text.replace('-', '−')}."
    unit = "profit since the first pick"
    return finish(
        axes,
        "Picked by the past alone, and the best in hindsight",
        unit,
        note,
        alt,
        across="a stroke: another variant is picked",
    )


def _axes_of_map(sweep: Sweep, x: str, y: str) -> list[str]:
    """Parameters along and up a map: those asked for, then those that matter most."""
    wanted = [name for name in (x, y) if name]
    if unknown := [name for name in wanted if name not in sweep.varied]:
        raise ParameterError(
            f"parameter {unknown[0]!r} does not vary in this sweep; those that do: {', '.join(sweep.varied)}."
        )
    names = most_telling(sweep, wanted)
    return names[::-1] if y and not x else names


def _ends_of_map(cells: pd.DataFrame, titles: list[str], across: list[str], up: list[str]) -> str:
    """The lowest and the highest cell of a map, and how many are significant, in words."""
    known = cells["yield"].dropna()
    if known.empty:
        return "no variant placed a bet"

    def in_words(at: Any) -> str:
        words = across[at[1]], up[at[0]]
        where = " and ".join(f"{title} {word}" for title, word in zip(titles, words, strict=False))
        return f"{percent(known[at])}{f' ({where})' if where else ''}"

    sure, alone = cells["sure"] > 0, cells["alone"] > 0
    return (
        f"from {in_words(known.idxmin())} to {in_words(known.idxmax())}; "
        f"{sure.sum()} of {len(known)} cells have a variant "
        f"that is significant after correction, {(alone & ~sure).sum()} only one that is so alone"
    )


def _cells(sweep: Sweep, names: list[str]) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Medians and significance of each cell, by place upwards and across, and labels across and up."""
    table = sweep.table
    groups = [value_groups(sweep, name) for name in names]
    groups += [(np.zeros(len(table), np.int64), [""])] * (2 - len(groups))
    (across, columns), (up, rows) = groups
    bet = table["bets"] > 0
    variants = (
        table[["yield", "bets"]]
        .where(bet)
        .assign(
            sure=table["luck_p_adjusted"].fillna(table["p_adjusted"]) <= SURE,
            alone=table["luck_p"].fillna(table["p"]) <= SURE,
            best=bet.any() & (table.index == table.attrs["best"]),
        )
    )
    how = {"yield": "median", "bets": "median", "sure": "sum", "alone": "sum", "best": "sum"}
    every = pd.MultiIndex.from_product([range(len(rows)), range(len(columns))])
    return variants.groupby([up, across]).agg(how).reindex(every), columns, rows


def _draw_cells(axes: Axes, cells: pd.DataFrame) -> None:
    # a few extremes, mostly of few bets, must not make all the others pale
    most = 100 * cells["yield"].abs().quantile(0.9) or 1.0
    shades = LinearSegmentedColormap.from_list("overround", [_LOSS, _NOTHING, _GAIN])
    for (up, across), cell in cells.iterrows():
        value = 100 * cell["yield"]
        share = 0.0 if np.isnan(value) else float(np.clip(value / most, -1, 1))
        fill = _NOTHING if np.isnan(value) else shades(0.5 + share / 2)
        edge = LINES[1] if cell["best"] > 0 else "none"
        corner = (across - 0.48, up - 0.46)
        axes.add_patch(Rectangle(corner, 0.96, 0.92, facecolor=fill, edgecolor=edge, linewidth=2.2))
        mark = " ●" if cell["sure"] > 0 else " ○" if cell["alone"] > 0 else ""
        # adding 0 makes a 0 of a rounded -0
        number = f"{round(value, 1) + 0.0:.1f}".replace("-", "−")
        number = f"({number})" if cell["bets"] < _FEW else number
        text = "–" if np.isnan(value) else f"{number}{mark}".replace(" ", "\N{NO-BREAK SPACE}")
        ink = _ON_DARK if share > 0.75 else _ON_LIGHT
        axes.text(across, up, text, ha="center", va="center", fontsize=9, color=ink)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _scale(sweep: Sweep, name: str) -> tuple[pd.Series, list[tuple[float, str]]]:
    """Height of each variant on the axis of a parameter, from 0 to 1, and the labels of that axis."""
    values = sweep.table[name]
    if pd.api.types.is_float_dtype(values.dtype) and values.nunique() > _MOST_WORDS:
        low, high = float(values.min()), float(values.max())
        return (values - low) / (high - low), [(0.0, spelled(low)), (1.0, spelled(high))]
    codes, words = value_groups(sweep, name, _MOST_WORDS)
    last = max(len(words) - 1, 1)
    step = -(-len(words) // _MOST_WORDS)
    labels = [(at / last, word) for at, word in list(enumerate(words))[::step]]
    return pd.Series(codes / last, sweep.table.index), labels
