"""How prices move: velocity, steam, reverse moves, time to react, stale prices. All in margin-free probabilities, by time of collection.

A move within a window can only be told as finely as the collector looked: between two polls that are further apart, a window is their
distance. Prices without a clock time (early, close) do not move.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.board import HOUR_US, Board, Whole, boards
from overround.errors import ParameterError
from overround.margin import Floats
from overround.signals import accounts_of, bookmakers_of
from overround.tables import NOT_AN_ACCOUNT
from overround.times import as_times

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
        event_id, market, line, outcome, bookmaker, at, fair, per_hour (relative change of the probability an hour), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> speed = ov.velocity(quotes, window_h=12)
    >>> len(speed) > 0
    True
    """
    parts = []
    for board in _moving(quotes, method):
        change = _change(board, window_h * HOUR_US)
        fresh = _unmoved_since(board) == np.arange(len(board.time))
        at = np.nonzero(fresh[:, :, None] & ~np.isnan(change))
        parts.append(_rows(board, at, bookmaker=_names(board, at[0]), fair=board.fair[at], per_hour=change[at] / window_h))
    return _tidy(parts, ["bookmaker", "at", "fair", "per_hour"])


def steam_moves(
    quotes: pd.DataFrame, method: str = "power", *, window_min: float = 30.0, least_books: int = 3, least_move: float = 0.02
) -> pd.DataFrame:
    """Several bookmakers moving the same way within minutes.

    A selection steams from the moment at which at least `least_books` bookmakers, and more than move the other way, show a
    margin-free probability that differs by at least `least_move` (relative) from what they showed `window_min` minutes before.

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
        event_id, market, line, outcome, at, direction (1: more probable, the price shortens; -1), books (how many moved so), move (mean
        relative change of these), bookmaker and price (the best price that stands at that moment), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> steam = ov.steam_moves(quotes, window_min=720)
    >>> len(steam) > 0
    True
    """
    parts = []
    for board in _moving(quotes, method):
        change = _change(board, window_min * _MINUTE_US)
        change[np.isin(board.names, NOT_AN_ACCOUNT)] = np.nan
        up, down = change >= least_move, change <= -least_move
        risen, fallen = up.sum(axis=0), down.sum(axis=0)
        price = np.where(np.isnan(board.price) | board.of(NOT_AN_ACCOUNT), 0.0, board.price)
        for direction, moved, books, others in ((1, up, risen, fallen), (-1, down, fallen, risen)):
            moment, slot = at = np.nonzero(_onset(board, (books >= least_books) & (books > others)))
            mean = np.where(moved[:, moment, slot], change[:, moment, slot], 0.0).sum(axis=0) / books[at]
            best = price[:, moment, slot].argmax(axis=0)
            given = {"direction": np.full(len(moment), direction), "books": books[at], "move": mean, "price": price[best, moment, slot]}
            parts.append(_rows(board, (best, moment, slot), bookmaker=_names(board, best), **given))
    return _tidy(parts, ["at", "direction", "books", "move", "bookmaker", "price"])


