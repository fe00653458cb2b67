"""Ask The Odds API again and again, in one process, and store what has changed.

Storage grows with information, not with polls: an unchanged price is not written again; when it was last seen
is kept in the table `standing`. The poller survives errors of the provider and of the disk.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from threading import Event

from overround.collection.collector import FETCH
from overround.collection.memory import trim
from overround.collection.open_prices import OpenPrices
from overround.collection.pending_rows import ORDER, PendingRows
from overround.collection.poll_log import PollLog, Troubles
from overround.collection.poll_schedule import Schedule, Turn, is_due
from overround.collection.poll_settings import PollSettings
from overround.errors import FetchError, SourceError, StoreError
from overround.http.client import Fetcher
from overround.settings import Settings, load_settings
from overround.sources.the_odds_api import client as the_odds_api
from overround.store.store import Store

_LOG_EVERY_S = 300  # requests and measurements
_STANDING_EVERY_S = 900
# How often to ask for scores: while a match should have ended in the last hours, and while one of the last
# days (postponed, abandoned) has no result. The API knows no older ones.
_SCORES = ((600, 6 * 3600), (3600, 3 * 86_400))
_SCORES_DAYS = 3
_MATCH_S = 105 * 60  # the shortest time after which a match may have ended
_FORGET_S = 3.5 * 86_400  # after kick-off: by then the scores have not named it for half a day


@dataclass(frozen=True)
class Polled:
    """The state of a poller: shown while it runs, and returned at its end.

    Examples
    --------
    >>> import overround as ov
    >>> print(ov.collection.Polled(polls=2, inserted={"events": 10, "quotes": 720, "results": 0}, requests=3))
    2 polls: 10 new events, 720 new quotes; 3 requests, 0 answered by the cache; last call 0 ms
    """

    polls: int = 0
    inserted: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ORDER, 0))
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
    plan: str = ""  # decision of the quota planner, where the quota does not pay for every poll
    ended: str = ""

    def __str__(self) -> str:
        """The state in one line."""
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
        latency = f"last call {1000 * self.latency_s:.0f} ms"
        return f"{self.polls:,} polls: {new}; {calls}{quota}; {latency}{waiting}{trouble}{aside}{planned}"


def poll(
    sports: Iterable[str],
    polling: PollSettings | None = None,
    *,
    settings: Settings | None = None,
    store: Store | None = None,
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
    polling : PollSettings, optional
        How often, until when, and for whose prices; by default every 30 s without end.
    settings, store : optional
        By default those of this environment.
    stop : Event, optional
        Set from outside to end after the current batch.
    clock, sleep : callable
        Seconds since 1970, and a function that waits; a simulation passes its own.
    progress : callable
        Called with the state after each poll.

    Returns
    -------
    Polled
        `ended` says why it ended.

    Raises
    ------
    ParameterError, SettingsError
        A sport or the API key cannot be used; raised before anything is fetched.
    FetchError
        Asking again cannot help: the provider refuses the key, the sport or the markets at the first poll.
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
    ...         ["soccer_epl"],
    ...         ov.collection.PollSettings(polls=1),
    ...         settings=settings,
    ...         clock=server.clock,
    ...         sleep=server.sleep,
    ...     )
    >>> polled.polls, polled.inserted, polled.errors
    (1, {'events': 0, 'quotes': 0, 'results': 0}, 0)
    """
    polling, settings, stop = polling or PollSettings(), settings or load_settings(), stop or Event()
    asked = list(dict.fromkeys(sports))
    if polling.ttl is None:
        polling = replace(polling, ttl=settings.live_ttl)
    with the_odds_api.open_fetcher(settings, asked) as fetcher:
        poller = _Poller(fetcher, store or Store(settings.store_root), asked, polling, clock)
        return poller.run(stop, sleep or stop.wait, progress)


