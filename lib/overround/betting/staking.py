"""How much to bet: each rule is a frozen dataclass with a method `sizes`.

`sizes` gives a fixed amount and a share of the free bankroll for every bet. A new rule is a class like the
others and an entry in `RULES`, which notebooks and sweeps read; if it looks at one bet at a time, also in
`ONE_BY_ONE`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.betting.settlement import is_lay, one_market
from overround.errors import ParameterError
from overround.grouping import group_codes
from overround.prices.commission import net_price


class Staking(Protocol):
    """What the backtest asks of a staking rule.

    A rule that has a `floor` never stakes that share of the bankroll's peak.
    """

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Amount and share for each signal; the stake is amount + share x free bankroll."""


@dataclass(frozen=True)
class Flat:
    """Level stakes: the same amount on every bet, in units of the bankroll's currency.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> set(ov.backtest(signals, results, stake=ov.Flat(10))["stake"])
    {10.0}
    """

    amount: float = 10.0

    def __post_init__(self) -> None:
        _positive("amount", self.amount)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        return np.full(len(signals), float(self.amount)), np.zeros(len(signals))


@dataclass(frozen=True)
class Percentage:
    """The same share of the free bankroll on every bet.

    Examples
    --------
    >>> import overround as ov
    >>> signals = ov.datasets.example_signals()
    >>> amount, share = ov.Percentage(0.01).sizes(signals)
    >>> set(share.tolist())
    {0.01}
    """

    share: float = 0.01

    def __post_init__(self) -> None:
        _positive("share", self.share, most=1)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        return np.zeros(len(signals)), np.full(len(signals), float(self.share))


@dataclass(frozen=True)
class TargetProfit:
    """The stake that wins the same profit at any price, in the bankroll's currency and before commission.

    Examples
    --------
    >>> import overround as ov
    >>> signals = ov.datasets.example_signals()
    >>> amount, share = ov.betting.TargetProfit(10).sizes(signals)
    >>> bool((amount * (signals["price"] - 1)).round(9).eq(10).all())
    True
    """

    profit: float = 10.0

    def __post_init__(self) -> None:
        _positive("profit", self.profit)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        price = signals["price"].to_numpy(float)
        return self.profit / np.where(is_lay(signals["side"]), 1.0, price - 1), np.zeros(len(signals))


@dataclass(frozen=True)
class EdgeProportional:
    """`per_edge` x the edge as a share of the free bankroll, at most `cap`; no bet without an edge.

    At `per_edge=1.0` an edge of 3 % stakes 3 %.

    Examples
    --------
    >>> import overround as ov
    >>> signals = ov.datasets.example_signals()
    >>> amount, share = ov.betting.EdgeProportional(per_edge=0.5).sizes(signals)
    >>> bool((share <= 0.05).all())
    True
    """

    per_edge: float = 0.5
    cap: float = 0.05

    def __post_init__(self) -> None:
        _positive("per_edge", self.per_edge)
        _positive("cap", self.cap, most=1)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        edge = _known(signals, "edge", "EdgeProportional")
        return np.zeros(len(signals)), np.clip(self.per_edge * edge, 0, self.cap)


@dataclass(frozen=True)
class Kelly:
    """A fraction of the stake that maximises one bet's expected log wealth, at most `cap` of the bankroll.

    For a back bet at price o with probability p the full share put at risk is (p o - 1) / (o - 1); for a lay
    bet it is the liability, 1 - p o. In a backtest o is the price less commission. Source: Kelly (1956), Bell
    System Technical Journal 35, 917-926.

    Bets that are placed together are each sized as if alone, see `SimultaneousKelly`. With `shrink` the share
    is also multiplied by edge^2 / (edge^2 + edge_se^2), where the signals' column `edge_se` is the standard
    error of the edge (price x that of the probability): an uncertain edge deserves a smaller
    bet. Source: the approximation of Baker and McHale (2013), Decision Analysis 10, 189-199.

    Examples
    --------
    >>> import overround as ov
    >>> signals = ov.datasets.example_signals()
    >>> amount, share = ov.Kelly(fraction=0.25, cap=0.05).sizes(signals)
    >>> bool((share <= 0.05).all())
    True
    """

    fraction: float = 0.25
    cap: float = 0.05
    shrink: bool = False

    def __post_init__(self) -> None:
        _positive("fraction", self.fraction, most=1)
        _positive("cap", self.cap, most=1)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        from overround.betting.kernels import kelly_shares

        price, lay, net = signals["price"].to_numpy(float), is_lay(signals["side"]), _net_price(signals)
        factor = shrinkage(signals) if self.shrink else np.empty(0)
        share = kelly_shares(
            net, _known(signals, "probability", "Kelly"), lay, factor, self.fraction, self.cap
        )
        # a lay bet puts its liability at risk, which commission does not change
        return np.zeros(len(signals)), share * np.where(lay, (net - 1) / (price - 1), 1.0)


