"""The price that stood at a time: of one bookmaker and selection, of a whole market, before kick-off.

A price stands until its bookmaker shows another one, or none. `overround.prices.board` has all of them as
arrays.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.grouping import MARKET, OFFER, SELECTION, codes_and_words, combined_codes, group_codes
from overround.prices.at_kick_off import stood_at_kick_off
from overround.prices.board import changes, rows_of
from overround.prices.ways import slots_of, ways_of
from overround.times import microseconds

STANDS_H = 24.0  # as in `value_signals`


def has_clock(quotes: pd.DataFrame) -> bool:
    """Whether any price has a clock time."""
    return bool((quotes["phase"] == "snapshot").any())


def standing_price(bets: pd.DataFrame, quotes: pd.DataFrame, at: pd.Series, stands_h: float) -> Floats:
    """Price at the bookmaker of each bet that stood at a time, as a collector knew it; NaN where none did."""
    seen = _snapshots(quotes, ("collected_at", "observed_at", "price"))
    wanted, offer = _codes_of_both(bets, seen)
    seen = seen.assign(offer=offer)[np.isin(offer, wanted)]
    seen = seen.sort_values(["collected_at", "observed_at"], kind="stable")
    asked = pd.DataFrame({"at": at.array, "offer": wanted, "row": np.arange(len(bets))})
    found = pd.merge_asof(
        asked.astype({"at": "datetime64[us, UTC]"}).sort_values("at", kind="stable"),
        seen[["collected_at", "offer", "price"]].astype({"collected_at": "datetime64[us, UTC]"}),
        left_on="at",
        right_on="collected_at",
        by="offer",
        tolerance=pd.Timedelta(hours=stands_h),
    )
    return found.sort_values("row")["price"].to_numpy(float)


def price_when_placed(wanted: pd.DataFrame, bets: pd.DataFrame, quotes: pd.DataFrame) -> Floats:
    """Price of each wanted row when the bet numbered in its column `bet` was placed.

    Where that bet was placed at a price without a clock time, the price of the same phase.
    """
    placed_at = bets["placed_at"].iloc[wanted["bet"]].reset_index(drop=True)
    phases = [
        (
            standing_price(bets, quotes, bets["placed_at"], STANDS_H),
            standing_price(wanted, quotes, placed_at, STANDS_H),
        )
    ]
    for phase in ("early", "close"):
        shown = rows_of(quotes, np.flatnonzero(quotes["phase"] == phase), (*OFFER, "price"))
        phases.append((_last_price(bets, shown), _last_price(wanted, shown)))
    price, unknown = np.full(len(wanted), np.nan), np.ones(len(bets), bool)
    for of_bets, of_wanted in phases:
        # a bet does not name its phase: it is the one whose price was paid
        fits = unknown & np.isclose(of_bets, bets["price"].to_numpy(float), rtol=1e-9, atol=0)
        rows = fits[wanted["bet"].to_numpy()]
        price[rows] = of_wanted[rows]
        unknown &= ~fits
    return price


def prices_by_bookmaker(bets: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
    """Price of each bet's selection at every bookmaker when it was placed, shape (bets, bookmakers).

    NaN also where one of bookmaker and bet has match odds of two ways and the other of three.
    """
    names = sorted(quotes["bookmaker"].unique())
    bet = np.repeat(np.arange(len(bets)), len(names))
    wanted = rows_of(bets, bet, SELECTION).assign(
        bookmaker=np.tile(np.array(names, dtype=object), len(bets)), bet=bet
    )
    prices = price_when_placed(wanted, bets, quotes).reshape(len(bets), len(names))
    if "ways" in bets:
        prices[_of_other_ways(bets, quotes, names)] = np.nan
    return pd.DataFrame(prices, columns=names, index=bets.index)


def _of_other_ways(bets: pd.DataFrame, quotes: pd.DataFrame, names: list[str]) -> NDArray[np.bool_]:
    """Whether each bookmaker's match odds have another number of ways than each bet."""
    said = bets["ways"].to_numpy(float, na_value=np.nan)[:, None]
    h2h = quotes["market"].isin(("h2h", "h2h_lay")) & quotes["event_id"].isin(bets["event_id"].unique())
    shown = quotes[h2h]
    offers = shown[["event_id", "bookmaker"]].astype("str").assign(ways=ways_of(shown)[0])
    wide = offers.pivot_table(index="event_id", columns="bookmaker", values="ways")
    offered = wide.reindex(index=bets["event_id"].astype("str"), columns=names).to_numpy(float)
    return (offered > 0) & ~np.isnan(said) & (offered != said)


