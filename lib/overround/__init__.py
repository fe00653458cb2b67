"""Overround: a workbench for research on sports odds. `import overround as ov` is all a notebook needs; heavy parts load when used."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overround import anomalies, experiments, figures, history, perf_stats
    from overround.backtest import backtest
    from overround.calibration import calibration_table, longshot_bias, reliability
    from overround.collect import collect
    from overround.evaluate import breakdown, compare_ledgers, comparison_verdict, evaluate, percent, verdict
    from overround.formats import convert_odds
    from overround.luck import luck_test
    from overround.margin import add_margin, remove_margin
    from overround.meter import Meter, cost_table
    from overround.odds import fair_probabilities, overround
    from overround.parameters import check_here
    from overround.report import Run
    from overround.scores import early_and_close, probability_scores, score_table
    from overround.settings import Settings, load_settings
    from overround.show import evaluation_table, key_figures, table
    from overround.signals import blind_signals, closing_lines, closing_quotes, value_signals
    from overround.sources import credit
    from overround.staking import Flat, Kelly, Percentage, staking_rule
    from overround.store import Store

_WHERE = {
    "backtest": ("backtest",),
    "calibration": ("calibration_table", "longshot_bias", "reliability"),
    "collect": ("collect",),
    "evaluate": ("breakdown", "compare_ledgers", "comparison_verdict", "evaluate", "percent", "verdict"),
    "formats": ("convert_odds",),
    "luck": ("luck_test",),
    "margin": ("add_margin", "remove_margin"),
    "meter": ("Meter", "cost_table"),
    "odds": ("fair_probabilities", "overround"),
    "parameters": ("check_here",),
    "report": ("Run",),
    "scores": ("early_and_close", "probability_scores", "score_table"),
    "settings": ("Settings", "load_settings"),
    "show": ("evaluation_table", "key_figures", "table"),
    "signals": ("blind_signals", "closing_lines", "closing_quotes", "value_signals"),
    "sources": ("credit",),
    "staking": ("Flat", "Kelly", "Percentage", "staking_rule"),
    "store": ("Store",),
}
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

_MODULES = ("anomalies", "experiments", "figures", "history", "perf_stats")
__all__ = [*_MODULES, *_MODULE_OF]


# functions that have the name of their module: importing the module must not hide the function
_NAMESAKES = ("backtest", "collect", "evaluate")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"overround.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'overround' has no attribute {name!r}")
    return getattr(import_module(f"overround.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _NAMESAKES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
