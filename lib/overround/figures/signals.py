"""Figures of signals: certainty of edges, arbitrages, middles, velocity, steam, reverse moves, reactions, stale prices."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, LINES, MIDDLE
from overround.figures.style import canvas, finish, nothing, short
from overround.formatting import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HOUR = pd.Timedelta(hours=1)
# more points than these are drawn as one image: as shapes they would outweigh the rest of a report
_MANY, _SHARP_DPI = 500, 200


def edge_certainty(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """Edge of each bet against its standard error; above the line an edge is more than its error explains."""
    rows = signals.dropna(subset=["edge", "edge_se"])
    figure, axes = canvas(3.2)
    error, edge = 100 * rows["edge_se"], 100 * rows["edge"]
    clear = edge > 1.96 * error
    for chosen, colour in ((~clear, MIDDLE), (clear, ACCENT)):
        axes.scatter(
            error[chosen],
            edge[chosen],
            s=10,
            color=colour,
            alpha=0.5,
            linewidths=0,
            rasterized=_is_many(figure, rows),
        )
    if len(rows):
        most = min(error.max(), edge.max() / 1.96)
        axes.plot([0, most], [0, 1.96 * most], color=DARK, linewidth=1)
        axes.annotate(
            "edge = 1.96 errors",
            (most, 1.96 * most),
            xytext=(4, 0),
            textcoords="offset points",
            va="top",
            fontsize=9,
        )
        axes.set_xlim(0, error.max() * 1.08)
        axes.set_ylim(0, edge.max() * 1.12)
    axes.set_xlabel("standard error of the edge, % (from the spread between bookmakers)")
    finish(axes, "How certain each edge is", "edge, %", note)
    share = (
        f", {percent(clear.mean(), 0)} of them more than 1.96 standard errors above zero" if len(rows) else ""
    )
    return Picture(figure, f"Scatter of the edge of {len(rows):,} bets against its standard error{share}.")


def arbitrages(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """Guaranteed return of each arbitrage by how long before kick-off it was there, as `arbitrage_signals` has them."""
    if signals.empty:
        return nothing("No arbitrage: no prices of one moment cover every outcome at a profit.")
    legs = signals.assign(lay=signals["side"] == "lay").groupby("arbitrage")
    rows = signals.drop_duplicates("arbitrage").set_index("arbitrage").assign(lay=legs["lay"].any())
    figure, axes = canvas(3.0)
    hours = (rows["starts_at"] - rows["placed_at"]) / _HOUR
    for lay, colour, name in ((False, ACCENT, "all outcomes backed"), (True, LINES[1], "back against lay")):
        chosen = rows["lay"] == lay
        label = name if rows["lay"].any() else None
        axes.scatter(
            hours[chosen],
            100 * rows["guaranteed"][chosen],
            s=14,
            color=colour,
            alpha=0.6,
            linewidths=0,
            label=label,
            rasterized=_is_many(figure, rows),
        )
    axes.invert_xaxis()
    axes.set_ylim(0, None)
    if rows["lay"].any():
        axes.legend(loc="upper left", fontsize=9, frameon=False)
    axes.set_xlabel("hours before kick-off")
    finish(axes, "Arbitrages: profit whatever happens", "% of the outlay", note)
    middle = (
        f"median {percent(rows['guaranteed'].median(), 2)}, largest {percent(rows['guaranteed'].max(), 2)}"
    )
    return Picture(
        figure, f"Guaranteed return of {len(rows):,} arbitrages by hours before kick-off, {middle}."
    )


def middles(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """How often both bets of each middle must win for it to pay, as `middle_signals` has them."""
    from matplotlib.ticker import MaxNLocator

    rows = signals.drop_duplicates("middle")
    figure, axes = canvas(2.6)
    axes.hist(100 * rows["break_even"], bins=24, color=ACCENT, edgecolor="white", linewidth=0.5)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("chance of both bets winning at which the middle breaks even, %")
    finish(axes, "Middles", "middles", note)
    middle = f", median break-even chance {percent(rows['break_even'].median())}" if len(rows) else ""
    return Picture(figure, f"Histogram of the break-even chance of {len(rows):,} middles{middle}.")


def velocities(found: pd.DataFrame, *, note: str = "") -> Picture:
    """How fast each bookmaker's probabilities move when they do: median and quartiles of the speed, as `velocity` has it."""
    rows = found[found["per_hour"] != 0]
    speed = (100 * rows["per_hour"].abs()).groupby(rows["bookmaker"]).describe()[["25%", "50%", "75%"]]
    speed = speed.sort_values("50%")
    figure, axes = canvas(1.1 + 0.28 * max(len(speed), 1))
    at = np.arange(len(speed))
    axes.hlines(at, speed["25%"], speed["75%"], color=MIDDLE, linewidth=1.4)
    axes.scatter(speed["50%"], at, s=30, zorder=3, color=ACCENT)
    axes.set_yticks(at, [short(name) for name in speed.index])
    axes.set_xlim(0, None)
    axes.set_xlabel("relative change of the probability an hour, %")
    axes.grid(axis="y", visible=False)
    finish(axes, "How fast prices move when they move (median, middle half)", "", note)
    last = (
        f"; fastest {short(speed.index[-1])} with {speed['50%'].iloc[-1]:.1f} % an hour" if len(speed) else ""
    )
    return Picture(figure, f"Median speed of {len(rows):,} price changes at {len(speed)} bookmakers{last}.")


