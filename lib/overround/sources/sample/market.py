"""The simulated market behind the default source: seeded, with known true probabilities.

Nothing in it is real: leagues, teams, bookmakers, prices and scores are invented.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from scipy.special import gammaln

from overround.errors import ParameterError

SOURCE = "sample"
LEAGUES = {"soccer_sim_premier": "Simulated Premier", "soccer_sim_second": "Simulated Second"}
_VERSION = 1  # of the simulation, whose answers depend on it: part of the cache keys and event ids
_ALLOWED = {
    "seed": (0, 2**63),
    "leagues": (1, 2),
    "seasons": (1, 20),
    "teams": (2, 14),
    "first_season": (1990, 2050),
}
_HOUR_S, DAY_S = 3600, 86_400
_PLACES = (
    "Aldmere",
    "Brackholm",
    "Corvane",
    "Dunmarsh",
    "Eskerby",
    "Fennwick",
    "Galloway Heath",
    "Harrowfen",
    "Ivermouth",
    "Jorvale",
    "Kestrelby",
    "Lowenbridge",
    "Marrowick",
    "Nettleham Vale",
)
_CLUBS = ("Sim City", "Sim Rovers")  # one per league


@dataclass(frozen=True)
class Bookmaker:
    """How a simulated bookmaker makes its prices.

    Parameters
    ----------
    key : str
        Name in the answers.
    margin : float
        Overround minus one.
    favourite_bias : float
        Exponent of the probabilities before the margin: below 1, longshots carry more of it.
    noise : float
        Standard deviation, in log odds, of its own opinion of a match.
    delay_h : float
        Age of its information in hours.
    refresh_h : float
        Hours between two updates of its price.
    """

    key: str
    margin: float
    favourite_bias: float
    noise: float
    delay_h: float
    refresh_h: float


BOOKMAKERS = (
    Bookmaker("sim_sharp", 0.025, 1.0, 0.012, 0.0, 0.05),
    Bookmaker("sim_exchange", 0.030, 1.0, 0.014, 0.5, 0.25),
    Bookmaker("sim_asia", 0.035, 1.0, 0.016, 1.0, 1.0),
    Bookmaker("sim_london", 0.055, 0.97, 0.025, 2.0, 3.0),
    Bookmaker("sim_nordic", 0.050, 0.98, 0.030, 3.5, 4.0),
    Bookmaker("sim_malta", 0.060, 0.97, 0.035, 5.5, 6.0),
    Bookmaker("sim_vegas", 0.075, 0.95, 0.035, 7.0, 8.0),
    Bookmaker("sim_corner", 0.090, 0.93, 0.040, 11.0, 12.0),
)


@dataclass(frozen=True)
class Market:
    """Size and seed of a simulation; the same fields give the same bytes.

    Parameters
    ----------
    seed : int
        Seed of all random numbers.
    leagues, seasons, teams : int
        At most 2 leagues of 14 teams, an even number; a season is a double round robin, one round a week from
        March.
    first_season : int
        Calendar year of the first season.
    """

    seed: int = 2026
    leagues: int = 2
    seasons: int = 2
    teams: int = 14
    first_season: int = 2024

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _ALLOWED.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not lowest <= value <= highest:
                raise ParameterError(
                    f"Market: {name}={value!r}; it is a whole number from {lowest} to {highest}."
                )
        if self.teams % 2:
            raise ParameterError(f"Market: teams={self.teams}; the number of teams is even.")

    @property
    def identity(self) -> str:
        """Stands for the server's address in the cache, whatever its port."""
        return f"{SOURCE} {_VERSION} {json.dumps(asdict(self))}"


def snapshot_times(market: Market, season: int) -> np.ndarray:
    """Times of a season's snapshots, seconds since 1970, shape (rounds, snapshots); the same in each league.

    Prices open on Monday; snapshots are denser on Friday and half an hour and two minutes before each
    kick-off.
    """
    start = datetime(market.first_season + season, 3, 1, tzinfo=UTC)
    monday = int(start.timestamp()) + (-start.weekday() % 7) * DAY_S
    weeks = np.arange(2 * (market.teams - 1))
    return monday + weeks[:, None] * 7 * DAY_S + _SNAPSHOTS


