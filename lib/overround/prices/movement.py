"""How prices move: velocity, steam, reverse moves, time to react, stale prices. All in margin-free probabilities, by time of collection.

A move within a window can only be told as finely as the collector looked: between two polls that are further
apart, a window is their distance. Prices without a clock time (early, close) do not move.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.prices.board import Board, boards
from overround.prices.references import accounts_of, bookmakers_of
from overround.schema import NOT_AN_ACCOUNT, encode_like
from overround.times import HOUR_US, as_times

_MINUTE_US = HOUR_US // 60
_WHAT = ["event_id", "market", "line", "outcome"]
_REACTION = ["moves", "followed", "censored", "quarter_min", "median_min"]


def velocity(quotes: pd.DataFrame, method: str = "power", *, window_h: float = 1.0) -> pd.DataFrame:
    """How fast each bookmaker's margin-free probability moves, whenever it has changed a price.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    method : str
        Margin removal.
    window_h : float
        Hours over which the change is taken: from what stood so long before to now.

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
    for board in _moving(quotes, method):
        change = _change(board, _before(board, window_h * HOUR_US))
        fresh = _unmoved_since(board) == np.arange(len(board.time))
        at = np.nonzero(fresh[:, :, None] & ~np.isnan(change))
        parts.append(_rows(board, *at, fair=board.fair[at], per_hour=change[at] / window_h))
    return _tidy(parts, ["bookmaker", "at", "fair", "per_hour"])


def steam_moves(
    quotes: pd.DataFrame,
    method: str = "power",
    *,
    window_min: float = 30.0,
    least_books: int = 3,
    least_move: float = 0.02,
) -> pd.DataFrame:
    """Several bookmakers moving the same way within minutes.

    A selection steams from the moment at which at least `least_books` bookmakers, and more than move the
    other way, show a margin-free probability that differs by at least `least_move` (relative) from what they
    showed `window_min` minutes before.

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
        many moved so), move (mean relative change of these), bookmaker and price (the best price that stands
        at that moment), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> steam = ov.prices.steam_moves(quotes, window_min=720)
    >>> len(steam) > 0
    True
    """
    parts = []
    for board in _moving(quotes, method):
        accounts = ~board.of(NOT_AN_ACCOUNT)
        change = np.where(accounts, _change(board, _before(board, window_min * _MINUTE_US)), np.nan)
        price = np.where(accounts & ~np.isnan(board.price), board.price, 0.0)
        for direction in (1, -1):
            moved, against = direction * change >= least_move, direction * change <= -least_move
            books, others = moved.sum(axis=0), against.sum(axis=0)
            moment, slot = at = np.nonzero(_onset(board, (books >= least_books) & (books > others)))
            mean = np.where(moved[:, moment, slot], change[:, moment, slot], 0.0).sum(axis=0) / books[at]
            best = price[:, moment, slot].argmax(axis=0)
            given = {"books": books[at], "move": mean, "price": price[best, moment, slot]}
            parts.append(_rows(board, best, moment, slot, direction=np.full(len(moment), direction), **given))
    return _tidy(parts, ["at", "direction", "books", "move", "bookmaker", "price"])


