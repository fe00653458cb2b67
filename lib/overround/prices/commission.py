"""Exchanges' commission, and prices net of it."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from overround._typing import Floats
from overround.errors import ParameterError
from overround.grouping import mapped
from overround.schema import COMMISSION


def commission_of(bookmakers: pd.Series, commission: Mapping[str, float] = COMMISSION) -> Floats:
    """Share of a win that each of these bookmakers keeps, shape (n,)."""
    return mapped(bookmakers, commission, 0.0)


def paid_out(bookmakers: Iterable[str], commission: Mapping[str, float] = COMMISSION) -> Floats:
    """Share of a win that each of these bookmakers pays out, shape (n,)."""
    return 1 - commission_of(pd.Series(bookmakers), commission)


def net_price(price: Any, kept: Any) -> Any:
    """Decimal prices net of commission, where the share `kept` of each win is paid out."""
    return 1 + (price - 1) * kept


def check_commission(commission: Mapping[str, float]) -> None:
    """Reject a commission outside [0, 1), e.g. 5 instead of 0.05."""
    for bookmaker, share in commission.items():
        if not 0 <= share < 1:
            raise ParameterError(f"commission at {bookmaker!r} is {share}; it is a share, from 0 to below 1.")
