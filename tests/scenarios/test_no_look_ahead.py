"""Nothing that happens later changes a signal: the future is altered in three ways, and what was known stays
the same to the last bit.
"""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from overround import arbitrage_signals, value_signals
from overround.forecasts import past_accuracy_weights
from overround.prices import reactions, reverse_moves, stale_prices, steam_moves, velocity
from overround.signals import blind_signals, middle_signals, seed_signals
from tests.support.books import KICK_OFF, quotes, result, results, three_way
from tests.support.markets import BOOKS, random_market

CUT = KICK_OFF - pd.Timedelta(hours=8)
WEIGHTS = {name: 1.0 + number for number, name in enumerate(BOOKS)}
RULES = {
    **{
        f"value against {name}": partial(value_signals, reference=name, min_edge=0.005, weights=WEIGHTS)
        for name in (
            "pinnacle",
            "consensus",
            "consensus_median",
            "consensus_margin",
            "consensus_accuracy",
            "exchange_mid",
        )
    },
    # the sharp one has left between the first match and the last
    "value against references by period": partial(
        value_signals,
        reference=pd.DataFrame(
            {"reference": ["pinnacle", "alpha"]},
            index=pd.DatetimeIndex([KICK_OFF - pd.Timedelta(days=9), KICK_OFF - pd.Timedelta(hours=20)]),
        ),
        min_edge=0.005,
    ),
    "seed": partial(seed_signals, max_spread=0.3),
    "blind": partial(blind_signals, bookmaker="alpha", outcome="home"),
    "arbitrage": arbitrage_signals,
    "middles": partial(middle_signals, max_break_even=0.5),
    "velocity": velocity,
    "steam": partial(steam_moves, window_min=60.0),
    "reverse": partial(reverse_moves, window_min=120.0),
    "reactions": partial(reactions, leader="pinnacle"),
    "stale": partial(stale_prices, least_move=0.01, least_books=2),
}


def shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return rows.assign(
        price=rows["price"].where(rows["collected_at"] <= CUT, np.round(1.05 + rng.random(len(rows)) * 9, 2))
    )


def forgotten(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["collected_at"] <= CUT].reset_index(drop=True)


def crowded(rows: pd.DataFrame) -> pd.DataFrame:
    """Bookmakers, lines and a match that nobody has heard of before come in, before and between the others by
    name.
    """
    late = [
        three_way(
            f"m{event}",
            name,
            (2.2, 3.6, 3.9),
            phase="snapshot",
            at=str(KICK_OFF - pd.Timedelta(hours=2))[:19],
        )
        for event in (0, 1, 2, 9)
        for name in ("aardvark", "boo", "zebra")
    ]
    lines = rows[(rows["collected_at"] > CUT) & rows["line"].notna()]
    return pd.concat([lines.assign(line=lines["line"] - 1), quotes(*late), rows], ignore_index=True)


def known(found: pd.DataFrame) -> pd.DataFrame:
    if "minutes" in found:  # a reaction is known when it has happened
        found = found[
            found["followed"] & (found["at"] + pd.to_timedelta(found["minutes"], unit="min") <= CUT)
        ]
    time = "placed_at" if "placed_at" in found else "at"
    return found[found[time] <= CUT].reset_index(drop=True)


@pytest.mark.parametrize("future", [shuffled, forgotten, crowded])
@pytest.mark.parametrize("rule", RULES)
def test_what_happens_later_changes_nothing_that_was_known(rule, future):
    rows = random_market(3, events=5, polls=14, noise=0.09)

    before, after = known(RULES[rule](rows)), known(RULES[rule](future(rows)))

    assert len(before) > 2
    pd.testing.assert_frame_equal(before, after, check_exact=True)


def test_weights_of_the_past_know_no_later_result_and_no_later_price():
    rng = np.random.default_rng(2)
    groups, ended = [], []
    for match in range(240):
        start = KICK_OFF + pd.Timedelta(days=match)
        p = rng.dirichlet([5, 3, 4]) * 0.6 + 0.13
        for name, noise in (("pinnacle", 0.02), ("soft", 0.3), ("softer", 0.5)):
            q = p * np.exp(rng.normal(0, noise, 3))
            groups.append(
                three_way(f"m{match}", name, tuple(1 / (q / q.sum() * 1.04)), phase="close", start=start)
            )
        outcome = rng.choice(3, p=p / p.sum())
        ended.append(
            result(
                f"m{match}",
                int(outcome == 0),
                int(outcome == 2),
                settled_at=str(start + pd.Timedelta(hours=2))[:19],
            )
        )
    rows, scores = quotes(*groups), results(*ended)

    weights = past_accuracy_weights(rows, scores, "pinnacle")
    cut = weights.index[3]
    later, unplayed = scores["settled_at"] > cut, rows["starts_at"] >= cut
    other = past_accuracy_weights(
        rows.assign(price=rows["price"].where(~unplayed, 1.5 + rng.random(len(rows)) * 5)),
        scores.assign(home_score=scores["home_score"].where(~later, 7 - scores["home_score"])),
        "pinnacle",
    )

    assert len(weights) == 7 - 1  # the first of seven cuts has not enough matches behind it
    pd.testing.assert_frame_equal(weights.loc[:cut], other.loc[:cut], check_exact=True)
    assert not weights.iloc[-1].equals(other.iloc[-1])
    assert weights["pinnacle"].iloc[-1] > weights["softer"].iloc[-1]
