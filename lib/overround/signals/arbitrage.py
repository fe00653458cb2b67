"""Bets that hedge each other: arbitrage, back against lay, dutching, middles.

Only standing prices of the same moment are combined.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.prices.board import Board, boards
from overround.prices.commission import check_commission, net_price, paid_out
from overround.prices.references import accounts_of
from overround.schema import COMMISSION
from overround.signals.selection import as_signals, bets, first_moments

# rounding in a sum of inverse prices is not a profit
_TINY = 1e-12


def arbitrage_signals(
    quotes: pd.DataFrame,
    min_return: float = 0.0,
    *,
    bookmakers: Sequence[str] | None = None,
    lay: bool = True,
    max_return: float = 0.25,
    max_age_h: float = 24.0,
    commission: Mapping[str, float] = COMMISSION,
) -> pd.DataFrame:
    """All outcomes of a market covered at the best prices of a moment, for the same profit whoever wins.

    Two kinds: the best back prices of all outcomes of a 1X2, totals or spreads market (one line), and an
    outcome backed at one account and laid at an exchange. Prices are net of commission: 1 + (price - 1)(1 -
    c), which overstates it where one exchange takes two of the bets, since it charges the net winnings of a
    market. Each is taken at the first moment at which it exists, once a market (once a selection against
    lay). Match odds with a draw and without one (`overround.prices.ways`) are not combined with each other.

    The stakes give the same return, the edge, whichever bet wins alone. All come back on a tie where match
    odds have two ways, and at a score on a whole line (over and under 3.0 at three goals, a handicap of 0 at
    a draw). Beside a quarter line half of one bet wins, half of the other is lost, and half of the return is
    left. What the worst score leaves is `guaranteed`.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    min_return : float
        Return, profit per unit laid out where one bet wins alone, that must be exceeded.
    bookmakers : sequence of str, optional
        Where there are accounts; by default everywhere.
    lay : bool
        Also back against lay.
    max_return : float
        A higher return is a data error or a palpable error.
    max_age_h : float
        As in `value_signals`.
    commission : mapping
        Bookmaker -> share of a winning bet's profit that it keeps.

    Returns
    -------
    DataFrame
        Signals, a row a bet: `probability` is the share of the outlay on the outcome (implied by the net
        prices) and `edge` the return. And: arbitrage (its number), share (of the outlay; stakes are in this
        proportion, a lay's outlay being its liability), guaranteed (least profit per unit laid out over all
        scores: 0 where one gives all stakes back). A lay's edge is per unit of its stake.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> sure = ov.arbitrage_signals(quotes)
    >>> len(sure) > 0, bool((sure["edge"] > 0).all())
    (True, True)
    """
    accounts = accounts_of(quotes, bookmakers)
    families: list[pd.DataFrame] = []
    for board in boards(quotes, None, max_age_h=max_age_h):
        kept = _kept(board, commission)
        backs = _by_ways(board, _net(board, accounts, kept))
        for slots, back in zip(((0, 2), (0, 1, 2)), backs, strict=True):
            families.append(_covers(board, slots, *back, min_return, max_return))
        if lay and board.lay is not None:
            worth = np.where(board.among(accounts), kept / (board.lay - (1 - kept)), np.nan)
            for back, layer in zip(backs, _by_ways(board, worth), strict=True):
                families.append(_back_and_lay(board, kept, *back, *layer, min_return, max_return))
    return _signals(families, "arbitrage", ("share", "guaranteed"))


def back_lay(
    back: ArrayLike, lay: ArrayLike, *, commission: ArrayLike = 0.0, back_commission: ArrayLike = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Back one unit and lay the same outcome at an exchange, so that the profit is the same whatever happens.

    Parameters
    ----------
    back, lay : array_like
        Decimal prices.
    commission, back_commission : array_like
        Share of a winning bet's profit that the exchange, and the place of the back bet, keep.

    Returns
    -------
    lay_stake : ndarray
        L = b / (l - c), with b the back price net of its commission: from b - 1 - L(l - 1) = L(1 - c) - 1.
    profit : ndarray
        L(1 - c) - 1, per unit backed; negative where it costs.
    outlay : ndarray
        1 + L(l - 1): the stake and the liability.

    Examples
    --------
    >>> import overround as ov
    >>> stake, profit, outlay = ov.signals.back_lay(3.2, 3.0, commission=0.02)
    >>> round(float(stake), 3), round(float(profit), 3), round(float(outlay), 3)
    (1.074, 0.052, 3.148)
    """
    b = net_price(np.asarray(back, float), 1 - np.asarray(back_commission, float))
    o, c = np.asarray(lay, float), np.asarray(commission, float)
    stake = b / (o - c)
    return stake, stake * (1 - c) - 1, 1 + stake * (o - 1)


