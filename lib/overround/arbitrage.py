"""Bets that hedge each other: arbitrage, back against lay, dutching, middles. Only standing prices of one moment are put together."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from overround.backtest import COMMISSION
from overround.board import Board, Whole, boards, check_quotes
from overround.errors import ParameterError
from overround.margin import Floats
from overround.signals import as_signals, bets
from overround.tables import NOT_AN_ACCOUNT

_ARBITRAGE = ("arbitrage", "share", "guaranteed", "lasts_s")
_MIDDLE = ("middle", "share", "if_one", "if_both", "break_even")


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
    """Every outcome of a market covered at one moment, at the best prices over the accounts, so that the profit is the same whatever happens.

    Two kinds: the best back prices of all outcomes of a 1X2, totals or spreads market (one line), and an outcome backed at one account and
    laid at an exchange. Prices are net of commission: 1 + (price - 1)(1 - c), which overstates it where one exchange takes two of
    the bets, since it charges the net winnings of a market. Each is taken at the first moment at which it is there, once a market (once
    a selection against lay).

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    min_return : float
        Profit per unit laid out that must be exceeded.
    bookmakers : sequence of str, optional
        Where there are accounts; by default everywhere.
    lay : bool
        Also back against lay.
    max_return : float
        More than that is a mistake of the data or a palpable error.
    max_age_h : float
        As in `value_signals`.
    commission : mapping
        Bookmaker -> share of a winning bet's profit that it keeps.

    Returns
    -------
    DataFrame
        Signals, a row a bet: `probability` is the share of the outlay on the outcome (the prices' own, net, less what they leave) and
        `edge` the guaranteed return. And: arbitrage (its number), share (of the outlay; stakes are in this proportion, a lay's
        outlay being its liability), guaranteed (profit per unit laid out), lasts_s (seconds until the prices are seen to be gone; NaN if
        they stood at the last moment before kick-off).
    """
    parts: list[pd.DataFrame] = []
    for board in _boards(quotes, max_age_h):
        mine = _accounts(board, bookmakers)
        net = _net(board, commission)
        best, price = _best(np.where(mine & (board.price > 1), net, np.nan))
        for slots in ([0, 1, 2], [0, 2]):
            # two-way only where nobody has shown a draw
            book = (1 / price[:, slots]).sum(axis=1)
            there = book <= 1 / (1 + min_return) if len(slots) == 3 else (book <= 1 / (1 + min_return)) & _two_way(board)
            there &= (book >= 1 / (1 + max_return)) & (book < 1)
            moment, lasts = _first_and_lasts(board, there)
            number = sum(len(part) for part in parts) + np.arange(len(moment))
            for slot in slots:
                at = (best[moment, slot], moment, np.full(len(moment), slot))
                share = 1 / price[moment, slot] / book[moment]
                given = {"price": board.price[at], "probability": share, "edge": 1 / book[moment] - 1}
                parts.append(bets(board, *at, **given, arbitrage=number, share=share, guaranteed=given["edge"], lasts_s=lasts))
        if lay and board.lay is not None:
            parts += _against_lay(board, mine, best, price, min_return, max_return, commission, sum(map(len, parts)))
    return _numbered(as_signals(parts, "arbitrage", _ARBITRAGE), "arbitrage")


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
    """
    b = 1 + (np.asarray(back, float) - 1) * (1 - np.asarray(back_commission, float))
    o, c = np.asarray(lay, float), np.asarray(commission, float)
    stake = b / (o - c)
    return stake, stake * (1 - c) - 1, 1 + stake * (o - 1)


def dutch(
    prices: ArrayLike, *, outlay: float | None = None, profit: float | None = None, commission: ArrayLike = 0.0
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
        In proportion to 1 / net price. NaN where a profit is wanted of prices whose inverses sum to one or more.
    profit : ndarray, shape (...)
        What is won if one of the outcomes happens; all is lost otherwise.

    Examples
    --------
    >>> stakes, profit = dutch([3.0, 4.0], outlay=70)
    >>> stakes.round(2).tolist(), round(float(profit), 2)
    ([40.0, 30.0], 50.0)
    """
    if (outlay is None) == (profit is None):
        raise ParameterError("dutching needs either outlay (money laid out in all) or profit (money to be won), not both.")
    inverse = 1 / (1 + (np.asarray(prices, float) - 1) * (1 - np.asarray(commission, float)))
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
    """Over a lower line and under a higher one (spreads likewise): if the score ends between them, both bets win.

    The stakes give the same return whichever wins alone. With R = 1 / (1/o1 + 1/o2) the return per unit laid out, one winner leaves
    R - 1 (mostly a small cost), two leave 2 R - 1, and the middle breaks even where the chance of both is (1 - R) / R. On whole
    lines a score on the border is one win and one stake back, which is left out here, as are half wins of quarter lines.

    Parameters
    ----------
    quotes, bookmakers, max_age_h, commission
        As in `arbitrage_signals`.
    max_break_even : float
        Highest chance of both winning at which the middle breaks even. Zero or below: it is an arbitrage as well.
    max_return : float
        A higher R - 1 is a mistake of the data.

    Returns
    -------
    DataFrame
        Signals, two rows a middle, without probability and edge, once for each pair of lines, at the first moment. And: middle (its
        number), share (of the outlay), if_one and if_both (profit per unit laid out), break_even.
    """
    parts: list[pd.DataFrame] = []
    for board in _boards(quotes[quotes["market"].isin(("totals", "spreads"))], max_age_h, across_lines=True):
        names = board.names
        lines = names.count(names[0])
        k = len(names) // lines
        net = np.where(_accounts(board, bookmakers) & (board.price > 1), _net(board, commission), np.nan)
        # for each line and side the best account, shape (lines, T, 3)
        best, price = _best(net.reshape(lines, k, *net.shape[1:]), axis=1)
        for low, high in product(range(lines), repeat=2):
            if low == high:
                continue
            found = _middles_of(board, low, high, k, best, price, max_break_even, max_return)
            for part in found:
                part["middle"] += sum(map(len, parts)) if part is found[0] else sum(map(len, parts)) - len(part)
                parts.append(part)
    return _numbered(as_signals(parts, "middle", _MIDDLE), "middle")
