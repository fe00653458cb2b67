"""Compiled loops of a sweep, from a variant's limits to its figures; import it inside functions only.

None holds Python's lock, so threads run variants side by side. Places are turned into unsigned numbers
(`np.uintp`): an index that cannot be negative needs no check. All are in one file, as in
`overround.betting.kernels`.
"""

import math

import numpy as np

from overround.measure.numba_compile import compiled

FIGURES = (
    "bets",
    "staked",
    "profit",
    "yield",
    "low",
    "high",
    "mean_price",
    "final_bankroll",
    "max_drawdown",
    "clv",
    "beat_close",
    "luck_z",
    "luck_p",
    "luck_bets",
)
_Z = 1.959963984540054  # 95 % of a normal distribution lie within
_EXACT = 14  # matches, up to which all results are enumerated
_STATES = 20_000


@compiled
def chosen(by_choice, selection, values, low, high, codes, allowed):
    """Places of the bets that a variant takes: of each selection the first that is within its limits.

    Parameters
    ----------
    by_choice : ndarray, shape (n,)
        The candidates selection by selection, those of one in the order in which they would be taken.
    selection : ndarray, shape (n,)
        Number of each candidate's selection.
    values, low, high : ndarray, shape (limits, n), (limits,), (limits,)
        What is limited, and from where to where; what is not known breaks no limit.
    codes, allowed : ndarray, shape (sets, n), (sets, most)
        Numbers of bookmaker, league and season, and whether each is allowed.
    """
    n = len(by_choice)
    taken = np.zeros(n, np.bool_)
    last, count = -1, 0
    for k in range(n):
        at = np.uintp(by_choice[k])
        if selection[at] == last:
            continue
        fits = True
        for j in range(len(low)):
            fits = fits and not (values[j, at] < low[j]) and not (values[j, at] > high[j])
        for j in range(len(codes)):
            fits = fits and allowed[j, codes[j, at]]
        if fits:
            taken[at] = True
            last = selection[at]
            count += 1
    places = np.empty(count, np.int64)
    count = 0
    for i in range(n):
        if taken[i]:
            places[count] = i
            count += 1
    return places


@compiled
def judged(
    at,
    place,
    order,
    stake,
    profit,
    after,
    money,
    settled,
    price,
    void,
    clv,
    day,
    profits,
    turnovers,
    draws,
    out,
):
    """Figures of one variant, into `out` in the order of `FIGURES`, and its profit and stakes by day.

    Parameters
    ----------
    at, place, order : ndarray
        Places of the bets; over all candidates the number of each bet in `at`, -1 where it is not among them;
        bets in the order of settlement.
    stake, profit, after : ndarray, shape (bets,)
        What `run_book` returned.
    money : float
        At the start.
    settled, price, void, clv, day : ndarray, shape (n,)
        Of all candidates.
    profits, turnovers : ndarray, shape (days,)
        Filled, as float32.
    draws : tuple
        kind: 0 where a candidate cannot be drawn, 1 where it alone listens to its draw, 2 where others do,
        too; together: those of kind 2, draw by draw; draw, low, high and the gains below, between and above
        of `luck.Draws`; moments, shape (n, 3): mean and second and third central moment of a unit's
        profit.
    """
    kind, together, draw, low, high, below, between, above, moments = draws
    days = len(profits)
    earned, turned = np.zeros(days), np.zeros(days)
    bets, staked, total, prices = 0, 0.0, 0.0, 0.0
    judged_bets, clvs, compared, beaten = 0, 0.0, 0, 0
    peak, deepest, drawn, drawn_profit, drawn_stake = money, 0.0, 0, 0.0, 0.0
    mean, variance, third = 0.0, 0.0, 0.0
    last = len(order) - 1
    for k in range(len(order)):
        i = np.uintp(order[k])
        # bets of the same moment have no order among themselves
        if k == last or settled[at[order[k + 1]]] != settled[at[i]]:
            peak = max(peak, after[i])
            deepest = max(deepest, (peak - after[i]) / peak)
        if not stake[i] > 0:
            continue
        j = np.uintp(at[i])
        bets += 1
        staked += stake[i]
        total += profit[i]
        prices += price[j]
        earned[day[j]] += profit[i]
        turned[day[j]] += stake[i]
        if not math.isnan(clv[j]):
            judged_bets += 1
            clvs += clv[j]
            if not void[j]:
                compared += 1
                beaten += clv[j] > 0
        if kind[j]:
            drawn += 1
            drawn_profit += profit[i]
            drawn_stake += stake[i]
            if kind[j] == 1:
                unit = stake[i]
                mean += unit * moments[j, 0]
                variance += unit * unit * moments[j, 1]
                third += unit * unit * unit * moments[j, 2]
    out[:] = np.nan
    out[0], out[1], out[2], out[7], out[8], out[13] = bets, staked, total, money + total, deepest, drawn
    if bets:
        out[3], out[6] = total / staked, prices / bets
        error = _error_of_ratio(earned, turned, total, staked)
        out[4], out[5] = out[3] - _Z * error, out[3] + _Z * error
    if judged_bets:
        out[9] = clvs / judged_bets
    if compared:
        out[10] = beaten / compared
    if drawn:
        more = _moments_together(place, stake, together, draw, low, high, below, between, above, moments)
        mean, variance, third = mean + more[0], variance + more[1], third + more[2]
        # an advantage that the close sees is no luck
        centre = min(mean, 0.0)
        if variance > 0:
            out[11] = (drawn_profit - centre) / math.sqrt(variance)
            out[12] = _tail(out[11], third / variance**1.5)
            if drawn <= _EXACT:
                least = drawn_profit - 1e-9 * drawn_stake + (mean - centre)
                exact = _enumerated(at, place, stake, kind, draw, low, high, below, between, above, least)
                out[12] = out[12] if math.isnan(exact) else exact
        else:
            out[12] = 1.0
    profits[:], turnovers[:] = earned, turned


