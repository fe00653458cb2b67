"""Margin removal and its inverse: bookmakers' prices to fair probabilities and back, on arrays of markets of any width.

A method is one function here, with its formula and where it comes from. r is an inverse price, S the sum of a
market's r (its book), T the sum that the probabilities p shall have, n the number of outcomes. A market that
a method cannot solve is not a number in every cell and has a status that says why; no method returns a wrong
value in silence.
"""

from collections.abc import Callable
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats
from overround.errors import ParameterError, UnknownMethod

Statuses = NDArray[np.int8]
Solution = tuple[Floats, Floats, Statuses]

# what became of a market; the number of each is its status
STATUSES = (
    "ok",
    "missing outcome",  # an outcome without a price
    "price not above 1",  # or not finite
    "underround",  # the book is below the target, which the method does not explain
    "not between 0 and 1",  # the method would give a probability that is none: negative for a long shot, mostly
    "not converged",
)
# the same methods under the names of other papers and packages (implied is R's, opisthokonta)
ALIASES = {
    "basic": "multiplicative",  # implied
    "normalisation": "multiplicative",
    "proportional": "multiplicative",
    "wpo": "additive",  # implied: margin weights proportional to the odds, (n - M O) / (n O) = r - M / n
    "mpto": "additive",  # Buchdahl's own short name for it
    "margin_weights_proportional_to_odds": "additive",
    "differential_margin_weighting": "additive",  # penaltyblog
    "or": "odds_ratio",  # implied
    "logit": "odds_ratio",  # a constant taken from every log-odds is a constant odds ratio
    "bb": "balanced_book",  # implied
    "js": "jensen_shannon",
    "jsd": "jensen_shannon",  # implied
    "goto": "goto_conversion",  # implied
}
# one name for two methods is no name
_AMBIGUOUS = {"logarithmic": "power (Buchdahl; R's implied) or odds_ratio (penaltyblog)"}
_ONE_WINNER = ("shin",)


@overload
def remove_margin(
    prices: ArrayLike,
    method: str = ...,
    *,
    target: float = ...,
    return_parameter: Literal[False] = ...,
    return_status: Literal[False] = ...,
) -> Floats: ...
@overload
def remove_margin(
    prices: ArrayLike,
    method: str = ...,
    *,
    target: float = ...,
    return_parameter: Literal[True],
    return_status: Literal[False] = ...,
) -> tuple[Floats, Floats]: ...
@overload
def remove_margin(
    prices: ArrayLike,
    method: str = ...,
    *,
    target: float = ...,
    return_parameter: Literal[False] = ...,
    return_status: Literal[True],
) -> tuple[Floats, Statuses]: ...
@overload
def remove_margin(
    prices: ArrayLike,
    method: str = ...,
    *,
    target: float = ...,
    return_parameter: Literal[True],
    return_status: Literal[True],
) -> Solution: ...
def remove_margin(
    prices: ArrayLike,
    method: str = "shin",
    *,
    target: float = 1.0,
    return_parameter: bool = False,
    return_status: bool = False,
) -> Floats | tuple[Floats, Floats] | tuple[Floats, Statuses] | Solution:
    """Fair probabilities implied by bookmakers' prices.

    Parameters
    ----------
    prices : array_like, shape (n_markets, n_outcomes) or (n_outcomes,)
        Decimal odds; NaN where an outcome was not quoted.
    method : str
        One of `METHODS` or `ALIASES`; `overround.prices.margin` has a function with formula and source for
        each.
    target : float
        What the probabilities of a market sum to: 1 for a winner market, k for "k places" (not for Shin's
        model).
    return_parameter : bool
        Also return the method's own parameter for each market: the book (multiplicative), the exponent
        (power), Shin's z ...
    return_status : bool
        Also return for each market the number of its status in `STATUSES`; 0 is "ok".

    Returns
    -------
    fair : ndarray, shape (n_markets, n_outcomes)
        NaN in every cell of a market that the method cannot solve.
    parameter : ndarray, shape (n_markets,)
        If asked for; NaN where `fair` is.
    status : ndarray of int8, shape (n_markets,)
        If asked for.

    Raises
    ------
    UnknownMethod
        With the list of methods.
    ParameterError
        Prices that are not markets x outcomes, a target that such a market cannot have.

    Examples
    --------
    >>> import overround as ov
    >>> ov.remove_margin([[2.0, 4.0, 4.0], [1.9, 3.6, 4.5]], "multiplicative").round(3).tolist()
    [[0.5, 0.25, 0.25], [0.513, 0.271, 0.217]]
    """
    solve = METHODS[_method(method)]
    rows = _rows("prices", prices)
    _check_target(target, method, rows.shape[1])
    fair, parameter, status = solve(rows, _for_each(target, rows))
    if return_parameter:
        return (fair, parameter, status) if return_status else (fair, parameter)
    return (fair, status) if return_status else fair


