"""The ways to install the project are one: what pyproject.toml lists and requirements.lock pins."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import nbformat
import pytest
import yaml

from overround.runs.parameters import read_parameters
from overround.settings import Settings
from overround.sources.registry import SOURCES

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=~!; ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_lock_pins_every_dependency_of_every_extra():
    pinned = {name_of(line) for line in (ROOT / "requirements.lock").read_text().splitlines()}

    listed = {
        name_of(one)
        for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
        for one in group
    }
    assert listed <= pinned
    assert all("==" in line for line in (ROOT / "requirements.lock").read_text().splitlines())


def test_conda_installs_this_package_from_its_own_list_under_the_lock():
    wanted = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]

    assert wanted == ["python=3.11", "pip", {"pip": ["-c requirements.lock", "-e .[lab]"]}]
    assert PROJECT["requires-python"] == ">=3.11"
    assert any(one.startswith("jupyterlab") for one in PROJECT["optional-dependencies"]["lab"])


def test_what_the_users_fixed_is_installed():
    everything = " ".join(
        [
            *PROJECT["dependencies"],
            *(one for group in PROJECT["optional-dependencies"].values() for one in group),
        ]
    )

    for name in ("jupyterlab", "papermill", "pandas", "requests-cache", "matplotlib", "nbval"):
        assert name in everything


def test_every_target_of_make_explains_itself():
    text = (ROOT / "Makefile").read_text()

    phony = set(re.search(r"\.PHONY: (.*)", text)[1].split())
    explained = set(re.findall(r"^([a-z]+):.*## ", text, re.MULTILINE))
    assert {"report", "test", "check", "lab", "bench", "clean"} <= phony == explained


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_source_code(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert all(not cell.outputs and cell.execution_count is None for cell in code), "strip the outputs"
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1
    assert len(code) <= 13
    assert all(
        len(cell.source.splitlines()) <= (20 if "parameters" in cell.metadata.get("tags", []) else 12)
        for cell in code
    )
    assert not any(
        word in cell.source for cell in code for word in ("sys.path", "%autoreload", "/home", "/root")
    )
    assert notebook.cells[0].source.startswith("# ")
    assert "run.finish(" in code[-1].source


def test_every_notebook_knows_every_source_by_name_and_each_has_a_sharp_bookmaker_and_a_credit():
    taken = [read_parameters(path).get("source") for path in (ROOT / "notebooks").glob("*.ipynb")]

    assert {source.choices for source in taken if source} == {tuple(SOURCES)}
    assert all(source.sharp and source.credit for source in SOURCES.values())


def test_the_readme_lists_every_setting():
    text = (ROOT / "README.md").read_text()

    assert [name for name in Settings.model_fields if f"`OVERROUND_{name.upper()}`" not in text] == []


def test_what_this_machine_lacks_is_asked_for_in_one_way_which_fails_in_ci():
    own_way = re.compile(r"pytest\.(skip|importorskip)\(|mark\.(skip|xfail)")

    skipping = {path.name for path in (ROOT / "tests").rglob("*.py") if own_way.search(path.read_text())}
    # kernels are forked, and memory is given back to the system, on Linux only
    assert skipping == {"servers.py", "test_fork_server.py", "test_workarounds.py"}


def test_the_page_of_the_architecture_names_every_module_and_none_that_is_not_there():
    page = (ROOT / "docs" / "architecture.md").read_text()
    library = ROOT / "lib" / "overround"
    modules = {
        path.relative_to(library).with_suffix("").as_posix()
        for path in library.rglob("*.py")
        if path.stem != "__init__"
    }
    named = {
        name
        for row in re.findall(r"^\|[^|]*\|([^|]*)\|", page, re.MULTILINE)[2:]
        for name in re.findall(r"`([^`]+)`", row)
    }

    assert {module for module in modules if not any(fnmatch(module, name) for name in named)} == set()
    assert {name for name in named if not any(fnmatch(module, name) for module in modules)} == set()
    packages = {path.name for path in library.iterdir() if (path / "__init__.py").exists()}
    drawn = set(re.findall(r"[a-z]{4,}", " ".join(re.findall(r"\[\(?([a-z ·]+)<br/>", page))))
    assert len(drawn) > 8
    assert drawn <= packages


@pytest.mark.parametrize("only", ["python3.13", "python3.12", "python3", "python"])
def test_make_finds_any_python_that_is_new_enough_and_no_shim_that_does_not_run(tmp_path, only):
    for name in ("python3.11", "python3.14"):  # shims of versions that are not there
        (tmp_path / name).write_text("#!/bin/sh\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / only).symlink_to(sys.executable)
    for tool in ("sh", "make"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")

    planned = subprocess.run(
        ["make", "-nB", "report"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert f'"{only}" -m venv' in planned


def test_make_says_what_it_needs_where_there_is_no_python(tmp_path):
    for tool in ("sh", "make"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")

    refused = subprocess.run(
        ["make", "-nB", "report"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 2
    assert "Overround needs Python 3.11 or newer" in refused.stderr
