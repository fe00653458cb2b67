"""Ask The Odds API again and again, in one process, and store what has changed. Survives whatever the provider or the disk does.

Storage grows with information, not with polls: a price that stands unchanged is not written again; when it
was last seen is kept in the table `standing`. What was found is held until the store has taken it, so that a
full disk delays rows and loses none.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event
from typing import Any, Literal

import pandas as pd

from overround.collection.memory import give_back
from overround.collection.open_prices import Standing
from overround.collection.quota import LONGEST_S, plan
from overround.errors import FetchError, OverroundError, ParameterError, SourceError, StoreError
from overround.http.client import Answer, Fetcher
from overround.measure.meter import Meter, request_figures
from overround.settings import Settings, load_settings
from overround.sources.base import Batch
from overround.sources.the_odds_api import client as the_odds_api
from overround.sources.the_odds_api.client import Offer
from overround.sources.the_odds_api.parser import EPOCH, MICROSECOND
from overround.store.store import Store

FETCH, APPEND, POLL = "fetch and parse", "append", "poll"
LABEL = "poll"  # of the run in the table `measurements`

_log = logging.getLogger(__name__)
_LOG_EVERY_S = 300  # requests and measurements
_STANDING_EVERY_S = 900
# how often scores are asked for: while a match should have ended in the last hours, and while one of the last
# days (postponed, abandoned) has no result; the API knows no older ones
_SCORES = ((600, 6 * 3600), (3600, 3 * 86_400))
_SCORES_DAYS = 3
_MATCH_S = 105 * 60  # the shortest time after which a match may have ended
_FORGET_S = 3.5 * 86_400  # after kick-off: the scores have not named it for half a day
_LONGEST_WAIT_S = 900
_MOST_WAITING = 1_000_000  # rows
_ORDER = ("events", "quotes", "results")


@dataclass(frozen=True)
class Polled:
    """What a poller has done so far; what is shown while it runs, and what it returns at its end.

    Examples
    --------
    >>> import overround as ov
    >>> print(ov.collection.Polled(polls=2, inserted={"events": 10, "quotes": 720, "results": 0}, requests=3))
    2 polls: 10 new events, 720 new quotes; 3 requests, 0 answered by the cache; last call 0 ms
    """

    polls: int = 0
    inserted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ORDER, 0))
    unchanged: int = 0  # prices seen again
    set_aside: int = 0
    last_set_aside: str = ""
    requests: int = 0
    cache_hits: int = 0
    quota_remaining: float | None = None
    latency_s: float = 0.0  # of the last call
    errors: int = 0
    last_error: str = ""
    waiting: int = 0  # rows that the store has not taken yet
    next_poll_s: float = 0.0  # seconds since 1970
    plan: str = ""  # what the quota planner decided, where the quota does not pay for every poll
    ended: str = ""

    def __str__(self) -> str:
        """Say it in one line."""
        new = ", ".join(
            f"{number:,} new {table}"
            for table, number in self.inserted.items()
            if number or table == "quotes"
        )
        quota = "" if self.quota_remaining is None else f"; quota {self.quota_remaining:,.0f}"
        calls = f"{self.requests:,} requests, {self.cache_hits:,} answered by the cache"
        waiting = f"; {self.waiting:,} rows wait for the store" if self.waiting else ""
        trouble = f"; {self.errors:,} errors, the last: {self.last_error}" if self.errors else ""
        planned = f"; {self.plan.rstrip('.')}" if self.plan else ""
        aside = (
            f"; {self.set_aside:,} parts set aside, the last: {self.last_set_aside}" if self.set_aside else ""
        )
        return f"{self.polls:,} polls: {new}; {calls}{quota}; last call {1000 * self.latency_s:.0f} ms{waiting}{trouble}{aside}{planned}"


def poll(
    sports: Iterable[str],
    *,
    every_s: float = 30.0,
    until: datetime | None = None,
    polls: int | None = None,
    settings: Settings | None = None,
    store: Store | None = None,
    regions: str = "eu,uk",
    markets: str = "h2h,totals,spreads",
    bookmakers: str = "",
    odds_format: Literal["decimal", "american"] = "decimal",
    ttl: float | None = None,
    stop: Event | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] | None = None,
    progress: Callable[[Polled], None] = lambda polled: None,
) -> Polled:
    """Collect current odds and scores until told to stop.

    Parameters
    ----------
    sports : iterable of str
        Sport keys such as "soccer_epl"; each poll asks for all of them.
    every_s : float
        Seconds from poll to poll. After an error the sport concerned waits longer, up to a quarter of an
        hour; where the quota does not pay for so many polls until the month ends, they are spaced wider,
        least near kick-offs.
    until, polls : optional
        When to end (time zone aware), or after how many polls; by default never.
    settings, store : optional
        By default those of this environment.
    regions, markets, bookmakers, odds_format : str
        As the API takes them, see `Offer`; what is stored is decimal always.
    ttl : float, optional
        Seconds for which an answer in the cache is still current; by default the setting `live_ttl`, so that
        all who use the cache share their calls.
    stop : Event, optional
        Set from outside to end after the batch at hand.
    clock, sleep : callable
        Seconds since 1970, and waiting; a simulation brings its own.
    progress : callable
        Told the state after each poll.

    Returns
    -------
    Polled
        `ended` says why it ended.

    Raises
    ------
    ParameterError, SettingsError
        For a sport, an interval or a key that cannot be used, before anything is fetched.
    FetchError
        What cannot get better: the provider refuses the key, the sport or the markets at the first poll.
    StoreError
        At the end the store does not take rows that were collected.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> from overround.sources.replay import Shown, replayed
    >>> noon = datetime(2030, 5, 4, 12, tzinfo=UTC)
    >>> with replayed([Shown(noon, b"[]")]) as server:  # a provider on this machine
    ...     settings = ov.settings.Settings(
    ...         store=mkdtemp(), cache=mkdtemp(), odds_api_url=server.url, odds_api_key="demo"
    ...     )
    ...     polled = ov.collection.poll(
    ...         ["soccer_epl"], polls=1, settings=settings, clock=server.clock, sleep=server.sleep
    ...     )
    >>> polled.polls, polled.inserted, polled.errors
    (1, {'events': 0, 'quotes': 0, 'results': 0}, 0)
    """
    settings = settings or load_settings()
    asked = list(dict.fromkeys(sports))
    if not every_s > 0:
        raise ParameterError(f"an interval of {every_s} s cannot be kept; it is above 0, e.g. 30.")
    if polls is not None and polls < 1:
        raise ParameterError(f"{polls} polls cannot be made; there is at least 1.")
    if until is not None and until.tzinfo is None:
        raise ParameterError(
            f"until is {until}, without a time zone; such as datetime.now(UTC) + timedelta(hours=12) is meant."
        )
    offer = Offer(regions, markets, bookmakers, odds_format)
    stop = stop or Event()
    with the_odds_api.open_fetcher(settings, asked) as fetcher:
        poller = _Poller(
            fetcher,
            store or Store(settings.store_root),
            asked,
            offer,
            settings.live_ttl if ttl is None else ttl,
            every_s,
            clock,
        )
        return poller.run(until, polls, stop, sleep or stop.wait, progress)


@dataclass
class _Turn:
    """When a sport is asked for again, and what is known of its last answers."""

    sport: str
    failures: int = 0
    not_before: float = 0.0
    answered_at: datetime | None = None
    accepted: bool = False
    scores_at: float = float("-inf")


class _Poller:
    def __init__(
        self,
        fetcher: Fetcher,
        store: Store,
        sports: list[str],
        offer: Offer,
        ttl: float,
        every_s: float,
        clock: Any,
    ):
        from overround.provenance import new_pipeline

        self._fetcher, self._store, self._offer, self._ttl, self._every_s, self._clock = (
            fetcher,
            store,
            offer,
            ttl,
            every_s,
            clock,
        )
        self._turns = [_Turn(sport) for sport in sports]
        self._standing = Standing.load(store, sports, since_s=clock() - _FORGET_S)
        self._waiting: dict[str, list[pd.DataFrame]] = {name: [] for name in _ORDER}
        self._calls: list[dict] = []
        self._run_id = f"{new_pipeline()}.{LABEL}"
        self._meter = Meter(self._run_id)
        self._logged_at = self._flushed_at = clock()
        # the first append tells the version of the table
        self._version, self._others_wrote = -1, False
        self.state = self._logged = Polled()

    def run(self, until: datetime | None, polls: int | None, stop: Event, sleep, progress) -> Polled:  # type: ignore[no-untyped-def]
        try:
            ended = self._loop(until, polls, stop, sleep, progress)
        finally:
            # also when it ends by an error or a second Ctrl-C: what was found is not given up
            self._finish()
        if self.state.waiting:
            raise StoreError(
                f"{self.state.waiting:,} rows that were collected could not be stored: {self.state.last_error}"
            )
        self.state = replace(self.state, ended=ended)
        return self.state

    def _loop(self, until: datetime | None, polls: int | None, stop: Event, sleep, progress) -> str:  # type: ignore[no-untyped-def]
        due = self._clock()
        while not stop.is_set():
            now = self._clock()
            if until is not None and now >= until.timestamp():
                return "the time was over"
            self._poll(now, stop)
            self._keep_house()
            self.state = replace(self.state, polls=self.state.polls + 1)
            if polls is not None and self.state.polls >= polls:
                progress(self.state)
                return f"{polls:,} polls were made"
            # polls that were missed are not made up for; a clock that was set back does not stop the polling
            now = self._clock()
            due = due + self._every_s if now - self._every_s <= due <= now else now + self._every_s
            due = max(due, self._affordable(now))
            self.state = replace(self.state, next_poll_s=due)
            progress(self.state)
            sleep(max(0.0, due - now if until is None else min(due, until.timestamp()) - now))
        return "it was told to stop"

    def _affordable(self, now: float) -> float:
        """When to poll next so that the quota lasts until it is renewed: the plan decides only where it does not pay for every poll."""
        quota = self._fetcher.quota
        if quota is None:
            return now
        at = datetime.fromtimestamp(now, UTC)
        ask = partial(
            plan,
            at,
            remaining=quota,
            resets_at=_next_month(at),
            cost=self._offer.cost * len(self._turns),
            kick_offs=[EPOCH + MICROSECOND * event[3] for event in self._standing.events.values()],
            shortest_s=self._every_s,
        )
        if ask(longest_s=self._every_s).stretch <= 1:
            self.state = replace(self.state, plan="")
            return now
        planned = ask(longest_s=max(LONGEST_S, self._every_s))
        self.state = replace(self.state, plan=planned.sentence)
        return planned.next_poll.timestamp()

    def _poll(self, now: float, stop: Event) -> None:
        for turn in self._turns:
            if stop.is_set():
                return
            if turn.failures and 0 < turn.not_before - now <= _LONGEST_WAIT_S:
                continue
            try:
                self._ask(turn, now)
                turn.failures = 0
            except FetchError as error:
                if not turn.accepted and the_odds_api.is_hopeless(error):
                    raise
                self._failed(turn, now, error)
            except SourceError as error:
                self._failed(turn, now, error)
        self._write()

    def _ask(self, turn: _Turn, now: float) -> None:
        with self._meter.stage(FETCH) as stage:
            answer = the_odds_api.odds(self._fetcher, turn.sport, self._offer, ttl=self._ttl)
            if self._is_news(turn, answer):
                batch = self._standing.read_odds(answer, self._offer.odds_format)
                stage.count(rows=len(batch.quotes))
                self._hold(batch)
            turn.answered_at, turn.accepted = answer.fetched_at, True
        if answer.is_stale:
            raise FetchError(
                f"the provider does not answer; the last it said is of {answer.fetched_at:%Y-%m-%d %H:%M:%S} UTC"
            )
        awaited = self._standing.awaited
        if any(
            _is_due(turn.scores_at, now, every_s) and awaited(turn.sport, now, _MATCH_S, back_s)
            for every_s, back_s in _SCORES
        ):
            # also when it fails: scores can wait, the quota cannot
            turn.scores_at = now
            with self._meter.stage(FETCH):
                scores = the_odds_api.scores(self._fetcher, turn.sport, days=_SCORES_DAYS, ttl=self._ttl)
                self._hold(self._standing.read_scores(scores))

    def _is_news(self, turn: _Turn, answer: Answer) -> bool:
        """Whether an answer is another one than the last: what the cache still holds has been read before."""
        return turn.answered_at is None or not answer.from_cache or answer.fetched_at > turn.answered_at

    def _hold(self, batch: Batch) -> None:
        for name, rows in zip(_ORDER, (batch.events, batch.quotes, batch.results), strict=True):
            if len(rows):
                self._waiting[name].append(rows)
        self.state = replace(self.state, unchanged=self._standing.unchanged)
        if len(batch.set_aside):
            last = batch.set_aside.iloc[-1]
            self.state = replace(
                self.state,
                set_aside=self.state.set_aside + len(batch.set_aside),
                last_set_aside=f"{last['column']}: {last['reason']}",
            )

    def _write(self) -> None:
        """Append what waits, events first: a reader never sees a price of a match that it does not know."""
        for name in _ORDER:
            waiting = self._waiting[name]
            if not waiting:
                continue
            rows = pd.concat(waiting, ignore_index=True) if len(waiting) > 1 else waiting[0]
            try:
                with self._meter.stage(APPEND) as stage:
                    done = self._store.append(name, rows, changes_only=name == "quotes")
                    stage.count(rows=done.inserted + done.updated)
            except (StoreError, OSError) as error:
                if len(rows) > _MOST_WAITING:
                    self._note(
                        f"{len(rows) - _MOST_WAITING:,} rows of {name} are given up, the oldest of too many that wait for the store"
                    )
                    rows = rows.tail(_MOST_WAITING)
                self._waiting[name] = [rows]
                self._note(str(error))
                break
            self._waiting[name] = []
            self.state.inserted[name] += done.inserted
            if name == "quotes":
                own = self._version + bool(done.inserted + done.updated)
                self._others_wrote |= done.version != own
                self._version = done.version
        self.state = replace(
            self.state, waiting=sum(len(rows) for frames in self._waiting.values() for rows in frames)
        )

    def _keep_house(self) -> None:
        """Take over what the fetcher saw of each call; every few minutes write what was seen, and forget what is over."""
        calls = self._fetcher.drain()
        if calls:
            self._calls += calls
            quotas = [one["quota_remaining"] for one in calls if one["quota_remaining"] is not None]
            self.state = replace(
                self.state,
                requests=self.state.requests + len(calls),
                latency_s=calls[-1]["latency_s"],
                cache_hits=self.state.cache_hits + sum(bool(one["from_cache"]) for one in calls),
                quota_remaining=quotas[-1] if quotas else self.state.quota_remaining,
            )
        now = self._clock()
        if _is_due(self._logged_at, now, _LOG_EVERY_S):
            self._logged_at = now
            self._standing.forget(now - _FORGET_S)
            self._look_at_others()
            self._write_log()
            give_back()
        if _is_due(self._flushed_at, now, _STANDING_EVERY_S):
            self._flushed_at = now
            self._write_standing()

    def _look_at_others(self) -> None:
        """Take over prices that another process has stored: it may have seen one change that we saw stand before and after."""
        if not self._others_wrote:
            return
        try:
            self._standing.adopt(self._store)
            self._others_wrote = False
        except (StoreError, OSError) as error:
            self._note(str(error))

    def _write_log(self) -> None:
        self._meter.record(FETCH, **request_figures(self._calls))
        before, now = self._logged, self.state
        self._meter.record(
            POLL,
            polls=now.polls - before.polls,
            errors=now.errors - before.errors,
            prices_unchanged=now.unchanged - before.unchanged,
        )
        for name, rows in (("requests", self._calls), ("measurements", self._meter.frame())):
            try:
                if len(rows):
                    self._store.append(name, rows)
            except (StoreError, OSError) as error:  # a log is not worth waiting for
                self._note(str(error))
        self._calls, self._meter, self._logged = [], Meter(self._run_id), now

    def _write_standing(self) -> None:
        rows = self._standing.changed()
        try:
            if len(rows):
                self._store.append("standing", rows)
            self._standing.kept()
        except (StoreError, OSError) as error:
            self._note(str(error))

    def _finish(self) -> None:
        self._write()
        self._keep_house()
        self._write_standing()
        self._write_log()

    def _failed(self, turn: _Turn, now: float, error: OverroundError) -> None:
        turn.failures += 1
        # a single failure costs a poll at most; the tenth in a row is no reason to hammer
        turn.not_before = (
            now
            + min(self._every_s * 2 ** (turn.failures - 1), max(_LONGEST_WAIT_S, self._every_s))
            - 0.5 * self._every_s
        )
        self._note(str(error))

    def _note(self, trouble: str) -> None:
        _log.warning("%s", trouble)
        self.state = replace(self.state, errors=self.state.errors + 1, last_error=trouble)


def _next_month(now: datetime) -> datetime:
    """When The Odds API renews quotas: at the beginning of a month, UTC."""
    return (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)


def _is_due(last: float, now: float, after_s: float) -> bool:
    # now < last: the clock was set back
    return now - last >= after_s or now < last
