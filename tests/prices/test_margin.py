"""Margin removal and its inverse: algebra, statuses, and markets at the edge of what has a solution."""

import doctest
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

import overround.prices.margin
from overround.errors import ParameterError, UnknownMethod
from overround.prices.fair import overround as book
from overround.prices.margin import ALIASES, METHODS, STATUSES, add_margin, remove_margin

ALL = sorted(METHODS)
OK, MISSING, BAD_PRICE, UNDERROUND, OUTSIDE, NOT_CONVERGED = range(6)
# the first call of a method compiles it
patient = settings(deadline=None)


@st.composite
def books(draw, low=2, high=10, margins=(0.005, 0.2)):
    """Prices of one market with a margin."""
    weights = draw(st.lists(st.floats(0.02, 1.0), min_size=low, max_size=high))
    margin = draw(st.floats(*margins))
    inverse = np.array(weights) / sum(weights) * (1 + margin)
    assume(inverse.max() < 0.99)
    return 1 / inverse


@patient
@given(prices=books(), method=st.sampled_from(ALL))
def test_a_market_is_solved_in_the_order_of_its_prices_or_not_at_all(prices, method):
    fair, parameter, status = remove_margin(prices, method, return_parameter=True, return_status=True)

    if status[0] == OK:
        assert fair.sum() == pytest.approx(1, abs=1e-12)
        assert ((fair > 0) & (fair < 1)).all()
        assert (np.diff(fair[0][np.argsort(-prices)]) >= 0).all()
        assert np.isfinite(parameter[0])
    else:
        assert np.isnan(fair).all()
        assert np.isnan(parameter).all()
        assert status[0] == OUTSIDE


@patient
@given(prices=books(), method=st.sampled_from(["multiplicative", "odds_ratio", "power", "shin"]))
def test_some_methods_have_a_solution_for_every_book_with_a_margin(prices, method):
    assert remove_margin(prices, method, return_status=True)[1][0] == OK


@patient
@given(prices=books(), method=st.sampled_from(ALL))
def test_the_parameter_and_the_formula_give_the_prices_back(prices, method):
    fair, parameter, status = remove_margin(prices, method, return_parameter=True, return_status=True)
    assume(status[0] == OK)
    p, r, x, n = fair[0], 1 / prices, parameter[0], len(prices)

    again = {
        "multiplicative": lambda: p * x,
        "additive": lambda: p + x,
        "power": lambda: p ** (1 / x),
        "odds_ratio": lambda: 1 / (1 + (1 - p) / (p * x)),
        # Shin (1993), equation 5: quoted prices given z
        "shin": lambda: np.sqrt(x * p + (1 - x) * p**2) * np.sqrt(x * p + (1 - x) * p**2).sum(),
        "balanced_book": lambda: p * (1 - x) + x,
        "goto_conversion": lambda: p + x * np.sqrt(1 - r),
        "jensen_shannon": lambda: r,
    }[method]()
    assert again == pytest.approx(r, rel=1e-9)
    if method == "jensen_shannon":
        # scipy's distance loses digits where both coins are nearly the same
        assert [jensenshannon([a, 1 - a], [b, 1 - b]) for a, b in zip(p, r, strict=True)] == pytest.approx(
            [x] * n, rel=1e-5, abs=1e-7
        )


@patient
@given(prices=books(), margin=st.floats(0, 0.3), method=st.sampled_from(ALL))
def test_a_margin_that_was_added_can_be_removed(prices, margin, method):
    fair = (1 / prices) / (1 / prices).sum()
    made, status = add_margin(fair, margin, method, return_status=True)
    assume(status[0] == OK)

    assert book(made)[0] == pytest.approx(1 + margin, abs=1e-12)
    assert (made > 1).all()
    assert remove_margin(made, method)[0] == pytest.approx(fair, abs=1e-10)


@patient
@given(prices=books(), method=st.sampled_from(ALL))
def test_a_margin_that_was_removed_can_be_added(prices, method):
    fair, status = remove_margin(prices, method, return_status=True)
    assume(status[0] == OK)

    assert add_margin(fair, book(prices) - 1, method)[0] == pytest.approx(prices, rel=1e-9)


