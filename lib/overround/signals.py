"""What a strategy wants to bet: from quotes to signals, without a look ahead. Nothing here knows a result."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.arrays import Floats, Whole
from overround.board import Board, boards, check_quotes
from overround.errors import ParameterError
from overround.odds import SELECTION
from overround.references import CLOSE, CONSENSUS, EXCHANGE, REFERENCES, board_reference, check_reference, spread
from overround.tables import NOT_AN_ACCOUNT, OPTIONAL_SIGNAL_COLUMNS, SIGNAL_COLUMNS
from overround.times import as_times, microseconds

CARRIED = ("starts_at", "competition", "season")
_CLOSING_COLUMNS = (*SELECTION, "bookmaker", "closing_price", "closing_fair")


def value_signals(
    quotes: pd.DataFrame,
    reference: str = "pinnacle",
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

    At each time that any price of a selection is collected, every account's standing price is held against the reference's
    margin-free probability as it stood then. The time is the collector's (`collected_at`), not the bookmaker's: what changed between
    two polls is known only at the second, and then of all bookmakers at once. A selection is bet once: at the first time that an
    account's edge reaches `min_edge`, at the best such price.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes` as `Store.read` gives it, with `starts_at`.
    reference : str
        A bookmaker believed to be sharp, or one of `overround.references.REFERENCES`: consensus, consensus_median, consensus_margin,
        consensus_accuracy, exchange_mid, close (this one only with `at_close`). Who is judged has no say in it.
    method : str
        Margin removal, one of `overround.odds.METHODS`.
    min_edge : float
        Least expected profit per unit staked: fair probability x price - 1, the price less an exchange's commission (`COMMISSION`).
    bookmakers : sequence of str, optional
        Where there are accounts; by default every bookmaker but the reference. Market averages and maxima are no accounts
        unless they are named here.
    at_close : bool
        Bet at closing prices (the last before kick-off, whatever their age), placed at kick-off, instead of at any earlier price.
    max_age_h : float
        Prices of a market that a bookmaker has not changed for more than this many hours no longer stand.
    max_price : float
        Longer prices are left alone: there the reference's own error is as large as the edge.
    max_edge : float
        A larger edge is a mistake of the data or one that the bookmaker would void, not an opportunity.
    weights : mapping or DataFrame, optional
        For consensus_accuracy: bookmaker -> weight (`accuracy_weights`), or what `past_accuracy_weights` returned.

    Returns
    -------
    DataFrame
        Signals: a row a bet, ordered by time of placement. `edge_se` is the standard error of the edge, price x s / sqrt(m): s the
        standard deviation (n - 1) of the margin-free probabilities of all other accounts at that moment, m the effective number of
        opinions in the reference (1 for a bookmaker, their number for a mean, (sum w)^2 / sum w^2 with weights, 2/pi of it for a
        median). It takes the bookmakers' errors as independent, so it is rather too small for a consensus; NaN with fewer than two others.

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
    names = bookmakers_of(quotes)
    accounts = accounts_of(names, reference, bookmakers)
    if names:
        lay = reference != EXCHANGE or bool((quotes["market"] == "h2h_lay").any())
        check_reference(reference, names, lay=lay, weights=weights, at_close=at_close)
    parts = []
    for board in boards(quotes, method, at_close=at_close, max_age_h=max_age_h):
        probability, opinions = board_reference(board, reference, weights)
        edge = probability * board.net - 1
        mine = board.of(accounts)
        wanted = (edge >= min_edge) & (edge <= max_edge) & (board.price <= max_price) & mine
        book, moment, slot = first_and_best(board, wanted)
        at, price = (book, moment, slot), board.price[book, moment, slot]
        se = board.net[at] * spread(board.fair[:, moment, slot], board.names, book) / np.sqrt(opinions[at])
        parts.append(bets(board, *at, price=price, probability=probability[at], edge=edge[at], edge_se=se))
    return as_signals(parts, f"value against {reference} ({method}, edge from {100 * min_edge:.1f}\N{NO-BREAK SPACE}%)")


def seed_signals(
    quotes: pd.DataFrame,
    min_mean: float = 2.0,
    max_spread: float = 0.2,
    *,
    bookmakers: Sequence[str] | None = None,
    at_close: bool = False,
    max_age_h: float = 24.0,
) -> pd.DataFrame:
    """The rule that this workbench grew from, kept as a baseline: buy where bookmakers agree on a price above evens, else ignore.

    A selection is bought at the first moment at which the mean of its standing prices over bookmakers is above `min_mean` and their
    standard deviation (n - 1, over bookmakers, at that moment; at least two) is below `max_spread`: at the best price of an account.

    Parameters
    ----------
    quotes, bookmakers, at_close, max_age_h
        As in `value_signals`; the mean is over all bookmakers, market averages and maxima left out.
    min_mean : float
        Of the price.
    max_spread : float
        Of the price.

    Returns
    -------
    DataFrame
        Signals; the rule has no probability and no edge, so stake them flat or as a percentage.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.seed_signals(quotes)
    >>> "edge" in signals
    True
    """
    names = bookmakers_of(quotes)
    accounts = accounts_of(names, "", bookmakers)
    parts = []
    for board in boards(quotes, None, at_close=at_close, max_age_h=max_age_h):
        mean, deviation = mean_and_deviation(board.price, board.names)
        buy = (mean > min_mean) & (deviation < max_spread)
        mine = board.of(accounts)
        at = first_and_best(board, buy & ~np.isnan(board.price) & mine)
        parts.append(bets(board, *at, price=board.price[at]))
    return as_signals(parts, f"seed rule (mean price above {min_mean:g}, spread below {max_spread:g})")


def blind_signals(quotes: pd.DataFrame, bookmaker: str, outcome: str, *, market: str = "h2h", at_close: bool = False) -> pd.DataFrame:
    """Bets on one outcome of every match, at one bookmaker's price: the baseline that every strategy has to beat.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    bookmaker : str
        Here also `market_average` or `market_maximum`.
    outcome : str
        home, draw, away, over or under.
    market : str
        h2h, totals or spreads.
    at_close : bool
        At the closing price instead of the first price seen.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> len(ov.blind_signals(quotes, "sharp", "home")) == len(events)
    True
    """
    mine = quotes[(quotes["bookmaker"] == bookmaker) & (quotes["outcome"] == outcome) & (quotes["market"] == market)]
    parts = []
    for board in boards(mine, None, at_close=at_close, max_age_h=None):
        at = first_and_best(board, ~np.isnan(board.price))
        parts.append(bets(board, *at, price=board.price[at]))
    return as_signals(parts, f"every {outcome} at {bookmaker}")


def closing_lines(
    quotes: pd.DataFrame,
    reference: str = CONSENSUS,
    method: str = "power",
    *,
    weights: Mapping[str, float] | pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Closing prices and what they say: the last price of each bookmaker before kick-off, and the reference's fair probability then.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    reference, method, weights
        As in `value_signals`, but of the whole market: here no bookmaker is left out. Where the reference has no closing price, the
        mean of all bookmakers stands in, where there are three.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, closing_price, closing_fair. An exchange's lay prices keep their market, h2h_lay,
        and are judged by the same probability.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> closing = ov.closing_lines(quotes, "sharp")
    >>> closing[["closing_price", "closing_fair"]].notna().all().tolist()
    [True, True]
    """
    parts = []
    for board in boards(quotes, method, at_close=True, judged_later=True):
        closing = board_reference(board, CONSENSUS, judged=False)[0][0]
        # asked for but not there (an exchange without lay prices, a bookmaker that has left): the mean stands in
        if reference not in (CONSENSUS, CLOSE) and reference in (*board.names, *REFERENCES):
            check_reference(reference, board.names, weights=weights)
            own = board_reference(board, reference, weights, judged=False)[0][0]
            closing = np.where(np.isnan(own), closing, own)
        for rows in (board.row, board.lay_row):
            if rows is not None:
                _, moment, slot = at = np.nonzero(rows >= 0)
                parts.append((rows[at], closing[moment, slot]))
    if not parts:
        kinds = {"line": float, "closing_price": float, "closing_fair": float}
        return pd.DataFrame({column: pd.Series(dtype=kinds.get(column, "str")) for column in _CLOSING_COLUMNS})
    row, fair = (np.concatenate(part) for part in zip(*parts, strict=True))
    prices = quotes[[*SELECTION, "bookmaker", "price"]].iloc[row].reset_index(drop=True)
    return prices.rename(columns={"price": "closing_price"}).assign(closing_fair=fair)


