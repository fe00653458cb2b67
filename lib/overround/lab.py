"""What `%load_ext overround` brings to a notebook: `%%sql` over the store, and tables of ours that show themselves.

`python -m overround.lab` makes sure that the simulated market is in the store, for notebooks that are opened to look around.
"""

import re
import sys
from typing import Any

import pandas as pd

from overround.errors import OverroundError, ParameterError
from overround.evaluate import percent
from overround.show import FORMATS, evaluation_table, table
from overround.store import Store
from overround.tables import LEDGER_COLUMNS, SIGNAL_COLUMNS

_ROWS = 8
_LEDGER = ["settled_at", "event_id", "market", "line", "outcome", "bookmaker", "price", "stake", "result", "profit", "bankroll", "clv"]
_SIGNALS = ["placed_at", "event_id", "market", "line", "outcome", "side", "bookmaker", "price", "probability", "edge"]
_GIVEN = re.compile(r"\$([A-Za-z_]\w*)")
# key figures as a report has them, in JupyterLab and VS Code; a report has its own
_STYLE = """<style>
:is(.jp-OutputArea, .output_container, .cell-output) dl.ov-key { display: flex; flex-wrap: wrap; gap: 0.8rem 1.6rem; margin: 0.5rem 0; }
:is(.jp-OutputArea, .output_container, .cell-output) .ov-key > div { border-top: 1.5px solid; padding-top: 0.3rem; min-width: 8rem; }
:is(.jp-OutputArea, .output_container, .cell-output) .ov-key dt { font-weight: 400; opacity: 0.75; float: none; width: auto; }
:is(.jp-OutputArea, .output_container, .cell-output) .ov-key dd { font-size: 1.5rem; font-weight: 650; margin: 0; }
:is(.jp-OutputArea, .output_container, .cell-output) .ov-key small { display: block; font-size: 0.8rem; font-weight: 400; opacity: 0.75; }
</style>"""


def load(shell: Any) -> None:
    """Give an IPython shell `%sql`, `%%sql` and our tables."""
    from IPython.display import HTML, display

    def sql(line: str, cell: str | None = None) -> Any:
        """`%sql SELECT ...`, or `%%sql [name]` above a query: ask the store, and keep the answer under a name."""
        return _asked(shell.user_ns, line, cell)

    shell.register_magic_function(sql, "line_cell", "sql")
    shell.display_formatter.formatters["text/html"].for_type(pd.DataFrame, shown)
    if hasattr(shell, "kernel"):
        display(HTML(_STYLE))


def shown(frame: pd.DataFrame) -> str | None:
    """A frame as HTML: signals, ledgers and evaluations as people read them, all others as pandas has them."""
    columns = set(map(str, frame.columns))
    if frame.index.name == "metric" and {"value", "low", "high", "unit"} <= columns:
        return evaluation_table(frame)._repr_html_()
    if set(LEDGER_COLUMNS) <= columns:
        return f"<p>{_ledger_in_words(frame)}</p>{_few(frame, _LEDGER)}"
    if set(SIGNAL_COLUMNS) <= columns:
        words = f"{len(frame):,} signals" + (f", mean edge {percent(frame['edge'].mean())}" if len(frame) else "")
        return f"<p>{words}</p>{_few(frame, _SIGNALS)}"
    return frame._repr_html_()  # type: ignore[operator]  # pandas has it, its stubs do not


def _ledger_in_words(ledger: pd.DataFrame) -> str:
    staked, profit = ledger["stake"].sum(), ledger["profit"].sum()
    if not staked:
        return f"{len(ledger):,} bets, nothing staked"
    first, last = ledger["settled_at"].min(), ledger["settled_at"].max()
    money = FORMATS["money"]
    return (
        f"{len(ledger):,} bets settled {first:%Y-%m-%d} to {last:%Y-%m-%d}: {money(staked)} staked, profit {money(profit)}, "
        f"yield {percent(profit / staked, sign=True)}"
    )


def _few(frame: pd.DataFrame, columns: list[str]) -> str:
    known = [column for column in columns if not frame[column].isna().all()]
    return table(frame[known], most=_ROWS)._repr_html_()


def _asked(names: dict[str, Any], line: str, cell: str | None) -> Any:
    query, keep = (line, "") if cell is None else (cell, line.strip())
    if keep and not keep.isidentifier():
        raise ParameterError(f"%%sql {keep!r}: what stands after it is a name to keep the answer under; the query goes below.")
    wanted = dict.fromkeys(_GIVEN.findall(query))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise ParameterError(f"%%sql: the query asks for ${unknown[0]}, and the notebook has no {unknown[0]}.")
    store, version = _store(names)
    answer = store.sql(query, version, {name: names[name] for name in wanted})
    if not keep:
        return answer
    names[keep] = answer
    return None


def _store(names: dict[str, Any]) -> tuple[Store, Any]:
    """That of the notebook's run, at its version; else its variable `store`; else the one of the settings."""
    from overround.report import Run

    run, store = names.get("run"), names.get("store")
    if isinstance(run, Run):
        return run.store, run.version or None
    return (store if isinstance(store, Store) else Store()), None


def ensure_sample() -> str:
    """Collect the simulated market where the store has no match of it; returns what was done, in a sentence."""
    from overround.collect import collect

    store = Store()
    known = len(store.read("events", {"source": "sample"}, ["event_id"]))
    return f"{store.root}: {known:,} simulated matches are there." if known else str(collect("sample", store=store))


if __name__ == "__main__":
    try:
        print(ensure_sample())
    except OverroundError as error:
        sys.exit(f"overround: {error}")