def steam(moves: pd.DataFrame, *, note: str = "") -> Picture:
    """How many bookmakers moved together, and which way, as `steam_moves` has them."""
    if moves.empty:
        return nothing("No steam: no prices with clock times moved together.")
    figure, axes = canvas(2.8)
    books = pd.Series(moves["books"].astype(int))
    numbers = np.arange(books.min(), books.max() + 1)
    for direction, shift, colour, name in (
        (1, -0.2, ACCENT, "price shortens"),
        (-1, 0.2, MIDDLE, "price lengthens"),
    ):
        count = [int(((books == number) & (moves["direction"] == direction)).sum()) for number in numbers]
        axes.bar(numbers + shift, count, width=0.38, color=colour, label=name)
    axes.set_xticks(numbers)
    axes.legend(loc="upper right", fontsize=9, frameon=False)
    axes.set_xlabel("bookmakers that moved the same way")
    finish(axes, "Steam: several bookmakers move together", "moves", note)
    text = f"mean size {percent(moves['move'].abs().mean())}, up to {books.max()} bookmakers"
    return Picture(
        figure, f"Number of steam moves by how many bookmakers took part: {len(moves):,} moves, {text}."
    )


def reverses(found: pd.DataFrame, *, note: str = "") -> Picture:
    """Moves of each bookmaker against the others, and moves that it took back, as `reverse_moves` has them."""
    counts = pd.crosstab(found["bookmaker"], found["kind"]).reindex(
        columns=["consensus", "own"], fill_value=0
    )
    counts = counts.loc[counts.sum(axis=1).sort_values().index]
    figure, axes = canvas(1.2 + 0.3 * max(len(counts), 1))
    at = np.arange(len(counts))
    for kind, shift, colour, name in (
        ("consensus", 0.18, ACCENT, "against the others"),
        ("own", -0.18, MIDDLE, "taken back"),
    ):
        axes.barh(at + shift, counts[kind], height=0.34, color=colour, label=name)
    axes.set_yticks(at, [short(name) for name in counts.index])
    if len(counts):
        axes.legend(loc="lower right", fontsize=9, frameon=False)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("moves")
    finish(axes, "Reverse moves", "", note)
    text = f"{int(counts['consensus'].sum()):,} against the others, {int(counts['own'].sum()):,} taken back"
    return Picture(figure, f"Reverse moves of {len(counts)} bookmakers: {text}.")


