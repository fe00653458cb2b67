"""Where the names of 0.1 are now. The old ones go on working until 0.3, with a warning."""

_BY_PACKAGE = {
    "betting": "DrawdownControl EdgeProportional SimultaneousKelly TargetProfit",
    "display": (
        "change_figures comparison_figures comparison_table cost_figures download estimate "
        "evaluation_table iteration_figures sweep_key_figures"
    ),
    "evaluation": (
        "across_methods always_quoted at_each_price backtest_overfitting bets_needed compare_parts "
        "compare_within comparison_verdict daily_profits deflated_p delay_curve delayed difference_curves "
        "effective_number haircut luck_band luck_of_the_best missing_odds resampled_drawdowns suspicious "
        "without_best wrong_prices"
    ),
    "forecasts": (
        "DixonColes Elo MarketModel Poisson as_bookmakers calibration_table compare_forecasts "
        "early_and_close longshot_bias market_probabilities past_accuracy_weights probability_scores "
        "reliability score_table"
    ),
    "measure": "Meter cost_table",
    "parallel": "map_partitions partition_sizes",
    "prices": (
        "accuracy_weights add_margin closing_quotes exchange_mid lowest_margin overround reaction_times "
        "reactions relative_prices reverse_moves stale_prices steam_moves velocity"
    ),
    "runs": "check_here",
    "settings": "Settings load_settings",
    "signals": "back_lay blind_signals consensus_signals dutch middle_signals model_signals seed_signals",
    "sources": "credit",
    "sweeps": (
        "Sweep influence picked_variants search_tests space_of stability sweep_verdict top_variants "
        "variants walk_forward_choice"
    ),
}
_MODULES = {
    "anomalies": "perf.anomalies",
    "digest": "reports.daily",
    "experiments": "perf.experiments",
    "history": "runs.history",
    "perf_stats": "measure.paired",
    "profiles": "measure.sampler",
}

MOVED = {
    name: f"{package}.{name}" for package, names in _BY_PACKAGE.items() for name in names.split()
} | _MODULES
