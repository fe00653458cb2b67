"""From signals to a ledger: every bet placed, staked and settled in the order of time."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.errors import ParameterError
from overround.odds import SELECTION
from overround.staking import Flat, Staking
from overround.tables import LEDGER_COLUMNS, SIGNAL_COLUMNS

# a football match with its interval and added time
MATCH = pd.Timedelta(hours=2)
# share of a winning bet's profit that an exchange keeps: Betfair's market base rate
COMMISSION = {"betfair_exchange": 0.05}
_RESULTS = np.array(["lost", "half_lost", "push", "half_won", "won"])


def backtest(
    signals: pd.DataFrame,
    results: pd.DataFrame,
    *,
    stake: Staking | None = None,
    bankroll: float = 1_000.0,
    closing: pd.DataFrame | None = None,
    commission: Mapping[str, float] = COMMISSION,
) -> pd.DataFrame:
    """Ledger of the bets that a strategy wanted.

    Bets are placed at `placed_at` and settled at `settled_at` (where the provider does not tell: two hours after kick-off, or at
    the end of the day where only the day is known). A stake is sized on the bankroll that is free when it is placed: money on
    open bets is not available, winnings are from their settlement on. Bets placed at the same time see the same bankroll.

    Parameters
    ----------
    signals : DataFrame
        As `value_signals` makes them.
    results : DataFrame
        The table `results`. A match without one is not settled: its bets are left out and counted in `ledger.attrs["unsettled"]`.
        A match that ended without a score (abandoned) is void: the stake comes back.
    stake : Staking, optional
        `Flat`, `Percentage` or `Kelly`; by default a flat hundredth of the bankroll.
    bankroll : float
        Money at the start, in any currency.
    closing : DataFrame, optional
        What `closing_lines` returned, to judge each bet against the close.
    commission : mapping
        Bookmaker -> share of a winning bet's profit that is kept.

    Returns
    -------
    DataFrame
        Signals plus stake, result (won, lost, push, void, half_won, half_lost), profit, settled_at, bankroll (after
        settlement), closing_price, closing_fair and clv (closing-line value: price x closing_fair - 1 for a back bet), ordered by
        settlement.

    Raises
    ------
    ParameterError
        A bankroll that is not positive, a column that is missing, a side other than back and lay.
    """
    _check(signals, bankroll)
    bets = signals.merge(results.drop(columns=["starts_at", "competition", "season"], errors="ignore"), on="event_id", how="inner")
    # one order whatever the order given, so that bets of the same instant always get the same stakes to the last bit
    bets = bets.sort_values(["placed_at", "event_id", "market", "line", "outcome", "bookmaker"], kind="stable").reset_index(drop=True)
    bets["settled_at"] = _settled_at(bets)
    bets["result"], gain, exposure = _gains(bets, commission)
    amount, share = (stake or Flat(bankroll / 100)).sizes(bets)
    bets["stake"], bets["bankroll"] = _run(bets, amount, share, exposure, gain, float(bankroll))
    bets["profit"] = bets["stake"] * gain
    bets = _judge_by_close(bets, closing)
    ledger = bets.sort_values(["settled_at", "placed_at"], kind="stable")
    ledger = ledger[[*LEDGER_COLUMNS, "starts_at", "competition", "season"]].reset_index(drop=True)
    ledger.attrs.update(bankroll=float(bankroll), unsettled=len(signals) - len(bets))
    return ledger


def settle(market: pd.Series, line: pd.Series, outcome: pd.Series, home_score: pd.Series, away_score: pd.Series) -> NDArray[np.float64]:
    """How each selection ended: 1 won, 0.5 half won, 0 push, -0.5 half lost, -1 lost, NaN without a score.

    Whole lines push on equality, quarter lines are two half bets on the lines beside them (Asian handicap rules). `line` is the
    total's line, or the home team's handicap.
    """
    home, away = home_score.to_numpy(float), away_score.to_numpy(float)
    kind, picked, at = market.to_numpy(object), outcome.to_numpy(object), line.to_numpy(float)
    total = kind == "totals"
    ahead = np.where(total, home + away - at, home - away + np.where(np.isin(kind, ("h2h", "h2h_lay")), 0.0, at))
    # on a quarter line the two halves lie a quarter below and above
    side = (np.sign(ahead - 0.25 * _is_quarter(at)) + np.sign(ahead + 0.25 * _is_quarter(at))) / 2
    ended = np.where((picked == "home") | (picked == "over"), side, -side)
    three_way = np.isin(kind, ("h2h", "h2h_lay"))
    ended = np.where(three_way & (picked != "draw"), np.where(ended > 0, 1.0, -1.0), ended)
    ended = np.where(three_way & (picked == "draw"), np.where(side == 0, 1.0, -1.0), ended)
    return np.where(np.isnan(home + away), np.nan, ended)


def _is_quarter(line: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.abs(np.mod(np.nan_to_num(line) * 2, 1) - 0.5) < 1e-9


def _check(signals: pd.DataFrame, bankroll: float) -> None:
    missing = [column for column in (*SIGNAL_COLUMNS, "starts_at") if column not in signals]
    if missing:
        raise ParameterError(f"signals need the column {missing[0]!r}; they have {', '.join(signals.columns)}.")
    if not bankroll > 0:
        raise ParameterError(f"bankroll is {bankroll}; it must be above 0.")
    sides = set(signals["side"]) - {"back", "lay"}
    if sides:
        raise ParameterError(f"side {sorted(sides)[0]!r} is unknown; allowed: back, lay.")
    late = signals["placed_at"] > signals["starts_at"]
    if late.any():
        row = signals[late].iloc[0]
        raise ParameterError(f"a bet on {row['event_id']} is placed at {row['placed_at']}, after its kick-off at {row['starts_at']}.")


def _settled_at(bets: pd.DataFrame) -> pd.Series:
    start = bets["starts_at"]
    # midnight stands for a day without a time; at worst a match at midnight pays out late
    assumed = start + pd.to_timedelta(np.where(start == start.dt.normalize(), 24, MATCH / pd.Timedelta(hours=1)), unit="h")
    settled = bets["settled_at"].fillna(assumed)
    return settled.where(settled > start, assumed).astype("datetime64[us, UTC]")


def _gains(bets: pd.DataFrame, commission: Mapping[str, float]) -> tuple[NDArray, NDArray, NDArray]:
    """Result, profit per unit staked after commission, and money tied up per unit staked."""
    ended = settle(bets["market"], bets["line"], bets["outcome"], bets["home_score"], bets["away_score"])
    lay = (bets["side"] == "lay").to_numpy()
    price = bets["price"].to_numpy(float)
    kept = 1 - bets["bookmaker"].map(dict(commission)).fillna(0.0).to_numpy(float)
    mine = np.nan_to_num(np.where(lay, -ended, ended))
    exposure = np.where(lay, price - 1, 1.0)
    prize = np.where(lay, 1.0, price - 1) * kept
    gain = np.where(mine > 0, mine * prize, mine * exposure)
    result = np.where(np.isnan(ended), "void", _RESULTS[np.rint(mine * 2).astype(int) + 2])
    return result, gain, exposure


def _run(bets: pd.DataFrame, amount: NDArray, share: NDArray, exposure: NDArray, gain: NDArray, bankroll: float) -> tuple[NDArray, NDArray]:
    from overround.kernels import run_book

    n = len(bets)
    time = np.concatenate([bets["settled_at"].astype("int64"), bets["placed_at"].astype("int64")])
    settles = np.repeat([True, False], n)
    # at the same time winnings arrive before new bets are placed
    order = np.lexsort((~settles, time))
    settles = settles[order]
    starts = np.ones(2 * n, bool)
    starts[1:] = (time[order][1:] != time[order][:-1]) | (settles[1:] != settles[:-1])
    bounds = np.append(np.flatnonzero(starts), 2 * n)
    group_end = np.repeat(bounds[1:], np.diff(bounds))
    return run_book(order % max(n, 1), settles, group_end, amount, share, exposure, gain, bankroll)


def _judge_by_close(bets: pd.DataFrame, closing: pd.DataFrame | None) -> pd.DataFrame:
    keys = list(SELECTION)
    if closing is None:
        return bets.assign(closing_price=np.nan, closing_fair=np.nan, clv=np.nan)
    bets = bets.merge(closing[[*keys, "bookmaker", "closing_price"]], on=[*keys, "bookmaker"], how="left")
    bets = bets.merge(closing[[*keys, "closing_fair"]].drop_duplicates(keys), on=keys, how="left")
    value = bets["price"] * bets["closing_fair"] - 1
    return bets.assign(clv=value.where(bets["side"] == "back", -value))
