"""Compiled search for the stakes of bets that are placed together; import it inside functions only.

All stakes here are shares of the bankroll put at risk: the stake of a back bet, the liability of a lay bet.
All kernels are in one file: numba's cache forgets a kernel when the file that it is in changes, not when a
kernel that it calls does.
"""

import numpy as np

from overround.measure.numba_compile import compiled

_STEPS = 100
# weight of log(money that is not at risk): keeps the stakes below the bankroll without moving them noticeably
_WALL = 1e-13


@compiled
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
            risk[begin:end] = _stakes(
                market[begin:end],
                outcome[begin:end],
                price[begin:end],
                probability[begin:end],
                lay[begin:end],
            )
        else:
            _apart(begin, end, market, outcome, price, probability, lay, risk)
        begin = end
    return risk


@compiled
def _apart(begin, end, market, outcome, price, probability, lay, risk):
    """Each market's own stakes, smaller the more there is to win on the others."""
    quality = np.zeros(end - begin)
    total, first = 0.0, begin
    while first < end:
        last = first + 1
        while last < end and market[last] == market[first]:
            last += 1
        one = (
            market[first:last],
            outcome[first:last],
            price[first:last],
            probability[first:last],
            lay[first:last],
        )
        found = _stakes(*one)
        returns, chance = _states(*one)
        mean, square = 0.0, 0.0
        for s in range(len(chance)):
            won = 0.0
            for i in range(len(found)):
                won += returns[s, i] * found[i]
            mean += chance[s] * won
            square += chance[s] * won * won
        variance = square - mean * mean
        sharpe = mean * mean / variance if variance > 0 else 0.0
        total += sharpe
        risk[first:last], quality[first - begin : last - begin] = found, sharpe
        first = last
    risk[begin:end] /= 1 + total - quality


@compiled
def _stakes(market, outcome, price, probability, lay):
    """Stakes of the bets of one moment, over all results of their markets."""
    n = len(price)
    if n == 1:
        edge = probability[0] * price[0] - 1
        alone = np.empty(1)
        alone[0] = max(-edge if lay[0] else edge / (price[0] - 1), 0.0)
        return alone
    plain = market[0] == market[n - 1] and not lay[0]
    for i in range(1, n):
        plain = plain and outcome[i] != outcome[i - 1] and not lay[i]
    if plain:
        return _one_market(price, probability)
    return _newton(*_states(market, outcome, price, probability, lay))


@compiled
def _one_market(price, probability):
    """Smoczynski and Tomkins (2010): back outcomes whose expected return exceeds the reserve.

    Each at probability - reserve / price.
    """
    n = len(price)
    risk, backed = np.zeros(n), np.zeros(n, np.bool_)
    left, unbacked, reserve = 1.0, 1.0, 1.0
    for _ in range(n):
        best = -1
        for i in range(n):
            if not backed[i] and (best < 0 or probability[i] * price[i] > probability[best] * price[best]):
                best = i
        if probability[best] * price[best] <= reserve or unbacked <= 1 / price[best]:
            break
        left -= probability[best]
        unbacked -= 1 / price[best]
        reserve = max(left, 0.0) / unbacked
        backed[best] = True
    for i in range(n):
        if backed[i]:
            risk[i] = max(probability[i] - reserve / price[i], 0.0)
    return risk


