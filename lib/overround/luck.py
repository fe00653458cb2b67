"""How easily luck alone would have done the same: results re-drawn from the market's own margin-free closing prices."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.backtest import COMMISSION
from overround.odds import SELECTION, group_codes
from overround.resampling import CHUNK, Floats


def luck_test(ledger: pd.DataFrame, *, simulations: int = 10_000, seed: int = 7) -> dict[str, float]:
    """Chance that luck alone earns at least the profit of these bets.

    Outcomes are drawn anew from the market's own margin-free closing probabilities, one draw a market, so that bets on the same match
    stay dependent; bets, stakes and prices are those of the ledger. Where the close says that these prices were on the whole better
    than fair, that advantage is taken out of the histories: it is an edge, not luck. So the histories earn nothing or lose the
    margin on average. Bets without a closing probability and void bets are left out; a line with pushes is drawn as won or lost.

    Returns
    -------
    dict
        p: (1 + histories at least as good) / (1 + simulations); profit: what the tested bets earned; expected: what the close says
        they were worth; bets: how many were tested.
    """
    tested = _luck_bets(ledger)
    if tested.empty:
        return {"p": np.nan, "profit": np.nan, "expected": np.nan, "bets": 0}
    profits = np.concatenate([block.sum(axis=1) for block in _redrawn(tested, simulations, seed)])
    actual, expected = tested["profit"].sum(), _worth(tested).sum()
    # the last digit of a sum depends on its order
    better = (profits - max(expected, 0.0) >= actual - 1e-9 * tested["stake"].sum()).sum()
    return {"p": (1 + better) / (1 + simulations), "profit": actual, "expected": expected, "bets": len(tested)}


def luck_band(
    ledger: pd.DataFrame, *, simulations: int = 2_000, seed: int = 7, levels: tuple[float, ...] = (0.05, 0.5, 0.95)
) -> pd.DataFrame:
    """Quantiles of the running profit in the histories of `luck_test`: the band that luck alone fills on the bankroll figure.

    Returns
    -------
    DataFrame
        Index: `settled_at` of each tested bet; one column a level, in money.
    """
    tested = _luck_bets(ledger)
    if tested.empty:
        return pd.DataFrame(columns=list(levels), index=pd.DatetimeIndex([], tz="UTC", name="settled_at"))
    worth = _worth(tested)
    taken_out = worth.cumsum() if worth.sum() > 0 else 0.0
    paths = np.concatenate([block.cumsum(axis=1) for block in _redrawn(tested, simulations, seed)])
    quantiles = np.quantile(paths - taken_out, levels, axis=0).T
    return pd.DataFrame(quantiles, columns=list(levels), index=pd.DatetimeIndex(tested["settled_at"], name="settled_at"))


def _luck_bets(ledger: pd.DataFrame) -> pd.DataFrame:
    return ledger[ledger["closing_fair"].notna() & (ledger["result"] != "void") & (ledger["stake"] > 0)]


def _payouts(bets: pd.DataFrame) -> tuple[Floats, Floats]:
    """Profit of each bet where its outcome happens, and where it does not."""
    price, lay, stake = bets["price"].to_numpy(float), (bets["side"] == "lay").to_numpy(), bets["stake"].to_numpy(float)
    kept = 1 - bets["bookmaker"].map(COMMISSION).fillna(0.0).to_numpy(float)
    return np.where(lay, -(price - 1), (price - 1) * kept) * stake, np.where(lay, kept, -1.0) * stake


def _worth(bets: pd.DataFrame) -> Floats:
    """Expected profit of each bet by the market's margin-free close."""
    if_hit, if_missed = _payouts(bets)
    p = bets["closing_fair"].to_numpy(float)
    return p * if_hit + (1 - p) * if_missed


def _redrawn(bets: pd.DataFrame, simulations: int, seed: int) -> Iterator[NDArray]:
    """Blocks of histories: profit of each bet, shape (histories, bets)."""
    market, n = group_codes(bets, SELECTION[:-1])
    p, low = bets["closing_fair"].to_numpy(float), _from(bets, market, n)
    if_hit, if_missed = _payouts(bets)
    rng = np.random.default_rng(seed)
    block = max(1, CHUNK // max(n, len(bets), 1))
    for begin in range(0, simulations, block):
        drawn = rng.random((min(block, simulations - begin), n))[:, market]
        yield np.where((drawn >= low) & (drawn < low + p), if_hit, if_missed)


def _from(bets: pd.DataFrame, match: NDArray, n: int) -> Floats:
    """Where each selection's interval begins in its market's draw from 0 to 1: home or over first, away or under last, draw between."""
    outcome, p = bets["outcome"].to_numpy(object), bets["closing_fair"].to_numpy(float)
    home, away = np.zeros(n), np.full(n, np.nan)
    first, last = (outcome == "home") | (outcome == "over"), (outcome == "away") | (outcome == "under")
    home[match[first]] = p[first]
    away[match[last]] = p[last]
    between = np.where((home[match] == 0) & ~np.isnan(away[match]), 1 - away[match] - p, home[match])
    return np.where(first, 0.0, np.where(last, 1 - p, between))
