"""The command `overround collect`: fixtures, and past odds that are agreed to before they are paid."""

import os
import pty
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from overround import Store
from overround.sources.replay import Shown
from tests.support.commands import home, overround
from tests.support.polls import CANARY, SPORT, START, answer, event, iso

PAST = START.replace(year=2024)
HEADER = "Div,Date,Time,HomeTeam,AwayTeam,Referee,B365H,B365D,B365A\r\n"


@pytest.fixture
def sold(play, tmp_path):
    """A provider of three snapshots ten minutes apart, and the environment of a user."""
    shown = [
        Shown(
            PAST + timedelta(minutes=10 * n),
            answer(
                0, event({"onebook": (2.0 + n / 10, 3.5, 4.0)}, PAST + timedelta(minutes=10 * n))
            ).content(),
        )
        for n in range(3)
    ]
    server = play(shown)
    env = home(tmp_path, OVERROUND_ODDS_API_URL=server.url, OVERROUND_ODDS_API_KEY=CANARY)
    return server, env


def words(*more: str, to: str = iso(PAST + timedelta(minutes=20))) -> tuple[str, ...]:
    span = ("--from", f"{PAST:%Y-%m-%dT%H:%MZ}", "--to", to, "--step", "10min")
    return ("collect", "the-odds-api", "--sport", SPORT, *span, *more)


def test_the_cost_is_said_and_nothing_is_spent_without_consent(sold):
    server, env = sold

    refused = overround(*words(), env=env, code=2)

    assert (
        f"3 times from {iso(PAST)} to {iso(PAST + timedelta(minutes=20))}: 3 calls, 0 of them"
        in refused.stdout
    )
    assert "3 x 60 = 180 credits at most" in refused.stdout
    assert refused.stderr == "overround: nothing was spent; add --yes to spend the credits.\n"
    assert not server.hits


def test_what_is_agreed_to_is_bought_once(sold):
    server, env = sold
    bought = overround(*words("--yes"), env=env)

    again = overround(*words(), env=env)

    assert "5 new quotes" in bought.stdout  # three prices, two changes
    assert "3 of them answered by the cache: 0 x 60 = 0 credits" in again.stdout
    assert len(server.hits) == 3 and not Store(env["OVERROUND_STORE"]).read("quotes").empty


def test_a_purchase_stops_at_its_limit_and_says_so(sold):
    server, env = sold

    done = overround(*words("--yes", "--credits", "25", "--regions", "eu", "--markets", "h2h"), env=env)

    assert "it stops at the limit of 25." in done.stdout
    assert f"{SPORT}: 2 of 3 times are stored; stopped before" in done.stderr
    assert len(server.hits) == 2


@pytest.mark.parametrize(("reply", "calls"), [("y", 3), ("n", 0)])
def test_on_a_terminal_it_asks(sold, reply, calls):
    server, env = sold
    ours, theirs = pty.openpty()

    process = subprocess.Popen(
        [sys.executable, "-m", "overround.cli.main", *words()],
        env=env,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, f"{reply}\n".encode())
    said, wrong = process.communicate(timeout=120)

    assert "Spend them? [y/N]" in said + wrong
    assert (process.returncode, len(server.hits)) == (2 if reply == "n" else 0, calls)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("collect", "the-odds-api", "--from", "2024-08-16"), "--to is missing"),
        (("collect", "the-odds-api", "--credits", "100"), "--from is missing"),
        (("collect", "the-odds-api", "--yes"), "--from is missing"),
        (words("--season", "2024"), "they have no seasons"),
        (words("--every", "30s"), "--every, --for and --polls are for current prices"),
        (("collect", "football-data", *words()[2:]), "football-data has none"),
        (
            words(to="someday"),
            "the end of past odds is 'someday'; it takes a date or time, such as 2024-08-16T12:00Z",
        ),
        (words(to="nat"), "the end of past odds is 'nat'; it takes a date or time"),
        (words(to="2024-01-01"), "the end is before the start"),
        (words("--step", "soon"), "duration 'soon' cannot be read"),
        (words("--step", "5s"), "a step of 5 s cannot be used"),
        (words("--credits", "-5"), "-5 credits cannot be spent"),
        (words("--markets", "h2h;totals"), "markets 'h2h;totals' cannot be asked for"),
        (("collect", "the-odds-api", *words()[4:]), "no league is given"),
    ],
)
def test_what_cannot_be_bought_is_said_in_a_sentence(sold, given, said):
    server, env = sold

    refused = overround(*given, env=env, code=2)

    assert said in refused.stderr and refused.stderr.startswith("overround: ")
    assert refused.stderr.count("\n") == 1 and not server.hits


def test_the_matches_of_the_next_days_are_collected(tmp_path: Path, serve):
    site = tmp_path / "site"
    site.mkdir()
    (site / "fixtures.csv").write_text(HEADER + "E0,17/08/2026,20:00,Ashby,Bexley,,2.0,3.5,4.0\r\n")
    env = home(tmp_path, OVERROUND_FOOTBALL_DATA_URL=serve(site).url)

    done = overround(
        "collect", "football-data", "--league", "E0", "--league", "D1", "--season", "fixtures", env=env
    )

    assert "1 new events, 3 new quotes, 0 new results" in done.stdout
    assert Store(env["OVERROUND_STORE"]).read("events")["season"].tolist() == ["2627"]


@pytest.mark.slow
def test_the_notebook_buys_past_odds_for_as_many_credits_as_it_is_given(sold):
    server, env = sold
    ends = (f"buy_from={iso(PAST)}", f"buy_to={iso(PAST + timedelta(minutes=20))}")
    given = [word for pair in (*ends, "buy_step=10m", "buy_credits=130") for word in ("-p", pair)]

    done = overround("run", "collect", "--source", "the-odds-api", "--league", SPORT, *given, env=env)

    assert "2 of 3 times are stored; stopped before" in done.stdout + done.stderr
    assert len(server.hits) == 2 and len(Store(env["OVERROUND_STORE"]).read("quotes")) == 4
