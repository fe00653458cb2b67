"""How bets end, by the rules of whole, half and quarter lines, and when they are settled."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.grouping import codes_and_words, mapped
from overround.times import Times

# a football match with its interval and added time
MATCH = pd.Timedelta(hours=2)
# result -> how a bet ended, in the order of the codes of `kernels.payoffs`
ENDED = {"lost": -1.0, "half_lost": -0.5, "push": 0.0, "half_won": 0.5, "won": 1.0, "void": np.nan}
RESULTS = tuple(ENDED)
_US = pd.Timedelta(microseconds=1)
# the code of each word in `kernels`: H2H, TOTALS, SPREADS; FIRST, DRAW, LAST
_KINDS = {"h2h": 0, "totals": 1, "spreads": 2, "h2h_lay": 0}
_PICKS = {"home": 0, "draw": 1, "away": 2, "over": 0, "under": 2}


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
    return mapped(market, _KINDS, 2)


def picks(outcome: pd.Series) -> NDArray[np.int8]:
    """Code of each outcome: 0 home and over, 1 draw, 2 away and under."""
    return mapped(outcome, _PICKS, 2)


def one_market(market: pd.Series) -> NDArray[np.int64]:
    """Number of each market; the prices to back and to lay a match's outcomes are those of one."""
    codes, words = codes_and_words(market)
    return pd.factorize(words.where(words != "h2h_lay", "h2h"))[0][codes]


def is_lay(side: pd.Series) -> NDArray[np.bool_]:
    """Whether each bet is a lay bet."""
    return mapped(side, {"lay": 1}, 0) == 1


def settlement_times(starts_at: Times, settled_at: Times) -> Times:
    """Time of settlement: as the provider says, else two hours after kick-off or at the end of the day."""
    from overround.betting import kernels

    return kernels.settlement_times(starts_at, settled_at, MATCH // _US)
