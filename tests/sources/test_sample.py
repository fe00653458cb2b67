"""The sample market: what it simulates is what it says, and it is served as a live provider would be."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest

from overround.errors import FetchError, ParameterError
from overround.http.client import Fetcher
from overround.settings import Settings
from overround.sources.base import Selection
from overround.sources.sample.market import BOOKMAKERS, LEAGUES, Market, simulate, snapshot_times
from overround.sources.sample.server import Answers
from overround.sources.sample.source import batches, open_source, serving
from overround.sources.the_odds_api.snapshots import iso

SMALL = Market(leagues=2, seasons=1, teams=4)
PROBABILITIES = ["probability_home", "probability_draw", "probability_away"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(SMALL, latency_s=0) as address:
        yield address


def fetcher(url: str, folder: Path, **more: object) -> Fetcher:
    return Fetcher(
        "sample", url, folder, identity=SMALL.identity, secrets={"apiKey": "simulated-key"}, **more
    )  # type: ignore[arg-type]


def seen(market: Market) -> tuple[np.ndarray, np.ndarray]:
    """Time of every snapshot of every match, and whether it was before kick-off; both (matches,
    snapshots).
    """
    simulated = simulate(market)
    rounds = np.concatenate([snapshot_times(market, season) for season in range(market.seasons)])
    per_league = np.repeat(rounds, market.teams // 2, axis=0)
    times = np.tile(per_league, (market.leagues, 1))
    return times, times < simulated.starts_at[:, None]


def outcomes(scores: np.ndarray) -> np.ndarray:
    """0 home, 1 draw, 2 away."""
    return 1 - np.sign(scores[:, 0] - scores[:, 1])


def truth(market: Market) -> pd.DataFrame:
    """One row per match: its true probabilities at kick-off, and its score.

    Returns
    -------
    DataFrame
        event_id, competition, season, starts_at, home, away, probability_home, probability_draw,
        probability_away, home_score, away_score.
    """
    simulated = simulate(market)
    league, season = simulated.league, market.first_season + simulated.season
    frame = pd.DataFrame(
        {
            "event_id": simulated.event_id,
            "competition": [tuple(LEAGUES)[one] for one in league],
            "season": season.astype(str),
            "starts_at": pd.to_datetime(simulated.starts_at, unit="s", utc=True),
            "home": simulated.home,
            "away": simulated.away,
        }
    )
    frame[["probability_home", "probability_draw", "probability_away"]] = simulated.truth
    frame[["home_score", "away_score"]] = simulated.scores
    return frame


def test_the_whole_market_is_728_matches_of_8_bookmakers_with_20_snapshots_or_more():
    market = Market()
    table = truth(market)

    assert len(table) == table["event_id"].nunique() == 728
    assert table.groupby(["competition", "season"]).size().tolist() == [182] * 4
    assert (table["starts_at"].dt.year.astype(str) == table["season"]).all()
    assert set(table.groupby(["competition", "season", "home", "away"]).size()) == {1}
    assert set(table["starts_at"].dt.day_name()) == {"Friday", "Saturday", "Sunday"}
    assert simulate(market).prices.shape[1] == len(BOOKMAKERS) == 8
    times, before = seen(market)
    assert before.sum(axis=1).min() >= 20
    assert set(simulate(market).starts_at - np.where(before, times, 0).max(axis=1)) == {
        120
    }  # the last, two minutes before


def test_everything_is_said_to_be_simulated():
    table = truth(Market())

    assert all(book.key.startswith("sim_") for book in BOOKMAKERS)
    assert table["competition"].str.contains("_sim_").all() and table["home"].str.contains(" Sim ").all()


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others():
    ask = (
        "/v4/historical/sports/soccer_sim_premier/odds",
        {"apiKey": "x", "date": iso(snapshot_times(SMALL, 0)[2, 5])},
    )

    first = json.dumps(Answers(SMALL).get(*ask))
    simulate.cache_clear()
    again = json.dumps(Answers(SMALL).get(*ask))
    other = json.dumps(Answers(Market(seed=1, leagues=2, seasons=1, teams=4)).get(*ask))

    assert first == again != other


def test_teams_alternate_between_home_and_away():
    table = truth(Market(leagues=1, seasons=1))

    first_half = table.sort_values("starts_at").head(91)
    assert set(first_half["home"].value_counts()) <= {6, 7}


@pytest.mark.slow
def test_results_agree_with_the_true_probabilities():
    table = pd.concat([truth(Market(seed=seed)) for seed in range(4)])

    happened = np.bincount(outcomes(table[["home_score", "away_score"]].to_numpy()), minlength=3)
    expected = table[PROBABILITIES].to_numpy()
    assert np.allclose(expected.sum(axis=1), 1)
    # 2,912 independent matches: each frequency within 3 standard deviations of the sum of its probabilities
    deviation = (happened - expected.sum(axis=0)) / np.sqrt((expected * (1 - expected)).sum(axis=0))
    assert np.abs(deviation).max() < 3
    # and favourites win as often as they should, also in each quarter of the probabilities
    home_won = outcomes(table[["home_score", "away_score"]].to_numpy()) == 0
    for quarter in np.array_split(np.argsort(expected[:, 0]), 4):
        chance = expected[quarter, 0]
        assert abs(home_won[quarter].sum() - chance.sum()) < 3.5 * np.sqrt((chance * (1 - chance)).sum())


@pytest.fixture(scope="module")
def whole() -> dict[str, np.ndarray]:
    """Prices of the default market, the sharp bookmaker's margin-free chances, and its closing ones."""
    simulated = simulate(Market())
    times, before = seen(Market())
    fair = 1 / simulated.prices[:, 0]
    fair /= fair.sum(axis=-1, keepdims=True)
    last = before.sum(axis=1) - 1
    return {
        "prices": simulated.prices,
        "truth": simulated.truth,
        "before": before,
        "times": times,
        "fair": fair,
        "close": fair[np.arange(len(fair)), last],
        "closing_prices": simulated.prices[np.arange(len(fair)), :, last],
    }


