"""Pages that can be sent to someone: one for each run, and an index of all runs.

A page is one file without scripts or requests, which a Content-Security-Policy enforces. This module reads
executed notebooks and the JSON records beside them, and runs nothing.
"""

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from overround.errors import RunError
from overround.formatting import duration, percent
from overround.reports.index import overview
from overround.reports.records import (
    RUN_MIME,
    baseline,
    can_be_made_again,
    read_pipelines,
    read_record,
    read_records,
    siblings,
    write_atomically,
)
from overround.reports.svg import inline_drawings
from overround.sources.registry import SIMULATED, credit

TEMPLATES = Path(__file__).parent / "templates"
_NAVIGATION = '<nav aria-label="Reports">'
_SHORT = 60
_SHOWABLE = {"text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/plain"}
_NEVER = ["script", "iframe", "object", "embed", "applet", "link", "meta", "base", "form", "noscript"]
_LOADING = ("src", "srcset", "poster", "background", "data", "action", "formaction")
_HEADING = re.compile("^h[1-6]$")
_NUMBER = re.compile(
    r"[-+−–±]?\s*[\d.,  ]*\d\s*(%|s|ms|MB|k|M|x|×)?(\s*\([^)]*\d[^)]*\))?|[-–—]|nan|none|", re.IGNORECASE
)


def render_run(ipynb: Path, html: Path, record: Path, *, show_code: bool = False) -> None:
    """Write the page of a run.

    Parameters
    ----------
    ipynb : Path
        The executed notebook.
    html : Path
        The page; its links to the notebook, the pages of the same pipeline and the index are relative to it.
    record : Path
        JSON file about the run, as written by `overround.runs.runner`.
    show_code : bool
        Whether the code is shown at first; a control on the page shows and hides it.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from nbformat import v4, write
    >>> import overround as ov
    >>> cells = [
    ...     v4.new_markdown_cell("# A demonstration"),
    ...     v4.new_code_cell('run_id: str = ""; store_version: str = ""', metadata={"tags": ["parameters"]}),
    ...     v4.new_code_cell("import overround as ov"),
    ...     v4.new_code_cell('ov.Run("demo", globals()).finish("No edge.", {"bets": 3})'),
    ... ]
    >>> home = Path(mkdtemp())
    >>> (home / "notebooks").mkdir()
    >>> write(v4.new_notebook(cells=cells), home / "notebooks" / "demo.ipynb")
    >>> settings = ov.settings.Settings(home=home, reports=home / "reports", store=str(home / "store"))
    >>> [outcome] = ov.runs.run_pipeline([ov.runs.Step("demo", "demo")], settings=settings)
    >>> record = outcome.ipynb.with_suffix(".json")
    >>> ov.reports.render_run(outcome.ipynb, outcome.html, record, show_code=True)
    >>> "No edge." in outcome.html.read_text()
    True
    """
    run = read_record(record)
    if run is None:
        raise RunError(f"{record} is not a record of a run; the page of {ipynb} cannot be made.")
    heading, contents, strip, body = _tidy(_cells(ipynb))
    template = _environment().get_template("report.html")
    page = template.render(
        run=run,
        heading=heading or run["title"],
        contents=contents,
        strip=strip,
        body=body,
        show_code=show_code,
        has_code='class="code"' in body,
        simulated=_simulated(run),
        data=credit(run["source"]),
        again=can_be_made_again(run["notebook"], run["parameters"]),
        siblings=siblings(record.parent),
        notebook_file=ipynb.name,
    )
    write_atomically(html, page)


def renew_navigation(html: Path, record: Path) -> None:
    """Update the links of a page to the other pages of its pipeline; the rest of it stays unchanged."""
    run, page = read_record(record), html.read_text(encoding="utf-8")
    start, end = page.find(_NAVIGATION), page.find("</nav>")
    if run is None or not 0 <= start < end:
        raise RunError(f"{html} is not the page of a run.")
    now = _environment().get_template("navigation.html").render(run=run, siblings=siblings(record.parent))
    write_atomically(html, page[:start] + now.strip() + page[end + len("</nav>") :])


def render_index(reports: Path) -> Path:
    """Write `index.html` of all runs under a reports folder and return its path; see also `mark_baseline`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> reports = Path(mkdtemp())
    >>> ov.reports.render_index(reports).name
    'index.html'
    """
    runs, unreadable = read_records(reports)
    shown = overview(runs, baseline(reports), read_pipelines(reports))
    page = _environment().get_template("index.html").render(**shown, runs=runs, unreadable=unreadable)
    path = reports / "index.html"
    write_atomically(path, page)
    return path


def _simulated(run: dict) -> bool:
    # a comparison of runs names all their sources, joined by a plus
    return SIMULATED in run["source"].split("+")


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader

    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    made.globals["css"] = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    made.tests["simulated"] = _simulated
    made.globals["SHOWN"] = 8  # rows of a notebook that the index shows unfolded
    made.filters |= {
        "moment": _moment,
        "duration": _duration,
        "value": _value,
        "percent": _percent,
        "verdict_parts": _verdict_parts,
    }
    return made


@cache
def _exporter() -> Any:
    from jinja2 import FileSystemLoader
    from nbconvert import HTMLExporter

    return HTMLExporter(
        template_name="basic",
        extra_loaders=[FileSystemLoader(TEMPLATES)],
        template_file="cells.html.j2",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )


def _cells(ipynb: Path) -> str:
    import nbformat

    notebook = nbformat.read(ipynb, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if RUN_MIME not in output.get("data", {})]
            for output in cell.outputs:
                for kind in output.get("data", {}).keys() - _SHOWABLE:
                    del output["data"][kind]
    notebook.metadata.pop("widgets", None)
    html, _ = _exporter().from_notebook_node(notebook)
    return html


