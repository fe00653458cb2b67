"""What a sweep is worth: its best variants, their neighbours, and picks by the past alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.betting.staking import Flat, TargetProfit
from overround.errors import ParameterError
from overround.formatting import percent
from overround.stats import Z, quotient, residual_variance
from overround.sweeps.result import Sweep
from overround.sweeps.space import rule_of, spelled
from overround.times import DAY_US, as_times

_FIGURES = (
    "bets",
    "yield",
    "low",
    "high",
    "max_drawdown",
    "clv",
    "luck_p",
    "luck_p_adjusted",
    "p",
    "p_adjusted",
)
_NEAREST = 4
MEASURES = ("statistic", "yield")


def top_variants(sweep: Sweep, most: int = 10) -> pd.DataFrame:
    """The most significant variants, best first: their varied parameters and figures; index variant.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> len(ov.sweeps.top_variants(swept, most=2))
    2
    """
    table = sweep.table[sweep.table["bets"] > 0].sort_values(
        ["p_adjusted", "p", "statistic"], ascending=[True, True, False], kind="stable"
    )
    shown = table.head(most)[[*sweep.varied, *_FIGURES]]
    shown = shown.assign(**{name: [spelled(value) for value in shown[name]] for name in sweep.varied})
    shown.attrs = {
        "says": f"Ordered by significance, of {sweep.tried:,} variants that were tried; "
        "p adjusted counts all of them."
    }
    return shown


def stability(sweep: Sweep) -> pd.DataFrame:
    """Whether the neighbours of a variant win too: an isolated peak is more often luck than a plateau.

    Neighbours on a grid differ in one parameter, by one step if its values are numbers. In a sample they are
    the four nearest by the ranks of their numbers, everything else equal.

    Returns
    -------
    DataFrame
        Index variant; yield, neighbours (how many that bet), neighbour_yield (their mean), neighbours_winning
        (share with a profit).

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> len(ov.sweeps.stability(swept))
    3
    """
    value = sweep.table["yield"].to_numpy(float)
    steps = _on_grid(sweep)
    if sweep.tried > 1 and sum(len(near) > 0 for near in steps) < len(steps) / 2:
        steps = _nearest(sweep)
    rows = []
    for near in steps:
        known = value[near][~np.isnan(value[near])]
        rows.append(
            (len(known), known.mean() if len(known) else np.nan, (known > 0).mean() if len(known) else np.nan)
        )
    found = pd.DataFrame(
        rows, index=sweep.table.index, columns=["neighbours", "neighbour_yield", "neighbours_winning"]
    )
    return pd.concat([sweep.table["yield"], found], axis=1)


@dataclass(frozen=True, eq=False)
class Choices:
    """The variant that one would have picked in each period.

    Attributes
    ----------
    periods : DataFrame
        Index begin; variant (-1: none had a profit so far), label, statistic (of the past), staked, profit.
    daily : DataFrame
        Index day; profit and staked of the picks; profit and staked of the variant that is best in hindsight
        over the same days.
    value, low, high : float
        Yield of the picks with its 95 % interval, by the residuals of the days.
    """

    periods: pd.DataFrame
    daily: pd.DataFrame
    value: float
    low: float
    high: float


def walk_forward_choice(
    sweep: Sweep,
    *,
    every_days: float = 30,
    window_days: float | None = None,
    measure: str = "statistic",
    least_days: int = 20,
) -> Choices:
    """The variant that was best so far at the start of each period, and its profit until the next.

    A match day counts as past once the last bet on it, of any variant, is settled, and belongs to the period
    when the first bet on it could be placed: no pick knows a result of its own period. Stakes that are shares
    of the bankroll are scaled from the variant's bankroll to that of a bettor who follows the picks; level
    stakes are not.

    Parameters
    ----------
    sweep : Sweep
        What `sweep` returned.
    every_days : float
        Length of a period.
    window_days : float, optional
        Length of the past that counts; by default all of it.
    measure : str
        "statistic": the past mean daily profit in standard errors; "yield": past profit over stakes.
    least_days : int
        Past days with a bet that a variant needs. Nothing is bet while no variant has that many and a profit.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> choices = ov.sweeps.walk_forward_choice(swept, every_days=7, least_days=2)
    >>> type(choices).__name__
    'Choices'
    """
    if measure not in MEASURES:
        raise ParameterError(f"measure {measure!r} is unknown; there are {', '.join(MEASURES)}.")
    if not every_days > 0 or (window_days is not None and not window_days > 0):
        raise ParameterError(
            f"every_days is {every_days} and window_days {window_days}; both are days, above 0."
        )
    rules = [rule_of(row, sweep.bankroll) for row in sweep.table.to_dict("records")]
    begins, rows, daily = [], [], np.zeros((len(sweep.days), 2))
    for begin, past, now in _periods(sweep, every_days, window_days):
        score = _score(sweep.profit[:, past], sweep.staked[:, past], measure, least_days)
        pick = int(score.argmax()) if len(score) else -1
        begins.append(begin)
        if pick < 0 or not score[pick] > 0:
            rows.append((-1, "none", np.nan, 0.0, 0.0))
            continue
        settled = sweep.known_at <= begin
        follower, own = (
            sweep.bankroll + part[settled].sum(dtype=float) for part in (daily[:, 0], sweep.profit[pick])
        )
        scale = 1.0 if isinstance(rules[pick], Flat | TargetProfit) else max(follower, 0.0) / own
        daily[now] = scale * np.stack([sweep.profit[pick, now], sweep.staked[pick, now]], axis=1)
        profit, staked = daily[now].sum(axis=0)
        rows.append((sweep.table.index[pick], sweep.labels.iloc[pick], score[pick], staked, profit))
    index = pd.DatetimeIndex(as_times(np.array(begins, np.int64)), name="begin")
    periods = pd.DataFrame(rows, index=index, columns=["variant", "label", "statistic", "staked", "profit"])
    return Choices(periods, _beside_hindsight(sweep, daily), *_yield(daily))


def sweep_verdict(sweep: Sweep, choices: Choices | None = None) -> str:
    """The result of a sweep in one or two sentences, with the number of variants tried.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> "3" in ov.sweeps.sweep_verdict(swept)
    True
    """
    attrs, table = sweep.table.attrs, sweep.table
    if not table["bets"].any():
        return f"None of {sweep.tried:,} variants placed a bet."
    best = table.loc[attrs["best"]]
    alone, by = ("luck_p", "luck alone does as well")
    if np.isnan(best["luck_p_adjusted"]):
        alone, by = ("p", "its days drawn anew do as well")
    corrected = best[f"{alone}_adjusted"]
    found = "An edge" if corrected <= 0.05 and best["low"] > 0 else "Nothing"
    text = (
        f"{found} that the search does not explain. "
        f"The best of {sweep.tried:,} variants ({sweep.labels[attrs['best']]}) "
        f"yields {percent(best['yield'])} "
        f"({percent(best['low'])} to {percent(best['high'])}) on {int(best['bets']):,} bets: "
        f"{by} in {percent(best[alone])} of histories, as the best of all in up to {percent(corrected)}."
    )
    if choices is None:
        return text
    if not choices.periods["staked"].any():
        return f"{text} Picked by the past alone, none would have been bet."
    span = f"{percent(choices.low)} to {percent(choices.high)}"
    return f"{text} Picked by the past alone, variants yield {percent(choices.value)} ({span})."


def _periods(
    sweep: Sweep, every_days: float, window_days: float | None
) -> Iterator[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Start of each period, the days known by then, and the days whose bets begin in it."""
    if not len(sweep.days):
        return
    length, day = round(every_days * DAY_US), sweep.days.to_numpy("M8[us]").view(np.int64)
    first, last = int(sweep.placed_from.min()), int(sweep.placed_from.max())
    for begin in range(first, last + 1, length):
        past = sweep.known_at <= begin
        if window_days is not None:
            past &= day >= begin - round(window_days * DAY_US)
        now = (sweep.placed_from >= begin) & (sweep.placed_from < begin + length)
        if now.any():
            yield begin, past, now


