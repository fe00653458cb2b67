"""Run notebooks as a pipeline, side by side where they can be.

Whatever happens, the executed part of each notebook, a page of it and a small JSON record of the run are left
behind. A step that an earlier run has answered already is not run again.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from overround.errors import ParameterError
from overround.measure.procfs import cores
from overround.provenance import git_revision, library_digest, new_pipeline
from overround.reports.page import render_index, render_run, renew_navigation
from overround.reports.records import NOT_RUN, OK, write_steps
from overround.runs import cache
from overround.runs.execute import Stop, execute, open_fork_server
from overround.runs.scheduler import Task, Work, side_by_side
from overround.runs.single import Job, execute_job, prepare
from overround.runs.steps import Outcome as Outcome
from overround.runs.steps import Step as Step
from overround.runs.steps import from_record, not_run
from overround.settings import Settings

if TYPE_CHECKING:
    from overround.runs.dask_cluster import Cluster
    from overround.runs.fork_server import ForkServer

_PAGE = " page"  # suffix of the task that draws a step's page
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

    A failed run is recorded in the table `runs`, too, as its notebook did not live to do it.

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
        Steps at a time, but never more than there are cores; by default as many.
    force : bool
        Whether to run steps again that an earlier run has answered already.
    cluster : overround.runs.dask_cluster.Cluster, optional
        Where notebooks are executed, as many at a time as it has threads; by default here.
    progress : callable
        Called with (step, None) before and (step, outcome) after each one, from this thread; for a step that
        is not run because of another's failure once, with an outcome of the status "not run".

    Returns
    -------
    list of Outcome
        One for each step that was run or reused, in the order of steps.

    Raises
    ------
    ParameterError
        For a notebook, label or parameter that cannot be used, before anything runs.
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
        prepare(step, f"{pipeline}.{step.label}", settings)
        unknown = next((label for label in step.after or () if label not in labels[:at]), None)
        if unknown is not None:
            raise ParameterError(f"step {step.label!r} waits for {unknown!r}, which is no step before it.")
    most = cluster.threads if cluster else cores()
    with ExitStack() as stack:
        run = _PipelineRun(pipeline, steps, settings, show_code, timeout_s, force, cluster, progress, stack)
        try:
            tasks = side_by_side(run.tasks(), run.begin, jobs=min(jobs or most, most), stop=run.stop.ask)
            for name, future in tasks:
                run.end(name, future.exception())
        finally:
            run.leave()
    outcomes = [run.outcomes[label] for label in labels if label in run.outcomes]
    record_failures(outcomes, settings)
    if run.errors:
        raise run.errors[0]
    return outcomes


def record_failures(outcomes: Sequence[Outcome], settings: Settings) -> None:
    """Add failed runs to the table `runs`."""
    from overround.store.store import Store

    store = Store(settings.store_root)
    for outcome in outcomes:
        if outcome.status != OK:
            row = {
                "run_id": outcome.run_id,
                "notebook": outcome.notebook,
                "parameters": json.dumps(outcome.parameters, sort_keys=True),
                "git_revision": outcome.git_revision,
                "versions": json.dumps(outcome.versions, sort_keys=True),
                "store_version": store.version(),
                "status": outcome.status,
                "started_at": datetime.fromisoformat(outcome.started_at),
                "ended_at": datetime.fromisoformat(outcome.ended_at),
            }
            store.append("runs", [row])


@dataclass
class _PipelineRun:
    """A pipeline while it runs: what its steps found so far.

    Only `_run` and `_draw` are called from other threads.
    """

    name: str
    steps_given: Sequence[Step]
    settings: Settings
    show_code: bool
    timeout_s: int
    force: bool
    cluster: "Cluster | None"
    progress: Progress
    stack: ExitStack
    stop: Stop = field(default_factory=Stop)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    errors: list[BaseException] = field(default_factory=list)
    fork_server: "ForkServer | None" = None

    def __post_init__(self) -> None:
        self.started_at = datetime.now(UTC)
        self.steps = {step.label: step for step in self.steps_given}
        labels = list(self.steps)
        self.after = {
            step.label: tuple(labels[:at]) if step.after is None else step.after
            for at, step in enumerate(self.steps_given)
        }
        self.program = (library_digest(), cache.packages())
        self.revision = git_revision(self.settings.home)

    def tasks(self) -> list[Task]:
        """The steps in their order and then their pages, which a step that measures waits for."""
        tasks = []
        for label, after in self.after.items():
            alone = self.steps[label].alone
            pages = tuple(before + _PAGE for before in after) if alone else ()
            tasks.append(Task(label, after + pages, alone))
        return tasks + [Task(label + _PAGE, (label,)) for label in self.steps]

    def begin(self, name: str) -> Work | None:
        """The work of a step or its page; None where there is none."""
        label = name.removesuffix(_PAGE)
        if name != label:
            outcome = self.outcomes.get(label)
            return None if outcome is None or outcome.reused else partial(self._draw, outcome)
        step, after = self.steps[label], self.after[label]
        well = [before for before in after if before in self.outcomes and self.outcomes[before].ok]
        if len(well) < (len(after) if step.least is None else step.least):
            self.progress(step, not_run(step, [before for before in after if before not in well]))
            return None
        runs = [self.outcomes[before].run_id for before in well] if step.from_runs else []
        if step.from_runs:
            step = self.steps[label] = replace(step, parameters={**step.parameters, **step.from_runs(runs)})
        self.progress(step, None)
        job = prepare(step, f"{self.name}.{label}", self.settings)
        key = cache.key_of(
            job.source, job.parameters, runs, self.settings, show_code=self.show_code, program=self.program
        )
        earlier = (
            None
            if self.force
            else cache.earlier(step.notebook, label, key, job.parameters, runs, self.settings)
        )
        if earlier is not None:
            self.outcomes[label] = from_record(earlier, self.settings)
            self.end(label)
            return None
        # a single kernel starts as quickly by itself, and one on a cluster has no such process near it
        if len(self.steps) > 1 and self.cluster is None and self.fork_server is None:
            self.fork_server = self.stack.enter_context(open_fork_server(self.settings))
        return partial(self._run, job, key)

    def end(self, name: str, error: BaseException | None = None) -> None:
        """Note the end of a step or a page."""
        if error is not None:
            self.errors.append(error)
        if name in self.outcomes:
            self.progress(self.steps[name], self.outcomes[name])
            self._note()

    def leave(self) -> None:
        """Draw what an interrupt left undrawn, let the pages know each other, and write the index."""
        made = [outcome for outcome in self.outcomes.values() if not outcome.reused]
        for outcome in made:
            if not outcome.html.is_file():
                self._draw(outcome)
        self._note()
        # a page links to the pages of its pipeline: the earlier ones did not know the later ones yet
        for outcome in made:
            renew_navigation(outcome.html, outcome.record)
        render_index(self.settings.reports_folder)

    def _run(self, job: Job, key: str) -> None:
        outcome, error = execute_job(
            job,
            self.settings,
            self.timeout_s,
            self.stop,
            key=key,
            revision=self.revision,
            library=self.program[0],
            how=self.cluster.execute if self.cluster else partial(execute, fork_server=self.fork_server),
        )
        self.outcomes[job.step.label] = outcome
        if error is not None:
            raise error

    def _draw(self, outcome: Outcome) -> None:
        render_run(outcome.ipynb, outcome.html, outcome.record, show_code=self.show_code)

    def _note(self) -> None:
        rows = []
        for label, step in self.steps.items():
            outcome = self.outcomes.get(label)
            status = NOT_RUN if outcome is None else "kept" if outcome.reused else outcome.status
            run_id = outcome.run_id if outcome else ""
            rows.append({"label": label, "notebook": step.notebook, "status": status, "run_id": run_id})
        write_steps(self.settings.reports_folder, self.name, self.started_at, rows)