def reverse_moves(
    quotes: pd.DataFrame, method: str = "power", *, window_min: float = 60.0, least_move: float = 0.02
) -> pd.DataFrame:
    """Moves against the market, and moves taken back.

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
        event_id, market, line, outcome, bookmaker, at, kind, move (the bookmaker's), against (what it moved
        against: the mean of the others, or its own earlier move), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> moves = ov.prices.reverse_moves(quotes, window_min=720)
    >>> len(moves) > 0
    True
    """
    parts = []
    for board in _moving(quotes, method):
        window = window_min * _MINUTE_US
        change = np.where(board.of(NOT_AN_ACCOUNT), np.nan, _change(board, _before(board, window)))
        # what it had been two windows ago against what it was one window ago
        earlier = (1 + _change(board, _before(board, 2 * window))) / (1 + change) - 1
        mean = _mean_of_others(change, 2)
        for kind, against, enough in (("consensus", mean, least_move / 2), ("own", earlier, least_move)):
            found = (np.abs(change) >= least_move) & (np.abs(against) >= enough) & (change * against < 0)
            at = np.nonzero(_onset(board, found))
            parts.append(
                _rows(
                    board, *at, kind=np.full(len(at[0]), kind, object), move=change[at], against=against[at]
                )
            )
    return _tidy(parts, ["bookmaker", "at", "kind", "move", "against"])


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
    had by the time that the leader's move was seen.

    Parameters
    ----------
    quotes, method
        As in `velocity`.
    leader : str
        A bookmaker.
    window_min, least_move
        What a move of the leader is.
    follow : float
        Share of the leader's move.
    within_h : float
        Hours after which one stops waiting.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, at (of the leader's move), move (the leader's), minutes
        (until the bookmaker followed, or as long as was looked), followed (bool; False is censored: it had
        not by then), ordered by time. It judges the past: a row is known only when its minutes are over.

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
    from overround.prices.board_kernels import first_passage

    names = bookmakers_of(quotes)
    if names and leader not in names:
        raise ParameterError(f"leader {leader!r} has no prices here; bookmakers are {', '.join(names)}.")
    parts = []
    for board in _moving(quotes, method):
        leads = board.names.index(leader)
        before = _before(board, window_min * _MINUTE_US)
        change = _change(board, before)[leads]
        moment, slot = at = np.nonzero(
            _onset(board, change >= least_move) | _onset(board, change <= -least_move)
        )
        end = _within(board, within_h * HOUR_US)[moment]
        when = np.full((len(moment), len(board.names)), -2)
        first_passage(board.fair, before[moment], slot, leads, follow * change[at], moment, end, when)
        move, book = np.nonzero((when > -2) & ~np.isin(board.names, NOT_AN_ACCOUNT))
        until = when[move, book]
        minutes = (
            board.time[np.where(until >= 0, until, end[move] - 1)] - board.time[moment[move]]
        ) / _MINUTE_US
        led = _rows(
            board,
            np.full(len(move), leads),
            moment[move],
            slot[move],
            move=change[at][move],
            minutes=minutes,
            followed=until >= 0,
        )
        parts.append(led.assign(bookmaker=np.array(board.names, object)[book]))
    return _tidy(parts, ["bookmaker", "at", "move", "minutes", "followed"]).astype({"followed": bool})


def reaction_times(found: pd.DataFrame) -> pd.DataFrame:
    """How long each bookmaker takes to follow, from `reactions`: those that did not in time count as later than was looked.

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
        rows[name] = (
            len(part),
            int(followed.sum()),
            int((~followed).sum()),
            *_waiting(minutes, followed, (0.25, 0.5)),
        )
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=_REACTION).rename_axis("bookmaker")
    return frame.astype({"quarter_min": float, "median_min": float}).sort_values(
        ["median_min", "quarter_min"], kind="stable"
    )


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
    moves nothing.

    Parameters
    ----------
    quotes, method
        As in `velocity`.
    least_move : float
        Relative change of the others' margin-free probability.
    least_books : int
        Others that must stand at that moment.
    bookmakers, max_age_h
        As in `value_signals`.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, at (the first moment at which it is so), price, since
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

    accounts = accounts_of(bookmakers_of(quotes), "", bookmakers)
    parts = []
    for board in _moving(quotes, method, max_age_h):
        counts = ~board.of(NOT_AN_ACCOUNT)
        step = np.zeros(board.fair.shape)
        step[:, 1:] = np.log(board.fair[:, 1:] / board.fair[:, :-1])
        step[:, _opens(board)] = np.nan
        index = _mean_of_others(np.where(counts, step, np.nan), 1)
        index[np.isnan(index)] = 0.0
        chain_cumsum(index, board.begin)
        unmoved = _unmoved_since(board)
        move = np.expm1(index - np.take_along_axis(index, unmoved[:, :, None], axis=1))
        others = _mean_of_others(np.where(counts, board.fair, np.nan), least_books)
        found = board.of(accounts) & (np.abs(move) >= least_move) & ~np.isnan(others) & ~np.isnan(board.price)
        book, moment, _ = at = np.nonzero(_onset(board, found))
        price, since = board.price[at], as_times(board.time[unmoved[book, moment]])
        parts.append(_rows(board, *at, price=price, since=since, move=move[at], edge=price * others[at] - 1))
    return _tidy(parts, ["bookmaker", "at", "price", "since", "move", "edge"])


def _moving(quotes: pd.DataFrame, method: str, max_age_h: float = 24.0) -> Iterator[Board]:
    """Boards of what has a clock."""
    return boards(quotes[quotes["phase"] == "snapshot"], method, max_age_h=max_age_h)


def _opens(board: Board) -> NDArray[np.bool_]:
    """Which moments are the first of their market."""
    return board.begin == np.arange(len(board.time))


def _before(board: Board, window: float) -> Whole:
    """For each moment the last one of the same market that is at least a window older; -1 where there is none."""
    from overround.prices.board_kernels import moment_before

    before = np.empty(len(board.time), np.int64)
    moment_before(board.time, board.begin, int(window), before)
    return before


def _change(board: Board, before: Whole) -> Floats:
    """Relative change of each bookmaker's probability since an earlier moment, (K, T, 3)."""
    change = board.fair / board.fair[:, np.maximum(before, 0)] - 1
    change[:, before < 0] = np.nan
    return change


