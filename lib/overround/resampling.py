"""Intervals by bootstrap over match days: bets of one day depend on each other, days do not. Pure functions on ledgers."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.95
CHUNK = 4_000_000  # random numbers held at once


def day(ledger: pd.DataFrame) -> pd.Series:
    """The match day of each bet: the cluster within which bets depend on each other."""
    return ledger["starts_at"].dt.normalize()


def by_day(ledger: pd.DataFrame, days: pd.Index) -> Floats:
    """Money staked and profit of each of these days, shape (days, 2)."""
    sums = ledger.groupby(day(ledger))[["stake", "profit"]].sum()
    return sums.reindex(days, fill_value=0.0).to_numpy(float)


def resample(sums: Floats, simulations: int, seed: int) -> Floats:
    """Totals over days drawn with replacement, shape (simulations, columns): the bootstrap by day as a matrix product."""
    n_days = len(sums)
    if not n_days:
        return np.zeros((simulations, sums.shape[1]))
    rng = np.random.default_rng(seed)
    block = max(1, CHUNK // n_days)
    sizes = [min(block, simulations - begin) for begin in range(0, simulations, block)]
    return np.concatenate([rng.multinomial(n_days, np.full(n_days, 1 / n_days), size=size) @ sums for size in sizes])


def quotient(drawn: Floats) -> Floats:
    """Second column over the first, NaN where that is 0: a yield from (staked, profit), a mean from (count, sum)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return drawn[:, 1] / drawn[:, 0]


def resampled_yield(ledger: pd.DataFrame, simulations: int, seed: int) -> Floats:
    """Yield over resampled match days, shape (simulations,)."""
    days = pd.Index(sorted(set(day(ledger))))
    return quotient(resample(by_day(ledger, days), simulations, seed))


def resampled_mean(ledger: pd.DataFrame, column: str, simulations: int, seed: int) -> Floats:
    """Mean of a column over resampled match days, shape (simulations,); NaN rows are left out."""
    known = ledger.dropna(subset=[column])
    sums = known.groupby(day(known))[column].agg(["size", "sum"]).to_numpy(float)
    return quotient(resample(sums, simulations, seed))


def interval(drawn: Floats) -> tuple[float, float]:
    """The 95 % interval of what was drawn, by quantiles; NaN where nothing was."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
