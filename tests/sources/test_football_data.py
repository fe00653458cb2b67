"""football-data.co.uk: every trap of its files, on invented matches; then the whole archive against an
independent reading.
"""

import csv
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround import schema as tables
from overround.errors import FetchError, ParameterError, SourceError
from overround.http.client import Answer, Fetcher
from overround.sources.base import Batch, event_id
from overround.sources.bookmakers import FOOTBALL_DATA
from overround.sources.football_data.leagues import DIVISIONS, NEW_LEAGUES
from overround.sources.football_data.parser import parse
from overround.sources.football_data.source import batches

AT = datetime(2025, 6, 1, 12, tzinfo=UTC)
HEADER = "Div,Date,HomeTeam,AwayTeam,FTHG,FTAG,FTR,B365H,B365D,B365A"
MATCH = "E0,16/08/2024,Ashford,Brook,2,1,H,1.8,3.5,4.5"
NEW_HEADER = "Country,League,Season,Date,Time,Home,Away,HG,AG,Res,PSCH,PSCD,PSCA"


def read(*lines: str, competition: str = "E0", season: str | None = "2425") -> Batch:
    return read_bytes(
        "".join(f"{line}\r\n" for line in lines).encode(), competition=competition, season=season
    )


def read_bytes(content: bytes, competition: str = "E0", season: str | None = "2425") -> Batch:
    return parse(content, "http://provider/file.csv", competition=competition, season=season, collected_at=AT)


def with_odds(columns: str, *cells: str) -> Batch:
    """One match a row of cells, each against another guest."""
    head = "Div,Date,HomeTeam,AwayTeam"
    return read(
        f"{head},{columns}", *(f"E0,16/08/2024,Ashford,Guest {n},{row}" for n, row in enumerate(cells))
    )


def facts(batch: Batch) -> set[tuple]:
    columns = ["bookmaker", "market", "line", "outcome", "phase", "price"]
    return {
        tuple(None if pd.isna(value) else value for value in row)
        for row in batch.quotes[columns].itertuples(index=False)
    }


def aside(batch: Batch) -> list[tuple]:
    return [(row.row, row.column, row.value) for row in batch.set_aside.itertuples()]


# --- a file's matches


def test_a_file_becomes_tidy_tables():
    batch = read(HEADER, MATCH)

    event = batch.events.iloc[0]
    assert event["event_id"] == event_id("football-data", "E0", "2024-08-16", "Ashford", "Brook")
    assert (event["sport"], event["competition"], event["season"], event["source"]) == (
        "soccer",
        "E0",
        "2425",
        "football-data",
    )
    assert (event["home"], event["away"], event["time_known"]) == ("Ashford", "Brook", False)
    assert event["starts_at"] == pd.Timestamp("2024-08-16", tz="UTC")
    result = batch.results.iloc[0]
    assert (result["home_score"], result["away_score"], result["status"]) == (2, 1, "final")
    assert pd.isna(result["settled_at"])
    assert batch.results["with_overtime"].tolist() == [False]
    assert facts(batch) == {
        ("bet365", "h2h", None, outcome, "early", price)
        for outcome, price in (("home", 1.8), ("draw", 3.5), ("away", 4.5))
    }
    assert (batch.quotes["collected_at"] == pd.Timestamp(AT)).all()
    assert batch.quotes["observed_at"].isna().all()
    assert set(batch.quotes["event_id"]) == {event["event_id"]}
    assert batch.set_aside.empty


def test_the_tables_are_exactly_what_tidy_returns():
    batch = read(HEADER, MATCH)

    for name in ("events", "quotes", "results"):
        frame = getattr(batch, name)
        pd.testing.assert_frame_equal(frame, tables.tidy(name, frame))


@pytest.mark.parametrize(
    ("date", "time", "starts_at"),
    [
        ("16/08/24", "20:00", "2024-08-16T19:00Z"),  # summer time is one hour ahead of UTC
        ("14/12/2024", "15:00", "2024-12-14T15:00Z"),
        ("16/08/2024", " 20:00", "2024-08-16T19:00Z"),
        ("17/08/2024", "00:30", "2024-08-16T23:30Z"),  # the day in UTC is the one before
        ("27/10/2024", "01:30", "2024-10-27T00:30Z"),  # happens twice that night; the earlier
        ("31/03/2024", "01:30", "2024-03-31T01:00Z"),  # never happens: the clock goes from 01:00 to 02:00
    ],
)
def test_clock_times_are_uk_local_times(date, time, starts_at):
    batch = read("Div,Date,Time,HomeTeam,AwayTeam", f"E0,{date},{time},Ashford,Brook")

    assert batch.events["starts_at"][0] == pd.Timestamp(starts_at)
    assert batch.events["time_known"][0]


def test_the_identifier_has_the_date_as_the_file_writes_it_also_when_the_day_in_utc_differs():
    late = read("Div,Date,Time,HomeTeam,AwayTeam", "E0,17/08/2024,00:30,Ashford,Brook")

    assert late.events["event_id"][0] == event_id("football-data", "E0", "2024-08-17", "Ashford", "Brook")


