"""Margin removal: every method against plain NumPy's multiplicative, which is a division and so the speed of memory."""

from functools import partial

import numpy as np

from benchmarks.pairs import race
from overround.odds import METHODS, remove_margin


def main() -> None:
    """Race the methods on three-way markets with 5 % margin."""
    for n in (10_000, 100_000, 1_000_000):
        fair = np.random.default_rng(1).dirichlet([6, 3.5, 4], n)
        prices = 1 / (np.clip(fair, 0.01, 0.94) * 1.05)

        def floor(prices: np.ndarray = prices) -> np.ndarray:
            inverse = 1 / prices
            return inverse / inverse.sum(axis=1, keepdims=True)

        race(f"margin removal, {n:,} three-way markets", {"plain NumPy": floor, **{m: partial(remove_margin, prices, m) for m in METHODS}})
