"""What a ledger is worth: yield, drawdown, closing-line value, each with its interval, and runs against each other."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.luck import luck_test
from overround.resampling import Floats, by_day, day, interval, quotient, resample, resampled_mean, resampled_yield


def evaluate(ledger: pd.DataFrame, *, simulations: int = 10_000, seed: int = 7) -> pd.DataFrame:
    """Figures of merit of a ledger, each with its 95 % interval where it is an estimate.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    simulations : int
        Resamples of match days for the intervals, and re-drawn histories for the luck test.
    seed : int
        Of both.

    Returns
    -------
    DataFrame
        Index `metric`; columns value, low, high, unit. Shares (yield, clv ...) are fractions, not per cent. Rows: bets, staked,
        profit, yield, roi, hit_rate, mean_price, final_bankroll, max_drawdown (share of the peak), clv, beat_close,
        luck_p (chance of at least this profit by luck alone, see `luck_test`), luck_bets (bets with a close).
    """
    start = float(ledger.attrs.get("bankroll", np.nan))
    decided = ledger[ledger["result"] != "void"]
    staked, profit = ledger["stake"].sum(), ledger["profit"].sum()
    low, high = interval(resampled_yield(ledger, simulations, seed))
    clv_low, clv_high = interval(resampled_mean(ledger, "clv", simulations, seed))
    beat = decided.assign(beat=(decided["clv"] > 0).where(decided["clv"].notna()).astype(float))
    beat_low, beat_high = interval(resampled_mean(beat, "beat", simulations, seed))
    luck = luck_test(ledger, simulations=simulations, seed=seed)
    rows = {
        "bets": (len(ledger), None, None, "bets"),
        "staked": (staked, None, None, "money"),
        "profit": (profit, low * staked, high * staked, "money"),
        "yield": (_ratio(profit, staked), low, high, "share"),
        "roi": (_ratio(profit, start), None, None, "share"),
        "hit_rate": ((decided["profit"] > 0).mean() if len(decided) else np.nan, None, None, "share"),
        "mean_price": (ledger["price"].mean(), None, None, "odds"),
        "final_bankroll": (start + profit, None, None, "money"),
        "max_drawdown": (max_drawdown(start, ledger["bankroll"].to_numpy(float)), None, None, "share"),
        "clv": (ledger["clv"].mean(), clv_low, clv_high, "share"),
        "beat_close": (beat["beat"].mean(), beat_low, beat_high, "share"),
        "luck_p": (luck["p"], None, None, "probability"),
        "luck_bets": (luck["bets"], None, None, "bets"),
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high", "unit"]).rename_axis("metric")
    return frame.astype({"value": float, "low": float, "high": float})


def compare_ledgers(ledgers: Mapping[str, pd.DataFrame], *, simulations: int = 10_000, seed: int = 7) -> pd.DataFrame:
    """Each ledger against the first: the difference in yield, paired by match day.

    The same resampled days are drawn for both, so that what a good or bad day does to both cancels.

    Returns
    -------
    DataFrame
        Index: name of the ledger; columns bets, staked, profit, yield, clv, difference (of yield to the first), low, high (95 %),
        p (two-sided), common_days. NaN differences for the first.
    """
    names = list(ledgers)
    if len(names) < 2:
        raise ParameterError(f"a comparison needs at least two runs; got {len(names)}.")
    days = pd.Index(sorted(set().union(*(day(ledger) for ledger in ledgers.values()))))
    sums = {name: by_day(ledger, days) for name, ledger in ledgers.items()}
    first = quotient(resample(sums[names[0]], simulations, seed))
    rows: list[dict[str, float]] = []
    for name, ledger in ledgers.items():
        staked, profit = ledger["stake"].sum(), ledger["profit"].sum()
        row = {"bets": len(ledger), "staked": staked, "profit": profit, "yield": _ratio(profit, staked), "clv": ledger["clv"].mean(),
               "difference": np.nan, "low": np.nan, "high": np.nan, "p": np.nan, "common_days": np.nan}  # fmt: skip
        if name != names[0]:
            # the same seed draws the same days for both
            drawn = quotient(resample(sums[name], simulations, seed)) - first
            drawn = drawn[~np.isnan(drawn)]
            row["difference"] = row["yield"] - rows[0]["yield"]
            row["low"], row["high"] = interval(drawn)
            row["p"] = min(1.0, 2 * (1 + min((drawn <= 0).sum(), (drawn >= 0).sum())) / (1 + simulations))
            row["common_days"] = int(((sums[name][:, 0] > 0) & (sums[names[0]][:, 0] > 0)).sum())
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index(names, name="run"))


def breakdown(ledger: pd.DataFrame, by: str = "bookmaker", *, simulations: int = 2_000, seed: int = 7) -> pd.DataFrame:
    """Bets, money staked, profit, yield with its 95 % interval and closing-line value, for each value of a column of the ledger."""
    if by not in ledger:
        raise ParameterError(f"a ledger has no column {by!r}; it has {', '.join(ledger.columns)}.")
    rows = {}
    for name, part in ledger.groupby(by, sort=True):
        low, high = interval(resampled_yield(part, simulations, seed))
        staked, profit = part["stake"].sum(), part["profit"].sum()
        rows[name] = (len(part), staked, profit, _ratio(profit, staked), low, high, part["clv"].mean())
    return pd.DataFrame.from_dict(rows, orient="index", columns=["bets", "staked", "profit", "yield", "low", "high", "clv"]).rename_axis(by)


def max_drawdown(start: float, bankroll: Floats) -> float:
    """Largest fall of the bankroll from a peak, as a share of that peak; 0 for a ledger without bets."""
    path = np.concatenate([[start], bankroll])
    peak = np.maximum.accumulate(path)
    return float(((peak - path) / peak).max())


def verdict(evaluation: pd.DataFrame, ledger: pd.DataFrame) -> str:
    """Return the answer in one sentence: edge, its interval, luck, the closing line."""
    value = evaluation["value"]
    if not value["bets"]:
        return "No bets: nothing met the strategy's conditions."
    low, high, p, clv = evaluation.loc["yield", "low"], evaluation.loc["yield", "high"], value["luck_p"], value["clv"]
    count = f"{int(value['bets']):,} bets"
    yielded = f"yield {percent(value['yield'])} ({percent(low)} to {percent(high)})"
    luck = "no closing prices to test luck with" if np.isnan(p) else f"luck alone does as well in {percent(p)} of histories"
    line = "" if np.isnan(clv) else f", the closing line says {percent(clv, sign=True)} a bet"
    if np.isnan(p):
        judged = "An edge is not shown" if low <= 0 else "Profit beyond its day-to-day noise, but luck untested"
    elif low > 0 and p < 0.05:
        judged = "An edge that luck hardly explains"
    elif value["yield"] > 0:
        judged = "A profit that luck may explain"
    else:
        judged = "No edge"
    strategy = ", ".join(dict.fromkeys(ledger["strategy"]))
    return f"{judged}. {strategy[:1].upper()}{strategy[1:]}: {count}, {yielded}; {luck}{line}."


def comparison_verdict(comparison: pd.DataFrame) -> str:
    """Return what `compare_ledgers` says, in one sentence."""
    others = comparison.dropna(subset=["difference"])
    first = comparison.index[0]
    if others.empty:
        return f"Nothing to compare with {first}: a run without bets has no yield."
    name = others["p"].idxmin()
    row = others.loc[name]
    clear = "differs from" if row["low"] > 0 or row["high"] < 0 else "is within noise of"
    tried = f" ({len(others)} runs were compared, p is not corrected for that)" if len(others) > 1 else ""
    gap = f"{percent(row['difference'], sign=True)} ({percent(row['low'])} to {percent(row['high'])})"
    return f"The yield of {name} {clear} that of {first}: {gap}, p {row['p']:.3f}, {int(row['common_days'])} common match days{tried}."


def percent(share: float, digits: int = 1, *, sign: bool = False) -> str:
    """Write a fraction as a percentage with a proper minus and never broken before its sign, e.g. "2.1 %"."""
    if np.isnan(share):
        return "–"
    text = f"{share * 100:{'+' if sign else ''}.{digits}f}\N{NO-BREAK SPACE}%"
    return text.replace("-", "−")


def _ratio(profit: float, staked: float) -> float:
    return float(profit / staked) if staked else np.nan
