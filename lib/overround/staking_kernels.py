"""Compiled search for the stakes of bets that are placed together; import this module only inside the function that needs it.

All stakes here are shares of the bankroll put at risk: the stake of a back bet, the liability of a lay bet. All kernels are in one
file: numba's store on disk forgets a compiled kernel when the file that it is in changes, not when one does that it calls into.
"""

import numpy as np
from numba import njit

_STEPS = 100
_WALL = 1e-13  # weight of log(money that is not at risk): keeps the stakes below the bankroll and moves them by less than this matters


@njit(cache=True)
def joint_stakes(moment, market, outcome, price, probability, lay, exact):
    """Stakes that maximise expected log wealth, moment by moment; see `staking.SimultaneousKelly`.

    Bets are sorted by moment, then market, then outcome; each array is over bets.
    """
    risk = np.zeros(len(price))
    begin = 0
    while begin < len(price):
        end = begin + 1
        while end < len(price) and moment[end] == moment[begin]:
            end += 1
        if end - begin <= exact or market[begin] == market[end - 1]:
            risk[begin:end] = _stakes(market[begin:end], outcome[begin:end], price[begin:end], probability[begin:end], lay[begin:end])
        else:
            _apart(begin, end, market, outcome, price, probability, lay, risk)
        begin = end
    return risk


@njit(cache=True)
def _apart(begin, end, market, outcome, price, probability, lay, risk):
    """Each market's own stakes, smaller the more there is to win on the others."""
    quality = np.zeros(end - begin)
    total, first = 0.0, begin
    while first < end:
        last = first + 1
        while last < end and market[last] == market[first]:
            last += 1
        one = slice(first, last)
        risk[one] = _stakes(market[one], outcome[one], price[one], probability[one], lay[one])
        returns, chance = _states(market[one], outcome[one], price[one], probability[one], lay[one])
        won = returns @ risk[one]
        mean = (won * chance).sum()
        variance = (won * won * chance).sum() - mean * mean
        if variance > 0:
            quality[first - begin : last - begin] = mean * mean / variance
            total += mean * mean / variance
        first = last
    for i in range(begin, end):
        risk[i] /= 1 + total - quality[i - begin]


@njit(cache=True)
def _stakes(market, outcome, price, probability, lay):
    """Stakes of the bets of one moment, over all results of their markets."""
    n = len(price)
    if n == 1:
        edge = probability[0] * price[0] - 1
        return np.array([max(-edge if lay[0] else edge / (price[0] - 1), 0.0)])
    plain = market[0] == market[-1] and not lay.any()
    for i in range(1, n):
        plain = plain and outcome[i] != outcome[i - 1]
    if plain:
        return _one_market(price, probability)
    returns, chance = _states(market, outcome, price, probability, lay)
    possible = np.flatnonzero(chance > 0)
    return _newton(returns[possible], chance[possible])


@njit(cache=True)
def _one_market(price, probability):
    """Smoczynski and Tomkins (2010): bet while an outcome's expected return is above the reserve, down to probability - reserve / price."""
    risk = np.zeros(len(price))
    left, unbacked, reserve = 1.0, 1.0, 1.0
    for i in np.argsort(-probability * price):
        if probability[i] * price[i] <= reserve or unbacked <= 1 / price[i]:
            break
        left -= probability[i]
        unbacked -= 1 / price[i]
        reserve = max(left, 0.0) / unbacked
        risk[i] = 1.0
    for i in range(len(price)):
        risk[i] = max(probability[i] - reserve / price[i], 0.0) if risk[i] > 0 else 0.0
    return risk


@njit(cache=True)
def _states(market, outcome, price, probability, lay):
    """Profit per unit at risk of each bet in each result, shape (results, bets), and the chance of each result.

    The results of a market are the outcomes that are bet on, and none of them.
    """
    n = len(price)
    returns, chance = np.zeros((1, n)), np.ones(1)
    first = 0
    while first < n:
        last = first + 1
        while last < n and market[last] == market[first]:
            last += 1
        table, p = _market_states(first, last, outcome, price, probability, lay)
        more = np.zeros((len(chance) * len(p), n))
        weight = np.zeros(len(chance) * len(p))
        for a in range(len(chance)):
            for b in range(len(p)):
                more[a * len(p) + b] = returns[a]
                more[a * len(p) + b, first:last] = table[b]
                weight[a * len(p) + b] = chance[a] * p[b]
        returns, chance = more, weight
        first = last
    return returns, chance


@njit(cache=True)
def _market_states(first, last, outcome, price, probability, lay):
    k = 1
    for i in range(first + 1, last):
        k += outcome[i] != outcome[i - 1]
    table, p = np.zeros((k + 1, last - first)), np.zeros(k + 1)
    state = -1
    for i in range(first, last):
        if i == first or outcome[i] != outcome[i - 1]:
            state += 1
        # two bets on one outcome may come with two probabilities: their mean would need a weight, the last one does not
        p[state] = probability[i]
        for s in range(k + 1):
            if lay[i]:
                table[s, i - first] = -1.0 if s == state else 1 / (price[i] - 1)
            else:
                table[s, i - first] = price[i] - 1 if s == state else -1.0
    p[k] = max(1 - p.sum(), 0.0)
    return table, p / p.sum()


@njit(cache=True)
def _newton(returns, chance):
    """Maximum of sum chance log(1 + returns f) over f >= 0 with sum f < 1.

    By projected Newton steps (Bertsekas 1982, SIAM Journal on Control and Optimization 20, 221-246).
    """
    n = returns.shape[1]
    f = np.zeros(n)
    value = 0.0
    for _ in range(_STEPS):
        wealth = 1 + returns @ f
        spare = 1 - f.sum()
        weight = chance / wealth
        slope = returns.T @ weight - _WALL / spare
        moving = np.flatnonzero((f > 0) | (slope > 0))
        if len(moving) == 0 or np.abs(slope[moving] * np.maximum(f[moving], 1e-3)).max() < 1e-14:
            break
        scaled = np.ascontiguousarray(returns[:, moving]) * np.sqrt(weight / wealth).reshape(-1, 1)
        bend = scaled.T @ scaled + _WALL / spare**2
        for i in range(len(moving)):
            bend[i, i] *= 1 + 1e-10  # two bets that are one
        step = np.linalg.solve(bend, slope[moving])
        length, better = 1.0, False
        while length > 1e-12 and not better:
            tried = f.copy()
            tried[moving] = np.maximum(f[moving] + length * step, 0.0)
            new = _log_wealth(returns, chance, tried)
            # near the maximum the value no longer tells which of two steps is higher, the slope still does
            better = new > value or (length == 1 and new > value - 1e-15)
            length /= 2
        if not better:
            break
        f, value = tried, new
    return f


@njit(cache=True)
def _log_wealth(returns, chance, f):
    spare = 1 - f.sum()
    if spare <= 0:
        return -np.inf
    total = _WALL * np.log(spare)
    wealth = 1 + returns @ f
    for i in range(len(chance)):
        if wealth[i] <= 0:
            return -np.inf
        total += chance[i] * np.log(wealth[i])
    return total
