"""A match keeps its id when the provider corrects it: two or more editions of a file over real HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from itertools import combinations, permutations
from pathlib import Path

import pandas as pd
import pytest

import overround as ov
from overround.collection.collector import Collected
from overround.settings import Settings
from overround.sources import local_server
from overround.sources.base import event_id
from overround.store.store import Store

FIRST = datetime(2025, 3, 1, 12, tzinfo=UTC)
HEAD = "Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,PSH,PSD,PSA,AHh,PAHH,PAHA\n"
NEW_HEAD = "Country,League,Season,Date,Time,Home,Away,HG,AG,Res,PSCH,PSCD,PSCA\n"
TEAMS = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Gorse", "Hazel")


def row(day: str, home: str, away: str, score: str = "2-1", prices: str = "1.8,3.5,4.6", time: str = "15:00"):
    """A match of E0; a score of three letters stands in the result column alone."""
    goals = score.split("-") if "-" in score else ["", ""]
    winner = score if score and "-" not in score else ""
    if "-" in score:
        winner = "HDA"[1 - (goals[0] > goals[1]) + (goals[0] < goals[1])]
    return f"E0,{day},{time},{home},{away},{goals[0]},{goals[1]},{winner},{prices},-0.5,1.9,2.0\n"


def league(n: int = 56) -> list[str]:
    """Matches of eight teams, each pair twice, a different price for each."""
    return [
        row(
            f"{1 + i % 28:02}/{9 + i // 28:02}/2024",
            home,
            away,
            f"{i % 4}-{i % 3}",
            f"{1.5 + i / 50:.2f},3.4,4.2",
        )
        for i, (home, away) in enumerate(permutations(TEAMS, 2))
    ][:n]


class Provider:
    """Serves the newest edition of each file and collects it into a store."""

    def __init__(self, folder: Path):
        self.folder, self.at = folder, FIRST
        self.files: dict[str, bytes] = {}
        self.store = Store(str(folder / "store"))
        self.url = ""

    def collect(
        self,
        text: str | list[str],
        *,
        at: datetime | None = None,
        code: str = "E0",
        season: str = "2425",
        end: str = "",
    ) -> Collected:
        """Collect an edition that is fetched an hour after the one before it, or at a time."""
        head = HEAD if code == "E0" else NEW_HEAD
        body = head + ("".join(text) if isinstance(text, list) else text)
        self.files[code] = (body[: -len(end)] if end else body).encode()
        return self.collect_file(code, season, at)

    def collect_file(self, code: str, season: str, at: datetime | None = None) -> Collected:
        """Collect a file as it is now; the cache has forgotten it."""
        self.at = at or self.at + timedelta(hours=1)
        for file in (self.folder / "cache").glob("*"):
            file.unlink()
        settings = Settings(store=self.store.root, cache=self.folder / "cache", football_data_url=self.url)
        seasons = [season] if season else []
        return ov.collect(
            "football-data", leagues=[code], seasons=seasons, settings=settings, store=self.store
        )

    def matches(self) -> set[str]:
        events = self.store.read("events").merge(
            self.store.read("results")[["event_id", "home_score", "away_score"]]
        )
        return {
            f"{one.starts_at:%d/%m} {one.home} {one.home_score:g}-{one.away_score:g} {one.away}"
            for one in events.itertuples()
        }


class _Handler(local_server.Handler):
    def __init__(self, provider: Provider, *args: object):
        self.provider = provider
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        body = self.provider.files[self.path.rpartition("/")[2].partition(".")[0]]
        self.answer(body, 200, {"Date": format_datetime(self.provider.at, usegmt=True)})


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Provider]:
    one = Provider(tmp_path)
    with local_server.answering(partial(_Handler, one)) as one.url:
        yield one


def whats(done: Collected) -> dict[str, int]:
    return done.corrections["what"].value_counts().to_dict()


def quotes_of(store: Store, match: str) -> dict[tuple, float]:
    quotes = store.read("quotes", {"event_id": match})
    keys = quotes[["market", "outcome", "line"]].astype(object).fillna(0).itertuples(index=False, name=None)
    return dict(zip(keys, quotes["price"], strict=True))


def bra(day: str, home: str, away: str, score: str, prices: str = "1.8,3.5,4.6", season: str = "2023") -> str:
    goals = score.split("-")
    winner = "HDA"[1 - (goals[0] > goals[1]) + (goals[0] < goals[1])]
    return f"Brazil,Serie A,{season},{day},22:30,{home},{away},{goals[0]},{goals[1]},{winner},{prices}\n"


# a change of one match of the league, and what of it is a correction: match -> (new row, words)
FIRST_ROW = league()[0]  # Alder - Birch 0-0 on 01/09
CORRECTED = {
    "name of one club": (FIRST_ROW.replace("Alder", "Alder FC"), {"team": 1}),
    "opponent": (FIRST_ROW.replace("Birch", "Juniper"), {"team": 1}),
    "a day": (FIRST_ROW.replace("01/09/2024", "31/08/2024"), {"date": 1}),
    "three days and the score, equal prices": (
        FIRST_ROW.replace("01/09/2024", "04/09/2024").replace("0,0,D", "1,0,H"),
        {"date": 1, "score": 1},
    ),
    "day and month": (FIRST_ROW.replace("01/09/2024", "09/01/2025"), {"date": 1}),
    "name and day": (
        FIRST_ROW.replace("Alder", "Alder FC").replace("01/09", "02/09"),
        {"team": 1, "date": 1},
    ),
    "both names": (FIRST_ROW.replace("Alder", "Alder FC").replace("Birch", "Birch FC"), {"team": 1}),
    "kick-off": (FIRST_ROW.replace("15:00", "17:30"), {"kick-off": 1}),
    "score": (FIRST_ROW.replace("0,0,D", "2,0,H"), {"score": 1}),
    "score and prices": (FIRST_ROW.replace("0,0,D", "2,0,H").replace("1.50", "2.25"), {"score": 1}),
}


@pytest.mark.parametrize("what", CORRECTED)
def test_a_corrected_match_keeps_its_id(provider, what):
    after, expected = CORRECTED[what]
    provider.collect(league())
    before = set(provider.store.read("events")["event_id"])

    done = provider.collect([*league()[1:], after])
    again = provider.collect([*league()[1:], after])

    assert whats(done) == expected
    assert set(provider.store.read("events")["event_id"]) == before
    assert len(provider.store.read("results")) == 56
    assert whats(again) == {} and again.rows["updated"].sum() == again.rows["inserted"].sum() == 0


@pytest.mark.parametrize(
    "other",
    [
        row("01/09/2024", "Juniper", "Larch"),
        row("01/09/2024", "Alder", "Juniper", "3-3", "4.0,3.6,1.9"),
        row("03/09/2024", "Alder", "Juniper", "0-0", "1.6,3.3,4.2"),
        row("20/09/2024", "Alder", "Birch", "4-3", "1.5,3.4,4.2"),
    ],
    ids=["nothing in common", "other score and prices", "another day and opponent", "weeks later"],
)
def test_another_match_in_the_place_of_one_is_another_match(provider, other):
    provider.collect(league())

    done = provider.collect([*league()[1:], other])

    assert whats(done) == {"retracted": 1}
    assert len(provider.store.read("events")) == 56
    retracted = provider.store.read("events", {"status": "retracted"})
    assert retracted[["home", "away"]].to_numpy().tolist() == [["Alder", "Birch"]]
    assert done.corrections[["event_id", "before"]].to_numpy().tolist() == [
        [retracted["event_id"][0], "Alder - Birch"]
    ]


def test_renamed_clubs_are_found_in_the_matches_against_each_other(provider):
    new = {"Alder": "Alder United", "Birch": "Sporting Birch", "Cedar": "Cedar 04"}
    renamed = "".join(league(40))
    for old, name in new.items():
        renamed = renamed.replace(old, name)
    provider.collect(league(40))

    done = provider.collect(renamed)
    flipped = provider.collect(league())  # back again, with matches that are new

    assert len(provider.store.read("events")) == 56
    assert done.rows.loc["events", "inserted"] == 0 and flipped.rows.loc["events", "inserted"] == 16
    aliases = provider.store.read("aliases")
    assert dict(zip(aliases["name"], aliases["means"], strict=True)) == new
    assert "matches under a corrected name" in str(done)


def test_a_league_that_was_stored_under_old_and_new_names_is_united(provider):
    new = {"Alder": "Alder United", "Birch": "Sporting Birch"}
    renamed = "".join(league())
    for old, name in new.items():
        renamed = renamed.replace(old, name)
    provider.collect(renamed)
    other = Provider(provider.folder / "other")
    other.url, other.files, other.at = provider.url, provider.files, provider.at
    other.collect(league())
    for table in ("events", "quotes", "results"):
        provider.store.append(table, other.store.read(table))

    done = provider.collect(renamed)

    # 26 matches of these clubs, two of them against each other
    assert whats(done) == {"united": 26} and len(provider.store.read("events")) == 56
    aliases = provider.store.read("aliases")
    assert dict(zip(aliases["name"], aliases["means"], strict=True)) == new


def test_an_opponent_that_was_wrong_once_is_no_renaming(provider):
    provider.collect([*league()[1:], FIRST_ROW.replace("Birch", "Cedar")])

    provider.collect(league())

    assert provider.store.read("aliases").empty


def test_prices_and_scores_of_swapped_sides_belong_to_their_teams(provider):
    provider.collect(league())
    match = event_id("football-data", "E0", "2024-09-01", "Alder", "Birch")
    swapped = "E0,01/09/2024,15:00,Birch,Alder,3,1,H,4.4,3.3,1.6,0.5,2.05,1.85\n"

    done = provider.collect([*league()[1:], swapped])

    assert whats(done) == {"sides": 1, "score": 1}
    assert "01/09 Alder 1-3 Birch" in provider.matches() and len(provider.matches()) == 56
    prices = quotes_of(provider.store, match)
    assert [prices["h2h", side, 0] for side in ("home", "draw", "away")] == [1.6, 3.3, 4.4]
    assert (prices["spreads", "home", -0.5], prices["spreads", "away", -0.5]) == (1.85, 2.05)


def test_a_retracted_match_is_hidden_and_comes_back_under_its_id(provider):
    provider.collect(league())
    match = event_id("football-data", "E0", "2024-09-01", "Alder", "Birch")

    done = provider.collect(league()[1:])

    assert whats(done) == {"retracted": 1} and "1 matches retracted" in str(done)
    for table in ("events", "quotes", "results"):
        for columns in (None, ["event_id"]):
            assert match not in set(provider.store.read(table, columns=columns)["event_id"])
    query = "SELECT status FROM events WHERE event_id = $id"
    assert provider.store.sql(query, values={"id": match})["status"].tolist() == ["retracted"]

    done = provider.collect([*league()[1:], FIRST_ROW.replace("0,0,D", "1,0,H")])

    assert whats(done)["returned"] == 1
    assert "01/09 Alder 1-0 Birch" in provider.matches() and len(provider.matches()) == 56
    assert match in set(provider.store.read("quotes")["event_id"])


@pytest.mark.parametrize(
    ("edition", "end", "said"),
    [
        (
            league()[4:],
            "",
            "does not have 4 of 56 stored matches: so many are not believed, none is retracted",
        ),
        (league()[:-1], "9,2.0\n", "does not have 2 of 56 stored matches: the file is cut off, none is"),
        (league(30), "", "does not have 26 of 56"),
    ],
    ids=["four", "cut", "half"],
)
def test_a_file_that_lacks_many_matches_or_its_end_retracts_nothing(provider, edition, end, said):
    provider.collect(league())

    done = provider.collect(edition, end=end)

    assert len(provider.store.read("events")) == 56 and whats(done) == {}
    assert said in str(done) and done.notes


def test_an_older_file_changes_nothing(provider):
    provider.collect(league(20))
    newest = [*league(30)[1:], FIRST_ROW.replace("Alder", "Alder FC")]
    provider.collect(newest, at=FIRST + timedelta(hours=9))
    version = provider.store.version()

    older = [row("12/12/2024", "Hazel", "Alder"), *league(30)[:-1]]
    done = provider.collect(older, at=FIRST + timedelta(hours=4))

    assert provider.store.version() == version
    assert "before the file of 2025-03-01 21:00 UTC that is stored: nothing is taken of 2425" in str(done)


def test_a_season_of_a_file_of_many_says_nothing_of_the_others(provider):
    rows = [
        bra(f"{day:02}/05/{season}", home, away, "2-0", season=season)
        for season in ("2022", "2023")
        for day, (home, away) in enumerate(combinations(TEAMS, 2), 1)
    ]
    provider.collect(rows, code="BRA", season="")

    done = provider.collect(rows[1:], code="BRA", season="2023")

    assert whats(done) == {} and len(provider.store.read("events")) == 56
    assert whats(provider.collect(rows[1:], code="BRA", season="")) == {"retracted": 1}
    # a season that the file lacks as a whole
    done = provider.collect(rows[28:], code="BRA", season="")
    assert whats(done) == {} and "does not have 27 of 55" in str(done)
    assert len(provider.store.read("events")) == 55


def test_blank_cells_keep_prices_and_lose_a_score(provider):
    provider.collect(league())
    match = event_id("football-data", "E0", "2024-09-01", "Alder", "Birch")
    blank = row("01/09/2024", "Alder", "Birch", "", "1.50,,4.2")

    done = provider.collect([*league()[1:], blank])

    assert whats(done) == {"blank price": 1, "score gone": 1}
    assert quotes_of(provider.store, match)["h2h", "draw", 0] == 3.4
    results = provider.store.read("results", {"event_id": match})
    assert results["status"].tolist() == ["unknown"] and results["home_score"].isna().all()


def test_scores_that_are_all_blank_are_kept(provider):
    provider.collect(league())
    before = provider.matches()

    done = provider.collect([*map(without_score, league())])

    assert provider.matches() == before and "has no score for 56 of 56 matches" in str(done)
    assert set(provider.store.read("events")["status"]) == {"played"}


def without_score(line: str) -> str:
    cells = line.split(",")
    return ",".join([*cells[:5], "", "", "", *cells[8:]])


def test_an_awarded_match_loses_the_score_it_had(provider):
    provider.collect(league())

    done = provider.collect([*league()[1:], FIRST_ROW.replace("0,0,D", "3,0,AWD")])

    assert whats(done) == {"score gone": 1}
    assert provider.store.read("events", {"status": "awarded"})["home"].tolist() == ["Alder"]


def test_matches_that_are_stored_twice_are_united(provider):
    old = [FIRST_ROW, row("02/09/2024", "Alder", "Cedar", "2-2", "2.0,3.0,4.0")]
    new = [line.replace("Alder", "Alder FC") for line in old]
    provider.collect(old)
    # as version 0.1 stored them: every text is a match of its own
    newest = [*new, *league()[7:]]
    other = Provider(provider.folder / "other")
    other.url, other.files, other.at = provider.url, provider.files, provider.at
    other.collect(newest)
    events = provider.store.read("events")
    provider.store.append("events", pd.concat([events, other.store.read("events")]).assign(status=None))
    for table in ("quotes", "results"):
        provider.store.append(table, other.store.read(table))
    was = event_id("football-data", "E0", "2024-09-01", "Alder", "Birch")
    now = event_id("football-data", "E0", "2024-09-01", "Alder FC", "Birch")

    done = provider.collect(newest)

    assert whats(done)["united"] == 2
    assert len(provider.store.read("events")) == len(provider.store.read("results")) == 51
    retired = provider.store.read("events", {"status": "retired"}).set_index("event_id")
    assert retired["same_as"][was] == now
    bets = ov.datasets.example_ledger().head(1).assign(event_id=was)
    assert provider.store.current_ids(bets)["event_id"].tolist() == [now]
    provider.store.append("ledgers", bets.assign(run_id="r"))
    assert provider.store.read("ledgers")["event_id"].tolist() == [now]


# editions of one file as the provider gave them out, the older first; renamings are written down by hand
RECORDED = {
    "BRA": ("midseason/new-20180908/BRA.csv", "new/BRA.csv", {"Atletico-PR": "Athletico-PR"}),
    "USA": (
        "midseason/new-20180908/USA.csv",
        "new/USA.csv",
        {"Montreal Impact": "CF Montreal", "Atlanta United": "Atlanta Utd", "Minnesota": "Minnesota United"},
    ),
    "D1 2425": ("midseason/2425-20250225/D1.csv", "mmz4281/2425/D1.csv", {}),
    "SC0 1516": ("midseason/1516-20150924/SC0.csv", "mmz4281/1516/SC0.csv", {}),
    "SP1 0304": ("revisions/0304-SP1.jokecamp.csv", "mmz4281/0304/SP1.csv", {}),
    "E2 1819": ("mmz4281/1819/E2.csv", "revisions/1819-E2.2026.csv", {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", RECORDED)
def test_after_two_recorded_editions_the_store_has_the_matches_of_the_newer(provider, recorded, what):
    older, newer, renamed = RECORDED[what]
    code, _, season = what.partition(" ")
    for edition in (older, newer):
        provider.files[code] = (recorded / "football-data" / edition).read_bytes()
        done = provider.collect_file(code, season)

    events, results = provider.store.read("events"), provider.store.read("results")
    lines = provider.files[code].decode("utf-8", "replace").splitlines()[1:]
    rows = sum(bool(line.strip(",")) for line in lines)
    assert len(events) == len(results) == results["event_id"].nunique() == rows
    aliases = provider.store.read("aliases")
    assert dict(zip(aliases["name"], aliases["means"], strict=True)) == renamed
    teams = {*events["home"], *events["away"]}
    assert teams.isdisjoint(renamed) and teams.issuperset(renamed.values())
    assert "retracted" not in whats(done)
