"""The protocol, columns and checks that all models of match results share."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.errors import ParameterError
from overround.prices.board import early_placed_at
from overround.schema import OUTCOMES
from overround.times import as_times, microseconds

THREE = OUTCOMES["h2h"]


PROBABILITIES = tuple(f"probability_{outcome}" for outcome in THREE)


MARKET_COLUMNS = tuple(f"market_{outcome}" for outcome in THREE)


class Model(Protocol):
    """What a walk-forward needs of a model."""

    def fit(self, matches: pd.DataFrame, at: pd.Timestamp) -> Any:
        """Parameters as of `at` from finished matches: rows of `events` with home_score and away_score."""

    def predict(self, params: Any, fixtures: pd.DataFrame) -> Floats:
        """Probabilities of home, draw and away of rows of `events`, shape (n, 3)."""


def forecast_times(events: pd.DataFrame, lead_h: float | None = None) -> pd.Series:
    """When each match is to be predicted.

    Parameters
    ----------
    events : DataFrame
        With `starts_at`.
    lead_h : float, optional
        Hours before kick-off; by default the time at which a bet at an early price counts as placed: noon of
        the Friday or Tuesday before, or kick-off where that comes first.

    Raises
    ------
    ParameterError
        Hours below 0.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> at = ov.forecasts.forecast_times(events, lead_h=2)
    >>> (events["starts_at"] - at).unique().tolist()
    [Timedelta('0 days 02:00:00')]
    """
    starts = events["starts_at"]
    if lead_h is None:
        return as_times(early_placed_at(microseconds(starts))).set_axis(events.index).where(starts.notna())
    if not lead_h >= 0:
        raise ParameterError(f"lead_h is {lead_h}; hours before kick-off are at least 0.")
    return starts - pd.Timedelta(hours=lead_h)


# a team first seen this long after the first match of all was promoted
SETTLED_IN = 180 * 86_400_000_000  # microseconds


def team_codes(
    matches: pd.DataFrame,
) -> tuple[pd.Index, NDArray[np.intp], NDArray[np.intp], NDArray[np.int64]]:
    """Teams in alphabetical order, each match's home and away team by number, and each team's first match.

    The first match is a time in microseconds.
    """
    check_scores(matches, 1)
    names = np.concatenate([matches["home"].to_numpy(object), matches["away"].to_numpy(object)])
    codes, teams = pd.factorize(names, sort=True)
    first = pd.Series(np.tile(microseconds(matches["starts_at"]), 2)).groupby(codes).min().to_numpy()
    home, away = np.split(codes, 2)
    return pd.Index(teams, dtype=object), home, away, first


def check_positive(name: str, value: float) -> None:
    """Reject a setting that is not above 0."""
    if not value > 0:
        raise ParameterError(f"{name} is {value}; it must be above 0.")


def check_scores(matches: pd.DataFrame, least: int = 0) -> None:
    """Reject too few matches, or one without a score, which would make every strength NaN."""
    unknown = int(matches[["home_score", "away_score"]].isna().any(axis=1).sum())
    if unknown or len(matches) < least:
        raise ParameterError(
            f"a model learns from finished matches, at least {least}; got {len(matches)}, "
            f"{unknown} of them without a score."
        )


def most_likely(
    probabilities: Callable[[Floats], Floats], margin: Floats, prior: Floats, precision: float = 1.0
) -> Floats:
    """Parameters of probabilities of home, draw and away, by penalised maximum likelihood.

    Parameters
    ----------
    probabilities : callable
        From parameters to an array of shape (n, 3).
    margin : ndarray, shape (n,)
        Goals of home less goals of away.
    prior, precision
        Means and precision of normal priors.
    """
    from scipy.optimize import minimize

    happened = 1 - np.sign(margin).astype(int)[:, None]

    def loss(theta: Floats) -> float:
        off = theta - prior
        chance = np.take_along_axis(probabilities(theta), happened, axis=1)
        return -np.log(chance).sum() + precision * off @ off / 2

    options = {"gtol": 1e-6 * max(len(margin), 1)}
    return minimize(loss, prior, method="BFGS", jac="3-point", options=options).x
