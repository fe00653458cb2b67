"""The IPython extension (`%load_ext overround`): `%%sql` over the store, and our tables in HTML.

`python -m overround.notebook.magics` makes sure that the simulated market is in the store, for notebooks that
are opened to look around.
"""

import re
import sys
from html import escape
from typing import Any

import pandas as pd

from overround.display.elements import Html
from overround.display.tables import evaluation_table, table
from overround.errors import OverroundError, ParameterError
from overround.formatting import BY_NAME, FORMATS, percent
from overround.schema import LEDGER_COLUMNS, SIGNAL_COLUMNS
from overround.store.store import Store

_ROWS, _ANSWER_ROWS = 8, 50
_LEDGER = [
    "settled_at",
    "event_id",
    "market",
    "line",
    "outcome",
    "bookmaker",
    "price",
    "stake",
    "result",
    "profit",
    "bankroll",
    "clv",
]
_SIGNALS = [
    "placed_at",
    "event_id",
    "market",
    "line",
    "outcome",
    "side",
    "bookmaker",
    "price",
    "probability",
    "edge",
]
_GIVEN = re.compile(r"\$([A-Za-z_]\w*)")
_CELL = ":is(.jp-OutputArea, .output_container, .cell-output)"
# a strip of key figures and our tables as a report has them, in JupyterLab and VS Code; a report has its own
_STYLE = (
    "<style>"
    + "".join(
        f"{_CELL} {rule}"
        for rule in (
            "dl.ov-key { display: flex; flex-wrap: wrap; gap: 0.8rem 1.6rem; margin: 0.5rem 0; }",
            ".ov-key > div { border-top: 1.5px solid; padding-top: 0.3rem; }",
            ".ov-key > div { min-width: 8rem; max-width: 12rem; }",
            ".ov-key :is(dt, dd) { float: none; width: auto; margin: 0; padding: 0; }",
            ".ov-key dt { font-weight: 400; }",
            ".ov-key dd { font-size: 1.5rem; font-weight: 650; }",
            ".ov-key small { display: block; font-size: 0.8rem; font-weight: 400; }",
            ".ov-table { overflow-x: auto; }",
            ".ov-table :is(th, td) { white-space: nowrap; }",
        )
    )
    + "</style>"
)


def load(shell: Any) -> None:
    """Give an IPython shell `%sql`, `%%sql` and our tables."""

    def sql(line: str, cell: str | None = None) -> Any:
        """`%sql SELECT ...`, or `%%sql [name]` above a query, whose answer is kept under the name."""
        return _asked(shell.user_ns, line, cell)

    shell.register_magic_function(sql, "line_cell", "sql")
    html = shell.display_formatter.formatters["text/html"]
    html.for_type(Html, lambda piece: _STYLE + piece.html)
    html.for_type(pd.DataFrame, lambda frame: shown(frame, shell.user_ns.get("events")))


def shown(frame: pd.DataFrame, events: Any = None) -> str:
    """A frame as HTML: signals, ledgers and evaluations as people read them, all others as pandas has them.

    Parameters
    ----------
    frame : DataFrame
        Any.
    events : DataFrame, optional
        The table `events`, so that matches have names.
    """
    columns = set(map(str, frame.columns))
    if "sql" in frame.attrs and frame.columns.is_unique:  # an answer, whose index means nothing
        return _STYLE + _answer(frame).html
    if frame.index.name == "metric" and {"value", "low", "high", "unit"} <= columns:
        return _STYLE + evaluation_table(frame).html
    if set(LEDGER_COLUMNS) <= columns:
        return f"{_STYLE}<p>{_ledger_in_words(frame)}</p>{_few(frame, _LEDGER, events)}"
    if set(SIGNAL_COLUMNS) <= columns:
        words = f"{len(frame):,} signals" + (
            f", mean edge {percent(frame['edge'].mean())}" if len(frame) else ""
        )
        return f"{_STYLE}<p>{words}.</p>{_few(frame, _SIGNALS, events)}"
    return frame._repr_html_()


