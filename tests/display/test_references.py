"""What a report says of the references of its bets."""

import pandas as pd
import pytest

from overround import value_signals
from overround.display import reference_counts, reference_note, reference_table
from overround.forecasts import reference_periods
from tests.support.leagues import BOOKS, league

LEFT = pd.Timestamp("2024-10-16", tz="UTC")
FIVE = BOOKS | {"softer": (0.06, 0.2)}


@pytest.fixture(scope="module")
def left():
    """Three matches a day from 3 August to 30 November; the sharp bookmaker leaves on 16 October."""
    return league(120, books=FIVE, here=lambda book, day: book != "sharp" or day < LEFT)


def test_the_table_has_a_row_for_each_reference_with_its_matches_and_bets(left):
    shown, ended = left
    periods = reference_periods(shown, ended)
    signals = value_signals(shown, periods, min_edge=0.01)

    lines = str(reference_table(periods, shown, signals)).replace("\N{NO-BREAK SPACE}", " ").splitlines()

    assert [line.split()[:5] for line in lines[1:]] == [
        ["Aug", "2024", "Aug", "2024", "consensus"],
        ["Sep", "2024", "Oct", "2024", "sharp"],
        ["Nov", "2024", "the", "end", "good"],
    ]
    # 29, 61 and 30 days of three matches
    assert all(f" {n} " in line for line, n in zip(lines[1:], (87, 183, 90), strict=True))


def test_matches_and_bets_without_the_reference_of_their_period_are_counted(left):
    shown, ended = left
    periods = reference_periods(shown, ended)
    signals = value_signals(shown, periods, min_edge=0.01)

    note, counts = reference_note(periods, shown, signals), reference_counts(periods, shown, signals)

    # 16 to 31 October: 16 days of three matches, judged by the mean of the four that are left
    stand_ins = (signals["reference"] == "consensus") & (signals["starts_at"] >= LEFT)
    assert counts == {
        "matches_without_reference": 48,
        "matches_without_any_reference": 0,
        "bets_without_reference": int(stand_ins.sum()),
    }
    assert 0 < stand_ins.sum() < (signals["reference"] == "consensus").sum()
    assert note == (
        "48 of 360 matches have no price of their period's reference: "
        f"on 48 the mean of at least three others stands in ({stand_ins.sum()} bets)."
    )


def test_where_too_few_others_are_left_nobody_stands_in(left):
    shown, ended = left
    three = shown[shown["bookmaker"].isin(["sharp", "good", "soft"])]
    periods = reference_periods(three, ended)

    note = reference_note(periods, three, value_signals(three, periods))

    # nobody can be a consensus of three others in August (29 days) and the second half of October (16 days)
    assert (
        note
        == "135 of 360 matches have no price of their period's reference: 135 without any, and without a bet."
    )


def test_of_a_fixed_reference_that_has_left_the_month_and_the_matches_are_said(left):
    shown, _ = left
    bets = value_signals(shown, "sharp")

    note = reference_note("sharp", shown, bets)

    assert bets["starts_at"].max() < LEFT
    # 16 October to 30 November: 46 days of three matches
    assert note == "sharp shows no prices from October 2024 on: 138 of 360 matches, without a bet."
    assert str(reference_table("sharp", shown, bets)) == note
    assert reference_note("good", shown, bets) == ""
    assert str(reference_table("good", shown, bets)) == "Every match has a price of good."


def test_a_gap_is_not_taken_for_having_left(left):
    shown, _ = left
    gap = shown[(shown["bookmaker"] != "good") | (shown["starts_at"].dt.strftime("%m-%d") != "09-10")]

    assert (
        reference_note("good", gap, gap.head(0))
        == "On 3 of 360 matches there is no price of good, and no bet."
    )
    both = shown[(shown["bookmaker"] != "sharp") | (shown["starts_at"].dt.strftime("%m-%d") != "09-10")]
    assert reference_note("sharp", both, both.head(0)).endswith(
        "138 of 360 matches, without a bet, nor on 3 earlier ones."
    )
