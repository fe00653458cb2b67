"""What a sport says of its match odds where a bookmaker's outcomes are not known, and which score counts."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.grouping import codes_and_words, is_constant

# sport -> outcomes of its match odds: with a draw, or without one, where a tie gives the stake back. Sports
# whose bookmakers differ (ice hockey, rugby, cricket ...) are not here
WAYS = {
    "soccer": 3,
    "americanfootball": 2,
    "baseball": 2,
    "basketball": 2,
    "boxing": 2,
    "mma": 2,
    "tennis": 2,
}
# largest win that overtime can have made, where a sport has such a rule: one goal ends it
LARGEST_WIN = {"icehockey": 1}
# codes of leagues at football-data.co.uk
_SOCCER_LEAGUES = re.compile(
    "E[0-3C]|SC[0-3]|(D|I|SP|F)[12]|[NBPTG]1|ARG|AUT|BRA|CHN|DNK|FIN|IRL|JPN|MEX|NOR|POL|ROU|RUS|SWE|SWZ|USA"
)
Ways = NDArray[np.int8]


def sport(word: str) -> str:
    """The sport of a competition or sport as sources write it, such as baseball of "baseball_mlb"."""
    if _SOCCER_LEAGUES.fullmatch(word):
        return "soccer"
    return word.lower().split("_")[0].replace(" ", "").replace("-", "")


def stated_ways(bets: pd.DataFrame) -> Ways | None:
    """What the column `ways` says of each bet, 0 where nothing; None where there is none.

    Raises
    ------
    ParameterError
        Numbers other than 2 and 3.
    """
    if "ways" not in bets:
        return None
    given = bets["ways"].to_numpy(float, na_value=np.nan)
    ways = np.nan_to_num(given)
    wrong = (ways != 0) & (ways != 2) & (ways != 3) | (given == 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise ParameterError(
            f"row {bets.index[row]}: ways is {given[row]:g}; match odds have 2 outcomes, or 3 with a draw."
        )
    return ways.astype(np.int8)


def usual_ways(bets: pd.DataFrame) -> Ways:
    """What the sport of each bet says, 0 where it says nothing.

    The sport is in the column `sport`, and where that is missing the competition names it.
    """
    return _by_sport(bets, WAYS, 0).astype(np.int8)


def best_known_ways(bets: pd.DataFrame) -> Ways:
    """What the column `ways` says of each bet, and where it says nothing its sport; a draw is one of 3."""
    stated, ways = stated_ways(bets), usual_ways(bets)
    if (ways == 2).any():
        ways = np.where((ways == 2) & (bets["outcome"] == "draw").to_numpy(bool), np.int8(3), ways)
    return ways if stated is None else np.where(stated == 0, ways, stated)


def _by_sport(bets: pd.DataFrame, numbers: Mapping[str, float], other: float) -> NDArray[Any]:
    found = np.full(len(bets), other)
    for name in ("competition", "sport"):
        if name in bets:
            codes, words = _words(bets[name])
            named = np.array([isinstance(word, str) and word != "" for word in words] + [False])
            of_word = [numbers.get(sport(str(word)), other) for word in words]
            found = np.where(named[codes], np.array([*of_word, other])[codes], found)
    return found


def _words(values: pd.Series) -> tuple[NDArray[np.signedinteger], pd.Index]:
    if is_constant(values):
        return np.zeros(len(values), np.int8), pd.Index(values.iloc[:1])
    return codes_and_words(values)


def ways_at_ties(bets: pd.DataFrame, rows: Whole) -> Ways:
    """Ways of the bets in some rows, of match odds that ended in a tie and do not say how many they have.

    They have three where the same bookmaker's draw on that match is bet too; else the sport says it.

    Raises
    ------
    ParameterError
        For the first bet whose sport does not say it either.
    """
    needed = ("event_id", "bookmaker", "outcome", "competition", "sport")
    tied = bets[[name for name in needed if name in bets]].take(rows)
    ways = usual_ways(tied)
    if (ways == 0).any():
        drawn = bets.loc[(bets["outcome"] == "draw").to_numpy(), ["event_id", "bookmaker"]]
        offered = pd.MultiIndex.from_frame(drawn.astype("str"))
        asked = pd.MultiIndex.from_frame(tied[["event_id", "bookmaker"]].astype("str"))
        ways = np.where((ways == 0) & asked.isin(offered), np.int8(3), ways)
    unknown = ways == 0
    if unknown.any():
        bet = tied.iloc[int(unknown.argmax())]
        raise ParameterError(
            f"row {bet.name}: the bet on {bet['outcome']!r} of {bet['event_id']} ended in a tie, and it is "
            "not known whether its bookmaker offered a draw: give the column 'ways' (2: the stake comes "
            f"back, 3: it is lost), or a 'sport' that says it ({', '.join(WAYS)})."
        )
    return ways


def undecided(bets: pd.DataFrame, ways: Ways, difference: Floats, overtime: Floats) -> NDArray[np.bool_]:
    """Which bets on match odds the recorded score does not decide.

    Three ways are settled after regulation time: a win in a score with overtime may have been a draw then.
    Two ways are settled after overtime: a tie in a score without it is not the end where a sport has some.

    Parameters
    ----------
    bets : DataFrame
        With `competition` or `sport`.
    ways : ndarray of int8, shape (n,)
        Of match odds, as far as they are known; 0 for other bets.
    difference, overtime : ndarray, shape (n,)
        Score of home less that of away, and whether the score contains overtime: 1, 0, or NaN if not known.
    """
    largest = _by_sport(bets, LARGEST_WIN, np.inf)
    has_overtime = _by_sport(bets, {word: 1 for word in WAYS if WAYS[word] == 2} | LARGEST_WIN, 0) > 0
    won = np.abs(difference)
    three = (ways == 3) & (overtime == 1) & (won > 0) & (won <= largest)
    return three | ((ways == 2) & (overtime == 0) & (won == 0) & has_overtime)
