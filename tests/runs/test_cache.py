"""A step is kept where an earlier run has answered it, and run again as soon as anything that it depends on
is another.
"""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from overround import Store, provenance
from overround.errors import ParameterError
from overround.provenance import library_digest
from overround.reports.index import overview
from overround.reports.page import render_index
from overround.reports.prune import candidates
from overround.reports.records import siblings, write_steps
from overround.runs import cache as kept
from overround.settings import Settings
from tests.support.projects import PARAMETERS, RECORD, project
from tests.support.run_records import a_run
from tests.support.stores import event, many

ASKED = {"source": "sample", "store_version": "", "run_id": "new"}
PROGRAM = ("library", "packages")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = project(tmp_path, trial=["# A trial", PARAMETERS, RECORD])
    filled(made)
    return made


def filled(settings: Settings) -> None:
    store = Store(settings.store_root)
    store.append("events", [event()])
    store.append("quotes", many(2))


def key(
    settings: Settings,
    asked: dict = ASKED,
    runs: tuple[str, ...] = (),
    *,
    show_code: bool = False,
    program: tuple = PROGRAM,
) -> str:
    return kept.key_of(
        settings.home / "notebooks" / "trial.ipynb",
        asked,
        runs,
        settings,
        show_code=show_code,
        program=program,
    )


