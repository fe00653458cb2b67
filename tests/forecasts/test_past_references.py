"""The reference of each period is found from what was known before it began."""

import numpy as np
import pandas as pd
import pytest

from overround import backtest, closing_lines, value_signals
from overround.errors import ParameterError
from overround.forecasts import reference_periods
from overround.forecasts.past_references import (
    FIRST,
    LEFT,
    LOWER_MARGIN,
    LOWEST,
    MORE_ACCURATE,
    NOBODY,
    chosen_periods,
    scored_markets,
)
from tests.support.leagues import BOOKS, league


def test_a_first_period_without_a_past_takes_the_consensus_and_later_ones_the_sharpest():
    periods = reference_periods(*league(100))

    assert periods.index.strftime("%Y-%m").tolist() == ["2024-08", "2024-09", "2024-10", "2024-11"]
    assert periods["reference"].tolist() == ["consensus", "sharp", "sharp", "sharp"]
    assert periods["why"].tolist() == [FIRST, LOWEST, LOWEST, LOWEST]
    # 3 to 30 August: without a time of settlement, those of the 31st may not be over on the first
    assert periods["matches"].tolist()[:2] == [0, 28 * 3]
    assert periods["overround"].iloc[1] == pytest.approx(1.025)
    assert periods["coverage"].iloc[1] == 1.0


def test_a_bookmaker_that_has_left_is_replaced_from_the_next_period_on():
    left = pd.Timestamp("2024-11-16", tz="UTC")
    shown, ended = league(150, here=lambda book, day: book != "sharp" or day < left)

    periods = reference_periods(shown, ended)

    assert periods["reference"].tolist() == ["consensus", "sharp", "sharp", "sharp", "good"]
    assert periods["why"].iloc[-1] == LEFT


def test_it_does_not_change_from_month_to_month_by_noise():
    alike = {name: (0.03 + 0.001 * i, 0.05) for i, name in enumerate("abcdef")}
    for seed in range(6):
        periods = reference_periods(*league(300, 2, seed=seed, books=alike, phases=("close",)))

        assert periods["reference"].iloc[1:].unique().tolist() == [periods["reference"].iloc[1]], seed


def test_one_that_is_more_accurate_beyond_noise_takes_over_although_its_margin_is_higher():
    books = {"cheap": (0.02, 0.5), "sharp": (0.05, 0.02), "soft": (0.06, 0.2), "other": (0.06, 0.2)}

    periods = reference_periods(*league(150, 8, books=books, phases=("close",)))

    assert periods["reference"].iloc[-1] == "sharp"
    assert periods["why"].iloc[-1] == MORE_ACCURATE


def test_a_newcomer_with_a_lower_margin_takes_over_where_it_is_no_less_accurate():
    came = pd.Timestamp("2024-10-01", tz="UTC")
    shown, ended = league(120, here=lambda book, day: book != "sharp" or day >= came)

    periods = reference_periods(shown, ended)

    assert periods["reference"].tolist() == ["consensus", "good", "good", "sharp"]
    assert periods["why"].iloc[-1] == LOWER_MARGIN


def test_without_a_bookmaker_that_priced_the_last_matches_the_consensus_takes_over():
    # each bookmaker prices every other match only
    shown, ended = league(60)
    number = shown["event_id"].str[1:].astype(int)
    half = shown[(number % 2 == 0) == shown["bookmaker"].isin(["sharp", "soft"])]

    periods = reference_periods(half, ended)

    assert periods["reference"].unique().tolist() == ["consensus"]
    assert periods["why"].tolist()[1:] == [NOBODY] * (len(periods) - 1)
    assert reference_periods(half, ended, coverage=0.4)["reference"].iloc[-1] == "sharp"


def test_the_commission_of_an_exchange_is_part_of_its_margin():
    books = BOOKS | {"betfair_exchange": (0.005, 0.03)}

    periods = reference_periods(*league(60, books=books))

    # by its own prices the exchange is cheapest; less 5 % of winnings it costs more than 2.5 %
    assert periods["reference"].iloc[-1] == "sharp"


def test_closing_prices_of_one_bookmaker_alone_do_not_count_against_the_others():
    # as on football-data.co.uk until 2019: only Pinnacle has a closing price
    shown, ended = league(60)
    shown = shown[(shown["phase"] == "early") | (shown["bookmaker"] == "dull")]

    periods = reference_periods(shown, ended)

    assert periods["reference"].iloc[-1] == "sharp"
    assert periods["coverage"].iloc[-1] == 1.0


