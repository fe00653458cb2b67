"""Whose closing line says so: a reference that is late or wrong confirms the edges that it made. Pure functions on ledgers."""

import numpy as np
import pandas as pd

from overround.backtest import judged_by_close
from overround.resampling import day, interval, quotient, resample
from overround.signals import closing_lines

REFERENCE, COMMON = "the reference", "the reference, where others close too"
EVERYBODY, SAME = "everybody, in the mean", "the same bookmaker, with its margin"


def clv_by_close(
    ledger: pd.DataFrame, quotes: pd.DataFrame, method: str = "power", *, simulations: int = 2_000, seed: int = 7
) -> pd.DataFrame:
    """Closing-line value of the same bets against the reference's close, everybody's, and that of the bookmaker that took the bet.

    Where a reference sees value because it stood still or was wrong, its own close says the same again. The others' does not, unless
    they came to it.

    Parameters
    ----------
    ledger : DataFrame
        What `backtest` returned, judged by the reference's `closing_lines`.
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    method : str
        Of margin removal, for everybody's close.
    simulations, seed : int
        Resamples of match days for the interval.

    Returns
    -------
    DataFrame
        Index `close_of`: the reference, and again on the bets of the next row where those are fewer; everybody, in the mean; the same
        bookmaker, with its margin. Columns bets (with such a close), clv (mean, share of the stake), low, high (95 %), beat_close
        (share of the bets). `attrs["says"]` where on the same bets the reference shows value beyond noise, and everybody a loss.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> ov.clv_by_close(ledger, quotes, simulations=200)["bets"].nunique()
    1
    """
    everybody = judged_by_close(ledger, closing_lines(quotes, method=method))["clv"]
    gain = ledger["price"] / ledger["closing_price"] - 1
    common = ledger["clv"].where(everybody.notna())
    values = {REFERENCE: ledger["clv"], COMMON: common, EVERYBODY: everybody, SAME: gain.where(ledger["side"] == "back", -gain)}
    rows = {name: _row(ledger, value.to_numpy(float), simulations, seed) for name, value in values.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["bets", "clv", "low", "high", "beat_close"]).rename_axis("close_of")
    alone = table.loc[COMMON, "low"] > 0 > table.loc[EVERYBODY, "high"]
    if table.loc[COMMON, "bets"] == table.loc[REFERENCE, "bets"]:
        table = table.drop(index=COMMON)
    if alone:
        table.attrs["says"] = "Flagged: only the reference's own close shows value; everybody else's says that it was wrong."
    return table


def _row(ledger: pd.DataFrame, value: np.ndarray, simulations: int, seed: int) -> tuple[int, float, float, float, float]:
    known = ~np.isnan(value)
    if not known.any():
        return 0, np.nan, np.nan, np.nan, np.nan
    sums = pd.DataFrame({"n": known.astype(float), "value": np.where(known, value, 0.0)}).groupby(day(ledger).to_numpy()).sum()
    low, high = interval(quotient(resample(sums.to_numpy(float), simulations, seed)))
    return int(known.sum()), float(value[known].mean()), low, high, float((value[known] > 0).mean())
