"""A week of polling in simulated time, or a recorded tournament, with the real store and a local provider.

`python -m benchmarks.week [POLLS]` plays POLLS polls at 30 s of simulated time (20,160 are a week; 2,016, a
tenth, by default) of 40 events at 11 bookmakers. `python -m benchmarks.week --recorded FOLDER` plays the
recorded answers of a folder with an index.csv.
"""

import json
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

from overround.memory import limit_arenas

limit_arenas()  # as the command does, before anything is loaded

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import psutil  # type: ignore[import-untyped]  # noqa: E402
from pydantic import SecretStr  # noqa: E402

from benchmarks.pairs import race  # noqa: E402
from overround import Store  # noqa: E402
from overround.collection.poll_settings import PollSettings  # noqa: E402
from overround.collection.polled import Polled  # noqa: E402
from overround.collection.poller import poll  # noqa: E402
from overround.settings import Settings  # noqa: E402
from overround.sources import local_server  # noqa: E402
from overround.sources.the_odds_api.client import Offer  # noqa: E402

EVERY_S, WEEK = 30, 20_160
EVENTS, BOOKS = 40, 11
SPORT = "soccer_simulated"
START = datetime(2030, 3, 4, tzinfo=UTC)
# share of bookmakers' markets whose price differs from 30 s ago; the recorded World Cup has 36 changed prices
# in 10 minutes
MOVES = 0.003
# share of bookmakers that take a match off in 30 s, and of those away that come back
LEAVES, RETURNS = 0.0005, 0.02
_MATCH = timedelta(hours=2)


class Week:
    """Prices as a random walk: a pure function of the poll's number, as long as polls come in order."""

    def __init__(self) -> None:
        self._random, self._comings = np.random.default_rng(7), np.random.default_rng(8)
        self._n = -1
        self._events: list[list] = []
        self._next = 0

    def answer(self, n: int) -> tuple[datetime, bytes]:
        """Time and body of the n-th poll."""
        now = START + timedelta(seconds=EVERY_S * n)
        while self._n < n:
            self._n += 1
            self._move(START + timedelta(seconds=EVERY_S * self._n))
        return now, json.dumps([self._shown(one) for one in self._events]).encode()

    def _move(self, now: datetime) -> None:
        self._events = [one for one in self._events if one[1] > now - _MATCH]
        while len(self._events) < EVENTS:
            # the first events are spread over three days, each later one follows one that has ended
            ahead = timedelta(minutes=30 + 108 * self._next) if self._next < EVENTS else timedelta(days=3)
            prices = self._random.uniform(1.5, 6, (BOOKS, 3)).round(2)
            updated, there = np.full(BOOKS, now.timestamp()), np.ones(BOOKS, bool)
            self._events.append([self._next, now + ahead, prices, updated, there])
            self._next += 1
        for one in self._events:
            moved = np.flatnonzero(self._random.random(BOOKS) < MOVES)
            one[2][moved] = np.maximum(
                1.05, one[2][moved] + self._random.choice([-0.05, 0, 0.05], (len(moved), 3))
            ).round(2)
            # bookmakers confirm their prices all the time
            one[3][:] = now.timestamp() - 5
            turn = self._comings.random(BOOKS)
            one[4][:] = np.where(one[4], turn >= LEAVES, turn < RETURNS)

    def _shown(self, event: list) -> dict:
        number, kick_off, prices, updated, there = event
        teams = (f"Home {number}", "Draw", f"Away {number}")
        return {
            "id": f"event{number}",
            "sport_key": SPORT,
            "sport_title": "Simulated",
            "commence_time": _iso(kick_off),
            "home_team": teams[0],
            "away_team": teams[2],
            "bookmakers": [
                {
                    "key": f"book{b}",
                    "title": f"Book {b}",
                    "markets": [
                        {
                            "key": "h2h",
                            "last_update": int(updated[b]),
                            "outcomes": [
                                {"name": team, "price": float(price)}
                                for team, price in zip(teams, prices[b], strict=True)
                            ],
                        }
                    ],
                }
                for b in np.flatnonzero(there)
            ],
        }

    def scores(self, n: int) -> bytes:
        """Every event that is over, with a score."""
        now = START + timedelta(seconds=EVERY_S * n)
        over = [one for one in self._events if one[1] + timedelta(minutes=105) <= now]
        return json.dumps(
            [
                {
                    **{name: value for name, value in self._shown(one).items() if name != "bookmakers"},
                    "completed": True,
                    "last_update": _iso(now),
                    "scores": [{"name": f"{side} {one[0]}", "score": "1"} for side in ("Home", "Away")],
                }
                for one in over
            ]
        ).encode()