def leave(settings: Settings, name: str = "20260101-000000-abc", label: str = "first", **facts: Any) -> Path:
    """A good run's files, as of the store now unless said otherwise."""
    folder = settings.reports_folder / "runs" / name
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.strptime(name[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).isoformat()
    record = a_run(
        run_id=f"{name}.{label}",
        label=label,
        **{"started_at": at, "key": key(settings), "data": kept.data_of(settings), **facts},
    )
    for suffix, text in ((".json", json.dumps(record)), (".ipynb", ""), (".html", "")):
        (folder / f"{label}{suffix}").write_text(text)
    return folder


def found(
    settings: Settings, notebook: str = "trial", asked: dict = ASKED, runs: tuple[str, ...] = (), **more: Any
) -> str | None:
    record = kept.earlier(notebook, "first", key(settings, asked, runs, **more), asked, runs, settings)
    return None if record is None else record["run_id"]


def test_the_newest_run_with_the_same_of_everything_stands_for_a_step(settings: Settings) -> None:
    leave(settings)
    leave(settings, "20260102-000000-abc")
    leave(settings, "20260103-000000-abc", key="another")

    assert found(settings) == "20260102-000000-abc.first"
    assert found(settings, asked={**ASKED, "run_id": "another"}) == "20260102-000000-abc.first"


def edit(settings: Settings) -> None:
    notebook = settings.home / "notebooks" / "trial.ipynb"
    notebook.write_text(notebook.read_text().replace("No edge", "An edge"))


def refill(settings: Settings) -> None:
    shutil.rmtree(settings.store_root)
    filled(settings)


CHANGES: dict[str, Callable[[Settings, Path], Any]] = {
    "another cell": lambda settings, run: edit(settings),
    "new rows": lambda settings, run: Store(settings.store_root).append("events", [event("m7")]),
    "a store made anew with the same version numbers": lambda settings, run: refill(settings),
    "a page that was removed": lambda settings, run: (run / "first.html").unlink(),
    "a notebook that was removed": lambda settings, run: (run / "first.ipynb").unlink(),
    "a failed run": lambda settings, run: leave(settings, status="failed"),
    "an unreadable record": lambda settings, run: (run / "first.json").write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_of_what_a_run_depends_on_is_seen(
    settings: Settings, change: Callable[[Settings, Path], Any]
) -> None:
    run = leave(settings)
    assert found(settings)
    change(settings, run)
    assert found(settings) is None


def test_another_parameter_program_setting_or_drawing_is_another_question(settings: Settings) -> None:
    leave(settings)
    assert found(settings)
    assert found(settings, asked={**ASKED, "source": "football-data"}) is None
    assert found(settings, program=("edited", "packages")) is None
    assert found(settings, program=("library", "upgraded")) is None
    assert found(settings, show_code=True) is None
    assert found(Settings(**{**settings.model_dump(), "memory_mb": 7})) is None
    assert found(Settings(**{**settings.model_dump(), "odds_api_key": "another"}))


def test_a_pinned_version_is_found_after_new_rows_and_the_newest_is_not(settings: Settings) -> None:
    version = Store(settings.store_root).version()
    pinned = {**ASKED, "store_version": version}
    leave(settings, key=key(settings, pinned))
    Store(settings.store_root).append("events", [event("m7")])
    assert found(settings, asked=pinned)


def test_what_is_made_from_runs_depends_on_them_and_on_no_version(settings: Settings) -> None:
    asked = {"runs": ["a", "b"], "run_id": "new"}
    leave(settings, key=key(settings, asked, ("a", "b")), data="")
    Store(settings.store_root).append("events", [event("m7")])
    assert found(settings, "compare", asked, ("a", "b"))
    assert found(settings, "compare", asked, ("a", "c")) is None


@pytest.mark.parametrize("notebook", ["daily", "collection", "performance"])
def test_a_notebook_of_the_moment_is_run_whenever_it_is_asked_for(settings: Settings, notebook: str) -> None:
    leave(settings)
    assert found(settings)
    assert found(settings, notebook) is None


def test_a_notebook_that_promises_no_version_is_run(settings: Settings) -> None:
    asked = {"run_id": "new"}
    leave(settings, key=key(settings, asked))
    assert found(settings, asked=asked) is None


SEASON = {"source": "football-data", "leagues": ["E0"], "seasons": ["2324"]}
COLLECTIONS = {
    "the simulated market": ({"source": "sample"}, 400, 0, True),
    "a season that is over": (SEASON, 20, 0, True),
    "a month later": (SEASON, 31, 0, False),
    "a job that failed": (SEASON, 20, 1, False),
    "a season that is played": ({**SEASON, "seasons": ["2324", "2526"]}, 20, 0, False),
    "the matches of the next days": ({**SEASON, "seasons": ["2324", "fixtures"]}, 0, 0, False),
    "all seasons in one file": ({**SEASON, "leagues": ["ARG"], "seasons": []}, 20, 0, False),
    "current prices": ({"source": "the-odds-api", "leagues": ["soccer_epl"], "seasons": []}, 0, 0, False),
}


@pytest.mark.parametrize(("asked", "days", "failed", "answer"), COLLECTIONS.values(), ids=COLLECTIONS.keys())
def test_a_collection_is_kept_where_the_source_would_answer_the_same(
    asked: dict, days: int, failed: int, answer: bool
) -> None:
    at = datetime(2026, 1, 15, tzinfo=UTC)
    run = {"started_at": at.isoformat(), "metrics": {"failed_jobs": failed}}
    assert kept.settled(asked, run, at + timedelta(days=days)) is answer


def test_a_file_of_the_library_that_is_edited_added_or_renamed_makes_another_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("x = 1")
    digests = [library_digest()]
    (tmp_path / "__pycache__").mkdir()
    for name in ("a.pyc", "a.f-1.py311.nbi"):
        (tmp_path / "__pycache__" / name).write_text("compiled")
    assert library_digest() == digests[0]
    (tmp_path / "a.py").write_text("x = 2")
    digests.append(library_digest())
    (tmp_path / "b.css").write_text("")
    digests.append(library_digest())
    (tmp_path / "b.css").rename(tmp_path / "c.css")
    digests.append(library_digest())
    assert len(set(digests)) == 4


def test_another_version_of_a_package_makes_other_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "thing-1.0.dist-info").mkdir()
    before = kept.packages()
    assert kept.packages() == before
    (tmp_path / "thing-1.0.dist-info").rename(tmp_path / "thing-1.1.dist-info")
    assert kept.packages() != before


def steps(settings: Settings, pipeline: str, **runs: str) -> None:
    """Note steps label=run id; a run of another pipeline is kept."""
    rows = [
        {
            "label": label,
            "notebook": "backtest",
            "run_id": run_id,
            "status": "ok" if run_id.startswith(f"{pipeline}.") else "kept",
        }
        for label, run_id in runs.items()
    ]
    write_steps(
        settings.reports_folder,
        pipeline,
        datetime.strptime(pipeline[:15], "%Y%m%d-%H%M%S").replace(tzinfo=UTC),
        rows,
    )


P1, P2, P3, P4, P5 = (f"2026010{day}-000000-abc" for day in (1, 2, 3, 4, 5))


def test_runs_that_stand_for_steps_of_a_pipeline_that_stays_are_not_pruned(settings: Settings) -> None:
    leave(settings, P1)
    leave(settings, P2)
    leave(settings, P3, "second")
    leave(settings, P4)
    steps(settings, P3, first=f"{P1}.first", second=f"{P3}.second")

    gone = candidates(settings.reports_folder, keep=2)["pipeline"].tolist()

    assert gone == [P2]


def test_a_pipeline_that_ran_nothing_protects_what_it_kept_and_can_itself_go(settings: Settings) -> None:
    leave(settings, P1)
    leave(settings, P2)
    steps(settings, P3, first=f"{P1}.first")
    assert candidates(settings.reports_folder, keep=1)["pipeline"].tolist() == [P2]
    leave(settings, P4)
    assert candidates(settings.reports_folder, keep=1)["pipeline"].tolist() == [P3, P2, P1]


def test_the_newest_page_stays_with_what_it_compares_though_it_only_compares(settings: Settings) -> None:
    for name in (P1, P2, P3):
        leave(settings, name)
    compared = {
        "label": "compare",
        "notebook": "compare",
        "parameters": {"runs": [f"{P1}.first", f"{P3}.first"]},
    }
    leave(settings, P4, **compared)
    assert candidates(settings.reports_folder, keep=1)["pipeline"].tolist() == [P2]

    # once there is a newer one it goes with what it compares
    leave(settings, P5)
    assert candidates(settings.reports_folder, keep=1)["pipeline"].tolist() == [P4, P3, P2, P1]
    assert candidates(settings.reports_folder, keep=3)["pipeline"].tolist() == [P4, P1]


def test_what_is_younger_than_the_limit_stays(settings: Settings) -> None:
    for name in (P1, P2, P3, P4):
        leave(settings, name)
    at = datetime(2026, 1, 4, 12, tzinfo=UTC)

    assert candidates(settings.reports_folder, older_than=timedelta(days=2), now=at)["pipeline"].tolist() == [
        P2,
        P1,
    ]
    assert candidates(settings.reports_folder, older_than=timedelta(days=2), keep=3, now=at)[
        "pipeline"
    ].tolist() == [P1]
    for limits, words in (({}, "say what stays"), ({"keep": 0}, "would remove everything")):
        with pytest.raises(ParameterError, match=words):
            candidates(settings.reports_folder, **limits)


def test_the_index_says_what_was_kept_and_when(settings: Settings) -> None:
    leave(settings, P1)
    leave(settings, P1, "second")
    steps(settings, P2, first=f"{P1}.first", second=f"{P1}.second")
    everything = render_index(settings.reports_folder).read_text()
    steps(settings, P3, first=f"{P1}.first", second=f"{P3}.second")
    leave(settings, P3, "second")
    some = render_index(settings.reports_folder).read_text()

    assert "Nothing had changed, so no step of it was run" in everything
    assert "kept on <time" in everything
    assert "2 January 2026, 00:00 UTC" in everything
    assert f'href="runs/{P1}/first.html"' in everything
    assert "1 of these 2 were not run again: first" in some
    assert "kept 2 times, last on" in some


def test_a_failure_is_made_good_by_an_earlier_run_that_is_kept_later() -> None:
    good = a_run(run_id=f"{P1}.first", pipeline=P1, started_at="2026-01-01T00:00:00+00:00")
    bad = a_run(run_id=f"{P2}.first", pipeline=P2, started_at="2026-01-02T00:00:00+00:00", status="failed")
    again = {
        "pipeline": P3,
        "started_at": "2026-01-03T00:00:00+00:00",
        "steps": [{"label": "first", "notebook": "backtest", "run_id": f"{P1}.first", "status": "kept"}],
    }

    assert [run["run_id"] for run in overview([good, bad])["failures"]] == [f"{P2}.first"]
    assert overview([good, bad], "", [again])["failures"] == []


def test_the_index_follows_the_order_of_the_newest_line_whatever_of_it_was_kept() -> None:
    runs = [
        a_run(run_id=f"{P1}.{name}", label=name, notebook=name, pipeline=P1)
        for name in ("signals", "compare", "collect")
    ]
    runs.append(
        a_run(
            run_id=f"{P2}.compare",
            label="compare",
            notebook="compare",
            pipeline=P2,
            started_at="2026-01-02T00:00:00+00:00",
        )
    )
    line = {
        "pipeline": P2,
        "started_at": "2026-01-02T00:00:00+00:00",
        "steps": [
            {
                "label": name,
                "notebook": name,
                "run_id": f"{P2 if name == 'compare' else P1}.{name}",
                "status": "kept",
            }
            for name in ("collect", "signals", "compare")
        ],
    }

    assert [group["name"] for group in overview(runs, "", [line])["notebooks"]] == [
        "collect",
        "signals",
        "compare",
    ]


def test_pages_of_a_pipeline_link_to_the_pages_of_runs_that_were_kept(settings: Settings) -> None:
    folder = leave(settings, P2)
    steps(settings, P2, first=f"{P2}.first", second=f"{P1}.second", third="")
    assert [(one["label"], one["href"]) for one in siblings(folder)] == [
        ("first", "first.html"),
        ("second", f"../{P1}/second.html"),
        ("third", ""),
    ]
