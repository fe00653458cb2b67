"""Intervals and p-values, by bootstrap over match days: bets of a day are dependent, days are not."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError

LEVEL = 0.95
Z = 1.959963984540054  # standard errors to each side that hold LEVEL of a normal distribution
CHUNK = 4_000_000  # random numbers held at once
BOOTSTRAPS = ("stationary", "circular")


def day(ledger: pd.DataFrame) -> pd.Series:
    """The match day of each bet: the cluster within which bets are dependent."""
    return ledger["starts_at"].dt.normalize()


def by_day(ledger: pd.DataFrame) -> Floats:
    """Money staked and profit of each match day, in the order of time, shape (days, 2)."""
    return ledger.groupby(day(ledger))[["stake", "profit"]].sum().to_numpy(float)


def known_by_day(values: pd.DataFrame, days: pd.Series) -> Floats:
    """How many values of each column are known on each match day, and their sum: (days, columns x 2)."""
    parts = values.notna().astype(float), values.fillna(0.0).astype(float)
    sums = np.stack([part.groupby(days).sum().to_numpy(float) for part in parts], axis=2)
    return sums.reshape(len(sums), 2 * values.shape[1])


def residual_variance(sums: Floats) -> float:
    """Variance of the profit of all days beyond their stakes' share of it; `sums` as of `by_day`."""
    staked, profit = sums.sum(axis=0)
    over = sums[:, 1] - profit / max(staked, 1e-300) * sums[:, 0]
    return float((over**2).sum() * len(sums) / (len(sums) - 1))


