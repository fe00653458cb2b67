"""What a ledger would have made with bets placed later."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overround.betting.engine import backtest
from overround.betting.staking import Staking
from overround.errors import ParameterError
from overround.evaluation.intervals import yield_with_interval
from overround.prices.commission import net_price, paid_out
from overround.prices.standing import STANDS_H, has_clock, standing_price


def delayed(signals: pd.DataFrame, quotes: pd.DataFrame, minutes: float) -> pd.DataFrame:
    """Each signal placed later, at the price that stands then at the same bookmaker, for better or worse.

    Parameters
    ----------
    signals : DataFrame
        As `value_signals` makes them.
    quotes : DataFrame
        The table `quotes` they were made from.
    minutes : float
        How much later; at least 0.

    Returns
    -------
    DataFrame
        Signals with new price, edge (by the old probability) and placed_at. Those whose match has begun by
        then, or whose bookmaker has shown no price for a day, are left out; `attrs["dropped"]` says how many.

    Raises
    ------
    ParameterError
        Prices without clock times (phases early and close): later prices are unknown.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> later = ov.evaluation.delayed(signals, quotes, minutes=60)
    >>> (later["placed_at"].min() - signals["placed_at"].min()).total_seconds() >= 3600
    True
    """
    if not minutes >= 0:
        raise ParameterError(f"minutes is {minutes}; a bet cannot be placed before its signal, at least 0.")
    if len(signals) and not has_clock(quotes):
        raise ParameterError(
            "these prices have no clock times, only a phase (early, close): "
            "what stood minutes later is not known."
        )
    at = signals["placed_at"] + pd.Timedelta(minutes=minutes)
    price = standing_price(signals, quotes, at, STANDS_H + minutes / 60)
    stands = (~np.isnan(price) & (at < signals["starts_at"]).to_numpy()) if minutes else ~np.isnan(price)
    edge = signals["probability"] * net_price(price, paid_out(signals["bookmaker"])) - 1
    moved = signals.assign(price=price, edge=edge, placed_at=at)[stands].reset_index(drop=True)
    moved.attrs["dropped"] = int((~stands).sum())
    return moved


def delay_curve(
    signals: pd.DataFrame,
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    minutes: Sequence[float] = (0, 5, 15, 30, 60, 120),
    *,
    stake: Staking | None = None,
    bankroll: float = 1_000.0,
    closing: pd.DataFrame | None = None,
    simulations: int = 2_000,
    seed: int = 7,
) -> pd.DataFrame:
    """The yield had every bet been placed later.

    Parameters
    ----------
    signals, quotes, minutes
        As in `delayed`, for each of these delays.
    results, stake, bankroll, closing
        As in `backtest`.
    simulations, seed : int
        Resamples of match days for the interval.

    Returns
    -------
    DataFrame
        Index `minutes`; columns bets, dropped, yield, low, high (95 %), clv. Without rows where prices have
        no clock times.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ov.evaluation.delay_curve(signals, quotes, results, (0, 60), simulations=200).index.tolist()
    [0.0, 60.0]
    """
    rows = []
    known = list(minutes) if has_clock(quotes) else []
    for wait in known:
        moved = delayed(signals, quotes, wait)
        ledger = backtest(moved, results, stake=stake, bankroll=bankroll, closing=closing)
        rows.append(
            {
                **yield_with_interval(ledger, simulations, seed),
                "dropped": moved.attrs["dropped"],
                "clv": ledger["clv"].mean(),
            }
        )
    columns = ["bets", "dropped", "yield", "low", "high", "clv"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(known, name="minutes", dtype=float))
