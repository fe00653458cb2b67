"""Prices to probabilities: overround, margin removal and reference prices. Pure functions on arrays and tidy quotes."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround.errors import ParameterError, UnknownMethod
from overround.tables import NOT_AN_ACCOUNT

Floats = NDArray[np.float64]

CONSENSUS = "consensus"
# one market as one bookmaker showed it at one time
MARKET = ("event_id", "bookmaker", "market", "line", "phase", "observed_at")
# what can be backed: the outcome of a market, whoever quotes it
SELECTION = ("event_id", "market", "line", "outcome")
_TOLERANCE = 1e-12  # Newton doubles the digits at each step: the next would be exact
_ITERATIONS = 100


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
    """
    return (1.0 / np.atleast_2d(np.asarray(prices, float))).sum(axis=1)


def remove_margin(
    prices: ArrayLike, method: str = "shin", *, target: float = 1.0, return_parameter: bool = False
) -> Floats | tuple[Floats, Floats]:
    """Fair probabilities implied by bookmakers' prices.

    Parameters
    ----------
    prices : array_like, shape (n_markets, n_outcomes)
        Decimal odds; NaN where an outcome was not quoted.
    method : str
        One of `METHODS`: "multiplicative" (divide by the overround), "power" (inverse prices raised to a common exponent),
        "shin" (margin as a bookmaker's defence against a share z of insiders).
    target : float
        What the probabilities of a market sum to: 1 for a winner market, k for "k places" (not for Shin's model).
    return_parameter : bool
        Also return the method's own parameter for each market: the overround, the exponent, Shin's z.

    Returns
    -------
    ndarray, shape (n_markets, n_outcomes)
        NaN in every cell of a market that the method cannot solve: an outcome without a price above 1, for Shin also an
        overround below 1.

    Raises
    ------
    UnknownMethod
        With the list of methods.

    References
    ----------
    Shin (1993), Economic Journal 103, 1141-1153. Jullien and Salanie (1994), Economic Journal 104, 1385-1395.
    Clarke, Kovalchik and Ingram (2017), American Journal of Sports Science 5(6), 45-49 (power).

    Examples
    --------
    >>> remove_margin([[2.0, 4.0, 4.0], [1.9, 3.6, 4.5]], "multiplicative").round(3).tolist()
    [[0.5, 0.25, 0.25], [0.513, 0.271, 0.216]]
    """
    if method not in METHODS:
        raise UnknownMethod(f"margin removal {method!r} is unknown; the methods are {', '.join(METHODS)}.")
    if method == "shin" and target != 1.0:
        raise ParameterError(f"Shin's model is for markets with one winner; target is {target}, allowed is 1.")
    inverse = 1.0 / np.atleast_2d(np.asarray(prices, float))
    usable = ((inverse > 0) & (inverse < 1)).all(axis=1)
    fair, parameter = np.full(inverse.shape, np.nan), np.full(len(inverse), np.nan)
    if usable.any():
        fair[usable], parameter[usable] = METHODS[method](inverse[usable], target)
    return (fair, parameter) if return_parameter else fair


def fair_probabilities(quotes: pd.DataFrame, method: str = "shin") -> pd.DataFrame:
    """Quotes with the overround of their market and the fair probability of their outcome.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`. A market is what one bookmaker showed of one match, market and line at one time; it is whole
        when it has every outcome that any bookmaker quotes for that match.
    method : str
        One of `METHODS`.

    Returns
    -------
    DataFrame
        A copy with the columns `overround` and `fair`, NaN where the market is not whole or the method cannot solve it.
    """
    market, _ = group_codes(quotes, MARKET)
    width, slot = _places(quotes)
    fair, book = np.full(len(quotes), np.nan), np.full(len(quotes), np.nan)
    prices = quotes["price"].to_numpy(float)
    for k in np.unique(width):
        rows = np.flatnonzero(width == k)
        codes, first = pd.factorize(market[rows])
        matrix = np.full((len(first), k), np.nan)
        matrix[codes, slot[rows]] = prices[rows]
        fair[rows] = np.asarray(remove_margin(matrix, method))[codes, slot[rows]]
        book[rows] = overround(matrix)[codes]
    return quotes.assign(overround=book, fair=fair)