def test_an_unreadable_time_is_set_aside_and_the_match_kept_by_its_date():
    batch = read(
        "Div,Date,Time,HomeTeam,AwayTeam", "E0,16/08/2024,8pm,Ashford,Brook", "E0,17/08/2024,,Ashford,Crane"
    )

    assert batch.events["time_known"].tolist() == [False, False]
    assert batch.events["starts_at"][0] == pd.Timestamp("2024-08-16", tz="UTC")
    assert aside(batch) == [(2, "Time", "8pm")]


def test_two_digit_years_reach_from_1993_to_today():
    seasons = {"9394": "93", "2425": "24"}

    days = [
        read("Div,Date,HomeTeam,AwayTeam", f"E0,14/08/{year},Ashford,Brook", season=season).events
        for season, year in seasons.items()
    ]

    assert pd.concat(days)["starts_at"].dt.year.tolist() == [1993, 2024]


def test_a_match_without_a_score_is_unknown():
    batch = read(HEADER, "E0,16/08/2024,Ashford,Brook,,,,1.8,3.5,4.5", "E0,16/08/2024,Crane,Dell,1,,,,,")

    assert batch.results["status"].tolist() == ["unknown", "unknown"]
    assert batch.results[["home_score", "away_score"]].isna().all(axis=None)
    assert len(batch.quotes) == 3


@pytest.mark.parametrize(
    ("score", "column", "text"),
    [("x,1,H", "FTHG", "x"), ("2,1.5,H", "FTAG", "1.5"), ("inf,1,H", "FTHG", "inf"), ("4,0,D", "FTR", "D")],
)
def test_a_score_that_cannot_be_or_contradicts_the_result_is_set_aside(score, column, text):
    batch = read("Div,Date,HomeTeam,AwayTeam,FTHG,FTAG,FTR", f"E0,16/08/2024,Ashford,Brook,{score}")

    assert batch.results["status"].tolist() == ["unknown"]
    assert batch.results["home_score"].isna().all()
    assert aside(batch) == [(2, column, text)]


def test_a_score_without_a_result_column_is_final():
    batch = read("Div,Date,HomeTeam,AwayTeam,FTHG,FTAG,FTR", "E0,16/08/2024,Ashford,Brook,0,3,")

    assert batch.results[["home_score", "away_score", "status"]].to_numpy().tolist() == [[0, 3, "final"]]


def test_teams_under_short_headers_are_read():
    batch = read("Div,Date,HT,AT,FTHG,FTAG", "E0,16/08/2024,Ashford,Brook,1,1")

    assert batch.events[["home", "away"]].to_numpy().tolist() == [["Ashford", "Brook"]]
    assert batch.set_aside.empty


def test_comma_only_and_empty_lines_are_ignored_and_line_numbers_still_count_them():
    batch = read(HEADER, ",,,,,,,,,", "", MATCH.replace("3.5", "?"), ",,,")

    assert len(batch.events) == 1
    assert aside(batch) == [(4, "B365D", "?")]


@pytest.mark.parametrize(
    ("row", "column", "text"),
    [
        (",#REF!,,,,,,,,", "Date", "#REF!"),
        ("E0,31/02/2024,Ashford,Crane,1,1,D,,,", "Date", "31/02/2024"),
        ("E0,2024-08-16,Ashford,Crane,1,1,D,,,", "Date", "2024-08-16"),
        ("E0,16/08/2024,,Crane,1,1,D,,,", "HomeTeam", ""),
        ("E0,16/08/2024,Ashford,\xa0,1,1,D,,,", "AwayTeam", ""),
        ("E0,16/08/2024,Ashford,Ashford,1,1,D,,,", "AwayTeam", "Ashford"),
        ("EC,16/08/2024,Ashford,Crane,1,1,D,,,", "Div", "EC"),
    ],
)
def test_a_row_that_is_no_match_of_the_league_is_set_aside(row, column, text):
    batch = read(HEADER, row, MATCH)

    assert batch.events["away"].tolist() == ["Brook"]
    assert aside(batch) == [(2, column, text)]
    assert batch.set_aside["where"].tolist() == ["http://provider/file.csv"]


def test_a_match_listed_twice_word_for_word_counts_once():
    batch = read(HEADER, MATCH, MATCH)

    assert len(batch.events) == len(batch.results) == 1
    assert len(batch.quotes) == 3
    assert batch.set_aside["row"].tolist() == [2]
    assert "line 3, word for word" in batch.set_aside["reason"][0]


def test_of_a_match_listed_twice_with_other_values_the_last_counts():
    batch = read(HEADER, MATCH, MATCH.replace("1.8", "1.9"))

    assert ("bet365", "h2h", None, "home", "early", 1.9) in facts(batch)
    assert len(batch.quotes) == 3
    assert aside(batch) == [(2, "", MATCH)]
    assert "other values" in batch.set_aside["reason"][0]


def test_a_wide_row_keeps_its_good_cells_and_a_narrow_row_lacks_only_the_missing():
    batch = read(HEADER, MATCH + ",,7.5,", "E0,17/08/2024,Crane,Dell,0,0,D,2.1")

    assert len(batch.quotes) == 4
    assert aside(batch) == [(2, "", "7.5")]


def test_header_cells_that_are_empty_repeated_or_undescribed_are_not_read_and_said():
    batch = read(f"{HEADER},,B365H,XYZH,HxG,HFKC,", f"{MATCH},5,9.9,2.2,1.1,12,")

    assert facts(batch) == facts(read(HEADER, MATCH))
    assert aside(batch) == [(1, "", ""), (1, "B365H", ""), (1, "XYZH", "")]


