"""Sliders over a sweep: every variant is computed beforehand, so a moved slider only looks up and draws.

The luck test's p that they show is corrected for all variants which they can reach: who drags a slider until
the curve looks good has tried them all.
"""

from collections.abc import Hashable, Sequence
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.display.palette import ACCENT, DARK, LIGHT, MIDDLE
from overround.errors import ParameterError
from overround.formatting import FORMATS, percent

if TYPE_CHECKING:
    from overround.sweeps.result import Sweep

# in a report its own colours, in JupyterLab those of the theme, elsewhere ours
_INK = f"var(--fig-ink, var(--jp-ui-font-color1, {DARK}))"
_SOFT = f"var(--fig-middle, var(--jp-ui-font-color2, {MIDDLE}))"
_LINE = f"var(--fig-light, var(--jp-border-color2, {LIGHT}))"
_ACCENT = f"var(--fig-accent, var(--jp-brand-color1, {ACCENT}))"
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 680, 300, 64, 70, 12, 26
_MOST_POINTS = 700  # one a unit of width
_SHARES = ("min_edge", "max_edge", "cap", "drawdown")


def sliders(sweep: "Sweep") -> "Sliders":
    """A slider for each parameter that a sweep varied, and the bankroll of the variant that they stand at.

    Parameters
    ----------
    sweep : Sweep
        A whole grid, as `overround.sweep` makes it without a sample.

    Returns
    -------
    Sliders
        Shows itself where a notebook is opened; in a page, which cannot move, the variant in the middle.
        `value` is the variant that the sliders stand at, `sweep.ledger(sliders.value)` its bets.

    Raises
    ------
    ParameterError
        A sweep that varied nothing, or is no whole grid.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> choices = {"min_edge": [0.0, 0.02, 0.04], "stake": [0.01, 0.02]}
    >>> swept = ov.sweep(quotes, {"reference": "sharp", "staking": "percentage", **choices}, results)
    >>> ov.sliders(swept).options
    {'min_edge': [0.0, 0.02, 0.04], 'stake': [0.01, 0.02]}
    """
    return Sliders(sweep)


