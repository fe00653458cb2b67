"""Where and how bets are placed: accounts with their money and limits; slippage, delay and refusals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.grouping import mapped
from overround.prices.commission import check_commission, commission_of
from overround.times import Times, microseconds

# what became of a bet: placed as wanted; not wanted; with a smaller stake; refused. The first nine are in the
# order of the codes of `kernels`
TAKEN = (
    "full",
    "no stake",
    "limited",
    "partly",
    "short of money",
    "too large",
    "below minimum",
    "no money",
    "bankrupt",
    "refused",
    "price gone",
    "after kick-off",
    "no account",
)
_FULL, _REFUSED, _GONE, _LATE, NO_ACCOUNT = 0, 9, 10, 11, 12
WINNINGS, TURNOVER = "winnings", "turnover"
# Betfair's price ladder: from each price on, the step to the next. It ends at `_LONGEST`; goes on here for
# bookmakers' prices that are longer
_STEPS = {1: 0.01, 2: 0.02, 3: 0.05, 4: 0.1, 6: 0.2, 10: 0.5, 20: 1, 30: 2, 50: 5, 100: 10, 100_000: 0}
_LADDER = np.concatenate(
    [np.arange(low, high, step)[low == 1 :] for (low, step), (high, _) in pairwise(_STEPS.items())]
).round(2)
_LONGEST = 1000.0


@dataclass(frozen=True)
class Account:
    """An account with a bookmaker or an exchange.

    Parameters
    ----------
    bookmaker : str
        As in the signals.
    bankroll : float, optional
        Money that only this account has; by default it draws on the common bankroll of the backtest.
    max_stake, max_payout : float
        Largest stake, and largest payment of one bet (stake x price); a larger stake is cut.
    min_stake : float
        A smaller stake is not taken.
    stake_step : float
        Stakes are rounded down to a multiple of this: 0.01, or 1 for whole units; 0 does not round.
    commission : float, optional
        Share that the bookmaker keeps; by default the one in the backtest's `commission`.
    commission_on : str
        "winnings": on the net winnings of all bets on a market (an exchange's rule), or "turnover": on every
        stake that is not void.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> small = ov.Account("soft_1", bankroll=100, max_stake=5)
    >>> ledger = ov.backtest(signals, results, accounts=[small], stake=ov.Flat(10))
    >>> float(ledger["stake"].max()), sorted(set(ledger["taken"]))
    (5.0, ['limited', 'no account'])
    """

    bookmaker: str
    bankroll: float | None = None
    max_stake: float = np.inf
    max_payout: float = np.inf
    min_stake: float = 0.0
    stake_step: float = 0.0
    commission: float | None = None
    commission_on: str = WINNINGS

    def __post_init__(self) -> None:
        where = f"account at {self.bookmaker!r}"
        for name, value in (
            ("bankroll", self.bankroll),
            ("max_stake", self.max_stake),
            ("max_payout", self.max_payout),
        ):
            if value is not None and not value > 0:
                raise ParameterError(f"{where}: {name} is {value}; it must be above 0.")
        for name in ("min_stake", "stake_step"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ParameterError(f"{where}: {name} is {getattr(self, name)}; it must be at least 0.")
        check_commission({self.bookmaker: self.commission or 0.0})
        if self.commission_on not in (WINNINGS, TURNOVER):
            raise ParameterError(
                f"{where}: commission_on is {self.commission_on!r}; allowed: {WINNINGS}, {TURNOVER}."
            )


@dataclass(frozen=True)
class Execution:
    """Differences between the bet wanted and the one placed; stakes are sized at the wanted price.

    Parameters
    ----------
    slippage : float
        Share of a price's profit part that is lost: at 0.02 a back bet wanted at 2.00 gets 1.98, a lay bet
        2.02.
    ticks : int
        Steps of Betfair's price ladder by which a price is worse, after `slippage`.
    delay_s : float
        Seconds from signal to bet. A bet that comes after kick-off is refused.
    price_life_s : float
        A bet that comes later than this after its price was shown (the signals' column `priced_at`, else
        `placed_at`) is refused. A column `price_until` in the signals does the same for each price; an empty
        time there is no limit.
    refusal : float
        Chance that a bet is refused.
    partial : float
        Share of a refused bet's stake that is taken all the same.
    size : float
        Largest stake that is taken whole.
    cut_to_size : bool
        Whether `size` is taken of a larger stake; otherwise nothing is.
    seed : int
        Seed of the refusals.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, execution=ov.Execution(slippage=0.01))
    >>> round(float((ledger["price"] / ledger["wanted_price"]).mean()), 2)
    0.99
    """

    slippage: float = 0.0
    ticks: int = 0
    delay_s: float = 0.0
    price_life_s: float = np.inf
    refusal: float = 0.0
    partial: float = 0.0
    size: float = np.inf
    cut_to_size: bool = True
    seed: int = 7

    def __post_init__(self) -> None:
        for name, most in (
            ("slippage", 1.0),
            ("refusal", 1.0),
            ("partial", 1.0),
            ("delay_s", np.inf),
            ("ticks", np.inf),
        ):
            value = getattr(self, name)
            if not 0 <= value <= most or value == np.inf:
                raise ParameterError(
                    f"{name} is {value}; it must be at least 0{'' if most == np.inf else ' and at most 1'}."
                )
        for name in ("price_life_s", "size"):
            if not getattr(self, name) > 0:
                raise ParameterError(f"{name} is {getattr(self, name)}; it must be above 0.")


def worse_prices(price: Floats, lay: NDArray[np.bool_], execution: Execution) -> Floats:
    """The prices that are got instead of the wanted ones: shorter for a back bet, longer for a lay bet."""
    got = 1 + (price - 1) * np.where(lay, 1 + execution.slippage, 1 - execution.slippage)
    if execution.ticks:
        slack = 1e-9 * got
        longer = np.searchsorted(_LADDER, got + slack, "right") + int(execution.ticks) - 1
        shorter = np.searchsorted(_LADDER, got - slack, "left") - int(execution.ticks)
        up, down = (_LADDER[np.clip(place, 0, len(_LADDER) - 1)] for place in (longer, shorter))
        # beyond the ends of the ladder no price is worse
        got = np.where(lay, np.maximum(np.minimum(up, _LONGEST), got), np.minimum(down, got))
    return np.where(got > 1, got, np.nextafter(1.0, 2.0))


def availability(bets: pd.DataFrame, placed: Times, execution: Execution) -> tuple[Floats, NDArray[np.int8]]:
    """Share of each stake that the bookmaker takes, and the code of `TAKEN` where it takes nothing."""
    code = np.full(len(bets), _FULL, np.int8)
    accepted = np.ones(len(bets))
    if execution.refusal:
        refused = np.random.default_rng(execution.seed).random(len(bets)) < execution.refusal
        accepted[refused] = execution.partial
        code[refused & (accepted == 0)] = _REFUSED
    gone = np.zeros(len(bets), bool)
    if execution.price_life_s < np.inf:
        shown = microseconds(bets["priced_at" if "priced_at" in bets else "placed_at"])
        gone |= placed - shown > execution.price_life_s * 1e6
    if "price_until" in bets:
        gone |= (placed > microseconds(bets["price_until"])) & bets["price_until"].notna().to_numpy()
    for flag, why in ((gone, _GONE), (placed > microseconds(bets["starts_at"]), _LATE)):
        accepted[flag], code[flag] = 0.0, why
    return accepted, code


@dataclass(frozen=True)
class AccountTerms:
    """Terms of each bet's account, as arrays; the limits are empty where there are none."""

    purse: Whole
    money: Floats  # of each purse
    fee: Floats  # of winnings
    tax: Floats  # of turnover
    most: Floats
    step: Floats
    minimum: Floats
    known: NDArray[np.bool_]

    def take(self, rows: Whole) -> "AccountTerms":
        """The terms of these bets."""
        return replace(self, **{name: each[rows] for name, each in vars(self).items() if name != "money"})


