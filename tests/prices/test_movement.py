"""How prices move: steam, reverse moves, who follows and when, what is stale, at times that are told
exactly.
"""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from overround import value_signals
from overround.errors import ParameterError
from overround.prices import reaction_times, reactions, reverse_moves, stale_prices, steam_moves, velocity
from tests.support.books import KICK_OFF, quotes, three_way
from tests.support.markets import random_market, slow_steam


def shown(bookmaker: str, home: float, minutes: float, event="m1") -> list[dict]:
    """A fair book in which the home win has this probability, so many minutes before kick-off."""
    rest = (1 - home) / 2
    return three_way(
        event,
        bookmaker,
        (1 / home, 1 / rest, 1 / rest),
        phase="snapshot",
        at=str(KICK_OFF - pd.Timedelta(minutes=minutes))[:19],
    )


def minutes_before(times: pd.Series) -> list[float]:
    return ((KICK_OFF - times) / pd.Timedelta(minutes=1)).tolist()


def test_velocity_is_the_relative_change_an_hour_since_what_stood_a_window_ago():
    rows = quotes(
        shown("a", 0.50, 200),
        shown("a", 0.51, 100),
        shown("a", 0.55, 80),
        shown("a", 0.55, 70),
        shown("a", 0.52, 10),
    )

    home = velocity(rows, window_h=0.5).query("outcome == 'home'")

    assert minutes_before(home["at"]) == [100, 80, 10]  # seen again at 70, it had not moved
    # 110, 130 and 40 minutes before kick-off stood 0.50, 0.50 and 0.55
    assert home["per_hour"].tolist() == pytest.approx(
        [2 * (0.51 / 0.50 - 1), 2 * (0.55 / 0.50 - 1), 2 * (0.52 / 0.55 - 1)]
    )


def test_three_bookmakers_within_the_window_are_steam_two_are_not_and_it_is_told_once():
    opens = [shown(name, 0.50, 300) for name in "abcd"]
    rows = quotes(
        *opens, shown("a", 0.53, 60), shown("b", 0.54, 55), shown("c", 0.52, 45), shown("d", 0.525, 40)
    )

    home = steam_moves(rows, window_min=20, least_books=3, least_move=0.02).query("outcome == 'home'")
    slower = steam_moves(rows, window_min=4, least_books=3, least_move=0.02)

    assert minutes_before(home["at"]) == [45]
    assert home[["direction", "books"]].to_numpy().tolist() == [[1, 3]]
    assert home["move"].tolist() == pytest.approx([np.mean([0.06, 0.08, 0.04])])
    assert home[["bookmaker", "price"]].to_numpy().tolist() == [["d", 2.0]]  # the one that had not moved yet
    assert slower.empty


@pytest.mark.parametrize("seed", range(8))
def test_steam_is_that_of_a_slow_reading(seed):
    rows = random_market(seed, polls=12)

    found = steam_moves(rows, window_min=60, least_books=2, least_move=0.01)

    keys = zip(
        found["event_id"],
        found["market"],
        found["line"].astype(object).where(found["line"].notna(), None),
        found["outcome"],
        found["at"],
        found["direction"],
        found["books"],
        strict=True,
    )
    slow = slow_steam(rows, 60, 2, 0.01)
    assert len(slow) > 5
    assert sorted(keys) == slow


def test_a_move_against_the_others_and_one_taken_back_are_reverse():
    opens = [shown(name, 0.50, 300) for name in "abcd"]
    against = quotes(
        *opens, shown("a", 0.52, 60), shown("b", 0.52, 60), shown("c", 0.52, 60), shown("d", 0.48, 50)
    )
    back = quotes(*opens, shown("a", 0.53, 150), shown("a", 0.50, 20))

    first = reverse_moves(against, window_min=30).query("outcome == 'home'")
    second = reverse_moves(back, window_min=60).query("outcome == 'home'")

    assert first[["bookmaker", "kind"]].to_numpy().tolist() == [["d", "consensus"]]
    assert first[["move", "against"]].to_numpy()[0] == pytest.approx([-0.04, 0.04])
    assert second.empty  # the hour before the last began 140 minutes before kick-off
    second = reverse_moves(back, window_min=70).query("outcome == 'home'")
    assert second[["bookmaker", "kind"]].to_numpy().tolist() == [["a", "own"]]
    assert second[["move", "against"]].to_numpy()[0] == pytest.approx([0.50 / 0.53 - 1, 0.06])


