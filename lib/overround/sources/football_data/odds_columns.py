"""The odds columns of football-data.co.uk: what each name means, and their cells as one row per price."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overround.sources.bookmakers import FOOTBALL_DATA

# line in the file, column, text found, reason
Aside = tuple[int, str, str, str]

# the highest price a bookmaker offers; exchanges end at 1000
MAX_PRICE = 1001.0
# goals; the widest line in thirty years was 4
MAX_HANDICAP = 5.0

_OUTCOMES = {
    "H": ("h2h", "home"),
    "D": ("h2h", "draw"),
    "A": ("h2h", "away"),
    ">2.5": ("totals", "over"),
    "<2.5": ("totals", "under"),
    "AHH": ("spreads", "home"),
    "AHA": ("spreads", "away"),
}
_BOOKS = "|".join(map(re.escape, FOOTBALL_DATA))
# as full matches the names are unambiguous: BFD is Betfair's draw, BFDD Betfred's; HC and AC are corners
_PRICE = re.compile(f"(?P<book>{_BOOKS})(?P<close>C?)(?P<outcome>{'|'.join(map(re.escape, _OUTCOMES))})")
_LINE = re.compile(f"AHh|AHCh|BbAHh|(?:{_BOOKS})AH")
_COUNT = re.compile("Bb1X2|BbOU|BbAH")
ODDS_COLUMNS = re.compile(f"(?:{_PRICE.pattern})|(?:{_LINE.pattern})|(?:{_COUNT.pattern})")

_REASONS = (
    "",
    "not a number",
    "not a price; decimal odds are above 1",
    f"not a price; no bookmaker offers more than {MAX_PRICE:.0f}",
    "beside an impossible price of the same bookmaker and market: the row's columns have slipped",
    "its handicap is missing or unusable",
)
_FINE, _TEXT, _LOW, _HIGH, _SLIPPED, _NO_LINE = range(len(_REASONS))


def long_form(grid: pd.DataFrame, aside: list[Aside], *, phase: str) -> tuple[pd.DataFrame, np.ndarray]:
    """One row per usable odds cell.

    Blank cells are skipped. A price is taken as the file has it, however odd next to its neighbours
    (exchanges show overrounds of 0.5 to 2.5 in thin markets; filtering is left to the analysis), unless it
    cannot be one: text, 1 or less, above `MAX_PRICE`, a handicap price without a line. 0 means a missing
    price; any other number up to 1 is a line, or a price in another format, in the wrong column, so the
    bookmaker's other prices of that market and match are set aside as well.

    Parameters
    ----------
    grid : DataFrame
        Stripped texts, a row per match, by number of the line in the file and name of the column.
    aside : list
        Receives every cell that is not taken.
    phase : str
        That of all prices, "" where a C in their names tells: all odds in the file of a new league are
        closing odds, even where the names lack the C, and none are in a file of fixtures.

    Returns
    -------
    prices : DataFrame
        bookmaker, market, line (goals), outcome, phase, price (decimal odds).
    match : ndarray of int
        The match (row of `grid`) of each price.
    """
    columns = _price_columns(grid.columns, aside, phase)
    texts = grid[columns["name"]].to_numpy()
    price = pd.to_numeric(texts.ravel(), errors="coerce").astype(float).reshape(texts.shape)
    line = _line_of_each(columns, grid, aside)

    verdict = np.where(np.isfinite(price), _FINE, _TEXT)
    verdict[price <= 1] = _LOW
    verdict[price > MAX_PRICE] = _HIGH
    slip = (price <= 1) & (price != 0)
    for group in columns.groupby(["bookmaker", "market", "phase"]).indices.values():
        row = slip[:, group].any(axis=1)
        verdict[:, group] = np.where(row[:, None] & (verdict[:, group] == _FINE), _SLIPPED, verdict[:, group])
    verdict[(verdict == _FINE) & np.isnan(line) & (columns["market"] == "spreads").to_numpy()] = _NO_LINE

    filled = texts != ""
    for row, column in np.argwhere(filled & (verdict != _FINE)):
        aside.append(
            (grid.index[row], columns["name"][column], texts[row, column], _REASONS[verdict[row, column]])
        )
    match, column = np.nonzero(filled & (verdict == _FINE))
    prices = {name: columns[name].array.take(column) for name in ("bookmaker", "market", "outcome", "phase")}
    return pd.DataFrame({**prices, "line": line[match, column], "price": price[match, column]}), match


def put_aside(aside: list[Aside], texts: pd.Series, wrong: ArrayLike, reason: str) -> None:
    """Set aside the cells of a column where `wrong` is true; its index are the lines."""
    aside += [(line, texts.name, text, reason) for line, text in texts[np.asarray(wrong)].items()]


def _price_columns(names: Iterable[str], aside: list[Aside], phase: str) -> pd.DataFrame:
    rows = []
    for name in names:
        if found := _PRICE.fullmatch(name):
            market, outcome = _OUTCOMES[found["outcome"]]
            of_name = "close" if found["close"] else "early"
            rows.append(
                (name, found["book"], FOOTBALL_DATA[found["book"]], market, outcome, phase or of_name)
            )
    columns = pd.DataFrame(rows, columns=["name", "book", "bookmaker", "market", "outcome", "phase"])
    # a bookmaker listed under two names (VC and BV, P and PS) must not quote one price twice
    again = columns.duplicated(["bookmaker", "market", "outcome", "phase"])
    aside += [
        (1, name, "", "a second column for the same price; the first one is read")
        for name in columns["name"][again]
    ]
    return columns[~again].reset_index(drop=True).astype("str")


def _line_of_each(columns: pd.DataFrame, grid: pd.DataFrame, aside: list[Aside]) -> np.ndarray:
    """Line in goals of each match and price column, NaN where it has none."""
    handicaps = {}
    for name in filter(_LINE.fullmatch, grid):
        text = grid[name]
        value = pd.to_numeric(text, errors="coerce").astype(float)
        usable = np.isin(value, np.arange(-MAX_HANDICAP, MAX_HANDICAP + 0.25, 0.25))
        span = f"-{MAX_HANDICAP:.0f} and {MAX_HANDICAP:.0f}"
        reason = f"not a handicap; a multiple of 0.25 between {span} is expected"
        put_aside(aside, text, ~usable & (text != ""), reason)
        # adding 0 turns -0.0 into 0.0: one line, one key
        handicaps[name] = np.where(usable, value, np.nan) + 0.0
    line = np.full((len(grid), len(columns)), np.nan)
    for number, column in enumerate(columns.itertuples()):
        if column.market == "totals":
            line[:, number] = 2.5
        elif column.market == "spreads":
            shared = (
                "AHCh" if column.phase == "close" else "BbAHh" if str(column.book).startswith("Bb") else "AHh"
            )
            own = f"{column.book}AH"
            name = own if own in handicaps and column.phase == "early" else shared
            line[:, number] = handicaps.get(name, line[:, number])
    return line
