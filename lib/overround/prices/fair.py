"""Prices to probabilities on tidy quotes: overround and margin removal (`overround.prices.margin`)."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overround._typing import Floats
from overround.grouping import MARKET, group_codes
from overround.prices.margin import STATUSES, markets_without_margin
from overround.prices.standing import complete_markets
from overround.prices.ways import slots_of, ways_of


def overround(prices: ArrayLike) -> Floats:
    """Sum of the inverse prices of each market: 1.05 is a bookmaker's margin of 5 %.

    Parameters
    ----------
    prices : array_like, shape (n_markets, n_outcomes)
        Decimal odds.

    Returns
    -------
    ndarray, shape (n_markets,)
        NaN where an outcome is not quoted.

    Examples
    --------
    >>> import overround as ov
    >>> ov.prices.overround([[2.0, 3.5, 4.0], [1.5, 4.0, 7.0]]).round(4).tolist()
    [1.0357, 1.0595]
    """
    return (1.0 / np.atleast_2d(np.asarray(prices, float))).sum(axis=1)


def fair_probabilities(quotes: pd.DataFrame, method: str = "shin") -> pd.DataFrame:
    """Quotes with the overround of their market and the fair probability of their outcome.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`. A market is what one bookmaker showed of one match, market and line at one time,
        with the prices that still stood then (`complete_markets`); it is whole when it has every outcome that
        the bookmaker offers on that match (`overround.prices.ways`).
    method : str
        One of `METHODS`.

    Returns
    -------
    DataFrame
        A copy with the columns `overround` and `fair`, NaN where the market is not whole or the method cannot
        solve it, and `margin_status`, one of `overround.prices.margin.STATUSES`: "ok", or why it cannot.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> fair = ov.fair_probabilities(quotes, "shin")
    >>> one = fair[(fair["event_id"] == "match 00000") & (fair["bookmaker"] == "sharp")].head(3)
    >>> round(float(one["fair"].sum()), 6), round(float(one["overround"].iloc[0]), 2)
    (1.0, 1.02)
    """
    whole = complete_markets(quotes)
    market, n_markets = group_codes(whole, MARKET)
    slot, (_, three) = slots_of(whole), ways_of(whole)
    prices, wide = np.full((n_markets, 3), np.nan), np.zeros(n_markets, bool)
    prices[market, slot], wide[market] = whole["price"], three
    solved, book, status = markets_without_margin(prices, wide, method)
    market, slot = market[: len(quotes)], slot[: len(quotes)]
    return quotes.assign(
        overround=book[market],
        fair=solved[market, slot],
        margin_status=pd.Categorical.from_codes(status[market], STATUSES),
    )
