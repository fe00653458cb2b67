import asyncio
import json
import re
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from overround import Store
from overround.errors import ParameterError, RunError
from overround.provenance import git_revision, new_pipeline
from overround.runs import runner
from overround.runs.runner import Outcome, Step, run_pipeline
from overround.settings import Settings
from tests.support.books import result, results
from tests.support.projects import FAILURES, PARAMETERS, RECORD, _alive, _until, project, run_notebook


def run(home: Path, *cells: str, timeout_s: int = 60, **parameters: Any) -> Outcome:
    settings = project(home, trial=["# A trial", PARAMETERS, *cells])
    return run_notebook(
        Step("trial", "first", parameters), run_id="p1.first", settings=settings, timeout_s=timeout_s
    )


def record(outcome: Outcome) -> dict:
    return json.loads(outcome.html.with_suffix(".json").read_text())


@pytest.mark.slow
def test_a_good_run_leaves_notebook_page_and_record(tmp_path: Path) -> None:
    outcome = run(tmp_path, "assert (min_edge, run_id) == (0.03, 'p1.first')", RECORD, min_edge=0.03)

    assert outcome.ok
    assert (outcome.verdict, outcome.metrics, outcome.source, outcome.title) == (
        "No edge",
        {"bets": 3},
        "sample",
        "A trial",
    )
    folder = tmp_path / "reports" / "runs" / "p1"
    assert sorted(path.name for path in folder.iterdir()) == ["first.html", "first.ipynb", "first.json"]
    written = record(outcome)
    assert written["status"] == "ok"
    assert written["changed"] == {"min_edge": 0.03}
    assert written["parameters"] == {"run_id": "p1.first", "source": "sample", "min_edge": 0.03, "note": ""}
    assert written["failure"] is None
    assert written["seconds"] > 0
    assert str(tmp_path) not in outcome.ipynb.read_text()


@pytest.mark.slow
@pytest.mark.parametrize(("cells", "cell", "name", "message"), FAILURES.values(), ids=FAILURES.keys())
def test_every_kind_of_failure_is_called_one_and_leaves_everything(
    tmp_path: Path, cells: list[str], cell: int | None, name: str, message: str
) -> None:
    outcome = run(tmp_path, *cells, timeout_s=3)

    assert outcome.status == record(outcome)["status"] == "failed"
    assert outcome.failure is not None
    if cell is not None:
        assert outcome.failure.cell == cell
        assert outcome.failure.name == name
        assert message in outcome.failure.message
        assert outcome.failure.source == cells[cell - 3]
    assert "\n" not in outcome.failure.message
    kept = json.loads(outcome.ipynb.read_text())
    assert kept["cells"][1]["execution_count"] == 1
    assert kept["metadata"]["papermill"]["exception"] is True
    assert not [one for one in kept["cells"] if "papermill-error-cell-tag" in one["metadata"].get("tags", [])]
    assert f"stopped in cell {outcome.failure.cell}" in outcome.html.read_text()


@pytest.mark.slow
def test_wrong_parameters_start_no_kernel_not_even_of_the_steps_before(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    settings = project(tmp_path, trial=[PARAMETERS, f"open({str(marker)!r}, 'w')", RECORD])
    good = Step("trial", "good")

    for bad in (
        Step("trial", "bad", {"min_edge": 7}),
        Step("trial", "bad", {"min_egde": 0.1}),
        Step("absent", "bad"),
        Step("trial", "good"),
        Step("trial", "../bad"),
    ):
        with pytest.raises(ParameterError):
            run_pipeline([good, bad], settings=settings)

    assert not marker.exists()
    assert not settings.reports_folder.exists()
    assert run_pipeline([good], settings=settings)[0].ok
    assert marker.exists()


@pytest.mark.slow
def test_a_pipeline_stops_at_the_first_failure_and_indexes_what_ran(tmp_path: Path) -> None:
    settings = project(
        tmp_path, good=[PARAMETERS, RECORD], bad=[PARAMETERS, "raise ValueError('no')", RECORD]
    )
    seen: list[tuple[str, str]] = []

    outcomes = run_pipeline(
        [Step("good", "one"), Step("bad", "two"), Step("good", "three")],
        settings=settings,
        progress=lambda step, outcome: seen.append((step.label, outcome.status if outcome else "")),
    )

    assert [outcome.status for outcome in outcomes] == ["ok", "failed"]
    assert seen == [("one", ""), ("one", "ok"), ("two", ""), ("two", "failed"), ("three", "not run")]
    assert "two.html" in outcomes[0].html.read_text()
    index = (settings.reports_folder / "index.html").read_text()
    assert index.index("ValueError") < index.index("No edge")


MEETING = """\
import pathlib, time
here = pathlib.Path("here"); here.mkdir(exist_ok=True); (here / run_id.partition(".")[2]).touch()
end = time.monotonic() + 60
while len(list(here.iterdir())) < 2 and time.monotonic() < end: time.sleep(0.05)
assert len(list(here.iterdir())) == 2, "the other one is not there"
"""


@pytest.mark.slow
def test_steps_that_need_nothing_of_each_other_run_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "cores", lambda: 2)
    settings = project(tmp_path, meets=[PARAMETERS, MEETING, RECORD])

    outcomes = run_pipeline([Step("meets", "a", after=()), Step("meets", "b", after=())], settings=settings)

    assert [(outcome.label, outcome.status) for outcome in outcomes] == [("a", "ok"), ("b", "ok")]