@patient
@given(prices=books(), method=st.sampled_from(ALL))
def test_without_a_margin_every_method_gives_the_inverse_prices(prices, method):
    fair = (1 / prices) / (1 / prices).sum()

    assert remove_margin(1 / fair, method)[0] == pytest.approx(fair, abs=1e-12)
    assert add_margin(fair, 0.0, method)[0] == pytest.approx(1 / fair, rel=1e-12)


@patient
@given(prices=books(), exponent=st.floats(-14, -4), method=st.sampled_from(ALL))
def test_a_margin_that_goes_to_nothing_changes_next_to_nothing(prices, exponent, method):
    fair = (1 / prices) / (1 / prices).sum()
    margin = 10**exponent

    again = remove_margin(1 / (fair * (1 + margin)), method)[0]

    # no method moves a price by more than the whole margin; rounding is the rest
    assert again == pytest.approx(fair, abs=2 * margin + 1e-14)


@patient
@given(prices=books(), method=st.sampled_from(ALL), seed=st.integers(0, 1000))
def test_the_order_of_the_outcomes_does_not_matter(prices, method, seed):
    order = np.random.default_rng(seed).permutation(len(prices))

    assert remove_margin(prices[order], method)[0] == pytest.approx(
        remove_margin(prices, method)[0][order], abs=1e-13, nan_ok=True
    )


@patient
@given(prices=books(), scale=st.floats(0.8, 1.2))
def test_multiplicative_does_not_see_a_factor_on_all_prices(prices, scale):
    assume((prices * scale > 1).all())

    assert remove_margin(prices * scale, "multiplicative")[0] == pytest.approx(
        remove_margin(prices, "multiplicative")[0]
    )


@patient
@given(prices=books(low=2, high=2))
def test_shin_of_two_outcomes_is_additive(prices):
    # Jullien and Salanie (1994)
    assert remove_margin(prices, "shin")[0] == pytest.approx(remove_margin(prices, "additive")[0], abs=1e-12)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("outcomes", [2, 3, 7, 100])
def test_a_market_has_the_same_result_in_every_batch(method, outcomes):
    prices = 1 / (np.random.default_rng(outcomes).dirichlet(np.full(outcomes, 5.0), 200) * 1.03)

    together = remove_margin(prices, method)

    assert np.array_equal(
        together, np.concatenate([remove_margin(row, method) for row in prices]), equal_nan=True
    )
    assert np.array_equal(together, remove_margin(np.asfortranarray(prices), method), equal_nan=True)
    assert np.isfinite(together).any()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("prices", "status"),
    [
        ([2.0, np.nan, 4.0], MISSING),
        ([np.nan, np.nan, np.nan], MISSING),
        ([np.nan, 1.0, 4.0], MISSING),
        ([2.0, 1.0, 4.0], BAD_PRICE),
        ([2.0, 0.5, 4.0], BAD_PRICE),
        ([2.0, 0.0, 4.0], BAD_PRICE),
        ([2.0, -3.0, 4.0], BAD_PRICE),
        ([2.0, np.inf, 4.0], BAD_PRICE),
        ([2.0, -np.inf, 4.0], BAD_PRICE),
    ],
)
def test_an_impossible_market_says_why_and_leaves_its_neighbours_alone(method, prices, status):
    fair, parameter, found = remove_margin(
        [prices, [2.0, 3.5, 4.0]], method, return_parameter=True, return_status=True
    )

    assert found.tolist() == [status, OK]
    assert found.dtype == np.int8
    assert np.isnan(fair[0]).all()
    assert np.isnan(parameter[0])
    assert fair[1].sum() == pytest.approx(1)


@pytest.mark.parametrize("method", ["shin", "balanced_book", "goto_conversion"])
def test_methods_that_explain_a_margin_refuse_an_underround(method):
    fair, status = remove_margin([3.0, 4.0, 5.0], method, return_status=True)

    assert STATUSES[status[0]] == "underround"
    assert np.isnan(fair).all()


