"""Depth and length of drawdowns, also of resampled paths: a single path hides ruin."""

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.errors import ParameterError
from overround.stats import by_day, day_draws

MOST_PATHS = 2_000  # a share of paths is then known to about one in a hundred


def bankroll_at_start(ledger: pd.DataFrame) -> float:
    """Money at the start, from the ledger's own column; NaN where it cannot be known.

    A ledger without that column (older, or of another program) says it if it is whole: each bankroll is then
    the one at the start plus the profits until there. A ledger without a bet has it in `attrs` at best, and
    one that was put together from several with different bankrolls has none.
    """
    if ledger.empty:
        return float(ledger.attrs.get("bankroll", np.nan))
    if "bankroll_at_start" in ledger:
        known = ledger["bankroll_at_start"].dropna().unique()
        if len(known):
            return float(known[0]) if len(known) == 1 else np.nan
    settled = ledger.sort_values("settled_at", kind="stable")
    after, profit = settled["bankroll"].to_numpy(float), settled["profit"].to_numpy(float)
    start = after[0] - profit[0]
    return float(start) if np.allclose(after, start + profit.cumsum(), atol=1e-6) else np.nan


def settled_path(ledger: pd.DataFrame) -> pd.Series:
    """Bankroll by time of settlement; bets settled at the same time have no order among themselves."""
    return ledger.groupby("settled_at")["bankroll"].last()


def max_drawdown(ledger: pd.DataFrame) -> float:
    """Largest fall of the bankroll as a share of the peak before; 0 without bets, NaN without a start."""
    if ledger.empty:
        return 0.0
    path, peak = _path(ledger)
    return float(((peak - path) / peak).max())


def _path(ledger: pd.DataFrame) -> tuple[Floats, Floats]:
    """The bankroll at the start and after each settlement, and its peak so far."""
    path = np.concatenate([[bankroll_at_start(ledger)], settled_path(ledger).to_numpy(float)])
    return path, np.maximum.accumulate(path)


def drawdown_time(ledger: pd.DataFrame) -> tuple[float, float]:
    """Days from the peak before the deepest fall until it was regained, and the share of time below a peak.

    Time runs from the first placement to the last settlement; a peak that is not regained counts to the end.
    NaN for a ledger without bets or without a bankroll at the start.
    """
    if ledger.empty or np.isnan(bankroll_at_start(ledger)):
        return np.nan, np.nan
    path, peak = _path(ledger)
    times = pd.DatetimeIndex([ledger["placed_at"].min(), *settled_path(ledger).index])
    hours = (times[1:] - times[:-1]).total_seconds().to_numpy() / 3_600
    below = path < peak
    under = float((hours * below[:-1]).sum() / hours.sum()) if hours.sum() else 0.0
    lowest = int(((peak - path) / peak).argmax())
    if not below[lowest]:
        return 0.0, under
    began = int(path[: lowest + 1].argmax())
    regained = np.flatnonzero(path[lowest:] >= path[began])
    ended = lowest + regained[0] if len(regained) else len(path) - 1
    return float((times[ended] - times[began]).total_seconds() / 86_400), under


def day_returns(ledger: pd.DataFrame) -> Floats:
    """Profit of each match day as a share of the bankroll before it, in order of time; NaN if unknown."""
    start = bankroll_at_start(ledger)
    profit = by_day(ledger)[:, 1]
    before = start + np.concatenate([[0.0], profit.cumsum()[:-1]]) if len(profit) else profit
    return np.divide(profit, before, out=np.zeros_like(profit), where=~(before <= 0))


def resampled_drawdowns(
    ledger: pd.DataFrame, *, simulations: int = MOST_PATHS, ruin: float = 0.5, seed: int = 7
) -> tuple[Floats, float]:
    """Maximum drawdowns of bankroll paths made of match days drawn with replacement, and how many are ruined.

    Where every stake is the same amount the days' profits are added; otherwise stakes follow the bankroll,
    and the days' returns compound.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    simulations : int
        Paths, each of as many days as the ledger has.
    ruin : float
        A path is ruined once it has lost this share of the bankroll at the start; above 0 and at most 1.
    seed : int
        Of the draws.

    Returns
    -------
    drawdowns : ndarray, shape (simulations,)
        Shares of the peak before them, at most 1; NaN for a ledger that does not say its bankroll, none at
        all for one without bets.
    ruined : float
        Share of paths; NaN for such ledgers.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> falls, ruined = ov.evaluation.resampled_drawdowns(ledger, simulations=200)
    >>> len(falls), 0 <= ruined <= 1
    (200, True)
    """
    if not 0 < ruin <= 1:
        raise ParameterError(f"ruin is {ruin}, a share of the bankroll; it must be above 0 and at most 1.")
    if ledger.empty:
        return np.array([]), np.nan
    start = bankroll_at_start(ledger)
    if np.isnan(start):
        return np.full(simulations, np.nan), np.nan
    stakes = ledger.loc[ledger["stake"] > 0, "stake"]
    flat = bool(np.ptp(stakes) <= 1e-9 * stakes.mean()) if len(stakes) else True
    profit = by_day(ledger)[:, 1] / start
    gain = profit if flat else np.log(np.maximum(1 + day_returns(ledger), 1e-12))
    drawdowns, ruined = [], 0
    for drawn in day_draws(len(gain), simulations, seed):
        path = np.cumsum(gain[drawn], axis=1)
        path = np.maximum(1 + path, 0.0) if flat else np.exp(path)
        peak = np.maximum(np.maximum.accumulate(path, axis=1), 1.0)
        drawdowns.append(((peak - path) / peak).max(axis=1))
        # the last digit of a sum depends on its order
        ruined += int((path.min(axis=1) <= 1 - ruin + 1e-9).sum())
    return np.concatenate(drawdowns), ruined / simulations
