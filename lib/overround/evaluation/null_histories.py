"""Profits of many strategies in histories without an edge: resampled match days, or redrawn results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.errors import ParameterError
from overround.evaluation.redrawn_results import drawable, drawn_ways, ways_and_profits
from overround.grouping import SELECTION, group_codes
from overround.stats import resample


@dataclass(frozen=True)
class Null:
    """What K strategies earned, and what they earn in histories without an edge."""

    names: pd.Index
    profit: Floats  # (k,), all of it
    observed: Floats  # (k,), what is tested: mean profit a day, or profit
    error: Floats  # (k,), its standard error
    simulations: int
    # profits of these strategies, shape (simulations, chosen), centred on 0
    drawn: Callable[[NDArray[np.intp]], NDArray[np.floating]]
    # lower, consistent, upper: how far strategies that are worse than nothing lie below 0 in the histories
    poor: dict[str, Floats]
    alone: Floats  # the same for a strategy's own p: what the bets are worth at the histories' probabilities
    staked: Floats | None = None


def null_of_days(
    profits: pd.DataFrame, simulations: int, block_days: float, bootstrap: str, seed: int
) -> Null:
    """Days drawn with replacement from profits by day and strategy, each strategy's mean taken off.

    The bound for rivals too bad to count is that of Hansen (2005), Journal of Business and Economic
    Statistics 23, 365-380.
    """
    values = profits.to_numpy()
    n = len(values)
    mean = values.mean(axis=0, dtype=float)
    # float32 takes half the time; its error is a millionth of the resampling error
    deviations = np.subtract(values, mean, dtype=np.float32, casting="same_kind")

    def drawn(at: NDArray[np.intp]) -> NDArray[np.floating]:
        return resample(
            deviations[:, at], simulations, seed, block_days=block_days, bootstrap=bootstrap
        ) / np.float32(n)

    error = np.sqrt(np.maximum(_long_run_variance(deviations, block_days).astype(float), 0) / n)
    # Hansen's bound: worse than this is too bad to be a rival of the best
    bad = mean < -error * np.sqrt(2 * np.log(np.log(max(n, 3))))
    poor = {
        "lower": np.minimum(mean, 0.0),
        "consistent": np.where(bad, mean, 0.0),
        "upper": np.zeros_like(mean),
    }
    return Null(
        profits.columns,
        values.sum(axis=0, dtype=float),
        mean,
        error,
        simulations,
        drawn,
        poor,
        np.zeros_like(mean),
    )


def _long_run_variance(deviations: NDArray[np.floating], block_days: float) -> Floats:
    """Variance of a mean of dependent days, times their number, as the stationary bootstrap has it.

    All autocovariances at once by Fourier transform, weighted as in Politis and Romano (1994), lemma 1.
    """
    n = len(deviations)
    if block_days <= 1:
        return np.einsum("ij,ij->j", deviations, deviations, dtype=float) / n
    from scipy import fft

    size = fft.next_fast_len(2 * n - 1, real=True)
    power = np.abs(fft.rfft(deviations, size, axis=0)) ** 2
    covariance = fft.irfft(power, size, axis=0)[:n] / n
    lag = np.arange(n)
    goes_on = 1 - 1 / block_days
    weight = (1 - lag / n) * goes_on**lag + lag / n * goes_on ** (n - lag)
    weight[0] = 0.5
    return 2 * weight.astype(covariance.dtype) @ covariance


def null_of_market(ledgers: Mapping[str, pd.DataFrame], simulations: int, seed: int) -> Null:
    """Results redrawn from margin-free closing probabilities, one draw a market for all strategies.

    Raises
    ------
    ParameterError
        Where no bet has such a probability.
    """
    tested = [drawable(ledger) for ledger in ledgers.values()]
    bets = pd.concat(tested, ignore_index=True)
    if bets.empty:
        raise ParameterError("no bet has a closing probability: results cannot be drawn from the market.")
    strategy = np.repeat(np.arange(len(tested)), [len(one) for one in tested])
    shape = len(tested)
    # with a draw and without one a team to win is another selection
    ways = bets["ways"] if "ways" in bets else pd.Series(pd.NA, bets.index)
    selection, n = group_codes(bets[list(SELECTION)].assign(ways=ways), (*SELECTION, "ways"))
    (draw, draws, chances, _), profits = ways_and_profits(bets)
    # what each strategy gains where the draw of a selection ends in its middle way, or its last, over the
    # first
    gains = np.zeros((2, n, shape))
    for gain, way in zip(gains, profits[1:], strict=True):
        np.add.at(gain, (selection, strategy), way - profits[0])
    worth = np.bincount(strategy, (chances * profits).sum(axis=0), shape)
    _, one_each = np.unique(selection, return_index=True)
    ways = drawn_ways(draw[one_each], draws, chances[:, one_each], simulations, seed)
    drawn = np.concatenate(
        [middle.astype(float) @ gains[0] + last.astype(float) @ gains[1] for middle, last in ways]
    )
    drawn += np.bincount(strategy, profits[0], shape) - worth
    observed = np.bincount(strategy, bets["profit"], shape).astype(float)
    poor = np.minimum(worth, 0.0)
    return Null(
        pd.Index(ledgers),
        np.array([ledger["profit"].sum() for ledger in ledgers.values()]),
        observed,
        drawn.std(axis=0),
        simulations,
        lambda at: drawn[:, at],
        {"lower": poor, "consistent": poor, "upper": np.zeros_like(poor)},
        poor,
        np.bincount(strategy, bets["stake"], shape).astype(float),
    )
