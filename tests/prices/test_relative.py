"""Prices beside everybody's at the same moment."""

import numpy as np
import pandas as pd
import pytest

from overround.prices import relative_prices
from tests.support.books import KICK_OFF, quote, quotes, three_way


def shown(event, name, price, hours):
    return quote(
        event, name, "home", price, phase="snapshot", at=str(KICK_OFF - pd.Timedelta(hours=hours))[:19]
    )


def test_a_price_stands_until_another_one_is_shown():
    rows = quotes(
        *(shown("m1", name, price, 30) for name, price in (("a", 2.0), ("b", 2.2), ("c", 1.9))),
        shown("m1", "c", 2.4, 4),
    )

    table = relative_prices(rows, [24, 3, 0]).pivot_table("relative", "bookmaker", "moment")

    # medians: 2.0 a day before, 2.2 from four hours before
    assert table.loc["c", ["24 h", "3 h", "kick-off"]].tolist() == pytest.approx(
        [1.9 / 2.0 - 1, 2.4 / 2.2 - 1, 2.4 / 2.2 - 1]
    )
    assert table.loc["b"].tolist() == pytest.approx([0.1, 0.0, 0.0])


def test_matches_count_alike_and_their_spread_makes_the_interval():
    ratios = {"m1": [1.1], "m2": [1.3, 1.3, 1.3], "m3": [1.2]}
    rows = quotes(
        *(
            quote(event, name, market="totals", line=float(at), price=price)
            for event, some in ratios.items()
            for at, one in enumerate(some)
            for name, price in (("a", 2.0), ("b", 2.0), ("high", 2.0 * one))
        )
    )

    row = relative_prices(rows).set_index("bookmaker").loc["high"]

    assert row["moment"] == "early"
    assert row["relative"] == pytest.approx(0.2)
    assert row["high"] - row["relative"] == pytest.approx(1.959964 * 0.1 / np.sqrt(3))
    assert row["matches"] == 3


def test_what_is_no_account_and_what_fewer_than_three_quote_is_left_out():
    rows = quotes(
        three_way("m1", "a"),
        three_way("m1", "b"),
        three_way("m1", "market_maximum", (9.0, 9.0, 9.0)),
        three_way("m2", "a"),
        three_way("m3", "a"),
        three_way("m3", "b"),
        three_way("m3", "c"),
    )

    table = relative_prices(rows)

    assert table["bookmaker"].tolist() == ["a", "b", "c"]
    assert table["matches"].eq(1).all()
    assert relative_prices(rows.head(0)).empty


def test_a_price_of_after_kick_off_is_none_of_before():
    rows = quotes(*(shown("m1", name, 2.0, 5) for name in "abc"), shown("m1", "a", 9.0, -1))

    assert relative_prices(rows, [0])["relative"].abs().max() == 0
