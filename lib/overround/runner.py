"""Run notebooks by papermill, one after the other, and say truly how each one ended.

papermill calls a run with a timed-out cell, a dead kernel or `sys.exit(0)` a success: here the executed notebook itself is
judged. Whatever happens, the executed part of the notebook, a page of it and a small JSON record of the run are left behind.
"""

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overround.errors import ParameterError, RunError
from overround.execute import execute, warmed
from overround.parameters import check_parameters, notebook_path, plain, read_parameters
from overround.render import RUN_MIME, render_index, render_run, write_atomically
from overround.settings import Settings

if TYPE_CHECKING:
    from overround.warm import Warm

__all__ = ["RUN_MIME", "Failure", "Outcome", "Step", "git_revision", "new_pipeline", "run_notebook", "run_pipeline", "versions"]

OK, FAILED = "ok", "failed"
# a made-up key of a test may be a word of its own
_SHORTEST_KEY = 8
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Step:
    """One notebook of a pipeline: which one, under which label, with which parameters."""

    notebook: str
    label: str
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """Why a run failed; `cell` counts as `In [n]` of the kept notebook, 0 where no cell is to blame."""

    cell: int
    source: str
    name: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a run ended; the same is in the JSON file beside the executed notebook and the page."""

    run_id: str
    notebook: str
    label: str
    title: str
    status: str
    parameters: dict[str, Any]
    # those of them that are not the notebook's defaults
    changed: dict[str, Any]
    started_at: str
    ended_at: str
    seconds: float
    git_revision: str
    versions: dict[str, str]
    verdict: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    # of the tables that the run read, so that the same rows can be read again
    store_version: str = ""
    # of a run that bets, at a few moments; and what the kernel's process used
    bankroll: list[float] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    ipynb: Path = Path()
    html: Path = Path()

    @property
    def ok(self) -> bool:
        """Whether every cell ran and the last one recorded what the run found."""
        return self.status == OK


def run_pipeline(
    steps: Sequence[Step],
    *,
    settings: Settings,
    pipeline: str = "",
    show_code: bool = False,
    timeout_s: int = 600,
    progress: Callable[[Step, Outcome | None], None] = lambda step, outcome: None,
) -> list[Outcome]:
    """Run notebooks one after the other until one fails.

    Parameters
    ----------
    steps : sequence of Step
        All are checked before the first kernel starts.
    settings : Settings
        Where the notebooks are and where the reports go.
    pipeline : str
        Name of the pipeline's folder, from `new_pipeline`, where the steps' parameters had to know it.
    show_code : bool
        Whether the pages offer the cells' code.
    timeout_s : int
        The longest that one cell may take.
    progress : callable
        Called with (step, None) before and (step, outcome) after each one.

    Returns
    -------
    list of Outcome
        One for each step that was started; only the last can have failed.

    Raises
    ------
    ParameterError
        Before anything runs, for a notebook, label or parameter that cannot be.
    """
    pipeline = pipeline or new_pipeline()
    labels = [step.label for step in steps]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ParameterError(f"label {twice!r} is given to two steps; their reports would overwrite each other.")
    for step in steps:
        _checked(step, f"{pipeline}.{step.label}", settings)

    outcomes: list[Outcome] = []
    try:
        # a single kernel starts as quickly by itself
        with warmed(settings) if len(steps) > 1 else nullcontext() as warm:
            for step in steps:
                progress(step, None)
                outcome = run_notebook(
                    step, run_id=f"{pipeline}.{step.label}", settings=settings, show_code=show_code, timeout_s=timeout_s, warm=warm
                )
                outcomes.append(outcome)
                progress(step, outcome)
                if not outcome.ok:
                    break
    finally:
        # a page links to the pages of its pipeline: the earlier ones did not know the later ones yet
        for outcome in outcomes[:-1]:
            render_run(outcome.ipynb, outcome.html, outcome.html.with_suffix(".json"), show_code=show_code)
        render_index(settings.reports_folder)
    return outcomes


def run_notebook(
    step: Step, *, run_id: str, settings: Settings, show_code: bool = False, timeout_s: int = 600, warm: "Warm | None" = None
) -> Outcome:
    """Run one notebook; leave `<label>.ipynb`, `.html` and `.json` in the pipeline's folder.

    Parameters
    ----------
    step : Step
        What to run.
    run_id : str
        `<pipeline>.<label>`; the notebook gets it as its parameter `run_id`.
    settings, show_code, timeout_s
        As in `run_pipeline`.
    warm : Warm, optional
        Where the kernel is forked from.

    Returns
    -------
    Outcome
        Its status is `failed` after a cell's error, a timeout, a dead kernel, an early exit, or without a record at the end.

    Raises
    ------
    ParameterError
        Before a kernel starts.
    RunError
        Where the kernel could not be started at all; the record says so, too. KeyboardInterrupt is passed on likewise.
    """
    source, given, parameters = _checked(step, run_id, settings)
    folder = settings.reports_folder / "runs" / run_id.partition(".")[0]
    folder.mkdir(parents=True, exist_ok=True)
    started = datetime.now(UTC)

    notebook, error, said = execute(source, given, settings, timeout_s, warm)

    ended = datetime.now(UTC)
    failure = _failure(notebook, error, said, timeout_s)
    found = {} if failure else _record(notebook)
    defaults = {name: parameter.default for name, parameter in read_parameters(source).items()}
    outcome = Outcome(
        run_id=run_id,
        notebook=source.stem,
        label=step.label,
        title=_first_heading(notebook) or source.stem,
        status=FAILED if failure else OK,
        parameters=parameters,
        changed={name: value for name, value in parameters.items() if value != defaults[name] and name != "run_id"},
        started_at=started.isoformat(timespec="seconds"),
        ended_at=ended.isoformat(timespec="seconds"),
        seconds=round((ended - started).total_seconds(), 3),
        git_revision=git_revision(settings.home),
        versions=versions(),
        verdict=found.get("verdict", ""),
        metrics=found.get("metrics", {}),
        source=found.get("source") or str(parameters.get("source", "")),
        store_version=found.get("store_version", ""),
        bankroll=found.get("bankroll", []),
        cost=found.get("cost", {}),
        failure=failure,
    )
    outcome = _leave_behind(outcome, notebook, folder / step.label, settings, show_code)
    if isinstance(error, KeyboardInterrupt | SystemExit):
        raise error
    if error is not None and failure is not None and failure.cell == 0:
        raise RunError(f"notebook {source.stem!r} could not be run: {failure.message}") from error
    return outcome


def new_pipeline() -> str:
    """Return a new name for a pipeline: when it started (UTC) and three characters against a tie."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)[:3]}"


