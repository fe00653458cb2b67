"""Notebooks that the library knows by name: one declaration each.

A notebook that is not declared here can be run like any other (`overround run NAME`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from overround.prices.references import CONSENSUS

BACKTESTS = ("backtest-sharp", "backtest-consensus")
BACKTEST, COMPARISON = "backtest", "compare"


@dataclass(frozen=True)
class Notebook:
    """`notebooks/<name>.ipynb`, its steps in `overround run`, and how long its runs hold.

    `steps` maps labels to the parameters that make the step what it is; each step waits for those named by
    `after`. `from_runs` makes parameters of the ids of these runs, and beside a step that is `alone` nothing
    runs. A run is reused on the same data, or, of a notebook that `asks` a source, while the source would
    answer the same; what a notebook `of_the_moment` finds, such as the costs of runs, no version of the data
    pins. `imports` are loaded before its kernel is forked.
    """

    name: str
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    from_runs: Callable[[list[str]], dict[str, Any]] | None = None
    alone: bool = False
    asks: bool = False
    of_the_moment: bool = False
    imports: tuple[str, ...] = ()


NOTEBOOKS = {
    notebook.name: notebook
    for notebook in (
        Notebook(
            "collect",
            {"collect": {}},
            asks=True,
            imports=(
                "overround.collection.collector",
                "overround.sources.sample.source",
                "overround.sources.football_data.source",
                "overround.sources.the_odds_api.client",
            ),
        ),
        Notebook(
            "bookmakers", {"bookmakers": {}}, ("collect",), imports=("overround.prices.margin_kernels",)
        ),
        Notebook("signals", {"signals": {}}, ("collect",), imports=("overround.signals.value",)),
        Notebook(
            BACKTEST,
            {"backtest-sharp": {}, "backtest-consensus": {"reference": CONSENSUS}},
            ("collect",),
            imports=("overround.betting.engine", "overround.betting.kernels"),
        ),
        Notebook(COMPARISON, {"compare": {}}, BACKTESTS, lambda runs: {"runs": runs}),
        Notebook(
            "performance",
            {"performance": {}},
            ("collect", "bookmakers", "signals", *BACKTESTS, "compare"),
            # of the newest, as steps that were not run again left their measurements in an earlier one
            lambda runs: {"pipeline": max(run_id.partition(".")[0] for run_id in runs)},
            alone=True,
            of_the_moment=True,
        ),
        Notebook("collection", of_the_moment=True),
        Notebook("daily", of_the_moment=True),
    )
}


def declared(name: str) -> Notebook:
    """The declaration of a notebook, empty for one that has none."""
    return NOTEBOOKS.get(name, Notebook(name))
