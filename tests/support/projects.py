"""Projects with notebooks of their own."""

import os
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

from overround.provenance import git_revision
from overround.reports.page import render_run
from overround.runs.execute import Stop, execute
from overround.runs.fork_server import ForkServer
from overround.runs.single import execute_job, prepare
from overround.runs.steps import Outcome, Step
from overround.settings import Settings

PARAMETERS = """\
run_id: str = ""
source: str = "sample"    # one of: sample, football-data
min_edge: float = 0.02    # 0 to 1
note: str = ""
"""


RECORD = """\
display({"application/vnd.overround.run+json": {"verdict": "No edge" + note, "metrics": {"bets": 3}, "source": source}}, raw=True)"""


def project(home: Path, **notebooks: list[str]) -> Settings:
    """A project with these notebooks; a cell that starts with `# ` or `## ` is text, PARAMETERS gets its
    tag.
    """
    from nbformat import v4, write

    (home / "notebooks").mkdir(parents=True, exist_ok=True)
    for name, sources in notebooks.items():
        cells = [
            v4.new_markdown_cell(source)
            if re.match("##? ", source)
            else v4.new_code_cell(
                source, metadata={"tags": ["parameters"]} if source.startswith("run_id") else {}
            )
            for source in sources
        ]
        made = v4.new_notebook(
            cells=cells,
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        write(made, home / "notebooks" / f"{name}.ipynb")
    return Settings(home=home, reports=home / "reports", store=str(home / "store"))


def run_notebook(
    step: Step,
    *,
    run_id: str,
    settings: Settings,
    timeout_s: int = 600,
    fork_server: ForkServer | None = None,
) -> Outcome:
    """One step by itself, in this thread, and its page."""
    job, revision = prepare(step, run_id, settings), git_revision(settings.home)
    how = partial(execute, fork_server=fork_server)
    outcome, error = execute_job(
        job, settings, timeout_s, Stop(), key="", revision=revision, library="", how=how
    )
    render_run(outcome.ipynb, outcome.html, outcome.record, show_code=False)
    if error is not None:
        raise error
    return outcome


FAILURES = {
    "an error": (["1 / 0", RECORD], 3, "ZeroDivisionError", "division by zero"),
    "a timeout": (["import time; time.sleep(60)", RECORD], 3, "CellTimeoutError", "longer than 3 s"),
    "a dead kernel": (["import os; os._exit(1)", RECORD], 3, "DeadKernelError", "kernel died"),
    "a crash in compiled code": (
        ["import ctypes; ctypes.string_at(0)", RECORD],
        3,
        "DeadKernelError",
        "kernel died",
    ),
    "sys.exit(0)": (
        ["import sys; sys.exit(0)", RECORD],
        3,
        "SystemExit",
        "ended the notebook before its last cell",
    ),
    "exit()": (["exit()", "import time; time.sleep(2)", RECORD], None, "", ""),
    "no record": (["print('done')"], 3, "NoRecord", "did not record"),
    "a record without a verdict": ([RECORD.replace("verdict", "verdikt")], 3, "NoRecord", "did not record"),
    "a record that is not the last cell": ([RECORD, "print('more')"], 4, "NoRecord", "did not record"),
    "a syntax error": (["x = (", RECORD], 3, "SyntaxError", "incomplete input"),
}


def _until(true: Any, timeout_s: float = 30) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
