"""football-data.co.uk as a source: one CSV file per league and season, fetched politely.

Two more files hold the matches of the next days, of all divisions and of all new leagues.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from overround.errors import FetchError, ParameterError, SourceError
from overround.http.client import Answer, Fetcher
from overround.settings import Settings
from overround.sources.base import Batch, Connection, Selection, read
from overround.sources.football_data.leagues import (
    DIVISIONS,
    FIXTURES,
    NEW_LEAGUES,
    check_league,
    is_over,
    seasons_of,
)
from overround.sources.football_data.parser import SOURCE, parse, parse_fixtures

HOUR_S = 3600
POLITE_S = 0.5
MONTH_S = 30 * 24 * HOUR_S
# file of the next days' matches -> the leagues that it holds
FIXTURE_FILES = {"fixtures.csv": DIVISIONS, "new_league_fixtures.csv": NEW_LEAGUES}


@contextmanager
def open_source(settings: Settings, selection: Selection) -> Iterator[Connection]:
    """Open the provider with one job per file; the season "fixtures" stands for the matches of the next days.

    Raises
    ------
    ParameterError
        No league is given, or a league or season cannot exist.
    """
    if not selection.leagues:
        raise ParameterError(f"football-data needs a league: one of {', '.join((*DIVISIONS, *NEW_LEAGUES))}.")
    # a small site that gives its files away: one call at a time, at most two a second
    with Fetcher(
        SOURCE, settings.football_data_url, settings.cache_folder, min_interval_s=POLITE_S, workers=1
    ) as fetcher:
        yield Connection(fetcher, _jobs(fetcher, selection), one_line=True)


def _jobs(fetcher: Fetcher, selection: Selection) -> dict[str, Callable[[], Iterator[Batch]]]:
    seasons = [season for season in selection.seasons if season != FIXTURES]
    jobs: dict[str, Callable[[], Iterator[Batch]]] = {}
    if FIXTURES in selection.seasons:
        for league in selection.leagues:
            check_league(league)
        # before the season's files, whose prices count
        for file, known in FIXTURE_FILES.items():
            leagues = [league for league in dict.fromkeys(selection.leagues) if league in known]
            if leagues:
                jobs[file] = partial(fixtures, fetcher, file, leagues)
    if seasons or not jobs:
        batches(fetcher, selection.leagues, seasons)  # checks all before the first job
        for league in selection.leagues:
            for season in seasons or ("",):
                jobs[f"{league} {season}".strip()] = partial(
                    batches, fetcher, [league], [season] if season else []
                )
    return jobs


def batches(
    fetcher: Fetcher, leagues: Sequence[str], seasons: Sequence[str] = (), now: datetime | None = None
) -> Iterator[Batch]:
    """Fetch every league in every season, one batch per file.

    Parameters
    ----------
    fetcher : Fetcher
        With football-data.co.uk as its base URL.
    leagues : sequence of str
        Codes of `DIVISIONS` or `NEW_LEAGUES`.
    seasons : sequence of str
        For divisions two consecutive years, "2425", from "9394" on; for new leagues as in their file, "2012"
        or "2012/2013". Without seasons, all that a new league's file holds.
    now : datetime, optional
        With a time zone; decides which season is still being played: its file is fetched again after an hour.

    Yields
    ------
    Batch
        In the order of leagues, then seasons.

    Raises
    ------
    ParameterError
        A league or season cannot exist; raised before anything is fetched.
    SourceError
        The provider has no file for a league and season, or the file cannot be read.
    FetchError
        The provider cannot be reached.
    """
    now = now or datetime.now(UTC)
    wanted = [(league, season) for league in leagues for season in seasons_of(league, seasons, now)]
    return (_fetch(fetcher, league, season, now) for league, season in wanted)


def fixtures(fetcher: Fetcher, file: str, leagues: Sequence[str]) -> Iterator[Batch]:
    """Fetch the matches of the next days, with their prices: one batch per league.

    Parameters
    ----------
    fetcher : Fetcher
        With football-data.co.uk as its base URL.
    file : str
        One of `FIXTURE_FILES`.
    leagues : sequence of str
        Those wanted of the leagues that it holds.

    Raises
    ------
    SourceError
        The provider has no such file, or it cannot be read.
    FetchError
        The provider cannot be reached.
    """
    answer = _file(fetcher, file, HOUR_S, "the matches of the next days")
    said: set[tuple] = set()  # the header's faults once, not once a league
    for league in leagues:
        batch = read(fetcher, [answer], partial(_fixtures_of, league))
        rows = batch.set_aside
        new = [row not in said for row in rows.itertuples(index=False, name=None)]
        said.update(rows.itertuples(index=False, name=None))
        yield replace(batch, set_aside=rows[new])
    _forget_if_cut(fetcher, answer)


def _fixtures_of(league: str, answers: Iterator[Answer]) -> Batch:
    answer = next(answers)
    return parse_fixtures(answer.content, answer.url, competition=league, collected_at=answer.fetched_at)


def _fetch(fetcher: Fetcher, league: str, season: str | None, now: datetime) -> Batch:
    path = f"mmz4281/{season}/{league}.csv" if league in DIVISIONS and season else f"new/{league}.csv"
    what = f"league {league}" + (f" and season {season}" if season else "")
    answer = _file(fetcher, path, MONTH_S if is_over(league, season, now) else HOUR_S, what)
    batch = read(
        fetcher,
        [answer],
        lambda answers: parse(
            next(answers).content,
            answer.url,
            competition=league,
            season=season,
            collected_at=answer.fetched_at,
        ),
    )
    _forget_if_cut(fetcher, answer)
    return batch


def _file(fetcher: Fetcher, path: str, ttl: float, what: str) -> Answer:
    try:
        return fetcher.get(path, ttl=ttl)
    except FetchError as error:
        if error.status not in (300, 404):
            raise
        raise SourceError(
            f"football-data.co.uk has no file for {what} ({fetcher.base_url}/{path} answered {error.status})."
        ) from None


def _forget_if_cut(fetcher: Fetcher, answer: Answer) -> None:
    """Ask again the next time for a file without its last line feed: it is cut off, and has more matches."""
    if not answer.content.endswith(b"\n"):
        fetcher.forget(answer)
