"""What runs leave in the reports folder besides pages: a record each, and the steps of each pipeline."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from overround.reports.notebooks import declared

OK, FAILED, NOT_RUN = "ok", "failed", "not run"

# what the last cell of a notebook displays: {"verdict": ..., "metrics": {...}, "source": ...}
RUN_MIME = "application/vnd.overround.run+json"

# file of the reports folder with the run id that others are compared with
BASELINE = "baseline"

# in a pipeline's folder: its steps in JSON, also those reused from earlier ones; runs' files have suffixes
_STEPS = "steps"


def read_record(path: Path) -> dict | None:
    """A run's record; None if the file is not one."""
    run = _read(path)
    needed = {
        "run_id",
        "notebook",
        "label",
        "title",
        "status",
        "parameters",
        "changed",
        "started_at",
        "seconds",
        "source",
        "failure",
    }
    return run if isinstance(run, dict) and needed <= run.keys() else None


def read_records(reports: Path) -> tuple[list[dict], list[str]]:
    """Return the records of all runs under a reports folder, and the paths of those that cannot be read."""
    runs, unreadable = [], []
    for path in sorted((reports / "runs").glob("*/*.json")):
        run = read_record(path)
        if run is None:
            unreadable.append(path.relative_to(reports).as_posix())
        else:
            runs.append(
                {
                    **run,
                    "href": path.relative_to(reports).with_suffix("").as_posix(),
                    "pipeline": path.parent.name,
                }
            )
    return runs, unreadable


def baseline(reports: Path) -> str:
    """Run id that the others are compared with, empty if none is marked."""
    mark = reports / BASELINE
    return mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""


def write_steps(reports: Path, pipeline: str, started_at: datetime, steps: Sequence[dict[str, str]]) -> None:
    """Write the steps of a pipeline: label, notebook, status (ok, failed, kept, not run) and run_id."""
    noted = {
        "pipeline": pipeline,
        "started_at": started_at.astimezone(UTC).isoformat(timespec="seconds"),
        "steps": list(steps),
    }
    write_atomically(reports / "runs" / pipeline / _STEPS, json.dumps(noted, indent=1) + "\n")


def read_pipelines(reports: Path) -> list[dict]:
    """Pipelines with written steps, oldest first: pipeline, started_at, steps."""
    return [
        found
        for path in sorted((reports / "runs").glob(f"*/{_STEPS}"))
        if (found := _read_steps(path)) is not None
    ]


def siblings(folder: Path) -> list[dict]:
    """Steps of a pipeline's folder in order: label, status, and href from a page of that folder."""
    noted = _read_steps(folder / _STEPS)
    if noted is None:
        runs = [run for path in folder.glob("*.json") if (run := read_record(path))]
        return [
            {"label": run["label"], "status": run["status"], "href": f"{run['label']}.html"}
            for run in sorted(runs, key=lambda run: run["started_at"])
        ]
    return [
        {
            "label": step["label"],
            "status": step["status"],
            "href": _link(folder.name, step["run_id"]) if step["run_id"] else "",
        }
        for step in noted["steps"]
    ]


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        # a lone surrogate can be in any text from a file; it must not cost the report
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _link(pipeline: str, run_id: str) -> str:
    of, _, label = run_id.partition(".")
    return f"{label}.html" if of == pipeline else f"../{of}/{label}.html"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read_steps(path: Path) -> dict | None:
    found = _read(path)
    if not isinstance(found, dict) or not {"started_at", "steps"} <= found.keys():
        return None
    return {**found, "pipeline": path.parent.name}


def reads_one_version(notebook: str, parameters: Iterable[str]) -> bool:
    """Whether a notebook with these parameters reads nothing but one version of the tables."""
    return "store_version" in parameters and not declared(notebook).of_the_moment


def can_be_made_again(notebook: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a run finds the same at any time: it read one version of the tables, or only earlier runs."""
    return reads_one_version(notebook, parameters) or bool(parameters.get("runs"))
