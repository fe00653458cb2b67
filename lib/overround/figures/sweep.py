"""Figures of a sweep: where the yield lies, what the best variants share, whether their neighbours win, what luck and the past leave."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, LINES, MIDDLE
from overround.errors import ParameterError
from overround.figures.style import canvas, dates, finish, short, spread_labels
from overround.formatting import percent
from overround.sweeps.result import Sweep
from overround.sweeps.selection import Choices, stability
from overround.sweeps.space import spelled
from overround.sweeps.summary import SURE, most_telling, value_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# cells keep their colours on dark paper, and so do the numbers in them: none of these is a colour of `look`
_LOSS, _NOTHING, _GAIN, _ON_LIGHT, _ON_DARK = "#8b8f94", "#f4f6f7", "#0a5f84", "#14171a", "#fdfdfd"
_MOST_LINES, _MOST_POINTS, _BEST = 200, 500, 5
_FEW = 30  # bets of the variants of a cell, at the median, below which its number stands in brackets
_MOST_WORDS = 8  # on an axis
_ROOM = 62  # letters side by side below a figure


def yield_map(sweep: Sweep, x: str = "", y: str = "", *, note: str = "") -> Picture:
    """Yield over two parameters: in each cell the median of its variants, in per cent, and a mark where one of them is significant.

    Numbers of few bets stand in brackets.

    Parameters
    ----------
    sweep : Sweep
        What `overround.sweep` returned.
    x, y : str, optional
        Parameters that vary; by default those that matter most.
    note : str
        Said below the figure.
    """
    names = _axes_of_map(sweep, x, y)
    cells = _cells(sweep, names)
    rows, columns = cells["middle"].shape
    figure, axes = canvas(1.7 + 0.42 * rows)
    _draw_cells(axes, cells)
    turned = columns * max(map(len, cells["across"])) > _ROOM
    axes.set_xticks(range(columns), [short(word, 18) for word in cells["across"]], fontsize=9)
    for tick in axes.get_xticklabels() if turned else []:
        tick.set(rotation=30, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(rows), [short(word, 18) for word in cells["up"]], fontsize=9)
    titles = [name.replace("_", " ") for name in names]
    marks = f"● p < 0.05 with all that were tried counted; ○ only alone\nframe: the best; brackets: fewer than {_FEW} bets"
    axes.set_xlabel(f"{titles[0] if titles else 'nothing varies'}\n{marks}")
    finish(axes, "Yield, %, median of the variants of a cell", titles[1] if len(titles) > 1 else "", note)
    return Picture(
        figure,
        f"Map of median yield over {' and '.join(titles) or 'one variant'}: {_ends_of_map(cells, titles)}.",
    )


def parallel_coordinates(sweep: Sweep, *, note: str = "") -> Picture:
    """Each variant a line through its parameters to its yield: what the best of them share."""
    table = sweep.table[sweep.table["bets"] > 0].sort_values("statistic", ascending=False, kind="stable")
    few = (
        table.iloc[np.unique(np.linspace(0, len(table) - 1, min(len(table), _MOST_LINES)).astype(int))]
        if len(table)
        else table
    )
    figure, axes = canvas(3.6)
    scales = [_scale(sweep, name) for name in sweep.varied]
    low, high = (100 * table["yield"].agg(["min", "max"])) if len(table) else (0.0, 0.0)
    width = (high - low) or 1.0

    def heights(rows: pd.DataFrame) -> np.ndarray:
        return np.array(
            [*(scale.loc[rows.index] for scale, _ in scales), (100 * rows["yield"] - low) / width]
        )

    at = np.arange(len(scales) + 1)
    axes.plot(at, heights(few), color=LIGHT, linewidth=0.7)
    best = table.head(_BEST)
    axes.plot(at, heights(best), color=ACCENT, linewidth=1.6, marker="o", markersize=3.5)
    ends = [(0.0, f"{low:.1f}".replace("-", "−")), (1.0, f"{high:.1f}".replace("-", "−"))]
    for x, marks in enumerate([*(marks for _, marks in scales), ends]):
        axes.axvline(x, color=MIDDLE, linewidth=0.8, zorder=0)
        for y, text in marks:
            axes.annotate(
                short(text, 16),
                (x, y),
                xytext=(6, 0),
                textcoords="offset points",
                fontsize=8.5,
                color=DARK,
                va="center",
                zorder=4,
                bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"},
            )
    axes.set_xticks(at, [name.replace("_", " ") for name in sweep.varied] + ["yield, %"])
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(scales) + 0.35)
    axes.set_ylim(-0.06, 1.06)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    shown = f", {len(few)} of them drawn" if len(few) < len(table) else ""
    finish(axes, f"Every variant a line; the {len(best)} most significant with dots", "", note)
    told = "; ".join(
        f"{sweep.labels[variant]}: {percent(row['yield'])}" for variant, row in best.head(3).iterrows()
    )
    return Picture(
        figure,
        f"Parallel coordinates of {len(table):,} variants that bet{shown}. Most significant: {told or 'none'}.",
    )


def neighbours(sweep: Sweep, *, note: str = "") -> Picture:
    """Yield of each variant against the mean of its neighbours', as `stability` has it: a peak that stands alone is luck more often."""
    near = stability(sweep).dropna()
    figure, axes = canvas(3.2)
    many = len(near) > _MOST_POINTS
    if many:
        figure.set_dpi(200)  # so many points are drawn as one image
    own, theirs = 100 * near["yield"], 100 * near["neighbour_yield"]
    axes.axhline(0, color=DARK, linewidth=1)
    axes.axvline(0, color=DARK, linewidth=1)
    axes.scatter(own, theirs, s=12, color=MIDDLE, alpha=0.45, linewidths=0, rasterized=many)
    best, text = sweep.table.attrs["best"], "no variant with neighbours placed a bet"
    if len(near) > 1:
        ends = [own.min(), own.max()]
        axes.plot(ends, ends, color=MIDDLE, linewidth=1, linestyle=(0, (4, 3)))
        together = np.corrcoef(own, theirs)[0, 1] if own.std() > 0 and theirs.std() > 0 else np.nan
        text = (
            f"{len(near):,} variants, correlation {together:.2f}"
            if together == together
            else f"{len(near):,} variants"
        )
    if best in near.index:
        row = near.loc[best]
        axes.scatter([own[best]], [theirs[best]], s=60, color=ACCENT, marker="D", zorder=3)
        axes.annotate(
            "the best",
            (own[best], theirs[best]),
            xytext=(-8, 8),
            textcoords="offset points",
            ha="right",
            color=ACCENT,
            fontsize=9,
        )
        text += (
            f"; the best yields {percent(row['yield'])}, its {int(row['neighbours'])} neighbours {percent(row['neighbour_yield'])}, "
            f"{round(row['neighbours'] * row['neighbours_winning'])} of them win"
        )
    axes.set_xlabel("yield of a variant, %; dashed: as much as its neighbours'")
    finish(axes, "Yield of a variant, and of its neighbours", "mean yield of its neighbours, %", note)
    return Picture(figure, f"Yield against that of neighbours in the space of parameters: {text}.")


