"""The naive way: row by row, one by one, in loops. Baselines of the performance report, oracles of the tests.

Each function gives the same as the library's function of its name, for the plain case that it knows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from overround.http.client import Answer, Fetcher
from overround.sources.the_odds_api.parser import parse_many
from overround.store.store import Store

_Price = tuple[float, pd.Timestamp]


def append(store: Store, rows: pd.DataFrame) -> int:
    """Store a batch row by row; returns how many were new."""
    return sum(store.append("quotes", rows.iloc[[number]]).inserted for number in range(len(rows)))


def get_many(fetcher: Fetcher, calls: Iterable[tuple[str, Mapping[str, Any]]], *, ttl: float) -> list[Answer]:
    """Ask for one after the other."""
    return [fetcher.get(path, params, ttl=ttl) for path, params in calls]


def collect(fetcher: Fetcher, calls: Iterable[tuple[str, Mapping[str, Any]]], store: Store) -> int:
    """Ask for one snapshot after the other and store each whole; returns how many prices were stored."""
    stored = 0
    for answer in get_many(fetcher, calls, ttl=0):
        batch = parse_many([answer], source=fetcher.provider)
        for name, rows in (("events", batch.events), ("quotes", batch.quotes)):
            if len(rows):
                done = store.append(name, rows)
                stored += done.inserted if name == "quotes" else 0
    return stored


def value_signals(
    quotes: pd.DataFrame, reference: str, min_edge: float = 0.02
) -> list[tuple[str, str, str, str, float, pd.Timestamp]]:
    """Bets better than a reference's price without its margin (multiplicative).

    Each is event, market, outcome, bookmaker, price, time. For prices with clock times and markets that are
    shown whole; see `overround.value_signals` for the rules.
    """
    shown = quotes[quotes[["collected_at", "observed_at"]].max(axis=1) < quotes["starts_at"]]
    ticks: dict[tuple, list[dict]] = {}
    for row in shown.fillna({"line": 0.0}).to_dict("records"):
        ticks.setdefault((row["collected_at"], row["event_id"], row["market"], row["line"]), []).append(row)
    standing: dict[tuple, dict[str, dict[str, _Price]]] = {}
    bets: dict[tuple, tuple[str, str, str, str, float, pd.Timestamp]] = {}
    for (time, *market), rows in sorted(ticks.items(), key=lambda tick: tick[0][0]):
        books = standing.setdefault(tuple(market), {})
        for row in rows:
            books.setdefault(row["bookmaker"], {})[row["outcome"]] = row["price"], time
        fair = {name: _fair(prices, time) for name, prices in books.items()}.get(reference, {})
        for outcome in {row["outcome"] for row in rows} & fair.keys():
            best, taken = 0.0, ""
            for name in sorted(books.keys() - {reference}):
                price = _now(books[name], time).get(outcome, 0.0)
                if price > best and price <= 15 and min_edge <= fair[outcome] * price - 1 <= 0.25:
                    best, taken = price, name
            if taken:
                bets.setdefault((*market, outcome), (market[0], market[1], outcome, taken, best, time))
    return sorted(bets.values(), key=lambda bet: (bet[5], bet[0], bet[1], bet[2]))


def backtest(
    signals: pd.DataFrame, results: pd.DataFrame, share: float = 0.01, bankroll: float = 1_000.0
) -> float:
    """Bankroll after back bets on h2h, each a share of what is free when it is placed.

    Bets are settled two hours after kick-off, or after a day where only the day is known.
    """
    scores = {row["event_id"]: row for row in results.to_dict("records")}
    happenings = []
    for number, bet in enumerate(signals.to_dict("records")):
        happenings.append((bet["placed_at"], 1, number, bet))
        start = bet["starts_at"]
        hours = 2 if scores[bet["event_id"]].get("time_known", True) else 24
        happenings.append((start + pd.Timedelta(hours=hours), 0, number, bet))
    stakes: dict[int, float] = {}
    free, seen, at = bankroll, bankroll, None
    for time, places, number, bet in sorted(happenings, key=lambda one: one[:3]):
        if not places:
            score = scores[bet["event_id"]]
            home, away = score["home_score"], score["away_score"]
            won = bet["outcome"] == ("home" if home > away else "away" if away > home else "draw")
            free += stakes[number] * bet["price"] if won else 0.0
            continue
        if time != at:
            # bets placed at the same time see the same bankroll
            seen, at = free, time
        stakes[number] = share * seen
        free -= stakes[number]
    return free


def _now(prices: Mapping[str, _Price], time: pd.Timestamp) -> dict[str, float]:
    """Prices that still stand: at most a day old."""
    return {outcome: price for outcome, (price, at) in prices.items() if time - at <= pd.Timedelta(hours=24)}


def _fair(prices: Mapping[str, _Price], time: pd.Timestamp) -> dict[str, float]:
    inverse = {outcome: 1 / price for outcome, price in _now(prices, time).items()}
    book = sum(inverse.values())
    return {outcome: one / book for outcome, one in inverse.items()} if 0.98 <= book <= 1.5 else {}
