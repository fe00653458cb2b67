"""The market as a model of 1X2 results: a bookmaker's margin-free probabilities, recalibrated.

A model has `fit(matches, at)`, which returns parameters learnt from finished matches as of a time, and
`predict(parameters, fixtures)`, which returns probabilities of home, draw and away, shape (n, 3), NaN where
it has none. No state is kept in between, so that a fit is a function of its arguments.
`overround.forecasts.out_of_sample` makes sure that it sees only the past, and never a price to bet at.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.errors import ParameterError
from overround.forecasts.base import (
    MARKET_COLUMNS,
    THREE,
    check_positive,
    check_scores,
    forecast_times,
    most_likely,
)
from overround.prices.board import Board, boards
from overround.prices.closing import closing_lines
from overround.prices.periods import Reference, check_periods, reference_opinions
from overround.times import microseconds


@dataclass(frozen=True)
class MarketModel:
    """A bookmaker's margin-free probabilities q, recalibrated.

    log p of an outcome is slope x log q + its own constant, then normalised. Needs the columns of
    `market_probabilities` beside those of `events`; without a market it predicts NaN.

    Parameters
    ----------
    prior_matches : float
        Strength of the prior (slope 1, constants 0), in matches, roughly.

    References
    ----------
    Cox (1958), Biometrika 45, 562-565; for several outcomes Van Hoorde et al. (2014), Statistics in Medicine
    33, 2585-2596.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> market = ov.forecasts.market_probabilities(quotes, "sharp", lead_h=24)
    >>> known = events.merge(market[["event_id", "market_home", "market_draw", "market_away"]], on="event_id")
    >>> results = results.drop(columns="starts_at")
    >>> p = ov.walk_forward(ov.forecasts.MarketModel(), known, results, least_matches=20)
    >>> len(p) > 0
    True
    """

    prior_matches: float = 500.0

    def __post_init__(self) -> None:
        check_positive("prior_matches", self.prior_matches)

    def fit(self, matches: pd.DataFrame, at: pd.Timestamp) -> Floats:
        """slope, constant of home and constant of away (a draw has none), by penalised maximum likelihood."""
        known = matches.dropna(subset=_market(matches))
        check_scores(known)
        log_q = np.log(known[list(MARKET_COLUMNS)].to_numpy(float))
        margin = (known["home_score"] - known["away_score"]).to_numpy(float)
        # information of one match about slope and constants, roughly
        precision = 0.2 * self.prior_matches
        return most_likely(
            lambda theta: _recalibrated(log_q, theta), margin, np.array([1.0, 0.0, 0.0]), precision
        )

    def predict(self, params: Floats, fixtures: pd.DataFrame) -> Floats:
        """Probabilities of home, draw and away, shape (n, 3); NaN without market."""
        return _recalibrated(np.log(fixtures[_market(fixtures)].to_numpy(float)), params)


def market_probabilities(
    quotes: pd.DataFrame,
    reference: Reference = "pinnacle",
    method: str = "power",
    *,
    lead_h: float | None = None,
    at_close: bool = False,
) -> pd.DataFrame:
    """A reference's margin-free probabilities of each match when it is to be predicted.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    reference : str or DataFrame
        A bookmaker, or `market_average`; at the close also "consensus". Or what `reference_periods` returned.
    method : str
        Margin removal.
    lead_h : float, optional
        As of `forecast_times`: the last market known by then counts.
    at_close : bool
        The closing market instead, to judge a forecast, never to make one. Where the reference has none, the
        mean of all bookmakers takes its place, as in `closing_lines`.

    Returns
    -------
    DataFrame
        event_id, market_home, market_draw, market_away; a row for each match that the reference had a market
        on.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> p = ov.forecasts.market_probabilities(quotes, "sharp")
    >>> len(p), bool(p[["market_home", "market_draw", "market_away"]].sum(axis=1).round(9).eq(1).all())
    (100, True)
    """
    quotes = quotes[quotes["market"] == "h2h"]
    if at_close:
        fair = closing_lines(quotes, reference, method).drop_duplicates(["event_id", "outcome"])
        fair = fair.rename(columns={"closing_fair": "fair"})
    else:
        mine = quotes
        if isinstance(reference, str):
            mine = quotes[quotes["bookmaker"] == reference]
        else:
            check_periods(reference)
        parts = [_last_known(board, reference, lead_h) for board in boards(mine, method, max_age_h=None)]
        fair = pd.concat(parts) if parts else pd.DataFrame(columns=["event_id", "outcome", "fair"])
    wide = fair.pivot(index="event_id", columns="outcome", values="fair")  # noqa: PD010  one value each
    wide = wide.reindex(columns=list(THREE)).dropna()
    return wide.set_axis(list(MARKET_COLUMNS), axis=1).reset_index()


def _last_known(board: Board, reference: Reference, lead_h: float | None) -> pd.DataFrame:
    """A reference's probabilities of the last market known when each match is to be predicted."""
    if isinstance(reference, str):
        book = board.names.index(reference)
        row, fair = board.row[book], board.fair[book]
    else:
        # an outcome has a row as soon as anybody shows it
        row, fair = board.row.max(axis=0), reference_opinions(board, reference, judged=False).probability[0]
    moment, slot = np.nonzero(row >= 0)
    shown = board.selections(row[moment, slot]).assign(fair=fair[moment, slot], at=board.time[moment])
    known = shown[shown["at"] <= microseconds(forecast_times(shown, lead_h))].sort_values("at", kind="stable")
    return known.drop_duplicates(["event_id", "outcome"], keep="last")[["event_id", "outcome", "fair"]]


def _recalibrated(log_q: Floats, theta: Floats) -> Floats:
    from scipy.special import softmax

    return softmax(theta[0] * log_q + np.array([theta[1], 0.0, theta[2]]), axis=1)


def _market(rows: pd.DataFrame) -> list[str]:
    missing = [column for column in MARKET_COLUMNS if column not in rows]
    if missing:
        raise ParameterError(
            f"the market model needs the column {missing[0]!r}; "
            "merge market_probabilities(quotes) into the events."
        )
    return list(MARKET_COLUMNS)
