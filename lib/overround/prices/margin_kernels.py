"""Compiled margin removal, market by market; import this module only inside the function that needs it.

r is an inverse price, S the sum of a market's r (its book), T the sum that the probabilities p shall have, n
the number of outcomes. A method reads the prices of one market, S and T, fills the probabilities `fair`, and
returns its parameter and status; `for_each_market` makes a loop of it. A market is solved from its own row
alone, so that its result never depends on the batch it is in. The iterations end when the next correction is
below rounding; that correction is applied to first order, which makes the probabilities sum to the target.

All kernels are in one file, long as it is: numba's cache on disk forgets a kernel when its own file changes,
not when a file changes that it calls into.
"""

import math
from functools import cache

import numpy as np
from numba.extending import register_jitable

from overround.measure.numba_compile import njit

OK, MISSING, BAD_PRICE, UNDERROUND, OUTSIDE, NOT_CONVERGED = range(6)  # the order of `margin.STATUSES`
_LAST_STEP = 1e-9  # the error after a step is of the order of its square
_STEPS = 60
_SLACK = 1e-12  # a margin this small is the rounding of no margin

_compiled = njit(cache=True, error_model="numpy")
# to be put into the loop of `for_each_market`: numba's cache knows such a function by its name
_method = register_jitable(error_model="numpy", forceinline=True)


@cache
def for_each_market(method, only=0):
    """The compiled loop of a method over markets: from prices and targets to fair, parameter and status.

    `only` is 1 for a method that explains no book below the target, -1 for one that explains none above it.
    """

    @_compiled
    def loop(prices, targets, fair, parameter, status):
        spare = np.empty(prices.shape[1])
        for i in range(len(prices)):
            book, state = _book(prices[i])
            value = math.nan
            if only * (book - targets[i]) < -_SLACK:
                state = UNDERROUND
            if state == OK:
                value, state = method(prices[i], book, targets[i], fair[i], spare)
            parameter[i], status[i] = _checked(fair[i], targets[i], value, state)

    return loop


@_compiled
def _book(prices):
    """Sum of the inverse prices, and whether they are prices at all."""
    book, low, high = 0.0, math.inf, 0.0
    for price in prices:
        book += 1 / price
        low = min(low, price)
        high = max(high, price)
    if low > 1 and high < math.inf and book == book:
        return book, OK
    for price in prices:
        if math.isnan(price):
            return math.nan, MISSING
    return math.nan, BAD_PRICE


@_compiled
def _checked(fair, target, parameter, status):
    """Accept probabilities between 0 and 1 that sum to the target, or set every cell to NaN."""
    if status == OK:
        total = 0.0
        for p in fair:
            total += p
            if not 0 < p < 1:
                status = OUTSIDE
        if status == OK and not abs(total - target) <= _SLACK * len(fair):
            status = NOT_CONVERGED
    if status != OK:
        fair[:] = math.nan
        parameter = math.nan
    return parameter, status


@_method
def multiplicative(prices, book, target, fair, spare):
    """Every inverse price is too large by the same factor: p = T r / S; the parameter is S.

    Defined below a book of T as well. The oldest method; the longer the price the more it flatters an outcome
    (Clarke, Kovalchik and Ingram 2017, American Journal of Sports Science 5(6), 45-49).
    """
    scale = target / book
    for j in range(len(prices)):
        fair[j] = scale / prices[j]
    return book, OK


@_method
def additive(prices, book, target, fair, spare):
    """Every inverse price is too large by the same amount: p = r - (S - T) / n; the parameter is that amount.

    Not between 0 and 1 where that is more than a long shot's r. Below a book of T the same amount is added.
    Margin weights proportional to the odds (Buchdahl 2015, Using the wisdom of the crowd,
    football-data.co.uk), with the fair price n O / (n - M O) of a price O in a book with margin M, is this
    method in other words. Clarke, Kovalchik and Ingram (2017).
    """
    share = (book - target) / len(prices)
    for j in range(len(prices)):
        fair[j] = 1 / prices[j] - share
    return share, OK


@_method
def balanced_book(prices, book, target, fair, spare):
    """Insiders as in Shin's model, and a bookmaker who equalises the worst case: p = (r - z) / (1 - z).

    The parameter is z = (S - T) / (n - T); a book below T is an underround. Not between 0 and 1 where z is
    more than a long shot's r. Fingleton and Waldron (1999), Optimal determination of bookmakers' betting
    odds: theory and tests, Trinity College Dublin.
    """
    n = len(prices)
    # all 1 - p are smaller than 1 - r by one factor: the formula without its difference of near equals
    rest = 0.0
    for j in range(n):
        rest += (prices[j] - 1) / prices[j]
    scale = (n - target) / rest
    for j in range(n):
        fair[j] = 1 - scale * (prices[j] - 1) / prices[j]
    return (book - target) / (n - target), OK