def reverse_moves(quotes: pd.DataFrame, method: str = "power", *, window_min: float = 60.0, least_move: float = 0.02) -> pd.DataFrame:
    """Moves against the market, and moves taken back.

    `kind` "consensus": within the window a bookmaker's margin-free probability moved by at least `least_move` (relative) while the
    mean move of the others over the same window was the other way and at least half as large as `least_move`. `kind` "own": it
    moved by at least `least_move` after it had moved at least as far the other way in the window before.
    (What the press calls reverse line movement, a price against the public's money, cannot be seen in prices alone.)

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
        event_id, market, line, outcome, bookmaker, at, kind, move (the bookmaker's), against (what it moved against: the mean of the
        others, or its own earlier move), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> moves = ov.reverse_moves(quotes, window_min=720)
    >>> len(moves) > 0
    True
    """
    parts = []
    for board in _moving(quotes, method):
        window = window_min * _MINUTE_US
        change = _change(board, window)
        mine = ~board.of(NOT_AN_ACCOUNT)
        # what it had been two windows ago against what it was one window ago
        earlier = (1 + _change(board, 2 * window)) / (1 + change) - 1
        known = ~np.isnan(change) & mine
        moves = np.where(known, change, 0.0)
        others = known.sum(axis=0) - known
        mean = np.where(others >= 2, (moves.sum(axis=0) - moves) / np.maximum(others, 1), np.nan)
        for kind, against, enough in (("consensus", mean, least_move / 2), ("own", earlier, least_move)):
            found = mine & (np.abs(change) >= least_move) & (np.abs(against) >= enough) & (change * against < 0)
            at = np.nonzero(_onset(board, found))
            given = {"kind": np.full(len(at[0]), kind, object), "move": change[at], "against": against[at]}
            parts.append(_rows(board, at, bookmaker=_names(board, at[0]), **given))
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

    The leader moves at the first moment at which its margin-free probability differs by at least `least_move` (relative) from what it
    showed `window_min` minutes before. A bookmaker has followed when its own differs from what it showed then by at least `follow`
    times the leader's move, the same way; 0 minutes where it had by the time that the leader's move was seen.

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
        event_id, market, line, outcome, bookmaker, at (of the leader's move), move (the leader's), minutes (until the bookmaker
        followed, or as long as was looked), followed (bool; False is censored: it had not by then), ordered by time. It judges the past: a
        row is known only when its minutes are over.

    Raises
    ------
    ParameterError
        A leader without prices.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> found = ov.reactions(quotes, "sharp", window_min=720)
    >>> sorted(set(found["bookmaker"]))
    ['soft_1', 'soft_2', 'soft_3']
    """
    from overround.board_kernels import first_passage

    names = bookmakers_of(quotes)
    if names and leader not in names:
        raise ParameterError(f"leader {leader!r} has no prices here; bookmakers are {', '.join(names)}.")
    parts = []
    for board in _moving(quotes, method):
        leads = board.names.index(leader)
        before = _before(board, window_min * _MINUTE_US)
        change = _change(board, window_min * _MINUTE_US)[leads]
        moment, slot = at = np.nonzero(_onset(board, change >= least_move) | _onset(board, change <= -least_move))
        last = np.append(board.begin[1:] != board.begin[:-1], True)
        end = np.flatnonzero(last)[np.searchsorted(np.flatnonzero(last), moment)] + 1
        end = np.minimum(end, _moment_after(board, moment, within_h * HOUR_US))
        when = np.full((len(moment), len(board.names)), -2)
        first_passage(board.fair, before[moment], slot, leads, follow * change[at], moment, end, when)
        move, book = np.nonzero((when > -2) & ~np.isin(board.names, NOT_AN_ACCOUNT))
        until = when[move, book]
        minutes = (board.time[np.where(until >= 0, until, end[move] - 1)] - board.time[moment[move]]) / _MINUTE_US
        given = {"move": change[at][move], "minutes": minutes, "followed": until >= 0}
        place = (np.full(len(move), leads), moment[move], slot[move])
        parts.append(_rows(board, place, bookmaker=_names(board, book), **given))
    return _tidy(parts, ["bookmaker", "at", "move", "minutes", "followed"]).astype({"followed": bool})


def reaction_times(found: pd.DataFrame) -> pd.DataFrame:
    """How long each bookmaker takes to follow, from `reactions`: those that did not in time count as later than was looked.

    Returns
    -------
    DataFrame
        Index bookmaker, quickest first; columns moves (of the leader, while the bookmaker had a price), followed, censored, quarter_min
        and median_min: minutes by which a quarter and half have followed, by the estimate of Kaplan and Meier (1958), Journal of the
        American Statistical Association 53, 457-481; NaN where fewer ever do.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> times = ov.reaction_times(ov.reactions(quotes, "sharp", window_min=720))
    >>> times.index.name
    'bookmaker'
    """
    rows = {}
    for name, part in found.groupby("bookmaker"):
        minutes, followed = part["minutes"].to_numpy(float), part["followed"].to_numpy(bool)
        rows[name] = (len(part), int(followed.sum()), int((~followed).sum()), *_waiting(minutes, followed, (0.25, 0.5)))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=_REACTION).rename_axis("bookmaker")
    return frame.astype({"quarter_min": float, "median_min": float}).sort_values(["median_min", "quarter_min"], kind="stable")


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

    The others' move since a bookmaker last changed the market is a chain of means: at each moment the mean change in log probability of
    those that showed a price before and after, so that one that comes or goes moves nothing.

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
        event_id, market, line, outcome, bookmaker, at (the first moment at which it is so), price, since (when the bookmaker last changed
        the market), move (the others', relative), edge (price x mean probability of the others - 1: what the price is worth if
        they are right), ordered by time.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> stale = ov.stale_prices(quotes)
    >>> "sharp" in set(stale["bookmaker"])
    False
    """
    from overround.board_kernels import chain_cumsum

    accounts = accounts_of(bookmakers_of(quotes), "", bookmakers)
    parts = []
    for board in _moving(quotes, method, max_age_h):
        counts = ~board.of(NOT_AN_ACCOUNT)
        step = np.zeros(board.fair.shape)
        step[:, 1:] = np.log(board.fair[:, 1:] / board.fair[:, :-1])
        step[:, board.begin == np.arange(len(board.time))] = np.nan
        index = _mean_of_others(np.where(counts, step, np.nan), 1)
        index[np.isnan(index)] = 0.0
        chain_cumsum(index, board.begin)
        unmoved = _unmoved_since(board)
        move = np.expm1(index - np.take_along_axis(index, unmoved[:, :, None], axis=1))
        others = _mean_of_others(np.where(counts, board.fair, np.nan), least_books)
        mine = board.of(accounts)
        found = mine & (np.abs(move) >= least_move) & ~np.isnan(others) & ~np.isnan(board.price)
        book, moment, _ = at = np.nonzero(_onset(board, found))
        price, since = board.price[at], as_times(board.time[unmoved[book, moment]])
        given = {"price": price, "since": since, "move": move[at], "edge": price * others[at] - 1}
        parts.append(_rows(board, at, bookmaker=_names(board, book), **given))
    return _tidy(parts, ["bookmaker", "at", "price", "since", "move", "edge"])


