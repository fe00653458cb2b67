"""Tables and strips of key figures, the same in JupyterLab and in a rendered report."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from overround.display.elements import Html
from overround.errors import ParameterError
from overround.evaluation.comparison import HIGHER, LOWER, by_significance, in_points
from overround.formatting import BY_NAME, FORMATS, INTERVAL, Format

_ARROWS = {HIGHER: f"▲ {HIGHER}", LOWER: f"▼ {LOWER}"}


def table(
    frame: pd.DataFrame,
    formats: Mapping[str, str | Format] | None = None,
    *,
    most: int = 50,
    empty: str = "None.",
    strong: Sequence[bool] = (),
) -> Html:
    """A table of a report: numbers right-aligned, everything escaped, `frame.attrs["says"]` below it.

    Parameters
    ----------
    frame : DataFrame
        The index is shown if it has a name, or names.
    formats : mapping, optional
        Column -> one of `FORMATS`, or a function; columns of our own tables have theirs in `BY_NAME`.
    most : int
        Rows shown; a note gives the number of the others.
    empty : str
        Text in place of a table without rows.
    strong : sequence of bool
        Rows in bold; a word in them should say why.

    Examples
    --------
    >>> import overround as ov
    >>> import pandas as pd
    >>> ov.table(pd.DataFrame({"bookmaker": ["sharp"], "yield": [0.0213]}))
    bookmaker  yield
        sharp 0.0213
    """
    if frame.empty:
        return Html(f'<p class="ov-more">{escape(empty)}</p>', empty)
    shown = _with_interval(frame.head(most), formats or {})
    if any(shown.index.names):
        shown = shown.reset_index()
    formats = {column: BY_NAME[column] for column in shown if column in BY_NAME} | dict(formats or {})
    numeric = {*shown.select_dtypes(["number", "bool"]), *formats}
    right = [' class="ov-number"' if column in numeric else "" for column in shown]
    names = [_heading(str(column)) for column in shown]
    head = "".join(
        f'<th scope="col"{how}>{escape(name)}</th>' for how, name in zip(right, names, strict=True)
    )
    rows = []
    for at, values in enumerate(shown.itertuples(index=False, name=None)):
        texts = [_text(value, formats.get(column)) for column, value in zip(shown, values, strict=True)]
        cells = [f"<td{how}>{escape(text)}</td>" for how, text in zip(right, texts, strict=True)]
        cells[0] = f'<th scope="row"{right[0]}>{escape(texts[0])}</th>'
        mark = ' class="ov-strong"' if any(strong[at : at + 1]) else ""
        rows.append(f"<tr{mark}>{''.join(cells)}</tr>")
    more = f"<p class='ov-more'>{len(frame) - most:,} more rows.</p>" if len(frame) > most else ""
    more += f"<p>{escape(frame.attrs['says'])}</p>" if frame.attrs.get("says") else ""
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return Html(
        f'<div class="ov-table"><table class="dataframe">{body}</table></div>{more}',
        shown.to_string(index=False),
    )


def evaluation_table(evaluation: pd.DataFrame) -> Html:
    """Every row of `evaluate`, each in its own unit.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> rows = ov.display.evaluation_table(ov.evaluate(ledger, simulations=500))
    >>> print(str(rows).splitlines()[1].split())
    ['bets', '93']
    """
    rows = []
    for metric, row in evaluation.iterrows():
        value, low, high = (_text(row[name], _BY_UNIT[row["unit"]]) for name in ("value", "low", "high"))
        name = _FIGURES.get(str(metric), str(metric).replace("_", " "))
        rows.append({"figure": name, "value": value, INTERVAL: "" if low == "–" else f"{low} to {high}"})
    return table(pd.DataFrame(rows), {"value": "text"})


def headline(*figures: tuple[str, str, str]) -> Html:
    """The strip of figures to look at first: four to six of (name, value, uncertainty or comparison).

    A report shows the first strip of its notebook below the verdict, wherever the notebook makes it.

    Examples
    --------
    >>> import overround as ov
    >>> ov.headline(("Yield", "2.1 %", "−0.4 to 4.6"), ("Bets", "568", ""))
    Yield 2.1 % −0.4 to 4.6; Bets 568
    """
    body = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(big)}"
        f"{f'<small>{escape(small)}</small>' if small else ''}</dd></div>"
        for name, big, small in figures
    )
    return Html(
        f'<dl class="ov-key">{body}</dl>',
        "; ".join(f"{name} {big} {small}".strip() for name, big, small in figures),
    )


def estimate(
    name: str, value: float, low: float, high: float, *, form: str = "short percent", sign: bool = True
) -> tuple[str, str, str]:
    """One figure of a `headline` with its 95 % interval; `form` is one of `FORMATS`, `sign` adds a plus.

    Examples
    --------
    >>> import overround as ov
    >>> ov.headline(ov.display.estimate("Yield", 0.021, -0.004, 0.046), ("Bets", "568", ""))
    Yield +2.1 % −0.4 % to 4.6 %; Bets 568
    """
    write = _writer(form)
    big = "–" if pd.isna(value) else f"{'+' if sign and value >= 0 else ''}{write(value)}"
    return name, big, "no interval" if pd.isna(low) or pd.isna(high) else f"{write(low)} to {write(high)}"


def comparison_table(comparison: pd.DataFrame, *, most: int = 50) -> Html:
    """A comparison as a table, the most significant first; an arrow, a word and bold type mark it.

    Examples
    --------
    >>> import overround as ov
    >>> comparison = ov.compare_ledgers(ov.datasets.example_ledgers(), simulations=500)
    >>> print(str(ov.display.comparison_table(comparison)).split()[0])
    run
    """
    rows = by_significance(comparison)
    named = list(rows.columns[: rows.columns.get_loc("bets")])
    if "run" in named and len(set(rows["run"])) == 1:
        named.remove("run")

    def in_words(*columns: str) -> list[str]:
        return [in_points(*row) for row in rows[list(columns)].itertuples(index=False)]

    corrected = "p, corrected" if rows["p_adjusted"].notna().sum() > 1 else "p"
    shown = rows[named].assign(
        verdict=[
            _ARROWS.get(word, word or "baseline").replace(" ", "\N{NO-BREAK SPACE}")
            for word in rows["verdict"]
        ],
        **{
            "difference, points": in_words("difference", "low", "high"),
            corrected: rows["p_adjusted"],
            "closing line, points": in_words("clv_difference", "clv_low", "clv_high"),
        },
    )
    shown = shown.assign(**rows[["yield", "bets", "common_days"]])
    formats: dict[str, str | Format] = {
        "difference, points": "text",
        corrected: "p",
        "closing line, points": "text",
    }
    return table(shown, formats, most=most, strong=rows["verdict"].isin((HIGHER, LOWER)).tolist())


def _with_interval(frame: pd.DataFrame, formats: Mapping[str, str | Format]) -> pd.DataFrame:
    """Columns low and high as one."""
    if not {"low", "high"} <= set(frame.columns):
        return frame
    form = formats.get("low", BY_NAME["low"])
    ends = frame[["low", "high"]].map(_text, form=form)
    text = (ends["low"] + " to " + ends["high"]).where(frame["low"].notna(), "–")
    at = list(frame.columns).index("low")
    frame = frame.drop(columns=["low", "high"])
    frame.insert(at, INTERVAL, text)
    return frame


def _heading(column: str) -> str:
    """The name of a column as a reader knows it, with its unit behind a comma and a no-break space."""
    if column in _HEADINGS or column.endswith("_per_s"):
        return _HEADINGS.get(column, column.replace("_", " ").replace(" per s", " a second"))
    name, _, unit = column.rpartition("_")
    return (
        f"{name.replace('_', ' ')},\N{NO-BREAK SPACE}{_UNITS[unit]}"
        if name and unit in _UNITS
        else column.replace("_", " ")
    )


def _text(value: Any, form: str | Format | None) -> str:
    if value is None or (not isinstance(value, list | dict) and pd.isna(value)):
        return "–"
    if form:
        return _writer(form)(value)
    if isinstance(value, float):
        return (
            FORMATS["count"](value) if value.is_integer() and abs(value) < 1e15 else FORMATS["figures"](value)
        )
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return FORMATS["count"](value)
    return str(value)


def _writer(form: str | Format) -> Format:
    if isinstance(form, str) and form not in FORMATS:
        raise ParameterError(f"format {form!r} is unknown; there are {', '.join(FORMATS)}.")
    return FORMATS[form] if isinstance(form, str) else form


# short: on a phone the numbers are beside them
_FIGURES = {
    "turnover": "turnover, bankrolls",
    "roi": "return on bankroll",
    "drawdown_days": "days under that peak",
    "under_water": "time under water",
    "drawdown_median": "drawdown, median path",
    "drawdown_95": "drawdown, 95 % path",
    "ruin": "ruin, half lost",
    "sharpe": "Sharpe-like, a year",
    "clv": "closing-line value",
    "beat_close": "beat the close",
    "luck_p": "p of luck",
    "luck_bets": "bets in luck test",
    "tried": "strategies tried",
    "luck_p_corrected": "p, corrected",
}

_BY_UNIT = {
    "share": "percent",
    "money": "money",
    "bets": "count",
    "odds": "odds",
    "probability": "p",
    "times": "figures",
    "days": "count",
    "ratio": "ratio",
    "strategies": "count",
}

_HEADINGS = {
    "wall_s": "runtime,\u00a0s",
    "cpu_s": "processor time,\u00a0s",
    "io_wait_s": "I/O wait,\u00a0s",
    "peak_mb": "memory,\u00a0MB",
    "rps": "RPS",
    "brier": "Brier",
    "clv": "CLV",
}
_UNITS = {"s": "s", "ms": "ms", "mb": "MB", "h": "h"}
