"""Figures of ledgers: bankroll, drawdown, closing line, where the profit came from."""

import numpy as np
import pandas as pd

from overround.betting.staking import Staking
from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, MIDDLE
from overround.evaluation.drawdown import bankroll_at_start, max_drawdown, settled_path
from overround.evaluation.luck import luck_band
from overround.figures.style import (
    DASHED,
    canvas,
    dates,
    dots,
    finish,
    label,
    logarithmic,
    nothing,
    row_canvas,
    short,
    zero,
)
from overround.formatting import percent
from overround.stats import wilson

# put before the name of a part that does not explain itself
_PREFIXES = {"season": "season ", "price_band": "price "}


def bankroll(ledger: pd.DataFrame, *, stake: Staking | None = None, note: str = "", seed: int = 7) -> Picture:
    """Bankroll after each settled bet, with the band that luck alone fills, see `luck_band`.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> print(ov.figures.bankroll(ledger).alt)
    Bankroll over time: from 1,000 to 891 after 93 bets. It ends inside the band of luck, 764 to 1,245.
    """
    if ledger.empty:
        return nothing("No bets: the bankroll stays what it was.")
    axes = canvas(3.6)
    start = bankroll_at_start(ledger)
    path = settled_path(ledger)
    end, bets = path.iloc[-1], f"{len(ledger):,} bets"
    axes.plot(path.index, path, color=ACCENT, linewidth=1.6, drawstyle="steps-post")
    label(axes, path.index[-1], end, f" {end:,.0f}", ACCENT)
    dates(axes)
    if np.isnan(start):
        alt = (
            f"Bankroll over time: {end:,.0f} after {bets}; the ledger does not say its bankroll at the start."
        )
        return finish(axes, "After each settled bet", "bankroll", note, alt)
    band, inside = luck_band(ledger, seed=seed, stake=stake), ""
    if len(band):
        band = band.groupby(level=0).last() + start
        low, high = band[0.05], band[0.95]
        axes.fill_between(band.index, low, high, color=LIGHT, alpha=0.6, linewidth=0, step="post")
        label(axes, band.index[-1], high.iloc[-1], " 95 %\n of luck", MIDDLE)
        label(axes, band.index[-1], low.iloc[-1], " 5 %", MIDDLE)
        where = "above" if end > high.iloc[-1] else "below" if end < low.iloc[-1] else "inside"
        inside = f" It ends {where} the band of luck, {low.iloc[-1]:,.0f} to {high.iloc[-1]:,.0f}."
    axes.axhline(start, color=MIDDLE, linewidth=1, zorder=1.5)
    alt = f"Bankroll over time: from {start:,.0f} to {end:,.0f} after {bets}.{inside}"
    return finish(axes, "After each settled bet; grey: luck alone", "bankroll", note, alt)


