"""Compiled loops of the backtest, cached on disk; import this module inside functions only.

All of them are in one file: numba's cache forgets a kernel when the file that it is in changes, not when a
kernel that it calls does. Places are turned into unsigned numbers (`np.uintp`): an index that cannot be
negative needs no check.
"""

from typing import NamedTuple

import numpy as np

from overround.measure.numba_compile import compiled

# kinds of market; match odds of two ways are a handicap of 0
H2H, TOTALS, SPREADS, TWO_WAYS = range(4)
FIRST, DRAW, LAST = range(3)  # home and over, draw, away and under
# the first of `accounts.TAKEN`
FULL, NO_STAKE, LIMITED, PARTLY, SHORT, TOO_LARGE, MINIMUM, NO_MONEY, BANKRUPT = range(9)
_DAY = 86_400_000_000  # microseconds
_DUST = 1e-9  # share of a purse below which it is empty: only rounding errors of sums are left
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@compiled
def settled_selections(kind, picked, line, home, away):
    """See `settlement.settle`."""
    ended = np.empty(len(kind))
    for i in range(len(kind)):
        if kind[i] == H2H:
            difference = home[i] - away[i]
            side = 1 - picked[i]  # the sign of the difference that wins
            won = np.sign(difference) == side
            ended[i] = 2.0 * won - 1.0  # no branch for the processor to predict
        else:
            ahead = home[i] + away[i] - line[i] if kind[i] == TOTALS else home[i] - away[i] + line[i]
            # on a quarter line the two halves lie a quarter below and above
            twice = line[i] * 2
            half = 0.25 if abs(twice - np.floor(twice) - 0.5) < 1e-9 else 0.0
            side = (np.sign(ahead - half) + np.sign(ahead + half)) / 2
            ended[i] = side if picked[i] == FIRST else -side
        if np.isnan(home[i] + away[i]):
            ended[i] = np.nan
    return ended


@compiled
def settlement_times(start, given, known, match):
    """See `settlement.settlement_times`."""
    settled = np.empty(len(start), np.int64)
    for i in range(len(start)):
        # a missing time is the smallest number; a day without a clock time begins at midnight
        has_clock = len(known) == 0 or known[i]
        settled[i] = given[i] if given[i] > start[i] else start[i] + (match if has_clock else _DAY)
    return settled


@compiled
def time_order(placed, purse, settled, settles, market):
    """Arrays start, until, instant and run_end of `book.Order`; `market`: see `book.shared_markets`."""
    n, groups, done = len(placed), 0, 0
    start, until = np.empty(n + 1, np.int64), np.empty(n, np.int64)
    for i in range(n):
        if i == 0 or placed[i] != placed[i - 1] or purse[i] != purse[i - 1]:
            # at the same time winnings arrive before new bets are placed
            while done < n and settled[np.uintp(settles[done])] <= placed[i]:
                done += 1
            start[groups], until[groups] = i, done
            groups += 1
    start[groups] = n
    instant, run_end = np.ones(n, np.bool_), np.empty(len(market), np.int64)
    for at in range(n - 1):
        instant[at] = settled[np.uintp(settles[at + 1])] != settled[np.uintp(settles[at])]
    end = n
    for at in range(len(market) - 1, -1, -1):
        same = market[settles[at]]
        if instant[at] or same < 0 or market[settles[at + 1]] != same:
            end = at + 1
        run_end[at] = end
    return start[: groups + 1], until[:groups], instant, run_end


@compiled
def payoffs(ended, lay, price, fee, tax):
    """Profit per unit staked if the selections ended so, and the code of each result in `settlement.RESULTS`.

    `fee` is the commission on winnings, `tax` that on turnover, to which a void bet does not count.
    """
    gain, result = np.zeros(len(ended)), np.full(len(ended), 5, np.int8)
    for i in range(len(ended)):
        if not np.isnan(ended[i]):
            mine = -ended[i] if lay[i] else ended[i]
            prize = (1.0 if lay[i] else price[i] - 1) * (1 - fee[i])
            gain[i] = mine * (prize if mine > 0 else price[i] - 1 if lay[i] else 1.0) - tax[i]
            result[i] = np.int8(mine * 2 + 2)
    return gain, result


