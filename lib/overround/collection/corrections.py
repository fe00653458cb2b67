"""What a newer file changed in stored matches, as rows that can be listed."""

import pandas as pd

from overround.schema import TABLES
from overround.sources.base import Batch
from overround.store.store import Store

CORRECTION_COLUMNS = ("what", "event_id", "before", "after", "where")


def blank_cells(store: Store, batch: Batch) -> list[tuple]:
    """Stored prices of a batch's matches that are blank in its file now, as corrections; they are kept."""
    scope, quotes = batch.scope, batch.quotes
    if scope is None or batch.provisional or quotes.empty:
        return []
    files = store.files("quotes").to_pandas()
    files = files[files["competition"] == scope.competition]
    rows = files.groupby("season")["rows"].sum()
    given = quotes["season"].value_counts()
    more = [season for season, n in given.items() if rows.get(season, n) > n]
    if not more:
        return []
    key = [*TABLES["quotes"].key]
    where = {"competition": scope.competition, "season": more, "source": str(quotes["source"].iloc[0])}
    stored = plain(store.read("quotes", where, [*key, "price"]))
    stored = stored[stored["event_id"].isin(quotes["event_id"])]
    both = stored.merge(quotes[key], how="left", on=key, indicator="where")
    return [
        (
            "blank price",
            row.event_id,
            f"{row.bookmaker} {row.market} {row.outcome} {row.phase} {row.price:g}",
            "",
            scope.where,
        )
        for row in both[both["where"] == "left_only"].itertuples()
    ]


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Texts as `str` instead of categoricals, which cannot take new words."""
    words = frame.columns[[isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes]]
    return frame.astype(dict.fromkeys(words, "str"))


def named(matches: pd.DataFrame) -> pd.Series:
    """Teams of matches, home first."""
    return matches["home"] + " - " + matches["away"]


def dated(matches: pd.DataFrame) -> pd.Series:
    """Days of matches, where the provider is."""
    return matches["day"].dt.strftime("%Y-%m-%d")


def timed(matches: pd.DataFrame) -> pd.Series:
    """Kick-offs of matches."""
    return matches["starts_at"].dt.strftime("%Y-%m-%d %H:%M UTC")


def scored(matches: pd.DataFrame) -> pd.Series:
    """Scores of matches that have one."""
    scores = matches[["home_score", "away_score"]].astype("int64").astype("str")
    return scores["home_score"] + "-" + scores["away_score"]
