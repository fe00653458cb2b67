"""The Odds API, version 4: its calls and what they cost.

Reference: https://the-odds-api.com/liveapi/guides/v4/. `parser` reads the answers, `history` buys past odds.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Literal

from overround.errors import FetchError, ParameterError, SettingsError, SourceError
from overround.http.client import FOREVER, Answer, Fetcher
from overround.settings import Settings
from overround.sources.base import Batch, Connection, Selection, read
from overround.sources.the_odds_api.open_prices import OpenPrices
from overround.sources.the_odds_api.parser import SOURCE

PAST_COSTS = 10  # so many times as much as current odds
INTERVAL_S = 1 / 25  # the API refuses more than 30 calls a second
_NAMES = re.compile("[a-z0-9_]+(,[a-z0-9_]+)*")
_BOOKMAKERS_A_REGION = 10


@dataclass(frozen=True)
class Offer:
    """Bookmakers and markets to ask for; a call costs a credit per market and region (or ten bookmakers)."""

    regions: str = "eu,uk"
    markets: str = "h2h,totals,spreads"
    bookmakers: str = ""
    odds_format: Literal["decimal", "american"] = "decimal"

    def __post_init__(self) -> None:
        for name in ("regions", "markets", "bookmakers"):
            text = getattr(self, name)
            if not _NAMES.fullmatch(text) and not (name == "bookmakers" and not text):
                raise ParameterError(
                    f"the-odds-api: {name} {text!r} cannot be asked for; "
                    "give names joined by commas, e.g. eu,uk."
                )
        if self.odds_format not in ("decimal", "american"):
            raise ParameterError(
                f"the-odds-api: odds format {self.odds_format!r} is unknown; there are decimal and american."
            )

    def parameters(self) -> dict[str, str]:
        """The parameters of a call; bookmakers, where given, replace regions."""
        whose = {"bookmakers": self.bookmakers} if self.bookmakers else {"regions": self.regions}
        return {**whose, "markets": self.markets, "oddsFormat": self.odds_format, "dateFormat": "iso"}

    @property
    def scope(self) -> str:
        """Whose prices an answer has all of, whatever the order in which they were asked for."""
        kind, names = ("bookmakers", self.bookmakers) if self.bookmakers else ("regions", self.regions)
        return f"{kind} {','.join(sorted(set(names.split(','))))}"

    @cached_property
    def kept_markets(self) -> frozenset[str]:
        """The markets that an answer has all of; lay prices come with those to back."""
        asked = self.markets.split(",")
        return frozenset([*asked, "h2h_lay"] if "h2h" in asked else asked)

    @property
    def cost(self) -> int:
        """Credits per call for current odds; historical odds cost ten times as much."""
        markets, regions, bookmakers = (
            len(names.split(",")) for names in (self.markets, self.regions, self.bookmakers)
        )
        groups = math.ceil(bookmakers / _BOOKMAKERS_A_REGION) if self.bookmakers else regions
        return markets * groups


@contextmanager
def open_source(settings: Settings, selection: Selection) -> Iterator[Connection]:
    """Open the provider with one job per selected sport.

    Raises
    ------
    ParameterError, SettingsError
        No sport, an impossible sport key, a season, or no API key.
    """
    if selection.seasons:
        raise ParameterError(
            f"the-odds-api: season {selection.seasons[0]!r} cannot be asked for; "
            "it has only what is on offer now."
        )
    with open_fetcher(settings, selection.leagues) as fetcher:
        yield Connection(
            fetcher,
            {
                sport: partial(batches, fetcher, sport, Offer(), ttl=settings.live_ttl)
                for sport in selection.leagues
            },
            competitions=selection.leagues,
        )


def open_fetcher(settings: Settings, sports: Iterable[str]) -> Fetcher:
    """Open a session with the provider after checking the sports and the API key; the caller closes it.

    Raises
    ------
    ParameterError, SettingsError
        No sport, an impossible sport key, or no API key.
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
    fetcher: Fetcher, sport: str, offer: Offer, prices: OpenPrices | None = None, *, ttl: float
) -> Iterator[Batch]:
    """Fetch a sport's current odds, then its scores of the last three days.

    Parameters
    ----------
    fetcher : Fetcher
        With the key among its secrets: `{"apiKey": ...}`.
    sport : str
        A sport key such as "soccer_epl".
    offer : Offer
        Scores cost two credits more.
    prices : OpenPrices, optional
        What stood before; by default nothing.
    ttl : float
        Seconds for which a cached answer counts as current.

    Raises
    ------
    FetchError
        With the reason the provider gives.
    """
    prices = prices or OpenPrices()
    read_odds = partial(prices.read_odds, sport=sport, offer=offer)
    yield read(fetcher, [odds(fetcher, sport, offer, ttl=ttl)], read_odds)
    yield read(fetcher, [scores(fetcher, sport, ttl=ttl)], prices.read_scores)


