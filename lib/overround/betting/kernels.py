"""Compiled loops of the backtest, kept on disk after the first call; import this module only inside the function that needs it.

All of them are in one file: numba's store on disk forgets a compiled kernel when the file that it is in
changes, not when one does that it calls into. Places are turned into unsigned numbers (`np.uintp`): an index
that cannot be negative needs no check.
"""

import numpy as np

from overround.measure.numba_compile import njit

H2H, TOTALS, SPREADS = range(3)  # kinds of market
FIRST, DRAW, LAST = range(3)  # home and over, draw, away and under
FULL, NO_STAKE, LIMITED, PARTLY, SHORT, TOO_LARGE, MINIMUM, NO_MONEY, BANKRUPT = range(
    9
)  # the first of `accounts.TAKEN`
_DAY = 86_400_000_000  # microseconds
_DUST = 1e-9  # share of a purse below which it is empty: what is left there is the rounding of sums
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True)
def settled_selections(kind, picked, line, home, away):
    """See `settlement.settle`."""
    ended = np.empty(len(kind))
    for i in range(len(kind)):
        if kind[i] == H2H:
            difference = home[i] - away[i]
            won = (
                difference > 0
                if picked[i] == FIRST
                else difference < 0
                if picked[i] == LAST
                else difference == 0
            )
            ended[i] = 2.0 * won - 1.0  # nothing for the processor to guess
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


@njit(cache=True)
def settlement_times(start, told, match):
    """See `settlement.settlement_times`."""
    settled = np.empty(len(start), np.int64)
    for i in range(len(start)):
        # midnight stands for a day without a time; what is not told is the smallest number
        settled[i] = told[i] if told[i] > start[i] else start[i] + (match if start[i] % _DAY else _DAY)
    return settled


@njit(cache=True)
def time_order(placed, purse, settled, settles, market):
    """Arrays start, until, instant and run_end of `run_book`; `market` is empty, or the market that a bet shares, -1 for none."""
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


@njit(cache=True)
def in_turn(order):
    """Whether this order is that of the things themselves."""
    at = 0
    while at < len(order) and order[at] == at:
        at += 1
    return at == len(order)


@njit(cache=True)
def payoffs(ended, lay, price, fee, tax):
    """Profit per unit staked of bets whose selections ended so, and the code of each result, as in `settlement.RESULTS`.

    `fee` is the commission on winnings, `tax` that on what was staked; a void bet returns the stake and is no
    turnover.
    """
    gain, result = np.zeros(len(ended)), np.full(len(ended), 5, np.int8)
    for i in range(len(ended)):
        if not np.isnan(ended[i]):
            mine = -ended[i] if lay[i] else ended[i]
            prize = (1.0 if lay[i] else price[i] - 1) * (1 - fee[i])
            gain[i] = mine * (prize if mine > 0 else price[i] - 1 if lay[i] else 1.0) - tax[i]
            result[i] = np.int8(mine * 2 + 2)
    return gain, result


@njit(cache=True, nogil=True)
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


def run_book(order, terms, limits, stakes, gain, money):
    """Stakes, profits and bankrolls of a book of bets, in the order of time.

    Parameters
    ----------
    order : tuple of arrays
        start: first bet of each group of bets that are placed at one time with one purse, and the number of
        bets; until: how many bets are settled before each group; purse: of each group; settles: bets in order
        of settlement; instant: whether a place in `settles` is the last of its time; run_end: one past the
        last place of the same exchange market, empty where no market has several bets.
    terms : tuple of arrays
        purse of each bet; exposure: money tied up per unit staked; rate: commission on the net winnings of a
        market with several bets, empty where there is none.
    limits : tuple
        Arrays most (largest stake of the account), step (what stakes are rounded down to), minimum (smallest
        stake) and accepted (share of the stake that the bookmaker takes), all empty where nothing limits a
        bet; size: stake above which the bookmaker does not take the whole; part: whether it then takes that
        much, or nothing.
    stakes : tuple
        Arrays amount and share: the stake is amount + share x free money; floor: share of a purse's peak that
        is never staked; fixed: take `amount` as the stakes whatever money there is.
    gain : ndarray
        Profit per unit staked.
    money : ndarray
        What each purse holds at the start.

    Returns
    -------
    stake, asked, profit, after, own, taken : ndarray, shape (n_bets,)
        asked: what the staking rule wanted, empty where nothing limits a bet; after: all money realised when
        the bet was settled; own: that of its purse, empty where there is one purse.
    """
    n, limited, purses = len(gain), len(limits[0]) > 0, len(money) > 1
    # NumPy's memory comes in large pages, a kernel's own in small ones
    out = (
        np.zeros(n),
        np.zeros(n * limited),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n * purses),
        np.zeros(n, np.int8),
    )
    _run(order, terms, limits, stakes, gain, money, out)
    return out


@njit(cache=True, nogil=True)
def histories(order, terms, limits, stakes, draws, money, points, key, first, last, profits, paths):
    """Run the book again under results that are drawn anew: histories `first` to `last` of those that `key` stands for.

    `draws` holds arrays over bets, the number of the draw that decides it, two thresholds between 0 and 1,
    the profit per unit staked below the first, between them and above; and how many draws a history has. Bets
    with the same draw share its random number. Fills `profits` with each history's profit and `paths` with
    its profit after the settlements `points`.

    The random numbers are those of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA, 453-472), which can be
    entered anywhere: a history is the same whichever thread runs it.
    """
    draw, low, high, below, between, above, n_draws = draws
    gain = np.empty(len(draw))
    out = _empty(len(draw), len(limits[0]) > 0, len(money) > 1)
    after, settles = out[3], order[3]
    at_start = money.sum()
    for history in range(first, last):
        base = key + np.uint64(history) * np.uint64(n_draws) * _GAMMA
        for i in range(len(draw)):
            u = _uniform(base + np.uint64(draw[i]) * _GAMMA)
            # all three are read first, so that there is nothing to guess for a processor that runs ahead
            a, b, c = below[i], between[i], above[i]
            b = b if u < high[i] else c
            gain[i] = a if u < low[i] else b
        _run(order, terms, limits, stakes, gain, money, out)
        profits[history] = after[settles[-1]] - at_start
        for k in range(len(points)):
            paths[history, k] = after[settles[points[k]]] - at_start


