"""The Odds API: current and historical prices, scores."""
