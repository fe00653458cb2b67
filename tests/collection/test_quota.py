"""Plans of polls: the quota lasts, and most of it is spent near kick-offs."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.collection.quota import _Pace, plan
from overround.errors import ParameterError
from overround.http.client import credits_left
from overround.sources.the_odds_api.client import Offer

NOW = datetime(2024, 8, 17, 12, tzinfo=UTC)
RESET = datetime(2024, 9, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def followed(now, *, remaining, resets_at, cost, kick_offs=(), **bounds):
    """Times of the polls that follow when each is planned with what the one before left."""
    times = []
    while now < resets_at and len(times) < 3_000:
        planned = plan(
            now, remaining=remaining, resets_at=resets_at, cost=cost, kick_offs=kick_offs, **bounds
        )
        if planned.next_poll >= resets_at:
            break
        now, remaining = planned.next_poll, remaining - cost
        times.append(now)
    return times


@given(
    remaining=st.integers(0, 300),
    cost=st.integers(1, 12),
    hours=st.floats(0.1, 200),
    kick_offs=st.lists(st.floats(-50, 400), max_size=6),
)
def test_following_the_plan_never_takes_more_credits_than_remain(remaining, cost, hours, kick_offs):
    times = followed(
        NOW,
        remaining=remaining,
        resets_at=NOW + hours * HOUR,
        cost=cost,
        kick_offs=[NOW + hour * HOUR for hour in kick_offs],
    )

    assert len(times) * cost <= remaining
    assert times == sorted(times)


@given(remaining=st.integers(10, 300), hours=st.floats(2, 100))
def test_polls_are_denser_the_nearer_the_kick_off(remaining, hours):
    kick_off = NOW + hours * HOUR

    times = [
        time
        for time in followed(
            NOW, remaining=remaining, resets_at=kick_off + HOUR, cost=1, kick_offs=[kick_off]
        )
        if time <= kick_off
    ]

    gaps = [(later - sooner).total_seconds() for sooner, later in zip([NOW, *times], times, strict=False)]
    # a gap may grow by what rounding the number of affordable polls moves, never more
    assert all(later <= sooner * 1.02 + 1 for sooner, later in pairwise(gaps))
    if len(gaps) > 5:
        assert gaps[-1] < gaps[0]


@given(
    kick_offs=st.lists(st.floats(0.01, 100), min_size=1, max_size=8),
    share=st.floats(0.5, 50),
    until=st.floats(0.5, 90),
)
def test_a_poll_ends_where_its_share_of_the_wanted_polls_is_used_up(kick_offs, share, until):
    ahead, pace = sorted(hour * 3600 for hour in kick_offs), _Pace(30, 6 * 3600)

    assert pace.polls(pace.after(share, ahead), ahead) == pytest.approx(
        max(share, pace.polls(30, ahead)), rel=1e-6, abs=1.01
    )
    assert 0 <= pace.polls(until * 1800, ahead) < pace.polls(until * 3600, ahead)


def test_most_of_the_quota_is_used():
    # 15 days, 500 credits at 3: 166 polls; the last falls on the reset itself
    kick_offs = [NOW + timedelta(days=day, hours=3) for day in range(14)]

    times = followed(NOW, remaining=500, resets_at=RESET, cost=3, kick_offs=kick_offs)

    assert 155 <= len(times) <= 166


def test_with_plenty_of_credits_polls_are_as_dense_as_wanted_and_no_denser():
    kick_off = NOW + HOUR

    planned = plan(NOW, remaining=1e6, resets_at=RESET, cost=1, kick_offs=[kick_off])
    near = plan(kick_off - timedelta(minutes=5), remaining=1e6, resets_at=RESET, cost=1, kick_offs=[kick_off])

    assert planned.stretch == 1
    assert planned.spacing_s == pytest.approx(60, rel=0.02)  # 3600 s ahead, a sixtieth of it
    assert near.spacing_s == 30


def test_without_a_kick_off_the_longest_spacing_is_kept():
    assert plan(NOW, remaining=1e6, resets_at=RESET, cost=1).spacing_s == 6 * 3600


def test_zero_credits_wait_until_the_reset():
    planned = plan(NOW, remaining=2, resets_at=RESET, cost=3, kick_offs=[NOW + HOUR])

    assert (planned.next_poll, planned.polls) == (RESET, 0)
    assert (
        planned.sentence
        == "The quota is used up (2 credits, 3 a poll): waiting for its reset at 2024-09-01 00:00 UTC."
    )


def test_a_reset_that_is_due_is_tried_soon():
    assert plan(RESET + HOUR, remaining=0, resets_at=RESET, cost=3).polls == 1


def test_what_is_free_is_only_spaced():
    planned = plan(NOW, remaining=0, resets_at=RESET, cost=0, kick_offs=[NOW + HOUR])

    assert planned.spacing_s == pytest.approx(60, rel=0.02)
    assert planned.sentence.startswith(
        "Polls are free; next poll in 60 s, at 2024-08-17 12:00 UTC; the next kick-off is in 60.0 min"
    )


def test_the_plan_says_in_one_sentence_what_it_decided():
    sentence = plan(NOW, remaining=480, resets_at=RESET, cost=3, kick_offs=[NOW + 24 * HOUR]).sentence

    # wanted: 60 in the last half hour, 60 ln(48) between half an hour and a day before, 13.5 days at 6 h
    # after: 346
    assert sentence.startswith(
        "480 credits at 3 a poll pay for 160 of 346 polls wanted until the reset at 2024-09-01 00:00 UTC: 2.2 times"
    )
    assert sentence.endswith("; the next kick-off is in 24.0 h.")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"now": NOW.replace(tzinfo=None)}, "time zone"),
        ({"resets_at": datetime(2024, 9, 1)}, "time zone"),
        ({"kick_offs": [datetime(2024, 9, 1)]}, "time zone"),
        ({"remaining": -1}, "remaining >= 0"),
        ({"remaining": float("nan")}, "remaining >= 0"),
        ({"cost": -1}, "cost >= 0"),
        ({"shortest_s": 0}, "shortest_s"),
        ({"shortest_s": 100, "longest_s": 99}, "longest_s"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_name(wrong, named):
    asked = {"now": NOW, "remaining": 10, "resets_at": RESET, "cost": 1, **wrong}

    with pytest.raises(ParameterError, match=named):
        plan(asked.pop("now"), **asked)


def test_costs_are_those_of_the_providers_page():
    # the-odds-api.com/liveapi/guides/v4: markets x regions, ten bookmakers a region
    assert Offer(regions="eu,uk", markets="h2h,totals,spreads").cost == 6
    assert Offer(markets="h2h,totals", bookmakers=",".join("abcdefghijk")).cost == 4


def test_the_quota_is_read_from_the_headers():
    assert (
        credits_left({"X-Requests-Remaining": "477", "x-requests-used": "23", "x-requests-last": "3"}) == 477
    )
    assert credits_left({"x-requests-remaining": "0"}) == 0
    assert credits_left({"x-requests-remaining": "-2"}) == 0
    for headers in (
        {"x-requests-remaining": "many"},
        {"x-requests-remaining": "nan"},
        {"x-requests-used": "23"},
        {},
    ):
        assert credits_left(headers) is None
