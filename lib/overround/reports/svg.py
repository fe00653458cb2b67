"""Drawings as parts of a page: in its colours and fonts, light and dark, with words for blind readers.

A notebook keeps a figure as an image, which every viewer shows; only a page of ours knows the variables that
colour it.
"""

import base64
import re
from collections.abc import Sequence
from typing import Any

from overround.display.palette import NAMES

_SVG_IMAGE = re.compile("^data:image/svg\\+xml;base64,")
_COLOUR = re.compile("|".join(map(re.escape, NAMES)), re.IGNORECASE)
# parts of matplotlib's output that a page does not need: its licence block, its global rule (which is in
# report.css), rotations by 0, a list of fonts
_DROPPED = re.compile(
    r"<metadata>.*?</metadata>|<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>"
    r"| transform=\"rotate\(-?0 [^\"]*\"|font-family: [^;\"]*;\s*",
    re.DOTALL,
)
_BETWEEN_POINTS = re.compile(r"\s*\n\s*(?=[LMCQz\"])")


def inline_drawings(soup: Any) -> None:
    """Replace the images of `Picture` in a page by the drawings themselves, their ids made unique.

    Parameters
    ----------
    soup : BeautifulSoup
        The page; anything else that is not allowed has to be removed afterwards.
    """
    from bs4 import BeautifulSoup

    for number, image in enumerate(soup.select("figure.ov-figure > img"), 1):
        if not _SVG_IMAGE.match(image.get("src", "")):
            continue
        text = base64.b64decode(image["src"].partition(",")[2]).decode(errors="replace")
        drawing = BeautifulSoup(_in_the_colours_of_the_page(text), "html.parser").find("svg")
        if drawing is None:
            continue
        _unique_ids(drawing, f"f{number}-")
        # a drawing may only show something
        for element in drawing(
            ["foreignobject", "style", "animate", "animatetransform", "animatemotion", "set", "a", "title"]
        ):
            element.decompose()
        for name in ("width", "height", "xmlns:xlink", "version"):
            drawing.attrs.pop(name, None)
        drawing["role"], drawing["aria-label"] = "img", image.get("alt") or "A figure without a description"
        image.replace_with(drawing)


def sparkline(values: Sequence[float], start: float, low: float, high: float, words: str) -> str:
    """A small drawing of a bankroll beside where it began.

    Parameters
    ----------
    values : sequence of float
        In the order of time.
    start : float
        Drawn as a line across.
    low, high : float
        The scale, shared by all that are compared.
    words : str
        What it shows, for readers who cannot see it.
    """
    from html import escape

    width, height, edge = 120, 52, 3
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(edge + (height - 2 * edge) * (1 - (value - low) / span), 1)

    label = escape(words, quote=True)
    step = (width - 2 * edge) / max(len(values) - 1, 1)
    points = " ".join(f"{edge + step * at:.1f},{y(value)}" for at, value in enumerate(values))
    return (
        f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        f'<path class="start" d="M0 {y(start)}H{width}"/><polyline points="{points}"/>'
        f'<circle cx="{edge + step * (len(values) - 1):.1f}" cy="{y(values[-1])}" r="2.5"/></svg>'
    )


def _in_the_colours_of_the_page(text: str) -> str:
    text = text[max(text.find("<svg"), 0) :]
    text = _BETWEEN_POINTS.sub("", _DROPPED.sub("", text))
    return re.sub(
        r"(?<=>)\s+(?=<(?!/?text))",
        "",
        _COLOUR.sub(lambda found: f"var(--fig-{NAMES[found[0].lower()]})", text),
    )


def _unique_ids(drawing: Any, prefix: str) -> None:
    used = set(re.findall(r'(?:url\(#|href="#)([\w.-]+)', str(drawing)))
    for element in drawing.find_all(True):
        if "id" in element.attrs:
            if element["id"] in used:
                element["id"] = prefix + element["id"]
            else:
                del element["id"]
        for name, value in list(element.attrs.items()):
            if name.endswith("href") and str(value).startswith("#"):
                element.attrs.pop(name)
                element["href"] = f"#{prefix}{value[1:]}"
            elif "url(#" in str(value):
                element[name] = str(value).replace("url(#", f"url(#{prefix}")
