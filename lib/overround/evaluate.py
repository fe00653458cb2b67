"""What a ledger is worth: yield, drawdown, closing-line value, and how easily luck alone would have done the same."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.backtest import COMMISSION
from overround.errors import ParameterError
from overround.odds import SELECTION, group_codes

Floats = NDArray[np.float64]

LEVEL = 0.95
_CHUNK = 4_000_000  # random numbers held at once


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
    low, high = _interval(_resampled_yield(ledger, simulations, seed))
    clv_low, clv_high = _interval(_resampled_mean(ledger, "clv", simulations, seed))
    beat = decided.assign(beat=(decided["clv"] > 0).where(decided["clv"].notna()).astype(float))
    beat_low, beat_high = _interval(_resampled_mean(beat, "beat", simulations, seed))
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


def luck_test(ledger: pd.DataFrame, *, simulations: int = 10_000, seed: int = 7) -> dict[str, float]:
    """Chance that luck alone earns at least the profit of these bets.

    Outcomes are drawn anew from the market's own margin-free closing probabilities, one draw a market, so that bets on the same match
    stay dependent; bets, stakes and prices are those of the ledger. Where the close says that these prices were on the whole better
    than fair, that advantage is taken out of the histories: it is an edge, not luck. So the histories earn nothing or lose the
    margin on average. Bets without a closing probability and void bets are left out; a line with pushes is drawn as won or lost.

    Returns
    -------
    dict
        p: (1 + histories at least as good) / (1 + simulations); profit: what the tested bets earned; expected: what the close says
        they were worth; bets: how many were tested.
    """
    tested = _luck_bets(ledger)
    if tested.empty:
        return {"p": np.nan, "profit": np.nan, "expected": np.nan, "bets": 0}
    profits = np.concatenate([block.sum(axis=1) for block in _redrawn(tested, simulations, seed)])
    actual, expected = tested["profit"].sum(), _worth(tested).sum()
    # the last digit of a sum depends on its order
    better = (profits - max(expected, 0.0) >= actual - 1e-9 * tested["stake"].sum()).sum()
    return {"p": (1 + better) / (1 + simulations), "profit": actual, "expected": expected, "bets": len(tested)}


def luck_band(
    ledger: pd.DataFrame, *, simulations: int = 2_000, seed: int = 7, levels: tuple[float, ...] = (0.05, 0.5, 0.95)
) -> pd.DataFrame:
    """Quantiles of the running profit in the histories of `luck_test`: the band that luck alone fills on the bankroll figure.

    Returns
    -------
    DataFrame
        Index: `settled_at` of each tested bet; one column a level, in money.
    """
    tested = _luck_bets(ledger)
    if tested.empty:
        return pd.DataFrame(columns=list(levels), index=pd.DatetimeIndex([], tz="UTC", name="settled_at"))
    worth = _worth(tested)
    taken_out = worth.cumsum() if worth.sum() > 0 else 0.0
    paths = np.concatenate([block.cumsum(axis=1) for block in _redrawn(tested, simulations, seed)])
    quantiles = np.quantile(paths - taken_out, levels, axis=0).T
    return pd.DataFrame(quantiles, columns=list(levels), index=pd.DatetimeIndex(tested["settled_at"], name="settled_at"))


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
    days = pd.Index(sorted(set().union(*(_day(ledger) for ledger in ledgers.values()))))
    sums = {name: _by_day(ledger, days) for name, ledger in ledgers.items()}
    first = _quotient(_resample(sums[names[0]], simulations, seed))
    rows: list[dict[str, float]] = []
    for name, ledger in ledgers.items():
        staked, profit = ledger["stake"].sum(), ledger["profit"].sum()
        row = {"bets": len(ledger), "staked": staked, "profit": profit, "yield": _ratio(profit, staked), "clv": ledger["clv"].mean(),
               "difference": np.nan, "low": np.nan, "high": np.nan, "p": np.nan, "common_days": np.nan}  # fmt: skip
        if name != names[0]:
            # the same seed draws the same days for both
            drawn = _quotient(_resample(sums[name], simulations, seed)) - first
            drawn = drawn[~np.isnan(drawn)]
            row["difference"] = row["yield"] - rows[0]["yield"]
            row["low"], row["high"] = _interval(drawn)
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
        low, high = _interval(_resampled_yield(part, simulations, seed))
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


def probability_scores(fair: pd.DataFrame, results: pd.DataFrame, reference: str) -> pd.DataFrame:
    """How good each bookmaker's margin-free probabilities were on 1X2 markets; lower is better.

    Bookmakers quote different matches, some easier to foretell than others: only the column `gap` compares them fairly.

    Parameters
    ----------
    fair : DataFrame
        What `fair_probabilities` returned, one price of each selection and bookmaker (say the closing ones).
    results : DataFrame
        The table `results`.
    reference : str
        Bookmaker that the others are held against.

    Returns
    -------
    DataFrame
        Index `bookmaker`, best gap first; columns matches, overround, brier (Brier 1950: sum over outcomes of squared errors), log_loss
        (nats) and rps (ranked probability score, Epstein 1969, over home-draw-away), each the mean over matches; gap (mean difference
        in log loss to the reference on the matches that both quote), low and high (its 95 % interval, matches independent).
    """
    h2h = fair[fair["market"] == "h2h"].dropna(subset=["fair"])
    scored = h2h.merge(results[["event_id", "home_score", "away_score"]].dropna(), on="event_id")
    sign = np.sign(scored["home_score"] - scored["away_score"])
    happened = scored["outcome"].map({"home": 1, "draw": 0, "away": -1}) == sign
    p, y = scored["fair"], happened.astype(float)
    # the ranked score of three ordered outcomes: half the squared errors of both ends, whose cumulative sums are P(home) and 1 - P(away)
    ends = (scored["outcome"] != "draw") / 2
    scored = scored.assign(
        brier=(p - y) ** 2, log_loss=-np.log(p.where(happened, 1.0)), rps=ends * (p - y) ** 2, overround=scored["overround"] / 3
    )
    matches = scored.groupby(["bookmaker", "event_id"])[["overround", "brier", "log_loss", "rps"]].sum().reset_index()
    sharp = matches[matches["bookmaker"] == reference].set_index("event_id")["log_loss"]
    gap = matches.assign(gap=matches["log_loss"] - matches["event_id"].map(sharp.to_dict()).astype(float)).groupby("bookmaker")["gap"]
    half = 1.96 * gap.std() / np.sqrt(gap.count())
    means = matches.groupby("bookmaker")[["overround", "brier", "log_loss", "rps"]].mean()
    means.insert(0, "matches", matches.groupby("bookmaker").size())
    return means.assign(gap=gap.mean(), low=gap.mean() - half, high=gap.mean() + half).sort_values("gap")


def _ratio(profit: float, staked: float) -> float:
    return float(profit / staked) if staked else np.nan


def _day(ledger: pd.DataFrame) -> pd.Series:
    return ledger["starts_at"].dt.normalize()


def _by_day(ledger: pd.DataFrame, days: pd.Index) -> Floats:
    sums = ledger.groupby(_day(ledger))[["stake", "profit"]].sum()
    return sums.reindex(days, fill_value=0.0).to_numpy(float)


def _resample(sums: Floats, simulations: int, seed: int) -> Floats:
    """Totals over days drawn with replacement, shape (simulations, columns): the bootstrap by day as a matrix product."""
    n_days = len(sums)
    if not n_days:
        return np.zeros((simulations, sums.shape[1]))
    rng = np.random.default_rng(seed)
    block = max(1, _CHUNK // n_days)
    sizes = [min(block, simulations - begin) for begin in range(0, simulations, block)]
    return np.concatenate([rng.multinomial(n_days, np.full(n_days, 1 / n_days), size=size) @ sums for size in sizes])


def _quotient(drawn: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return drawn[:, 1] / drawn[:, 0]


def _resampled_yield(ledger: pd.DataFrame, simulations: int, seed: int) -> Floats:
    days = pd.Index(sorted(set(_day(ledger))))
    return _quotient(_resample(_by_day(ledger, days), simulations, seed))


def _resampled_mean(ledger: pd.DataFrame, column: str, simulations: int, seed: int) -> Floats:
    known = ledger.dropna(subset=[column])
    by_day = known.groupby(_day(known))[column].agg(["size", "sum"]).to_numpy(float)
    return _quotient(_resample(by_day, simulations, seed))


def _interval(drawn: Floats) -> tuple[float, float]:
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return np.nan, np.nan
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _luck_bets(ledger: pd.DataFrame) -> pd.DataFrame:
    return ledger[ledger["closing_fair"].notna() & (ledger["result"] != "void") & (ledger["stake"] > 0)]


def _payouts(bets: pd.DataFrame) -> tuple[Floats, Floats]:
    """Profit of each bet where its outcome happens, and where it does not."""
    price, lay, stake = bets["price"].to_numpy(float), (bets["side"] == "lay").to_numpy(), bets["stake"].to_numpy(float)
    kept = 1 - bets["bookmaker"].map(COMMISSION).fillna(0.0).to_numpy(float)
    return np.where(lay, -(price - 1), (price - 1) * kept) * stake, np.where(lay, kept, -1.0) * stake


def _worth(bets: pd.DataFrame) -> Floats:
    """Expected profit of each bet by the market's margin-free close."""
    if_hit, if_missed = _payouts(bets)
    p = bets["closing_fair"].to_numpy(float)
    return p * if_hit + (1 - p) * if_missed


