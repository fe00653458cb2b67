"""Whether one of two programs is faster, from samples taken in turns on a machine with other load.

Both sides of a pair are measured one after the other, each together with a fixed calibration loop. A pair
whose loop was slow was measured while the machine was busy, and is set aside: this depends on the loop alone,
not on what is compared, so it favours neither side. Times of the remaining pairs are corrected by their
loops, as far as times and loops are correlated within each side.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError

WORSE, BETTER, NOISE = "worse", "better", "within noise"
LEAST_PAIRS = 5
_TELLING_PAIRS, _UNLIKELY = 8, 0.01
_LEVEL = 0.95
_BUSY = 1.25  # ratio to the lower quartile of a side's loops
_MOST_ASIDE = 0.5  # on a machine that is always busy the less busy half is compared
_FLOORED = ("wall_s", "own_s")
_TIMES = ("wall_s", "own_s", "cpu_s")  # metrics that a slow CPU makes longer
LOOPS = ("calibration_s", "calibration_own_s")  # with and without waiting for a CPU
_OWN = ("own_s", "cpu_s", "floor_s", "calibration_own_s")


@dataclass(frozen=True)
class Change:
    """One metric of one workload, before and after; lower is better.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> rows = [
    ...     {"workload": name, "pair": pair, "side": side, "wall_s": wall, "calibration_s": 0.05}
    ...     for name, after in (("read", 2.0), ("append", 1.02))
    ...     for pair in range(9)
    ...     for side, wall in (("A", 1 + pair / 100), ("B", after + pair / 100))
    ... ]
    >>> samples = pd.DataFrame(rows)
    >>> found = ov.measure.compare(samples[samples["workload"] == "append"], "wall_s")
    >>> isinstance(found, ov.measure.Change), found.verdict
    (True, 'within noise')
    """

    workload: str
    metric: str
    before: float
    after: float
    ratio: float
    low: float
    high: float
    verdict: str
    pairs: int
    set_aside: int
    floor: float = float("nan")

    def __str__(self) -> str:
        """The change with its interval and verdict."""
        aside = f", {self.set_aside} set aside" if self.set_aside else ""
        return f"{self.workload}, {self.metric}: {self.change()}, {self.verdict} ({self.pairs} pairs{aside})"

    def change(self) -> str:
        """The change in per cent, with its interval."""
        ratio, low, high = (f"{100 * (value - 1):+z.1f}" for value in (self.ratio, self.low, self.high))
        return f"{ratio} % ({low} to {high})".replace("-", "−")


def compare(
    samples: pd.DataFrame,
    metric: str = "wall_s",
    *,
    threshold: float = 0.05,
    resamples: int = 4000,
    seed: int = 0,
) -> Change:
    """Ratio of the medians of two sides, with a bootstrap interval over pairs.

    Parameters
    ----------
    samples : DataFrame
        One row per sample of one workload: pair, side ("A" before or "B" after), calibration_s, and the
        metric.
    metric : str
        A column in which less is better, such as wall_s, cpu_s or peak_mb.
    threshold : float
        Smaller changes count as noise, however significant.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    Change
        `verdict` is better or worse if the 95 % interval excludes 1 and the ratio is beyond the threshold,
        and within noise otherwise.

    Raises
    ------
    ParameterError
        There are fewer than five pairs, or the metric is missing or 0 in a sample (see `difference`).

    Notes
    -----
    Percentile bootstrap of the ratio of medians (Efron and Tibshirani 1993, An Introduction to the Bootstrap,
    chapter 13). Whole pairs are drawn, so that a slowdown of both sides of a pair counts once, not twice.
    With eight quiet pairs or more, times are `corrected` to the usual speed of the machine, unless one side
    slows the loop itself.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> rows = [
    ...     {"workload": name, "pair": pair, "side": side, "wall_s": wall, "calibration_s": 0.05}
    ...     for name, after in (("read", 2.0), ("append", 1.02))
    ...     for pair in range(9)
    ...     for side, wall in (("A", 1 + pair / 100), ("B", after + pair / 100))
    ... ]
    >>> samples = pd.DataFrame(rows)
    >>> print(ov.measure.compare(samples[samples["workload"] == "read"], "wall_s"))
    read, wall_s: +96.2 % (+93.5 to +99.0), worse (9 pairs)
    """
    before, after, draws, aside = _draws(samples, metric, resamples, seed)
    name = str(samples["workload"].iloc[0]) if "workload" in samples else ""
    if min(*before, *after) <= 0:
        raise ParameterError(f"{name or 'a comparison'}: {metric} is 0 in some samples, which have no ratio.")
    ratio = float(np.median(after) / np.median(before))
    ratios = np.median(after[draws], axis=1) / np.median(before[draws], axis=1)
    low, high = np.quantile(ratios, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    floor = (
        float(samples["floor_s"].median()) if metric in _FLOORED and "floor_s" in samples else float("nan")
    )
    return Change(
        name,
        metric,
        float(np.median(before)),
        float(np.median(after)),
        ratio,
        float(low),
        float(high),
        _verdict(ratio, low, high, threshold),
        len(before),
        aside,
        floor,
    )


def difference(
    samples: pd.DataFrame, metric: str, *, resamples: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of medians, B minus A, with its 95 % interval, for metrics that may be 0 and have no ratio.

    Parameters and errors are those of `compare`.
    """
    before, after, draws, _ = _draws(samples, metric, resamples, seed)
    moved = np.median(after[draws], axis=1) - np.median(before[draws], axis=1)
    low, high = np.quantile(moved, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(np.median(after) - np.median(before)), float(low), float(high)


def pairs_of(samples: pd.DataFrame, metric: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Both sides of each pair (n pairs x 2), times `corrected` where that is fair; the mask of quiet pairs.

    Parameters and errors are those of `compare`.
    """
    loop = loop_of(samples, metric)
    if missing := [column for column in ("pair", "side", metric, loop) if column not in samples]:
        raise ParameterError(
            f"samples have no {missing[0]!r}; they have {', '.join(map(str, samples.columns))}."
        )
    name = str(samples["workload"].iloc[0]) if "workload" in samples and len(samples) else ""
    wide = samples.pivot_table(index="pair", columns="side", values=[metric, loop], aggfunc="median")
    values, calibration = (
        wide.reindex(columns=[(one, "A"), (one, "B")]).to_numpy(float) for one in (metric, loop)
    )
    # a loop of 0 s was not timed
    whole = np.isfinite(values).all(axis=1) & (calibration > 0).all(axis=1)
    if whole.sum() < LEAST_PAIRS:
        raise ParameterError(
            f"{name or 'a comparison'} has {whole.sum()} pairs of samples with {metric} "
            f"and a timed loop on both sides; at least {LEAST_PAIRS} are needed."
        )
    values, calibration = values[whole], calibration[whole]
    quiet = quiet_pairs(calibration)
    if metric in _TIMES and _is_chance(calibration[quiet]):
        values = corrected(values, calibration, quiet)
    return values, quiet


def corrected(
    values: NDArray[np.float64], calibration: NDArray[np.float64], quiet: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Times as they would be if each calibration loop had run at its usual speed.

    Parameters
    ----------
    values, calibration : ndarray, shape (n, k)
        Seconds of n samples of each of k programs, and of the loop with each.
    quiet : ndarray of bool, shape (n,)
        The samples that define the usual speed; the others are not corrected.

    Returns
    -------
    ndarray, shape (n, k)
        Seconds.

    Notes
    -----
    The loop is a control variate (Glynn and Szechtman 2002, Some New Perspectives on the Method of Control
    Variates): if it was 4 % slow, the time is reduced by 4 % times the slope of log time on log loop. The
    slope is Siegel's repeated median (1982, Biometrika 69, 242-244) of deviations from each program's own
    medians, so that it does not depend on which program is faster, clipped to between 0 (uncorrelated work is
    not corrected) and 1.
    """
    from scipy.stats import siegelslopes  # its import takes most of a second

    if (values <= 0).any():
        return values
    logs, loop = np.log(values), np.log(calibration)
    y, x = ((one - np.median(one[quiet], axis=0))[quiet].ravel() for one in (logs, loop))
    slope = float(np.clip(siegelslopes(y, x).slope, 0, 1)) if np.ptp(x) > 0 else 0.0
    return np.where(quiet[:, None], np.exp(logs - slope * (loop - np.median(loop[quiet]))), values)


def _is_chance(calibration: NDArray[np.float64]) -> bool:
    """Whether a difference between the loops of the two sides (n pairs x 2) is due to chance.

    Otherwise the program causes it, by threads it leaves behind or memory it holds, and the correction would
    remove part of its cost. Wilcoxon's test (1945, Biometrics Bulletin 1, 80-83) at 1 %; fewer than eight
    pairs cannot tell.
    """
    if len(calibration) < _TELLING_PAIRS:
        return False
    from scipy.stats import wilcoxon

    change = np.log(calibration[:, 1] / calibration[:, 0])
    return not change.any() or wilcoxon(change).pvalue >= _UNLIKELY


def loop_of(samples: pd.DataFrame, metric: str) -> str:
    """The column of the calibration loop for a metric: without waiting for a CPU if the metric is."""
    own = metric in _OWN and LOOPS[1] in samples and samples[LOOPS[1]].notna().all()
    return LOOPS[1] if own else LOOPS[0]


def quiet_pairs(calibration: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of pairs measured on a quiet machine, by their calibration loops (n pairs x 2), side by side.

    At least five pairs, and half of them, are kept.
    """
    slow = (calibration / np.quantile(calibration, 0.25, axis=0)).max(axis=1)
    limit = _BUSY
    least = max(LEAST_PAIRS, int(np.ceil(len(slow) * (1 - _MOST_ASIDE))))
    if (slow <= limit).sum() < least:
        limit = np.sort(slow)[least - 1]
    return slow <= limit


def compare_all(
    samples: pd.DataFrame,
    metrics: tuple[str, ...] = ("wall_s", "own_s", "cpu_s", "peak_mb"),
    **settings: float,
) -> pd.DataFrame:
    """`compare` for each workload and metric: one row each, with the columns of `Change`.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> rows = [
    ...     {"workload": name, "pair": pair, "side": side, "wall_s": wall, "calibration_s": 0.05}
    ...     for name, after in (("read", 2.0), ("append", 1.02))
    ...     for pair in range(9)
    ...     for side, wall in (("A", 1 + pair / 100), ("B", after + pair / 100))
    ... ]
    >>> samples = pd.DataFrame(rows)
    >>> ov.measure.compare_all(samples, ("wall_s",))[["workload", "verdict"]].to_dict("list")
    {'workload': ['read', 'append'], 'verdict': ['worse', 'within noise']}
    """
    rows = [
        vars(compare(mine, metric, **settings))  # type: ignore[arg-type]
        for _, mine in samples.groupby("workload", sort=False)
        for metric in metrics
        if metric in mine and mine[metric].notna().all()
    ]
    return pd.DataFrame(rows, columns=list(Change.__dataclass_fields__))


def comparison_lines(table: pd.DataFrame) -> list[str]:
    """The rows of `compare_all` as lines of text, below a line of headings."""
    lines = [
        f"{'workload':<12} {'metric':<8} {'before':>10} {'after':>10}   "
        f"{'ratio (95 % interval)':<24} {'verdict':<14} pairs"
    ]
    for row in table.itertuples(index=False):
        unit, factor = ("MB", 1) if row.metric == "peak_mb" else ("ms", 1000)
        ratio = f"{row.ratio:.3f} ({row.low:.3f} to {row.high:.3f})"
        aside = f", {row.set_aside} set aside" if row.set_aside else ""
        what = row.metric.removesuffix("_s").removesuffix("_mb")
        values = " ".join(f"{factor * value:>7,.1f} {unit}" for value in (row.before, row.after))
        lines.append(
            f"{row.workload:<12} {what:<8} {values}   {ratio:<24} {row.verdict:<14} {row.pairs}{aside}"
        )
    return lines


def largest(changes: pd.DataFrame) -> pd.Series:
    """Of the rows of `compare_all` that of the largest change, by its factor: half and twice are as large.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> rows = [
    ...     {"workload": name, "pair": pair, "side": side, "wall_s": wall, "calibration_s": 0.05}
    ...     for name, after in (("read", 2.0), ("append", 1.02))
    ...     for pair in range(9)
    ...     for side, wall in (("A", 1 + pair / 100), ("B", after + pair / 100))
    ... ]
    >>> samples = pd.DataFrame(rows)
    >>> ov.measure.largest(ov.measure.compare_all(samples, ("wall_s",)))["workload"]
    'read'
    """
    return changes.loc[np.log(changes["ratio"]).abs().idxmax()]


def significant_first(
    samples: pd.DataFrame, metric: str = "wall_s", *, threshold: float = 0.05
) -> pd.DataFrame:
    """The samples with worse workloads first, then better ones, then noise, each by size of the change.

    Figures and tables have their rows in the order of the samples. A workload without the metric comes last.

    Examples
    --------
    >>> import pandas as pd
    >>> import overround as ov
    >>> rows = [
    ...     {"workload": name, "pair": pair, "side": side, "wall_s": wall, "calibration_s": 0.05}
    ...     for name, after in (("read", 2.0), ("append", 1.02))
    ...     for pair in range(9)
    ...     for side, wall in (("A", 1 + pair / 100), ("B", after + pair / 100))
    ... ]
    >>> samples = pd.DataFrame(rows)
    >>> ov.measure.significant_first(samples[::-1])["workload"].unique().tolist()
    ['read', 'append']
    """
    changes = compare_all(samples, (metric,), threshold=threshold)
    kind, size = changes["verdict"].map([WORSE, BETTER, NOISE].index), np.log(changes["ratio"]).abs()
    order = changes["workload"].iloc[np.lexsort((-size, kind))].tolist()
    return samples.sort_values(
        "workload",
        key=lambda names: names.map(lambda name: order.index(name) if name in order else len(order)),
        kind="stable",
    )


def _draws(
    samples: pd.DataFrame, metric: str, resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64], int]:
    """Both sides of the quiet pairs, draws of pairs with replacement, and how many pairs were set aside."""
    values, quiet = pairs_of(samples, metric)
    draws = np.random.default_rng(seed).integers(0, quiet.sum(), (resamples, quiet.sum()))
    return values[quiet, 0], values[quiet, 1], draws, int((~quiet).sum())


def _verdict(ratio: float, low: float, high: float, threshold: float) -> str:
    if low > 1 and ratio > 1 + threshold:
        return WORSE
    # a gain and a loss of the same factor are the same change
    if high < 1 and ratio < 1 / (1 + threshold):
        return BETTER
    return NOISE
