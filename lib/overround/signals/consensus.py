"""Bets against the consensus of all prices, by the rules of `overround.signals.value`."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.errors import ParameterError
from overround.formatting import percent
from overround.prices.board import boards
from overround.prices.references import CONSENSUS, accounts_of, bookmakers_of, mean_of_accounts
from overround.signals.selection import as_signals, believable, bets, first_moments


def consensus_signals(
    quotes: pd.DataFrame,
    margin: float = 0.05,
    *,
    consensus: str = CONSENSUS,
    least: int = 4,
    bookmakers: Sequence[str] | None = None,
    at_close: bool = False,
    max_age_h: float = 24.0,
    max_price: float = np.inf,
) -> pd.DataFrame:
    """Bets at prices that beat the mean of all bookmakers' prices by more than a margin.

    The rule of Kaunitz, Zhong and Kreiner (2017). An outcome with mean price m is given the probability 1 / m
    - margin; a price o is bet if (1 / m - margin) o > 1 (their equation 7). A match is bet once: at the first
    such moment, at the best price of the outcome with the largest edge. They use one margin, 0.05, for all
    outcomes, chosen from 0.01 to 0.1 on the games that they report; 0.034, 0.057 and 0.037 for home, draw and
    away (equation 8) are measured offsets that only indicate the accuracy to expect. Their program requires
    more than 3 prices.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes` as `Store.read` gives it, with `starts_at`.
    margin : float
        Subtracted from the mean's implied probability: the bookmakers' margin and the required profit.
    consensus : str
        "consensus": the mean over the bookmakers here; or `market_average`, the provider's own mean over all
        bookmakers that it follows.
    least : int
        Number of prices that a mean over bookmakers needs.
    bookmakers : sequence of str, optional
        Where there are accounts; by default every bookmaker. ["market_maximum"] is the paper's setting where
        the provider sums up the market: the best price of anyone, wherever it was.
    at_close, max_age_h, max_price : bool, float, float
        As of `value_signals`; the source has no limit of price.

    Returns
    -------
    DataFrame
        Signals: a row a bet, ordered by time of placement; probability and edge are the strategy's own, and
        an edge at an exchange is what its commission leaves.

    References
    ----------
    Kaunitz, Zhong and Kreiner (2017), arXiv 1710.02824; programs: github.com/Lisandro79/BeatTheBookie,
    src/strategies/beatTheBookie.m.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.signals.consensus_signals(quotes, margin=0.05, least=3)
    >>> "edge" in signals
    True
    """
    if not 0 <= margin < 1:
        raise ParameterError(f"margin is {margin}; it must be at least 0 and below 1.")
    quotes = quotes[quotes["market"] == "h2h"]
    names = bookmakers_of(quotes)
    accounts = accounts_of(quotes, bookmakers)
    if names and consensus not in (CONSENSUS, *names):
        raise ParameterError(
            f"consensus {consensus!r} has no prices here; those that have: {CONSENSUS}, {', '.join(names)}."
        )
    parts = []
    for board in boards(quotes, "multiplicative", at_close=at_close, max_age_h=max_age_h):
        price = believable(board, board.price)
        (mean,) = board.by_ways(price, partial(_mean, names=board.names, consensus=consensus, least=least))
        probability = 1 / mean - margin
        edge = probability * believable(board, board.net) - 1
        mine = board.among(accounts)
        promise = np.where((edge > 0) & (price <= max_price) & mine, edge, 0.0)
        moment, _ = first_moments(board, promise.max(axis=(0, 2))[:, None] > 0)
        slot = promise[:, moment].max(axis=0).argmax(axis=1)
        book = promise[:, moment, slot].argmax(axis=0)
        at = book, moment, slot
        parts.append(bets(board, *at, probability=probability[at], edge=edge[at]))
    which = "all prices" if consensus == CONSENSUS else consensus.replace("_", " ")
    return as_signals(parts, f"price against the mean of {which} (margin {percent(margin)})")


def _mean(price: Floats, names: Sequence[str], consensus: str, least: int) -> tuple[Floats]:
    """The mean of all prices (K, T, 3), or the one that stands for it, beside each of them."""
    of_all = consensus == CONSENSUS
    mean = mean_of_accounts(price, names, least) if of_all else price[names.index(consensus)]
    return (np.broadcast_to(mean, price.shape),)
