"""Run a notebook again on the data, or earlier runs, that it read then, and compare numbers bit by bit."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from overround.errors import ParameterError
from overround.provenance import git_revision, versions
from overround.reports.records import OK, can_be_made_again
from overround.runs.parameters import notebook_path, read_parameters
from overround.runs.runner import Outcome, Step, run_pipeline
from overround.settings import Settings


@dataclass(frozen=True)
class Rebuilt:
    """The new run; `differing` is metric -> (then, now), `warnings` name what else has changed since."""

    outcome: Outcome
    metrics: int
    differing: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say it in one sentence."""
        if not self.differing:
            return f"{self.outcome.run_id}: all {self.metrics} numbers are the same to the last bit."
        name, (then, now) = next(iter(self.differing.items()))
        return (
            f"{self.outcome.run_id}: {len(self.differing)} of {self.metrics} numbers differ; "
            f"{name} was {then!r} and is {now!r}."
        )


def rebuild(run_id: str, *, settings: Settings, show_code: bool = False) -> Rebuilt:
    """Run a notebook again with the parameters and the store version of an earlier run.

    A comparison is made again on the runs that it compared.

    Parameters
    ----------
    run_id : str
        As a page's footer names it: `<pipeline>.<label>`.
    settings : Settings
        Where the reports, the notebooks and the store are.
    show_code : bool
        Whether the new page offers the cells' code.

    Raises
    ------
    ParameterError
        Where there is no record of such a run, it failed, or its notebook reads more than one version of the
        tables or named runs.
    StoreError
        Where the version is gone: of recorded runs the vacuum keeps it.

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
    >>> done = ov.Store(settings.store_root).append("events", ov.example().events)
    >>> [outcome] = ov.runs.run_pipeline([ov.runs.Step("demo", "demo")], settings=settings)
    >>> print(str(ov.runs.rebuild(outcome.run_id, settings=settings)).partition(": ")[2])
    all 1 numbers are the same to the last bit.
    """
    record = _record(run_id, settings)
    declared = read_parameters(notebook_path(record["notebook"], settings.home))
    given = {
        name: value for name, value in record["parameters"].items() if name in declared and name != "run_id"
    }
    if (
        record["status"] != OK
        or not record["store_version"]
        or not can_be_made_again(record["notebook"], given)
    ):
        why = (
            f"it failed, or what notebook {record['notebook']!r} finds depends on more than a pinned version"
        )
        raise ParameterError(f"run {run_id!r} cannot be rebuilt: {why}.")
    pinned = {"store_version": record["store_version"]} if "store_version" in declared else {}
    step = Step(record["notebook"], record["label"], {**given, **pinned})
    # forced: an earlier run that has answered this already, e.g. a rebuild of yesterday, proves nothing
    outcome = run_pipeline([step], settings=settings, show_code=show_code, force=True)[0]
    then, now = record["metrics"], json.loads(json.dumps(outcome.metrics))
    names = sorted(then.keys() | now.keys())
    # as JSON writes them: the shortest text that reads back as the same bits
    differing = {
        name: (then.get(name), now.get(name))
        for name in names
        if json.dumps(then.get(name)) != json.dumps(now.get(name))
    }
    return Rebuilt(outcome, len(names), differing, list(_warnings(record, settings, set(declared))))


def _record(run_id: str, settings: Settings) -> dict[str, Any]:
    pipeline, _, label = run_id.partition(".")
    folder = settings.reports_folder / "runs"
    try:
        # by its own name among those that are there, so that no path can be asked for
        file = next(
            path for path in folder.glob("*/*.json") if (path.parent.name, path.stem) == (pipeline, label)
        )
        record = json.loads(file.read_text(encoding="utf-8"))
        return {
            name: record[name]
            for name in (
                "notebook",
                "label",
                "status",
                "parameters",
                "metrics",
                "store_version",
                "versions",
                "git_revision",
            )
        }
    except StopIteration:
        raise ParameterError(
            f"there is no run {run_id!r} in {folder}; a page's footer and the index name runs."
        ) from None
    except (ValueError, KeyError, TypeError):
        raise ParameterError(f"the record of run {run_id!r} in {folder} cannot be read.") from None


def _warnings(record: dict[str, Any], settings: Settings, declared: set[str]) -> Iterator[str]:
    for name, now in versions().items():
        then = record["versions"].get(name)
        if then is None:
            yield f"{name} is {now}; which one it was is not recorded"
        elif then != now:
            yield f"{name} was {then} and is {now}: last digits may differ"
    if (now := git_revision(settings.home)) != record["git_revision"]:
        yield f"the program was {record['git_revision'] or 'no checkout'} and is {now or 'no checkout'}"
    for name in sorted(record["parameters"].keys() - declared):
        yield f"parameter {name} is none any more"
