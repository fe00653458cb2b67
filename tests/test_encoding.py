"""Text of few words as codes: sorted as its words are, and nothing else is touched."""

import pandas as pd
import pytest

from overround.encoding import encode


@pytest.mark.parametrize("given", ["object", "str"])
def test_encoded_rows_sort_as_their_text_does(given):
    frame = pd.DataFrame({"bookmaker": ["pinnacle", "acme", None, "bwin"], "price": [2.0, 3.0, 4.0, 5.0]})
    frame["bookmaker"] = frame["bookmaker"].astype(given)
    backwards = pd.Categorical(frame["bookmaker"], ["pinnacle", "bwin", "acme"])

    for encoded in (encode(frame), encode(frame.assign(bookmaker=backwards))):
        assert encoded["bookmaker"].cat.categories.tolist() == ["acme", "bwin", "pinnacle"]
        assert encoded.sort_values("bookmaker").index.tolist() == [1, 3, 0, 2]
        assert encoded["bookmaker"].isna().tolist() == [False, False, True, False]


def test_numbers_under_the_name_of_a_column_of_words_stay_numbers():
    requests = pd.DataFrame({"status": [200, 404], "outcome": [1.5, 2.5]})

    pd.testing.assert_frame_equal(encode(requests), requests)