@dataclass
class Seen:
    """Measurements while polling, in arrays, so that they do not grow much themselves."""

    seconds: array = field(default_factory=lambda: array("d"))  # of each poll
    memory_mb: array = field(default_factory=lambda: array("d"))
    appends: array = field(default_factory=lambda: array("d"))  # seconds of each append of quotes


def main() -> None:
    """Play a tenth of a week, or the given number of polls."""
    words = sys.argv[1:]
    if words[:1] == ["--recorded"]:
        recorded(Path(words[1]))
        return
    polls = next((int(word) for word in words if word.isdecimal()), WEEK // 10)
    with tempfile.TemporaryDirectory() as folder:
        week(polls, Path(folder))
        shared(Path(folder) / "shared")


def week(polls: int, folder: Path) -> None:
    """Memory, append time and disk over a simulated week."""
    with provider() as url:
        seen, done, store = watched(polls, folder, url, clock=lambda n: START.timestamp() + EVERY_S * n)
    changes, second, last = done.inserted["quotes"], *_parts(seen.memory_mb, 7 if polls >= WEEK else 10)
    a, b, took = np.median(second), np.median(last), sum(seen.seconds)
    print(
        f"{polls:,} polls of {EVENTS} events at {BOOKS} bookmakers in {took:.0f} s, "
        f"median {1000 * np.median(seen.seconds):.0f} ms a poll"
    )
    part = "day" if polls >= WEEK else "tenth"
    print(
        f"memory, median: second {part} {a:.1f} MB, last {part} {b:.1f} MB, ratio {b / a:.3f} "
        "(goal: at most 1.05)"
    )
    tail = max(1, len(seen.appends) // 100)
    for name, value in (("mean", np.mean), ("median", np.median)):
        first, end = (1000 * value(some) for some in (seen.appends[:tail], seen.appends[-tail:]))
        print(
            f"append of quotes, {name}: first 1 % {first:.1f} ms, last 1 % {end:.1f} ms, "
            f"ratio {end / first:.2f} (goal: at most 1.5)"
        )
    print(f"{changes:,} price changes of {done.unchanged + changes:,} prices seen")
    for name in ("quotes", "standing", "events", "results", "requests", "measurements"):
        whole, live = _size(folder / "store" / name), _live(folder / "store" / name)
        print(
            f"disk, {name}: {whole / 1e6:.2f} MB, {whole / changes:.1f} bytes a change; "
            f"{live / changes:.1f} in the newest version"
        )
    kept = store.read("quotes")
    assert (
        len(kept) == changes
        and not kept.duplicated(["event_id", "bookmaker", "market", "outcome", "observed_at"]).any()
    )
    print(f"errors {done.errors}, parts set aside {done.set_aside}", flush=True)
    aged(store, Store(str(folder / "young")))


def aged(old: Store, young: Store) -> None:
    """Race an append to the week's store against one to a store of an hour, in turns."""
    minute = [0]

    def change(store: Store) -> None:
        at = datetime(2031, 1, 1, tzinfo=UTC) + timedelta(minutes=minute[0])
        minute[0] += 1
        store.append(
            "quotes",
            pd.DataFrame(
                {
                    "event_id": "event1",
                    "bookmaker": "book1",
                    "market": "h2h",
                    "line": np.nan,
                    "outcome": ["home", "draw", "away"],
                    "phase": "snapshot",
                    "observed_at": at,
                    "price": [1.5 + minute[0] % 7, 3.4, 4.0],
                    "collected_at": at,
                    "source": "benchmark",
                    "competition": SPORT,
                    "season": str(START.year),
                }
            ),
            changes_only=True,
        )

    for _ in range(120):
        change(young)
    race(
        "append of a change",
        {"store of an hour": lambda: change(young), "store of the week": lambda: change(old)},
        rounds=200,
    )


def _parts(values: array, number: int) -> tuple[array, array]:
    """The second and the last of a number of equal parts."""
    size = max(1, len(values) // number)
    return values[size : 2 * size], values[-size:]


def _live(folder: Path) -> int:
    from deltalake import DeltaTable

    return sum(
        Path(unquote(uri.removeprefix("file://"))).stat().st_size
        for uri in DeltaTable(str(folder)).file_uris()
    )


def shared(folder: Path) -> None:
    """Calls that reach the provider when two users of one cache poll in turn."""
    every_s, polls, made = 0.4, 20, []
    with provider() as url:
        settings = Settings(
            store=str(folder / "store"), cache=folder / "cache", odds_api_url=url, odds_api_key=SecretStr("k")
        )

        def user(name: str) -> None:
            made.append(
                poll(
                    [SPORT],
                    PollSettings(every_s=every_s, polls=polls, ttl=every_s * 0.9),
                    settings=settings,
                    store=Store(str(folder / name)),
                )
            )

        users = [Thread(target=user, args=(name,)) for name in ("one", "two")]
        for one in users:
            one.start()
            time.sleep(every_s / 4)
        for one in users:
            one.join()
    requests = sum(one.requests for one in made)
    calls = requests - sum(one.cache_hits for one in made)
    print(
        f"two users of a cache: {requests} polls, {calls} calls to the provider, "
        f"{100 * calls / requests:.0f} % (goal: at most 50 %)"
    )


def recorded(folder: Path) -> None:
    """Collect every recorded answer of a sport."""
    from overround.sources.replay import recorded_answers, replayed

    answers = recorded_answers(folder)
    with tempfile.TemporaryDirectory() as home, replayed(answers) as server:
        started = answers[0].at.timestamp()
        seen, done, _ = watched(
            len(answers),
            Path(home),
            server.url,
            clock=lambda n: started + EVERY_S * n,
            sport=folder.parent.name,
            offer=Offer(markets="h2h,totals", odds_format="american"),
        )
        size = _size(Path(home) / "store" / "quotes")
    print(f"{len(answers):,} answers in {sum(seen.seconds):.0f} s: {done}")
    print(f"{size / done.inserted['quotes']:.1f} bytes on disk a price change")


def watched(
    polls: int,
    folder: Path,
    url: str,
    clock: Callable[[int], float],
    sport: str = SPORT,
    offer: Offer | None = None,
) -> tuple[Seen, Polled, Store]:
    """Poll in simulated time, timing each poll and append."""
    seen, process, turn, began = Seen(), psutil.Process(), [0], [time.perf_counter()]

    class Watched(Store):
        def append(self, name, rows, **kind):
            before = time.perf_counter()
            done = super().append(name, rows, **kind)
            if name == "quotes":
                seen.appends.append(time.perf_counter() - before)
            return done

    def progress(_: Polled) -> None:
        seen.seconds.append(time.perf_counter() - began[0])
        began[0] = time.perf_counter()
        if turn[0] % 20 == 0:
            seen.memory_mb.append(process.memory_info().rss / 1e6)

    def sleep(_: float) -> None:
        turn[0] += 1

    store = Watched(str(folder / "store"))
    settings = Settings(
        store=store.root, cache=folder / "cache", odds_api_url=url, odds_api_key=SecretStr("k")
    )
    done = poll(
        [sport],
        PollSettings(every_s=EVERY_S, polls=polls, ttl=0, offer=offer or Offer()),
        settings=settings,
        store=store,
        clock=lambda: clock(turn[0]),
        sleep=sleep,
        progress=progress,
    )
    return seen, done, store


def provider() -> AbstractContextManager[str]:
    """The simulated provider in a process of its own, so that its work is not measured."""
    return local_server.started("benchmarks.week", ["--serve"], "the simulated week")


def serve() -> None:
    """Answer each call for odds with the next poll."""
    local_server.end_with_input()
    simulated, turn = Week(), [0]

    class Provider(local_server.Handler):
        def do_GET(self) -> None:
            n = turn[0]
            now, body = simulated.answer(n)
            if "/odds" in self.path:
                turn[0] += 1
            else:
                body = simulated.scores(n)
            self.send_response_only(200)
            for name, value in (
                ("Date", format_datetime(now, usegmt=True)),
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    local_server.serve(Provider)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