def test_a_step_that_would_wait_for_ever_is_refused(tmp_path: Path) -> None:
    settings = project(tmp_path, good=[PARAMETERS, RECORD])
    for after in ("absent", "later", "one"):
        with pytest.raises(ParameterError, match=f"'one' waits for '{after}', which is no step before it"):
            run_pipeline([Step("good", "one", after=(after,)), Step("good", "later")], settings=settings)


def test_no_more_steps_at_a_time_than_cores_whatever_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(runner, "cores", lambda: 3)
    monkeypatch.setattr(
        runner, "side_by_side", lambda pieces, begin, *, jobs, stop: (asked.append(jobs), [])[1]
    )
    settings = project(tmp_path, good=[PARAMETERS, RECORD])

    for jobs in (0, 2, 64):
        run_pipeline([Step("good", "one")], settings=settings, jobs=jobs)

    assert asked == [3, 2, 3]


@pytest.mark.slow
def test_a_failure_stops_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    settings = project(
        tmp_path, good=[PARAMETERS, RECORD], bad=[PARAMETERS, "raise ValueError('no')", RECORD]
    )
    said: list[str] = []
    steps = [
        Step("bad", "bad", after=()),
        Step("good", "needs-bad", after=("bad",)),
        Step("good", "good", after=()),
        Step(
            "good",
            "needs-one",
            after=("bad", "good"),
            least=1,
            from_runs=lambda runs: {"note": f" of {runs[0]}"},
        ),
        Step("good", "needs-both", after=("bad", "good")),
    ]

    outcomes = run_pipeline(
        steps,
        settings=settings,
        pipeline="p1",
        progress=lambda step, outcome: said.append(f"{step.label} {outcome and outcome.status}"),
    )

    assert {outcome.label: outcome.status for outcome in outcomes} == {
        "bad": "failed",
        "good": "ok",
        "needs-one": "ok",
    }
    assert outcomes[-1].verdict == "No edge of p1.good"
    assert {"needs-bad not run", "needs-both not run"} <= set(said)
    page = outcomes[1].html.read_text()
    assert 'href="needs-one.html"' in page
    assert 'href="needs-both.html"' not in page


@pytest.mark.slow
def test_a_pipeline_with_nothing_changed_starts_no_kernel_and_one_that_is_forced_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = RECORD.replace('"source": source', '"source": source, "store_version": Store().version()')
    asks = PARAMETERS + 'store_version: str = ""\n'
    settings = project(tmp_path, trial=[asks, "from overround import Store", pinned])
    Store(settings.store_root).append("results", results(result()))
    steps = [Step("trial", "a", after=()), Step("trial", "b", {"note": "b"}, after=())]
    last = Step("trial", "of", after=("a", "b"), from_runs=lambda runs: {"note": " ".join(runs)})

    first = run_pipeline([*steps, last], settings=settings)
    changed = run_pipeline([steps[0], replace(steps[1], parameters={"note": "c"}), last], settings=settings)
    with monkeypatch.context() as patch:
        patch.setattr(runner, "open_fork_server", None)
        patch.setattr(runner, "execute", None)
        again = run_pipeline([*steps, last], settings=settings)
    forced = run_pipeline([*steps, last], settings=settings, force=True)

    assert [outcome.reused for outcome in first] == [False, False, False]
    assert [outcome.reused for outcome in changed] == [True, False, False]
    assert changed[2].verdict == f"No edge{first[0].run_id} {changed[1].run_id}"
    assert [(outcome.reused, outcome.run_id, outcome.verdict, outcome.html) for outcome in again] == [
        (True, outcome.run_id, outcome.verdict, outcome.html) for outcome in first
    ]
    assert not any(outcome.reused for outcome in forced)


