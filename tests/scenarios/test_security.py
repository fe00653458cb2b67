"""The threats of docs/security.md that no other test covers: hostile answers, files written by someone else,
parameters, keys, modes.
"""

import ast
import gzip
import json
import os
import pickle
import re
import sqlite3
import stat
import subprocess
import sys
import zlib
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overround import Store
from overround.errors import FetchError, OverroundError, SourceError
from overround.formatting import printable
from overround.http.adapter import RetryPolicy
from overround.http.client import Fetcher
from overround.runs.parameters import check_parameters
from overround.settings import load_settings
from overround.sources.football_data.parser import parse
from overround.sources.the_odds_api.parser import parse_odds
from tests.support.odd_texts import EVENT, NOTEBOOK
from tests.support.servers import Served
from tests.support.stores import many

HOME = Path(__file__).parents[2]
AT = datetime(2030, 5, 4, 12, tzinfo=UTC)
KEY = "canary0123456789abcdef"


class Hostile(BaseHTTPRequestHandler):
    """Answers by the last word of the path; repeats in its own words whatever key it was sent."""

    bodies: ClassVar[dict] = {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        status, headers, body = self.bodies.get(
            self.path.split("?")[0].rpartition("/")[2], (500, {}, b"no: " + self.path.encode())
        )
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def hostile():
    served = Served(Hostile)
    yield served
    served.close()


# --- hostile answers


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"[" * (64 << 20), 1)),
        ("deflate", zlib.compress(b"[" * (64 << 20), 1)),
        ("gzip, gzip", gzip.compress(gzip.compress(b"[" * (64 << 20), 1), 1)),
    ],
)
def test_a_bomb_in_any_packing_is_not_unpacked_to_its_end(hostile, monkeypatch, tmp_path, encoding, packed):
    monkeypatch.setitem(Hostile.bodies, "bomb", (200, {"Content-Encoding": encoding}, packed))
    policy = RetryPolicy(attempts=1, largest_bytes=1 << 20)

    with (
        Fetcher("test", hostile.url, tmp_path, policy=policy) as fetcher,
        pytest.raises(FetchError, match="more than 1 MB"),
    ):
        fetcher.get("bomb")


@pytest.mark.parametrize(
    "body",
    [
        b"PK\x03\x04" + b"\x00" * 100,
        b"<html><script>alert(1)</script></html>",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x80\x04\x95",
        b"",
        b"null",
        b"9" * 100_000,
        b"\x1b]0;owned\x07\x1b[2J",
    ],
)
def test_what_is_no_answer_is_refused_in_a_sentence_without_control_characters(body):
    for read in (
        lambda: parse_odds(body, "the answer", fetched_at=AT),
        lambda: parse(body, "the answer", competition="E0", season="2425", collected_at=AT),
    ):
        with pytest.raises(SourceError) as error:
            read()
        assert str(error.value).isprintable() and len(str(error.value)) < 600


def test_a_message_of_a_provider_cannot_steer_a_terminal(hostile, monkeypatch, tmp_path):
    monkeypatch.setitem(Hostile.bodies, "rude", (403, {}, b"\x1b]0;owned\x07\x1b[2Jno"))

    with Fetcher("test", hostile.url, tmp_path) as fetcher, pytest.raises(FetchError) as error:
        fetcher.get("rude")

    assert str(error.value).isprintable() and "\\x1b" in str(error.value)
    assert printable("a\x1b[2J\nb\u202e") == "a\\x1b[2J\nb\\u202e"
    assert printable("2.0\N{NO-BREAK SPACE}%\n") == "2.0\N{NO-BREAK SPACE}%\n"


@pytest.mark.parametrize("price", [10**400, 1e308, "1e400", float("nan"), float("inf"), "9" * 5000])
def test_a_number_that_is_no_price_is_set_aside(price):
    event = json.loads(json.dumps(EVENT))
    event["bookmakers"][0]["markets"][0]["outcomes"][0]["price"] = price

    batch = parse_odds(json.dumps([event]).encode(), "the answer", fetched_at=AT)

    assert batch.quotes["price"].tolist() == [2.2]
    assert len(batch.set_aside) == 1


