"""The same bets at other prices: later, elsewhere, on other outcomes, under other methods; and prices that cannot be right."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from overround.accounts import net_price, paid_out
from overround.backtest import backtest
from overround.errors import ParameterError
from overround.evaluate import percent
from overround.odds import SELECTION, group_codes
from overround.resampling import by_day, day, interval, quotient, resample
from overround.signals import closing_lines, value_signals
from overround.staking import Flat, Staking
from overround.tables import NOT_AN_ACCOUNT, OUTCOMES, SIGNAL_COLUMNS

_PRICE = (*SELECTION, "bookmaker")
_STANDS_H = 24.0  # as in `value_signals`
_LARGE = 1e9  # a bankroll that one unit a bet never uses up
BEST = "best of all"
_GAIN = {"won": 1.0, "half_won": 0.5, "push": 0.0, "void": 0.0, "half_lost": -0.5, "lost": -1.0}


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
        Signals with new price, edge (by the old probability) and placed_at. Those whose match has begun by then, or whose bookmaker
        has shown no price for a day, are left out; `attrs["dropped"]` says how many.

    Raises
    ------
    ParameterError
        Prices without clock times (phases early and close): nobody knows what stood later.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> later = ov.delayed(signals, quotes, minutes=60)
    >>> (later["placed_at"].min() - signals["placed_at"].min()).total_seconds() >= 3600
    True
    """
    if not minutes >= 0:
        raise ParameterError(f"minutes is {minutes}; a bet cannot be placed before its signal, at least 0.")
    if len(signals) and not has_clock(quotes):
        raise ParameterError("these prices have no clock times, only a phase (early, close): what stood minutes later is not known.")
    at = signals["placed_at"] + pd.Timedelta(minutes=minutes)
    price = _standing(signals, quotes, at, _STANDS_H + minutes / 60)
    stands = (~np.isnan(price) & (at < signals["starts_at"]).to_numpy()) if minutes else ~np.isnan(price)
    edge = signals["probability"] * net_price(price, paid_out(signals["bookmaker"])) - 1
    moved = signals.assign(price=price, edge=edge, placed_at=at)[stands].reset_index(drop=True)
    moved.attrs["dropped"] = int((~stands).sum())
    return moved


