"""Whatever is thrown at the parsers, notebook parameters, settings and the command line: our own error, in a
sentence, or an answer.

The long form, a million answers a parser, is `python -m tests.fuzz` (`make nightly`). What it found is kept
here, made small.
"""

import copy
import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from overround.cli.main import app
from overround.durations import seconds
from overround.errors import OverroundError, ParameterError, SettingsError
from overround.runs.parameter_values import parse_value
from overround.runs.parameters import check_parameters, read_parameters
from overround.settings import Settings, load_settings
from overround.sources.the_odds_api.parser import parse_odds, parse_scores
from tests.fuzz import mutations
from tests.fuzz.loop import TARGETS, fuzz
from tests.support.odd_texts import EVENT, NOTEBOOK
from tests.support.servers import Served

AT = datetime(2030, 5, 4, 12, tzinfo=UTC)
RUNNER = CliRunner()


# --- the parsers


@pytest.mark.parametrize("target", TARGETS)
def test_a_mutated_answer_is_taken_or_refused_in_a_sentence(target):
    found = fuzz(target, 384, seed=2026)

    assert [wrong for _, wrong in found.failures] == []
    assert found.ended["taken"] > 250 and found.ended["refused"]


@pytest.mark.slow
def test_the_loop_sees_what_may_not_be():
    # an answer that makes a parser fail, hang, or say no sentence must be found, alone and among others
    class Planted(Exception):
        pass

    def parse(contents):
        if any(b"Leicester" in content for content in contents):
            raise Planted
        return TARGETS["football-data"][2](contents)

    targets = {**TARGETS}
    TARGETS["planted"] = (
        None,
        lambda random, one: (one.replace(b"Brook", b"Leicester") if random.random() < 0.01 else one, True),
        parse,
        lambda one: parse([one]),
    )
    try:
        found = fuzz("planted", 256, 1, [TARGETS["football-data"][0]()[-2]])
    finally:
        TARGETS.clear()
        TARGETS.update(targets)

    assert 0 < len(found.failures) < 20
    assert all(b"Leicester" in content and wrong.startswith("Planted") for content, wrong in found.failures)


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1066-10-14T09:00:00Z",
        "2100-01-01T00:00:00Z",
        -1e9,
    ],
)
@pytest.mark.parametrize("parse", [parse_odds, parse_scores])
def test_a_time_that_cannot_be_meant_is_set_aside(parse, time):
    """Found by the fuzzer: the year 0 in UTC was an OverflowError."""
    batch = parse(
        json.dumps([{**EVENT, "commence_time": time}, {**EVENT, "id": "e2"}]).encode(),
        "the answer",
        fetched_at=AT,
    )

    assert batch.events["event_id"].tolist() == ["e2"]
    assert batch.set_aside["column"].tolist() == ["events[0].commence_time"]


# --- notebook parameters

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.decimals()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.sets(st.integers())
        | st.tuples(inner)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("notebooks") / "some.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    return path


@contextmanager
def only_our_errors():
    try:
        yield
    except OverroundError as error:
        text = str(error)
        assert text.isprintable() and text.endswith((".", "?")), text


NAMES = st.sampled_from(["source", "leagues", "min_edge", "seed", "flat", "start", "reference"])


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES | st.text(), VALUES)
@example("leagues", [[]])
@example("min_edge", 10**400)
@example("seed", Decimal("sNaN"))
def test_any_value_of_a_parameter_is_plain_afterwards_or_refused(notebook, name, value):
    with only_our_errors():
        checked = check_parameters(notebook, {name: value})
        assert json.loads(json.dumps(checked)) == checked


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES, st.text() | st.sampled_from(mutations.CELLS))
@example("leagues", "[" * 5000)
@example("leagues", "[" + "-" * 10_000 + "1]")
@example("leagues", "['\x00']")
@example("seed", "9" * 5000)
@example("start", "\ud800")
def test_any_text_for_a_parameter_is_a_value_or_refused(notebook, name, text):
    parameter = read_parameters(notebook)[name]
    with only_our_errors():
        parse_value(parameter, text)


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "[" * 5000,
        "x = '\x00'",
        "x = (",
        "x = '''",
        "x = " + "-" * 10_000 + "1",
        "x = 1\n\ty = 2",
        "x: list[int] = []\nx: int",
        "x = 1 \\",
        "x: Literal[open('a')] = 1",
        "x: Literal[[]] = 1",
        "x: Literal[1, 'a'] = 1",
        "x = 9" + "9" * 5000,
        "x: 'str' = ''",
        "x = 1  # one of: a, b",
        "x: int = 1  # one of: 1, " + "9" * 5000,
        "x = b''",
        "x = {1: 2}",
        "x = 1e999",
        "x: float = 1  # 1e999 to 2",
        "x = ...",
        "\x0c x = 1",
    ],
)
def test_a_parameters_cell_that_cannot_be_read_is_named(tmp_path, source):
    broken = copy.deepcopy(NOTEBOOK)
    broken["cells"][0]["source"] = source
    (tmp_path / "broken.ipynb").write_text(json.dumps(broken))

    with (
        pytest.raises(ParameterError, match="notebook 'broken' cannot be used")
        if "1e999 to" not in source
        else only_our_errors()
    ):
        read_parameters(tmp_path / "broken.ipynb")


