"""Open prices: a collector's memory of what stands, by which it detects changes and what is gone.

It holds the events on offer and those of the last days. Nothing here fetches.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from overround.http.client import Answer
from overround.sources.base import Batch
from overround.sources.the_odds_api.parser import SOURCE, Rows, parse_many, parse_scores
from overround.sources.the_odds_api.values import EPOCH, MICROSECOND
from overround.times import DAY_US, HOUR_US

if TYPE_CHECKING:
    from overround.sources.the_odds_api.client import Offer

# An event that gets another kick-off may get another id, too: for a while both are shown, then one is gone,
# days before its kick-off (French leagues, August 2024). What is gone within the last hour says nothing.
_PUT_OFF_US, _WELL_BEFORE_US = 7 * DAY_US, HOUR_US
Selection = tuple[str, str, str, float | None, str]


@dataclass(slots=True)
class Price:
    """The latest price of a selection."""

    price: float | None  # None: it was withdrawn
    observed_at: int  # microseconds since 1970, like last_seen_at
    last_seen_at: int  # the newest answer that showed a price
    scope: str = ""  # of that answer
    is_flushed: bool = False
    withdrawn_at: int = 0  # the answer that no longer showed it


class Sighting(NamedTuple):
    """A price of a later answer than those that are read."""

    price: float
    observed_at: int
    last_seen_at: int


@dataclass
class OpenPrices:
    """Latest prices by event and selection, and the events themselves.

    A price is withdrawn by the first answer of its own scope (sport, regions or bookmakers, market) that does
    not show it, as a row without a price. Answers that could not be read whole, that are older than the
    price, or that show no price at all withdraw nothing; nor does any after kick-off.
    """

    prices: dict[str, dict[Selection, Price]] = field(default_factory=dict)
    events: dict[str, tuple] = field(default_factory=dict)  # as `Rows.events`
    seasons: dict[str, str] = field(default_factory=dict)
    settled: dict[str, tuple] = field(default_factory=dict)
    bookmakers: dict[str, str] = field(default_factory=dict)  # renamed ones: name -> what it means
    unchanged: int = 0
    # by competition and bookmaker: the scope of its prices, and whether any of them is not stored yet
    scopes: dict[tuple[str, str], str] = field(default_factory=dict)
    has_new_scopes: bool = False
    # the last whole answer to the sport of each event that has not begun
    asked: dict[str, int] = field(default_factory=dict)
    # of answers later than the time at which this memory begins, where history is bought: the last sighting
    # of each price, and of any of an event
    later: dict[Selection, Sighting] = field(default_factory=dict)
    known_until: dict[str, int] = field(default_factory=dict)

    def read_odds(
        self, answers: Iterable[Answer], sport: str, offer: "Offer", *, source: str = SOURCE
    ) -> Batch:
        """Read answers with odds, in order of time: new or moved events, changed and withdrawn prices."""
        return parse_many(
            answers,
            odds_format=offer.odds_format,
            source=source,
            seasons=self.seasons,
            known=self.events,
            bookmakers=self.bookmakers,
            sieve=lambda rows, at: self._keep_changes(rows, at, sport, offer),
        )

    def read_scores(self, answers: Iterable[Answer], *, source: str = SOURCE) -> Batch:
        """Read an answer with scores: new or moved events, and new results."""
        (answer,) = answers
        return parse_scores(
            answer.content,
            answer.url,
            fetched_at=answer.fetched_at,
            source=source,
            seasons=self.seasons,
            known=self.events,
            sieve=self._keep_changes,
        )

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
            for memory in (self.events, self.prices, self.settled, self.seasons, self.asked):
                memory.pop(name, None)

    def _keep_changes(self, rows: Rows, at: int, sport: str = "", offer: "Offer | None" = None) -> None:
        """Leave the rows that say something new, and add those of prices that are gone."""
        shown = rows.events
        rows.events = self._changed_events(shown, at)
        rows.results = {
            name: result for name, result in rows.results.items() if self.settled.get(name) != result
        }
        fresh = rows.events.keys() - self.events.keys()
        self.events |= rows.events
        self.settled |= rows.results
        if offer is None:
            return
        is_answer = bool(rows.quotes) and rows.is_whole
        rows.quotes = self._changes(rows.quotes, at, offer.scope)
        rows.events |= self._begun(at)
        if is_answer:
            rows.quotes |= self._withdrawn(at, sport, offer, shown)
            self._put_off(rows, shown, fresh, at, sport)
        # an answer says something, too, of events that it no longer names
        for name in (*rows.events, *(event for event, *_ in rows.quotes)):
            rows.competitions[name] = self.events[name][1]

    def _changed_events(self, events: dict[str, tuple], at: int) -> dict[str, tuple]:
        changed = {}
        for name, event in events.items():
            old = self.events.get(name)
            if old is not None:
                if self.known_until.get(name, 0) > at:
                    continue  # an answer out of the past does not move an event back
                if old[3] == event[3]:
                    event = (*event[:-1], old[-1])
            if event != old:
                changed[name] = event
        return changed

    def _put_off(self, rows: Rows, shown: dict[str, tuple], fresh: Set[str], at: int, sport: str) -> None:
        """Note events that are gone well before they begin, while their teams meet under another id.

        That id is one of this answer's new ones, or in football one that was there beside the old: teams of
        other sports play series, whose next match is known while one is taken off.
        """
        for old in [event for name, event in self.events.items() if name not in shown and event[1] == sport]:
            name, starts_at = old[0], old[3]
            if old[6] is not None or starts_at < at + _WELL_BEFORE_US:
                continue
            others = (
                event
                for event in shown.values()
                if {*event[4:6]} == {*old[4:6]}
                and event[3] > at
                and abs(event[3] - starts_at) <= _PUT_OFF_US
                and (event[0] in fresh or sport.startswith("soccer"))
            )
            other = next(others, None)
            if other is not None:
                rows.events[name] = self.events[name] = (*old[:6], "postponed", old[7])
                then, now = (
                    f"{EPOCH + MICROSECOND * when:%Y-%m-%d %H:%M} UTC" for when in (starts_at, other[3])
                )
                rows.put_aside(
                    "events",
                    name,
                    f"{old[4]} - {old[5]} of {then} is no longer on offer, and they meet at {now} "
                    f"under another id ({other[0]}): taken for postponed, without a result",
                )

    def last_asked(self, name: str) -> int | None:
        """When the last whole answer to the sport of an event came before it began; None: not known."""
        event = self.events[name]
        # what is stored may be later, where history is bought
        known = [at for at in (self.asked.get(name), event[-1]) if at is not None and at < event[3]]
        return max(known, default=None)

    def _begun(self, at: int) -> dict[str, tuple]:
        """Events that have begun since the last answer to their sport, with the time of that one."""
        begun = {}
        for name in [name for name in self.asked if self.events[name][3] <= at]:
            last, event = self.last_asked(name), self.events[name]
            del self.asked[name]
            if last != event[-1]:
                begun[name] = self.events[name] = (*event[:-1], last)
        return begun

    def _changes(self, quotes: dict[tuple, tuple], at: int, scope: str) -> dict[tuple, tuple]:
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
                    old.last_seen_at, old.scope, old.is_flushed = at, scope, False
                continue
            if old is not None and when <= old.observed_at:
                # changed, though the bookmaker's time says otherwise: it was on offer when the provider
                # answered, at the latest
                if at > old.observed_at:
                    when = at
                elif at > max(old.last_seen_at, old.withdrawn_at):
                    # a later answer, though the open price is by a clock that is a little ahead of it
                    when = old.observed_at + 1
                else:
                    continue  # an answer older than the open price
            prices[selection] = Price(price, when, at, scope)
            changes[*selection, when] = (price, at)
            book = self.events[selection[0]][1], selection[1]
            if self.scopes.get(book) != scope:
                self.scopes[book], self.has_new_scopes = scope, True
        return changes

    def _withdrawn(self, at: int, sport: str, offer: "Offer", shown: dict[str, tuple]) -> dict[tuple, tuple]:
        """Rows of the prices that an answer of this time should show, and does not.

        It should show all events of its sport, and all prices of those that it shows: an answer to "upcoming"
        has events of other sports.
        """
        scope, markets = offer.scope, offer.kept_markets
        gone: dict[tuple, tuple] = {}
        for name, prices in self.prices.items():
            event = self.events.get(name)
            if event is None or event[3] <= at or not (event[1] == sport or name in shown):
                continue
            self.asked[name] = max(at, self.asked.get(name, 0))
            for selection, one in prices.items():
                if (
                    one.last_seen_at < at
                    and one.price is not None
                    and one.scope == scope
                    and selection[2] in markets
                ):
                    # by a bookmaker's clock that is a little ahead, the price may be younger than the answer
                    when = max(at, one.observed_at + 1)
                    one.price, one.observed_at, one.is_flushed, one.withdrawn_at = None, when, False, at
                    gone[*selection, when] = (None, at)
                    later = self.later.get(selection)
                    if later is not None and later.observed_at <= at < later.last_seen_at:
                        # stored as unchanged then, which it was not: it had been away
                        gone[*selection, later.last_seen_at] = (later.price, later.last_seen_at)
        return gone
