"""Odds formats: one price written in seven ways.

All conversions go through the profit per unit staked, in which every boundary is exact.
"""

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats
from overround.errors import ParameterError

_EVENS = ("evens", "even", "evs")
_WHOLE = 1e-9  # relative distance from a whole number that is rounding


class _Format(NamedTuple):
    allowed: str
    valid: Callable[[Floats], NDArray[np.bool_]]
    to_profit: Callable[[Floats], Floats]
    of_profit: Callable[[Floats], Floats]


def convert_odds(values: ArrayLike, source: str, target: str, *, largest_denominator: int = 100) -> Any:
    """Prices in another format.

    =============== ============================================ ================ ======
    format          what it says                                 allowed          evens
    =============== ============================================ ================ ======
    decimal         paid back per unit staked, stake included    above 1          2.0
    american        profit on 100, or minus the stake to win 100 from +100, to -100  +100
    fractional      profit / stake, as text                      "5/2", "evens"   "1/1"
    hong_kong       profit per unit staked                       above 0          1.0
    indonesian      profit, or minus the stake to win 1          from +1, to -1   +1.0
    malay           profit up to 1, or minus the stake to win 1  -1 to +1, not 0  +1.0
    probability     1 / decimal: what wins back the stake        between 0 and 1  0.5
    =============== ============================================ ================ ======

    Parameters
    ----------
    values : array_like
        Prices of any shape; NaN (None in fractional) where there is none. Fractions are text: "5/2", "5-2",
        "evens".
    source, target : str
        One of `FORMATS`.
    largest_denominator : int
        A fractional price is the nearest fraction with at most this denominator. 100 keeps every decimal
        price of two digits exact (1.91 is 91/100); 20 is nearer to what is written on a board (10/11). Never
        0: the shortest prices become 1/n.

    Returns
    -------
    float, str or ndarray
        One price for one price, else an array of the shape of `values`: of float, for fractional of text.
        Evens are +100, +1 and "1/1". American odds are whole numbers where they are so up to rounding; others
        keep their decimals.

    Raises
    ------
    ParameterError
        With the first value that is not a price of the source format, its position, and what is allowed.

    Examples
    --------
    >>> import overround as ov
    >>> ov.convert_odds([3.5, 1.5, 2.0], "decimal", "american").tolist()
    [250.0, -200.0, 100.0]
    >>> ov.convert_odds(["5/2", "evens"], "fractional", "decimal").tolist()
    [3.5, 2.0]
    """
    for name in (source, target):
        if name not in FORMATS:
            raise ParameterError(f"odds format {name!r} is unknown; the formats are {', '.join(FORMATS)}.")
    given, kind = np.asarray(values, object if source == "fractional" else None), _FORMATS[source]
    numbers = _fractions(given) if source == "fractional" else _numbers(given)
    with np.errstate(divide="ignore", invalid="ignore"):
        bad = np.asarray(~(kind.valid(numbers) & np.isfinite(numbers)) & ~pd.isna(given))
        if bad.any():
            position = tuple(int(at) for at in np.unravel_index(int(bad.argmax()), bad.shape))
            shown = given if np.isnan(numbers[position]) else numbers
            raise _error(shown[position], position, source)
        profit = numbers.copy() if source == target else kind.to_profit(numbers)
        found: NDArray[Any] = profit if source == target else np.asarray(_FORMATS[target].of_profit(profit))
    if target == "fractional":
        found = _written(profit, largest_denominator)
    return found if given.ndim else found.item()


def _same(profit: Floats) -> Floats:
    return profit


def _signed(profit: Floats) -> Floats:
    return np.where(profit >= 1, profit, -1 / profit)


def _unsigned(odds: Floats) -> Floats:
    return np.where(odds > 0, odds, -1 / odds)


def _american(profit: Floats) -> Floats:
    odds = np.where(profit >= 1, 100 * profit, -100 / profit)
    whole = np.round(odds)
    return np.where(np.abs(odds - whole) <= _WHOLE * np.abs(odds), whole, odds)


_FORMATS = {
    "decimal": _Format("above 1", lambda x: x > 1, lambda x: x - 1, lambda profit: 1 + profit),
    "american": _Format(
        "+100 and above or -100 and below",
        lambda x: np.abs(x) >= 100,
        lambda x: np.where(x > 0, x / 100, -100 / x),
        _american,
    ),
    "fractional": _Format(
        'text such as "5/2", "1/1" or "evens", with numbers above 0', lambda x: x > 0, _same, _same
    ),
    "hong_kong": _Format("above 0", lambda x: x > 0, _same, _same),
    "indonesian": _Format("+1 and above or -1 and below", lambda x: np.abs(x) >= 1, _unsigned, _signed),
    "malay": _Format(
        "from -1 to +1 and not 0",
        lambda x: (x != 0) & (np.abs(x) <= 1),
        _unsigned,
        lambda profit: np.where(profit <= 1, profit, -1 / profit),
    ),
    "probability": _Format(
        "between 0 and 1", lambda x: (x > 0) & (x < 1), lambda x: (1 - x) / x, lambda profit: 1 / (1 + profit)
    ),
}
FORMATS = tuple(_FORMATS)


def _numbers(given: NDArray[Any]) -> Floats:
    """The numbers of an array, also of text; NaN where there is none."""
    if given.dtype.kind in "biuf":
        return given.astype(float)
    numbers = pd.to_numeric(pd.Series(given.ravel(), dtype=object), errors="coerce")
    return numbers.to_numpy(float).reshape(given.shape)


def _fractions(given: NDArray[Any]) -> Floats:
    """Profit per unit staked of fractions in text; NaN for what is none."""
    codes, texts = pd.factorize(given.ravel())
    profit = np.array([*(_fraction(text) for text in texts), np.nan])
    return profit[codes].reshape(given.shape)


def _fraction(text: object) -> float:
    words = text.strip().lower() if isinstance(text, str) else ""
    if words in _EVENS:
        return 1.0
    parts = words.replace("-", "/").split("/")
    if len(parts) != 2 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        return np.nan
    return int(parts[0]) / int(parts[1])


def _error(value: Any, where: tuple[int, ...], source: str) -> ParameterError:
    at = f" at position {where[0] if len(where) == 1 else where}" if where else ""
    value = value.item() if isinstance(value, np.generic) else value
    allowed = _FORMATS[source].allowed
    return ParameterError(f"{value!r}{at} is no {source.replace('_', ' ')} price; allowed is {allowed}.")


def _written(profit: Floats, largest: int) -> NDArray[np.object_]:
    """Profits as fractions in text, None for NaN."""
    if largest < 1:
        raise ParameterError(f"largest_denominator is {largest}; allowed is 1 and above.")
    codes, different = pd.factorize(profit.ravel())
    texts = np.array([*(_nearest(value, largest) for value in different.tolist()), None], object)
    return np.asarray(texts[codes].reshape(profit.shape), object)


def _nearest(profit: float, largest: int) -> str:
    nearest = Fraction(profit).limit_denominator(largest) or Fraction(1, round(1 / profit))
    return f"{nearest.numerator}/{nearest.denominator}"
