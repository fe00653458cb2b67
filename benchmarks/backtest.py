"""The whole backtest (settlement, order of time, tied-up money, full ledger) against a bare compiled loop that knows only a stake."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from numba import njit

from benchmarks.pairs import race
from overround import Flat, Kelly, backtest


@njit(cache=True)
def bare_loop(price: np.ndarray, won: np.ndarray, share: np.ndarray) -> float:
    """Bankroll after betting a share of it on one bet after the other."""
    bankroll = 1000.0
    for i in range(len(price)):
        stake = share[i] * bankroll
        bankroll += stake * (price[i] - 1) if won[i] else -stake
    return bankroll


def main() -> None:
    """Race flat and Kelly books of 10 k, 100 k and 1 M bets."""
    for n in (10_000, 100_000, 1_000_000):
        signals, results = book(n)
        price, share = signals["price"].to_numpy(), np.full(n, 0.001)
        won = results["home_score"].to_numpy() > results["away_score"].to_numpy()
        contenders: dict[str, Callable[[], object]] = {
            "bare loop": partial(bare_loop, price, won, share),
            "backtest, flat": partial(backtest, signals, results, stake=Flat(1), bankroll=1e9),
            "backtest, Kelly": partial(backtest, signals, results, stake=Kelly(0.25)),
        }
        race(f"backtest of {n:,} bets", contenders, rounds=3)


def book(n: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One bet on each of n matches, twenty a day."""
    rng = np.random.default_rng(1)
    p = rng.uniform(0.2, 0.7, n)
    start = pd.Timestamp("1990-01-01 15:00", tz="UTC") + pd.to_timedelta(np.arange(n) // 20, unit="h")
    start = start.astype("datetime64[us, UTC]")
    event = np.array([f"{i:016x}" for i in range(n)])
    same = {"competition": "L1", "season": "x"}
    signals = pd.DataFrame({
        "event_id": event, "market": "h2h", "line": np.nan, "outcome": "home", "side": "back", "bookmaker": "b", "price": 1.01 / p,
        "probability": p, "edge": 0.01, "placed_at": start - pd.Timedelta(hours=2), "strategy": "s", "starts_at": start, **same,
    })  # fmt: skip
    home = (rng.random(n) < p).astype(float)
    results = pd.DataFrame({"event_id": event, "home_score": home, "away_score": 0.0, "status": "final",
                            "settled_at": pd.Series(pd.NaT, range(n), "datetime64[us, UTC]"), **same})  # fmt: skip
    return signals, results