def test_a_mutated_notebook_is_read_or_refused(tmp_path):
    random, path = Random(5), tmp_path / "mutated.ipynb"  # noqa: S311
    whole = json.dumps(NOTEBOOK).encode()
    for _ in range(300):
        path.write_bytes(
            mutations.of_document(random, copy.deepcopy(NOTEBOOK))
            if random.random() < 0.6
            else mutations.of_bytes(random, whole)
        )
        with only_our_errors():
            read_parameters(path)
    for line in [random.choice(NOTEBOOK["cells"][0]["source"].splitlines()) for _ in range(150)]:
        broken = copy.deepcopy(NOTEBOOK)
        broken["cells"][0]["source"] = mutations.of_bytes(random, line.encode()).decode("utf-8", "replace")
        path.write_text(json.dumps(broken))
        with only_our_errors():
            read_parameters(path)


def test_a_folder_in_place_of_a_notebook_is_named(tmp_path):
    with pytest.raises(ParameterError, match="cannot be used"):
        read_parameters(tmp_path)


# --- settings


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00",
        b"OVERROUND_LIVE_TTL=\xe9",
        b"=\n==\n'\"\n\x00\n",
        b"OVERROUND_LIVE_TTL='1\n",
        b"\x00" * 1000,
    ],
)
def test_a_settings_file_of_any_bytes_is_read_or_refused(monkeypatch, tmp_path, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(content)

    with only_our_errors():
        load_settings()


def test_a_settings_file_that_is_no_text_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00bad")

    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings()


FIELDS = [name.upper() for name in Settings.model_fields]
ENVIRONMENT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)


@settings(max_examples=100)
@given(
    st.sampled_from(FIELDS),
    ENVIRONMENT | st.sampled_from([one for one in mutations.CELLS if "\x00" not in one]),
)
def test_any_value_of_a_setting_is_taken_or_refused_by_its_name(name, value):
    was = os.environ.get(f"OVERROUND_{name}")
    os.environ[f"OVERROUND_{name}"] = value
    try:
        load_settings()
    except SettingsError as error:
        assert str(error).startswith(f"OVERROUND_{name} ") and str(error).isprintable()
    finally:
        os.environ.pop(f"OVERROUND_{name}")
        if was is not None:
            os.environ[f"OVERROUND_{name}"] = was


def test_an_address_with_a_password_is_not_repeated_where_it_cannot_be_used(monkeypatch):
    monkeypatch.setenv("OVERROUND_ODDS_API_URL", "ftp://someone:canary-password@host")

    with pytest.raises(SettingsError) as error:
        load_settings()

    assert "canary" not in str(error.value)


# --- the command line

