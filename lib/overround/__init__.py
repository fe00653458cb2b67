"""Overround: a workbench for research on sports odds. `import overround as ov` is all a notebook needs; heavy parts load when used."""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from overround import anomalies, digest, experiments, figures, history, perf, perf_stats, profiles
    from overround.accounts import Account, Execution
    from overround.accuracy import past_accuracy_weights
    from overround.arbitrage import arbitrage_signals, back_lay, dutch, middle_signals
    from overround.backtest import backtest
    from overround.breakdown import breakdown
    from overround.calibration import calibration_table, longshot_bias, reliability
    from overround.closes import clv_by_close
    from overround.collect import collect
    from overround.comparison import compare_ledgers, compare_parts, compare_within, comparison_verdict, difference_curves
    from overround.drawdown import resampled_drawdowns
    from overround.evaluate import evaluate, percent, verdict
    from overround.example import example
    from overround.formats import convert_odds
    from overround.goals import DixonColes, Poisson
    from overround.headlines import change_figures, comparison_figures, cost_figures, iteration_figures, key_figures
    from overround.luck import luck_band, luck_test
    from overround.margin import add_margin, remove_margin
    from overround.meter import Meter, cost_table
    from overround.models import MarketModel, as_bookmakers, compare_forecasts, market_probabilities
    from overround.movement import reaction_times, reactions, reverse_moves, stale_prices, steam_moves, velocity
    from overround.odds import fair_probabilities, overround
    from overround.parameters import check_here
    from overround.partitions import map_partitions, partition_sizes
    from overround.ratings import Elo
    from overround.references import accuracy_weights, exchange_mid, lowest_margin
    from overround.relative import relative_prices
    from overround.report import Run
    from overround.repriced import across_methods, at_each_price, baselines, delay_curve, delayed, wrong_prices
    from overround.robustness import always_quoted, bets_needed, haircut, missing_odds, suspicious, without_best
    from overround.scores import early_and_close, probability_scores, score_table
    from overround.search import backtest_overfitting, correct_for_search, daily_profits, deflated_p, effective_number, luck_of_the_best
    from overround.settings import Settings, load_settings
    from overround.show import comparison_table, download, estimate, evaluation_table, headline, stack, table
    from overround.signals import blind_signals, closing_lines, closing_quotes, seed_signals, value_signals
    from overround.sliders import sliders
    from overround.sources import credit
    from overround.staking import DrawdownControl, EdgeProportional, Flat, Kelly, Percentage, SimultaneousKelly, TargetProfit, staking_rule
    from overround.store import Store
    from overround.strategies import consensus_signals, model_signals
    from overround.sweep import Sweep, sweep
    from overround.sweep_choice import stability, sweep_verdict, top_variants, walk_forward_choice
    from overround.sweep_report import influence, picked_variants, search_tests, sweep_key_figures
    from overround.sweep_space import space_of, variants
    from overround.walkforward import walk_forward

_WHERE = {
    "accuracy": ("past_accuracy_weights",),
    "arbitrage": ("arbitrage_signals", "back_lay", "dutch", "middle_signals"),
    "accounts": ("Account", "Execution"),
    "backtest": ("backtest",),
    "breakdown": ("breakdown",),
    "calibration": ("calibration_table", "longshot_bias", "reliability"),
    "closes": ("clv_by_close",),
    "collect": ("collect",),
    "comparison": ("compare_ledgers", "compare_parts", "compare_within", "comparison_verdict", "difference_curves"),
    "drawdown": ("resampled_drawdowns",),
    "evaluate": ("evaluate", "percent", "verdict"),
    "example": ("example",),
    "formats": ("convert_odds",),
    "goals": ("DixonColes", "Poisson"),
    "headlines": ("change_figures", "comparison_figures", "cost_figures", "iteration_figures", "key_figures"),
    "luck": ("luck_band", "luck_test"),
    "margin": ("add_margin", "remove_margin"),
    "meter": ("Meter", "cost_table"),
    "models": ("MarketModel", "as_bookmakers", "compare_forecasts", "market_probabilities"),
    "movement": ("reaction_times", "reactions", "reverse_moves", "stale_prices", "steam_moves", "velocity"),
    "odds": ("fair_probabilities", "overround"),
    "parameters": ("check_here",),
    "partitions": ("map_partitions", "partition_sizes"),
    "ratings": ("Elo",),
    "references": ("accuracy_weights", "exchange_mid", "lowest_margin"),
    "relative": ("relative_prices",),
    "report": ("Run",),
    "repriced": ("across_methods", "at_each_price", "baselines", "delay_curve", "delayed", "wrong_prices"),
    "robustness": ("always_quoted", "bets_needed", "haircut", "missing_odds", "suspicious", "without_best"),
    "search": (
        "backtest_overfitting", "correct_for_search", "daily_profits", "deflated_p", "effective_number", "luck_of_the_best",
    ),
    "show": ("comparison_table", "download", "estimate", "evaluation_table", "headline", "stack", "table"),
    "scores": ("early_and_close", "probability_scores", "score_table"),
    "settings": ("Settings", "load_settings"),
    "signals": ("blind_signals", "closing_lines", "closing_quotes", "seed_signals", "value_signals"),
    "sliders": ("sliders",),
    "sources": ("credit",),
    "staking": (
        "DrawdownControl",
        "EdgeProportional",
        "Flat",
        "Kelly",
        "Percentage",
        "SimultaneousKelly",
        "TargetProfit",
        "staking_rule",
    ),
    "store": ("Store",),
    "strategies": ("consensus_signals", "model_signals"),
    "sweep": ("Sweep", "sweep"),
    "sweep_choice": ("stability", "sweep_verdict", "top_variants", "walk_forward_choice"),
    "sweep_report": ("influence", "picked_variants", "search_tests", "sweep_key_figures"),
    "sweep_space": ("space_of", "variants"),
    "walkforward": ("walk_forward",),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _WHERE.items() for name in names}

_MODULES = ("anomalies", "digest", "experiments", "figures", "history", "perf", "perf_stats", "profiles")
__all__ = [*_MODULES, *_MODULE_OF]


# functions that have the name of their module: importing the module must not hide the function
_NAMESAKES = ("backtest", "breakdown", "collect", "evaluate", "example", "sliders", "sweep")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"overround.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'overround' has no attribute {name!r}")
    return getattr(import_module(f"overround.{_MODULE_OF[name]}"), name)


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext overround`: `%%sql` over the store, and signals, ledgers and evaluations that show themselves."""
    from overround.lab import load

    load(shell)


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _NAMESAKES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
