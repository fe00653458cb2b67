"""The steps of `overround run`: the default pipeline, or one notebook, also with many sets of parameters."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from overround.errors import ParameterError
from overround.reports.notebooks import NOTEBOOKS, Notebook
from overround.runs.dask_cluster import connected
from overround.runs.parameter_values import Parameter, parse_value
from overround.runs.parameters import notebook_path, read_parameters
from overround.runs.runner import Outcome, Step, run_pipeline
from overround.runs.variations import variations
from overround.settings import Settings
from overround.sources.registry import find_source


def steps_of(
    notebook: str,
    source: str,
    leagues: Iterable[str],
    seasons: Iterable[str],
    given: Mapping[str, str],
    *,
    settings: Settings,
) -> list[Step]:
    """The step of one notebook, or those of the default pipeline where `notebook` is empty.

    These collect, find signals, bet in two ways, and say what it cost and how the two compare.

    Parameters
    ----------
    notebook : str
        Its name, or nothing.
    source : str
        One of `overround.sources.SOURCES`.
    leagues, seasons : iterable of str
        As the source writes them.
    given : mapping
        Parameters as typed; each goes to every notebook that declares it.
    settings : Settings
        Where the notebooks are.

    Raises
    ------
    ParameterError
        For a notebook or source that does not exist, or a parameter that no notebook declares.
    """
    there = sorted(path.stem for path in (settings.home / "notebooks").glob("*.ipynb"))
    if notebook and notebook not in there:
        raise ParameterError(f"there is no notebook {notebook!r}; there are {', '.join(there)}.")
    chosen = {"source": source, "leagues": list(leagues), "seasons": list(seasons)}
    if not notebook:
        chosen["reference"] = find_source(source).sharp
    alone = Notebook(notebook, {notebook: {}})
    known: dict[str, Parameter] = {}
    steps = []
    for one in [alone] if notebook else NOTEBOOKS.values():
        declared = read_parameters(notebook_path(one.name, settings.home)) if one.steps else {}
        if "source" in declared:
            find_source(source)
        known |= declared
        # what was typed goes before the choices for all notebooks
        asked = {name: value for name, value in chosen.items() if name in declared}
        asked |= {name: parse_value(declared[name], text) for name, text in given.items() if name in declared}
        for label, fixed in one.steps.items():
            after = None if notebook else one.after
            steps.append(
                Step(one.name, label, {**asked, **fixed}, after, from_runs=one.from_runs, alone=one.alone)
            )
    unknown = [name for name in given if name not in known]
    if unknown:
        what = f"notebook {notebook} takes no" if notebook else "no notebook of the run takes a"
        raise ParameterError(f"{what} parameter {unknown[0]!r}; those that can be given: {', '.join(known)}.")
    return steps


def run_requested(
    source: str,
    leagues: Iterable[str],
    seasons: Iterable[str],
    given: Mapping[str, str],
    *,
    notebook: str = "",
    vary: Sequence[str] = (),
    scheduler: str = "",
    settings: Settings,
    **options: Any,
) -> list[Outcome]:
    """Run the default pipeline, or one notebook.

    Parameters
    ----------
    source, leagues, seasons, given
        As in `steps_of`.
    notebook : str
        This one alone.
    vary : sequence of str
        Sets of its parameters, as in `overround.runs.variations.variations`.
    scheduler : str
        Address of a Dask scheduler, on whose workers these are run.
    settings, options
        As in `run_pipeline`.
    """
    if not notebook and vary:
        raise ParameterError(
            "--vary is for one notebook: overround run backtest --vary min_edge=0.01..0.05/5."
        )
    if scheduler and not vary:
        raise ParameterError("--scheduler is for --vary: a single notebook is run here.")
    steps = steps_of(notebook, source, leagues, seasons, given, settings=settings)
    if vary:
        steps = variations(steps[0], vary, settings)
    with connected(scheduler) if scheduler else nullcontext() as cluster:
        return run_pipeline(steps, settings=settings, cluster=cluster, **options)
