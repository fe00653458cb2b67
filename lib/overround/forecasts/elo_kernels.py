"""Compiled loop of Elo ratings: each match changes the ratings that the next one begins with."""

import numpy as np

from overround.measure.numba_compile import compiled


@compiled
def run_elo(home, away, margin, start, k, margin_power, home_points):
    """Ratings after all matches, and the home team's lead before each.

    home, away: (n,) numbers of teams; margin: (n,) goals of home less goals of away; start: (teams,) ratings
    to begin with.
    """
    rating = start.copy()
    lead = np.empty(len(home))
    for match in range(len(home)):
        i, j = home[match], away[match]
        lead[match] = rating[i] - rating[j]
        expected = 1.0 / (1.0 + 10.0 ** (-(lead[match] + home_points) / 400.0))
        score = 0.5 + 0.5 * np.sign(margin[match])
        moved = k * (1.0 + abs(margin[match])) ** margin_power * (score - expected)
        rating[i] += moved
        rating[j] -= moved
    return rating, lead