@pytest.mark.slow
def test_a_page_is_drawn_once_and_knows_those_of_later_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = runner.render_run
    monkeypatch.setattr(
        runner,
        "render_run",
        lambda ipynb, html, *rest, **more: (drawn.append(html.stem), draw(ipynb, html, *rest, **more)),
    )
    settings = project(tmp_path, good=["# A trial", PARAMETERS, RECORD])

    outcomes = run_pipeline([Step("good", "one"), Step("good", "two")], settings=settings)

    assert sorted(drawn) == ["one", "two"]
    assert 'href="two.html"' in outcomes[0].html.read_text()
    assert "No edge" in outcomes[0].html.read_text()


@pytest.mark.slow
def test_a_notebook_runs_in_this_environment_and_shows_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a user's own kernel named python3 that is somewhere else, start-up scripts of theirs, a backend for
    # files
    kernels = tmp_path / "data" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "x", "language": "python"})
    )
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "start.py").write_text("raise SystemExit('start-up script')")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "agg")

    outcome = run(
        tmp_path / "braces {in} a päth",
        f"import sys, os\nassert sys.executable == {sys.executable!r}\nassert os.path.isdir('notebooks')",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
        RECORD,
    )

    assert outcome.failure is None
    assert "data:image/png;base64" in outcome.html.read_text()


@pytest.mark.slow
def test_a_notebook_has_the_settings_of_who_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asks = "from overround.settings import load_settings\ns = load_settings()\n"
    here, reports = str(tmp_path / "here"), str(tmp_path / "reports")
    places = f"assert (s.store_root, str(s.reports_folder)) == ({here!r}, {reports!r})\n"
    values = (
        "assert (s.live_ttl, s.odds_api_key.get_secret_value()) == (7, 'k')\n"
        "assert s.football_data_url == 'http://127.0.0.1:9'"
    )
    settings = project(tmp_path, trial=[PARAMETERS, asks + places + values, RECORD])
    changes = {"store": "here", "live_ttl": 7, "odds_api_key": "k", "football_data_url": "http://127.0.0.1:9"}

    outcome = run_notebook(
        Step("trial", "first"), run_id="p1.first", settings=Settings(**{**settings.model_dump(), **changes})
    )

    assert outcome.failure is None


@pytest.mark.slow
def test_a_notebook_can_be_run_from_within_a_running_event_loop_as_in_jupyter(tmp_path: Path) -> None:
    async def cell() -> Outcome:
        return run(tmp_path, RECORD)

    # in a thread of its own: the browser of other tests keeps a loop running in this one
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(asyncio.run, cell()).result().ok


@pytest.mark.slow
def test_notebooks_can_be_run_at_the_same_time(tmp_path: Path) -> None:
    settings = project(tmp_path, trial=[PARAMETERS, "print(note)", RECORD])

    def one(label: str) -> Outcome:
        return run_notebook(Step("trial", label, {"note": label}), run_id=f"p1.{label}", settings=settings)

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(one, ("a", "b", "c")))

    assert [outcome.verdict for outcome in outcomes] == ["No edgea", "No edgeb", "No edgec"]


@pytest.mark.slow
def test_the_key_of_a_provider_is_in_no_file_of_a_run(tmp_path: Path) -> None:
    settings = project(
        tmp_path, trial=[PARAMETERS, "print('abc123secret')", "raise ValueError('with abc123secret')"]
    )
    settings = Settings(**{**settings.model_dump(), "odds_api_key": "abc123secret"})

    run_notebook(Step("trial", "first"), run_id="p1.first", settings=settings)

    texts = [path.read_text() for path in (tmp_path / "reports").rglob("*.*")]
    assert len(texts) == 3
    assert not any("abc123secret" in text for text in texts)
    assert all("[secret]" in text for text in texts)


