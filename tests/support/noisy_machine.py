"""Samples as a busy machine would give them."""

import numpy as np
import pandas as pd


def machine(rng: np.random.Generator, pairs: int, factor: float = 1.0, stage_s: float = 0.1) -> pd.DataFrame:
    """Samples in turns on a machine that for spells is up to 2.3 times as slow, with noise and single hiccups
    of its own.
    """
    busy, slow, rows = False, 1.0, []
    for pair in range(pairs):
        for side, true in (("A", stage_s), ("B", stage_s * factor)):
            if busy:
                busy = rng.random() < 0.7
            elif rng.random() < 0.1:
                busy, slow = True, rng.uniform(1.3, 2.3)
            spell = slow if busy else 1.0
            hiccup = rng.exponential(0.03) if rng.random() < 0.05 else 0.0
            rows.append(
                {
                    "workload": "w",
                    "pair": pair,
                    "side": side,
                    "wall_s": true * spell * rng.lognormal(0, 0.04) + hiccup,
                    "calibration_s": 0.02 * spell * rng.lognormal(0, 0.03),
                }
            )
    return pd.DataFrame(rows)