def test_byte_order_mark_windows_1252_and_line_ends_do_not_matter():
    plain = read(HEADER, MATCH.replace("Ashford", "Málaga"))

    text = f"{HEADER}\n{MATCH.replace('Ashford', 'Málaga')}\n"
    for content in (
        b"\xef\xbb\xbf" + text.encode(),
        text.encode("cp1252"),
        text.replace("\n", "\r").encode(),
    ):
        pd.testing.assert_frame_equal(read_bytes(content).events, plain.events)


def test_a_byte_order_mark_is_none_of_the_letters_and_an_odd_byte_changes_its_own_line_only():
    good, odd = BRAZIL[0].replace("Ashford", "São"), BRAZIL[1].replace("Ashford", "Avaí")
    text = "\n".join((NEW_HEADER, good)).encode() + b"\n" + odd.encode("cp1252") + b"\n"

    for mark in (b"", b"\xef\xbb\xbf", 2 * b"\xef\xbb\xbf"):
        batch = read_bytes(mark + text, "BRA", None)

        assert batch.events["season"].tolist() == ["2023", "2024"]
        assert set(batch.events["home"]) | set(batch.events["away"]) == {"São", "Brook", "Avaí"}


def test_an_odd_byte_in_the_first_line_does_not_hide_the_columns():
    content = b"\xef\xbb\xbf" + f"{NEW_HEADER},\n{BRAZIL[0]},\n".encode().replace(b",\n", b",\xe9\n", 1)

    assert read_bytes(content, "BRA", None).events["season"].tolist() == ["2023"]


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_a_file_of_utf_16_is_read_as_its_byte_order_mark_says(order):
    batch = read_bytes(
        f"\ufeff{NEW_HEADER}\n{BRAZIL[0].replace('Ashford', 'São')}\n".encode(order), "BRA", None
    )

    assert batch.events["home"].tolist() == ["São"]


def test_a_new_leagues_file_without_its_country_or_season_is_an_error():
    for lacking in ("Country", "Season"):
        with pytest.raises(
            SourceError, match=r"file\.csv: the columns Country and Season are missing; a file of BRA"
        ):
            new_league(*BRAZIL, header=NEW_HEADER.replace(lacking, "Other"))


def test_bytes_that_windows_1252_lacks_cost_no_match():
    batch = read_bytes(f"{HEADER},Referee\n{MATCH},".encode() + b"O\x92Neil \x81\n")

    assert len(batch.quotes) == 3


def test_white_space_around_and_in_team_names_does_not_make_another_team():
    row = "E0,{},{},1,1,D,,,"
    lines = [
        row.format("16/08/2024", "Ashford,Brook"),
        row.format("17/08/2024", " Ashford\xa0,Crane  Town"),
        row.format("18/08/2024", "Crane Town,Brook "),
    ]

    for encoding in ("utf-8", "cp1252"):
        batch = read_bytes("\n".join([HEADER, *lines, ""]).encode(encoding))

        assert set(batch.events["home"]) | set(batch.events["away"]) == {"Ashford", "Brook", "Crane Town"}


def test_a_team_spelled_two_ways_goes_by_its_most_frequent_spelling():
    row = "E0,{}/08/2024,{},1,1,D,,,"
    batch = read(
        HEADER,
        row.format(16, "Santa FE,Brook"),
        row.format(17, "Santa Fe,Crane"),
        row.format(18, "Dell,Santa Fe"),
    )

    assert batch.events[["home", "away"]].to_numpy().ravel().tolist().count("Santa Fe") == 3


def test_a_stray_quotation_mark_spoils_its_own_line_only():
    batch = read(HEADER, 'E0,16/08/2024,"Ashford,Brook,2,1,H,1.8,3.5,4.5', MATCH.replace("Brook", '"Crane"'))

    assert batch.events["away"].tolist() == ["Crane"]
    assert batch.set_aside["row"].tolist() == [2]


# --- a file's odds


def test_price_columns_are_told_apart_by_book_market_and_phase():
    # each of the three lines holds the numbers that stand in order under the names above it
    columns = (
        "BFH,BFD,BFA,BFCD,BFDH,BFDD,BFDA,BFDCD,BFEH,BFED,BFECA,PSH,PSCH,MaxCA,BbAvD,"
        "P>2.5,PC<2.5,BbMx>2.5,B365C>2.5"
    )
    batch = with_odds(columns, ",".join(f"{2 + n / 100:.2f}" for n in range(19)))

    h2h, totals = ("h2h", None), ("totals", 2.5)
    expected = [
        ("betfair_sportsbook", *h2h, "home", "early"),
        ("betfair_sportsbook", *h2h, "draw", "early"),
        ("betfair_sportsbook", *h2h, "away", "early"),
        ("betfair_sportsbook", *h2h, "draw", "close"),
        ("betfred", *h2h, "home", "early"),
        ("betfred", *h2h, "draw", "early"),
        ("betfred", *h2h, "away", "early"),
        ("betfred", *h2h, "draw", "close"),
        ("betfair_exchange", *h2h, "home", "early"),
        ("betfair_exchange", *h2h, "draw", "early"),
        ("betfair_exchange", *h2h, "away", "close"),
        ("pinnacle", *h2h, "home", "early"),
        ("pinnacle", *h2h, "home", "close"),
        ("market_maximum", *h2h, "away", "close"),
        ("market_average", *h2h, "draw", "early"),
        ("pinnacle", *totals, "over", "early"),
        ("pinnacle", *totals, "under", "close"),
        ("market_maximum", *totals, "over", "early"),
        ("bet365", *totals, "over", "close"),
    ]
    assert facts(batch) == {(*key, round(2 + n / 100, 2)) for n, key in enumerate(expected)}


