"""Folders of any name: the store, the poller with its cache, a sweep, a run and its page work in each of them."""

import json
import re
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest

import overround as ov
from overround import Store
from overround.errors import StoreError
from overround.runs.steps import Step
from overround.store import addresses
from tests.support.polls import START, polled, priced
from tests.support.projects import PARAMETERS, RECORD, project, run_notebook
from tests.support.servers import require
from tests.support.stores import event, many

NAMES = [
    "odds data",
    "Ödds 日本 e\u0301",
    "100%",
    "a%20b",
    "a%2Fb%25",
    "a#b",
    "a[b]",
    "a?b",
    "a*b",
    "a~b",
    "~",
    "{a}'\"$HOME;&",
    "^|<>:\\`",
    "a\nb",
]


@pytest.fixture
def folder(tmp_path, request) -> Path:
    made = tmp_path / request.param
    try:
        made.mkdir()
    except OSError as error:
        require(False, f"the file system has no such names: {error}", of_machine=True)
    # what a pattern or a decoded name would find instead
    for other in ("axb", "ab", "a b", "a", "a/b%"):
        (tmp_path / other).mkdir(parents=True)
    return made


@pytest.mark.parametrize("folder", NAMES, indirect=True)
def test_a_store_works_in_a_folder_of_any_name(folder: Path):
    store = Store(folder / "store")
    store.append("events", [event("m0"), event("m1")])
    for bookmaker in ("acme", "onebook"):
        store.append("quotes", many(2, bookmaker=bookmaker), changes_only=True)
    corrected = store.append("quotes", many(1, bookmaker="acme", prices=(2.5, 3.5, 4.0)))

    assert corrected.updated == 1
    assert {path.name for path in (folder / "store").iterdir()} == {"events", "quotes"}
    assert not any(
        any(other.iterdir()) for other in folder.parent.iterdir() if other.name in ("axb", "ab", "a b")
    )

    again = Store(str(folder / "store"))
    count = "SELECT count(*) AS n, max(price) AS price FROM quotes WHERE competition = 'L1'"
    rows = len(again.read("quotes"))
    assert rows == 12 and again.sql(count)["n"].item() == rows
    assert len(again.read("quotes", version=1)) == 6

    assert again.compact() >= 1
    assert again.vacuum(0) >= 2
    assert again.check().empty
    assert len(again.read("quotes")) == again.sql(count)["n"].item() == rows

    # a file of a batch that was never acknowledged, in a table with partitions and in one without
    for table in ("events", "quotes"):
        known = next((folder / "store" / table).rglob("*.parquet"))
        known.with_name("part-orphan.parquet").write_bytes(known.read_bytes())
    assert again.check()["what"].tolist() == ["orphan file"] * 2
    again.vacuum(0)
    assert again.check().empty
    assert not list(folder.rglob("part-orphan.parquet"))

    next((folder / "store" / "quotes").rglob("*.parquet")).unlink()
    assert again.check()["what"].tolist() == ["missing file"]
    assert "ROWS ARE LOST" in again.repair()[0]
    assert again.check().empty and again.read("quotes").empty


@pytest.mark.parametrize("folder", NAMES, indirect=True)
def test_a_poller_and_a_sweep_work_in_a_folder_of_any_name(folder: Path, play):
    done = polled(play([priced(0, 2.0), priced(1, 2.0), priced(2, 2.1)]), folder)

    assert done.inserted["quotes"] == 4
    assert len(Store(folder / "store").read("quotes")) == 4
    assert Store(folder / "store").sql("SELECT count(*) AS n FROM standing")["n"].item() == 3
    assert Store(folder / "store").check().empty
    assert list((folder / "cache").iterdir())

    # a table without partitions: its files lie beside its log
    store, table = Store(folder / "store"), folder / "store" / "requests"
    (table / "part-orphan.parquet").write_bytes(next(table.glob("*.parquet")).read_bytes())
    store.vacuum(0)
    assert store.check().empty and not (table / "part-orphan.parquet").exists()
    rows = store.sql("SELECT count(*) AS n FROM requests")["n"].item()
    next(table.glob("*.parquet")).unlink()
    assert "ROWS ARE LOST" in store.repair()[0]
    assert len(store.read("requests")) < rows

    quotes, results = ov.example().quotes, ov.example().results
    settings = ov.sweeps.SweepSettings(keep=folder / "sweeps", simulations=100)
    first, again = (
        ov.sweep(quotes, {"reference": "sharp", "min_edge": [0.01, 0.02]}, results, settings)
        for _ in range(2)
    )
    assert list((folder / "sweeps").iterdir())
    assert first.table.equals(again.table)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["a%20b [c]", "{a}#b?*é~"], indirect=True)
def test_a_run_and_its_page_work_in_a_folder_of_any_name(folder: Path):
    settings = project(folder, probe=[PARAMETERS, "import overround as ov; print(ov.Store().root)", RECORD])
    Store(settings.store).append("events", [event()])

    outcome = run_notebook(Step("probe", "probe"), run_id="p1.probe", settings=settings)

    assert json.loads(outcome.record.read_text())["status"] == "ok"
    assert outcome.html.is_relative_to(folder) and str(settings.store) in outcome.ipynb.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    ["odds data", "Ödds 日本 e\u0301", "100%", "a%20b", "a#b", "a[b]", "~", "{a}?*'\"&;"],
    indirect=True,
)
def test_the_daily_report_is_made_in_a_folder_of_any_name(folder: Path, play):
    polled(play([priced(0, 2.0), priced(1, 2.0), priced(2, 2.1)]), folder)
    settings = ov.settings.Settings(
        store=str(folder / "store"), cache=folder / "cache", reports=folder / "reports"
    )
    parameters = {"source": "the-odds-api", "until": f"{START + timedelta(hours=1):%Y-%m-%dT%H:%M}"}

    (outcome,) = ov.runs.run_pipeline([Step("daily", "daily", parameters)], settings=settings)

    assert outcome.ok, outcome.failure
    assert outcome.metrics["prices"] == 4, outcome.metrics
    page, index = (path.read_text() for path in (outcome.html, folder / "reports" / "index.html"))
    assert "Daily digest" in page and "<svg" in page
    (link,) = {unquote(href) for href in re.findall(r'href="([^"#]*daily\.html)"', index)}
    assert (folder / "reports" / link).samefile(outcome.html)
    # nothing went to where a pattern or a decoded name would lead
    assert not any(any(other.iterdir()) for other in folder.parent.iterdir() if other.name in ("axb", "ab"))
    assert Store(folder / "store").check().empty


def test_a_table_whose_links_were_cleaned_away_takes_the_next_batch(tmp_path: Path):
    store = Store(tmp_path / "a%20b")
    store.append("quotes", many(1))
    alias = Path(addresses.address(tmp_path / "a%20b" / "quotes"))
    (alias / addresses.LOG).unlink()
    alias.rmdir()

    store.append("quotes", many(2))

    assert len(store.read("quotes")) == 6 and store.check().empty
    assert (alias / addresses.LOG).is_symlink()


def test_links_in_a_folder_that_others_can_write_to_are_not_used(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(tmp_path / "a%20b")
    store.append("quotes", many(1))
    next(path for path in tmp_path.iterdir() if path.name.startswith("overround-")).chmod(0o777)

    with pytest.raises(StoreError, match="another user can write to it"):
        store.read("quotes")


def test_a_store_by_a_relative_folder_with_a_tilde_is_in_the_home_folder(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    Store("~/odds data").append("quotes", many(1))

    assert (tmp_path / "odds data" / "quotes").is_dir() and not (tmp_path / "~" / "odds data").exists()
