"""Figures of ledgers: bankroll, drawdown, closing line, where the profit came from."""

import numpy as np
import pandas as pd

from overround.betting.staking import Staking
from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT, MIDDLE
from overround.evaluation.drawdown import max_drawdown, settled_path
from overround.evaluation.luck import luck_band
from overround.figures.style import canvas, dates, finish, label, nothing, short
from overround.formatting import percent
from overround.stats import wilson

# what a part's name does not say by itself
_OF = {"season": "season ", "price_band": "price "}


def bankroll(ledger: pd.DataFrame, *, stake: Staking | None = None, note: str = "", seed: int = 7) -> Picture:
    """Bankroll after each settled bet, with the band that luck alone fills at the market's fair closing prices, see `luck_band`."""
    if ledger.empty:
        return nothing("No bets: the bankroll stays what it was.")
    figure, axes = canvas(3.6)
    start = float(ledger.attrs.get("bankroll", 0.0))
    band = luck_band(ledger, seed=seed, stake=stake)
    path = settled_path(ledger)
    if len(band):
        band = band.groupby(level=0).last() + start
        axes.fill_between(
            band.index, band[0.05], band[0.95], color=LIGHT, alpha=0.6, linewidth=0, step="post"
        )
        label(axes, band.index[-1], band[0.95].iloc[-1], " 95 %\n of luck", MIDDLE)
        label(axes, band.index[-1], band[0.05].iloc[-1], " 5 %", MIDDLE)
    axes.axhline(start, color=MIDDLE, linewidth=1)
    axes.plot(path.index, path, color=ACCENT, linewidth=1.6, drawstyle="steps-post")
    label(axes, path.index[-1], path.iloc[-1], f" {path.iloc[-1]:,.0f}", ACCENT)
    dates(axes)
    finish(axes, "After each settled bet; grey: luck alone", "bankroll", note)
    end = path.iloc[-1]
    inside = ""
    if len(band):
        where = "above" if end > band[0.95].iloc[-1] else "below" if end < band[0.05].iloc[-1] else "inside"
        inside = (
            f" It ends {where} the band of luck, {band[0.05].iloc[-1]:,.0f} to {band[0.95].iloc[-1]:,.0f}."
        )
    return Picture(
        figure, f"Bankroll over time: from {start:,.0f} to {end:,.0f} after {len(ledger):,} bets.{inside}"
    )