def test_no_column_name_has_two_readings():
    readings = defaultdict(set)
    for book, bookmaker in FOOTBALL_DATA.items():
        for phase in ("", "C"):
            for outcome in ("H", "D", "A", ">2.5", "<2.5", "AHH", "AHA"):
                readings[f"{book}{phase}{outcome}"].add((bookmaker, phase, outcome))

    assert not {name: found for name, found in readings.items() if len(found) > 1}


def test_statistics_and_counts_are_not_prices():
    batch = with_odds(
        "HC,AC,HHW,HBP,HO,HF,AH,Bb1X2,BbOU,BbAH,BbAHh,Attendance,B365H",
        "5,6,7,8,9,10,,30,20,10,-0.5,30000,1.8",
    )

    assert facts(batch) == {("bet365", "h2h", None, "home", "early", 1.8)}
    assert batch.set_aside.empty


def test_the_line_of_a_spread_is_the_home_teams_on_both_rows():
    batch = with_odds("AHh,PAHH,PAHA,AHCh,PCAHH,PCAHA,BbAHh,BbMxAHH", "-0.75,1.9,2.0,-1,1.95,1.97,+0.25,2.05")

    assert facts(batch) == {
        ("pinnacle", "spreads", -0.75, "home", "early", 1.9),
        ("pinnacle", "spreads", -0.75, "away", "early", 2.0),
        ("pinnacle", "spreads", -1.0, "home", "close", 1.95),
        ("pinnacle", "spreads", -1.0, "away", "close", 1.97),
        ("market_maximum", "spreads", 0.25, "home", "early", 2.05),
    }


def test_a_books_own_line_goes_before_the_shared_one():
    batch = with_odds("GBAHH,GBAH,LBAHA,LBAH,B365AHH,B365AHA,AHh", "1.9,0.5,1.8,0.25,2.0,1.85,0")

    assert {(bookmaker, line) for bookmaker, _, line, *_ in facts(batch)} == {
        ("gamebookers", 0.5),
        ("ladbrokes", 0.25),
        ("bet365", 0.0),
    }


def test_a_level_handicap_has_one_spelling():
    batch = with_odds("AHh,PAHH", "-0.0,1.9", "0,1.9")

    assert [str(line) for line in batch.quotes["line"]] == ["0.0", "0.0"]


@pytest.mark.parametrize("line", ["-1.2", "0.758", "-1.5/-2", "-225", "1.84", "inf", "#"])
def test_prices_with_an_unusable_line_are_set_aside_with_it(line):
    batch = with_odds("AHh,PAHH,PAHA,PSH", f"{line},1.9,2.0,1.8")

    assert [bookmaker for bookmaker, *_ in facts(batch)] == ["pinnacle"]
    assert sorted(aside(batch)) == [(2, "AHh", line), (2, "PAHA", "2.0"), (2, "PAHH", "1.9")]


def test_prices_without_a_line_are_set_aside():
    assert aside(with_odds("AHh,PAHH", ",1.9")) == [(2, "PAHH", "1.9")]
    assert aside(with_odds("PAHH", "1.9")) == [(2, "PAHH", "1.9")]


@pytest.mark.parametrize("text", ["0", "#REF!", "#", "-", "x", "1xBet", "1,9", "inf", "nan", "1e9", "#N/A"])
def test_an_unusable_odds_cell_is_set_aside_and_its_neighbours_kept(text):
    batch = with_odds("B365H,B365D,B365A", ",3.5,4.5", f'"{text}",3.5,4.5')

    assert batch.quotes["price"].tolist() == [3.5, 4.5, 3.5, 4.5]
    assert aside(batch) == [(3, "B365H", text)]


@pytest.mark.parametrize("text", ["0.925", "1", "-0.5", "1.0"])
def test_a_number_up_to_one_takes_its_market_of_that_bookmaker_with_it(text):
    # two cells that look like prices beside a handicap or a fraction are in the wrong column or format too
    batch = with_odds("B365H,B365D,B365A,B365>2.5,PSH,B365CH", f"3,4.75,{text},1.9,1.8,1.85", "1.7,3.5,5,,,")

    assert sorted(batch.quotes["price"]) == [1.7, 1.8, 1.85, 1.9, 3.5, 5.0]
    assert aside(batch) == [(2, "B365H", "3"), (2, "B365D", "4.75"), (2, "B365A", text)]


def test_prices_that_look_absurd_together_are_stored_as_the_file_has_them():
    batch = with_odds("BFEH,BFED,BFEA", "1.01,1.02,1.9", "1000,980,950")

    assert len(batch.quotes) == 6
    assert batch.set_aside.empty


