"""Tables of a sweep's report: influence of each parameter, tests that count all variants, and the picks."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.evaluation.multiple_testing import backtest_overfitting, effective_number
from overround.formatting import FORMATS, percent
from overround.sweeps.result import Sweep
from overround.sweeps.selection import Choices
from overround.sweeps.space import spelled

SURE = 0.05  # p-value, below which a figure or table marks a variant
_BLOCKS = 10  # of time, for the probability of overfitting: 252 ways to choose half of them


def value_groups(sweep: Sweep, name: str, most: int = 8) -> tuple[NDArray[np.int64], list[str]]:
    """The values of a varied parameter in groups, as few as a table or an axis has room for.

    Returns
    -------
    codes : ndarray, shape (variants,)
        Number of each variant's group.
    words : list of str
        One value each; more than `most` numbers are put into ranges of equally many variants.
    """
    values = sweep.table[name]
    if not pd.api.types.is_float_dtype(values.dtype):
        codes, found = pd.factorize(values.map(spelled), sort=False)
        return codes.astype(np.int64), [str(one) for one in found]
    codes, found = pd.factorize(values, sort=True)
    if len(found) <= most:
        return codes.astype(np.int64), [spelled(float(one)) for one in found]
    parts = pd.qcut(values, most, duplicates="drop")
    ranges = values.groupby(parts, observed=True).agg(["min", "max"]).itertuples(index=False)
    codes = parts.cat.remove_unused_categories().cat.codes
    return codes.to_numpy(np.int64), [f"{low:.2g}–{high:.2g}" for low, high in ranges]


def influence(sweep: Sweep) -> pd.DataFrame:
    """How much each parameter matters: yields over all variants by value, and its share of their variance.

    Returns
    -------
    DataFrame
        Index parameter, what matters most first; values (how many, or parts of a range), best and worst (of
        them, by yield), best_yield and worst_yield (profit over stakes of all variants with it), share (of
        the variance of yields, weighted by bets).

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> ov.sweeps.influence(swept).shape[0] >= 1
    True
    """
    table = sweep.table
    value, weight = table["yield"].fillna(0.0).to_numpy(float), table["bets"].to_numpy(float)
    middle = np.average(value, weights=weight) if weight.any() else np.nan
    around = weight @ (value - middle) ** 2
    rows = {}
    for name in sweep.varied:
        codes, words = value_groups(sweep, name)
        sums = table[["profit", "staked"]].assign(bets=weight, value=weight * value).groupby(codes).sum()
        of_value, means = sums["profit"] / sums["staked"], (sums["value"] / sums["bets"]).fillna(0.0)
        ends = (of_value.idxmax(), of_value.idxmin()) if of_value.notna().any() else (0, 0)
        share = (sums["bets"] * (means - middle) ** 2).sum() / around if around > 0 else np.nan
        best, worst = ((words[at] if sums["staked"][at] > 0 else None, of_value[at]) for at in ends)
        rows[name.replace("_", " ")] = (len(words), *best, *worst, share)
    columns = ["values", "best", "best_yield", "worst", "worst_yield", "share"]
    found = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("parameter")
    found = found.sort_values("share", ascending=False, kind="stable")
    found.attrs = {
        "says": "Share: how much of the differences in yield between variants, weighted by bets, "
        "this parameter makes alone."
    }
    return found


def search_tests(sweep: Sweep, *, blocks: int = _BLOCKS) -> pd.DataFrame:
    """Tests of the best variant that count all variants; index test, columns value and asks.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> ov.sweeps.search_tests(swept, blocks=4).columns.tolist()
    ['value', 'asks']
    """
    table = sweep.table
    best = table.loc[table.attrs["best"]]
    attrs, p = table.attrs, FORMATS["p"]
    rows = [
        (
            "luck test of the best, alone",
            p(best["luck_p"]),
            "does luck at the market's own probabilities earn as much?",
        ),
        (
            "luck test, corrected",
            p(best["luck_p_adjusted"]),
            "does the luckiest of all variants? (Romano-Wolf)",
        ),
        ("its days drawn anew, alone", p(best["p"]), "do days without an edge earn as much?"),
        ("days, corrected", p(best["p_adjusted"]), "does the best of all variants? (Romano-Wolf)"),
        (
            "reality check",
            p(attrs["reality_check"]),
            "has any variant an edge? (White; large stakes weigh more)",
        ),
        (
            "superior predictive ability",
            p(attrs["spa_consistent"]),
            "has any an edge, each in its own errors? (Hansen)",
        ),
    ]
    played = sweep.staked.any(axis=0)
    daily = sweep.profit[:, played].T
    if played.any():
        rows.append(
            (
                "independent variants",
                FORMATS["count"](effective_number(daily)),
                "how many are these worth? (Galwey)",
            )
        )
    if sweep.tried > 1 and played.sum() >= blocks:
        chance = backtest_overfitting(daily, blocks=blocks)["pbo"]
        rows.append(
            (
                "probability of overfitting",
                percent(chance, 0),
                "is the best of one half of the time below the middle in the other?",
            )
        )
    return pd.DataFrame(rows, columns=["test", "value", "asks"]).set_index("test")


def picked_variants(sweep: Sweep, choices: Choices) -> pd.DataFrame:
    """What the past would have picked: a row per stretch of periods with the same pick, with its profit.

    Examples
    --------
    >>> import overround as ov
    >>> swept = ov.datasets.example_sweep()
    >>> choices = ov.sweeps.walk_forward_choice(swept, every_days=7, least_days=2)
    >>> "profit" in ov.sweeps.picked_variants(swept, choices)
    True
    """
    periods = choices.periods[choices.periods["staked"] > 0]
    stretch = (periods["variant"] != periods["variant"].shift()).cumsum().to_numpy()
    begin = periods.index.to_series()
    how = {"from": ("begin", "first"), "variant": ("variant", "first"), "periods": ("profit", "size")}
    how |= {name: (name, "sum") for name in ("staked", "profit")}
    rows = periods.assign(begin=begin).groupby(stretch).agg(**how)
    named = {
        name: [spelled(value) for value in sweep.table.loc[rows["variant"], name]] for name in sweep.varied
    }
    shown = pd.concat(
        [rows[["from"]], pd.DataFrame(named, rows.index), rows[["periods", "staked", "profit"]]], axis=1
    )
    shown["yield"] = shown["profit"] / shown["staked"]
    without = len(choices.periods) - len(periods)
    none = "no variant had a profit to show by then, or the pick found no bet"
    shown.attrs = {
        "says": f"{len(choices.periods)} periods, {without} of them without a bet: {none}." if without else ""
    }
    return shown


def most_telling(sweep: Sweep, shown: Sequence[str] = ()) -> list[str]:
    """Two varied parameters for a map: first those asked for, then those that matter most."""
    by_words = {name.replace("_", " "): name for name in sweep.varied}
    return list(dict.fromkeys([*shown, *(by_words[words] for words in influence(sweep).index)]))[:2]