def has_clock(quotes: pd.DataFrame) -> bool:
    """Whether any price has a clock time."""
    return bool((quotes["phase"] == "snapshot").any())


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
        Index `minutes`; columns bets, dropped, yield, low, high (95 %), clv. Without rows where prices have no clock times.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ov.delay_curve(signals, quotes, results, (0, 60), simulations=200).index.tolist()
    [0.0, 60.0]
    """
    rows = []
    known = list(minutes) if has_clock(quotes) else []
    for wait in known:
        moved = delayed(signals, quotes, wait)
        ledger = backtest(moved, results, stake=stake, bankroll=bankroll, closing=closing)
        rows.append({**_row(ledger, simulations, seed), "dropped": moved.attrs["dropped"], "clv": ledger["clv"].mean()})
    columns = ["bets", "dropped", "yield", "low", "high", "clv"]
    return pd.DataFrame(rows, columns=columns, index=pd.Index(known, name="minutes", dtype=float))


def baselines(
    ledger: pd.DataFrame, quotes: pd.DataFrame, results: pd.DataFrame, *, simulations: int = 2_000, seed: int = 7
) -> pd.DataFrame:
    """What bets without any thought earn on the same prices: the same markets at the same bookmakers at the same times.

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
        Index `bets_on`: these bets; every outcome (what the market gives back); a random outcome (low and high hold 95 % of such
        bettors); every home, draw ... of them. Columns bets, yield, low, high. `attrs["p_random"]`: share of random bettors who earn
        at least what these bets earn.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> ov.baselines(ledger, quotes, results, simulations=200).index.tolist()
    ['these bets', 'every outcome', 'a random outcome', 'every home', 'every draw', 'every away']
    """
    back = ledger[ledger["side"] == "back"].drop_duplicates([*_PRICE, "placed_at"])
    whole = _every_outcome(back.drop_duplicates([c for c in (*_PRICE, "placed_at") if c != "outcome"]), quotes)
    settled = backtest(whole, results, stake=Flat(1.0), bankroll=_LARGE)
    settled = settled[settled["result"] != "void"]
    own = back.assign(stake=1.0, profit=_unit_profit(back))
    rows = {"these bets": _row(own, simulations, seed), "every outcome": _row(settled, simulations, seed)}
    market, n = group_codes(settled, ("event_id", "market", "line", "bookmaker", "placed_at"))
    picked = _random_pickers(market, n, settled["profit"].to_numpy(float), simulations, seed)
    low, high = interval(picked)
    rows["a random outcome"] = {"bets": n, "yield": float(picked.mean()) if n else np.nan, "low": low, "high": high}
    for outcome in dict.fromkeys(name for names in OUTCOMES.values() for name in names):
        part = settled[settled["outcome"] == outcome]
        if len(part):
            rows[f"every {outcome}"] = _row(part, simulations, seed)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["bets", "yield", "low", "high"]).rename_axis("bets_on")
    mine = rows["these bets"]["yield"]
    table.attrs["p_random"] = float((1 + (picked >= mine).sum()) / (1 + len(picked))) if n else np.nan
    if n:
        table.attrs["says"] = f"Of bettors who pick at random, {percent(table.attrs['p_random'])} earn at least as much."
    return table


def at_each_price(ledger: pd.DataFrame, quotes: pd.DataFrame, *, simulations: int = 2_000, seed: int = 7) -> pd.DataFrame:
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
        Index `price_of`: as placed, each bookmaker (on the bets for which it had a price), best of all (accounts); columns bets, yield,
        low, high. `attrs["only_at_maximum"]`: an edge (interval above 0) at the best or maximum price, but at no single account.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> prices = ov.at_each_price(ledger, quotes, simulations=200)
    >>> "yield" in prices
    True
    """
    back = ledger[ledger["side"] == "back"].reset_index(drop=True)
    prices = _by_bookmaker(back, quotes)
    accounts = [name for name in prices if name not in NOT_AN_ACCOUNT]
    net = net_price(prices, paid_out(prices.columns))
    at = {**{str(name): net[name] for name in net}, BEST: net[accounts].max(axis=1)}
    rows = {"as placed": _row(back.assign(stake=1.0, profit=_unit_profit(back)), simulations, seed)}
    for name, price in at.items():
        known = price.notna().to_numpy()
        bets = back[known]
        rows[name] = _row(bets.assign(stake=1.0, profit=_unit_profit(bets, price.to_numpy(float)[known])), simulations, seed)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["bets", "yield", "low", "high"]).rename_axis("price_of")
    shown = table["low"] > 0
    best = [name for name in (BEST, "market_maximum") if name in table.index]
    table.attrs["only_at_maximum"] = bool(shown[best].any() and not shown[accounts].any())
    if table.attrs["only_at_maximum"]:
        table.attrs["says"] = "Flagged: these bets show an edge at the best of all prices, and at no single bookmaker."
    return table


def wrong_prices(ledger: pd.DataFrame, quotes: pd.DataFrame, *, ratio: float = 1.3, lead: float = 1.15, least: int = 3) -> pd.DataFrame:
    """Bets at prices so far from everybody else's that they are mistakes: of the data, or ones that the bookmaker would void.

    A price is absurd where it is at least `ratio` times the median and `lead` times the best of the other accounts at that moment,
    with at least `least` of them. One such price made most of a published profit (arXiv 2306.01740).

    Returns
    -------
    DataFrame
        The rows of the ledger that are flagged, with their index, and columns median and best of the others, and others (how many).

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, closing=ov.closing_lines(quotes, "sharp"))
    >>> len(ov.wrong_prices(ledger, quotes))
    0
    """
    back = ledger[ledger["side"] == "back"]
    prices = _by_bookmaker(back.reset_index(drop=True), quotes)
    accounts = np.array([name for name in prices if name not in NOT_AN_ACCOUNT], dtype=object)
    table = prices[list(accounts)].to_numpy(float)
    table = np.where(accounts[None, :] == back["bookmaker"].to_numpy(object)[:, None], np.nan, table)
    others = (~np.isnan(table)).sum(axis=1)
    enough = others >= max(least, 1)
    median, best = np.full(len(back), np.nan), np.full(len(back), np.nan)
    median[enough], best[enough] = np.nanmedian(table[enough], axis=1), np.nanmax(table[enough], axis=1)
    price = back["price"].to_numpy(float)
    absurd = enough & (price >= ratio * median) & (price >= lead * best)
    return back.assign(median=median, best=best, others=others)[absurd]


