"""Collecting: every job stored on its own, a failed one named, nothing fetched or stored twice."""

import pytest

from overround import Store, collect
from overround.errors import ParameterError, SourceError
from overround.settings import Settings

HEADER = "Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,B365H,B365D,B365A\n"
ROWS = (
    "E0,16/08/2024,20:00,Ashby,Bexley,1,0,H,2.0,3.5,4.0\nE0,17/08/2024,15:00,Corby,Dover,2,2,D,1.5,4.2,7.0\n"
)


@pytest.fixture
def site(tmp_path, serve):
    """A small provider with two seasons, and settings that point to it."""
    folder = tmp_path / "site" / "mmz4281"
    for season, rows in (("2425", ROWS), ("2324", ROWS.replace("2024", "2023"))):
        (folder / season).mkdir(parents=True)
        (folder / season / "E0.csv").write_text(HEADER + rows)
    served = serve(tmp_path / "site")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", football_data_url=served.url)
    return folder, served, settings


@pytest.mark.slow
def test_matches_prices_and_results_arrive_in_the_store(site):
    _, _, settings = site

    done = collect("football-data", leagues=["E0"], seasons=["2324", "2425"], settings=settings)

    assert done.rows["inserted"].to_dict() == {"events": 4, "quotes": 12, "results": 4}
    assert len(Store(settings.store_root).read("quotes", {"season": "2425"})) == 6
    assert str(done).startswith(
        "football-data: 4 new events, 12 new quotes, 4 new results; 2 requests, 0 of them answered by the cache"
    )


def test_a_second_time_nothing_is_fetched_and_nothing_stored(site):
    _, served, settings = site
    for _ in range(2):
        done = collect("football-data", leagues=["E0"], seasons=["2425"], settings=settings)

    assert len(served.hits) == 1
    assert done.rows["inserted"].sum() == 0
    assert done.rows["unchanged"].to_dict() == {"events": 2, "quotes": 6, "results": 2}


@pytest.mark.slow
def test_a_file_that_is_missing_costs_only_itself(site):
    _, _, settings = site

    done = collect("football-data", leagues=["E0"], seasons=["2223", "2425"], settings=settings)

    assert list(done.failed) == ["E0 2223"]
    assert "no file for league E0 and season 2223" in done.failed["E0 2223"]
    assert done.rows.loc["events", "inserted"] == 2


def test_when_every_job_fails_that_is_an_error(site):
    _, _, settings = site

    with pytest.raises(SourceError, match="no file for league E0 and season 2223"):
        collect("football-data", leagues=["E0"], seasons=["2223"], settings=settings)


@pytest.mark.parametrize("batch_rows", [0, 1_000])
@pytest.mark.parametrize("bad", ["no country", "Other,Columns\n1,2\n", "<html>maintenance</html>"])
def test_a_leagues_bad_file_costs_only_that_league(tmp_path, serve, batch_rows, bad):
    header = "Country,League,Season,Date,Time,Home,Away,HG,AG,Res,PSCH,PSCD,PSCA\n"
    rows = "{},L,2024,11/12/2024,19:00,Brook,Ashford,1,0,H,2.5,3.1,3.2\n"
    (tmp_path / "site" / "new").mkdir(parents=True)
    for league, country in {"ARG": "Argentina", "BRA": "Brazil", "USA": "USA"}.items():
        text = header + rows.format(country)
        if league == "BRA":  # a file without its country and season is of no league that is known
            text = text.replace("Country,League,Season,", "X,Y,Z,") if bad == "no country" else bad
        (tmp_path / "site" / "new" / f"{league}.csv").write_text(text)
    settings = Settings(
        store=str(tmp_path / "store"),
        cache=tmp_path / "cache",
        football_data_url=serve(tmp_path / "site").url,
        batch_rows=batch_rows,
    )

    done = collect("football-data", leagues=["ARG", "BRA", "USA"], settings=settings)

    assert list(done.failed) == ["BRA"]
    assert "BRA.csv" in done.failed["BRA"]
    assert set(Store(settings.store_root).read("events")["competition"]) == {"ARG", "USA"}


def test_what_is_asked_for_is_checked_before_anything_is_fetched(site):
    _, served, settings = site

    wrong = (
        (["E0", "E9"], ["2425"], "football-data"),
        (["E0"], ["2425", "24"], "football-data"),
        ([], [], "nowhere"),
    )
    for leagues, seasons, source in wrong:
        with pytest.raises(ParameterError):
            collect(source, leagues=leagues, seasons=seasons, settings=settings)

    assert served.hits == []


def test_a_correction_by_the_provider_is_taken_over(site):
    folder, _, settings = site
    collect("football-data", leagues=["E0"], seasons=["2425"], settings=settings)
    (folder / "2425" / "E0.csv").write_text(HEADER + ROWS.replace("1,0,H,2.0", "3,0,H,2.1"))
    for file in (settings.cache_folder).iterdir():
        file.unlink()

    done = collect("football-data", leagues=["E0"], seasons=["2425"], settings=settings)

    assert done.rows["updated"].to_dict() == {"events": 0, "quotes": 1, "results": 1}
    assert Store(settings.store_root).read("results", version=1)["home_score"].max() == 2


def test_every_call_and_its_cost_are_recorded(site):
    _, _, settings = site

    done = collect("football-data", leagues=["E0"], seasons=["2425"], settings=settings)

    requests = Store(settings.store_root).read("requests")
    assert requests[["provider", "status", "from_cache"]].to_numpy().tolist() == [
        ["football-data", 200, False]
    ]
    measured = done.meter.frame().set_index(["stage", "metric"])["value"]
    assert measured["fetch and parse", "requests"] == 1
    assert measured["append", "rows"] == 10


def test_a_web_page_in_place_of_a_file_is_not_remembered(site):
    folder, _, settings = site
    file = folder / "2425" / "E0.csv"
    good = file.read_text()
    file.write_text("<!DOCTYPE HTML><html><body>Back soon</body></html>")
    with pytest.raises(SourceError, match="the answer is a web page"):
        collect("football-data", leagues=["E0"], seasons=["2425"], settings=settings)
    file.write_text(good)

    done = collect("football-data", leagues=["E0"], seasons=["2425"], settings=settings)

    assert done.rows.loc["events", "inserted"] == 2
