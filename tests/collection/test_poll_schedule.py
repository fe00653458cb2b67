"""When a poller polls next: equal intervals, longer waits after errors, wider spacing where the quota is short."""

from datetime import UTC, datetime, timedelta

import pytest

from overround.collection.poll_schedule import Schedule, Turn, is_due
from overround.http.client import Answer

NOON = datetime(2030, 5, 4, 12, tzinfo=UTC)
NOW = NOON.timestamp()


def test_polls_keep_their_interval_however_long_a_poll_took():
    schedule = Schedule(60, 3, NOW)

    due = []
    for took_s in (5, 20, 1):
        schedule.advance(schedule.due + took_s, None, [])
        due.append(schedule.due - NOW)

    assert due == [60, 120, 180]


@pytest.mark.parametrize("gap_s", [61, -8 * 3600])  # a poll of more than a minute; a clock that was set back
def test_missed_polls_are_not_made_up_for(gap_s: float):
    schedule = Schedule(60, 3, NOW)

    schedule.advance(NOW + gap_s, None, [])

    assert schedule.due == NOW + gap_s + 60


def test_the_quota_decides_only_where_it_does_not_pay_for_every_poll():
    rich, poor = Schedule(60, 3, NOW), Schedule(60, 3, NOW)
    kick_off = [NOON + timedelta(hours=3)]

    rich.advance(NOW, 1_000_000, kick_off)
    poor.advance(NOW, 300, kick_off)

    assert (rich.due - NOW, rich.plan) == (60, "")
    assert poor.due - NOW > 60
    assert poor.plan.startswith("300 credits at 3 a poll pay for 100 of")


def test_a_sport_waits_twice_as_long_after_each_error_up_to_a_quarter_of_an_hour():
    turn, waits = Turn("soccer_nowhere"), []

    for _ in range(6):
        turn.fail(NOW, 60)
        waits.append(turn.not_before - NOW + 30)

    # half an interval is taken off, so that the poll itself, which is due then, is not missed
    assert waits == [60, 120, 240, 480, 900, 900]
    assert turn.waits(NOW)
    assert not turn.waits(turn.not_before)
    assert not turn.waits(NOW - 8 * 3600)  # a clock that was set back


def test_an_answer_is_new_unless_the_cache_gives_the_last_one_again():
    def answer(at: datetime, from_cache: bool) -> Answer:
        return Answer("u", 200, b"[]", at, from_cache, {})

    turn = Turn("soccer_nowhere", answered_at=NOON)

    assert Turn("soccer_nowhere").is_new(answer(NOON, True))
    assert turn.is_new(answer(NOON, False))
    assert not turn.is_new(answer(NOON, True))
    assert turn.is_new(answer(NOON + timedelta(seconds=1), True))


def test_something_is_due_after_its_time_or_when_the_clock_was_set_back():
    assert not is_due(NOW, NOW + 299, 300)
    assert is_due(NOW, NOW + 300, 300)
    assert is_due(NOW, NOW - 1, 300)
