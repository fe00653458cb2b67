"""Prices to probabilities on tidy quotes: overround and margin removal (`overround.prices.margin`). Pure functions."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats
from overround.grouping import MARKET, SELECTION, group_codes
from overround.prices.margin import METHODS, STATUSES, remove_margin

__all__ = [
    "MARKET",
    "METHODS",
    "SELECTION",
    "complete_markets",
    "fair_probabilities",
    "group_codes",
    "overround",
    "remove_margin",
]


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
        any bookmaker quotes for that match.
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
    market, _ = group_codes(whole, MARKET)
    width, slot = _places(whole)
    fair, book, status = (
        np.full(len(whole), np.nan),
        np.full(len(whole), np.nan),
        np.zeros(len(whole), np.int8),
    )
    prices = whole["price"].to_numpy(float)
    for k in np.unique(width):
        rows = np.flatnonzero(width == k)
        codes, first = pd.factorize(market[rows])
        matrix = np.full((len(first), k), np.nan)
        matrix[codes, slot[rows]] = prices[rows]
        solved, reason = remove_margin(matrix, method, return_status=True)
        fair[rows], status[rows] = solved[codes, slot[rows]], reason[codes]
        book[rows] = overround(matrix)[codes]
    n = len(quotes)
    return quotes.assign(
        overround=book[:n], fair=fair[:n], margin_status=pd.Categorical.from_codes(status[:n], STATUSES)
    )


def complete_markets(quotes: pd.DataFrame) -> pd.DataFrame:
    """Quotes with every outcome of a market at each time at which the bookmaker changed any of them.

    A collector that stores changes only writes the outcomes that moved; the others still stand. They are
    added here, after the given rows, at their standing price and with the times of the change. Quotes without
    clock times (early, close) are left as they are.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`.

    Returns
    -------
    DataFrame
        The given rows in their order, then the added ones; the very frame where nothing is missing.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> opening = quotes["collected_at"] == quotes.groupby("event_id")["collected_at"].transform("min")
    >>> changes = quotes[opening | (quotes["outcome"] != "draw")]
    >>> len(quotes), len(changes), len(ov.prices.complete_markets(changes))
    (6000, 4400, 6000)
    """
    rows = np.flatnonzero((quotes["phase"] == "snapshot").to_numpy())
    if not len(rows):
        return quotes
    snapshots = quotes.iloc[rows]
    width, slot = _places(snapshots)
    chain, _ = group_codes(snapshots, MARKET[:-1])
    time = snapshots["observed_at"].astype("int64").to_numpy()
    moment, first, begin = moments(chain, time)
    shown = np.full((len(first), 3), -1)
    shown[moment, slot] = np.arange(len(rows))
    missing = (shown < 0) & (np.arange(3) < width[first][:, None])
    if not missing.any():
        return quotes
    last = np.maximum.accumulate(np.where(shown >= 0, np.arange(len(first))[:, None], -1), axis=0)
    at, outcome = np.nonzero(missing & (last >= begin[:, None]))
    added = snapshots.iloc[shown[last[at, outcome], outcome]]
    changed = snapshots.iloc[first[at]]
    added = added.assign(observed_at=changed["observed_at"].array, collected_at=changed["collected_at"].array)
    return pd.concat([quotes, added], ignore_index=True)


def moments(
    chain: NDArray[np.int64], time: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Every time of every chain of rows, chain by chain in order of time.

    Returns the moment that each row belongs to and, for each moment, one of its rows and the first moment of
    its chain.
    """
    order = np.lexsort((time, chain))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(chain[order]) != 0) | (np.diff(time[order]) != 0)
    moment = np.empty(len(order), np.int64)
    moment[order] = np.cumsum(new) - 1
    first = order[new]
    begins = np.ones(len(first), bool)
    begins[1:] = np.diff(chain[first]) != 0
    return moment, first, np.maximum.accumulate(np.where(begins, np.arange(len(first)), 0))


def _places(quotes: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many outcomes each row's market has, and which of them the row is."""
    outcome = quotes["outcome"].to_numpy(object)
    match, n = group_codes(quotes, ("event_id", "market"))
    has_draw = np.zeros(n, bool)
    has_draw[match[outcome == "draw"]] = True
    width = np.where(has_draw[match], 3, 2)
    slot = np.where((outcome == "home") | (outcome == "over"), 0, np.where(outcome == "draw", 1, width - 1))
    return width, slot
