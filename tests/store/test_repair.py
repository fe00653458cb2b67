"""The runbook, docs/runbook.md: each command against the damage that it is for."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from overround import Store
from tests.support.books import quote, quotes
from tests.support.servers import require
from tests.support.stores import event, many

HOME = Path(__file__).parents[2]
# revisions after which the layout of the store was another one, and what each brought
LAYOUTS = {
    "7da3f1e": "the first store",
    "8401f4c": "files merged by themselves, versions pinned",
    "62d6eab": "the table standing",
    "179164f": "ledgers with the uncertainty of the edge",
    "f0a45e7": "our own files and bounds in the log, object stores",
}


def overround(*words, home=HOME, **environment):
    return subprocess.run(
        [sys.executable, "-m", "overround.cli.main", *words],
        cwd=home,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def places(tmp_path):
    return {f"OVERROUND_{name}": str(tmp_path / name.lower()) for name in ("STORE", "CACHE", "REPORTS")}


def test_every_section_of_the_runbook_names_a_test_that_exists():
    text = (HOME / "docs" / "runbook.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]

    assert len(sections) >= 8
    for section in sections:
        named = re.findall(r"`([a-z_/]*test_\w+)\.py::(test_\w+)`", section)
        assert named, section.splitlines()[0]
        for module, test in named:
            assert f"def {test}(" in (HOME / "tests" / f"{module}.py").read_text(), test


@pytest.mark.slow
def test_half_of_a_tables_files_gone_is_said_and_mended(places):
    store = Store(places["OVERROUND_STORE"])
    for i in range(6):
        store.append("quotes", many(20, bookmaker=f"b{i}"))
    files = sorted(Path(store.root, "quotes").rglob("*.parquet"))
    for file in files[: len(files) // 2]:
        file.unlink()

    read = overround("store", "check", **places)
    mended = overround("store", "repair", **places)
    after = overround("store", "check", **places)

    assert read.returncode == 1 and read.stderr.count("missing file") == 3
    assert "things wrong: 3, which `overround store repair` mends" in read.stdout
    assert (
        mended.returncode == 0
        and "180 ROWS ARE LOST with 3 missing or damaged files; collect them again" in mended.stderr
    )
    assert after.returncode == 0 and "nothing is wrong" in after.stdout
    again = Store(store.root)
    assert len(again.read("quotes")) == 180
    # collecting again brings back exactly what was lost
    assert sum(again.append("quotes", many(20, bookmaker=f"b{i}")).inserted for i in range(6)) == 180
    assert len(again.read("quotes")) == 360


@pytest.mark.slow
def test_a_command_that_has_read_its_tables_ends_by_itself_on_a_busy_machine(places):
    """Arrow's threads let go of the last file when the interpreter has begun to end: one in ten commands was
    ended by a signal.
    """
    store = Store(places["OVERROUND_STORE"])
    for i in range(6):
        store.append("quotes", many(20, bookmaker=f"b{i}"))

    with ThreadPoolExecutor(4 * (os.cpu_count() or 1)) as pool:
        checks = list(pool.map(lambda _: overround("store", "check", **places), range(64)))

    assert {(done.returncode, done.stderr) for done in checks} == {(0, "")}


@pytest.fixture
def site(tmp_path, serve, places):
    """A small provider with six seasons, and the words that collect them; it is asked twice a second."""
    head, seasons = (
        "Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,B365H,B365D,B365A\n",
        ["1819", "1920", "2021", "2122", "2223", "2324"],
    )
    for season in seasons:
        rows = (
            f"E0,{day:02}/09/20{season[:2]},20:00,Team {day},Guest {day},1,0,H,2.0,3.5,4.{day}\n"
            for day in range(1, 29)
        )
        folder = tmp_path / "site" / "mmz4281" / season
        folder.mkdir(parents=True)
        (folder / "E0.csv").write_text(head + "".join(rows))
    places["OVERROUND_FOOTBALL_DATA_URL"] = serve(tmp_path / "site").url
    return [
        "collect",
        "football-data",
        "--league",
        "E0",
        *(word for season in seasons for word in ("--season", season)),
    ]


@pytest.mark.slow
def test_a_deleted_cache_costs_calls_and_no_row(places, site):
    first = overround(*site, **places)
    store = Store(places["OVERROUND_STORE"])
    before = store.version(), len(store.read("quotes"))
    for file in Path(places["OVERROUND_CACHE"]).iterdir():
        file.unlink()

    again = overround(*site, **places)

    assert (first.returncode, again.returncode) == (0, 0)
    assert (
        "0 new events, 0 new quotes, 0 new results; 6 requests, 0 of them answered by the cache"
        in again.stdout
    )
    assert (store.version(), len(store.read("quotes"))) == before
    assert before[1] == 6 * 28 * 3


@pytest.mark.slow
def test_a_collection_that_is_killed_goes_on_where_it_was(places, site):
    command, entries = [sys.executable, "-m", "overround.cli.main", *site], Path(places["OVERROUND_STORE"])
    child = subprocess.Popen(
        command, cwd=HOME, env={**os.environ, **places}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while len(list(entries.glob("quotes/_delta_log/*.json"))) < 3 and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    some = len(Store(places["OVERROUND_STORE"]).read("quotes"))

    if overround("store", "check", **places).returncode:
        assert overround("store", "repair", **places).returncode == 0
    whole = overround(*site, **places)

    rows = Store(places["OVERROUND_STORE"]).read("quotes")
    assert whole.returncode == 0
    assert 0 < some < len(rows) == 6 * 28 * 3
    assert not rows.duplicated(["event_id", "bookmaker", "market", "line", "outcome", "phase"]).any()
    assert len(Store(places["OVERROUND_STORE"]).read("results")) == 6 * 28


@pytest.mark.slow
def test_a_page_and_the_index_can_be_written_again_where_they_were_lost(places):
    reports = Path(places["OVERROUND_REPORTS"])
    (reports / "runs" / "p1").mkdir(parents=True)
    (reports / "runs" / "p1" / "torn.json").write_text('{"run_id": "p1.to')
    (reports / "index.html").write_text("<html>half")

    done = overround("index", **places)

    page = (reports / "index.html").read_text()
    assert done.returncode == 0
    assert page.rstrip().endswith("</html>") and "torn.json" in page


def test_a_clock_that_is_set_back_doubles_nothing(tmp_path):
    store = Store(tmp_path / "store")
    late = quotes(quote(phase="snapshot", at="2025-02-01 10:00"))
    store.append("quotes", late, changes_only=True)

    before = store.append("quotes", quotes(quote(phase="snapshot", at="2025-02-01 09:00")), changes_only=True)
    again = store.append("quotes", late, changes_only=True)

    assert (before.inserted, again.inserted) == (1, 0)
    assert store.check().query("what != 'orphan file'").empty
    assert len(store.read("quotes")) == 2


@pytest.mark.slow
@pytest.mark.parametrize("revision", LAYOUTS)
def test_a_store_of_an_earlier_version_is_read_checked_and_appended_to(tmp_path, revision):
    """Made by that revision's own code, where this checkout has its history."""
    archive = subprocess.run(["git", "archive", revision, "lib"], cwd=HOME, capture_output=True)
    require(archive.returncode == 0, f"this checkout has no revision {revision}", of_machine=True)
    (tmp_path / "old").mkdir()
    subprocess.run(["tar", "-x", "-C", tmp_path / "old"], input=archive.stdout, check=True)
    script = """
        import json, sys
        import pandas as pd
        from overround.store import Store
        store = Store(sys.argv[1])
        given = json.load(sys.stdin)
        for table, rows in given:
            frame = pd.DataFrame(rows)
            for column in ("starts_at", "observed_at", "collected_at", "settled_at"):
                if column in frame:
                    frame[column] = pd.to_datetime(frame[column], utc=True)
            store.append(table, frame)
        print(len(store.read("quotes")))
    """
    rows = [
        ("events", pd.DataFrame([event("m0"), event("m1"), event("m2")])),
        *[("quotes", many(3, bookmaker=f"b{i}")) for i in range(4)],
    ]
    made = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "store")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "old" / "lib")},
        input=json.dumps(
            [(table, json.loads(frame.to_json(orient="records", date_format="iso"))) for table, frame in rows]
        ),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr[-500:]

    store = Store(tmp_path / "store")
    whole = pd.concat([many(3, bookmaker=f"b{i}") for i in range(4)])

    assert len(store.read("quotes")) == int(made.stdout) == len(whole)
    assert store.check().query("what != 'orphan file'").empty
    assert store.append("quotes", whole).inserted == 0
    assert store.append("quotes", many(3, bookmaker="new")).inserted == 9
    assert store.compact() >= 1
    assert len(store.sql("SELECT * FROM quotes")) == len(whole) + 9