class Sliders:
    """What `sliders` returns."""

    def __init__(self, sweep: "Sweep"):
        self.sweep = sweep
        self.options = {name: sorted(set(sweep.table[name]), key=_order) for name in sweep.varied}
        wanted = int(np.prod([len(values) for values in self.options.values()]))
        if not self.options or wanted != len(sweep.table):
            raise ParameterError(
                "sliders need every combination of at least one parameter; "
                f"the sweep has {len(sweep.table)} variants of {', '.join(sweep.varied) or 'nothing'}, "
                f"a whole grid has {wanted}."
            )
        rows = sweep.table[list(self.options)].itertuples(index=False, name=None)
        self._variant: dict[tuple[Hashable, ...], int] = dict(zip(rows, sweep.table.index, strict=True))
        self._place = {variant: place for place, variant in enumerate(sweep.table.index)}
        self._paths = sweep.bankroll + np.cumsum(sweep.profit, axis=1, dtype=np.float64)
        # one scale for all: a slider that moved the axis as well would hide what it does
        self._scale = (
            min(float(self._paths.min(initial=sweep.bankroll)), sweep.bankroll),
            max(float(self._paths.max(initial=0)), sweep.bankroll),
        )
        self.value = self._variant[tuple(values[len(values) // 2] for values in self.options.values())]

    def at(self, **values: Any) -> str:
        """The figure and the sentence below it, as HTML, of the variant with these values.

        Raises
        ------
        ParameterError
            For a value that no variant has.
        """
        now = self._values() | values
        key = tuple(now.values())
        if set(now) != set(self.options) or key not in self._variant:
            raise ParameterError(f"no variant has {values}; there are {self.options}.")
        self.value = self._variant[key]
        return self._html()

    def __repr__(self) -> str:
        """Say what the sliders stand at."""
        return self._sentence()

    def widget(self) -> Any:
        """The sliders and the figure as one ipywidgets box.

        Raises
        ------
        ParameterError
            Where ipywidgets is not installed.
        """
        return self._widget

    @cached_property
    def _widget(self) -> Any:
        try:
            import ipywidgets as w
        except ImportError:
            raise ParameterError(
                "sliders need ipywidgets, which comes with the extra lab: pip install 'overround[lab]'."
            ) from None
        shown = w.HTML(self._html())
        start = self._values()
        found = {
            name: w.SelectionSlider(
                options=[(_spelled(name, value), value) for value in values],
                value=start[name],
                description=name.replace("_", " "),
                layout=w.Layout(width="460px"),
                style={"description_width": "96px"},
            )
            for name, values in self.options.items()
        }

        def moved(_: Any) -> None:
            shown.value = self.at(**{name: one.value for name, one in found.items()})

        for one in found.values():
            one.observe(moved, "value")
        return w.VBox([*found.values(), shown])

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        still = {"text/html": self._html(), "text/plain": repr(self)}
        try:
            return {**self.widget()._repr_mimebundle_(**kwargs), **still}
        except ParameterError:  # no widgets here: a still figure
            return still

    def _values(self) -> dict[str, Any]:
        return self.sweep.table.loc[self.value, list(self.options)].to_dict()

    def _html(self) -> str:
        words = self._sentence()
        drawing = _drawing(
            self.sweep.days, self._paths[self._place[self.value]], self.sweep.bankroll, self._scale, words
        )
        return f'<figure class="ov-figure" tabindex="0">{drawing}</figure><p>{escape(words)}</p>'

    def _sentence(self) -> str:
        row = self.sweep.table.loc[self.value]
        where = ", ".join(f"{name.replace('_', ' ')} {_spelled(name, row[name])}" for name in self.options)
        if not row["bets"]:
            return f"{where}: no bets."
        tried = self.sweep.tried
        p = row["luck_p_adjusted"]
        luck = f"luck test p {FORMATS['p'](p)}, corrected for the {tried:,} settings reachable here"
        luck = "no closing prices to test luck with" if pd.isna(p) else luck
        ends = (
            f"bankroll {FORMATS['money'](self.sweep.bankroll)} to {FORMATS['money'](row['final_bankroll'])}"
        )
        return (
            f"{where}: {row['bets']:,.0f} bets, yield {percent(row['yield'], sign=True)} "
            f"({percent(row['low'])} to {percent(row['high'])}), "
            f"{ends}, deepest drawdown {percent(row['max_drawdown'], 0)}, "
            f"closing-line value {percent(row['clv'], sign=True)}; {luck}."
        )


def _drawing(
    days: pd.DatetimeIndex, path: NDArray[np.float64], start: float, scale: tuple[float, float], words: str
) -> str:
    """A bankroll over time as SVG, written by hand: matplotlib takes twenty times as long."""
    ticks = _ticks(*scale)
    low, high = min(ticks[0], scale[0]), max(ticks[-1], scale[1])
    began = days[0].value if len(days) else 0
    span = max((days[-1].value - began) if len(days) else 0, 1)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def y(value: float) -> float:
        return round(_TOP + (bottom - _TOP) * (high - value) / ((high - low) or 1.0), 1)

    lines = [f'<path d="M{_LEFT} {y(tick)}H{right}" style="stroke:{_LINE};fill:none"/>' for tick in ticks]
    texts = [_text(_LEFT - 8, y(tick) + 4, FORMATS["money"](tick), _SOFT, "end") for tick in ticks]
    for year in sorted({day.year for day in days}):
        x = _LEFT + (right - _LEFT) * max(pd.Timestamp(year, 1, 1, tz="UTC").value - began, 0) / span
        if not texts or x <= right - 20:
            texts.append(_text(x, _HEIGHT - 6, str(year), _SOFT, "start"))
    lines.append(
        f'<path d="M{_LEFT} {y(start)}H{right}" style="stroke:{_SOFT};stroke-dasharray:3 3;fill:none"/>'
    )
    if len(path):
        kept = np.unique(np.linspace(0, len(path) - 1, min(len(path), _MOST_POINTS)).round().astype(int))
        xs = _LEFT + (right - _LEFT) * (days.asi8[kept] - days.asi8[0]) / max(
            int(days.asi8[-1] - days.asi8[0]), 1
        )
        steps = "".join(
            f"H{x:.1f}V{y(value)}" for x, value in zip(xs.tolist(), path[kept].tolist(), strict=True)
        )
        lines.append(
            f'<path d="M{_LEFT} {y(start)}{steps}" style="stroke:{_ACCENT};stroke-width:1.8;fill:none"/>'
        )
        texts.append(
            _text(right + 6, y(float(path[-1])) + 4, FORMATS["money"](float(path[-1])), _ACCENT, "start")
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="Bankroll over time. {escape(words, quote=True)}">{"".join(lines)}{"".join(texts)}</svg>'
    )


def _text(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    style = f"font:12px sans-serif;fill:{colour};stroke:none"
    return f'<text x="{x:.0f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}">{escape(text)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that span a scale; of a scale without a width its one number."""
    if not high > low:
        return [low]
    step = 10.0 ** np.floor(np.log10(max(high - low, 1e-9)))
    while (high - low) / step < 3:
        step /= 2
    return [float(tick) for tick in np.arange(np.floor(low / step), np.ceil(high / step) + 1) * step][
        :: 1 if (high - low) / step < 6 else 2
    ]


def _spelled(name: str, value: Any) -> str:
    if name in _SHARES or (name == "stake" and isinstance(value, float) and value < 1):
        return percent(value, 2 if round(value * 1000) != value * 1000 else 1)
    return str(value) if isinstance(value, str | tuple) or value is None else f"{value:g}"


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str | Sequence) or value is None, value if isinstance(
        value, int | float | str
    ) else str(value)
