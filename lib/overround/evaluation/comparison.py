"""Differences in yield between runs, strategies, leagues or bookmakers, paired by match day.

Pairing cancels what a good or bad day does to both sides.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.errors import ParameterError
from overround.evaluation.segments import parts_of
from overround.stats import LEVEL, Z, day, interval, quotient, resample, step_down

HIGHER, LOWER, NOISE, FEW = "higher", "lower", "within noise", "too few bets"
# days drawn again cannot show what a side with fewer has not seen: one that lost every bet would look certain
LEAST_DAYS, LEAST_OF_A_KIND = 10, 5
_SUMS = ["staked", "profit", "closes", "clv", "bets", "won", "lost"]
_DIFFERENCES = [
    "difference",
    "low",
    "high",
    "p",
    "p_adjusted",
    "common_days",
    "clv_difference",
    "clv_low",
    "clv_high",
    "verdict",
]


def compare_ledgers(
    ledgers: Mapping[str, pd.DataFrame], *, simulations: int = 10_000, seed: int = 7
) -> pd.DataFrame:
    """Each ledger against the first: the difference in yield, paired by match day.

    The same resampled days are drawn for all, so that what a good or bad day does to both sides of a
    difference cancels.

    Parameters
    ----------
    ledgers : mapping
        Name -> what `backtest` returned; at least two.
    simulations, seed : int
        Resamples of match days.

    Returns
    -------
    DataFrame
        Index: name of the ledger, in the order given; columns bets, staked, profit, yield, clv, difference
        (of yield to the first), low, high (95 %), p (two-sided, of this difference alone), p_adjusted (for
        all of them: `step_down` over the differences in standard errors), common_days, clv_difference,
        clv_low, clv_high (of the mean closing-line value), and verdict: higher or lower where p_adjusted is
        at most 0.05, else within noise. NaN differences for the first. Where a side has fewer than ten days
        or fewer than five bets of either kind, won and lost, the difference has no interval and no p, and the
        verdict is that there are too few bets. `attrs["tried"]`: how many ledgers were compared.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> ov.compare_ledgers(ledgers, simulations=500)["bets"].to_dict()
    {'1%': 145, '3%': 64}
    """
    sums, runs = _sums(_several(ledgers)), pd.Index(list(ledgers), name="run")
    found = _differences(np.repeat(sums[:1], len(sums) - 1, axis=0), sums[1:], simulations, seed)
    none = pd.DataFrame({**dict.fromkeys(_DIFFERENCES, np.nan), "verdict": ""}, [0])
    table = _levels(sums, runs).join(pd.concat([none, found]).set_axis(runs))
    table.attrs["tried"] = len(ledgers)
    return table


def compare_within(
    ledgers: Mapping[str, pd.DataFrame], by: str, *, simulations: int = 2_000, seed: int = 7
) -> pd.DataFrame:
    """Each ledger against the first in every league, at every bookmaker and so on.

    Parameters
    ----------
    ledgers : mapping
        Name -> what `backtest` returned; at least two.
    by : str
        A column of the ledgers, or "price_band".
    simulations, seed : int
        Resamples of match days, the same for all parts.

    Returns
    -------
    DataFrame
        A row for each part in which the first ledger and the other have bets: `by` (named so), run, and the
        columns of `compare_ledgers`; p_adjusted allows for all rows.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> ov.evaluation.compare_within(ledgers, "bookmaker", simulations=200)["bookmaker"].nunique()
    3
    """
    _several(ledgers)
    first, *others = ledgers
    parts = {name: parts_of(ledger, by).astype(str) for name, ledger in ledgers.items()}
    pairs = [
        (part, name) for part in sorted(set(parts[first])) for name in others if (parts[name] == part).any()
    ]
    sides = [ledgers[name][parts[name] == part] for part, other in pairs for name in (first, other)]
    return _table_of_pairs(_sums(sides), pd.DataFrame(pairs, columns=[by, "run"]), simulations, seed)


def compare_parts(
    ledger: pd.DataFrame, by: str, *, name: str = "all", simulations: int = 2_000, seed: int = 7
) -> pd.DataFrame:
    """Each league, bookmaker and so on of a ledger against the rest of its bets.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    by : str
        A column of the ledger, or "price_band".
    name : str
        What the ledger is called.
    simulations, seed : int
        Resamples of match days, the same for all parts.

    Returns
    -------
    DataFrame
        A row a part: `by` (named so), run, and the columns of `compare_ledgers`, with differences to the
        rest; p_adjusted allows for all parts. No rows where there is only one part.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results)
    >>> len(ov.evaluation.compare_parts(ledger, "bookmaker", simulations=200)) > 1
    True
    """
    part = parts_of(ledger, by).astype(str)
    values = sorted(set(part))
    values = values if len(values) > 1 else []
    sides = [ledger[mine] for value in values for mine in (part != value, part == value)]
    return _table_of_pairs(_sums(sides), pd.DataFrame({by: values, "run": name}), simulations, seed)


def difference_curves(ledgers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """How the difference of each ledger to the first came about, day by day.

    A side's profit on a day is counted above what the yield of both together would have brought on its
    stakes, as a share of all that it stakes in the end. So a curve ends at the difference of
    `compare_ledgers`, and a side that bets earlier than the other makes none.

    Returns
    -------
    DataFrame
        run, at (match day), difference (until then), noise (half the width of the 95 % band around 0 in which
        the difference of two sides of one yield is at that day). A day on which neither side bets has no row,
        nor has a ledger without a stake.

    Notes
    -----
    The variance of the difference at a day is the sum until then of squares of what each day adds beyond its
    side's own yield: the delta method for a ratio of sums over independent days (Cochran 1977, Sampling
    Techniques, section 6.3).

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> ov.evaluation.difference_curves(ledgers).columns.tolist()
    ['run', 'at', 'difference', 'noise']
    """
    first, *others = ledgers
    days, sides = _days(list(ledgers.values())), _sums(list(ledgers.values()))
    sums = dict(zip(ledgers, sides[..., :2], strict=True))
    curves = []
    for name in others:
        pair = np.stack([sums[first], sums[name]])
        staked, profit = pair.sum(axis=1).T
        if not (staked > 0).all():
            continue
        both = profit.sum() / staked.sum()
        above = ((pair[..., 1] - both * pair[..., 0]) / staked[:, None]).cumsum(axis=1)
        beyond = (pair[..., 1] - (profit / staked)[:, None] * pair[..., 0]) / staked[:, None]
        noise = Z * np.sqrt(((beyond[1] - beyond[0]) ** 2).cumsum())
        curve = pd.DataFrame({"run": name, "at": days, "difference": above[1] - above[0], "noise": noise})
        curves.append(curve[(pair[..., 0] > 0).any(axis=0)])
    empty = pd.DataFrame({"run": [], "at": pd.DatetimeIndex([], tz="UTC"), "difference": [], "noise": []})
    return pd.concat(curves, ignore_index=True) if curves else empty


def by_significance(comparison: pd.DataFrame) -> pd.DataFrame:
    """Rows of a comparison by significance: baseline first, then the surest difference, the unknown last."""
    distance = (
        comparison["difference"] / (comparison["high"] - comparison["low"]).where(lambda width: width > 0)
    ).abs()
    held = comparison["difference"].isna() & comparison["verdict"].eq("")
    order = pd.DataFrame(
        {"held": ~held, "p": comparison["p_adjusted"].fillna(2.0), "distance": -distance.fillna(0.0)}
    )
    return comparison.iloc[np.lexsort(order[["distance", "p", "held"]].to_numpy(float).T)]


def comparison_verdict(comparison: pd.DataFrame) -> str:
    """Return the result of `compare_ledgers` in one sentence; p is corrected for the number of runs compared.

    Examples
    --------
    >>> import overround as ov
    >>> ledgers = ov.datasets.example_ledgers()
    >>> print(ov.evaluation.comparison_verdict(ov.compare_ledgers(ledgers, simulations=500)).split(":")[0])
    The yield of 3% is within noise of that of 1%
    """
    others = comparison.dropna(subset=["difference"])
    first = comparison.index[0]
    if others.empty:
        return f"Nothing to compare with {first}: a run without bets has no yield."
    name = by_significance(others).index[0]
    row = others.loc[name]
    gap = f"{in_points(*row[['difference', 'low', 'high']])} percentage points"
    days = f"{int(row['common_days'])} common match days"
    if row["verdict"] == FEW:
        return f"Too few bets to tell the yield of {name} from that of {first}: {gap}, {days}."
    clear = "is within noise of" if row["verdict"] == NOISE else "differs from"
    corrected = f" (corrected for {len(others)} runs compared with it)" if len(others) > 1 else ""
    return (
        f"The yield of {name} {clear} that of {first}: {gap}, p {row['p_adjusted']:.3f}{corrected}, {days}."
    )


def in_points(difference: float, low: float = np.nan, high: float = np.nan) -> str:
    """A difference of shares in percentage points, with its interval if known: "+1.2 (−0.4 to 2.8)"."""
    if np.isnan(difference):
        return "–"
    span = "" if np.isnan(low) or np.isnan(high) else f" ({100 * low:.1f} to {100 * high:.1f})"
    return f"{100 * difference:+.1f}{span}".replace("-", "−")


def _several(ledgers: Mapping[str, pd.DataFrame]) -> list[pd.DataFrame]:
    if len(ledgers) < 2:
        raise ParameterError(f"a comparison needs at least two runs; got {len(ledgers)}.")
    return list(ledgers.values())


def _days(ledgers: list[pd.DataFrame]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(sorted(set().union(*(day(ledger) for ledger in ledgers))), tz="UTC")


def _sums(ledgers: list[pd.DataFrame]) -> Floats:
    """Sums of each ledger on each day of all, shape (ledgers, days, 7): see `_SUMS`."""
    days = _days(ledgers)
    blocks = [np.zeros((0, len(days), len(_SUMS)))]
    for ledger in ledgers:
        rows = pd.DataFrame(
            {
                "staked": ledger["stake"],
                "profit": ledger["profit"],
                "closes": ledger["clv"].notna(),
                "clv": ledger["clv"].fillna(0.0),
                "bets": 1.0,
                "won": ledger["profit"] > 0,
                "lost": ledger["profit"] < 0,
            },
            index=ledger.index,
        ).astype(float)
        blocks.append(rows.groupby(day(ledger)).sum().reindex(days, fill_value=0.0).to_numpy(float)[None])
    return np.concatenate(blocks)


def _levels(sums: Floats, index: pd.Index) -> pd.DataFrame:
    whole = pd.DataFrame(sums.sum(axis=1), index, _SUMS)
    columns = {
        "yield": quotient(whole[["staked", "profit"]].to_numpy(float)),
        "clv": quotient(whole[["closes", "clv"]].to_numpy(float)),
    }
    return whole[["bets", "staked", "profit"]].astype({"bets": int}).assign(**columns)


def _table_of_pairs(sums: Floats, names: pd.DataFrame, simulations: int, seed: int) -> pd.DataFrame:
    """Differences of every second of the sides to the one before it, with a row of `names` each."""
    found = _differences(sums[0::2], sums[1::2], simulations, seed)
    table = pd.concat([names, _levels(sums[1::2], names.index), found], axis=1)
    table.attrs["tried"] = len(table)
    return table


def _differences(base: Floats, other: Floats, simulations: int, seed: int) -> pd.DataFrame:
    """Differences of each side from its base, both of shape (k, days, 7): a row each."""
    pair = np.stack([base, other])
    whole, bet = pair.sum(axis=2), pair[..., 0] > 0
    gap, clv_gap = (np.diff(quotient(whole[..., at : at + 2]), axis=0)[0] for at in (0, 2))
    few = ((bet.sum(axis=2) < LEAST_DAYS) | (whole[..., -2:] < LEAST_OF_A_KIND).any(axis=2)).any(axis=0)
    table = pd.DataFrame(np.nan, range(len(base)), _DIFFERENCES).assign(
        difference=gap,
        clv_difference=clv_gap,
        common_days=bet.all(axis=0).sum(axis=1).astype(float),
        verdict=np.where(few, FEW, NOISE),
    )
    known = np.flatnonzero(~few & ~np.isnan(gap))
    if not len(known):
        return table
    by_days = pair[:, known, :, :4].transpose(2, 0, 1, 3)
    drawn = resample(by_days.reshape(len(by_days), -1), simulations, seed).reshape(-1, *by_days.shape[1:])
    gaps, clv_gaps = (np.diff(quotient(drawn[..., at : at + 2]), axis=1)[:, 0] for at in (0, 2))
    own, spread = gap[known], np.maximum(np.nanstd(gaps, axis=0), 1e-12)
    # a resample in which a side has no bet says nothing
    distance, by_chance = np.abs(own) / spread, np.nan_to_num(np.abs(gaps - own) / spread, nan=-1.0)
    p = (1 + (by_chance >= distance).sum(axis=0)) / (1 + (by_chance >= 0).sum(axis=0))
    adjusted = np.maximum(p, step_down(distance, lambda at: by_chance[:, at], len(by_chance)))
    sure = adjusted <= 1 - LEVEL + 1e-12
    table.loc[known, ["low", "high"]] = [interval(one) for one in gaps.T]
    table.loc[known, ["clv_low", "clv_high"]] = [interval(one) for one in clv_gaps.T]
    table.loc[known, ["p", "p_adjusted"]] = np.column_stack([p, adjusted])
    table.loc[known, "verdict"] = np.select([sure & (own > 0), sure & (own < 0)], [HIGHER, LOWER], NOISE)
    return table
