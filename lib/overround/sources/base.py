"""What every source gives: batches of tidy tables from an open connection, and identifiers of matches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from overround.http.client import Fetcher

SET_ASIDE_COLUMNS = ("where", "row", "column", "value", "reason")


@dataclass(frozen=True)
class Batch:
    """The tidy tables of one or more answers of a provider, and what had to be set aside.

    `set_aside` has the columns `SET_ASIDE_COLUMNS`: the URL, the 1-based line of the file (0: the whole
    answer), the column, the text found there, and why it was not taken.

    Examples
    --------
    >>> import overround as ov
    >>> batch = ov.sources.Batch(*ov.example())
    >>> len(batch.events), len(batch.quotes), len(batch.set_aside)
    (100, 6000, 0)
    """

    events: pd.DataFrame
    quotes: pd.DataFrame
    results: pd.DataFrame
    set_aside: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SET_ASIDE_COLUMNS)))

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Those to store, events first: a reader never sees a price of an unknown match."""
        return {"events": self.events, "quotes": self.quotes, "results": self.results}


@dataclass(frozen=True)
class Selection:
    """The leagues and seasons a user wants from a source, as the source writes them.

    Examples
    --------
    >>> import overround as ov
    >>> ov.sources.Selection(leagues=("E0",), seasons=("2425",)).leagues
    ('E0',)
    """

    leagues: tuple[str, ...] = ()
    seasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connection:
    """An open source: its fetcher, and jobs by name; a job fetches and yields batches when it is called.

    `changes_only` marks a source that repeats standing prices at every call: only their changes are stored.

    Examples
    --------
    >>> import overround as ov
    >>> jobs = {"example": lambda: [ov.sources.Batch(*ov.example())]}
    >>> connection = ov.sources.Connection(fetcher=None, jobs=jobs)
    >>> [len(batch.events) for job in connection.jobs.values() for batch in job()]
    [100]
    """

    fetcher: "Fetcher"
    jobs: Mapping[str, Callable[[], Iterable[Batch]]]
    changes_only: bool = False


def event_id(source: str, competition: str, date: str, home: str, away: str) -> str:
    """Stable identifier of a match whose provider has none: 16 hex digits, the same at every collection.

    Examples
    --------
    >>> import overround as ov
    >>> ov.sources.event_id("football-data", "E0", "2024-08-16", "Man United", "Fulham")
    'f4c841598f4788cc'
    """
    text = "\x1f".join((source, competition, date, home, away))
    return blake2b(text.encode(), digest_size=8).hexdigest()
