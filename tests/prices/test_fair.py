"""Margins and fair prices on tidy quotes."""

import numpy as np
import pytest

from overround.errors import UnknownMethod
from overround.prices.fair import fair_probabilities, overround
from tests.support.books import quote, quotes, three_way


def test_quotes_get_the_overround_and_fair_price_of_their_own_market():
    totals = [
        quote(outcome="over", price=1.8, market="totals", line=2.5),
        quote(outcome="under", price=2.25, market="totals", line=2.5),
    ]
    rows = quotes(
        three_way(prices=(2.0, 4.0, 4.0)), three_way(bookmaker="other", prices=(1.9, 3.8, 3.8)), totals
    )

    fair = fair_probabilities(rows, "multiplicative")

    assert fair["overround"].tolist() == pytest.approx([1.0] * 3 + [1.0 / 0.95] * 3 + [1.0] * 2)
    assert fair["fair"].tolist() == pytest.approx([0.5, 0.25, 0.25] * 2 + [1 / 1.8, 1 / 2.25])


def test_a_market_without_its_draw_is_not_taken_for_a_two_way_market():
    rows = quotes(
        three_way(),
        [
            quote(bookmaker="lacks", outcome="home", price=1.9),
            quote(bookmaker="lacks", outcome="away", price=4.0),
        ],
    )

    fair = fair_probabilities(rows)

    assert fair.loc[fair["bookmaker"] == "lacks", "fair"].isna().all()
    assert fair.loc[fair["bookmaker"] == "acme", "fair"].notna().all()


def test_a_match_that_nobody_quotes_a_draw_for_is_two_way():
    rows = quotes([quote(outcome="home", price=1.9), quote(outcome="away", price=2.0)])

    assert fair_probabilities(rows, "multiplicative")["fair"].sum() == pytest.approx(1)


def test_a_quote_says_why_it_has_no_fair_price():
    rows = quotes(
        three_way(),
        three_way(bookmaker="generous", prices=(3.0, 4.0, 5.0)),
        [quote(bookmaker="lacks"), quote(bookmaker="lacks", outcome="away", price=4.0)],
    )

    fair = fair_probabilities(rows)

    reasons = fair.groupby("bookmaker")["margin_status"].first().to_dict()
    assert reasons == {"acme": "ok", "generous": "underround", "lacks": "missing outcome"}
    assert (fair["fair"].notna() == (fair["margin_status"] == "ok")).all()


def test_an_unknown_method_is_refused_also_for_a_table():
    with pytest.raises(UnknownMethod, match="multiplicative, additive, power, shin"):
        fair_probabilities(quotes(three_way()), "magic")


def test_the_overround_of_a_market_with_a_missing_outcome_is_not_a_number():
    assert overround([[2.0, 4.0, 4.0], [2.0, np.nan, 4.0]]).tolist() == pytest.approx(
        [1.0, np.nan], nan_ok=True
    )
