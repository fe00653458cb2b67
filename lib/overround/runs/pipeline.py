"""The main line: collect, signals, two backtests, what they cost, and how they compare; each step a notebook."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any

from overround.errors import ParameterError
from overround.prices.references import CONSENSUS
from overround.runs.dask_cluster import connected
from overround.runs.parameter_values import Parameter, parse_value
from overround.runs.parameters import notebook_path, read_parameters
from overround.runs.runner import OK, Outcome, Progress, Step, run_pipeline
from overround.runs.variations import variations
from overround.settings import Settings
from overround.sources.registry import find_source

BACKTESTS = ("backtest-sharp", "backtest-consensus")
# label -> notebook, the parameters that make this step what it is, and what has to be there before it
STEPS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "collect": ("collect", {}, ()),
    "bookmakers": ("bookmakers", {}, ("collect",)),
    "signals": ("signals", {}, ("collect",)),
    "backtest-sharp": ("backtest", {}, ("collect",)),
    "backtest-consensus": ("backtest", {"reference": CONSENSUS}, ("collect",)),
    "compare": ("compare", {}, BACKTESTS),
    "performance": ("performance", {}, ("collect", "bookmakers", "signals", *BACKTESTS, "compare")),
}


def main_line(
    source: str,
    leagues: Iterable[str],
    seasons: Iterable[str],
    given: Mapping[str, str],
    *,
    settings: Settings,
) -> list[Step]:
    """Steps of `overround run`.

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
    find_source(source)
    chosen = {
        "source": source,
        "leagues": list(leagues),
        "seasons": list(seasons),
        "reference": find_source(source).sharp,
    }
    made_from: dict[str, Callable[[list[str]], dict[str, Any]]] = {
        "compare": lambda runs: {"runs": runs},
        # of the newest, as steps that were not run again left their measurements in an earlier one
        "performance": lambda runs: {"pipeline": max(run_id.partition(".")[0] for run_id in runs)},
    }
    known: set[str] = set()
    steps = []
    for label, (notebook, fixed, after) in STEPS.items():
        declared = read_parameters(notebook_path(notebook, settings.home))
        known |= set(declared)
        asked = {**_asked(declared, chosen, given), **fixed}
        steps.append(
            Step(notebook, label, asked, after, from_runs=made_from.get(label), alone=label == "performance")
        )
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ParameterError(
            f"no notebook of the run takes a parameter {unknown[0]!r}; those that can be given: {', '.join(sorted(known))}."
        )
    return steps


def alone(
    notebook: str,
    source: str,
    leagues: Iterable[str],
    seasons: Iterable[str],
    given: Mapping[str, str],
    *,
    settings: Settings,
) -> list[Step]:
    """The one step that runs a notebook of `notebooks/` by itself, e.g. the digest of a day by cron; parameters as of `main_line`."""
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
    return [Step(notebook, notebook, _asked(declared, chosen, given))]


def run_line(
    source: str,
    leagues: Iterable[str],
    seasons: Iterable[str],
    given: Mapping[str, str],
    *,
    notebook: str = "",
    vary: Sequence[str] = (),
    scheduler: str = "",
    settings: Settings,
    show_code: bool = False,
    timeout_s: int = 600,
    jobs: int = 0,
    force: bool = False,
    progress: Progress = lambda step, outcome: None,
) -> list[Outcome]:
    """Run the main line, or one notebook; a failed run is recorded in the table `runs`, too.

    Parameters
    ----------
    source, leagues, seasons, given
        As of `main_line`.
    notebook : str
        This one alone.
    vary : sequence of str
        With many sets of parameters, as of `overround.runs.variations.variations`.
    scheduler : str
        Address of a Dask scheduler, on whose workers these are run.
    settings, show_code, timeout_s, jobs, force, progress
        As of `run_pipeline`.
    """
    if not notebook and vary:
        raise ParameterError(
            "--vary is for one notebook: overround run backtest --vary min_edge=0.01..0.05/5."
        )
    if scheduler and not vary:
        raise ParameterError("--scheduler is for --vary: a single notebook is run here.")
    if notebook:
        steps = alone(notebook, source, leagues, seasons, given, settings=settings)
    else:
        steps = main_line(source, leagues, seasons, given, settings=settings)
    if vary:
        steps = variations(steps[0], vary, settings)
    with connected(scheduler) if scheduler else nullcontext() as cluster:
        outcomes = run_pipeline(
            steps,
            settings=settings,
            show_code=show_code,
            timeout_s=timeout_s,
            jobs=jobs,
            force=force,
            cluster=cluster,
            progress=progress,
        )
    record_failures(outcomes, settings)
    return outcomes


def record_failures(outcomes: Iterable[Outcome], settings: Settings) -> None:
    """Note failed runs in the table `runs`: their notebooks did not live to do it."""
    import json

    from overround.store.store import Store

    store = Store(settings.store_root)
    for outcome in outcomes:
        if outcome.status != OK:
            store.append(
                "runs",
                [
                    {
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
                ],
            )


def _asked(
    declared: Mapping[str, Parameter], chosen: Mapping[str, Any], given: Mapping[str, str]
) -> dict[str, Any]:
    """What a notebook takes of what was chosen for all; what was typed goes before it."""
    typed = {name: parse_value(declared[name], text) for name, text in given.items() if name in declared}
    return {name: value for name, value in chosen.items() if name in declared} | typed
