"""Bets as arrays, made once from signals or a ledger, and the book that the compiled loop plays with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.betting.accounts import Account, Execution, account_terms
from overround.betting.settlement import how_ended, is_lay, one_market, selections
from overround.betting.sports import best_known_ways, stated_ways
from overround.betting.staking import Staking
from overround.grouping import group_codes, rising, sorted_codes
from overround.times import Times, microseconds

if TYPE_CHECKING:
    from overround.betting.kernels import Played

_NONE = np.empty(0)


class BetArrays(NamedTuple):
    """Bets as arrays, each of shape (n_bets,)."""

    kind: NDArray[np.int8]  # of the market: h2h, totals, spreads, h2h of two ways
    pick: NDArray[np.int8]  # the outcome: home or over, draw, away or under
    line: Floats
    lay: NDArray[np.bool_]
    price: Floats
    placed: Times
    settled: Times
    ended: Floats  # how the selection ended, as `settlement.settle` has it

    def outcome(self, home: Floats, away: Floats) -> Floats:
        """How each selection ends with these scores; see `settlement.settle`."""
        from overround.betting.kernels import settled_selections

        return settled_selections(self.kind, self.pick, self.line, home, away)

    def take(self, rows: Whole) -> "BetArrays":
        """The bets of these rows."""
        return BetArrays._make([values[rows] for values in self])


class Order(NamedTuple):
    """Placements and settlements in the order of time."""

    start: Whole  # (groups + 1,), first bet of each group (of one time and one purse), and n_bets
    until: Whole  # (groups,), how many bets are settled before
    purse: Whole  # (groups,)
    settles: Whole  # (n_bets,), bets in the order of settlement
    instant: NDArray[np.bool_]  # (n_bets,), whether a place in `settles` is the last of its time
    run_end: Whole  # (n_bets,), one past the last place of the same exchange market; empty if none is shared


class Terms(NamedTuple):
    """Conditions of each bet."""

    purse: Whole
    exposure: Floats  # money tied up per unit staked
    rate: Floats  # commission on the net winnings of a market with several bets; empty if none is shared


class Limits(NamedTuple):
    """Limits on stakes; the arrays are empty where nothing limits a bet."""

    most: Floats = _NONE  # largest stake
    step: Floats = _NONE  # stakes are rounded down to a multiple
    minimum: Floats = _NONE  # smallest stake
    accepted: Floats = _NONE  # share of its stake that the bookmaker takes
    size: float = np.inf  # stake above which the bookmaker does not take the whole
    part: bool = True  # whether it then takes that much, or nothing


class Stakes(NamedTuple):
    """A stake is amount + share x free money."""

    amount: Floats
    share: Floats
    floor: float = 0.0  # share of a purse's peak that is never staked
    fixed: bool = False  # take `amount` as the stakes whatever money there is


@dataclass(frozen=True)
class Book:
    """Bets in the order of their placement, ready to be played."""

    bets: BetArrays
    order: Order
    terms: Terms
    limits: Limits
    stakes: Stakes
    money: Floats  # of each purse at the start
    fee: Floats  # commission on the winnings of a bet that is alone in its market
    tax: Floats  # commission on turnover
    known: NDArray[np.bool_]  # whether there is an account

    def gain(self, ended: Floats) -> tuple[Floats, NDArray[np.int8]]:
        """Profit per unit staked if the selections end so, and the code of each result in `RESULTS`."""
        from overround.betting.kernels import payoffs

        return payoffs(ended, self.bets.lay, self.bets.price, self.fee, self.tax)

    def play(self, gain: Floats) -> "Played":
        """Stakes, profits and bankrolls with these profits per unit staked."""
        from overround.betting.kernels import run_book

        return run_book(self.order, self.terms, self.limits, self.stakes, gain, self.money)


def bet_arrays(
    bets: pd.DataFrame,
    lay: NDArray[np.bool_],
    placed: Times,
    settled: Times,
    ended: Floats = _NONE,
    ways: NDArray[np.int8] | None = None,
) -> BetArrays:
    """The arrays of some bets, in their order; match odds have as many `ways` as given, or as they say."""
    ways = stated_ways(bets) if ways is None else ways
    kind, pick, line = selections(bets["market"], bets["line"], bets["outcome"], ways)
    return BetArrays(kind, pick, line, lay, bets["price"].to_numpy(float), placed, settled, ended)


def ledger_arrays(ledger: pd.DataFrame) -> BetArrays:
    """The arrays of a ledger's bets, in its order; what `ways` does not say, the sport says."""
    lay = is_lay(ledger["side"])
    times = microseconds(ledger["placed_at"]), microseconds(ledger["settled_at"])
    how = how_ended(ledger["result"])
    return bet_arrays(ledger, lay, *times, np.where(lay, -how, how), best_known_ways(ledger))


