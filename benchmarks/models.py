"""Walk-forward of the models with weekly fits, and Dixon and Coles's fit against penaltyblog's."""

import time
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pandas as pd

from benchmarks.pairs import race
from overround import walk_forward
from overround.forecasts import DixonColes, Elo, Poisson
from overround.forecasts.base import Model

SEASONS, TEAMS = 10, 20


def main() -> None:
    """Ten seasons of one league, a round a week; then one fit of its last two seasons and of all ten."""
    events, results = league()
    models: dict[str, Model] = {"Poisson": Poisson(), "Dixon-Coles": DixonColes(), "Elo": Elo()}
    for name, model in models.items():
        model.fit(events.merge(results, on="event_id"), events["starts_at"].max())  # compiles
        began, began_cpu = time.perf_counter(), time.process_time()
        fits = walk_forward(model, events, results)["fitted_at"].nunique()
        spent, spent_cpu = time.perf_counter() - began, time.process_time() - began_cpu
        print(
            f"walk-forward of {len(events):,} matches, {fits} fits, {name:<12} "
            f"{spent:6.2f} s wall {spent_cpu:6.2f} s CPU"
        )
    if find_spec("penaltyblog"):
        matches = events.merge(results[["event_id", "home_score", "away_score"]], on="event_id")
        for seasons in (2, SEASONS):
            mine = matches.tail(seasons * TEAMS * (TEAMS - 1))
            contenders = {
                "penaltyblog": lambda mine=mine: peer(mine),
                "overround": lambda mine=mine: ours(mine),
            }
            race(f"one Dixon-Coles fit of {len(mine):,} matches, half-life a year", contenders, rounds=5)


def ours(matches: pd.DataFrame) -> object:
    """Our fit, without a prior as the peer has none."""
    return DixonColes(365, np.inf).fit(matches, matches["starts_at"].max())


def peer(matches: pd.DataFrame) -> object:
    """The peer's fit with its own defaults and the same weights."""
    age_days = (matches["starts_at"].max() - matches["starts_at"]) / pd.Timedelta(days=1)
    goals = (matches[column].to_numpy() for column in ("home_score", "away_score"))
    teams = (matches[column].to_numpy(object) for column in ("home", "away"))
    model = import_module("penaltyblog").models.DixonColesGoalModel(
        *goals, *teams, np.exp2(-age_days.to_numpy() / 365)
    )
    model.fit()
    return model


def league() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Double round robins by the circle method, a round a Saturday, a season of 38 rounds a year."""
    rng = np.random.default_rng(1)
    attack, defence = rng.normal(0.15, 0.25, TEAMS), rng.normal(0, 0.25, TEAMS)
    rows = []
    for season in range(SEASONS):
        for week in range(2 * (TEAMS - 1)):
            ring = np.r_[0, 1 + (np.arange(TEAMS - 1) + week) % (TEAMS - 1)]
            pairs = np.c_[ring[: TEAMS // 2], ring[: TEAMS // 2 - 1 : -1]]
            for home, away in pairs if week < TEAMS - 1 else pairs[:, ::-1]:
                score = rng.poisson(
                    [np.exp(0.25 + attack[home] + defence[away]), np.exp(attack[away] + defence[home])]
                )
                rows.append((season, week, f"team {home:02d}", f"team {away:02d}", *score))
    frame = pd.DataFrame(rows, columns=["season", "week", "home", "away", "home_score", "away_score"])
    start = pd.Timestamp("2014-08-09 14:00", tz="UTC") + pd.to_timedelta(
        364 * frame["season"] + 7 * frame["week"], unit="D"
    )
    frame = frame.assign(
        event_id=[f"m{number:05d}" for number in range(len(frame))],
        competition="L1",
        season=frame["season"].astype(str),
    )
    frame = frame.assign(starts_at=start.astype("datetime64[us, UTC]"))
    results = frame[["event_id", "home_score", "away_score"]].assign(
        settled_at=pd.Series(pd.NaT, frame.index, dtype="datetime64[us, UTC]")
    )
    return frame.drop(columns=["home_score", "away_score", "week"]), results
