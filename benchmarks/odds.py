"""Margin removal: every method against plain NumPy's multiplicative, a copy of the prices, and peers.

Peers that work market by market get 2,000 markets, as many as we get in the same race; the last table has
each one's rate at the size that suits it, ours a million.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from benchmarks.pairs import race
from overround import remove_margin
from overround.prices.margin import METHODS

SIZES = (10_000, 100_000, 1_000_000)
FEW = 2_000
PENALTYBLOG = {
    "multiplicative": "multiplicative",
    "additive": "additive",
    "power": "power",
    "shin": "shin",
    "odds_ratio": "odds_ratio",
    "differential_margin_weighting": "additive",
    "logarithmic": "odds_ratio",
}
Work = Callable[[], object]


def main() -> None:
    """Race the methods on three-way markets with 5 % margin."""
    for n in SIZES:
        prices = markets(n)
        contenders: dict[str, Work] = {"plain NumPy": partial(plain, prices), "copy": prices.copy}
        race(
            f"margin removal, {n:,} three-way markets",
            contenders | {m: partial(remove_margin, prices, m) for m in METHODS},
            rounds=5,
        )
    few, many = markets(FEW), markets(SIZES[-1])
    by_method = peers(few)
    for method, theirs in by_method.items():
        race(
            f"{method}, {FEW:,} three-way markets",
            {"overround": partial(remove_margin, few, method)} | theirs,
            rounds=2,
        )
    print(
        f"\nthousand markets a second of CPU: overround at {SIZES[-1]:,}, peers at {FEW:,}, "
        "and how many times as many"
    )
    for method in METHODS:
        ours = rate(partial(remove_margin, many, method), len(many))
        print(f"  {method:<52} {ours:10,.0f}")
        for name, work in by_method.get(method, {}).items():
            theirs_rate = rate(work, FEW)
            print(f"    {name:<50} {theirs_rate:10,.1f}   {ours / theirs_rate:8,.0f} x")


def markets(n: int) -> np.ndarray:
    """Three-way prices with 5 % margin."""
    fair = np.random.default_rng(1).dirichlet([6, 3.5, 4], n)
    return 1 / (np.clip(fair, 0.01, 0.94) * 1.05)


def plain(prices: np.ndarray) -> np.ndarray:
    """Multiplicative in two lines: two divisions, and so near the speed of memory."""
    inverse = 1 / prices
    return inverse / inverse.sum(axis=1, keepdims=True)


def peers(prices: np.ndarray) -> dict[str, dict[str, Work]]:
    """Method -> name of a peer that is installed and has it -> its work on these prices."""
    found: dict[str, dict[str, Work]] = {method: {} for method in METHODS}
    rows = prices.tolist()
    if find_spec("penaltyblog"):
        calculate = import_module("penaltyblog").implied.calculate_implied
        for theirs, ours in PENALTYBLOG.items():
            name = "penaltyblog" if theirs == ours else f"penaltyblog, there {theirs}"
            found[ours][name] = partial(one_by_one, partial(calculate, method=theirs), rows)
    if find_spec("backtestbuddy"):
        remove = import_module("backtestbuddy").remove_margin
        for method in ("multiplicative", "additive", "power", "shin"):
            found[method]["backtestbuddy"] = partial(remove, prices, method)
    if find_spec("shin"):
        found["shin"]["shin"] = partial(
            one_by_one, import_module("shin").calculate_implied_probabilities, rows
        )
    if find_spec("goto_conversion"):
        convert = partial(
            import_module("goto_conversion").goto_conversion, multiplicativeIfImprudentOdds=True
        )
        found["goto_conversion"]["goto-conversion"] = partial(one_by_one, convert, list(prices))
    return {method: theirs for method, theirs in found.items() if theirs}


def one_by_one(solve: Callable, rows: list) -> None:
    """Call a peer that takes one market."""
    with np.errstate(all="ignore"):
        for row in rows:
            solve(row)


def rate(work: Work, n: int, rounds: int = 3) -> float:
    """Thousand markets a second of CPU: the median round."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return n / statistics.median(seconds) / 1000