@_method
def goto_conversion(prices, book, target, fair, spare):
    """Every r is too large by the same number c of its standard errors: p = r - c sqrt(1 - r).

    The parameter is c = (S - T) / sum(sqrt(1 - r)); a book below T is an underround. Not between 0 and 1
    where that is more than a long shot's r (the package of that name then raises). Kaito Goto,
    github.com/gotoConversion/goto_conversion.
    """
    errors = 0.0
    for j in range(len(prices)):
        fair[j] = math.sqrt(1 - 1 / prices[j])
        errors += fair[j]
    c = (book - target) / errors
    for j in range(len(prices)):
        fair[j] = 1 / prices[j] - c * fair[j]
    return c, OK


@_method
def power(prices, book, target, fair, spare):
    """Inverse prices to a common power: p = r**k.

    The parameter is k, above 1 for a book above T (R's implied gives 1 / k). Has a solution for every book.
    Vovk and Zhdanov (2009), Journal of Machine Learning Research 10, 2445-2471; Clarke, Kovalchik and Ingram
    (2017). Buchdahl's (2015) "logarithmic" method.
    """
    # log of the sum of exp(k * log(inverse)) is convex and nearly straight in k: Halley's steps, and at k = 1
    # no exp is needed
    n = len(prices)
    first = second = 0.0
    for j in range(n):
        spare[j] = -math.log(prices[j])
        fair[j] = 1 / prices[j]
        first += fair[j] * spare[j]
        second += fair[j] * spare[j] * spare[j]
    k, total = 1.0, book
    low, high = 0.0, math.inf
    for _ in range(_STEPS):
        gap = math.log(total / target)
        slope = first / total
        curve = second / total - slope * slope
        if gap > 0:
            low = k
        else:
            high = k
        step = -2 * gap * slope / (2 * slope * slope - gap * curve)
        if abs(step) < _LAST_STEP * k:
            ahead = (target - total) / first  # Newton's own step, on the sum itself: it lands on the target
            for j in range(n):
                fair[j] += fair[j] * spare[j] * ahead
            return k + ahead, OK
        if not low < k + step < high:
            step = (0.5 * (low + high) if high < math.inf else 4 * k) - k
        k += step
        total = first = second = 0.0
        for j in range(n):
            p = math.exp(k * spare[j])
            fair[j] = p
            total += p
            first += p * spare[j]
            second += p * spare[j] * spare[j]
    return k, NOT_CONVERGED


@_method
def odds_ratio(prices, book, target, fair, spare):
    """The odds of every r are too large by the same factor c: p = r / (c + r - c r); the parameter is c.

    Has a solution for every book. Cheung (2015), Fixed-odds betting and traditional odds,
    sportstradingnetwork.com. The same constant taken from every log-odds (penaltyblog's "logarithmic") is
    this method.
    """
    # p = 1 / (1 + c * (price - 1)) falls with c, from 1 to 0
    c, low, high = 1.0, 0.0, math.inf
    for _ in range(_STEPS):
        total = first = second = 0.0
        for j in range(len(prices)):
            odds = prices[j] - 1
            p = 1 / (1 + c * odds)
            slope = -odds * p * p
            fair[j] = p
            total += p
            first += slope
            second -= 2 * odds * p * slope
        gap = total - target
        if gap > 0:
            low = c
        else:
            high = c
        step = -2 * gap * first / (2 * first * first - gap * second)
        if abs(step) < _LAST_STEP * c:
            ahead = -gap / first
            for j in range(len(prices)):
                fair[j] -= ahead * (prices[j] - 1) * fair[j] * fair[j]
            return c + ahead, OK
        if not low < c + step < high:
            step = (
                math.sqrt(low * high)
                if low > 0 and high < math.inf
                else (c * 64 if high == math.inf else c / 64)
            ) - c
        c += step
    return c, NOT_CONVERGED


