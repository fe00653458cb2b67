"""The parts of a report: a picture, a piece of HTML."""

import base64
import re
import warnings
from dataclasses import dataclass
from html import escape
from io import BytesIO
from typing import Any

from matplotlib.figure import Figure

_DECIMALS = re.compile(rb"(\.\d\d)\d+")


@dataclass(frozen=True)
class Picture:
    """A matplotlib figure, to change or save, with the text that replaces it for readers who cannot see it.

    Examples
    --------
    >>> import overround as ov
    >>> from matplotlib.figure import Figure
    >>> picture = ov.display.Picture(Figure(), alt="An empty figure.")
    >>> picture
    Picture(An empty figure.)
    >>> picture.svg().startswith(b"<?xml")
    True
    """

    figure: "Figure"
    alt: str

    def svg(self) -> bytes:
        """The figure as SVG, the same bytes for the same figure."""
        from matplotlib import rc_context

        buffer = BytesIO()
        # no date and no random ids: two runs on the same data give the same file
        # text stays text, in the reader's fonts, which may have glyphs that ours lack
        with rc_context({"svg.hashsalt": "overround", "svg.fonttype": "none"}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        # a hundredth of a point is finer than any screen, and half the size
        return re.sub(
            rb'(?<= d=")[^"]*|(?<= [xy]=")[^"]*',
            lambda found: _DECIMALS.sub(rb"\1", found[0]),
            buffer.getvalue(),
        )

    def _repr_html_(self) -> str:
        source = base64.b64encode(self.svg()).decode()
        image = f'<img alt="{escape(self.alt, quote=True)}" src="data:image/svg+xml;base64,{source}">'
        return f'<figure class="ov-figure" tabindex="0">{image}</figure>'

    def __repr__(self) -> str:
        """Say what the figure shows."""
        return f"Picture({self.alt})"


@dataclass(frozen=True)
class Html:
    """A piece of a report, already escaped.

    Examples
    --------
    >>> import overround as ov
    >>> piece = ov.display.Html("<p>12 bets</p>", text="12 bets")
    >>> piece
    12 bets
    """

    html: str
    text: str = ""

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        """Give the text form."""
        return self.text or "Html"


def stack(*pieces: Any) -> Html:
    """Show several figures, tables or strips below one another in one cell.

    Examples
    --------
    >>> import overround as ov
    >>> ov.stack(ov.headline(("Bets", "568", "")), ov.headline(("Profit", "12", "")))
    Bets 568
    Profit 12
    """
    return Html("".join(piece._repr_html_() for piece in pieces), "\n".join(repr(piece) for piece in pieces))
