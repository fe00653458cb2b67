"""How bets end, by the rules of whole, half and quarter lines, and when they are settled."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.betting.sports import stated_ways
from overround.errors import ParameterError
from overround.grouping import codes_and_words, mapped
from overround.schema import OUTCOMES
from overround.times import Times

# a football match with its interval and added time
MATCH = pd.Timedelta(hours=2)
# result -> how a bet ended, in the order of the codes of `kernels.payoffs`
ENDED = {"lost": -1.0, "half_lost": -0.5, "push": 0.0, "half_won": 0.5, "won": 1.0, "void": np.nan}
RESULTS = tuple(ENDED)
_US = pd.Timedelta(microseconds=1)
# the code of each market in `kernels`: H2H (of two ways: TWO_WAYS), TOTALS, SPREADS
_KINDS = {"h2h": 0, "totals": 1, "spreads": 2, "h2h_lay": 0}
_WORDS = {"home": 0, "draw": 1, "away": 2, "over": 4, "under": 6}  # last two bits: FIRST, DRAW, LAST


def settle(
    market: pd.Series,
    line: pd.Series,
    outcome: pd.Series,
    home_score: pd.Series | Floats,
    away_score: pd.Series | Floats,
    ways: pd.Series | None = None,
) -> Floats:
    """How each selection ended: 1 won, 0.5 half won, 0 push, -0.5 half lost, -1 lost, NaN without a score.

    Whole lines push on equality, quarter lines are two half bets on the lines beside them (Asian handicap
    rules). `line` is the total's line, or the home team's handicap. `ways` is how many outcomes the match
    odds have: in two a tie is a push, in three the draw wins.

    Raises
    ------
    ParameterError
        A market or outcome that is unknown, an outcome of another market, a total or spread without a line, a
        tie in match odds whose ways are not given.

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
    said = np.zeros(len(market), np.int8) if ways is None else stated_ways(pd.DataFrame({"ways": ways}))
    kind, pick, lines = selections(market, line, outcome, said)
    tied = (kind == 0) & (pick != 1) & (home == away) & (said == 0)
    if tied.any():
        row = int(tied.argmax())
        raise ParameterError(
            f"row {market.index[row]}: {outcome.iloc[row]!r} of {market.iloc[row]} ended in a tie; `ways` "
            "says whether a draw was offered: 2 (the stake comes back) or 3 (it is lost)."
        )
    return settled_selections(kind, pick, lines, home, away)


def selections(
    market: pd.Series, line: pd.Series, outcome: pd.Series, ways: NDArray[np.int8] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.int8], Floats]:
    """Codes of each market and outcome, as the compiled loops take them, and the lines.

    Match odds of two ways (`ways`; 0 is not known) are a market of their own.

    Raises
    ------
    ParameterError
        A market or outcome that is unknown, an outcome of another market, a total or spread without a line, a
        draw of two ways.
    """
    kind, word, lines = mapped(market, _KINDS), mapped(outcome, _WORDS), line.to_numpy(float)
    wrong = (kind < 0) | (word < 0) | ((word > 2) != (kind == 1)) | ((kind == 2) & (word == 1))
    if wrong.any():
        row = int(wrong.argmax())
        at, name, selected = market.index[row], market.iloc[row], outcome.iloc[row]
        if kind[row] < 0:
            raise ParameterError(
                f"row {at}: bets on the market {name!r} cannot be settled; these can: {', '.join(_KINDS)}."
            )
        allowed = ", ".join(OUTCOMES[name])
        raise ParameterError(
            f"row {at}: {selected!r} is not an outcome of {name}; its outcomes are {allowed}."
        )
    if ways is not None and (two := (kind == 0) & (ways == 2)).any():
        if (drawn := two & (word == 1)).any():
            at = market.index[int(drawn.argmax())]
            raise ParameterError(f"row {at}: a bet on 'draw' has 2 ways; match odds with a draw have 3.")
        kind, lines = np.where(two, np.int8(3), kind), np.where(two, 0.0, lines)
    if kind.any():
        missing = (kind > 0) & ~np.isfinite(lines)
        if missing.any():
            row = int(missing.argmax())
            at, name, selected = market.index[row], market.iloc[row], outcome.iloc[row]
            raise ParameterError(f"row {at}: a bet on {selected!r} of {name} has no line, which decides it.")
    return kind, word & 3, lines


def one_market(market: pd.Series) -> NDArray[np.int64]:
    """Number of each market; the prices to back and to lay a match's outcomes are those of one."""
    codes, words = codes_and_words(market)
    return pd.factorize(words.where(words != "h2h_lay", "h2h"))[0][codes]


def is_lay(side: pd.Series) -> NDArray[np.bool_]:
    """Whether each bet is a lay bet; a side that is neither back nor lay is refused."""
    found = mapped(side, {"back": 0, "lay": 1})
    if (found < 0).any():
        raise ParameterError(f"side {side[found < 0].iloc[0]!r} is unknown; allowed: back, lay.")
    return found == 1


def how_ended(result: pd.Series) -> Floats:
    """How each bet of a ledger ended, from its result; a word that is no result of ours is refused."""
    found = mapped(result, {word: code for code, word in enumerate(ENDED)})
    if (found < 0).any():
        word, allowed = result[found < 0].iloc[0], ", ".join(ENDED)
        raise ParameterError(f"result {word!r} is unknown; allowed: {allowed}.")
    return np.array(list(ENDED.values())).take(found)


def settlement_times(
    starts_at: Times, settled_at: Times, time_known: NDArray[np.bool_] | None = None
) -> Times:
    """Time of settlement: as the provider says, else two hours after kick-off.

    Where `time_known` is false, only the day is known, which begins at `starts_at`: it is settled at its end.
    """
    from overround.betting import kernels

    known = np.empty(0, bool) if time_known is None else time_known
    return kernels.settlement_times(starts_at, settled_at, known, MATCH // _US)