def markets_without_margin(
    prices: Floats, three: NDArray[np.bool_], method: str
) -> tuple[Floats, Floats, Statuses]:
    """Fair probabilities of markets of which some have no draw.

    Parameters
    ----------
    prices : ndarray, shape (n, 3)
        Of home or over, draw, away or under.
    three : ndarray of bool, shape (n,)
        Whether the market has a draw; otherwise the price in its place is ignored.
    method : str
        As for `remove_margin`.

    Returns
    -------
    fair : ndarray, shape (n, 3)
        NaN for a market that the method cannot solve, and for a draw that a market does not have.
    overround : ndarray, shape (n,)
        NaN where an outcome is not quoted.
    status : ndarray of int8, shape (n,)
    """
    fair, book = np.full(prices.shape, np.nan), np.full(len(prices), np.nan)
    status = np.zeros(len(prices), np.int8)
    for wide, step in ((three, 1), (~three, 2)):
        quoted = prices[wide, ::step]
        book[wide] = (1 / quoted).sum(axis=1)
        fair[wide, ::step], status[wide] = remove_margin(quoted, method, return_status=True)
    return fair, book, status


@overload
def add_margin(
    probabilities: ArrayLike,
    margin: ArrayLike,
    method: str = ...,
    *,
    target: float = ...,
    return_status: Literal[False] = ...,
) -> Floats: ...
@overload
def add_margin(
    probabilities: ArrayLike,
    margin: ArrayLike,
    method: str = ...,
    *,
    target: float = ...,
    return_status: Literal[True],
) -> tuple[Floats, Statuses]: ...
def add_margin(
    probabilities: ArrayLike,
    margin: ArrayLike,
    method: str = "shin",
    *,
    target: float = 1.0,
    return_status: bool = False,
) -> Floats | tuple[Floats, Statuses]:
    """Prices that a bookmaker would make of fair probabilities: what `remove_margin` takes back.

    Parameters
    ----------
    probabilities : array_like, shape (n_markets, n_outcomes) or (n_outcomes,)
        Each market's sum to `target`.
    margin : float or array_like, shape (n_markets,)
        0.05 makes a book of 1.05 times the target.
    method, target
        As for `remove_margin`.
    return_status : bool
        Also return for each market the number of its status in `STATUSES`.

    Returns
    -------
    ndarray, shape (n_markets, n_outcomes)
        Decimal odds; NaN in every cell of a market whose probabilities do not sum to the target or that has
        no prices above 1 with this margin.

    Raises
    ------
    UnknownMethod, ParameterError
        As `remove_margin`, and for a margin of -1 or below.

    Examples
    --------
    >>> import overround as ov
    >>> ov.prices.add_margin([0.5, 0.25, 0.25], 0.05, "multiplicative").round(3).tolist()
    [[1.905, 3.81, 3.81]]
    """
    name = _method(method)
    rows = _rows("probabilities", probabilities)
    _check_target(target, method, rows.shape[1])
    margins = np.asarray(margin, float)
    if margins.ndim and margins.shape != (len(rows),):
        raise ParameterError(
            f"margin has the shape {margins.shape}; it is one number, or one for each of {len(rows)} markets."
        )
    if not (margins > -1).all():
        raise ParameterError(f"margin is {margins.min()}; it is above -1, and 0.05 for 5 %.")
    books = _for_each(target * (1 + margins), rows)
    total = rows.sum(axis=1)
    off = ~(np.abs(total - target) < 1e-9) | (books >= rows.shape[1])
    off &= ~np.isnan(rows).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = (total / target)[:, None] / rows  # what was left of rounding is no margin
    inverse, _, status = _compiled(_INVERSES.get(name, name), odds, books)
    inverse[off] = np.nan
    status[off] = STATUSES.index("not between 0 and 1")
    prices = np.divide(1.0, inverse, out=inverse)
    return (prices, status) if return_status else prices


def multiplicative(prices: Floats, targets: Floats) -> Solution:
    """Every inverse price is too large by the same factor: p = T r / S; the parameter is S.

    Defined below a book of T as well. The oldest method; the longer the price the more it flatters an outcome
    (Clarke, Kovalchik and Ingram 2017, American Journal of Sports Science 5(6), 45-49).
    """
    return _compiled("multiplicative", prices, targets)


def additive(prices: Floats, targets: Floats) -> Solution:
    """Every inverse price is too large by the same amount: p = r - (S - T) / n; the parameter is that amount.

    Not between 0 and 1 where that is more than a long shot's r. Below a book of T the same amount is added.
    Margin weights proportional to the odds (Buchdahl 2015, Using the wisdom of the crowd,
    football-data.co.uk), with the fair price n O / (n - M O) of a price O in a book with margin M, is this
    method in other words. Clarke, Kovalchik and Ingram (2017).
    """
    return _compiled("additive", prices, targets)


def power(prices: Floats, targets: Floats) -> Solution:
    """Inverse prices to a common power: p = r**k; the parameter is k, above 1 for a book above T (R's implied gives 1 / k).

    Has a solution for every book. Vovk and Zhdanov (2009), Journal of Machine Learning Research 10,
    2445-2471; Clarke, Kovalchik and Ingram (2017). Buchdahl's (2015) "logarithmic" method.
    """
    return _compiled("power", prices, targets)


