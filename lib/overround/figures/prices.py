"""Figures of prices: edges, how a price moves, who quotes what."""

import numpy as np
import pandas as pd

from overround.evaluate import percent
from overround.figures.look import ACCENT, DARK, MIDDLE, canvas, dates, finish, label, short
from overround.show import Picture


def edges(signals: pd.DataFrame, *, note: str = "") -> Picture:
    """Price and edge of every bet that a strategy wants."""
    figure, axes = canvas(3.0)
    axes.scatter(signals["price"], 100 * signals["edge"], s=9, color=ACCENT, alpha=0.45, linewidths=0, rasterized=len(signals) > 3_000)
    if len(signals):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        axes.xaxis.set_minor_formatter(lambda x, _: f"{x:g}" if str(f"{x:g}")[0] in "1235" else "")
    axes.set_xlabel("price (logarithmic)")
    finish(axes, "Edge of each bet, by price", "edge, %", note)
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
    figure, axes = canvas(3.4)
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
            label(axes, path["when"].iloc[-1], path["price"].iloc[-1], f" {short(name)}", ACCENT)
    if timed:
        dates(axes)
    if bet is not None and len(rows):
        at = (bet["placed_at"] if timed else 0.0, bet["price"])
        axes.scatter([at[0]], [at[1]], s=60, facecolors="none", edgecolors=DARK, linewidths=1.6, zorder=4)
        axes.annotate(f"bet at {short(bet['bookmaker'])}", at, xytext=(8, 8), textcoords="offset points", fontsize=9)
    finish(axes, short(title, 70), f"price of {outcome}{'' if np.isnan(line) else f' {line:g}'}", note)
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
    figure, axes = canvas(1.1 + 0.24 * len(share))
    if share.size:
        shades = LinearSegmentedColormap.from_list("overround", ["white", ACCENT])
        axes.imshow(share.to_numpy(float), aspect="auto", cmap=shades, vmin=0, vmax=1, interpolation="nearest")
    axes.set_yticks(range(len(share)), [short(name) for name in share.index])
    step = max(1, -(-len(share.columns) // 7))
    axes.set_xticks(range(0, len(share.columns), step), share.columns[::step])
    axes.grid(visible=False)
    finish(axes, "Share of matches quoted (white none, dark all)", "", note)
    full = int((share.min(axis=1) >= 0.999).sum())
    return Picture(figure, f"Coverage of {len(share)} bookmakers over {len(share.columns)} months; {full} quote every match.")
