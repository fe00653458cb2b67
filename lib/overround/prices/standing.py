"""The price that stood at a time."""

import numpy as np
import pandas as pd

from overround.grouping import OFFER, SELECTION, group_codes

STANDS_H = 24.0  # as in `value_signals`


def has_clock(quotes: pd.DataFrame) -> bool:
    """Whether any price has a clock time."""
    return bool((quotes["phase"] == "snapshot").any())


def standing_price(bets: pd.DataFrame, quotes: pd.DataFrame, at: pd.Series, stands_h: float) -> np.ndarray:
    """Price that stood at a time at the bookmaker of each row, as a collector knew it; NaN where none did."""
    snapshots = quotes[quotes["phase"] == "snapshot"].sort_values(
        ["collected_at", "observed_at"], kind="stable"
    )
    both = pd.concat([bets[list(OFFER)], snapshots[list(OFFER)]], ignore_index=True)
    code, _ = group_codes(both, OFFER)
    time = pd.DataFrame(
        {"at": at.astype("datetime64[us, UTC]").array, "code": code[: len(bets)], "row": np.arange(len(bets))}
    )
    seen = pd.DataFrame(
        {
            "at": snapshots["collected_at"].astype("datetime64[us, UTC]").array,
            "code": code[len(bets) :],
            "price": snapshots["price"].array,
        }
    )
    found = pd.merge_asof(
        time.sort_values("at", kind="stable"),
        seen,
        on="at",
        by="code",
        tolerance=pd.Timedelta(hours=stands_h),
    )
    return found.sort_values("row")["price"].to_numpy(float)


def price_when_placed(wanted: pd.DataFrame, bets: pd.DataFrame, quotes: pd.DataFrame) -> np.ndarray:
    """Price of each wanted row when the bet of its number (column `bet`) was placed: of the bet's own phase where that has no clock."""
    place = bets["placed_at"].iloc[wanted["bet"]].reset_index(drop=True)
    timed = standing_price(wanted, quotes, place, STANDS_H)
    own = standing_price(bets, quotes, bets["placed_at"], STANDS_H)
    price, open_ = np.full(len(wanted), np.nan), np.ones(len(bets), bool)
    phases = [(own, timed)]
    for phase in ("early", "close"):
        shown = quotes.loc[quotes["phase"] == phase, [*OFFER, "price"]].drop_duplicates(
            list(OFFER), keep="last"
        )
        phases.append(
            tuple(
                rows[list(OFFER)].merge(shown, on=list(OFFER), how="left")["price"].to_numpy(float)
                for rows in (bets, wanted)
            )
        )
    paid = bets["price"].to_numpy(float)
    for mine, theirs in phases:
        # the phase is not written on a bet: it is the one whose price was paid
        fits = open_ & np.isclose(mine, paid, rtol=1e-9, atol=0)
        rows = fits[wanted["bet"].to_numpy()]
        price[rows] = theirs[rows]
        open_ &= ~fits
    return price


def prices_by_bookmaker(bets: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
    """Price of each bet's selection at every bookmaker when it was placed, shape (bets, bookmakers)."""
    names = sorted(quotes["bookmaker"].unique())
    wanted = bets.loc[np.repeat(np.arange(len(bets)), len(names)), list(SELECTION)].reset_index(drop=True)
    wanted = wanted.assign(
        bookmaker=np.tile(np.array(names, dtype=object), len(bets)),
        bet=np.repeat(np.arange(len(bets)), len(names)),
    )
    return pd.DataFrame(
        price_when_placed(wanted, bets, quotes).reshape(len(bets), len(names)),
        columns=names,
        index=bets.index,
    )
