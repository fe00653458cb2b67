"""The simulated week with random faults, three readers, a backtest and a sweep: no row lost, memory flat.

`python -m benchmarks.soak [POLLS]` plays POLLS polls (a week, 20,160, by default) of `benchmarks.week`. One
call in twenty fails: a reset connection, an answer that breaks off, half a JSON document, 429, 500, silence.
Afterwards the store is held against a naive reading of the answers that were delivered whole. Exit status 1
where a row is lost, doubled or wrong, a reader saw less than before, or memory grew.
"""

import json
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from pathlib import Path

from overround.http.dates import RECORDED
from overround.memory import limit_arenas

limit_arenas()  # as the command does, before anything is loaded

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from benchmarks.week import EVERY_S, START, WEEK, Week, watched  # noqa: E402
from overround import Store  # noqa: E402
from overround.perf.workloads import quotes  # noqa: E402
from overround.sources import local_server as loopback  # noqa: E402

FAULTS = ("reset", "broken off", "half a document", "busy", "error")
PAST = "past"  # the source of matches that are over
SHARE = 0.05
SILENCE = 0.02  # of the faults, where asked for: each costs the half minute that silence is waited for
MEMORY_MB, MEMORY_RATIO = 25.0, 1.05  # that the last tenth may take more than the second
LEAST_POLLS = 2_000  # from which on memory is judged
Row = tuple[str, str, str, int, float]