def reference_probabilities(fair: Floats, bookmakers: Sequence[str], reference: str, *, least: int = 3) -> Floats:
    """What a reference says of each selection, for each bookmaker that is to be judged by it.

    Parameters
    ----------
    fair : ndarray, shape (n, n_bookmakers)
        Fair probability of one selection at one time, by bookmaker; NaN where it had no price.
    bookmakers : sequence of str
        Names of the columns.
    reference : str
        A bookmaker, or "consensus": the mean of all bookmakers other than the one that is judged.
    least : int
        Bookmakers that a consensus needs.

    Returns
    -------
    ndarray, shape (n, n_bookmakers)
        NaN where the reference has no opinion.
    """
    if reference != CONSENSUS:
        if reference not in bookmakers:
            raise ParameterError(
                f"reference {reference!r} has no prices here; bookmakers are {', '.join(sorted(bookmakers))}, or consensus."
            )
        return np.repeat(fair[:, [list(bookmakers).index(reference)]], len(bookmakers), axis=1)
    known = ~np.isnan(fair) & ~np.isin(bookmakers, NOT_AN_ACCOUNT)
    values = np.where(known, fair, 0.0)
    others = known.sum(axis=1, keepdims=True) - known
    total = values.sum(axis=1, keepdims=True) - values
    return np.where(others >= least, total / np.maximum(others, 1), np.nan)


def group_codes(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[NDArray[np.int64], int]:
    """Number of the group that each row is in, equal where all columns are equal (nothing equals nothing), and the number of groups."""
    codes, size = np.zeros(len(frame), np.int64), 1
    for column in columns:
        values = frame[column]
        if isinstance(values.dtype, pd.DatetimeTZDtype):
            values = values.astype("int64")  # NaT becomes one number of its own
        one, names = pd.factorize(values, use_na_sentinel=False)
        codes, found = pd.factorize(codes * len(names) + one)
        codes, size = codes.astype(np.int64), len(found)
    return codes, size


def _places(quotes: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many outcomes each row's market has, and which of them the row is."""
    outcome = quotes["outcome"].to_numpy(object)
    match, n = group_codes(quotes, ("event_id", "market"))
    has_draw = np.zeros(n, bool)
    has_draw[match[outcome == "draw"]] = True
    width = np.where(has_draw[match], 3, 2)
    slot = np.where((outcome == "home") | (outcome == "over"), 0, np.where(outcome == "draw", 1, width - 1))
    return width, slot


def _multiplicative(inverse: Floats, target: float) -> tuple[Floats, Floats]:
    book = inverse.sum(axis=1)
    return inverse * (target / book)[:, None], book


def _power(inverse: Floats, target: float) -> tuple[Floats, Floats]:
    # sum(inverse**k) falls and is convex in k, so Newton closes in from the left after at most one step from the right
    logs = np.log(inverse)
    k = np.ones(len(inverse))
    for _ in range(_ITERATIONS):
        powers = np.exp(k[:, None] * logs)
        step = (powers.sum(axis=1) - target) / (powers * logs).sum(axis=1)
        k = np.maximum(k - step, k / 16)
        if (np.abs(step) < _TOLERANCE * np.maximum(k, 1)).all():
            break
    fair = np.exp(k[:, None] * logs)
    fair[np.abs(fair.sum(axis=1) - target) > 1e-12 * inverse.shape[1]] = np.nan
    return fair, k


def _shin(inverse: Floats, target: float) -> tuple[Floats, Floats]:
    book = inverse.sum(axis=1, keepdims=True)
    squares = inverse**2 / book
    z = np.zeros((len(inverse), 1))
    for _ in range(_ITERATIONS):
        root = np.sqrt(z**2 + 4 * (1 - z) * squares)
        excess = ((root - z) / (2 * (1 - z))).sum(axis=1, keepdims=True) - target
        slope = (((z - 2 * squares) / root - 1) / (2 * (1 - z)) + (root - z) / (2 * (1 - z) ** 2)).sum(axis=1, keepdims=True)
        step = excess / slope
        z = np.clip(z - step, 0.0, (1 + z) / 2)
        if np.abs(step).max() < _TOLERANCE:
            break
    fair = (np.sqrt(z**2 + 4 * (1 - z) * squares) - z) / (2 * (1 - z))
    # below an overround of 1 no share of insiders explains the prices
    fair[np.abs(fair.sum(axis=1) - target) > 1e-12 * inverse.shape[1]] = np.nan
    return fair, np.where(np.isnan(fair[:, 0]), np.nan, z[:, 0])


METHODS: dict[str, Callable[[Floats, float], tuple[Floats, Floats]]] = {
    "multiplicative": _multiplicative,
    "power": _power,
    "shin": _shin,
}
