"""The simulated week with faults at random, three readers and a backtest beside it: what is lost or doubled, whether memory stays flat.

`python -m benchmarks.soak [POLLS]` plays POLLS polls (a week, 20,160, by default) of `benchmarks.week`. One call in twenty fails: a reset
connection, an answer that breaks off, half a JSON document, 429, 500, silence. Afterwards the store is held against a naive reading of the
answers that were delivered whole. Exit status 1 where a row is lost, doubled or wrong, a reader saw less than before, or memory grew.
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
from http.server import ThreadingHTTPServer
from pathlib import Path

from overround.lean import lean

lean()  # as the command does, before anything is loaded

import numpy as np  # noqa: E402

from benchmarks.week import EVERY_S, START, WEEK, Week, watched  # noqa: E402
from overround import Store  # noqa: E402
from overround.sources.loopback import Handler, end_with_input, started  # noqa: E402

FAULTS = ("reset", "broken off", "half a document", "busy", "error")
SHARE = 0.05
SILENCE = 0.02  # of the faults, where asked for: each costs the half minute that silence is waited for
MEMORY_MB, MEMORY_RATIO = 25.0, 1.05  # that the last tenth may take more than the second
LEAST_POLLS = 2_000  # from which on memory is judged
Row = tuple[str, str, str, int, float]


@dataclass(frozen=True)
class Soaked:
    """What a soak found; `lost`, `extra` and `doubled` are rows of quotes, `memory_mb` medians of the second and the last tenth."""

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
    damage: list[str]

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, doubled, torn or damaged, and memory stayed flat (from 2,000 polls on)."""
        before, after = self.memory_mb
        # in the first hundreds of polls libraries are still being loaded and heaps filled for the first time
        flat = self.polls < LEAST_POLLS or after <= max(before * MEMORY_RATIO, before + MEMORY_MB)
        return flat and not (self.lost or self.extra or self.doubled or self.went_back or self.torn or self.damage)


def main() -> None:
    """Play a week, or as many polls as are named."""
    polls = next((int(word) for word in sys.argv[1:] if word.isdecimal()), WEEK)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = soak(polls, Path(folder), silence=SILENCE)
    print(f"{found}\n{time.perf_counter() - began:.0f} s; {'nothing is wrong' if found.ok else 'SOMETHING IS WRONG'}", flush=True)
    sys.exit(not found.ok)


