"""Open prices: a poller's memory of the latest price of each selection, by which it detects changes.

It holds the events on offer and those of the last days. Nothing here fetches.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pandas as pd

from overround.http.client import Answer
from overround.schema import TABLES
from overround.sources.base import Batch
from overround.sources.the_odds_api.parser import (
    EPOCH,
    EVENT,
    MICROSECOND,
    RESULT,
    OddsFormat,
    Rows,
    parse_many,
    parse_scores,
    times,
)
from overround.store.store import Store

_SELECTION = ("event_id", "bookmaker", "market", "line", "outcome")
_Selection = tuple[str, str, str, float | None, str]
_COLUMNS = tuple(TABLES["standing"].columns)


@dataclass(slots=True)
class _Price:
    price: float
    observed_at: int  # microseconds since 1970, like last_seen_at
    last_seen_at: int
    is_flushed: bool = False


@dataclass
class OpenPrices:
    """Latest prices by event and selection, and the events themselves."""

    prices: dict[str, dict[_Selection, _Price]] = field(default_factory=dict)
    events: dict[str, tuple] = field(default_factory=dict)  # as `Rows.events`
    seasons: dict[str, str] = field(default_factory=dict)
    settled: dict[str, tuple] = field(default_factory=dict)
    unchanged: int = 0

    @classmethod
    def load(cls, store: Store, competitions: Iterable[str], *, since_s: float) -> "OpenPrices":
        """Read these competitions' events from `since_s` (seconds since 1970) on, and their prices."""
        chosen = {"competition": list(competitions)}
        since = pd.Timestamp(since_s, unit="s", tz="UTC")
        found = cls()
        events = store.read("events", chosen)
        # the seasons of all events, also older ones: an event's season never changes
        found.seasons = dict(zip(events["event_id"], events["season"], strict=True))
        events = events[events["starts_at"] >= since]
        found.events = {event[0]: event for event in _rows(events, EVENT)}
        results = store.read("results", chosen)
        results = results[results["event_id"].isin(found.events)]
        found.settled = {name: tuple(result) for name, *result in _rows(results, RESULT)}
        rows = store.read("standing", chosen)
        rows = rows[rows["event_id"].isin(found.events)]
        for *selection, price, observed_at, last_seen_at in _rows(rows, _COLUMNS[:8]):
            prices = found.prices.setdefault(selection[0], {})
            prices[tuple(selection)] = _Price(price, observed_at, last_seen_at, True)
        return found

    def read_odds(self, answer: Answer, odds_format: OddsFormat) -> Batch:
        """Read an answer with odds: new or moved events, and changed prices."""
        at = (answer.fetched_at - EPOCH) // MICROSECOND
        return parse_many(
            [answer],
            odds_format=odds_format,
            seasons=self.seasons,
            sieve=lambda rows: self._keep_changes(rows, at),
        )

    def read_scores(self, answer: Answer) -> Batch:
        """Read an answer with scores: new or moved events, and new results."""
        return parse_scores(
            answer.content,
            answer.url,
            fetched_at=answer.fetched_at,
            seasons=self.seasons,
            sieve=lambda rows: self._keep_changes(rows, 0),
        )

    def adopt(self, store: Store) -> None:
        """Take over the latest stored price of each selection in memory, where it is newer than ours."""
        chosen: dict[str, Any] = {
            name: sorted({event[n] for event in self.events.values()})
            for n, name in ((0, "event_id"), (1, "competition"), (2, "season"))
        }
        columns = (*_SELECTION, "observed_at", "price")
        rows = store.read("quotes", {**chosen, "phase": "snapshot"}, columns)
        rows = rows.sort_values("observed_at", kind="stable").drop_duplicates(list(_SELECTION), keep="last")
        for *selection, observed_at, price in _rows(rows, columns):
            prices = self.prices.setdefault(selection[0], {})
            old = prices.get(tuple(selection))
            if old is None or observed_at > old.observed_at:
                last_seen_at = max(observed_at, old.last_seen_at if old else 0)
                prices[tuple(selection)] = _Price(price, observed_at, last_seen_at)

    def kick_offs(self) -> list[datetime]:
        """Kick-offs of the events in memory."""
        return [EPOCH + MICROSECOND * event[3] for event in self.events.values()]

    def awaits_result(self, competition: str, now: float, after_s: float, before_s: float) -> bool:
        """Whether an event that kicked off between `before_s` and `after_s` seconds ago has no result yet."""
        earliest, latest = 1e6 * (now - before_s), 1e6 * (now - after_s)
        return any(
            event[1] == competition and earliest <= event[3] <= latest and name not in self.settled
            for name, event in self.events.items()
        )

    def forget(self, before_s: float) -> None:
        """Drop events that kicked off before a time (seconds since 1970): answers no longer contain them."""
        for name in [name for name, event in self.events.items() if event[3] < 1e6 * before_s]:
            for memory in (self.events, self.prices, self.settled, self.seasons):
                memory.pop(name, None)

    def flush(self, store: Store) -> None:
        """Append the prices seen since the last time to the table `standing`."""
        rows = [
            (*selection, one.price, one.observed_at, one.last_seen_at, *self.events[name][1:3])
            for name, prices in self.prices.items()
            if name in self.events
            for selection, one in prices.items()
            if not one.is_flushed
        ]
        if rows:
            frame = pd.DataFrame(rows, columns=list(_COLUMNS))
            for name in ("observed_at", "last_seen_at"):
                frame[name] = times(frame[name])
            store.append("standing", frame)
        for prices in self.prices.values():
            for price in prices.values():
                price.is_flushed = True

    def _keep_changes(self, rows: Rows, at: int) -> None:
        rows.quotes = self._changes(rows.quotes, at)
        known = self.events
        rows.events = {name: event for name, event in rows.events.items() if known.get(name) != event}
        rows.results = {
            name: result for name, result in rows.results.items() if self.settled.get(name) != result
        }
        self.events |= rows.events
        self.settled |= rows.results

    def _changes(self, quotes: dict[tuple, tuple], at: int) -> dict[tuple, tuple]:
        # an exchange may be listed twice with different prices: only the newer counts, or they would take
        # turns for ever
        newest: dict[Any, tuple[int, float]] = {}
        for (*selection, when), (price, _) in quotes.items():
            name = tuple(selection)
            if name not in newest or when >= newest[name][0]:
                newest[name] = (when, price)
        changes: dict[tuple, tuple] = {}
        for selection, (when, price) in newest.items():
            prices = self.prices.setdefault(selection[0], {})
            old = prices.get(selection)
            if old is not None and old.price == price:
                self.unchanged += 1
                if at > old.last_seen_at:
                    old.last_seen_at, old.is_flushed = at, False
                continue
            if old is not None and when <= old.observed_at:
                # changed, though the bookmaker's time says otherwise: it was on offer when the provider
                # answered, at the latest
                if at <= old.observed_at:
                    continue  # an answer older than the open price
                when = at
            prices[selection] = _Price(price, when, at)
            changes[*selection, when] = (price, at)
        return changes


def _rows(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple]:
    """Rows as the parser has them: times in microseconds since 1970, None for what is missing."""
    found = []
    for name in columns:
        values = frame[name].astype("int64") if name.endswith("_at") else frame[name]
        found.append(values.astype(object).mask(frame[name].isna(), None).tolist())
    return zip(*found, strict=True)
