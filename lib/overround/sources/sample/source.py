"""The sample as a source: a simulated market, collected over HTTP from its own server like a live feed."""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from functools import partial

from overround.errors import ParameterError
from overround.http.client import Fetcher
from overround.settings import Settings
from overround.sources.base import Batch, Connection, Selection, read
from overround.sources.local_server import started
from overround.sources.sample.market import DAY_S, LEAGUES, SOURCE, Market, snapshot_times
from overround.sources.the_odds_api.parser import parse_many, read_scores
from overround.sources.the_odds_api.snapshots import iso


@contextmanager
def open_source(settings: Settings, selection: Selection) -> Iterator[Connection]:
    """Open the default market on a server of its own, one job per selected league and season, by default all.

    Raises
    ------
    ParameterError
        A league or season that the market does not have.
    """
    market = Market()
    seasons = [str(market.first_season + number) for number in range(market.seasons)]
    _check("league", selection.leagues, tuple(LEAGUES))
    _check("season", selection.seasons, seasons)
    with (
        serving(market) as url,
        Fetcher(
            SOURCE,
            url,
            settings.cache_folder,
            identity=market.identity,
            secrets={"apiKey": "simulated"},
            workers=settings.fetch_workers,
        ) as fetcher,
    ):
        yield Connection(
            fetcher,
            {
                f"{league} {season}": partial(_season, fetcher, market, league, number)
                for league in selection.leagues or LEAGUES
                for number, season in enumerate(seasons)
                if season in (selection.seasons or seasons)
            },
        )


def _check(what: str, selected: Sequence[str], known: Sequence[str]) -> None:
    for name in selected:
        if name not in known:
            raise ParameterError(f"sample: {what} {name!r} is unknown; it has {', '.join(known)}.")


def batches(fetcher: Fetcher, market: Market) -> Iterator[Batch]:
    """Fetch the market as a collector would: every snapshot of a league's season, then its scores.

    Parameters
    ----------
    fetcher : Fetcher
        Its base URL is the address from `serving`; it has `identity=market.identity` and any `apiKey` among
        its secrets.
    market : Market
        The market that is served.
    """
    for league in tuple(LEAGUES)[: market.leagues]:
        for season in range(market.seasons):
            yield from _season(fetcher, market, league, season)


def _season(fetcher: Fetcher, market: Market, league: str, season: int) -> Iterator[Batch]:
    times = snapshot_times(market, season).ravel()
    asked = {"regions": "sim", "markets": "h2h", "oddsFormat": "decimal", "dateFormat": "iso"}
    answers = fetcher.get_many(
        (f"/v4/historical/sports/{league}/odds", {**asked, "date": iso(time)}) for time in times
    )
    yield read(fetcher, answers, partial(parse_many, odds_format="decimal", source=SOURCE))
    end = {"daysFrom": 300, "dateFormat": "iso", "date": iso(times[-1] + DAY_S)}
    scores = fetcher.get(f"/v4/historical/sports/{league}/scores", end)
    yield read(fetcher, [scores], partial(read_scores, source=SOURCE))


def serving(market: Market, *, latency_s: float = 0.002) -> AbstractContextManager[str]:
    """Serve the market from a process of its own; yields its address on loopback.

    Raises
    ------
    SourceError
        The server did not start.
    """
    words = ["--latency", str(latency_s), "--market", json.dumps(asdict(market))]
    return started("overround.sources.sample.server", words, "the sample market")
