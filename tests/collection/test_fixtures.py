"""The matches of the next days on football-data.co.uk: collected before they are played, the same matches later."""

from pathlib import Path

import pandas as pd
import pytest

from overround import Store, collect
from overround.errors import ParameterError, SourceError
from overround.settings import Settings

# the header of the recorded fixtures.csv of August 2026, cut to three bookmakers
ODDS = "B365H,B365D,B365A,AHh,B365AHH,B365AHA,B365CH,B365CD,B365CA"
HEADER = f"Div,Date,Time,HomeTeam,AwayTeam,Referee,{ODDS}\r\n"
MONDAY = "E0,17/08/2026,20:00,Ashby,Bexley,,2.0,3.5,4.0,-0.5,1.9,2.0,,,\r\n"
TUESDAY = "E0,18/08/2026,19:45,Corby,Dover,,1.5,4.2,7.0,-1,1.95,1.95,,,\r\n"
SCOTTISH = "SC0,18/08/2026,19:45,Kelso,Largs,,2.5,3.2,2.9,,,,,,\r\n"
OTHERS = "XX9,18/08/2026,19:45,Kelso,Largs,,2.5,3.2,2.9,,,,,,,,surplus\r\nI1,someday,,,,,,,,,,,,,\r\n"
FIXTURES = "\ufeff" + HEADER + MONDAY + SCOTTISH + OTHERS + TUESDAY + ",,,,,,,,,,,,,,\r\n"
SEASON = f"Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,{ODDS}\r\n"
PLAYED = "E0,17/08/2026,20:00,Ashby,Bexley,2,1,H,2.1,3.4,4.0,-0.25,1.85,2.05,2.2,3.4,3.9\r\n"
NEW_HEADER = "Country,League,Date,Time,Home,Away,PSH,PSD,PSA,MaxH,MaxD,MaxA\r\n"
NEW = {
    "BRA": "Brazil,Serie A,18/08/2026,00:30,Ashford,Brook,,,,2.9,3.4,2.45\r\n",
    "MEX": "Mexico,Liga MX,18/08/2026,02:00,Crane,Dell,2.1,3.3,3.6,2.2,3.4,3.7\r\n",
    "DNK": "Denmark ,Superliga ,24/05/2027,14:00,Elm,Fern,1.8,3.8,4.2,1.9,3.9,4.3\r\n",
}


class Site:
    """The provider's folder, and what a collection from it finds."""

    def __init__(self, folder: Path, serve):
        self.folder = folder / "site"
        self.folder.mkdir()
        self.served = serve(self.folder)
        self.settings = Settings(
            store=str(folder / "store"), cache=folder / "cache", football_data_url=self.served.url
        )

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())

    def collect(self, *leagues: str, seasons=("fixtures",), **more):
        for file in self.settings.cache_folder.glob("*"):
            file.unlink()
        settings = self.settings.model_copy(update=more)
        return collect("football-data", leagues=leagues, seasons=seasons, settings=settings)

    def stored(self, table: str) -> pd.DataFrame:
        return Store(self.settings.store_root).read(table)


@pytest.fixture
def site(tmp_path, serve) -> Site:
    return Site(tmp_path, serve)


def prices(site: Site, home: str = "Ashby") -> dict:
    events = site.stored("events")
    quotes = site.stored("quotes").merge(events[events["home"] == home][["event_id"]])
    names = ["market", "line", "outcome", "phase"]
    assert not quotes.duplicated(names).any()
    return {
        (market, None if pd.isna(line) else line, outcome, phase): price
        for market, line, outcome, phase, price in quotes[[*names, "price"]].itertuples(index=False)
    }


