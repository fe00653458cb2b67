"""Figures of prices: how a price moves, who quotes higher, who quotes what."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LINES, MIDDLE
from overround.figures.style import (
    beside,
    canvas,
    column,
    dates,
    finish,
    finish_panels,
    label,
    row_canvas,
    short,
)
from overround.formatting import percent

# opacity of the strongest shade: words on it stay legible, on light paper and on dark
_DARKEST = 0.45


def match_lines(
    quotes: pd.DataFrame,
    bets: pd.DataFrame,
    events: pd.DataFrame,
    *,
    event: str = "",
    highlight: str = "",
    note: str = "",
) -> Picture:
    """Prices of one match at every bookmaker up to kick-off, a panel per outcome, and the bets placed on it.

    Parameters
    ----------
    quotes, events : DataFrame
        Rows of the tables that include the match.
    bets : DataFrame
        Signals, or a ledger, whose bets have results.
    event : str
        The match; by default that of the most profitable bet, or of the largest edge where no bet is settled.
    highlight : str
        Bookmaker in the accent colour; by default the reference of the bets shown.
    note : str
        Below the figure.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.datasets.example_signals()
    >>> print(ov.figures.match_lines(quotes, signals, events, highlight="sharp").alt)
    Prices of Team 10 – Team 09 at 4 bookmakers over time. Bets: draw 3.47 at soft 3; away 2.85 at soft 3.
    """
    if not event and len(bets):
        event = str(bets.loc[bets["profit" if "profit" in bets else "edge"].idxmax(), "event_id"])
    placed = bets[bets["event_id"] == event]
    if not highlight and "reference" in placed:
        highlight = next(iter(placed["reference"].dropna().astype("str")), "")
    market, line = (placed.iloc[0]["market"], placed.iloc[0]["line"]) if len(placed) else ("h2h", np.nan)
    placed = _of_line(placed, market, line)
    rows, timed = _before_kick_off(_of_line(quotes[quotes["event_id"] == event], market, line))
    outcomes = [
        outcome for outcome in ("home", "draw", "away", "over", "under") if outcome in set(rows["outcome"])
    ]
    grid = column(1.0 + 1.55 * max(len(outcomes), 1), len(outcomes))
    words = []
    for axes, outcome in zip(grid, outcomes, strict=False):
        _paths(axes, rows[rows["outcome"] == outcome], highlight, timed)
        mine = placed[placed["outcome"] == outcome].sort_values("placed_at")
        for at, (_, bet) in enumerate(mine.iterrows()):
            words.append(f"{outcome} {_mark(axes, bet, rows['when'], timed, at)}")
        axes.set_ylabel(f"price of {outcome}")
        axes.margins(y=0.14)
    name, teams = "No bet", "no match"
    if event:
        match = events.set_index("event_id").reindex([event]).iloc[0]
        name = f"{short(match['home'], 24)} – {short(match['away'], 24)}, {match['starts_at']:%d %b %Y}"
        teams = f"{match['home']} – {match['away']}"
    of = "" if market == "h2h" else f", {market} {line:g}"
    books = rows["bookmaker"].nunique()
    alt = f"Prices of {teams} at {books} bookmakers over time. Bets: {'; '.join(words) or 'none'}."
    return finish_panels(grid, f"{name}{of}", note, alt)


def line_movement(
    quotes: pd.DataFrame, title: str, *, bet: pd.Series | None = None, highlight: str = "", note: str = ""
) -> Picture:
    """Price of one selection at every bookmaker, from opening to kick-off, and the bet on it.

    Parameters
    ----------
    quotes : DataFrame
        The match's quotes, with `starts_at`.
    title : str
        Name of the match.
    bet : Series, optional
        A row of signals or of a ledger: its selection is drawn; by default the home win.
    highlight : str
        Bookmaker in the accent colour.
    note : str
        Below the figure.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> match = quotes[quotes["event_id"] == "match 00000"]
    >>> print(ov.figures.line_movement(match, "Team 00 - Team 01", highlight="sharp").alt)
    Price of home over time at 4 bookmakers, from 1.89 to 2.07.
    """
    axes = canvas(3.4)
    market, line, outcome = (
        ("h2h", np.nan, "home") if bet is None else (bet["market"], bet["line"], bet["outcome"])
    )
    rows, timed = _before_kick_off(_of_line(quotes[quotes["outcome"] == outcome], market, line))
    _paths(axes, rows, highlight, timed)
    placed = f" Bet: {_mark(axes, bet, rows['when'], timed, 0)}." if bet is not None and len(rows) else ""
    spread = f"from {rows['price'].min():.2f} to {rows['price'].max():.2f}" if len(rows) else "none observed"
    books = rows["bookmaker"].nunique()
    unit = f"price of {outcome}{'' if np.isnan(line) else f' {line:g}'}"
    alt = f"Price of {outcome} over time at {books} bookmakers, {spread}.{placed}"
    return finish(axes, short(title, 70), unit, note, alt)


def price_heat_map(relative: pd.DataFrame, *, note: str = "") -> Picture:
    """Each bookmaker's prices relative to the median of all, by time to kick-off, see `relative_prices`.

    Numbers beyond noise are bold; the shade repeats the number.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> print(ov.figures.price_heat_map(ov.prices.relative_prices(quotes)).alt)
    Prices of 4 bookmakers relative to the median of all at 7 moments before kick-off; at the end highest at
    sharp with +2.4 %, lowest at soft_3 with −0.5 %.
    """
    moments = list(dict.fromkeys(relative["moment"]))
    last = relative.drop_duplicates("bookmaker", keep="last").set_index("bookmaker")["relative"].sort_values()
    names = list(last.index)
    axes, _ = row_canvas([short(name) for name in names], 0.28)
    most = relative["relative"].abs().max() if len(relative) else 0.0
    for row in relative.itertuples(index=False):
        x, y = moments.index(row.moment), names.index(row.bookmaker)
        colour = ACCENT if row.relative > 0 else LINES[1]
        shade = _DARKEST * abs(row.relative) / most if most else 0.0
        corner = (x - 0.5, y - 0.5)
        axes.add_patch(Rectangle(corner, 0.97, 0.94, facecolor=colour, alpha=shade, linewidth=0))
        number = f"{100 * row.relative:+.1f}"
        text = "0.0" if number[1:] == "0.0" else number.replace("-", "−")
        weight = "bold" if row.low > 0 or row.high < 0 else "normal"
        axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=DARK, fontweight=weight)
    axes.set_xlim(-0.5, max(len(moments), 1) - 0.5)
    axes.set_ylim(-0.5, max(len(names), 1) - 0.5)
    axes.set_xticks(range(len(moments)), moments)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    ends = ""
    if names:
        high, low = (percent(value, sign=True) for value in (last.max(), last.min()))
        ends = f"; at the end highest at {names[-1]} with {high}, lowest at {names[0]} with {low}"
    alt = (
        f"Prices of {len(names)} bookmakers relative to the median of all "
        f"at {len(moments)} moments before kick-off{ends}."
    )
    return finish(
        axes,
        "Price against the median of all, % (bold: beyond noise)",
        "",
        note,
        alt,
        across="before kick-off",
    )


def _of_line(rows: pd.DataFrame, market: str, line: float) -> pd.DataFrame:
    return rows[(rows["market"] == market) & (rows["line"].eq(line) | np.isnan(line))]


def _before_kick_off(rows: pd.DataFrame) -> tuple[pd.DataFrame, bool]:
    """Prices with `when`: the time, or 0 for early and 1 for close if the provider gives no time."""
    timed = bool((rows["observed_at"] < rows["starts_at"]).any())
    if timed:
        rows = rows[rows["observed_at"] < rows["starts_at"]].sort_values("observed_at", kind="stable")
        return rows.assign(when=rows["observed_at"]), True
    rows = rows[rows["phase"] != "snapshot"].sort_values("phase", ascending=False, kind="stable")
    return rows.assign(when=(rows["phase"] == "close").astype(float)), False


def _paths(axes: Axes, rows: pd.DataFrame, highlight: str, timed: bool) -> None:
    for name, path in rows.groupby("bookmaker", observed=True):
        mine = name == highlight
        if timed:  # the last price stands until kick-off
            path = pd.concat([path, path.tail(1).assign(when=path["starts_at"].iloc[0])])
        colour, width, alpha = (ACCENT, 2, 1) if mine else (MIDDLE, 0.9, 0.7)
        steps: dict[str, Any] = {"drawstyle": "steps-post"} if timed else {"marker": "o", "markersize": 3}
        look: dict[str, Any] = {"color": colour, "linewidth": width, "alpha": alpha}
        axes.plot(path["when"], path["price"], zorder=2 + mine, **look, **steps)
        shown = path[path["price"].notna()]
        if mine and len(shown):
            label(axes, shown["when"].iloc[-1], shown["price"].iloc[-1], f" {short(name)}", ACCENT)
    if timed:
        dates(axes)
    else:
        axes.set_xticks([0, 1], ["early", "close"])


def _mark(axes: Axes, bet: pd.Series, when: pd.Series, timed: bool, number: int) -> str:
    """Draw a bet where it was placed, filled if it won anything; return its label."""
    result = str(bet["result"]).replace("_", " ") if "result" in bet else ""
    at = (bet["placed_at"] if timed else 0.0, bet["price"])
    fill = DARK if "won" in result else "none"
    axes.scatter([at[0]], [at[1]], s=60, facecolors=fill, edgecolors=DARK, linewidths=1.6, zorder=4)
    lay = "lay " if bet.get("side") == "lay" else ""
    text = f"{lay}{bet['price']:.2f} at {short(bet['bookmaker'])}{', ' + result if result else ''}"
    late = timed and at[0] > when.min() + (when.max() - when.min()) * 0.6
    # bets placed one after the other on one outcome: their labels alternate above and below
    beside(axes, at, text, right=-8 if late else 8, up=8 if number % 2 == 0 else -14)
    return text


def coverage(quotes: pd.DataFrame, *, note: str = "") -> Picture:
    """Share of matches that each bookmaker quotes, month by month.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> print(ov.figures.coverage(quotes).alt)
    Coverage of 4 bookmakers over 3 months; 4 quote every match.
    """
    rows = quotes[["event_id", "bookmaker", "starts_at"]].drop_duplicates(["event_id", "bookmaker"])
    month = rows["starts_at"].dt.strftime("%Y-%m")
    matches = rows.drop_duplicates("event_id").groupby(month)["event_id"].size()
    share = pd.crosstab(rows["bookmaker"], month) / matches
    share = share.loc[share.mean(axis=1).sort_values().index]
    axes, _ = row_canvas([short(name) for name in share.index], 0.24)
    if share.size:
        shades = LinearSegmentedColormap.from_list("overround", ["white", ACCENT])
        axes.imshow(share, cmap=shades, aspect="auto", interpolation="nearest", vmin=0, vmax=1)
    step = max(1, -(-len(share.columns) // 7))
    axes.set_xticks(range(0, len(share.columns), step), share.columns[::step])
    full = (share.min(axis=1) >= 0.999).sum()
    alt = f"Coverage of {len(share)} bookmakers over {len(share.columns)} months; {full} quote every match."
    return finish(axes, "Share of matches quoted (white none, dark all)", "", note, alt)
