"""Profiles of runs, as they lie beside their pages."""

from collections import Counter
from pathlib import Path

from overround.measure.sampler import SUFFIX, read
from overround.settings import Settings


def of_run(run_id: str, settings: Settings) -> Path:
    """The file of a run's stacks: beside its page."""
    pipeline, _, label = run_id.partition(".")
    return settings.reports_folder / "runs" / pipeline / f"{label}{SUFFIX}"


def of_stage(stage: str, pipeline: str, settings: Settings) -> Counter:
    """Stacks of a stage as `history.stage_costs` names it (`<label>: <stage>`); empty where none were kept."""
    label, _, name = stage.partition(": ")
    return read(of_run(f"{pipeline}.{label}", settings)).get(name, Counter())