def placement_order(bets: pd.DataFrame, placed: Times) -> Whole | None:
    """Order by time of placement, None where the bets have it already.

    Bets of the same time have one order, whatever the order given, so that they get the same stakes to the
    last bit.
    """
    gap = np.diff(placed)
    if ((gap > 0) | ((gap == 0) & rising(bets["event_id"]))).all():
        return None
    ranks = [sorted_codes(bets[name]) for name in ("bookmaker", "outcome", "line", "market", "event_id")]
    order = np.lexsort((*ranks, placed))
    return order if (order != np.arange(len(order))).any() else None


def make_book(
    signals: pd.DataFrame,
    bets: BetArrays,
    *,
    stake: Staking,
    bankroll: float,
    commission: Mapping[str, float],
    accounts: Iterable[Account] | None = None,
    execution: Execution | None = None,
    accepted: Floats | None = None,
) -> tuple[Book, Whole | None]:
    """Make the book of some bets.

    Parameters
    ----------
    signals : DataFrame
        In placement order, as the staking rule reads them.
    bets : BetArrays
        The same rows; the price is the one that was got.
    stake, bankroll, commission, accounts, execution
        As in `backtest`.
    accepted : ndarray, optional
        Share of its stake that the bookmaker takes of each bet, where not all of it.

    Returns
    -------
    Book, ndarray or None
        The second is the order in which the rows went into the book (purse by purse at one time), None where
        it is theirs.
    """
    terms = account_terms(signals["bookmaker"], bets.price, bankroll, accounts, commission)
    order = None
    if len(terms.money) > 1:
        order = np.lexsort((terms.purse, bets.placed))
        signals, bets, terms = signals.take(order), bets.take(order), terms.take(order)
        accepted = accepted if accepted is None else accepted[order]
    market = shared_markets(signals, terms.fee)
    limits = Limits()
    if accounts is not None or execution is not None:
        rules = execution or Execution()
        limits = Limits(
            most=np.ascontiguousarray(terms.most),
            step=np.ascontiguousarray(terms.step),
            minimum=np.ascontiguousarray(terms.minimum),
            accepted=np.where(terms.known, 1.0 if accepted is None else accepted, 0.0),
            size=float(rules.size),
            part=bool(rules.cut_to_size),
        )
    if terms.fee.any():
        signals = signals.assign(fee=terms.fee)
    if len(terms.money) > 1:
        signals = signals.assign(purse=terms.purse)
    book = Book(
        bets=bets,
        order=event_order(bets.placed, terms.purse, bets.settled, market),
        terms=Terms(
            terms.purse,
            np.where(bets.lay, bets.price - 1, 1.0) + terms.tax,
            _NONE if market is None else terms.fee,
        ),
        limits=limits,
        stakes=Stakes(*stake.sizes(signals), floor=float(getattr(stake, "floor", 0.0))),
        money=terms.money,
        # a bet that shares its market pays commission with the others
        fee=terms.fee if market is None else np.where(market >= 0, 0.0, terms.fee),
        tax=terms.tax,
        known=terms.known,
    )
    return book, order


def event_order(
    placed: Times, purse: Whole, settled: Times, market: Whole | None, settles: Whole | None = None
) -> Order:
    """Order of placements and settlements of bets that come in order of time and purse.

    `market` is what `shared_markets` returns, `settles` the order of settlement where it is known.
    """
    from overround.betting.kernels import time_order

    if market is not None:
        settles = np.lexsort((market, settled))
    elif settles is None:
        in_order = (settled[1:] >= settled[:-1]).all()
        settles = np.arange(len(placed)) if in_order else np.argsort(settled, kind="stable")
    shared = np.empty(0, np.int64) if market is None else market
    start, until, instant, run_end = time_order(placed, purse, settled, settles, shared)
    return Order(start, until, purse[start[:-1]], settles, instant, run_end)


def shared_markets(bets: pd.DataFrame, fee: Floats) -> Whole | None:
    """Number of the exchange market that each bet shares with others, else -1; None if no bet does."""
    rows = np.flatnonzero(fee > 0)
    if not len(rows):
        return None
    charged = bets.iloc[rows]
    codes, n = group_codes(
        charged.assign(market=one_market(charged["market"])), ("bookmaker", "event_id", "market", "line")
    )
    shared = np.bincount(codes, minlength=n)[codes] > 1
    if not shared.any():
        return None
    market_of = np.full(len(bets), -1, np.int64)
    market_of[rows[shared]] = codes[shared]
    return market_of
