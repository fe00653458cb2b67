"""Where the profit came from: the yield of each part of a ledger, shrunk so that small parts do not shout."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.errors import ParameterError
from overround.evaluation.intervals import ratio, yield_interval
from overround.evaluation.redrawn_results import moments_of_profit
from overround.stats import Z, by_day, residual_variance

PRICE_BAND = "price_band"
_BANDS = (1.0, 1.5, 2.0, 3.0, 5.0, 10.0, np.inf)
# true yields of parts of one strategy spread no more than this (standard deviation): few parts, or one lucky
# one, cannot tell
_MOST_SPREAD = 0.1
COLUMNS = ["bets", "staked", "profit", "yield", "low", "high", "shrunk", "shrunk_low", "shrunk_high", "clv"]


def breakdown(
    ledger: pd.DataFrame, by: str | Sequence[str] = "bookmaker", *, simulations: int = 2_000, seed: int = 7
) -> pd.DataFrame:
    """Yield of each part of a ledger, as it is and shrunk toward the yield of all.

    The shrunk yield is the empirical Bayes estimate of a random-effects model: parts' true yields spread with
    variance t² around the yield of all bets, each is seen with the variance that the prices of its bets
    imply, and t² is estimated by moments (DerSimonian and Laird 1986, Controlled Clinical Trials 7, 177-188;
    the idea is James and Stein's). A part of few bets moves to the yield of all, one of many stays; where
    parts differ by no more than noise all are the same. t is held to at most 0.1: a few parts, or one that
    was lucky twice, cannot tell it. Variances are raised to what match days show where bets of one day depend
    on each other.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    by : str or list of str
        A column of the ledger, or "price_band". A list makes the parts of each, one below the other.
    simulations, seed : int
        Resamples of match days for the interval of the plain yield.

    Returns
    -------
    DataFrame
        Index: the part (part and value where `by` is a list); columns bets, staked, profit, yield, low, high
        (95 %), shrunk, shrunk_low, shrunk_high (95 %), clv.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> bool(ov.breakdown(ledger, "bookmaker")["bets"].sum() == len(ledger))
    True
    """
    if not isinstance(by, str):
        parts = {name: breakdown(ledger, name, simulations=simulations, seed=seed) for name in by}
        return pd.concat(parts, names=["by", "part"])
    groups = parts_of(ledger, by)
    inflation = _dependence(ledger)
    rows, variances = {}, []
    for name, part in ledger.groupby(groups, sort=True, observed=True):
        low, high = yield_interval(part, simulations, seed)
        staked, profit = part["stake"].sum(), part["profit"].sum()
        rows[name] = (len(part), staked, profit, ratio(profit, staked), low, high, part["clv"].mean())
        variances.append(inflation * _price_variance(part) / staked**2 if staked else np.nan)
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=[c for c in COLUMNS if "shrunk" not in c]
    ).rename_axis(by)
    shrunk, error = _shrunk(
        table["yield"].to_numpy(float), np.array(variances, float), table["staked"].to_numpy(float)
    )
    return table.assign(shrunk=shrunk, shrunk_low=shrunk - Z * error, shrunk_high=shrunk + Z * error)[COLUMNS]


def parts_of(ledger: pd.DataFrame, by: str) -> pd.Series:
    """The part that each bet belongs to: its value of a column, or the band of its price."""
    if by in ledger:
        return ledger[by]
    if by == PRICE_BAND:
        names = [
            f"{low:g} to {high:g}" if np.isfinite(high) else f"above {low:g}"
            for low, high in pairwise(_BANDS)
        ]
        return pd.cut(ledger["price"], _BANDS, labels=names)
    raise ParameterError(
        f"a ledger has no column {by!r}; it has {', '.join(ledger.columns)}, and {PRICE_BAND}."
    )


def _price_variance(bets: pd.DataFrame) -> float:
    """Variance of the profit of bets that are independent, by the close or, without one, by their own prices.

    Not the variance seen: a part that lost every bet would have none and look certain.
    """
    return float(moments_of_profit(bets)[1][(bets["result"] != "void").to_numpy()].sum())


def _dependence(ledger: pd.DataFrame) -> float:
    """How much larger the variance of the profit is by match days than for independent bets; at least 1."""
    sums = by_day(ledger)
    independent = _price_variance(ledger) if len(ledger) else 0.0
    if len(sums) < 2 or not independent:
        return 1.0
    return max(1.0, residual_variance(sums) / independent)


def _shrunk(yields: Floats, variances: Floats, staked: Floats) -> tuple[Floats, Floats]:
    """Posterior mean and standard deviation of each true yield."""
    known = np.isfinite(variances) & (variances > 0) & np.isfinite(yields)
    y, v, share = yields[known], variances[known], staked[known] / staked[known].sum()
    shrunk, error = np.full(len(yields), np.nan), np.full(len(yields), np.nan)
    if not len(y):
        return shrunk, error
    weight = 1 / v
    mean = (weight * y).sum() / weight.sum()
    excess = (weight * (y - mean) ** 2).sum() - (len(y) - 1)
    scale = weight.sum() - (weight**2).sum() / weight.sum()
    spread = float(np.clip(excess / scale, 0.0, _MOST_SPREAD**2)) if len(y) > 1 else 0.0
    own = spread / (spread + v)
    shrunk[known] = own * y + (1 - own) * (share * y).sum()
    # what is not known of the yield of all is not known of the parts that lean on it
    error[known] = np.sqrt(own * v + (1 - own) ** 2 * (share**2 * (v + spread)).sum())
    return shrunk, error