@njit(cache=True, nogil=True)
def _uniform(state):
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((state ^ (state >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@njit(cache=True, nogil=True)
def _empty(n, limited, purses):
    return (
        np.zeros(n),
        np.zeros(n if limited else 0),
        np.zeros(n),
        np.zeros(n),
        np.zeros(n if purses else 0),
        np.zeros(n, np.int8),
    )


@njit(cache=True, nogil=True)
def _run(order, terms, limits, stakes, gain, money, out):
    """Play the book: bet after bet where nothing limits them, or by all the rules."""
    if len(money) > 1 or len(order[5]) > 0 or len(limits[0]) > 0 or stakes[2] > 0 or stakes[3]:
        _run_all(order, terms, limits, stakes, gain, money, out)
        return
    start, until, settles, exposure = order[0], order[1], order[3], terms[1]
    amount, share = stakes[0], stakes[1]
    stake, profit, after, taken = out[0], out[2], out[3], out[5]
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
        base, need = free if free > _DUST * money[0] else 0.0, 0.0
        for at in range(start[group], start[group + 1]):
            i = np.uintp(at)
            stake[i] = max(amount[i] + share[i] * base, 0.0)
            taken[i] = FULL if stake[i] > 0 else NO_STAKE
            need += stake[i] * exposure[i]
        if need > base or base == 0:
            why = SHORT if base > 0 else BANKRUPT if total <= _DUST * money[0] else NO_MONEY
            cut = base / need if need > base else 1.0
            need = 0.0
            for at in range(start[group], start[group + 1]):
                i = np.uintp(at)
                taken[i] = why if stake[i] > 0 or base == 0 else NO_STAKE
                stake[i] *= cut
                need += stake[i] * exposure[i]
        free -= need


@njit(cache=True, nogil=True)
def _run_all(order, terms, limits, stakes, gain, money, out):
    # unpacked once: every look into a tuple of arrays counts references
    start, until, purse, settles, instant, run_end = order
    of_bet, exposure, rate = terms
    most, step, minimum, accepted, size, part = limits
    amount, share, floor, fixed = stakes
    stake, asked, profit, after, own, taken = out
    limited, n = len(most) > 0, len(gain)
    free, total, peak = money.copy(), money.copy(), money.copy()
    done = 0
    for group in range(len(purse) + 1):
        upto = until[group] if group < len(purse) else n
        if upto > done:
            _settle(
                settles,
                instant,
                run_end,
                of_bet,
                exposure,
                rate,
                done,
                upto,
                gain,
                floor,
                free,
                total,
                peak,
                stake,
                profit,
                after,
                own,
            )
            done = upto
        if group == len(purse):
            return
        mine, begin, end = purse[group], start[group], start[group + 1]
        base = free[mine] - floor * peak[mine]
        if base <= _DUST * money[mine]:
            base = 0.0
        if fixed or base == 0:
            why = FULL if fixed else BANKRUPT if total[mine] <= _DUST * money[mine] else NO_MONEY
            for at in range(begin, end):
                i = np.uintp(at)
                stake[i] = amount[i] if fixed else 0.0
                if limited:
                    asked[i] = amount[i]
                if not limited or accepted[i] > 0:
                    taken[i] = why
            continue
        need, tied = 0.0, 0.0
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
        if need > base:
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
        free[mine] -= tied


@njit(cache=True, nogil=True)
def _rounded(step, minimum, wanted, code):
    """Stake in whole steps, or nothing below the minimum."""
    if wanted > 0:
        if step > 0:
            # a stake that is a multiple of the step but for its last digits is one
            wanted = np.floor(wanted / step + 1e-9) * step
        if wanted <= 0 or wanted < minimum:
            return 0.0, MINIMUM
    return wanted, code


@njit(cache=True, nogil=True)
def _accept(most, accepted, size, part, wanted, code):
    """Stake that the account's limits and the bookmaker let pass."""
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


@njit(cache=True, nogil=True, inline="always")
def _settle(
    settles,
    instant,
    run_end,
    of_bet,
    exposure,
    rate,
    begin,
    end,
    gain,
    floor,
    free,
    total,
    peak,
    stake,
    profit,
    after,
    own,
):
    """Settle the places from `begin` to `end` in the order of settlement."""
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
            _net(settles, at, run_end[at], rate, stake, gain, profit)
        mine = of_bet[bet] if purses else 0
        everything += profit[bet]
        total[mine] += profit[bet]
        free[mine] += stake[bet] * exposure[bet] + profit[bet]
        after[bet] = everything
        if purses:
            own[bet] = total[mine]
        if floor > 0 and instant[at]:
            for k in range(len(peak)):
                peak[k] = max(peak[k], total[k])


@njit(cache=True, nogil=True)
def _net(settles, begin, end, rate, stake, gain, profit):
    """Profits of the bets on one market of an exchange, which keeps its commission of what they win together; one bet paid its own."""
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
