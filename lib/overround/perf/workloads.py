"""Small pieces of the library's real work, each about a tenth of a second: what `overround perf` measures.

A workload is a context that gives the work, as a function without arguments, and its floor: the least work
that could give the same, or None. It uses public names only, so that older revisions of the library can do it
too.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

# loaded where it is used: a process that only spins is ready in a fraction of the time
if TYPE_CHECKING:
    import pandas as pd

Run = Callable[[], object]
Work = tuple[Run, Run | None]


@contextmanager
def spin(folder: Path, *, steps: int = 1_000_000) -> Iterator[Work]:
    """A loop and nothing else, to check the comparison itself."""

    def run() -> int:
        total = 0
        for number in range(steps):
            total += number & 7
        return total

    yield run, None


@contextmanager
def margin(folder: Path, *, markets: int = 200_000, method: str = "shin") -> Iterator[Work]:
    """Remove the margin of three-way markets; the floor is a copy of the prices."""
    import numpy as np

    import overround as ov

    fair = np.random.default_rng(1).dirichlet([6, 3.5, 4], markets)
    prices = 1 / (np.clip(fair, 0.01, 0.94) * 1.05)
    yield lambda: ov.remove_margin(prices, method), prices.copy


@contextmanager
def signals(folder: Path, *, matches: int = 30) -> Iterator[Work]:
    """Find value in the prices of 12 bookmakers, 20 times each; the floor is sorting them by time."""
    import overround as ov

    prices = quotes(matches)
    yield (
        lambda: ov.value_signals(prices, reference="book00", min_edge=0.01),
        lambda: prices.sort_values("observed_at", kind="stable"),
    )


@contextmanager
def backtest(folder: Path, *, bets: int = 20_000) -> Iterator[Work]:
    """Settle bets with a quarter of Kelly's stake; the floor is a sum over the bets in order."""
    import numpy as np

    import overround as ov

    wanted, results = book(bets)
    price = wanted["price"].to_numpy()
    yield (
        lambda: ov.backtest(wanted, results, stake=ov.Kelly(0.25), bankroll=1_000),
        lambda: np.cumprod(1 + 0.001 * price),
    )


@contextmanager
def evaluate(folder: Path, *, bets: int = 5_000, simulations: int = 500) -> Iterator[Work]:
    """Evaluate a ledger."""
    import overround as ov

    wanted, results = book(bets)
    ledger = ov.backtest(wanted, results, stake=ov.Flat(1), bankroll=1e9)
    yield lambda: ov.evaluate(ledger, simulations=simulations, seed=7), None


