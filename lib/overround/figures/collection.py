"""Figures of a collection: when each competition was polled, and numbers over time."""

import pandas as pd

from overround.collection.poll_times import gaps, spans
from overround.display.elements import Picture
from overround.display.palette import ACCENT, LIGHT
from overround.figures.style import canvas, dates, finish, row_canvas, short


def looks(observed: pd.DataFrame, *, note: str = "") -> Picture:
    """When each competition was polled; where the line is interrupted it was not.

    Parameters
    ----------
    observed : DataFrame
        As `overround.collection.poll_times.observations` gives it.
    note : str
        Below the figure.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> minutes = [0, 5, 10, 15, 20, 140, 145, 150]
    >>> at = pd.Timestamp("2026-08-15 12:00", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    >>> observed = pd.DataFrame({"competition": "soccer_epl", "at": at})
    >>> print(ov.figures.looks(observed).alt)
    Times at which 1 competitions were looked at, with 1 gaps; the longest, of 2.0 hours, at soccer_epl.
    """
    rows, missed = spans(observed), gaps(observed)
    names = sorted(rows["competition"].unique(), reverse=True)
    axes, _ = row_canvas([short(name) for name in names], 0.34, 1.2)
    for y, name in enumerate(names):
        polled = rows[rows["competition"] == name]
        axes.hlines([y], polled["begin"].min(), polled["end"].max(), color=LIGHT, linewidth=1)
        axes.hlines([y] * len(polled), polled["begin"], polled["end"], color=ACCENT, linewidth=7)
        # a span of one poll has no length
        axes.scatter(polled["begin"], [y] * len(polled), marker="|", s=60, color=ACCENT, linewidths=1.2)
    axes.set_ylim(-0.6, max(len(names), 1) - 0.4)
    if len(rows):
        dates(axes)
    longest = (
        f"the longest, of {missed['hours'].iloc[0]:.1f} hours, at {missed['competition'].iloc[0]}"
        if len(missed)
        else "none"
    )
    alt = f"Times at which {len(names)} competitions were looked at, with {len(missed):,} gaps; {longest}."
    return finish(axes, "Looked at (thick) and not (thin)", "", note, alt)


def over_time(values: pd.Series, title: str, unit: str, *, note: str = "") -> Picture:
    """A number over time as steps.

    Parameters
    ----------
    values : Series
        Indexed by time.
    title, unit : str
        What it is and what it is counted in.
    note : str
        Below the figure.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> rows = quotes.groupby("collected_at").size()
    >>> print(ov.figures.over_time(rows, "Prices at each poll", "prices").alt)
    Prices at each poll, 50 points over time: from 120 to 120, at most 120 prices.
    """
    known = values.dropna().sort_index()
    axes, span = canvas(2.4), "nothing is known"
    if len(known):
        marker = "." if len(known) < 60 else ""
        axes.plot(known.index, known, color=ACCENT, linewidth=1.2, drawstyle="steps-post", marker=marker)
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda y, _: f"{y:,.6g}")
        dates(axes)
        span = f"from {known.iloc[0]:,.0f} to {known.iloc[-1]:,.0f}, at most {known.max():,.0f} {unit}"
    return finish(axes, title, unit, note, f"{title}, {len(known):,} points over time: {span}.")
