"""Whether a result hangs on a few bets, exact prices, missing prices, or knowledge that nobody could have."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.evaluation.intervals import ratio
from overround.evaluation.redrawn_results import drawable, moments_of_profit
from overround.schema import NOT_AN_ACCOUNT
from overround.stats import by_day, day, interval, quotient, resample, residual_variance

# limits that honest strategies do not exceed
_DEVIATIONS = 5.0
_BEATEN = 0.99
_LEAST_BETS = 30
_CONCENTRATED = 0.25


def without_best(
    ledger: pd.DataFrame, *, counts: Sequence[int] = (1, 5, 10), shares: Sequence[float] = (0.01,)
) -> pd.DataFrame:
    """The yield without the best bets: a handful of lucky or wrong prices can make up a whole profit.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    counts : sequence of int
        Best bets to leave out.
    shares : sequence of float
        The same as a share of all bets, rounded up.

    Returns
    -------
    DataFrame
        Index `left_out`; columns bets (that stay), profit and yield (of those), share_of_profit (that the
        bets left out earned; NaN where there is no profit).

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> ov.evaluation.without_best(ledger, counts=(1, 5)).index.tolist()
    ['none', 'best 1', 'best 5', 'best 1 %']
    """
    ordered = ledger.sort_values("profit", ascending=False, kind="stable")
    out = {
        "none": 0,
        **{f"best {k}": k for k in counts},
        **{f"best {100 * s:g} %": int(np.ceil(s * len(ledger))) for s in shares},
    }
    total = ledger["profit"].sum()
    rows = {}
    for name, k in out.items():
        rest = ordered.iloc[k:]
        staked, profit = rest["stake"].sum(), rest["profit"].sum()
        share = ordered["profit"].iloc[:k].sum() / total if total > 0 else np.nan
        rows[name] = (len(rest), profit, ratio(profit, staked), share)
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["bets", "profit", "yield", "share_of_profit"]
    ).rename_axis("left_out")


def haircut(
    ledger: pd.DataFrame,
    cuts: Sequence[float] = (0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03),
    *,
    simulations: int = 2_000,
    seed: int = 7,
) -> pd.DataFrame:
    """The yield had every price been worse by a share, bets and stakes as they were.

    A back bet at price o is paid o (1 - cut), at least 1; a lay bet costs o (1 + cut). The yield never rises
    with the cut.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    cuts : sequence of float
        Shares of the price; 0 to below 1.
    simulations, seed : int
        Resamples of match days for the interval, the same days for all cuts.

    Returns
    -------
    DataFrame
        Index `cut`; columns profit, yield, low, high (95 %), clv.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> cut = ov.evaluation.haircut(ledger, (0, 0.01, 0.02), simulations=200)
    >>> cut["yield"].is_monotonic_decreasing
    True
    """
    bad = [cut for cut in cuts if not 0 <= cut < 1]
    if bad:
        raise ParameterError(f"a price cut of {bad[0]} makes no sense; allowed: 0 to below 1.")
    lay = (ledger["side"] == "lay").to_numpy()[:, None]
    price, profit, fair = (
        ledger[name].to_numpy(float)[:, None] for name in ("price", "profit", "closing_fair")
    )
    worse = price * np.where(lay, 1 + np.array(cuts, float), 1 - np.array(cuts, float))
    # the price decides what a back bet wins and what a lay bet loses
    priced = np.where(lay, profit < 0, profit > 0)
    table = pd.DataFrame(
        np.where(priced, profit * (np.maximum(worse, 1.0) - 1) / (price - 1), profit), ledger.index
    )
    sums = pd.concat([ledger["stake"], table], axis=1).groupby(day(ledger)).sum().to_numpy(float)
    drawn, staked = resample(sums, simulations, seed), ledger["stake"].sum()
    low, high = zip(*(interval(quotient(drawn[:, [0, i]])) for i in range(1, len(cuts) + 1)), strict=True)
    found = pd.DataFrame({"profit": table.sum()})
    found["yield"] = [ratio(profit, staked) for profit in found["profit"]]
    clv = pd.DataFrame(np.where(lay, 1 - worse * fair, worse * fair - 1)).mean()
    return found.assign(low=low, high=high, clv=clv).set_index(pd.Index(cuts, name="cut", dtype=float))


def bets_needed(
    ledger: pd.DataFrame, edge: float | None = None, *, power: float = 0.8, size: float = 0.05
) -> float:
    """Number of bets like these that a one-sided test of this size and power needs to tell an edge from zero.

    The noise is that of the ledger's own yield by match day, so that bets that depend on each other count for
    less.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned.
    edge : float, optional
        Expected profit per unit staked; by default the ledger's own yield.
    power, size : float
        Chance of finding the edge where it is there, and where it is not.

    Returns
    -------
    float
        NaN where the edge is not above 0 (no number is enough) or there are fewer than two days.

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> ov.evaluation.bets_needed(ledger, edge=0.02) > len(ledger)
    True
    """
    from scipy.special import ndtri

    sums = by_day(ledger)
    staked, profit = sums.sum(axis=0)
    if len(sums) < 2 or not staked:
        return np.nan
    wanted = profit / staked if edge is None else edge
    if not wanted > 0:
        return np.nan
    variance = residual_variance(sums) / staked**2
    return float(np.ceil(len(ledger) * variance * ((ndtri(1 - size) + ndtri(power)) / wanted) ** 2))


def missing_odds(
    quotes: pd.DataFrame, by: Sequence[str] = ("bookmaker", "competition", "season"), *, market: str = "h2h"
) -> pd.DataFrame:
    """How many matches each bookmaker does not quote: a result on the rest may not hold for all.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`.
    by : sequence of str
        "bookmaker" and any of competition, season, phase.
    market : str
        One of h2h, totals, spreads.

    Returns
    -------
    DataFrame
        Index: `by`; columns matches (that anybody quotes there), quoted, missing (share). Bookmakers with no
        quote there are rows, too.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> ov.evaluation.missing_odds(quotes, ["bookmaker"])["missing"].tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    where = ["all", *(column for column in by if column != "bookmaker")]
    mine = quotes[quotes["market"] == market].assign(all="all")
    quoted = mine.pivot_table("event_id", where, "bookmaker", aggfunc="nunique", fill_value=0)
    table = quoted.melt(var_name="bookmaker", value_name="quoted", ignore_index=False)
    table.insert(0, "matches", mine.groupby(where)["event_id"].nunique())
    table = table.assign(missing=1 - table["quoted"] / table["matches"])
    table = table.set_index("bookmaker", append=True).droplevel("all")
    return table.reorder_levels(list(by)) if len(by) > 1 else table


def always_quoted(ledger: pd.DataFrame, quotes: pd.DataFrame, *, least: float = 0.5) -> pd.DataFrame:
    """Bets on matches that all regular bookmakers quote.

    Regular are those with prices for at least `least` of a competition's season.

    What holds only where prices are missing is a fact about missing prices.

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, results = ov.example()
    >>> ledger = ov.datasets.example_ledger()
    >>> kept = ov.evaluation.always_quoted(ledger, quotes)
    >>> len(kept) > 0
    True
    """
    place, accounts = ["competition", "season", "market"], quotes[~quotes["bookmaker"].isin(NOT_AN_ACCOUNT)]
    pairs = accounts.drop_duplicates([*place, "bookmaker", "event_id"])
    shown = pairs.groupby([*place, "bookmaker"])["event_id"].transform("size")
    regular = pairs[shown / pairs.groupby(place)["event_id"].transform("nunique") >= least]
    quoted = regular.groupby([*place, "event_id"])["bookmaker"].transform("size")
    full = regular[quoted == regular.groupby(place)["bookmaker"].transform("nunique")]
    keys = ["event_id", "market"]
    return ledger[pd.MultiIndex.from_frame(ledger[keys]).isin(pd.MultiIndex.from_frame(full[keys]))]


def suspicious(ledger: pd.DataFrame) -> pd.DataFrame:
    """Signs that results or closing prices were known in advance, or that prices could not be had.

    Returns
    -------
    DataFrame
        Index `check`; columns found, limit, flagged, and why: what a flag means. Checks:

        - results known: profit above that expected by the margin-free close (or the bet's own price), in
          standard deviations of the profit by match day or by those probabilities, whichever is larger;
        - close known: share of bets that beat the close. A strategy that bets at the close is flagged, too,
          and rightly: there the closing line judges its own choice;
        - few bets: share of all winnings from the best hundredth of the bets;
        - no account: share of the stakes at prices of no bookmaker (market maximum or average).

    Examples
    --------
    >>> import overround as ov
    >>> ledger = ov.datasets.example_ledger()
    >>> list(ov.evaluation.suspicious(ledger).columns)
    ['found', 'limit', 'flagged', 'why']
    """
    n = len(ledger)
    close = ledger["clv"].dropna()
    won = ledger["profit"].clip(lower=0).sort_values(ascending=False)
    best = float(won.iloc[: int(np.ceil(n / 100))].sum() / won.sum()) if won.sum() else np.nan
    nowhere = (
        float(ledger.loc[ledger["bookmaker"].isin(NOT_AN_ACCOUNT), "stake"].sum() / ledger["stake"].sum())
        if n
        else 0.0
    )
    rows = {
        "results known": (
            _foreknowledge(ledger),
            _DEVIATIONS,
            n >= _LEAST_BETS,
            "it wins more often than prices allow, as if results had been known",
        ),
        "close known": (
            float((close > 0).mean()) if len(close) else np.nan,
            _BEATEN,
            len(close) >= _LEAST_BETS,
            "nearly every bet beats the close, as if closing prices had chosen it",
        ),
        "few bets": (
            best,
            _CONCENTRATED,
            n >= 100,
            "a hundredth of the bets made over a quarter of all winnings, as if a price was wrong",
        ),
        "no account": (
            nowhere,
            0.0,
            True,
            "it bets at prices that no bookmaker holds, a best or a mean of many",
        ),
    }
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["found", "limit", "enough", "why"]
    ).rename_axis("check")
    return table.assign(flagged=table["enough"] & (table["found"] > table["limit"]))[
        ["found", "limit", "flagged", "why"]
    ]


def _foreknowledge(ledger: pd.DataFrame) -> float:
    bets = drawable(ledger.assign(closing_fair=ledger["closing_fair"].fillna(1 / ledger["price"])))
    if bets.empty:
        return np.nan
    mean, variance = moments_of_profit(bets)
    over = (
        pd.Series(bets["profit"].to_numpy(float) - np.maximum(mean, 0.0)).groupby(day(bets).to_numpy()).sum()
    )
    spread = np.sqrt(max(float(variance.sum()), float(((over - over.mean()) ** 2).sum())))
    return float(over.sum() / spread) if spread else np.nan
