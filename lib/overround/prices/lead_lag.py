"""Who follows whom: how long each bookmaker takes to follow the moves of a leader."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.errors import ParameterError
from overround.prices.moves import (
    MINUTE_US,
    change_since,
    in_order,
    moments_before,
    moves_at,
    moving_boards,
    onsets,
)
from overround.prices.references import bookmakers_of
from overround.schema import NOT_AN_ACCOUNT
from overround.times import HOUR_US

_REACTION = ["moves", "followed", "censored", "quarter_min", "median_min"]


def reactions(
    quotes: pd.DataFrame,
    leader: str,
    method: str = "power",
    *,
    window_min: float = 60.0,
    least_move: float = 0.02,
    follow: float = 0.5,
    within_h: float = 24.0,
) -> pd.DataFrame:
    """How long each bookmaker takes to follow each move of a leader.

    The leader moves at the first moment at which its margin-free probability differs by at least `least_move`
    (relative) from what it showed `window_min` minutes before. A bookmaker has followed when its own differs
    from what it showed then by at least `follow` times the leader's move, the same way; 0 minutes where it
    had done so by the time the leader's move was seen.

    Parameters
    ----------
    quotes, method
        As in `velocity`.
    leader : str
        A bookmaker.
    window_min, least_move
        Of a move of the leader, as above.
    follow : float
        Share of the leader's move.
    within_h : float
        Hours after which to stop waiting.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, at (of the leader's move), move (the leader's), minutes
        (until the bookmaker followed, or until the search ended), followed (bool; False means censored),
        ordered by time. It describes the past: a row is known only when its minutes are over.

    Raises
    ------
    ParameterError
        A leader without prices.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> found = ov.prices.reactions(quotes, "sharp", window_min=720)
    >>> sorted(set(found["bookmaker"]))
    ['soft_1', 'soft_2', 'soft_3']
    """
    from overround.prices.board_kernels import first_passage, moments_within

    names = bookmakers_of(quotes)
    if names and leader not in names:
        raise ParameterError(f"leader {leader!r} has no prices here; bookmakers are {', '.join(names)}.")
    parts = []
    for board in moving_boards(quotes, method):
        leads = board.names.index(leader)
        before = moments_before(board, window_min * MINUTE_US)
        change = change_since(board, before)[leads]
        moment, slot = at = np.nonzero(
            onsets(board, change >= least_move) | onsets(board, change <= -least_move)
        )
        within = np.empty(len(board.time), np.int64)
        moments_within(board.time, board.begin, int(within_h * HOUR_US), within)
        end = within[moment]
        when = np.full((len(moment), len(board.names)), -2)
        first_passage(board.fair, before[moment], slot, leads, follow * change[at], moment, end, when)
        move, book = np.nonzero((when > -2) & ~np.isin(board.names, NOT_AN_ACCOUNT))
        until = when[move, book]
        minutes = (
            board.time[np.where(until >= 0, until, end[move] - 1)] - board.time[moment[move]]
        ) / MINUTE_US
        led = moves_at(
            board,
            np.full(len(move), leads),
            moment[move],
            slot[move],
            move=change[at][move],
            minutes=minutes,
            followed=until >= 0,
        )
        parts.append(led.assign(bookmaker=np.array(board.names, object)[book]))
    return in_order(parts, ["bookmaker", "at", "move", "minutes", "followed"]).astype({"followed": bool})


def reaction_times(found: pd.DataFrame) -> pd.DataFrame:
    """How long each bookmaker takes to follow, from `reactions`; moves not followed in time are censored.

    Returns
    -------
    DataFrame
        Index bookmaker, quickest first; columns moves (of the leader, while the bookmaker had a price),
        followed, censored, quarter_min and median_min: minutes by which a quarter and half have followed, by
        the estimate of Kaplan and Meier (1958), Journal of the American Statistical Association 53, 457-481;
        NaN where fewer ever do.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> times = ov.prices.reaction_times(ov.prices.reactions(quotes, "sharp", window_min=720))
    >>> times.index.name
    'bookmaker'
    """
    rows = {}
    for name, part in found.groupby("bookmaker"):
        minutes, followed = part["minutes"].to_numpy(float), part["followed"].to_numpy(bool)
        waiting = share_waiting(minutes, followed)
        reached = (waiting.index[waiting <= share + 1e-12] for share in (0.75, 0.5))
        quantiles = (at[0] if len(at) else np.nan for at in reached)
        rows[name] = (len(part), int(followed.sum()), int((~followed).sum()), *quantiles)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=_REACTION).rename_axis("bookmaker")
    return frame.astype({"quarter_min": float, "median_min": float}).sort_values(
        ["median_min", "quarter_min"], kind="stable"
    )


def share_waiting(minutes: Floats, followed: NDArray[np.bool_]) -> pd.Series:
    """Share of the moves not followed yet, by minute (Kaplan and Meier)."""
    moves = pd.DataFrame({"ended": 1, "followed": followed}).groupby(minutes).sum()
    waiting = moves["ended"][::-1].cumsum()[::-1]
    return (1 - moves["followed"] / waiting).cumprod()
