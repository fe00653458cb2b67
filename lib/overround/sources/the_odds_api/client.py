"""The Odds API, version 4: what it can be asked for, and what each answer costs. Never asks for more than it was told to.

Reference: https://the-odds-api.com/liveapi/guides/v4/. How answers are read is in `the_odds_api_answers`.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Literal

import pandas as pd

from overround.errors import FetchError, ParameterError, SettingsError, SourceError
from overround.http.client import FOREVER, Answer, Fetcher
from overround.settings import Settings
from overround.sources.base import Ask, Batch, Connection
from overround.sources.the_odds_api.parser import SOURCE, Rows, parse_many, parse_odds, parse_scores

__all__ = [
    "SOURCE",
    "Offer",
    "Rows",
    "batches",
    "connected",
    "events",
    "historical_odds",
    "is_hopeless",
    "odds",
    "open_fetcher",
    "parse_many",
    "parse_odds",
    "parse_scores",
    "scores",
    "sports",
]

INTERVAL_S = 1 / 25  # the API refuses more than 30 calls a second
_DAY_S = 86_400
_SPORT_COLUMNS = ("key", "group", "title", "description", "active", "has_outrights")
_NAMES = re.compile("[a-z0-9_]+(,[a-z0-9_]+)*")
_BOOKMAKERS_A_REGION = 10


@dataclass(frozen=True)
class Offer:
    """Whose prices of what: a call costs one credit for each market in each region; ten bookmakers count as one region."""

    regions: str = "eu,uk"
    markets: str = "h2h,totals,spreads"
    bookmakers: str = ""
    odds_format: Literal["decimal", "american"] = "decimal"

    def __post_init__(self) -> None:
        for name in ("regions", "markets", "bookmakers"):
            text = getattr(self, name)
            if not _NAMES.fullmatch(text) and not (name == "bookmakers" and not text):
                raise ParameterError(
                    f"the-odds-api: {name} {text!r} cannot be asked for; give names joined by commas, e.g. eu,uk."
                )
        if self.odds_format not in ("decimal", "american"):
            raise ParameterError(
                f"the-odds-api: odds format {self.odds_format!r} is unknown; there are decimal and american."
            )

    def parameters(self) -> dict[str, str]:
        """As the API takes them; bookmakers stand in place of regions."""
        whose = {"bookmakers": self.bookmakers} if self.bookmakers else {"regions": self.regions}
        return {**whose, "markets": self.markets, "oddsFormat": self.odds_format, "dateFormat": "iso"}

    @property
    def cost(self) -> int:
        """Credits of one call for current odds; historical ones cost ten times as much."""
        bookmakers = len(self.bookmakers.split(",")) if self.bookmakers else 0
        return odds_cost(len(self.markets.split(",")), len(self.regions.split(",")), bookmakers=bookmakers)


@contextmanager
def connected(settings: Settings, ask: Ask) -> Iterator[Connection]:
    """Open the source for the sports asked for, one job each.

    Raises
    ------
    ParameterError, SettingsError
        No sport or one that cannot be a key, a season, or no key of the API.
    """
    if ask.seasons:
        raise ParameterError(
            f"the-odds-api: season {ask.seasons[0]!r} cannot be asked for; it has only what is on offer now."
        )
    with open_fetcher(settings, ask.leagues) as fetcher:
        jobs = {
            sport: partial(batches, fetcher, [sport], live_ttl=settings.live_ttl) for sport in ask.leagues
        }
        yield Connection(fetcher, jobs, changes_only=True)


def open_fetcher(settings: Settings, sports: Iterable[str]) -> Fetcher:
    """Make a session with the provider, once the sports and the key have been checked; close it when done.

    Raises
    ------
    ParameterError, SettingsError
        No sport or one that cannot be a key, or no key of the API.
    """
    asked = list(sports)
    wrong = [sport for sport in asked if not re.fullmatch("[a-z0-9_]+", sport)]
    if wrong or not asked:
        got = f"league {wrong[0]!r} is unknown" if wrong else "no league is given"
        raise ParameterError(f"the-odds-api: {got}; a league is a sport key such as soccer_epl.")
    key = settings.odds_api_key.get_secret_value()
    if not key:
        raise SettingsError(
            "OVERROUND_ODDS_API_KEY (environment or .env) is empty; The Odds API answers only with a key."
        )
    return Fetcher(
        SOURCE,
        settings.odds_api_url,
        settings.cache_folder,
        min_interval_s=INTERVAL_S,
        secrets={"apiKey": key},
        workers=settings.fetch_workers,
    )


def batches(
    fetcher: Fetcher,
    sports: Iterable[str],
    *,
    regions: str = "eu,uk",
    markets: str = "h2h,totals,spreads",
    bookmakers: str = "",
    live_ttl: float = 30,
) -> Iterator[Batch]:
    """Fetch the current odds, then the scores of the last three days, of each sport.

    Parameters
    ----------
    fetcher : Fetcher
        With the key among its secrets: `{"apiKey": ...}`.
    sports : iterable of str
        Sport keys such as "soccer_epl".
    regions, markets, bookmakers : str
        As the API takes them, see `Offer`; scores cost two credits.
    live_ttl : float
        Seconds for which an answer in the cache is still current.

    Raises
    ------
    FetchError
        With the provider's own reason.
    """
    offer = Offer(regions, markets, bookmakers)
    for sport in sports:
        yield parse_many([odds(fetcher, sport, offer, ttl=live_ttl)], odds_format=offer.odds_format)
        answer = scores(fetcher, sport, ttl=live_ttl)
        yield parse_scores(answer.content, answer.url, fetched_at=answer.fetched_at)


def sports(fetcher: Fetcher, *, out_of_season: bool = False, ttl: float = _DAY_S) -> pd.DataFrame:
    """Sports that can be asked for, one row each; free of charge.

    Raises
    ------
    SourceError
        An answer that is not a list of sports.
    """
    answer = _get(fetcher, "/v4/sports", {"all": "true"} if out_of_season else {}, ttl)
    with suppress(TypeError, ValueError, RecursionError):
        found = json.loads(answer.content)
        if isinstance(found, list) and all(
            isinstance(one, dict) and isinstance(one.get("key"), str) for one in found
        ):
            return pd.DataFrame(found, columns=list(_SPORT_COLUMNS))
    begin = " ".join(answer.content[:100].decode("utf-8", "replace").split())
    raise SourceError(f"{answer.url}: expected a JSON list of sports, got {begin!r}.")


def events(fetcher: Fetcher, sport: str, *, ttl: float = 3600) -> Batch:
    """Events of a sport that are on offer or in play, without prices; free of charge."""
    return parse_many([_get(fetcher, f"/v4/sports/{sport}/events", {"dateFormat": "iso"}, ttl)])


def odds(fetcher: Fetcher, sport: str, offer: Offer, *, ttl: float) -> Answer:
    """Fetch the current odds of a sport, to be read by `parse_many`."""
    return _get(fetcher, f"/v4/sports/{sport}/odds", offer.parameters(), ttl)


def scores(fetcher: Fetcher, sport: str, *, days: int = 3, ttl: float) -> Answer:
    """Fetch scores of what is in play or ended in the last days (1 to 3), to be read by `parse_scores`; costs two credits."""
    return _get(fetcher, f"/v4/sports/{sport}/scores", {"daysFrom": days, "dateFormat": "iso"}, ttl)


def historical_odds(
    fetcher: Fetcher, sport: str, start: datetime, end: datetime, offer: Offer | None = None
) -> Iterator[Batch]:
    """Odds as they stood, snapshot by snapshot from the one at or before `start` to `end`; each is fetched once and kept for ever.

    A snapshot costs ten times what current odds cost.

    Raises
    ------
    ParameterError
        A time without a zone.
    FetchError, SourceError
        The provider's own reason, or an answer that is no snapshot.
    """
    offer = offer or Offer()
    if start.tzinfo is None or end.tzinfo is None:
        raise ParameterError("historical odds need times with a zone, e.g. 2024-08-16T19:00:00+00:00.")
    date: str | None = f"{start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    while date is not None and datetime.fromisoformat(date) <= end:
        answer = _get(
            fetcher, f"/v4/historical/sports/{sport}/odds", {**offer.parameters(), "date": date}, FOREVER
        )
        batch = parse_many([answer], odds_format=offer.odds_format)
        yield batch
        following = _following(answer)
        # a provider that named the same time for ever would be asked for ever
        date = following if following is None or following > date else None


def is_hopeless(error: FetchError) -> bool:
    """Whether asking again cannot help: a key that is not accepted, a sport or market that does not exist.

    A quota that is used up is answered with 401, too; it is renewed some day.
    """
    return error.status in (401, 403, 404, 422) and "quota" not in str(error)


def _following(answer: Answer) -> str | None:
    found = json.loads(answer.content)
    following = found.get("next_timestamp") if isinstance(found, dict) else None
    try:
        return (
            f"{datetime.fromisoformat(following).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if following else None
        )
    except (TypeError, ValueError):
        raise SourceError(f"{answer.url}: next_timestamp {following!r} is not a time.") from None


def _get(fetcher: Fetcher, path: str, params: dict, ttl: float) -> Answer:
    try:
        return fetcher.get(path, params, ttl=ttl)
    except FetchError as error:
        reason = re.search(r'"message":\s*"([^"]*)', str(error))
        if reason is None:
            raise
        waiting = ", or wait until its quota is renewed" if "quota" in reason[1] else ""
        advice = f" Check OVERROUND_ODDS_API_KEY{waiting}." if error.status == 401 else ""
        raise FetchError(
            f"The Odds API answered {error.status} to {path}: {reason[1].rstrip('.')}.{advice}", error.status
        ) from None


def odds_cost(markets: int, regions: int = 0, *, bookmakers: int = 0) -> int:
    """Credits for one answer of The Odds API with odds; bookmakers, where they are named, stand in for regions by the ten."""
    groups = math.ceil(bookmakers / _BOOKMAKERS_A_REGION) if bookmakers else regions
    return markets * groups
