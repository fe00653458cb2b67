"""Where bets are placed and how: accounts with their money and limits, and what a price and a stake become on the way to the bookmaker."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.betting.text_columns import coded
from overround.errors import ParameterError
from overround.prices.commission import check_commission
from overround.times import Times, microseconds

# what became of a bet, the first nine in the order of the codes of `kernels`: placed as wanted; not wanted;
# with a smaller stake; refused
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
# Betfair's ladder: from a price on, the next price is this much longer
_LADDER = (
    (1.0, 0.01),
    (2.0, 0.02),
    (3.0, 0.05),
    (4.0, 0.1),
    (6.0, 0.2),
    (10.0, 0.5),
    (20.0, 1.0),
    (30.0, 2.0),
    (50.0, 5.0),
    (100.0, 10.0),
)
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
        Largest stake, and largest payment of one bet (stake x price); what is asked beyond is cut.
    min_stake : float
        A smaller stake is not taken.
    stake_step : float
        Stakes are rounded down to a multiple of this: 0.01, or 1 for whole units; 0: not at all.
    commission : float, optional
        Share that is kept; by default what the backtest's `commission` says of the bookmaker.
    commission_on : str
        "winnings": of what the bets on one market win together (an exchange's rule), or "turnover": of every
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
    """What a price and a stake become on the way to the bookmaker. Stakes are sized at the price that was wanted.

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
        Stake above which no bet is taken whole.
    cut_to_size : bool
        Then `size` is taken; otherwise nothing.
    seed : int
        Of the refusals.

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
    """Prices that are got where these were wanted: shorter for a back bet, longer for a lay bet."""
    got = 1 + (price - 1) * np.where(lay, 1 + execution.slippage, 1 - execution.slippage)
    for _ in range(int(execution.ticks)):
        got = np.where(lay, _next_price(got), _previous_price(got))
    return np.where(got > 1, got, np.nextafter(1.0, 2.0))


def availability(bets: pd.DataFrame, placed: Times, execution: Execution) -> tuple[Floats, NDArray[np.int8]]:
    """Share of its stake that the bookmaker takes of each bet, and the code of `TAKEN` where it is none."""
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
class Terms:
    """What the accounts say of each bet, as arrays; the limits are empty where there are none."""

    purse: NDArray[np.int64]
    money: Floats
    fee: Floats  # of winnings
    tax: Floats  # of turnover
    most: Floats
    step: Floats
    minimum: Floats
    known: NDArray[np.bool_]


def account_terms(
    bookmaker: pd.Series, price: Floats, bankroll: float, accounts: Iterable[Account] | None, commission: dict
) -> Terms:
    """Read the accounts for bets at these bookmakers; without accounts every bookmaker takes any bet from one common bankroll."""
    check_commission(commission)
    n, none = len(bookmaker), np.empty(0)
    if accounts is None:
        fee = np.zeros(n)
        for name, share in commission.items():
            fee[coded(bookmaker, (name,)) == 0] = share
        return Terms(
            np.zeros(n, np.int64), np.array([bankroll]), fee, np.zeros(n), none, none, none, np.ones(n, bool)
        )
    listed = list(accounts)
    names = [account.bookmaker for account in listed]
    if not names or len(set(names)) < len(names):
        raise ParameterError(
            "accounts: there must be at least one, and one a bookmaker; got "
            + (", ".join(names) or "none")
            + "."
        )
    of_bet = coded(bookmaker, names)
    own = [account.bankroll for account in listed]
    money = [bankroll] * (None in own) + [each for each in own if each is not None]
    purses = np.cumsum([each is not None for each in own]) - 1 + (None in own)
    purses = np.where([each is None for each in own], 0, purses)
    kept = [commission.get(a.bookmaker, 0.0) if a.commission is None else a.commission for a in listed]
    on_winnings = [a.commission_on == WINNINGS for a in listed]
    # a bet without an account is never staked: what is read for it does not matter
    per_bet = {
        "purse": purses,
        "fee": np.where(on_winnings, kept, 0.0),
        "tax": np.where(on_winnings, 0.0, kept),
        "step": np.array([a.stake_step for a in listed]),
        "minimum": np.array([a.min_stake for a in listed]),
    }
    read = {name: values[of_bet] for name, values in per_bet.items()}
    most = np.minimum(
        np.array([a.max_stake for a in listed])[of_bet],
        np.array([a.max_payout for a in listed])[of_bet] / price,
    )
    return Terms(**read, money=np.array(money, float), most=most, known=of_bet >= 0)


def _next_price(price: Floats) -> Floats:
    begins, widths = (np.array(column) for column in zip(*_LADDER, strict=True))
    rung = np.searchsorted(begins, price + 1e-9, side="right") - 1
    width = widths[np.maximum(rung, 0)]
    return np.minimum(np.round((np.floor(price / width + 1e-9) + 1) * width, 2), np.maximum(price, _LONGEST))


def _previous_price(price: Floats) -> Floats:
    begins, widths = (np.array(column) for column in zip(*_LADDER, strict=True))
    # a price at which a rung begins is reached from the rung below
    rung = np.searchsorted(begins, price - 1e-9, side="right") - 1
    width = widths[np.maximum(rung, 0)]
    return np.maximum(np.round((np.ceil(price / width - 1e-9) - 1) * width, 2), np.minimum(price, 1.01))
