"""Time from a moved slider to its new figure, on ten seasons, in the kernel."""

import statistics
import time
from itertools import cycle

import numpy as np

import overround as ov

SEASONS, MATCHES, BOOKS = 10, 380, 8
SPACE = {
    "reference": "sharp",
    "staking": "percentage",
    "min_edge": [round(0.005 * step, 3) for step in range(17)],
    "stake": [0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05],
}
MOST_MS = 100


def main() -> None:
    """Print what the sweep costs once, and what each move costs from then on."""
    _, quotes, results = ov.example(SEASONS * MATCHES, bookmakers=BOOKS, looks=2)
    ov.sweep(quotes, SPACE, results)  # compilers
    began = time.perf_counter()
    sweep = ov.sweep(quotes, SPACE, results)
    made = time.perf_counter() - began
    print(
        f"\nslider, {SEASONS} seasons of {MATCHES} matches, {BOOKS} bookmakers, "
        f"{len(quotes):,} prices, {sweep.tried} variants"
    )
    print(f"  the sweep, once                    {made:8.2f} s wall")
    moves = moved(ov.sliders(sweep))
    print(
        f"  a moved slider until its figure    {statistics.median(moves):8.2f} ms wall, "
        f"median of {len(moves)}; slowest {max(moves):.2f}"
    )
    assert statistics.median(moves) < MOST_MS, f"a slider takes more than {MOST_MS} ms"


def moved(sliders: object, times: int = 200) -> list[float]:
    """Milliseconds of so many moves, through the widgets as a browser moves them."""
    *found, shown = sliders.widget().children  # type: ignore[attr-defined]
    rng, taken = np.random.default_rng(1), []
    for one, _ in zip(cycle(found), range(times), strict=False):
        others = [value for _, value in one.options if value != one.value]
        before, value = shown.value, others[rng.integers(len(others))]
        began = time.perf_counter()
        one.value = value
        taken.append(1000 * (time.perf_counter() - began))
        assert shown.value != before
    return taken
