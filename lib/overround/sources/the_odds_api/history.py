"""Past odds of The Odds API at given times: what they cost, and their purchase within a limit of credits.

A call that was answered is never paid again: its answer stays in the cache for ever.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from overround.durations import span
from overround.errors import ParameterError, SourceError
from overround.http.client import Fetcher
from overround.settings import Settings
from overround.sources.base import Batch, Connection, Selection, read
from overround.sources.the_odds_api.client import (
    PAST_COSTS,
    Offer,
    following_snapshot,
    open_fetcher,
    past_call,
    past_odds,
    read_past,
)
from overround.sources.the_odds_api.open_prices import OpenPrices
from overround.times import moment

# the provider keeps a snapshot every five minutes, before September 2022 every ten
_SHORTEST_STEP = timedelta(minutes=1)
_MOST_TIMES = 1_000_000
# by then the provider knows all its snapshots of a time
_FINAL_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class History:
    """The times of past odds to buy, for whose prices, and for how many credits.

    Parameters
    ----------
    start, end : datetime
        The first time and the last possible one, with a time zone.
    step : timedelta
        From one time to the next.
    credits : int
        At most so many are spent; with none, only what is in the cache is read.
    offer : Offer
        Regions, markets and bookmakers.

    Raises
    ------
    ParameterError
        Times without a zone or in the wrong order, a step or a number of credits that cannot be used.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> import overround as ov
    >>> start = datetime(2024, 8, 16, tzinfo=UTC)
    >>> history = ov.sources.History(start, start + timedelta(days=4), timedelta(minutes=10))
    >>> len(history), history.dates()[:2]
    (577, ['2024-08-16T00:00:00Z', '2024-08-16T00:10:00Z'])
    """

    start: datetime
    end: datetime
    step: timedelta
    credits: int = 0
    offer: Offer = field(default_factory=Offer)

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ParameterError("past odds need times with a zone, e.g. 2024-08-16T19:00Z.")
        if self.end < self.start:
            raise ParameterError(
                f"past odds from {_iso(self.start)} to {_iso(self.end)}: the end is before the start."
            )
        if self.step < _SHORTEST_STEP or self.step % timedelta(seconds=1):
            raise ParameterError(
                f"a step of {self.step.total_seconds():g} s cannot be used for past odds; the provider keeps "
                "them every five minutes: give whole seconds, at least a minute, e.g. 10min."
            )
        if self.credits < 0:
            raise ParameterError(f"{self.credits} credits cannot be spent; give 0 or more.")
        if len(self) > _MOST_TIMES:
            raise ParameterError(
                f"{len(self):,} times are too many to buy at once; at most {_MOST_TIMES:,}: "
                "take a longer step or a shorter period."
            )

    @classmethod
    def read(cls, start: str, end: str, step: str, credits: int = 0, offer: Offer | None = None) -> "History":
        """A history by words as a user types them: 2024-08-16T12:00Z (UTC where there is no zone) and 10min.

        Raises
        ------
        ParameterError
            A text is no time or no duration, or as for the class.
        """
        example = "2024-08-16T12:00Z"
        first, last = (
            moment(text, f"the {name} of past odds", example).to_pydatetime()
            for text, name in ((start, "start"), (end, "end"))
        )
        return cls(first, last, span(step), credits, offer or Offer())

    def __len__(self) -> int:
        """Number of times."""
        return (self.end - self.start) // self.step + 1

    def dates(self) -> list[str]:
        """The times as the provider takes them."""
        return [_iso(self.start + number * self.step) for number in range(len(self))]

    @property
    def price(self) -> int:
        """Credits for one call, if its answer is not empty."""
        return PAST_COSTS * self.offer.cost


@dataclass(frozen=True)
class Bill:
    """What a history costs: its calls, those whose answers are in the cache, and credits a call.

    Examples
    --------
    >>> import overround as ov
    >>> print(ov.sources.Bill(calls=577, cached=77, price=60))
    577 calls, 77 of them answered by the cache: 500 x 60 = 30,000 credits at most, as an empty answer is free
    """

    calls: int
    cached: int
    price: int

    @property
    def credits(self) -> int:
        """Credits if no answer is empty."""
        return (self.calls - self.cached) * self.price

    def __str__(self) -> str:
        """The bill in one sentence."""
        return (
            f"{self.calls:,} calls, {self.cached:,} of them answered by the cache: "
            f"{self.calls - self.cached:,} x {self.price:,} = {self.credits:,} credits at most, "
            "as an empty answer is free"
        )


def bill(sports: Sequence[str], history: History, settings: Settings) -> Bill:
    """What a history of some sports will cost; no call is made.

    Raises
    ------
    ParameterError, SettingsError
        No sport, an impossible sport key, or no API key.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> history = ov.sources.History.read("2024-08-16", "2024-08-17", "1h")
    >>> settings = ov.settings.Settings(store=mkdtemp(), cache=mkdtemp(), odds_api_key="demo")
    >>> ov.sources.bill(["soccer_epl"], history, settings).credits  # 25 times, three markets, two regions
    1500
    """
    asked, dates = list(dict.fromkeys(sports)), history.dates()
    with open_fetcher(settings, asked) as fetcher:
        cached = sum(
            fetcher.holds(*past_call(sport, date, history.offer)) for sport in asked for date in dates
        )
    return Bill(len(asked) * len(dates), cached, history.price)


@contextmanager
def open_source(settings: Settings, selection: Selection) -> Iterator[Connection]:
    """Open the provider with one job per selected sport, which buys the selection's history in order of time.

    Raises
    ------
    ParameterError, SettingsError
        No history, no sport, an impossible sport key, a season, or no API key.
    """
    history = selection.history
    if history is None or selection.seasons:
        got = f"season {selection.seasons[0]!r} is given" if selection.seasons else "none are given"
        raise ParameterError(
            f"the-odds-api: past odds are asked for by a start, an end and a step, not by seasons; {got}."
        )
    notes: list[str] = []
    with open_fetcher(settings, selection.leagues) as fetcher:
        purse = _Purse(history.credits)
        jobs = {
            sport: partial(_bought, fetcher, sport, history, purse, notes)
            for sport in dict.fromkeys(selection.leagues)
        }
        yield Connection(fetcher, jobs, competitions=selection.leagues, begins_at=history.start, notes=notes)


@dataclass
class _Purse:
    """Credits that may still be spent, by all sports together."""

    left: int


def _bought(
    fetcher: Fetcher, sport: str, history: History, purse: _Purse, notes: list[str], prices: OpenPrices
) -> Iterator[Batch]:
    dates = history.dates()
    for number, date in enumerate(dates):
        is_held = fetcher.holds(*past_call(sport, date, history.offer))
        if not is_held and purse.left < history.price:
            notes.append(
                f"{sport}: {number:,} of {len(dates):,} times are stored; stopped before {date}, because the "
                f"limit of {history.credits:,} credits has {purse.left:,} left and a call may cost "
                f"{history.price:,}. With more credits the same command goes on from there."
            )
            return
        answer = past_odds(fetcher, sport, date, history.offer)
        paid = 0 if answer.from_cache else history.price
        purse.left -= paid
        batch = read(fetcher, [answer], partial(read_past, sport=sport, offer=history.offer, prices=prices))
        if not json.loads(answer.content)["data"]:
            purse.left += paid
        is_kept = fetcher.holds(*past_call(sport, date, history.offer))
        is_newest = following_snapshot(answer) is None
        if is_newest and datetime.now(UTC) - datetime.fromisoformat(date) < _FINAL_AFTER:
            fetcher.forget(answer)
        yield batch
        if not is_kept:
            raise SourceError(
                f"{answer.url}: the cache cannot keep this answer, which would be paid again the next time; "
                "nothing more is bought. OVERROUND_CACHE is to name a folder that can be written."
            )


def _iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
