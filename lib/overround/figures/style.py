"""The one look of every figure: an accent and greys, direct labels, a zero line, dates that read well."""

from typing import TYPE_CHECKING, Any

import numpy as np

from overround.display.elements import Picture
from overround.display.palette import DARK, GRID, MIDDLE, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 6.8
_LOOK = {
    "font.size": 10,
    "font.family": "sans-serif",
    "text.color": DARK,
    "axes.labelcolor": DARK,
    "axes.edgecolor": MIDDLE,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": PAPER,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def canvas(height: float) -> tuple["Figure", "Axes"]:
    """A figure of this height (inches) in our look, and its axes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    # a Figure of its own: pyplot would keep every figure of a long session
    with rc_context(_LOOK):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        return figure, figure.subplots()


def panels(height: float, count: int, columns: int) -> tuple["Figure", list["Axes"]]:
    """A figure of this height (inches) in our look with so many axes, on the same scales."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_LOOK):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        grid = figure.subplots(
            -(-max(count, 1) // columns), columns, sharex=True, sharey=True, squeeze=False
        ).ravel()
    for unused in grid[max(count, 1) :]:
        unused.set_visible(False)
    for lowest in grid[max(count - columns, 0) : count]:  # where nothing is below it
        lowest.tick_params(labelbottom=True)
    return figure, list(grid[: max(count, 1)])


def columns(height: float, count: int) -> tuple["Figure", list["Axes"]]:
    """A figure of this height (inches) in our look with so many axes below one another, on the same horizontal scale only."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_LOOK):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        return figure, list(figure.subplots(max(count, 1), 1, sharex=True, squeeze=False).ravel())


def nothing(text: str) -> Picture:
    """Words in place of a figure that would be empty."""
    figure, axes = canvas(0.8)
    axes.axis("off")
    axes.text(0, 0.5, text, color=MIDDLE, va="center")
    return Picture(figure, text)


def finish(axes: "Axes", title: str, unit: str, note: str) -> None:
    """Title, unit of the vertical axis, and a note below."""
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11)
    if unit:
        axes.set_ylabel(unit)
    if note:
        axes.figure.supxlabel(note, x=0.99, ha="right", fontsize=8, color=MIDDLE)


def dates(axes: "Axes") -> None:
    """Write dates along the horizontal axis, no more than needed."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def label(axes: "Axes", x: Any, y: float, text: str, colour: str) -> None:
    """Write a text beside a point, outside the axes where it must."""
    text = text.replace(" ", "\N{NO-BREAK SPACE}")  # a browser drops a space at the beginning of a line
    axes.annotate(
        text,
        (x, y),
        xytext=(2, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=colour,
        annotation_clip=False,
    )


def spread_labels(axes: "Axes", ends: list[tuple]) -> None:
    """Labels at the ends of lines, pushed apart so that none covers another."""
    if not ends:
        return
    low, high = axes.get_ylim()
    gap, floor = (high - low) * 0.07, -np.inf
    for value, x, name, colour in sorted(ends, key=lambda end: end[0]):
        floor = max(value, floor + gap)
        label(axes, x, floor, f" {name}", colour)


def short(name: Any, most: int = 28) -> str:
    """A name as a figure shows it: no underscores, cut where too long."""
    # a dollar sign would start a formula
    text = str(name).replace("_", " ").replace("$", r"\$")
    return text if len(text) <= most else text[: most - 1] + "…"
