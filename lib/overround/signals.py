"""What a strategy wants to bet: from quotes to signals, without a look ahead. Nothing here knows a result."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError
from overround.odds import CONSENSUS, SELECTION, complete_markets, fair_probabilities, group_codes, moments, reference_probabilities
from overround.tables import NOT_AN_ACCOUNT, SIGNAL_COLUMNS

_CARRIED = ("starts_at", "competition", "season")
_PLAUSIBLE = (0.98, 1.5)  # overround
_EPOCH = pd.Timestamp(0, tz="UTC")
_DAY_NS = 86_400_000_000_000


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
        A bookmaker believed to be sharp, or "consensus": the mean of all bookmakers but the one that is bet with.
    method : str
        Margin removal, one of `overround.odds.METHODS`.
    min_edge : float
        Least expected profit per unit staked: fair probability x price - 1.
    bookmakers : sequence of str, optional
        Where there are accounts; by default every bookmaker but the reference. Market averages and maxima are no accounts
        unless they are named here.
    at_close : bool
        Bet at closing prices (the last before kick-off) instead of at any earlier price.
    max_age_h : float
        A price first seen longer ago than this many hours no longer stands.
    max_price : float
        Longer prices are left alone: there the reference's own error is as large as the edge.
    max_edge : float
        A larger edge is a mistake of the data or one that the bookmaker would void, not an opportunity.

    Returns
    -------
    DataFrame
        Signals: a row a bet, ordered by time of placement.
    """
    prices = closing_quotes(quotes) if at_close else _earlier_quotes(quotes)
    if prices.empty:
        return _signals(prices.iloc[:0].assign(probability=0.0, edge=0.0), "")
    names = sorted(set(prices["bookmaker"]))
    accounts = _accounts(names, reference, bookmakers)
    prices = fair_probabilities(complete_markets(prices), method).reset_index(drop=True)
    # what is no market of one bookmaker at one time (shifted cells, an empty exchange) says nothing about probabilities
    prices["fair"] = prices["fair"].where(prices["overround"].between(*_PLAUSIBLE))

    tick_of_row, selection, time, phase_start = _ticks(prices)
    book = pd.Categorical(prices["bookmaker"], categories=names).codes.astype(np.int64)
    shape = (len(time), len(names))
    row = np.full(shape, -1)
    row[tick_of_row, book] = np.arange(len(prices))
    row = _standing(row, phase_start, time, max_age_h)
    price = np.where(row >= 0, prices["price"].to_numpy()[row], np.nan)
    fair = np.where(row >= 0, prices["fair"].to_numpy()[row], np.nan)

    probability = reference_probabilities(fair, names, reference)
    edge = probability * price - 1
    edge[edge > max_edge] = np.nan
    edge[:, [name not in accounts for name in names]] = np.nan
    tick, best = _first_and_best(np.where(price <= max_price, edge, np.nan), price, selection, time, min_edge)
    chosen = prices.iloc[row[tick, best]].assign(probability=probability[tick, best], edge=edge[tick, best], seen_at=time[tick])
    return _signals(chosen, f"value against {reference} ({method}, edge from {100 * min_edge:.1f}\N{NO-BREAK SPACE}%)")


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
    """
    mine = quotes[(quotes["bookmaker"] == bookmaker) & (quotes["outcome"] == outcome) & (quotes["market"] == market)]
    prices = closing_quotes(mine) if at_close else _earlier_quotes(mine).sort_values("observed_at", kind="stable")
    prices = prices.drop_duplicates(list(SELECTION))
    return _signals(prices.assign(probability=np.nan, edge=np.nan), f"every {outcome} at {bookmaker}")


def closing_lines(quotes: pd.DataFrame, reference: str = CONSENSUS, method: str = "power") -> pd.DataFrame:
    """Closing prices and what they say: the last price of each bookmaker before kick-off, and the reference's fair probability then.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    reference, method : str
        As in `value_signals`. Where the reference has no closing price, the consensus stands in.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, closing_price, closing_fair.
    """
    prices = closing_quotes(quotes)
    columns = [*SELECTION, "bookmaker", "closing_price", "closing_fair"]
    if prices.empty:
        return pd.DataFrame(
            {column: pd.Series(dtype=float if column in ("line", "closing_price", "closing_fair") else "str") for column in columns}
        )
    prices = fair_probabilities(prices, method).reset_index(drop=True)
    names = sorted(set(prices["bookmaker"]))
    selection, n = group_codes(prices, SELECTION)
    book = pd.Categorical(prices["bookmaker"], categories=names).codes
    fair = np.full((n, len(names)), np.nan)
    fair[selection, book] = prices["fair"]
    closing = np.full(n, np.nan)
    if reference in names:
        closing = fair[:, names.index(reference)]
    accounts = [name not in NOT_AN_ACCOUNT for name in names]
    known = ~np.isnan(fair) & accounts
    mean = np.where(known, fair, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    closing = np.where(np.isnan(closing) & (known.sum(axis=1) >= 3), mean, closing)
    return prices.assign(closing_price=prices["price"], closing_fair=closing[selection])[columns]


def closing_quotes(quotes: pd.DataFrame) -> pd.DataFrame:
    """The closing quotes: those that the provider calls so, and the last snapshot of each bookmaker and selection before kick-off.

    Their `observed_at` is empty, so that a market's outcomes are seen as one market although they were last touched at different times.
    """
    prices = _before_kick_off(quotes)
    snapshots = prices[prices["phase"] == "snapshot"].sort_values("observed_at", kind="stable")
    last = snapshots.drop_duplicates([*SELECTION, "bookmaker"], keep="last")
    closing = pd.concat([prices[prices["phase"] == "close"], last])
    return closing.assign(observed_at=pd.Series(pd.NaT, index=closing.index, dtype="datetime64[us, UTC]"))


def _before_kick_off(quotes: pd.DataFrame) -> pd.DataFrame:
    if "starts_at" not in quotes:
        raise ParameterError("quotes need the column 'starts_at', the kick-off of their match; Store.read('quotes') gives it.")
    # `not >=`: a price without a clock time (early, close) was shown before kick-off by the provider's word
    return quotes[~(quotes["observed_at"] >= quotes["starts_at"])]


def _earlier_quotes(quotes: pd.DataFrame) -> pd.DataFrame:
    prices = _before_kick_off(quotes)
    late = (prices["phase"] == "snapshot") & (prices["collected_at"] >= prices["starts_at"])
    return prices[(prices["phase"] != "close") & ~late]


def _accounts(names: list[str], reference: str, bookmakers: Sequence[str] | None) -> set[str]:
    if bookmakers is None:
        return set(names) - set(NOT_AN_ACCOUNT) - {reference}
    unknown = sorted(set(bookmakers) - set(names))
    if unknown:
        raise ParameterError(f"bookmaker {unknown[0]!r} has no prices here; those that have: {', '.join(names)}.")
    return set(bookmakers)


def _ticks(prices: pd.DataFrame) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Every time at which anything was learnt of a selection.

    Returns the tick of each row and, for each tick in order of selection and time: the selection, the time in ns (0 for a phase
    without a clock) and the first tick of the same selection and phase.
    """
    selection, _ = group_codes(prices, SELECTION)
    chain, _ = group_codes(prices.assign(selection=selection), ("selection", "phase"))
    known = prices["collected_at"].where(prices["phase"] == "snapshot", _EPOCH)
    time = known.astype("datetime64[ns, UTC]").astype("int64").to_numpy()
    tick_of_row, first, phase_start = moments(chain, time)
    return tick_of_row, selection[first], time[first], phase_start


