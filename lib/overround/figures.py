"""Figures, one look: an accent and greys, direct labels, a zero line, and words for who cannot see. They know tables, never a source."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from overround.evaluate import luck_band, max_drawdown, percent
from overround.show import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCENT, DARK, MIDDLE, LIGHT = "#0b6b94", "#2b2f33", "#7a828a", "#d5dade"
# told apart by lightness as well as by hue (Okabe and Ito 2008)
LINES = (ACCENT, "#d55e00", "#009e73", "#7a5195", "#2b2f33", "#b8860b")
_WIDTH = 6.8
_LOOK = {
    "font.size": 10, "font.family": "sans-serif", "text.color": DARK, "axes.labelcolor": DARK, "axes.edgecolor": MIDDLE,
    "xtick.color": DARK, "ytick.color": DARK, "axes.spines.top": False, "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.grid": True, "axes.grid.axis": "y", "grid.color": "#eceff1", "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip


def bankroll(ledger: pd.DataFrame, *, note: str = "", seed: int = 7) -> Picture:
    """Bankroll after each settled bet, with the band that luck alone fills at the market's fair closing prices."""
    figure, axes = _canvas(3.6)
    start = float(ledger.attrs.get("bankroll", 0.0))
    band = luck_band(ledger, seed=seed)
    # many bets are settled at the same time: the last of them is the day's bankroll
    path = ledger.groupby("settled_at")["bankroll"].last()
    if len(band):
        band = band.groupby(level=0).last() + start
        axes.fill_between(band.index, band[0.05], band[0.95], color=LIGHT, alpha=0.6, linewidth=0, step="post")
        _label(axes, band.index[-1], band[0.95].iloc[-1], " 95 %\n of luck", MIDDLE)
        _label(axes, band.index[-1], band[0.05].iloc[-1], " 5 %", MIDDLE)
    axes.axhline(start, color=MIDDLE, linewidth=1)
    if len(path):
        axes.plot(path.index, path, color=ACCENT, linewidth=1.6, drawstyle="steps-post")
        _label(axes, path.index[-1], path.iloc[-1], f" {path.iloc[-1]:,.0f}", ACCENT)
        _dates(axes)
    _finish(axes, "After each settled bet; grey: luck alone", "bankroll", note)
    end = path.iloc[-1] if len(path) else start
    inside = ""
    if len(band):
        where = "above" if end > band[0.95].iloc[-1] else "below" if end < band[0.05].iloc[-1] else "inside"
        inside = f" It ends {where} the band of luck, {band[0.05].iloc[-1]:,.0f} to {band[0.95].iloc[-1]:,.0f}."
    return Picture(figure, f"Bankroll over time: from {start:,.0f} to {end:,.0f} after {len(ledger):,} bets.{inside}")


