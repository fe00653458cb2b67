"""Run notebooks by papermill, side by side where they can be, and say truly how each one ended.

Whatever happens, the executed part of a notebook, a page of it and a small JSON record of the run are left
behind. A step that an earlier run has answered already is not run again.
"""

import json
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overround.errors import ParameterError, RunError
from overround.measure.procfs import cores
from overround.provenance import git_revision, library_digest, new_pipeline, versions
from overround.reports.page import render_index, render_run, renew_navigation
from overround.reports.records import FAILED, NOT_RUN, OK, RUN_MIME, write_atomically, write_steps
from overround.runs import cache as kept
from overround.runs.execute import Stop, execute, warmed
from overround.runs.failure import Failure, failure, first_heading, found_in
from overround.runs.parameters import check_parameters, notebook_path, read_parameters
from overround.runs.scheduler import Task, Work, side_by_side
from overround.runs.steps import Outcome, Step, from_record, not_run
from overround.settings import Settings

if TYPE_CHECKING:
    from overround.runs.dask_cluster import Cluster
    from overround.runs.fork_server import Warm

__all__ = [
    "OK",
    "RUN_MIME",
    "Failure",
    "Outcome",
    "Step",
    "git_revision",
    "new_pipeline",
    "run_notebook",
    "run_pipeline",
    "versions",
]

# a made-up key of a test may be a word of its own
_SHORTEST_KEY = 8
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,=+-]*")
_PAGE = " page"  # of a step: what draws it is a piece of work of its own
Progress = Callable[[Step, Outcome | None], None]


def run_pipeline(
    steps: Sequence[Step],
    *,
    settings: Settings,
    pipeline: str = "",
    show_code: bool = False,
    timeout_s: int = 600,
    jobs: int = 0,
    force: bool = False,
    cluster: "Cluster | None" = None,
    progress: Progress = lambda step, outcome: None,
) -> list[Outcome]:
    """Run notebooks, each when those before it that it needs have ended well.

    Parameters
    ----------
    steps : sequence of Step
        All are checked before the first kernel starts.
    settings : Settings
        Where the notebooks are and where the reports go.
    pipeline : str
        Name of the pipeline's folder, by default a new one.
    show_code : bool
        Whether the pages offer the cells' code.
    timeout_s : int
        The longest that one cell may take.
    jobs : int
        So many steps at a time, but never more than there are cores; by default as many.
    force : bool
        Whether steps that an earlier run has answered already are run again.
    cluster : overround.runs.dask_cluster.Cluster, optional
        Where notebooks are executed, as many at a time as it has threads; by default here.
    progress : callable
        Called with (step, None) before and (step, outcome) after each one, from this thread; for a step that
        is not run because of another's failure once, with an outcome of the status "not run".

    Returns
    -------
    list of Outcome
        One for each step that was run or kept, in the order of steps.

    Raises
    ------
    ParameterError
        Before anything runs, for a notebook, label or parameter that cannot be.
    RunError
        Where a kernel could not be started; after all else has ended.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import mkdtemp
    >>> from nbformat import v4, write
    >>> import overround as ov
    >>> cells = [
    ...     v4.new_markdown_cell("# A demonstration"),
    ...     v4.new_code_cell('run_id: str = ""; store_version: str = ""', metadata={"tags": ["parameters"]}),
    ...     v4.new_code_cell("import overround as ov"),
    ...     v4.new_code_cell('ov.Run("demo", globals()).finish("No edge.", {"bets": 3})'),
    ... ]
    >>> home = Path(mkdtemp())
    >>> (home / "notebooks").mkdir()
    >>> write(v4.new_notebook(cells=cells), home / "notebooks" / "demo.ipynb")
    >>> settings = ov.settings.Settings(home=home, reports=home / "reports", store=str(home / "store"))
    >>> [outcome] = ov.runs.run_pipeline([ov.runs.Step("demo", "demo")], settings=settings)
    >>> outcome.verdict, outcome.metrics
    ('No edge.', {'bets': 3.0})
    """
    pipeline = pipeline or new_pipeline()
    labels = [step.label for step in steps]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ParameterError(
            f"label {twice!r} is given to two steps; their reports would overwrite each other."
        )
    for at, step in enumerate(steps):
        _checked(step, f"{pipeline}.{step.label}", settings)
        unknown = next((label for label in step.after or () if label not in labels[:at]), None)
        if unknown is not None:
            raise ParameterError(f"step {step.label!r} waits for {unknown!r}, which is no step before it.")
    most = cluster.threads if cluster else cores()
    with ExitStack() as stack:
        line = _Line(pipeline, steps, settings, show_code, timeout_s, force, cluster, progress, stack)
        try:
            for name, future in side_by_side(
                line.tasks(), line.begin, jobs=min(jobs or most, most), stop=line.stop.ask
            ):
                line.end(name, future.exception())
        finally:
            line.leave()
    if line.errors:
        raise line.errors[0]
    return [line.outcomes[label] for label in labels if label in line.outcomes]


