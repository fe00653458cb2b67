"""Elo ratings that count goals, and an ordered logit from a lead in rating to home, draw and away."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.forecasts.base import SETTLED_IN, check_positive, most_likely, team_codes

_MEAN = 1500.0
_LEARNT = 10  # matches after which a team's rating is informative
_FEW = 100


@dataclass(frozen=True)
class Ratings:
    """Parameters of Elo: ratings in the order of `teams`, and home, draw and slope of the ordered logit."""

    teams: pd.Index
    rating: Floats
    newcomer: float
    home: float
    draw: float
    slope: float


@dataclass(frozen=True)
class Elo:
    """Elo ratings that move more the wider the win, and an ordered logit on the difference of two ratings.

    Parameters
    ----------
    k : float
        Points at stake in a draw; a match won by g goals moves k (1 + g)^margin_power (score - expected
        score).
    margin_power : float
        0: goals do not count. The source has 1.
    home_points : float
        Added to the home team's rating when its score is expected. The source has none, which underrates
        home teams.
    newcomers : float
        Points above the mean at which a team begins that was not there in the first half year: promoted teams
        are weaker.

    References
    ----------
    Hvattum and Arntzen (2010), International Journal of Forecasting 26, 460-470: ELO_g, k 10, margin_power 1,
    ordered logit.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> model = ov.forecasts.Elo()
    >>> history = events.merge(results[["event_id", "home_score", "away_score"]], on="event_id")
    >>> ratings = model.fit(history, history["starts_at"].max())
    >>> model.predict(ratings, events.tail(2)).shape
    (2, 3)
    """

    k: float = 10.0
    margin_power: float = 1.0
    home_points: float = 65.0
    newcomers: float = -80.0

    def __post_init__(self) -> None:
        check_positive("k", self.k)

    def fit(self, matches: pd.DataFrame, at: pd.Timestamp) -> Ratings:
        """Ratings after these matches, from home, away, home_score, away_score and starts_at."""
        from overround.forecasts.elo_kernels import run_elo

        matches = matches.sort_values("starts_at", kind="stable")
        teams, home, away, begin = team_codes(matches)
        start = np.where(begin > begin.min() + SETTLED_IN, _MEAN + self.newcomers, _MEAN)
        margin = (matches["home_score"] - matches["away_score"]).to_numpy(float)
        rating, lead = run_elo(home, away, margin, start, self.k, self.margin_power, self.home_points)
        both = pd.Series(np.stack([home, away], axis=1).ravel())
        played_before = both.groupby(both).cumcount().to_numpy().reshape(-1, 2)
        learnt = (played_before >= _LEARNT).all(axis=1)
        used = learnt if learnt.sum() >= _FEW else np.ones(len(lead), bool)
        return Ratings(teams, rating, _MEAN + self.newcomers, *outcome_logit(lead[used], margin[used]))

    def predict(self, params: Ratings, fixtures: pd.DataFrame) -> Floats:
        """Probabilities of home, draw and away, shape (n, 3)."""
        rating = np.append(params.rating, params.newcomer)
        home, away = (
            rating[params.teams.get_indexer(fixtures[side].to_numpy(object))] for side in ("home", "away")
        )
        return ordered_logit(home - away, params.home, params.draw, params.slope)


def ordered_logit(lead: Floats, home: float, draw: float, slope: float) -> Floats:
    """Probabilities of home, draw and away from leads in rating, shape (n, 3).

    P(home) = s(home + slope x lead / 400) and P(not away) = s(home + draw + slope x lead / 400), with s the
    logistic function.
    """
    from scipy.special import expit

    at = home + slope * np.asarray(lead, float) / 400
    won, lost = expit(at), expit(-at - draw)
    return np.stack([won, 1 - won - lost, lost], axis=1)


def outcome_logit(lead: Floats, margin: Floats) -> tuple[float, float, float]:
    """home, draw and slope of `ordered_logit` by maximum likelihood.

    A weak prior keeps them finite where all matches ended alike.
    """
    begin = np.array([-0.2, 0.1, 2.0])  # draw by its logarithm, so that it stays positive
    home, log_draw, slope = most_likely(
        lambda theta: ordered_logit(lead, theta[0], np.exp(theta[1]), theta[2]), margin, begin
    )
    return float(home), float(np.exp(log_draw)), float(slope)
