"""Value against a reference: from quotes to signals, without look-ahead and without results."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.formatting import percent
from overround.prices.board import Board, boards
from overround.prices.periods import Reference, check_periods, reference_opinions, reference_words
from overround.prices.references import accounts_of, bookmakers_of, check_reference, spread_of_accounts
from overround.signals.selection import as_signals, bets, first_and_best


def value_signals(
    quotes: pd.DataFrame,
    reference: Reference = "pinnacle",
    method: str = "power",
    min_edge: float = 0.02,
    *,
    bookmakers: Sequence[str] | None = None,
    at_close: bool = False,
    max_age_h: float = 24.0,
    max_price: float = 15.0,
    max_edge: float = 0.25,
    weights: Mapping[str, float] | pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Bets at prices that are better than a reference thinks fair.

    At each time that any price of a selection is collected, every account's standing price is compared with
    the reference's margin-free probability at that time. The time is the collector's (`collected_at`), not
    the bookmaker's: a change between two polls is known only at the second, for all bookmakers at once. A
    selection is bet once: at the first time that an account's edge reaches `min_edge`, at the best such
    price.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes` as `Store.read` gives it, with `starts_at`.
    reference : str or DataFrame
        A bookmaker believed to be sharp, or one of `overround.prices.references.REFERENCES`: consensus,
        consensus_median, consensus_margin, consensus_accuracy, exchange_mid, close (this one only with
        `at_close`). The judged bookmaker is left out of it. Or one for each period, found from the past: what
        `forecasts.reference_periods` returned. Where that one has shown no price of a market so far, the mean
        of at least three others takes its place; where it has and shows none any more, there is no bet.
    method : str
        Margin removal, one of `overround.prices.METHODS`.
    min_edge : float
        Least expected profit per unit staked: fair probability x price - 1, the price less an exchange's
        commission (`COMMISSION`).
    bookmakers : sequence of str, optional
        Where there are accounts; by default every bookmaker but the reference. Market averages and maxima
        count only if named.
    at_close : bool
        Bet at closing prices (the last before kick-off, whatever their age), placed at kick-off, instead of
        at any earlier price.
    max_age_h : float
        Prices of a market that a bookmaker has not changed for more than this many hours no longer stand.
    max_price : float
        Longer prices are ignored: there the reference's own error is as large as the edge.
    max_edge : float
        A larger edge is a data error or a price that the bookmaker would void, not an opportunity.
    weights : mapping or DataFrame, optional
        For consensus_accuracy: bookmaker -> weight (`accuracy_weights`), or what `past_accuracy_weights`
        returned.

    Returns
    -------
    DataFrame
        Signals: a row a bet, ordered by time of placement. `edge_se` is the standard error of the edge, price
        x s / sqrt(m): s the standard deviation (n - 1) of the margin-free probabilities of all other accounts
        at that moment, m the effective number of opinions in the reference (1 for a bookmaker, their number
        for a mean, (sum w)^2 / sum w^2 with weights, 2/pi of it for a median). It assumes that the
        bookmakers' errors are independent, so it is rather too small for a consensus; NaN with fewer than two
        others. `reference` is whose probability it is.

    Raises
    ------
    ParameterError
        A reference or bookmaker without prices here, a reference that cannot be known yet, missing weights.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp", min_edge=0.02)
    >>> len(signals) > 0, bool((signals["edge"] >= 0.02).all()), "sharp" in set(signals["bookmaker"])
    (True, True, False)
    """
    if isinstance(reference, str):
        accounts = accounts_of(quotes, bookmakers, reference)
        if names := bookmakers_of(quotes):
            check_reference(reference, names, quotes=quotes, weights=weights, at_close=at_close)
    else:
        check_periods(reference)
        accounts = accounts_of(quotes, bookmakers)
    parts = []
    for board in boards(quotes, method, at_close=at_close, max_age_h=max_age_h):
        *value, wanted = standing_value(
            board, reference, accounts, (min_edge, max_edge, max_price), weights=weights
        )
        parts.append(value_bets(board, first_and_best(board, wanted), *value))
    return as_signals(
        parts, f"value against {reference_words(reference)} ({method}, edge from {percent(min_edge)})"
    )


def standing_value(
    board: Board,
    reference: Reference,
    accounts: set[str],
    limits: tuple[float, float, float],
    weights: Mapping[str, float] | pd.DataFrame | None = None,
) -> tuple[Floats, Floats, pd.Categorical, Floats, NDArray[np.bool_]]:
    """Probabilities, numbers of opinions and whose, edges, and which are worth a bet; (K, T, 3), whose (T,).

    `limits` are the least and the largest edge, and the longest price.
    """
    probability, opinions, whose = reference_opinions(board, reference, weights)
    edge = probability * board.net - 1
    least, most, longest = limits
    wanted = (edge >= least) & (edge <= most) & (board.price <= longest) & board.among(accounts)
    return probability, opinions, whose, edge, wanted


def value_bets(
    board: Board,
    at: tuple[Whole, ...],
    probability: Floats,
    opinions: Floats,
    whose: pd.Categorical,
    edge: Floats,
) -> pd.DataFrame:
    """Bets at these bookmakers, moments and slots, with the standard errors of their edges."""
    book, moment, slot = at
    fair = board.fair[:, moment, slot]
    if board.mixed.any():
        fair[board.ways[:, moment] != board.ways[book, moment]] = np.nan
    spread = spread_of_accounts(fair, board.names, book)
    return bets(
        board,
        *at,
        probability=probability[at],
        edge=edge[at],
        edge_se=board.net[at] * spread / np.sqrt(opinions[at]),
        reference=whose[moment],
    )
