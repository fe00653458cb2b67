"""All bets that any variant of a sweep could take, as arrays made once, and the figures of its variants."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.betting.book import (
    BetArrays,
    Limits,
    Order,
    Stakes,
    Terms,
    ledger_arrays,
    make_book,
    placement_order,
    shared_markets,
)
from overround.betting.staking import Staking, sizes_one_by_one
from overround.evaluation.redrawn_results import can_be_drawn, ways_to_end
from overround.grouping import SELECTION, codes_and_words, group_codes
from overround.prices.commission import commission_of
from overround.schema import COMMISSION, NOT_AN_ACCOUNT
from overround.sweeps.space import SETS, rule_of
from overround.times import DAY_US, Times, microseconds

_SIZED_FROM = ("side", "price", "fee", "probability", "edge", "edge_se")
# number of rules whose sizes are kept: a grid of stakings repeats them, a sample never does
_REMEMBERED = 16
_NO_PLACES = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Bets:
    """Candidates in the order of their placement; arrays are over them where not said otherwise."""

    signals: pd.DataFrame
    limited: tuple[str, ...]
    values: Floats  # (limits, n)
    names: tuple[tuple[str, ...], ...]  # of bookmakers, leagues, seasons
    codes: Whole  # (3, n)
    first: bool
    selection: Whole
    by_choice: Whole
    arrays: BetArrays
    settles: Whole
    void: NDArray[np.bool_]
    gain: Floats
    exposure: Floats
    clv: Floats
    days: Times  # (days,)
    day: Whole
    draws: tuple  # of `kernels.judged`
    shared: bool  # whether several bets may meet on one market of an exchange, which nets them

    @cached_property
    def sized_from(self) -> pd.DataFrame:
        """The columns that a rule of `ONE_BY_ONE` reads, without attrs, which pandas would copy each time."""
        mine = self.signals[[name for name in _SIZED_FROM if name in self.signals]]
        mine.attrs = {}
        return mine

    @cached_property
    def digest(self) -> str:
        """Digest of all that the figures depend on."""
        found = hashlib.blake2b(digest_size=16)
        bets = self.arrays
        for values in (
            *(self.values, self.codes, self.selection, self.by_choice, bets.placed, bets.settled, bets.price),
            *(self.void, bets.ended, self.gain, self.clv, self.day, self.days),
        ):
            found.update(np.ascontiguousarray(values).tobytes())
        for part in self.draws:
            found.update(np.ascontiguousarray(part).tobytes())
        edge_se = self.signals["edge_se"] if "edge_se" in self.signals else pd.Series(dtype=float)
        for column in (self.signals["probability"], edge_se):
            found.update(column.to_numpy(float).tobytes())
        found.update(repr((self.limited, self.names, self.first, self.shared)).encode())
        return found.hexdigest()


def bets_of(ledger: pd.DataFrame, limited: Sequence[str], days: Times, *, first: bool) -> Bets:
    """Arrays of a ledger of candidates.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned for all of them, whatever their stakes.
    limited : sequence of str
        Columns that variants set limits to.
    days : ndarray
        Match days of all candidates there are, in order.
    first : bool
        Whether a variant takes of each selection the first candidate within its limits, at the best price;
        otherwise all.
    """
    bets = ledger_arrays(ledger)
    order = placement_order(ledger, bets.placed)
    if order is not None:
        ledger, bets = ledger.take(order), bets.take(order)
    ledger = ledger.reset_index(drop=True)
    fee = commission_of(ledger["bookmaker"], COMMISSION)
    codes, names = zip(*(_coded(ledger[column]) for column in ("bookmaker", *SETS[1:])), strict=True)
    n, price = len(ledger), bets.price
    selection, by_choice = np.arange(n), np.arange(n)
    if first:
        selection, _ = group_codes(ledger, SELECTION)
        # at one time the price that pays most; of equal ones the bookmaker whose name comes first
        by_choice = np.lexsort((codes[0], (price - 1) * (fee - 1), bets.placed, selection))
    return Bets(
        signals=ledger.assign(fee=fee) if fee.any() else ledger,
        limited=tuple(limited),
        names=names,
        codes=np.stack(codes),
        values=np.array([ledger[name].to_numpy(float) for name in limited]).reshape(len(limited), n),
        first=first,
        selection=selection,
        by_choice=by_choice,
        arrays=bets,
        settles=np.argsort(bets.settled, kind="stable"),
        void=np.isnan(bets.ended),
        gain=_gain(bets, bets.ended, fee),
        exposure=np.where(bets.lay, price - 1, 1.0),
        clv=ledger["clv"].to_numpy(float),
        days=days,
        day=np.searchsorted(days, match_days(ledger)),
        draws=_draws(ledger, bets, fee),
        shared=shared_markets(ledger, fee) is not None,
    )


def match_days(ledger: pd.DataFrame) -> Times:
    """The match day of each bet, as `stats.day` has it, in microseconds."""
    starts = microseconds(ledger["starts_at"])
    return starts - starts % DAY_US


def block(bets: Bets, variants: pd.DataFrame, bankroll: float) -> dict[str, NDArray]:
    """Figures of some variants.

    Returns
    -------
    dict
        figures, shape (variants, figures) in the order of `kernels.FIGURES`; profit and staked by match
        day, shape (variants, days), as float32.
    """
    from overround.sweeps.kernels import FIGURES

    n = len(variants)
    answer = {"figures": np.empty((n, len(FIGURES)))}
    answer |= {name: np.zeros((n, len(bets.days)), np.float32) for name in ("profit", "staked")}
    place, sized = np.empty(len(bets.void), np.int64), dict[str, tuple[Floats, Floats]]()
    chosen_as, at, times = None, np.empty(0, np.int64), ()
    for row, variant in enumerate(variants.to_dict("records")):
        limits = _limits(bets, variant)
        if limits != chosen_as:  # the next variant often differs in its staking only
            at, chosen_as = _chosen(bets, limits), limits
            times = _in_time(bets, at, place)
        rule = rule_of(variant, bankroll)
        if repr(rule) not in sized and sizes_one_by_one(rule):
            if len(sized) == _REMEMBERED:
                sized.clear()
            sized[repr(rule)] = rule.sizes(bets.sized_from)
        played = _played(bets, at, times, rule, sized.get(repr(rule)), bankroll)
        _judge(
            bets,
            at,
            place,
            *played,
            bankroll,
            answer["profit"][row],
            answer["staked"][row],
            answer["figures"][row],
        )
    return answer


def ledger_of(bets: Bets, variant: Mapping[str, Any], bankroll: float, strategy: str) -> pd.DataFrame:
    """The whole ledger of one variant, as `backtest` makes it."""
    at, rule = _chosen(bets, _limits(bets, variant)), rule_of(variant, bankroll)
    sizes = rule.sizes(bets.signals) if sizes_one_by_one(rule) else None
    times = _in_time(bets, at, np.empty(len(bets.void), np.int64))
    order, stake, profit, after = _played(bets, at, times, rule, sizes, bankroll)
    ledger = bets.signals.take(at).assign(
        stake=stake, profit=profit, bankroll=after, bankroll_at_start=float(bankroll), strategy=strategy
    )
    ledger = ledger.take(order).drop(columns="fee", errors="ignore").reset_index(drop=True)
    ledger.attrs.update(bankroll=float(bankroll), unsettled=0)
    return ledger


Choice = tuple[tuple[float, ...], tuple[float, ...], tuple[tuple[str, ...] | None, ...]]


def _limits(bets: Bets, variant: Mapping[str, Any]) -> Choice:
    low = tuple(float(variant.get(f"min_{name}", -np.inf)) for name in bets.limited)
    high = tuple(float(variant.get(f"max_{name}", np.inf)) for name in bets.limited)
    sets = [variant[name] for name in SETS]
    if bets.first and sets[0] is None:
        # as in `value_signals`: what sums up the market is an account only where it is named
        sets[0] = tuple(name for name in bets.names[0] if name not in NOT_AN_ACCOUNT)
    return low, high, tuple(sets)


def _chosen(bets: Bets, limits: Choice) -> Whole:
    from overround.sweeps.kernels import chosen

    low, high, sets = limits
    allowed = np.zeros((len(SETS), max(map(len, bets.names), default=0)), bool)
    for row, (names, wanted) in enumerate(zip(bets.names, sets, strict=True)):
        allowed[row, : len(names)] = True if wanted is None else np.isin(names, wanted)
    return chosen(
        bets.by_choice,
        bets.selection,
        bets.values,
        np.array(low, float),
        np.array(high, float),
        bets.codes,
        allowed,
    )


def _in_time(bets: Bets, at: Whole, place: Whole) -> tuple:
    """Order in time, exposures and gains of these bets, the same for all stakes; fills `place`."""
    from overround.sweeps.kernels import book_of

    found = book_of(
        at, place, bets.arrays.placed, bets.arrays.settled, bets.settles, bets.exposure, bets.gain
    )
    *order, exposure, gain = found
    return Order._make([*order, _NO_PLACES]), Terms(np.zeros(len(at), np.int64), exposure, np.empty(0)), gain


def _played(
    bets: Bets, at: Whole, times: tuple, rule: Staking, sizes: tuple[Floats, Floats] | None, bankroll: float
) -> tuple[Whole, Floats, Floats, Floats]:
    """Order of settlement, stakes, profits and bankrolls: what `backtest` makes of these bets."""
    from overround.betting.kernels import run_book

    if not bets.shared:
        order, terms, gain = times
        amount, share = rule.sizes(bets.signals.take(at)) if sizes is None else (part[at] for part in sizes)
        stakes = Stakes(amount, share, floor=float(getattr(rule, "floor", 0.0)))
        played = run_book(order, terms, Limits(), stakes, gain, np.array([bankroll]))
        return order.settles, played.stake, played.profit, played.after
    book, _ = make_book(
        bets.signals.take(at), bets.arrays.take(at), stake=rule, bankroll=bankroll, commission=COMMISSION
    )
    played = book.play(book.gain(book.bets.ended)[0])
    return book.order.settles, played.stake, played.profit, played.after


def _judge(
    bets: Bets,
    at: Whole,
    place: Whole,
    order: Whole,
    stake: Floats,
    profit: Floats,
    after: Floats,
    bankroll: float,
    earned: NDArray[np.float32],
    turned: NDArray[np.float32],
    out: Floats,
) -> None:
    from overround.sweeps.kernels import judged

    facts = bets.arrays.settled, bets.arrays.price, bets.void, bets.clv, bets.day
    judged(at, place, order, stake, profit, after, bankroll, *facts, earned, turned, bets.draws, out)


def _coded(column: pd.Series) -> tuple[Whole, tuple[str, ...]]:
    """Code of each value in the order of text, and the values, those in no row left out."""
    codes, words = codes_and_words(column)
    used, codes = np.unique(codes, return_inverse=True)
    names = np.asarray(words, dtype=object)[used].astype(str).astype(object)
    order = np.argsort(names)
    return np.argsort(order)[codes].astype(np.int64), tuple(names[order].tolist())


def _gain(bets: BetArrays, ended: Floats, fee: Floats) -> Floats:
    from overround.betting.kernels import payoffs

    return payoffs(ended, bets.lay, bets.price, fee, np.zeros(len(fee)))[0]


def _draws(ledger: pd.DataFrame, bets: BetArrays, fee: Floats) -> tuple:
    """What decides each bet in the histories of `luck_test`; lines push as often as among all candidates."""
    from overround.sweeps.kernels import unit_moments

    known, ways = can_be_drawn(ledger), ways_to_end(ledger, bets)
    low, between, _ = ways.chances
    parts = low, low + between, *(_gain(bets, ended, fee) for ended in ways.ends)
    with_others = np.bincount(ways.draw[known], minlength=ways.n)[ways.draw] > 1
    kind = np.where(known, np.where(with_others, 2, 1), 0).astype(np.int8)
    together = np.flatnonzero(kind == 2)
    in_draws = together[np.argsort(ways.draw[together], kind="stable")]
    return kind, in_draws, ways.draw, *parts, unit_moments(*parts)
