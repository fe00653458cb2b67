"""Reference prices: who has a say, with what weight, and what is refused."""

import statistics

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overround import closing_lines, value_signals
from overround.errors import ParameterError
from overround.prices import accuracy_weights, exchange_mid
from overround.prices.references import REFERENCES, check_reference, opinions, spread_of_accounts
from tests.support.books import quotes, three_way

FOUR = {"a": (2.0, 4.0, 4.0), "b": (2.0, 4.0, 4.0), "c": (2.5, 3.6, 3.2), "d": (2.4, 3.7, 3.4)}


def test_the_consensus_leaves_out_the_bookmaker_that_is_judged_and_columns_that_are_no_account():
    fair = np.array([0.50, 0.52, 0.54, 0.60, 0.99])
    names = ["a", "b", "c", "d", "market_maximum"]

    reference, number = opinions(fair, names, "consensus")

    assert reference[0] == pytest.approx((0.52 + 0.54 + 0.60) / 3)
    assert reference[3] == pytest.approx((0.50 + 0.52 + 0.54) / 3)
    assert number[:4].tolist() == [3, 3, 3, 3]


def test_a_reference_without_prices_is_refused_with_those_that_have():
    with pytest.raises(ParameterError, match=r"pinnacle.*a, b"):
        check_reference("pinnacle", ["a", "b"])


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(0.05, 0.9), st.just(float("nan"))), min_size=4, max_size=8), st.data())
def test_the_median_is_that_of_the_others(fair, data):
    names = [f"b{number}" for number in range(len(fair))]
    judged = data.draw(st.integers(0, len(fair) - 1))
    others = [p for number, p in enumerate(fair) if number != judged and p == p]

    said = opinions(np.array(fair), names, "consensus_median")[0][judged]

    assert said == pytest.approx(statistics.median(others) if len(others) >= 3 else float("nan"), nan_ok=True)


def test_half_the_margin_has_twice_the_weight_and_below_half_a_per_cent_counts_as_that():
    fair, book = np.array([0.50, 0.52, 0.54, 0.9]), np.array([1.02, 1.04, 1.001, 1.5])

    said = opinions(fair, list("abcd"), "consensus_margin", overround=book)[0][3]

    weights = np.array([1 / 0.02, 1 / 0.04, 1 / 0.005])
    assert said == pytest.approx((weights * fair[:3]).sum() / weights.sum())


def test_weights_decide_who_is_heard_and_one_that_has_none_is_not():
    fair = np.array([0.50, 0.52, 0.54, 0.56, 0.9])

    said, _ = opinions(fair, list("abcde"), "consensus_accuracy", share=np.array([2.0, 1.0, 1.0, 4.0, 0.0]))

    assert said[4] == pytest.approx((2 * 0.50 + 0.52 + 0.54 + 4 * 0.56) / 8)
    assert said[3] == pytest.approx((2 * 0.50 + 0.52 + 0.54) / 4)  # d does not judge itself


def test_accuracy_weights_fall_with_the_log_loss_above_the_best():
    scores = pd.DataFrame(
        {"log_loss": [0.97, 0.98, 1.0, 1.2, 0.9], "gap": [0.0, 0.002, 0.006, np.nan, -0.1]},
        index=["sharp", "near", "far", "never", "market_average"],
    )

    weights = accuracy_weights(scores)

    noise = 0.001 * 0.97
    expected = np.array([1 / noise, 1 / (0.002 + noise), 1 / (0.006 + noise)])
    assert list(weights) == ["sharp", "near", "far"]
    assert list(weights.values()) == pytest.approx(expected / expected.sum())
    # gaps that are within their noise count alike, nearly
    noisy = accuracy_weights(scores.assign(low=scores["gap"] - 0.196, high=scores["gap"] + 0.196))
    assert list(noisy.values()) == pytest.approx([1 / 3] * 3, rel=0.05)


def test_accuracy_weights_of_nobody_are_refused():
    with pytest.raises(ParameterError, match="no bookmaker has been scored"):
        accuracy_weights(pd.DataFrame({"log_loss": [1.0], "gap": [np.nan]}, index=["a"]))
    with pytest.raises(ParameterError, match="'gap'"):
        accuracy_weights(pd.DataFrame({"log_loss": [1.0]}, index=["a"]))


