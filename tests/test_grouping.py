"""Numbers for groups of rows."""

import numpy as np
import pandas as pd
import pytest

from overround.grouping import column_codes, group_codes


@pytest.fixture
def rows():
    rng = np.random.default_rng(3)
    times = pd.to_datetime(["2025-01-01", "2025-01-02", None], utc=True)
    return pd.DataFrame(
        {
            "word": pd.Series(["b", "a", None]).take(rng.integers(0, 3, 500)).array,
            "line": rng.choice([2.5, 3.5, np.nan], 500),
            "at": times[rng.integers(0, 3, 500)],
            "flag": rng.random(500) > 0.5,
            "same": "x",
        },
        index=np.arange(500)[::-1],
    )


@pytest.mark.parametrize("words", ["object", "str", "category"])
@pytest.mark.parametrize(
    "columns", [["word"], ["same"], ["same", "word", "line"], ["at", "line", "flag", "word"]]
)
def test_groups_are_numbered_as_pandas_numbers_them(rows, words, columns):
    rows = rows.astype({"word": words, "same": words})

    codes, n = group_codes(rows, columns)

    expected = rows.groupby(columns, sort=False, dropna=False, observed=True).ngroup()
    assert codes.tolist() == expected.tolist()
    assert n == expected.max() + 1


def test_categories_that_do_not_occur_and_their_order_change_nothing(rows):
    words = pd.Categorical(rows["word"], ["unused", "b", "a", "z"])

    assert group_codes(rows.assign(word=words), ["word", "flag"])[0].tolist() == (
        group_codes(rows, ["word", "flag"])[0].tolist()
    )


def test_more_combinations_than_a_number_holds_are_told_apart():
    rows = pd.DataFrame({f"c{k}": np.arange(3_000) // (k + 1) for k in range(8)})  # 3000**8 / 8! > 2**62

    codes, n = group_codes(rows, list(rows))

    assert n == 3_000
    assert codes.tolist() == list(range(3_000))


def test_no_rows_are_no_groups():
    codes, n = group_codes(pd.DataFrame({"word": pd.Series([], dtype="str")}), ["word"])

    assert (codes.tolist(), n) == ([], 0)


def test_a_categorical_gives_its_own_codes():
    codes, n = column_codes(pd.Series(pd.Categorical(["b", None, "a"], ["a", "b"])))

    assert (codes.tolist(), n) == ([1, 2, 0], 3)
