"""Blind backing of every outcome at every bookmaker of nine leagues and thirteen seasons, against plain
pandas on the files.
"""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overround import Flat, backtest
from overround.betting.engine import COMMISSION
from overround.signals import blind_signals, consensus_signals
from overround.sources.football_data.parser import parse
from tests.support.football import BOOKS

pytestmark = pytest.mark.slow
LEAGUES = ("E0", "E1", "E2", "E3", "D1", "SP1", "I1", "F1", "N1")
SEASONS = [f"{year % 100:02d}{(year + 1) % 100:02d}" for year in range(2012, 2025)]
# columns of the years before and after those of the eleven seasons of test_football_line
MORE = {
    "BS": "bluesquare",
    "GB": "gamebookers",
    "SB": "sportingbet",
    "BFD": "betfred",
    "BMGM": "betmgm",
    "BV": "betvictor",
    "CL": "coral",
}
PREFIXES = {**BOOKS, "P": "pinnacle", **MORE}
LETTERS = {"home": "H", "draw": "D", "away": "A"}


def plain_bets(file: pd.DataFrame) -> pd.DataFrame:
    """A row a price that could be bet at: bookmaker, phase, outcome, price, won; straight from the cells."""
    parts = []
    seen = set()
    for prefix, name in PREFIXES.items():
        for mark, phase in (("", "early"), ("C", "close")):
            columns = [prefix + mark + letter for letter in LETTERS.values()]
            held = file.reindex(columns=columns).apply(pd.to_numeric, errors="coerce")
            if not set(columns) & set(file) or (name, phase) in seen:
                continue
            seen.add((name, phase))
            # any number up to 1 but 0 says that the row's cells have slipped
            slipped = ((held <= 1) & (held != 0)).any(axis=1)
            for outcome, column in zip(LETTERS, columns, strict=True):
                usable = (
                    (held[column] > 1) & (held[column] <= 1001) & ~slipped & file["FTR"].isin(["H", "D", "A"])
                )
                won = file["FTR"] == LETTERS[outcome]
                parts.append(
                    pd.DataFrame(
                        {
                            "bookmaker": name,
                            "phase": phase,
                            "outcome": outcome,
                            "price": held[column],
                            "won": won,
                        }
                    )[usable]
                )
    return pd.concat(parts)


def plain_file(path: Path) -> pd.DataFrame:
    file = pd.read_csv(path, encoding="latin-1", on_bad_lines="skip", index_col=False)
    return file[file["HomeTeam"].notna()].reset_index(drop=True)


@pytest.mark.parametrize("league", LEAGUES)
def test_blind_backing_yields_what_plain_pandas_says(league, recorded):
    folder = recorded / "football-data" / "mmz4281"
    plain, quotes, results = [], [], []
    for season in SEASONS:
        path = folder / season / f"{league}.csv"
        plain.append(plain_bets(plain_file(path)))
        batch = parse(
            path.read_bytes(),
            path.name,
            competition=league,
            season=season,
            collected_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        quotes.append(
            batch.quotes[batch.quotes["market"] == "h2h"].merge(
                batch.events[["event_id", "starts_at"]], on="event_id"
            )
        )
        results.append(batch.results)
    bets, shown, ended = pd.concat(plain), pd.concat(quotes), pd.concat(results)

    expected = bets.assign(profit=np.where(bets["won"], bets["price"] - 1, -1)).groupby(
        ["bookmaker", "phase", "outcome"]
    )["profit"]
    assert len(expected) >= 60
    assert {"market_average", "market_maximum", "pinnacle", "bet365"} <= set(bets["bookmaker"])
    assert set(shown["bookmaker"]) == set(bets["bookmaker"])
    of = dict(iter(shown.groupby(["bookmaker", "phase"])))
    for (bookmaker, phase, outcome), profit in expected:
        signals = blind_signals(of[bookmaker, phase], bookmaker, outcome, at_close=phase == "close")

        ledger = backtest(signals, ended, stake=Flat(1), bankroll=1e6, commission={})

        assert len(ledger) == profit.size, (bookmaker, phase, outcome)
        assert ledger["profit"].sum() / ledger["stake"].sum() == pytest.approx(profit.mean(), abs=1e-9), (
            bookmaker,
            phase,
            outcome,
        )


def test_the_exchange_keeps_its_commission_of_what_a_bet_wins(recorded):
    path = recorded / "football-data" / "mmz4281" / "2425" / "E0.csv"
    batch = parse(
        path.read_bytes(),
        path.name,
        competition="E0",
        season="2425",
        collected_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    quotes = batch.quotes.merge(batch.events[["event_id", "starts_at"]], on="event_id")
    bets = plain_bets(plain_file(path))

    ledger = backtest(
        blind_signals(quotes, "betfair_exchange", "away"), batch.results, stake=Flat(1), bankroll=1e6
    )

    mine = bets[
        (bets["bookmaker"] == "betfair_exchange") & (bets["phase"] == "early") & (bets["outcome"] == "away")
    ]
    assert len(mine) > 300
    kept = 1 - COMMISSION["betfair_exchange"]
    assert ledger["profit"].sum() == pytest.approx(
        np.where(mine["won"], (mine["price"] - 1) * kept, -1).sum(), abs=1e-9
    )


@pytest.mark.parametrize("mark", ["", "C"], ids=["early", "close"])
def test_the_consensus_strategy_at_the_maximum_makes_the_bets_of_the_authors_formula(recorded, mark):
    played, bets, profit = 0, 0, 0.0
    for league, season in (("E0", "2425"), ("E3", "2324"), ("SP1", "2223"), ("N1", "1920")):
        path = recorded / "football-data" / "mmz4281" / season / f"{league}.csv"
        batch = parse(
            path.read_bytes(),
            path.name,
            competition=league,
            season=season,
            collected_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        quotes = batch.quotes.merge(batch.events[["event_id", "starts_at"]], on="event_id")

        setting = {"consensus": "market_average", "bookmakers": ["market_maximum"], "at_close": mark == "C"}
        ledger = backtest(
            consensus_signals(quotes, 0.02, **setting), batch.results, stake=Flat(1), bankroll=1e6
        )

        # beatTheBookie.m: earn_margin = (1 / average - margin) x maximum - 1, the greatest of three if above
        # 0
        file = plain_file(path)
        best = file[[f"Max{mark}{letter}" for letter in "HDA"]].to_numpy(float)
        promise = (1 / file[[f"Avg{mark}{letter}" for letter in "HDA"]].to_numpy(float) - 0.02) * best - 1
        known = ~np.isnan(promise).any(axis=1)
        row, chosen = np.flatnonzero(known), np.nanargmax(promise[known], axis=1)
        row, chosen = row[promise[row, chosen] > 0], chosen[promise[row, chosen] > 0]
        won = file["FTR"].to_numpy(object)[row] == np.array(["H", "D", "A"])[chosen]
        assert len(ledger) == len(row)
        assert ledger["profit"].sum() == pytest.approx(
            np.where(won, best[row, chosen] - 1, -1).sum(), abs=1e-9
        )
        played, bets, profit = played + len(file), bets + len(row), profit + ledger["profit"].sum()
    assert played > 1400
    assert 30 < bets < played
    assert profit != 0
