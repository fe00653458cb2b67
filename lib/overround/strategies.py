"""Strategies beside value against a reference: bets by a model's probabilities, and against the consensus of all prices.

Plain functions from tables to signals, with the rules of `overround.signals`: what stood when it was learnt, bet once, at the best price.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError
from overround.goals import Floats
from overround.models import OUTCOMES, PROBABILITIES
from overround.odds import CONSENSUS, complete_markets, fair_probabilities
from overround.signals import (
    _PLAUSIBLE,
    _accounts,
    _earlier_quotes,
    _first_and_best,
    _placed_at,
    _signals,
    _standing,
    _ticks,
    closing_quotes,
)
from overround.tables import NOT_AN_ACCOUNT


def model_signals(
    probabilities: pd.DataFrame,
    quotes: pd.DataFrame,
    min_edge: float = 0.05,
    *,
    name: str = "model",
    bookmakers: Sequence[str] | None = None,
    at_close: bool = False,
    max_age_h: float = 24.0,
    max_price: float = 15.0,
    max_edge: float = 0.25,
) -> pd.DataFrame:
    """Bets at 1X2 prices that are better than a model thinks fair.

    Times and prices are as of `value_signals`, and no bet is placed before its match was foretold (`predicted_at`). A selection is bet
    once: at the first time that an account's edge reaches `min_edge`, at the best such price.

    Parameters
    ----------
    probabilities : DataFrame
        What `walk_forward` returned.
    quotes : DataFrame
        The table `quotes` as `Store.read` gives it, with `starts_at`.
    min_edge : float
        Least expected profit per unit staked by the model: probability x price - 1.
    name : str
        Of the model, as reports write it.
    bookmakers : sequence of str, optional
        Where there are accounts; by default every bookmaker. Market averages and maxima are no accounts unless they are named here.
    at_close, max_age_h, max_price : bool, float, float
        As of `value_signals`.
    max_edge : float
        Where a model sees more than this it has missed what the market knows.

    Returns
    -------
    DataFrame
        Signals: a row a bet, ordered by time of placement.
    """
    missing = [column for column in ("event_id", "predicted_at", *PROBABILITIES) if column not in probabilities]
    if missing:
        raise ParameterError(f"probabilities need the column {missing[0]!r}; walk_forward gives it.")
    told = probabilities.set_index("event_id")
    prices = _prices(quotes[quotes["event_id"].isin(told.index)], at_close)
    if prices.empty:
        return _none(prices)
    ticks = _Ticks(prices, max_age_h)
    one = prices.iloc[ticks.any_row]  # a quote of each tick's selection
    match = told.index.get_indexer(one["event_id"])
    wide = told[list(PROBABILITIES)].to_numpy(float)[match]
    probability = wide[np.arange(len(one)), one["outcome"].map({o: k for k, o in enumerate(OUTCOMES)}).to_numpy(int)]
    too_early = (ticks.placed_at(one) < told["predicted_at"].iloc[match].reset_index(drop=True)).to_numpy()
    probability = np.where(too_early, np.nan, probability)[:, None]
    edge = probability * ticks.price - 1
    edge[(edge > max_edge) | (ticks.price > max_price)] = np.nan
    edge[:, ticks.refused(_accounts(ticks.names, "", bookmakers))] = np.nan
    tick, best = _first_and_best(edge, ticks.price, ticks.selection, ticks.time, min_edge)
    return ticks.signals(tick, best, probability[tick, 0], edge[tick, best], f"{name} (edge from {100 * min_edge:.1f}\N{NO-BREAK SPACE}%)")


def consensus_signals(
    quotes: pd.DataFrame,
    margin: float = 0.05,
    *,
    consensus: str = CONSENSUS,
    least: int = 4,
    bookmakers: Sequence[str] | None = None,
    at_close: bool = False,
    max_age_h: float = 24.0,
    max_price: float = np.inf,
) -> pd.DataFrame:
    """Bets at prices that beat the mean of all bookmakers' prices by more than a margin: Kaunitz, Zhong and Kreiner (2017).

    An outcome with mean price m is given the probability 1 / m - margin; a price o is bet if (1 / m - margin) o > 1 (their equation 7). A
    match is bet once: at the first time that any price is so good, at the best price of the outcome that promises most. They have one
    margin, 0.05, for all outcomes, and chose it from 0.01 to 0.1 on the games that they report; 0.034, 0.057 and 0.037 for home, draw and
    away (equation 8) are offsets that they measured, and only tell what accuracy to expect. Their program wants more than 3 prices.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes` as `Store.read` gives it, with `starts_at`.
    margin : float
        Taken off the mean's implied probability: the bookmakers' margin and the profit that is wanted.
    consensus : str
        "consensus": the mean over the bookmakers here; or `market_average`, the provider's own mean over all that it watches.
    least : int
        Prices that a mean over bookmakers needs.
    bookmakers : sequence of str, optional
        Where there are accounts; by default every bookmaker. ["market_maximum"] is the paper's setting where the provider sums up the
        market: the best price of anyone, wherever it was.
    at_close, max_age_h, max_price : bool, float, float
        As of `value_signals`; the source has no limit of price.

    Returns
    -------
    DataFrame
        Signals: a row a bet, ordered by time of placement; probability and edge are the strategy's own.

    References
    ----------
    Kaunitz, Zhong and Kreiner (2017), arXiv 1710.02824; programs: github.com/Lisandro79/BeatTheBookie, src/strategies/beatTheBookie.m.
    """
    if not 0 <= margin < 1:
        raise ParameterError(f"margin is {margin}; it must be at least 0 and below 1.")
    prices = _prices(quotes, at_close)
    if prices.empty:
        return _none(prices)
    ticks = _Ticks(prices, max_age_h)
    summary = np.isin(ticks.names, NOT_AN_ACCOUNT)
    if consensus == CONSENSUS:
        known = np.where(summary, np.nan, ticks.price)
        count = (~np.isnan(known)).sum(axis=1)
        mean = np.where(count >= least, np.nansum(known, axis=1) / np.maximum(count, 1), np.nan)
    elif consensus in ticks.names:
        mean = ticks.price[:, ticks.names.index(consensus)]
    else:
        raise ParameterError(f"consensus {consensus!r} has no prices here; those that have: {CONSENSUS}, {', '.join(ticks.names)}.")
    probability = (1 / mean - margin)[:, None]
    edge = probability * ticks.price - 1
    edge[ticks.price > max_price] = np.nan
    edge[:, ticks.refused(_accounts(ticks.names, "", bookmakers))] = np.nan
    # above 0, not from 0: the source bets where the promise is positive
    tick, best = _first_and_best(edge, ticks.price, ticks.selection, ticks.time, np.nextafter(0, 1))
    tick, best = _most_promising(tick, best, edge[tick, best], ticks.time[tick], prices["event_id"].to_numpy(object)[ticks.any_row[tick]])
    which = "all prices" if consensus == CONSENSUS else consensus.replace("_", " ")
    label = f"price against the mean of {which} (margin {100 * margin:.1f}\N{NO-BREAK SPACE}%)"
    return ticks.signals(tick, best, probability[tick, 0], edge[tick, best], label)


class _Ticks:
    """Standing price of every bookmaker, shape (ticks, bookmakers), at each time that anything was learnt of a selection."""

    def __init__(self, prices: pd.DataFrame, max_age_h: float):
        self.prices = prices
        self.names: list[str] = sorted(set(prices["bookmaker"]))
        tick_of_row, self.selection, self.time, phase_start = _ticks(prices)
        row = np.full((len(self.time), len(self.names)), -1)
        row[tick_of_row, pd.Categorical(prices["bookmaker"], categories=self.names).codes] = np.arange(len(prices))
        self.any_row = row.max(axis=1)
        self.row = _standing(row, phase_start, self.time, max_age_h)
        self.price: Floats = np.where(self.row >= 0, prices["price"].to_numpy(float)[self.row], np.nan)

    def placed_at(self, one: pd.DataFrame) -> pd.Series:
        """When a bet at each tick would be placed."""
        rows = one.reset_index(drop=True)
        return _placed_at(rows, pd.Series(pd.to_datetime(self.time, utc=True)))

    def refused(self, accounts: set[str]) -> NDArray[np.bool_]:
        """Bookmakers where there is no account, shape (bookmakers,)."""
        return np.array([name not in accounts for name in self.names])

    def signals(self, tick: NDArray, best: NDArray, probability: Floats, edge: Floats, strategy: str) -> pd.DataFrame:
        """The bets at these ticks with these bookmakers."""
        chosen = self.prices.iloc[self.row[tick, best]]
        return _signals(chosen.assign(probability=probability, edge=edge, seen_at=self.time[tick]), strategy)


def _prices(quotes: pd.DataFrame, at_close: bool) -> pd.DataFrame:
    """Whole 1X2 markets with a believable overround; what a provider sums up may well have less than any bookmaker."""
    h2h = quotes[quotes["market"] == "h2h"]
    prices = closing_quotes(h2h) if at_close else _earlier_quotes(h2h)
    if prices.empty:
        return prices
    prices = fair_probabilities(complete_markets(prices), "multiplicative").reset_index(drop=True)
    return prices[prices["overround"].between(*_PLAUSIBLE) | prices["bookmaker"].isin(NOT_AN_ACCOUNT)].reset_index(drop=True)


def _none(prices: pd.DataFrame) -> pd.DataFrame:
    return _signals(prices.iloc[:0].assign(probability=0.0, edge=0.0), "")


def _most_promising(tick: NDArray, best: NDArray, edge: Floats, time: NDArray, event: NDArray) -> tuple[NDArray, NDArray]:
    """One bet a match: the earliest, and of those the one with the greatest edge."""
    order = np.lexsort((-edge, time))
    _, first = np.unique(event[order], return_index=True)
    chosen = order[first]
    return tick[chosen], best[chosen]
