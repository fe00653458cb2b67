"""Figures, one look: each takes our tables and returns a `Picture`, with words for who cannot see. They know tables, never a source."""

from overround.figures.collection import looks, over_time
from overround.figures.costs import costs, latencies
from overround.figures.ledgers import bankroll, closing_line, compared_bankrolls, differences, drawdown, yields
from overround.figures.performance import change, stage_history
from overround.figures.prices import coverage, edges, line_movement
from overround.figures.scores import longshots, methods_compared, reliability_diagram, sharpness, sharpness_by_season

__all__ = [
    "bankroll", "change", "closing_line", "compared_bankrolls", "costs", "coverage", "differences", "drawdown", "edges", "latencies",
    "line_movement", "longshots", "looks", "methods_compared", "over_time", "reliability_diagram", "sharpness",
    "sharpness_by_season", "stage_history", "yields",
]  # fmt: skip