@_method
def shin(prices, book, target, fair, spare):
    """Prices that guard against a share z of bettors who know the winner.

    p = (sqrt(z**2 + 4 (1 - z) r**2 / S) - z) / (2 (1 - z)). The parameter is z. For markets with one winner
    (T = 1); a book below 1 is an underround, which no share of insiders explains. For two outcomes the same
    as `additive`. Shin (1992), Economic Journal 102, 426-435; Shin (1993), Economic Journal 103, 1141-1153;
    Jullien and Salanie (1994), Economic Journal 104, 1385-1395.
    """
    # p(z) = 2 s / (sqrt(z^2 + 4 (1 - z) s) + z) with s = inverse^2 / book is Shin's formula without its
    # difference of near equals; every p falls with z. At z = 0 all derivatives are known without a square
    # root for each outcome.
    n = len(prices)
    root_book = math.sqrt(book)
    second = 0.0
    for j in range(n):
        a = 1 / (prices[j] * root_book)
        second += 0.25 * (1 - a) * (1 - 3 * a) * prices[j] * root_book
    gap, first = root_book - 1, -0.5 * (n - root_book)
    z = max(-2 * gap * first / (2 * first * first - gap * second), 0.0)
    if not z < 1:
        z = 0.5
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        gap, first = -1.0, 0.0
        for j in range(n):
            s = 1 / (prices[j] * prices[j] * book)
            root = math.sqrt(z * z + 4 * (1 - z) * s)
            q = root + z
            both = 1 / (root * q)
            p = 2 * s * root * both
            fair[j] = p
            gap += p
            first -= p * (q - 2 * s) * both
        step = -gap / first
        if abs(step) < _LAST_STEP * min(1.0, z + 1e-3):
            for j in range(n):
                s = 1 / (prices[j] * prices[j] * book)
                q = 2 * s / fair[j]
                fair[j] -= step * fair[j] * (q - 2 * s) / ((q - z) * q)
            return max(z + step, 0.0), OK
        if gap > 0:
            low = z
        else:
            high = z
        z += step
        if not low <= z < high:
            z = 0.5 * (low + high)
    return z, NOT_CONVERGED


@_method
def jensen_shannon(prices, book, target, fair, spare):
    """Every outcome's p is equally far from its r, in the Jensen-Shannon distance D of the two coins p and r.

    D**2 = (KL(p, m) + KL(r, m)) / 2 with m = (p + r) / 2 and KL the Kullback-Leibler divergence of two coins.
    The parameter is D, negative below a book of T. Not between 0 and 1 where a long shot would have to go
    beyond 0. Christopher D. Long (octonion), described in the vignette of R's implied.
    """
    # The signed distance of p from r is nearly straight in p, so Newton's method goes for all p and their
    # common distance at once: each p moves along its own tangent, by as much as makes the sum right.
    n = len(prices)
    widths = 0.0
    for j in range(n):
        r = 1 / prices[j]
        widths += math.sqrt(8 * r * (1 - r))
    distance = (target - book) / widths
    inside = True
    for j in range(n):
        r = 1 / prices[j]
        fair[j] = r + distance * math.sqrt(8 * r * (1 - r))
        inside &= 0 < fair[j] < 1
    if distance == 0:
        return 0.0, OK
    if inside:
        for _ in range(12):
            spread = moved = 0.0
            for j in range(n):
                g, slope = _distance(fair[j], 1 / prices[j])
                spread += 1 / slope
                moved += fair[j] - g / slope
            new = (target - moved) / spread
            largest = 0.0
            for j in range(n):
                g, slope = _distance(fair[j], 1 / prices[j])
                step = (new - g) / slope
                fair[j] += step
                largest = max(largest, abs(step) / min(fair[j], 1 - fair[j]))
                inside &= 0 < fair[j] < 1
            distance = new
            if not inside or largest < _LAST_STEP:
                break
        if inside and largest < _LAST_STEP:
            return -distance, OK
    return _jensen_shannon_slowly(prices, book, target, fair)


@_compiled
def _jensen_shannon_slowly(prices, book, target, fair):
    # by halving, for long shots that come near to 0: there the distance is bent, and it may be too short to
    # reach the target
    bound = 1.0 if target > book else 0.0
    low, high = 0.0, math.inf
    for price in prices:
        high = min(high, abs(_distance(bound, 1 / price)[0]))
    total = _at_distance(prices, high, bound, fair)
    if (total > target) == (target < book):
        return math.nan, OUTSIDE
    for _ in range(100):
        middle = 0.5 * (low + high)
        if middle in (low, high):
            break
        total = _at_distance(prices, middle, bound, fair)
        if (total > target) == (target < book):
            low = middle
        else:
            high = middle
    return (low if target < book else -low), OK


