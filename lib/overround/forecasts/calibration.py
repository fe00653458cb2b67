"""Calibration of probabilities: reliability with intervals, recalibration, favourite-longshot bias."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.forecasts.scores import decided_markets, early_and_close, groups
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
    rows = [_shares(part, _bins(part, bins), "bin") for part in _selections(quotes, results, methods, by)]
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
        coefficients, covariance, days = _recalibrated(part)
        error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        off, off_by_chance = _distances(part, _bins(part, bins))
        tables.append(
            part.names.assign(
                matches=part.rows.groupby("group")["market"].nunique(),
                slope=coefficients[:, 1],
                slope_error=error[:, 1],
                intercept=coefficients[:, 0],
                intercept_error=error[:, 0],
                p=2 * stdtr(days - 1.0, -np.abs(coefficients[:, 1] - 1) / error[:, 1]),
                ece=off,
                ece_by_chance=off_by_chance,
            )
        )
    found = pd.concat(tables, ignore_index=True).dropna(subset="matches")
    return found.astype({"matches": int}).reset_index(drop=True)


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
        band = np.searchsorted(edges, part.rows["price"], side="right") - 1
        shares = _shares(part, np.clip(band, 0, len(edges) - 2), "band")
        ratio, low, high = (shares[name] / shares["predicted"] for name in ("observed", "low", "high"))
        tables.append(shares.assign(band=edges[shares["band"]], ratio=ratio, low=low, high=high))
    columns = ["band", "selections", "price", "yield", "yield_error", "expected", "observed", "ratio", "low"]
    found = pd.concat(tables, ignore_index=True).rename(columns={"predicted": "expected"})
    return found[[*by, "method", *columns, "high"]]


@dataclass(frozen=True)
class _Selections:
    """Every selection of the decided markets under one method."""

    names: pd.DataFrame  # what was grouped by, and the method, of each group
    rows: pd.DataFrame  # of each selection: number of its group, market and day, p, y (1 if it won), price


def _selections(
    quotes: pd.DataFrame, results: pd.DataFrame, methods: Sequence[str], by: Sequence[str]
) -> Iterator[_Selections]:
    if not methods:
        raise ParameterError(f"methods is empty; choose from {', '.join(METHODS)}.")
    markets = decided_markets(early_and_close(quotes), results)
    group, names = groups(markets.frame, by)
    for method in methods:
        fair = markets.fair(method)
        at = market, slot = np.nonzero(~np.isnan(fair))
        quote = markets.rows[at]
        rows = {
            "group": group[quote],
            "market": market,
            "day": markets.day[market],
            "p": fair[at],
            "y": (markets.won[market] == slot).astype(float),
            "price": markets.frame["price"].to_numpy(float)[quote],
        }
        yield _Selections(names.assign(method=method), pd.DataFrame(rows))


def _bins(part: _Selections, bins: int) -> Whole:
    """Bin of each probability."""
    if bins < 1:
        raise ParameterError(f"bins is {bins}; at least 1.")
    p = part.rows["p"].to_numpy()
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1])) if len(p) else p
    return np.searchsorted(edges, p, side="right")


def _shares(part: _Selections, cell: Whole, name: str) -> pd.DataFrame:
    """Predicted and observed shares, with intervals, of each group and cell (bin or band) in use."""
    from scipy.special import stdtrit

    rows = part.rows.assign(**{name: cell, "yield": lambda row: row["y"] * row["price"] - 1})
    cells = rows.groupby(["group", name])
    where, means = cells.ngroup().to_numpy(), cells[["p", "y", "price", "yield"]].mean()
    n = cells.size().to_numpy(float)
    independent = (rows["p"] * (1 - rows["p"])).groupby(where).sum().to_numpy()
    (variance, days), (back_variance, _) = (
        clustered_variance(residual.to_numpy(), where, rows["day"].to_numpy(), len(n))
        for residual in (rows["y"] - rows["p"], rows["yield"] - cells["yield"].transform("mean"))
    )
    # selections that depend on each other are worth fewer independent ones
    with np.errstate(invalid="ignore", divide="ignore"):
        worth = n / np.maximum(np.nan_to_num(variance / independent, nan=1.0), 1.0)
    low, high = wilson(means["y"].to_numpy(), worth, stdtrit(np.maximum(days - 1.0, 1.0), (1 + LEVEL) / 2))
    shares = means.rename(columns={"p": "predicted", "y": "observed"}).assign(
        selections=n.astype(int), low=low, high=high, yield_error=np.sqrt(back_variance) / n
    )
    return shares.reset_index(name).join(part.names)


def _distances(part: _Selections, cell: Whole) -> tuple[Floats, Floats]:
    """Expected calibration error of each group, and that of perfect probabilities."""
    rows = part.rows
    residual = rows["y"] - rows["p"]
    cells = residual.groupby([rows["group"], cell])
    variance, _ = clustered_variance(
        residual.to_numpy(), cells.ngroup().to_numpy(), rows["day"].to_numpy(), cells.ngroups
    )
    off = cells.sum().abs().to_frame("off").assign(by_chance=np.sqrt(2 / np.pi * np.nan_to_num(variance)))
    mean = off.groupby(level=0).sum().div(rows.groupby("group").size(), axis=0).reindex(part.names.index)
    return mean["off"].to_numpy(), mean["by_chance"].to_numpy()


def _recalibrated(part: _Selections) -> tuple[Floats, Floats, Whole]:
    """Intercept and slope of each group, their covariance clustered by match day, and the number of days."""
    from scipy.special import expit

    p, y, group = (part.rows[name].to_numpy() for name in ("p", "y", "group"))
    n, x = len(part.names), np.log(p) - np.log1p(-p)
    beta = np.tile([0.0, 1.0], (n, 1))
    for _ in range(_STEPS):
        q = expit(beta[group, 0] + beta[group, 1] * x)
        w, score = q * (1 - q), np.stack([y - q, (y - q) * x], axis=1)
        columns = (*score.T, w, w * x, w * x**2)
        g0, g1, s0, s1, s2 = (np.bincount(group, column, n) for column in columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            inverse = np.array([[s2, -s1], [-s1, s0]]).transpose(2, 0, 1) / (s0 * s2 - s1**2)[:, None, None]
        step = (inverse @ np.stack([g0, g1], axis=1)[:, :, None])[:, :, 0]
        if not np.nanmax(np.abs(step), initial=0.0) > _CLOSE_ENOUGH:
            break
        beta = beta + step
    meat, days = clustered_variance(score, group, part.rows["day"].to_numpy(), n)
    return beta, inverse @ meat @ inverse, days