@compiled
def kelly_shares(price, probability, lay, shrink, fraction, cap):
    """Stakes of `staking.Kelly` as shares of the bankroll; `shrink` is empty or a factor for each bet."""
    share = np.empty(len(price))
    for i in range(len(price)):
        edge = probability[i] * price[i] - 1
        # a lay bet puts its liability at risk
        risk = fraction * (-edge if lay[i] else edge / (price[i] - 1))
        if len(shrink):
            risk *= shrink[i]
        share[i] = min(max(risk, 0.0), cap) / (price[i] - 1 if lay[i] else 1.0)
    return share


class Played(NamedTuple):
    """What became of each bet, arrays of shape (n_bets,)."""

    stake: np.ndarray
    asked: np.ndarray  # what the staking rule wanted; empty where nothing limits a bet
    profit: np.ndarray
    after: np.ndarray  # all money realised when the bet was settled
    own: np.ndarray  # that of its purse; empty where there is one purse
    taken: np.ndarray  # code of `accounts.TAKEN`


def run_book(order, terms, limits, stakes, gain, money):
    """Stakes, profits and bankrolls of a book of bets, in the order of time.

    Parameters
    ----------
    order, terms, limits, stakes : book.Order, book.Terms, book.Limits, book.Stakes
        As in `book.Book`.
    gain : ndarray
        Profit per unit staked.
    money : ndarray
        What each purse holds at the start.

    Returns
    -------
    Played
    """
    n, limited, purses = len(gain), len(limits.most) > 0, len(money) > 1
    # NumPy's memory comes in large pages, a kernel's own in small ones
    out = Played(
        stake=np.zeros(n),
        asked=np.zeros(n * limited),
        profit=np.zeros(n),
        after=np.zeros(n),
        own=np.zeros(n * purses),
        taken=np.zeros(n, np.int8),
    )
    _run(order, terms, limits, stakes, gain, money, out)
    return out


@compiled
def replay(order, terms, limits, stakes, draws, money, points, key, first, last, profits, paths):
    """Run the book again under redrawn results: histories `first` to `last` of those that `key` stands for.

    `draws` is a `luck.Draws`. Bets with the same draw share its random number. Fills `profits` with each
    history's profit and `paths` with its profit after the settlements `points`.

    The random numbers are those of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA, 453-472), which can be
    entered anywhere: a history is the same whichever thread runs it.
    """
    draw, low, high = draws.draw, draws.low, draws.high
    below, between, above = draws.below, draws.between, draws.above
    n = len(draw)
    gain = np.empty(n)
    out = Played(
        np.zeros(n),
        np.zeros(n if len(limits.most) > 0 else 0),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n if len(money) > 1 else 0),
        np.zeros(n, np.int8),
    )
    after, settles = out.after, order.settles
    at_start = money.sum()
    for history in range(first, last):
        base = key + np.uint64(history) * np.uint64(draws.n) * _GAMMA
        for i in range(n):
            u = _uniform(base + np.uint64(draw[i]) * _GAMMA)
            # all three are read first, so that the processor need not predict a branch
            a, b, c = below[i], between[i], above[i]
            b = b if u < high[i] else c
            gain[i] = a if u < low[i] else b
        _run(order, terms, limits, stakes, gain, money, out)
        profits[history] = after[settles[-1]] - at_start
        for k in range(len(points)):
            paths[history, k] = after[settles[points[k]]] - at_start


