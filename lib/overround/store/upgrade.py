"""Bring a store of an older layout up to the present one."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overround.schema import TABLES
from overround.store.catalog import LAYOUT, layout_of
from overround.times import as_times, microseconds

if TYPE_CHECKING:
    from overround.store.store import Store

_SELECTION = list(TABLES["standing"].key)


def upgrade(store: "Store") -> int:
    """Mark the prices that were gone before layout 2 kept that; returns their number.

    The table `standing` has the last answer that showed each price. The first later answer about its
    competition, if it came before kick-off, did not show it any more: from then on it is withdrawn. This
    takes all answers about a competition to be of the same regions or bookmakers. What is marked stays if
    the upgrade breaks off; run it again.
    """
    delta = store.catalog.open("quotes")
    if delta is None or layout_of(delta) >= LAYOUT:
        return 0
    marked = 0
    standing, events = store.read("standing"), store.read("events", columns=["event_id", "starts_at"])
    standing = standing.merge(events.astype({"event_id": "str"}), on="event_id", how="left")
    for competition, rows in standing.groupby("competition", observed=True):
        columns = [*_SELECTION, "observed_at", "collected_at", "source"]
        quotes = store.read("quotes", {"competition": str(competition), "phase": "snapshot"}, columns)
        gone = _gone(rows, quotes)
        if len(gone):
            marked += store.append("quotes", gone.assign(phase="snapshot"), changes_only=True).inserted
            store.append("standing", gone)
    store.catalog.set_layout("quotes")
    return marked


def _gone(standing: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
    """Withdrawals of prices that stood when an answer about their competition no longer showed them."""
    seen = microseconds(standing["last_seen_at"])
    answers = np.unique(np.append(microseconds(quotes["collected_at"]), seen))
    # a poller that was killed had not kept yet what it saw in its last minutes: its later answers say nothing
    answers = answers[answers <= seen.max()]
    following = np.append(answers, np.iinfo(np.int64).max)[np.searchsorted(answers, seen, side="right")]
    is_gone = (following < microseconds(standing["starts_at"])) & standing["price"].notna().to_numpy()
    found = standing[is_gone].assign(next_at=as_times(following[is_gone]).array)
    # the row in `quotes` says more than `standing` where a writer was killed between the two
    latest = quotes.sort_values("observed_at").drop_duplicates(_SELECTION, keep="last")
    known = found.merge(latest, on=[*_SELECTION, "observed_at"])
    return known.assign(price=np.nan, observed_at=known["next_at"], collected_at=known["next_at"])
