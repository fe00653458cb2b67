"""Side-by-side measurements, never tests: every contender in one run, alternating, reported as ratios to the first."""
