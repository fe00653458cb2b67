"""Which match of a new file is which stored match, where a provider corrected names, dates or sides.

Pure functions over tables of matches: event_id, season, day, home, away, home_score, away_score (NaN where
there is none). Nothing here reads or stores.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

# days by which a provider corrects the date of a match that was played; no two teams meet twice at one ground
# within them
DAYS = 3
# a price that was corrected is still near; another match's price is not
_NEAR, _EQUAL = 0.1, 1e-9
PRICE_OF = ["bookmaker", "market", "outcome", "phase", "line"]
# quotes of the new matches and of the stored ones with these places
Prices = Callable[[pd.DataFrame], tuple[pd.DataFrame, pd.DataFrame]]


@dataclass
class Pairs:
    """Stored match of each match of a file, and the renamings that followed from them.

    Attributes
    ----------
    stored : dict of int
        Place of a match in the file -> place of the stored match; each occurs once.
    swapped : set of int
        Places in the file of those whose home and away are the other way round.
    renamed : dict of str
        Old name of a team -> new name.
    """

    stored: dict[int, int] = field(default_factory=dict)
    swapped: set[int] = field(default_factory=set)
    renamed: dict[str, str] = field(default_factory=dict)


def pair(found: pd.DataFrame, stored: pd.DataFrame, aliases: Mapping[str, str], prices: Prices) -> Pairs:
    """Pair the matches of a file with stored ones, each with at most one.

    First those whose date and teams are the same, then those whose teams mean the same by an alias. Of the
    rest the surest kind of evidence (`_levels`) comes first, and only pairs of which neither match has a
    second candidate are taken. A team that got another name in all its pairs, and whose old name the file no
    longer has, was renamed: its other matches are then looked for under the new name.

    Parameters
    ----------
    found, stored : DataFrame
        Matches of one competition, with places as index.
    aliases : mapping
        Name of a team -> another name of it.
    prices : callable
        Given the columns found and stored of candidate pairs, returns the quotes of both.
    """
    pairs = Pairs()
    names = dict(aliases)
    for canonical in (False, True):
        _take_same(pairs, found, stored, names if canonical else {})
    while True:
        left, old = found[~found.index.isin(pairs.stored)], stored[~stored.index.isin(pairs.stored.values())]
        if left.empty or old.empty:
            return pairs
        taken = _take_surest(pairs, candidates(left, old, names, prices))
        renamed = _renamed(taken, found, stored, names)
        pairs.renamed |= renamed
        names |= renamed
        if not len(taken):
            return pairs
        _take_same(pairs, found, stored, names)


def repeated(
    found: pd.DataFrame, stored: pd.DataFrame, aliases: Mapping[str, str], prices: Prices
) -> tuple[dict[int, tuple[int, bool]], dict[str, str]]:
    """Stored matches that are one of the file's under another name or date, which is stored as well.

    Returns
    -------
    same : dict
        Place of the stored match -> place in the file, and whether its home and away are the other way round.
    renamed : dict
        As in `Pairs`.
    """
    same: dict[int, tuple[int, bool]] = {}
    renamed: dict[str, str] = {}
    while True:
        left = stored[~stored.index.isin(same)]
        if found.empty or left.empty:
            return same, renamed
        some = candidates(found, left, {**aliases, **renamed}, prices)
        some = some[some["level"].isin((1, 2, 3, 4)) & (some["is_known"] | (some["teams"] == 2))]
        surest = some[some["level"] == some.groupby("stored")["level"].transform("min")]
        sure = surest[~surest["stored"].duplicated(keep=False)]
        ways = zip(sure["found"].tolist(), sure["swapped"].tolist(), strict=True)
        same |= dict(zip(sure["stored"].tolist(), ways, strict=True))
        more = _renamed(sure, found, stored, {**aliases, **renamed})
        if not more:
            return same, renamed
        renamed |= more


def candidates(
    found: pd.DataFrame, stored: pd.DataFrame, aliases: Mapping[str, str], prices: Prices
) -> pd.DataFrame:
    """Pairs that may be one match: found, stored, swapped, teams in common, is_known, level (1: surest)."""
    new, old = _keyed(found, aliases), _keyed(stored, aliases)
    old = old.rename(columns=lambda name: name if name == "season" else f"{name}_old")
    ways = (("day", "day"), ("h", "h"), ("a", "a"), ("h", "a"), ("a", "h"))
    both = pd.concat(
        [
            new.merge(old, left_on=["season", ours], right_on=["season", f"{theirs}_old"])
            for ours, theirs in ways
        ],
        ignore_index=True,
    )
    both = both.drop_duplicates(["place", "place_old"])
    straight = (both["h"] == both["h_old"]).astype(int) + (both["a"] == both["a_old"])
    crossed = (both["h"] == both["a_old"]).astype(int) + (both["a"] == both["h_old"])
    both["swapped"] = crossed > straight
    both["teams"] = np.maximum(straight, crossed)
    both["days"] = (both["day"] - both["day_old"]).dt.days.abs()
    both = both[(both["days"] <= DAYS) | (both["teams"] == 2)].reset_index(drop=True)
    pairs = both.rename(columns={"place": "found", "place_old": "stored"})
    pairs = pairs.assign(**_scores(pairs))
    pairs = pairs.assign(**_price_evidence(pairs, *prices(pairs)))
    return pairs.assign(level=_levels(pairs))[lambda rows: rows["level"] > 0]


def _levels(pairs: pd.DataFrame) -> np.ndarray:
    """How sure each pair is: 1 is surest, 0 none at all.

    1: both teams, within `DAYS`. 2: both teams with the sides swapped, within a day. 3: one team in its place
    on the same day. In 1 and 3, scores may differ only where all prices are equal, and prices only where the
    scores are equal. 4: one team within `DAYS`, equal scores and nine in ten prices equal. 5: both teams on
    any day of the season, the stored match without a score (it was put off), or equal scores and no other
    prices (day and month were exchanged). 6: the same day and equal scores with at least three prices, all
    equal (both clubs were renamed), or with a team on the other side and near prices.
    """
    teams, days, swapped = pairs["teams"], pairs["days"], pairs["swapped"]
    same, differs = pairs["same_score"], pairs["other_score"]
    near, far, equal = pairs["near"], pairs["far"], pairs["equal"]
    agrees = (~differs | equal) & (~far | same)
    open_before = ~pairs["had_score"]
    rules = (
        (teams == 2) & ~swapped & (days <= DAYS) & agrees,
        (teams == 2) & swapped & (days <= 1),
        (teams == 1) & ~swapped & (days == 0) & agrees,
        (teams == 1) & ~swapped & (days <= DAYS) & same & pairs["mostly"],
        (teams == 2) & ~swapped & (open_before | (same & ~far)),
        (days == 0) & same & (equal & (pairs["common"] >= 3) | (teams == 1) & near),
    )
    return np.select(rules, range(1, len(rules) + 1), 0)


def _take_same(pairs: Pairs, found: pd.DataFrame, stored: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Take the matches of the same day and teams, where there is one of each."""
    new = _keyed(found[~found.index.isin(pairs.stored)], names)
    old = _keyed(stored[~stored.index.isin(pairs.stored.values())], names)
    key = ["day", "h", "a"]
    both = new.drop_duplicates(key, keep=False).merge(
        old.drop_duplicates(key, keep=False), on=key, suffixes=("", "_old")
    )
    pairs.stored |= dict(zip(both["place"].tolist(), both["place_old"].tolist(), strict=True))


