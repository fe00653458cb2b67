"""Results drawn anew from the market's margin-free closing probabilities, for many strategies at once: one draw a market for all of them.

A line with pushes is drawn as won or lost. Stakes are those of the ledgers; `luck_test` can size them anew, for one strategy.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.backtest import COMMISSION
from overround.odds import SELECTION, group_codes
from overround.resampling import CHUNK, Floats


def drawable(ledger: pd.DataFrame) -> pd.DataFrame:
    """The bets whose results can be drawn: with money on them, a closing probability, and not void."""
    return ledger[ledger["closing_fair"].notna() & (ledger["result"] != "void") & (ledger["stake"] > 0)]


def payouts(bets: pd.DataFrame) -> tuple[Floats, Floats]:
    """Profit of each bet where its outcome happens, and where it does not."""
    price, lay, stake = bets["price"].to_numpy(float), (bets["side"] == "lay").to_numpy(), bets["stake"].to_numpy(float)
    kept = 1 - bets["bookmaker"].map(COMMISSION).fillna(0.0).to_numpy(float)
    return np.where(lay, -(price - 1), (price - 1) * kept) * stake, np.where(lay, kept, -1.0) * stake


def moments_of_profit(bets: pd.DataFrame) -> tuple[Floats, Floats]:
    """Mean and variance of each bet's profit by the close, or by its own price where it has no close."""
    if_hit, if_missed = payouts(bets)
    p = bets["closing_fair"].fillna(1 / bets["price"]).to_numpy(float)
    return p * if_hit + (1 - p) * if_missed, p * (1 - p) * (if_hit - if_missed) ** 2


def drawn_outcomes(bets: pd.DataFrame, simulations: int, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Blocks of histories: whether each bet's outcome happens, shape (histories, bets).

    One number from 0 to 1 is drawn a market; its outcomes' probabilities lie side by side in that range: home or over first, away or
    under last, the draw between.
    """
    market, n = group_codes(bets, SELECTION[:-1])
    outcome, p = bets["outcome"].to_numpy(object), bets["closing_fair"].to_numpy(float)
    first, last = (outcome == "home") | (outcome == "over"), (outcome == "away") | (outcome == "under")
    home, away = np.zeros(n), np.full(n, np.nan)
    home[market[first]], away[market[last]] = p[first], p[last]
    between = np.where((home[market] == 0) & ~np.isnan(away[market]), 1 - away[market] - p, home[market])
    low = np.where(first, 0.0, np.where(last, 1 - p, between))
    rng = np.random.default_rng(seed)
    block = max(1, CHUNK // max(n, len(bets), 1))
    for begin in range(0, simulations, block):
        number = rng.random((min(block, simulations - begin), n))[:, market]
        yield (number >= low) & (number < low + p)
