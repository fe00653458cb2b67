"""The steps of `overround run`: the default pipeline, or one notebook, also with many sets of parameters."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from overround.errors import ParameterError
from overround.reports.notebooks import NOTEBOOKS
from overround.runs.dask_cluster import connected
from overround.runs.parameter_values import Parameter, parse_value
from overround.runs.parameters import notebook_path, read_parameters
from overround.runs.runner import Outcome, Step, run_pipeline
from overround.runs.variations import variations
from overround.settings import Settings
from overround.sources.registry import find_source


def default_steps(
    source: str,
    leagues: Iterable[str],
    seasons: Iterable[str],
    given: Mapping[str, str],
    *,
    settings: Settings,
) -> list[Step]:
    """Steps of `overround run`: collect, signals, two backtests, what they cost, and how they compare.

    Parameters
    ----------
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
        For a source that does not exist, or a parameter that no notebook declares.
    """
    chosen = {
        "source": source,
        "leagues": list(leagues),
        "seasons": list(seasons),
        "reference": find_source(source).sharp,
    }
    known: set[str] = set()
    steps = []
    for notebook in NOTEBOOKS.values():
        declared = read_parameters(notebook_path(notebook.name, settings.home)) if notebook.steps else {}
        known |= set(declared)
        for label, fixed in notebook.steps.items():
            parameters = {**_asked(declared, chosen, given), **fixed}
            steps.append(
                Step(
                    notebook.name,
                    label,
                    parameters,
                    notebook.after,
                    from_runs=notebook.from_runs,
                    alone=notebook.alone,
                )
            )
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ParameterError(
            f"no notebook of the run takes a parameter {unknown[0]!r}; "
            f"those that can be given: {', '.join(sorted(known))}."
        )
    return steps


def single_notebook(
    notebook: str,
    source: str,
    leagues: Iterable[str],
    seasons: Iterable[str],
    given: Mapping[str, str],
    *,
    settings: Settings,
) -> Step:
    """The step that runs one notebook by itself; parameters are those of `default_steps`."""
    known = sorted(path.stem for path in (settings.home / "notebooks").glob("*.ipynb"))
    if notebook not in known:
        raise ParameterError(f"there is no notebook {notebook!r}; there are {', '.join(known)}.")
    declared = read_parameters(notebook_path(notebook, settings.home))
    if "source" in declared:
        find_source(source)
    unknown = [name for name in given if name not in declared]
    if unknown:
        raise ParameterError(
            f"notebook {notebook} takes no parameter {unknown[0]!r}; it takes {', '.join(declared)}."
        )
    chosen = {"source": source, "leagues": list(leagues), "seasons": list(seasons)}
    return Step(notebook, notebook, _asked(declared, chosen, given))


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
        As in `default_steps`.
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
    if notebook:
        steps = [single_notebook(notebook, source, leagues, seasons, given, settings=settings)]
    else:
        steps = default_steps(source, leagues, seasons, given, settings=settings)
    if vary:
        steps = variations(steps[0], vary, settings)
    with connected(scheduler) if scheduler else nullcontext() as cluster:
        return run_pipeline(steps, settings=settings, cluster=cluster, **options)


def _asked(
    declared: Mapping[str, Parameter], chosen: Mapping[str, Any], given: Mapping[str, str]
) -> dict[str, Any]:
    """Choices for all notebooks that this one takes; what was typed goes before them."""
    typed = {name: parse_value(declared[name], text) for name, text in given.items() if name in declared}
    return {name: value for name, value in chosen.items() if name in declared} | typed