def test_each_bookmakers_overround_is_its_margin(whole: dict):
    overround = (1 / whole["closing_prices"]).sum(axis=-1).mean(axis=0) - 1

    assert overround == pytest.approx([book.margin for book in BOOKMAKERS], abs=0.001)


def test_the_sharp_bookmakers_close_is_the_truth_but_for_a_little_noise(whole: dict):
    error = whole["close"] - whole["truth"]

    assert np.abs(error).max() < 0.02 and np.abs(error.mean(axis=0)).max() < 0.001


def test_the_opening_is_an_unbiased_but_noisier_forecast_than_the_close(whole: dict):
    opening, truth_ = whole["fair"][:, 0], whole["truth"]

    assert np.abs((opening - truth_).mean(axis=0)).max() < 0.005
    assert 0.02 < (opening - truth_)[:, 0].std() < 0.06
    # no bias to lean against: the truth moves one for one with the opening (1 within 2 standard errors or so)
    assert np.polyfit(opening[:, 0], truth_[:, 0], 1)[0] == pytest.approx(1, abs=0.03)


def test_blind_bets_lose_about_the_margin(whole: dict):
    expectation = (whole["closing_prices"] * whole["truth"][:, None] - 1).mean(axis=(0, 2))

    margins = np.array([book.margin for book in BOOKMAKERS])
    # a longshot costs more than the margin's share at bookmakers with a favourite bias, so blind bets lose a
    # little more
    assert (expectation < -0.8 * margins / (1 + margins)).all() and (expectation > -1.3 * margins).all()


def test_there_is_value_at_slow_bookmakers_and_the_close_confirms_it(whole: dict):
    edges = whole["prices"][:, 1:] * whole["fair"][:, None] - 1
    edges = np.where(whole["before"][:, None, :, None], edges, -1)
    best, book = edges.max(axis=1), edges.argmax(axis=1) + 1
    match, outcome = np.nonzero((best >= 0.025).any(axis=1))
    snapshot = (best >= 0.025).argmax(axis=1)[match, outcome]
    price = whole["prices"][match, book[match, snapshot, outcome], snapshot, outcome]

    true_edge = price * whole["truth"][match, outcome] - 1

    assert 300 < len(match) < 700
    assert 0.02 < true_edge.mean() < 0.06
    assert (price * whole["close"][match, outcome] - 1).mean() > 0.02  # closing-line value


def test_a_price_is_never_younger_than_its_snapshot_and_stands_until_the_bookmaker_looks_again():
    simulated, (times, before) = simulate(Market()), seen(Market())

    age = times[:, None] - simulated.updated
    assert age.min() >= 0
    for number, one in enumerate(BOOKMAKERS):
        assert age[:, number].max() < one.refresh_h * 3600
    same = np.diff(simulated.updated, axis=2) == 0
    assert same.any() and (np.diff(simulated.prices, axis=2)[same] == 0).all()
    assert (simulated.updated < simulated.starts_at[:, None, None])[
        np.broadcast_to(before[:, None], same.shape[:2] + before.shape[1:])
    ].all()


