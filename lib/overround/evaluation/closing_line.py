"""Closing-line value by several closes: a reference that is late or wrong confirms the edges that it made."""

import pandas as pd

from overround.betting.engine import judged_by_close
from overround.evaluation.merit import beaten
from overround.prices.closing import closing_lines
from overround.stats import day, interval, known_by_day, quotient, resample

REFERENCE, COMMON = "the reference", "the reference, where others close too"
EVERYBODY, SAME = "everybody, in the mean", "the same bookmaker, with its margin"


def clv_by_close(
    ledger: pd.DataFrame,
    quotes: pd.DataFrame,
    method: str = "power",
    *,
    simulations: int = 2_000,
    seed: int = 7,
) -> pd.DataFrame:
    """Closing-line value by the reference's close, everybody's, and that of the bookmaker that took the bet.

    Where a reference sees value because it stood still or was wrong, its own close says the same again. The
    others' does not, unless they came to it.

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
        Index `close_of`: the reference, and again on the bets of the next row where those are fewer;
        everybody, in the mean; the same bookmaker, with its margin. Columns bets (placed, with such a close),
        clv (mean, share of the stake), low, high (95 %) and beat_close (share of those that were not void):
        of the reference what `evaluate` has. `attrs["says"]` where on the same bets the reference shows value
        beyond noise, and everybody a loss.

    Examples
    --------
    >>> import overround as ov
    >>> _, quotes, results = ov.example()
    >>> ledger = ov.datasets.example_ledger()
    >>> ov.clv_by_close(ledger, quotes, simulations=200)["bets"].nunique()
    1
    """
    bets = ledger[ledger["stake"] > 0]
    everybody = judged_by_close(bets, closing_lines(quotes, method=method))["clv"].set_axis(bets.index)
    gain = bets["price"] / bets["closing_price"] - 1
    common, own = bets["clv"].where(everybody.notna()), gain.where(bets["side"] == "back", -gain)
    values = pd.DataFrame({REFERENCE: bets["clv"], COMMON: common, EVERYBODY: everybody, SAME: own})
    drawn = resample(known_by_day(values, day(bets)), simulations, seed)
    low, high = zip(*(interval(quotient(drawn[:, at : at + 2])) for at in (0, 2, 4, 6)), strict=True)
    beat = values.apply(beaten, result=bets["result"]).mean()
    table = pd.DataFrame(
        {"bets": values.count(), "clv": values.mean(), "low": low, "high": high, "beat_close": beat}
    )
    table.index.name = "close_of"
    alone = table.loc[COMMON, "low"] > 0 > table.loc[EVERYBODY, "high"]
    if table.loc[COMMON, "bets"] == table.loc[REFERENCE, "bets"]:
        table = table.drop(index=COMMON)
    if alone:
        table.attrs["says"] = (
            "Flagged: only the reference's own close shows value; everybody else's says that it was wrong."
        )
    return table
