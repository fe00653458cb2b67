"""The look that all figures share: an accent and greys, direct labels, a zero line, readable dates."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, GRID, MIDDLE, PAPER

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
DASHED = (0, (4, 3))
# more points than these are drawn as one image: as shapes they would outweigh the rest of a report
_MOST_POINTS, _IMAGE_DPI = 500, 200
_MOST_STEPS = 400


def canvas(height: float) -> Axes:
    """Axes of a figure of this height (inches) in our look."""
    return panels(height, 1, 1)[0]


def row_canvas(
    names: Sequence[str], each: float = 0.3, frame: float = 1.1, *, downwards: bool = False
) -> tuple[Axes, NDArray[np.intp]]:
    """Axes with a row for each name, and where the rows are; heights of a row and the frame in inches."""
    axes, at = canvas(frame + each * max(len(names), 1)), np.arange(len(names))
    at = at[::-1] if downwards else at
    name_rows(axes, at, names)
    return axes, at


def panels(height: float, count: int, columns: int) -> list[Axes]:
    """Axes of a figure of this height (inches): `count` panels in rows of `columns`, on the same scales."""
    count = max(count, 1)
    grid = _subplots(height, -(-count // columns), columns, sharey=True)
    for unused in grid[count:]:
        unused.set_visible(False)
    for lowest in grid[max(count - columns, 0) : count]:  # nothing is below it
        lowest.tick_params(labelbottom=True)
    return grid[:count]


def column(height: float, count: int) -> list[Axes]:
    """Axes of a figure of this height (inches), one below the other, sharing the horizontal scale only."""
    return _subplots(height, max(count, 1), 1)


def _subplots(height: float, rows: int, columns: int, sharey: bool = False) -> list[Axes]:
    # a Figure of its own: pyplot would keep every figure of a long session
    with rc_context(_LOOK):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        return list(figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=sharey).ravel())


def figure_of(axes: Axes) -> Figure:
    """The figure that these axes are part of."""
    figure = axes.figure
    assert isinstance(figure, Figure)  # noqa: S101  # none of ours has a subfigure
    return figure


def nothing(text: str) -> Picture:
    """Words in place of a figure that would be empty."""
    axes = canvas(0.8)
    axes.axis("off")
    axes.text(0, 0.5, text, color=MIDDLE, va="center")
    return Picture(figure_of(axes), text)


def say(axes: Axes, text: str, **how: Any) -> None:
    """Words in the middle of axes that have nothing to show."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MIDDLE, **how)
    axes.set_axis_off()


def finish(axes: Axes, title: str, unit: str, note: str, alt: str, across: str = "") -> Picture:
    """Finish a single panel: title, units of the vertical and the horizontal axis, note below, alt text."""
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11)
    axes.set(xlabel=across, ylabel=unit)
    _below(figure_of(axes), note)
    return Picture(figure_of(axes), alt)


def finish_panels(
    grid: Sequence[Axes], title: str, note: str, alt: str, *, across: str = "", up: str = ""
) -> Picture:
    """Finish a figure of several panels: title, shared units, note below, alt text."""
    figure = figure_of(grid[0])
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=11)
    if across:
        figure.supxlabel(f"{across}\n{note}" if note else across, fontsize=9)
    else:
        _below(figure, note)
    if up:
        figure.supylabel(up, fontsize=9)
    return Picture(figure, alt)


def _below(figure: Figure, note: str) -> None:
    if note:
        figure.supxlabel(note, x=0.99, ha="right", fontsize=8, color=MIDDLE)


def zero(axes: Axes, *, upright: bool = False, at: float = 0) -> None:
    """Draw the line of no difference."""
    (axes.axvline if upright else axes.axhline)(at, color=DARK, linewidth=1)


def dates(axes: Axes) -> None:
    """Write dates along the horizontal axis, no more than needed."""
    locator = AutoDateLocator(minticks=3, maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def logarithmic(axes: Axes, which: str = "x", *, minor: bool = True) -> None:
    """Make the axes named by letters logarithmic, with plain numbers, some of them between powers of ten."""
    for letter in which:
        axes.set(**{f"{letter}scale": "log"})
        axis = getattr(axes, f"{letter}axis")
        axis.set_major_formatter(lambda x, _: f"{x:g}")
        axis.set_minor_formatter((lambda x, _: f"{x:g}" if f"{x:g}"[0] in "235" else "") if minor else "")


def name_rows(axes: Axes, at: ArrayLike, names: Sequence[str]) -> None:
    """Write the names of rows along the vertical axis, without lines across."""
    axes.set_yticks(at, names)
    axes.grid(axis="y", visible=False)


def dots(axes: Axes, x: ArrayLike, y: ArrayLike, filled: Any, colours: Any = ACCENT) -> None:
    """Estimates, those that noise does not explain filled."""
    fill = np.where(filled, colours, "white").tolist()
    axes.scatter(x, y, s=30, zorder=3, color=fill, edgecolors=colours, linewidths=1.4)


def cloud(axes: Axes, x: Any, y: Any, marked: Any, labels: Sequence[str | None] = (None, None)) -> None:
    """Many points, those that are marked in the accent colour."""
    many = len(x) > _MOST_POINTS
    if many:
        figure_of(axes).set_dpi(_IMAGE_DPI)
    for chosen, colour, name in ((~marked, MIDDLE, labels[0]), (marked, ACCENT, labels[1])):
        axes.scatter(
            x[chosen], y[chosen], s=10, color=colour, alpha=0.5, linewidths=0, label=name, rasterized=many
        )


def cumulative(
    axes: Axes, values: ArrayLike, text: str, colour: str, right: float, up: float, **look: Any
) -> None:
    """Per cent of the values up to each of them, and words beside their median."""
    ranked = np.sort(np.asarray(values, float))
    shown = np.unique(np.linspace(0, len(ranked) - 1, min(len(ranked), _MOST_STEPS)).astype(int))
    share = 100 * (shown + 1) / len(ranked)
    axes.plot(ranked[shown], share, color=colour, drawstyle="steps-post", **look)
    beside(axes, (np.median(ranked), 50), text, colour, right, up)
    axes.set_ylim(0, 101)


def label(axes: Axes, x: Any, y: float, text: str, colour: str) -> None:
    """Write a text beside a point, outside the axes where it must."""
    # a browser drops a space at the beginning of a line
    beside(axes, (x, y), text.replace(" ", "\N{NO-BREAK SPACE}"), colour, 2, va="center")


def beside(
    axes: Axes, point: tuple, text: str, colour: str = DARK, right: float = 0, up: float = 0, **how: Any
) -> None:
    """Write a text some points to the right of and above a point."""
    axes.annotate(
        text,
        point,
        xytext=(right, up),
        textcoords="offset points",
        color=colour,
        annotation_clip=False,
        **({"fontsize": 9, "ha": "left" if right >= 0 else "right"} | how),
    )


def spread_labels(axes: Axes, ends: list[tuple]) -> None:
    """Labels (value, x, name, colour) at the ends of lines, pushed apart so that none covers another."""
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