def _answer(frame: pd.DataFrame) -> Html:
    """A column named as one of ours is formatted as that only where its type fits."""
    forms = {}
    for name, column in frame.items():
        ours, dated = BY_NAME.get(str(name)), column.dtype.kind == "M"
        if pd.api.types.is_numeric_dtype(column.dtype):
            forms[name] = "figures" if ours in ("day", "time") else ours
        else:
            forms[name] = (ours if ours in ("day", "time") else "time") if dated else "text"
    # lists, long decimals and the like as Python has them
    odd = {
        name: column.map(str, na_action="ignore") for name, column in frame.items() if column.dtype == object
    }
    return table(
        frame.assign(**odd), {str(name): form for name, form in forms.items() if form}, most=_ANSWER_ROWS
    )


def _ledger_in_words(ledger: pd.DataFrame) -> str:
    staked, profit = ledger["stake"].sum(), ledger["profit"].sum()
    if not staked:
        return f"{len(ledger):,} bets, nothing staked."
    first, last = ledger["settled_at"].min(), ledger["settled_at"].max()
    money = FORMATS["money"]
    return (
        f"{len(ledger):,} bets settled {first:%Y-%m-%d} to {last:%Y-%m-%d}: {money(staked)} staked, "
        f"profit {money(profit)}, yield {percent(profit / staked, sign=True)}."
    )


def _few(frame: pd.DataFrame, columns: list[str], events: Any) -> str:
    rows = frame.head(_ROWS)
    if isinstance(events, pd.DataFrame) and {"event_id", "home", "away"} <= set(events):
        mine = events[events["event_id"].isin(rows["event_id"])]
        # broken between the teams, never inside a name
        names = dict(zip(mine["event_id"], _whole(mine["home"]) + " – " + _whole(mine["away"]), strict=True))
        rows = rows.assign(match=rows["event_id"].map(lambda event: names.get(event, event)))
        columns = ["match" if column == "event_id" else column for column in columns]
    usual = {"market": "h2h", "side": "back"}  # what goes without saying
    known = [
        column
        for column in columns
        if not rows[column].isna().all() and not rows[column].eq(usual.get(column)).all()
    ]
    all_of_them = ", ".join(escape(str(name)) for name in frame.columns)
    more = f"<p class='ov-more'>{len(frame) - _ROWS:,} more rows; the columns are {all_of_them}.</p>"
    return table(rows[known], {"settled_at": "day"}).html + (more if len(frame) > _ROWS else "")


def _whole(names: pd.Series) -> pd.Series:
    return names.str.replace(" ", "\N{NO-BREAK SPACE}", regex=False)


def _asked(names: dict[str, Any], line: str, cell: str | None) -> Any:
    query, keep = (line, "") if cell is None else (cell, line.strip())
    if keep and not keep.isidentifier():
        raise ParameterError(
            f"%%sql {keep!r}: what stands after it is a name to keep the answer under; the query goes below."
        )
    wanted = dict.fromkeys(_GIVEN.findall(query))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ParameterError(
            f"%%sql: the query asks for ${unknown[0]}, and the notebook has no {unknown[0]}."
        )
    store, version = _store(names)
    answer = store.sql(query, version, {name: names[name] for name in wanted})
    answer.attrs["sql"] = query
    if not keep:
        return answer
    names[keep] = answer
    return None


def _store(names: dict[str, Any]) -> tuple[Store, Any]:
    """The store of the notebook's run, at its version; else its variable `store`, or the settings' store."""
    from overround.runs.run import Run

    run, store = names.get("run"), names.get("store")
    if isinstance(run, Run):
        return run.store, run.version or None
    return (store if isinstance(store, Store) else Store()), None


def ensure_sample() -> str:
    """Collect the simulated market unless the store has it; returns what was done, in a sentence."""
    from overround.collection.collector import collect

    store = Store()
    known = len(store.read("events", {"source": "sample"}, ["event_id"]))
    return (
        f"{store.root}: {known:,} simulated matches are there."
        if known
        else str(collect("sample", store=store))
    )


if __name__ == "__main__":
    try:
        print(ensure_sample())
    except OverroundError as error:
        sys.exit(f"overround: {error}")
