"""Ask The Odds API again and again, in one process, and store what has changed.

Storage grows with information, not with polls: an unchanged price is not written again; when it was last seen
is kept in the table `standing`. The poller survives errors of the provider and of the disk.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from threading import Event

from overround.collection.collector import FETCH
from overround.collection.pending_rows import PendingRows
from overround.collection.poll_log import PollLog
from overround.collection.poll_schedule import Schedule, Turn, is_due
from overround.collection.poll_settings import PollSettings
from overround.collection.polled import Polled, note, noted
from overround.collection.stored_prices import FORGET_S, adopt_prices, flush_asked, flush_prices, load_prices
from overround.errors import FetchError, SourceError, StoreError
from overround.http.client import Fetcher
from overround.memory import trim
from overround.settings import Settings, load_settings
from overround.sources.base import read
from overround.sources.the_odds_api import client as the_odds_api
from overround.store.store import Store

_LOG_EVERY_S = 300  # requests and measurements
_STANDING_EVERY_S = 900
# How often to ask for scores: while a match should have ended in the last hours, and while one of the last
# days (postponed, abandoned) has no result. The API knows no older ones.
_SCORES = ((600, 6 * 3600), (3600, 3 * 86_400))
_SCORES_DAYS = 3
_MATCH_S = 105 * 60  # the shortest time after which a match may have ended


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
        Asking again cannot help: the provider refuses the key or the markets, or every sport, from the first
        poll on. Where it refuses only some sports, the others go on, and the refusals count as errors.
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
        self._prices = load_prices(store, sports, since_s=clock() - FORGET_S)
        self._state = Polled()
        self._pending = PendingRows(store, self._state)
        self._log = PollLog(store, self._state)
        self._logged_at = self._flushed_at = now = clock()
        self._schedule = Schedule(polling.every_s, polling.offer.cost * len(sports), now)

    def run(
        self, stop: Event, sleep: Callable[[float], object], progress: Callable[[Polled], None]
    ) -> Polled:
        try:
            ended = self._loop(stop, sleep, progress)
        finally:
            # also when it ends by an error or a second Ctrl-C: collected rows are not lost
            self._finish()
        state = self._snapshot()
        if state.waiting:
            raise StoreError(
                f"{state.waiting:,} rows that were collected could not be stored: {state.last_error}"
            )
        return replace(state, ended=ended)

    def _loop(self, stop: Event, sleep: Callable[[float], object], progress: Callable[[Polled], None]) -> str:
        end = float("inf") if self._polling.until is None else self._polling.until.timestamp()
        while not stop.is_set():
            now = self._clock()
            if now >= end:
                return "the time was over"
            self._poll(now, stop)
            self._keep_house()
            self._state.polls += 1
            if self._state.polls == self._polling.polls:
                progress(self._snapshot())
                return f"{self._state.polls:,} polls were made"
            now = self._clock()
            self._schedule.advance(now, self._fetcher.quota, self._prices.kick_offs())
            progress(self._snapshot())
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
                turn.failures, turn.refused = 0, False
            except (FetchError, SourceError) as error:
                hopeless = isinstance(error, FetchError) and the_odds_api.is_hopeless(error)
                turn.refused = hopeless and not turn.accepted
                if all(one.refused for one in self._turns):
                    raise
                turn.fail(now, self._polling.every_s)
                note(self._state, str(error))
        if self._prices.has_new_scopes:
            # first, so that after a kill it is known whose prices the stored ones are
            self._flush_prices()
        self._pending.write(self._log.meter)

    def _ask_odds(self, turn: Turn) -> None:
        offer = self._polling.offer
        with self._log.meter.stage(FETCH) as stage:
            answer = the_odds_api.odds(self._fetcher, turn.sport, offer, ttl=self._ttl)
            if turn.is_new(answer):
                batch = read(
                    self._fetcher,
                    [answer],
                    lambda answers: self._prices.read_odds(answers, turn.sport, offer),
                )
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
                self._pending.add(read(self._fetcher, [scores], self._prices.read_scores))

    def _keep_house(self) -> None:
        """Log the calls; every few minutes write the log and the open prices, and forget finished events."""
        self._log.add(self._fetcher.drain())
        self._state.unchanged = self._prices.unchanged
        now = self._clock()
        if is_due(self._logged_at, now, _LOG_EVERY_S):
            self._logged_at = now
            self._prices.forget(now - FORGET_S)
            self._adopt_prices_of_others()
            self._log.write()
            trim()
        if is_due(self._flushed_at, now, _STANDING_EVERY_S):
            self._flushed_at = now
            self._flush_prices()

    def _adopt_prices_of_others(self) -> None:
        """Adopt prices that another process stored: it may have seen a change between two of our polls."""
        with noted(self._state):
            self._pending.look()
            if self._pending.others_wrote:
                adopt_prices(self._prices, self._store)
                self._pending.others_wrote = False

    def _flush_prices(self) -> None:
        with noted(self._state):
            flush_prices(self._prices, self._store)

    def _finish(self) -> None:
        self._pending.write(self._log.meter)
        self._keep_house()
        self._flush_prices()
        with noted(self._state):
            flush_asked(self._prices, self._store)
        self._log.write()

    def _snapshot(self) -> Polled:
        return replace(
            self._state,
            inserted=dict(self._state.inserted),
            waiting=len(self._pending),
            next_poll_s=self._schedule.due,
            plan=self._schedule.plan,
        )