def _tidy(html: str) -> tuple[str, list[tuple[int, str, str]], str, str]:
    """Return the first heading, the contents as (level, id, text), the first strip, and the disarmed body."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    inline_drawings(soup)
    for element in soup(_NEVER):
        element.decompose()
    for element in soup.find_all(True):
        _disarm(element)
    title = soup.find(_HEADING)
    heading = title.get_text(" ", strip=True) if title else ""
    if title:
        title.decompose()
    strip = _take_strip(soup)
    _drop_empty_headings(soup, everywhere=bool(strip))
    contents = _number_headings(soup)
    for image in soup("img"):
        image["alt"] = image.get("alt") or "A figure without a description"
    for block in soup("pre"):
        # long lines scroll, which has to be possible by keyboard
        block["tabindex"], block["role"] = "0", "region"
        block["aria-label"] = "Code" if block.find_parent(class_="code") else "Text that was printed"
    for number, table in enumerate(soup("table"), 1):
        above = table.find_previous(["h2", "h3", "h4"])
        words = f": {above.get_text(' ', strip=True)}" if above else ""
        _tidy_table(soup, table, f"Table {number}{words}")
    return heading, contents if len(contents) > 1 else [], strip, str(soup)


def _take_strip(soup: Any) -> str:
    """Take out the strip of key figures, which belongs below the verdict."""
    strip = soup.select_one("dl.ov-key")
    if strip is None:
        return ""
    strip.extract()
    for cell in soup.select(".outputs"):
        if not cell.get_text(strip=True) and not cell.find(["img", "svg", "table"]):
            cell.decompose()
    return str(strip)


def _drop_empty_headings(soup: Any, everywhere: bool) -> None:
    """Remove headings over nothing: at the end, where a notebook shows nothing, or everywhere."""
    following = None
    for heading in reversed(soup.find_all(_HEADING)):
        level_ends = following is None or (everywhere and following.name <= heading.name)
        if level_ends and not _shown_between(heading, following):
            heading.decompose()
        else:
            following = heading


def _number_headings(soup: Any) -> list[tuple[int, str, str]]:
    """Give headings an id, and let levels go down by one at a time."""
    contents, level = [], 1
    for number, element in enumerate(soup.find_all(_HEADING), 1):
        level = min(max(int(element.name[1]), 2), level + 1)
        element.name, element["id"] = f"h{level}", f"section-{number}"
        if level <= 3:
            contents.append((level, element["id"], element.get_text(" ", strip=True)))
    return contents


def _shown_between(heading: Any, following: Any) -> bool:
    for node in heading.next_elements:
        if node is following:
            return False
        if node.name in ("img", "svg", "table", "hr"):
            return True
        text = node.name is None and node.strip() and heading not in node.parents
        if text and not node.find_parent(class_="code"):
            return True
    return False


def _disarm(element: Any) -> None:
    for name in list(element.attrs):
        value = str(element[name]).strip().lower()
        loads = name in _LOADING and not value.startswith("data:image/")
        if name.endswith("href") and element.name != "a":  # parts of a drawing
            loads = not value.startswith(("#", "data:image/"))
        if (
            name.startswith("on")
            or loads
            or value.replace("\t", "").replace("\n", "").startswith(("javascript:", "vbscript:"))
        ):
            del element[name]
    if element.name == "img" and not element.get("src"):
        element.name = "span"  # an image from elsewhere: only its description stays
        element.string = str(element.attrs.pop("alt", ""))
    elif element.name == "a" and str(element.get("href", "")).startswith("http"):
        element["rel"] = "noopener noreferrer"


def _tidy_table(soup: Any, table: Any, name: str) -> None:
    for attribute in ("border", "style"):
        table.attrs.pop(attribute, None)
    rows = table("tr")
    for row in rows:
        row.attrs.pop("style", None)
    for header in table("th"):
        header["scope"] = "col" if header.find_parent("thead") else "row"
    cells = [row(["th", "td"]) for row in rows if not row.find_parent("thead")]
    width = max((len(row) for row in cells), default=0)
    numeric = {
        column
        for column in range(width)
        if all(len(row) == width and _NUMBER.fullmatch(row[column].get_text(strip=True)) for row in cells)
    }
    for row in rows:
        for column, cell in enumerate(row(["th", "td"])):
            if column in numeric:
                cell["class"] = [*cell.get("class", []), "number"]
    caption = table.find("caption")
    label = caption.get_text(" ", strip=True) if caption else name
    if not caption:
        caption = soup.new_tag("caption", attrs={"class": "unseen"})
        caption.string = name
        table.insert(0, caption)
    # wide tables scroll in a box of their own, which has to be reachable by keyboard
    table.wrap(
        soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0", "role": "region", "aria-label": label})
    )


def _moment(text: str, form: str = "%B %Y, %H:%M UTC") -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment.day} {moment:{form}}"


def _duration(seconds: float) -> str:
    return duration(seconds) if seconds >= 59.95 else f"{seconds:.1f} s"


def _percent(share: Any) -> str:
    return percent(share, sign=True) if isinstance(share, int | float) else "–"


def _verdict_parts(verdict: str) -> tuple[str, str]:
    """A short first sentence is the verdict itself, what follows are its numbers."""
    first, dot, rest = verdict.partition(". ")
    return (first + ".", rest) if dot and len(first) <= _SHORT else ("", verdict)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value)) or "(empty)"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if value != "" else "(empty)"