def closing_quotes(quotes: pd.DataFrame) -> pd.DataFrame:
    """The closing quotes: those that the provider calls so, and the last snapshot of each bookmaker and selection before kick-off.

    Their `observed_at` is empty, so that a market's outcomes are seen as one market although they were last touched at different times.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> last = ov.closing_quotes(quotes)
    >>> len(last) == len(events) * 4 * 3
    True
    """
    check_quotes(quotes)
    # `not >=`: a price without a clock time (early, close) was shown before kick-off by the provider's word
    prices = quotes[~(quotes["observed_at"] >= quotes["starts_at"])]
    snapshots = prices[prices["phase"] == "snapshot"].sort_values("observed_at", kind="stable")
    last = snapshots.drop_duplicates([*SELECTION, "bookmaker"], keep="last")
    closing = pd.concat([prices[prices["phase"] == "close"], last])
    return closing.assign(observed_at=pd.Series(pd.NaT, index=closing.index, dtype="datetime64[us, UTC]"))


def mean_and_deviation(values: Floats, names: Sequence[str]) -> tuple[Floats, Floats]:
    """Mean and standard deviation (n - 1) over the accounts of a board's array (K, T, 3); NaN with fewer than two."""
    known = ~np.isnan(values) & ~np.isin(names, NOT_AN_ACCOUNT)[:, None, None]
    n = known.sum(axis=0)
    # sums over the first axis run book by book: a bookmaker that comes later changes no digit of what was before
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(n, 1)
    squares = np.where(known, (values - mean) ** 2, 0.0).sum(axis=0)
    enough = n >= 2
    return np.where(enough, mean, np.nan), np.where(enough, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)