def lowest_margin(quotes: pd.DataFrame) -> str:
    """The bookmaker with the lowest median overround: who leads, most likely, where nobody is known to. Empty where there is none.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> ov.lowest_margin(quotes)
    'sharp'
    """
    found: dict[str, list[Floats]] = {}
    for board in boards(quotes, "multiplicative", max_age_h=None):
        for name, book in zip(board.names, board.overround, strict=True):
            if name not in NOT_AN_ACCOUNT:
                found.setdefault(name, []).append(book[~np.isnan(book)])
    medians = {name: float(np.median(np.concatenate(parts))) for name, parts in found.items() if sum(map(len, parts))}
    return min(medians, key=lambda name: medians[name], default="")


def _moving(quotes: pd.DataFrame, method: str, max_age_h: float = 24.0) -> Iterator[Board]:
    """Boards of what has a clock."""
    yield from boards(quotes[quotes["phase"] == "snapshot"], method, max_age_h=max_age_h)


def _before(board: Board, window: float) -> Whole:
    from overround.board_kernels import moment_before

    before = np.empty(len(board.time), np.int64)
    moment_before(board.time, board.begin, int(window), before)
    return before


def _change(board: Board, window: float) -> Floats:
    """Relative change of each bookmaker's probability since what stood a window ago, (K, T, 3)."""
    before = _before(board, window)
    change = board.fair / board.fair[:, np.maximum(before, 0)] - 1
    change[:, before < 0] = np.nan
    return change


def _unmoved_since(board: Board) -> Whole:
    """The moment since which a bookmaker's prices of a market are what they are, (K, T): a price that is only seen again has not moved."""
    price = board.price
    same = (price[:, 1:] == price[:, :-1]) | (np.isnan(price[:, 1:]) & np.isnan(price[:, :-1]))
    moved = np.ones(price.shape[:2], bool)
    moved[:, 1:] = ~same.all(axis=2)
    moved[:, board.begin == np.arange(len(board.time))] = True
    return np.maximum.accumulate(np.where(moved, np.arange(len(board.time)), 0), axis=1)


def _onset(board: Board, found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where something begins: it is so, and was not at the moment before. The moments are the axis before the last."""
    was = np.zeros_like(found)
    was[..., 1:, :] = found[..., :-1, :]
    was[..., board.begin == np.arange(len(board.time)), :] = False
    return found & ~was


def _moment_after(board: Board, moment: Whole, wait: float) -> Whole:
    """One past the last moment of the same market that is at most so much later."""
    number = np.cumsum(board.begin == np.arange(len(board.time))) - 1
    order = np.lexsort((np.append(np.zeros(len(board.time)), np.ones(len(moment))),
                        np.append(board.time, board.time[moment] + int(wait)), np.append(number, number[moment])))  # fmt: skip
    ahead = np.cumsum(order < len(board.time))
    after = np.empty(len(moment), np.int64)
    asked = order >= len(board.time)
    after[order[asked] - len(board.time)] = ahead[asked]
    return after


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


def _names(board: Board, book: Whole) -> NDArray[np.object_]:
    return np.array(board.names, object)[book]


def _rows(board: Board, at: tuple[NDArray[Any], ...], **columns: Any) -> pd.DataFrame:
    """What moved and when, with these columns."""
    book, moment, slot = at
    frame = board.what(board.row[book, moment, slot])[_WHAT]
    return frame.assign(at=as_times(board.time[moment]), **columns)


def _tidy(parts: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """The rows of all parts in order of time."""
    parts = [part for part in parts if len(part)]
    if not parts:
        kinds = {
            **dict.fromkeys(("at", "since"), "datetime64[us, UTC]"),
            **dict.fromkeys((*_WHAT, "bookmaker", "kind"), "str"),
            "line": float,
        }
        return pd.DataFrame({column: pd.Series(dtype=kinds.get(column, float)) for column in (*_WHAT, *columns)})
    frame = pd.concat(parts, ignore_index=True)[[*_WHAT, *columns]]
    for name in {"bookmaker", "kind"} & set(columns):
        frame[name] = frame[name].astype("str")
    return frame.sort_values(["at", *_WHAT, *({"bookmaker", "kind"} & set(columns))], kind="stable", ignore_index=True)