class _Poller:
    def __init__(
        self,
        fetcher: Fetcher,
        store: Store,
        sports: list[str],
        polling: PollSettings,
        clock: Callable[[], float],
    ):
        self._fetcher, self._store, self._polling, self._clock = fetcher, store, polling, clock
        self._ttl = polling.ttl or 0.0
        self._turns = [Turn(sport) for sport in sports]
        self._prices = OpenPrices.load(store, sports, since_s=clock() - _FORGET_S)
        self._troubles = Troubles()
        self._pending = PendingRows(store, self._troubles)
        self._log = PollLog(store, self._troubles)
        self._logged_at = self._flushed_at = now = clock()
        self._schedule = Schedule(polling.every_s, polling.offer.cost * len(sports), now)
        self._polls = 0

    def run(
        self, stop: Event, sleep: Callable[[float], object], progress: Callable[[Polled], None]
    ) -> Polled:
        try:
            ended = self._loop(stop, sleep, progress)
        finally:
            # also when it ends by an error or a second Ctrl-C: collected rows are not lost
            self._finish()
        state = self._state(ended=ended)
        if state.waiting:
            raise StoreError(
                f"{state.waiting:,} rows that were collected could not be stored: {state.last_error}"
            )
        return state

    def _loop(self, stop: Event, sleep: Callable[[float], object], progress: Callable[[Polled], None]) -> str:
        end = float("inf") if self._polling.until is None else self._polling.until.timestamp()
        while not stop.is_set():
            now = self._clock()
            if now >= end:
                return "the time was over"
            self._poll(now, stop)
            self._keep_house()
            self._polls += 1
            if self._polls == self._polling.polls:
                progress(self._state())
                return f"{self._polls:,} polls were made"
            now = self._clock()
            self._schedule.advance(now, self._fetcher.quota, self._prices.kick_offs())
            progress(self._state())
            sleep(max(0.0, min(self._schedule.due, end) - now))
        return "it was told to stop"

    def _poll(self, now: float, stop: Event) -> None:
        for turn in self._turns:
            if stop.is_set():
                return
            if turn.waits(now):
                continue
            try:
                self._ask_odds(turn)
                self._ask_scores(turn, now)
                turn.failures = 0
            except (FetchError, SourceError) as error:
                if isinstance(error, FetchError) and not turn.accepted and the_odds_api.is_hopeless(error):
                    raise
                turn.fail(now, self._polling.every_s)
                self._troubles.note(str(error))
        self._pending.write(self._log.meter)

    def _ask_odds(self, turn: Turn) -> None:
        offer = self._polling.offer
        with self._log.meter.stage(FETCH) as stage:
            answer = the_odds_api.odds(self._fetcher, turn.sport, offer, ttl=self._ttl)
            if turn.is_new(answer):
                batch = self._prices.read_odds(answer, offer.odds_format)
                stage.count(rows=len(batch.quotes))
                self._pending.add(batch)
            turn.answered_at, turn.accepted = answer.fetched_at, True
        if answer.is_stale:
            raise FetchError(
                "the provider does not answer; "
                f"the last it said is of {answer.fetched_at:%Y-%m-%d %H:%M:%S} UTC"
            )

    def _ask_scores(self, turn: Turn, now: float) -> None:
        if any(
            is_due(turn.scores_at, now, every_s)
            and self._prices.awaits_result(turn.sport, now, _MATCH_S, back_s)
            for every_s, back_s in _SCORES
        ):
            # noted before the call, which may fail: scores can wait, the quota cannot
            turn.scores_at = now
            with self._log.meter.stage(FETCH):
                scores = the_odds_api.scores(self._fetcher, turn.sport, days=_SCORES_DAYS, ttl=self._ttl)
                self._pending.add(self._prices.read_scores(scores))

    def _keep_house(self) -> None:
        """Log the calls; every few minutes write the log and the open prices, and forget finished events."""
        self._log.add(self._fetcher.drain())
        now = self._clock()
        if is_due(self._logged_at, now, _LOG_EVERY_S):
            self._logged_at = now
            self._prices.forget(now - _FORGET_S)
            self._adopt_prices_of_others()
            self._write_log()
            trim()
        if is_due(self._flushed_at, now, _STANDING_EVERY_S):
            self._flushed_at = now
            self._flush_prices()

    def _adopt_prices_of_others(self) -> None:
        """Adopt prices that another process stored: it may have seen a change between two of our polls."""
        if self._pending.others_wrote:
            with self._troubles.noted():
                self._prices.adopt(self._store)
                self._pending.others_wrote = False

    def _write_log(self) -> None:
        self._log.write(polls=self._polls, prices_unchanged=self._prices.unchanged)

    def _flush_prices(self) -> None:
        with self._troubles.noted():
            self._prices.flush(self._store)

    def _finish(self) -> None:
        self._pending.write(self._log.meter)
        self._keep_house()
        self._flush_prices()
        self._write_log()

    def _state(self, ended: str = "") -> Polled:
        log, pending = self._log, self._pending
        return Polled(
            polls=self._polls,
            inserted=dict(pending.inserted),
            unchanged=self._prices.unchanged,
            set_aside=pending.set_aside,
            last_set_aside=pending.last_set_aside,
            requests=log.requests,
            cache_hits=log.cache_hits,
            quota_remaining=log.quota_remaining,
            latency_s=log.latency_s,
            errors=self._troubles.number,
            last_error=self._troubles.last,
            waiting=len(pending),
            next_poll_s=self._schedule.due,
            plan=self._schedule.plan,
            ended=ended,
        )