def bets(board: Board, book: Whole, moment: Whole, slot: Whole, *, side: str = "back", **columns: Any) -> pd.DataFrame:
    """Bets at a board's standing prices, with these columns; `as_signals` puts them in order."""
    rows = board.lay_row if side == "lay" else board.row
    assert rows is not None  # noqa: S101  # who lays has seen a price
    frame = board.what(rows[book, moment, slot])
    return frame.assign(bookmaker=np.array(board.names, object)[book], side=side, placed_at=as_times(board.time[moment]), **columns)


def as_signals(parts: Sequence[pd.DataFrame], strategy: str, extra: Sequence[str] = ()) -> pd.DataFrame:
    """Signals of some parts: all their columns, then the extra ones, ordered by time of placement."""
    columns = [*SIGNAL_COLUMNS, *OPTIONAL_SIGNAL_COLUMNS, *CARRIED, *extra]
    parts = [part for part in parts if len(part)]
    if not parts:
        text = {"event_id", "market", "outcome", "side", "bookmaker", "strategy", "competition", "season"}
        kinds = {**dict.fromkeys(text, "str"), "placed_at": "datetime64[us, UTC]", "starts_at": "datetime64[us, UTC]"}
        return pd.DataFrame({column: pd.Series(dtype=kinds.get(column, float)) for column in columns})
    frame = pd.concat(parts, ignore_index=True)
    frame = frame.assign(strategy=strategy).reindex(columns=columns)
    frame["bookmaker"] = frame["bookmaker"].astype("str")
    frame["side"] = frame["side"].astype("str")
    keys = [pd.factorize(frame[name], sort=True)[0] for name in ("bookmaker", "outcome", "line", "market", "event_id")]
    order = np.lexsort((*keys, microseconds(frame["placed_at"])))
    return frame.iloc[order].reset_index(drop=True)


def first_moments(board: Board, wanted: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """First moment, over all phases, of each market and column of `wanted` (T, n) at which it is true, and that column."""
    moment, column = np.nonzero(wanted)
    selection = board.market[moment] * wanted.shape[1] + column
    order = np.lexsort((board.time[moment], selection))
    first = order[np.diff(selection[order], prepend=-1) != 0]
    return moment[first], column[first]


def first_and_best(board: Board, wanted: NDArray[np.bool_]) -> tuple[Whole, Whole, Whole]:
    """Bookmaker, moment and slot of each selection's bet: the first moment at which any is wanted, and of those the one that pays most."""
    moment, slot = first_moments(board, np.logical_or.reduce(wanted, axis=0))
    return np.where(wanted[:, moment, slot], board.net[:, moment, slot], -1.0).argmax(axis=0), moment, slot


def bookmakers_of(quotes: pd.DataFrame) -> list[str]:
    """Who has prices."""
    check_quotes(quotes)
    return sorted(quotes["bookmaker"].unique())


def accounts_of(names: Sequence[str], reference: str, bookmakers: Sequence[str] | None) -> set[str]:
    """Where one may bet: at these bookmakers, or at all but the reference and what sums up the market."""
    if bookmakers is None:
        return set(names) - set(NOT_AN_ACCOUNT) - {reference}
    unknown = sorted(set(bookmakers) - set(names))
    if unknown:
        raise ParameterError(f"bookmaker {unknown[0]!r} has no prices here; those that have: {', '.join(names)}.")
    return set(bookmakers)
