"""An invented league over some months, priced by bookmakers of known sharpness that come and go."""

import numpy as np
import pandas as pd

from tests.support.books import quotes, result, results, three_way

BEGIN = pd.Timestamp("2024-08-03 14:00", tz="UTC")
# margin and noise of the logarithm of each bookmaker's probabilities
BOOKS = {"sharp": (0.025, 0.03), "good": (0.05, 0.06), "soft": (0.06, 0.15), "dull": (0.07, 0.3)}


def league(
    days=240, per_day=3, *, seed=5, books=BOOKS, here=lambda book, day: True, phases=("early", "close")
):
    """Matches every day from 3 August 2024 on, priced with noise by each bookmaker while it is `here`."""
    rng = np.random.default_rng(seed)
    groups, ended = [], []
    for match in range(days * per_day):
        day = BEGIN + pd.Timedelta(days=match // per_day)
        p = rng.dirichlet([5, 3, 4]) * 0.6 + 0.13
        won = rng.choice(3, p=p / p.sum())
        for book, (margin, noise) in books.items():
            q = p * np.exp(rng.normal(0, noise, 3))
            prices = tuple(1 / (q / q.sum() * (1 + margin)))
            if here(book, day):
                groups += [
                    three_way(f"m{match:04d}", book, prices, phase=phase, start=day) for phase in phases
                ]
        ended.append(result(f"m{match:04d}", int(won == 0), int(won == 2)))
    return quotes(*groups), results(*ended)
