"""Goal models: Poisson scores (Maher 1982), and low scores corrected as by Dixon and Coles (1997).

Recent matches count more. The fit is our own although penaltyblog has both models: a walk-forward refits
thousands of times. Only pairs of teams enter the likelihood, not matches, so that a fit costs the same after
ten seasons as after three; penaltyblog's also has no prior, without which the strengths of a team with two
matches are mostly luck. Its parameters and probabilities are the oracle of the tests.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats, Whole
from overround.forecasts.base import SETTLED_IN, check_positive, team_codes
from overround.times import microseconds

MOST_GOALS = 15  # of one team; a team expected to score 4 exceeds it in 6 matches of a million
_LOW = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # scores that depend on each other
_RHO = 0.2  # beyond it a score of a likely match would have a negative probability; football is near -0.05


@dataclass(frozen=True)
class Strengths:
    """Parameters of a goal model.

    Expected goals are exp(own attack + other's defence), times exp(home) at home. `attack` and `defence` are
    in the order of `teams`, `newcomer` are both of a team never seen, `rho` is the dependence of low scores.
    """

    teams: pd.Index
    attack: Floats
    defence: Floats
    home: float
    rho: float
    newcomer: tuple[float, float]


@dataclass(frozen=True)
class Poisson:
    """Independent Poisson scores, fitted by penalised weighted likelihood.

    Parameters
    ----------
    half_life_days : float
        A match this long ago counts half. Dixon and Coles's 0.0065 per half week is 373 days; infinity: all
        count the same.
    spread : float
        Standard deviation, in log goals, of the normal prior on attack and defence: of teams that were there
        from the start about their mean, of newcomers about theirs, and of the one mean about the other.
        Infinity: no prior. The default did well among the few tried on the Premier League of 2013 to 2025;
        its neighbours 0.25 and 0.6 were within 0.003 of log loss.

    References
    ----------
    Maher (1982), Statistica Neerlandica 36, 109-118.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> model = ov.forecasts.Poisson()
    >>> history = events.merge(results[["event_id", "home_score", "away_score"]], on="event_id")
    >>> ratings = model.fit(history, history["starts_at"].max())
    >>> model.predict(ratings, events.tail(2)).shape
    (2, 3)
    """

    half_life_days: float = 365.0
    spread: float = 0.4
    low_scores: ClassVar[bool] = False  # whether they depend on each other

    def __post_init__(self) -> None:
        check_positive("half_life_days", self.half_life_days)
        check_positive("spread", self.spread)

    def fit(self, matches: pd.DataFrame, at: pd.Timestamp) -> Strengths:
        """Strengths as of a time, from matches with home, away, home_score, away_score and starts_at."""
        teams, home, away, begin = team_codes(matches)
        age_days = (at.value / 1e3 - microseconds(matches["starts_at"])) / 86_400e6
        pairs = _Pairs.of(home, away, matches, np.exp2(-age_days / self.half_life_days), len(teams))
        newcomer = begin > begin.min() + SETTLED_IN
        found = _maximum(pairs, _prior(newcomer, 1 / self.spread**2), self.low_scores)
        # only attack of one plus defence of the other is known: give both the same mean
        attack, defence = found[:-2].reshape(2, len(teams))
        shift = (attack.mean() - defence.mean()) / 2
        attack, defence = attack - shift, defence + shift
        like = newcomer if newcomer.any() else ~newcomer
        home_advantage, rho = found[-2:].tolist()
        return Strengths(
            teams, attack, defence, home_advantage, rho, (attack[like].mean(), defence[like].mean())
        )

    def predict(self, params: Strengths, fixtures: pd.DataFrame) -> Floats:
        """Probabilities of home, draw and away, shape (n, 3)."""
        return three_way(score_grid(params, fixtures["home"], fixtures["away"]))


# a subclass, for once: it is the model above with one more parameter, `Strengths.rho`, which there is 0
class DixonColes(Poisson):
    """Poisson scores with dependent low scores; parameters as of `Poisson`.

    References
    ----------
    Dixon and Coles (1997), Applied Statistics 46, 265-280.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> model = ov.forecasts.DixonColes()
    >>> history = events.merge(results[["event_id", "home_score", "away_score"]], on="event_id")
    >>> ratings = model.fit(history, history["starts_at"].max())
    >>> model.predict(ratings, events.tail(2)).shape
    (2, 3)
    """

    low_scores = True


def score_grid(strengths: Strengths, home: ArrayLike, away: ArrayLike) -> Floats:
    """Probability of every score, shape (n, goals of home, goals of away), at most `MOST_GOALS` each.

    A team never seen is a newcomer.
    """
    from scipy.special import gammaln

    attack = np.append(strengths.attack, strengths.newcomer[0])
    defence = np.append(strengths.defence, strengths.newcomer[1])
    # -1, the last, is what the index says of a name it does not have
    i, j = (strengths.teams.get_indexer(np.asarray(one, dtype=object)) for one in (home, away))
    log_rates = np.stack([strengths.home + attack[i] + defence[j], attack[j] + defence[i]])[..., None]
    goals = np.arange(MOST_GOALS + 1)
    of_home, of_away = np.exp(goals * log_rates - np.exp(log_rates) - gammaln(goals + 1))
    grid = of_home[:, :, None] * of_away[:, None, :]
    tau = 1 + strengths.rho * _tau_by_rho(*log_rates[..., 0])
    grid[:, :2, :2] *= tau.T.reshape(-1, 2, 2)
    return grid / grid.sum(axis=(1, 2), keepdims=True)


def three_way(grid: Floats) -> Floats:
    """Probabilities of home, draw and away, shape (n, 3), from those of every score."""
    ahead = np.sign(np.arange(grid.shape[1])[:, None] - np.arange(grid.shape[2]))
    return np.stack([grid[:, ahead == one].sum(axis=1) for one in (1, 0, -1)], axis=1)


@dataclass(frozen=True)
class _Pairs:
    """Weighted sums over the matches of each pair of home and away team: sufficient statistics of m pairs."""

    teams: Whole  # (2, m): home and away by number
    weight: Floats  # (m,)
    goals: Floats  # (2, m): of home and of away
    low: Floats  # (4, m): weights of the scores in `_LOW`

    @classmethod
    def of(cls, home: NDArray, away: NDArray, matches: pd.DataFrame, weight: Floats, n: int) -> "_Pairs":
        pairs, pair = np.unique(home * n + away, return_inverse=True)
        scores = matches[["home_score", "away_score"]].to_numpy(float)
        low = (scores[:, None] == _LOW).all(axis=2)
        counted = np.column_stack([np.ones(len(scores)), scores, low])
        sums = np.array([np.bincount(pair, weight * column) for column in counted.T])
        return cls(np.stack(divmod(pairs, n)), sums[0], sums[1:3], sums[3:])


def _prior(newcomer: NDArray[np.bool_], precision: float) -> Floats:
    """Precision of the normal prior, shape (n, n).

    Teams vary about the mean of their kind, and the newcomers' mean about the others'.
    """
    same = newcomer[:, None] == newcomer
    apart = np.where(newcomer, 1.0, -1.0) / same.sum(axis=1) * (newcomer.any() and not newcomer.all())
    return precision * (np.eye(len(newcomer)) - same / same.sum(axis=1) + np.outer(apart, apart))


def _maximum(pairs: _Pairs, prior: Floats, low_scores: bool) -> Floats:
    """Attack and defence of each team, home and `rho`; what the data cannot tell stays the mean."""
    from scipy.optimize import minimize

    of_home, of_away = np.maximum(pairs.goals.sum(axis=1), 1e-3)
    strength = np.log(of_away / pairs.weight.sum()) / 2
    start = np.r_[np.full(2 * len(prior), strength), np.log(of_home / of_away), 0.0]
    bound = _RHO if low_scores else 0
    bounds = [(None, None)] * (len(start) - 1) + [(-bound, bound)]
    # L-BFGS-B needs fewer steps, but its threads wait for each other where other processes are busy
    options = {"ftol": 0, "xtol": 1e-12, "gtol": 1e-9, "maxfun": 2000}
    return minimize(_loss, start, (pairs, prior), "TNC", jac=True, bounds=bounds, options=options).x


def _loss(x: Floats, pairs: _Pairs, prior: Floats) -> tuple[float, Floats]:
    """Penalty less log likelihood, up to a constant, and its gradient."""
    strengths, (home, rho) = x[:-2].reshape(2, -1), x[-2:]
    attackers, defenders = pairs.teams, pairs.teams[::-1]
    log_goals = strengths[0, attackers] + strengths[1, defenders] + [[home], [0.0]]
    expected = pairs.weight * np.exp(log_goals)
    by_rho = _tau_by_rho(*log_goals)
    tau = np.maximum(1 + rho * by_rho, 1e-12)
    likelihood = (pairs.goals * log_goals - expected).sum() + (pairs.low * np.log(tau)).sum()
    by_rho *= pairs.low / tau
    by_log_goals = pairs.goals - expected + rho * (1 - _LOW).T @ by_rho
    pull = strengths @ prior
    by_team = [
        np.bincount(teams.ravel(), by_log_goals.ravel(), len(prior)) for teams in (attackers, defenders)
    ]
    gradient = np.r_[(np.array(by_team) - pull).ravel(), by_log_goals[0].sum(), by_rho.sum()]
    return (strengths * pull).sum() / 2 - likelihood, -gradient


def _tau_by_rho(log_home: Floats, log_away: Floats) -> Floats:
    """Derivative by rho of Dixon and Coles's factor on the scores in `_LOW`, shape (4, ...).

    With lam and mu, the goals expected of home and away, the factors are 1 - lam mu rho, 1 + lam rho,
    1 + mu rho and 1 - rho.
    """
    sign = np.where(_LOW[:, 0] == _LOW[:, 1], -1, 1)
    return sign[:, None] * np.exp((1 - _LOW) @ np.stack([log_home, log_away]))
