"""Figures of prices: edges, how a price moves, who quotes what."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LINES, MIDDLE
from overround.figures.style import canvas, columns, dates, finish, label, short
from overround.formatting import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# shade of the farthest price: words on it can still be read, on light paper and on dark
_DARKEST = 0.45


def edges(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """Price and edge of every bet that a strategy wants."""
    figure, axes = canvas(3.0)
    axes.scatter(
        signals["price"],
        100 * signals["edge"],
        s=9,
        color=ACCENT,
        alpha=0.45,
        linewidths=0,
        rasterized=len(signals) > 3_000,
    )
    if len(signals):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if str(f"{x:g}")[0] in "1235" else "")
    axes.set_xlabel("price (logarithmic)")
    finish(axes, "Edge of each bet, by price", "edge, %", note)
    middle = (
        f", median price {signals['price'].median():.2f}, median edge {percent(signals['edge'].median())}"
        if len(signals)
        else ""
    )
    return Picture(figure, f"Scatter of {len(signals):,} bets by price and edge{middle}.")


def match_lines(
    quotes: pd.DataFrame,
    bets: pd.DataFrame,
    events: pd.DataFrame,
    *,
    event: str = "",
    highlight: str = "",
    note: str = "",
) -> Picture:
    """Prices of one match at every bookmaker from opening to kick-off, a panel an outcome, and the bets that were placed on it.

    Parameters
    ----------
    quotes, events : DataFrame
        Rows of the tables, in which the match is.
    bets : DataFrame
        Signals, or a ledger, whose bets say how they ended.
    event : str
        The match; by default that of the most profitable bet, or of the largest edge where no bet is settled.
    highlight : str
        Bookmaker in the accent colour, such as the reference.
    note : str
        Said below the figure.
    """
    if not event and len(bets):
        event = str(bets.loc[bets["profit" if "profit" in bets else "edge"].idxmax(), "event_id"])
    placed = bets[bets["event_id"] == event]
    market, line = (placed.iloc[0]["market"], placed.iloc[0]["line"]) if len(placed) else ("h2h", np.nan)
    placed = placed[(placed["market"] == market) & (placed["line"].eq(line) | np.isnan(line))]
    rows = quotes[
        (quotes["event_id"] == event)
        & (quotes["market"] == market)
        & (quotes["line"].eq(line) | np.isnan(line))
    ]
    rows, timed = _before_kick_off(rows)
    outcomes = [
        outcome for outcome in ("home", "draw", "away", "over", "under") if outcome in set(rows["outcome"])
    ]
    figure, grid = columns(1.0 + 1.55 * max(len(outcomes), 1), len(outcomes))
    told = []
    for axes, outcome in zip(grid, outcomes, strict=False):
        _paths(axes, rows[rows["outcome"] == outcome], highlight, timed)
        mine = placed[placed["outcome"] == outcome].sort_values("placed_at")
        for at, (_, bet) in enumerate(mine.iterrows()):
            told.append(f"{outcome} {_mark(axes, bet, rows['when'], timed, at)}")
        axes.set_ylabel(f"price of {outcome}")
        axes.margins(y=0.14)
    match = events.set_index("event_id").reindex([event]).iloc[0]
    name = (
        f"{short(match['home'], 24)} – {short(match['away'], 24)}, {match['starts_at']:%d %b %Y}"
        if event
        else "No bet"
    )
    of = "" if market == "h2h" else f", {market} {line:g}"
    figure.suptitle(f"{name}{of}", x=0.01, ha="left", fontweight="bold", fontsize=11)
    if note:
        figure.supxlabel(note, x=0.99, ha="right", fontsize=8, color=MIDDLE)
    who = f"{match['home']} – {match['away']}" if event else "no match"
    return Picture(
        figure,
        f"Prices of {who} at {rows['bookmaker'].nunique()} bookmakers over time. Bets: {'; '.join(told) or 'none'}.",
    )


def line_movement(
    quotes: pd.DataFrame, title: str, *, bet: pd.Series | None = None, highlight: str = "", note: str = ""
) -> Picture:
    """Price of one selection of one match at every bookmaker, from opening to kick-off, and the bet on it.

    Parameters
    ----------
    quotes : DataFrame
        The match's quotes, with `starts_at`.
    title : str
        What the match is called.
    bet : Series, optional
        A row of signals or of a ledger, which names the selection; by default the home win.
    highlight : str
        Bookmaker to draw in the accent colour.
    note : str
        Said below the figure.
    """
    figure, axes = canvas(3.4)
    market, line, outcome = (
        ("h2h", np.nan, "home") if bet is None else (bet["market"], bet["line"], bet["outcome"])
    )
    rows = quotes[
        (quotes["market"] == market)
        & (quotes["outcome"] == outcome)
        & (quotes["line"].eq(line) | quotes["line"].isna())
    ]
    rows, timed = _before_kick_off(rows)
    _paths(axes, rows, highlight, timed)
    told = f" Bet: {_mark(axes, bet, rows['when'], timed, 0)}." if bet is not None and len(rows) else ""
    finish(axes, short(title, 70), f"price of {outcome}{'' if np.isnan(line) else f' {line:g}'}", note)
    spread = f"from {rows['price'].min():.2f} to {rows['price'].max():.2f}" if len(rows) else "none observed"
    return Picture(
        figure, f"Price of {outcome} over time at {rows['bookmaker'].nunique()} bookmakers, {spread}.{told}"
    )


def price_heat_map(relative: pd.DataFrame, *, note: str = "") -> Picture:
    """How far each bookmaker's prices are above or below everybody's median, by time to kick-off, as `relative_prices` has them.

    The numbers say it, and bold ones are beyond noise; the shade repeats them.
    """
    from matplotlib.patches import Rectangle

    moments, last = (
        list(dict.fromkeys(relative["moment"])),
        relative.drop_duplicates("bookmaker", keep="last").set_index("bookmaker"),
    )
    names = last["relative"].sort_values().index
    figure, axes = canvas(1.1 + 0.28 * max(len(names), 1))
    most = relative["relative"].abs().max() if len(relative) else 0.0
    for row in relative.itertuples(index=False):
        x, y = moments.index(row.moment), names.get_loc(row.bookmaker)
        above, sure = row.relative > 0, row.low > 0 or row.high < 0
        shade = _DARKEST * abs(row.relative) / most if most else 0.0
        axes.add_patch(
            Rectangle(
                (x - 0.5, y - 0.5),
                0.97,
                0.94,
                facecolor=ACCENT if above else LINES[1],
                alpha=shade,
                linewidth=0,
            )
        )
        text = f"{100 * row.relative:+.1f}".replace("-", "−").replace("−0.0", "0.0").replace("+0.0", "0.0")
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=8.5,
            color=DARK,
            fontweight="bold" if sure else "normal",
        )
    axes.set_xlim(-0.5, max(len(moments), 1) - 0.5)
    axes.set_ylim(-0.5, max(len(names), 1) - 0.5)
    axes.set_xticks(range(len(moments)), moments)
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("before kick-off")
    finish(axes, "Price against the median of all, % (bold: beyond noise)", "", note)
    ends = (
        f"; at the end highest at {names[-1]} with {percent(last['relative'].max(), sign=True)}, lowest at {names[0]} with "
        f"{percent(last['relative'].min(), sign=True)}"
        if len(names)
        else ""
    )
    return Picture(
        figure,
        f"Prices of {len(names)} bookmakers relative to the median of all at {len(moments)} moments before kick-off{ends}.",
    )


def _before_kick_off(rows: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Prices with `when`: the time, or 0 for early and 1 for close where the provider does not say when."""
    timed = bool((rows["observed_at"] < rows["starts_at"]).any())
    if timed:
        rows = rows[rows["observed_at"] < rows["starts_at"]].sort_values("observed_at", kind="stable")
        return rows.assign(when=rows["observed_at"]), True
    rows = rows[rows["phase"] != "snapshot"].sort_values("phase", ascending=False, kind="stable")
    return rows.assign(when=(rows["phase"] == "close").astype(float)), False


