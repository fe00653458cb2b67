"""Results redrawn from the market's margin-free closing probabilities: one draw a match for all bets on it.

Whole lines push, and quarter lines end by halves, as often as among these bets.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.betting.book import BetArrays, ledger_arrays
from overround.grouping import group_codes
from overround.prices.commission import paid_out
from overround.stats import CHUNK


class Ways(NamedTuple):
    """The three ways in which each bet's selection can end, by the draw that it listens to."""

    draw: Whole  # (n_bets,)
    n: int  # number of draws
    chances: Floats  # (3, n_bets)
    ends: Floats  # (3, n_bets), as `settlement.settle` has it


def drawable(ledger: pd.DataFrame) -> pd.DataFrame:
    """The bets with money on them whose results can be drawn."""
    return ledger[can_be_drawn(ledger) & (ledger["stake"].to_numpy() > 0)]


def can_be_drawn(ledger: pd.DataFrame) -> NDArray[np.bool_]:
    """Which bets have a closing probability and are not void."""
    return ledger["closing_fair"].notna().to_numpy() & (ledger["result"] != "void").to_numpy(bool)


def ways_to_end(ledger: pd.DataFrame, bets: BetArrays) -> Ways:
    """The ways of the bets of a ledger; `bets` are its arrays. What cannot be drawn ends as it did."""
    kind, pick, ended = bets.kind, bets.pick, bets.ended
    p = ledger["closing_fair"].to_numpy(float)
    draw, n = group_codes(ledger[["event_id"]].assign(total=kind == 1), ("event_id", "total"))
    middle, ends = _middle(kind, pick, bets.line, ended)
    # the price that belongs to the closing probability is fair: chance to win + what the middle wins = p x
    # (all that is not returned)
    wins = p * (1 - np.where(ends == 0, middle, middle / 2)) - np.where(ends > 0, middle / 2, 0.0)
    wins = np.clip(wins, 0.0, 1 - middle)
    first, tie = pick == 0, pick == 1
    below_draw = _below_draw(draw, n, kind, pick, p)
    low = np.where(tie, below_draw, np.where(first, wins, 1 - wins - middle))
    between = np.where(tie, np.minimum(p, 1 - below_draw), middle)
    parts = [np.where(first, 1.0, -1.0), np.where(tie, 1.0, ends), np.where(first | tie, -1.0, 1.0)]
    known = can_be_drawn(ledger)
    low, between = np.where(known, low, 1.0), np.where(known, between, 0.0)
    return Ways(
        draw,
        n,
        np.stack([low, between, 1 - low - between]),
        np.stack([np.where(known, part, ended) for part in parts]),
    )


def ways_and_profits(ledger: pd.DataFrame) -> tuple[Ways, Floats]:
    """The ways of a ledger's bets and the profit in each, shape (3, n_bets), at the ledger's stakes."""
    bets = ledger_arrays(ledger)
    ways = ways_to_end(ledger, bets)
    kept = paid_out(ledger["bookmaker"])
    won, lost = np.maximum(ways.ends, 0.0), np.maximum(np.negative(ways.ends), 0.0)
    odds = bets.price - 1
    unit = np.where(bets.lay, lost * kept - won * odds, won * odds * kept - lost)
    return ways, unit * ledger["stake"].to_numpy(float)


def _middle(kind: NDArray, picked: NDArray, line: Floats, ended: Floats) -> tuple[Floats, Floats]:
    """Chance that a score falls on the line, as among these bets, and how the selection ends then."""
    rest = np.mod(np.nan_to_num(line), 1.0)
    of_quarter = np.select([np.abs(rest - 0.25) < 1e-9, np.abs(rest - 0.75) < 1e-9], [-0.5, 0.5], 0.0)
    # a total of 2.25 loses half of "over" at two goals; a handicap of +0.25 wins half of "home" at a draw
    ends = of_quarter * np.where(kind == 2, -1.0, 1.0) * np.where(picked == 0, 1.0, -1.0)
    chance = np.zeros(len(kind))
    # match odds of two ways, of kind 3, are a whole line of their own
    for market in (1, 2, 3):
        for some in ((kind == market) & (rest < 1e-9), (kind == market) & (of_quarter != 0)):
            decided = some & ~np.isnan(ended)
            if decided.any():
                chance[some] = (np.abs(ended[decided]) < 0.75).mean()
    return chance, ends


def _below_draw(match: NDArray[np.int64], n: int, kind: NDArray, picked: NDArray, p: Floats) -> Floats:
    """Where a draw begins: above the home win if known, else below the away win, else in the middle."""
    home, away = np.full(n, np.nan), np.full(n, np.nan)
    three_way = (kind == 0) & ~np.isnan(p)
    home[match[three_way & (picked == 0)]] = p[three_way & (picked == 0)]
    away[match[three_way & (picked == 2)]] = p[three_way & (picked == 2)]
    below = np.where(np.isnan(home[match]), 1 - away[match] - p, home[match])
    return np.clip(np.where(np.isnan(below), (1 - p) / 2, below), 0.0, 1.0)


def moments_of_profit(bets: pd.DataFrame) -> tuple[Floats, Floats]:
    """Mean and variance of each bet's profit by the close, or by its own price if it has no close."""
    ways, profits = ways_and_profits(bets.assign(closing_fair=bets["closing_fair"].fillna(1 / bets["price"])))
    chances = ways.chances
    mean = (chances * profits).sum(axis=0)
    return mean, (chances * (profits - mean) ** 2).sum(axis=0)


def drawn_ways(
    draw: NDArray[np.int64], n: int, chances: Floats, simulations: int, seed: int
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Blocks of histories: which selections end in their middle way, and which in their last.

    Each block is a pair of arrays of shape (histories, selections). One number from 0 to 1 is drawn for the
    goals of a match and one for its winner and margin of victory; the ways lie side by side in that range.
    """
    low, high = chances[0], chances[0] + chances[1]
    rng = np.random.default_rng(seed)
    block = max(1, CHUNK // max(n, len(draw), 1))
    for begin in range(0, simulations, block):
        number = rng.random((min(block, simulations - begin), n))[:, draw]
        yield (number >= low) & (number < high), number >= high
