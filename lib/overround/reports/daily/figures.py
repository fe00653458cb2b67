"""Figures of the last day and of the seven before it, computed from what `overround.reports.daily.data` read.

A day here is the `hours` that end at `until`; the days before it are the same hours of the seven days before.
"""

import numpy as np
import pandas as pd

from overround.collection.poll_times import GAP, gaps, observations, regularity
from overround.grouping import SELECTION
from overround.prices.fair import fair_probabilities
from overround.reports.daily.data import DAYS, ONE_DAY, Recent

_LEAST_DAYS = 4  # needed to say what is usual

# figure -> format; a count is 0 on a day without rows, everything else is missing
MARKET = {
    "prices": "count",
    "matches": "count",
    "new matches": "count",
    "bookmakers": "count",
    "competitions": "count",
    "price changes": "count",
    "median change": "percent",
    "median overround": "percent",
    "matches played": "count",
    "results": "count",
}
COLLECTION = {"looks": "count", "time covered": "percent"}
SIGNALS = {
    "signals": "count",
    "mean edge": "percent",
    "bets settled": "count",
    "profit per unit": "signed percent",
    "closing-line value": "signed percent",
}
MACHINE = {
    "calls": "count",
    "failed calls": "count",
    "answered by the cache": "percent",
    "median latency, ms": "figures",
    "processor time, s": "figures",
    "highest memory, MB": "figures",
    "failed runs": "count",
}
FIGURES = MARKET | COLLECTION | SIGNALS | MACHINE


def days(recent: Recent, bets: pd.DataFrame) -> pd.DataFrame:
    """Figures of the last day and of the seven before it.

    Parameters
    ----------
    recent : Recent
        What `recent` returned.
    bets : DataFrame
        What `value_bets` returned.

    Returns
    -------
    DataFrame
        A row for each of `FIGURES`, columns 0 (the last day) to 7 (a week earlier). NaN for days before the
        first price (or call or measurement), and for a mean or a share of no rows.
    """
    quotes, until, hours = recent.quotes, recent.until, recent.hours
    rows = {**_market(recent), **_collection(recent)}
    placed, settled = _day(bets["placed_at"], until, hours), _day(bets["settled_at"], until, hours)
    rows |= {
        "signals": _per_day(placed),
        "mean edge": bets["edge"].groupby(placed).mean(),
        "bets settled": _per_day(settled),
        "profit per unit": bets["profit"].groupby(settled).mean(),
        "closing-line value": bets["clv"].groupby(settled).mean(),
    }
    known = _known(quotes["collected_at"], until)
    found = {name: _filled(values, name, known) for name, values in rows.items()}
    machine = _machine(recent)
    return pd.DataFrame({**found, **machine}).T.reindex(list(FIGURES)).rename_axis("figure")


def against(found: pd.DataFrame) -> pd.DataFrame:
    """The last day compared with the day before, the same day a week before, and what is usual.

    Parameters
    ----------
    found : DataFrame
        What `days` returned.

    Returns
    -------
    DataFrame
        Index figure; columns now, day_before, week_before, usual (median of the seven days), least, most (of
        these), unusual: now is further from usual, and from the same day a week before (matches have their
        weekdays), than three times the seven days' spread (MAD x 1.4826, at least a tenth of usual, and for
        counts the root of usual). Nothing is unusual with fewer than four known days.
    """
    before = found.loc[:, 1:]
    usual = before.median(axis=1)
    spread = 1.4826 * before.sub(usual, axis=0).abs().median(axis=1)
    counted = np.array([FIGURES[str(name)] == "count" for name in found.index])
    floor = np.maximum(0.1 * usual.abs(), np.where(counted, np.sqrt(usual.abs().clip(lower=1)), 0.0))
    enough = before.notna().sum(axis=1) >= _LEAST_DAYS
    far = 3 * np.maximum(spread, floor)
    unusual = enough & ((found[0] - usual).abs() > far) & ~((found[0] - found[7]).abs() <= far)
    columns = {
        "now": found[0],
        "day_before": found[1],
        "week_before": found[7],
        "usual": usual,
        "least": before.min(axis=1),
        "most": before.max(axis=1),
        "unusual": unusual.fillna(False),
    }
    return pd.DataFrame(columns)


def open_gaps(recent: Recent) -> pd.DataFrame:
    """Gaps that touch the last day, also open ones: competition, begin, end, hours (in all)."""
    found = _gaps(looked(recent), recent.until)
    return found[(found["end"] > recent.begin) & (found["begin"] < recent.until)].reset_index(drop=True)


def looked(recent: Recent) -> pd.DataFrame:
    """Polls of each competition in these eight days, see `overround.collection.poll_times.observations`."""
    found = observations(recent.quotes, recent.requests)
    return found[found["at"] > recent.until - DAYS * ONE_DAY].reset_index(drop=True)


