"""A yield with its interval by match day."""

import numpy as np
import pandas as pd

from overround.stats import by_day, day, interval, quotient, resample

LARGE = 1e9  # a bankroll that one unit a bet never uses up


GAIN = {"won": 1.0, "half_won": 0.5, "push": 0.0, "void": 0.0, "half_lost": -0.5, "lost": -1.0}


def unit_profit(bets: pd.DataFrame, net: np.ndarray | None = None) -> np.ndarray:
    """Profit of one unit on each back bet at prices less commission, or at its own price after what its bookmaker kept of a win."""
    gain = bets["result"].map(GAIN).to_numpy(float)
    if net is not None:
        return np.where(gain > 0, gain * (net - 1), gain)
    profit = gain * (bets["price"].to_numpy(float) - 1)
    won = bets["stake"].to_numpy(float) * profit
    kept = np.divide(
        bets["profit"].to_numpy(float), won, out=np.ones(len(bets)), where=(gain > 0) & (won > 0)
    )
    return np.where(gain > 0, profit * kept, gain)


def yield_with_interval(ledger: pd.DataFrame, simulations: int, seed: int) -> dict[str, float]:
    """Bets, and the yield with its interval."""
    sums = by_day(ledger, pd.Index(sorted(set(day(ledger)))))
    low, high = interval(quotient(resample(sums, simulations, seed)))
    staked, profit = sums.sum(axis=0)
    return {
        "bets": len(ledger),
        "yield": float(profit / staked) if staked else np.nan,
        "low": low,
        "high": high,
    }