@compiled
def _states(market, outcome, price, probability, lay):
    """Profit per unit at risk, shape (results, bets), and the chance of each result.

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
                both = a * len(p) + b
                more[both] = returns[a]
                more[both, first:last] = table[b]
                weight[both] = chance[a] * p[b]
        returns, chance = more, weight
        first = last
    return returns, chance


@compiled
def _market_states(first, last, outcome, price, probability, lay):
    k = 1
    for i in range(first + 1, last):
        k += outcome[i] != outcome[i - 1]
    table, p = np.zeros((k + 1, last - first)), np.zeros(k + 1)
    state = -1
    for i in range(first, last):
        if i == first or outcome[i] != outcome[i - 1]:
            state += 1
        # two bets on one outcome may come with two probabilities: their mean would need a weight, the last
        # one does not
        p[state] = probability[i]
        for s in range(k + 1):
            if lay[i]:
                table[s, i - first] = -1.0 if s == state else 1 / (price[i] - 1)
            else:
                table[s, i - first] = price[i] - 1 if s == state else -1.0
    total = 0.0
    for s in range(k):
        total += p[s]
    p[k] = max(1 - total, 0.0)
    for s in range(k + 1):
        p[s] /= max(total, 1.0)
    # leave out a result that cannot happen
    return (table, p) if p[k] > 0 else (table[:k], p[:k])


@compiled
def _newton(returns, chance):
    """Maximum of sum chance log(1 + returns f) over f >= 0 with sum f < 1.

    By projected Newton steps (Bertsekas 1982, SIAM Journal on Control and Optimization 20, 221-246). Loops
    instead of NumPy's linear algebra, which takes the compiler ten times as long.
    """
    n = returns.shape[1]
    f, tried, step = np.zeros(n), np.zeros(n), np.zeros(n)
    slope, bend, moves = np.zeros(n), np.zeros((n, n)), np.zeros(n, np.bool_)
    value = 0.0
    for _ in range(_STEPS):
        _derivatives(returns, chance, f, slope, bend)
        steepest = 0.0
        for i in range(n):
            moves[i] = f[i] > 0 or slope[i] > 0
            if moves[i]:
                steepest = max(steepest, abs(slope[i]) * max(f[i], 1e-3))
        if steepest < 1e-14:
            break
        _solve(bend, slope, moves, step)
        length, better = 1.0, False
        while length > 1e-12 and not better:
            for i in range(n):
                tried[i] = max(f[i] + length * step[i], 0.0)
            new = _log_wealth(returns, chance, tried)
            # near the maximum the value no longer tells which of two steps is higher, the slope still does
            better = new > value or (length == 1 and new > value - 1e-15)
            length /= 2
        if not better:
            break
        f[:], value = tried, new
    return f


@compiled
def _derivatives(returns, chance, f, slope, bend):
    """First and negative second derivatives of expected log wealth."""
    n = len(f)
    spare = 1.0
    for i in range(n):
        spare -= f[i]
    slope[:], bend[:] = -_WALL / spare, _WALL / (spare * spare)
    for s in range(len(chance)):
        wealth = 1.0
        for i in range(n):
            wealth += returns[s, i] * f[i]
        weight = chance[s] / wealth
        for i in range(n):
            slope[i] += weight * returns[s, i]
            for j in range(n):
                bend[i, j] += weight / wealth * returns[s, i] * returns[s, j]


@compiled
def _solve(matrix, target, some, result):
    """Solve for the rows and columns `some` of a positive definite matrix by Gauss-Jordan, in place."""
    n = len(target)
    for i in range(n):
        result[i] = target[i] if some[i] else 0.0
        matrix[i, i] *= 1 + 1e-10  # for two bets that are equal
    for k in range(n):
        if some[k]:
            for i in range(n):
                if some[i] and i != k:
                    factor = matrix[i, k] / matrix[k, k]
                    for j in range(n):
                        matrix[i, j] -= factor * matrix[k, j]
                    result[i] -= factor * result[k]
    for i in range(n):
        if some[i]:
            result[i] /= matrix[i, i]


@compiled
def _log_wealth(returns, chance, f):
    spare = 1.0
    for i in range(len(f)):
        spare -= f[i]
    if spare <= 0:
        return -np.inf
    total = _WALL * np.log(spare)
    for s in range(len(chance)):
        wealth = 1.0
        for i in range(len(f)):
            wealth += returns[s, i] * f[i]
        if wealth <= 0:
            return -np.inf
        total += chance[s] * np.log(wealth)
    return total
