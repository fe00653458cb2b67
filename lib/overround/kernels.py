"""Compiled loops, kept on disk after the first call; import this module only inside the function that needs it."""

import numpy as np
from numba import njit


@njit(cache=True)
def run_book(bet_of_action, settles, group_end, amount, share, exposure, gain, bankroll):
    """Stakes and bankroll of a book of bets, action by action in time.

    Parameters are arrays over actions (`bet_of_action`, `settles`, `group_end`: one past the last action of the same kind and
    time) and over bets (`amount`, `share`, `exposure`: money tied up per unit staked, `gain`: profit per unit staked).
    Bets of one group see the same free bankroll; where they ask for more than it holds, all are cut in proportion.

    Returns
    -------
    stake, bankroll_after : ndarray, shape (n_bets,)
        `bankroll_after` is the starting bankroll plus all profit realised when the bet was settled.
    """
    stake = np.zeros(len(amount))
    after = np.zeros(len(amount))
    free = bankroll
    total = bankroll
    action = 0
    while action < len(bet_of_action):
        end = group_end[action]
        if settles[action]:
            for i in range(action, end):
                bet = bet_of_action[i]
                total += stake[bet] * gain[bet]
                free += stake[bet] * (exposure[bet] + gain[bet])
                after[bet] = total
        else:
            asked = 0.0
            for i in range(action, end):
                bet = bet_of_action[i]
                stake[bet] = max(0.0, amount[bet] + share[bet] * max(free, 0.0))
                asked += stake[bet] * exposure[bet]
            if asked > free:
                cut = max(free, 0.0) / asked
                for i in range(action, end):
                    stake[bet_of_action[i]] *= cut
                asked *= cut
            free -= asked
        action = end
    return stake, after