@compiled
def _uniform(state):
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@compiled
def _run(order, terms, limits, stakes, gain, money, out):
    """Play the book: bet after bet where nothing limits them, or by all the rules."""
    if len(money) > 1 or len(order.run_end) > 0 or len(limits.most) > 0 or stakes.floor > 0 or stakes.fixed:
        _run_all(order, terms, limits, stakes, gain, money, out)
        return
    start, until, settles, exposure = order.start, order.until, order.settles, terms.exposure
    amount, share = stakes.amount, stakes.share
    stake, profit, after, taken = out.stake, out.profit, out.after, out.taken
    dust = _DUST * money[0]
    free = total = money[0]
    done = 0
    for group in range(len(until) + 1):
        for at in range(done, until[group] if group < len(until) else len(gain)):
            bet = np.uintp(settles[at])
            profit[bet] = stake[bet] * gain[bet]
            total += profit[bet]
            free += stake[bet] * exposure[bet] + profit[bet]
            after[bet] = total
        if group == len(until):
            return
        done = until[group]
        base, need = free if free > dust else 0.0, 0.0
        for at in range(start[group], start[group + 1]):
            i = np.uintp(at)
            stake[i] = max(amount[i] + share[i] * base, 0.0)
            taken[i] = FULL if stake[i] > 0 else NO_STAKE
            need += stake[i] * exposure[i]
        if need > base or base == 0:
            why = SHORT if base > 0 else BANKRUPT if total <= dust else NO_MONEY
            need = _cut(start[group], start[group + 1], need, base, why, exposure, stake, taken)
        free -= need


@compiled
def _cut(begin, end, need, base, why, exposure, stake, taken):
    """Cut the stakes of a group to the money there is; returns the money they tie up."""
    cut, tied = base / need if need > base else 1.0, 0.0
    for at in range(begin, end):
        i = np.uintp(at)
        taken[i] = why if stake[i] > 0 or base == 0 else NO_STAKE
        stake[i] *= cut
        tied += stake[i] * exposure[i]
    return tied


@compiled
def _run_all(order, terms, limits, stakes, gain, money, out):
    until, purse, n = order.until, order.purse, len(gain)
    free, total, peak = money.copy(), money.copy(), money.copy()
    done = 0
    for group in range(len(purse) + 1):
        upto = until[group] if group < len(purse) else n
        if upto > done:
            _settle(order, terms, done, upto, gain, stakes.floor, free, total, peak, out)
            done = upto
        if group == len(purse):
            return
        mine, begin, end = purse[group], order.start[group], order.start[group + 1]
        dust = _DUST * money[mine]
        base = free[mine] - stakes.floor * peak[mine]
        if stakes.fixed or base <= dust:
            why = FULL if stakes.fixed else BANKRUPT if total[mine] <= dust else NO_MONEY
            _place_fixed(begin, end, stakes, limits, why, out)
        else:
            free[mine] -= _place(begin, end, base, terms.exposure, limits, stakes, out)


@compiled
def _place_fixed(begin, end, stakes, limits, why, out):
    """Stakes that do not depend on money: as they are told, or none."""
    limited = len(limits.most) > 0
    for at in range(begin, end):
        i = np.uintp(at)
        out.stake[i] = stakes.amount[i] if stakes.fixed else 0.0
        if limited:
            out.asked[i] = stakes.amount[i]
        if not limited or limits.accepted[i] > 0:
            out.taken[i] = why


