"""What it costs to correct for a search, against arch's SPA and step-down test, in pairs.

1,000 strategies, 2,000 days, 2,000 resamples.
"""

import time

import numpy as np

from benchmarks.pairs import race
from overround import correct_for_search
from overround.evaluation import backtest_overfitting

STRATEGIES, DAYS, RESAMPLES = 1_000, 2_000, 2_000
BLOCK = 10


def main() -> None:
    """Race against arch, whose one round takes a minute or two, then say what our other parts cost."""
    from arch.bootstrap import SPA

    profits = np.random.default_rng(1).standard_t(4, (DAYS, STRATEGIES))

    def peer() -> None:
        SPA(np.zeros(DAYS), -profits, block_size=BLOCK, reps=RESAMPLES, seed=1).compute()

    def ours() -> None:
        correct_for_search(profits, block_days=BLOCK, simulations=RESAMPLES, studentized=False)

    ours()
    ratios = []
    print(
        f"\n{STRATEGIES:,} strategies, {DAYS:,} days, {RESAMPLES:,} resamples of blocks of {BLOCK} days: "
        "wall (CPU) s"
    )
    for _ in range(3):
        seconds = []
        for work in (peer, ours):
            began, began_cpu = time.perf_counter(), time.process_time()
            work()
            seconds += [time.perf_counter() - began, time.process_time() - began_cpu]
        ratios.append(seconds[0] / seconds[2])
        pairs = (("arch SPA", *seconds[:2]), ("overround, SPA and step-down", *seconds[2:]))
        print(
            "  "
            + "   ".join(f"{name} {wall:.2f} ({cpu:.2f})" for name, wall, cpu in pairs)
            + f"   {ratios[-1]:.0f} x"
        )
    print(f"  median ratio {np.median(ratios):.0f} x, smallest {min(ratios):.0f} x")
    race(
        "parts",
        {
            "SPA and step-down, blocks of days": ours,
            "SPA and step-down, single days": lambda: correct_for_search(profits, simulations=RESAMPLES),
            "probability of overfitting, 16 blocks": lambda: backtest_overfitting(profits),
        },
        rounds=3,
    )
