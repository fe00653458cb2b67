"""Old pages go when someone says so: whole pipelines of the reports folder, never a table, and never what a kept page compares."""

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from overround.errors import ParameterError
from overround.reports.page import render_index
from overround.reports.records import BASELINE, read_pipelines, read_records

# as `overround.runs.runner.new_pipeline` names them: nothing else under reports/runs is ours to remove
_PIPELINE = re.compile(r"\d{8}-\d{6}-\w+")


def candidates(
    reports: Path,
    *,
    keep: int | None = None,
    older_than: timedelta | None = None,
    now: datetime | None = None,
) -> pd.DataFrame:
    """Pipelines of a reports folder that could be removed.

    Parameters
    ----------
    reports : Path
        The reports folder.
    keep : int, optional
        So many of the newest pipelines stay; pages that only compare runs do not count, they stay and go with
        what they compare.
    older_than : timedelta, optional
        What started later than this long ago stays.
    now : datetime, optional
        Of which moment the age is meant; by default the present.

    Returns
    -------
    DataFrame
        One row a pipeline, newest first: pipeline, started_at, runs, megabytes. Never among them are the
        newest pipeline and the one that holds the baseline, and those with runs that these, or any other
        pipeline that stays, compare or have for a step.

    Raises
    ------
    ParameterError
        Where neither limit is given, or keep is below 1.
    """
    if keep is None and older_than is None:
        raise ParameterError("say what stays: --keep N (the newest N pipelines), --older-than 30d, or both.")
    if keep is not None and keep < 1:
        raise ParameterError(f"--keep {keep} would remove everything; keep at least 1.")
    records, _ = read_records(reports)
    pipelines: dict[str, list[dict]] = {}
    for run in records:
        if _PIPELINE.fullmatch(run["pipeline"]):
            pipelines.setdefault(run["pipeline"], []).append(run)
    began = {
        name: min(datetime.fromisoformat(run["started_at"]) for run in runs)
        for name, runs in pipelines.items()
    }
    noted = {one["pipeline"]: one for one in read_pipelines(reports) if _PIPELINE.fullmatch(one["pipeline"])}
    for name in noted.keys() - began.keys():  # not one of its steps had to be run
        began[name], pipelines[name] = datetime.fromisoformat(noted[name]["started_at"]), []
    newest = sorted(began, key=lambda name: (began[name], name), reverse=True)
    compares = {name for name in newest if {run["notebook"] for run in pipelines[name]} == {"compare"}}
    mains = [name for name in newest if name not in compares]
    mark = reports / BASELINE
    safe = {*newest[:1], *mains[:1], mark.read_text().strip().partition(".")[0] if mark.is_file() else ""}
    limit = (now or datetime.now(UTC)) - older_than if older_than is not None else None
    gone = {
        name
        for at, name in enumerate(mains)
        if (keep is None or at >= keep) and (limit is None or began[name] < limit) and name not in safe
    }
    for name in newest:  # what one refers to is older
        if name not in gone and (name in safe or name not in compares):
            gone -= _referred(noted.get(name), pipelines[name])
    for name in compares - safe:
        compared = _referred(None, pipelines[name])
        if compared & gone or (not compared and limit is not None and began[name] < limit):
            gone.add(name)
    rows = [
        (name, began[name], len(pipelines[name]), _megabytes(reports / "runs" / name))
        for name in newest
        if name in gone
    ]
    return pd.DataFrame(rows, columns=["pipeline", "started_at", "runs", "megabytes"])


def _referred(noted: dict | None, runs: Sequence[dict]) -> set[str]:
    """Pipelines whose runs stand for a step of this one, or are compared in it."""
    ids = [step["run_id"] for step in noted["steps"]] if noted else []
    compared = [run_id for run in runs for run_id in run["parameters"].get("runs") or []]
    return {run_id.partition(".")[0] for run_id in (*ids, *compared)}


def remove(reports: Path, pipelines: Sequence[str]) -> None:
    """Remove pipelines' folders from a reports folder and write the index anew.

    Raises
    ------
    ParameterError
        For a name that no pipeline has, before anything is removed.
    """
    folders = [reports / "runs" / name for name in pipelines]
    for name, folder in zip(pipelines, folders, strict=True):
        if not _PIPELINE.fullmatch(name) or not folder.is_dir() or folder.is_symlink():
            raise ParameterError(f"{folder} is not the folder of a pipeline.")
    for folder in folders:
        shutil.rmtree(folder)
    render_index(reports)


def mark_baseline(reports: Path, run_id: str) -> None:
    """Make a run the one that the index compares others with.

    Raises
    ------
    ParameterError
        For a run that the reports folder does not have.
    """
    known = [run["run_id"] for run in read_records(reports)[0]]
    if run_id not in known:
        raise ParameterError(
            f"there is no run {run_id!r} in {reports}; run ids are in the index, e.g. {known[-1] if known else 'none yet'}."
        )
    (reports / BASELINE).write_text(run_id + "\n", encoding="utf-8")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
