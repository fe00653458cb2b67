"""Figures of the last day and of the seven before it, computed from what `overround.reports.daily.data` read.

A day here is the `hours` that end at `until`; the days before it are the same hours of the seven days before.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from overround.betting.settlement import MATCH
from overround.collection.poll_times import GAP, gaps, observations, regularity
from overround.grouping import OFFER
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
    placed, settled = (_day(bets[name], recent.until, recent.hours) for name in ("placed_at", "settled_at"))
    signals = {
        "signals": placed.value_counts(),
        "mean edge": bets["edge"].groupby(placed).mean(),
        "bets settled": settled.value_counts(),
        "profit per unit": bets["profit"].groupby(settled).mean(),
        "closing-line value": bets["clv"].groupby(settled).mean(),
    }
    told = _market(recent) | _collection(recent) | signals
    parts = [_filled(told, recent.quotes["collected_at"], recent.until), *_machine(recent)]
    found = pd.concat(parts, axis=1).reindex(range(DAYS))
    return found.T.reindex(list(FIGURES)).rename_axis("figure")


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
    quotes = recent.quotes

    def day(times: pd.Series) -> pd.Series:
        return _day(times, recent.until, recent.hours)

    at = day(quotes["collected_at"])
    before = quotes.groupby([*OFFER, "phase"], dropna=False)["price"].shift()
    change = (before / quotes["price"] - 1)[~(quotes["collected_at"] >= quotes["starts_at"])].dropna()
    change = change[change != 0].abs().groupby(at)
    books = fair_probabilities(quotes[quotes["market"] == "h2h"], "multiplicative")
    different = quotes[["event_id", "bookmaker", "competition"]].groupby(at).nunique()
    results = recent.results
    known = results["time_known"].ne(False).to_numpy(bool)  # else it ends at the end of the day at the latest
    lasts = pd.to_timedelta(np.where(known, MATCH, ONE_DAY))
    ended = results["settled_at"].fillna(results["starts_at"] + lasts)
    return {
        "prices": at[quotes["price"].notna()].value_counts(),
        "matches": different["event_id"],
        "bookmakers": different["bookmaker"],
        "competitions": different["competition"],
        "new matches": day(quotes.groupby("event_id")["collected_at"].min()).value_counts(),
        "price changes": change.size(),
        "median change": change.median(),
        "median overround": (books["overround"] - 1).groupby(day(books["collected_at"])).median(),
        "matches played": day(quotes.drop_duplicates("event_id")["starts_at"]).value_counts(),
        "results": day(ended).value_counts(),
    }


def _collection(recent: Recent) -> dict[str, pd.Series]:
    looks = looked(recent)
    found = _gaps(looks, recent.until)
    covered, first = [], looks.groupby("competition")["at"].min()
    for end in recent.until - np.arange(DAYS) * ONE_DAY:
        begin = end - pd.Timedelta(hours=recent.hours)
        # a competition counts from its first poll on
        watched = _total(end - first.clip(lower=begin))
        unseen = _total(found["end"].clip(upper=end) - found["begin"].clip(lower=begin))
        covered.append(1 - unseen / watched if watched else np.nan)
    looks_at = _day(looks["at"], recent.until, recent.hours)
    return {"looks": looks_at.value_counts(), "time covered": pd.Series(covered)}


def _machine(recent: Recent) -> Iterator[pd.DataFrame]:
    calls, measured, runs = recent.requests, recent.measurements, recent.runs
    clocks = calls["at"], measured["at"], runs["started_at"]
    at, noted, started = (_day(times, recent.machine_until, recent.hours) for times in clocks)
    asked = ~calls["from_cache"].astype(bool)
    cost = measured["value"].astype(float).groupby([measured["metric"], noted]).agg(["sum", "max"])
    of_calls = {
        "calls": at.value_counts(),
        "failed calls": at[calls["status"] != 200].value_counts(),
        "answered by the cache": 1 - asked.groupby(at).mean(),
        "median latency, ms": 1000 * calls["latency_s"][asked].groupby(at).median(),
    }
    costs = {
        "processor time, s": cost["sum"].get("cpu_s", pd.Series()),
        "highest memory, MB": cost["max"].get("peak_mb", pd.Series()),
    }
    of_runs = {"failed runs": started[runs["status"] != "ok"].value_counts()}
    for rows, times in zip((of_calls, costs, of_runs), clocks, strict=True):
        yield _filled(rows, times, recent.machine_until)


def _gaps(looks: pd.DataFrame, until: pd.Timestamp) -> pd.DataFrame:
    """All gaps, including one that is open at the end if the last poll was long ago."""
    usual = regularity(looks)
    longest = pd.to_timedelta(GAP * usual["usual_minutes"].fillna(24 * 60), unit="min")
    late = usual["last"][until - usual["last"] > longest]
    still = pd.DataFrame({"competition": late.index, "begin": late.array, "end": until})
    both = pd.concat([gaps(looks), still.astype({"end": late.dtype})])
    hours = (both["end"] - both["begin"]).dt.total_seconds() / 3600
    return both.assign(hours=hours).sort_values("hours", ascending=False, ignore_index=True)


def _day(times: pd.Series, until: pd.Timestamp, hours: float) -> pd.Series:
    """Number of the day of each time, 0 the last; NaN outside all."""
    ago = (until - times) / pd.Timedelta(hours=1)
    number = np.floor(ago / 24)
    return number.where((ago >= 0) & (ago - 24 * number < hours) & (number < DAYS))


def _total(lengths: pd.Series) -> pd.Timedelta:
    return lengths.clip(lower=pd.Timedelta(0)).sum()


def _filled(rows: dict[str, pd.Series], times: pd.Series, until: pd.Timestamp) -> pd.DataFrame:
    """A row a day: a count of no rows is 0; a mean of none, and days before the first time, are missing."""
    found = pd.DataFrame(rows, range(DAYS), dtype=float)
    found = found.fillna({name: 0.0 for name in rows if FIGURES[name] == "count"})
    return found[until - np.arange(DAYS) * ONE_DAY > times.min()]