def soak(polls: int, folder: Path, *, readers: int = 3, silence: float = 0.0, seed: int = 11) -> Soaked:
    """Play so many polls; everything is left in the folder."""
    ended, delivered = folder / "ended", folder / "delivered.txt"
    root = str(folder / "store")
    with _provider(delivered, seed, silence) as url, _others(readers, root, ended) as others:
        try:
            seen, done, store = watched(polls, folder, url, clock=lambda n: START.timestamp() + EVERY_S * n)
        finally:
            ended.touch()
        said = [json.loads(other.communicate(timeout=300)[0].splitlines()[-1]) for other in others]
    lines = [line.split(" ", 1) for line in delivered.read_text().splitlines()]
    faults = {kind: sum(1 for word, what in lines if word == "fault" and what == kind) for kind in (*FAULTS, "silence")}
    expected = changes([int(what) for word, what in lines if word == "whole"])
    quotes = store.read("quotes")
    times = quotes["observed_at"].dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[s]").astype("int64")
    stored: list[Row] = list(zip(quotes["event_id"], quotes["bookmaker"], quotes["outcome"], times, quotes["price"], strict=True))
    tenth = max(1, len(seen.memory_mb) // 10)
    memory = [float(np.median(part)) for part in (seen.memory_mb[tenth : 2 * tenth] or seen.memory_mb, seen.memory_mb[-tenth:])]
    return Soaked(
        polls=done.polls, faults=faults, errors=done.errors, rows=len(stored), lost=len(expected - set(stored)),
        extra=len(set(stored) - expected), doubled=len(stored) - len(set(stored)), memory_mb=(memory[0], memory[1]),
        reads=[one["reads"] for one in said[:readers]], went_back=sum(one["went_back"] for one in said[:readers]),
        torn=sum(one["torn"] for one in said[:readers]), backtests=said[-1]["reads"],
        damage=store.check().query("what != 'orphan file'")["what"].tolist(),
    )  # fmt: skip


def changes(answers: list[int]) -> set[Row]:
    """What a naive reading of these answers, in their order, says must be stored: each price where it differs from the one before."""
    week, rows = Week(), set()
    standing: dict[tuple, float] = {}
    for n in answers:
        for event in json.loads(week.answer(n)[1]):
            side = {event["home_team"]: "home", event["away_team"]: "away", "Draw": "draw"}
            for book in event["bookmakers"]:
                market = book["markets"][0]
                for outcome in market["outcomes"]:
                    key = event["id"], book["key"], side[outcome["name"]]
                    if standing.get(key) != outcome["price"]:
                        standing[key] = outcome["price"]
                        rows.add((*key, market["last_update"], outcome["price"]))
    return rows


def read_until(root: str, ended: Path) -> None:
    """Read again and again: never less than before, nothing twice, no price of an unknown event."""
    store, reads, went_back, torn, before = Store(root), 0, 0, 0, 0
    while not ended.exists():
        quotes = store.read("quotes", columns=["event_id", "bookmaker", "outcome", "observed_at"])
        # read after the quotes: events are written first
        events = set(store.read("events", columns=["event_id"])["event_id"])
        reads, went_back, before = reads + 1, went_back + (len(quotes) < before), len(quotes)
        torn += bool(quotes.duplicated().any()) or not set(quotes["event_id"]) <= events
        time.sleep(0.2)
    print(json.dumps({"reads": reads, "went_back": went_back, "torn": torn}))


def backtest_until(root: str, ended: Path) -> None:
    """Bet on what is stored, again and again."""
    import overround as ov

    store, reads = Store(root), 0
    while not ended.exists():
        quotes, results = store.read("quotes"), store.read("results")
        if len(results):
            signals = ov.value_signals(quotes, reference="book0", max_edge=10.0)
            ov.backtest(signals[signals["event_id"].isin(results["event_id"])], results)
            reads += 1
        time.sleep(0.5)
    print(json.dumps({"reads": reads}))


@contextmanager
def _others(readers: int, root: str, ended: Path) -> Iterator[list[subprocess.Popen]]:
    words = ["--read"] * readers + ["--backtest"]
    command = [sys.executable, "-m", "benchmarks.soak"]
    others = [subprocess.Popen([*command, word, root, str(ended)], stdout=subprocess.PIPE, text=True) for word in words]
    try:
        yield others
    finally:
        for other in others:
            other.kill()
            other.communicate()


def _provider(delivered: Path, seed: int, silence: float) -> AbstractContextManager[str]:
    return started("benchmarks.soak", ["--serve", str(delivered), str(seed), str(silence)], "the week with faults")


def serve(delivered: Path, seed: int, silence: float) -> None:
    """Answer each call for odds with the next poll, or with a fault; note which answers went out whole."""
    end_with_input()
    week, turn, chance, notes = Week(), [0], random.Random(seed), delivered.open("w", buffering=1)  # noqa: S311

    class Provider(Handler):
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
            self.send_header("Content-Length", str(len(body) if fault == "broken off" else len(sent)))
            self.end_headers()
            self.wfile.write(sent)
            self.wfile.flush()
            self.close_connection = fault == "broken off"
            if odds and not fault:
                notes.write(f"whole {turn[0]}\n")
                turn[0] += 1

    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--serve", file, seed, silence]:
            serve(Path(file), int(seed), float(silence))
        case ["--read", root, ended]:
            read_until(root, Path(ended))
        case ["--backtest", root, ended]:
            backtest_until(root, Path(ended))
        case _:
            main()