class _Line:
    """A pipeline while it runs: what its steps found so far. Only `_run` and the drawing of pages are called from other threads."""

    def __init__(
        self,
        name: str,
        steps: Sequence[Step],
        settings: Settings,
        show_code: bool,
        timeout_s: int,
        force: bool,
        cluster: "Cluster | None",
        progress: Progress,
        stack: ExitStack,
    ):
        self.name, self.settings, self.show_code, self.timeout_s, self.force = (
            name,
            settings,
            show_code,
            timeout_s,
            force,
        )
        self.progress, self.stack, self.stop = progress, stack, Stop()
        self.execute = cluster.execute if cluster else execute
        # a single kernel starts as quickly by itself, and one on a cluster has no such process near it
        self.may_fork = len(steps) > 1 and cluster is None
        self.started_at = datetime.now(UTC)
        self.steps = {step.label: step for step in steps}
        before: list[str] = []
        self.after: dict[str, tuple[str, ...]] = {}
        for step in steps:
            self.after[step.label] = tuple(before) if step.after is None else step.after
            before.append(step.label)
        self.outcomes: dict[str, Outcome] = {}
        self.errors: list[BaseException] = []
        self.program = (library_digest(), kept.packages())
        self.revision = git_revision(settings.home)
        self.warm: Warm | None = None

    def tasks(self) -> list[Task]:
        """The steps in their order and then their pages, which a step that measures waits for."""
        steps = [
            Task(
                label,
                (*after, *(one + _PAGE for one in after)) if self.steps[label].alone else after,
                self.steps[label].alone,
            )
            for label, after in self.after.items()
        ]
        return [*steps, *(Task(label + _PAGE, (label,)) for label in self.steps)]

    def begin(self, name: str) -> Work | None:
        """What there is to do for a step or its page."""
        label = name.removesuffix(_PAGE)
        if name != label:
            outcome = self.outcomes.get(label)
            return None if outcome is None or outcome.kept else partial(self._draw, outcome)
        step, after = self.steps[label], self.after[label]
        well = [one for one in after if one in self.outcomes and self.outcomes[one].ok]
        if len(well) < (len(after) if step.least is None else step.least):
            self.progress(step, not_run(step, [one for one in after if one not in well]))
            return None
        runs = [self.outcomes[one].run_id for one in well] if step.from_runs else []
        if step.from_runs:
            step = self.steps[label] = replace(step, parameters={**step.parameters, **step.from_runs(runs)})
        self.progress(step, None)
        source, given, parameters = _checked(step, f"{self.name}.{label}", self.settings)
        key = kept.key_of(
            source, parameters, runs, self.settings, show_code=self.show_code, program=self.program
        )
        earlier = (
            None if self.force else kept.earlier(step.notebook, label, key, parameters, runs, self.settings)
        )
        if earlier is not None:
            self.outcomes[label] = from_record(earlier, self.settings)
            self.end(label)
            return None
        if self.may_fork and self.warm is None:
            self.warm = self.stack.enter_context(warmed(self.settings))
        return partial(self._run, step, source, given, parameters, key)

    def end(self, name: str, error: BaseException | None = None) -> None:
        """Note the end of a step or a page."""
        if error is not None:
            self.errors.append(error)
        if name in self.outcomes:
            self.progress(self.steps[name], self.outcomes[name])
            self._note()

    def leave(self) -> None:
        """Draw what an interrupt left undrawn, let the pages know each other, and write the index."""
        made = [outcome for outcome in self.outcomes.values() if not outcome.kept]
        for outcome in made:
            if not outcome.html.is_file():
                self._draw(outcome)
        self._note()
        # a page links to the pages of its pipeline: the earlier ones did not know the later ones yet
        for outcome in made:
            renew_navigation(outcome.html, _record_of(outcome))
        render_index(self.settings.reports_folder)

    def _run(
        self, step: Step, source: Path, given: dict[str, Any], parameters: dict[str, Any], key: str
    ) -> None:
        outcome, error = _made(
            step,
            source,
            given,
            parameters,
            settings=self.settings,
            timeout_s=self.timeout_s,
            warm=self.warm,
            stop=self.stop,
            key=key,
            revision=self.revision,
            program=self.program[0],
            how=self.execute,
        )
        self.outcomes[step.label] = outcome
        if error is not None:
            raise error

    def _draw(self, outcome: Outcome) -> None:
        render_run(outcome.ipynb, outcome.html, _record_of(outcome), show_code=self.show_code)

    def _note(self) -> None:
        states = {
            label: "kept" if outcome.kept else outcome.status for label, outcome in self.outcomes.items()
        }
        rows = [
            {
                "label": label,
                "notebook": step.notebook,
                "status": states.get(label, NOT_RUN),
                "run_id": self.outcomes[label].run_id if label in states else "",
            }
            for label, step in self.steps.items()
        ]
        write_steps(self.settings.reports_folder, self.name, self.started_at, rows)