def dutch(
    prices: ArrayLike,
    *,
    outlay: float | None = None,
    profit: float | None = None,
    commission: ArrayLike = 0.0,
) -> tuple[Floats, Floats]:
    """Stakes on some outcomes of a market so that whichever of them happens the profit is the same.

    Parameters
    ----------
    prices : array_like, shape (..., n_outcomes)
        Decimal odds of the outcomes that are backed.
    outlay : float, optional
        Money laid out in all, or
    profit : float, optional
        Money won if one of them happens. Exactly one of the two.
    commission : array_like
        Share of the winning bet's profit that is kept.

    Returns
    -------
    stakes : ndarray, shape (..., n_outcomes)
        In proportion to 1 / net price. NaN where a profit is wanted of prices whose inverses sum to one or
        more.
    profit : ndarray, shape (...)
        What is won if one of the outcomes happens; all is lost otherwise.

    Examples
    --------
    >>> import overround as ov
    >>> stakes, profit = ov.signals.dutch([3.0, 4.0], outlay=70)
    >>> stakes.round(2).tolist(), round(float(profit), 2)
    ([40.0, 30.0], 50.0)
    """
    if (outlay is None) == (profit is None):
        raise ParameterError(
            "dutching needs either outlay (money laid out in all) or profit (money to be won), not both."
        )
    inverse = 1 / net_price(np.asarray(prices, float), 1 - np.asarray(commission, float))
    book = inverse.sum(axis=-1)
    if outlay is None:
        money = np.where(book < 1, float(profit or 0) * book / np.where(book < 1, 1 - book, 1.0), np.nan)
    else:
        money = np.full(book.shape, float(outlay))
    return inverse / book[..., None] * money[..., None], money * (1 / book - 1)