@compiled
def _error_of_ratio(earned, turned, total, staked):
    """Standard error of a yield by the residuals of the days (Cochran 1977, Sampling Techniques, 6.4)."""
    squares, days, ratio = 0.0, 0, total / staked
    for d in range(len(earned)):
        if turned[d] > 0:
            days += 1
            squares += (earned[d] - ratio * turned[d]) ** 2
    return math.sqrt(squares * days / (days - 1)) / staked if days > 1 else np.nan


@compiled
def _tail(z, skew):
    """Chance above z of a sum that is normal but for its skewness.

    Edgeworth expansion; Hall (1992), The Bootstrap and Edgeworth Expansion, 2.4.
    """
    p = 0.5 * math.erfc(z / math.sqrt(2.0)) + math.exp(-z * z / 2) / math.sqrt(2 * math.pi) * skew / 6 * (
        z * z - 1
    )
    return min(max(p, 0.0), 1.0)


@compiled
def unit_moments(low, high, below, between, above):
    """Mean and second and third central moment of each candidate's profit per unit staked, shape (n, 3)."""
    out = np.empty((len(low), 3))
    for i in range(len(low)):
        a, b, c = low[i], high[i] - low[i], 1 - high[i]
        m = a * below[i] + b * between[i] + c * above[i]
        x, y, z = below[i] - m, between[i] - m, above[i] - m
        out[i, 0] = m
        out[i, 1] = a * x * x + b * y * y + c * z * z
        out[i, 2] = a * x * x * x + b * y * y * y + c * z * z * z
    return out


@compiled
def _moments_together(place, stake, together, draw, low, high, below, between, above, moments):
    """Sums of the moments of each draw's profit where several candidates listen to it."""
    mean, variance, third, count = 0.0, 0.0, 0.0, 0
    mine = np.empty(len(together), np.int64)
    for k in range(len(together) + 1):
        j = together[k] if k < len(together) else -1
        if count and (j < 0 or draw[j] != draw[mine[0]]):
            if count == 1:
                unit = stake[place[mine[0]]]
                mean += unit * moments[mine[0], 0]
                variance += unit * unit * moments[mine[0], 1]
                third += unit * unit * unit * moments[mine[0], 2]
            else:
                segments, profits, chances = _states(
                    mine, count, place, stake, low, high, below, between, above
                )
                m = 0.0
                for s in range(segments):
                    m += chances[s] * profits[s]
                mean += m
                for s in range(segments):
                    off = profits[s] - m
                    variance += chances[s] * off * off
                    third += chances[s] * off * off * off
            count = 0
        if j >= 0 and place[j] >= 0 and stake[place[j]] > 0:
            mine[count] = j
            count += 1
    return mean, variance, third


@compiled
def _states(mine, count, place, stake, low, high, below, between, above):
    """Profits of the bets on one draw, and their chances: the parts of [0, 1] between the thresholds."""
    profits, chances, cuts = np.empty(2 * count + 1), np.empty(2 * count + 1), np.empty(2 * count + 1)
    for i in range(count):
        cuts[2 * i], cuts[2 * i + 1] = low[mine[i]], high[mine[i]]
    cuts[2 * count] = 1.0
    # by insertion: a few numbers, and NumPy's sort takes the compiler seconds
    for i in range(1, len(cuts)):
        cut, k = cuts[i], i
        while k > 0 and cuts[k - 1] > cut:
            cuts[k] = cuts[k - 1]
            k -= 1
        cuts[k] = cut
    begin, segments = 0.0, 0
    for end in cuts:
        width = min(end, 1.0) - begin
        if width > 1e-12:
            middle, total = begin + width / 2, 0.0
            for i in range(count):
                j = mine[i]
                per_unit = below[j] if middle < low[j] else between[j] if middle < high[j] else above[j]
                total += stake[place[j]] * per_unit
            profits[segments], chances[segments] = total, width
            segments += 1
            begin = end
    return segments, profits, chances


@compiled
def _enumerated(at, place, stake, kind, draw, low, high, below, between, above, least):
    """Chance that the profits of a few bets sum to at least this; NaN if they have too many results."""
    mine, count = np.empty(_EXACT, np.int64), 0
    for i in range(len(at)):
        if kind[at[i]] and stake[i] > 0:
            k = count
            while k > 0 and draw[mine[k - 1]] > draw[at[i]]:
                mine[k] = mine[k - 1]
                k -= 1
            mine[k] = at[i]
            count += 1
    sums, weights = np.zeros(1), np.ones(1)
    begin = 0
    while begin < count:
        end = begin + 1
        while end < count and draw[mine[end]] == draw[mine[begin]]:
            end += 1
        segments, profits, chances = _states(
            mine[begin:end], end - begin, place, stake, low, high, below, between, above
        )
        if len(sums) * segments > _STATES:
            return np.nan
        more, heavier = np.empty(len(sums) * segments), np.empty(len(sums) * segments)
        for i in range(len(sums)):
            for s in range(segments):
                more[i * segments + s] = sums[i] + profits[s]
                heavier[i * segments + s] = weights[i] * chances[s]
        sums, weights = more, heavier
        begin = end
    p = 0.0
    for i in range(len(sums)):
        if sums[i] >= least:
            p += weights[i]
    return min(p, 1.0)