@dataclass(frozen=True)
class SimultaneousKelly:
    """A fraction of the stakes that together maximise expected log wealth, for all bets placed at one time.

    Outcomes of one market exclude each other, matches are independent. On one market the stakes are those of
    Smoczynski and Tomkins (2010), Mathematical Scientist 35, 10-17. On several markets with at most `exact`
    bets together the maximum is found by Newton's method over all their results; beyond, each market's own
    stakes are divided by 1 + the squared Sharpe ratios (edge over standard deviation, squared) of all other
    markets, which is the maximum of log wealth expanded to second order (the inverse of the second moments
    of independent bets, by the formula of Sherman and Morrison).

    Bets on different markets of one match depend on each other in ways that prices do not show: the stakes of
    a match are therefore divided by the number of its markets. Pushes count as neither win nor loss:
    `probability` is the chance of winning if the stake does not come back.

    With `shrink` as in `Kelly`; `cap` holds for each bet.

    Examples
    --------
    >>> import overround as ov
    >>> signals = ov.datasets.example_signals()
    >>> amount, share = ov.betting.SimultaneousKelly(fraction=0.25).sizes(signals)
    >>> bool((share <= 0.05).all())
    True
    """

    fraction: float = 0.25
    cap: float = 0.05
    shrink: bool = False
    exact: int = 6

    def __post_init__(self) -> None:
        _positive("fraction", self.fraction, most=1)
        _positive("cap", self.cap, most=1)
        if not 1 <= self.exact <= 10:
            raise ParameterError(
                f"exact is {self.exact}; it must be from 1 to 10 bets: every one more doubles the work."
            )

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        share = np.zeros(len(signals))
        if len(signals):
            share = self.fraction * together(signals, self.exact)
            if self.shrink:
                share *= shrinkage(signals)
        lay, price = is_lay(signals["side"]), signals["price"].to_numpy(float)
        # a lay bet puts its liability at risk
        return np.zeros(len(signals)), np.minimum(share, self.cap) / np.where(lay, price - 1, 1.0)


@dataclass(frozen=True)
class DrawdownControl:
    """Another rule on the part of the bankroll above a floor of `1 - most` of its peak.

    The rule sees free bankroll less floor as its bankroll, so that the bankroll never falls by more than
    `most` below its peak, even if every open bet is lost. Source: Grossman and Zhou (1993), Mathematical
    Finance 3, 241-276: in continuous time, of all rules that keep this promise, staking Kelly's share of the
    surplus grows fastest.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> rule = ov.betting.DrawdownControl(ov.Kelly(0.5), most=0.2)
    >>> ledger = ov.backtest(signals, results, stake=rule)
    >>> bool(ledger["bankroll"].min() >= 800)
    True
    """

    rule: Staking = field(default_factory=Kelly)
    most: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.most < 1:
            raise ParameterError(f"most is {self.most}; the largest drawdown is a share between 0 and 1.")

    @property
    def floor(self) -> float:
        """Share of the peak that is never staked."""
        return 1 - self.most

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the surplus for each signal."""
        return self.rule.sizes(signals)


class NamedRule(NamedTuple):
    """A staking rule by its name, as notebooks and sweeps give it."""

    make: Callable[..., Staking]  # from the stake, and where there is a cap from that, too
    usual: float | None = 0.25  # the stake where none is given; None: a hundredth of the bankroll
    capped: bool = True
    controlled: bool = False  # by a largest drawdown


RULES = {
    "flat": NamedRule(Flat, None, capped=False),
    "percentage": NamedRule(Percentage, 0.01, capped=False),
    "target": NamedRule(TargetProfit, None, capped=False),
    "edge": NamedRule(EdgeProportional, 0.5),
    "kelly": NamedRule(Kelly),
    "kelly-shrunk": NamedRule(partial(Kelly, shrink=True)),
    "kelly-joint": NamedRule(SimultaneousKelly),
    "kelly-joint-shrunk": NamedRule(partial(SimultaneousKelly, shrink=True)),
    "kelly-drawdown": NamedRule(Kelly, controlled=True),
}
# rules that size a bet without looking at the others: a sweep asks them once for all its variants
ONE_BY_ONE = (Flat, Percentage, TargetProfit, EdgeProportional, Kelly)


def sizes_one_by_one(rule: Staking) -> bool:
    """Whether a rule is one of `ONE_BY_ONE`, or a drawdown control of such a rule."""
    return type(rule) in ONE_BY_ONE or (type(rule) is DrawdownControl and sizes_one_by_one(rule.rule))


def named_rule(kind: str) -> NamedRule:
    """The entry of `RULES`."""
    if kind not in RULES:
        raise ParameterError(f"staking {kind!r} is unknown; the rules are {', '.join(RULES)}.")
    return RULES[kind]


def staking_rule(kind: str, stake: float, cap: float = 0.05, drawdown: float = 0.2) -> Staking:
    """The rule of a name.

    Parameters
    ----------
    kind : str
        flat (`stake` in money), percentage (`stake` as a share), target (`stake` is the profit of a win),
        edge (`stake` x the edge as a share, at most `cap`), or a Kelly rule (`stake` as the fraction, at most
        `cap`): kelly, kelly-shrunk, kelly-joint, kelly-joint-shrunk, kelly-drawdown (never more than
        `drawdown` below the peak).
    stake, cap, drawdown : float
        As the rule reads them.

    Examples
    --------
    >>> import overround as ov
    >>> ov.staking_rule("kelly", 0.25)
    Kelly(fraction=0.25, cap=0.05, shrink=False)
    """
    named = named_rule(kind)
    rule = named.make(stake, cap) if named.capped else named.make(stake)
    return DrawdownControl(rule, drawdown) if named.controlled else rule


def shrinkage(signals: pd.DataFrame) -> Floats:
    """Factor by which Kelly's stake shrinks for the uncertainty of the edge, from 0 to 1; see `Kelly`."""
    edge, error = _known(signals, "edge", "Shrunk Kelly"), _known(signals, "edge_se", "Shrunk Kelly")
    if (error < 0).any():
        raise ParameterError("edge_se is a standard error: it cannot be below 0.")
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(edge**2 / (edge**2 + error**2))


