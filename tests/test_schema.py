"""The contract of the tables, checked at the door."""

import numpy as np
import pandas as pd
import pytest

from overround.encoding import encode
from overround.errors import TableError
from overround.schema import TABLES, tidy, to_arrow
from tests.support.books import quote


def test_rows_come_back_with_the_tables_own_columns_in_order():
    frame = tidy("quotes", [{**quote(), "something_else": 1}])

    assert list(frame.columns) == list(TABLES["quotes"].columns)
    assert str(frame["collected_at"].dtype) == "datetime64[us, UTC]"
    assert np.isnan(frame["line"].iloc[0])


def test_an_empty_batch_keeps_its_types():
    assert str(tidy("results", [])["settled_at"].dtype) == "datetime64[us, UTC]"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"price": 1.0}, "table quotes, column 'price': row 0 is 1.0; decimal odds are above 1."),
        ({"price": float("inf")}, "decimal odds are above 1"),
        ({"price": None}, "column 'price': row 0 is empty"),
        (
            {"market": "corners"},
            "column 'market': 'corners' is unknown; allowed: h2h, h2h_lay, totals, spreads.",
        ),
        ({"phase": "late"}, "column 'phase': 'late' is unknown"),
        ({"outcome": "maybe"}, "column 'outcome': 'maybe' is unknown"),
        ({"event_id": None}, "column 'event_id': row 0 is empty"),
        ({"price": "cheap"}, "column 'price'"),
        (
            {"collected_at": "soon"},
            "table quotes, column 'collected_at': Unknown datetime string format, unable to parse: soon",
        ),
        ({"collected_at": "20250-01-01T12:00Z"}, "column 'collected_at': year 20250 is out of range"),
        ({"collected_at": ["now"]}, "column 'collected_at'"),
    ],
)
def test_a_row_that_breaks_the_contract_is_named(change, sentence):
    with pytest.raises(TableError) as error:
        tidy("quotes", [{**quote(), **change}])

    assert sentence in str(error.value)


def test_a_number_that_is_too_large_is_named():
    row = {
        "event_id": "m",
        "home_score": 2**70,
        "away_score": 0,
        "status": "final",
        "competition": "E0",
        "season": "2425",
    }

    with pytest.raises(TableError, match="table results, column 'home_score'"):
        tidy("results", [row])


def test_a_missing_column_is_named_with_those_that_are_needed():
    with pytest.raises(TableError, match="column 'bookmaker' is missing; it needs event_id"):
        tidy("quotes", pd.DataFrame([quote()]).drop(columns="bookmaker"))


def test_times_without_a_zone_are_refused():
    with pytest.raises(TableError, match="without a time zone"):
        tidy("quotes", pd.DataFrame([quote()]).assign(collected_at=pd.Timestamp("2025-01-01")))


def test_categoricals_are_taken_as_the_words_that_they_name():
    words = encode(tidy("quotes", [quote(), quote(bookmaker="acme")]))

    assert to_arrow("quotes", words).schema == TABLES["quotes"].schema
    pd.testing.assert_frame_equal(encode(tidy("quotes", words)), words)
    with pytest.raises(TableError, match="column 'bookmaker': row 1 is empty"):
        tidy("quotes", words.assign(bookmaker=words["bookmaker"].where([True, False])))
