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

from overround._typing import Floats
from overround.forecasts.base import SETTLED_IN, check_positive, team_codes
from overround.times import microseconds

MOST_GOALS = 15  # of one team; a team expected to score 4 exceeds it in 6 matches of a million
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
        return fit_strengths(
            matches, at, half_life_days=self.half_life_days, spread=self.spread, low_scores=self.low_scores
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


def fit_strengths(
    matches: pd.DataFrame, at: pd.Timestamp, *, half_life_days: float, spread: float, low_scores: bool
) -> Strengths:
    """Maximum of the penalised weighted likelihood, by Newton's method.

    Parameters
    ----------
    matches : DataFrame
        home, away, home_score, away_score, starts_at; at least one row, scores known.
    at : Timestamp
        From which the age of a match counts.
    half_life_days, spread : float
        As of `Poisson`.
    low_scores : bool
        Estimate the dependence `rho`; else it is 0.
    """
    teams, home, away, begin = team_codes(matches)
    n = len(teams)
    age_days = (at.value / 1e3 - microseconds(matches["starts_at"])) / 86_400e6
    sums = _Sums.of(home, away, matches, np.exp2(-age_days / half_life_days), n)
    newcomer = begin > begin.min() + SETTLED_IN

    found = _maximum(_start(sums), sums, _prior(newcomer, 1 / spread**2), low_scores)
    # only attack of one plus defence of the other is known: give both the same mean
    attack, defence = found[:n], found[n : 2 * n]
    shift = (attack.mean() - defence.mean()) / 2
    attack, defence = attack - shift, defence + shift
    like = newcomer if newcomer.any() else ~newcomer
    return Strengths(
        teams,
        attack,
        defence,
        float(found[-2]),
        float(found[-1]),
        (attack[like].mean(), defence[like].mean()),
    )


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
    lam, mu = np.exp(log_rates[..., 0])
    grid[:, :2, :2] *= np.moveaxis(_tau(lam, mu, strengths.rho), 2, 0)
    return grid / grid.sum(axis=(1, 2), keepdims=True)


def three_way(grid: Floats) -> Floats:
    """Probabilities of home, draw and away, shape (n, 3), from those of every score."""
    ahead = np.sign(np.arange(grid.shape[1])[:, None] - np.arange(grid.shape[2]))
    return np.stack([grid[:, ahead == one].sum(axis=1) for one in (1, 0, -1)], axis=1)


@dataclass(frozen=True)
class _Sums:
    """Weighted sums over the matches of each home and away team, shape (n, n): sufficient statistics."""

    weight: Floats
    scored: Floats
    conceded: Floats
    low: Floats  # shape (2, 2, n, n): weights of the scores 0-0, 0-1, 1-0 and 1-1

    @classmethod
    def of(cls, home: NDArray, away: NDArray, matches: pd.DataFrame, weight: Floats, n: int) -> "_Sums":
        pair = home * n + away
        scored, conceded = matches["home_score"].to_numpy(float), matches["away_score"].to_numpy(float)

        def summed(values: Floats) -> Floats:
            return np.bincount(pair, values, n * n).reshape(n, n).astype(float)

        low = [[summed(weight * ((scored == x) & (conceded == y))) for y in (0, 1)] for x in (0, 1)]
        return cls(summed(weight), summed(weight * scored), summed(weight * conceded), np.array(low))


def _start(sums: _Sums) -> Floats:
    """Where the search begins: every team's goals for and against, a match, half-way to the league's."""
    n = len(sums.weight)
    played = sums.weight.sum(1) + sums.weight.sum(0)
    scored, conceded = sums.scored.sum(1) + sums.conceded.sum(0), sums.conceded.sum(1) + sums.scored.sum(0)
    mean, half = max(scored.sum() / played.sum(), 1e-3), 0.5 * played.sum() / n
    attack, defence = (
        np.log((goals + half * mean) / (played + half) / mean) + np.log(mean) / 2
        for goals in (scored, conceded)
    )
    home = np.log(max(sums.scored.sum(), 1e-3) / max(sums.conceded.sum(), 1e-3))
    return np.concatenate([attack, defence - home / 2, [home, 0.0]])


def _prior(newcomer: NDArray[np.bool_], precision: float) -> Floats:
    """Precision of the normal prior, shape (n, n).

    Teams vary about the mean of their kind, and the newcomers' mean about the others'.
    """
    same = newcomer[:, None] == newcomer
    apart = np.where(newcomer, 1.0, -1.0) / same.sum(axis=1) * (newcomer.any() and not newcomer.all())
    return precision * (np.eye(len(newcomer)) - same / same.sum(axis=1) + np.outer(apart, apart))


def _maximum(x: Floats, sums: _Sums, prior: Floats, low_scores: bool) -> Floats:
    """Newton's method with halved steps; `rho` stays within its bounds, and at 0 without low scores."""
    free = np.ones(len(x), bool)
    value = _value(x, sums, prior)
    for _ in range(100):
        gradient, information = _derivatives(x, sums, prior, low_scores)
        free[-1] = low_scores and not (abs(x[-1]) >= _RHO and gradient[-1] * x[-1] > 0)
        step = np.zeros(len(x))
        step[free] = _solve(information[np.ix_(free, free)], gradient[free])
        if gradient @ step < 1e-12:
            break
        for _ in range(30):
            trial = x + step
            trial[-1] = np.clip(trial[-1], -_RHO, _RHO)
            reached = _value(trial, sums, prior)
            if reached >= value:
                break
            step = step / 2
        else:
            break
        x, value = trial, reached
    return x


def _solve(information: Floats, gradient: Floats) -> Floats:
    # what the data cannot tell (a shift between attack and defence; teams that no chain of matches links)
    # stays where it is
    flat = 1e-9 * np.trace(information) / len(information) * np.eye(len(information))
    try:
        np.linalg.cholesky(information + flat)
    except np.linalg.LinAlgError:
        # far from the maximum the correction of low scores may bend the wrong way
        flat = np.diag(np.abs(information).sum(axis=1))
    return np.linalg.solve(information + flat, gradient)


def _value(x: Floats, sums: _Sums, prior: Floats) -> float:
    """Log likelihood less the penalty, up to a constant."""
    n = len(prior)
    attack, defence, home, rho = x[:n], x[n : 2 * n], x[-2], x[-1]
    u, v = home + attack[:, None] + defence, attack + defence[:, None]
    lam, mu = np.exp(u), np.exp(v)
    fit = (sums.scored * u + sums.conceded * v - sums.weight * (lam + mu)).sum()
    if rho:
        fit += (sums.low * np.log(np.maximum(_tau(lam, mu, rho), 1e-12))).sum()
    return float(fit - attack @ prior @ attack / 2 - defence @ prior @ defence / 2)


def _derivatives(x: Floats, sums: _Sums, prior: Floats, low_scores: bool) -> tuple[Floats, Floats]:
    """Gradient of `_value` and its negative second derivatives.

    u and v are the log goals expected of home i and away j: u = home + attack i + defence j, v = attack j +
    defence i.
    """
    n = len(prior)
    attack, defence, home, rho = x[:n], x[n : 2 * n], x[-2], x[-1]
    lam, mu = np.exp(home + attack[:, None] + defence), np.exp(attack + defence[:, None])
    by_u, by_v, by_rho = sums.scored - sums.weight * lam, sums.conceded - sums.weight * mu, 0.0
    uu, vv, uv = -sums.weight * lam, -sums.weight * mu, np.zeros((n, n))
    u_rho, v_rho, rho_rho = uv, uv, -1.0
    if low_scores:
        tau = np.maximum(_tau(lam, mu, rho), 1e-12)
        (r00, r01), (r10, r11) = sums.low / tau
        (s00, s01), (s10, s11) = sums.low / tau**2
        by_u = by_u + rho * (lam * r01 - lam * mu * r00)
        by_v = by_v + rho * (mu * r10 - lam * mu * r00)
        by_rho = (lam * r01 + mu * r10 - lam * mu * r00 - r11).sum()
        uv = -rho * lam * mu * s00
        uu, vv = uu + uv + rho * lam * s01, vv + uv + rho * mu * s10
        u_rho, v_rho = lam * s01 - lam * mu * s00, mu * s10 - lam * mu * s00
        rho_rho = -((lam * mu) ** 2 * s00 + lam**2 * s01 + mu**2 * s10 + s11).sum()

    gradient = np.concatenate(
        [
            by_u.sum(1) + by_v.sum(0) - prior @ attack,
            by_u.sum(0) + by_v.sum(1) - prior @ defence,
            [by_u.sum(), by_rho],
        ]
    )
    second = np.zeros((2 * n + 2, 2 * n + 2))
    cross = uv + uv.T
    second[:n, :n] = np.diag(uu.sum(1) + vv.sum(0)) + cross - prior
    second[n:-2, n:-2] = np.diag(uu.sum(0) + vv.sum(1)) + cross - prior
    second[:n, n:-2] = uu + vv.T + np.diag(uv.sum(1) + uv.sum(0))
    second[:n, -2], second[n:-2, -2], second[-2, -2] = (
        uu.sum(1) + uv.sum(0),
        uu.sum(0) + uv.sum(1),
        uu.sum() / 2,
    )
    second[:n, -1], second[n:-2, -1] = u_rho.sum(1) + v_rho.sum(0), u_rho.sum(0) + v_rho.sum(1)
    second[-2, -1], second[-1, -1] = u_rho.sum(), rho_rho / 2
    # the blocks below the diagonal mirror those above it
    second[n:-2, :n] = second[:n, n:-2].T
    second[-2:, :-2] = second[:-2, -2:].T
    second[-2:, -2:] += second[-2:, -2:].T
    return gradient, -second


def _tau(lam: Floats, mu: Floats, rho: float) -> Floats:
    """Dixon and Coles's factor on the scores 0-0, 0-1, 1-0 and 1-1, shape (2, 2, ...)."""
    return np.array([[1 - lam * mu * rho, 1 + lam * rho], [1 + mu * rho, np.full_like(lam, 1 - rho)]])
