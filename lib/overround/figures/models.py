"""Figures of forecasts: how far each is from the market's close, season by season."""

import numpy as np
import pandas as pd

from overround.display.elements import Picture
from overround.figures.scores import gaps_by_part
from overround.figures.style import canvas, finish, short


def forecast_gaps(scores: pd.DataFrame, reference: str, *, note: str = "") -> Picture:
    """Log loss of each forecast above the reference's, by season, with its interval.

    Parameters
    ----------
    scores : DataFrame
        What `compare_forecasts(..., by="season")` returned; the first column names the parts.
    reference : str
        The forecast that the others were compared with.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example(matches=120, a_season=60)
    >>> forecasts = {name: ov.forecasts.market_probabilities(quotes, name) for name in ("sharp", "soft_1")}
    >>> scores = ov.forecasts.compare_forecasts(forecasts, results, "sharp", by="season")
    >>> print(ov.figures.forecast_gaps(scores, "sharp").alt)
    Log loss above sharp over 1 values of season, mean in thousandths of a nat: soft_1 -6.7.
    """
    by = scores.columns[0]
    parts = sorted(set(scores[by]))
    names = [name for name in dict.fromkeys(scores.index) if name != reference]
    axes = canvas(3.6)
    gaps_by_part(axes, {name: scores.loc[[name]].set_index(by).reindex(parts) for name in names}, parts)
    every = np.arange(0, len(parts), 1 + len(parts) // 10)
    axes.set_xticks(every, [short(parts[number]) for number in every])
    if parts:
        axes.set_xlim(-0.6, len(parts) - 0.6)
    means = {
        name: 1000 * np.average(rows["gap"], weights=rows["matches"])
        for name, rows in scores.groupby(level=0, observed=True)
        if name in names
    }
    text = "; ".join(f"{name} {mean:+.1f}" for name, mean in means.items())
    alt = (
        f"Log loss above {reference} over {len(parts)} values of {by}, "
        f"mean in thousandths of a nat: {text or 'none'}."
    )
    unit = "thousandths of a nat, with 95 % interval"
    return finish(axes, f"Log loss less that of {reference}, by {by}", unit, note, alt)
