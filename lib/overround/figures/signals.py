"""Figures of signals: certainty of edges, arbitrages, steam, reactions, stale prices."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, LINES, MIDDLE
from overround.figures.style import beside, canvas, cloud, finish, nothing, short, zero
from overround.formatting import percent
from overround.prices.lead_lag import share_waiting

_HOUR = pd.Timedelta(hours=1)


def edge_certainty(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """Edge of each bet against its standard error; above the line an edge is more than its error explains.

    Examples
    --------
    >>> import overround as ov
    >>> signals = ov.datasets.example_signals()
    >>> print(ov.figures.edge_certainty(signals).alt)
    Scatter of the edge of 93 bets against its standard error, 17 % of them more than 1.96 standard errors
    above zero.
    """
    rows = signals.dropna(subset=["edge", "edge_se"])
    axes, share = canvas(3.2), ""
    error, edge = 100 * rows["edge_se"], 100 * rows["edge"]
    clear = edge > 1.96 * error
    cloud(axes, error, edge, clear)
    if len(rows):
        most = min(error.max(), edge.max() / 1.96)
        axes.plot([0, most], [0, 1.96 * most], color=DARK, linewidth=1)
        beside(axes, (most, 1.96 * most), "edge = 1.96 errors", right=4, va="top")
        axes.set_xlim(0, error.max() * 1.08)
        axes.set_ylim(0, edge.max() * 1.12)
        share = f", {percent(clear.mean(), 0)} of them more than 1.96 standard errors above zero"
    alt = f"Scatter of the edge of {len(rows):,} bets against its standard error{share}."
    return finish(
        axes,
        "How certain each edge is",
        "edge, %",
        note,
        alt,
        across="standard error of the edge, % (from the spread between bookmakers)",
    )


def arbitrages(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """Guaranteed return of each arbitrage by its time before kick-off, see `arbitrage_signals`.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> print(ov.figures.arbitrages(ov.arbitrage_signals(quotes)).alt)
    Guaranteed return of 46 arbitrages by hours before kick-off, median 0.51 %, largest 1.73 %.
    """
    if signals.empty:
        return nothing("No arbitrage: no prices of one moment cover every outcome at a profit.")
    legs = signals.assign(lay=signals["side"] == "lay").groupby("arbitrage")
    rows = signals.drop_duplicates("arbitrage").set_index("arbitrage").assign(lay=legs["lay"].any())
    axes = canvas(3.0)
    hours, gain = (rows["starts_at"] - rows["placed_at"]) / _HOUR, 100 * rows["guaranteed"]
    cloud(axes, hours, gain, ~rows["lay"], ("back against lay", "all outcomes backed"))
    axes.invert_xaxis()
    axes.set_ylim(0, None)
    if rows["lay"].any():
        axes.legend(loc="upper left", fontsize=9, frameon=False)
    middle = (
        f"median {percent(rows['guaranteed'].median(), 2)}, largest {percent(rows['guaranteed'].max(), 2)}"
    )
    alt = f"Guaranteed return of {len(rows):,} arbitrages by hours before kick-off, {middle}."
    return finish(
        axes,
        "Arbitrages: profit whatever happens",
        "% of the outlay",
        note,
        alt,
        across="hours before kick-off",
    )


def steam(moves: pd.DataFrame, *, note: str = "") -> Picture:
    """How many bookmakers moved together, and which way, as `steam_moves` returns them.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> print(ov.figures.steam(ov.prices.steam_moves(quotes, window_min=720)).alt)
    Number of steam moves by how many bookmakers took part: 285 moves, mean size 5.5 %, up to 4 bookmakers.
    """
    if moves.empty:
        return nothing("No steam: no prices with clock times moved together.")
    axes = canvas(2.8)
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
    text = f"mean size {percent(moves['move'].abs().mean())}, up to {books.max()} bookmakers"
    alt = f"Number of steam moves by how many bookmakers took part: {len(moves):,} moves, {text}."
    return finish(
        axes,
        "Steam: several bookmakers move together",
        "moves",
        note,
        alt,
        across="bookmakers that moved the same way",
    )


def reaction(found: pd.DataFrame, leader: str, *, note: str = "") -> Picture:
    """Share of the leader's moves followed by each bookmaker over time (Kaplan-Meier), see `reactions`.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> found = ov.prices.reactions(quotes, "sharp", window_min=720)
    >>> print(ov.figures.reaction(found, "sharp").alt)
    Share of 514 moves of sharp that each of 3 bookmakers has followed by time; soonest soft 3, latest soft
    2.
    """
    if found.empty:
        return nothing(f"{short(leader)} made no move, with a clock time, that others could follow.")
    axes = canvas(3.4)
    curves = {name: _followed(part) for name, part in found.groupby("bookmaker", observed=True)}
    within = max(hours[-1] for hours, _ in curves.values())
    ranked = sorted(curves, key=lambda name: _area(*curves[name], within))
    slowest_and_soonest = ranked[:1] + ranked[1:][-1:]
    marked = dict(zip(slowest_and_soonest, (LINES[1], ACCENT), strict=False))
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
    moves = found.drop_duplicates(["event_id", "market", "line", "outcome", "at"])
    text = f"; soonest {short(ranked[-1])}, latest {short(ranked[0])}" if len(ranked) > 1 else ""
    alt = (
        f"Share of {len(moves):,} moves of {short(leader)} that each of {len(curves)} bookmakers "
        f"has followed by time{text}."
    )
    return finish(
        axes,
        f"How soon the others follow {short(leader)}",
        "% of its moves followed",
        note,
        alt,
        across=f"hours since {short(leader)} moved",
    )


def stale(found: pd.DataFrame, *, note: str = "") -> Picture:
    """Value of prices that stood still while the others moved, as `stale_prices` returns them.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> print(ov.figures.stale(ov.prices.stale_prices(quotes, least_move=0.01)).alt)
    Scatter of 2 stale prices by the others' move and what they are worth, 0 % of them better than the
    others' probability says is fair.
    """
    if found.empty:
        return nothing("No price with a clock time was left behind by the others.")
    axes, good = canvas(3.0), found["edge"] > 0
    cloud(axes, 100 * found["move"], 100 * found["edge"], good)
    zero(axes)
    axes.axvline(0, color=LIGHT, linewidth=1)
    share = f"{percent(good.mean(), 0)} of them better than the others' probability says is fair"
    alt = f"Scatter of {len(found):,} stale prices by the others' move and what they are worth, {share}."
    title = "Stale prices: the others have moved, this one has not"
    return finish(
        axes,
        title,
        "worth, % of the stake",
        note,
        alt,
        across="move of the others since the price stands, % of the probability",
    )


def _followed(part: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Hours, and the per cent of moves followed by then."""
    waiting = share_waiting(part["minutes"].to_numpy(float), part["followed"].to_numpy(bool))
    return np.append(0.0, waiting.index / 60), np.append(0.0, 100 * (1 - waiting))


def _area(hours: np.ndarray, share: np.ndarray, within: float) -> float:
    return float((np.diff(np.append(hours, within)) * share).sum())


def _label_ends(axes: Axes, ends: list[tuple], x: float) -> None:
    """Names at the right, pushed apart downwards from the top, so that they stay inside."""
    place = 104.0
    for value, name, colour in sorted(ends, key=lambda end: -end[0]):
        place = min(value, place - 6.5)
        axes.annotate(f" {name}", (x, place), va="center", fontsize=9, color=colour, annotation_clip=False)
