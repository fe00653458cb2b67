import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround.errors import ParameterError
from overround.runs.parameter_values import Parameter, parse_value, plain
from overround.runs.parameters import check_here, check_parameters, read_parameters

CELL = """# what this notebook takes; every value can be set with -p name=value
run_id: str = ""
source: str = "sample"         # one of: sample, football-data, the-odds-api
leagues: list[str] = []        # e.g. ["E0"]; empty: all in the store
books: list[str] = ["a", "b"]  # one of: a, b, c; which to use
fractions: list[float] = [
    0.25,
    0.5,
]                              # shares of Kelly; 0 to 1
min_edge: float = 0.02         # least edge of a bet; 0 to 1
simulations: int = 10_000      # 100 to 100_000
bankroll: float = 1_000        # at least 1
start: str = ""                # ISO date
closing: bool = False
reference: str | None = None   # bookmaker whose price is the truth
method: Literal["shin", "power"] = "shin"
seed = 7
"""


def notebook(folder: Path, *cells: str, tag: str = "parameters", name: str = "backtest") -> Path:
    path = folder / f"{name}.ipynb"
    made = [
        {
            "cell_type": "code",
            "source": cell.splitlines(keepends=True),
            "metadata": {"tags": [tag]},
            "outputs": [],
        }
        for cell in cells
    ]
    path.write_text(
        json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), encoding="utf-8"
    )
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return notebook(tmp_path, CELL)


def test_parameters_are_read_with_types_defaults_help_and_ranges(path: Path) -> None:
    declared = read_parameters(path)

    assert list(declared)[:3] == ["run_id", "source", "leagues"]
    assert declared["source"].choices == ("sample", "football-data", "the-odds-api")
    assert declared["books"].choices == ("a", "b", "c")
    assert declared["method"].choices == ("shin", "power")
    assert (declared["min_edge"].low, declared["min_edge"].high) == (0, 1)
    assert (declared["simulations"].low, declared["simulations"].high) == (100, 100_000)
    assert (declared["fractions"].default, declared["fractions"].high) == ([0.25, 0.5], 1)
    assert (declared["bankroll"].low, declared["bankroll"].high) == (1, None)
    assert declared["leagues"].help == 'e.g. ["E0"]; empty: all in the store'
    assert declared["seed"].annotation == "int"
    assert declared["reference"].nullable


@pytest.mark.parametrize("annotation", ["list[str] | None", "None | list[str]", "None|list[ str ]"])
def test_a_list_may_be_none_whichever_is_written_first(tmp_path: Path, annotation: str) -> None:
    path = notebook(tmp_path, f"books: {annotation} = None")

    assert check_parameters(path, {"books": ["a"]}) == {"books": ["a"]}
    assert check_parameters(path, {"books": None}) == {"books": None}
    assert parse_value(read_parameters(path)["books"], "a,b") == ["a", "b"]


def test_what_is_allowed_is_said_to_the_last_digit_and_of_a_list_as_of_a_list(tmp_path: Path) -> None:
    declared = read_parameters(
        notebook(
            tmp_path, "n: int = 7  # 1 to 1_234_567\ndays: list[str] = []  # ISO dates, each an ISO date"
        )
    )

    assert declared["n"].allowed == "a whole number from 1 to 1234567"
    assert declared["days"].allowed == "a list of ISO dates such as 2025-08-01"


def test_reading_never_runs_the_notebook(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    with pytest.raises(ParameterError, match="'x' is computed"):
        read_parameters(notebook(tmp_path, f"x: int = open({str(marker)!r}, 'w').write('x')"))

    assert not marker.exists()


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ([], "no code cell is tagged 'parameters'"),
        (["a: int = 1", "b: int = 2"], "2 code cells are tagged"),
        (["a: int = 1\nb: int = a + 1"], "'b' is computed"),
        (["import os"], "line 1 .* no assignment"),
        (["a, b = 1, 2"], "no assignment"),
        (["a: int"], "no assignment"),
        (["a: dict = {}"], "'a' is of type dict"),
        (["a = None"], "'a' is of type NoneType"),
        (["a: int = 'x'"], "default 'x' is not int"),
        (["a: list[str] = 'x'"], r"default 'x' is not list\[str\]"),
        (["a: int = 1  # one of: 1, many"], "choices"),
        (["a: int = 1\na: int = 2"], "assigned twice"),
        (["a: int = ("], "no Python"),
    ],
)
def test_a_notebook_whose_parameters_cannot_be_read_says_what_is_wrong(
    tmp_path: Path, cells: list[str], says: str
) -> None:
    with pytest.raises(ParameterError, match=f"notebook 'backtest' cannot be used: .*{says}"):
        read_parameters(notebook(tmp_path, *cells))


def test_a_missing_notebook_and_a_file_that_is_none_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ipynb"
    broken.write_text("[1, 2")

    with pytest.raises(ParameterError, match="no file"):
        read_parameters(tmp_path / "absent.ipynb")
    with pytest.raises(ParameterError, match="no Jupyter notebook"):
        read_parameters(broken)


