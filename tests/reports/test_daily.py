"""The digest of a day against plain Python on a small store, on a poller's store, and on an empty one."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

import overround as ov
from overround.errors import ParameterError
from overround.reports import daily as digest
from tests.support.commands import home, overround
from tests.support.polls import SPORT, START, polled, priced

UNTIL = pd.Timestamp("2030-05-20T12:00Z")
HOUR, DAY = pd.Timedelta(hours=1), pd.Timedelta(days=1)
AWKWARD = '<script>alert(1)</script> "O\'Hara" $x$ 🏆 שלום ' + "n" * 200


def market(days: int = 9, *, seed: int = 3) -> dict[str, list[dict]]:
    """Matches of one competition with random prices at three bookmakers, every six hours until kick-off."""
    rng = np.random.default_rng(seed)
    rows: dict[str, list[dict]] = {"events": [], "quotes": [], "results": []}
    for number in range(3 * days + 3):
        name = f"m{number:02d}"
        kick_off = UNTIL - days * DAY + number * 8 * HOUR + 2 * HOUR
        rows["events"].append(
            {
                "event_id": name,
                "sport": "soccer",
                "competition": SPORT,
                "season": "2030",
                "starts_at": kick_off,
                "time_known": True,
                "home": f"Home {number}",
                "away": AWKWARD if number % 5 == 0 else f"Away {number}",
                "source": "the-odds-api",
            }
        )
        for step in range(4):
            at = kick_off - (4 - step) * 6 * HOUR + HOUR
            for book in ("sharp", "soft", "slow"):
                for outcome, fair in (("home", 2.1), ("draw", 3.4), ("away", 3.7)):
                    rows["quotes"].append(
                        {
                            "event_id": name,
                            "bookmaker": book,
                            "market": "h2h",
                            "line": None,
                            "outcome": outcome,
                            "phase": "snapshot",
                            "observed_at": at - pd.Timedelta(seconds=20),
                            "price": round(fair * float(rng.uniform(0.93, 1.06)), 2),
                            "collected_at": at,
                            "source": "the-odds-api",
                            "competition": SPORT,
                            "season": "2030",
                        }
                    )
        rows["results"].append(
            {
                "event_id": name,
                "home_score": int(rng.integers(0, 3)),
                "away_score": int(rng.integers(0, 3)),
                "status": "final",
                "settled_at": kick_off + 2 * HOUR,
                "competition": SPORT,
                "season": "2030",
            }
        )
    return rows


def stored(folder, rows: dict[str, list[dict]]) -> ov.Store:
    store = ov.Store(folder / "store")
    for name, table in rows.items():
        store.append(name, pd.DataFrame(table))
    return store


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict]]:
    return market()


@pytest.fixture(scope="module")
def store(tmp_path_factory, rows) -> ov.Store:
    return stored(tmp_path_factory.mktemp("digest"), rows)


@pytest.fixture(scope="module")
def recent(store) -> digest.Recent:
    return digest.recent(store, "the-odds-api", until="2030-05-20T12:00")


@pytest.fixture(scope="module")
def bets(recent) -> pd.DataFrame:
    return digest.value_bets(recent, "sharp")


@pytest.fixture(scope="module")
def days(recent, bets) -> pd.DataFrame:
    return digest.days(recent, bets)


@pytest.mark.parametrize("number", range(8))
def test_a_days_figures_are_those_of_a_loop_over_its_rows(days, rows, number):
    end = UNTIL - number * DAY
    known = [quote for quote in rows["quotes"] if quote["collected_at"] <= UNTIL]
    mine = [quote for quote in known if end - DAY < quote["collected_at"] <= end]
    before: dict[tuple, float] = {}
    changes = []
    for quote in sorted(known, key=lambda quote: quote["collected_at"]):
        key = (quote["event_id"], quote["bookmaker"], quote["outcome"])
        if key in before and before[key] != quote["price"] and end - DAY < quote["collected_at"] <= end:
            changes.append(abs(before[key] / quote["price"] - 1))
        before[key] = quote["price"]
    first = {}
    for quote in known:
        first[quote["event_id"]] = min(
            quote["collected_at"], first.get(quote["event_id"], quote["collected_at"])
        )
    found = days[number]

    assert found["prices"] == len(mine)
    assert found["matches"] == len({quote["event_id"] for quote in mine})
    assert found["new matches"] == sum(end - DAY < at <= end for at in first.values())
    assert (found["bookmakers"], found["competitions"]) == (3, 1)
    assert found["price changes"] == len(changes)
    assert found["median change"] == pytest.approx(np.median(changes))
    assert found["results"] == sum(end - DAY < result["settled_at"] <= end for result in rows["results"])
    assert found["looks"] == len({quote["collected_at"] for quote in mine})


def test_the_median_overround_is_that_of_the_whole_markets_of_the_day(days, rows):
    books: dict[tuple, float] = {}
    for quote in rows["quotes"]:
        if UNTIL - DAY < quote["collected_at"] <= UNTIL:
            key = (quote["event_id"], quote["bookmaker"], quote["collected_at"])
            books[key] = books.get(key, 0.0) + 1 / quote["price"]

    assert days.loc["median overround", 0] == pytest.approx(np.median(list(books.values())) - 1)


def test_signals_and_settled_bets_are_counted_on_their_day_at_a_unit_each(days, bets, rows):
    goals = {result["event_id"]: result["home_score"] - result["away_score"] for result in rows["results"]}
    came = {"home": 1, "draw": 0, "away": -1}
    settled = [
        bet.price - 1 if np.sign(goals[bet.event_id]) == came[bet.outcome] else -1.0
        for bet in bets.itertuples()
        if UNTIL - DAY < bet.starts_at + 2 * HOUR <= UNTIL
    ]

    assert len(settled) > 2
    assert days.loc["bets settled", 0] == len(settled)
    assert days.loc["profit per unit", 0] == pytest.approx(np.mean(settled))
    assert days.loc["signals", 0] == sum(UNTIL - DAY < at <= UNTIL for at in bets["placed_at"])
    assert bets["profit"].isna().sum() == sum(bet.starts_at + 2 * HOUR > UNTIL for bet in bets.itertuples())


def test_a_reference_that_is_found_is_found_from_the_days_before(recent):
    # an invented market of three alike: after some days the one with the lowest margin so far, and it is kept
    found = digest.value_bets(recent, "auto").sort_values("placed_at")

    names = found["reference"].drop_duplicates().tolist()
    assert len(names) == 1
    assert names[0] in ("sharp", "soft", "slow")
    # three bookmakers are too few for a mean of three others: the first days have no bet
    assert found["placed_at"].min() > recent.quotes["collected_at"].min() + pd.Timedelta(days=1)


def test_a_digest_of_an_earlier_time_knows_nothing_of_what_came_after(store):
    early = digest.recent(store, "the-odds-api", until="2030-05-16T12:00+00:00")

    assert early.quotes["collected_at"].max() <= pd.Timestamp("2030-05-16T12:00Z")
    assert early.results["settled_at"].max() <= pd.Timestamp("2030-05-16T12:00Z")
    assert len(early.today) > 0


def test_days_before_the_first_price_are_unknown_and_not_empty(tmp_path):
    short = digest.recent(stored(tmp_path, market(3)), "the-odds-api", until=UNTIL.isoformat())

    prices = digest.days(short, digest.value_bets(short, "sharp")).loc["prices"]

    assert prices[[0, 1, 2]].notna().all()
    assert prices[[5, 6, 7]].isna().all()


def test_what_is_unusual_is_far_from_the_week_and_from_the_same_day_a_week_before(days):
    usual = days.copy()
    usual.loc["prices"] = [100.0, 101, 99, 100, 102, 98, 100, 101]
    few, weekly, rare = usual.copy(), usual.copy(), usual.copy()
    few.loc["prices", 0] = 20.0
    weekly.loc["prices", [0, 7]] = 20.0
    rare.loc["prices", 0], rare.loc["prices", 3:] = 20.0, np.nan

    assert not digest.against(usual).loc["prices", "unusual"]
    assert digest.against(few).loc["prices", "unusual"]
    assert not digest.against(weekly).loc["prices", "unusual"]
    assert not digest.against(rare).loc["prices", "unusual"]
    assert "unusually low" in digest.digest_table(digest.against(few), ["prices"]).html
    assert digest.against(few).loc["prices", ["now", "day_before", "week_before", "usual"]].tolist() == [
        20,
        101,
        101,
        100,
    ]


def test_the_largest_move_is_from_the_price_that_stood_to_the_last_before_kick_off(tmp_path):
    rows = market(2)
    name = next(event["event_id"] for event in rows["events"] if event["starts_at"] > UNTIL)
    for quote in rows["quotes"]:
        quote["price"] = {"home": 2.0, "draw": 3.5, "away": 4.0}[quote["outcome"]]
        if (
            quote["event_id"] == name
            and quote["outcome"] == "away"
            and quote["collected_at"] > UNTIL - 12 * HOUR
        ):
            quote["price"] = 3.2
    read = digest.recent(stored(tmp_path, rows), "the-odds-api", until=UNTIL.isoformat(), hours=12)

    moves = digest.moves(read)

    assert len(moves) == 1
    assert moves.loc[0, ["outcome", "books", "begin", "end"]].tolist() == ["away", 3, 4.0, 3.2]
    assert moves.loc[0, "move"] == pytest.approx(0.25)


def test_a_collection_that_stopped_has_an_open_gap_and_the_sentence_says_since_when(tmp_path):
    store = stored(tmp_path, market(3))

    stopped = digest.recent(store, "the-odds-api", until=(UNTIL + 3 * DAY).isoformat())
    missed = digest.open_gaps(stopped)
    compared = digest.against(digest.days(stopped, digest.value_bets(stopped, "sharp")))

    last = max(quote["collected_at"] for quote in market(3)["quotes"])
    assert missed.loc[0, ["competition", "begin", "end"]].tolist() == [SPORT, last, UNTIL + 3 * DAY]
    assert digest.digest_verdict(stopped, compared, missed).startswith(
        "Nothing came in during the 24 hours to 2030-05-23 12:00 UTC"
    )


@pytest.mark.slow
def test_an_empty_store_says_so_and_every_figure_is_still_drawn(tmp_path):
    nothing = digest.recent(ov.Store(tmp_path / "none"), "the-odds-api")
    bets = digest.value_bets(nothing)
    days = digest.days(nothing, bets)

    assert "has no price of this source" in digest.digest_verdict(
        nothing, digest.against(days), digest.open_gaps(nothing)
    )
    assert days.isna().all(axis=None)
    draw(nothing, days, bets)


@pytest.mark.slow
def test_names_of_any_kind_are_shown_as_text(recent, days, bets):
    html = draw(recent, days, bets)

    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


def draw(recent: digest.Recent, days: pd.DataFrame, bets: pd.DataFrame) -> str:
    compared, missed = digest.against(days), digest.open_gaps(recent)
    pieces = [
        digest.digest_headline(compared, missed),
        digest.digest_table(compared),
        digest.signal_table(recent, bets),
        ov.figures.day_counts(days, recent.until),
        ov.figures.movers(digest.moves(recent)),
        ov.figures.price_distribution(recent.today["price"], recent.quotes["price"]),
    ]
    return ov.stack(*pieces).html


def test_a_pollers_store_is_a_digest_of_its_own_clock(play, tmp_path):
    polled(play([priced(0, 2.0), priced(1, 2.0), priced(2, 2.1), priced(3, 2.2)]), tmp_path)

    read = digest.recent(
        ov.Store(tmp_path / "store"),
        "the-odds-api",
        until=(START + timedelta(minutes=5)).isoformat(),
        hours=1,
    )
    found = digest.days(read, digest.value_bets(read))[0]

    assert found[["prices", "matches", "price changes", "new matches"]].tolist() == [5, 1, 2, 1]
    assert found["median change"] == pytest.approx((0.1 / 2.1 + 0.1 / 2.2) / 2)


def test_other_leagues_are_left_out(store):
    assert digest.recent(
        store, "the-odds-api", until=UNTIL.isoformat(), leagues=["soccer'; DROP"]
    ).quotes.empty
    assert len(digest.recent(store, "the-odds-api", until=UNTIL.isoformat(), leagues=[SPORT]).quotes)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"until": "yesterday noon"}, "until is 'yesterday noon'"),
        ({"hours": 25}, "hours is 25"),
        ({"hours": 0}, "hours is 0"),
    ],
)
def test_a_wrong_time_is_a_sentence(store, given, sentence):
    with pytest.raises(ParameterError, match=sentence):
        digest.recent(store, "the-odds-api", **given)


@pytest.mark.slow
def test_the_command_writes_a_digest_of_a_store_and_of_an_empty_one(store, tmp_path):
    env = home(tmp_path)
    full = overround(
        "run",
        "daily",
        "--source",
        "the-odds-api",
        "-p",
        "until=2030-05-20T12:00",
        env={**env, "OVERROUND_STORE": store.root},
    )
    empty = overround("run", "daily", "--source", "the-odds-api", env=env)
    wrong = overround("run", "dayly", env=env, code=2)

    assert "brought 108 prices of" in full.stderr.replace("\n", " ")
    assert "has no price of this source" in empty.stderr.replace("\n", " ")
    assert "there is no notebook 'dayly'; there are backtest," in wrong.stderr
