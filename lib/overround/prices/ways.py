"""How many ways each bookmaker's match odds have: three with a draw, two where a tie gives the stake back.

Which one it is, a bookmaker says by the outcomes that it offers on that match: beside each other stand, for
example, European books with a draw after regulation time and American ones without. A bookmaker that has
shown a draw offers three ways. One that has not offers two if its prices for home and away are a book by
themselves (without the draw that is missing their inverses would sum to too little). Where neither holds (an
outcome is not quoted), it is taken to offer what the others do, if those that are known agree.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.grouping import MARKET, codes_and_words, group_codes

# overround outside these limits: not the market of one bookmaker (shifted cells, an empty exchange)
PLAUSIBLE = (0.98, 1.5)
# place of an outcome on an array's last axis
SLOT = {"home": 0, "over": 0, "draw": 1, "away": 2, "under": 2}
Ways = NDArray[np.int8]


def ways_on_board(
    price: Floats, drawn: NDArray[np.bool_], shown: NDArray[np.bool_], begin: Whole, h2h: NDArray[np.bool_]
) -> Ways:
    """Ways of each bookmaker's match odds at each moment, by what it has shown so far.

    Parameters
    ----------
    price : ndarray, shape (K, T, 3)
        Standing prices of K bookmakers at T moments.
    drawn, shown : ndarray of bool, shape (K, T)
        Whether a draw's price was collected at that moment, and whether any price stands.
    begin : ndarray, shape (T,)
        The first moment of the same market.
    h2h : ndarray of bool, shape (T,)
        Whether the market is match odds.

    Returns
    -------
    ndarray of int8, shape (K, T)
        2 or 3; 0 where it is not known, nothing stands, or the market is another one.
    """
    from overround.prices.board_kernels import count_ways

    ways = np.zeros(shown.shape, np.int8)
    if h2h.any():
        count_ways(price, drawn, shown, begin, h2h, *PLAUSIBLE, ways)
    return ways


def slots_of(quotes: pd.DataFrame) -> Whole:
    """The slot of each row's outcome."""
    codes, words = codes_and_words(quotes["outcome"])
    return np.array([SLOT.get(word, 2) for word in words], np.int64)[codes]


def ways_of(quotes: pd.DataFrame) -> tuple[Ways, NDArray[np.bool_]]:
    """Ways of the match odds that each quote belongs to, as on a board, and whether a draw belongs to it.

    All quotes of a match count, whatever their time. What one bookmaker showed at one time is one market, so
    changes must be completed first (`standing.complete_markets`). The second is true of three ways, and where
    the ways are not known but somebody shows a draw: such a market is not whole without one.
    """
    ways, three = np.zeros(len(quotes), np.int8), np.zeros(len(quotes), bool)
    h2h = np.flatnonzero(quotes["market"].isin(("h2h", "h2h_lay")))
    if not len(h2h):
        return ways, three
    rows = quotes.take(h2h)
    market, n = group_codes(rows, [column for column in MARKET if column in rows])
    price, one = np.full((n, 3), np.nan), np.zeros(n, np.int64)
    # a forecast has probabilities only
    price[market, slots_of(rows)] = rows["price"] if "price" in rows else 1 / rows["fair"]
    one[market] = np.arange(len(rows))
    rows = rows.take(one)
    offer, offers = group_codes(rows, [column for column in ("event_id", "bookmaker") if column in rows])
    match, matches = group_codes(rows, ["event_id"])
    shown = np.zeros(offers, np.int8)
    shown[offer[_is_book(price)]] = 2
    shown[offer[~np.isnan(price[:, 1])]] = 3
    found = shown[offer]
    known = np.zeros((matches, 4), bool)
    known[match, found] = True
    found = np.where(found == 0, _usual(known[:, 2], known[:, 3])[match], found)
    ways[h2h] = found[market]
    three[h2h] = ((found == 3) | ((found == 0) & known[match, 3]))[market]
    return ways, three


def as_column(ways: Ways) -> pd.api.extensions.ExtensionArray:
    """Ways as a column of a table, empty where they are 0."""
    return pd.arrays.IntegerArray(ways.astype(np.int8, copy=False), ways == 0)


def _usual(two: NDArray[np.bool_], three: NDArray[np.bool_]) -> Ways:
    """What those that are known offer if they agree, else 0."""
    return np.where(two == three, 0, np.where(two, 2, 3)).astype(np.int8)


def _is_book(price: Floats) -> NDArray[np.bool_]:
    """Whether the prices of home and away, of shape (..., 3), are a plausible book without a draw."""
    book = (1 / price[..., ::2]).sum(axis=-1)
    return (book >= PLAUSIBLE[0]) & (book <= PLAUSIBLE[1])
