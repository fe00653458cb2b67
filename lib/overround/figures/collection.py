"""Figures of a collection: when somebody looked, and numbers over time."""

import pandas as pd

from overround.collection.poll_times import gaps, spans
from overround.display.elements import Picture
from overround.display.palette import ACCENT, LIGHT
from overround.figures.style import canvas, dates, finish, short


def looks(observed: pd.DataFrame, *, note: str = "") -> Picture:
    """When each competition was looked at; where the line is interrupted nobody looked.

    Parameters
    ----------
    observed : DataFrame
        As `overround.collection.poll_times.observations` gives it.
    note : str
        Said below the figure.
    """
    rows, missed = spans(observed), gaps(observed)
    names = sorted(rows["competition"].unique(), reverse=True)
    figure, axes = canvas(1.2 + 0.34 * max(len(names), 1))
    for y, name in enumerate(names):
        mine = rows[rows["competition"] == name]
        axes.hlines([y], mine["begin"].min(), mine["end"].max(), color=LIGHT, linewidth=1)
        axes.hlines([y] * len(mine), mine["begin"], mine["end"], color=ACCENT, linewidth=7)
        # a span of one look has no length
        axes.scatter(mine["begin"], [y] * len(mine), marker="|", s=60, color=ACCENT, linewidths=1.2)
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
    axes.grid(axis="y", visible=False)
    if len(rows):
        dates(axes)
    finish(axes, "Looked at (thick) and not (thin)", "", note)
    longest = (
        f"the longest, of {missed['hours'].iloc[0]:.1f} hours, at {missed['competition'].iloc[0]}"
        if len(missed)
        else "none"
    )
    return Picture(
        figure,
        f"Times at which {len(names)} competitions were looked at, with {len(missed):,} gaps; {longest}.",
    )


def over_time(values: pd.Series, title: str, unit: str, *, note: str = "") -> Picture:
    """A number over time, its index, as steps.

    Parameters
    ----------
    values : Series
        Indexed by time.
    title, unit : str
        What it is and what it is counted in.
    note : str
        Said below the figure.
    """
    known = values.dropna().sort_index()
    figure, axes = canvas(2.4)
    if len(known):
        axes.plot(
            known.index,
            known,
            color=ACCENT,
            linewidth=1.2,
            drawstyle="steps-post",
            marker="." if len(known) < 60 else "",
        )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.6g}")
        dates(axes)
    finish(axes, title, unit, note)
    span = (
        f"from {known.iloc[0]:,.0f} to {known.iloc[-1]:,.0f}, at most {known.max():,.0f} {unit}"
        if len(known)
        else "nothing is known"
    )
    return Picture(figure, f"{title}, {len(known):,} points over time: {span}.")
