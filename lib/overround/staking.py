"""How much to bet: each rule is a frozen dataclass whose `sizes` gives a fixed amount and a share of the free bankroll for every bet."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError
from overround.words import coded

Floats = NDArray[np.float64]


class Staking(Protocol):
    """What the backtest asks of a staking rule."""

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal; the stake is amount + share x free bankroll."""


@dataclass(frozen=True)
class Flat:
    """The same amount on every bet, in units of the bankroll's currency."""

    amount: float = 10.0

    def __post_init__(self) -> None:
        _positive("amount", self.amount)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        return np.full(len(signals), float(self.amount)), np.zeros(len(signals))


@dataclass(frozen=True)
class Percentage:
    """The same share of the free bankroll on every bet."""

    share: float = 0.01

    def __post_init__(self) -> None:
        _positive("share", self.share, most=1)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        return np.zeros(len(signals)), np.full(len(signals), float(self.share))


@dataclass(frozen=True)
class Kelly:
    """A fraction of the stake that maximises expected log wealth for one bet, at most `cap` of the free bankroll.

    For a back bet at price o with probability p the full share put at risk is (p o - 1) / (o - 1); for a lay bet it is the
    liability, 1 - p o. Source: Kelly (1956), Bell System Technical Journal 35, 917-926.
    """

    fraction: float = 0.25
    cap: float = 0.05

    def __post_init__(self) -> None:
        _positive("fraction", self.fraction, most=1)
        _positive("cap", self.cap, most=1)

    def sizes(self, signals: pd.DataFrame) -> tuple[Floats, Floats]:
        """Fixed amount and share of the free bankroll for each signal."""
        from overround.kernels import kelly_shares

        price, probability = signals["price"].to_numpy(float), signals["probability"].to_numpy(float)
        if np.isnan(probability).any():
            raise ParameterError("Kelly staking needs a probability for every bet; these signals have none: use Flat or Percentage.")
        lay = coded(signals["side"], ("lay",)) == 0
        return np.zeros(len(signals)), kelly_shares(price, probability, lay, np.empty(0), self.fraction, self.cap)


def staking_rule(kind: str, stake: float, cap: float = 0.05) -> Staking:
    """The rule of a name: flat (`stake` in money), percentage (`stake` as a share) or kelly (`stake` as the fraction, at most `cap`)."""
    rules: dict[str, Callable[[], Staking]] = {
        "flat": lambda: Flat(stake), "percentage": lambda: Percentage(stake), "kelly": lambda: Kelly(stake, cap)
    }  # fmt: skip
    if kind not in rules:
        raise ParameterError(f"staking {kind!r} is unknown; the rules are {', '.join(rules)}.")
    return rules[kind]()


def _positive(name: str, value: float, most: float = np.inf) -> None:
    if not 0 < value <= most:
        raise ParameterError(f"{name} is {value}; it must be above 0{'' if most == np.inf else f' and at most {most}'}.")
