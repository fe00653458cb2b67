"""What a sweep found: figures of all variants, their profits by match day, and the ledger of any of them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError
from overround.sweeps.bets import Bets, ledger_of
from overround.sweeps.space import label
from overround.times import Times


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    table : DataFrame
        Index variant; the parameters, and the figures that `sweep` lists.
    varied : list of str
        Parameters with several values.
    days : DatetimeIndex
        Match days on which any variant could bet.
    profit, staked : ndarray, shape (variants, days)
        Of each match day, as float32.
    known_at, placed_from : ndarray, shape (days,)
        When the last bet of each day was settled and when the first was placed, in microseconds since 1970.
    bankroll : float
        Of each variant, at the start.
    bets, of_group
        The candidate bets of each group of variants, and the number of each variant's group.
    key : str
        Digest of parameters, data and library.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> isinstance(swept, ov.sweeps.Sweep), len(swept.ledger(0)), swept.tried, swept.varied
    (True, 145, 3, ['min_edge'])
    """

    table: pd.DataFrame
    varied: list[str]
    days: pd.DatetimeIndex
    profit: NDArray[np.float32]
    staked: NDArray[np.float32]
    known_at: Times
    placed_from: Times
    bankroll: float
    bets: dict[int, Bets]
    of_group: NDArray[np.int64]
    key: str

    @property
    def tried(self) -> int:
        """Number of variants that were tried, including those that never bet."""
        return len(self.table)

    @cached_property
    def labels(self) -> pd.Series:
        """Each variant in words."""
        return pd.Series([label(row, self.varied) for row in self.table.to_dict("records")], self.table.index)

    def ledger(self, variant: int) -> pd.DataFrame:
        """The whole ledger of one variant, as `backtest` makes it; ParameterError for an unknown number."""
        if variant not in self.table.index:
            raise ParameterError(
                f"there is no variant {variant!r}; they are numbered from 0 to {self.tried - 1}."
            )
        place = self.table.index.get_loc(variant)
        row = self.table.loc[variant].to_dict()
        return ledger_of(self.bets[int(self.of_group[place])], row, self.bankroll, self.labels[variant])
