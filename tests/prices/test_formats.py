"""Odds formats."""

import doctest

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import overround.prices.formats
from overround.errors import ParameterError
from overround.prices.formats import FORMATS, convert_odds

# the same price in every format; the rows for 5/2, 1/2 and 10/11 are as any bookmaker's table of odds has
# them
SAME = [
    {
        "decimal": 2.0,
        "american": 100,
        "fractional": "1/1",
        "hong_kong": 1.0,
        "indonesian": 1.0,
        "malay": 1.0,
        "probability": 0.5,
    },
    {
        "decimal": 3.5,
        "american": 250,
        "fractional": "5/2",
        "hong_kong": 2.5,
        "indonesian": 2.5,
        "malay": -0.4,
        "probability": 2 / 7,
    },
    {
        "decimal": 1.5,
        "american": -200,
        "fractional": "1/2",
        "hong_kong": 0.5,
        "indonesian": -2.0,
        "malay": 0.5,
        "probability": 2 / 3,
    },
    {
        "decimal": 21 / 11,
        "american": -110,
        "fractional": "10/11",
        "hong_kong": 10 / 11,
        "indonesian": -1.1,
        "malay": 10 / 11,
        "probability": 11 / 21,
    },
]
prices = st.floats(1.001, 1000)


@pytest.mark.parametrize("price", SAME)
@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("target", FORMATS)
def test_every_format_becomes_every_other(price, source, target):
    found = convert_odds(price[source], source, target)

    assert (
        found == price[target] if target == "fractional" else found == pytest.approx(price[target], rel=1e-14)
    )


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize(
    ("value", "source"),
    [
        (2.0, "decimal"),
        (100, "american"),
        (-100, "american"),
        ("1/1", "fractional"),
        ("evens", "fractional"),
        (1.0, "hong_kong"),
        (1.0, "indonesian"),
        (-1.0, "indonesian"),
        (1.0, "malay"),
        (-1.0, "malay"),
        (0.5, "probability"),
    ],
)
def test_evens_are_exact_in_every_format(value, source, target):
    # a number that is written in the format asked for stays as it is: -100 and 100 are both evens
    expected = value if source == target and not isinstance(value, str) else SAME[0][target]
    assert convert_odds(value, source, target) == expected


@given(price=prices, target=st.sampled_from(sorted(set(FORMATS) - {"fractional"})))
def test_there_and_back_is_the_same_price(price, target):
    assert convert_odds(convert_odds(price, "decimal", target), target, "decimal") == pytest.approx(
        price, rel=1e-9
    )


@given(cents=st.integers(101, 100_000))
def test_a_decimal_price_of_two_digits_is_exact_as_a_fraction(cents):
    assert convert_odds(
        convert_odds(cents / 100, "decimal", "fractional"), "fractional", "decimal"
    ) == pytest.approx(cents / 100, rel=1e-15)


@given(over=st.integers(1, 1000), under=st.integers(1, 100))
def test_a_fraction_comes_back_in_lowest_terms(over, under):
    divisor = np.gcd(over, under)

    assert (
        convert_odds(convert_odds(f"{over}/{under}", "fractional", "decimal"), "decimal", "fractional")
        == f"{over // divisor}/{under // divisor}"
    )


@given(odds=st.integers(101, 100_000), sign=st.sampled_from([-1, 1]))  # -100 and 100 are one price
def test_whole_american_odds_stay_whole(odds, sign):
    for middle in ("decimal", "hong_kong", "malay", "indonesian", "probability"):
        back = convert_odds(convert_odds(sign * odds, "american", middle), middle, "american")
        assert back == sign * odds


@given(price=prices)
def test_the_probability_is_the_inverse_price(price):
    assert convert_odds(price, "decimal", "probability") == 1 / price
    assert convert_odds(price, "decimal", "decimal") == price


@given(values=st.lists(prices, min_size=1, max_size=20), target=st.sampled_from(FORMATS))
def test_an_array_is_converted_like_its_values(values, target):
    assert convert_odds(values, "decimal", target).tolist() == [
        convert_odds(value, "decimal", target) for value in values
    ]


def test_the_shape_stays_and_a_missing_price_stays_missing():
    table = pd.DataFrame({"home": [2.0, np.nan], "away": [1.5, 4.0]})

    american, fractions = (
        convert_odds(table, "decimal", "american"),
        convert_odds(table, "decimal", "fractional"),
    )

    assert american == pytest.approx(np.array([[100, -200], [np.nan, 300]]), nan_ok=True)
    assert fractions.tolist() == [["1/1", "1/2"], [None, "3/1"]]
    assert convert_odds(fractions, "fractional", "decimal") == pytest.approx(table.to_numpy(), nan_ok=True)
    assert convert_odds([], "decimal", "fractional").tolist() == []


def test_a_board_writes_ten_to_eleven_where_a_screen_writes_nineteen_decimal():
    assert convert_odds(1.91, "decimal", "fractional") == "91/100"
    assert convert_odds(1.91, "decimal", "fractional", largest_denominator=20) == "10/11"
    assert convert_odds(1.001, "decimal", "fractional") == "1/1000"


def test_fractions_are_read_as_people_write_them():
    written = ["5/2", " 5 / 2", "5-2", "EVENS", "evs", "Even", "6/4"]

    assert convert_odds(written, "fractional", "decimal").tolist() == [3.5, 3.5, 3.5, 2.0, 2.0, 2.0, 2.5]


@pytest.mark.parametrize(
    ("values", "source", "message"),
    [
        ([2.0, 1.0], "decimal", r"1\.0 at position 1 is no decimal price; allowed is above 1"),
        ([[2.0, 3.0], [2.0, np.inf]], "decimal", r"inf at position \(1, 1\)"),
        ([150, 50], "american", r"50\.0 at position 1 .* \+100 and above or -100 and below"),
        (0.9, "indonesian", r"0\.9 is no indonesian price"),
        ([1.2], "malay", "from -1 to"),
        ([0.0], "malay", "not 0"),
        ([-1.0], "hong_kong", "no hong kong price; allowed is above 0"),
        ([0.5, 1.0], "probability", r"1\.0 at position 1 .* between 0 and 1"),
        (["2.0", "abc"], "decimal", "'abc' at position 1"),
        (["5/2", "5/0"], "fractional", "'5/0' at position 1"),
        (["5/2/1"], "fractional", "'5/2/1' at position 0"),
        ([2.5], "fractional", r"2\.5 at position 0 .* \"5/2\""),
    ],
)
def test_what_is_no_price_is_named_with_its_position_and_what_is_allowed(values, source, message):
    with pytest.raises(ParameterError, match=message):
        convert_odds(values, source, "hong_kong")


def test_an_unknown_format_is_refused_with_the_list():
    with pytest.raises(ParameterError, match="'roman' is unknown; the formats are decimal, american"):
        convert_odds(2.0, "roman", "decimal")
    with pytest.raises(ParameterError, match="largest_denominator is 0"):
        convert_odds(2.0, "decimal", "fractional", largest_denominator=0)


def test_the_examples_of_the_docstrings_are_true():
    assert doctest.testmod(overround.prices.formats).failed == 0