def day_draws(
    n_days: int, simulations: int, seed: int, *, block_days: float = 1, bootstrap: str = "stationary"
) -> Iterator[NDArray[np.int32]]:
    """Resamples of the numbers 0 .. n_days - 1, in chunks of shape (resamples, n_days).

    Parameters
    ----------
    n_days, simulations, seed : int
        Number of days, of which as many are drawn; number of resamples; seed of the random numbers.
    block_days : float
        Length of blocks of consecutive days that are drawn together: the mean length in the stationary
        bootstrap (Politis and Romano 1994, JASA 89, 1303-1313), the length in the circular one. 1 draws
        single days.
    bootstrap : str
        One of `BOOTSTRAPS`.
    """
    if bootstrap not in BOOTSTRAPS:
        raise ParameterError(f"bootstrap {bootstrap!r} is unknown; there are {', '.join(BOOTSTRAPS)}.")
    if not 1 <= block_days <= max(n_days, 1):
        raise ParameterError(f"block_days is {block_days}; allowed: 1 to {n_days}, the number of days.")
    rng = np.random.default_rng(seed)
    size = max(1, CHUNK // max(n_days, 1))
    place = np.arange(n_days, dtype=np.int32)
    for begin in range(0, simulations, size):
        shape = (min(size, simulations - begin), n_days)
        drawn = rng.integers(0, n_days, shape, dtype=np.int32)
        if block_days > 1:
            if bootstrap == "stationary":
                starts = rng.random(shape, dtype=np.float32) < 1 / block_days
            else:
                starts = np.broadcast_to(place % int(block_days) == 0, shape)
            first = np.where(starts, place, np.int32(0))
            np.maximum.accumulate(first, axis=1, out=first)
            drawn = np.take_along_axis(drawn, first, axis=1) + (place - first)
            drawn -= np.where(drawn >= n_days, np.int32(n_days), np.int32(0))
        yield drawn


def resample(
    sums: Floats, simulations: int, seed: int, *, block_days: float = 1, bootstrap: str = "stationary"
) -> Floats:
    """Totals over days drawn with replacement, shape (simulations, columns), in the precision of `sums`."""
    n_days = len(sums)
    if not n_days:
        return np.zeros((simulations, sums.shape[1]))
    totals = []
    for drawn in day_draws(n_days, simulations, seed, block_days=block_days, bootstrap=bootstrap):
        cells = drawn + n_days * np.arange(len(drawn), dtype=np.int64)[:, None]
        counts = np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
        totals.append(counts.astype(sums.dtype) @ sums)
    return np.concatenate(totals)


def quotient(drawn: Floats) -> Floats:
    """Second of the last axis over the first, NaN for 0: yield of (stake, profit), mean of (count, sum)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return drawn[..., 1] / drawn[..., 0]


def interval(drawn: Floats) -> tuple[float, float]:
    """The 95 % interval of the draws, by quantiles; NaN if there are none."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def wilson(share: Floats, n: Floats, z: Floats | float = Z) -> tuple[Floats, Floats]:
    """The interval of a share of n, NaN for n = 0 (Wilson 1927, JASA 22, 209-212)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half


def step_down(
    observed: Floats, drawn: Callable[[NDArray[np.intp]], NDArray[np.floating]], simulations: int
) -> Floats:
    """p-values adjusted for multiple testing by the step-down maximum of Romano and Wolf.

    Parameters
    ----------
    observed : ndarray, shape (k,)
        Statistics; large values speak against the null.
    drawn : callable
        From the numbers of some hypotheses to their statistics under the null with their dependence, a new
        array of shape (simulations, chosen): a row is one history. Each hypothesis is asked for once.
    simulations : int
        Number of histories.

    Returns
    -------
    ndarray, shape (k,)
        Adjusted p-values; rejecting those up to `a` keeps the family-wise error rate at `a`.

    References
    ----------
    Romano and Wolf (2005), Econometrica 73, 1237-1282, and (2016), Statistics and Probability Letters 113,
    38-40.
    """
    order = np.argsort(-observed, kind="stable")
    worst_first, beaten = order[::-1], np.zeros(len(order))
    rivals = np.full((simulations, 1), -np.inf, np.float32)
    step = max(1, CHUNK // simulations)
    for begin in range(0, len(order), step):
        at = worst_first[begin : begin + step]
        # the maximum over a hypothesis and all worse ones
        highest = drawn(at)
        np.maximum.accumulate(highest, axis=1, out=highest)
        np.maximum(highest, rivals, out=highest)
        beaten[at], rivals = (highest >= observed[at]).sum(axis=0), highest[:, -1:].copy()
    adjusted = np.empty(len(order))
    adjusted[order] = np.maximum.accumulate((1 + beaten[order]) / (1 + simulations))
    return adjusted


def clustered_variance(residual: Floats, group: Whole, cluster: Whole, n_groups: int) -> tuple[Floats, Whole]:
    """Variance of each group's sum of residuals, dependent within clusters, and its number of clusters.

    G / (G - 1) times the sum over the G clusters of the squared sum of a cluster's residuals (Liang and Zeger
    1986; Cameron and Miller 2015, Journal of Human Resources 50, 317-372). NaN residuals are left out.

    Parameters
    ----------
    residual : ndarray, shape (n,) or (n, k)
        Several columns give the covariance of their sums.

    Returns
    -------
    variance : ndarray, shape (n_groups,) or (n_groups, k, k)
    clusters : ndarray, shape (n_groups,)
    """
    columns = residual[:, None] if residual.ndim == 1 else residual
    known = ~np.isnan(columns).any(axis=1)
    pair, pairs = pd.factorize(group[known] * (cluster.max(initial=0) + 1) + cluster[known])
    of_pair = pairs // (cluster.max(initial=0) + 1)
    sums = np.stack([np.bincount(pair, column, len(pairs)) for column in columns[known].T], axis=1)
    clusters = np.bincount(of_pair, minlength=n_groups)
    with np.errstate(divide="ignore", invalid="ignore"):
        small = np.where(clusters > 1, clusters / (clusters - 1), np.nan)
    k = sums.shape[1]
    products = [
        np.bincount(of_pair, sums[:, i] * sums[:, j], n_groups) * small for i in range(k) for j in range(k)
    ]
    variance = np.asarray(np.stack(products, axis=1), float).reshape(n_groups, k, k)
    return (variance[:, 0, 0] if residual.ndim == 1 else variance), clusters


def holm(p: Floats) -> Floats:
    """P-values adjusted for the number of comparisons (Holm 1979); NaN is ignored."""
    order = np.argsort(p)  # NaN last
    n = int((~np.isnan(p)).sum())
    adjusted = np.full(len(p), np.nan)
    adjusted[order[:n]] = np.minimum(np.maximum.accumulate(p[order[:n]] * np.arange(n, 0, -1)), 1.0)
    return adjusted
