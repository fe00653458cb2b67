"""Colours and names that pages, tables and figures share."""

ACCENT = "#0b6b94"


DARK = "#2b2f33"


MIDDLE = "#69717a"


LIGHT = "#d5dade"


PAPER = "#ffffff"


GRID = "#eceff1"


# told apart by lightness as well as by hue (Okabe and Ito 2008)
LINES = (ACCENT, "#d55e00", "#009e73", "#7a5195", "#2b2f33", "#b8860b")


# what a page calls each colour, so that it can choose another one on dark paper; `templates/report.css` has
# their values
NAMES = {
    ACCENT: "accent",
    DARK: "ink",
    MIDDLE: "middle",
    LIGHT: "light",
    PAPER: "paper",
    GRID: "grid",
    "#000000": "ink",
    **{colour: f"line-{number}" for number, colour in enumerate(LINES, 1) if colour not in (ACCENT, DARK)},
}
