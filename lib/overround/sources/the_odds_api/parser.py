"""Answers of The Odds API, version 4, with odds or scores -> tidy tables. Nothing here makes a call.

Reference: https://the-odds-api.com/liveapi/guides/v4/. The API has no seasons: an event's season is the year
of its kick-off when it was first seen, so that moving a kick-off across New Year does not move the event and
its prices to another partition.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from typing import Any, Literal

import pandas as pd

from overround.errors import SourceError
from overround.http.client import Answer
from overround.schema import MARKETS, OUTCOMES, tidy
from overround.sources.base import SET_ASIDE_COLUMNS, Batch
from overround.sources.bookmakers import from_the_odds_api
from overround.sources.the_odds_api.values import (
    EPOCH,
    MICROSECOND,
    Unusable,
    is_american,
    is_number,
    text_of,
    time_of,
    time_or_none,
    times,
)

SOURCE = "the-odds-api"
OddsFormat = Literal["", "decimal", "american"]
_HIGHEST_POINT = 1e4
_SIDES = {"Over": "over", "Under": "under"}
# microseconds by which an update may be later than its answer, whose time is in whole seconds
_AHEAD = 5_000_000
_UNSEEN = (None, 0)
_SPORT = re.compile("[A-Za-z0-9_]{1,100}")
# microseconds from an answer to the kick-off of a match that can be on offer, or have been: twenty years
_FARTHEST = 20 * 365 * 86_400_000_000
EVENT = ("event_id", "competition", "season", "starts_at", "home", "away", "status", "last_asked_at")
QUOTE = ("event_id", "bookmaker", "market", "line", "outcome", "observed_at", "price", "collected_at")
RESULT = ("event_id", "home_score", "away_score", "settled_at")


def parse_odds(
    content: bytes, where: str, *, fetched_at: datetime, odds_format: OddsFormat = "", source: str = SOURCE
) -> Batch:
    """Tidy tables of one answer with odds; see `parse_many`."""
    return parse_many(
        [Answer(where, 200, content, fetched_at, False, {})], odds_format=odds_format, source=source
    )


def parse_many(
    answers: Iterable[Answer],
    *,
    odds_format: OddsFormat = "",
    source: str = SOURCE,
    seasons: dict[str, str] | None = None,
    known: Mapping[str, tuple] | None = None,
    bookmakers: Mapping[str, str] | None = None,
    sieve: Callable[["Rows", int], None] | None = None,
) -> Batch:
    """Tidy tables of many answers with odds, live or historical, as one batch.

    Events are kept as last seen (kick-offs move), and so is the last of several quotes with the same key.
    Prices quoted in play are kept: their `observed_at` is not before the event's `starts_at`. `observed_at`
    is the last update of the market, else of the bookmaker, else the time of the answer: the `timestamp` of a
    historical one, otherwise when it was fetched. An update more than 5 s later than its own answer comes
    from a clock that is ahead: then the time of the answer counts, when the price was on offer for certain.
    Prices belong to teams: where home and away of an event change places, they stay as they were first seen.

    Parameters
    ----------
    answers : iterable of Answer
        In order of time.
    odds_format : {"", "decimal", "american"}
        Format of the prices. "" infers it from each whole answer: only American prices are negative, only
        decimal ones are fractions or between 1 and 100, and the format with more such prices wins; if all are
        whole numbers from 100 up, they are American.
    source : str
        Value of the column `source`.
    seasons : dict, optional
        Seasons of known events by event_id; new events are added.
    known : mapping, optional
        event_id -> the columns of `EVENT` of known events, whose home and away count.
    bookmakers : mapping, optional
        Renamed bookmakers, beside those in `sources.bookmakers`: old name or key -> name.
    sieve : callable, optional
        Given the rows of each answer, and its time in microseconds since 1970, before they join the others:
        a collector keeps a few of thousands, and adds those that say what is no longer on offer.

    Raises
    ------
    SourceError
        An answer is not a list of events, or none of its events can be read. Otherwise parts that cannot be
        read are set aside, and the rest is kept.
    """
    rows = Rows(
        source, seasons={} if seasons is None else seasons, known=known or {}, bookmakers=bookmakers or {}
    )
    for answer in answers:
        if sieve is None:
            _add_odds(rows, answer, odds_format)
            continue
        of_answer = replace(rows, events={}, quotes={}, results={}, aside=[])
        sieve(of_answer, _add_odds(of_answer, answer, odds_format))
        rows.take(of_answer)
    return rows.batch()


def read_scores(answers: Iterable[Answer], *, source: str = SOURCE) -> Batch:
    """Tidy tables of one answer with scores; see `parse_scores`."""
    (answer,) = answers
    return parse_scores(answer.content, answer.url, fetched_at=answer.fetched_at, source=source)


def parse_scores(
    content: bytes,
    where: str,
    *,
    fetched_at: datetime,
    source: str = SOURCE,
    seasons: dict[str, str] | None = None,
    known: Mapping[str, tuple] | None = None,
    sieve: Callable[["Rows", int], None] | None = None,
) -> Batch:
    """Tidy tables of one answer with scores: every event, and the result of each completed one.

    `settled_at` is the time of the score's last update, or of the answer if that is over 5 s earlier. An
    abandoned event is never completed, so it has no result. See `parse_many` for `seasons`, `known`
    and `sieve`.
    """
    rows = Rows(source, where, {} if seasons is None else seasons, known=known or {})
    events, at = _document(content, where, fetched_at)
    rows.at = at
    for path, event in _children({"events": events}, "events", "", rows):
        try:
            name, home, away = rows.add_event(event, path)
            if event.get("completed") is True:
                settled_at = time_or_none(event, "last_update", path)
                # a clock that is ahead; but a match has not ended before it began
                if settled_at is not None and rows.events[name][3] < at < settled_at - _AHEAD:
                    settled_at = at
                rows.results[name] = (*_scores(event, home, away, path), settled_at)
        except Unusable as bad:
            rows.put_aside(*bad.args)
    _refuse_unreadable(rows, len(events), len(rows.events))
    if sieve is not None:
        sieve(rows, at)
    return rows.batch()


@dataclass
class Rows:
    """Rows read so far, by key, so that a later one replaces an earlier; times in microseconds since 1970.

    `events` holds event_id -> the columns of `EVENT`, `quotes` those of `QUOTE` up to observed_at -> price
    (None: nothing any more) and collected_at, `results` event_id -> the other columns of `RESULT`.
    `is_whole` says that all of an answer could be read. `at` is the time of the answer that is being read,
    `known` and `bookmakers` are as in `parse_many`.
    """

    source: str
    where: str = ""
    seasons: dict[str, str] = field(default_factory=dict)
    competitions: dict[str, str] = field(default_factory=dict)
    events: dict[str, tuple] = field(default_factory=dict)
    quotes: dict[tuple, tuple] = field(default_factory=dict)
    results: dict[str, tuple] = field(default_factory=dict)
    aside: list[tuple] = field(default_factory=list)
    is_whole: bool = True
    at: int | None = None
    known: Mapping[str, tuple] = field(default_factory=dict)
    bookmakers: Mapping[str, str] = field(default_factory=dict)

    def take(self, later: "Rows") -> None:
        """Add the rows of a later answer."""
        self.events |= later.events
        self.quotes |= later.quotes
        self.results |= later.results
        self.aside += later.aside

    def put_aside(self, path: str, value: object, reason: str) -> None:
        """Note a part that cannot be read, and why."""
        self.is_whole = False
        self.aside.append((self.where, 0, path, str(value)[:80].encode("utf-8", "replace").decode(), reason))

    def add_event(self, event: dict, path: str) -> tuple[str, str, str]:
        """Read an event; return its id and its teams."""
        name, sport, home, away = (
            text_of(event, column, path) for column in ("id", "sport_key", "home_team", "away_team")
        )
        if not _SPORT.fullmatch(sport):  # it names folders of the store
            raise Unusable(
                f"{path}.sport_key", sport, "not the key of a sport; letters, digits and _, at most 100"
            )
        starts_at = time_or_none(event, "commence_time", path)
        if starts_at is None:
            raise Unusable(f"{path}.commence_time", None, "a time is required")
        if home == away:
            raise Unusable(f"{path}.away_team", away, "the same team as home_team")
        if self.at is not None and abs(starts_at - self.at) > _FARTHEST:
            raise Unusable(
                f"{path}.commence_time", event["commence_time"], "more than twenty years from its answer"
            )
        home, away = self._as_first_seen(name, home, away)
        season = self.seasons.setdefault(name, str((EPOCH + starts_at * MICROSECOND).year))
        self.competitions[name] = sport
        self.events[name] = (name, sport, season, starts_at, home, away, None, None)
        return name, home, away

    def _as_first_seen(self, name: str, home: str, away: str) -> tuple[str, str]:
        """Home and away, exchanged if they have changed places, as happens on neutral ground."""
        first = self.events.get(name) or self.known.get(name)
        if first is None or home == first[4] or away == first[5]:
            return home, away
        return (away, home) if home == first[5] or away == first[4] else (home, away)

    def batch(self) -> Batch:
        """Make the tables."""
        events = list(zip(*self.events.values(), strict=True))
        quotes = [*zip(*self.quotes, strict=True), *zip(*self.quotes.values(), strict=True)]
        results = [tuple(self.results), *zip(*self.results.values(), strict=True)]
        return Batch(
            self._table("events", EVENT, events, time_known=True),
            self._table("quotes", QUOTE, quotes, phase="snapshot"),
            self._table("results", RESULT, results, status="final"),
            pd.DataFrame(self.aside, columns=list(SET_ASIDE_COLUMNS)),
        )

    def _table(self, name: str, names: Sequence[str], values: Sequence[tuple], **same: Any) -> pd.DataFrame:
        if not any(values):
            return _empty_table(name).copy()
        columns: dict[str, Any] = dict(zip(names, values, strict=True))
        columns |= {column: times(columns[column]) for column in names if column.endswith("_at")}
        events = columns["event_id"]
        columns["competition"] = [self.competitions[event] for event in events]
        columns["season"] = [self.seasons[event] for event in events]
        if name == "events":
            columns["sport"] = [sport.split("_", 1)[0] for sport in columns["competition"]]
        if name == "results":
            # the score is the final one; in cups of soccer that may be after 90 minutes or after 120
            columns["with_overtime"] = [
                None if sport.startswith("soccer_") else True for sport in columns["competition"]
            ]
        return tidy(name, pd.DataFrame({**columns, **same, "source": self.source}))


@cache
def _empty_table(table: str) -> pd.DataFrame:
    """A table without rows, made once: most answers to a poller change no event and no result."""
    return tidy(table, [])


def _add_odds(rows: Rows, answer: Answer, odds_format: str) -> int:
    """Read one answer with odds; returns its time.

    In plain loops, because a DataFrame per answer would cost far more.
    """
    rows.where = answer.url
    events, at = _document(answer.content, answer.url, answer.fetched_at)
    rows.at = at
    american = odds_format == "american" if odds_format else is_american(answer.content)
    left_out: Counter[str] = Counter()
    readable = 0
    for path, event in _children({"events": events}, "events", "", rows):
        try:
            event_id, home, away = rows.add_event(event, path)
        except Unusable as bad:
            rows.put_aside(*bad.args)
            continue
        readable += 1
        # outcomes come in the order of their names, not home first
        teams = {home: "home", away: "away", "Draw": "draw"}
        for book_path, bookmaker in _children(event, "bookmakers", path, rows):
            for market_path, one in _children(bookmaker, "markets", book_path, rows):
                market = one.get("key")
                if market not in MARKETS:
                    left_out[str(market)] += 1
                    continue
                try:
                    name = from_the_odds_api(text_of(bookmaker, "key", book_path), rows.bookmakers)
                    when = time_or_none(one, "last_update", market_path)
                    if when is None:
                        when = time_or_none(bookmaker, "last_update", book_path)
                except Unusable as bad:
                    rows.put_aside(*bad.args)
                    continue
                for outcome_path, outcome in _children(one, "outcomes", market_path, rows):
                    try:
                        side, line, price = _quote(outcome, market, teams, american, outcome_path)
                    except Unusable as bad:
                        rows.put_aside(*bad.args)
                        continue
                    key = (
                        event_id,
                        name,
                        market,
                        line,
                        side,
                        at if when is None or when > at + _AHEAD else when,
                    )
                    # a price seen again keeps the time when it was first seen: from then on it could be taken
                    if rows.quotes.get(key, _UNSEEN)[0] != price:
                        rows.quotes[key] = (price, at)
    _refuse_unreadable(rows, len(events), readable)
    is_whole = rows.is_whole
    for market, number in left_out.items():
        rows.put_aside("markets", market, f"{number} of this market left out; kept are {', '.join(MARKETS)}")
    # a market that is none of ours hides none of ours
    rows.is_whole = is_whole
    return at


def _refuse_unreadable(rows: Rows, events: int, readable: int) -> None:
    """An answer full of events of which none can be read is not one without events."""
    if events and not readable:
        where, _, path, value, reason = rows.aside[-1]
        raise SourceError(f"{where}: none of its {events} events can be read; {path} {value!r}: {reason}.")


def _document(content: bytes, where: str, fetched_at: datetime) -> tuple[list, int]:
    """The events of an answer and its time."""
    at = (fetched_at - EPOCH) // MICROSECOND
    with suppress(TypeError, ValueError, RecursionError):
        answer = json.loads(content)
        if isinstance(answer, dict) and "data" in answer:
            at, answer = time_of(answer.get("timestamp")), answer["data"]
        if isinstance(answer, dict) and "id" in answer:
            answer = [answer]
        if isinstance(answer, list):
            return answer, at
    begin = " ".join(content[:100].decode("utf-8", "replace").split())
    raise SourceError(
        f"{where}: expected a JSON list of events, bare or as data beside their timestamp, got {begin!r}."
    )


def _children(parent: dict, name: str, path: str, rows: Rows) -> Iterator[tuple[str, dict]]:
    """The objects in a list of an answer, with their paths; other values are set aside."""
    children = parent.get(name)
    path = f"{path}.{name}" if path else name
    if isinstance(children, list):
        for number, child in enumerate(children):
            if isinstance(child, dict):
                yield f"{path}[{number}]", child
            else:
                rows.put_aside(f"{path}[{number}]", child, "an object is required")
    elif children is not None:
        rows.put_aside(path, children, "a list is required")


def _quote(
    outcome: dict, market: str, teams: dict[str, str], american: bool, path: str
) -> tuple[str, float | None, float]:
    name, price = outcome.get("name"), outcome.get("price")
    side = (_SIDES if market == "totals" else teams).get(name, "") if isinstance(name, str) else ""
    if side not in OUTCOMES[market]:
        raise Unusable(f"{path}.name", name, f"not an outcome of the market {market}")
    if american and is_number(price) and abs(price) >= 100 and price == int(price):
        price = 1 + (price / 100 if price > 0 else 100 / -price)
    elif american or not is_number(price) or price <= 1:
        raise Unusable(f"{path}.price", price, f"not a price in {'American' if american else 'decimal'} odds")
    line: Any = None
    if market in ("totals", "spreads"):
        line = outcome.get("point")
        if not is_number(line) or abs(line) > _HIGHEST_POINT:
            raise Unusable(f"{path}.point", line, "a line is required")
        # the home team's handicap for both; + 0.0 because -0.0 would be another line
        line = (-line if market == "spreads" and side == "away" else line) + 0.0
    return side, line, float(price)


def _scores(event: dict, home: str, away: str, path: str) -> tuple[int, int]:
    found = event.get("scores")
    by_team = (
        {str(one.get("name")): str(one.get("score")) for one in found if isinstance(one, dict)}
        if isinstance(found, list)
        else {}
    )
    scores = [by_team.get(team, "") for team in (home, away)]
    if not all(re.fullmatch("[0-9]{1,4}", score) for score in scores):
        raise Unusable(
            f"{path}.scores", found, "a completed event needs the whole-number score of both teams"
        )
    return int(scores[0]), int(scores[1])
