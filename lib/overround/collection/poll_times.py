"""When each competition was polled, and the gaps in between."""

import pandas as pd

GAP = 3  # multiple of the usual time between two polls that makes a gap
_LIVE_ODDS = r"/v4/sports/([a-z0-9_]+)/odds"


def observations(quotes: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """Times at which the prices of each competition were polled.

    A poll that found nothing new leaves no price; it shows as a call for current odds. Calls for past odds do
    not count, but the times of their prices do.

    Parameters
    ----------
    quotes : DataFrame
        Rows of the table `quotes` with at least competition and collected_at.
    requests : DataFrame
        Rows of the table `requests` with at least endpoint, status, from_cache and at.

    Returns
    -------
    DataFrame
        competition, at; sorted, without duplicates.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> calls = pd.DataFrame(
    ...     {
    ...         "endpoint": ["/v4/sports/soccer_epl/odds"] * 2,
    ...         "status": [200, 500],
    ...         "from_cache": [False, False],
    ...         "at": pd.to_datetime(["2026-08-15 12:00", "2026-08-15 12:05"], utc=True),
    ...     }
    ... )
    >>> ov.collection.observations(quotes, calls)["competition"].value_counts().to_dict()
    {'example': 50, 'soccer_epl': 1}
    """
    seen = quotes[["competition", "collected_at"]].rename(columns={"collected_at": "at"})
    good = requests[(requests["status"] == 200) & ~requests["from_cache"].astype(bool)]
    called = good[["at"]].assign(competition=good["endpoint"].str.extract(_LIVE_ODDS, expand=False)).dropna()
    # rounded down to seconds, the resolution of a provider's clock in an answer
    both = pd.concat([seen, called[["competition", "at"]]]).assign(at=lambda rows: rows["at"].dt.floor("s"))
    return both.drop_duplicates().sort_values(["competition", "at"], ignore_index=True)


def spans(observed: pd.DataFrame) -> pd.DataFrame:
    """Spans of time in which a competition was polled regularly.

    Returns
    -------
    DataFrame
        competition, begin, end, observations. Between two spans of a competition lies a gap of more than
        three times its usual (median) time between two polls.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> minutes = [0, 5, 10, 15, 20, 140, 145, 150]
    >>> at = pd.Timestamp("2026-08-15 12:00", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    >>> observed = pd.DataFrame({"competition": "soccer_epl", "at": at})
    >>> ov.collection.spans(observed)["observations"].tolist()
    [5, 3]
    """
    by = observed.groupby("competition")["at"]
    step = by.diff()
    usual = step.groupby(observed["competition"]).transform("median")
    number = (step > GAP * usual).groupby(observed["competition"]).cumsum().rename("number")
    found = observed.groupby([observed["competition"], number])["at"].agg(
        begin="min", end="max", observations="size"
    )
    return found.reset_index().drop(columns="number")


def gaps(observed: pd.DataFrame) -> pd.DataFrame:
    """Gaps between the spans of each competition, the longest first.

    Returns
    -------
    DataFrame
        competition, begin, end, hours.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> minutes = [0, 5, 10, 15, 20, 140, 145, 150]
    >>> at = pd.Timestamp("2026-08-15 12:00", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    >>> observed = pd.DataFrame({"competition": "soccer_epl", "at": at})
    >>> ov.collection.gaps(observed)["hours"].tolist()
    [2.0]
    """
    rows = spans(observed)
    begin = rows.groupby("competition")["end"].shift()
    found = pd.DataFrame({"competition": rows["competition"], "begin": begin, "end": rows["begin"]}).dropna()
    hours = (found["end"] - found["begin"]).dt.total_seconds() / 3600
    return found.assign(hours=hours).sort_values("hours", ascending=False, ignore_index=True)


def regularity(observed: pd.DataFrame) -> pd.DataFrame:
    """One row per competition: polls, usual and longest time between two, share of time outside gaps.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> minutes = [0, 5, 10, 15, 20, 140, 145, 150]
    >>> at = pd.Timestamp("2026-08-15 12:00", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    >>> observed = pd.DataFrame({"competition": "soccer_epl", "at": at})
    >>> ov.collection.regularity(observed)[["looks", "usual_minutes", "longest_minutes"]].to_dict("records")
    [{'looks': 8, 'usual_minutes': 5.0, 'longest_minutes': 120.0}]
    """
    by = observed.groupby("competition")["at"]
    minutes = by.diff().dt.total_seconds().div(60).groupby(observed["competition"])
    rows = spans(observed)
    covered = (rows["end"] - rows["begin"]).groupby(rows["competition"]).sum()
    return pd.DataFrame(
        {
            "looks": by.size(),
            "first": by.min(),
            "last": by.max(),
            "usual_minutes": minutes.median(),
            "longest_minutes": minutes.max(),
            "covered": (covered / (by.max() - by.min())).fillna(1.0),
        }
    )
