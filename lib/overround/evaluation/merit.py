"""What a ledger is worth: yield, drawdown, closing-line value and others, each with its interval.

A new figure of merit is an entry in `FIGURES`, and a line in the docstring of `evaluate`.
"""

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

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
from overround.evaluation.intervals import ratio
from overround.evaluation.luck import luck_test
from overround.evaluation.multiple_testing import deflated_p
from overround.evaluation.robustness import bets_needed, suspicious
from overround.formatting import percent
from overround.schema import COMMISSION
from overround.stats import by_day, day, interval, known_by_day, quotient, resample


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
        What the backtest was called with: the luck test then plays every history by the same rules and sizes
        the stakes again; without a `stake` they stay as they were.
    tried : int
        Strategies that were tried before this one was chosen, itself included.
    ruin : float
        Share of the bankroll whose loss is ruin.
    simulations : int
        Resamples of match days for the intervals, and redrawn histories for the luck test (at most 2,000
        bankroll paths).
    seed : int
        Seed of all random numbers.

    Returns
    -------
    DataFrame
        Index `metric`; columns value, low, high, unit. Shares (yield, clv ...) are fractions, not per cent.
        Rows:

        - bets, staked, turnover (staked over the bankroll at the start), profit, yield (profit over staked),
          roi (profit over the bankroll at the start), hit_rate, mean_price, final_bankroll;
        - max_drawdown (share of the peak), drawdown_days (from that peak until it is regained, or to the
          end), under_water (share of time below an earlier peak); drawdown_median, drawdown_95 (quantiles of
          the deepest fall over resampled paths), ruin (share of those paths that ever lose the share `ruin`
          of the bankroll at the start), see `resampled_drawdowns`;
        - sharpe: mean over standard deviation of the returns of match days, times the root of the match days
          in a year;
        - bets_needed to tell this yield from zero, see `bets_needed`;
        - clv (price against the margin-free close), beat_close (share of bets with clv above 0);
        - luck_p (chance of at least this profit by luck alone, see `luck_test`), luck_bets (bets with a
          close), tried, and luck_p_corrected for the number tried, see `deflated_p`.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
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
    facts = SimpleNamespace(**_facts(ledger, simulations, seed, ruin), luck=luck, tried=tried)
    rows = {}
    for name, (unit, figure) in FIGURES.items():
        found = figure(facts)
        rows[name] = (*(found if isinstance(found, tuple) else (found, np.nan, np.nan)), unit)
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "low", "high", "unit"])
    return frame.rename_axis("metric").astype({"value": float, "low": float, "high": float})


def _facts(ledger: pd.DataFrame, simulations: int, seed: int, ruin: float) -> dict[str, Any]:
    """What the figures are made of; `bets` are those with a stake."""
    bets = ledger[ledger["stake"] > 0]
    decided = bets["result"] != "void"
    means = pd.DataFrame(
        {
            "hit": (bets["profit"] > 0).astype(float).where(decided),
            "price": bets["price"],
            "clv": bets["clv"],
            "beat": beaten(bets["clv"], bets["result"]),
        }
    )
    drawn = _drawn(bets, means, simulations, seed)
    falls, ruined = resampled_drawdowns(bets, simulations=min(simulations, MOST_PATHS), ruin=ruin, seed=seed)
    fall_median, fall_95 = np.quantile(falls, [0.5, 0.95]) if len(falls) else (np.nan, np.nan)
    days, under_water = drawdown_time(bets)
    low, high = interval(drawn["yield"])
    return {
        "bets": bets,
        "means": means.mean(),
        "staked": bets["stake"].sum(),
        "profit": bets["profit"].sum(),
        "low": low,
        "high": high,
        "start": bankroll_at_start(ledger),
        "drawn": drawn,
        "fall_median": fall_median,
        "fall_95": fall_95,
        "ruined": ruined,
        "days": days,
        "under_water": under_water,
        "year": _days_a_year(bets),
    }