def test_the_middle_of_an_exchange_sums_to_one_and_lies_between_back_and_lay():
    back, lay = (
        np.array([[2.46, 3.6, 3.0], [1.9, np.nan, 2.0]]),
        np.array([[2.5, 3.7, 3.1], [1.95, np.nan, 2.1]]),
    )

    mid = exchange_mid(back, lay, np.array([True, False]))

    half = (1 / back[0] + 1 / lay[0]) / 2
    assert mid[0] == pytest.approx(half / half.sum())
    assert np.nansum(mid, axis=1) == pytest.approx([1, 1])
    assert np.isnan(exchange_mid(back, np.where(lay == 3.7, np.nan, lay))[0]).all()


def test_a_price_is_held_against_the_middle_of_the_exchange_and_lay_prices_are_no_bets():
    rows = quotes(
        three_way(bookmaker="betfair_exchange", prices=(1.98, 3.95, 3.95)),
        three_way(bookmaker="betfair_exchange", prices=(2.02, 4.05, 4.05), market="h2h_lay"),
        three_way(bookmaker="soft", prices=(2.2, 3.6, 3.6)),
    )

    signals = value_signals(rows, "exchange_mid")

    mid = exchange_mid(np.array([1.98, 3.95, 3.95]), np.array([2.02, 4.05, 4.05]))[0]
    assert signals[["market", "outcome", "side", "bookmaker", "price"]].to_numpy().tolist() == [
        ["h2h", "home", "back", "soft", 2.2]
    ]
    assert signals["probability"].tolist() == pytest.approx([mid])


@pytest.mark.parametrize(
    "reference", ["consensus", "consensus_median", "consensus_margin", "consensus_accuracy", "close"]
)
def test_every_reference_is_had_by_its_name(reference):
    rows = quotes(
        *(
            three_way(bookmaker=name, prices=prices, phase=phase)
            for name, prices in FOUR.items()
            for phase in ("early", "close")
        ),
        *(three_way(bookmaker="soft", prices=(2.4, 3.6, 3.6), phase=phase) for phase in ("early", "close")),
    )

    bets = value_signals(
        rows, reference, min_edge=0.0, weights=dict.fromkeys("abcd", 1.0), at_close=reference == "close"
    )
    lines = closing_lines(rows, reference, weights=dict.fromkeys("abcd", 1.0))

    assert len(bets) > 0
    assert lines["closing_fair"].notna().all()
    assert lines.groupby("bookmaker")["closing_fair"].sum().tolist() == pytest.approx([1] * 5, abs=0.01)


def test_a_reference_that_cannot_be_had_says_what_is_missing():
    rows = quotes(three_way(bookmaker="a"), three_way(bookmaker="b"))

    with pytest.raises(ParameterError, match=r"not known before kick-off.*at_close"):
        value_signals(rows, "close")
    with pytest.raises(ParameterError, match=r"needs lay prices \(market h2h_lay\)"):
        value_signals(rows, "exchange_mid")
    with pytest.raises(ParameterError, match=r"needs weights: accuracy_weights or past_accuracy_weights"):
        value_signals(rows, "consensus_accuracy")
    with pytest.raises(
        ParameterError,
        match=r"'mean' has no prices here; bookmakers are a, b, or one of " + ", ".join(REFERENCES),
    ):
        value_signals(rows, "mean")


def test_the_error_of_an_edge_is_the_spread_of_the_others_over_the_root_of_how_many_are_asked():
    rows = quotes(
        *(three_way(bookmaker=name, prices=prices) for name, prices in FOUR.items()),
        three_way(bookmaker="soft", prices=(2.4, 3.6, 3.6)),
    )
    inverse = {name: 1 / np.array(prices) for name, prices in FOUR.items()}
    fair = np.array([p[0] / p.sum() for p in inverse.values()])

    mean = value_signals(rows, "consensus", "multiplicative", bookmakers=["soft"])
    sharp = value_signals(rows, "a", "multiplicative", bookmakers=["soft"])

    assert mean["edge_se"].tolist() == pytest.approx([2.4 * fair.std(ddof=1) / 2])
    assert sharp["edge_se"].tolist() == pytest.approx([2.4 * fair.std(ddof=1)])


def test_the_spread_leaves_out_the_judged_one_and_needs_two_others():
    fair = np.array([[0.5, 0.5], [0.54, 0.54], [0.58, np.nan], [0.9, 0.9]])

    found = spread_of_accounts(fair, ["a", "b", "c", "market_average"], np.array([0, 0]))

    assert found == pytest.approx([np.std([0.54, 0.58], ddof=1), np.nan], nan_ok=True)