WORDS = st.sampled_from(
    [
        "",
        "-",
        "--",
        "-p",
        "--help",
        "--league",
        "--season",
        "--every",
        "--for",
        "--polls",
        "--days",
        "--figure",
        "-w",
        "--fail-on",
        "E0",
        "2425",
        "../../etc/passwd",
        "a=b",
        "=",
        "min_edge=",
        "min_edge=nan",
        "x" * 3000,
        "-1",
        "nan",
        "inf",
        "1e400",
        "9" * 40,
        "\x00",
        "\n",
        "é",
        "\udcff",
        "30s",
        "99999999999d",
        "0s",
        ".",
        "HEAD",
        "--output=x",
        "$(id)",
        "`id`",
        ";id",
        "%s%n",
        "{}",
        "[[[",
        "soccer_epl",
        "https://x",
        "NUL",
        "~",
    ]
)
# commands that end by themselves whatever follows; those that start kernels or go on for ever are given words
# that they refuse
COMMANDS = st.sampled_from(
    [
        [],
        ["collect", "football-data"],
        ["collect", "the-odds-api"],
        ["collect", "nowhere"],
        ["run", "-p", "no_such=1"],
        ["index"],
        ["store"],
        ["store", "check"],
        ["store", "repair"],
        ["store", "compact"],
        ["prune"],
        ["rebuild"],
        ["sweep", "--vary", "nosuch=1,2"],
        ["perf", "watch"],
        ["perf", "profile"],
        ["perf", "baseline", "a", "-w", "nosuch"],
        ["serve-sample", "--port"],
        ["nosuch"],
    ]
)


class Page(BaseHTTPRequestHandler):
    """A provider that answers everything with a page."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html><script>alert(1)</script></html>")


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """Settings under which no command leaves this machine or this test's folder."""
    served = Served(Page)
    for name, value in {
        "STORE": tmp_path / "store",
        "CACHE": tmp_path / "cache",
        "REPORTS": tmp_path / "reports",
        "ODDS_API_KEY": "",
        "FOOTBALL_DATA_URL": served.url,
        "ODDS_API_URL": served.url,
    }.items():
        monkeypatch.setenv(f"OVERROUND_{name}", str(value))
    monkeypatch.setattr("overround.sources.football_data.source.POLITE_S", 0)
    yield tmp_path
    served.close()


def ends_in_a_sentence(arguments):
    result = RUNNER.invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        f"{arguments}: {result.exception!r}"
    )
    assert result.exit_code in (0, 1, 2), arguments
    return result


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COMMANDS, st.lists(WORDS, max_size=3))
def test_any_arguments_end_in_a_sentence(elsewhere, command, words):
    if command[:1] == ["serve-sample"]:
        words = [one for one in words if not one.isdecimal() or len(one) > 5][:1] or ["-1"]
    ends_in_a_sentence([*command, *words])


@pytest.mark.parametrize(
    "arguments",
    [
        "serve-sample --port 99999999",
        "serve-sample --port -1",
        "perf watch --figure /nonexistent/x.svg",
        "perf watch --figure x.exe",
        "collect the-odds-api --sport a --for 99999999999d",
        "store compact --days nan",
        "store compact --days 1e300",
        "store compact --days -1",
        "run --timeout 0",
    ],
)
def test_what_cannot_be_is_said_in_one_line(elsewhere, arguments):
    """Found by hand and by the fuzzer: each was a traceback."""
    assert ends_in_a_sentence(arguments.split()).exit_code == 2


@pytest.mark.parametrize(
    ("setting", "arguments"), [("REPORTS", "index"), ("STORE", "store check"), ("STORE", "collect sample")]
)
def test_a_file_in_place_of_a_folder_is_said(elsewhere, monkeypatch, setting, arguments):
    (elsewhere / "file").write_text("not a folder")
    monkeypatch.setenv(f"OVERROUND_{setting}", str(elsewhere / "file"))

    result = ends_in_a_sentence(arguments.split())

    assert result.exit_code == 1
    assert str(elsewhere / "file") in result.output


@pytest.mark.parametrize("root", ["foo://x/y", "s3://", "://", "http://host/x"])
def test_a_store_of_no_known_kind_is_said(elsewhere, monkeypatch, root):
    monkeypatch.setenv("OVERROUND_STORE", root)

    result = ends_in_a_sentence(["store", "check"])

    assert result.exit_code == 1
    assert "a folder, or a bucket" in result.output


@pytest.mark.parametrize(
    "text", ["9" * 400 + "d", "99999999999d", "1e9s", "٣s", "-1s", "nans", "0.0s", "1.5.5s", "1 s", ""]
)
def test_a_duration_that_cannot_be_is_refused(text):
    with pytest.raises(ParameterError):
        seconds(text)
