"""From a slider that has been moved to the new figure, on ten seasons: in the kernel, where all of the waiting is ours."""

import statistics
import time
from itertools import cycle

import numpy as np
import pandas as pd

import overround as ov

SEASONS, MATCHES, BOOKS = 10, 380, 8
SPACE = {
    "reference": "book 0", "staking": "percentage", "min_edge": [round(0.005 * step, 3) for step in range(17)],
    "stake": [0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05],
}  # fmt: skip
MOST_MS = 100


def main() -> None:
    """Print what the sweep costs once, and what each move costs from then on."""
    quotes, results = ten_seasons()
    ov.sweep(quotes, SPACE, results)  # compilers
    began = time.perf_counter()
    sweep = ov.sweep(quotes, SPACE, results)
    made = time.perf_counter() - began
    print(f"\nslider, {SEASONS} seasons of {MATCHES} matches, {BOOKS} bookmakers, {len(quotes):,} prices, {sweep.tried} variants")
    print(f"  the sweep, once                    {made:8.2f} s wall")
    moves = moved(ov.sliders(sweep))
    print(f"  a moved slider until its figure    {statistics.median(moves):8.2f} ms wall, median of {len(moves)}; slowest {max(moves):.2f}")
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


def ten_seasons(seasons: int = SEASONS) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Early and closing prices of a league as football-data.co.uk has them, drawn with a seed, and how the matches ended."""
    rng = np.random.default_rng(7)
    n = seasons * MATCHES
    fair = rng.dirichlet([6, 3.5, 4], n) * 0.85 + 0.05
    number = np.arange(n)
    start = pd.Timestamp("2015-08-01 15:00", tz="UTC") + pd.to_timedelta(365 * (number // MATCHES) + 7 * (number % MATCHES // 10), unit="D")
    start = pd.Series(start.astype("datetime64[us, UTC]"))
    season = (2015 + number // MATCHES).astype(str)
    matches = pd.DataFrame({"event_id": [f"match {i:05d}" for i in number], "starts_at": start, "competition": "L1", "season": season})
    parts = []
    for phase, noise in (("early", 0.03), ("close", 0.01)):
        for book in range(BOOKS):
            seen = fair * np.exp(rng.normal(0, noise * (0.3 if book == 0 else 1.0), fair.shape))
            price = np.maximum(np.round(1 / (seen / seen.sum(axis=1, keepdims=True) * (1.02 + 0.006 * book)), 2), 1.01)
            collected = start - pd.Timedelta(hours=48 if phase == "early" else 0)
            for slot, outcome in enumerate(("home", "draw", "away")):
                parts.append(matches.assign(
                    bookmaker=f"book {book}", market="h2h", line=np.nan, outcome=outcome, phase=phase, price=price[:, slot],
                    observed_at=pd.Series(pd.NaT, matches.index, "datetime64[us, UTC]"), collected_at=collected, source="drawn",
                ))  # fmt: skip
    won = (rng.random(n)[:, None] > fair.cumsum(axis=1) / fair.sum(axis=1, keepdims=True)).sum(axis=1)
    results = matches.drop(columns="starts_at").assign(
        home_score=np.where(won == 0, 1, 0), away_score=np.where(won == 2, 1, 0), status="final", starts_at=start,
        settled_at=pd.Series(pd.NaT, matches.index, "datetime64[us, UTC]"),
    )  # fmt: skip
    return pd.concat(parts, ignore_index=True), results