def test_a_follower_is_timed_from_the_leaders_move_and_one_that_never_follows_is_censored():
    opens = [shown(name, 0.50, 600) for name in ("lead", "quick", "slow", "never")]
    rows = quotes(
        *opens,
        shown("lead", 0.55, 300),
        shown("quick", 0.53, 290),
        shown("slow", 0.51, 280),
        shown("slow", 0.54, 240),
        shown("never", 0.505, 30),
    )

    found = reactions(rows, "lead", window_min=30, least_move=0.05).query("outcome == 'home'")
    times = reaction_times(found)

    assert found.set_index("bookmaker")["minutes"].to_dict() == {"quick": 10, "slow": 60, "never": 270}
    assert times.loc["quick"].tolist() == [1, 1, 0, 10, 10]
    assert times.loc["never", "censored"] == 1
    assert np.isnan(times.loc["never", "median_min"])


def test_the_median_counts_those_that_have_not_followed_yet():
    followed = [True, True, False, True, False]
    found = pd.DataFrame({"bookmaker": "a", "minutes": [10.0, 20.0, 25.0, 40.0, 90.0], "followed": followed})

    # survival by hand: 4/5, 3/5, (one censored), 3/5 x 1/2 = 0.3 at 40
    assert reaction_times(found).loc["a"].tolist() == [5, 3, 2, 20.0, 40.0]


def test_an_unknown_leader_is_refused():
    with pytest.raises(ParameterError, match=r"leader 'nobody' has no prices here; bookmakers are a"):
        reactions(quotes(shown("a", 0.5, 60)), "nobody")


def test_a_price_is_stale_when_the_others_have_moved_on_and_it_has_not():
    opens = [shown(name, 0.50, 300) for name in "abcd"]
    rows = quotes(
        *opens, shown("a", 0.52, 200), shown("d", 0.5, 190), shown("b", 0.52, 150), shown("c", 0.52, 100)
    )

    home = stale_prices(rows, least_move=0.025).query("outcome == 'home' and bookmaker == 'd'")

    # the mean of the others has moved by a third of 4 % at 200, two thirds at 150: d, seen again at 190, has
    # stood since 300
    assert minutes_before(home["at"]) == [150]
    assert minutes_before(home["since"]) == [300]
    assert home["move"].tolist() == pytest.approx([1.04 ** (2 / 3) - 1])
    assert home["edge"].tolist() == pytest.approx([2.0 * np.mean([0.52, 0.52, 0.50]) - 1])


def test_a_bookmaker_that_comes_in_with_another_opinion_makes_nothing_stale():
    rows = quotes(*(shown(name, 0.50, 300) for name in "abcd"), shown("e", 0.60, 100), shown("f", 0.62, 90))

    assert stale_prices(rows, least_move=0.02).empty


@pytest.mark.slow
def test_the_order_of_moves_depends_on_nothing_but_the_moves():
    # it depended on how Python hashes texts in this process; which it does anew in each one
    code = (
        "from tests.support.markets import random_market; import overround as ov;"
        "print(ov.prices.reverse_moves(random_market(3, polls=30), window_min=60, least_move=0.005).to_csv())"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in "01"  # which order the two columns differently
    ]

    assert len(said[0].stdout.splitlines()) > 10
    assert len({one.stdout for one in said}) == 1


def test_prices_without_a_clock_do_not_move():
    rows = quotes(
        *(three_way(bookmaker=name, phase=phase) for name in "abcd" for phase in ("early", "close"))
    )

    for found in (
        velocity(rows),
        steam_moves(rows),
        reverse_moves(rows),
        reactions(rows, "a"),
        stale_prices(rows),
    ):
        assert found.empty
        assert {"event_id", "outcome", "at"} <= set(found.columns)
    assert len(value_signals(rows, "a", min_edge=-1)) > 0
