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
    """

    events: pd.DataFrame
    quotes: pd.DataFrame
    results: pd.DataFrame
    set_aside: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(SET_ASIDE_COLUMNS)))


@dataclass(frozen=True)
class Selection:
    """The leagues and seasons a user wants from a source, as the source writes them."""

    leagues: tuple[str, ...] = ()
    seasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Connection:
    """An open source: its fetcher, and jobs by name; a job fetches and yields batches when it is called.

    `changes_only` marks a source that repeats standing prices at every call: only their changes are stored.
    """

    fetcher: "Fetcher"
    jobs: Mapping[str, Callable[[], Iterable[Batch]]]
    changes_only: bool = False


def event_id(source: str, competition: str, date: str, home: str, away: str) -> str:
    """Stable identifier of a match whose provider has none: 16 hex digits, the same at every collection."""
    text = "\x1f".join((source, competition, date, home, away))
    return blake2b(text.encode(), digest_size=8).hexdigest()
