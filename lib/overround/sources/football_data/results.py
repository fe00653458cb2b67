"""How the matches of a file of football-data.co.uk ended: scores, and words that say there is none."""

import re
from typing import Any

import numpy as np
import pandas as pd

from overround.sources.football_data.odds_columns import Aside, put_aside

# words beside a score, or in its place, of a match that did not end as played; the first that is found counts
_UNPLAYED = {
    "awarded": r"\b(awd|aw|awarded?|w/?o|ff|ft[wl])\b|walk.?over|forfeit",
    "abandoned": r"\b(abd|abn|aban|susp|int|void|ann|canc?|cxl)\b|abandon|suspend|annul|cancel|interrupt",
    "postponed": r"\b(p.?p|post?|ppd)\b|postpone|not.played|resched",
}
_AS_PLAYED = re.compile("|ft|aet|pen|played|completed?|finished|final|result|full.?time", re.IGNORECASE)


def unplayed(of: dict[str, pd.Series], aside: list[Aside]) -> pd.Series:
    """What became of each match that did not end as played, as a status of events; otherwise empty."""
    found = pd.Series("", of["winner"].index)
    for field in ("winner", "home_goals", "away_goals", "comment"):
        words = {text: _status_of(text) for text in of[field].unique()}
        for status in filter(None, dict.fromkeys(words.values())):
            hit = (of[field].map(words) == status) & (found == "")
            put_aside(aside, of[field], hit, f"the match was {status}: the score is not taken")
            found[hit] = status
    strange = [text for text in of["comment"].unique() if not _AS_PLAYED.fullmatch(text)]
    not_understood = of["comment"].isin(strange) & (found == "")
    put_aside(aside, of["comment"], not_understood, "a comment that is not understood; the score is taken")
    return found


def _status_of(text: str) -> str:
    found = (status for status, words in _UNPLAYED.items() if re.search(words, text, re.IGNORECASE))
    return next(found, "")


def read_scores(of: dict[str, pd.Series], ended_early: pd.Series, aside: list[Aside]) -> dict[str, Any]:
    """Columns home_score, away_score and status of `results`; no score where a match was not played."""
    goals = {}
    for side in ("home", "away"):
        text = of[f"{side}_goals"]
        number = pd.to_numeric(text, errors="coerce")
        usable = (number >= 0) & (number % 1 == 0) & (number < 100)
        put_aside(aside, text, ~usable & (text != "") & ~ended_early, "not a score")
        goals[f"{side}_score"] = number.where(usable)
    difference = (goals["home_score"] - goals["away_score"]).clip(-1, 1)
    says = of["winner"].map({"H": 1.0, "D": 0.0, "A": -1.0}).astype(float)
    other = says.isna() & (of["winner"] != "") & ~ended_early
    put_aside(aside, of["winner"], other, "not a result; H, D or A is expected; the score is not taken")
    contradicts = difference.notna() & says.notna() & (difference != says)
    put_aside(aside, of["winner"], contradicts, "contradicts the score; neither is taken")
    final = difference.notna() & ~contradicts & ~other & ~ended_early
    scores = {column: number.where(final).astype("Int32") for column, number in goals.items()}
    return {**scores, "status": np.where(final, "final", "unknown")}