@pytest.mark.parametrize(
    "wrong", [{"teams": 5}, {"teams": 16}, {"seed": -1}, {"leagues": 3}, {"seasons": 1.5}]
)
def test_a_wrong_parameter_is_named(wrong: dict):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        Market(**wrong)


@pytest.mark.slow
def test_collecting_over_http_gives_what_was_simulated(url: str, tmp_path: Path):
    with fetcher(url, tmp_path) as client:
        collected = list(batches(client, SMALL))

    events, quotes, results = (
        pd.concat([getattr(batch, name) for batch in collected]) for name in ("events", "quotes", "results")
    )
    simulated, table = simulate(SMALL), truth(SMALL).set_index("event_id")
    assert all(batch.set_aside.empty for batch in collected)
    assert set(events["event_id"]) == set(results["event_id"]) == set(table.index) and len(results) == 24
    assert set(events["source"]) | set(quotes["source"]) == {"sample"}
    ended = results.set_index("event_id").loc[table.index]
    assert (
        ended[["home_score", "away_score"]].to_numpy() == table[["home_score", "away_score"]].to_numpy()
    ).all()
    # every price that was shown before kick-off, once, at its bookmaker's time
    before = np.broadcast_to(seen(SMALL)[1][:, None], simulated.updated.shape)
    match, book, snapshot = np.nonzero(before)
    shown = pd.DataFrame(
        {
            "event_id": np.array(simulated.event_id)[match],
            "bookmaker": np.array([one.key for one in BOOKMAKERS])[book],
            "observed_at": pd.to_datetime(simulated.updated[match, book, snapshot], unit="s", utc=True),
            **{
                name: simulated.prices[match, book, snapshot, n]
                for n, name in enumerate(("home", "draw", "away"))
            },
        }
    ).drop_duplicates()
    key = ["event_id", "bookmaker", "observed_at"]
    expected = shown.melt(key, var_name="outcome", value_name="price").sort_values([*key, "outcome"])
    collected_quotes = quotes[expected.columns].sort_values([*key, "outcome"])
    assert collected_quotes.astype(str).to_numpy().tolist() == expected.astype(str).to_numpy().tolist()


@pytest.mark.slow
def test_the_cache_answers_for_a_server_on_another_port_and_holds_no_key(url: str, tmp_path: Path):
    with fetcher(url, tmp_path) as client:
        first = list(batches(client, SMALL))
    with fetcher("http://127.0.0.1:9", tmp_path) as client:
        again = list(batches(client, SMALL))

    assert all(one["from_cache"] for one in client.requests)
    for one, other in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(
            one.quotes.drop(columns="collected_at"), other.quotes.drop(columns="collected_at")
        )
    assert b"simulated-key" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


@pytest.mark.slow
def test_a_connection_has_a_job_for_each_league_and_season_asked_for(tmp_path: Path):
    with open_source(Settings(cache=tmp_path), Selection(seasons=("2025",))) as connection:
        assert list(connection.jobs) == ["soccer_sim_premier 2025", "soccer_sim_second 2025"]
        first = next(iter(connection.jobs["soccer_sim_second 2025"]()))

    assert set(zip(first.events["competition"], first.events["season"], strict=True)) == {
        ("soccer_sim_second", "2025")
    }
    assert len(first.events) == 182


@pytest.mark.parametrize(
    ("selection", "message"),
    [(Selection(("E0",)), "league 'E0' is unknown"), (Selection((), ("2425",)), "season '2425' is unknown")],
)
def test_a_league_or_season_that_is_not_simulated_is_named(
    tmp_path: Path, selection: Selection, message: str
):
    with pytest.raises(ParameterError, match=message), open_source(Settings(cache=tmp_path), selection):
        pass


def get(url: str) -> tuple[int, object, dict]:
    try:
        with urlopen(url, timeout=5) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except HTTPError as error:
        with error:
            return error.code, json.load(error), dict(error.headers)


