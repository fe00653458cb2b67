"""Kernels forked from a warm process end, fail, say and clean up as any others do, and do without it where it
is gone.
"""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from overround.runs import execute
from overround.runs.execute import open_fork_server
from overround.runs.fork_server import ForkServer, is_possible
from overround.runs.runner import Outcome, Step
from tests.support.projects import FAILURES, PARAMETERS, RECORD, _alive, _until, project, run_notebook

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_possible(), reason="kernels are forked on Linux only"),
]

PARENT = "import os, pathlib; pathlib.Path(note).write_text(f'{os.getppid()} {os.getpid()}')"


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    with open_fork_server(project(tmp_path_factory.mktemp("home"))) as process:
        assert process is not None
        yield process


def run(warm: ForkServer, home: Path, *cells: str, timeout_s: int = 60) -> Outcome:
    settings = project(home, trial=["# A trial", PARAMETERS, *cells])
    step = Step("trial", "first", {"note": str(home / "pids")})
    return run_notebook(step, run_id="p1.first", settings=settings, timeout_s=timeout_s, fork_server=warm)


def pids(home: Path) -> list[int]:
    return [int(word) for word in (home / "pids").read_text().split()]


def test_a_kernel_is_a_fork_with_the_settings_and_modules_of_its_own_run(
    warm: ForkServer, tmp_path: Path
) -> None:
    outcome = run(
        warm,
        tmp_path,
        PARENT,
        "import sys; assert 'pandas' in sys.modules and 'papermill' not in sys.modules",
        "from overround.settings import load_settings\n"
        f"assert str(load_settings().reports_folder) == {str(tmp_path / 'reports')!r}",
        RECORD,
    )

    assert outcome.ok, outcome.failure
    parent, kernel = pids(tmp_path)
    assert parent == warm._process.pid
    _until(lambda: not _alive(kernel))


@pytest.mark.parametrize(
    "kind", ["an error", "a timeout", "a dead kernel", "a crash in compiled code", "sys.exit(0)"]
)
def test_a_forked_kernel_fails_as_any_other(warm: ForkServer, tmp_path: Path, kind: str) -> None:
    cells, cell, name, message = FAILURES[kind]

    outcome = run(warm, tmp_path, *cells, timeout_s=3)

    assert outcome.failure is not None
    assert (outcome.failure.cell, outcome.failure.name) == (cell, name)
    assert message in outcome.failure.message


def test_what_a_notebook_changes_in_its_process_is_not_there_in_the_next(
    warm: ForkServer, tmp_path: Path
) -> None:
    spoils = "import os, random, pandas; pandas.DataFrame = None; os.environ['SPOILT'] = '1'; os.chdir('/')"
    asks = (
        "import os, pandas\nassert pandas.DataFrame is not None\n"
        "assert 'SPOILT' not in os.environ and os.getcwd() != '/'"
    )

    assert run(warm, tmp_path / "a", spoils, RECORD).ok
    assert run(warm, tmp_path / "b", asks, RECORD).ok


def test_kernels_of_one_warm_process_draw_different_random_numbers(warm: ForkServer, tmp_path: Path) -> None:
    draws = (
        "import pathlib, random, numpy\n"
        "pathlib.Path(note).write_text(f'{random.random()} {numpy.random.random()}')"
    )

    assert run(warm, tmp_path / "a", draws, RECORD).ok
    assert run(warm, tmp_path / "b", draws, RECORD).ok

    first, second = ((tmp_path / name / "pids").read_text().split() for name in "ab")
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_what_a_notebook_leaves_for_the_end_is_done_and_its_kernel_ends_by_itself(
    warm: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels: list[Any] = []
    monkeypatch.setattr(execute.Stop, "watch", lambda self, kernel: kernels.append(kernel))
    at_exit = (
        "import atexit, pathlib, threading, time\n"
        "atexit.register(lambda: pathlib.Path(note + '.exit').touch())"
    )
    thread = (
        "threading.Thread(target=lambda: (time.sleep(0.5), pathlib.Path(note + '.thread').touch())).start()"
    )

    assert run(warm, tmp_path, at_exit, thread, RECORD).ok

    assert (tmp_path / "pids.exit").exists()
    assert (tmp_path / "pids.thread").exists()
    assert [kernel.poll() for kernel in kernels] == [0]


def test_without_the_warm_process_a_kernel_starts_by_itself(tmp_path: Path) -> None:
    with open_fork_server(project(tmp_path)) as process:
        assert process is not None
        os.kill(process._process.pid, signal.SIGKILL)
        process._process.wait()

        outcome = run(process, tmp_path, PARENT, RECORD)

    assert outcome.ok, outcome.failure
    assert pids(tmp_path)[0] == os.getpid()


def test_kernels_end_with_the_process_that_runs_the_notebooks(tmp_path: Path) -> None:
    import subprocess

    waits = f"{PARENT}; import time; time.sleep(120)"
    project(tmp_path, trial=[PARAMETERS, waits, RECORD])
    script = f"""
from pathlib import Path
from overround.runs.runner import Step, run_pipeline
from overround.settings import Settings
home = Path({str(tmp_path)!r})
steps = [Step("trial", name, {{"note": str(home / "pids")}}) for name in ("first", "second")]
run_pipeline(steps, settings=Settings(home=home, reports=home / "reports"), pipeline="p1")
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    _until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text() != "")

    process.kill()
    process.wait()

    _until(lambda: not any(_alive(pid) for pid in pids(tmp_path)))


def test_orders_are_answered_for_kernels_that_were_never_there(warm: ForkServer) -> None:
    assert warm.ended(2**22 + 1) == -signal.SIGKILL


def test_the_private_functions_by_which_a_fork_ends_are_there() -> None:
    # of CPython: an exit calls both, and then takes down every module, which takes seconds
    assert callable(threading._shutdown)  # type: ignore[attr-defined]
    assert callable(atexit._run_exitfuncs)
