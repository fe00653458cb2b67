"""One step: its parameters checked, its notebook executed by papermill, and a true record of how it ended."""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from overround.errors import ParameterError, RunError
from overround.provenance import library_digest, versions
from overround.reports.records import FAILED, OK, write_atomically
from overround.runs import cache
from overround.runs.execute import Stop, execute
from overround.runs.failure import failure, first_heading, found_in
from overround.runs.parameters import check_parameters, notebook_path, read_parameters
from overround.runs.steps import Outcome, Step
from overround.settings import Settings

_SHORTEST_KEY = 8  # a made-up key of a test may be a word of its own
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]*")


@dataclass(frozen=True)
class Job:
    """A step that was checked: its notebook, what papermill passes, and all that the notebook will see."""

    step: Step
    source: Path
    given: dict[str, Any]
    parameters: dict[str, Any]
    defaults: dict[str, Any]


def prepare(step: Step, run_id: str, settings: Settings) -> Job:
    """Check a step before anything runs.

    Raises
    ------
    ParameterError
        For a label, notebook or parameter that cannot be used.
    """
    for part in (step.label, run_id.partition(".")[0]):
        if not _LABEL.fullmatch(part):
            raise ParameterError(f"label {part!r} names files; it takes letters, digits and - _ . , = +")
    source = notebook_path(step.notebook, settings.home)
    declared = read_parameters(source)
    if "run_id" not in declared:
        raise ParameterError(
            f'notebook {source.stem!r} cannot be used: its parameters lack run_id: str = "".'
        )
    given = check_parameters(source, {**step.parameters, "run_id": run_id}, declared)
    kernel = json.loads(source.read_text(encoding="utf-8")).get("metadata", {}).get("kernelspec", {})
    if kernel.get("language", "python") != "python":
        raise ParameterError(
            f"notebook {source.stem!r} cannot be used: "
            f"it is written for {kernel['language']}, not for Python."
        )
    defaults = {name: parameter.default for name, parameter in declared.items()}
    return Job(step, source, given, {**defaults, **given}, defaults)


def execute_job(
    job: Job,
    settings: Settings,
    timeout_s: int,
    stop: Stop,
    *,
    key: str,
    revision: str,
    library: str,
    how: Callable[..., tuple[Any, BaseException | None, str]] = execute,
) -> tuple[Outcome, BaseException | None]:
    """Execute a notebook and leave it and its record behind, not its page.

    Returns the outcome and the error that stopped it, other than that of a failing cell.
    """
    run_id, label = str(job.given["run_id"]), job.step.label
    folder = settings.reports_folder / "runs" / run_id.partition(".")[0]
    folder.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC)

    notebook, error, words = how(job.source, job.given, settings, timeout_s, stop=stop, revision=revision)

    ended = datetime.now(UTC)
    why = failure(notebook, error, words, timeout_s)
    found = {} if why else found_in(notebook)
    found["source"] = found.get("source") or str(job.parameters.get("source", ""))
    version = found.get("store_version", "")
    outcome = Outcome(
        run_id=run_id,
        notebook=job.source.stem,
        label=label,
        title=first_heading(notebook) or job.source.stem,
        status=FAILED if why else OK,
        parameters=job.parameters,
        changed={
            name: value
            for name, value in job.parameters.items()
            if value != job.defaults[name] and name != "run_id"
        },
        started_at=started.isoformat(timespec="seconds"),
        ended_at=ended.isoformat(timespec="seconds"),
        seconds=round((ended - started).total_seconds(), 3),
        git_revision=revision,
        versions=versions(),
        failure=why,
        # a library that was edited meanwhile is neither the one nor the other
        key=key if key and library_digest() == library else "",
        data=cache.data_of(settings, version) if key and version else "",
        ipynb=folder / f"{label}.ipynb",
        html=folder / f"{label}.html",
        **found,
    )
    _save(outcome, notebook, settings)
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return outcome, error
    if error is None or why is None or why.cell:
        return outcome, None
    refused = RunError(f"notebook {job.source.stem!r} could not be run: {why.message}")
    refused.__cause__ = error
    return outcome, refused


def _save(outcome: Outcome, notebook: Any, settings: Settings) -> None:
    import nbformat

    notebook.cells = [
        cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    # without the absolute paths of this machine, and papermill's own opinion of how the run ended
    metadata = {
        key: notebook.metadata.get("papermill", {}).get(key)
        for key in ("parameters", "start_time", "end_time", "duration", "version")
    }
    notebook.metadata["papermill"] = metadata | {"exception": not outcome.ok}
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    facts = {
        name: value for name, value in asdict(outcome).items() if name not in ("ipynb", "html", "reused")
    }
    record = json.dumps(facts, indent=1, ensure_ascii=False, default=str)
    # the last line of defence: a key is removed where it arises
    secret = settings.odds_api_key.get_secret_value()
    for path, text in ((outcome.ipynb, nbformat.writes(notebook)), (outcome.record, record)):
        if len(secret) >= _SHORTEST_KEY:
            text = text.replace(secret, "[secret]")
        write_atomically(path, text + "\n")