def _standing(row: NDArray, phase_start: NDArray, time: NDArray, max_age_h: float) -> NDArray:
    """Number of the quote that stood at each tick for each bookmaker; -1 where there was none."""
    ticks = np.arange(len(row))[:, None]
    last = np.maximum.accumulate(np.where(row >= 0, ticks, -1), axis=0)
    stands = (last >= phase_start[:, None]) & (time[:, None] - time[last] <= max_age_h * _DAY_NS / 24)
    return np.where(stands, np.take_along_axis(row, np.maximum(last, 0), axis=0), -1)


def _first_and_best(edge: NDArray, price: NDArray, selection: NDArray, time: NDArray, min_edge: float) -> tuple[NDArray, NDArray]:
    """Tick and bookmaker of each selection's bet: the first tick with enough edge, the best price at it."""
    enough = edge >= min_edge
    ticks = np.flatnonzero(enough.any(axis=1))
    ticks = ticks[np.argsort(time[ticks], kind="stable")]
    _, first = np.unique(selection[ticks], return_index=True)
    ticks = ticks[first]
    return ticks, np.where(enough[ticks], price[ticks], -1.0).argmax(axis=1)


def _signals(rows: pd.DataFrame, strategy: str) -> pd.DataFrame:
    seen_at = pd.to_datetime(rows["seen_at"], utc=True) if "seen_at" in rows else rows["collected_at"]
    signals = rows.assign(side="back", strategy=strategy, placed_at=_placed_at(rows, seen_at))
    signals = signals.sort_values(["placed_at", "event_id", "market", "line", "outcome", "bookmaker"], kind="stable")
    return signals[[*SIGNAL_COLUMNS, *_CARRIED]].reset_index(drop=True)


def _placed_at(rows: pd.DataFrame, seen_at: pd.Series) -> pd.Series:
    """When a bet at each price could have been placed.

    A closing price was there at kick-off. For an early price football-data.co.uk says (notes.txt) that it is collected on Friday
    afternoon for weekend matches and on Tuesday afternoon for midweek ones: no result of those days can have been known, so the
    bet is placed on that Friday or Tuesday at noon, or at kick-off where that comes first.
    """
    start = rows["starts_at"]
    day = start.dt.normalize()
    weekday = day.dt.day_of_week  # Monday is 0; Friday to Monday belong to Friday, the rest to Tuesday
    back = np.where(weekday >= 4, weekday - 4, np.where(weekday == 0, 3, weekday - 1))
    early = day - pd.to_timedelta(back, unit="D") + pd.Timedelta(hours=12)
    by_phase = early.where(rows["phase"] == "early", start)
    known = seen_at.where(rows["phase"] == "snapshot", pd.NaT)
    return known.fillna(by_phase.where(by_phase < start, start)).astype("datetime64[us, UTC]")