@contextmanager
def append(folder: Path, *, rows: int = 20_000) -> Iterator[Work]:
    """Store a batch of new quotes; the floor is a Parquet file of them, forced to the disk."""
    import pandas as pd
    import pyarrow.parquet as pq

    import overround as ov

    to_arrow = _first_of("schema", "tables").to_arrow

    store, batch, numbers = ov.Store(folder / "store"), quotes(rows // 36, times=1), count(1)

    def run() -> object:
        return store.append(
            "quotes", batch.assign(observed_at=batch["observed_at"] + pd.Timedelta(seconds=next(numbers)))
        )

    def floor() -> None:
        with (folder / "floor.parquet").open("wb") as file:
            pq.write_table(to_arrow("quotes", batch), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())

    yield run, floor


@contextmanager
def read(folder: Path, *, rows: int = 200_000) -> Iterator[Work]:
    """Read one season of four from the store."""
    import overround as ov

    store = ov.Store(folder / "store")
    for season in ("a", "b", "c", "d"):
        store.append("quotes", quotes(rows // 720 // 4).assign(season=season))
    yield lambda: store.read("quotes", {"season": "b"}), None


@contextmanager
def collect(folder: Path, *, workers: int = 4, latency_ms: float = 2.0) -> Iterator[Work]:
    """Collect a small simulated league over loopback, nothing of it in the cache."""
    Fetcher = _first_of("http.client", "fetch").Fetcher
    sample = _first_of("sources.sample.source", "sources.sample.market", "sources.sample")
    market, numbers = sample.Market(leagues=1, seasons=1, teams=4), count()
    with sample.serving(market, latency_s=latency_ms / 1000) as url:

        def run() -> dict[str, float]:
            secrets, began = {"apiKey": "simulated"}, time.perf_counter()
            with Fetcher(
                "sample", url, folder / f"cache{next(numbers)}", secrets=secrets, workers=workers
            ) as fetcher:
                for _ in sample.batches(fetcher, market):
                    pass
            could, waits = (
                workers * (time.perf_counter() - began),
                [row["latency_s"] for row in fetcher.requests],
            )
            return {
                "latency_ms": 1000 * median(waits),
                "calls": float(len(waits)),
                "thread_efficiency": min(1.0, sum(waits) / could),
                "workers": float(workers),
            }

        yield run, None


def _first_of(*names: str) -> Any:
    """The first of these modules of the library that exists: older revisions have other names."""
    for name in names[:-1]:
        with suppress(ImportError):
            return import_module(f"overround.{name}")
    return import_module(f"overround.{names[-1]}")


WORKLOADS: Mapping[str, Callable[..., AbstractContextManager[Work]]] = {
    work.__name__: work for work in (spin, margin, signals, backtest, evaluate, append, read, collect)
}


# which module of the library each is of
MODULES: Mapping[str, str] = {
    "collect": "collector",
    "append": "collector",
    "read": "collector",
    "margin": "signals",
    "signals": "signals",
    "backtest": "backtest",
    "evaluate": "backtest",
    "spin": "overall",
}


BOOK_SEED = 1  # of the results that `book` draws


def quotes(matches: int, *, books: int = 12, times: int = 20) -> "pd.DataFrame":
    """Three-way prices that drift, `books` x `times` x 3 of each match; the first bookmaker is sharp."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(2)
    start = pd.Timestamp("2025-01-04 15:00", tz="UTC")
    fair = rng.dirichlet([6, 3.5, 4], matches)
    drift = rng.normal(0, 0.02, (matches, times, 1, 3)).cumsum(axis=1) + rng.normal(
        0, 0.03, (matches, times, books, 3)
    )
    chance = np.clip(fair[:, None, None, :], 0.02, 0.95) * np.exp(drift)
    price = 1 / (chance / chance.sum(axis=-1, keepdims=True) * np.linspace(1.02, 1.08, books)[:, None])
    match, at, book, outcome = (index.ravel() for index in np.indices(price.shape))
    observed = start + pd.to_timedelta(match // 10, unit="D") - pd.to_timedelta(24 * 60 - 60 * at, unit="min")
    observed = observed.astype("datetime64[us, UTC]")
    return pd.DataFrame(
        {
            "event_id": np.array([f"{n:016x}" for n in range(matches)])[match],
            "bookmaker": np.array([f"book{n:02}" for n in range(books)])[book],
            "market": "h2h",
            "line": np.nan,
            "outcome": np.array(["home", "draw", "away"])[outcome],
            "phase": "snapshot",
            "observed_at": observed,
            "price": np.round(np.maximum(price.ravel(), 1.01), 2),
            "collected_at": observed,
            "source": "workload",
            "competition": "L1",
            "season": "x",
            "starts_at": (start + pd.to_timedelta(match // 10, unit="D")).astype("datetime64[us, UTC]"),
        }
    )


def book(bets: int) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """One bet on each of a number of matches, twenty an hour, and their results."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(BOOK_SEED)
    chance = rng.uniform(0.2, 0.7, bets)
    start = pd.Timestamp("1990-01-01 15:00", tz="UTC") + pd.to_timedelta(np.arange(bets) // 20, unit="h")
    start = start.astype("datetime64[us, UTC]")
    event = np.array([f"{number:016x}" for number in range(bets)])
    same: dict[str, Any] = {"competition": "L1", "season": "x"}
    wanted = pd.DataFrame(
        {
            "event_id": event,
            "market": "h2h",
            "line": np.nan,
            "outcome": "home",
            "side": "back",
            "bookmaker": "b",
            "price": 1.01 / chance,
            "probability": chance,
            "edge": 0.01,
            "placed_at": start - pd.Timedelta(hours=2),
            "strategy": "s",
            "starts_at": start,
            **same,
        }
    )
    won = (rng.random(bets) < chance).astype(float)
    results = pd.DataFrame(
        {
            "event_id": event,
            "home_score": won,
            "away_score": 1 - won,
            "status": "final",
            "settled_at": pd.Series(pd.NaT, range(bets), "datetime64[us, UTC]"),
            **same,
        }
    )
    return wanted, results