@pytest.mark.slow
def test_a_kernel_that_cannot_start_is_an_error_and_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(RunError, match="notebook 'trial' could not be run"):
        run(tmp_path, RECORD)

    assert '"status": "failed"' in (tmp_path / "reports/runs/p1/first.json").read_text()
    assert "did not start" in (tmp_path / "reports/runs/p1/first.html").read_text()


@pytest.mark.slow
def test_plain_papermill_stops_in_the_first_cell_after_the_parameters(tmp_path: Path) -> None:
    from papermill import PapermillExecutionError, execute_notebook

    check = "from overround.runs.parameters import check_here\ncheck_here('backtest', globals())"
    settings = project(tmp_path, backtest=[PARAMETERS, check, RECORD])
    source = settings.home / "notebooks" / "backtest.ipynb"

    for given, says in (
        ({"min_edge": 7}, "takes a number from 0 to 1"),
        ({"min_egde": 0.1}, "Did you mean 'min_edge'"),
    ):
        with pytest.raises(PapermillExecutionError, match=says):
            execute_notebook(
                source, None, parameters=given, progress_bar=False, cwd=tmp_path, kernel_name="python3"
            )


@pytest.mark.slow
def test_an_interrupt_ends_the_kernels_and_leaves_the_notebooks(tmp_path: Path) -> None:
    waits = "import os, pathlib, time\npathlib.Path(run_id).write_text(str(os.getpid()))\ntime.sleep(120)"
    project(tmp_path, trial=["# A trial", PARAMETERS, waits, RECORD])
    script = textwrap.dedent(f"""
        from pathlib import Path
        from overround.runs import runner
        from overround.settings import Settings
        runner.cores = lambda: 2
        home = Path({str(tmp_path)!r})
        steps = [runner.Step("trial", label, after=()) for label in ("first", "second", "third")]
        runner.run_pipeline(steps, settings=Settings(home=home, reports=home / "reports"), pipeline="p1")
    """)
    # a shell's background job would hand down that Ctrl-C is ignored
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, preexec_fn=heard
    )
    files = [tmp_path / "p1.first", tmp_path / "p1.second"]
    _until(lambda: all(file.exists() and file.read_text() != "" for file in files))

    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    _until(lambda: not any(_alive(int(file.read_text())) for file in files))
    for label in ("first", "second"):
        written = json.loads((tmp_path / f"reports/runs/p1/{label}.json").read_text())
        assert (written["status"], written["failure"]["cell"]) == ("failed", 3)
        assert written["failure"]["message"] == "interrupted by the user"
        assert "interrupted by the user" in (tmp_path / f"reports/runs/p1/{label}.html").read_text()
    assert not (tmp_path / "reports/runs/p1/third.json").exists()
    assert "interrupted by the user" in (tmp_path / "reports/index.html").read_text()


def test_a_notebook_without_run_id_or_of_another_language_is_refused(tmp_path: Path) -> None:
    settings = project(
        tmp_path, good=[PARAMETERS, RECORD], odd=[PARAMETERS.replace("run_id: str", "run_idea: str"), RECORD]
    )
    path = tmp_path / "notebooks" / "good.ipynb"
    path.write_text(path.read_text().replace('"language": "python"', '"language": "R"'))

    with pytest.raises(ParameterError, match="lack run_id"):
        run_pipeline([Step("odd", "odd")], settings=settings)
    with pytest.raises(ParameterError, match="written for R"):
        run_pipeline([Step("good", "good")], settings=settings)


def test_a_new_pipeline_has_a_name_that_sorts_by_time() -> None:
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{3}", new_pipeline())


def test_outside_a_checkout_there_is_no_revision(tmp_path: Path) -> None:
    assert git_revision(tmp_path) == ""
    assert git_revision(tmp_path / "absent") == ""


@pytest.mark.slow
def test_importing_the_runner_costs_no_papermill() -> None:
    heavy = ("papermill", "nbconvert", "nbformat", "jinja2", "bs4")
    script = f"import overround.runs.runner, sys; print([m for m in {heavy} if m in sys.modules])"

    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "[]"