@pytest.mark.parametrize(
    "name",
    [
        "../../../../evil",
        "/etc/passwd",
        "..",
        "a/b",
        "a=b%2f..",
        "C:\\x",
        "x\x00y",
        "~",
        "$HOME",
        "__HIVE_DEFAULT_PARTITION__",
    ],
)
def test_names_that_look_like_paths_stay_inside_the_store(tmp_path, name):
    # a season and a league name folders; teams, bookmakers and events are only text
    rows = many(3, bookmaker=name).assign(competition=name, season=name, event_id=name)
    store = Store(tmp_path / "deep" / "store")

    store.append("quotes", rows)

    assert {
        tuple(row)
        for row in store.read("quotes", {"competition": name})[
            ["competition", "season", "event_id"]
        ].to_numpy()
    } == {(name,) * 3}
    assert [
        path
        for path in tmp_path.rglob("*")
        if path.is_file() and not path.is_relative_to(tmp_path / "deep" / "store" / "quotes")
    ] == []


def test_a_name_too_long_for_a_folder_costs_its_event_and_not_the_batch():
    events = [
        {**EVENT, "sport_key": "x" * 300},
        {**EVENT, "id": "x" * 301},
        {**EVENT, "sport_key": "../up"},
        EVENT,
    ]

    batch = parse_odds(json.dumps(events).encode(), "the answer", fetched_at=AT)

    assert batch.events["event_id"].tolist() == ["e1"]
    assert len(batch.set_aside) == 3


def test_a_season_in_a_file_that_is_none_costs_its_row_and_not_the_file():
    head = "Country,League,Season,Date,Time,Home,Away,HG,AG,Res,PSCH,PSCD,PSCA\n"
    rows = "".join(
        f"Argentina,Liga,{season},16/08/2024,20:00,Ash {n},Oak,2,1,H,1.8,3.5,4.5\n"
        for n, season in enumerate(("9" * 3000, "../../x", "2024"))
    )

    batch = parse((head + rows).encode(), "the file", competition="ARG", season=None, collected_at=AT)

    assert batch.events["season"].tolist() == ["2024"]
    assert batch.set_aside["reason"].str.startswith("not a season").sum() == 2


def test_the_seasons_that_a_message_lists_are_seasons():
    """Found by the fuzzer: a control character in the list of seasons."""
    file = b"Country,League,Season,Date,Home,Away\nArgentina,Liga,2\x1e12,16/08/2024,Ash,Oak\n"

    with pytest.raises(SourceError) as error:
        parse(file, "the file", competition="ARG", season="2025", collected_at=AT)

    assert str(error.value).isprintable()


# --- files written by someone else


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


def test_a_pickle_in_the_cache_or_in_the_store_is_never_run(hostile, monkeypatch, tmp_path):
    mark = tmp_path / "ran"
    evil = pickle.dumps(Payload(mark))
    monkeypatch.setitem(Hostile.bodies, "fine", (200, {}, b"fine"))
    with Fetcher("test", hostile.url, tmp_path / "cache") as fetcher:
        fetcher.get("fine")
    with sqlite3.connect(tmp_path / "cache" / "http.sqlite") as connection:
        connection.execute("UPDATE answers SET value = ?", (evil,))
    store = Store(tmp_path / "store")
    store.append("quotes", many(3))
    for file in (tmp_path / "store").rglob("*.parquet"):
        file.write_bytes(evil)

    with Fetcher("test", hostile.url, tmp_path / "cache") as fetcher:
        assert fetcher.get("fine").content == b"fine"
    with pytest.raises(OverroundError):
        Store(tmp_path / "store").read("quotes")
    Store(tmp_path / "store").repair()

    assert not mark.exists()
    pickle.loads(evil)  # noqa: S301  the payload is one
    assert mark.exists()


