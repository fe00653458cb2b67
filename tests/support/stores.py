"""Rows for a store."""

import pandas as pd

from tests.support.books import KICK_OFF, quotes, three_way


def event(event_id="m1", start=KICK_OFF, season="2425"):
    return {
        "event_id": event_id,
        "sport": "soccer",
        "competition": "L1",
        "season": season,
        "starts_at": start,
        "time_known": True,
        "home": "A",
        "away": "B",
        "source": "test",
    }


def many(n: int, **more) -> pd.DataFrame:
    return quotes(*(three_way(f"m{i}", **more) for i in range(n)))