def account_terms(
    bookmaker: pd.Series,
    price: Floats,
    bankroll: float,
    accounts: Iterable[Account] | None,
    commission: Mapping[str, float],
) -> AccountTerms:
    """Terms of bets at these bookmakers; without accounts each takes any bet, from one common bankroll."""
    check_commission(commission)
    if accounts is None:
        free, none, whole = (np.broadcast_to(value, len(bookmaker)) for value in (np.inf, 0.0, True))
        purse, fee = np.zeros(len(bookmaker), np.int64), commission_of(bookmaker, commission)
        return AccountTerms(purse, np.array([bankroll]), fee, none, free, none, none, whole)
    listed = list(accounts)
    names = [account.bookmaker for account in listed]
    if not names or len(set(names)) < len(names):
        raise ParameterError(
            "accounts: there must be at least one, and one a bookmaker; got "
            + (", ".join(names) or "none")
            + "."
        )
    own = [account.bankroll is not None for account in listed]
    common = not all(own)  # one purse that accounts share comes first
    money = [bankroll] * common + [one.bankroll for one in listed if one.bankroll is not None]
    kept = [commission.get(a.bookmaker, 0.0) if a.commission is None else a.commission for a in listed]
    on_winnings = [account.commission_on == WINNINGS for account in listed]
    columns = (
        np.where(own, np.cumsum(own) - 1 + common, 0),
        np.where(on_winnings, kept, 0.0),
        np.where(on_winnings, 0.0, kept),
        *np.array([(a.max_stake, a.max_payout, a.stake_step, a.min_stake) for a in listed], float).T,
    )
    # what is read for a bet without an account does not matter: it is never staked
    of_bet = mapped(bookmaker, {name: place for place, name in enumerate(names)})
    purse, fee, tax, most, payout, step, minimum = (column[of_bet] for column in columns)
    return AccountTerms(
        purse=purse,
        money=np.array(money, float),
        fee=fee,
        tax=tax,
        most=np.minimum(most, payout / price),
        step=step,
        minimum=minimum,
        known=of_bet >= 0,
    )