@pytest.mark.parametrize("absolute", [False, True])
def test_a_log_that_names_files_elsewhere_makes_repair_and_vacuum_touch_nothing_there(tmp_path, absolute):
    """Found by hand: repair moved the file that a foreign log called damaged, wherever it was."""
    store, victim = Store(tmp_path / "store"), tmp_path / "victim.txt"
    store.append("quotes", many(3))
    victim.write_text("precious")
    log = tmp_path / "store" / "quotes" / "_delta_log"
    last = max(log.glob("*.json"))
    add = next(
        action["add"] for line in last.read_text().splitlines() if "add" in (action := json.loads(line))
    )
    path = str(victim) if absolute else "../../victim.txt"
    entries = [
        {"add": {**add, "path": path, "size": 8}},
        {"remove": {"path": path + "2", "deletionTimestamp": 1, "dataChange": True}},
        {"commitInfo": {"operation": "WRITE", "timestamp": 1}},
    ]
    (log / f"{int(last.stem) + 1:020d}.json").write_text(
        "".join(json.dumps(entry) + "\n" for entry in entries)
    )

    with pytest.raises(OverroundError):
        Store(tmp_path / "store").read("quotes")
    Store(tmp_path / "store").repair()
    Store(tmp_path / "store").vacuum(0)

    assert victim.read_text() == "precious"
    assert not list(tmp_path.glob("*.damaged"))
    assert len(Store(tmp_path / "store").read("quotes")) == len(many(3))