def test_two_names_of_one_bookmaker_do_not_quote_a_price_twice():
    batch = with_odds("VCH,BVH,PSH,PH", "1.8,1.81,1.9,1.91")

    assert facts(batch) == {
        ("betvictor", "h2h", None, "home", "early", 1.8),
        ("pinnacle", "h2h", None, "home", "early", 1.9),
    }
    assert aside(batch) == [(1, "BVH", ""), (1, "PH", "")]


PRICES = st.none() | st.integers(101, 100_000).map(lambda hundredths: hundredths / 100)


# a busy machine is no failure
@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(PRICES, PRICES, PRICES, PRICES), min_size=1, max_size=8))
def test_whatever_prices_a_file_holds_are_the_prices_read(rows):
    cells = [",".join("" if price is None else f"{price}" for price in row) for row in rows]

    batch = with_odds("PSH,PSCD,Avg>2.5,BWA", *cells)

    assert batch.quotes["price"].tolist() == [price for row in rows for price in row if price is not None]
    guests = batch.events.set_index("event_id")["away"]
    assert guests[batch.quotes["event_id"]].tolist() == [
        f"Guest {n}" for n, row in enumerate(rows) for price in row if price is not None
    ]


# --- new leagues


def new_league(
    *lines: str, season: str | None = None, header: str = NEW_HEADER, competition: str = "BRA"
) -> Batch:
    return read(header, *lines, competition=competition, season=season)


BRAZIL = (
    "Brazil,Serie A,2023,29/07/2023,01:00,Ashford,Brook,2,0,H,1.5,4.1,7.2",
    "Brazil,Serie A ,2024,11/12/2024,19:00,Brook,Ashford,,,,2.5,3.1,3.2",
)


def test_a_new_leagues_file_holds_many_seasons_and_closing_odds_only():
    batch = new_league(*BRAZIL)

    assert batch.events["season"].tolist() == ["2023", "2024"]
    assert batch.quotes.groupby("season")["price"].sum().round(6).to_dict() == {"2023": 12.8, "2024": 8.8}
    assert batch.events["starts_at"].tolist() == [
        pd.Timestamp("2023-07-29T00:00Z"),
        pd.Timestamp("2024-12-11T19:00Z"),
    ]
    assert batch.results["status"].tolist() == ["final", "unknown"]
    assert set(batch.quotes["phase"]) == {"close"}
    assert batch.set_aside.empty


def test_old_names_of_a_new_leagues_columns_are_closing_odds_too():
    old = new_league(*BRAZIL, header=NEW_HEADER.replace("PSC", "P"))

    assert facts(old) == facts(new_league(*BRAZIL))


def test_one_season_of_a_new_league_is_read_alone():
    batch = new_league(*BRAZIL, season="2024")

    assert batch.events["season"].tolist() == ["2024"]
    assert set(batch.quotes["season"]) == set(batch.results["season"]) == {"2024"}


def test_a_season_that_the_file_does_not_hold_is_an_error_that_says_what_it_holds():
    with pytest.raises(SourceError, match=r"file\.csv: holds no season '2012'; it holds 2023, 2024\."):
        new_league(*BRAZIL, season="2012")


def test_a_row_of_another_country_or_without_a_season_is_set_aside():
    batch = new_league(*BRAZIL, BRAZIL[0].replace("Brazil", "China"), BRAZIL[1].replace("2024,", ",", 1))

    assert len(batch.events) == 2
    assert aside(batch) == [(4, "Country", "China"), (5, "Season", "")]


# --- answers that are no file


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the answer is empty"),
        (b"\xef\xbb\xbf\r\n \r\n", "the answer is empty"),
        (b"<!DOCTYPE HTML>\n<html><body>Multiple Choices</body></html>\n", "the answer is a web page"),
        (b"\r\n <html><body>Sorry</body></html>", "the answer is a web page"),
        (
            b"Div,Day,Host\nE0,16/08/2024,Ashford\n",
            "the first line is 'Div,Day,Host'; a file with Date, HomeTeam and AwayTeam is expected",
        ),
        (b"Div,Date,HomeTeam,Away", "cut off before its first match is complete"),
        (f"{HEADER}\r\n{MATCH[:30]}".encode(), "cut off before its first match is complete"),
        (f"{HEADER}\r\n,,,,\r\n".encode(), "holds no match"),
        (
            f"{HEADER}\n{MATCH.replace('E0', 'EC')}\n".encode(),
            "none of its 1 rows is a match of E0; line 2, Div 'EC'",
        ),
        (b"a" * 200_000 + b"\nb\n", "not a CSV file"),
        (bytes(range(256)) * 4, "expected"),
    ],
)
def test_an_answer_that_is_no_file_of_matches_is_one_clear_sentence(content, reason):
    with pytest.raises(SourceError) as error:
        read_bytes(content)

    assert reason in str(error.value)
    assert str(error.value).startswith("http://provider/file.csv: ")
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_file_cut_off_in_a_line_keeps_the_lines_before():
    batch = read_bytes(f"{HEADER}\r\n{MATCH}\r\nE0,17/08/2024,Crane,Dell,1,0,H,2.1,3".encode())

    assert batch.events["home"].tolist() == ["Ashford"]
    assert aside(batch) == [(3, "", "E0,17/08/2024,Crane,Dell,1,0,H,2.1,3")]
    assert "cut off" in batch.set_aside["reason"][0]