def corrected_p_values(sweep: Sweep, *, note: str = "") -> Picture:
    """p-values of all variants in their order, alone and corrected for all of them, logarithmic."""
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    table = sweep.table
    tested = table["luck_p"].notna().any()
    alone, all_counted = ("luck_p", "luck_p_adjusted") if tested else ("p", "p_adjusted")
    rows = table.dropna(subset=[all_counted]).sort_values([alone, all_counted])
    figure, axes = canvas(3.0)
    rank = np.arange(1, len(rows) + 1)
    few = (
        np.unique(np.geomspace(1, max(len(rows), 1), 300).astype(int)) - 1 if len(rows) else np.empty(0, int)
    )
    axes.axhline(SURE, color=DARK, linewidth=1)
    lines = (
        (rows[alone], "alone", MIDDLE, (0, (4, 3))),
        (np.sort(rows[all_counted]), "all counted", ACCENT, "-"),
    )
    for values, _, colour, dashes in lines:
        # a history in a thousand is as good as none
        height = np.clip(np.asarray(values, float), 1e-4, 1.0)
        axes.plot(
            rank[few],
            height[few],
            color=colour,
            linewidth=1.8,
            linestyle=dashes,
            drawstyle="steps-post" if len(rows) > 1 else None,
            marker="o" if len(rows) < 20 else None,
            markersize=4,
        )
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_yticks([1e-4, 1e-3, 1e-2, SURE, 0.2, 1], ["0.0001", "0.001", "0.01", "0.05", "0.2", "1"])
    axes.set_yticks([], minor=True)
    axes.set_ylim(0.7 * max(min(rows[alone].min(), 0.01), 1e-4) if len(rows) else 1e-3, 1.4)
    axes.set_xlim(0.85, max(1.15 * len(rows), 2.0))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if len(rows) > 9 else FixedLocator(rank.tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel(
        "variants, the smallest p first (logarithmic)\ndashed: alone; line: corrected for all that were tried"
    )
    by = "luck test" if tested else "days drawn anew"
    finish(axes, f"p-values ({by}), before and after correction", "p (logarithmic)", note)
    counts = [int((rows[name] <= SURE).sum()) for name in (alone, all_counted)]
    return Picture(
        figure,
        f"p-values of {len(rows):,} variants by the {by}: {counts[0]:,} are at most 0.05 alone, {counts[1]:,} with all "
        f"{sweep.tried:,} counted.",
    )


def picks(choices: Choices, *, note: str = "") -> Picture:
    """Profit of who follows the variant that was best so far, beside the one that is best in hindsight, of `walk_forward_choice`."""
    daily = choices.daily
    figure, axes = canvas(3.0)
    axes.axhline(0, color=DARK, linewidth=1)
    if daily.empty:
        axes.text(
            0.5,
            0.5,
            "No variant had a profit behind it long enough to be picked.",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color=MIDDLE,
        )
        axes.set_axis_off()
        finish(axes, "Picked by the past alone", "", note)
        return Picture(figure, "Profit of picks by the past alone: no variant would have been picked.")
    ends = []
    for column, name, colour, dashes in (
        ("hindsight_profit", "in hindsight", MIDDLE, (0, (4, 3))),
        ("profit", "picked", ACCENT, "-"),
    ):
        total = daily[column].cumsum()
        axes.plot(daily.index, total, color=colour, linewidth=1.8, linestyle=dashes)
        ends.append((total.iloc[-1], daily.index[-1], name, colour))
    held = choices.periods[choices.periods["staked"] > 0]
    changed = held.index[(held["variant"] != held["variant"].shift()).to_numpy()]
    at = pd.DatetimeIndex([max(begin, daily.index[0]) for begin in changed])
    height = np.interp(at.as_unit("us").asi8, daily.index.as_unit("us").asi8, daily["profit"].cumsum())
    axes.plot(at, height, color=LINES[1], linestyle="none", marker="|", markersize=12, markeredgewidth=1.8)
    dates(axes)
    spread_labels(axes, ends)
    axes.set_xlabel("a stroke: another variant is picked")
    finish(axes, "Picked by the past alone, and the best in hindsight", "profit since the first pick", note)
    profit, staked, best, best_staked = (
        daily[name].sum() for name in ("profit", "staked", "hindsight_profit", "hindsight_staked")
    )
    text = (
        f"{profit:,.0f} on {staked:,.0f} staked, yield {percent(choices.value)}, with {max(len(at) - 1, 0)} changes; the variant that is "
        f"best in hindsight yields {percent(best / best_staked) if best_staked else 'nothing'} over the same days"
    )
    return Picture(figure, f"Profit of picks by the past alone: {text.replace('-', '−')}.")


def _axes_of_map(sweep: Sweep, x: str, y: str) -> list[str]:
    """The parameters along and up a map: those asked for, the others by how much they matter."""
    wanted = [name for name in (x, y) if name]
    if unknown := [name for name in wanted if name not in sweep.varied]:
        raise ParameterError(
            f"parameter {unknown[0]!r} does not vary in this sweep; those that do: {', '.join(sweep.varied)}."
        )
    names = most_telling(sweep, wanted)
    return names[::-1] if y and not x else names


def _ends_of_map(cells: dict, titles: list[str]) -> str:
    """The lowest and the highest cell of a map, and how many are significant, in words."""
    flat, columns = cells["middle"].ravel(), len(cells["across"])
    known = np.flatnonzero(~np.isnan(flat))
    if not len(known):
        return "no variant placed a bet"

    def told(at: int) -> str:
        words = cells["across"][at % columns], cells["up"][at // columns]
        where = " and ".join(f"{title} {word}" for title, word in zip(titles, words, strict=False))
        return f"{percent(flat[at])}{f' ({where})' if where else ''}"

    low, high = (told(int(known[pick(flat[known])])) for pick in (np.argmin, np.argmax))
    alone = int((cells["alone"] & ~cells["sure"]).sum())
    return (
        f"from {low} to {high}; {int(cells['sure'].sum())} of {len(known)} cells have a variant that is significant after correction, "
        f"{alone} only one that is so alone"
    )


def _cells(sweep: Sweep, names: list[str]) -> dict:
    """Median yield, number and significance of the variants of each cell, with the words along both sides; where the best one is."""
    codes, words = zip(*(value_groups(sweep, name) for name in names), strict=True) if names else ((), ())
    nothing = np.zeros(sweep.tried, np.int64)
    across, up = (codes[at] if len(names) > at else nothing for at in (0, 1))
    sides = [words[at] if len(names) > at else [""] for at in (0, 1)]
    table = sweep.table
    shape = len(sides[1]), len(sides[0])
    cell = up * shape[1] + across
    bet = (table["bets"] > 0).to_numpy()
    middles = (
        table.loc[bet, ["yield", "bets"]].groupby(cell[bet]).median().reindex(range(shape[0] * shape[1]))
    )
    middle = middles["yield"].to_numpy(float)
    marks = {}
    for name, columns in (("sure", ("luck_p_adjusted", "p_adjusted")), ("alone", ("luck_p", "p"))):
        judged = table[columns[0]].where(table[columns[0]].notna(), table[columns[1]]).to_numpy(float)
        marks[name] = (np.bincount(cell[judged <= SURE], minlength=len(middle)) > 0).reshape(shape)
    best = cell[table.index.get_loc(table.attrs["best"])] if bet.any() else -1
    few = (middles["bets"] < _FEW).to_numpy().reshape(shape)
    return {
        "middle": middle.reshape(shape),
        "few": few,
        **marks,
        "across": sides[0],
        "up": sides[1],
        "best": best,
    }


def _draw_cells(axes: "Axes", cells: dict) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    middle = 100 * cells["middle"]
    # a few extremes, mostly of few bets, shall not make all the others pale
    most = np.nanquantile(np.abs(middle), 0.9) if np.isfinite(middle).any() else 1.0
    shades = LinearSegmentedColormap.from_list("overround", [_LOSS, _NOTHING, _GAIN])
    rows, columns = middle.shape
    for up, across in np.ndindex(rows, columns):
        value = middle[up, across]
        share = 0.0 if np.isnan(value) else float(np.clip(value / (most or 1.0), -1, 1))
        colour = _NOTHING if np.isnan(value) else shades(0.5 + share / 2)
        best = up * columns + across == cells["best"]
        axes.add_patch(
            Rectangle(
                (across - 0.48, up - 0.46),
                0.96,
                0.92,
                facecolor=colour,
                edgecolor=LINES[1] if best else "none",
                linewidth=2.2,
            )
        )
        mark = " ●" if cells["sure"][up, across] else " ○" if cells["alone"][up, across] else ""
        # adding 0 makes a 0 of what rounding has left as -0
        number = f"{round(value, 1) + 0.0:.1f}".replace("-", "−")
        text = (
            "–" if np.isnan(value) else f"({number}){mark}" if cells["few"][up, across] else f"{number}{mark}"
        )
        axes.text(
            across,
            up,
            text.replace(" ", "\N{NO-BREAK SPACE}"),
            ha="center",
            va="center",
            fontsize=9,
            color=_ON_DARK if share > 0.75 else _ON_LIGHT,
        )
    axes.set_xlim(-0.55, columns - 0.45)
    axes.set_ylim(-0.55, rows - 0.45)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _scale(sweep: Sweep, name: str) -> tuple[pd.Series, list[tuple[float, str]]]:
    """Height of each variant on the axis of a parameter, from 0 to 1, and what is written there."""
    values = sweep.table[name]
    if pd.api.types.is_float_dtype(values.dtype) and values.nunique() > _MOST_WORDS:
        low, high = float(values.min()), float(values.max())
        return (values - low) / (high - low), [(0.0, spelled(low)), (1.0, spelled(high))]
    codes, words = value_groups(sweep, name, _MOST_WORDS)
    last = max(len(words) - 1, 1)
    step = -(-len(words) // _MOST_WORDS)
    return pd.Series(codes / last, sweep.table.index), [
        (at / last, word) for at, word in list(enumerate(words))[::step]
    ]