@_compiled
def _at_distance(prices, distance, bound, fair):
    """Probabilities at this distance from the inverse prices, towards `bound`, and their sum."""
    total = 0.0
    for j in range(len(prices)):
        near, far = 1 / prices[j], bound
        for _ in range(1100):  # halvings from 1 to the smallest number
            p = 0.5 * (near + far)
            if p in (near, far):
                break
            if abs(_distance(p, 1 / prices[j])[0]) < distance:
                near = p
            else:
                far = p
        fair[j] = 0.5 * (near + far)
        total += fair[j]
    return total


@_compiled
def _distance(p, r):
    """Signed binomial Jensen-Shannon distance of p from r and its slope in p, exact also for p near r."""
    half = 0.5 * (p - r)
    m = r + half
    u, v = half / m, half / (1 - m)
    divergence = 0.5 * (m * _twin(u) + (1 - m) * _twin(v))
    g = math.sqrt(divergence)
    w = (u + v) / (2 + u - v)
    slope = _atanh(w) / (2 * g) if g > 0 else math.inf
    return math.copysign(g, half), abs(slope)


@_compiled
def _twin(u):
    """(1 + u) log(1 + u) + (1 - u) log(1 - u)."""
    x = u * u
    if x < 0.01:
        return x * (
            1 + x * (1 / 6 + x * (1 / 15 + x * (1 / 28 + x * (1 / 45 + x * (1 / 66 + x * (1 / 91))))))
        )
    if x >= 1:
        return 2 * math.log(2.0)
    return (1 + u) * math.log1p(u) + (1 - u) * math.log1p(-u)


@_compiled
def _atanh(w):
    x = w * w
    if x < 0.01:
        return w * (1 + x * (1 / 3 + x * (1 / 5 + x * (1 / 7 + x * (1 / 9 + x * (1 / 11 + x * (1 / 13)))))))
    return math.atanh(w) if abs(w) < 1 else math.copysign(math.inf, w)


@_method
def add_balanced_book(odds, total, target, fair, spare):
    """Inverse of `balanced_book`: from inverse probabilities to inverse prices that sum to `targets`."""
    z = (target - total) / (len(odds) - total)
    for j in range(len(odds)):
        fair[j] = z + (1 - z) / odds[j]
    return z, OK


@_method
def add_goto_conversion(odds, total, target, fair, spare):
    """Inverse of `goto_conversion`; see `add_balanced_book`."""
    # p = r - c * sqrt(1 - r) solved for r, with w = sqrt(1 - r); every r rises with c, from p to 1
    c, low, high = 0.0, 0.0, math.inf
    for _ in range(_STEPS):
        gap, slope = -target, 0.0
        for j in range(len(odds)):
            rest = 1 - 1 / odds[j]
            root = math.sqrt(c * c + 4 * rest)
            w = 2 * rest / (c + root)
            fair[j] = 1 / odds[j] + c * w
            gap += fair[j]
            slope += w * (1 - c / root)
        step = -gap / slope
        if abs(step) < _LAST_STEP:
            for j in range(len(odds)):
                rest = 1 - 1 / odds[j]
                root = math.sqrt(c * c + 4 * rest)
                fair[j] += step * 2 * rest / (c + root) * (1 - c / root)
            return max(c + step, 0.0), OK
        if gap < 0:
            low = c
        else:
            high = c
        c += step
        if not low <= c < high:
            c = 0.5 * (low + high) if high < math.inf else 2 * low + 1
    return c, NOT_CONVERGED


@_method
def add_shin(odds, total, target, fair, spare):
    """Inverse of `shin`; see `add_balanced_book`."""
    # sum of y = sqrt(z p + (1 - z) p^2) is the root of the book; it rises with z, from 1 to the sum of the
    # roots of p
    z, low, high, root_book = 0.0, 0.0, 1.0, math.sqrt(target)
    for _ in range(_STEPS):
        gap, slope = -root_book, 0.0
        for j in range(len(odds)):
            p = 1 / odds[j]
            y = math.sqrt(p * (z + (1 - z) * p))
            fair[j] = y
            gap += y
            slope += 0.5 * p * (1 - p) / y
        step = -gap / slope
        if abs(step) < _LAST_STEP * min(1.0, z + 1e-3):
            for j in range(len(odds)):
                p = 1 / odds[j]
                fair[j] = (fair[j] + step * 0.5 * p * (1 - p) / fair[j]) * root_book
            return (max(z + step, 0.0), OK) if z + step < 1 else (math.nan, OUTSIDE)
        if gap < 0:
            low = z
        else:
            high = z
        z += step
        if not low <= z < high:
            z = 0.5 * (low + high)
        if low > 1 - 1e-9:  # not even insiders alone would pay for this margin
            return math.nan, OUTSIDE
    return z, NOT_CONVERGED