def test_a_whole_last_line_without_a_line_end_is_kept():
    assert len(read_bytes(f"{HEADER}\n{MATCH}".encode()).quotes) == 3


WHOLE = "".join(
    f"{line},\r\n"
    for line in (HEADER, MATCH, MATCH.replace("Brook", "Crane"), MATCH.replace("Brook", "Dell"))
).encode()


# a busy machine is no failure
@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(WHOLE)))
def test_a_file_cut_off_anywhere_never_yields_a_fact_that_the_whole_file_lacks(length):
    whole = read_bytes(WHOLE)
    try:
        part = read_bytes(WHOLE[:length])
    except SourceError:
        assert length < len(f"{HEADER},\r\n{MATCH},")
        return

    # a part has only its own words as categories
    rows = len(part.events)
    pd.testing.assert_frame_equal(part.events, tables.tidy("events", whole.events.head(rows)))
    pd.testing.assert_frame_equal(part.results, tables.tidy("results", whole.results.head(rows)))
    pd.testing.assert_frame_equal(part.quotes, tables.tidy("quotes", whole.quotes.head(3 * rows)))


# a busy machine is no failure
@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            [
                *HEADER.split(","),
                "Country",
                "Season",
                "Time",
                "",
                "E0",
                "16/08/24",
                "a",
                "b",
                "1.5",
                "#",
                '"',
                "\n",
                "\r\n",
            ]
        )
    )
)
def test_any_jumble_of_cells_is_a_batch_or_a_source_error(cells):
    try:
        batch = read_bytes(",".join(cells).encode())
    except SourceError as error:
        assert str(error).startswith("http://provider/file.csv: ")
    else:
        assert len(batch.events) > 0


# --- fetching


@pytest.fixture
def provider(serve, tmp_path):
    """A server with two files, and a fetcher of it."""
    for path, lines in {"mmz4281/2425/E0.csv": (HEADER, MATCH), "new/BRA.csv": (NEW_HEADER, *BRAZIL)}.items():
        (tmp_path / "site" / path).parent.mkdir(parents=True)
        (tmp_path / "site" / path).write_text("".join(f"{line}\r\n" for line in lines))
    served = serve(tmp_path / "site")
    with Fetcher("football-data", served.url, tmp_path / "cache") as fetcher:
        yield served, fetcher


def test_leagues_and_seasons_come_one_batch_a_file_in_order(provider):
    served, fetcher = provider

    division, *years = [
        *batches(fetcher, ["E0"], ["2425"]),
        *batches(fetcher, ["BRA"], ["2024", "2023"]),
        *batches(fetcher, ["BRA"]),
    ]

    assert (division.events["competition"][0], division.events["season"][0]) == ("E0", "2425")
    assert [batch.events["season"].tolist() for batch in years] == [["2024"], ["2023"], ["2023", "2024"]]
    # the second and third look at one file, from the cache
    assert served.hits == ["/mmz4281/2425/E0.csv", "/new/BRA.csv"]


def test_a_price_was_collected_when_the_provider_answered_not_when_the_cache_did(provider):
    _, fetcher = provider
    first, again = (next(batches(fetcher, ["E0"], ["2425"])) for _ in range(2))

    assert fetcher.requests[-1]["from_cache"]
    gap = abs(again.quotes["collected_at"][0] - first.quotes["collected_at"][0])
    assert gap < pd.Timedelta("1s")
    assert first.quotes["collected_at"][0] <= pd.Timestamp(fetcher.requests[-1]["at"])


def test_a_file_that_the_provider_lacks_is_said_with_league_season_and_address(provider):
    served, fetcher = provider

    with pytest.raises(SourceError) as error:
        list(batches(fetcher, ["D1"], ["2425"]))

    expected = (
        "football-data.co.uk has no file for league D1 and season 2425 "
        f"({served.url}/mmz4281/2425/D1.csv answered 300)."
    )
    assert str(error.value) == expected


@pytest.fixture
def fetcher(tmp_path):
    """A fetcher of nobody."""
    with Fetcher("football-data", "http://127.0.0.1:1", tmp_path / "cache") as nobody:
        yield nobody


@pytest.mark.parametrize("status", [0, 403, 503])
def test_a_provider_that_is_down_is_not_a_missing_file(monkeypatch, fetcher, status):
    def fail(path, ttl):
        raise FetchError("no answer", status)

    monkeypatch.setattr(fetcher, "get", fail)
    with pytest.raises(FetchError, match="no answer"):
        list(batches(fetcher, ["E0"], ["2425"]))


@pytest.mark.parametrize(
    ("leagues", "seasons", "said"),
    [
        (["E0", "E9"], ["2425"], "league 'E9' is unknown; allowed: E0, E1, "),
        (["e0"], ["2425"], "'e0'"),
        (["E0"], [], "league E0 needs a season"),
        (
            ["E0"],
            ["2425", "2426"],
            "season '2426' cannot be used for league E0; give seasons as two consecutive years, such as '2425'",
        ),
        (["E0"], ["9293"], "from '9394' to '2526'"),
        (["E0"], ["2627"], "'2627'"),
        (["E0"], ["2024/2025"], "'2024/2025'"),
        (["E0", "BRA"], ["2425", "2012/13"], "season '2012/13' cannot be used for league E0"),
        (
            ["BRA"],
            ["2012", "12"],
            "season '12' cannot be used for league BRA; write it as its file does, such as '2012' or '2012/2013'",
        ),
    ],
)
def test_a_wrong_league_or_season_is_said_before_anything_is_fetched(fetcher, leagues, seasons, said):
    # also the call alone, without taking the first batch
    with pytest.raises(ParameterError, match=re.escape(said)):
        batches(fetcher, leagues, seasons, now=datetime(2025, 3, 1, tzinfo=UTC))

    assert fetcher.requests == []