def across_methods(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    reference: str = "pinnacle",
    methods: Sequence[str] = ("multiplicative", "power", "shin", "odds_ratio"),
    *,
    stake: Staking | None = None,
    bankroll: float = 1_000.0,
    simulations: int = 2_000,
    seed: int = 7,
    **selection: Any,
) -> pd.DataFrame:
    """The same strategy under several ways to take the margin out: value that only one of them sees is made by the method.

    Parameters
    ----------
    quotes, results, reference
        As in `value_signals` and `backtest`; `selection` goes to `value_signals` (min_edge, bookmakers, at_close ...).
    methods : sequence of str
        Of `overround.odds.METHODS`.
    stake, bankroll
        As in `backtest`.
    simulations, seed : int
        Resamples of match days for the interval.

    Returns
    -------
    DataFrame
        Index `method`; columns bets, yield, low, high (95 %), clv. `attrs["only_under"]`: the one method under which the interval is
        above 0, if there is just one of several, else "".

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> ov.across_methods(quotes, results, "sharp", ("power", "shin"), simulations=200).index.tolist()
    ['power', 'shin']
    """
    rows = {}
    for method in methods:
        signals = value_signals(quotes, reference, method, **selection)
        ledger = backtest(signals, results, stake=stake, bankroll=bankroll, closing=closing_lines(quotes, reference, method))
        rows[method] = {**_row(ledger, simulations, seed), "clv": ledger["clv"].mean()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["bets", "yield", "low", "high", "clv"]).rename_axis("method")
    table.attrs["only_under"] = only_one(table)
    if table.attrs["only_under"]:
        table.attrs["says"] = f"Flagged: an edge shows under {table.attrs['only_under']} alone; the method may have made it."
    return table


def only_one(table: pd.DataFrame) -> str:
    """The one row of a table with column `low` where it is above 0, where there is just one of several; else nothing."""
    shown = list(table.index[table["low"] > 0])
    return str(shown[0]) if len(shown) == 1 and len(table) > 1 else ""


def _standing(bets: pd.DataFrame, quotes: pd.DataFrame, at: pd.Series, stands_h: float) -> np.ndarray:
    """Price that stood at a time at the bookmaker of each row, as a collector knew it; NaN where none did."""
    snapshots = quotes[quotes["phase"] == "snapshot"].sort_values(["collected_at", "observed_at"], kind="stable")
    both = pd.concat([bets[list(_PRICE)], snapshots[list(_PRICE)]], ignore_index=True)
    code, _ = group_codes(both, _PRICE)
    time = pd.DataFrame({"at": at.astype("datetime64[us, UTC]").array, "code": code[: len(bets)], "row": np.arange(len(bets))})
    seen = pd.DataFrame(
        {"at": snapshots["collected_at"].astype("datetime64[us, UTC]").array, "code": code[len(bets) :], "price": snapshots["price"].array}
    )
    found = pd.merge_asof(time.sort_values("at", kind="stable"), seen, on="at", by="code", tolerance=pd.Timedelta(hours=stands_h))
    return found.sort_values("row")["price"].to_numpy(float)


def _price_then(wanted: pd.DataFrame, bets: pd.DataFrame, quotes: pd.DataFrame) -> np.ndarray:
    """Price of each wanted row when the bet of its number (column `bet`) was placed: of the bet's own phase where that has no clock."""
    place = bets["placed_at"].iloc[wanted["bet"]].reset_index(drop=True)
    timed = _standing(wanted, quotes, place, _STANDS_H)
    own = _standing(bets, quotes, bets["placed_at"], _STANDS_H)
    price, open_ = np.full(len(wanted), np.nan), np.ones(len(bets), bool)
    phases = [(own, timed)]
    for phase in ("early", "close"):
        shown = quotes.loc[quotes["phase"] == phase, [*_PRICE, "price"]].drop_duplicates(list(_PRICE), keep="last")
        phases.append(
            tuple(rows[list(_PRICE)].merge(shown, on=list(_PRICE), how="left")["price"].to_numpy(float) for rows in (bets, wanted))
        )
    paid = bets["price"].to_numpy(float)
    for mine, theirs in phases:
        # the phase is not written on a bet: it is the one whose price was paid
        fits = open_ & np.isclose(mine, paid, rtol=1e-9, atol=0)
        rows = fits[wanted["bet"].to_numpy()]
        price[rows] = theirs[rows]
        open_ &= ~fits
    return price