@pytest.mark.parametrize("method", ["multiplicative", "additive", "power", "odds_ratio", "jensen_shannon"])
def test_the_other_methods_raise_an_underround_to_one(method):
    fair = remove_margin([3.0, 4.0, 5.0], method)[0]

    assert fair.sum() == pytest.approx(1, abs=1e-12)
    assert (fair > 1 / np.array([3.0, 4.0, 5.0])).all()


@pytest.mark.parametrize("method", ["additive", "balanced_book", "goto_conversion", "jensen_shannon"])
def test_a_negative_probability_is_a_status_and_not_a_number(method):
    # Clarke, Kovalchik and Ingram (2017): a race in which additive goes below zero
    race = 1 / np.array([0.870, 0.2, 0.1, 0.05, 0.02, 0.01])

    fair, status = remove_margin(race, method, return_status=True)

    assert STATUSES[status[0]] == "not between 0 and 1"
    assert np.isnan(fair).all()


@pytest.mark.parametrize("method", ["multiplicative", "power", "shin", "odds_ratio"])
def test_the_race_that_breaks_additive_is_solved_by(method):
    race = 1 / np.array([0.870, 0.2, 0.1, 0.05, 0.02, 0.01])

    assert remove_margin(race, method).sum() == pytest.approx(1, abs=1e-12)


def test_jensen_shannon_follows_a_long_shot_down_to_nearly_nothing():
    # the book is as far from `fair` as a long shot of 0.01 can be from 1e-9: the distance is bent there, and
    # Newton's steps leave (0, 1)
    fair = np.array([0.6, 0.4 - 1e-9, 1e-9])
    distance = jensenshannon([1e-9, 1 - 1e-9], [0.01, 0.99])

    def priced(p):
        low, high = p, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (
                (middle, high)
                if jensenshannon([p, 1 - p], [middle, 1 - middle]) < distance
                else (low, middle)
            )
        return low

    prices = 1 / np.array([priced(p) for p in fair])

    found, parameter = remove_margin(prices, "jensen_shannon", return_parameter=True)

    assert found[0] == pytest.approx(fair, abs=1e-9)
    assert parameter[0] == pytest.approx(distance, rel=1e-7)


@pytest.mark.parametrize("method", sorted(set(ALL) - {"shin"}))
def test_a_place_market_sums_to_its_places(method):
    fair, status = remove_margin([1.5, 1.9, 2.1, 2.6], method, target=2, return_status=True)

    assert status[0] == OK
    assert fair.sum() == pytest.approx(2, abs=1e-12)
    assert add_margin(fair, book([1.5, 1.9, 2.1, 2.6])[0] / 2 - 1, method, target=2)[0] == pytest.approx(
        [1.5, 1.9, 2.1, 2.6]
    )


def test_a_target_that_no_market_can_have_is_refused():
    with pytest.raises(ParameterError, match="one winner"):
        remove_margin([2.0, 2.0], "shin", target=2)
    with pytest.raises(ParameterError, match="a market of 3 outcomes can have a target above 0 and below 3"):
        remove_margin([2.0, 2.0, 2.0], "power", target=3)
    with pytest.raises(ParameterError, match="at least 2 outcomes"):
        remove_margin([2.0], "power")
    with pytest.raises(ParameterError, match="markets x outcomes"):
        remove_margin(np.full((2, 2, 2), 2.0), "power")


@pytest.mark.parametrize("alias", sorted(ALIASES))
def test_an_alias_is_the_method_that_it_names(alias):
    prices = [2.6, 2.4, 4.3]

    assert np.array_equal(remove_margin(prices, alias), remove_margin(prices, ALIASES[alias]))
    assert np.array_equal(
        add_margin([0.5, 0.3, 0.2], 0.05, alias), add_margin([0.5, 0.3, 0.2], 0.05, ALIASES[alias])
    )


def test_margin_weights_proportional_to_the_odds_are_additive():
    # Buchdahl's fair price n O / (n - M O), written out
    prices = np.array([1.595, 3.99, 6.76])
    margin = (1 / prices).sum() - 1

    assert remove_margin(prices, "wpo")[0] == pytest.approx(
        1 / (3 * prices / (3 - margin * prices)), abs=1e-15
    )


