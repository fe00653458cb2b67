"""The same bets at other bookmakers' prices or under other margin methods; and prices that must be wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from overround.betting.engine import backtest
from overround.betting.staking import Staking
from overround.evaluation.intervals import unit_profit, yield_with_interval
from overround.forecasts.past_references import reference_periods
from overround.prices.closing import closing_lines
from overround.prices.commission import net_price, paid_out
from overround.prices.periods import Reference
from overround.prices.standing import prices_by_bookmaker
from overround.schema import AUTO, NOT_AN_ACCOUNT
from overround.signals.value import value_signals

BEST = "best of all"


def at_each_price(
    ledger: pd.DataFrame, quotes: pd.DataFrame, *, simulations: int = 2_000, seed: int = 7
) -> pd.DataFrame:
    """The same bets, a unit each, at every bookmaker's price, the market's average and the best of all.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned; back bets only.
    quotes : DataFrame
        The table `quotes`, with the prices that stood when the bets were placed.
    simulations, seed : int
        Resamples of match days for the interval.

    Returns
    -------
    DataFrame
        Index `price_of`: as placed, each bookmaker (on the bets for which it had a price), best of all
        (accounts); columns bets, yield, low, high. `attrs["only_at_maximum"]`: an edge (interval above 0) at
        the best or maximum price, but at no single account.

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, results = ov.example()
    >>> ledger = ov.datasets.example_ledger()
    >>> prices = ov.evaluation.at_each_price(ledger, quotes, simulations=200)
    >>> "yield" in prices
    True
    """
    back = ledger[ledger["side"] == "back"].reset_index(drop=True)
    prices = prices_by_bookmaker(back, quotes)
    accounts = [name for name in prices if name not in NOT_AN_ACCOUNT]
    net = net_price(prices, paid_out(prices.columns))
    at = {**{str(name): net[name] for name in net}, BEST: net[accounts].max(axis=1)}
    rows = {
        "as placed": yield_with_interval(back.assign(stake=1.0, profit=unit_profit(back)), simulations, seed)
    }
    for name, price in at.items():
        known = price.notna().to_numpy()
        bets = back[known]
        rows[name] = yield_with_interval(
            bets.assign(stake=1.0, profit=unit_profit(bets, price.to_numpy(float)[known])), simulations, seed
        )
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("price_of")
    shown = table["low"] > 0
    best = [name for name in (BEST, "market_maximum") if name in table.index]
    table.attrs["only_at_maximum"] = bool(shown[best].any() and not shown[accounts].any())
    if table.attrs["only_at_maximum"]:
        table.attrs["says"] = (
            "Flagged: these bets show an edge at the best of all prices, and at no single bookmaker."
        )
    return table


def wrong_prices(
    ledger: pd.DataFrame, quotes: pd.DataFrame, *, ratio: float = 1.3, lead: float = 1.15, least: int = 3
) -> pd.DataFrame:
    """Bets at prices so far from all others that they are errors, of the data or of the bookmaker.

    A price is absurd where it is at least `ratio` times the median and `lead` times the best of the other
    accounts at that moment, with at least `least` of them. One such price made most of a published profit
    (arXiv 2306.01740).

    Returns
    -------
    DataFrame
        The rows of the ledger that are flagged, with their index, and columns median and best of the others,
        and others (how many).

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, results = ov.example()
    >>> ledger = ov.datasets.example_ledger()
    >>> len(ov.evaluation.wrong_prices(ledger, quotes))
    0
    """
    back = ledger[ledger["side"] == "back"]
    prices = prices_by_bookmaker(back.reset_index(drop=True), quotes)
    accounts = [name for name in prices if name not in NOT_AN_ACCOUNT]
    own = np.array(accounts, object) == back["bookmaker"].to_numpy(object)[:, None]
    others = prices[accounts].mask(own).set_axis(back.index)
    median, best, known = others.median(axis=1), others.max(axis=1), others.notna().sum(axis=1)
    absurd = (back["price"] >= ratio * median) & (back["price"] >= lead * best) & (known >= max(least, 1))
    return back.assign(median=median, best=best, others=known)[absurd]


def across_methods(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    reference: Reference = AUTO,
    methods: Sequence[str] = ("multiplicative", "power", "shin", "odds_ratio"),
    *,
    stake: Staking | None = None,
    bankroll: float = 1_000.0,
    simulations: int = 2_000,
    seed: int = 7,
    **selection: Any,
) -> pd.DataFrame:
    """The same strategy under several margin methods: an edge under only one may be made by the method.

    Parameters
    ----------
    quotes, results, reference
        As in `value_signals` and `backtest`; "auto", the default, is found from the past under each method
        (`reference_periods`). `selection` goes to `value_signals` (min_edge, bookmakers, at_close ...).
    methods : sequence of str
        Of `overround.prices.fair.METHODS`.
    stake, bankroll
        As in `backtest`.
    simulations, seed : int
        Resamples of match days for the interval.

    Returns
    -------
    DataFrame
        Index `method`; columns bets, yield, low, high (95 %), clv. `attrs["only_under"]`: the one method
        under which the interval is above 0, if there is just one of several, else "".

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> methods = ("power", "shin")
    >>> ov.evaluation.across_methods(quotes, results, "sharp", methods, simulations=200).index.tolist()
    ['power', 'shin']
    """
    rows = {}
    for method in methods:
        own = reference
        if isinstance(reference, str) and reference == AUTO:
            own = reference_periods(quotes, results, method)
        signals = value_signals(quotes, own, method, **selection)
        ledger = backtest(
            signals, results, stake=stake, bankroll=bankroll, closing=closing_lines(quotes, own, method)
        )
        rows[method] = {**yield_with_interval(ledger, simulations, seed), "clv": ledger["clv"].mean()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    table.attrs["only_under"] = only_one(table)
    if table.attrs["only_under"]:
        table.attrs["says"] = (
            f"Flagged: an edge shows under {table.attrs['only_under']} alone; the method may have made it."
        )
    return table


def only_one(table: pd.DataFrame) -> str:
    """Name of the only row whose `low` is above 0; "" if there is none, or several, or one row in all."""
    shown = list(table.index[table["low"] > 0])
    return str(shown[0]) if len(shown) == 1 and len(table) > 1 else ""
