"""All bets that any variant of a sweep could take, as arrays made once, and the figures of its variants."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, cast

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
    event_order,
    ledger_arrays,
    make_book,
    placement_order,
    shared_markets,
)
from overround.betting.staking import Staking, sizes_one_by_one
from overround.evaluation.redrawn_results import can_be_drawn, ways_to_end
from overround.grouping import SELECTION, group_codes
from overround.prices.commission import commission_of
from overround.schema import COMMISSION, NOT_AN_ACCOUNT
from overround.sweeps.space import SETS, rule_of
from overround.times import DAY_US, Times, microseconds

_SIZED_FROM = ("side", "price", "fee", "probability", "edge", "edge_se")
# number of rules whose sizes are kept: a grid of stakings repeats them, a sample never does
_REMEMBERED = 16


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
        """Digest of all that the figures depend on; what the arrays are made of stands for them."""
        kept = [name for name in self.signals if name not in ("stake", "profit", "bankroll")]
        found = hashlib.blake2b(pd.util.hash_pandas_object(self.signals[kept]).to_numpy(), digest_size=16)
        found.update(self.days.tobytes() + repr((self.limited, self.first)).encode())
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
    from overround.sweeps.kernels import FIGURES, judged

    n, arrays = len(variants), bets.arrays
    facts = arrays.settled, arrays.price, bets.void, bets.clv, bets.day
    figures = np.empty((n, len(FIGURES)))
    profit, staked = (np.zeros((n, len(bets.days)), np.float32) for _ in range(2))

    @lru_cache(_REMEMBERED)
    def sizes(rule: Any) -> tuple[Floats, Floats]:
        return rule.sizes(bets.sized_from)

    limits, some = None, None
    for row, variant in enumerate(variants.to_dict("records")):
        wanted, rule = _limits(bets, variant), cast(Any, rule_of(variant, bankroll))
        if some is None or wanted != limits:  # the next variant often differs in its staking only
            some, limits = _chosen(bets, wanted), wanted
        played = _played(bets, some, rule, sizes(rule) if sizes_one_by_one(rule) else None, bankroll)
        judged(
            *(some.at, some.place, *played, bankroll, *facts),
            *(profit[row], staked[row], bets.draws, figures[row]),
        )
    return {"figures": figures, "profit": profit, "staked": staked}


def ledger_of(bets: Bets, variant: Mapping[str, Any], bankroll: float, strategy: str) -> pd.DataFrame:
    """The whole ledger of one variant, as `backtest` makes it."""
    some, rule = _chosen(bets, _limits(bets, variant)), rule_of(variant, bankroll)
    sizes = rule.sizes(bets.signals) if sizes_one_by_one(rule) else None
    order, stake, profit, after = _played(bets, some, rule, sizes, bankroll)
    ledger = bets.signals.take(some.at).assign(
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


class _Chosen(NamedTuple):
    """The bets that are within some limits: the same for all stakes."""

    at: Whole
    place: Whole  # number of each candidate in `at`, -1 where it is not among them
    order: Order
    terms: Terms
    gain: Floats


def _chosen(bets: Bets, limits: Choice) -> _Chosen:
    from overround.sweeps.kernels import chosen

    low, high, sets = limits
    allowed = np.zeros((len(SETS), max(map(len, bets.names), default=0)), bool)
    for row, (names, wanted) in enumerate(zip(bets.names, sets, strict=True)):
        allowed[row, : len(names)] = True if wanted is None else np.isin(names, wanted)
    bounds = np.array(low, float), np.array(high, float)
    at = chosen(bets.by_choice, bets.selection, bets.values, *bounds, bets.codes, allowed)
    place, purse = np.full(len(bets.void), -1), np.zeros(len(at), np.int64)
    place[at] = np.arange(len(at))
    settles = place[bets.settles]
    settles = settles[settles >= 0]
    order = event_order(bets.arrays.placed[at], purse, bets.arrays.settled[at], None, settles)
    return _Chosen(at, place, order, Terms(purse, bets.exposure[at], np.empty(0)), bets.gain[at])


def _played(
    bets: Bets, some: _Chosen, rule: Staking, sizes: tuple[Floats, Floats] | None, bankroll: float
) -> tuple[Whole, Floats, Floats, Floats]:
    """Order of settlement, stakes, profits and bankrolls: what `backtest` makes of these bets."""
    from overround.betting.kernels import run_book

    at, order = some.at, some.order
    if bets.shared:
        chosen = bets.signals.take(at), bets.arrays.take(at)
        book, _ = make_book(*chosen, stake=rule, bankroll=bankroll, commission=COMMISSION)
        order, played = book.order, book.play(book.gain(book.bets.ended)[0])
    else:
        amount, share = rule.sizes(bets.signals.take(at)) if sizes is None else (part[at] for part in sizes)
        stakes = Stakes(amount, share, floor=float(getattr(rule, "floor", 0.0)))
        played = run_book(order, some.terms, Limits(), stakes, some.gain, np.array([bankroll]))
    return order.settles, played.stake, played.profit, played.after


def _coded(column: pd.Series) -> tuple[Whole, tuple[str, ...]]:
    """Code of each value in the order of text, and the values, those in no row left out."""
    found = pd.Categorical(column.astype("str"))
    return found.codes.astype(np.int64), tuple(found.categories)


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