def git_revision(home: Path) -> str:
    """Revision of the checkout, with a plus where files differ from it; empty outside a checkout."""
    try:
        say = subprocess.run(["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],  # noqa: S607  the user's git
                             cwd=home, capture_output=True, text=True, timeout=10, check=True)  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return say.stdout.strip()


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {"python": sys.version.split()[0]} | {name: version(name) for name in ("overround", "pandas", "numpy")}


def _checked(step: Step, run_id: str, settings: Settings) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Where the notebook is, what papermill will pass, and all that the notebook will see."""
    for part in (step.label, run_id.partition(".")[0]):
        if not _LABEL.fullmatch(part):
            raise ParameterError(f"label {part!r} names files; it takes letters, digits, - and _.")
    source = notebook_path(step.notebook, settings.home)
    declared = read_parameters(source)
    if "run_id" not in declared:
        raise ParameterError(f'notebook {source.stem!r} cannot be used: its parameters lack run_id: str = "".')
    given = check_parameters(source, {**step.parameters, "run_id": run_id})
    kernel = json.loads(source.read_text(encoding="utf-8")).get("metadata", {}).get("kernelspec", {})
    if kernel.get("language", "python") != "python":
        raise ParameterError(f"notebook {source.stem!r} cannot be used: it is written for {kernel['language']}, not for Python.")
    return source, given, {name: given.get(name, parameter.default) for name, parameter in declared.items()}


def _code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def _failure(notebook: Any, error: BaseException | None, said: str, timeout_s: int) -> Failure | None:
    cells = _code_cells(notebook)
    reached = [number for number, cell in enumerate(cells, 1) if cell.metadata.get("papermill", {}).get("start_time")]
    at = reached[-1] if reached else 0
    source = cells[at - 1].source if at else ""
    errors = [(number, output) for number, cell in enumerate(cells, 1) for output in cell.outputs if output.output_type == "error"]
    traceback = _COLOUR.sub("", "\n".join(errors[0][1].traceback)) if errors else ""
    # before the cells' own errors: a kernel that is stopped calls that a KeyboardInterrupt
    if error is not None:
        name = type(error).__name__
        message = _one_line(str(error))
        if name == "CellTimeoutError":
            message = f"the cell took longer than {timeout_s} s"
        elif name == "DeadKernelError":
            message = "the kernel died while the cell ran (out of memory, or a crash in compiled code)"
        elif isinstance(error, KeyboardInterrupt):
            message = "interrupted by the user"
        # the last words of a kernel that died or never came up; one that was stopped only complains about that
        own_end = name == "DeadKernelError" or not at
        return Failure(at, source, name, message, said if own_end else traceback)
    if errors:
        at, output = errors[0]
        ends = output.ename == "SystemExit"
        message = "the cell ended the notebook before its last cell" if ends else _one_line(output.evalue)
        return Failure(at, cells[at - 1].source, output.ename, message, traceback)
    if at < len(cells):
        return Failure(at, source, "Unfinished", "the cells after this one were not executed")
    if not _record(notebook):
        return Failure(at, source, "NoRecord", "the last cell did not record what the run found (a verdict, metrics and a source)")
    return None


def _record(notebook: Any) -> dict[str, Any]:
    """Return what the last code cell recorded; nothing where that is not a record."""
    for output in reversed(_code_cells(notebook)[-1].outputs):
        found = output.get("data", {}).get(RUN_MIME)
        if isinstance(found, dict) and found.get("verdict") and isinstance(found.get("metrics", {}), dict):
            texts = {name: str(found.get(name) or "") for name in ("verdict", "source", "store_version")}
            kept = {"bankroll": found.get("bankroll") or [], "cost": found.get("cost") or {}}
            return {**texts, **kept, "metrics": plain(found.get("metrics", {}))}
    return {}


def _leave_behind(outcome: Outcome, notebook: Any, stem: Path, settings: Settings, show_code: bool) -> Outcome:
    import nbformat

    ipynb, html, record = (stem.with_name(stem.name + suffix) for suffix in (".ipynb", ".html", ".json"))
    notebook.cells = [cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    # the absolute paths of this machine; and papermill's own opinion of how the run ended
    kept = {key: notebook.metadata.get("papermill", {}).get(key) for key in ("parameters", "start_time", "end_time", "duration", "version")}
    notebook.metadata["papermill"] = kept | {"exception": not outcome.ok}
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    write_atomically(ipynb, _without_secrets(nbformat.writes(notebook), settings) + "\n")
    fields = {name: value for name, value in asdict(outcome).items() if name not in ("ipynb", "html")}
    write_atomically(record, _without_secrets(json.dumps(fields, indent=1, ensure_ascii=False, default=str), settings) + "\n")
    render_run(ipynb, html, record, show_code=show_code)
    return replace(outcome, ipynb=ipynb, html=html)


def _without_secrets(text: str, settings: Settings) -> str:
    # the last line of defence: a key is removed where it arises
    key = settings.odds_api_key.get_secret_value()
    return text.replace(key, "[secret]") if len(key) >= _SHORTEST_KEY else text


def _first_heading(notebook: Any) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^#{1,6}\s+(.+?)\s*#*$", cell.source, re.MULTILINE)):
            return found[1]
    return ""


def _one_line(text: str) -> str:
    lines = [line.strip() for line in _COLOUR.sub("", text).splitlines() if line.strip()]
    return lines[0] if lines else "(no message)"
