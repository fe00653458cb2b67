"""A table as a file that a reader can save from a page."""

import base64
from html import escape
from typing import Any

import pandas as pd

from overround.display.elements import Html


def download(frame: pd.DataFrame, name: str = "bets.csv", *, most_kb: float = 125) -> Html:
    """A link that saves a table as CSV from the page itself, which stays one file that loads nothing.

    Parameters
    ----------
    frame : DataFrame
        Without its index.
    name : str
        Name of the file.
    most_kb : float
        Rows that would make the file larger are left out, and the link says so.

    Numbers have four decimals. Text that a spreadsheet would run as a formula (it begins with =, +, -, @, a
    tab or a line end) gets an apostrophe in front.

    Examples
    --------
    >>> import overround as ov
    >>> ov.display.download(ov.datasets.example_ledger(), "bets.csv")
    bets.csv: 93 rows
    """
    safe = frame.map(_no_formula).rename(columns=lambda column: _no_formula(str(column)))
    rows, content = len(frame), _csv(safe)
    while len(content) > 1_000 * most_kb and rows:
        rows = int(0.98 * rows * 1_000 * most_kb / len(content))
        content = _csv(safe.head(rows))
    what = (
        f"{len(frame):,} rows"
        if rows == len(frame)
        else f"the first {rows:,} of {len(frame):,} rows, as many as fit in this page"
    )
    source = base64.b64encode(content).decode()
    file = f'href="data:text/csv;base64,{source}" download="{escape(name, quote=True)}"'
    link = f"<a {file}>Download {escape(name)}</a>"
    return Html(f"<p>{link} ({what}, {len(content) / 1_000:,.0f} kB).</p>", f"{name}: {what}")


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(
        index=False,
        float_format=lambda x: f"{x:.4f}".rstrip("0").rstrip("."),
        date_format="%Y-%m-%dT%H:%M:%SZ",
        lineterminator="\n",
    ).encode()


def _no_formula(value: Any) -> Any:
    return (
        f"'{value}"
        if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
        else value
    )
