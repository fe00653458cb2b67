"""How prices move: velocity, steam and reverse moves, in margin-free probabilities, by time of collection."""

import numpy as np
import pandas as pd

from overround.prices.moves import (
    MINUTE_US,
    change_since,
    in_order,
    moments_before,
    moves_at,
    moving_boards,
    onsets,
    unmoved_since,
)
from overround.prices.references import CONSENSUS, opinions
from overround.schema import NOT_AN_ACCOUNT
from overround.times import HOUR_US


def velocity(quotes: pd.DataFrame, method: str = "power", *, window_h: float = 1.0) -> pd.DataFrame:
    """How fast each bookmaker's margin-free probability moves, whenever it has changed a price.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    method : str
        Margin removal.
    window_h : float
        Hours over which the change is measured.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, at, fair, per_hour (relative change of the probability an
        hour), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> speed = ov.prices.velocity(quotes, window_h=12)
    >>> len(speed) > 0
    True
    """
    parts = []
    for board in moving_boards(quotes, method):
        change = change_since(board, moments_before(board, window_h * HOUR_US))
        fresh = unmoved_since(board) == np.arange(len(board.time))
        at = np.nonzero(fresh[:, :, None] & ~np.isnan(change))
        parts.append(moves_at(board, *at, fair=board.fair[at], per_hour=change[at] / window_h))
    return in_order(parts, ["bookmaker", "at", "fair", "per_hour"])


def steam_moves(
    quotes: pd.DataFrame,
    method: str = "power",
    *,
    window_min: float = 30.0,
    least_books: int = 3,
    least_move: float = 0.02,
) -> pd.DataFrame:
    """Several bookmakers moving the same way within minutes.

    A selection steams from the moment at which the margin-free probabilities of at least `least_books`
    bookmakers, and of more than move the other way, differ by at least `least_move` (relative) from those
    `window_min` minutes before.

    Parameters
    ----------
    quotes, method
        As in `velocity`.
    window_min : float
        Minutes.
    least_books : int
        Market averages and maxima do not count.
    least_move : float
        Relative change of the probability.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, at, direction (1: more probable, the price shortens; -1), books (how
        many moved), move (their mean relative change), bookmaker and price (the best standing price at that
        moment), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> steam = ov.prices.steam_moves(quotes, window_min=720)
    >>> len(steam) > 0
    True
    """
    parts = []
    for board in moving_boards(quotes, method):
        accounts = ~board.among(NOT_AN_ACCOUNT)
        change = np.where(
            accounts, change_since(board, moments_before(board, window_min * MINUTE_US)), np.nan
        )
        price = np.where(accounts & ~np.isnan(board.price), board.price, 0.0)
        for direction in (1, -1):
            moved, against = direction * change >= least_move, direction * change <= -least_move
            books, others = moved.sum(axis=0), against.sum(axis=0)
            moment, slot = at = np.nonzero(onsets(board, (books >= least_books) & (books > others)))
            mean = np.where(moved[:, moment, slot], change[:, moment, slot], 0.0).sum(axis=0) / books[at]
            best = price[:, moment, slot].argmax(axis=0)
            given = {"books": books[at], "move": mean, "price": price[best, moment, slot]}
            parts.append(
                moves_at(board, best, moment, slot, direction=np.full(len(moment), direction), **given)
            )
    return in_order(parts, ["at", "direction", "books", "move", "bookmaker", "price"])


def reverse_moves(
    quotes: pd.DataFrame, method: str = "power", *, window_min: float = 60.0, least_move: float = 0.02
) -> pd.DataFrame:
    """Moves against the market, and moves that were reversed.

    `kind` "consensus": within the window a bookmaker's margin-free probability moved by at least `least_move`
    (relative) while the mean move of the others over the same window was the other way and at least half as
    large as `least_move`. `kind` "own": it moved by at least `least_move` after it had moved at least as far
    the other way in the window before. (What the press calls reverse line movement, a price against the
    public's money, cannot be seen in prices alone.)

    Parameters
    ----------
    quotes, method
        As in `velocity`.
    window_min : float
        Minutes.
    least_move : float
        Relative change of the probability.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, at, kind, move (the bookmaker's), against (the mean of
        the others, or its own earlier move), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> moves = ov.prices.reverse_moves(quotes, window_min=720)
    >>> len(moves) > 0
    True
    """
    parts = []
    for board in moving_boards(quotes, method):
        window = window_min * MINUTE_US
        change = np.where(
            board.among(NOT_AN_ACCOUNT), np.nan, change_since(board, moments_before(board, window))
        )
        # from two windows ago to one window ago
        earlier = (1 + change_since(board, moments_before(board, 2 * window))) / (1 + change) - 1
        mean, _ = opinions(change, board.names, CONSENSUS, least=2)
        for kind, against, enough in (("consensus", mean, least_move / 2), ("own", earlier, least_move)):
            found = (np.abs(change) >= least_move) & (np.abs(against) >= enough) & (change * against < 0)
            at = np.nonzero(onsets(board, found))
            parts.append(
                moves_at(
                    board, *at, kind=np.full(len(at[0]), kind, object), move=change[at], against=against[at]
                )
            )
    return in_order(parts, ["bookmaker", "at", "kind", "move", "against"])