def _mean(f: Any, name: str) -> tuple[float, float, float]:
    return f.means[name], *interval(f.drawn[name])


# figure of merit: its unit, and the value (or value, low and high) from `_facts`
FIGURES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bets": ("bets", lambda f: len(f.bets)),
    "staked": ("money", lambda f: f.staked),
    "turnover": ("times", lambda f: ratio(f.staked, f.start)),
    "profit": ("money", lambda f: (f.profit, f.low * f.staked, f.high * f.staked)),
    "yield": ("share", lambda f: (ratio(f.profit, f.staked), f.low, f.high)),
    "roi": (
        "share",
        lambda f: tuple(ratio(x, f.start) for x in (f.profit, f.low * f.staked, f.high * f.staked)),
    ),
    "hit_rate": ("share", lambda f: _mean(f, "hit")),
    "mean_price": ("odds", lambda f: _mean(f, "price")),
    "final_bankroll": ("money", lambda f: f.start + f.profit),
    "max_drawdown": ("share", lambda f: max_drawdown(f.bets)),
    "drawdown_days": ("days", lambda f: f.days),
    "under_water": ("share", lambda f: f.under_water),
    "drawdown_median": ("share", lambda f: f.fall_median),
    "drawdown_95": ("share", lambda f: f.fall_95),
    "ruin": ("share", lambda f: f.ruined),
    "sharpe": (
        "ratio",
        lambda f: (_own_sharpe(f.bets, f.year), *interval(_sharpe(f.drawn["return"], f.year))),
    ),
    "bets_needed": ("bets", lambda f: bets_needed(f.bets)),
    "clv": ("share", lambda f: _mean(f, "clv")),
    "beat_close": ("share", lambda f: _mean(f, "beat")),
    "luck_p": ("probability", lambda f: f.luck["p"]),
    "luck_bets": ("bets", lambda f: f.luck["bets"]),
    "tried": ("strategies", lambda f: f.tried),
    "luck_p_corrected": ("probability", lambda f: deflated_p(f.luck["p"], f.tried)),
}


def verdict(evaluation: pd.DataFrame, ledger: pd.DataFrame) -> str:
    """Return the answer in one sentence: edge, interval, luck, number tried, close, and what to check first.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
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
        answer = (
            "An edge is not shown" if low <= 0 else "Profit beyond its day-to-day noise, but luck untested"
        )
    elif low > 0 and p < 0.05:
        answer = "An edge that luck hardly explains"
    elif value["yield"] > 0:
        answer = "A profit that luck may explain"
    else:
        answer = "No edge"
    strategy = ", ".join(dict.fromkeys(ledger["strategy"]))
    checks = suspicious(ledger)
    first = "".join(f" Check first: {reason}." for reason in checks.loc[checks["flagged"], "why"])
    return f"{answer}. {strategy[:1].upper()}{strategy[1:]}: {count}, {yielded}; {luck}{line}.{first}"


def _drawn(bets: pd.DataFrame, means: pd.DataFrame, simulations: int, seed: int) -> dict[str, Floats]:
    """The yield, each mean and the moments of returns over the same resampled match days."""
    sums = by_day(bets), known_by_day(means, day(bets)), _moments(day_returns(bets))
    drawn = resample(np.hstack(sums), simulations, seed)
    names = ["yield", *means]
    pairs = {name: quotient(drawn[:, 2 * i : 2 * i + 2]) for i, name in enumerate(names)}
    return {**pairs, "return": drawn[:, 2 * len(names) :]}


def beaten(clv: pd.Series, result: pd.Series) -> pd.Series:
    """1 where a bet beat the close, 0 where it did not, NaN where it has no close or was void."""
    return (clv > 0).astype(float).where(clv.notna() & (result != "void"))


def _own_sharpe(bets: pd.DataFrame, days_a_year: float) -> float:
    return float(_sharpe(_moments(day_returns(bets)).sum(axis=0)[None], days_a_year)[0])


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
