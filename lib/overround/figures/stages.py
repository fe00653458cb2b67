"""Figures of what a run cost: stages and calls."""

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, LIGHT, MIDDLE
from overround.figures.style import canvas, finish, nothing, short


def costs(table: pd.DataFrame, *, note: str = "") -> Picture:
    """Wall time of each stage: working, compiling kernels where that was measured, and blocked."""
    figure, axes = canvas(1.1 + 0.3 * max(len(table), 1))
    at = np.arange(len(table))[::-1]
    blocked = table["io_wait_s"].to_numpy(float)
    compiling = (
        table["compile_s"].fillna(0.0).to_numpy(float) if "compile_s" in table else np.zeros(len(table))
    )
    parts = {"working": (np.maximum(table["wall_s"].to_numpy(float) - blocked - compiling, 0), ACCENT)}
    if compiling.any():
        parts["compiling (once)"] = compiling, MIDDLE
    parts["blocked"] = blocked, LIGHT
    left = np.zeros(len(table))
    for seconds, colour in parts.values():
        axes.barh(at, seconds, left=left, color=colour, height=0.62)
        left = left + seconds
    for y, total in zip(at, left, strict=True):
        axes.text(
            total,
            y,
            f" {total:.2f} s" if total >= 0.01 else f" {total * 1000:.1f} ms",
            va="center",
            fontsize=9,
        )
    axes.set_yticks(at, [short(str(name), 40) for name in table.index])
    axes.set_xlabel(f"seconds: {', '.join(parts)}")
    axes.margins(x=0.12)
    axes.grid(axis="y", visible=False)
    finish(axes, "Wall time of each stage", "", note)
    slowest = table["wall_s"].idxmax() if len(table) else "none"
    compiled = f", {compiling.sum():.1f} s of them compiling" if compiling.any() else ""
    return Picture(
        figure,
        f"Wall time of {len(table)} stages, {table['wall_s'].sum():.1f} s in all{compiled}; the longest is {slowest}.",
    )


def latencies(requests: pd.DataFrame, *, note: str = "") -> Picture:
    """Distribution of the time that calls took, those that reached the network and those that the cache answered by itself."""
    if requests.empty:
        return nothing("No call to a provider is on record.")
    figure, axes = canvas(2.6)
    words = []
    alone = requests["from_cache"] & (
        requests["bytes"] > 0
    )  # what the provider confirmed has none, and went there and back
    for i, (cached, colour) in enumerate(((False, ACCENT), (True, MIDDLE))):
        values = np.sort(1000 * requests.loc[alone == cached, "latency_s"].to_numpy(float))
        if not len(values):
            continue
        name = "cache" if cached else "network"
        axes.plot(
            values,
            100 * np.arange(1, len(values) + 1) / len(values),
            color=colour,
            drawstyle="steps-post",
            linewidth=1.8,
        )
        middle = float(np.median(values))
        axes.annotate(
            f"{name}: median {middle:.1f} ms, {len(values):,} calls",
            (middle, 50),
            xytext=(10, -12 - 16 * i),
            textcoords="offset points",
            color=colour,
        )
        words.append(
            f"{name} median {middle:.1f} ms over {len(values):,} calls, 95 % below {np.quantile(values, 0.95):.1f} ms"
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_ylim(0, 101)
    axes.set_xlabel("milliseconds (logarithmic)")
    finish(axes, "How long calls take", "% of calls", note)
    return Picture(figure, f"Cumulative distribution of latency: {'; '.join(words)}.")
