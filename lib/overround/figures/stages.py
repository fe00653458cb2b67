"""Figures of what a run cost: stages and calls."""

import pandas as pd

from overround.display.elements import Picture
from overround.display.palette import ACCENT, LIGHT, MIDDLE
from overround.figures.style import canvas, cumulative, finish, logarithmic, nothing, row_canvas, short


def costs(table: pd.DataFrame, *, note: str = "") -> Picture:
    """Wall time of each stage: working, compiling kernels if that was measured, and blocked.

    Examples
    --------
    >>> import overround as ov
    >>> meter = ov.measure.Meter("a run")
    >>> with meter.stage("read"):
    ...     rows = sum(range(100_000))
    >>> print(ov.figures.costs(ov.measure.cost_table(meter.frame())).alt.split(":")[0])
    Wall time of 1 stages, 0.0 s in all; the longest is read.
    """
    axes, at = row_canvas([short(str(name), 40) for name in table.index], downwards=True)
    compiling = table.get("compile_s", 0.0 * table["wall_s"]).fillna(0.0)
    parts = {
        "working": ((table["wall_s"] - table["io_wait_s"] - compiling).clip(lower=0), ACCENT),
        **({"compiling (once)": (compiling, MIDDLE)} if compiling.any() else {}),
        "blocked": (table["io_wait_s"], LIGHT),
    }
    left = 0.0 * table["wall_s"]
    for seconds, colour in parts.values():
        axes.barh(at, seconds, left=left, color=colour, height=0.62)
        left = left + seconds
    for y, total in zip(at, left, strict=True):
        text = f" {total:.2f} s" if total >= 0.01 else f" {total * 1000:.1f} ms"
        axes.text(total, y, text, va="center", fontsize=9)
    axes.margins(x=0.12)
    slowest = table["wall_s"].idxmax() if len(table) else "none"
    compiled = f", {compiling.sum():.1f} s of them compiling" if compiling.any() else ""
    alt = (
        f"Wall time of {len(table)} stages, {table['wall_s'].sum():.1f} s in all{compiled}; "
        f"the longest is {slowest}."
    )
    return finish(axes, "Wall time of each stage", "", note, alt, across=f"seconds: {', '.join(parts)}")


def latencies(requests: pd.DataFrame, *, note: str = "") -> Picture:
    """Distribution of latency: calls that reached the network, and calls answered by the cache alone.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> calls = pd.DataFrame({"latency_s": [0.08, 0.095, 0.12, 0.0004], "bytes": 900})
    >>> calls["from_cache"] = [False, False, False, True]
    >>> print(ov.figures.latencies(calls).alt)
    Cumulative distribution of latency: network median 95.0 ms over 3 calls, 95 % below 117.5 ms; cache
    median 0.4 ms over 1 calls, 95 % below 0.4 ms.
    """
    if requests.empty:
        return nothing("No call to a provider is on record.")
    axes, words = canvas(2.6), []
    # an answer that the provider confirmed has no bytes, and went there and back
    alone = requests["from_cache"] & (requests["bytes"] > 0)
    for up, name, calls, colour in ((-12, "network", ~alone, ACCENT), (-28, "cache", alone, MIDDLE)):
        values = 1000 * requests.loc[calls, "latency_s"].astype(float)
        if values.empty:
            continue
        middle, most = values.quantile([0.5, 0.95])
        cumulative(
            axes,
            values,
            f"{name}: median {middle:.1f} ms, {len(values):,} calls",
            colour,
            10,
            up,
            linewidth=1.8,
        )
        words.append(f"{name} median {middle:.1f} ms over {len(values):,} calls, 95 % below {most:.1f} ms")
    logarithmic(axes, minor=False)
    alt = f"Cumulative distribution of latency: {'; '.join(words)}."
    return finish(axes, "How long calls take", "% of calls", note, alt, across="milliseconds (logarithmic)")
