"""Fetching: cache hits against a bare table and the network; slow URLs in turn, in a pool, by aiohttp."""

import asyncio
import json
import logging
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.pairs import race
from overround.http.client import FOREVER, Fetcher
from overround.sources import local_server as loopback

URLS, LATENCY_S, WORKERS = 200, 0.05, 16
KB = 1024


def main() -> None:
    """Race hits of 1 KB, 200 KB and 2 MB, then 200 URLs of 50 ms."""
    logging.getLogger("overround").setLevel(logging.ERROR)
    with (
        TemporaryDirectory() as folder,
        loopback.started("benchmarks.fetch", ["serve"], "the answers") as url,
    ):
        for size, repeats in ((KB, 200), (200 * KB, 20), (2000 * KB, 3)):
            hits(url, Path(folder), size, repeats)
        many(url, Path(folder))


def hits(url: str, folder: Path, size: int, repeats: int) -> None:
    """Race one parsed answer of `size` bytes: from a bare table, from the cache, from the network."""
    with (
        Fetcher("bench", url, folder, workers=WORKERS) as fetcher,
        closing(sqlite3.connect(folder / f"bare-{size}.sqlite")) as bare,
    ):
        path = f"{size}/0"
        content = fetcher.get(path).content
        bare.execute("CREATE TABLE bare (key TEXT PRIMARY KEY, value BLOB)")
        bare.execute("INSERT INTO bare VALUES (?, ?)", (path, content))
        bare.commit()

        def floor() -> None:
            for _ in range(repeats):
                json.loads(bare.execute("SELECT value FROM bare WHERE key = ?", (path,)).fetchone()[0])

        def get(ttl: float) -> Callable[[], None]:
            def work() -> None:
                for _ in range(repeats):
                    json.loads(fetcher.get(path, ttl=ttl).content)

            return work

        title = f"{repeats} answers of {size // KB:,} KB, read and parsed"
        race(title, {"sqlite3 and json": floor, "hit in the cache": get(FOREVER), "network": get(0)})


def many(url: str, folder: Path) -> None:
    """Race 200 URLs of 50 ms, none of them in the cache."""
    numbers = iter(range(1_000_000))  # every round asks what nobody asked before

    def calls() -> list[tuple[str, dict]]:
        return [(f"slow/{next(numbers)}", {}) for _ in range(URLS)]

    async def by_aiohttp() -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=WORKERS)) as session:

            async def one(path: str) -> bytes:
                async with session.get(f"{url}/{path}") as response:
                    return await response.read()

            await asyncio.gather(*(one(path) for path, _ in calls()))

    with Fetcher("bench", url, folder, workers=WORKERS) as fetcher:
        race(
            f"{URLS} URLs of {LATENCY_S * 1000:.0f} ms, {WORKERS} at a time, answers stored in the cache "
            "(aiohttp stores nothing)",
            {
                "aiohttp": lambda: asyncio.run(by_aiohttp()),
                "get_many": lambda: list(fetcher.get_many(calls())),
                "get, one by one": lambda: [fetcher.get(path) for path, _ in calls()],
            },
            rounds=3,
        )


class _Handler(loopback.Handler):
    """Answers /SIZE/... with SIZE bytes of odds at once, and /slow/... with 2 KB after 50 ms."""

    bodies: dict[str, bytes] = {}  # noqa: RUF012 (shared by all connections on purpose)

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        if kind == "slow":
            time.sleep(LATENCY_S)
        body = self.bodies.get(kind) or self.bodies.setdefault(
            kind, odds(2 * KB if kind == "slow" else int(kind))
        )
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)


def odds(size: int) -> bytes:
    """About `size` bytes of JSON that look like an answer with odds."""
    price = {
        "key": "somebook",
        "last_update": "2024-08-17T12:00:00Z",
        "outcomes": [{"name": "Some Team", "price": 2.35}] * 3,
    }
    return json.dumps([price] * max(1, size // len(json.dumps(price)))).encode()


def serve() -> None:
    """Serve until standard input closes."""
    loopback.end_with_input()
    loopback.serve(_Handler)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
