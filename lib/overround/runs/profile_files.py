"""Profiles of runs, in files beside their pages."""

from collections import Counter
from pathlib import Path

from overround.measure.sampler import SUFFIX, read
from overround.settings import Settings


def of_run(run_id: str, settings: Settings) -> Path:
    """The file of a run's stacks: beside its page."""
    pipeline, _, label = run_id.partition(".")
    return settings.reports_folder / "runs" / pipeline / f"{label}{SUFFIX}"


def of_stage(stage: str, pipeline: str, settings: Settings) -> Counter:
    """Stacks of a stage, `<label>: <stage>` as in `history.stage_costs`; empty where none were kept."""
    label, _, name = stage.partition(": ")
    return read(of_run(f"{pipeline}.{label}", settings)).get(name, Counter())