@pytest.mark.parametrize(
    ("league", "season", "now", "days"),
    [
        ("E0", "2425", "2025-09-01", 30),
        ("E0", "2425", "2025-06-30", 1 / 24),
        ("E0", "1920", "2020-08-20", 1 / 24),  # the season that ended in August
        ("E0", "9900", "2025-01-01", 30),
        ("E0", "2526", "2025-08-10", 1 / 24),
        ("BRA", "2023", "2025-08-10", 1 / 24),
    ],
)
def test_a_season_that_is_over_stays_in_the_cache_for_a_month_and_others_for_an_hour(
    monkeypatch, fetcher, league, season, now, days
):
    asked = []
    match = MATCH.replace("2024", f"{'19' if season > '93' else '20'}{season[:2]}")
    content = "\n".join((NEW_HEADER, *BRAZIL) if league == "BRA" else (HEADER, match)).encode()
    monkeypatch.setattr(
        fetcher, "get", lambda path, ttl: asked.append(ttl) or Answer(path, 200, content, AT, False, {})
    )

    list(batches(fetcher, [league], [season], now=datetime.fromisoformat(now).replace(tzinfo=UTC)))

    assert asked == [days * 24 * 3600]


# --- the archive, against a reading that shares nothing with the library

BOOKS = {
    "B365": "bet365",
    "BF": "betfair_sportsbook",
    "BFD": "betfred",
    "BFE": "betfair_exchange",
    "BS": "bluesquare",
    "BV": "betvictor",
    "BW": "bwin",
    "GB": "gamebookers",
    "IW": "interwetten",
    "LB": "ladbrokes",
    "P": "pinnacle",
    "PP": "paddypower",
    "PS": "pinnacle",
    "SB": "sportingbet",
    "SJ": "stanjames",
    "SKB": "skybet",
    "SO": "sportingodds",
    "SY": "stanleybet",
    "VC": "betvictor",
    "WH": "williamhill",
    "1XB": "1xbet",
    "Max": "market_maximum",
    "Avg": "market_average",
    "BbMx": "market_maximum",
    "BbAv": "market_average",
}
MARKETS = {
    "h2h": {"H": "home", "D": "draw", "A": "away"},
    "totals": {">2.5": "over", "<2.5": "under"},
    "spreads": {"AHH": "home", "AHA": "away"},
}


def archive_files(folder: Path) -> list[tuple[Path, str, str | None]]:
    """Each file of the archive with its league and season; a file of several divisions once for each."""
    files: list[tuple[Path, str, str | None]] = []
    for path in sorted(folder.rglob("*.csv")):
        if path.parent.name.startswith("new"):
            files.append((path, path.stem, None))
        elif path.stem in ("fixtures", "Latest_Results"):
            text, season = path.read_text("utf-8-sig"), re.sub(r".*-.*-.*", "2627", path.parent.name)[:4]
            files += [(path, division, season) for division in DIVISIONS if f"\n{division}," in text]
        elif path.parent.name == "revisions":
            season, division = path.name.split(".")[0].split("-")
            files.append((path, division, season))
        else:
            files.append((path, path.stem, re.sub(r".*-.*-.*", "2627", path.parent.name).split("-")[0]))
    return files