def middle_signals(
    quotes: pd.DataFrame,
    max_break_even: float = 0.05,
    *,
    bookmakers: Sequence[str] | None = None,
    max_age_h: float = 24.0,
    max_return: float = 0.25,
    commission: Mapping[str, float] = COMMISSION,
) -> pd.DataFrame:
    """Over a lower line and under a higher one (spreads likewise): both bets win if the score is between.

    The stakes give the same return whichever wins alone. With R = 1 / (1/o1 + 1/o2) the return per unit laid
    out, one winner leaves R - 1 (mostly a small cost), two leave 2 R - 1, and the middle breaks even where
    the chance of both is (1 - R) / R. Only lines with a score between them that wins both bets in full make a
    middle; on whole lines a score on the border is one win and one stake back, on quarter lines there are
    half wins, and these are left out of the three figures.

    Parameters
    ----------
    quotes, bookmakers, max_age_h, commission
        As in `arbitrage_signals`.
    max_break_even : float
        Highest chance of both winning at which the middle breaks even. Zero or below: it is an arbitrage as
        well.
    max_return : float
        A higher R - 1 is a data error.

    Returns
    -------
    DataFrame
        Signals, two rows a middle, without probability and edge, once for each pair of lines, at the first
        moment. And: middle (its number), share (of the outlay), if_one and if_both (profit per unit laid
        out), break_even.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> len(ov.signals.middle_signals(quotes))  # no totals here, so no middles
    0
    """
    accounts = accounts_of(quotes, bookmakers)
    lined = quotes[quotes["market"].isin(("totals", "spreads"))]
    is_total, line_of_row = (lined["market"] == "totals").to_numpy(), lined["line"].to_numpy(float)
    families: list[pd.DataFrame] = []
    for board in boards(lined, None, max_age_h=max_age_h, across_lines=True):
        lines = board.names.count(board.names[0])
        net = _net(board, accounts, _kept(board, commission))
        # for each line and side the best account, both (lines, T, 3)
        best, price = _best(net.reshape(lines, -1, *net.shape[1:]), axis=1)
        best += (np.arange(lines) * (len(board.names) // lines))[:, None, None]
        total = is_total[board.row.max(axis=(0, 2))]
        # the score that each line asks for: goals, or the home team's lead
        line = line_of_row[board.row.reshape(lines, -1, len(total), 3).max(axis=(1, 3))]
        limit = np.where(total, line, -line)
        for low, high in combinations(range(lines), 2):
            # over the lower line and under the higher; the home team with the higher handicap, the away team
            # against the lower
            first, second = np.where(total, low, high), np.where(total, high, low)
            families.append(_middles(board, first, second, best, price, limit, max_break_even, max_return))
    return _signals(families, "middle", ("share", "if_one", "if_both", "break_even"))


def _kept(board: Board, commission: Mapping[str, float]) -> Floats:
    """Share of a win that each bookmaker pays out, (K, 1, 1)."""
    check_commission(commission)
    return paid_out(board.names, commission)[:, None, None]


def _net(board: Board, accounts: set[str], kept: Floats) -> Floats:
    """Prices net of commission where there is an account, else NaN."""
    mine = board.among(accounts)
    return np.where(mine, net_price(board.price, kept), np.nan)


def _best(values: Floats, axis: int = 0) -> tuple[Whole, Floats]:
    """Index of the highest value along an axis, and the value; NaN where there is none."""
    filled = np.where(np.isnan(values), -np.inf, values)
    best = filled.argmax(axis=axis)
    highest = np.take_along_axis(filled, np.expand_dims(best, axis), axis=axis).squeeze(axis)
    return best, np.where(np.isinf(highest), np.nan, highest)


def _by_ways(board: Board, values: Floats) -> list[tuple[Whole, Floats]]:
    """Bookmaker of the highest value and the value, (T, 3): where two outcomes make a market, and three.

    A bookmaker's match odds of two ways and another's of three are not outcomes of one market.
    """
    mixed, three = board.mixed[:, None], (board.ways == 3).any(axis=0)[:, None]
    usual = np.where(board.mixed, board.ways == 2, (board.ways > 0) | ~board.h2h)
    book, best = _best(np.where(usual[:, :, None], values, np.nan))
    wide, highest = book, best
    if mixed.any():
        wide, highest = _best(np.where(board.ways[:, :, None] == 3, values, np.nan))
        wide, highest = np.where(mixed, wide, book), np.where(mixed, highest, best)
    return [(book, np.where(three & ~mixed, np.nan, best)), (wide, np.where(three, highest, np.nan))]


def _least(gain: Floats, line: Floats, ways: NDArray[Any]) -> Floats:
    """The least profit over all scores of bets that gain as much whichever of them wins alone."""
    quarters = np.round(4 * line) % 4
    is_quarter = np.abs(4 * line - np.round(4 * line)) < 1e-9
    # a score on a whole line and a tie between two ways give all stakes back; beside a quarter line one half
    # wins while the other stake's half is lost
    back = (is_quarter & (quarters == 0)) | (ways == 2)
    return np.minimum(gain, np.where(back, 0.0, np.where(is_quarter & (quarters % 2 == 1), gain / 2, gain)))


def _covers(
    board: Board, slots: tuple[int, ...], best: Whole, net: Floats, least: float, most: float
) -> pd.DataFrame:
    """All outcomes of the markets that have these slots backed."""
    book = (1 / net[:, slots]).sum(axis=1)
    gain = 1 / book - 1
    moment, _ = first_moments(board, ((gain > least + _TINY) & (gain <= most))[:, None])
    legs = []
    for slot in slots:
        at = (best[moment, slot], moment, np.full(len(moment), slot))
        share = 1 / net[moment, slot] / book[moment]
        number, edge = np.arange(len(moment)), gain[moment]
        leg = bets(board, *at, number=number, probability=share, edge=edge, share=share)
        line, ways = leg["line"].to_numpy(float), leg["ways"].to_numpy(float, na_value=np.nan)
        legs.append(leg.assign(guaranteed=_least(edge, line, ways)))
    return pd.concat(legs, ignore_index=True)


def _back_and_lay(
    board: Board,
    kept: Floats,
    best: Whole,
    net: Floats,
    layer: Whole,
    worth: Floats,
    least: float,
    most: float,
) -> pd.DataFrame:
    """An outcome backed at one account and laid at another."""
    assert board.lay is not None  # noqa: S101  # the caller has looked
    taken = 1 - np.broadcast_to(kept, board.lay.shape)
    price, charged = (np.take_along_axis(values, layer[None], axis=0)[0] for values in (board.lay, taken))
    stake, profit, outlay = back_lay(net, price, commission=charged)
    gain = np.where(np.isnan(worth), np.nan, profit / outlay)
    moment, slot = first_moments(board, (gain > least + _TINY) & (gain <= most))
    at = (moment, slot)
    common: dict[str, Any] = {
        "number": np.arange(len(moment)),
        "guaranteed": _least(gain[at], np.full(len(moment), np.nan), board.ways[best[at], moment]),
        "probability": (1 + gain[at]) / net[at],
    }
    back = (best[at], moment, slot)
    liability = price[at] - 1
    return pd.concat(
        [
            bets(board, *back, edge=gain[at], share=1 / outlay[at], **common),
            bets(
                board,
                layer[at],
                moment,
                slot,
                side="lay",
                edge=gain[at] * liability,
                share=stake[at] * liability / outlay[at],
                **common,
            ),
        ],
        ignore_index=True,
    )


def _is_possible(over: Floats, under: Floats) -> NDArray[np.bool_]:
    """Whether a whole score wins both bets in full: a quarter line does so only a quarter further on."""
    lowest, highest = (
        over + np.where(over * 4 % 2 == 1, 0.25, 0.0),
        under - np.where(under * 4 % 2 == 1, 0.25, 0.0),
    )
    return np.floor(lowest) + 1 < highest


def _middles(
    board: Board,
    first: Whole,
    second: Whole,
    best: Whole,
    price: Floats,
    limit: Floats,
    most: float,
    max_return: float,
) -> pd.DataFrame:
    """The middles between two lines: at each moment one bet is on line `first`, the other on `second`."""
    every = np.arange(len(board.time))
    one, two = price[first, every, 0], price[second, every, 2]
    back = 1 / (1 / one + 1 / two)  # what either winner returns
    break_even = (1 - back) / back
    there = (break_even <= most) & (back - 1 <= max_return)
    there[there] = _is_possible(limit[first, every][there], limit[second, every][there])
    moment, _ = first_moments(board, there[:, None])
    given = {"if_one": back[moment] - 1, "if_both": 2 * back[moment] - 1, "break_even": break_even[moment]}
    legs = []
    for line, slot, net in ((first, 0, one), (second, 2, two)):
        at = (best[line[moment], moment, slot], moment, np.full(len(moment), slot))
        legs.append(
            bets(board, *at, number=np.arange(len(moment)), share=back[moment] / net[moment], **given)
        )
    return pd.concat(legs, ignore_index=True)


def _signals(families: Sequence[pd.DataFrame], strategy: str, extra: tuple[str, ...]) -> pd.DataFrame:
    """Signals whose column named after the strategy numbers the bets that belong together, in order."""
    offset = np.cumsum([0, *(len(family) for family in families)])
    parts = [
        family.assign(**{strategy: family["number"] + start})
        for family, start in zip(families, offset, strict=False)
    ]
    signals = as_signals(parts, strategy, (strategy, *extra))
    signals[strategy] = pd.factorize(signals[strategy])[0]
    return signals
