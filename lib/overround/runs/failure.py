"""Whether an executed notebook failed and why, and what it recorded. Pure functions of the notebook.

papermill calls a run with a timed-out cell, a dead kernel or `sys.exit(0)` a success; here the notebook
itself decides.
"""

import re
from dataclasses import dataclass
from typing import Any

from overround.reports.records import RUN_MIME
from overround.runs.parameter_values import plain

# what a record may hold besides texts and figures
_KEPT: dict[str, Any] = {"bankroll": [], "cost": {}, "references": []}
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Failure:
    """Why a run failed; `cell` counts as `In [n]` of the kept notebook, 0 where no cell is to blame."""

    cell: int
    source: str
    name: str
    message: str
    traceback: str = ""


def _code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def failure(notebook: Any, error: BaseException | None, said: str, timeout_s: int) -> Failure | None:
    """Why a run failed: from the notebook, its error, and the last words of the kernel's process."""
    cells = _code_cells(notebook)
    reached = [
        number for number, cell in enumerate(cells, 1) if cell.metadata.get("papermill", {}).get("start_time")
    ]
    at = reached[-1] if reached else 0
    source = cells[at - 1].source if at else ""
    errors = [
        (number, output)
        for number, cell in enumerate(cells, 1)
        for output in cell.outputs
        if output.output_type == "error"
    ]
    traceback = _COLOUR.sub("", "\n".join(errors[0][1].traceback)) if errors else ""
    # comes before the cells' own errors: a kernel that is stopped reports a KeyboardInterrupt
    if error is not None:
        name = type(error).__name__
        message = _one_line(str(error))
        if name == "CellTimeoutError":
            message = f"the cell took longer than {timeout_s} s"
        elif name == "DeadKernelError":
            message = "the kernel died while the cell ran (out of memory, or a crash in compiled code)"
        elif isinstance(error, KeyboardInterrupt):
            message = "interrupted by the user"
        # the last words of a kernel that died or never came up say why; those of one that was stopped do not
        own_end = name == "DeadKernelError" or not at
        return Failure(at, source, name, message, said if own_end else traceback)
    if errors:
        at, output = errors[0]
        ends = output.ename == "SystemExit"
        message = "the cell ended the notebook before its last cell" if ends else _one_line(output.evalue)
        return Failure(at, cells[at - 1].source, output.ename, message, traceback)
    if at < len(cells):
        return Failure(at, source, "Unfinished", "the cells after this one were not executed")
    if not found_in(notebook):
        return Failure(
            at,
            source,
            "NoRecord",
            "the last cell did not record what the run found (a verdict, metrics and a source)",
        )
    return None


def found_in(notebook: Any) -> dict[str, Any]:
    """The record that the last code cell displayed; empty where there is none."""
    for output in reversed(_code_cells(notebook)[-1].outputs):
        found = output.get("data", {}).get(RUN_MIME)
        if isinstance(found, dict) and found.get("verdict") and isinstance(found.get("metrics", {}), dict):
            texts = {name: str(found.get(name) or "") for name in ("verdict", "source", "store_version")}
            kept = {name: found.get(name) or empty for name, empty in _KEPT.items()}
            return {**texts, **kept, "metrics": plain(found.get("metrics", {}))}
    return {}


def first_heading(notebook: Any) -> str:
    """The notebook's title; empty where it has none."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (
            found := re.search(r"^#{1,6}\s+(.+?)\s*#*$", cell.source, re.MULTILINE)
        ):
            return found[1]
    return ""


def _one_line(text: str) -> str:
    lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    return lines[0] if lines else "(no message)"