def _market(recent: Recent) -> dict[str, pd.Series]:
    quotes, until, hours = recent.quotes, recent.until, recent.hours
    at = _day(quotes["collected_at"], until, hours)
    seen = quotes.groupby("event_id")["collected_at"].min()
    keys = [quotes[name] for name in (*SELECTION, "bookmaker", "phase")]
    before = quotes["price"].groupby(keys, dropna=False).shift()
    ahead = ~(quotes["collected_at"] >= quotes["starts_at"])
    change = (before / quotes["price"] - 1)[ahead & before.notna() & (before != quotes["price"])]
    books = (
        fair_probabilities(quotes[quotes["market"] == "h2h"], "multiplicative")
        if len(quotes)
        else quotes.assign(overround=np.nan)
    )
    kick_off = quotes.drop_duplicates("event_id")["starts_at"]
    ended = recent.results["settled_at"].fillna(recent.results["starts_at"] + pd.Timedelta(hours=2))
    return {
        "prices": _per_day(at),
        **{
            name: quotes[column].groupby(at).nunique()
            for name, column in (
                ("matches", "event_id"),
                ("bookmakers", "bookmaker"),
                ("competitions", "competition"),
            )
        },
        "new matches": _per_day(_day(seen, until, hours)),
        "price changes": _per_day(at[change.index]),
        "median change": change.abs().groupby(at).median(),
        "median overround": (books["overround"] - 1)
        .groupby(_day(books["collected_at"], until, hours))
        .median(),
        "matches played": _per_day(_day(kick_off, until, hours)),
        "results": _per_day(_day(ended, until, hours)),
    }


def _collection(recent: Recent) -> dict[str, pd.Series]:
    looks = looked(recent)
    found = _gaps(looks, recent.until)
    ends = recent.until - np.arange(DAYS) * ONE_DAY
    begins = ends - pd.Timedelta(hours=recent.hours)
    covered, first = [], looks.groupby("competition")["at"].min()
    for begin, end in zip(begins, ends, strict=True):
        # a competition counts from its first poll on
        watched = _total(end - first.clip(lower=begin))
        unseen = _total(found["end"].clip(upper=end) - found["begin"].clip(lower=begin))
        covered.append(1 - unseen / watched if watched else np.nan)
    return {
        "looks": _per_day(_day(looks["at"], recent.until, recent.hours)),
        "time covered": pd.Series(covered),
    }


def _machine(recent: Recent) -> dict[str, pd.Series]:
    until, hours = recent.machine_until, recent.hours
    calls, measured, runs = recent.requests, recent.measurements, recent.runs
    at, noted, started = (
        _day(log[column], until, hours)
        for log, column in ((calls, "at"), (measured, "at"), (runs, "started_at"))
    )
    metric = measured["metric"]
    cost = measured["value"].astype(float)
    rows = {
        "calls": (_per_day(at), calls["at"]),
        "failed calls": (_per_day(at[calls["status"] != 200]), calls["at"]),
        "answered by the cache": (calls["from_cache"].astype(float).groupby(at).mean(), calls["at"]),
        "median latency, ms": (
            (1000 * calls["latency_s"])[~calls["from_cache"].astype(bool)].groupby(at).median(),
            calls["at"],
        ),
        "processor time, s": (cost[metric == "cpu_s"].groupby(noted).sum(), measured["at"]),
        "highest memory, MB": (cost[metric == "peak_mb"].groupby(noted).max(), measured["at"]),
        "failed runs": (_per_day(started[runs["status"] != "ok"]), runs["started_at"]),
    }
    return {name: _filled(values, name, _known(log, until)) for name, (values, log) in rows.items()}


def _gaps(looks: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """All gaps, including one that is open at the end if the last poll was long ago."""
    if looks.empty:
        return pd.DataFrame(
            {"competition": [], "begin": looks["at"], "end": looks["at"], "hours": pd.Series(dtype=float)}
        )
    found, usual = gaps(looks), regularity(looks)
    silent = (until - usual["last"]).dt.total_seconds() / 3600
    late = usual[silent * 60 > GAP * usual["usual_minutes"].fillna(24 * 60)]
    still = pd.DataFrame(
        {
            "competition": late.index,
            "begin": late["last"].to_numpy(),
            "end": until,
            "hours": silent[late.index].to_numpy(),
        }
    )
    still = still.astype({"begin": looks["at"].dtype, "end": looks["at"].dtype})
    both = pd.concat([one for one in (found, still) if len(one)] or [found])
    return both.sort_values("hours", ascending=False, ignore_index=True)


def _day(times: pd.Series, until: pd.Timestamp, hours: float) -> pd.Series:
    """Number of the day of each time, 0 the last; NaN outside all."""
    ago = (until - times) / pd.Timedelta(hours=1)
    number = np.floor(ago / 24)
    return number.where((ago >= 0) & (ago - 24 * number < hours) & (number < DAYS))


def _total(lengths: pd.Series) -> pd.Timedelta:
    return lengths.clip(lower=pd.Timedelta(0)).sum()


def _per_day(number: pd.Series) -> pd.Series:
    return number.groupby(number).size()


def _known(times: pd.Series, until: pd.Timestamp) -> np.ndarray:
    """Whether each day ends after the first of these times."""
    ends = until - np.arange(DAYS) * ONE_DAY
    return np.asarray(ends > times.min()) if len(times) else np.zeros(DAYS, bool)


def _filled(values: pd.Series, name: str, known: np.ndarray) -> pd.Series:
    """A value a day: a count of no rows is 0; a mean of none, and days before the first row, are missing."""
    whole = values.reindex(range(DAYS)).astype(float)
    whole = whole.fillna(0.0) if FIGURES[name] == "count" else whole
    return whole.where(known)