def test_fixtures_are_events_without_results_and_prices_as_early_ones(site):
    site.write("fixtures.csv", FIXTURES)

    done = site.collect("E0")

    events = site.stored("events").sort_values("starts_at")
    assert events[["home", "competition", "season"]].to_numpy().tolist() == [
        ["Ashby", "E0", "2627"],
        ["Corby", "E0", "2627"],
    ]
    # 20:00 in London in summer
    assert events["starts_at"].tolist()[0] == pd.Timestamp("2026-08-17T19:00Z") and events["time_known"].all()
    assert prices(site) == {
        ("h2h", None, "home", "early"): 2.0,
        ("h2h", None, "draw", "early"): 3.5,
        ("h2h", None, "away", "early"): 4.0,
        ("spreads", -0.5, "home", "early"): 1.9,
        ("spreads", -0.5, "away", "early"): 2.0,
    }
    quotes = site.stored("quotes")
    assert quotes["observed_at"].isna().all()
    assert (pd.Timestamp.now(tz="UTC") - quotes["collected_at"]).max() < pd.Timedelta("1min")
    assert site.stored("results").empty and set(events["status"]) == {"scheduled"}
    assert done.set_aside.empty and not done.failed  # rows of other leagues are no fault


@pytest.mark.parametrize("batch_rows", [0, 1_000])
def test_the_seasons_file_brings_the_same_match_and_its_prices_count(site, batch_rows):
    site.write("fixtures.csv", FIXTURES)
    site.collect("E0")
    before = site.stored("events").set_index("home")["event_id"]
    site.write("mmz4281/2627/E0.csv", SEASON + PLAYED)
    now = {
        ("h2h", None, "home", "early"): 2.1,
        ("h2h", None, "draw", "early"): 3.4,
        ("h2h", None, "away", "early"): 4.0,
        ("spreads", -0.25, "home", "early"): 1.85,
        ("spreads", -0.25, "away", "early"): 2.05,
        ("h2h", None, "home", "close"): 2.2,
        ("h2h", None, "draw", "close"): 3.4,
        ("h2h", None, "away", "close"): 3.9,
    }

    # the file of fixtures keeps matches that have been played, and comes in any order
    for seasons in (("2627",), ("fixtures",), ("2627", "fixtures"), ("fixtures", "2627")):
        site.collect("E0", seasons=seasons, batch_rows=batch_rows)

        events = site.stored("events").set_index("home")["event_id"]
        assert events.to_dict() == before.to_dict()
        status = site.stored("events").set_index("home")["status"].astype(str).to_dict()
        assert status == {"Ashby": "played", "Corby": "scheduled"}
        assert prices(site) == now
        results = site.stored("results")
        assert results[["event_id", "home_score"]].to_numpy().tolist() == [[before["Ashby"], 2]]
        assert len(prices(site, "Corby")) == 5


def test_a_newer_file_of_fixtures_replaces_prices_lines_and_times(site):
    site.write("fixtures.csv", FIXTURES)
    site.collect("E0")
    site.write(
        "fixtures.csv",
        HEADER + MONDAY.replace("20:00", "17:30").replace("2.0,3.5", "2.2,3.5").replace("-0.5", "-0.75"),
    )
    done = site.collect("E0")

    assert done.rows["inserted"].to_dict() == {"events": 0, "quotes": 2, "results": 0}
    assert len(site.stored("events")) == 2
    assert site.stored("events")["starts_at"].min() == pd.Timestamp("2026-08-17T16:30Z")
    assert prices(site)["h2h", None, "home", "early"] == 2.2
    assert {line for market, line, *_ in prices(site) if market == "spreads"} == {-0.75}
    assert len(prices(site, "Corby")) == 5


def test_new_leagues_have_a_file_of_their_own_without_a_season(site):
    site.write("new_league_fixtures.csv", "\ufeff" + NEW_HEADER + "".join(NEW.values()))
    site.write("fixtures.csv", FIXTURES)

    done = site.collect("BRA", "MEX", "DNK", "SC0")

    events = site.stored("events")
    assert dict(zip(events["competition"], events["season"], strict=True)) == {
        "BRA": "2026",
        "MEX": "2026/2027",
        "DNK": "2026/2027",
        "SC0": "2627",
    }
    assert prices(site, "Ashford") == {
        ("h2h", None, outcome, "early"): price
        for outcome, price in (("home", 2.9), ("draw", 3.4), ("away", 2.45))
    }
    # one call for each file, whatever the number of leagues
    assert sorted(site.served.hits) == ["/fixtures.csv", "/new_league_fixtures.csv"]
    assert done.set_aside.empty

    header = "Country,League,Season,Date,Time,Home,Away,HG,AG,Res,PSCH,PSCD,PSCA\r\n"
    played = "Brazil,Serie A,2026,18/08/2026,00:30,Ashford,Brook,1,0,H,2.5,3.1,3.2\r\n"
    site.write("new/BRA.csv", header + played)
    site.collect("BRA", seasons=())

    assert len(site.stored("events")) == 4 and len(prices(site, "Ashford")) == 6


