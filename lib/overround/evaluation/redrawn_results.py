"""Results drawn anew from the market's margin-free closing probabilities, for many strategies at once: one draw a match for all of them.

Stakes are those of the ledgers; `luck_test` can size them anew, for one strategy. What a draw decides is the
same in both: lines push, and quarter lines end by halves, as often as among these bets.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.betting.settlement import is_lay
from overround.evaluation.luck import drawn_categories, how_ended
from overround.prices.commission import paid_out
from overround.stats import CHUNK


def ways_to_end(bets: pd.DataFrame) -> tuple[NDArray[np.int64], int, Floats, Floats]:
    """What a draw decides: the draw that each bet listens to, how many there are, and of its three ways the chances and the profits.

    Chances and profits have the shape (3, bets).
    """
    lay = is_lay(bets["side"])
    (draw, n), chances, ends = drawn_categories(bets, how_ended(bets, lay))
    kept = paid_out(bets["bookmaker"])
    won, lost = np.maximum(ends, 0.0), np.maximum(np.negative(ends), 0.0)
    odds = bets["price"].to_numpy(float) - 1
    profits = np.where(lay, lost * kept - won * odds, won * odds * kept - lost) * bets["stake"].to_numpy(
        float
    )
    return draw, n, np.stack(chances), profits


def moments_of_profit(bets: pd.DataFrame) -> tuple[Floats, Floats]:
    """Mean and variance of each bet's profit by the close, or by its own price where it has no close."""
    _, _, chances, profits = ways_to_end(
        bets.assign(closing_fair=bets["closing_fair"].fillna(1 / bets["price"]))
    )
    mean = (chances * profits).sum(axis=0)
    return mean, (chances * (profits - mean) ** 2).sum(axis=0)


def drawn_ways(
    draw: NDArray[np.int64], n: int, chances: Floats, simulations: int, seed: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Blocks of histories: whether what listens to these draws ends in its middle way, and in its last, shape (histories, draws) each.

    One number from 0 to 1 is drawn for the goals of a match and one for who wins by how much; the ways lie
    side by side in that range.
    """
    low, high = chances[0], chances[0] + chances[1]
    rng = np.random.default_rng(seed)
    block = max(1, CHUNK // max(n, len(draw), 1))
    for begin in range(0, simulations, block):
        number = rng.random((min(block, simulations - begin), n))[:, draw]
        yield (number >= low) & (number < high), number >= high
