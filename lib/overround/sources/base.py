"""What every source gives: batches of tidy tables from an open connection, and identifiers of matches."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

import pandas as pd

from overround.errors import SourceError, TableError

if TYPE_CHECKING:
    from overround.http.client import Answer, Fetcher
    from overround.sources.the_odds_api.history import History

SET_ASIDE_COLUMNS = ("where", "row", "column", "value", "reason")


@dataclass(frozen=True)
class Scope:
    """What an answer is the whole truth about: all matches of a competition's seasons, as of a time.

    Parameters
    ----------
    where : str
        URL without secrets.
    competition : str
        The one that all matches are of.
    seasons : tuple of str
        Empty: all seasons of the competition.
    fetched_at : datetime
        When the provider answered.
    is_complete : bool
        False for an answer that is cut off: what it does not show may be in the part that is missing.
    zone : str
        The time zone of the provider's dates.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> import overround as ov
    >>> noon = datetime(2024, 8, 17, 12, tzinfo=UTC)
    >>> ov.sources.Scope("E0.csv", "E0", ("2425",), noon).is_complete
    True
    """

    where: str
    competition: str
    seasons: tuple[str, ...]
    fetched_at: datetime
    is_complete: bool = True
    zone: str = "UTC"


@dataclass(frozen=True)
class Batch:
    """The tidy tables of one or more answers of a provider, and what had to be set aside.

    `set_aside` has the columns `SET_ASIDE_COLUMNS`: the URL, the 1-based line of the file (0: the whole
    answer), the column, the text found there, and why it was not taken. A batch that is `provisional` is
    stored only for matches of which the store has no result: what came with the result counts. `cached_as`
    are the keys of its answers in the cache, from which they go where the store refuses the batch. `scope`
    says what the answer is the whole truth about, None where that is nothing.

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
    provisional: bool = False
    cached_as: tuple[str, ...] = ()
    scope: Scope | None = None

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Those to store, events first: a reader never sees a price of an unknown match."""
        return {"events": self.events, "quotes": self.quotes, "results": self.results}


@dataclass(frozen=True)
class Selection:
    """The leagues and seasons a user wants from a source, as the source writes them; or past odds to buy.

    Examples
    --------
    >>> import overround as ov
    >>> ov.sources.Selection(leagues=("E0",), seasons=("2425",)).leagues
    ('E0',)
    """

    leagues: tuple[str, ...] = ()
    seasons: tuple[str, ...] = ()
    history: "History | None" = None


@dataclass(frozen=True)
class Connection:
    """An open source: its fetcher, and jobs by name; a job fetches and yields batches when it is called.

    `competitions` marks a source that repeats standing prices at every call: only their changes are stored,
    and each job is called with the `OpenPrices` of these competitions, as they stood at `begins_at` (None:
    now), to tell what has changed since and what is gone. `one_line` marks one that knows no times but early
    and close, with one line of a bookmaker's market in each: a line that was corrected takes the place of the
    old one. To `notes` the jobs add sentences for the user.

    Examples
    --------
    >>> import overround as ov
    >>> jobs = {"example": lambda: [ov.sources.Batch(*ov.example())]}
    >>> connection = ov.sources.Connection(fetcher=None, jobs=jobs)
    >>> [len(batch.events) for job in connection.jobs.values() for batch in job()]
    [100]
    """

    fetcher: "Fetcher"
    jobs: Mapping[str, Callable[..., Iterable[Batch]]]
    competitions: tuple[str, ...] = ()
    begins_at: datetime | None = None
    one_line: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def changes_only(self) -> bool:
        """Whether only changes of its prices are stored."""
        return bool(self.competitions)


def read(
    fetcher: "Fetcher", answers: Iterable["Answer"], parse: Callable[[Iterator["Answer"]], Batch]
) -> Batch:
    """Parse answers in order; the one that the parser refuses does not stay in the cache.

    A log-in page with status 200 is an answer like any other until it is read. Whoever reads answers reads
    them here, so that the next collection asks the provider again.

    Parameters
    ----------
    fetcher : Fetcher
        Where the answers are from.
    answers : iterable of Answer
        Taken one by one, when the parser wants the next.
    parse : callable
        Makes a batch of an iterator of answers.

    Raises
    ------
    SourceError, TableError
        As the parser raises it.
    """
    latest: list[Answer] = []
    keys: list[str] = []

    def handed() -> Iterator["Answer"]:
        for answer in answers:
            latest[:] = [answer]
            keys.append(answer.key)
            yield answer

    try:
        return replace(parse(handed()), cached_as=tuple(keys))
    except (SourceError, TableError):
        for answer in latest:
            fetcher.forget(answer)
        raise


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