def _paths(axes: "Axes", rows: pd.DataFrame, highlight: str, timed: bool) -> None:
    for name, path in rows.groupby("bookmaker"):
        mine = name == highlight
        if timed:  # the last price stands until kick-off
            path = pd.concat([path, path.tail(1).assign(when=path["starts_at"].iloc[0])])
        axes.plot(
            path["when"],
            path["price"],
            drawstyle="steps-post" if timed else "default",
            marker="" if timed else "o",
            markersize=3,
            color=ACCENT if mine else MIDDLE,
            linewidth=2 if mine else 0.9,
            alpha=1 if mine else 0.7,
            zorder=2 + mine,
        )
        if mine:
            label(axes, path["when"].iloc[-1], path["price"].iloc[-1], f" {short(name)}", ACCENT)
    if timed:
        dates(axes)
    else:
        axes.set_xticks([0, 1], ["early", "close"])


def _mark(axes: "Axes", bet: pd.Series, when: pd.Series, timed: bool, number: int) -> str:
    """A bet where it was placed, filled if it won anything; what is said of it."""
    result = str(bet["result"]).replace("_", " ") if "result" in bet else ""
    won = "won" in result
    at = (bet["placed_at"] if timed else 0.0, bet["price"])
    axes.scatter(
        [at[0]], [at[1]], s=60, facecolors=DARK if won else "none", edgecolors=DARK, linewidths=1.6, zorder=4
    )
    lay = "lay " if bet.get("side") == "lay" else ""
    said = f"{lay}{bet['price']:.2f} at {short(bet['bookmaker'])}{', ' + result if result else ''}"
    late = timed and at[0] > when.min() + (when.max() - when.min()) * 0.6
    # bets that were placed one after the other on one outcome: their words take turns above and below
    axes.annotate(
        said,
        at,
        xytext=(-8 if late else 8, 8 if number % 2 == 0 else -14),
        textcoords="offset points",
        fontsize=9,
        ha="right" if late else "left",
    )
    return said


def coverage(quotes: pd.DataFrame, *, note: str = "") -> Picture:
    """Share of matches that each bookmaker quotes, month by month."""
    from matplotlib.colors import LinearSegmentedColormap

    rows = quotes[["event_id", "bookmaker", "starts_at"]].drop_duplicates(["event_id", "bookmaker"])
    month = rows["starts_at"].dt.strftime("%Y-%m")
    matches = rows.drop_duplicates("event_id").groupby(month)["event_id"].size()
    share = pd.crosstab(rows["bookmaker"], month) / matches
    share = share.loc[share.mean(axis=1).sort_values().index]
    figure, axes = canvas(1.1 + 0.24 * len(share))
    if share.size:
        shades = LinearSegmentedColormap.from_list("overround", ["white", ACCENT])
        axes.imshow(
            share.to_numpy(float), aspect="auto", cmap=shades, vmin=0, vmax=1, interpolation="nearest"
        )
    axes.set_yticks(range(len(share)), [short(name) for name in share.index])
    step = max(1, -(-len(share.columns) // 7))
    axes.set_xticks(range(0, len(share.columns), step), share.columns[::step])
    axes.grid(visible=False)
    finish(axes, "Share of matches quoted (white none, dark all)", "", note)
    full = int((share.min(axis=1) >= 0.999).sum())
    return Picture(
        figure,
        f"Coverage of {len(share)} bookmakers over {len(share.columns)} months; {full} quote every match.",
    )