def _take_surest(pairs: Pairs, some: pd.DataFrame) -> pd.DataFrame:
    """Take the unambiguous pairs, the surest level first; returns them."""
    taken = []
    for level in sorted(some["level"].unique()):
        here = some[some["level"] == level]
        here = here[~here["found"].isin(pairs.stored) & ~here["stored"].isin(pairs.stored.values())]
        sure = here[~here["found"].duplicated(keep=False) & ~here["stored"].duplicated(keep=False)]
        pairs.stored |= dict(zip(sure["found"].tolist(), sure["stored"].tolist(), strict=True))
        pairs.swapped |= set(sure.loc[sure["swapped"], "found"].tolist())
        taken.append(sure)
    return pd.concat(taken) if taken else some.head(0)


def _renamed(
    taken: pd.DataFrame, found: pd.DataFrame, stored: pd.DataFrame, aliases: Mapping[str, str]
) -> dict[str, str]:
    """Old name -> new name of the teams that got one and the same new name in all pairs."""
    one = taken[(taken["teams"] == 1) & ~taken["swapped"]]
    votes: dict[str, set[str]] = {}
    for side in ("home", "away"):
        before, after = stored.loc[one["stored"], side], found.loc[one["found"], side]
        for old, new in zip(before, after, strict=True):
            if resolve(aliases, old) != resolve(aliases, new):
                votes.setdefault(old, set()).add(new)
    still = {*found["home"], *found["away"]}
    return {old: next(iter(new)) for old, new in votes.items() if len(new) == 1 and old not in still}


