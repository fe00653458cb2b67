"""From the moments at which a bet was worth taking to bets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.encoding import encode_like, no_rows
from overround.prices.board import Board
from overround.prices.ways import as_column
from overround.schema import NOT_AN_ACCOUNT, OPTIONAL_SIGNAL_COLUMNS, SIGNAL_COLUMNS
from overround.times import as_times

CARRIED = ("starts_at", "competition", "season")


def bets(
    board: Board, book: Whole, moment: Whole, slot: Whole, *, side: str = "back", **columns: Any
) -> pd.DataFrame:
    """Bets at a board's standing prices, with these columns; `as_signals` puts them in order."""
    rows, prices = (board.lay_row, board.lay) if side == "lay" else (board.row, board.price)
    assert rows is not None and prices is not None  # noqa: S101  # a lay bet has a lay price
    at = book, moment, slot
    return board.selections(rows[at]).assign(
        bookmaker=np.array(board.names, object)[book],
        side=side,
        price=prices[at],
        placed_at=as_times(board.time[moment]),
        ways=as_column(board.ways[book, moment]),
        **columns,
    )


def as_signals(parts: Sequence[pd.DataFrame], strategy: str, extra: Sequence[str] = ()) -> pd.DataFrame:
    """Signals of some parts: all their columns, then the extra ones, ordered by time of placement."""
    columns = [*SIGNAL_COLUMNS, *OPTIONAL_SIGNAL_COLUMNS, *CARRIED, *extra]
    parts = [part for part in parts if len(part)]
    if not parts:
        return no_rows(columns, ways="Int8")
    frame = pd.concat(parts, ignore_index=True).assign(strategy=strategy).reindex(columns=columns)
    frame = frame.astype({"bookmaker": "str", "side": "str", "reference": "str"})
    frame = encode_like(frame, parts[0])
    order = ["placed_at", "event_id", "market", "line", "outcome", "bookmaker"]
    return frame.sort_values(order, kind="stable", na_position="first", ignore_index=True)


def first_moments(board: Board, wanted: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """First moment at which each column of `wanted` (T, n) is true in a market, over all phases."""
    moment, column = np.nonzero(wanted)
    selection = board.market[moment] * wanted.shape[1] + column
    order = np.lexsort((board.time[moment], selection))
    first = order[np.diff(selection[order], prepend=-1) != 0]
    return moment[first], column[first]


def first_and_best(board: Board, wanted: NDArray[np.bool_]) -> tuple[Whole, Whole, Whole]:
    """Bookmaker, moment and slot of each selection's bet: the first wanted moment, the best price then."""
    moment, slot = first_moments(board, np.logical_or.reduce(wanted, axis=0))
    return np.where(wanted[:, moment, slot], board.net[:, moment, slot], -1.0).argmax(axis=0), moment, slot


def believable(board: Board, price: Floats) -> Floats:
    """Prices (K, T, 3) of whole markets with a plausible overround, and all market averages and maxima."""
    summary = board.among(NOT_AN_ACCOUNT)
    return np.where(np.isnan(board.fair) & ~summary, np.nan, price)
