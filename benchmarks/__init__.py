"""Side-by-side measurements, never tests: contenders alternate in one run, reported as ratios."""
