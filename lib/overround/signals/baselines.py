"""Simple strategies as a baseline for others."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.prices.board import SLOT, boards
from overround.prices.references import accounts_of, mean_of_accounts, spread_of_accounts
from overround.schema import OUTCOMES
from overround.signals.selection import as_signals, bets, first_and_best


def seed_signals(
    quotes: pd.DataFrame,
    min_mean: float = 2.0,
    max_spread: float = 0.2,
    *,
    bookmakers: Sequence[str] | None = None,
    at_close: bool = False,
    max_age_h: float = 24.0,
) -> pd.DataFrame:
    """The rule that this workbench grew from: back where bookmakers agree on a price above evens.

    A baseline. A selection is backed at the first moment at which the mean of its standing prices over
    bookmakers is above `min_mean` and their standard deviation (n - 1, over bookmakers, at that moment; at
    least two) is below `max_spread`: at the best price of an account.

    Parameters
    ----------
    quotes, bookmakers, at_close, max_age_h
        As in `value_signals`; the mean is over all bookmakers, market averages and maxima left out.
    min_mean : float
        Of the price.
    max_spread : float
        Of the price.

    Returns
    -------
    DataFrame
        Signals; the rule has no probability and no edge, so stake them flat or as a percentage.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.signals.seed_signals(quotes)
    >>> "edge" in signals
    True
    """
    accounts = accounts_of(quotes, bookmakers)
    parts = []
    for board in boards(quotes, None, at_close=at_close, max_age_h=max_age_h):
        mean, deviation = board.by_ways(board.price, partial(_mean_and_spread, names=board.names))
        buy = (mean > min_mean) & (deviation < max_spread)
        mine = board.among(accounts)
        at = first_and_best(board, buy & ~np.isnan(board.price) & mine)
        parts.append(bets(board, *at))
    return as_signals(parts, f"seed rule (mean price above {min_mean:g}, spread below {max_spread:g})")


def blind_signals(
    quotes: pd.DataFrame, bookmaker: str, outcome: str, *, market: str = "h2h", at_close: bool = False
) -> pd.DataFrame:
    """Bets on one outcome of every match at one bookmaker: the baseline that every strategy has to beat.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    bookmaker : str
        `market_average` and `market_maximum` are allowed too.
    outcome : str
        home, draw, away, over or under.
    market : str
        h2h, totals or spreads.
    at_close : bool
        At the closing price instead of the first price seen.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> len(ov.signals.blind_signals(quotes, "sharp", "home")) == len(events)
    True
    """
    mine = quotes[(quotes["bookmaker"] == bookmaker) & (quotes["market"] == market)]
    slot = np.arange(3) == (SLOT[outcome] if outcome in OUTCOMES.get(market, ()) else -1)
    parts = []
    for board in boards(mine, None, at_close=at_close, max_age_h=None):
        at = first_and_best(board, ~np.isnan(board.price) & slot)
        parts.append(bets(board, *at))
    return as_signals(parts, f"every {outcome} at {bookmaker}")


def _mean_and_spread(price: Floats, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Mean and standard deviation over the accounts of prices (K, T, 3), beside each of them."""
    mean, deviation = mean_of_accounts(price, names, 2), spread_of_accounts(price, names)
    return np.broadcast_to(mean, price.shape), np.broadcast_to(deviation, price.shape)
