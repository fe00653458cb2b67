"""A yield with its interval by match day, and the yield of unit stakes."""

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.betting.settlement import how_ended
from overround.stats import by_day, interval, quotient, resample

LARGE = 1e9  # a bankroll that one unit a bet never uses up


def unit_profit(bets: pd.DataFrame, net: Floats | None = None) -> Floats:
    """Profit of one unit on each back bet, after commission.

    At prices `net` of commission; by default at its own price, less what its bookmaker kept of the win.
    """
    gain = np.nan_to_num(how_ended(bets["result"]))
    if net is not None:
        return np.where(gain > 0, gain * (net - 1), gain)
    profit = gain * (bets["price"].to_numpy(float) - 1)
    won = bets["stake"].to_numpy(float) * profit
    kept = np.divide(
        bets["profit"].to_numpy(float), won, out=np.ones(len(bets)), where=(gain > 0) & (won > 0)
    )
    return np.where(gain > 0, profit * kept, gain)


def ratio(amount: float, base: float) -> float:
    """A quotient, such as a yield; NaN where nothing was staked."""
    return float(amount / base) if base else np.nan


def yield_interval(ledger: pd.DataFrame, simulations: int, seed: int) -> tuple[float, float]:
    """The 95 % interval of the yield, from match days drawn with replacement."""
    return interval(quotient(resample(by_day(ledger), simulations, seed)))


def yield_with_interval(ledger: pd.DataFrame, simulations: int, seed: int) -> dict[str, float]:
    """Bets, and the yield with its interval."""
    low, high = yield_interval(ledger, simulations, seed)
    staked, profit = by_day(ledger).sum(axis=0)
    return {"bets": len(ledger), "yield": ratio(profit, staked), "low": low, "high": high}
