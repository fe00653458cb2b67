"""football-data.co.uk as a source: one CSV file per league and season, fetched politely."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from overround.errors import FetchError, ParameterError, SourceError
from overround.http.client import Fetcher
from overround.settings import Settings
from overround.sources.base import Batch, Connection, Selection, read
from overround.sources.football_data.leagues import DIVISIONS, NEW_LEAGUES, is_over, seasons_of
from overround.sources.football_data.parser import SOURCE, parse

HOUR_S = 3600
POLITE_S = 0.5
MONTH_S = 30 * 24 * HOUR_S


@contextmanager
def open_source(settings: Settings, selection: Selection) -> Iterator[Connection]:
    """Open the provider with one job per file.

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
        batches(fetcher, selection.leagues, selection.seasons)  # checks all before the first job
        wanted = [(league, season) for league in selection.leagues for season in selection.seasons or ("",)]
        yield Connection(
            fetcher,
            {
                f"{league} {season}".strip(): partial(batches, fetcher, [league], [season] if season else [])
                for league, season in wanted
            },
        )


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


def _fetch(fetcher: Fetcher, league: str, season: str | None, now: datetime) -> Batch:
    path = f"mmz4281/{season}/{league}.csv" if league in DIVISIONS and season else f"new/{league}.csv"
    try:
        answer = fetcher.get(path, ttl=MONTH_S if is_over(league, season, now) else HOUR_S)
    except FetchError as error:
        if error.status not in (300, 404):
            raise
        what = f"league {league}" + (f" and season {season}" if season else "")
        raise SourceError(
            f"football-data.co.uk has no file for {what} ({fetcher.base_url}/{path} answered {error.status})."
        ) from None
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
    if not answer.content.endswith(b"\n"):
        # every file of the provider ends with a line feed: this one is cut off, and has more matches
        fetcher.forget(answer)
    return batch