def reaction(found: pd.DataFrame, leader: str, *, note: str = "") -> Picture:
    """Share of the leader's moves that each bookmaker has followed by so many hours, as `reactions` has them (Kaplan and Meier)."""
    if found.empty:
        return nothing(f"{short(leader)} made no move, with a clock time, that others could follow.")
    figure, axes = canvas(3.4)
    curves = {name: _followed(part) for name, part in found.groupby("bookmaker")}
    within = max(hours[-1] for hours, _ in curves.values())
    ranked = sorted(curves, key=lambda name: _area(*curves[name], within))
    marked = dict(
        zip((ranked[:1] + ranked[-1:] if len(ranked) > 1 else ranked), (LINES[1], ACCENT), strict=False)
    )
    ends = []
    for name in ranked:
        hours, share = curves[name]
        colour = marked.get(name, MIDDLE)
        axes.plot(
            [*hours, within],
            [*share, share[-1]],
            drawstyle="steps-post",
            color=colour,
            linewidth=2 if name in marked else 0.9,
            zorder=2 + (name in marked),
        )
        ends.append((share[-1], short(name), colour))
    axes.set_ylim(0, 102)
    axes.set_xlim(0, within)
    _label_ends(axes, ends, within)
    axes.set_xlabel(f"hours since {short(leader)} moved")
    finish(axes, f"How soon the others follow {short(leader)}", "% of its moves followed", note)
    moves = found.drop_duplicates(["event_id", "market", "line", "outcome", "at"])
    text = f"; soonest {short(ranked[-1])}, latest {short(ranked[0])}" if len(ranked) > 1 else ""
    return Picture(
        figure,
        f"Share of {len(moves):,} moves of {short(leader)} that each of {len(curves)} bookmakers has followed by time{text}.",
    )


def stale(found: pd.DataFrame, *, note: str = "") -> Picture:
    """What prices are worth that stood still while the others moved, as `stale_prices` has them."""
    if found.empty:
        return nothing("No price with a clock time was left behind by the others.")
    figure, axes = canvas(3.0)
    good = found["edge"] > 0
    for chosen, colour in ((~good, MIDDLE), (good, ACCENT)):
        axes.scatter(
            100 * found["move"][chosen],
            100 * found["edge"][chosen],
            s=10,
            color=colour,
            alpha=0.5,
            linewidths=0,
            rasterized=_is_many(figure, found),
        )
    axes.axhline(0, color=DARK, linewidth=1)
    axes.axvline(0, color=LIGHT, linewidth=1)
    axes.set_xlabel("move of the others since the price stands, % of the probability")
    finish(axes, "Stale prices: the others have moved, this one has not", "worth, % of the stake", note)
    share = f"{percent(good.mean(), 0)} of them better than the others' probability says is fair"
    return Picture(
        figure,
        f"Scatter of {len(found):,} stale prices by the others' move and what they are worth, {share}.",
    )


def _is_many(figure: "Figure", rows: pd.DataFrame) -> bool:
    """Whether so many points become an image, which is then a sharp one."""
    if len(rows) > _MANY:
        figure.set_dpi(_SHARP_DPI)
    return len(rows) > _MANY


def _followed(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Hours, and the per cent of moves followed by then."""
    order = np.lexsort((~part["followed"].to_numpy(bool), part["minutes"]))
    minutes, followed = part["minutes"].to_numpy(float)[order], part["followed"].to_numpy(bool)[order]
    share = 100 * (1 - np.cumprod(1 - followed / (len(part) - np.arange(len(part)))))
    last = np.append(minutes[1:] != minutes[:-1], True)
    return np.append(0.0, minutes[last] / 60), np.append(0.0, share[last])


def _area(hours: np.ndarray, share: np.ndarray, within: float) -> float:
    return float((np.diff(np.append(hours, within)) * share).sum())


def _label_ends(axes: "Axes", ends: list[tuple], x: float) -> None:
    """Names at the right, pushed apart downwards from the top, so that they stay inside."""
    place = 104.0
    for value, name, colour in sorted(ends, key=lambda end: -end[0]):
        place = min(value, place - 6.5)
        axes.annotate(f" {name}", (x, place), va="center", fontsize=9, color=colour, annotation_clip=False)
