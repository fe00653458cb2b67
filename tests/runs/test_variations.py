"""One notebook with many sets of parameters: which runs, called what, each with its page, compared in one;
here and on a Dask cluster.
"""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from overround.errors import ParameterError
from overround.runs.dask_cluster import connected
from overround.runs.pipeline import run_requested, steps_of
from overround.runs.runner import Step, run_pipeline
from overround.runs.variations import variations
from overround.settings import Settings
from tests.support.commands import ROOT
from tests.support.object_store import free_port
from tests.support.projects import PARAMETERS, RECORD, _until, project
from tests.support.servers import require_module
from tests.support.sweep_cluster import Cluster

HERE = Settings(home=ROOT)


def backtests(*vary: str, **given: str) -> list[Step]:
    [step] = steps_of("backtest", "sample", [], [], given, settings=HERE)
    return variations(step, vary, HERE)


def test_every_combination_is_a_run_named_by_what_varies_and_a_comparison_is_last() -> None:
    steps = backtests("min_edge=0.01..0.03/3", "staking=flat,kelly", stake="0.1")

    assert [step.label for step in steps] == [
        "min_edge=0.01,staking=flat",
        "min_edge=0.01,staking=kelly",
        "min_edge=0.02,staking=flat",
        "min_edge=0.02,staking=kelly",
        "min_edge=0.03,staking=flat",
        "min_edge=0.03,staking=kelly",
        "compare",
    ]
    assert steps[1].parameters == {
        "source": "sample",
        "leagues": [],
        "seasons": [],
        "stake": 0.1,
        "min_edge": 0.01,
        "staking": "kelly",
        "tried": 6,
    }
    assert all(step.after == () for step in steps[:-1])
    assert steps[-1].after == tuple(step.label for step in steps[:-1])


def test_how_many_were_tried_is_what_is_said_of_it() -> None:
    assert {step.parameters["tried"] for step in backtests("seed=1..3/3", tried="50")[:-1]} == {50}
    assert [step.parameters["tried"] for step in backtests("tried=1,10")[:-1]] == [1, 10]


def test_values_have_the_type_of_their_parameter_and_each_is_tried_once() -> None:
    steps = backtests(
        "seed=7,8,7",
        "bookmakers=bet365+bwin,all",
        "at_close=true,false",
        "seasons=2324,2425",
        "reference=pinnacle",
    )

    assert len(steps) == 17
    assert {repr(step.parameters["seed"]) for step in steps[:-1]} == {"7", "8"}
    assert [step.parameters["bookmakers"] for step in steps[:-1:4]][:2] == [["bet365", "bwin"], []]
    assert {step.parameters["at_close"] for step in steps[:-1]} == {True, False}
    assert [step.parameters["seasons"] for step in steps[:2]] == [["2324"], ["2425"]]
    assert steps[0].label == "seed=7,bookmakers=bet365+bwin,at_close=True,seasons=2324,reference=pinnacle"


def test_long_and_strange_values_make_names_of_files_that_differ() -> None:
    names = [f"bookmaker-{letter * 90}" for letter in "ab"] + ["a/b", "a b", "../x"]
    labels = [step.label for step in backtests("reference=" + ",".join(names))[:-1]]
    assert len(set(labels)) == 5
    assert all(len(label) < 100 and "/" not in label and " " not in label for label in labels)


WRONG = {
    "min_egde=0.1,0.2": "Did you mean 'min_edge'",
    "min_edge=0.1,7": "a number from 0 to 1",
    "min_edge=0.1..0.2": "needs a number of steps",
    "staking=flat,all-in": "'all-in'",
    "seed=1..2000/2000": "2,000 runs",
    "min_edge": "write name=values",
}