def drawdown(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """How far the bankroll was below its last peak."""
    figure, axes = _canvas(2.0)
    start = float(ledger.attrs.get("bankroll", 0.0))
    path = ledger.groupby("settled_at")["bankroll"].last()
    peak = np.maximum(path.cummax(), start)
    fall = 100 * (path / peak - 1)
    if len(fall):
        axes.fill_between(fall.index, fall, 0, color=ACCENT, alpha=0.35, linewidth=0, step="post")
        _dates(axes)
    _finish(axes, "Below the last peak", "%", note)
    deepest = max_drawdown(start, ledger["bankroll"].to_numpy(float))
    return Picture(figure, f"Drawdown over time; the deepest is {percent(deepest)} of the peak before it.")


def closing_line(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """Closing-line value of every bet: how the price taken compares with the margin-free close."""
    figure, axes = _canvas(2.8)
    values = 100 * ledger["clv"].dropna()
    if len(values):
        low, high = np.quantile(values, [0.005, 0.995])
        width = max((high - low) / 50, 1e-9)
        edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
        counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
        axes.bar(edges[:-1], counts, width=width * 0.92, align="edge", color=[ACCENT if edge >= -1e-9 else LIGHT for edge in edges[:-1]])
        axes.axvline(0, color=DARK, linewidth=1)
        axes.axvline(values.mean(), color=DARK, linewidth=1, linestyle=(0, (4, 3)))
        axes.text(
            values.mean(), counts.max() * 1.02, f" mean {percent(values.mean() / 100, sign=True)}", va="bottom", ha="left", color=DARK
        )
        axes.set_ylim(0, counts.max() * 1.18)
    axes.set_xlabel("price taken against the margin-free close, %")
    _finish(axes, "Bets by how far they beat the closing line", "bets", note)
    return Picture(
        figure,
        f"Histogram of closing-line value over {len(values):,} bets: mean {percent(values.mean() / 100, sign=True)}, "
        f"{percent((values > 0).mean(), 0)} of bets beat the close.",
    )


def yields(breakdown: pd.DataFrame, *, note: str = "", title: str = "", by_name: bool = False) -> Picture:
    """Yield with its interval for each row of `breakdown`, all on one axis; the most money first, or in the order of names."""
    name = str(breakdown.index.name or "group")
    rows = breakdown.sort_index(ascending=False) if by_name else breakdown.sort_values("staked")
    figure, axes = _canvas(0.9 + 0.32 * max(len(rows), 1))
    at = np.arange(len(rows))
    shown = 100 * rows[["yield", "low", "high"]]
    axes.axvline(0, color=DARK, linewidth=1)
    axes.hlines(at, shown["low"], shown["high"], color=MIDDLE, linewidth=1.4)
    sure = (rows["low"] > 0) | (rows["high"] < 0)
    axes.scatter(
        shown["yield"], at, s=30, zorder=3, color=[ACCENT if flag else "white" for flag in sure], edgecolors=ACCENT, linewidths=1.4
    )
    axes.set_yticks(at, [f"{_short(label)}  ({bets:,})" for label, bets in zip(rows.index, rows["bets"], strict=True)])
    axes.set_xlabel("yield, % with 95 % interval; filled if it excludes 0")
    axes.grid(axis="y", visible=False)
    _finish(axes, f"{title or 'Yield by ' + name.replace('_', ' ')} (bets in brackets)", "", note)
    best = rows["yield"].idxmax() if len(rows) else "none"
    return Picture(
        figure,
        f"Yield with interval for {len(rows)} values of {name}; highest at {best}, {int(sure.sum())} with an interval that excludes zero.",
    )


def sharpness(scores: pd.DataFrame, reference: str, *, note: str = "") -> Picture:
    """Accuracy of each bookmaker's last prices against the reference's on the same matches, as `probability_scores` has it."""
    rows = scores.dropna(subset=["gap"]).sort_values("gap", ascending=False)
    figure, axes = _canvas(1.1 + 0.3 * max(len(rows), 1))
    at = np.arange(len(rows))
    axes.axvline(0, color=DARK, linewidth=1)
    axes.hlines(at, 1000 * rows["low"], 1000 * rows["high"], color=MIDDLE, linewidth=1.4)
    axes.scatter(1000 * rows["gap"], at, s=30, zorder=3, color=ACCENT)
    axes.set_yticks(at, [f"{_short(name)}  ({100 * (margin - 1):.1f} %)" for name, margin in rows["overround"].items()])
    axes.set_xlabel("log loss less the reference's, thousandths; lower is better")
    axes.grid(axis="y", visible=False)
    _finish(axes, f"Last prices against {_short(reference)} (margin in brackets)", "", note)
    worse, better = int((rows["low"] > 0).sum()), int((rows["high"] < 0).sum())
    text = f"{worse} bookmakers are less accurate than {reference} beyond noise, {better} more accurate"
    return Picture(figure, f"Log loss of each bookmaker's last price against {reference} on the same matches: {text}.")


def edges(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """Price and edge of every bet that a strategy wants."""
    figure, axes = _canvas(3.0)
    axes.scatter(signals["price"], 100 * signals["edge"], s=9, color=ACCENT, alpha=0.45, linewidths=0, rasterized=len(signals) > 3_000)
    if len(signals):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if str(f"{x:g}")[0] in "1235" else "")
    axes.set_xlabel("price (logarithmic)")
    _finish(axes, "Edge of each bet, by price", "edge, %", note)
    middle = f", median price {signals['price'].median():.2f}, median edge {percent(signals['edge'].median())}" if len(signals) else ""
    return Picture(figure, f"Scatter of {len(signals):,} bets by price and edge{middle}.")


def line_movement(quotes: pd.DataFrame, title: str, *, bet: pd.Series | None = None, highlight: str = "", note: str = "") -> Picture:
    """Price of one selection of one match at every bookmaker, from opening to kick-off, and the bet on it.

    Parameters
    ----------
    quotes : DataFrame
        The match's quotes, with `starts_at`.
    title : str
        What the match is called.
    bet : Series, optional
        A row of signals, which names the selection; by default the home win.
    highlight : str
        Bookmaker to draw in the accent colour.
    note : str
        Said below the figure.
    """
    figure, axes = _canvas(3.4)
    market, line, outcome = ("h2h", np.nan, "home") if bet is None else (bet["market"], bet["line"], bet["outcome"])
    rows = quotes[(quotes["market"] == market) & (quotes["outcome"] == outcome) & (quotes["line"].eq(line) | quotes["line"].isna())]
    timed = (rows["observed_at"] < rows["starts_at"]).any()
    if timed:
        rows = rows[rows["observed_at"] < rows["starts_at"]].sort_values("observed_at").assign(when=lambda frame: frame["observed_at"])
    else:  # the provider tells early from close, but not when
        rows = rows[rows["phase"] != "snapshot"].sort_values("phase", ascending=False)
        rows = rows.assign(when=(rows["phase"] == "close").astype(float))
        axes.set_xticks([0, 1], ["early", "close"])
    for name, path in rows.groupby("bookmaker"):
        mine = name == highlight
        if timed:  # the last price stands until kick-off
            path = pd.concat([path, path.tail(1).assign(when=path["starts_at"].iloc[0])])
        axes.plot(path["when"], path["price"], drawstyle="steps-post" if timed else "default", marker="" if timed else "o", markersize=3,
                  color=ACCENT if mine else MIDDLE, linewidth=2 if mine else 0.9, alpha=1 if mine else 0.7, zorder=2 + mine)  # fmt: skip
        if mine:
            _label(axes, path["when"].iloc[-1], path["price"].iloc[-1], f" {_short(name)}", ACCENT)
    if timed:
        _dates(axes)
    if bet is not None and len(rows):
        at = (bet["placed_at"] if timed else 0.0, bet["price"])
        axes.scatter([at[0]], [at[1]], s=60, facecolors="none", edgecolors=DARK, linewidths=1.6, zorder=4)
        axes.annotate(f"bet at {_short(bet['bookmaker'])}", at, xytext=(8, 8), textcoords="offset points", fontsize=9)
    _finish(axes, _short(title, 70), f"price of {outcome}{'' if np.isnan(line) else f' {line:g}'}", note)
    spread = f"from {rows['price'].min():.2f} to {rows['price'].max():.2f}" if len(rows) else "none observed"
    return Picture(figure, f"Price of {outcome} over time at {rows['bookmaker'].nunique()} bookmakers, {spread}.")


def coverage(quotes: pd.DataFrame, *, note: str = "") -> Picture:
    """Share of matches that each bookmaker quotes, month by month."""
    from matplotlib.colors import LinearSegmentedColormap

    rows = quotes[["event_id", "bookmaker", "starts_at"]].drop_duplicates(["event_id", "bookmaker"])
    month = rows["starts_at"].dt.strftime("%Y-%m")
    matches = rows.drop_duplicates("event_id").groupby(month)["event_id"].size()
    share = pd.crosstab(rows["bookmaker"], month) / matches
    share = share.loc[share.mean(axis=1).sort_values().index]
    figure, axes = _canvas(1.1 + 0.24 * len(share))
    if share.size:
        shades = LinearSegmentedColormap.from_list("overround", ["white", ACCENT])
        axes.imshow(share.to_numpy(float), aspect="auto", cmap=shades, vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(range(len(share)), [_short(name) for name in share.index])
    step = max(1, -(-len(share.columns) // 7))
    axes.set_xticks(range(0, len(share.columns), step), share.columns[::step])
    axes.grid(visible=False)
    _finish(axes, "Share of matches quoted (white none, dark all)", "", note)
    full = int((share.min(axis=1) >= 0.999).sum())
    return Picture(figure, f"Coverage of {len(share)} bookmakers over {len(share.columns)} months; {full} quote every match.")


def compared_bankrolls(ledgers: Mapping[str, pd.DataFrame], *, note: str = "") -> Picture:
    """Running profit of several runs on one axis."""
    figure, axes = _canvas(3.6)
    axes.axhline(0, color=MIDDLE, linewidth=1)
    ends = []
    for i, (name, ledger) in enumerate(ledgers.items()):
        path = ledger.groupby("settled_at")["profit"].sum().sort_index().cumsum()
        colour = LINES[i % len(LINES)]
        if len(path):
            axes.plot(path.index, path, color=colour, linewidth=1.6, drawstyle="steps-post")
            ends.append((path.iloc[-1], path.index[-1], _short(name), colour))
    if ends:
        _dates(axes)
    _spread_labels(axes, ends)
    _finish(axes, "Profit of each run", "profit", note)
    text = "; ".join(f"{name} ends at {end:,.0f}" for end, _, name, _ in ends)
    return Picture(figure, f"Running profit of {len(ledgers)} runs: {text or 'no bets'}.")


def differences(comparison: pd.DataFrame, *, note: str = "") -> Picture:
    """Difference of each run's yield to the first run's, with its interval."""
    rows = comparison.dropna(subset=["difference"])
    figure, axes = _canvas(1.1 + 0.34 * max(len(rows), 1))
    at = np.arange(len(rows))[::-1]
    axes.axvline(0, color=DARK, linewidth=1)
    axes.hlines(at, 100 * rows["low"], 100 * rows["high"], color=MIDDLE, linewidth=1.6)
    axes.scatter(100 * rows["difference"], at, s=34, color=ACCENT, zorder=3)
    axes.set_yticks(at, [_short(name) for name in rows.index])
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes.set_xlabel("difference in yield, percentage points, with 95 % interval")
    axes.grid(axis="y", visible=False)
    _finish(axes, f"Against {_short(comparison.index[0])}", "", note)
    text = "; ".join(
        f"{name} {percent(row['difference'], sign=True)} ({percent(row['low'])} to {percent(row['high'])})" for name, row in rows.iterrows()
    )
    return Picture(figure, f"Difference in yield to {comparison.index[0]}: {text}.")


def costs(table: pd.DataFrame, *, note: str = "") -> Picture:
    """Wall time of each stage, split into time on the processor's account and time blocked."""
    figure, axes = _canvas(1.1 + 0.3 * max(len(table), 1))
    at = np.arange(len(table))[::-1]
    blocked = table["io_wait_s"].to_numpy(float)
    busy = np.maximum(table["wall_s"].to_numpy(float) - blocked, 0)
    axes.barh(at, busy, color=ACCENT, height=0.62)
    axes.barh(at, blocked, left=busy, color=LIGHT, height=0.62)
    for y, total in zip(at, busy + blocked, strict=True):
        axes.text(total, y, f" {total:.2f} s" if total >= 0.01 else f" {total * 1000:.1f} ms", va="center", fontsize=9)
    axes.set_yticks(at, [_short(str(name), 40) for name in table.index])
    axes.set_xlabel("seconds: dark working, light blocked (disk, network, other processes)")
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    _finish(axes, "Wall time of each stage", "", note)
    slowest = table["wall_s"].idxmax() if len(table) else "none"
    return Picture(figure, f"Wall time of {len(table)} stages, {table['wall_s'].sum():.1f} s in all; the longest is {slowest}.")


def latencies(requests: pd.DataFrame, *, note: str = "") -> Picture:
    """Distribution of the time that calls took, those that reached the network and those that the cache answered."""
    figure, axes = _canvas(2.6)
    words = []
    for i, (cached, colour) in enumerate(((False, ACCENT), (True, MIDDLE))):
        values = np.sort(1000 * requests.loc[requests["from_cache"] == cached, "latency_s"].to_numpy(float))
        if not len(values):
            continue
        name = "cache" if cached else "network"
        axes.plot(values, 100 * np.arange(1, len(values) + 1) / len(values), color=colour, drawstyle="steps-post", linewidth=1.8)
        middle = float(np.median(values))
        axes.annotate(
            f"{name}: median {middle:.1f} ms, {len(values):,} calls",
            (middle, 50),
            xytext=(10, -12 - 16 * i),
            textcoords="offset points",
            color=colour,
        )
        words.append(f"{name} median {middle:.1f} ms over {len(values):,} calls, 95 % below {np.quantile(values, 0.95):.1f} ms")
    if words:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter("")
    axes.set_ylim(0, 101)
    axes.set_xlabel("milliseconds (logarithmic)")
    _finish(axes, "How long calls take", "% of calls", note)
    return Picture(figure, f"Cumulative distribution of latency: {'; '.join(words) or 'no calls'}.")


def _canvas(height: float) -> tuple["Figure", "Axes"]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # a Figure of its own: pyplot would keep every figure of a long session
    with rc_context(_LOOK):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        return figure, figure.subplots()


def _finish(axes: "Axes", title: str, unit: str, note: str) -> None:
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11)
    if unit:
        axes.set_ylabel(unit)
    if note:
        axes.figure.supxlabel(note, x=0.99, ha="right", fontsize=8, color=MIDDLE)


def _dates(axes: "Axes") -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def _label(axes: "Axes", x: Any, y: float, text: str, colour: str) -> None:
    axes.annotate(text, (x, y), xytext=(2, 0), textcoords="offset points", va="center", fontsize=9, color=colour, annotation_clip=False)


def _spread_labels(axes: "Axes", ends: list[tuple]) -> None:
    """Labels at the ends of lines, pushed apart so that none covers another."""
    if not ends:
        return
    low, high = axes.get_ylim()
    gap, floor = (high - low) * 0.07, -np.inf
    for value, x, name, colour in sorted(ends, key=lambda end: end[0]):
        floor = max(value, floor + gap)
        _label(axes, x, floor, f" {name}", colour)


def _short(name: Any, most: int = 28) -> str:
    # a dollar sign would start a formula
    text = str(name).replace("_", " ").replace("$", r"\$")
    return text if len(text) <= most else text[: most - 1] + "…"
