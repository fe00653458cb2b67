"""Figures, one look: each takes our tables and returns a `Picture`, with words for who cannot see. They know tables, never a source."""

from overround.figures.collection import looks, over_time
from overround.figures.comparison import compared_bankrolls, difference_curves, differences, part_differences
from overround.figures.costs import costs, latencies
from overround.figures.daily import coverage_calendar, day_counts, movers, price_distribution
from overround.figures.flame import flame
from overround.figures.ledgers import (
    bankroll,
    calibration,
    closing_line,
    closing_scatter,
    drawdown,
    yields,
)
from overround.figures.models import forecast_gaps
from overround.figures.performance import change, stage_history
from overround.figures.prices import coverage, edges, line_movement, match_lines, price_heat_map
from overround.figures.robustness import delays, price_cuts
from overround.figures.scores import longshots, methods_compared, reliability_diagram, sharpness, sharpness_by_season
from overround.figures.signals import arbitrages, edge_certainty, middles, reaction, reverses, stale, steam, velocities
from overround.figures.sweep import corrected_p_values, neighbours, parallel_coordinates, picks, yield_map

__all__ = [
    "arbitrages", "bankroll", "calibration", "change", "closing_line", "closing_scatter", "compared_bankrolls", "corrected_p_values",
    "costs", "coverage", "coverage_calendar", "day_counts", "delays", "difference_curves", "differences", "drawdown", "edge_certainty",
    "edges", "flame", "forecast_gaps", "latencies", "line_movement", "longshots", "looks", "match_lines", "methods_compared", "middles",
    "movers", "neighbours", "over_time", "parallel_coordinates", "part_differences", "picks", "price_cuts", "price_distribution",
    "price_heat_map", "reaction", "reliability_diagram", "reverses", "sharpness", "sharpness_by_season", "stage_history", "stale",
    "steam", "velocities", "yield_map", "yields",
]  # fmt: skip