def odds_ratio(prices: Floats, targets: Floats) -> Solution:
    """The odds of every r are too large by the same factor c: p = r / (c + r - c r); the parameter is c.

    Has a solution for every book. Cheung (2015), Fixed-odds betting and traditional odds,
    sportstradingnetwork.com. The same constant taken from every log-odds (penaltyblog's "logarithmic") is
    this method.
    """
    return _compiled("odds_ratio", prices, targets)


def shin(prices: Floats, targets: Floats) -> Solution:
    """Prices that guard against a share z of bettors who know the winner: p = (sqrt(z**2 + 4 (1 - z) r**2 / S) - z) / (2 (1 - z)).

    The parameter is z. For markets with one winner (T = 1); a book below 1 is an underround, which no share
    of insiders explains. For two outcomes the same as `additive`. Shin (1992), Economic Journal 102, 426-435;
    Shin (1993), Economic Journal 103, 1141-1153; Jullien and Salanie (1994), Economic Journal 104, 1385-1395.
    """
    return _compiled("shin", prices, targets)


def balanced_book(prices: Floats, targets: Floats) -> Solution:
    """Insiders as in Shin's model, a bookmaker who evens the worst case: p = (r - z) / (1 - z), z = (S - T) / (n - T).

    The parameter is z; a book below T is an underround. Not between 0 and 1 where z is more than a long
    shot's r. Fingleton and Waldron (1999), Optimal determination of bookmakers' betting odds: theory and
    tests, Trinity College Dublin.
    """
    return _compiled("balanced_book", prices, targets)


def jensen_shannon(prices: Floats, targets: Floats) -> Solution:
    """Every outcome's p is as far from r as any other's, in the Jensen-Shannon distance D of the two coins p and r.

    D**2 = (KL(p, m) + KL(r, m)) / 2 with m = (p + r) / 2 and KL the Kullback-Leibler divergence of two coins.
    The parameter is D, negative below a book of T. Not between 0 and 1 where a long shot would have to go
    beyond 0. Christopher D. Long (octonion), described in the vignette of R's implied.
    """
    return _compiled("jensen_shannon", prices, targets)


def goto_conversion(prices: Floats, targets: Floats) -> Solution:
    """Every r is too large by the same number c of its standard errors: p = r - c sqrt(1 - r), c = (S - T) / sum(sqrt(1 - r)).

    The parameter is c; a book below T is an underround. Not between 0 and 1 where that is more than a long
    shot's r (the package of that name then raises). Kaito Goto, github.com/gotoConversion/goto_conversion.
    """
    return _compiled("goto_conversion", prices, targets)


# name of each method of margin removal -> the function that solves it for a matrix of prices
METHODS: dict[str, Callable[[Floats, Floats], Solution]] = {
    "multiplicative": multiplicative,
    "additive": additive,
    "power": power,
    "shin": shin,
    "odds_ratio": odds_ratio,
    "balanced_book": balanced_book,
    "jensen_shannon": jensen_shannon,
    "goto_conversion": goto_conversion,
}
# the other methods lead back by their own formula: from the sum of the probabilities to the larger sum of the
# book
_INVERSES = {name: f"add_{name}" for name in ("shin", "balanced_book", "goto_conversion")}


def _compiled(kernel: str, prices: Floats, targets: Floats) -> Solution:
    from overround.prices import margin_kernels

    fair, parameter, status = np.empty(prices.shape), np.empty(len(prices)), np.empty(len(prices), np.int8)
    getattr(margin_kernels, kernel)(prices, targets, fair, parameter, status)
    return fair, parameter, status


def _method(name: str) -> str:
    if name in _AMBIGUOUS:
        raise UnknownMethod(
            f"margin removal {name!r} is the name of two methods, {_AMBIGUOUS[name]}; say which."
        )
    method = ALIASES.get(name, name)
    if method not in METHODS:
        raise UnknownMethod(f"margin removal {name!r} is unknown; the methods are {', '.join(METHODS)}.")
    return method


def _rows(name: str, values: ArrayLike) -> Floats:
    rows = np.ascontiguousarray(np.atleast_2d(np.asarray(values, float)))
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ParameterError(
            f"{name} have the shape {rows.shape}; they are markets x outcomes, with at least 2 outcomes."
        )
    return rows


def _check_target(target: float, method: str, outcomes: int) -> None:
    if method in _ONE_WINNER and target != 1.0:
        raise ParameterError(
            f"Shin's model is for markets with one winner; target is {target}, allowed is 1."
        )
    if not 0 < target < outcomes:
        raise ParameterError(
            f"target is {target}; a market of {outcomes} outcomes can have a target above 0 and below {outcomes}."
        )


def _for_each(target: ArrayLike, rows: Floats) -> Floats:
    return np.broadcast_to(np.asarray(target, float), (len(rows),))
