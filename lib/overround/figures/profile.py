"""Where a stage spent its time, call below call."""

from collections import Counter
from collections.abc import Iterator, Mapping

from matplotlib.axes import Axes

from overround.display.elements import Picture
from overround.display.palette import ACCENT, DARK, LIGHT
from overround.figures.style import canvas, finish, nothing
from overround.measure.sampler import call_table

_LEAST = 0.004  # of the width: thinner boxes are left out
_DEEPEST = 18
_LETTER = 0.0094  # of the width
_ROW = 0.2  # inches
# calls that only pass calls on
_WRAPPERS = {"contextlib", "functools", "threading", "futures.thread"}


def flame(stacks: Mapping[str, int], stage: str, *, note: str = "") -> Picture:
    """Flame graph, the outermost call on top: a box per call, as wide as its time, above those it called.

    Calls inside another package are one box, named by the function that was called there.

    Parameters
    ----------
    stacks : mapping
        Stack, outermost first, joined by semicolons -> microseconds
        (`overround.runs.profile_files.of_stage`).
    stage : str
        Name of the stage.
    note : str
        Below the figure.

    Examples
    --------
    >>> import overround as ov
    >>> stacks = {"cell (notebook);fit (model)": 700_000, "cell (notebook);read (store)": 300_000}
    >>> print(ov.figures.flame(stacks, "backtest: fit").alt)
    Flame graph of backtest: fit, 1.00 s of looks at its calls. Dearest functions by themselves: fit (model)
    70%; read (store) 30%; cell (notebook) 0%.
    """
    whole = sum(stacks.values()) / 1e6
    if not whole:
        return nothing(f"No profile of {stage} was kept.")
    short: Counter = Counter()
    for stack, spent in stacks.items():
        short[_shortened(stack)] += spent
    boxes = list(_boxes(short, 0, 0.0, whole))
    depth = max(level for level, *_ in boxes) + 1
    axes = canvas(0.9 + _ROW * depth)
    for box in boxes:
        _draw(axes, *box, whole)
    axes.set_xlim(0, whole)
    axes.set_ylim(depth - 0.5, -0.5)
    axes.yaxis.set_visible(False)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    most = "; ".join(
        f"{row.function} ({row.module}) {row.itself:.0%}"
        for row in call_table(stacks).head(5).itertuples(index=False)
    )
    alt = (
        f"Flame graph of {stage}, {whole:.2f} s of looks at its calls. "
        f"Dearest functions by themselves: {most}."
    )
    return finish(
        axes,
        f"{stage}: where its time went",
        "",
        note,
        alt,
        across="seconds (blue: this library, grey: what it calls)",
    )


def _shortened(stack: str) -> tuple[str, ...]:
    names: list[str] = []
    last = ""
    for name in stack.split(";"):
        package = _package(name)
        if name.partition(" (")[2].rstrip(")") in _WRAPPERS and name != stack.rpartition(";")[2]:
            continue
        if package == "overround" or package != last:
            names.append(name)
        last = package
    return tuple(names[:_DEEPEST])


def _package(name: str) -> str:
    return name.partition("(")[2].rstrip(")").partition(".")[0] or name


def _boxes(
    stacks: Mapping[tuple[str, ...], int], level: int, left: float, whole: float
) -> Iterator[tuple[int, float, float, str]]:
    """Boxes of one level and those below: (level, left, width in seconds, name), the widest first."""
    below: dict[str, Counter] = {}
    for stack, spent in stacks.items():
        if stack:
            below.setdefault(stack[0], Counter())[stack[1:]] += spent
    for name, rest in sorted(below.items(), key=lambda item: (-item[1].total(), item[0])):
        width = rest.total() / 1e6
        if width / whole >= _LEAST:
            yield level, left, width, name
            yield from _boxes(rest, level + 1, left, whole)
        left += width


def _draw(axes: Axes, level: int, left: float, width: float, name: str, whole: float) -> None:
    function, _, module = name.partition(" (")
    own = _package(name) == "overround"
    colour, ink = (ACCENT, "white") if own else (LIGHT, DARK)
    axes.barh(level, width, left=left, height=0.94, color=colour, edgecolor="white", linewidth=0.6)
    room = int(width / whole / _LETTER) - 1
    function = function.replace("<locals>.", "")
    text = function if own or not module else f"{function} ({module.rstrip(')')})"
    text = text.replace("<", "").replace(">", "").replace("$", r"\$")
    if room >= 4:
        text = text if len(text) <= room else function[: room - 1] + "…" if len(function) > room else function
        axes.text(left + 0.004 * whole, level, text, va="center", fontsize=7.5, color=ink, clip_on=True)