@compiled
def _place(begin, end, base, exposure, limits, stakes, out):
    """Size the bets of a group, cut in proportion to the money there is; returns the money tied up."""
    # unpacked once: every look into a tuple of arrays counts references
    most, step, minimum, accepted, size, part = limits
    amount, share = stakes.amount, stakes.share
    stake, asked, taken = out.stake, out.asked, out.taken
    limited, need, tied = len(most) > 0, 0.0, 0.0
    for at in range(begin, end):
        i = np.uintp(at)
        wanted, code = max(amount[i] + share[i] * base, 0.0), NO_STAKE
        if limited:
            asked[i] = wanted
            wanted, code = _accept(most[i], accepted[i], size, part, wanted, taken[i])
            need += wanted * exposure[i]
            wanted, code = _rounded(step[i], minimum[i], wanted, code)
        elif wanted > 0:
            code = FULL
        stake[i], taken[i] = wanted, code
        tied += wanted * exposure[i]
    need = need if limited else tied
    if need <= base:
        return tied
    tied = 0.0
    for at in range(begin, end):
        i = np.uintp(at)
        # from before it was rounded
        wanted, code = stake[i], taken[i]
        if limited:
            wanted, code = _accept(most[i], accepted[i], size, part, asked[i], code)
        if wanted > 0:
            wanted, code = wanted * (base / need), SHORT
        if limited:
            wanted, code = _rounded(step[i], minimum[i], wanted, code)
        stake[i], taken[i] = wanted, code
        tied += wanted * exposure[i]
    return tied


@compiled
def _rounded(step, minimum, wanted, code):
    """Stake in whole steps, or nothing below the minimum."""
    if wanted > 0:
        if step > 0:
            # a multiple of the step but for rounding errors is one
            wanted = np.floor(wanted / step + 1e-9) * step
        if wanted <= 0 or wanted < minimum:
            return 0.0, MINIMUM
    return wanted, code


@compiled
def _accept(most, accepted, size, part, wanted, code):
    """Stake that the account's limits and the bookmaker allow."""
    if accepted == 0:
        return 0.0, code
    if wanted == 0:
        return 0.0, NO_STAKE
    code = FULL
    if wanted > most:
        wanted, code = most, LIMITED
    if wanted > size:
        if not part:
            return 0.0, TOO_LARGE
        wanted, code = size, PARTLY
    if accepted < 1:
        wanted, code = wanted * accepted, PARTLY
    return wanted, code


@compiled
def _settle(order, terms, begin, end, gain, floor, free, total, peak, out):
    """Settle the places from `begin` to `end` in the order of settlement."""
    settles, run_end, exposure = order.settles, order.run_end, terms.exposure
    stake, profit, after = out.stake, out.profit, out.after
    netted, purses, everything = len(run_end) > 0, len(free) > 1, total.sum()
    if not (netted or purses or floor > 0):
        # the usual case, in registers: the same as below
        available = free[0]
        for at in range(begin, end):
            bet = np.uintp(settles[at])
            earned = stake[bet] * gain[bet]
            everything += earned
            available += stake[bet] * exposure[bet] + earned
            profit[bet], after[bet] = earned, everything
        free[0], total[0] = available, everything
        return
    for at in range(begin, end):
        bet = np.uintp(settles[at])
        if not netted:
            profit[bet] = stake[bet] * gain[bet]
        elif at == begin or run_end[at - 1] != run_end[at]:
            _net(settles, at, run_end[at], terms.rate, stake, gain, profit)
        mine = terms.purse[bet] if purses else 0
        everything += profit[bet]
        total[mine] += profit[bet]
        free[mine] += stake[bet] * exposure[bet] + profit[bet]
        after[bet] = everything
        if purses:
            out.own[bet] = total[mine]
        if floor > 0 and order.instant[at]:
            for k in range(len(peak)):
                peak[k] = max(peak[k], total[k])


@compiled
def _net(settles, begin, end, rate, stake, gain, profit):
    """Profits of the bets on one exchange market, less commission on their net winnings."""
    won, net = 0.0, 0.0
    for at in range(begin, end):
        bet = np.uintp(settles[at])
        profit[bet] = stake[bet] * gain[bet]
        won += max(profit[bet], 0.0)
        net += profit[bet]
    if net > 0 and end > begin + 1:
        kept = 1 - rate[settles[begin]] * net / won
        for at in range(begin, end):
            bet = np.uintp(settles[at])
            if profit[bet] > 0:
                profit[bet] *= kept