def _unmoved_since(board: Board) -> Whole:
    """The moment since which a bookmaker's prices of a market are what they are, (K, T): a price that is only seen again has not moved."""
    price = board.price
    same = (price[:, 1:] == price[:, :-1]) | (np.isnan(price[:, 1:]) & np.isnan(price[:, :-1]))
    moved = np.ones(price.shape[:2], bool)
    moved[:, 1:] = ~same.all(axis=2)
    moved[:, _opens(board)] = True
    return np.maximum.accumulate(np.where(moved, np.arange(len(board.time)), 0), axis=1)


def _onset(board: Board, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where something begins: it is so, and was not at the moment before. The moments are the axis before the last."""
    was = np.zeros_like(found)
    was[..., 1:, :] = found[..., :-1, :]
    was[..., _opens(board), :] = False
    return found & ~was


def _within(board: Board, wait: float) -> Whole:
    """For each moment one past the last of the same market that is at most so much later."""
    from overround.prices.board_kernels import moments_within

    end = np.empty(len(board.time), np.int64)
    moments_within(board.time, board.begin, int(wait), end)
    return end


def _mean_of_others(values: Floats, least: int) -> Floats:
    """Mean over the other bookmakers; NaN where fewer than `least` have a value."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    others = known.sum(axis=0) - known
    return np.where(others >= least, (filled.sum(axis=0) - filled) / np.maximum(others, 1), np.nan)


def _waiting(minutes: Floats, followed: NDArray[np.bool_], shares: Sequence[float]) -> list[float]:
    """Minutes by which these shares have followed (Kaplan and Meier)."""
    order = np.lexsort((~followed, minutes))
    waiting = len(minutes) - np.arange(len(minutes))
    left = np.cumprod(1 - followed[order] / waiting)
    reached = [np.flatnonzero(left <= 1 - share + 1e-12) for share in shares]
    return [float(minutes[order][at[0]]) if len(at) else np.nan for at in reached]


def _rows(board: Board, book: Whole, moment: Whole, slot: Whole, **columns: Any) -> pd.DataFrame:
    """Which selection moved, where and when, with these columns."""
    frame = board.what(board.row[book, moment, slot])[_WHAT]
    return frame.assign(
        bookmaker=np.array(board.names, object)[book], at=as_times(board.time[moment]), **columns
    )


def _tidy(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The rows of all parts in order of time."""
    parts = [part for part in parts if len(part)]
    if not parts:
        kinds = dict.fromkeys((*_WHAT, "bookmaker", "kind"), "str") | dict.fromkeys(
            ("at", "since"), "datetime64[us, UTC]"
        )
        kinds["line"] = "float64"
        return pd.DataFrame(
            {column: pd.Series(dtype=kinds.get(column, "float64")) for column in (*_WHAT, *columns)}
        )
    words = [column for column in ("bookmaker", "kind") if column in columns]
    frame = pd.concat(parts, ignore_index=True)[[*_WHAT, *columns]].astype(dict.fromkeys(words, "str"))
    return encode_like(frame, parts[0]).sort_values(["at", *_WHAT, *words], kind="stable", ignore_index=True)