def first_and_closing(quotes: pd.DataFrame) -> tuple[Whole, Whole]:
    """Rows of the first snapshot, and of that which stood at kick-off, of each bookmaker and selection.

    Both are in the order in which they were collected, then of the bookmakers' clocks.
    """
    rows = np.flatnonzero((quotes["phase"] == "snapshot") & ~(quotes["observed_at"] >= quotes["starts_at"]))
    times = (microseconds(quotes[name])[rows] for name in ("observed_at", "collected_at"))
    rows = rows[np.lexsort(tuple(times))]
    offers = rows_of(quotes, rows, OFFER)
    is_last = ~offers.duplicated(keep="last").to_numpy()
    # of all rows, as the times of the answers are theirs
    last = rows[is_last & stood_at_kick_off(quotes, rows)]
    return rows[~offers.duplicated()], last[quotes["price"].notna().to_numpy()[last]]


def complete_markets(quotes: pd.DataFrame) -> pd.DataFrame:
    """Quotes with every outcome of a market at each time at which the bookmaker changed any of them.

    A collector that stores changes only writes the outcomes that moved; the others still stand. They are
    added here, after the given rows, at their standing price and with the times of the change. Quotes without
    clock times (early, close) are left as they are.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`.

    Returns
    -------
    DataFrame
        The given rows in their order, then the added ones; the same frame where nothing is missing.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> opening = quotes["collected_at"] == quotes.groupby("event_id")["collected_at"].transform("min")
    >>> changes = quotes[opening | (quotes["outcome"] != "draw")]
    >>> len(quotes), len(changes), len(ov.prices.complete_markets(changes))
    (6000, 4400, 6000)
    """
    rows = np.flatnonzero(quotes["phase"] == "snapshot")
    snapshots = _snapshots(quotes, ("phase", "observed_at"))
    chain, _ = group_codes(snapshots, MARKET[:-1])
    time = microseconds(snapshots["observed_at"])
    order = np.lexsort((time, chain))
    opens = changes(chain[order])
    begins = opens | changes(time[order])
    moment = np.cumsum(begins) - 1
    shown = np.full((begins.sum(), 3), -1)
    shown[moment, slots_of(snapshots)[order]] = rows[order]
    here = np.arange(len(shown))
    last = np.maximum.accumulate(np.where(shown >= 0, here[:, None], -1), axis=0)
    first = np.maximum.accumulate(np.where(opens[begins], here, 0))
    at, slot = np.nonzero((shown < 0) & (last >= first[:, None]))
    if not len(at):
        return quotes
    changed = rows_of(quotes, rows[order[begins][at]], ("observed_at", "collected_at"))
    added = quotes.take(shown[last[at, slot], slot])
    added = added.assign(**{name: changed[name].array for name in changed})
    return pd.concat([quotes, added], ignore_index=True)


def _snapshots(quotes: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """What has a clock time: its selection, its bookmaker and these columns."""
    return rows_of(quotes, np.flatnonzero(quotes["phase"] == "snapshot"), (*OFFER, *columns))


def _codes_of_both(bets: pd.DataFrame, quotes: pd.DataFrame) -> tuple[Whole, Whole]:
    """Numbers of the offers of bets and of quotes, the same for the same offer."""
    columns = []
    for name in OFFER:
        codes, words = codes_and_words(quotes[name])
        # 0 is for what has no price
        columns.append((np.append(words.get_indexer(pd.Index(bets[name])), codes) + 1, len(words) + 1))
    codes, _ = combined_codes(len(bets) + len(quotes), columns)
    return codes[: len(bets)], codes[len(bets) :]


def _last_price(bets: pd.DataFrame, quotes: pd.DataFrame) -> Floats:
    """Price in the last row of the same offer, whatever its time; NaN where there is none."""
    wanted, offer = _codes_of_both(bets, quotes)
    price = np.full(max(wanted.max(initial=0), offer.max(initial=0)) + 1, np.nan)
    price[offer] = quotes["price"]
    return price[wanted]
