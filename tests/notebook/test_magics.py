"""The notebooks where people open them: JupyterLab itself in a real browser, and `jupyter execute`."""

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.commands import ROOT, home

pytestmark = pytest.mark.slow
TOKEN = "a-token-of-this-test"  # noqa: S105  # of a server on loopback that lives for one test
_START_S, _RUN_S = 120, 300
EXPLORE = "notebooks/explore.ipynb"
SVG = ".jp-OutputArea .jupyter-widgets figure svg"
READY = """(cells) => document.querySelectorAll(".jp-CodeCell .jp-InputPrompt").length === cells
  && document.querySelector("#jp-main-statusbar").textContent.includes("| Idle")"""
# all cells have run, or one has failed, at which JupyterLab stops
DONE = """(cells) => [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")]
  .some(one => one.textContent === `[${cells}]:`)
  || document.querySelector('[data-mime-type="application/vnd.jupyter.stderr"]')"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory) -> dict[str, str]:
    """The environment of a home as `make lab` leaves it: a copy of the notebooks, and the simulated market in
    the store.
    """
    folder = tmp_path_factory.mktemp("lab")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    own = {name: str(folder / name) for name in ("config", "data", "runtime")}
    env = home(
        folder,
        OVERROUND_HOME=str(folder),
        JUPYTER_CONFIG_DIR=own["config"],
        JUPYTER_RUNTIME_DIR=own["runtime"],
    )
    env |= {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "HOME": str(folder),
    }
    subprocess.run(
        [sys.executable, "-m", "overround.notebook.magics"],
        env=env,
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=300,
    )
    return env


@pytest.fixture(scope="module")
def lab(opened) -> Iterator[str]:
    """The address of a running JupyterLab, started as `make lab` starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(opened["OVERROUND_HOME"])
    recipe = re.search(
        r"^lab:.*\n(?:\t.*\n)*?\t\$\(BIN\)/jupyter (lab .*)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    assert recipe, "make lab starts no JupyterLab"
    own = [
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        f"--IdentityProvider.token={TOKEN}",
        "--ServerApp.port_retries=0",
    ]
    command = [
        sys.executable,
        "-m",
        "jupyter",
        *shlex.split(recipe[1]),
        *own,
        *(["--allow-root"] if os.geteuid() == 0 else []),
    ]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=opened, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", server, folder / "lab.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for(url: str, server: subprocess.Popen, log: Path) -> None:
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not answer within {_START_S} s: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def run_in_lab(lab, browser) -> Iterator[tuple[Any, list[str]]]:
    """The page in which JupyterLab has opened explore.ipynb and run all of its cells, and what it asked other
    hosts for.
    """
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    page, outside = context.new_page(), []
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith((lab, "data:", "blob:")) else outside.append(request.url)
        ),
    )
    page.goto(
        f"{lab}/lab/tree/notebooks/explore.ipynb?token={TOKEN}",
        wait_until="domcontentloaded",
        timeout=_START_S * 1000,
    )
    page.wait_for_selector("#jp-main-statusbar", timeout=_START_S * 1000)
    page.wait_for_function(READY, arg=len(_code(ROOT / EXPLORE)), timeout=_START_S * 1000)
    page.click(".lm-MenuBar-itemLabel:text-is('Run')")
    page.click(".lm-Menu-itemLabel:text-is('Run All Cells')")
    page.wait_for_function(DONE, arg=len(_code(ROOT / EXPLORE)), timeout=_RUN_S * 1000)
    yield page, outside
    context.close()


def test_jupyterlab_runs_all_cells_of_the_start_page_without_an_error(run_in_lab, opened):
    page, outside = run_in_lab

    page.keyboard.press("Control+s")
    cells = _saved(Path(opened["OVERROUND_HOME"]) / EXPLORE)

    assert [output.evalue for cell in cells for output in cell.outputs if output.output_type == "error"] == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell.outputs for cell in cells[2:])  # all but the parameters and the imports answer something
    assert not any(output.get("name") == "stderr" for cell in cells for output in cell.outputs)
    assert outside == []


def test_a_slider_that_is_moved_in_the_browser_redraws_the_figure(run_in_lab):
    page, _ = run_in_lab
    before = page.locator(SVG).last.get_attribute("aria-label")

    page.locator(".jp-OutputArea .noUi-handle").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        f"(before) => [...document.querySelectorAll('{SVG}')].pop()?.getAttribute('aria-label') !== before",
        arg=before,
        timeout=30_000,
    )

    assert "min edge 2.0" in before
    assert "min edge 3.0" in page.locator(SVG).last.get_attribute("aria-label")


def test_a_query_cell_shows_its_table_and_key_figures_stand_side_by_side(run_in_lab):
    page, _ = run_in_lab

    tops = page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea dl.ov-key > div')]"
        ".map(e => Math.round(e.getBoundingClientRect().top))"
    )
    tables = page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea table')].map(e => e.textContent)"
    )

    assert len(tops) >= 4
    assert len(set(tops)) < len(tops)
    assert any("soccer_sim_premier" in text for text in tables)


def test_jupyter_execute_runs_the_start_page_and_running_it_again_shows_the_same(opened):
    folder = Path(opened["OVERROUND_HOME"])
    command = [sys.executable, "-m", "jupyter", "execute", EXPLORE, "--output=executed"]

    done = subprocess.run(command, env=opened, cwd=folder, capture_output=True, text=True, timeout=_RUN_S)

    assert done.returncode == 0, done.stderr[-3000:]
    found = [
        output.data
        for cell in _code(folder / "notebooks" / "executed.ipynb")
        for output in cell.outputs
        if "data" in output
    ]
    assert any("application/vnd.jupyter.widget-view+json" in data for data in found)
    assert any("application/vnd.overround.run+json" in data for data in found)
    assert _differences(folder / "notebooks" / "executed.ipynb", opened) == ""


def _differences(executed: Path, env: dict[str, str]) -> str:
    """What nbval says where a notebook shows something else when it is run again."""
    notebook = nbformat.read(executed, as_version=4)
    # the last cell records what the run took, which is another each time; what it found has been shown before
    notebook.cells[-1].metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(notebook, executed)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-sanitize-with",
        str(ROOT / "tests" / "nbval.cfg"),
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        str(executed),
    ]
    done = subprocess.run(
        command, env=env, cwd=executed.parent, capture_output=True, text=True, timeout=_RUN_S
    )
    return "" if done.returncode == 0 else done.stdout[-3000:]


def _code(path: Path) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def _saved(path: Path) -> list[Any]:
    """The cells of a notebook as soon as JupyterLab has written what it ran."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        cells = _code(path)
        if any(cell.execution_count for cell in cells):
            return cells
        time.sleep(0.2)
    raise AssertionError(f"{path} was not saved with what its cells showed")
