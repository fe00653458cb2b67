"""Blind bets in the same matches: what a bettor without skill would have made."""

import numpy as np
import pandas as pd

from overround.betting.engine import backtest
from overround.betting.staking import Flat
from overround.evaluation.intervals import LARGE, unit_profit, yield_with_interval
from overround.formatting import percent
from overround.grouping import OFFER, group_codes
from overround.prices.standing import price_when_placed
from overround.schema import OUTCOMES, SIGNAL_COLUMNS
from overround.stats import interval


def baselines(
    ledger: pd.DataFrame,
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    *,
    simulations: int = 2_000,
    seed: int = 7,
) -> pd.DataFrame:
    """Yields of blind bets in the same markets, at the same bookmakers and times.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned; every bet counts one unit here.
    quotes, results : DataFrame
        The tables it was made from.
    simulations, seed : int
        Of resampled match days, and of bettors who pick at random.

    Returns
    -------
    DataFrame
        Index `bets_on`: these bets; every outcome (what the market gives back); a random outcome (low and
        high hold 95 % of such bettors); every home, draw ... of them. Columns bets, yield, low, high.
        `attrs["p_random"]`: share of random bettors who earn at least what these bets earn.

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, results = ov.example()
    >>> ledger = ov.datasets.example_ledger()
    >>> ov.baselines(ledger, quotes, results, simulations=200).index.tolist()
    ['these bets', 'every outcome', 'a random outcome', 'every home', 'every draw', 'every away']
    """
    back = ledger[ledger["side"] == "back"].drop_duplicates([*OFFER, "placed_at"])
    whole = _every_outcome(back.drop_duplicates([c for c in (*OFFER, "placed_at") if c != "outcome"]), quotes)
    settled = backtest(whole, results, stake=Flat(1.0), bankroll=LARGE)
    settled = settled[settled["result"] != "void"]
    own = back.assign(stake=1.0, profit=unit_profit(back))
    rows = {
        "these bets": yield_with_interval(own, simulations, seed),
        "every outcome": yield_with_interval(settled, simulations, seed),
    }
    market, n = group_codes(settled, ("event_id", "market", "line", "bookmaker", "placed_at"))
    picked = _random_pickers(market, n, settled["profit"].to_numpy(float), simulations, seed)
    low, high = interval(picked)
    rows["a random outcome"] = {
        "bets": n,
        "yield": float(picked.mean()) if n else np.nan,
        "low": low,
        "high": high,
    }
    for outcome in dict.fromkeys(name for names in OUTCOMES.values() for name in names):
        part = settled[settled["outcome"] == outcome]
        if len(part):
            rows[f"every {outcome}"] = yield_with_interval(part, simulations, seed)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("bets_on")
    mine = rows["these bets"]["yield"]
    table.attrs["p_random"] = float((1 + (picked >= mine).sum()) / (1 + len(picked))) if n else np.nan
    if n:
        table.attrs["says"] = (
            f"Of bettors who pick at random, {percent(table.attrs['p_random'])} earn at least as much."
        )
    return table


def _every_outcome(bets: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
    """A signal for each outcome of each bet's market at its bookmaker and time, if all had a price."""
    bets = bets.reset_index(drop=True)
    drawn = set(quotes.loc[quotes["outcome"] == "draw", "event_id"])
    outcomes = [(market, name) for market, names in OUTCOMES.items() for name in names]
    wanted = bets.drop(columns="outcome").assign(bet=bets.index)
    wanted = wanted.merge(pd.DataFrame(outcomes, columns=["market", "outcome"]), on="market")
    ways = wanted["ways"] if "ways" in wanted else pd.Series(np.nan, wanted.index)
    wanted["ways"] = ways = ways.astype(float)
    has_draw = (ways == 3) | (ways.isna() & wanted["event_id"].isin(drawn))
    wanted = wanted[(wanted["outcome"] != "draw") | has_draw]
    wanted = wanted.sort_values("bet", kind="stable").reset_index(drop=True)
    wanted = wanted.assign(
        price=price_when_placed(wanted, bets, quotes),
        probability=np.nan,
        edge=np.nan,
        strategy="every outcome",
    )
    known = wanted["price"].notna().groupby(wanted["bet"]).transform("all")
    columns = [*SIGNAL_COLUMNS, "starts_at", "competition", "season", "ways"]
    return wanted.loc[known, columns].reset_index(drop=True)


def _random_pickers(
    market: np.ndarray, n: int, profit: np.ndarray, simulations: int, seed: int
) -> np.ndarray:
    """Yield of bettors who pick one row of each market at random, shape (simulations,)."""
    if not n:
        return np.array([])
    order = np.argsort(market, kind="stable")
    sizes = np.bincount(market, minlength=n)
    begins = np.concatenate([[0], sizes.cumsum()[:-1]])
    rng = np.random.default_rng(seed)
    return np.array(
        [profit[order[begins + (rng.random(n) * sizes).astype(int)]].mean() for _ in range(simulations)]
    )
