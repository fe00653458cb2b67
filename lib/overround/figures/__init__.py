"""Figures, one look: each takes our tables and returns a `Picture`, with words for who cannot see. They know tables, never a source."""

from overround.figures.collection import looks, over_time
from overround.figures.costs import costs, latencies
from overround.figures.ledgers import bankroll, closing_line, compared_bankrolls, differences, drawdown, yields
from overround.figures.models import forecast_gaps, forecast_reliability
from overround.figures.prices import coverage, edges, line_movement, sharpness

__all__ = [
    "bankroll", "closing_line", "compared_bankrolls", "costs", "coverage", "differences", "drawdown", "edges", "forecast_gaps",
    "forecast_reliability", "latencies", "line_movement", "looks", "over_time", "sharpness", "yields",
]  # fmt: skip
