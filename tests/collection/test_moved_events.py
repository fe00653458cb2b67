"""Events of The Odds API whose sides, dates or identifiers change: prices and scores stay with their teams."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import overround as ov
from overround.sources.replay import Shown
from overround.store.store import Store
from tests.support.polls import KICK_OFF, SPORT, START, answer, event, polled, settings_for

SWAPPED = {"home_team": "Alder", "away_team": "Birch"}


def spread(at: datetime, home_point: float, **more: object) -> dict:
    """An event with a handicap of Birch, in whatever order the teams are."""
    outcomes = [
        {"name": "Birch", "price": 1.9, "point": home_point},
        {"name": "Alder", "price": 2.0, "point": -home_point},
    ]
    match = event({"onebook": (1.5, 4.4, 7.5)}, at)
    match["bookmakers"][0]["markets"].append({"key": "spreads", "outcomes": outcomes})
    return match | more


def scored(birch: int, alder: int, **more: object) -> list[dict]:
    result = {**event({}, START), "completed": True, "last_update": "2030-05-04T17:00:00Z"}
    goals = (("Birch", birch), ("Alder", alder))
    return [result | {"scores": [{"name": name, "score": str(score)} for name, score in goals]} | more]


def store_of(folder: Path) -> Store:
    return Store(str(folder / "store"))


@pytest.mark.parametrize("in_one_go", [True, False])
def test_sides_that_change_places_change_no_price_and_no_score(play, tmp_path: Path, in_one_go):
    first = answer(0, spread(START, -1.5))
    second = answer(5, spread(START + timedelta(minutes=5), -1.5, **SWAPPED))
    third = answer(400)
    answers = [[first, second, third]] if in_one_go else [[first], [second], [third]]

    for some in answers:
        polled(play(some, scores=lambda _: json.dumps(scored(3, 0, **SWAPPED)).encode()), tmp_path)

    store = store_of(tmp_path)
    assert store.read("events")[["home", "away"]].to_numpy().tolist() == [["Birch", "Alder"]]
    quotes = store.read("quotes").dropna(subset="price")
    found = quotes[["outcome", "line", "price"]].astype(object).fillna(0)
    assert set(found.itertuples(index=False, name=None)) == {
        ("home", 0, 1.5),
        ("draw", 0, 4.4),
        ("away", 0, 7.5),
        ("home", -1.5, 1.9),
        ("away", -1.5, 2.0),
    }
    assert store.read("results")[["home_score", "away_score"]].to_numpy().tolist() == [[3, 0]]


def test_a_collection_keeps_the_sides_that_are_stored(play, tmp_path: Path):
    for teams in ({}, SWAPPED):
        server = play([answer(0, spread(START, -1.5, commence_time="2045-05-04T15:00:00Z", **teams))])
        ov.collect("the-odds-api", leagues=[SPORT], settings=settings_for(tmp_path, server.url, live_ttl=0))

    store = store_of(tmp_path)
    assert store.read("events")["home"].tolist() == ["Birch"]
    quotes = store.read("quotes")
    assert quotes[quotes["outcome"] == "home"].groupby("market", observed=True)["price"].agg(
        set
    ).to_dict() == {"h2h": {1.5}, "spreads": {1.9}}


@pytest.mark.parametrize("kick_off", ["2030-05-06T18:00:00Z", "2030-05-04T13:30:00Z"])
@pytest.mark.parametrize("overlap", [True, False])
def test_a_match_that_is_put_off_under_a_new_id_is_said(play, tmp_path: Path, overlap, kick_off):
    prices = {"onebook": (1.5, 4.4, 7.5)}
    later = event(prices, START, name="e2", kick_off=kick_off)

    first = [answer(0, event(prices, START)), answer(3, event(prices, START), later)][: 2 if overlap else 1]
    done = polled(play([*first, answer(5, later), answer(10, later)]), tmp_path)

    events = store_of(tmp_path).read("events").set_index("event_id")
    assert events["status"].astype(object).where(events["status"].notna(), None).to_dict() == {
        "e1": "postponed",
        "e2": None,
    }
    assert done.set_aside == 1 and "under another id (e2): taken for postponed" in done.last_set_aside


def test_a_match_that_was_taken_for_postponed_and_is_shown_again_is_not(play, tmp_path: Path):
    prices = {"onebook": (1.5, 4.4, 7.5)}
    later = event(prices, START, name="e2", kick_off="2030-05-06T18:00:00Z")
    both = answer(10, event(prices, START), later)

    polled(play([answer(0, event(prices, START)), answer(5, later), both]), tmp_path)

    assert store_of(tmp_path).read("events")["status"].isna().all()


@pytest.mark.parametrize("second", [{}, SWAPPED])
def test_two_meetings_on_one_day_stay_two(play, tmp_path: Path, second):
    prices = {"onebook": (1.5, 4.4, 7.5)}
    evening = event(prices, START, name="e2", kick_off="2030-05-04T19:00:00Z") | second
    # the first has begun and is no longer shown
    answers = [
        answer(0, event(prices, START), evening),
        answer(5, event(prices, START), evening),
        answer(200, evening),
    ]

    polled(play(answers), tmp_path)

    events = store_of(tmp_path).read("events")
    assert sorted(events["event_id"]) == ["e1", "e2"] and events["status"].isna().all()


@pytest.mark.parametrize("year", [1989, 2061])
def test_a_kick_off_decades_away_costs_its_event(play, tmp_path: Path, year):
    far = event({"onebook": (1.5, 4.4, 7.5)}, START, name="e2", kick_off=KICK_OFF.replace("2030", str(year)))

    done = polled(play([answer(0, event({"onebook": (1.5, 4.4, 7.5)}, START), far)]), tmp_path)

    assert store_of(tmp_path).read("events")["event_id"].tolist() == ["e1"]
    assert "more than twenty years from its answer" in done.last_set_aside


def test_a_bookmaker_that_was_renamed_goes_on_under_its_name(play, tmp_path: Path):
    store = store_of(tmp_path)
    renamed = {"kind": "bookmaker", "source": "the-odds-api", "competition": "", "since": START}
    store.append("aliases", [{**renamed, "name": "newname", "means": "onebook"}])
    keys = ("onebook", "newname", "barstool")
    answers: list[Shown] = [
        answer(minute, event({key: (1.5, 4.4, 7.5)}, START)) for minute, key in enumerate(keys)
    ]

    polled(play(answers), tmp_path)

    shown = store.read("quotes").dropna(subset="price")
    assert set(shown["bookmaker"]) == {"onebook", "espnbet"}


@pytest.mark.parametrize("new_id", [False, True])
def test_a_match_of_a_series_that_is_taken_off_is_not_the_next_one(play, tmp_path: Path, new_id):
    def game(name: str, day: int) -> dict:
        kick_off = f"2030-05-0{day}T23:00:00Z"
        return event({"onebook": (1.9, 20.0, 2.0)}, START, name=name, kick_off=kick_off) | {
            "sport_key": "baseball_nowhere"
        }

    series = [game("g2", 5), game("g3", 6)]
    before = [game("g1", 4)] if new_id else [game("g1", 4), *series]
    answers = [answer(0, *before), answer(10, *series)]

    done = polled(play(answers), tmp_path, sports=["baseball_nowhere"])

    events = store_of(tmp_path).read("events").set_index("event_id")["status"]
    assert (events["g1"] == "postponed") == new_id  # what was there all the time is no new date
    assert done.set_aside == int(new_id)
