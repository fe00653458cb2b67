"""One module a provider: raw answers -> tidy tables. A new provider is one file here and a line each in `SOURCES`, `SHARP` and `CREDITS`.

A source's module offers `connected(settings, ask)`, a context manager that yields a `Connection`: checked,
named jobs on a fetcher.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from overround.http.client import Fetcher

SOURCES = {
    "sample": "sample.market",
    "football-data": "football_data.parser",
    "the-odds-api": "the_odds_api.client",
}
# the bookmaker whose prices other bookmakers follow
SHARP = {"sample": "sim_sharp", "football-data": "pinnacle", "the-odds-api": "pinnacle"}
SIMULATED = "sample"
# where a figure or a table shows a source, it names it so
CREDITS = {
    "sample": "Simulated market: teams, bookmakers and prices are invented",
    "football-data": "Source: football-data.co.uk",
    "the-odds-api": "Source: The Odds API",
}
SET_ASIDE_COLUMNS = ("where", "row", "column", "value", "reason")


@dataclass(frozen=True)
class Batch:
    """What one answer of a provider holds, as tidy tables, and what had to be set aside.

    `set_aside` has the columns `SET_ASIDE_COLUMNS`: the URL, the 1-based line of the file (0: the whole
    answer), the column, the text found there, and why it was not taken.
    """

    events: pd.DataFrame
    quotes: pd.DataFrame
    results: pd.DataFrame
    set_aside: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SET_ASIDE_COLUMNS)))


@dataclass(frozen=True)
class Ask:
    """What a user wants of a source, in the source's own words."""

    leagues: tuple[str, ...] = ()
    seasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connection:
    """An open source: its fetcher, and jobs by name, each of which fetches and yields batches when it is called.

    `changes_only` says that the source shows standing prices again at every call; only their changes are
    stored.
    """

    fetcher: "Fetcher"
    jobs: Mapping[str, Callable[[], Iterable[Batch]]]
    changes_only: bool = False


def event_id(source: str, competition: str, date: str, home: str, away: str) -> str:
    """Stable identifier of a match for a provider that gives none: 16 hex digits, the same at every collection."""
    text = "\x1f".join((source, competition, date, home, away))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def credit(source: str) -> str:
    """Name one or several sources (joined by a plus) as a figure or a page shows them.

    Examples
    --------
    >>> import overround as ov
    >>> ov.sources.credit("sample")
    'Simulated market: teams, bookmakers and prices are invented'
    """
    return "; ".join(CREDITS.get(name, name) for name in source.split("+") if name)