def resolve(aliases: Mapping[str, str], name: str) -> str:
    """The newest name that a name means; one that was given back ends where it began."""
    seen = {name}
    while (name := aliases.get(name, name)) not in seen:
        seen.add(name)
    return name


def _keyed(rows: pd.DataFrame, aliases: Mapping[str, str]) -> pd.DataFrame:
    known = {name: resolve(aliases, name) for name in {*rows["home"], *rows["away"]}}
    columns = rows[["season", "day", "home_score", "away_score"]]
    return columns.assign(place=rows.index, h=rows["home"].map(known), a=rows["away"].map(known))


def _scores(pairs: pd.DataFrame) -> dict[str, pd.Series]:
    ours = pairs["home_score"], pairs["away_score"]
    theirs = pairs["home_score_old"], pairs["away_score_old"]
    both = ours[0].notna() & theirs[0].notna()
    same = np.where(
        pairs["swapped"],
        (ours[0] == theirs[1]) & (ours[1] == theirs[0]),
        (ours[0] == theirs[0]) & (ours[1] == theirs[1]),
    )
    return {"same_score": both & same, "other_score": both & ~same, "had_score": theirs[0].notna()}


def _price_evidence(pairs: pd.DataFrame, new: pd.DataFrame, old: pd.DataFrame) -> dict[str, pd.Series]:
    """Of each pair how many prices both matches have, and how many of them are near or equal."""
    old = old.rename(columns={"place": "stored", "price": "price_old"})
    new = new.rename(columns={"place": "found"})
    asked = pairs[["found", "stored", "swapped"]].reset_index(names="pair")
    both = asked.merge(new, on="found")
    both = turned(both, both["swapped"]).merge(old, on=["stored", *PRICE_OF])
    apart = (both["price"] / both["price_old"] - 1).abs()
    sums = pd.DataFrame({"pair": both["pair"], "near": apart <= _NEAR, "equal": apart <= _EQUAL})
    share = sums.groupby("pair").mean().reindex(pairs.index)
    common = sums.groupby("pair").size().reindex(pairs.index, fill_value=0)
    near = share["near"] >= 0.5
    return {
        "common": common,
        "near": near,
        "far": (common > 0) & ~near,
        "mostly": share["equal"] >= 0.9,
        "equal": share["equal"] == 1,
        "is_known": pairs["same_score"] | near,
    }


def turned(quotes: pd.DataFrame, swapped: pd.Series) -> pd.DataFrame:
    """Quotes with home and away the other way round where `swapped` is true: a price belongs to its team."""
    outcome, line = quotes["outcome"].astype(object), quotes["line"]
    other = outcome.map({"home": "away", "away": "home"}).fillna(outcome)
    # + 0.0 because -0.0 would be another line
    handicap = (-line + 0.0).where(quotes["market"] == "spreads", line)
    return quotes.assign(outcome=outcome.mask(swapped, other), line=line.mask(swapped, handicap))