def plainly(path: Path, league: str) -> tuple[int, dict]:
    """Count the matches, and per bookmaker, market, outcome and phase the prices, their sum and the sum of
    their lines.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252")
    matches = {}
    for row in csv.DictReader(text.splitlines()):
        host, guest = (
            row.get(f"{side}Team") or row.get(side) or row.get(f"{side[0]}T") or ""
            for side in ("Home", "Away")
        )
        if row["Date"] and row.get("Div", league) == league:
            day, month, year = row["Date"].split("/")
            matches[day, month, year[-2:], host.strip().lower(), guest.strip().lower()] = row
    columns = set().union(*matches.values())
    found: dict = defaultdict(lambda: [0, 0.0, 0.0])
    for book, bookmaker in BOOKS.items():
        for letter in ("", "C"):
            for market, outcomes in MARKETS.items():
                names = {
                    outcome: f"{book}{letter}{suffix}"
                    for suffix, outcome in outcomes.items()
                    if f"{book}{letter}{suffix}" in columns
                }
                if names:
                    own, shared = f"{book}AH", "BbAHh" if book[:2] == "Bb" else f"AH{letter}h"
                    count_prices(
                        matches.values(),
                        names,
                        market,
                        own if own in columns else shared,
                        (bookmaker, "close" if letter or "Country" in columns else "early"),
                        found,
                    )
    return len(matches), found


def count_prices(rows, names, market, handicap, who, found) -> None:
    for row in rows:
        prices = {outcome: number(row[name]) for outcome, name in names.items()}
        line = 2.5 if market == "totals" else 0.0 if market == "h2h" else number(row.get(handicap))
        fits = line is not None and line in [quarter / 4 for quarter in range(-20, 21)]
        if not fits or any(price is not None and price != 0 and price <= 1 for price in prices.values()):
            continue
        for outcome, price in prices.items():
            if price:
                sums = found[who[0], market, outcome, who[1]]
                sums[:] = sums[0] + 1, sums[1] + price, sums[2] + line


def number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


@pytest.mark.slow
def test_every_file_of_the_archive_is_read_as_an_independent_reading_reads_it(recorded):
    files = unusable = matches = prices = 0
    for path, league, season in archive_files(recorded / "football-data"):
        where = f"{path.parent.name}/{path.name} {league}"
        content = path.read_bytes()
        if content.startswith(b"<") or (
            path.parent.parent.name == "daily-2627" and f"\n{league},".encode() not in content
        ):
            # before the season begins: an HTML page, or the file of the division with the nearest name
            with pytest.raises(SourceError):
                parse(content, where, competition=league, season=season, collected_at=AT)
            unusable += 1
            continue

        batch = parse(content, where, competition=league, season=season, collected_at=AT)

        expected_matches, expected = plainly(path, league)
        keys = ["bookmaker", "market", "outcome", "phase"]
        sums = (
            batch.quotes.fillna({"line": 0.0})
            .groupby(keys)
            .agg(n=("price", "size"), price=("price", "sum"), line=("line", "sum"))
        )
        assert len(batch.events) == len(batch.results) == expected_matches, where
        assert batch.events["event_id"].is_unique, where
        assert sums["n"].to_dict() == {key: n for key, (n, _, _) in expected.items()}, where
        assert sums["price"].to_dict() == pytest.approx(
            {key: price for key, (_, price, _) in expected.items()}
        ), where
        assert sums["line"].to_dict() == pytest.approx(
            {key: line for key, (_, _, line) in expected.items()}
        ), where
        # a remark on the header is a column that is not understood
        assert not (batch.set_aside["row"] == 1).any(), where
        files, matches, prices = files + 1, matches + len(batch.events), prices + len(batch.quotes)
    # counted apart from the library when this was written
    assert (files, unusable) == (457, 18)
    assert matches == 185_582
    assert prices > 5_800_000


@pytest.fixture(scope="module")
def season_of(recorded):
    def load(season: str, division: str = "E0") -> Batch:
        content = (recorded / "football-data" / "mmz4281" / season / f"{division}.csv").read_bytes()
        return parse(content, f"{season}/{division}", competition=division, season=season, collected_at=AT)

    return load


@pytest.mark.slow
@pytest.mark.parametrize(
    ("season", "champion", "points"),
    [("1516", "Leicester", 81), ("1718", "Man City", 100), ("2425", "Liverpool", 84)],
)
def test_champions_have_the_points_that_history_gave_them(season_of, season, champion, points):
    batch = season_of(season)

    games = batch.results.merge(batch.events[["event_id", "home", "away"]], on="event_id")
    ahead = games["home_score"] - games["away_score"]
    home = ahead.map(lambda goals: 3 if goals > 0 else goals == 0).astype(int).groupby(games["home"]).sum()
    away = ahead.map(lambda goals: 3 if goals < 0 else goals == 0).astype(int).groupby(games["away"]).sum()
    table = (home + away).sort_values()
    assert (table.index[-1], table.iloc[-1]) == (champion, points)


@pytest.mark.slow
@pytest.mark.parametrize("season", ["9596", "0001", "0405", "1314", "1920", "2122", "2425"])
def test_a_season_of_twenty_teams_has_380_matches(season_of, season):
    batch = season_of(season)

    assert len(batch.events) == 380
    assert batch.events["home"].nunique() == 20
    assert (batch.results["status"] == "final").all()


@pytest.fixture(scope="module")
def overrounds(season_of):
    """Sum of 1/price of every complete 1X2 market in the ten divisions of every third season, by bookmaker
    and phase.
    """
    parts = []
    for season in ("0607", "0910", "1213", "1516", "1819", "2122", "2425"):
        for division in ("E0", "E1", "E2", "E3", "SC0", "D1", "I1", "SP1", "F1", "N1"):
            quotes = season_of(season, division).quotes
            market = quotes[
                (quotes["market"] == "h2h")
                & quotes["bookmaker"].isin(["bet365", "pinnacle", "market_average"])
            ]
            parts.append(market.pivot_table("price", ["event_id", "bookmaker", "phase"], "outcome").dropna())
    return (1 / pd.concat(parts)).sum(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bookmaker", "phase", "expected"),
    [
        ("bet365", "early", 1.07),
        ("pinnacle", "early", 1.03),
        ("pinnacle", "close", 1.03),
        ("market_average", "early", 1.065),
    ],
)
def test_mean_overrounds_are_those_of_the_trade(overrounds, bookmaker, phase, expected):
    books = overrounds.xs((bookmaker, phase), level=("bookmaker", "phase"))

    assert len(books) > 10_000
    assert books.mean() == pytest.approx(expected, abs=0.015)
    assert books.min() > 1


def test_every_league_has_a_name():
    assert (len(DIVISIONS), len(NEW_LEAGUES)) == (22, 16)
    assert not set(DIVISIONS) & set(NEW_LEAGUES)
