"""Remove old pipelines from the reports folder, never tables or runs that a remaining page compares."""

import re
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from overround.errors import ParameterError
from overround.reports.notebooks import COMPARISON
from overround.reports.page import render_index
from overround.reports.records import BASELINE, baseline, read_pipelines, read_records

# as `overround.provenance.new_pipeline` names them: nothing else under reports/runs is ours to remove
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
        Number of the newest pipelines that stay; pages that only compare runs do not count: they stay and go
        with what they compare.
    older_than : timedelta, optional
        Pipelines younger than this stay.
    now : datetime, optional
        Moment at which the age is measured; by default the present.

    Returns
    -------
    DataFrame
        One row per pipeline, newest first: pipeline, started_at, runs, megabytes; never the newest pipeline,
        that of the baseline, or one whose runs these, or others that stay, compare or reuse.

    Raises
    ------
    ParameterError
        If neither limit is given, or keep is below 1.
    """
    if keep is None and older_than is None:
        raise ParameterError("say what stays: --keep N (the newest N pipelines), --older-than 30d, or both.")
    if keep is not None and keep < 1:
        raise ParameterError(f"--keep {keep} would remove everything; keep at least 1.")
    runs, began, noted = _pipelines(reports)
    newest = sorted(began, key=lambda name: (began[name], name), reverse=True)
    comparing = {name for name in newest if {run["notebook"] for run in runs[name]} == {COMPARISON}}
    others = [name for name in newest if name not in comparing]
    safe = {*newest[:1], *others[:1], baseline(reports).partition(".")[0]}
    limit = None if older_than is None else (now or datetime.now(UTC)) - older_than

    def old(name: str) -> bool:
        return limit is not None and began[name] < limit

    gone = {name for name in others[keep or 0 :] if limit is None or old(name)} - safe
    for name in newest:  # it refers to older ones only
        if name not in gone and (name in safe or name not in comparing):
            gone -= _referred(noted.get(name), runs[name])
    for name in comparing - safe:
        compared = _referred(None, runs[name])
        if compared & gone or (not compared and old(name)):
            gone.add(name)
    rows = [
        (name, began[name], len(runs[name]), _megabytes(reports / "runs" / name))
        for name in newest
        if name in gone
    ]
    return pd.DataFrame(rows, columns=["pipeline", "started_at", "runs", "megabytes"])


def _pipelines(reports: Path) -> tuple[dict[str, list[dict]], dict[str, datetime], dict[str, dict]]:
    """Runs, start and steps of each pipeline; one that reused all its steps has no runs."""
    noted = {one["pipeline"]: one for one in read_pipelines(reports) if _PIPELINE.fullmatch(one["pipeline"])}
    runs: dict[str, list[dict]] = {name: [] for name in noted}
    for run in read_records(reports)[0]:
        if _PIPELINE.fullmatch(run["pipeline"]):
            runs.setdefault(run["pipeline"], []).append(run)
    began = {
        name: min(datetime.fromisoformat(one["started_at"]) for one in found or [noted[name]])
        for name, found in runs.items()
    }
    return runs, began, noted


def _referred(noted: dict | None, runs: Sequence[dict]) -> set[str]:
    """Pipelines whose runs this one reused or compares."""
    ids = [step["run_id"] for step in noted["steps"]] if noted else []
    compared = [run_id for run in runs for run_id in run["parameters"].get("runs") or []]
    return {run_id.partition(".")[0] for run_id in (*ids, *compared)}


def remove(reports: Path, pipelines: Sequence[str]) -> None:
    """Remove pipelines' folders from a reports folder and write the index again.

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
            f"there is no run {run_id!r} in {reports}; run ids are in the index, "
            f"e.g. {known[-1] if known else 'none yet'}."
        )
    (reports / BASELINE).write_text(run_id + "\n", encoding="utf-8")


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
