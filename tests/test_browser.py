"""Pages of runs in a real browser: nothing is loaded, nothing runs, nothing overflows, at three widths, light and dark."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from tests.test_runner import PARAMETERS, RECORD, project

pytestmark = pytest.mark.slow

WIDTHS = (390, 1024, 1920)
SCHEMES = ("light", "dark")
MOST_BYTES = 500_000
FIGURE = """
from IPython.display import HTML, display
import base64
import pandas as pd
drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="1400" height="300"><rect width="1400" height="300"/></svg>'
svg = base64.b64encode(drawing).decode()
display(HTML(f'<figure><img src="data:image/svg+xml;base64,{svg}" alt="a black box"></figure>'))
wide = pd.DataFrame({f"a rather long column {n}": [1.5, n] for n in range(20)})
display(HTML(wide.to_html()))
print("x" * 400)
"""

# what a reader would suffer from, found by the page's own browser
FAULTS = """() => {
  const faults = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > root.clientWidth + 1);
    faults.push(`${root.scrollWidth} px of content on ${root.clientWidth} px: ${wide.slice(0, 5).map(e => e.tagName + "." + e.className)}`);
  }
  for (const image of document.images) {
    if (!image.alt) faults.push("an image without alt");
    if (!image.naturalWidth) faults.push(`an image that shows nothing: ${image.alt}`);
  }
  for (const table of document.querySelectorAll("table"))
    for (const header of table.querySelectorAll("th")) if (!header.scope) faults.push(`a header without scope: ${header.textContent}`);
  for (const link of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(link.getAttribute("href").slice(1))) faults.push(`a link to nowhere: ${link.href}`);
  if (document.scripts.length) faults.push("a script");
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  if (!document.title || !root.lang) faults.push("no title or language");
  return faults;
}"""


@cache
def axe() -> str:
    """The source of axe-core, which a page's policy lets nobody load: the browser is handed it from outside."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


# axe takes seconds for thousands of elements: of a table four rows stand for all; a drawing is one image, hidden code is not shown
TRIM = """() => document.querySelectorAll("tbody tr:nth-child(n+5), .ov-figure > svg > *, .code *").forEach(e => e.remove())"""
# what is wrong for who uses a screen reader, a keyboard or little contrast; only what axe calls serious or critical
AXE = """async (rules) => {
  const found = await axe.run(document, {resultTypes: ["violations"], preload: false, elementRef: false, iframes: false, rules});
  return found.violations.filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `axe ${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(" | ")}`);
}"""


@contextmanager
def opened(browser: Any, page_file: Path, faults: list[str], scheme: str = "light", width: int = 1024) -> Iterator[Any]:
    """A page from disk; what the browser complains of, and what the page asks other hosts for, is added to the faults."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        page.on("console", lambda message: faults.append(f"console: {message.text}") if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:")) else faults.append(f"request: {request.url}"))
        page.goto(page_file.resolve().as_uri(), wait_until="load")
        yield page
    finally:
        context.close()


def faults_of_page(browser: Any, page_file: Path, scheme: str) -> list[str]:
    """What is wrong with a page from disk in a colour scheme at any width; empty where nothing is."""
    faults: list[str] = []
    with opened(browser, page_file, faults, scheme) as page:
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            faults += [f"at {width} px: {fault}" for fault in page.evaluate(FAULTS)]
        faults += [f"a link to a missing file: {link}" for link in page.evaluate(
            "() => [...document.querySelectorAll('a[href]')].map(a => a.href.split('#')[0]).filter(url => url.startsWith('file:'))"
        ) if not _file_of(link).exists()]  # fmt: skip
        page.evaluate(axe())
        page.evaluate(TRIM)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            # contrast is nine tenths of the time and no matter of the width
            rules = {"color-contrast": {"enabled": width == WIDTHS[1]}}
            faults += [f"at {width} px: {fault}" for fault in page.evaluate(AXE, rules)]
    return [f"{page_file.name}, {scheme}: {fault}" for fault in faults]


def faults_of_reports(browser: Any, reports: Path) -> list[str]:
    """What is wrong with any page of a reports folder, at every width and in both schemes; and with one that is too large to send."""
    pages = sorted(reports.rglob("*.html"))
    assert pages, f"no page under {reports}"
    large = [f"{page.name} has {page.stat().st_size:,} bytes" for page in pages if page.stat().st_size > MOST_BYTES]
    return large + [fault for page in pages for scheme in SCHEMES for fault in faults_of_page(browser, page, scheme)]


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from overround.runner import Step, run_pipeline

    settings = project(
        tmp_path_factory.mktemp("browser"),
        good=["# A question?", PARAMETERS, "## A figure", FIGURE, "## A table", "1 + 1", RECORD],
        bad=["# Another", PARAMETERS, "raise ValueError('<img src=x onerror=alert(1)>' + 'y' * 300)", RECORD],
    )
    steps = [Step("good", "good", {"note": "<script>alert(1)</script>" + "z" * 200}), Step("bad", "bad")]
    run_pipeline(steps, settings=settings, show_code=True)
    return settings.reports_folder


def test_pages_load_nothing_and_overflow_nowhere_on_phone_and_desktop_light_and_dark(browser: Any, reports: Path) -> None:
    assert faults_of_reports(browser, reports) == []


def test_the_check_of_a_page_finds_what_it_is_there_to_find(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<h1>x</h1><img src="http://127.0.0.1:9/x.png"><div style="width: 3000px">x</div><script>alert(1)</script><a href="#no">x</a>'
        '<a href="gone.html">x</a><p style="color: #aaa">too pale</p><input type="checkbox">'
    )

    found = " ".join(faults_of_page(browser, page, "light"))

    for fault in ("request: http", "without alt", "px of content", "dialog: 1", "nowhere", "a script", "language", "missing file",
                  "axe color-contrast", "axe label", "axe html-has-lang"):  # fmt: skip
        assert fault in found


def test_a_keyboard_reaches_the_skip_link_first_and_lands_in_the_report(browser: Any, reports: Path) -> None:
    page = browser.new_page()
    page.goto(next(reports.glob("runs/*/good.html")).as_uri())

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.evaluate("location.hash") == "#report"
    page.close()


def _file_of(url: str) -> Path:
    from urllib.parse import unquote, urlsplit

    return Path(unquote(urlsplit(url).path))