def drawdown(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """How far the bankroll was below its last peak."""
    figure, axes = canvas(2.0)
    start = float(ledger.attrs.get("bankroll", 0.0))
    path = settled_path(ledger)
    peak = np.maximum(path.cummax(), start)
    fall = 100 * (path / peak - 1)
    if len(fall):
        axes.fill_between(fall.index, fall, 0, color=ACCENT, alpha=0.35, linewidth=0, step="post")
        dates(axes)
    finish(axes, "Below the last peak", "%", note)
    deepest = max_drawdown(ledger)
    return Picture(figure, f"Drawdown over time; the deepest is {percent(deepest)} of the peak before it.")


def closing_line(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """Closing-line value of every bet: how the price taken compares with the margin-free close."""
    if ledger["clv"].isna().all():
        return nothing("No bet has a closing price to be held against.")
    figure, axes = canvas(2.8)
    values = 100 * ledger["clv"].dropna()
    low, high = np.quantile(values, [0.005, 0.995])
    width = max((high - low) / 50, 1e-9)
    edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
    counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
    axes.bar(
        edges[:-1],
        counts,
        width=width * 0.92,
        align="edge",
        color=[ACCENT if edge >= -1e-9 else LIGHT for edge in edges[:-1]],
    )
    axes.axvline(0, color=DARK, linewidth=1)
    axes.axvline(values.mean(), color=DARK, linewidth=1, linestyle=(0, (4, 3)))
    axes.text(
        values.mean(),
        counts.max() * 1.02,
        f" mean {percent(values.mean() / 100, sign=True)}",
        va="bottom",
        ha="left",
        color=DARK,
    )
    axes.set_ylim(0, counts.max() * 1.18)
    axes.set_xlabel("price taken against the margin-free close, %")
    finish(axes, "Bets by how far they beat the closing line", "bets", note)
    return Picture(
        figure,
        f"Histogram of closing-line value over {len(values):,} bets: mean {percent(values.mean() / 100, sign=True)}, "
        f"{percent((values > 0).mean(), 0)} of bets beat the close.",
    )


def closing_scatter(ledger: pd.DataFrame, *, note: str = "") -> Picture:
    """Price taken against the margin-free closing price of each bet; above the diagonal the bet beat the close."""
    figure, axes = canvas(3.6)
    bets = ledger.dropna(subset=["closing_fair", "clv"])
    beat = (bets["clv"] > 0).to_numpy()
    fair, taken = 1 / bets["closing_fair"].to_numpy(float), bets["price"].to_numpy(float)
    if len(bets):
        low, high = min(fair.min(), taken.min()) / 1.03, max(fair.max(), taken.max()) * 1.03
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.plot([low, high], [low, high], color=DARK, linewidth=1)
        for mine, colour, marker in ((~beat, MIDDLE, "x"), (beat, ACCENT, "o")):
            axes.scatter(
                fair[mine],
                taken[mine],
                s=12,
                color=colour,
                marker=marker,
                alpha=0.5,
                linewidths=0.8 if marker == "x" else 0,
                rasterized=len(bets) > 400,
            )
        axes.set_xlim(low, high)
        axes.set_ylim(low, high)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda x, _: f"{x:g}")
            axis.set_minor_formatter(
                lambda x, _: f"{x:g}" if f"{x:g}"[0] in "235" and high / low < 40 else ""
            )
        axes.text(
            0.03,
            0.96,
            f"beat the close: {percent(beat.mean(), 0)}",
            transform=axes.transAxes,
            color=ACCENT,
            va="top",
        )
        axes.text(
            0.97,
            0.05,
            f"did not: {percent(1 - beat.mean(), 0)}",
            transform=axes.transAxes,
            color=MIDDLE,
            ha="right",
        )
    axes.set_xlabel("margin-free closing price (logarithmic)")
    finish(axes, "Price taken against the fair close", "price taken", note)
    share = (
        f"{percent(beat.mean(), 0)} lie on the winning side of the diagonal"
        if len(bets)
        else "none has a close"
    )
    return Picture(
        figure, f"Scatter of {len(bets):,} bets, price taken against margin-free closing price: {share}."
    )


def calibration(ledger: pd.DataFrame, *, groups: int = 8, note: str = "") -> Picture:
    """How often outcomes happened against the probability that the strategy, and the close, gave them."""
    figure, axes = canvas(3.4)
    bets = ledger[ledger["result"].isin(("won", "lost")) & ledger["probability"].notna()]
    happened = ((bets["result"] == "won") == (bets["side"] == "back")).to_numpy(float)
    p = bets["probability"].to_numpy(float)
    n_groups = max(1, min(groups, len(bets) // 25))
    parts = np.array_split(np.argsort(p, kind="stable"), n_groups) if len(bets) else []
    words = []
    if parts:
        said, seen = (
            np.array([p[part].mean() for part in parts]),
            np.array([happened[part].mean() for part in parts]),
        )
        low, high = wilson(seen, np.array([len(part) for part in parts], float))
        close = np.array(
            [bets["closing_fair"].iloc[part].mean() for part in parts], float
        )  # of those that have one
        ends = [0.95 * min(said.min(), low.min()), 1.03 * max(said.max(), high.max())]
        axes.plot([100 * end for end in ends], [100 * end for end in ends], color=DARK, linewidth=1)
        axes.vlines(100 * said, 100 * low, 100 * high, color=MIDDLE, linewidth=1.4)
        axes.scatter(100 * said, 100 * seen, s=30, color=ACCENT, zorder=3)
        axes.scatter(100 * said, 100 * close, s=60, color=DARK, marker="_", zorder=3)
        inside = int(((low <= said) & (said <= high)).sum())
        axes.text(
            0.03,
            0.96,
            "dots: happened, with 95 % interval\ndashes: what the close says",
            transform=axes.transAxes,
            va="top",
            fontsize=9,
        )
        words = [f"{inside} of {len(parts)} groups agree with the diagonal within their intervals"]
    axes.set_xlabel("probability that the strategy gave, %")
    finish(axes, "What happened against what was expected", "happened, %", note)
    return Picture(
        figure,
        f"Calibration of {len(bets):,} bets in groups by probability: {'; '.join(words) or 'no probabilities are known'}.",
    )


def yields(breakdown: pd.DataFrame, *, note: str = "", title: str = "", by_name: bool = False) -> Picture:
    """Yield of each row of `breakdown`, shrunk with its interval and as it was; the most money first, or in the order given."""
    if breakdown.empty:
        return nothing("No bets here, so there is no yield to show.")
    nested = breakdown.index.nlevels > 1
    name = "part" if nested else str(breakdown.index.name or "group")
    rows = breakdown[::-1] if by_name or nested else breakdown.sort_values("staked")
    labels = [f"{_OF.get(label[0], '')}{label[1]}" if nested else str(label) for label in rows.index]
    figure, axes = canvas(1.1 + 0.3 * len(rows))
    at = np.arange(len(rows))
    shown = 100 * rows[["yield", "shrunk", "shrunk_low", "shrunk_high"]]
    axes.axvline(0, color=DARK, linewidth=1)
    axes.scatter(shown["yield"], at, s=26, marker="x", color=MIDDLE, linewidths=1.2)
    axes.hlines(at, shown["shrunk_low"], shown["shrunk_high"], color=ACCENT, linewidth=1.4)
    sure = (rows["shrunk_low"] > 0) | (rows["shrunk_high"] < 0)
    axes.scatter(
        shown["shrunk"],
        at,
        s=30,
        zorder=3,
        color=[ACCENT if flag else "white" for flag in sure],
        edgecolors=ACCENT,
        linewidths=1.4,
    )
    axes.set_yticks(
        at, [f"{short(label, 34)}  ({bets:,})" for label, bets in zip(labels, rows["bets"], strict=True)]
    )
    axes.set_xlabel(
        "yield, %; cross as it was; dot shrunk toward all,\nwith 95 % interval, filled if that excludes 0"
    )
    axes.grid(axis="y", visible=False)
    # one bet that lost is -100 %: it must not squeeze the rest
    ends = np.append(shown[["shrunk_low", "shrunk_high"]].to_numpy().ravel(), 0.0)
    usual = shown["yield"].clip(*np.nanquantile(shown["yield"], [0.1, 0.9]))
    left, right = np.nanmin(np.append(ends, usual)), np.nanmax(np.append(ends, usual))
    left, right = left - 0.06 * (right - left) - 0.1, right + 0.06 * (right - left) + 0.1
    axes.set_xlim(left, right)
    for beyond, edge, marker in ((shown["yield"] < left, left, "<"), (shown["yield"] > right, right, ">")):
        axes.scatter(
            np.full(int(beyond.sum()), edge), at[beyond], s=26, marker=marker, color=MIDDLE, clip_on=False
        )
    finish(axes, f"{title or 'Yield by ' + name.replace('_', ' ')} (bets in brackets)", "", note)
    best = labels[int(np.nanargmax(rows["shrunk"]))] if rows["shrunk"].notna().any() else "none"
    return Picture(
        figure,
        f"Shrunk yield with interval for {len(rows)} values of {name}; highest at {best}, "
        f"{int(sure.sum())} with an interval that excludes zero.",
    )
