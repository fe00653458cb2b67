"""Walk-forward: every match predicted by a model that has seen only earlier results, and no price."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError
from overround.forecasts.base import PROBABILITIES, Model, check_positive, forecast_times
from overround.progress import followed
from overround.schema import TIME_KIND
from overround.times import moment

_CARRIED = ("event_id", "competition", "season", "starts_at")
_AFTERWARDS = ["status", "same_as", "last_asked_at"]
_MATCH = pd.Timedelta(hours=3)  # with interval, added time, extra time


def walk_forward(
    model: Model,
    events: pd.DataFrame,
    results: pd.DataFrame,
    *,
    start: pd.Timestamp | str | None = None,
    refit_days: float = 7.0,
    window_days: float | None = None,
    embargo_days: float = 0.0,
    lead_h: float | None = None,
    by: str | None = "competition",
    least_matches: int = 50,
) -> pd.DataFrame:
    """Probabilities of every match by a model fitted only to results known before.

    The model is fitted when a match is to be predicted and its last fit is `refit_days` old, on the results
    known by then, less an embargo. A result is known at its `settled_at`, or else at the end of the match's
    day; a match without a score is predicted, but not learnt from.

    Parameters
    ----------
    model : Model
        As in `overround.forecasts.market`.
    events : DataFrame
        The table `events`, with any other columns that the model needs and that were known when the match
        is to be predicted.
    results : DataFrame
        The table `results`.
    start : Timestamp or str, optional
        Matches that are to be predicted earlier are left out. By default none.
    refit_days : float
        Days between two fits, at least.
    window_days : float, optional
        Learn from matches of these last days only (a rolling window); by default from all (an expanding one).
    embargo_days : float
        Results of this many days before a fit are withheld from it.
    lead_h : float, optional
        Hours before kick-off at which a match is predicted; by default as `forecast_times`.
    by : str or None
        Column of `events`: each of its values has its own model. None: one for all, in which leagues that
        exchange teams help each other.
    least_matches : int
        With fewer to learn from, a fit and its matches are left out.

    Returns
    -------
    DataFrame
        event_id, competition, season, starts_at, probability_home, probability_draw, probability_away,
        predicted_at (when it was predicted), fitted_at (when its model was fitted, at or before),
        trained_until (when the last result that the model saw was known, before fitted_at), trained_on (how
        many results); in the order of predicted_at.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> p = ov.walk_forward(ov.forecasts.Elo(), events, results.drop(columns="starts_at"), least_matches=20)
    >>> len(p) > 0, bool((p["trained_until"] < p["predicted_at"]).all())
    (True, True)
    """
    _check(events, results, refit_days, window_days, embargo_days, least_matches, by)
    # what a store says of a match when it is over is no model's business
    events = events.drop(columns=_AFTERWARDS, errors="ignore")
    known = results.dropna(subset=["home_score", "away_score"])[
        ["event_id", "home_score", "away_score", "settled_at"]
    ]
    fixtures = events.assign(predicted_at=forecast_times(events, lead_h)).sort_values(
        ["predicted_at", "event_id"], ignore_index=True
    )
    if start is not None:
        fixtures = fixtures[fixtures["predicted_at"] >= moment(start, "start", "2015-08-01")]
    matches = events.merge(known, on="event_id")
    # one order whatever the order given, so that the same past gives the same bits
    matches = matches.assign(known_at=_known_at(matches)).sort_values(
        ["known_at", "event_id"], ignore_index=True
    )
    parts = [(fixtures, matches)]
    if by is not None and len(fixtures):
        parts = [(part, matches[matches[by] == name]) for name, part in fixtures.groupby(by, observed=True)]
    forecasts = pd.concat(
        _folds(model, *part, refit_days, window_days, embargo_days, least_matches) for part in parts
    ).sort_values(["predicted_at", "event_id"], kind="stable", ignore_index=True)
    return forecasts.astype(dict.fromkeys(("predicted_at", "fitted_at", "trained_until"), TIME_KIND))


def _folds(
    model: Model,
    fixtures: pd.DataFrame,
    matches: pd.DataFrame,
    refit_days: float,
    window_days: float | None,
    embargo_days: float,
    least_matches: int,
) -> pd.DataFrame:
    matches, embargo = matches.reset_index(drop=True), pd.Timedelta(days=embargo_days)
    known_at = matches["known_at"]
    # the first fit waits until there is enough to learn from
    fixtures = fixtures[
        known_at.searchsorted(fixtures["predicted_at"] - embargo, side="left") >= least_matches
    ]
    fold, fitted_at = _fits(fixtures["predicted_at"], refit_days)
    last = known_at.searchsorted(fitted_at - embargo, side="left")
    first = np.zeros(len(fitted_at), int)
    if window_days is not None:
        first = known_at.searchsorted(fitted_at - pd.Timedelta(days=window_days), side="left")
    matches = matches.drop(columns=["known_at", "settled_at"])
    bounds = np.searchsorted(fold, np.arange(len(fitted_at) + 1))
    p = np.full((len(fixtures), len(PROBABILITIES)), np.nan)
    enough = last - first >= least_matches
    for number in followed(np.flatnonzero(enough), "fits"):
        asked = slice(bounds[number], bounds[number + 1])
        params = model.fit(matches.iloc[first[number] : last[number]], fitted_at[number])
        p[asked] = model.predict(params, fixtures.iloc[asked])
    forecasts = fixtures[list(_CARRIED)].assign(
        **dict(zip(PROBABILITIES, p.T, strict=True)),
        predicted_at=fixtures["predicted_at"],
        fitted_at=fitted_at[fold],
        trained_until=pd.DatetimeIndex(known_at.reindex(last - 1))[fold],
        trained_on=(last - first)[fold],
    )
    return forecasts[enough[fold]]


def _fits(predicted_at: pd.Series, refit_days: float) -> tuple[NDArray[np.intp], pd.DatetimeIndex]:
    """Number of the fit that predicts each match, and the times of the fits: whenever the last is too old."""
    times = pd.DatetimeIndex(predicted_at.unique())
    since = (times - times.min()) / pd.Timedelta(days=1)
    at, following = [], 0
    while following < len(times):
        at.append(following)
        following = int(since.searchsorted(since[following] + refit_days))
    fits = times[at]
    return fits.searchsorted(pd.DatetimeIndex(predicted_at), side="right") - 1, fits


def _known_at(matches: pd.DataFrame) -> pd.Series:
    """When a result was known: its own time if that is after kick-off, else the midnight after the match."""
    end_of_day = (matches["starts_at"] + _MATCH).dt.ceil("D")
    return matches["settled_at"].where(matches["settled_at"] > matches["starts_at"], end_of_day)


def _check(
    events: pd.DataFrame,
    results: pd.DataFrame,
    refit_days: float,
    window_days: float | None,
    embargo_days: float,
    least_matches: int,
    by: str | None,
) -> None:
    check_positive("refit_days", refit_days)
    if not embargo_days >= 0:
        raise ParameterError(f"embargo_days is {embargo_days}; it must be at least 0.")
    if window_days is not None and not window_days > embargo_days:
        raise ParameterError(f"window_days is {window_days}; it must be above embargo_days, {embargo_days}.")
    if not least_matches >= 1:
        raise ParameterError(f"least_matches is {least_matches}; it must be at least 1.")
    wanted = [*_CARRIED, "home", "away", *([by] if by else [])]
    for name, frame, columns in (
        ("events", events, wanted),
        ("results", results, ["event_id", "home_score", "away_score", "settled_at"]),
    ):
        missing = [column for column in columns if column not in frame]
        if missing:
            raise ParameterError(
                f"{name} need the column {missing[0]!r}; they have {', '.join(frame.columns)}."
            )
    clash = sorted({"home_score", "away_score", "settled_at"} & set(events))
    if clash:
        raise ParameterError(
            f"events have the column {clash[0]!r}, "
            "which a model would be shown before the match; leave it out."
        )
    twice = events.loc[events["event_id"].duplicated(), "event_id"]
    if len(twice):
        raise ParameterError(f"event {twice.iloc[0]} is listed twice in events.")