def _redrawn(bets: pd.DataFrame, simulations: int, seed: int) -> Iterator[NDArray]:
    """Blocks of histories: profit of each bet, shape (histories, bets)."""
    market, n = group_codes(bets, SELECTION[:-1])
    p, low = bets["closing_fair"].to_numpy(float), _from(bets, market, n)
    if_hit, if_missed = _payouts(bets)
    rng = np.random.default_rng(seed)
    block = max(1, _CHUNK // max(n, len(bets), 1))
    for begin in range(0, simulations, block):
        drawn = rng.random((min(block, simulations - begin), n))[:, market]
        yield np.where((drawn >= low) & (drawn < low + p), if_hit, if_missed)


def _from(bets: pd.DataFrame, match: NDArray, n: int) -> Floats:
    """Where each selection's interval begins in its market's draw from 0 to 1: home or over first, away or under last, draw between."""
    outcome, p = bets["outcome"].to_numpy(object), bets["closing_fair"].to_numpy(float)
    home, away = np.zeros(n), np.full(n, np.nan)
    first, last = (outcome == "home") | (outcome == "over"), (outcome == "away") | (outcome == "under")
    home[match[first]] = p[first]
    away[match[last]] = p[last]
    between = np.where((home[match] == 0) & ~np.isnan(away[match]), 1 - away[match] - p, home[match])
    return np.where(first, 0.0, np.where(last, 1 - p, between))