@pytest.mark.slow
@pytest.mark.parametrize(("vary", "says"), WRONG.items(), ids=WRONG.keys())
def test_what_cannot_be_varied_is_said_before_anything_runs(vary: str, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        backtests(vary)


def test_only_one_notebook_is_varied_and_only_variations_go_to_a_cluster() -> None:
    with pytest.raises(ParameterError, match="--vary is for one notebook"):
        run_requested("sample", [], [], {}, vary=["min_edge=0.1,0.2"], settings=HERE)
    with pytest.raises(ParameterError, match="--scheduler is for --vary"):
        run_requested("sample", [], [], {}, notebook="backtest", scheduler="tcp://127.0.0.1:9", settings=HERE)


COMPARE = 'run_id: str = ""\nruns: list[str] = []\nnote: str = ""\nsource: str = "sample"'
SAYS = RECORD.replace('"No edge" + note', '"Edge from " + str(min_edge)')


@pytest.mark.slow
def test_variations_run_and_are_compared_although_one_fails(tmp_path: Path) -> None:
    settings = project(
        tmp_path,
        backtest=[PARAMETERS, "assert min_edge != 0.5", SAYS],
        compare=[COMPARE, RECORD.replace("note", "' '.join(runs)")],
    )

    outcomes = run_requested(
        "sample", [], [], {}, notebook="backtest", vary=["min_edge=0.25,0.5,0.75"], settings=settings
    )

    assert [(one.label, one.status) for one in outcomes] == [
        ("min_edge=0.25", "ok"),
        ("min_edge=0.5", "failed"),
        ("min_edge=0.75", "ok"),
        ("compare", "ok"),
    ]
    assert outcomes[0].verdict == "Edge from 0.25"
    assert outcomes[-1].verdict == f"No edge{outcomes[0].run_id} {outcomes[2].run_id}"
    index = (settings.reports_folder / "index.html").read_text()
    for outcome in outcomes:
        assert outcome.html.is_file()
        assert f"{outcome.label.replace(',', '%2C').replace('=', '%3D')}.html" in index
    assert 'href="min_edge%3D0.75.html"' in outcomes[0].html.read_text()


def _listens(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    require_module("distributed")
    port = free_port()
    started = Cluster(port)
    started.start_workers(2)
    _until(lambda: _listens(port), 60)
    yield started
    started.close()


@pytest.mark.slow
def test_on_a_cluster_a_notebook_finds_the_same_with_its_own_kernel_and_without_the_key(
    tmp_path: Path, cluster: Cluster
) -> None:
    asks = "import os\nfrom overround.settings import load_settings\ns = load_settings()"
    where = (
        f"assert s.store_root == {str(tmp_path / 'store')!r}\n"
        "assert not s.odds_api_key.get_secret_value()\nprint('on', os.getppid())"
    )
    settings = project(
        tmp_path, backtest=["# A trial", PARAMETERS, asks, where, SAYS], compare=[COMPARE, RECORD]
    )
    settings = Settings(**{**settings.model_dump(), "odds_api_key": "abc123secret"})

    outcomes = run_requested(
        "sample",
        [],
        [],
        {},
        notebook="backtest",
        vary=["min_edge=0.25,0.5"],
        scheduler=cluster.address,
        settings=settings,
    )

    assert [(one.verdict, one.failure) for one in outcomes[:2]] == [
        ("Edge from 0.25", None),
        ("Edge from 0.5", None),
    ]
    workers = {worker.pid for worker in cluster.workers}
    for outcome in outcomes[:2]:
        said = outcome.ipynb.read_text().split("on ")[1]
        assert any(str(pid) in said[:12] for pid in workers)
        assert outcome.html.is_file()


@pytest.mark.slow
def test_a_notebook_that_fails_on_a_cluster_says_why_as_here(tmp_path: Path, cluster: Cluster) -> None:
    settings = project(tmp_path, trial=[PARAMETERS, "import time\nif note: time.sleep(60)\n1 / 0", RECORD])

    with connected(cluster.address) as there:
        steps = [Step("trial", "error", after=()), Step("trial", "timeout", {"note": "x"}, after=())]
        error, timeout = run_pipeline(steps, settings=settings, timeout_s=3, cluster=there)

    assert error.failure is not None
    assert timeout.failure is not None
    assert (error.failure.name, error.failure.cell) == ("ZeroDivisionError", 3)
    assert (timeout.failure.name, timeout.failure.message) == (
        "CellTimeoutError",
        "the cell took longer than 3 s",
    )


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_no_run(tmp_path: Path, cluster: Cluster) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()
    waits = (
        f"import os, pathlib, time\npathlib.Path({str(marks)!r}, str(os.getppid())).touch()\ntime.sleep(3)"
    )
    settings = project(tmp_path, trial=[PARAMETERS, waits, RECORD])

    def kill_first() -> None:
        _until(lambda: any(marks.iterdir()), 60)
        os.kill(int(next(marks.iterdir()).name), signal.SIGKILL)

    killer = Thread(target=kill_first)
    killer.start()
    with connected(cluster.address) as there:
        outcomes = run_pipeline(
            [Step("trial", label, after=()) for label in "abc"], settings=settings, cluster=there
        )
    killer.join()

    assert [outcome.status for outcome in outcomes] == ["ok", "ok", "ok"]


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path) -> None:
    require_module("distributed")
    settings = project(tmp_path, backtest=[PARAMETERS, SAYS], compare=[COMPARE, RECORD])
    with pytest.raises(ParameterError, match=r"tcp://127\.0\.0\.1:9' cannot be reached"):
        run_requested(
            "sample",
            [],
            [],
            {},
            notebook="backtest",
            vary=["min_edge=0,1"],
            scheduler="tcp://127.0.0.1:9",
            settings=settings,
        )