def test_an_unknown_method_is_refused_with_the_list_and_one_with_two_meanings_with_both():
    with pytest.raises(UnknownMethod, match="multiplicative, additive, power, shin, odds_ratio"):
        remove_margin([2.0, 2.0], "magic")
    with pytest.raises(UnknownMethod, match=r"power .* or odds_ratio"):
        remove_margin([2.0, 2.0], "logarithmic")


@pytest.mark.slow
def test_markets_of_very_short_and_very_long_prices_are_solved_or_say_why():
    rng = np.random.default_rng(3)
    for outcomes in (2, 3, 10, 100):
        for prices in (
            1 + 10 ** rng.uniform(-4, 4, (300, outcomes)),
            1 + 10 ** rng.uniform(-8, -1, (300, outcomes)),
        ):
            for method in ALL:
                fair, status = remove_margin(prices, method, return_status=True)

                assert (status != NOT_CONVERGED).all(), method
                assert np.array_equal(status == OK, np.isfinite(fair).all(axis=1))
                assert np.abs(fair[status == OK].sum(axis=1) - 1).max(initial=0) <= 1e-12 * outcomes
                if method == "odds_ratio":
                    assert (status == OK).all()


def test_probabilities_that_do_not_sum_to_the_target_get_no_prices():
    prices, status = add_margin(
        [[0.5, 0.3, 0.2 + 1e-10], [0.5, 0.3, 0.3], [0.5, np.nan, 0.2]], 0.05, "shin", return_status=True
    )

    assert status.tolist() == [OK, OUTSIDE, MISSING]
    assert np.isnan(prices[1:]).all()


def test_probabilities_of_nothing_or_certainty_get_no_prices():
    prices, status = add_margin([[1.0, 0.0], [0.0, 0.0], [1.5, -0.5]], 0.05, "power", return_status=True)

    assert (status != OK).all()
    assert np.isnan(prices).all()


def test_every_market_can_have_its_own_margin():
    prices = add_margin([[0.5, 0.3, 0.2]] * 2, [0.02, 0.08], "power")

    assert book(prices) == pytest.approx([1.02, 1.08])
    with pytest.raises(ParameterError, match="one for each of 2 markets"):
        add_margin([[0.5, 0.5]] * 2, [0.1, 0.1, 0.1])


@pytest.mark.parametrize("method", ALL)
def test_a_book_larger_than_its_number_of_outcomes_is_refused(method):
    prices, status = add_margin([0.97, 0.02, 0.01], 2.5, method, return_status=True)

    assert status[0] == OUTSIDE
    assert np.isnan(prices).all()


@pytest.mark.parametrize("method", ["multiplicative", "additive"])
def test_a_margin_that_would_need_a_price_below_one_is_refused(method):
    assert add_margin([0.97, 0.02, 0.01], 0.15, method, return_status=True)[1][0] == OUTSIDE


def test_a_margin_that_is_no_margin_is_refused():
    with pytest.raises(ParameterError, match="it is above -1"):
        add_margin([0.5, 0.5], -1.5)


@pytest.mark.slow
def test_nothing_is_compiled_before_a_margin_is_removed():
    modules = "overround, overround.prices.margin, overround.prices.fair, overround.prices.formats"
    program = f"import sys, {modules}; assert 'numba' not in sys.modules"

    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_no_markets_are_no_problem():
    assert remove_margin(np.empty((0, 3)), "shin").shape == (0, 3)


@pytest.mark.parametrize("method", ALL)
def test_the_memory_is_at_most_three_times_prices_and_probabilities(method):
    prices = np.tile([2.0, 3.5, 4.0], (100_000, 1))
    remove_margin(prices[:2], method)

    tracemalloc.start()
    fair = remove_margin(prices, method)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak + prices.nbytes <= 3 * (prices.nbytes + fair.nbytes)


def test_the_examples_of_the_docstrings_are_true():
    assert doctest.testmod(overround.prices.margin).failed == 0
