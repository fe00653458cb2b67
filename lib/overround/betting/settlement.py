"""How bets end: the rules of whole, half and quarter lines, and when they are settled. Nothing here knows a stake."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.betting.text_columns import coded
from overround.times import Times, microseconds

# a football match with its interval and added time
MATCH = pd.Timedelta(hours=2)
RESULTS = (
    "lost",
    "half_lost",
    "push",
    "half_won",
    "won",
    "void",
)  # the order of the codes of `kernels.payoffs`
_US = pd.Timedelta(microseconds=1)
# words, and what each is among the codes of `kernels`: H2H, TOTALS, SPREADS; FIRST, DRAW, LAST; the last code
# is that of any other word
_KINDS, _KIND = ("h2h", "totals", "spreads", "h2h_lay"), np.array([0, 1, 2, 0, 2], np.int8)
_PICKED, _PICK = ("home", "draw", "away", "over", "under"), np.array([0, 1, 2, 0, 2, 2], np.int8)


def settle(
    market: pd.Series,
    line: pd.Series,
    outcome: pd.Series,
    home_score: pd.Series | Floats,
    away_score: pd.Series | Floats,
) -> Floats:
    """How each selection ended: 1 won, 0.5 half won, 0 push, -0.5 half lost, -1 lost, NaN without a score.

    Whole lines push on equality, quarter lines are two half bets on the lines beside them (Asian handicap
    rules). `line` is the total's line, or the home team's handicap.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> market, outcome = pd.Series(["h2h", "totals", "spreads"]), pd.Series(["home", "over", "home"])
    >>> line = pd.Series([float("nan"), 2.75, -0.25])
    >>> ov.betting.settle(market, line, outcome, [2, 2, 1], [1, 1, 1]).tolist()
    [1.0, 0.5, -0.5]
    """
    from overround.betting.kernels import settled_selections

    home, away = (np.asarray(score, float) for score in (home_score, away_score))
    return settled_selections(kinds(market), picks(outcome), line.to_numpy(float), home, away)


def kinds(market: pd.Series) -> NDArray[np.int8]:
    """Code of each market: 0 h2h, 1 totals, 2 spreads."""
    return coded(market, _KINDS, _KIND)


def picks(outcome: pd.Series) -> NDArray[np.int8]:
    """Code of each outcome: 0 home and over, 1 draw, 2 away and under."""
    return coded(outcome, _PICKED, _PICK)


def is_lay(side: pd.Series) -> NDArray[np.bool_]:
    """Whether each bet is a lay bet."""
    return coded(side, ("lay",)) == 0


def settlement_times(starts_at: pd.Series, told: Times) -> Times:
    """When each bet is settled: when the provider says so, or two hours after kick-off, or at the end of a day without a time."""
    from overround.betting import kernels

    return kernels.settlement_times(microseconds(starts_at), told, MATCH // _US)