@pytest.mark.slow
def test_nothing_in_the_library_loads_pickles_or_runs_text():
    banned = {
        ("pickle", "load"),
        ("pickle", "loads"),
        ("marshal", "loads"),
        ("shelve", "open"),
        ("os", "system"),
        ("yaml", "load"),
        ("pd", "read_pickle"),
        ("joblib", "load"),
        ("dill", "loads"),
        ("cloudpickle", "loads"),
        ("np", "load"),
    }
    found = []
    for file in sorted((HOME / "lib").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec", "compile", "__import__"):
                found.append((file.name, node.lineno))
            if (
                isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and (node.func.value.id, node.func.attr) in banned
            ):
                plain = any(
                    word.arg == "allow_pickle" and ast.unparse(word.value) == "False"
                    for word in node.keywords
                )
                if not (node.func.attr == "load" and plain):
                    found.append((file.name, node.lineno))
            if any(word.arg == "shell" for word in node.keywords):
                found.append((file.name, node.lineno))

    assert found == []


def test_compiled_kernels_lie_where_only_those_who_can_write_the_code_can_write():
    # numba's index is a pickle: who can write it can run code here, as who can write the .pyc files beside it
    from overround.prices import margin_kernels

    kernel = next(
        one for one in vars(margin_kernels).values() if hasattr(one, "_cache") and hasattr(one, "stats")
    )
    folder = Path(kernel.stats.cache_path)
    code = Path(margin_kernels.__file__).parent

    assert "NUMBA_CACHE_DIR" not in os.environ
    assert folder.is_relative_to(code) or folder.is_relative_to(Path.home())
    assert folder.stat().st_uid in (os.getuid(), code.stat().st_uid)
    assert not stat.S_IMODE(folder.stat().st_mode) & 0o002


# --- parameters


@given(
    st.text()
    | st.sampled_from(
        [
            '"\nimport os\nos.system("id")\n#',
            "\\",
            '\\"',
            "'''",
            '"""',
            "{0}",
            "\u2028import os",
            "#\r\nx=1",
            "\ud800",
        ]
    )
)
def test_a_text_parameter_cannot_become_code_in_papermills_cell(notebook, text):
    from papermill.translators import PythonTranslator

    checked = check_parameters(notebook, {"run_id": text, "leagues": [text]})
    cell = PythonTranslator.codify(checked)

    assert [type(one) for one in ast.parse(cell).body] == [ast.Assign, ast.Assign]
    assert [ast.literal_eval(one.value) for one in ast.parse(cell).body] == [text, [text]]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    path = tmp_path_factory.mktemp("notebooks") / "some.ipynb"
    path.write_text(json.dumps(NOTEBOOK))
    return path


def test_the_name_of_a_parameter_cannot_be_code(notebook):
    for name in ("x=1\nimport os", "run_id: int", "run_id ", "__builtins__"):
        with pytest.raises(OverroundError, match="has no parameter"):
            check_parameters(notebook, {name: 1})


# --- what a victim opens


def test_figures_show_names_that_are_markup_as_text():
    from overround.display.elements import Picture
    from overround.display.palette import ACCENT
    from overround.figures import style as look

    axes = look.canvas(2)
    look.label(axes, 0, 0, look.short(r"$\bad{<script>&$"), ACCENT)
    svg = Picture(look.figure_of(axes), 'x" onload="alert(1)')

    assert b"<script" not in svg.svg()
    assert 'onload="' not in svg._repr_html_()


# --- keys


@pytest.mark.slow
def test_a_key_in_every_place_is_in_nothing_that_a_collection_leaves(hostile, monkeypatch, tmp_path):
    """Each place a user can put a key; a provider that repeats it in its errors; everything on disk and every
    word said.
    """
    monkeypatch.setitem(Hostile.bodies, "odds", (500, {}, f"your key {KEY} is bad".encode()))
    address = hostile.url.replace("http://", f"http://someone:{KEY}@")
    environment = {
        **os.environ,
        "OVERROUND_ODDS_API_KEY": KEY,
        "OVERROUND_ODDS_API_URL": f"{address}/api?apiKey={KEY}",
        "AWS_SECRET_ACCESS_KEY": KEY,
        "OVERROUND_FOOTBALL_DATA_URL": address,
        "OVERROUND_STORE": str(tmp_path / "store"),
        "OVERROUND_CACHE": str(tmp_path / "cache"),
        "OVERROUND_REPORTS": str(tmp_path / "reports"),
    }
    said = []
    for words in (
        ["collect", "the-odds-api", "--sport", "soccer_epl", "--polls", "1"],
        ["collect", "football-data", "--league", "E0", "--season", "2425"],
        ["collect", "the-odds-api", "--sport", "soccer_epl"],
        ["store", "check"],
    ):
        script = (
            "import logging; logging.basicConfig(level=0); import sys; "
            f"sys.argv[1:] = {words!r}; from overround.cli.main import main; main()"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            cwd=HOME,
            capture_output=True,
            text=True,
            timeout=120,
        )
        said.append(done.stdout + done.stderr)

    assert any("500" in text for text in said)
    assert KEY not in "".join(said)
    assert _holding(tmp_path, KEY) == []


def _holding(folder: Path, text: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_key_is_in_nothing_that_a_run_with_a_failure_leaves(hostile, tmp_path):
    environment = {
        **os.environ,
        "OVERROUND_ODDS_API_KEY": KEY,
        "OVERROUND_ODDS_API_URL": hostile.url,
        "OVERROUND_STORE": str(tmp_path / "store"),
        "OVERROUND_CACHE": str(tmp_path / "cache"),
        "OVERROUND_REPORTS": str(tmp_path / "reports"),
    }
    command = [
        sys.executable,
        "-m",
        "overround.cli.main",
        "run",
        "--source",
        "the-odds-api",
        "--league",
        "soccer_epl",
        "--show-code",
    ]

    done = subprocess.run(command, env=environment, cwd=HOME, capture_output=True, text=True, timeout=300)

    assert done.returncode == 1 and "FAILED" in done.stderr
    assert list((tmp_path / "reports").rglob("*.html"))
    assert KEY not in done.stdout + done.stderr
    assert _holding(tmp_path, KEY) == []


# --- modes of files


def test_a_settings_file_with_a_key_that_others_can_read_is_warned_of(monkeypatch, tmp_path, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OVERROUND_ODDS_API_KEY", raising=False)
    file = tmp_path / ".env"
    file.write_text(f"OVERROUND_ODDS_API_KEY={KEY}\n")
    file.chmod(0o600)
    load_settings()
    assert caplog.text == ""

    file.chmod(0o644)
    load_settings()

    assert "chmod 600" in caplog.text and KEY not in caplog.text


def test_no_file_of_the_store_is_writable_by_others_nor_run(tmp_path):
    was = os.umask(0o022)
    try:
        Store(tmp_path / "store").append("quotes", many(3))
    finally:
        os.umask(was)

    assert {stat.S_IMODE(path.stat().st_mode) & 0o133 for path in tmp_path.rglob("*") if path.is_file()} == {
        0
    }


def test_the_page_of_threats_names_tests_that_exist():
    named = re.findall(
        r"`([a-z_/]*test_\w+)(?:\.py)?(?:::(test_\w+))?`", (HOME / "docs" / "security.md").read_text()
    )
    assert len(named) > 15
    for module, test in named:
        assert f"def {test or module}(" in ((HOME / "tests" / f"{module}.py").read_text() if test else ""), (
            module,
            test,
        )
