"""What a sweep costs: 1,000 variants of 100 k bets each, all figures, corrected, beside peers that do less.

Peers play their bets (vectorbt also knows return and drawdown): no closing line, luck or correction. None
takes a second variant along but vectorbt, as columns. Each is timed at a size that it can bear; what all
variants would take it is that in proportion, not measured.
"""

import logging
import os
import statistics
import time
import warnings
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.backtest import MODULES, _bars, peer_work
from overround import Flat, backtest, sweep
from overround.measure.procfs import peak_mb, reset_peak
from overround.sweeps import Sweep

BETS, VARIANTS = 100_000, 1_000
A_DAY, ROUNDS = 20, 3
ALL = "stakes, all bets by each"
# bets of the one variant that is timed; and vectorbt's columns, of which fifty take 5 GB
BEARS = {"penaltyblog": 2_000, "backtestbuddy": 10_000, "backtesting.py": 20_000, "sports-betting": 100_000}
COLUMNS = 10


def main() -> None:
    """Measure two spaces of 1,000 variants, one of 10,000, what memory they take, and the peers."""
    warnings.simplefilter("ignore")
    logging.disable()
    os.environ["TQDM_DISABLE"] = "1"  # peers show their progress
    ledger, signals, won = book(BETS)
    print(
        f"\nsweep of {VARIANTS:,} variants over {BETS:,} bets on {BETS // A_DAY:,} days, "
        f"all figures, corrected; {os.cpu_count()} cores"
    )
    sweep(ledger, {"min_edge": [0.0, 0.01]})  # compiles
    took = {
        name: [timed(name, ledger, space) for _ in range(ROUNDS)] for name, space in spaces(VARIANTS).items()
    }
    wall, cpu = (statistics.median(column) for column in zip(*took[ALL], strict=True))
    many = timed(f"{ALL}, 10 x the variants", ledger, stakes(10 * VARIANTS))
    print(
        f"  10 x the variants cost {many[0] / wall:.1f} x the wall time "
        f"and {many[1] / cpu:.1f} x the CPU seconds"
    )
    print(f"  load of the machine, of this and of others: {Path('/proc/loadavg').read_text().split()[0]}")
    peers(signals, won, wall)


def stakes(n: int) -> dict[str, Any]:
    """All bets by each variant: they differ in Kelly's fraction, and none is ruined."""
    return {"staking": [f"kelly:{fraction}" for fraction in np.linspace(0.0005, 0.01, n)]}


def spaces(n: int) -> dict[str, dict[str, Any]]:
    """Each of `n` variants: those that bet all, and those that choose their bets."""
    edges, prices, rules = n // 40, 10, ["flat:1", "kelly:0.005", "kelly:0.01", "percentage:0.001"]
    grid = {
        "min_edge": list(np.linspace(0, 0.06, edges)),
        "max_price": list(np.linspace(2.5, 5, prices)),
        "staking": rules,
    }
    return {ALL: stakes(n), "grid of thresholds and stakings": grid}


def timed(name: str, ledger: pd.DataFrame, space: Mapping[str, Any]) -> tuple[float, float]:
    """Wall and CPU seconds of a sweep; its bets and its memory are printed."""
    reset_peak()
    began, began_cpu, before = time.perf_counter(), time.process_time(), peak_mb()
    done: Sweep = sweep(ledger, space)
    wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    print(
        f"  {name:<38} {wall:6.2f} s wall {cpu:6.2f} s CPU   {done.table['bets'].sum() / 1e6:6.1f} M bets   "
        f"{peak_mb():5.0f} MB at most, {before:.0f} before"
    )
    return wall, cpu


def peers(signals: pd.DataFrame, won: np.ndarray, ours: float) -> None:
    """One variant of each peer, several of vectorbt's, and what all would take."""
    print(f"\npeers, one variant of level stakes; and {VARIANTS:,} variants of {BETS:,} bets in proportion")
    for peer, bears in BEARS.items():
        if not find_spec(MODULES[peer]):
            print(f"  {peer:<16} is not installed (pip install overround[peers])")
            continue
        work = peer_work(peer, signals.iloc[:bears], won[:bears], False, 1e9)[peer]
        extrapolated(peer, f"1 x {bears:,}", work, VARIANTS * BETS / bears, ours)
    if find_spec("vectorbt"):
        extrapolated(
            "vectorbt",
            f"{COLUMNS} x {BETS:,}",
            partial(columns, signals["price"].to_numpy(), won),
            VARIANTS / COLUMNS,
            ours,
        )


def extrapolated(peer: str, size: str, work: Any, times: float, ours: float) -> None:
    """Time a peer's work warm, and say what `times` as much would take, alone and against ours."""
    work()
    reset_peak()
    began = time.perf_counter()
    work()
    wall = time.perf_counter() - began
    print(
        f"  {peer:<16} {size:<14} {wall:7.2f} s {peak_mb():6.0f} MB   "
        f"all: {wall * times:8,.0f} s, {wall * times / ours:7,.0f} x ours"
    )


def columns(price: np.ndarray, won: np.ndarray) -> object:
    """Several variants as columns of one vectorbt portfolio, with the two figures of ours that it has."""
    module = import_module("vectorbt")
    close = np.repeat(_bars(price, won)[:, None], COLUMNS, axis=1)
    size = np.full(close.shape, -np.inf)
    size[::2] = np.linspace(0.5, 1, COLUMNS)
    played = module.Portfolio.from_orders(close, size=size, price=close, direction="longonly", init_cash=1e9)
    return played.total_return(), played.max_drawdown()


def book(n: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """One bet on each of n matches, twenty a day, with closing lines: ledger, signals and wins."""
    rng = np.random.default_rng(1)
    p, edge = rng.uniform(0.2, 0.7, n), rng.uniform(0, 0.1, n)
    start = pd.Timestamp("1990-01-01 15:00", tz="UTC") + pd.to_timedelta(np.arange(n) // A_DAY, unit="D")
    event = np.array([f"{i:016x}" for i in range(n)])
    same = {
        "competition": "L1",
        "season": "x",
        "market": "h2h",
        "line": np.nan,
        "outcome": "home",
        "bookmaker": "b",
    }
    signals = pd.DataFrame(
        {
            "event_id": event,
            **same,
            "side": "back",
            "price": np.round(1 / p, 2),
            "probability": (1 + edge) * p,
            "edge": edge,
            "placed_at": start - pd.Timedelta(hours=2),
            "strategy": "s",
            "starts_at": start,
        }
    ).astype(dict.fromkeys(("placed_at", "starts_at"), "datetime64[us, UTC]"))
    won = rng.random(n) < p
    results = pd.DataFrame(
        {
            "event_id": event,
            "competition": "L1",
            "season": "x",
            "home_score": won.astype(float),
            "away_score": 1 - won.astype(float),
            "status": "final",
            "settled_at": pd.Series(pd.NaT, range(n), "datetime64[us, UTC]"),
        }
    )
    closing = pd.DataFrame({"event_id": event, **same, "closing_price": 0.99 / p, "closing_fair": p}).drop(
        columns=["competition", "season"]
    )
    return backtest(signals, results, stake=Flat(1), bankroll=1e9, closing=closing), signals, won


if __name__ == "__main__":
    main()
