"""Prices that have not moved although the market has."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from overround.prices.moves import in_order, moves_at, moving_boards, onsets, opening, unmoved_since
from overround.prices.references import CONSENSUS, accounts_of, opinions
from overround.times import as_times


def stale_prices(
    quotes: pd.DataFrame,
    method: str = "power",
    *,
    least_move: float = 0.03,
    least_books: int = 3,
    bookmakers: Sequence[str] | None = None,
    max_age_h: float = 24.0,
) -> pd.DataFrame:
    """Standing prices of bookmakers that have not moved although the others have.

    The others' move since a bookmaker last changed the market is a chain of means: at each moment the mean
    change in log probability of those that showed a price before and after, so that one that comes or goes
    does not move it.

    Parameters
    ----------
    quotes, method
        As in `velocity`.
    least_move : float
        Relative change of the others' margin-free probability.
    least_books : int
        Others that must have a standing price at that moment.
    bookmakers, max_age_h
        As in `value_signals`.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, at (the first such moment), price, since
        (when the bookmaker last changed the market), move (the others', relative), edge (price x mean
        probability of the others - 1: what the price is worth if they are right), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> stale = ov.prices.stale_prices(quotes)
    >>> "sharp" in set(stale["bookmaker"])
    False
    """
    from overround.prices.board_kernels import chain_cumsum

    accounts = accounts_of(quotes, bookmakers)
    parts = []
    for board in moving_boards(quotes, method, max_age_h):
        said: dict[str, Any] = {"bookmakers": board.names, "reference": CONSENSUS}
        step = np.zeros(board.fair.shape)
        step[:, 1:] = np.log(board.fair[:, 1:] / board.fair[:, :-1])
        step[:, opening(board)] = np.nan
        index = board.by_ways(step, partial(opinions, least=1, **said))[0]
        index = np.where(np.isnan(index), 0.0, index)
        chain_cumsum(index, board.begin)
        unmoved = unmoved_since(board)
        move = np.expm1(index - np.take_along_axis(index, unmoved[:, :, None], axis=1))
        others = board.by_ways(board.fair, partial(opinions, least=least_books, **said))[0]
        found = (
            board.among(accounts) & (np.abs(move) >= least_move) & ~np.isnan(others) & ~np.isnan(board.price)
        )
        book, moment, _ = at = np.nonzero(onsets(board, found))
        price, since = board.price[at], as_times(board.time[unmoved[book, moment]])
        parts.append(
            moves_at(board, *at, price=price, since=since, move=move[at], edge=price * others[at] - 1)
        )
    return in_order(parts, ["bookmaker", "at", "price", "since", "move", "edge"])