def run_notebook(
    step: Step,
    *,
    run_id: str,
    settings: Settings,
    show_code: bool = False,
    timeout_s: int = 600,
    warm: "Warm | None" = None,
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
        Its status is `failed` after a cell's error, a timeout, a dead kernel, an early exit, or without a
        record at the end.

    Raises
    ------
    ParameterError
        Before a kernel starts.
    RunError
        Where the kernel could not be started at all; the record says so, too. KeyboardInterrupt is passed on
        likewise.
    """
    outcome, error = _made(
        step, *_checked(step, run_id, settings), settings=settings, timeout_s=timeout_s, warm=warm
    )
    render_run(outcome.ipynb, outcome.html, _record_of(outcome), show_code=show_code)
    if error is not None:
        raise error
    return outcome


def _made(
    step: Step,
    source: Path,
    given: dict[str, Any],
    parameters: dict[str, Any],
    *,
    settings: Settings,
    timeout_s: int,
    warm: "Warm | None" = None,
    stop: Stop | None = None,
    key: str = "",
    revision: str | None = None,
    program: str = "",
    how: Callable[..., tuple[Any, BaseException | None, str]] | None = None,
) -> tuple[Outcome, BaseException | None]:
    """Run a notebook and leave it and its record, not its page, behind; and what else than a failing cell stopped it."""
    run_id = str(given["run_id"])
    folder = settings.reports_folder / "runs" / run_id.partition(".")[0]
    folder.mkdir(parents=True, exist_ok=True)
    revision = git_revision(settings.home) if revision is None else revision
    started = datetime.now(UTC)

    notebook, error, said = (how or execute)(source, given, settings, timeout_s, warm, stop, revision)

    ended = datetime.now(UTC)
    why = failure(notebook, error, said, timeout_s)
    found = {} if why else found_in(notebook)
    defaults = {name: parameter.default for name, parameter in read_parameters(source).items()}
    outcome = Outcome(
        run_id=run_id,
        notebook=source.stem,
        label=step.label,
        title=first_heading(notebook) or source.stem,
        status=FAILED if why else OK,
        parameters=parameters,
        changed={
            name: value for name, value in parameters.items() if value != defaults[name] and name != "run_id"
        },
        started_at=started.isoformat(timespec="seconds"),
        ended_at=ended.isoformat(timespec="seconds"),
        seconds=round((ended - started).total_seconds(), 3),
        git_revision=revision,
        versions=versions(),
        verdict=found.get("verdict", ""),
        metrics=found.get("metrics", {}),
        source=found.get("source") or str(parameters.get("source", "")),
        store_version=found.get("store_version", ""),
        bankroll=found.get("bankroll", []),
        cost=found.get("cost", {}),
        failure=why,
        # a library that was edited meanwhile is neither the one nor the other
        key=key if key and library_digest() == program else "",
        data=kept.data_of(settings, found["store_version"]) if key and found.get("store_version") else "",
        ipynb=folder / f"{step.label}.ipynb",
        html=folder / f"{step.label}.html",
    )
    _leave_behind(outcome, notebook, settings)
    if error is None or isinstance(error, KeyboardInterrupt | SystemExit) or why is None or why.cell:
        return outcome, error if isinstance(error, KeyboardInterrupt | SystemExit) else None
    refused = RunError(f"notebook {source.stem!r} could not be run: {why.message}")
    refused.__cause__ = error
    return outcome, refused


def _checked(step: Step, run_id: str, settings: Settings) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """Where the notebook is, what papermill will pass, and all that the notebook will see."""
    for part in (step.label, run_id.partition(".")[0]):
        if not _LABEL.fullmatch(part):
            raise ParameterError(f"label {part!r} names files; it takes letters, digits and - _ . , = +")
    source = notebook_path(step.notebook, settings.home)
    declared = read_parameters(source)
    if "run_id" not in declared:
        raise ParameterError(
            f'notebook {source.stem!r} cannot be used: its parameters lack run_id: str = "".'
        )
    given = check_parameters(source, {**step.parameters, "run_id": run_id})
    kernel = json.loads(source.read_text(encoding="utf-8")).get("metadata", {}).get("kernelspec", {})
    if kernel.get("language", "python") != "python":
        raise ParameterError(
            f"notebook {source.stem!r} cannot be used: it is written for {kernel['language']}, not for Python."
        )
    return source, given, {name: given.get(name, parameter.default) for name, parameter in declared.items()}


def _leave_behind(outcome: Outcome, notebook: Any, settings: Settings) -> None:
    import nbformat

    notebook.cells = [
        cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])
    ]
    # the absolute paths of this machine; and papermill's own opinion of how the run ended
    metadata = {
        key: notebook.metadata.get("papermill", {}).get(key)
        for key in ("parameters", "start_time", "end_time", "duration", "version")
    }
    notebook.metadata["papermill"] = metadata | {"exception": not outcome.ok}
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    write_atomically(outcome.ipynb, _without_secrets(nbformat.writes(notebook), settings) + "\n")
    facts = {name: value for name, value in asdict(outcome).items() if name not in ("ipynb", "html", "kept")}
    write_atomically(
        _record_of(outcome),
        _without_secrets(json.dumps(facts, indent=1, ensure_ascii=False, default=str), settings) + "\n",
    )


def _record_of(outcome: Outcome) -> Path:
    return outcome.html.with_name(f"{outcome.label}.json")


def _without_secrets(text: str, settings: Settings) -> str:
    # the last line of defence: a key is removed where it arises
    key = settings.odds_api_key.get_secret_value()
    return text.replace(key, "[secret]") if len(key) >= _SHORTEST_KEY else text