def together(signals: pd.DataFrame, exact: int = 6) -> Floats:
    """Share of the bankroll at risk in each bet that maximises expected log wealth; see `SimultaneousKelly`.

    Bets are simultaneous if `placed_at` is equal and they draw on one purse (`purse`, a column that the
    backtest adds).
    """
    from overround.betting.staking_kernels import joint_stakes

    price, probability = _net_price(signals), _known(signals, "probability", "Kelly")
    keys = ("placed_at", "purse") if "purse" in signals else ("placed_at",)
    moment, _ = group_codes(signals, keys)
    match, _ = group_codes(signals.assign(moment=moment), ("moment", "event_id"))
    of_market, _ = group_codes(
        signals.assign(match=match, market=one_market(signals["market"])), ("match", "market", "line")
    )
    outcome, _ = group_codes(signals, ("outcome",))
    order = np.lexsort((outcome, of_market, match, moment))
    markets_of_match = np.bincount(
        match[np.unique(of_market, return_index=True)[1]], minlength=match.max() + 1
    )
    share = np.empty(len(signals))
    share[order] = joint_stakes(
        moment[order],
        of_market[order],
        outcome[order],
        price[order],
        probability[order],
        is_lay(signals["side"])[order],
        exact,
    )
    return share / markets_of_match[match]


def _net_price(signals: pd.DataFrame) -> Floats:
    """Prices less commission, where the backtest says how much that is (`fee`, a column that it adds)."""
    price = signals["price"].to_numpy(float)
    if "fee" not in signals:
        return price
    kept = 1 - signals["fee"].to_numpy(float)
    return net_price(price, np.where(is_lay(signals["side"]), 1 / kept, kept))


def _known(signals: pd.DataFrame, column: str, rule: str) -> Floats:
    values = signals[column].to_numpy(float) if column in signals else np.full(max(len(signals), 1), np.nan)
    if np.isnan(values).any():
        raise ParameterError(
            f"{rule} staking needs {_ARTICLE[column]} for every bet; these signals have none: "
            "use Flat or Percentage."
        )
    return values


_ARTICLE = {
    "probability": "a probability",
    "edge": "an edge",
    "edge_se": "the standard error of the edge (column edge_se)",
}


def _positive(name: str, value: float, most: float = np.inf) -> None:
    if not 0 < value <= most:
        raise ParameterError(
            f"{name} is {value}; it must be above 0{'' if most == np.inf else f' and at most {most}'}."
        )
