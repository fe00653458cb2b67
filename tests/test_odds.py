"""Margin removal and reference prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.errors import ParameterError, UnknownMethod
from overround.odds import METHODS, fair_probabilities, overround, reference_probabilities, remove_margin
from tests.books import quote, quotes, three_way


@st.composite
def markets(draw, low=2, high=6):
    """Prices of one market with a margin between 0.5 % and 20 %."""
    weights = draw(st.lists(st.floats(0.02, 1.0), min_size=low, max_size=high))
    margin = draw(st.floats(1.005, 1.2))
    inverse = np.array(weights) / sum(weights) * margin
    return 1 / np.minimum(inverse, 0.98)


@given(prices=markets(), method=st.sampled_from(sorted(METHODS)))
def test_fair_probabilities_sum_to_one_and_keep_the_order(prices, method):
    if overround(prices)[0] < 1:
        return

    fair = remove_margin(prices, method)[0]

    assert fair.sum() == pytest.approx(1, abs=1e-12)
    assert (np.diff(fair[np.argsort(-prices)]) >= -1e-12).all()


@given(prices=markets(), method=st.sampled_from(["power", "shin"]))
def test_putting_the_margin_back_gives_the_prices_again(prices, method):
    if overround(prices)[0] < 1:
        return

    fair, parameter = remove_margin(prices, method, return_parameter=True)

    if method == "power":
        again = fair[0] ** (1 / parameter[0])
    else:  # Shin (1993), equation for quoted prices given z; the factor makes them sum to the overround
        z = parameter[0]
        again = np.sqrt(z * fair[0] + (1 - z) * fair[0] ** 2)
        again *= np.sqrt(z + (1 - z) * fair[0]).dot(np.sqrt(fair[0]))
    assert again == pytest.approx(1 / prices, rel=1e-9)


@given(p=st.floats(0.05, 0.95), margin=st.floats(1.0, 1.15))
def test_shin_of_two_outcomes_takes_the_same_from_both(p, margin):
    inverse = np.array([p, 1 - p]) + (margin - 1) / 2
    if inverse.max() >= 1:
        return

    fair = remove_margin(1 / inverse, "shin")[0]

    assert fair == pytest.approx([p, 1 - p], abs=1e-9)  # Jullien and Salanie (1994): additive for two outcomes


def test_the_worked_example_of_the_shin_package():
    # README of the shin package: prices 2.6, 2.4, 4.3 -> these probabilities, z = 0.01694251
    fair, z = remove_margin([2.6, 2.4, 4.3], "shin", return_parameter=True)

    assert fair[0] == pytest.approx([0.37299406033208965, 0.4047794109200184, 0.2222265287474275], abs=1e-7)
    assert z[0] == pytest.approx(0.01694251, abs=1e-7)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("prices", [[2.0, np.nan, 4.0], [2.0, 1.0, 4.0], [2.0, 0.5, 4.0], [2.0, np.inf, 4.0], [2.0, -3.0, 4.0]])
def test_an_impossible_market_is_nan_and_leaves_its_neighbours_alone(method, prices):
    fair = remove_margin([prices, [2.0, 3.5, 4.0]], method)

    assert np.isnan(fair[0]).all()
    assert fair[1].sum() == pytest.approx(1)


def test_an_underround_market_has_no_shin_probabilities():
    assert np.isnan(remove_margin([3.0, 4.0, 5.0], "shin")).all()
    assert remove_margin([3.0, 4.0, 5.0], "power").sum() == pytest.approx(1)


def test_a_place_market_sums_to_its_places():
    assert remove_margin([1.5, 1.9, 2.1, 2.6], "power", target=2).sum() == pytest.approx(2)
    with pytest.raises(ParameterError, match="one winner"):
        remove_margin([2.0, 2.0], "shin", target=2)


def test_an_unknown_method_is_refused_with_the_list():
    with pytest.raises(UnknownMethod, match="multiplicative, power, shin"):
        remove_margin([2.0, 2.0], "magic")


def test_quotes_get_the_overround_and_fair_price_of_their_own_market():
    totals = [quote(outcome="over", price=1.8, market="totals", line=2.5), quote(outcome="under", price=2.25, market="totals", line=2.5)]
    rows = quotes(three_way(prices=(2.0, 4.0, 4.0)), three_way(bookmaker="other", prices=(1.9, 3.8, 3.8)), totals)

    fair = fair_probabilities(rows, "multiplicative")

    assert fair["overround"].tolist() == pytest.approx([1.0] * 3 + [1.0 / 0.95] * 3 + [1.0] * 2)
    assert fair["fair"].tolist() == pytest.approx([0.5, 0.25, 0.25] * 2 + [1 / 1.8, 1 / 2.25])


def test_a_market_without_its_draw_is_not_taken_for_a_two_way_market():
    rows = quotes(three_way(), [quote(bookmaker="lacks", outcome="home", price=1.9), quote(bookmaker="lacks", outcome="away", price=4.0)])

    fair = fair_probabilities(rows)

    assert fair.loc[fair["bookmaker"] == "lacks", "fair"].isna().all()
    assert fair.loc[fair["bookmaker"] == "acme", "fair"].notna().all()


def test_a_match_that_nobody_quotes_a_draw_for_is_two_way():
    rows = quotes([quote(outcome="home", price=1.9), quote(outcome="away", price=2.0)])

    assert fair_probabilities(rows, "multiplicative")["fair"].sum() == pytest.approx(1)


def test_the_consensus_leaves_out_the_bookmaker_that_is_judged_and_columns_that_are_no_account():
    fair = np.array([[0.50, 0.52, 0.54, 0.60, 0.99]])
    names = ["a", "b", "c", "d", "market_maximum"]

    reference = reference_probabilities(fair, names, "consensus")

    assert reference[0, 0] == pytest.approx((0.52 + 0.54 + 0.60) / 3)
    assert reference[0, 3] == pytest.approx((0.50 + 0.52 + 0.54) / 3)


def test_a_reference_without_prices_is_refused_with_those_that_have():
    with pytest.raises(ParameterError, match=r"pinnacle.*a, b"):
        reference_probabilities(np.zeros((1, 2)), ["a", "b"], "pinnacle")