def drawdown(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """How far the bankroll was below its last peak.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> print(ov.figures.drawdown(ledger).alt)
    Drawdown over time; the deepest is 12.6 % of the peak before it.
    """
    start = bankroll_at_start(ledger)
    if np.isnan(start):
        return nothing("The ledger does not say its bankroll at the start, which a drawdown needs.")
    axes = canvas(2.0)
    path = settled_path(ledger)
    peak = np.maximum(path.cummax(), start)
    fall = 100 * (path / peak - 1)
    if len(fall):
        axes.fill_between(fall.index, fall, 0, color=ACCENT, alpha=0.35, linewidth=0, step="post")
        dates(axes)
    alt = f"Drawdown over time; the deepest is {percent(max_drawdown(ledger))} of the peak before it."
    return finish(axes, "Below the last peak", "%", note, alt)


def closing_line(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """Closing-line value of every bet: how the price taken compares with the margin-free close.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> print(ov.figures.closing_line(ledger).alt)
    Histogram of closing-line value over 93 bets: mean +4.0 %, 81 % of bets beat the close.
    """
    if ledger["clv"].isna().all():
        return nothing("No bet has a closing price to be held against.")
    axes = canvas(2.8)
    values = 100 * ledger["clv"].dropna()
    low, high = np.quantile(values, [0.005, 0.995])
    width = max((high - low) / 50, 1e-9)
    edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
    counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
    colours = np.where(edges[:-1] >= -1e-9, ACCENT, LIGHT).tolist()
    axes.bar(edges[:-1], counts, width=width * 0.92, align="edge", color=colours)
    zero(axes, upright=True)
    axes.axvline(values.mean(), color=DARK, linewidth=1, linestyle=DASHED)
    mean = percent(values.mean() / 100, sign=True)
    axes.text(values.mean(), counts.max() * 1.02, f" mean {mean}", va="bottom", ha="left", color=DARK)
    axes.set_ylim(0, counts.max() * 1.18)
    alt = (
        f"Histogram of closing-line value over {len(values):,} bets: mean {mean}, "
        f"{percent((values > 0).mean(), 0)} of bets beat the close."
    )
    return finish(
        axes,
        "Bets by how far they beat the closing line",
        "bets",
        note,
        alt,
        across="price taken against the margin-free close, %",
    )


def closing_scatter(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """Price taken against the margin-free closing price; above the diagonal the bet beat the close.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> print(ov.figures.closing_scatter(ledger).alt)
    Scatter of 93 bets, price taken against margin-free closing price: 81 % lie on the winning side of the
    diagonal.
    """
    axes, share = canvas(3.6), "none has a close"
    bets = ledger.dropna(subset=["closing_fair", "clv"])
    beat = (bets["clv"] > 0).to_numpy()
    fair, taken = 1 / bets["closing_fair"].to_numpy(float), bets["price"].to_numpy(float)
    if len(bets):
        low, high = min(fair.min(), taken.min()) / 1.03, max(fair.max(), taken.max()) * 1.03
        logarithmic(axes, "xy", minor=high / low < 40)
        axes.plot([low, high], [low, high], color=DARK, linewidth=1)
        for mine, colour, marker, line in ((~beat, MIDDLE, "x", 0.8), (beat, ACCENT, "o", 0)):
            points = axes.scatter(fair[mine], taken[mine], s=12, color=colour, marker=marker, alpha=0.5)
            points.set(linewidths=line, rasterized=len(bets) > 400)
        axes.set(xlim=(low, high), ylim=(low, high))
        beaten, inside = percent(beat.mean(), 0), axes.transAxes
        axes.text(0.03, 0.96, f"beat the close: {beaten}", transform=inside, color=ACCENT, va="top")
        missed = f"did not: {percent(1 - beat.mean(), 0)}"
        axes.text(0.97, 0.05, missed, transform=inside, color=MIDDLE, ha="right")
        share = f"{beaten} lie on the winning side of the diagonal"
    alt = f"Scatter of {len(bets):,} bets, price taken against margin-free closing price: {share}."
    return finish(
        axes,
        "Price taken against the fair close",
        "price taken",
        note,
        alt,
        across="margin-free closing price (logarithmic)",
    )


def calibration(ledger: pd.DataFrame, *, groups: int = 8, note: str = "") -> Picture:
    """How often outcomes happened against the probability that the strategy, and the close, gave them.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> print(ov.figures.calibration(ledger).alt)
    Calibration of 93 bets in groups by probability: 3 of 3 groups agree with the diagonal within their
    intervals.
    """
    axes, words = canvas(3.4), "no probabilities are known"
    bets = ledger[ledger["result"].isin(("won", "lost")) & ledger["probability"].notna()]
    bets = bets.assign(happened=(bets["result"] == "won") == (bets["side"] == "back"))
    if len(bets):
        order = bets["probability"].argsort(kind="stable")
        parts = np.array_split(order, max(1, min(groups, len(bets) // 25)))
        # the close of those bets that have one
        columns = bets[["probability", "happened", "closing_fair"]].astype(float)
        predicted, seen, close = np.array([columns.iloc[part].mean() for part in parts]).T
        low, high = wilson(seen, np.array([len(part) for part in parts], float))
        ends = [95 * min(predicted.min(), low.min()), 103 * max(predicted.max(), high.max())]
        axes.plot(ends, ends, color=DARK, linewidth=1)
        axes.vlines(100 * predicted, 100 * low, 100 * high, color=MIDDLE, linewidth=1.4)
        axes.scatter(100 * predicted, 100 * seen, s=30, color=ACCENT, zorder=3)
        axes.scatter(100 * predicted, 100 * close, s=60, color=DARK, marker="_", zorder=3)
        key = "dots: happened, with 95 % interval\ndashes: what the close says"
        axes.text(0.03, 0.96, key, transform=axes.transAxes, va="top", fontsize=9)
        inside = int(((low <= predicted) & (predicted <= high)).sum())
        words = f"{inside} of {len(parts)} groups agree with the diagonal within their intervals"
    alt = f"Calibration of {len(bets):,} bets in groups by probability: {words}."
    return finish(
        axes,
        "What happened against what was expected",
        "happened, %",
        note,
        alt,
        across="probability that the strategy gave, %",
    )


def yields(breakdown: pd.DataFrame, *, note: str = "", title: str = "", by_name: bool = False) -> Picture:
    """Yield of each row of `breakdown`, raw and shrunk with its interval; most money first, or as given.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> print(ov.figures.yields(ov.breakdown(ledger, "bookmaker")).alt)
    Shrunk yield with interval for 3 values of bookmaker; highest at soft_2, 0 with an interval that
    excludes zero.
    """
    if breakdown.empty:
        return nothing("No bets here, so there is no yield to show.")
    nested = breakdown.index.nlevels > 1
    name = "part" if nested else str(breakdown.index.name or "group")
    rows = breakdown[::-1] if by_name or nested else breakdown.sort_values("staked")
    labels = [f"{_PREFIXES.get(part[0], '')}{part[1]}" if nested else str(part) for part in rows.index]
    counted = zip(labels, rows["bets"], strict=True)
    axes, at = row_canvas([f"{short(part, 34)}  ({bets:,})" for part, bets in counted])
    shown = 100 * rows[["yield", "shrunk", "shrunk_low", "shrunk_high"]]
    zero(axes, upright=True)
    axes.scatter(shown["yield"], at, s=26, marker="x", color=MIDDLE, linewidths=1.2)
    axes.hlines(at, shown["shrunk_low"], shown["shrunk_high"], color=ACCENT, linewidth=1.4)
    sure = (rows["shrunk_low"] > 0) | (rows["shrunk_high"] < 0)
    dots(axes, shown["shrunk"], at, sure)
    left, right = _limits(shown)
    axes.set_xlim(left, right)
    for beyond, edge, marker in ((shown["yield"] < left, left, "<"), (shown["yield"] > right, right, ">")):
        outside = at[beyond]
        axes.scatter([edge] * len(outside), outside, s=26, marker=marker, color=MIDDLE, clip_on=False)
    best = labels[int(np.nanargmax(rows["shrunk"]))] if rows["shrunk"].notna().any() else "none"
    alt = (
        f"Shrunk yield with interval for {len(rows)} values of {name}; highest at {best}, "
        f"{int(sure.sum())} with an interval that excludes zero."
    )
    title = title or f"Yield by {name.replace('_', ' ')}"
    return finish(
        axes,
        f"{title} (bets in brackets)",
        "",
        note,
        alt,
        across="yield, %; cross as it was; dot shrunk toward all,\n"
        "with 95 % interval, filled if that excludes 0",
    )


def _limits(shown: pd.DataFrame) -> tuple[float, float]:
    """Ends of the axis: one bet that lost is -100 %, which must not squeeze the rest."""
    usual = shown["yield"].clip(*np.nanquantile(shown["yield"], [0.1, 0.9]))
    values = [*shown[["shrunk_low", "shrunk_high"]].to_numpy().ravel(), *usual, 0.0]
    left, right = np.nanmin(values), np.nanmax(values)
    return left - 0.06 * (right - left) - 0.1, right + 0.06 * (right - left) + 0.1
