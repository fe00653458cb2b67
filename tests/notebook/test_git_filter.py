"""Notebooks in a clone: what is committed has no outputs, and what a diff shows can be read."""

import json
import re
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from overround.notebook.git_filter import as_text, install, strip
from overround.provenance import new_pipeline
from tests.support.commands import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def ran(notebook: dict) -> dict:
    """The notebook as JupyterLab leaves it."""
    cells = []
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "code":
            output = {"output_type": "stream", "name": "stdout", "text": ["42\n"]}
            cell = cell | {"execution_count": number, "outputs": [output]}
            cell["metadata"] = cell["metadata"] | {
                "execution": {"iopub.status.busy": "2026-01-01T00:00:00Z"},
                "collapsed": False,
            }
        cells.append(cell)
    info = {"name": "python", "version": "3.14.1", "codemirror_mode": {"name": "ipython", "version": 3}}
    spec = {"display_name": "My kernel", "language": "python", "name": "mine"}
    return {
        **notebook,
        "cells": cells,
        "metadata": {**notebook["metadata"], "language_info": info, "kernelspec": spec, "widgets": {"a": 1}},
    }


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=T", "-c", "user.email=t@example.invalid", "-c", "core.hooksPath=/dev/null"]
    return subprocess.run(
        ["git", *own, *words], cwd=folder, capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def clone(tmp_path) -> Path:
    """A clone with one of our notebooks, set up as `make` does it, in which the notebook has been run."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitattributes").write_text((ROOT / ".gitattributes").read_text())
    (tmp_path / "backtest.ipynb").write_text((ROOT / "notebooks" / "backtest.ipynb").read_text())
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    assert "without outputs" in install(tmp_path)
    notebook = json.loads((tmp_path / "backtest.ipynb").read_text())
    (tmp_path / "backtest.ipynb").write_text(json.dumps(ran(notebook), indent=1))
    return tmp_path


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_our_notebooks_are_as_the_filter_writes_them_and_running_them_changes_nothing(path):
    text = path.read_text()

    assert strip(text) == text
    assert strip(json.dumps(ran(json.loads(text)))) == text


def test_a_notebook_that_was_run_is_no_change_for_git(clone, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))

    git(clone, "add", ".")

    assert git(clone, "status", "--porcelain") == ""
    assert '"42\\n"' in (clone / "backtest.ipynb").read_text()  # who ran it keeps what it showed


def test_a_diff_of_a_notebook_is_its_changed_line(clone, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))
    notebook = json.loads((clone / "backtest.ipynb").read_text())
    cell = next(cell for cell in notebook["cells"] if "parameters" in cell["metadata"].get("tags", []))
    cell["source"] = [line.replace("0.02", "0.03") for line in cell["source"]]
    (clone / "backtest.ipynb").write_text(json.dumps(notebook, indent=1))

    lines = [
        line
        for line in git(clone, "diff").splitlines()
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]

    assert [line[0] for line in lines] == ["-", "+"]
    assert all(line[1:].startswith("min_edge: float = 0.0") for line in lines)


def test_installing_twice_is_installing_once(clone):
    before = (clone / ".git" / "config").read_text()

    install(clone)

    assert (clone / ".git" / "config").read_text() == before


def test_an_interpreter_in_a_folder_with_a_space_and_an_apostrophe_is_found_by_git(
    clone, monkeypatch, tmp_path_factory
):
    python = tmp_path_factory.mktemp("reader's own") / "my python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "lib"))

    install(clone)
    git(clone, "add", ".")

    assert git(clone, "status", "--porcelain") == ""


def test_outside_a_clone_nothing_is_done_and_nothing_fails(clone, tmp_path_factory):
    alone, inside = tmp_path_factory.mktemp("alone"), clone / "copied here"
    inside.mkdir()
    before = (clone / ".git" / "config").read_text()

    done = subprocess.run(
        [sys.executable, "-m", "overround.notebook.git_filter", "install"],
        cwd=alone,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0
    assert "not filtered" in done.stdout
    assert "not filtered" in install(inside)
    assert (clone / ".git" / "config").read_text() == before


@pytest.mark.parametrize(
    "text",
    ["", "<<<<<<< ours\n{}\n=======\n", "[1, 2]", '{"nbformat": 3, "worksheets": []}', "\udcff not utf-8"],
)
def test_what_is_no_notebook_is_left_as_it_is(text):
    assert strip(text) == text
    assert as_text(text) == text


def test_the_text_of_a_notebook_has_every_line_of_it_and_no_output():
    notebook = json.loads((ROOT / "notebooks" / "explore.ipynb").read_text())

    text = as_text(json.dumps(ran(notebook)))

    lines = [
        line.rstrip("\n")
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        for line in cell["source"]
    ]
    assert [line for line in lines if line not in text.splitlines()] == []
    assert "# %% tags=parameters" in text
    assert "# # Explore" in text
    assert "42" not in text.splitlines()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("since 2026-01-01 10:00:00.123+00:00", "since 2026-01-02T11:00:01Z"),
        ("took 12.3 ms, then 4 s", "took 9 ms, then 5.5 s"),
        (f"run {new_pipeline()}.explore", f"run {new_pipeline()}.explore"),
        (
            '{"model_id": "0123456789abcdef0123456789abcdef"}',
            '{"model_id": "fedcba9876543210fedcba9876543210"}',
        ),
        ("<Store object at 0x7f0123456789>", "<Store object at 0x7f9876543210>"),
    ],
    ids=["times", "spans", "runs", "models", "addresses"],  # two processes collect the same tests
)
def test_times_and_ids_are_no_difference_when_a_notebook_is_compared(first, second):
    assert first != second
    assert sanitized(first) == sanitized(second)


def test_a_number_is_a_difference_when_a_notebook_is_compared():
    for one, other in (
        ("yield 1.2 %", "yield 1.3 %"),
        ("568 bets", "569 bets"),
        ("2024-03-08 to", "2024-03-09 to"),
        ("0.05", "0.06"),
    ):
        assert sanitized(one) != sanitized(other)


def sanitized(text: str) -> str:
    """A text as nbval compares it."""
    config = RawConfigParser()
    config.read_string((ROOT / "tests" / "nbval.cfg").read_text(), "nbval.cfg")
    for section in config.sections():
        text = re.sub(config.get(section, "regex"), config.get(section, "replace"), text)
    return text


def test_the_filter_loads_little():
    code = (
        "import sys, overround.notebook.git_filter; print('pandas' in sys.modules or 'numpy' in sys.modules)"
    )

    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )
