"""Calibration of probabilities: reliability with intervals, recalibration, favourite-longshot bias."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.forecasts.scores import Decided, decided_markets, early_and_close, groups
from overround.prices.margin import METHODS
from overround.stats import LEVEL, clustered_variance, wilson

BY = ("market", "phase", "bookmaker")
# edges of price bands: a band has the prices from its edge to below the next
PRICES = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, np.inf)
_STEPS = 30
_CLOSE_ENOUGH = 1e-10


def reliability(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    methods: Sequence[str] = ("power",),
    by: Sequence[str] = BY,
    *,
    bins: int = 10,
) -> pd.DataFrame:
    """How often outcomes happened, by their probability: the table behind a reliability diagram.

    Parameters
    ----------
    quotes, results, methods
        As for `score_table`.
    by : sequence of str
        Columns of `quotes` to group by, `outcome` among them if wanted; everything else is pooled.
    bins : int
        Bins of equally many selections (fewer where probabilities are equal), the same in every
        group for one method.

    Returns
    -------
    DataFrame
        A row for each of `by`, method and bin; columns bin; selections; predicted (mean probability),
        observed (share that happened), low and high (its 95 % interval: Wilson 1927, JASA 22, 209-212, with
        the sample size that selections depending on each other within a match day are worth, Korn and
        Graubard 1998, Survey Methodology 24, 193-201; never more than their number).

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> ov.forecasts.reliability(quotes, results).columns.tolist()[:4]
    ['market', 'phase', 'bookmaker', 'method']
    """
    rows = [_shares(part, *_bins(part.p, bins), "bin") for part in _selections(quotes, results, methods, by)]
    return pd.concat(rows, ignore_index=True)[
        [*by, "method", "bin", "selections", "predicted", "observed", "low", "high"]
    ]


def calibration_table(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    methods: Sequence[str] = ("power",),
    by: Sequence[str] = BY,
    *,
    bins: int = 10,
) -> pd.DataFrame:
    """How far probabilities are from the outcomes, in a few numbers.

    Log-odds of the outcomes are regressed on the log-odds of the probability over all selections (Cox 1958,
    Biometrika 45, 562-565). A slope of 1 and an intercept of 0 is perfect; a slope above 1 means that
    probabilities are too close to even: long shots happen less often than predicted and favourites more, as
    with a margin that was not removed where it lies. Both selections of a two-way market are
    counted, so that its intercept is 0; that of a three-way market follows its slope, as both sides sum to 1,
    unless `by` has `outcome`.

    Parameters
    ----------
    quotes, results, methods, by, bins
        As for `reliability`.

    Returns
    -------
    DataFrame
        A row for each of `by` and method; columns matches; slope, slope_error, intercept, intercept_error
        (standard errors robust to dependence within a match day: Liang and Zeger 1986); p (of a slope of 1,
        two-sided); ece (expected calibration error: mean distance of predicted and observed over bins;
        Naeini, Cooper and Hauskrecht 2015, AAAI 29, 2901-2907) and ece_by_chance (that of perfect
        probabilities on as many matches: mean |N(0, s)| = s sqrt(2 / pi)).

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> table = ov.forecasts.calibration_table(quotes, results, bins=4)
    >>> sorted(set(table["bookmaker"]))
    ['sharp', 'soft_1', 'soft_2', 'soft_3']
    """
    from scipy.special import stdtr

    tables = []
    for part in _selections(quotes, results, methods, by):
        n = len(part.names)
        coefficients, covariance, days = _recalibrated(part, n)
        error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        off, off_by_chance = _distances(part, *_bins(part.p, bins))
        tables.append(
            part.names.assign(
                method=part.method,
                matches=part.matches,
                slope=coefficients[:, 1],
                slope_error=error[:, 1],
                intercept=coefficients[:, 0],
                intercept_error=error[:, 0],
                p=2 * stdtr(days - 1.0, -np.abs(coefficients[:, 1] - 1) / error[:, 1]),
                ece=off,
                ece_by_chance=off_by_chance,
            )
        )
    return pd.concat(tables, ignore_index=True).query("matches > 0").reset_index(drop=True)


def longshot_bias(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    methods: Sequence[str] = ("multiplicative", "shin", "power"),
    by: Sequence[str] = BY,
    *,
    prices: Sequence[float] = PRICES,
) -> pd.DataFrame:
    """Favourite-longshot bias: observed against expected results, by price.

    With the bias, the longer the price the more a bettor loses and, unless the method of margin removal
    allows for it, the less often a selection wins than its probability implies (Griffith 1949, American
    Journal of Psychology 62, 290-294; Thaler and Ziemba 1988, Journal of Economic Perspectives 2(2),
    161-174).

    Parameters
    ----------
    quotes, results, methods, by
        As for `reliability`.
    prices : sequence of float
        Edges of the price bands, two or more, rising; a price outside all bands counts in the nearest.

    Returns
    -------
    DataFrame
        A row for each of `by`, method and price band; columns band (its lower edge), selections, price
        (mean), yield (profit per unit of backing each selection at its price) and yield_error (robust to
        dependence within a match day), expected (mean probability), observed (share that won), ratio
        (observed / expected, 1 without bias), low and high (its 95 % interval, as for `reliability`).

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> table = ov.forecasts.longshot_bias(quotes, results)
    >>> "bookmaker" in table
    True
    """
    tables = []
    edges = np.asarray(prices, float)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ParameterError(
            f"prices is {', '.join(f'{edge:g}' for edge in edges) or 'empty'}; "
            "edges of price bands are two or more, rising."
        )
    for part in _selections(quotes, results, methods, by):
        band = np.searchsorted(edges, part.price, side="right") - 1
        shares = _shares(part, np.clip(band, 0, len(edges) - 2), len(edges) - 1, "band")
        ratio, low, high = (shares[name] / shares["predicted"] for name in ("observed", "low", "high"))
        tables.append(
            shares.assign(
                band=edges[shares["band"]], expected=shares["predicted"], ratio=ratio, low=low, high=high
            )
        )
    columns = [
        *by,
        "method",
        "band",
        "selections",
        "price",
        "yield",
        "yield_error",
        "expected",
        "observed",
        "ratio",
        "low",
        "high",
    ]
    return pd.concat(tables, ignore_index=True)[columns]


class _Selections:
    """Every selection of the decided markets under one method, as arrays of equal length."""

    def __init__(self, markets: Decided, method: str, group: Whole, names: pd.DataFrame):
        fair = markets.fair(method)
        at = ~np.isnan(fair)
        rows = markets.rows[at]
        market = np.broadcast_to(np.arange(len(fair))[:, None], fair.shape)[at]
        self.method, self.names = method, names
        self.p = fair[at]
        self.y = (markets.won[:, None] == np.arange(3))[at].astype(float)
        self.group = group[rows]
        self.day = markets.day[market]
        self.price = markets.frame["price"].to_numpy(float)[rows]
        self.matches = np.bincount(
            pd.unique(self.group * len(fair) + market) // max(len(fair), 1), minlength=len(names)
        )


def _selections(
    quotes: pd.DataFrame, results: pd.DataFrame, methods: Sequence[str], by: Sequence[str]
) -> Iterator[_Selections]:
    if not methods:
        raise ParameterError(f"methods is empty; choose from {', '.join(METHODS)}.")
    markets = decided_markets(early_and_close(quotes), results)
    group, names = groups(markets.frame, by)
    return (_Selections(markets, method, group, names) for method in methods)


def _bins(p: Floats, bins: int) -> tuple[Whole, int]:
    """Bin of each probability, and how many bins there are."""
    if bins < 1:
        raise ParameterError(f"bins is {bins}; at least 1.")
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])) if len(p) else np.empty(0)
    return np.searchsorted(edges, p, side="right"), len(edges) + 1


def _shares(part: _Selections, cell: Whole, n_cells: int, name: str) -> pd.DataFrame:
    """Predicted and observed shares, with intervals, of each group and cell (bin or band) in use."""
    from scipy.special import stdtrit

    where = part.group * n_cells + cell
    size = len(part.names) * n_cells
    n = np.bincount(where, minlength=size).astype(float)

    def mean(values: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.bincount(where, values, size) / n

    variance, days = clustered_variance(part.y - part.p, where, part.day, size)
    observed = mean(part.y)
    independent = np.asarray(np.bincount(where, part.p * (1 - part.p), size), float)
    low, high = wilson(
        observed, _worth(n, independent, variance), stdtrit(np.maximum(days - 1.0, 1.0), (1 + LEVEL) / 2)
    )
    back = part.y * part.price - 1
    mean_back = mean(back)
    back_variance, _ = clustered_variance(back - mean_back[where], where, part.day, size)
    cells = pd.DataFrame(
        {
            name: np.tile(np.arange(n_cells), len(part.names)),
            "selections": n.astype(int),
            "predicted": mean(part.p),
            "observed": observed,
            "low": low,
            "high": high,
            "price": mean(part.price),
            "yield": mean_back,
            "yield_error": np.sqrt(back_variance) / np.where(n, n, np.nan),
        }
    )
    names = part.names.loc[part.names.index.repeat(n_cells)].reset_index(drop=True).assign(method=part.method)
    return pd.concat([names, cells], axis=1)[n > 0]


def _worth(n: Floats, independent: Floats, variance: Floats) -> Floats:
    """Number of independent selections that n dependent ones are worth, at most n."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return n / np.maximum(np.nan_to_num(variance / independent, nan=1.0), 1.0)