@dataclass(frozen=True)
class Soaked:
    """Findings: `lost`, `extra`, `doubled` quotes; `memory_mb`, medians of the second and last tenth."""

    polls: int
    faults: dict[str, int]
    errors: int
    rows: int
    lost: int
    extra: int
    doubled: int
    memory_mb: tuple[float, float]
    reads: list[int]  # of each reader
    went_back: int  # reads that saw less than the one before
    torn: int  # reads that saw a row twice, or a price of no event
    backtests: int
    sweeps: int
    swept_bets: int  # of the last sweep
    unlike: (
        int  # sweeps that found other numbers of the same version, or of the matches that were over before
    )
    damage: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, doubled, torn or damaged, and (from 2,000 polls on) memory is flat."""
        before, after = self.memory_mb
        # in the first hundreds of polls libraries are still being loaded and heaps grow for the first time
        flat = self.polls < LEAST_POLLS or after <= max(before * MEMORY_RATIO, before + MEMORY_MB)
        return flat and not (
            self.lost
            or self.extra
            or self.doubled
            or self.went_back
            or self.torn
            or self.unlike
            or self.damage
        )


def main() -> None:
    """Play a week, or the given number of polls."""
    polls = next((int(word) for word in sys.argv[1:] if word.isdecimal()), WEEK)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = soak(polls, Path(folder), silence=SILENCE)
    print(
        f"{found}\n{time.perf_counter() - began:.0f} s; "
        f"{'nothing is wrong' if found.ok else 'SOMETHING IS WRONG'}",
        flush=True,
    )
    sys.exit(not found.ok)


def soak(polls: int, folder: Path, *, readers: int = 3, silence: float = 0.0, seed: int = 11) -> Soaked:
    """Play a number of polls; everything is left in the folder."""
    ended, delivered = folder / "ended", folder / "delivered.txt"
    root = str(folder / "store")
    history(Store(root))
    with _provider(delivered, seed, silence) as url, _others(readers, root, ended) as others:
        try:
            seen, done, store = watched(polls, folder, url, clock=lambda n: START.timestamp() + EVERY_S * n)
        finally:
            ended.touch()
        said = [json.loads(other.communicate(timeout=300)[0].splitlines()[-1]) for other in others]
    lines = [line.split(" ", 1) for line in delivered.read_text().splitlines()]
    faults = {
        kind: sum(1 for word, what in lines if word == "fault" and what == kind)
        for kind in (*FAULTS, "silence")
    }
    expected = changes([int(what) for word, what in lines if word == "whole"])
    live = store.read("quotes").query("source != @PAST")
    times = (
        live["observed_at"].dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[s]").astype("int64")
    )
    stored: list[Row] = list(
        zip(live["event_id"], live["bookmaker"], live["outcome"], times, live["price"].fillna(0), strict=True)
    )
    tenth = max(1, len(seen.memory_mb) // 10)
    memory = [
        float(np.median(part))
        for part in (seen.memory_mb[tenth : 2 * tenth] or seen.memory_mb, seen.memory_mb[-tenth:])
    ]
    return Soaked(
        polls=done.polls,
        faults=faults,
        errors=done.errors,
        rows=len(stored),
        lost=len(expected - set(stored)),
        extra=len(set(stored) - expected),
        doubled=len(stored) - len(set(stored)),
        memory_mb=(memory[0], memory[1]),
        reads=[one["reads"] for one in said[:readers]],
        went_back=sum(one["went_back"] for one in said[:readers]),
        torn=sum(one["torn"] for one in said[:readers]),
        backtests=said[readers]["reads"],
        sweeps=said[-1]["reads"],
        swept_bets=said[-1]["bets"],
        unlike=said[-1]["unlike"],
        damage=store.check().query("what != 'orphan file'")["what"].tolist(),
    )


def changes(answers: list[int]) -> set[Row]:
    """Rows to be stored by a naive reading of these answers: each price that differs from the last.

    0 stands for none any more, before kick-off.
    """
    week, rows = Week(), set()
    standing: dict[tuple, float] = {}
    begun: set[str] = set()
    for n in answers:
        at, body = week.answer(n)
        shown = set()
        for event in json.loads(body):
            if event["commence_time"] <= f"{at:%Y-%m-%dT%H:%M:%SZ}":
                begun.add(event["id"])
            side = {event["home_team"]: "home", event["away_team"]: "away", "Draw": "draw"}
            for book in event["bookmakers"]:
                market = book["markets"][0]
                for outcome in market["outcomes"]:
                    key = event["id"], book["key"], side[outcome["name"]]
                    shown.add(key)
                    if standing.get(key) != outcome["price"]:
                        standing[key] = outcome["price"]
                        rows.add((*key, market["last_update"], outcome["price"]))
        for key in standing.keys() - shown:
            if key[0] not in begun and standing[key]:
                standing[key] = 0.0
                rows.add((*key, int(at.timestamp()), 0.0))
    return rows


def history(store: Store) -> None:
    """Store matches that are over, so that there is something to bet on from the first poll on."""
    prices = quotes(40, books=6, times=4).assign(source=PAST)
    matches = prices.drop_duplicates("event_id")[["event_id", "competition", "season", "starts_at"]]
    store.append(
        "events",
        matches.assign(
            sport="soccer", time_known=True, home="Home " + matches["event_id"], away="Away", source=PAST
        ),
    )
    store.append("quotes", prices.drop(columns="starts_at"))
    goals = np.random.default_rng(5).poisson(1.4, (len(matches), 2)).astype(float)
    over = {
        "home_score": goals[:, 0],
        "away_score": goals[:, 1],
        "status": "final",
        "settled_at": matches["starts_at"],
    }
    store.append("results", matches.assign(**over))


def read_until(root: str, ended: Path) -> None:
    """Read repeatedly: never fewer rows than before, no duplicates, no price of an unknown event."""
    store, reads, went_back, torn, before = Store(root), 0, 0, 0, 0
    while not ended.exists():
        prices = store.read("quotes", columns=["event_id", "bookmaker", "outcome", "observed_at"])
        # read after the quotes: events are written first
        events = set(store.read("events", columns=["event_id"])["event_id"])
        reads, went_back, before = reads + 1, went_back + (len(prices) < before), len(prices)
        torn += bool(prices.duplicated().any()) or not set(prices["event_id"]) <= events
        time.sleep(0.2)
    print(json.dumps({"reads": reads, "went_back": went_back, "torn": torn}))


def backtest_until(root: str, ended: Path) -> None:
    """Bet on the stored prices, repeatedly."""
    import overround as ov

    store, reads = Store(root), 0
    while not ended.exists():
        prices, results = store.read("quotes"), store.read("results")
        signals = pd.concat(
            [ov.value_signals(prices, reference=one, max_edge=10.0) for one in ("book0", "book00")]
        )
        ov.backtest(signals[signals["event_id"].isin(results["event_id"])], results)
        reads += 1
        time.sleep(0.5)
    print(json.dumps({"reads": reads}))


def sweep_until(root: str, ended: Path) -> None:
    """Sweep twelve variants repeatedly, each sweep twice on the same version while rows keep arriving."""
    import overround as ov

    store, reads, unlike, bets, past = Store(root), 0, 0, 0, None
    space = {
        "reference": ["book0", "book00"],
        "min_edge": [0.0, 0.02],
        "max_edge": 10.0,
        "staking": ["flat", "percentage", "kelly"],
    }
    while not reads or not ended.exists():  # once at least, however slow the machine
        version = store.version()
        first, again = (
            ov.sweep(store, space, settings=ov.sweeps.SweepSettings(simulations=100), version=version).table
            for _ in range(2)
        )
        # this reference is quoted only in past matches, whose rows no longer change
        of_past = first.loc[first["reference"] == "book00", ["bets", "staked", "profit", "final_bankroll"]]
        unlike += not (first.equals(again) and (past is None or of_past.equals(past)))
        reads, bets, past = reads + 1, int(first["bets"].sum()), of_past
        time.sleep(0.5)
    print(json.dumps({"reads": reads, "unlike": unlike, "bets": bets}))


@contextmanager
def _others(readers: int, root: str, ended: Path) -> Iterator[list[subprocess.Popen]]:
    words = ["--read"] * readers + ["--backtest", "--sweep"]
    command = [sys.executable, "-m", "benchmarks.soak"]
    others = [
        subprocess.Popen([*command, word, root, str(ended)], stdout=subprocess.PIPE, text=True)
        for word in words
    ]
    try:
        yield others
    finally:
        for other in others:
            other.kill()
            other.communicate()


def _provider(delivered: Path, seed: int, silence: float) -> AbstractContextManager[str]:
    return loopback.started(
        "benchmarks.soak", ["--serve", str(delivered), str(seed), str(silence)], "the week with faults"
    )


def serve(delivered: Path, seed: int, silence: float) -> None:
    """Answer each call for odds with the next poll, or with a fault; note which answers went out whole."""
    loopback.end_with_input()
    week, turn, notes = Week(), [0], delivered.open("w", buffering=1)
    chance = random.Random(seed)  # noqa: S311

    class Provider(loopback.Handler):
        def do_GET(self) -> None:
            now, body = week.answer(turn[0])
            odds = "/odds" in self.path
            body = body if odds else week.scores(turn[0])
            fault = chance.choice(FAULTS) if chance.random() < SHARE else ""
            if fault and chance.random() < silence:
                fault = "silence"
            if fault:
                notes.write(f"fault {fault}\n")
            if fault == "silence":
                time.sleep(32)
            if fault in ("reset", "silence"):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            status = {"busy": 429, "error": 500}.get(fault, 200)
            sent = b"{}" if status != 200 else body[: len(body) // 2] if fault else body
            self.send_response_only(status)
            self.send_header("Date", format_datetime(now, usegmt=True))
            self.send_header(RECORDED, "yes")
            self.send_header("Content-Length", str(len(body) if fault == "broken off" else len(sent)))
            self.end_headers()
            self.wfile.write(sent)
            self.wfile.flush()
            self.close_connection = fault == "broken off"
            if odds and not fault:
                notes.write(f"whole {turn[0]}\n")
                turn[0] += 1

    loopback.serve(Provider)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", file, seed, silence]:
            serve(Path(file), int(seed), float(silence))
        case ["--read", root, ended]:
            read_until(root, Path(ended))
        case ["--backtest", root, ended]:
            backtest_until(root, Path(ended))
        case ["--sweep", root, ended]:
            sweep_until(root, Path(ended))
        case _:
            main()
