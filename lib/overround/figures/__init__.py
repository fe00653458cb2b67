"""Figures, one look: each takes our tables and returns a `Picture`, with words for who cannot see. They know tables, never a source."""

from overround.figures.collection import looks, over_time
from overround.figures.costs import costs, latencies
from overround.figures.ledgers import (
    bankroll,
    calibration,
    closing_line,
    closing_scatter,
    compared_bankrolls,
    differences,
    drawdown,
    yields,
)
from overround.figures.prices import coverage, edges, line_movement, sharpness
from overround.figures.robustness import delays, price_cuts

__all__ = [
    "bankroll", "calibration", "closing_line", "closing_scatter", "compared_bankrolls", "costs", "coverage", "delays", "differences",
    "drawdown", "edges", "latencies", "line_movement", "looks", "over_time", "price_cuts", "sharpness", "yields",
]  # fmt: skip
