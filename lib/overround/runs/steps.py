"""Steps of a pipeline, and the outcome of each run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from overround.reports.records import NOT_RUN, OK
from overround.runs.failure import Failure
from overround.settings import Settings


@dataclass(frozen=True)
class Step:
    """One notebook of a pipeline: which one, under which label, with which parameters.

    It waits for the steps named by `after`, by default all before it, and is run where at least `least` of
    them, by default all, ended well. `from_runs` makes parameters of the ids of these runs; such a step
    depends on them and not on the tables' version. Beside a step that is `alone`, nothing runs.

    Examples
    --------
    >>> import overround as ov
    >>> ov.runs.Step("backtest", "backtest-sharp", {"min_edge": 0.03}).parameters
    {'min_edge': 0.03}
    """

    notebook: str
    label: str
    parameters: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] | None = None
    least: int | None = None
    from_runs: Callable[[list[str]], dict[str, Any]] | None = None
    alone: bool = False


@dataclass(frozen=True)
class Outcome:
    """How a run ended; the same is in the JSON file beside the executed notebook and the page.

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
    >>> isinstance(outcome, ov.runs.Outcome), outcome.ok, outcome.html.exists()
    (True, True, True)
    """

    run_id: str
    notebook: str
    label: str
    status: str
    title: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    # the parameters that are not the notebook's defaults
    changed: dict[str, Any] = field(default_factory=dict)
    started_at: str = ""
    ended_at: str = ""
    seconds: float = 0.0
    git_revision: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    verdict: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    # of the tables, so that the same rows can be read again
    store_version: str = ""
    # of a run that bets, at a few moments; and what the kernel's process used
    bankroll: list[float] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=dict)
    # where they were found from the past: from, to, reference, why, and what was known of each
    references: list[dict[str, Any]] = field(default_factory=list)
    failure: Failure | None = None
    # what the run depends on, by which a later pipeline finds that it need not be run again: see
    # `overround.runs.cache`
    key: str = ""
    data: str = ""
    ipynb: Path = Path()
    html: Path = Path()
    # whether it is an earlier run's
    reused: bool = False

    @property
    def ok(self) -> bool:
        """Whether every cell ran and the last one recorded what the run found."""
        return self.status == OK

    @property
    def record(self) -> Path:
        """The JSON file with all of this."""
        return self.html.with_name(f"{self.label}.json")


def from_record(record: dict[str, Any], settings: Settings) -> Outcome:
    """The outcome of an earlier run, from its record."""
    known = {one.name for one in fields(Outcome)}
    stem = settings.reports_folder / "runs" / record["run_id"].partition(".")[0] / record["label"]
    paths = {"ipynb": stem.with_name(f"{stem.name}.ipynb"), "html": stem.with_name(f"{stem.name}.html")}
    return Outcome(**{name: value for name, value in record.items() if name in known} | paths, reused=True)


def not_run(step: Step, because: Sequence[str]) -> Outcome:
    """The outcome of a step that was not run because others did not end well."""
    verdict = f"{' and '.join(because)} did not end well"
    return Outcome("", step.notebook, step.label, NOT_RUN, verdict=verdict)
