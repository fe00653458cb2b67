"""Columns of text by their memory: the same as pandas says, whatever the texts, also where the column is a
part of another.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.betting.text_columns import as_text, coded, moved, rising, spelled

TEXTS = {
    "constant": ["home"] * 5,
    "one": ["draw"],
    "none at all": [],
    "empty texts": ["", "", ""],
    "identifiers": [
        "00000000000000a1",
        "00000000000000a2",
        "0100000000000000",
        "00ff000000000000",
        "00000000000000a1",
    ],
    "of one length, not of eight": ["abc", "abd", "abc", "aaa", "abc"],
    "of several lengths": ["a", "ab", "abc", "", "a"],
    "the same ends": ["won", "lost", "won"],
    "missing": ["a", None, "a", None, "a"],
    "all missing": [None, None],
    "beyond ASCII": ["Málaga", "Košice", "Ñublense", "Málaga", "İzmir"],
}
either = pytest.mark.parametrize("part", [False, True], ids=["whole", "part of a column"])
any_texts = pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)


def column(texts: list, part: bool) -> pd.Series:
    values = pd.Series(["before me", *texts, "behind"] if part else texts, dtype="str")
    return values.iloc[1:-1] if part else values


@either
@any_texts
def test_codes_are_the_places_among_the_words(texts, part):
    words = ("draw", "abc", "Málaga", "home", "")
    expected = [words.index(text) if text in words else -1 for text in texts]
    assert coded(column(texts, part), words).tolist() == expected
    other = np.array([5, 6, 7, 8, 9, 0], np.int8)
    assert coded(column(texts, part), words, other).tolist() == [other[place] for place in expected]


@either
@any_texts
def test_texts_move_as_pandas_moves_them(texts, part):
    order = np.random.default_rng(3).permutation(len(texts))
    values = column(texts, part)
    got = pd.Series(moved(as_text(values), order), dtype="str")
    pd.testing.assert_series_equal(got, values.iloc[order].reset_index(drop=True), check_names=False)


@either
@any_texts
def test_rising_compares_bytes(texts, part):
    if None not in texts:
        raw = [text.encode() for text in texts]
        assert rising(column(texts, part)).tolist() == [after > before for before, after in pairwise(raw)]


@given(st.lists(st.binary(min_size=16, max_size=16).map(lambda b: bytes(x & 127 for x in b).decode())))
def test_rising_of_texts_of_one_length(texts):
    raw = [text.encode() for text in texts]
    assert rising(pd.Series(texts, dtype="str")).tolist() == [
        after > before for before, after in pairwise(raw)
    ]


@given(st.lists(st.integers(0, 5)), st.lists(st.text(max_size=20), min_size=6, max_size=6))
def test_codes_are_spelled(codes, words):
    got = spelled(np.array(codes, np.int8), words)
    assert got.dtype == "str"
    assert got.tolist() == [words[code] for code in codes]


def test_moved_texts_live_on_their_own():
    ids = pd.Series([f"{n:016x}" for n in range(1000)], dtype="str")
    order = np.arange(999, -1, -1)
    got = moved(as_text(ids), order)
    assert isinstance(got, pa.Array)
    del order
    got.validate(full=True)
    assert got.to_pylist() == ids.tolist()[::-1]