def test_market_averages_are_never_chosen():
    books = {"market_average": (0.0, 0.01), "market_maximum": (-0.02, 0.01)} | BOOKS

    assert reference_periods(*league(60, books=books))["reference"].iloc[-1] == "sharp"


@pytest.mark.parametrize("month", [2, 4, 6])
def test_nothing_of_a_period_or_later_decides_who_is_its_reference(month):
    shown, ended = league(220)
    periods = reference_periods(shown, ended)
    since = periods.index[month]
    rng = np.random.default_rng(1)
    later = (shown["starts_at"] >= since).to_numpy()
    start = ended["event_id"].map(shown.drop_duplicates("event_id").set_index("event_id")["starts_at"])
    # a result counts once it is known, a day after a kick-off without a time of settlement
    unknown = start > since - pd.Timedelta(days=1)

    other = reference_periods(
        shown.assign(
            price=shown["price"].where(~later, 1.2 + 6 * rng.random(len(shown))),
            bookmaker=shown["bookmaker"].where(~later, "new"),
        ).drop_duplicates(["event_id", "bookmaker", "outcome", "phase"]),
        ended.assign(
            home_score=ended["home_score"].where(~unknown, 5.0),
            away_score=ended["away_score"].where(~unknown, 0.0),
        ),
    )

    pd.testing.assert_frame_equal(periods.loc[:since], other.loc[:since], check_exact=True)
    assert periods["reference"].loc[since] == "sharp"
    assert not periods.iloc[-1].equals(other.iloc[-1])


def test_a_close_that_was_collected_after_its_kick_off_is_not_a_past_to_choose_from():
    shown, ended = league(40)
    late = shown.assign(
        phase="snapshot",
        observed_at=shown["starts_at"] - pd.Timedelta(hours=1),
        collected_at=shown["starts_at"] + pd.Timedelta(days=90),
    )
    late = late.drop_duplicates(["event_id", "bookmaker", "outcome"])

    assert scored_markets(late, ended).empty


def test_seasons_that_are_scored_one_by_one_give_the_same_choice():
    shown, ended = league(120)
    first = shown["starts_at"] < pd.Timestamp("2024-09-20", tz="UTC")

    parts = pd.concat([scored_markets(shown[part], ended) for part in (~first, first)], ignore_index=True)

    pd.testing.assert_frame_equal(chosen_periods(parts), reference_periods(shown, ended))


def test_bets_against_the_references_of_the_periods_name_theirs():
    left = pd.Timestamp("2024-10-16", tz="UTC")
    books = BOOKS | {"softer": (0.06, 0.2)}
    shown, ended = league(120, books=books, here=lambda book, day: book != "sharp" or day < left)
    periods = reference_periods(shown, ended)

    signals = value_signals(shown, periods, min_edge=0.01)
    whose = signals.groupby(signals["placed_at"].dt.strftime("%Y-%m"))["reference"].unique().map(sorted)
    ledger = backtest(signals, ended, closing=closing_lines(shown, periods))

    assert whose.to_dict() == {
        "2024-08": ["consensus"],
        "2024-09": ["sharp"],
        "2024-10": ["consensus", "sharp"],  # from 16 October on the mean of the others stands in
        "2024-11": ["good"],
    }
    assert (
        signals["strategy"]
        .iloc[0]
        .startswith("value against consensus, from Sep 2024 sharp, from Nov 2024 good (")
    )
    assert not (signals["bookmaker"].astype(str) == signals["reference"].astype(str)).any()
    assert ledger["clv"].notna().all()
    alone = value_signals(shown, "sharp", min_edge=0.01)
    september = alone[alone["placed_at"].dt.month == 9].reset_index(drop=True)
    same = signals[signals["placed_at"].dt.month == 9].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        september.drop(columns="strategy"), same.drop(columns="strategy"), check_categorical=False
    )


def test_no_matches_have_no_periods():
    shown, ended = league(2)

    periods = reference_periods(shown.head(0), ended)

    assert periods.empty
    assert value_signals(shown, periods, min_edge=0.0)["reference"].unique().tolist() == ["consensus"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"every": "fortnight"}, "every is 'fortnight'; it takes an offset of pandas, such as MS or W-MON."),
        ({"coverage": 80}, "coverage is 80; it is a share, above 0 and up to 1."),
        ({"least": 0}, "least is 0; it must be above 0."),
        ({"recent_days": -1}, "recent_days is -1; it must be above 0."),
    ],
)
def test_impossible_settings_are_refused(given, says):
    with pytest.raises(ParameterError) as refused:
        reference_periods(*league(3), **given)

    assert str(refused.value) == says