@pytest.mark.slow
def test_a_historical_answer_is_the_snapshot_at_or_before_its_date(url: str):
    times = snapshot_times(SMALL, 0)
    at = f"{url}/v4/historical/sports/soccer_sim_second/odds?apiKey=x&date="

    status, body, headers = get(at + iso(times[1, 4] + 59))
    _, before_all, _ = get(at + "2000-01-01T00:00:00Z")

    assert (
        status == 200
        and "x-requests-remaining" in headers
        and headers["Content-Type"].startswith("application/json")
    )
    near = [body[name] for name in ("previous_timestamp", "timestamp", "next_timestamp")]  # type: ignore[index]
    assert near == [iso(one) for one in times[1, 3:6]]
    assert [len(one["bookmakers"]) for one in body["data"]] == [8, 8]  # type: ignore[index]
    names = [one["name"] for one in body["data"][0]["bookmakers"][0]["markets"][0]["outcomes"]]  # type: ignore[index]
    assert names[2] == "Draw" and names[:2] == sorted(names[:2])
    assert before_all["data"] == [] and before_all["previous_timestamp"] is None  # type: ignore[index]


def test_the_live_paths_stand_two_minutes_before_the_last_kick_off(url: str):
    _, sports, _ = get(f"{url}/v4/sports?apiKey=x")
    _, odds, _ = get(f"{url}/v4/sports/soccer_sim_premier/odds?apiKey=x")
    _, scores, _ = get(f"{url}/v4/sports/soccer_sim_premier/scores?apiKey=x&daysFrom=3")
    _, upcoming, _ = get(f"{url}/v4/sports/soccer_sim_premier/scores?apiKey=x")

    assert [one["key"] for one in sports] == ["soccer_sim_premier", "soccer_sim_second"]  # type: ignore[attr-defined]
    assert isinstance(odds, list) and len(odds[0]["bookmakers"]) == 8
    assert sorted(one["completed"] for one in scores) == [False, True]  # type: ignore[attr-defined]
    assert [one["scores"] for one in upcoming] == [None]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v4/sports", 401, "MISSING_KEY"),
        ("/v4/sports/soccer_epl/odds?apiKey=x", 404, "UNKNOWN_SPORT"),
        ("/v4/historical/sports/soccer_sim_premier/odds?apiKey=x", 422, "INVALID_HISTORICAL_TIMESTAMP"),
        (
            "/v4/historical/sports/soccer_sim_premier/odds?apiKey=x&date=monday",
            422,
            "INVALID_HISTORICAL_TIMESTAMP",
        ),
        (
            "/v4/historical/sports/soccer_sim_premier/odds?apiKey=x&date=2024-03-09T10:00:00",
            422,
            "INVALID_HISTORICAL_TIMESTAMP",
        ),
        ("/v4/sports/soccer_sim_premier/scores?apiKey=x&daysFrom=-1", 422, "INVALID_SCORES_DAYS_FROM"),
        ("/v5?apiKey=x", 404, "NOT_FOUND"),
    ],
)
def test_errors_have_the_providers_form(url: str, path: str, status: int, code: str):
    answered, body, _ = get(url + path)

    assert (answered, body["error_code"]) == (status, code) and body["message"]  # type: ignore[index]


def test_a_fetcher_shows_the_servers_error_without_the_key(url: str, tmp_path: Path):
    with fetcher(url, tmp_path) as client, pytest.raises(FetchError, match="Unknown sport") as caught:
        client.get("/v4/sports/soccer_epl/odds")

    assert caught.value.status == 404 and "simulated-key" not in str(caught.value)


@pytest.mark.slow
def test_the_server_ends_with_its_block():
    with serving(Market(leagues=1, seasons=1, teams=2), latency_s=0) as address:
        assert get(address + "/v4/sports?apiKey=x")[0] == 200

    with pytest.raises(OSError, match="refused"):
        get(address + "/v4/sports?apiKey=x")


@pytest.mark.slow
def test_the_server_ends_when_whoever_started_it_is_killed():
    program = (
        "import time; from overround.sources.sample.source import Market, serving\n"
        "with serving(Market(leagues=1, seasons=1, teams=2)) as url:\n"
        "    print(url, flush=True)\n    time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        address = parent.stdout.readline().strip()  # type: ignore[union-attr]
        assert get(address + "/v4/sports?apiKey=x")[0] == 200
        os.kill(parent.pid, signal.SIGKILL)

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            get(address + "/v4/sports?apiKey=x")
        except OSError:
            return
        time.sleep(0.05)
    pytest.fail("the server outlived its parent")


@pytest.mark.slow
def test_the_whole_market_is_collected_and_its_cache_stays_small(tmp_path: Path):
    market = Market()

    with (
        serving(market) as address,
        Fetcher("sample", address, tmp_path, identity=market.identity, secrets={"apiKey": "x"}) as client,
    ):
        collected = list(batches(client, market))

    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 60e6
    assert sum(len(batch.results) for batch in collected) == 728
    assert sum(len(batch.quotes) for batch in collected) > 250_000
