"""The worth of a result after many strategies were tried: tests of all of them together."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from overround._typing import Floats
from overround.errors import ParameterError
from overround.evaluation.null_histories import Null, null_of_days, null_of_market
from overround.evaluation.redrawn_results import drawable
from overround.stats import CHUNK, day, step_down

Tried: TypeAlias = Mapping[str, pd.DataFrame] | pd.DataFrame | Floats

# a day's luck is drawn anew from the days themselves, or from the market's own probabilities
HISTORIES = ("days", "market")


def correct_for_search(
    tried: Tried,
    *,
    histories: str = "days",
    simulations: int = 2_000,
    block_days: float = 1,
    bootstrap: str = "stationary",
    studentized: bool = True,
    statistics: ArrayLike | None = None,
    seed: int = 7,
) -> pd.DataFrame:
    """p-values of all strategies that were tried, corrected for having tried them.

    Parameters
    ----------
    tried : mapping of str to DataFrame, or DataFrame or ndarray of shape (n_days, n_strategies)
        A ledger for each strategy, or profit by day and strategy (`daily_profits`). All that were tried
        belong here, not only those that looked good.
    histories : str
        "days": match days are drawn with replacement. "market": results are drawn from the market's
        margin-free closing probabilities, one draw a market for all strategies, as in `luck_test`; it needs
        ledgers with `closing_fair`.
    simulations : int
        Histories.
    block_days, bootstrap : float, str
        As in `overround.stats.day_draws`, for "days".
    studentized : bool
        Whether each strategy's profit is divided by its standard error (Hansen 2005). Without it strategies
        with large stakes decide.
    statistics : array_like, shape (n_strategies,), optional
        What is corrected in place of profit over its standard error, likewise in standard errors: the scores
        of luck tests, for instance. How they depend on each other is taken from the histories; a strategy
        with NaN is as one that never bet.
    seed : int
        Of the histories.

    Returns
    -------
    DataFrame
        Index: strategy, in the order given. Columns profit, statistic, p (of this strategy alone, one-sided),
        p_adjusted (for all, Romano-Wolf step-down); p NaN where no bet of any can be tested. `attrs`: tried;
        best (the strategy of the largest statistic); reality_check (White's p that the best has no edge: not
        studentized, all strategies as good as nothing); spa_lower, spa_consistent, spa_upper (Hansen's). The
        step-down uses Hansen's consistent centring.

    Raises
    ------
    ParameterError
        No strategy, an unknown kind of histories, a matrix with holes, a matrix for "market".

    References
    ----------
    White (2000), Econometrica 68, 1097-1126. Hansen (2005), Journal of Business & Economic Statistics 23,
    365-380. Romano and Wolf (2005), Econometrica 73, 1237-1282.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> found = ov.correct_for_search(ledgers, simulations=500)
    >>> bool((found["p_adjusted"] >= found["p"]).all())
    True
    """
    if (
        isinstance(tried, Mapping)
        and tried
        and not any(len(drawable(one) if histories == "market" else one) for one in tried.values())
    ):
        return untested(pd.Series({name: one["profit"].sum() for name, one in tried.items()}))
    given = None if statistics is None else np.asarray(statistics, float)
    return _judged(_null(tried, histories, simulations, block_days, bootstrap, seed), studentized, given)


def luck_of_the_best(
    ledgers: Mapping[str, pd.DataFrame], *, simulations: int = 10_000, seed: int = 7
) -> dict[str, Any]:
    """The worth of the best of these strategies, and what the best of as many shows by luck alone.

    Histories are those of `luck_test`, with one draw a market for all strategies: strategies that share bets
    share their luck.

    Returns
    -------
    dict
        best: its name (largest profit in standard errors); yield and p: of its tested bets alone;
        p_corrected: chance that the best of all does as well by luck (Hansen's consistent p); tried: how
        many; yield_by_luck: median over histories of the yield of the strategy that is best in each.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> tried = {"all": ledger, "home": ledger[ledger["outcome"] == "home"]}
    >>> best = ov.evaluation.luck_of_the_best(tried, simulations=500)
    >>> best["best"] in ("all", "home")
    True
    """
    null = _null(ledgers, "market", simulations, 1, "stationary", seed)
    table, staked = _judged(null), np.asarray(null.staked)
    at = int(null.names.get_loc(table.attrs["best"]))
    profit = null.drawn(np.arange(len(null.names))) + null.poor["consistent"]
    winner = np.divide(profit, null.error, out=np.full_like(profit, -np.inf), where=null.error > 0).argmax(
        axis=1
    )
    by_luck = profit[np.arange(len(winner)), winner] / staked[winner]
    return {
        "best": table.attrs["best"],
        "yield": float(null.observed[at] / staked[at]),
        "p": float(table["p"].iloc[at]),
        "p_corrected": table.attrs["spa_consistent"],
        "tried": len(table),
        "yield_by_luck": float(np.median(by_luck)),
    }


def deflated_p(p: float, tried: float) -> float:
    """p-value of the best of several strategies if only their number is known: 1 - (1 - p)^tried.

    Exact for independent strategies, conservative for those that move together, as variants of one idea do:
    with their ledgers use `luck_of_the_best`, or give their `effective_number`. Source: Šidák (1967), JASA
    62, 626-633.

    Examples
    --------
    >>> import overround as ov
    >>> round(ov.evaluation.deflated_p(0.01, tried=20), 3)
    0.182
    """
    if not tried >= 1:
        raise ParameterError(f"tried is {tried}; at least 1 strategy was tried, the one that is shown.")
    # by logarithms: a small p is not lost in 1 - p
    return float(-np.expm1(tried * np.log1p(-p))) if p != 1 else 1.0


def effective_number(tried: Tried) -> float:
    """Number of independent strategies that these amount to: 1 for copies, all if profits are uncorrelated.

    Eigenvalues of the correlation matrix, (sum of roots)^2 / sum. Source: Galwey (2009), Genetic Epidemiology
    33, 559-568. With few days a correlation by chance lowers it.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> 1 <= ov.evaluation.effective_number(ledgers) <= 2
    True
    """
    profits = _matrix(tried).to_numpy()
    spread = profits.std(axis=0)
    moving = (profits - profits.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    if not moving.size:
        return 1.0
    # the smaller of the two products has the same eigenvalues other than 0
    product = moving.T @ moving if moving.shape[1] < len(moving) else moving @ moving.T
    values = np.maximum(np.linalg.eigvalsh(product), 0)
    return float(np.sqrt(values).sum() ** 2 / values.sum())


def backtest_overfitting(tried: Tried, *, blocks: int = 16) -> dict[str, float]:
    """Probability that the best strategy of one half of the time is below the median in the other half.

    Time is cut into blocks; every choice of half of them is once what the strategy is chosen on, with the
    rest to judge it (combinatorially symmetric cross-validation). The measure is the Sharpe ratio of daily
    profits.

    Parameters
    ----------
    tried : mapping or matrix
        As in `correct_for_search`, two strategies at least.
    blocks : int
        Even; 16 make 12,870 choices.

    Returns
    -------
    dict
        pbo: the probability, about one half for strategies without an edge; loss: share of choices whose
        winner loses money in the other half; rank: mean rank of the winner there, 0 worst to 1 best; choices:
        how many there are.

    References
    ----------
    Bailey, Borwein, López de Prado and Zhu (2017), Journal of Computational Finance 20, 39-69.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> sorted(ov.evaluation.backtest_overfitting(ledgers, blocks=4))
    ['choices', 'loss', 'pbo', 'rank']
    """
    profits = _matrix(tried)
    if blocks < 2 or blocks % 2 or blocks > len(profits):
        raise ParameterError(
            f"blocks is {blocks}; it must be even, at least 2 and at most {len(profits)}, the number of days."
        )
    if profits.shape[1] < 2:
        raise ParameterError("overfitting is the loss of choosing: it needs at least two strategies.")
    parts = np.array_split(profits.to_numpy(), blocks)
    size = np.array([len(part) for part in parts], float)
    total, squares = (np.stack([(part**power).sum(axis=0) for part in parts]) for power in (1, 2))
    chosen = np.array(
        [[i in half for i in range(blocks)] for half in map(set, combinations(range(blocks), blocks // 2))],
        float,
    )
    ranks, earned = [], []
    step = max(1, CHUNK // profits.shape[1])
    for begin in range(0, len(chosen), step):
        half = chosen[begin : begin + step]
        inside, outside = (_sharpe(some @ size, some @ total, some @ squares) for some in (half, 1 - half))
        winner = inside.argmax(axis=1)[:, None]
        mine = np.take_along_axis(outside, winner, axis=1)
        # ties count half: strategies that are the same share their rank
        ranks.append(
            ((outside < mine).sum(axis=1) + ((outside == mine).sum(axis=1) + 1) / 2) / (outside.shape[1] + 1)
        )
        earned.append(np.take_along_axis((1 - half) @ total, winner, axis=1)[:, 0])
    rank, money = np.concatenate(ranks), np.concatenate(earned)
    return {
        "pbo": float((rank <= 0.5).mean()),
        "loss": float((money < 0).mean()),
        "rank": float(rank.mean()),
        "choices": len(rank),
    }


def daily_profits(ledgers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Profit by match day (index) and strategy (columns), 0 where a strategy had no bet.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> ov.evaluation.daily_profits(ledgers).columns.tolist()
    ['1%', '3%']
    """
    if not ledgers:
        raise ParameterError("no ledger was given; at least one strategy was tried.")
    sums = {name: ledger["profit"].groupby(day(ledger)).sum() for name, ledger in ledgers.items()}
    days = pd.DatetimeIndex(sorted(set().union(*(one.index for one in sums.values()))), name="day")
    return pd.DataFrame({name: one.reindex(days, fill_value=0.0) for name, one in sums.items()}, index=days)


def _matrix(tried: Tried) -> pd.DataFrame:
    profits = daily_profits(tried) if isinstance(tried, Mapping) else pd.DataFrame(tried)
    if not profits.size:
        raise ParameterError("there is no day with a bet: nothing was tried.")
    if any(kind.kind != "f" for kind in profits.dtypes):
        profits = profits.astype(float)
    # the sum of what is finite is finite, unless it is beyond all numbers
    if not np.isfinite(profits.to_numpy().sum(dtype=float)):
        raise ParameterError("daily profits have holes; a day without a bet has the profit 0.")
    return profits


def _null(
    tried: Tried, histories: str, simulations: int, block_days: float, bootstrap: str, seed: int
) -> Null:
    if histories not in HISTORIES:
        raise ParameterError(f"histories {histories!r} is unknown; there are {', '.join(HISTORIES)}.")
    if histories == "days":
        return null_of_days(_matrix(tried), simulations, block_days, bootstrap, seed)
    if not isinstance(tried, Mapping) or not tried:
        raise ParameterError(
            "histories of the market need a ledger for each strategy; daily profits do not say what was bet."
        )
    return null_of_market(tried, simulations, seed)


def untested(profit: pd.Series) -> pd.DataFrame:
    """What `correct_for_search` returns where no bet of any strategy can be tested."""
    table = profit.to_frame("profit").assign(statistic=np.nan, p=np.nan, p_adjusted=np.nan)
    unknown = dict.fromkeys(("reality_check", "spa_lower", "spa_consistent", "spa_upper"), np.nan)
    table.attrs.update(tried=len(table), best=table.index[0], **unknown)
    return table


def _judged(null: Null, studentized: bool = True, statistics: Floats | None = None) -> pd.DataFrame:
    error = null.error if studentized else np.ones_like(null.error)
    # a strategy that never bet cannot win, here or in any history
    idle = null.error <= 0
    if statistics is not None:
        idle = idle | np.isnan(statistics)
    scale = np.where(idle, 1.0, error)
    statistic = np.where(idle, -np.inf, null.observed / scale if statistics is None else statistics)
    n, k = null.simulations, len(statistic)
    p = np.ones(k)
    highest = {name: np.full(n, -np.inf) for name in (*null.poor, "white")}

    def drawn_of(at: NDArray[np.intp]) -> NDArray[np.floating]:
        """Hansen's consistent statistics of these strategies; notes their own p and all maxima on the way."""
        drawn = null.drawn(at)
        highest["white"] = np.maximum(highest["white"], drawn.max(axis=1, where=~idle[at], initial=-np.inf))
        drawn /= scale[at].astype(drawn.dtype)
        drawn[:, idle[at]] = -np.inf
        own = drawn + (null.alone[at] / scale[at]).astype(drawn.dtype)
        p[at] = np.where(idle[at], 1.0, (1 + (own >= statistic[at]).sum(axis=0)) / (1 + n))
        moved = {name: drawn + (poor[at] / scale[at]).astype(drawn.dtype) for name, poor in null.poor.items()}
        for name, values in moved.items():
            highest[name] = np.maximum(highest[name], values.max(axis=1))
        return moved["consistent"]

    adjusted = step_down(statistic, drawn_of, n)
    table = pd.DataFrame(
        {
            "profit": null.profit,
            "statistic": np.where(idle, np.nan, statistic),
            "p": p,
            "p_adjusted": np.where(idle, 1.0, np.maximum(adjusted, p)),
        },
        index=null.names,
    )
    best = max(float(statistic.max()), 0.0)
    spa = {f"spa_{name}": _share(highest[name], best) for name in null.poor}
    white = _share(highest["white"], max(float(null.observed.max(where=~idle, initial=0.0)), 0.0))
    table.attrs.update(tried=k, best=null.names[int(statistic.argmax())], reality_check=white, **spa)
    return table


def _sharpe(days: Floats, total: Floats, squares: Floats) -> Floats:
    mean = total / days[:, None]
    spread = np.sqrt(np.maximum(squares / days[:, None] - mean**2, 0))
    return np.divide(mean, spread, out=np.zeros_like(mean), where=spread > 1e-12)


def _share(drawn: NDArray[np.floating], best: float) -> float:
    # all zero is the least that a history's best can be: whoever need not bet cannot lose
    return float((1 + (np.maximum(drawn, 0.0) >= best).sum()) / (1 + len(drawn)))