@pytest.mark.parametrize("text", [FIXTURES.split("E0")[0], HEADER, HEADER + ",,,,\r\n\r\n"])
def test_a_file_without_matches_of_the_league_brings_nothing_and_is_no_error(site, text):
    site.write("fixtures.csv", text)

    done = site.collect("E0")

    assert done.rows["inserted"].sum() == 0 and not done.failed and done.set_aside.empty


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<html>Back soon</html>", "the answer is a web page"),
        ("", "the answer is empty"),
        ("Service unavailable\r\n", "a file with Date, HomeTeam and AwayTeam is expected"),
        (HEADER[:50], "is cut off before its first match"),
        (NEW_HEADER + NEW["BRA"], "the column Div is missing"),
        (None, r"no file for the matches of the next days .*fixtures\.csv answered 300"),
    ],
)
def test_what_is_no_file_of_fixtures_is_said_and_costs_nothing_else(site, text, said):
    if text is not None:
        site.write("fixtures.csv", text)
    site.write("new_league_fixtures.csv", NEW_HEADER + NEW["BRA"])
    site.write("mmz4281/2627/E0.csv", SEASON + PLAYED)
    done = site.collect("E0", "BRA")

    assert list(done.failed) == ["fixtures.csv"]
    site.collect("E0", seasons=("fixtures", "2627"))
    with pytest.raises(SourceError, match=said):
        site.collect("E0")
    assert sorted(site.stored("events")["competition"]) == ["BRA", "E0"]
    # a bad file is not kept
    site.write("fixtures.csv", FIXTURES)
    again = collect("football-data", leagues=["E0"], seasons=["fixtures"], settings=site.settings)
    assert again.rows.loc["events", "inserted"] == 1


def test_a_bad_row_of_the_league_is_set_aside_and_a_fault_of_the_header_is_said_once(site):
    bad = "E0,31/02/2026,20:00,Elm,Fern,,2.0,3.5,4.0,,,,,,\r\n"
    played = "E0,16/08/2026,20:00,Elm,Fern,1,0,H,2.0,3.5,4.0,-0.5,1.9,2.0,,,\r\n"
    site.write("fixtures.csv", SEASON.replace("AHh", "XYZH") + PLAYED.replace("2,1,H", ",,") + played + bad)

    done = site.collect("E0", "E1", "E2")

    aside = done.set_aside[["row", "column"]].to_numpy().tolist()
    assert aside == [[1, "XYZH"], [2, "B365AHH"], [2, "B365AHA"], [3, "FTHG"], [4, "Date"]]
    assert site.stored("events")["home"].tolist() == ["Ashby"]


def test_leagues_are_checked_before_anything_is_fetched(site):
    for leagues, seasons in ((["E9"], ("fixtures",)), (["E0"], ("fixtures", "24")), ([], ("fixtures",))):
        with pytest.raises(ParameterError):
            site.collect(*leagues, seasons=seasons)

    assert site.served.hits == []


@pytest.mark.slow
@pytest.mark.parametrize("day", ["2026-08-14", "2026-08-16"])
def test_the_recorded_files_are_read_to_the_last_row(site, recorded, day):
    file = recorded / "football-data" / "daily-2627" / day / "fixtures.csv"
    site.write("fixtures.csv", file.read_text(encoding="utf-8"))
    lines = [line.split(",") for line in file.read_text(encoding="utf-8-sig").splitlines()]
    of_division = pd.Series([line[0] for line in lines[1:]]).value_counts().to_dict()

    done = site.collect(*of_division)

    events = site.stored("events")
    assert events["competition"].astype(str).value_counts().to_dict() == of_division
    assert set(events["season"]) == {"2627"} and events["event_id"].is_unique
    assert done.set_aside.empty
    # 10 fields that are no price: Div to Referee, and the handicaps
    cells = sum(bool(cell) for line in lines[1:] for cell in line[6:]) - len(lines[1:])
    assert len(site.stored("quotes")) == cells