@dataclass(frozen=True, eq=False)
class Simulation:
    """Arrays over matches; `prices` and `updated` have shape (matches, bookmakers, snapshots[, outcomes])."""

    league: np.ndarray
    season: np.ndarray
    starts_at: np.ndarray
    home: list[str]
    away: list[str]
    event_id: list[str]
    truth: np.ndarray
    scores: np.ndarray
    prices: np.ndarray
    updated: np.ndarray


@lru_cache(maxsize=4)
def simulate(market: Market) -> Simulation:
    """Simulate the whole market."""
    rng = np.random.default_rng(market.seed)
    weeks, each = 2 * (market.teams - 1), market.teams // 2
    league, season, week, game = (
        axis.ravel()
        for axis in np.meshgrid(*map(np.arange, (market.leagues, market.seasons, weeks, each)), indexing="ij")
    )
    home, away = _fixtures(market.teams)[week, game].T
    opens = np.concatenate([snapshot_times(market, one)[:, 0] for one in range(market.seasons)])[
        season * weeks + week
    ]
    slots = rng.permuted(np.tile(np.resize(_KICK_OFFS, each), (len(game) // each, 1)), axis=1).ravel()

    rates = _open_rates(rng, market, (league, season, week), home, away)
    path = rates[:, :, None] + _news(rng, len(game))
    # the line-ups are out half an hour before the kick-off; there is no news after that
    last = (slots - _OPENS) // _STEP - 1
    path = np.where(
        np.arange(path.shape[2]) > last[:, None, None], np.take_along_axis(path, last[:, None, None], 2), path
    )
    at_kick_off = np.exp(path[:, :, -1])
    prices, updated = _quote(rng, _probabilities(path), opens)

    def names(teams: np.ndarray) -> list[str]:
        return [f"{_PLACES[team]} {_CLUBS[one]}" for one, team in zip(league, teams, strict=True)]

    keys = np.c_[league, season, week, game].tolist()
    event_id = [blake2b(f"{market.identity} {key}".encode(), digest_size=16).hexdigest() for key in keys]
    at_the_end = _probabilities(path[:, :, -1:])[:, 0]
    return Simulation(
        league,
        season,
        opens - _OPENS + slots,
        names(home),
        names(away),
        event_id,
        at_the_end,
        rng.poisson(at_kick_off),
        prices,
        updated,
    )


# seconds from Monday 00:00 UTC
_KICK_OFFS = np.array(
    [
        day * DAY_S + int(hour * _HOUR_S)
        for day, hour in ((4, 19), (5, 14), (6, 14), (5, 14), (5, 16.5), (5, 14), (6, 14))
    ]
)
_OPENS = 9 * _HOUR_S
_SNAPSHOTS = np.unique(
    [
        *(
            day * DAY_S + hour * _HOUR_S
            for day, hours in enumerate(
                [(9, 18), (9, 18), (9, 14, 20), (9, 13, 17, 21), (8, 10, 12, 14, 16, 17, 18)]
            )
            for hour in hours
        ),
        *(_KICK_OFFS - 30 * 60),
        *(_KICK_OFFS - 2 * 60),
    ]
)
_STEP = 1800  # seconds between two arrivals of news
_GOALS = np.arange(12)
_NEWS_CHANCE, _NEWS, _DRIZZLE = 0.006, 0.035, 0.003  # per step; standard deviations in log goals


def _fixtures(teams: int) -> np.ndarray:
    """Home and away team of each week's games by the circle method; the second half swaps the sides."""
    first = []
    for week in range(teams - 1):
        ring = np.r_[0, 1 + (np.arange(teams - 1) + week) % (teams - 1)]
        pairs = np.c_[ring[: teams // 2], ring[: teams // 2 - 1 : -1]]
        # sides by position in the ring, so that a team alternates as it moves on; the first team never moves
        swap = (np.where(np.arange(teams // 2) == 0, week, np.arange(teams // 2)) % 2) == 1
        first.append(np.where(swap[:, None], pairs[:, ::-1], pairs))
    return np.array(first + [one[:, ::-1] for one in first])


def _open_rates(
    rng: np.random.Generator, market: Market, when: tuple[np.ndarray, ...], home: np.ndarray, away: np.ndarray
) -> np.ndarray:
    """Log of expected goals when prices open, shape (matches, 2); strengths drift from week to week."""
    league, season, week = when
    weeks = 2 * (market.teams - 1)
    walk = rng.normal(0, 0.02, (market.leagues, 2, market.teams, market.seasons * weeks)).cumsum(axis=-1)
    attack, defence = np.moveaxis(rng.normal(0, 0.17, (market.leagues, 2, market.teams, 1)) + walk, 1, 0)
    now = season * weeks + week
    return np.c_[
        np.log(1.30) + 0.15 + attack[league, home, now] - defence[league, away, now],
        np.log(1.30) - 0.10 + attack[league, away, now] - defence[league, home, now],
    ]


def _news(rng: np.random.Generator, matches: int) -> np.ndarray:
    """Cumulated news in log goals, shape (matches, 2, steps): a drizzle, rarely a shock such as an injury."""
    steps = (_KICK_OFFS.max() - _OPENS) // _STEP + 1
    scale = np.where(rng.random((matches, 1, steps)) < _NEWS_CHANCE, _NEWS, _DRIZZLE)
    # what is good for one side is mostly bad for the other
    one, other = rng.normal(0, 1, (2, matches, steps))
    steps_of_two = np.stack([one, 0.4 * other - 0.9 * one], axis=1) * scale
    steps_of_two[:, :, 0] = 0
    return steps_of_two.cumsum(axis=2)


def _probabilities(log_rates: np.ndarray) -> np.ndarray:
    """Home, draw, away from independent Poisson goals: (matches, 2, steps) -> (matches, steps, 3)."""
    rates = log_rates[..., None]
    home, away = np.moveaxis(np.exp(_GOALS * rates - np.exp(rates) - gammaln(_GOALS + 1)), 1, 0)
    fewer = np.cumsum(away, axis=-1) - away
    three = np.stack(
        [(home * fewer).sum(-1), (home * away).sum(-1), (away * (np.cumsum(home, axis=-1) - home)).sum(-1)],
        axis=-1,
    )
    return three / three.sum(-1, keepdims=True)


def _quote(rng: np.random.Generator, belief: np.ndarray, opens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every bookmaker's prices at every snapshot, and when it last updated them."""
    matches = len(belief)
    prices = np.empty((matches, len(BOOKMAKERS), len(_SNAPSHOTS), 3))
    updated = np.empty(prices.shape[:3], dtype=np.int64)
    for number, book in enumerate(BOOKMAKERS):
        every = int(book.refresh_h * _HOUR_S)
        first = rng.integers(0, every, (matches, 1))
        looked = (_SNAPSHOTS - _OPENS + every - first) // every * every - every + first
        step = np.maximum(looked - int(book.delay_h * _HOUR_S), 0) // _STEP
        opinion = rng.normal(0, book.noise, (matches, 1, 3))
        chance = np.take_along_axis(belief, step[:, :, None], axis=1) ** book.favourite_bias * np.exp(opinion)
        prices[:, number] = _on_ladder(chance.sum(-1, keepdims=True) / chance / (1 + book.margin))
        updated[:, number] = opens[:, None] + looked
    return prices, updated


def _on_ladder(prices: np.ndarray) -> np.ndarray:
    """Prices rounded to the ladder of bookmakers, whose steps grow with the odds."""
    step = np.select([prices < 4, prices < 8, prices < 20], [0.01, 0.05, 0.25], 1.0)
    return np.maximum(np.round(np.round(prices / step) * step, 2), 1.01)