def _distances(part: _Selections, cell: Whole, n_cells: int) -> tuple[Floats, Floats]:
    """Expected calibration error of each group, and that of perfect probabilities."""
    where, size = part.group * n_cells + cell, len(part.names) * n_cells
    residual = part.y - part.p
    off = np.abs(np.bincount(where, residual, size))
    variance, _ = clustered_variance(residual, where, part.day, size)
    by_chance = np.sqrt(2 / np.pi * np.nan_to_num(variance))
    n = np.bincount(part.group, minlength=len(part.names))
    with np.errstate(invalid="ignore", divide="ignore"):
        return off.reshape(-1, n_cells).sum(axis=1) / n, by_chance.reshape(-1, n_cells).sum(axis=1) / n


def _recalibrated(part: _Selections, n: int) -> tuple[Floats, Floats, Whole]:
    """Intercept and slope of each group, their covariance clustered by match day, and the number of days."""
    x = np.log(part.p) - np.log1p(-part.p)
    beta = np.tile([0.0, 1.0], (n, 1))
    for _ in range(_STEPS):
        q = 1 / (1 + np.exp(-(beta[part.group, 0] + beta[part.group, 1] * x)))
        w = q * (1 - q)
        score = np.stack([part.y - q, (part.y - q) * x], axis=1)
        gradient = np.stack([np.bincount(part.group, column, n) for column in score.T], axis=1)
        s0, s1, s2 = (np.bincount(part.group, w * x**k, n) for k in range(3))
        with np.errstate(invalid="ignore", divide="ignore"):
            inverse = np.stack([s2, -s1, -s1, s0], axis=1).reshape(n, 2, 2) / (s0 * s2 - s1**2)[:, None, None]
        step = np.einsum("gij,gj->gi", inverse, gradient)
        if not np.nanmax(np.abs(step), initial=0.0) > _CLOSE_ENOUGH:
            break
        beta = beta + step
    meat, days = clustered_variance(score, part.group, part.day, n)
    return beta, inverse @ meat @ inverse, days
