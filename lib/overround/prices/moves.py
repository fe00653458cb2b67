"""Moves of margin-free probabilities on a board: changes within a window, their onsets, and as a table.

A move is seen only as finely as the collector polled: where two polls are further apart than a window, the
window is their distance. Prices without a clock time (early, close) do not move.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.encoding import encode_like, no_rows
from overround.grouping import SELECTION
from overround.prices.board import Board, boards, rows_of
from overround.schema import TIME_KIND
from overround.times import HOUR_US, as_times

MINUTE_US = HOUR_US // 60


def moving_boards(quotes: pd.DataFrame, method: str, max_age_h: float = 24.0) -> Iterator[Board]:
    """Boards of the prices that have a clock time."""
    clocked = quotes["phase"] == "snapshot"
    return boards(quotes if clocked.all() else quotes[clocked], method, max_age_h=max_age_h)


def opening(board: Board) -> NDArray[np.bool_]:
    """Which moments are the first of their market."""
    return board.begin == np.arange(len(board.time))


def moments_before(board: Board, window: float) -> Whole:
    """Last moment of the same market at least a window before each; -1 where there is none."""
    from overround.prices.board_kernels import moment_before

    before = np.empty(len(board.time), np.int64)
    moment_before(board.time, board.begin, int(window), before)
    return before


def change_since(board: Board, before: Whole) -> Floats:
    """Relative change of each bookmaker's probability since an earlier moment, (K, T, 3)."""
    change = board.fair / board.fair[:, np.maximum(before, 0)] - 1
    change[:, before < 0] = np.nan
    return change


def unmoved_since(board: Board) -> Whole:
    """The moment since which a bookmaker's prices of a market are unchanged, (K, T).

    A price that is only seen again has not moved.
    """
    price = board.price
    same = (price[:, 1:] == price[:, :-1]) | (np.isnan(price[:, 1:]) & np.isnan(price[:, :-1]))
    moved = np.ones(price.shape[:2], bool)
    moved[:, 1:] = ~same.all(axis=2)
    moved[:, opening(board)] = True
    return np.maximum.accumulate(np.where(moved, np.arange(len(board.time)), 0), axis=1)


def onsets(board: Board, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a condition holds that did not at the moment before; moments are the last axis but one."""
    was = np.zeros_like(found)
    was[..., 1:, :] = found[..., :-1, :]
    was[..., opening(board), :] = False
    return found & ~was


def moves_at(board: Board, book: Whole, moment: Whole, slot: Whole, **columns: Any) -> pd.DataFrame:
    """Which selection moved, where and when, with these columns."""
    return rows_of(board.quotes, board.row[book, moment, slot], SELECTION).assign(
        bookmaker=np.array(board.names, object)[book], at=as_times(board.time[moment]), **columns
    )


def in_order(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """All parts as one table, in order of time."""
    parts = [part for part in parts if len(part)]
    columns = [*SELECTION, *columns]
    if not parts:
        return no_rows(columns, kind="str", at=TIME_KIND, since=TIME_KIND)
    words = [column for column in ("bookmaker", "kind") if column in columns]
    frame = pd.concat(parts, ignore_index=True)[columns].astype(dict.fromkeys(words, "str"))
    return encode_like(frame, parts[0]).sort_values(
        ["at", *SELECTION, *words], kind="stable", ignore_index=True
    )
