"""Each bookmaker's prices relative to the market's at the same moment before kick-off."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from overround.grouping import OFFER, SELECTION, group_codes
from overround.prices.board import rows_of
from overround.prices.references import CONSENSUS_NEEDS
from overround.prices.ways import ways_of
from overround.schema import NOT_AN_ACCOUNT
from overround.stats import Z

HOURS = (96.0, 48.0, 24.0, 12.0, 6.0, 3.0, 1.0, 0.0)


def relative_prices(quotes: pd.DataFrame, hours: Sequence[float] = HOURS) -> pd.DataFrame:
    """Price of each bookmaker over the median of all on the same selection, at moments before kick-off.

    A price stands until its bookmaker shows another one. Where a provider only distinguishes early from
    closing prices, those are the moments. Market averages and maxima are left out. Match odds with a draw and
    without one are compared with their like (`overround.prices.ways`).

    Parameters
    ----------
    quotes : DataFrame
        Rows of the table `quotes`, with `starts_at`.
    hours : sequence of float
        Before kick-off; 0 is the last price before it.

    Returns
    -------
    DataFrame
        bookmaker, moment ("24 h", "kick-off", or "early" and "close"), relative (mean of price over median,
        less 1: matches count alike), low, high (95 %, by match), matches. Only selections that at least three
        bookmakers quote at that moment.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> ov.prices.relative_prices(quotes)["bookmaker"].nunique()
    4
    """
    accounts = np.flatnonzero(~quotes["bookmaker"].isin(NOT_AN_ACCOUNT))
    rows = rows_of(quotes, accounts, (*OFFER, "phase", "observed_at", "collected_at", "starts_at", "price"))
    rows = rows.assign(ways=ways_of(rows)[0], offer=group_codes(rows, OFFER)[0])
    rows = rows.assign(selection=group_codes(rows, (*SELECTION, "ways"))[0])
    snapshots = rows[(rows["phase"] == "snapshot") & (rows["observed_at"] <= rows["starts_at"])].sort_values(
        ["collected_at", "observed_at"], kind="stable"
    )
    if len(snapshots):
        before = (snapshots["starts_at"] - snapshots["observed_at"]) / pd.Timedelta(hours=1)
        moments = {
            f"{hour:g} h" if hour else "kick-off": snapshots[before >= hour]
            for hour in sorted(hours, reverse=True)
        }
    else:
        moments = {phase: rows[rows["phase"] == phase] for phase in ("early", "close")}
    found = {
        moment: _beside_median(seen.drop_duplicates("offer", keep="last")) for moment, seen in moments.items()
    }
    table = pd.concat(found, names=["moment", None]).reset_index("moment").reset_index(drop=True)
    return table[["bookmaker", "moment", "relative", "low", "high", "matches"]]


def _beside_median(standing: pd.DataFrame) -> pd.DataFrame:
    standing = standing[standing["price"].notna()]  # not withdrawn
    prices = standing["price"].groupby(standing["selection"])
    beside = standing.assign(relative=standing["price"] / prices.transform("median") - 1)[
        prices.transform("size") >= CONSENSUS_NEEDS
    ]
    by_match = beside.groupby(["bookmaker", "event_id"])["relative"].mean()
    found = by_match.groupby("bookmaker").agg(relative="mean", error="sem", matches="size")
    error = Z * found.pop("error").fillna(np.inf)
    return found.assign(low=found["relative"] - error, high=found["relative"] + error).reset_index()