def _by_bookmaker(bets: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
    """Price of each bet's selection at every bookmaker when it was placed, shape (bets, bookmakers)."""
    names = sorted(quotes["bookmaker"].unique())
    wanted = bets.loc[np.repeat(np.arange(len(bets)), len(names)), list(SELECTION)].reset_index(drop=True)
    wanted = wanted.assign(bookmaker=np.tile(np.array(names, dtype=object), len(bets)), bet=np.repeat(np.arange(len(bets)), len(names)))
    return pd.DataFrame(_price_then(wanted, bets, quotes).reshape(len(bets), len(names)), columns=names, index=bets.index)


def _every_outcome(bets: pd.DataFrame, quotes: pd.DataFrame) -> pd.DataFrame:
    """A signal for each outcome of each bet's market at its bookmaker and time, where all of them had a price."""
    bets = bets.reset_index(drop=True)
    drawn = set(quotes.loc[quotes["outcome"] == "draw", "event_id"])
    outcomes = [
        tuple(name for name in OUTCOMES[market] if name != "draw" or event in drawn)
        for market, event in zip(bets["market"], bets["event_id"], strict=True)
    ]
    bet = np.repeat(np.arange(len(bets)), [len(names) for names in outcomes])
    each = pd.Series([name for names in outcomes for name in names], dtype="str")
    wanted = bets.iloc[bet].reset_index(drop=True).assign(outcome=each, bet=bet)
    wanted = wanted.assign(price=_price_then(wanted, bets, quotes), probability=np.nan, edge=np.nan, strategy="every outcome")
    missing = np.bincount(bet, wanted["price"].isna(), len(bets)) > 0
    return wanted.loc[~missing[bet], [*SIGNAL_COLUMNS, "starts_at", "competition", "season"]].reset_index(drop=True)


def _unit_profit(bets: pd.DataFrame, net: np.ndarray | None = None) -> np.ndarray:
    """Profit of one unit on each back bet at prices less commission, or at its own price after what its bookmaker kept of a win."""
    gain = bets["result"].map(_GAIN).to_numpy(float)
    if net is not None:
        return np.where(gain > 0, gain * (net - 1), gain)
    profit = gain * (bets["price"].to_numpy(float) - 1)
    won = bets["stake"].to_numpy(float) * profit
    kept = np.divide(bets["profit"].to_numpy(float), won, out=np.ones(len(bets)), where=(gain > 0) & (won > 0))
    return np.where(gain > 0, profit * kept, gain)


def _random_pickers(market: np.ndarray, n: int, profit: np.ndarray, simulations: int, seed: int) -> np.ndarray:
    """Yield of bettors who pick one row of each market at random, shape (simulations,)."""
    if not n:
        return np.array([])
    order = np.argsort(market, kind="stable")
    sizes = np.bincount(market, minlength=n)
    begins = np.concatenate([[0], sizes.cumsum()[:-1]])
    rng = np.random.default_rng(seed)
    return np.array([profit[order[begins + (rng.random(n) * sizes).astype(int)]].mean() for _ in range(simulations)])


def _row(ledger: pd.DataFrame, simulations: int, seed: int) -> dict[str, float]:
    """Bets, and the yield with its interval."""
    sums = by_day(ledger, pd.Index(sorted(set(day(ledger)))))
    low, high = interval(quotient(resample(sums, simulations, seed)))
    staked, profit = sums.sum(axis=0)
    return {"bets": len(ledger), "yield": float(profit / staked) if staked else np.nan, "low": low, "high": high}
