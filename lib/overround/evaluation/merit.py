"""What a ledger is worth: yield, drawdown, closing-line value, each with its interval."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.betting.accounts import Account, Execution
from overround.betting.staking import Staking
from overround.errors import ParameterError
from overround.evaluation.drawdown import (
    MOST_PATHS,
    bankroll_at_start,
    day_returns,
    drawdown_time,
    max_drawdown,
    resampled_drawdowns,
)
from overround.evaluation.luck import luck_test
from overround.evaluation.multiple_testing import deflated_p
from overround.evaluation.robustness import bets_needed, suspicious
from overround.formatting import percent
from overround.schema import COMMISSION
from overround.stats import day, interval, quotient, resample


def evaluate(
    ledger: pd.DataFrame,
    *,
    stake: Staking | None = None,
    accounts: Iterable[Account] | None = None,
    execution: Execution | None = None,
    commission: Mapping[str, float] = COMMISSION,
    tried: int = 1,
    ruin: float = 0.5,
    simulations: int = 10_000,
    seed: int = 7,
) -> pd.DataFrame:
    """Figures of merit of a ledger, each with its 95 % interval where it is an estimate.

    Intervals come from match days drawn with replacement, never from single bets: a copy of every bet changes
    none of them. Bets without a stake (none was left, or it was refused) are not counted.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned. Where its bankroll at the start cannot be known, figures that need it are
        NaN.
    stake, accounts, execution, commission : optional
        What the backtest was called with: the luck test then plays every history by the same rules, stakes
        sized anew; without a `stake` they stay as they were.
    tried : int
        Strategies that were tried before this one was chosen, itself included.
    ruin : float
        Share of the bankroll whose loss is ruin.
    simulations : int
        Resamples of match days for the intervals, and re-drawn histories for the luck test (of bankroll paths
        at most 2,000).
    seed : int
        Of all.

    Returns
    -------
    DataFrame
        Index `metric`; columns value, low, high, unit. Shares (yield, clv ...) are fractions, not per cent.
        Rows:

        - bets, staked, turnover (staked over the bankroll at the start), profit, yield (profit over staked), roi (profit over the
          bankroll at the start), hit_rate, mean_price, final_bankroll;
        - max_drawdown (share of the peak), drawdown_days (from that peak until it is regained, or to the end), under_water (share of
          time below an earlier peak); drawdown_median, drawdown_95 (quantiles of the deepest fall over
          resampled paths), ruin (share of those paths that ever lose the share `ruin` of the bankroll at the
          start), see `resampled_drawdowns`;
        - sharpe: mean over standard deviation of the returns of match days, times the root of the match days in a year;
        - bets_needed to tell this yield from zero, see `bets_needed`;
        - clv (price against the margin-free close), beat_close (share of bets with clv above 0);
        - luck_p (chance of at least this profit by luck alone, see `luck_test`), luck_bets (bets with a close), tried, and
          luck_p_corrected for the number tried, see `deflated_p`.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> found = ov.evaluate(ledger, simulations=500)
    >>> int(found.loc["bets", "value"]) == len(ledger), found.loc["yield", "unit"]
    (True, 'share')
    """
    if not tried >= 1:
        raise ParameterError(f"tried is {tried}; at least 1 strategy was tried, this one.")
    luck = luck_test(
        ledger,
        simulations=simulations,
        seed=seed,
        stake=stake,
        accounts=accounts,
        execution=execution,
        commission=commission,
    )
    start = bankroll_at_start(ledger)
    ledger = ledger[ledger["stake"] > 0]
    decided = ledger[ledger["result"] != "void"]
    staked, profit = ledger["stake"].sum(), ledger["profit"].sum()
    drawn = _drawn(ledger, simulations, seed)
    low, high = interval(quotient(drawn["yield"]))
    falls, ruined = resampled_drawdowns(
        ledger, simulations=min(simulations, MOST_PATHS), ruin=ruin, seed=seed
    )
    fall_median, fall_95 = np.quantile(falls, [0.5, 0.95]) if len(falls) else (np.nan, np.nan)
    days, under = drawdown_time(ledger)
    year = _days_a_year(ledger)
    rows = {
        "bets": (len(ledger), None, None, "bets"),
        "staked": (staked, None, None, "money"),
        "turnover": (_ratio(staked, start), None, None, "times"),
        "profit": (profit, low * staked, high * staked, "money"),
        "yield": (_ratio(profit, staked), low, high, "share"),
        "roi": (_ratio(profit, start), _ratio(low * staked, start), _ratio(high * staked, start), "share"),
        "hit_rate": (
            (decided["profit"] > 0).mean() if len(decided) else np.nan,
            *interval(quotient(drawn["hit"])),
            "share",
        ),
        "mean_price": (ledger["price"].mean(), *interval(quotient(drawn["price"])), "odds"),
        "final_bankroll": (start + profit, None, None, "money"),
        "max_drawdown": (max_drawdown(ledger), None, None, "share"),
        "drawdown_days": (days, None, None, "days"),
        "under_water": (under, None, None, "share"),
        "drawdown_median": (fall_median, None, None, "share"),
        "drawdown_95": (fall_95, None, None, "share"),
        "ruin": (ruined, None, None, "share"),
        "sharpe": (
            _sharpe(_moments(day_returns(ledger)).sum(axis=0)[None], year)[0],
            *interval(_sharpe(drawn["return"], year)),
            "ratio",
        ),
        "bets_needed": (bets_needed(ledger), None, None, "bets"),
        "clv": (ledger["clv"].mean(), *interval(quotient(drawn["clv"])), "share"),
        "beat_close": (
            beaten(ledger["clv"], ledger["result"]).mean(),
            *interval(quotient(drawn["beat"])),
            "share",
        ),
        "luck_p": (luck["p"], None, None, "probability"),
        "luck_bets": (luck["bets"], None, None, "bets"),
        "tried": (tried, None, None, "strategies"),
        "luck_p_corrected": (deflated_p(luck["p"], tried), None, None, "probability"),
    }
    frame = pd.DataFrame.from_dict(
        rows, orient="index", columns=["value", "low", "high", "unit"]
    ).rename_axis("metric")
    return frame.astype({"value": float, "low": float, "high": float})


def verdict(evaluation: pd.DataFrame, ledger: pd.DataFrame) -> str:
    """Return the answer in one sentence: edge, its interval, luck, the number tried, the closing line; and what to check first.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> print(ov.verdict(ov.evaluate(ledger, simulations=500), ledger).split(".")[0])
    No edge
    """
    value = evaluation["value"]
    if not value["bets"]:
        return "No bets: nothing met the strategy's conditions."
    low, high, p, clv = (
        evaluation.loc["yield", "low"],
        evaluation.loc["yield", "high"],
        value["luck_p_corrected"],
        value["clv"],
    )
    tried = int(value["tried"])
    count = f"{int(value['bets']):,} bets"
    yielded = f"yield {percent(value['yield'])} ({percent(low)} to {percent(high)})"
    luck = (
        "no closing prices to test luck with"
        if np.isnan(p)
        else f"luck alone does as well in {percent(value['luck_p'])} of histories"
    )
    if tried > 1:
        corrected = "" if np.isnan(p) else f", as the best of {tried:,} strategies in up to {percent(p)}"
        luck += corrected or f", and {tried:,} strategies were tried"
    line = "" if np.isnan(clv) else f", the closing line says {percent(clv, sign=True)} a bet"
    if np.isnan(p):
        judged = (
            "An edge is not shown" if low <= 0 else "Profit beyond its day-to-day noise, but luck untested"
        )
    elif low > 0 and p < 0.05:
        judged = "An edge that luck hardly explains"
    elif value["yield"] > 0:
        judged = "A profit that luck may explain"
    else:
        judged = "No edge"
    strategy = ", ".join(dict.fromkeys(ledger["strategy"]))
    checks = suspicious(ledger)
    first = "".join(f" Check first: {reason}." for reason in checks.loc[checks["flagged"], "why"])
    return f"{judged}. {strategy[:1].upper()}{strategy[1:]}: {count}, {yielded}; {luck}{line}.{first}"


def _drawn(ledger: pd.DataFrame, simulations: int, seed: int) -> dict[str, Floats]:
    """Over resampled match days: (how much, of what) for each estimate, and the sums of returns; all of the same days."""
    decided = ledger["result"] != "void"
    beat = beaten(ledger["clv"], ledger["result"])
    pairs = {
        "yield": (ledger["stake"], ledger["profit"]),
        "hit": (decided, decided & (ledger["profit"] > 0)),
        "price": (pd.Series(1.0, ledger.index), ledger["price"]),
        "clv": (ledger["clv"].notna(), ledger["clv"].fillna(0.0)),
        "beat": (beat.notna(), beat.fillna(0.0)),
    }
    columns = pd.DataFrame(
        {(name, i): pair[i].astype(float) for name, pair in pairs.items() for i in (0, 1)}, index=ledger.index
    )
    sums = columns.groupby(day(ledger)).sum().sort_index().to_numpy(float)
    drawn = resample(np.hstack([sums, _moments(day_returns(ledger))]), simulations, seed)
    return {
        **{name: drawn[:, 2 * i : 2 * i + 2] for i, name in enumerate(pairs)},
        "return": drawn[:, 2 * len(pairs) :],
    }


def beaten(clv: pd.Series, result: pd.Series) -> pd.Series:
    """1 where a bet beat the close, 0 where not, NaN where it has no close or was void."""
    return (clv > 0).astype(float).where(clv.notna() & (result != "void"))


def _moments(returns: Floats) -> Floats:
    return np.stack([np.ones_like(returns), returns, returns**2], axis=1)


def _sharpe(sums: Floats, days_a_year: float) -> Floats:
    count, total, squares = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0) * count / (count - 1))
        return np.where(spread > 1e-15, mean / spread * np.sqrt(days_a_year), np.nan)


def _days_a_year(ledger: pd.DataFrame) -> float:
    days = day(ledger)
    return days.nunique() / (((days.max() - days.min()).days + 1) / 365.25) if len(days) else np.nan


def _ratio(amount: float, base: float) -> float:
    return float(amount / base) if base else np.nan
