"""What missing odds do to a result."""

import pandas as pd
import pytest

from overround import Flat, backtest
from overround.evaluation import bookmaker_gaps, by_coverage
from overround.signals import blind_signals
from tests.support.books import quotes, result, results, three_way

BEGIN = pd.Timestamp("2025-01-01 15:00", tz="UTC")


def season(n=60):
    """Three bookmakers, of which gappy has no price of every other match; home wins where it has none."""
    groups, ended = [], []
    for match in range(n):
        start, name = BEGIN + pd.Timedelta(days=match), f"m{match:02d}"
        missing = match % 2 == 1
        books = ("acme", "beta") if missing else ("acme", "beta", "gappy")
        groups += [three_way(name, book, (3.0, 3.0, 3.0), start=start) for book in books]
        home = match % 4 == 0 or (missing and match % 4 == 1)
        ended.append(result(name, int(home), int(not home)))
    return quotes(*groups), results(*ended)


def events_of(shown, *more):
    names = [*shown["event_id"].unique(), *more]
    return pd.DataFrame({"event_id": names})


def test_bets_are_split_by_whether_everybody_quotes_the_match_and_by_who_always_quotes():
    shown, ended = season()
    bets = pd.concat([blind_signals(shown, book, "home") for book in ("acme", "gappy")], ignore_index=True)
    ledger = backtest(bets, ended, stake=Flat(1), bankroll=1e6)

    table = by_coverage(ledger, shown, simulations=200)

    # acme bets on 60 matches, gappy on the 30 that it quotes, which is half of them and so regular
    assert table["bets"].tolist() == [90, 60, 30, 60, 30]
    # a win pays 2, a loss costs 1; where all quote, home wins half of the matches, as it does on the others
    assert table["yield"].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.5])
    assert (
        "Yield on matches that all regular bookmakers quote less that on the other matches: +0.0 "
        in table.attrs["says"]
    )
    assert table.attrs["says"].count("within noise") == 2


def test_where_no_prices_are_missing_there_is_nothing_to_compare():
    shown, ended = season()
    shown = shown[shown["bookmaker"] != "gappy"]
    ledger = backtest(blind_signals(shown, "acme", "home"), ended, stake=Flat(1), bankroll=1e6)

    says = by_coverage(ledger, shown, simulations=200).attrs["says"]

    assert says == (
        "All bets are on matches that all regular bookmakers quote. All bets are at bookmakers that always quote."
    )


def test_a_ledger_without_bets_has_no_parts():
    shown, ended = season()
    ledger = backtest(blind_signals(shown, "acme", "home").head(0), ended, bankroll=1e6)

    table = by_coverage(ledger, shown, simulations=200)

    assert table["bets"].tolist() == [0] * 5
    assert table.attrs["says"] == ""


def test_bookmakers_are_listed_by_the_matches_that_they_lack_and_matches_without_any_odds_are_counted():
    shown, _ = season()
    average = shown[shown["bookmaker"] == "acme"].assign(bookmaker="market_average")

    table = bookmaker_gaps(pd.concat([shown, average]), events_of(shown, "m98", "m99"))

    assert table["missing"].to_dict() == {"gappy": 0.5, "acme": 0.0, "beta": 0.0}
    assert table.attrs["says"] == "2 of 62 matches have no odds at all: nothing could be bet on them."
