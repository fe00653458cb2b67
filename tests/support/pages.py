"""What a demanding reader would find wrong with a page, found by a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

WIDTHS = (390, 1024, 1920)


SCHEMES = ("light", "dark")


MOST_BYTES = 500_000


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
    """The source of axe-core, which a page's policy lets nobody load: the browser is handed it from
    outside.
    """
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


# axe takes seconds for thousands of elements: of a table four rows stand for all; a drawing is one image,
# hidden code is not shown
TRIM = """() => document.querySelectorAll("tbody tr:nth-child(n+5), .ov-figure > svg > *, .code *").forEach(e => e.remove())"""


# what is wrong for who uses a screen reader, a keyboard or little contrast; only what axe calls serious or
# critical
AXE = """async (rules) => {
  const found = await axe.run(document, {resultTypes: ["violations"], preload: false, elementRef: false, iframes: false, rules});
  return found.violations.filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `axe ${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html.slice(0, 160)).join(" | ")}`);
}"""


@contextmanager
def opened(
    browser: Any, page_file: Path, faults: list[str], scheme: str = "light", width: int = 1024
) -> Iterator[Any]:
    """A page from disk; what the browser complains of, and what the page asks other hosts for, is added to
    the faults.
    """
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                faults.append(f"console: {message.text}") if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "data:"))
                else faults.append(f"request: {request.url}")
            ),
        )
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
        faults += [
            f"a link to a missing file: {link}"
            for link in page.evaluate(
                "() => [...document.querySelectorAll('a[href]')].map(a => a.href.split('#')[0]).filter(url => url.startsWith('file:'))"
            )
            if not _file_of(link).exists()
        ]
        page.evaluate(axe())
        page.evaluate(TRIM)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            # contrast is nine tenths of the time and no matter of the width
            rules = {"color-contrast": {"enabled": width == WIDTHS[1]}}
            faults += [f"at {width} px: {fault}" for fault in page.evaluate(AXE, rules)]
    return [f"{page_file.name}, {scheme}: {fault}" for fault in faults]


def faults_of_reports(browser: Any, reports: Path) -> list[str]:
    """What is wrong with any page of a reports folder, at every width and in both schemes; and with one that
    is too large to send.
    """
    pages = sorted(reports.rglob("*.html"))
    assert pages, f"no page under {reports}"
    large = [
        f"{page.name} has {page.stat().st_size:,} bytes" for page in pages if page.stat().st_size > MOST_BYTES
    ]
    return large + [
        fault for page in pages for scheme in SCHEMES for fault in faults_of_page(browser, page, scheme)
    ]


def _file_of(url: str) -> Path:
    from urllib.parse import unquote, urlsplit

    return Path(unquote(urlsplit(url).path))


LABELS = [
    "collect",
    "bookmakers",
    "signals",
    "backtest-sharp",
    "backtest-consensus",
    "compare",
    "performance",
]