def test_an_unknown_name_is_refused_with_the_names_that_exist_and_a_guess(path: Path) -> None:
    with pytest.raises(
        ParameterError,
        match=r"'backtest' has no parameter 'min_egde'; it takes run_id, .*Did you mean 'min_edge'\?",
    ):
        check_parameters(path, {"min_egde": 0.1})


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("min_edge", 7, "a number from 0 to 1"),
        ("min_edge", "0.1", "a number from 0 to 1"),
        ("min_edge", float("nan"), "a number"),
        ("min_edge", float("inf"), "a number"),
        ("bankroll", float("inf"), "a number of at least 1"),
        ("bankroll", 10**400, "a number of at least 1"),
        ("bankroll", 0.5, "a number of at least 1"),
        ("min_edge", True, "a number"),
        ("simulations", True, "a whole number from 100 to 100000"),
        ("simulations", 200.0, "a whole number"),
        ("simulations", 99, "a whole number from 100"),
        ("closing", 1, "true or false"),
        ("source", "betfair", "one of sample, football-data, the-odds-api"),
        ("method", "Shin", "one of shin, power"),
        ("leagues", "E0", "a list of texts"),
        ("leagues", [1], "a list of texts"),
        ("books", ["a", "z"], "a list of a, b, c"),
        ("fractions", [0.5, 1.5], "a list of numbers from 0 to 1"),
        ("start", "1/8/2025", "an ISO date"),
        ("reference", 3, "text or none"),
        ("source", None, "one of"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_in_a_sentence(
    path: Path, name: str, value: Any, allowed: str
) -> None:
    with pytest.raises(
        ParameterError, match=rf"^notebook 'backtest': parameter '{name}' cannot be .*; it takes .*{allowed}"
    ):
        check_parameters(path, {name: value})


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("min_edge", 0, 0.0),
        ("min_edge", np.float64(0.5), 0.5),
        ("min_edge", Decimal("0.5"), 0.5),
        ("simulations", np.int64(200), 200),
        ("closing", np.bool_(True), True),
        ("leagues", ("E0", "D1"), ["E0", "D1"]),
        ("leagues", np.array(["E0"]), ["E0"]),
        ("fractions", [1, np.float32(0.5)], [1.0, 0.5]),
        ("start", date(2025, 8, 1), "2025-08-01"),
        ("start", pd.Timestamp("2025-08-01 12:00", tz="UTC"), "2025-08-01T12:00:00+00:00"),
        ("start", "", ""),
        ("source", Path("sample"), "sample"),
        ("reference", None, None),
    ],
)
def test_values_of_numpy_pandas_and_the_standard_library_become_plain(
    path: Path, name: str, value: Any, becomes: Any
) -> None:
    got = check_parameters(path, {name: value})[name]

    assert got == becomes
    assert type(got) is type(becomes)
    assert not isinstance(got, list) or [type(item) for item in got] == [type(item) for item in becomes]


@pytest.mark.parametrize(
    ("name", "text", "becomes"),
    [
        ("min_edge", "0.03", 0.03),
        ("min_edge", "1e-2", 0.01),
        ("simulations", "10_000", 10_000),
        ("leagues", "E0,E1", ["E0", "E1"]),
        ("leagues", "E0, E1", ["E0", "E1"]),
        ("leagues", '["E0"]', ["E0"]),
        ("leagues", "", []),
        ("fractions", "0.1,1", [0.1, 1.0]),
        ("closing", "yes", True),
        ("closing", "False", False),
        ("reference", "none", None),
        ("reference", "pinnacle", "pinnacle"),
        ("source", "football-data", "football-data"),
    ],
)
def test_text_from_a_command_line_is_read_by_the_annotation(
    path: Path, name: str, text: str, becomes: Any
) -> None:
    assert parse_value(read_parameters(path)[name], text) == becomes


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("min_edge", "a lot"),
        ("min_edge", "nan"),
        ("simulations", "1.5"),
        ("closing", "maybe"),
        ("leagues", "[E0"),
        ("source", "none"),
    ],
)
def test_text_that_is_no_such_value_is_refused(path: Path, name: str, text: str) -> None:
    with pytest.raises(ParameterError, match=f"'{name}' cannot be"):
        parse_value(read_parameters(path)[name], text)


@given(st.floats(0, 1))
def test_any_number_in_range_survives_the_command_line(value: float) -> None:
    assert parse_value(Parameter("x", "float", 0.5, low=0, high=1), repr(value)) == value


@given(st.lists(st.text()))
def test_any_list_of_texts_survives_the_command_line(value: list[str]) -> None:
    assert parse_value(Parameter("x", "list[str]", []), repr(value)) == value


def test_plain_reaches_into_what_is_nested() -> None:
    value = {"a": {np.int64(2), 1}, "at": datetime(2025, 8, 1, tzinfo=UTC), "b": (np.float64(1.5), None)}

    assert plain(value) == {"a": [1, 2], "at": "2025-08-01T00:00:00+00:00", "b": [1.5, None]}


def test_from_within_a_notebook_the_same_sentence_stops_it(tmp_path: Path) -> None:
    path = notebook(tmp_path, "min_edge: float = 0.02  # 0 to 1")

    check_here(path, {"min_edge": 0.5, "something_else": 7})
    with pytest.raises(
        ParameterError,
        match=r"^notebook 'backtest': parameter 'min_edge' cannot be 7; it takes a number from 0 to 1.$",
    ):
        check_here(path, {"min_edge": 7})
    with pytest.raises(ParameterError, match="'min_edge' is not defined"):
        check_here(path, {})


def test_from_within_a_notebook_a_name_that_papermill_injected_for_nothing_is_seen(tmp_path: Path) -> None:
    path = notebook(tmp_path, "min_edge: float = 0.02  # 0 to 1")
    history = [
        "",
        "min_edge: float = 0.02  # 0 to 1",
        "# Parameters\nmin_egde = 0.5\n",
        "# Parameters\n%matplotlib inline",
    ]

    with pytest.raises(ParameterError, match="no parameter 'min_egde'"):
        check_here(path, {"min_edge": 0.02, "In": history})


def test_from_within_a_notebook_its_name_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    notebook(tmp_path / "notebooks", "min_edge: float = 0.02  # 0 to 1")
    monkeypatch.chdir(tmp_path / "notebooks")

    with pytest.raises(ParameterError, match="cannot be 7"):
        check_here("backtest", {"min_edge": 7})
