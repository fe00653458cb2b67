"""A book of bets as arrays in the order of time, ready for the compiled loop: what the backtest and the luck test both run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.betting.accounts import Account, Execution, account_terms
from overround.betting.settlement import is_lay
from overround.betting.staking import Staking
from overround.betting.text_columns import rising
from overround.grouping import group_codes
from overround.times import Times, microseconds

NO_LIMITS = (np.empty(0), np.empty(0), np.empty(0), np.empty(0), np.inf, True)
_NO_PLACES = np.empty(0, np.int64)


@dataclass(frozen=True)
class Book:
    """Bets in the order of their placement; the tuples are those of `kernels.run_book`."""

    order: tuple
    terms: tuple
    limits: tuple
    stakes: tuple
    money: Floats
    lay: NDArray[np.bool_]
    price: Floats
    fee: Floats
    tax: Floats
    known: NDArray[np.bool_]  # whether there is an account

    @property
    def settles(self) -> NDArray[np.int64]:
        """Bets in the order of their settlement."""
        return self.order[3]

    def gain(self, ended: Floats) -> tuple[Floats, NDArray[np.int8]]:
        """Profit per unit staked where the selections ended so, and the code of each result, as in `settlement.RESULTS`."""
        from overround.betting.kernels import payoffs

        return payoffs(ended, self.lay, self.price, self.fee, self.tax)


def placement_order(bets: pd.DataFrame) -> NDArray[np.int64] | None:
    """Order by time of placement, and one order of bets of the same time whatever the order given; None where it is theirs already.

    So bets of the same instant always get the same stakes to the last bit.
    """
    placed = microseconds(bets["placed_at"])
    if _in_order(bets, placed):
        return None
    ranks = [_ranks(bets[name]) for name in ("bookmaker", "outcome", "line", "market", "event_id")]
    return np.lexsort((*ranks, placed))


def make_book(
    bets: pd.DataFrame,
    price: Floats,
    placed: Times,
    settled: Times,
    *,
    stake: Staking,
    bankroll: float,
    commission: Mapping[str, float],
    accounts: Iterable[Account] | None,
    execution: Execution | None,
    accepted: Floats | None,
) -> tuple[Book, NDArray[np.int64] | None]:
    """Make the arrays of a book.

    Parameters
    ----------
    bets : DataFrame
        Signals in placement order.
    price, placed, settled : ndarray
        Price that is got and times of placement and settlement, of each bet.
    stake, bankroll, commission, accounts, execution
        As in `backtest`.
    accepted : ndarray, optional
        Share of its stake that the bookmaker takes of each bet, where not all of it.

    Returns
    -------
    Book, ndarray or None
        The second is the order in which the bets went into the book, where it is not theirs: purse by purse
        at one time.
    """
    terms = account_terms(bets["bookmaker"], price, bankroll, accounts, dict(commission))
    moved = None
    if len(terms.money) > 1:
        moved = np.lexsort((terms.purse, placed))
        bets, price, placed, settled = bets.take(moved), price[moved], placed[moved], settled[moved]
        accepted = accepted if accepted is None else accepted[moved]
        terms = replace(
            terms, **{name: v[moved] for name, v in vars(terms).items() if name != "money" and len(v)}
        )
    lay = is_lay(bets["side"])
    market = shared_markets(bets, terms.fee)
    # a bet that is alone in its market pays its own commission
    fee = terms.fee if market is None else np.where(market >= 0, 0.0, terms.fee)
    rate = np.empty(0) if market is None else terms.fee
    exposure = np.where(lay, price - 1, 1.0) + terms.tax
    limits = NO_LIMITS
    if accounts is not None or execution is not None:
        everything = execution or Execution()
        n, none = len(bets), len(terms.most) == 0
        limits = (
            np.full(n, np.inf) if none else terms.most,
            np.zeros(n) if none else terms.step,
            np.zeros(n) if none else terms.minimum,
            np.where(terms.known, np.ones(n) if accepted is None else accepted, 0.0),
            float(everything.size),
            bool(everything.cut_to_size),
        )
    told = bets.assign(fee=terms.fee) if terms.fee.any() else bets
    amount, share = stake.sizes(told if len(terms.money) == 1 else told.assign(purse=terms.purse))
    book = Book(
        order=event_order(placed, terms.purse, settled, market),
        terms=(terms.purse, exposure, rate),
        limits=limits,
        stakes=(amount, share, float(getattr(stake, "floor", 0.0)), False),
        money=terms.money,
        lay=lay,
        price=price,
        fee=fee,
        tax=terms.tax,
        known=terms.known,
    )
    return book, moved


def event_order(
    placed: Times, purse: NDArray[np.int64], settled: Times, market: NDArray[np.int64] | None
) -> tuple:
    """Order of placements and settlements as `kernels.run_book` reads it; bets come in order of time and purse, `market` is -1 for none."""
    from overround.betting.kernels import time_order

    if market is not None:
        settles = np.lexsort((market, settled))
    elif (settled[1:] >= settled[:-1]).all():
        settles = np.arange(len(placed))
    else:
        settles = np.argsort(settled, kind="stable")
    start, until, instant, run_end = time_order(
        placed, purse, settled, settles, _NO_PLACES if market is None else market
    )
    return start, until, purse[start[:-1]], settles, instant, run_end


def _in_order(bets: pd.DataFrame, placed: Times) -> bool:
    gap = np.diff(placed)
    if (gap < 0).any():
        return False
    ties = np.flatnonzero(~(rising(bets["event_id"]) | (gap > 0)))
    if not len(ties):
        return True
    # the few that are on one match at one time are compared column by column
    before, behind = bets.iloc[ties], bets.iloc[ties + 1]
    if (before["event_id"].array != behind["event_id"].array).any():
        return False
    equal = np.ones(len(ties), bool)
    for name in ("market", "line", "outcome", "bookmaker"):
        both = _ranks(pd.concat([before[name], behind[name]]))
        one, two = both[: len(ties)], both[len(ties) :]
        if (equal & (one > two)).any():
            return False
        equal &= one == two
    return True


def _ranks(values: pd.Series) -> NDArray[np.int64]:
    """Place of each value among the sorted values; what is missing comes last, as pandas sorts."""
    codes, _ = pd.factorize(values, sort=True)
    return np.where(codes < 0, len(values), codes)


def shared_markets(bets: pd.DataFrame, fee: Floats) -> NDArray[np.int64] | None:
    """Number of the exchange market that each bet shares with others, -1 where it shares none; None where no bet does."""
    rows = np.flatnonzero(fee > 0)
    if not len(rows):
        return None
    charged = bets.iloc[rows]
    # the prices to back and to lay a match's outcomes are those of one market
    market = charged["market"].where(charged["market"] != "h2h_lay", "h2h")
    codes, n = group_codes(charged.assign(market=market), ("bookmaker", "event_id", "market", "line"))
    shared = np.bincount(codes, minlength=n)[codes] > 1
    if not shared.any():
        return None
    market_of = np.full(len(bets), -1, np.int64)
    market_of[rows[shared]] = codes[shared]
    return market_of
