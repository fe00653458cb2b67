"""Margin removal and its inverse: from prices to fair probabilities and back, for markets of any width.

A method is one entry of `METHODS`, and its kernel with its formula and sources in
`overround.prices.margin_kernels`: nothing else names it. A market that a method cannot solve is NaN in every
cell and has a status that says why; no method returns a wrong value silently.
"""

from typing import Literal, NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats
from overround.errors import ParameterError, UnknownMethod

Statuses = NDArray[np.int8]
Solution = tuple[Floats, Floats, Statuses]

# what became of a market; the index of each is its status
STATUSES = (
    "ok",
    "missing outcome",  # an outcome without a price
    "price not above 1",  # or not finite
    "underround",  # the book is below the target, which the method does not explain
    "not between 0 and 1",  # the method's own result, mostly below 0 for a long shot
    "not converged",
)


class MarginMethod(NamedTuple):
    """How a method is computed, and what else it is called."""

    aliases: tuple[str, ...] = ()  # in other papers and packages ("implied" is R's, by opisthokonta)
    one_winner: bool = False  # only for markets whose probabilities sum to 1
    # explains no book below the target; the kernel `add_...` leads back, from probabilities to a book.
    # All others are their own inverse, with another target
    margin_only: bool = False


# name of each method of margin removal, and of the kernel in `margin_kernels` with its formula and sources
METHODS = {
    "multiplicative": MarginMethod(("basic", "normalisation", "proportional")),
    "additive": MarginMethod(
        (
            "wpo",  # implied: margin weights proportional to the odds, (n - M O) / (n O) = r - M / n
            "mpto",  # Buchdahl's own short name for it
            "margin_weights_proportional_to_odds",
            "differential_margin_weighting",  # penaltyblog
        )
    ),
    "power": MarginMethod(),
    "shin": MarginMethod(one_winner=True, margin_only=True),
    # "logit": a constant subtracted from every log-odds is a constant odds ratio
    "odds_ratio": MarginMethod(("or", "logit")),
    "balanced_book": MarginMethod(("bb",), margin_only=True),
    "jensen_shannon": MarginMethod(("js", "jsd")),
    "goto_conversion": MarginMethod(("goto",), margin_only=True),
}
ALIASES = {alias: name for name, method in METHODS.items() for alias in method.aliases}
# one name for two methods is ambiguous
_AMBIGUOUS = {"logarithmic": "power (Buchdahl; R's implied) or odds_ratio (penaltyblog)"}


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
        One of `METHODS` or `ALIASES`; `overround.prices.margin_kernels` has each one's formula and sources.
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
    name = _method(method)
    rows = _rows("prices", prices)
    _check_target(target, name, rows.shape[1])
    fair, parameter, status = _solved(name, rows, target, removes=True)
    if return_parameter:
        return (fair, parameter, status) if return_status else (fair, parameter)
    return (fair, status) if return_status else fair


def markets_without_margin(
    prices: Floats, three: NDArray[np.bool_], method: str
) -> tuple[Floats, Floats, Statuses]:
    """Fair probabilities of markets with and without a draw.

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
    """Prices that a bookmaker would make of fair probabilities: the inverse of `remove_margin`.

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
    _check_target(target, name, rows.shape[1])
    margins = np.asarray(margin, float)
    if margins.ndim and margins.shape != (len(rows),):
        raise ParameterError(
            f"margin has the shape {margins.shape}; it is one number, or one for each of {len(rows)} markets."
        )
    if not (margins > -1).all():
        raise ParameterError(f"margin is {margins.min()}; it is above -1, and 0.05 for 5 %.")
    books = target * (1 + margins)
    total = rows.sum(axis=1)
    off = ~(np.abs(total - target) < 1e-9) | (books >= rows.shape[1])
    off &= ~np.isnan(rows).any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds = (total / target)[:, None] / rows  # rounding is not a margin
    inverse, _, status = _solved(name, odds, books, removes=False)
    inverse[off] = np.nan
    status[off] = STATUSES.index("not between 0 and 1")
    prices = np.divide(1.0, inverse, out=inverse)
    return (prices, status) if return_status else prices


def _solved(method: str, prices: Floats, targets: ArrayLike, *, removes: bool) -> Solution:
    from overround.prices import margin_kernels

    kernel, only, n = method, 0, len(prices)
    if METHODS[method].margin_only:
        kernel, only = (method, 1) if removes else (f"add_{method}", -1)
    fair, parameter, status = np.empty(prices.shape), np.empty(n), np.empty(n, np.int8)
    each = np.broadcast_to(np.asarray(targets, float), (n,))
    margin_kernels.for_each_market(getattr(margin_kernels, kernel), only)(
        prices, each, fair, parameter, status
    )
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
    if METHODS[method].one_winner and target != 1.0:
        raise ParameterError(
            f"Shin's model is for markets with one winner; target is {target}, allowed is 1."
        )
    if not 0 < target < outcomes:
        raise ParameterError(
            f"target is {target}; "
            f"a market of {outcomes} outcomes can have a target above 0 and below {outcomes}."
        )