def odds(fetcher: Fetcher, sport: str, offer: Offer, *, ttl: float) -> Answer:
    """Fetch a sport's current odds, for `OpenPrices.read_odds`."""
    return _get(fetcher, f"/v4/sports/{sport}/odds", offer.parameters(), ttl)


def scores(fetcher: Fetcher, sport: str, *, days: int = 3, ttl: float) -> Answer:
    """Fetch scores of events in play or of the last 1 to 3 days, for `parse_scores`; costs two credits."""
    return _get(fetcher, f"/v4/sports/{sport}/scores", {"daysFrom": days, "dateFormat": "iso"}, ttl)


def past_call(sport: str, date: str, offer: Offer) -> tuple[str, dict[str, str]]:
    """Path and parameters of the call for a sport's odds as they stood at a time, 2024-08-16T19:00:00Z."""
    return f"/v4/historical/sports/{sport}/odds", {**offer.parameters(), "date": date}


def past_odds(fetcher: Fetcher, sport: str, date: str, offer: Offer) -> Answer:
    """Fetch a sport's odds as they stood at a time, once and for ever, for `parse_many`."""
    return _get(fetcher, *past_call(sport, date, offer), FOREVER)


def historical_odds(
    fetcher: Fetcher,
    sport: str,
    start: datetime,
    end: datetime,
    offer: Offer | None = None,
    prices: OpenPrices | None = None,
) -> Iterator[Batch]:
    """Past odds, snapshot by snapshot, from the one at or before `start` to `end`.

    Each batch has what its snapshot changed, against the one before it or against `prices`, which stood
    before: store them in this order.

    A snapshot costs ten times as much as current odds; it is fetched once and cached for ever, except the
    last one: an answer that names no next snapshot may name one tomorrow, so it is asked for again.

    Raises
    ------
    ParameterError
        A time has no zone.
    FetchError, SourceError
        With the reason the provider gives, or because an answer is not a snapshot.
    """
    offer, prices = offer or Offer(), prices or OpenPrices()
    if start.tzinfo is None or end.tzinfo is None:
        raise ParameterError("historical odds need times with a zone, e.g. 2024-08-16T19:00:00+00:00.")
    date: str | None = f"{start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    while date is not None and datetime.fromisoformat(date) <= end:
        answer = past_odds(fetcher, sport, date, offer)
        batch = read(fetcher, [answer], partial(read_past, sport=sport, offer=offer, prices=prices))
        following = following_snapshot(answer)
        # a provider that repeated the same time would be asked for ever
        date = following if following is not None and following > date else None
        if date is None:
            fetcher.forget(answer)
        yield batch


def read_past(answers: Iterator[Answer], *, sport: str, offer: Offer, prices: OpenPrices) -> Batch:
    """Read one answer with past odds, beside the time of its snapshot and of the next, as `prices` does.

    Raises
    ------
    SourceError
        It is no such answer; one without a time would pass for what is on offer now.
    """
    answer = next(answers)
    with suppress(ValueError, RecursionError):  # what is no JSON the parser refuses
        document = json.loads(answer.content)
        if not isinstance(document, dict) or not {"timestamp", "data"} <= document.keys():
            raise SourceError(
                f"{answer.url}: past odds are expected beside the timestamp of their snapshot, not bare."
            )
        following_snapshot(answer)  # refuses one that is no time
    # last, because it changes what is known to stand
    return prices.read_odds([answer], sport, offer)


def is_hopeless(error: FetchError) -> bool:
    """Whether asking again cannot help: the key is not accepted, or the sport or market does not exist.

    A used-up quota is answered with 401 as well, but it will be renewed.
    """
    return error.status in (401, 403, 404, 422) and "quota" not in str(error)


def following_snapshot(answer: Answer) -> str | None:
    """When the snapshot after that of an answer with past odds was taken; None where it names none.

    Raises
    ------
    SourceError
        What it names is no time.
    """
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
