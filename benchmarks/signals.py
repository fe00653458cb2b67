"""Signals over a million quotes (50 k matches x 20 prices) against one pandas groupby over the same rows."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from benchmarks.pairs import race
from overround import arbitrage_signals, value_signals
from overround.prices import steam_moves
from overround.signals import seed_signals

MATCHES = 50_000
BOOKMAKERS = ("pinnacle", "bet365", "betfair_exchange", "williamhill")
# bookmakers with prices at each poll: 4 + 3 of three outcomes, less one away price that has not changed: 20
POLLS = ((0, 1, 2, 3), (0, 1, 2))


def main() -> None:
    """Race the signals on text, and as the store gives them: encoded."""
    quotes = market(MATCHES)
    words = ["event_id", "bookmaker", "market", "outcome", "phase", "competition", "season"]
    coded = quotes.astype(dict.fromkeys(words, "category"))
    contenders: dict[str, Callable[[], object]] = {
        "pandas groupby-max": partial(best_prices, quotes),
        "value, sharp": partial(value_signals, quotes, "pinnacle"),
        "value, consensus": partial(value_signals, quotes, "consensus"),
        "value, sharp, categories": partial(value_signals, coded, "pinnacle"),
        "arbitrage": partial(arbitrage_signals, quotes),
        "seed rule": partial(seed_signals, quotes),
        "steam": partial(steam_moves, quotes),
    }
    race(f"signals, {len(quotes):,} quotes of {MATCHES:,} matches", contenders, rounds=5)


def best_prices(quotes: pd.DataFrame) -> pd.Series:
    """Best price of each selection, whenever and wherever it was shown."""
    return quotes.groupby(["event_id", "market", "outcome"], sort=False)["price"].max()


def market(matches: int) -> pd.DataFrame:
    """Snapshots of two polls, ten minutes apart, in the order in which a collector stores them."""
    rng = np.random.default_rng(1)
    fair = rng.dirichlet([6, 3.5, 4], matches) * 0.85 + 0.05
    start = pd.Timestamp("2000-01-01 15:00", tz="UTC") + pd.to_timedelta(np.arange(matches) // 20, unit="h")
    start = start.astype("datetime64[us, UTC]")
    event = pd.Series([f"{i:032x}" for i in rng.permutation(matches)])
    parts = []
    for poll, books in enumerate(POLLS):
        fair = fair * np.exp(rng.normal(0, 0.03 * poll, fair.shape))
        seen = start - pd.Timedelta(hours=2) + pd.Timedelta(minutes=10 * poll)
        for book in books:
            noisy = fair * np.exp(rng.normal(0, 0.015 + 0.01 * book, fair.shape))
            price = np.round(1 / (noisy / noisy.sum(axis=1, keepdims=True) * (1.02 + 0.012 * book)), 2)
            for slot, outcome in enumerate(("home", "draw", "away")):
                if (poll, book, slot) == (1, 2, 2):
                    continue
                parts.append(
                    pd.DataFrame(
                        {
                            "event_id": event,
                            "bookmaker": BOOKMAKERS[book],
                            "market": "h2h",
                            "line": np.nan,
                            "outcome": outcome,
                            "phase": "snapshot",
                            "observed_at": seen - pd.Timedelta(seconds=5),
                            "price": np.maximum(price[:, slot], 1.01),
                            "collected_at": seen,
                            "source": "benchmark",
                            "competition": "L1",
                            "season": "x",
                            "starts_at": start,
                        }
                    )
                )
    rows = pd.concat(parts, ignore_index=True)
    return rows.sort_values("collected_at", kind="stable", ignore_index=True)