def _score(profit: NDArray[np.float32], staked: NDArray[np.float32], measure: str, least_days: int) -> Floats:
    """Score of each variant on these days; minus infinity if it bet on too few of them."""
    total, n = profit.sum(axis=1, dtype=float), profit.shape[1]
    enough = (staked > 0).sum(axis=1) >= max(least_days, 2)
    if measure == "yield":
        below = staked.sum(axis=1, dtype=float)
    else:
        squares = np.einsum("ij,ij->i", profit, profit, dtype=float)
        below = np.sqrt(np.maximum(squares - total**2 / max(n, 1), 0.0))
    return np.where(enough & (below > 0), total / np.where(below > 0, below, 1.0), -np.inf)


def _beside_hindsight(sweep: Sweep, daily: Floats) -> pd.DataFrame:
    frame = pd.DataFrame(daily, index=sweep.days, columns=["profit", "staked"])
    best = sweep.table.index.get_loc(sweep.table.attrs["best"])
    # from the first pick on: before it nothing could have been chosen
    started = np.flatnonzero(frame["staked"].to_numpy() > 0)
    frame["hindsight_profit"] = sweep.profit[best].astype(float)
    frame["hindsight_staked"] = sweep.staked[best].astype(float)
    return frame.iloc[started[0] :] if len(started) else frame.iloc[:0]


def _yield(daily: Floats) -> tuple[float, float, float]:
    sums = daily[daily[:, 1] > 0][:, ::-1]
    if len(sums) < 2:
        return np.nan, np.nan, np.nan
    value, error = quotient(sums.sum(axis=0)), np.sqrt(residual_variance(sums)) / sums[:, 0].sum()
    return float(value), float(value - Z * error), float(value + Z * error)


def _codes(sweep: Sweep) -> tuple[NDArray[np.int64], list[bool]]:
    """Rank of each varied parameter's value among its values, and whether they are numbers."""
    columns, numeric = [], []
    for name in sweep.varied:
        values = sweep.table[name]
        numeric.append(bool(pd.api.types.is_float_dtype(values.dtype)))
        columns.append(pd.factorize(values if numeric[-1] else values.map(repr), sort=True)[0])
    return np.array(columns, np.int64).reshape(len(columns), len(sweep.table)).T, numeric


def _on_grid(sweep: Sweep) -> list[list[int]]:
    codes, numeric = _codes(sweep)
    where = {tuple(row): place for place, row in enumerate(codes.tolist())}
    found: list[list[int]] = []
    for row in codes.tolist():
        near = []
        for place, is_number in enumerate(numeric):
            steps = (row[place] - 1, row[place] + 1) if is_number else range(int(codes[:, place].max()) + 1)
            others = [(*row[:place], step, *row[place + 1 :]) for step in steps if step != row[place]]
            near += [where[other] for other in others if other in where]
        found.append(near)
    return found


def _nearest(sweep: Sweep) -> list[list[int]]:
    from scipy.spatial import cKDTree

    codes, numeric = _codes(sweep)
    scaled = codes / np.maximum(codes.max(axis=0, initial=1), 1)
    # a difference in anything but a number puts variants too far apart to be neighbours
    scaled = np.where(numeric, scaled, 1e3 * codes)
    distance, near = cKDTree(scaled).query(scaled, k=range(2, 2 + min(_NEAREST, len(scaled) - 1)))
    return [one[far < 1e2].tolist() for one, far in zip(near, distance, strict=True)]
