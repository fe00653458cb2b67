"""From signals to a ledger: every bet placed, staked and settled in the order of time."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround.betting.accounts import NO_ACCOUNT, TAKEN, Account, Execution, availability, worse_prices
from overround.betting.book import Book, make_book, placement_order
from overround.betting.settlement import RESULTS, is_lay, settle, settlement_times
from overround.betting.staking import Flat, Staking
from overround.betting.text_columns import as_text, coded, moved, places, spelled
from overround.errors import ParameterError
from overround.grouping import SELECTION
from overround.schema import COMMISSION, LEDGER_COLUMNS, OPTIONAL_SIGNAL_COLUMNS, SIGNAL_COLUMNS
from overround.times import as_times, microseconds

_CARRIED = ("starts_at", "competition", "season")
_RESULT = ("event_id", "home_score", "away_score", "settled_at")
_CLOSING = (*SELECTION, "bookmaker", "closing_price", "closing_fair")


def backtest(
    signals: pd.DataFrame,
    results: pd.DataFrame,
    *,
    stake: Staking | None = None,
    bankroll: float = 1_000.0,
    closing: pd.DataFrame | None = None,
    commission: Mapping[str, float] = COMMISSION,
    accounts: Iterable[Account] | None = None,
    execution: Execution | None = None,
) -> pd.DataFrame:
    """Ledger of the bets that a strategy wanted.

    Bets are placed at `placed_at` and settled at `settled_at` (where the provider does not tell: two hours
    after kick-off, or at the end of the day where only the day is known). A stake is sized on the bankroll
    that is free when it is placed: money on open bets is not available, winnings are from their settlement
    on. Bets placed at the same time see the same bankroll; where they ask for more than it holds, all are cut
    in proportion. A bankroll that is lost takes no more bets.

    Parameters
    ----------
    signals : DataFrame
        As `value_signals` makes them.
    results : DataFrame
        The table `results`. A match without one is not settled: its bets are left out and counted in
        `ledger.attrs["unsettled"]`. A match that ended without a score (abandoned) is void: the stake comes
        back.
    stake : Staking, optional
        A rule of `overround.betting.staking`; by default a flat hundredth of the bankroll.
    bankroll : float
        Money at the start, in any currency.
    closing : DataFrame, optional
        What `closing_lines` returned, to judge each bet against the close.
    commission : mapping
        Bookmaker -> share that is kept of what the bets on one market (match, market and line) win together.
    accounts : iterable of Account, optional
        Where bets can be placed, with their own money and limits; by default everywhere, from one bankroll
        without limits.
    execution : Execution, optional
        Slippage, refusals, delay; by default every price is got and every stake taken.

    Returns
    -------
    DataFrame
        Signals plus stake, result (won, lost, push, void, half_won, half_lost), profit, settled_at, bankroll
        (after settlement, all accounts together), bankroll_at_start (of all rows the same, so that a merged or
        filtered ledger still says it), closing_price, closing_fair and clv (closing-line value:
        price x closing_fair - 1 for a back bet), ordered by settlement. A bet that was not placed stays in
        the ledger with a stake of 0. `attrs`: bankroll at the start, unsettled, and refused and reduced,
        which count bets by reason.

        With `accounts` or `execution` also wanted_price (`price` is the one that was got, `placed_at` the
        time of the bet), asked (the stake that the rule wanted), accepted (share of any stake that the
        bookmaker takes), taken (one of `accounts.TAKEN`: full, or what made the stake smaller or nothing) and
        account_bankroll (that of the bet's own account).

    Raises
    ------
    ParameterError
        A bankroll that is not positive, a column that is missing, a price that is not above 1, a side other
        than back and lay, a bet placed after kick-off, a commission that is no share.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> signals = ov.value_signals(quotes, "sharp")
    >>> ledger = ov.backtest(signals, results, stake=ov.Percentage(0.01), bankroll=1_000)
    >>> len(ledger) == len(signals), round(float(ledger["bankroll"].iloc[-1] - ledger["profit"].sum()))
    (True, 1000)
    """
    _check(signals, results, closing, bankroll)
    bets, found = _with_results(signals, results)
    settled = settlement_times(bets["starts_at"], found["settled_at"])
    placed, price, wanted = microseconds(bets["placed_at"]), bets["price"].to_numpy(float), {}
    accepted, code = None, None
    if execution is not None:
        wanted = {"wanted_price": price}
        placed = placed + round(execution.delay_s * 1e6)
        price = worse_prices(price, is_lay(bets["side"]), execution)
        accepted, code = availability(bets, placed, execution)
    ended = settle(bets["market"], bets["line"], bets["outcome"], found["home_score"], found["away_score"])
    book, order = make_book(
        bets,
        price,
        placed,
        settled,
        stake=stake or Flat(bankroll / 100),
        bankroll=float(bankroll),
        commission=commission,
        accounts=accounts,
        execution=execution,
        accepted=accepted,
    )
    if order is not None:
        bets, placed, settled, ended = bets.take(order), placed[order], settled[order], ended[order]
        wanted = {name: values[order] for name, values in wanted.items()}
        code = code if code is None else code[order]
    columns, taken = _run(book, ended, code)
    columns |= {"settled_at": settled, "price": book.price, "placed_at": placed}
    if accounts is None and execution is None:
        columns = {name: columns[name] for name in ("stake", "result", "profit", "bankroll", "settled_at")}
    else:
        columns |= {"wanted_price": book.price, "accepted": book.limits[3]} | wanted
        columns["taken"] = taken
    columns["bankroll_at_start"] = np.full(len(bets), book.money.sum())
    attrs = {"bankroll": float(book.money.sum()), "unsettled": len(signals) - len(bets), **_counted(taken)}
    settles = book.settles
    # the ledger moves into the memory of the book: pages that are new to a process cost as much as the sums
    del book, ended, found, taken, settled, placed, price
    ledger = _ledger(bets, columns, settles)
    if closing is not None:
        ledger = judged_by_close(ledger, closing)
    ledger.attrs.update(attrs)
    return ledger


def _check(
    signals: pd.DataFrame, results: pd.DataFrame, closing: pd.DataFrame | None, bankroll: float
) -> None:
    asked = [("signals", signals, (*SIGNAL_COLUMNS, *_CARRIED)), ("results", results, _RESULT)]
    for name, frame, columns in [
        *asked,
        *([] if closing is None else [("closing lines", closing, _CLOSING)]),
    ]:
        missing = [column for column in columns if column not in frame]
        if missing:
            raise ParameterError(
                f"{name} need the column {missing[0]!r}; they have {', '.join(frame.columns)}."
            )
    price = signals["price"].to_numpy(float)
    wrong = ~((price > 1) & (price < np.inf))
    if wrong.any():
        row = int(wrong.argmax())
        raise ParameterError(
            f"a bet on {signals['event_id'].iloc[row]} has the price {price[row]}; decimal odds are above 1."
        )
    if not bankroll > 0:
        raise ParameterError(f"bankroll is {bankroll}; it must be above 0.")
    unknown = coded(signals["side"], ("back", "lay")) < 0
    if unknown.any():
        raise ParameterError(f"side {signals['side'][unknown].iloc[0]!r} is unknown; allowed: back, lay.")
    late = microseconds(signals["placed_at"]) > microseconds(signals["starts_at"])
    if late.any():
        row = signals[late].iloc[0]
        raise ParameterError(
            f"a bet on {row['event_id']} is placed at {row['placed_at']}, after its kick-off at {row['starts_at']}."
        )


def _with_results(signals: pd.DataFrame, results: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """Bets whose match has a result, in the order of placement, and the result of each."""
    place = places(signals["event_id"], results["event_id"])
    if place is not None and (place < 0).any():
        signals, place = signals[place >= 0], place[place >= 0]
    order = placement_order(signals)
    if order is not None:
        signals, place = signals.take(order), order if place is None else place[order]
    found = {name: results[name].to_numpy(float, na_value=np.nan) for name in ("home_score", "away_score")}
    found["settled_at"] = microseconds(results["settled_at"])
    return signals, found if place is None else {name: values[place] for name, values in found.items()}


def _run(book: Book, ended: NDArray, code: NDArray | None) -> tuple[dict[str, NDArray], NDArray[np.int8]]:
    from overround.betting.kernels import run_book

    gain, result = book.gain(ended)
    stake, asked, profit, after, own, taken = run_book(
        book.order, book.terms, book.limits, book.stakes, gain, book.money
    )
    if code is not None:
        taken = np.where(code > 0, code, taken)
    if not book.known.all():
        taken = np.where(book.known, taken, NO_ACCOUNT)
    if not len(own):
        own = after
    return {
        "stake": stake,
        "result": result,
        "profit": profit,
        "bankroll": after,
        "asked": asked,
        "account_bankroll": own,
    }, taken


def _ledger(bets: pd.DataFrame, columns: Mapping[str, NDArray], settles: NDArray[np.int64]) -> pd.DataFrame:
    """Bets and what became of them, in the order of settlement."""
    from overround.betting.kernels import in_turn

    optional = [name for name in OPTIONAL_SIGNAL_COLUMNS if name in bets]
    columns = {name: _plain(bets[name]) for name in (*SIGNAL_COLUMNS, *_CARRIED, *optional)} | dict(columns)
    if not in_turn(settles):
        columns = {
            name: values.take(settles) if isinstance(values, np.ndarray) else moved(values, settles)
            for name, values in columns.items()
        }
    frame = {}
    for name, values in columns.items():
        if name in ("result", "taken"):
            frame[name] = spelled(values, RESULTS if name == "result" else TAKEN)
        elif name in ("placed_at", "settled_at", "starts_at"):
            frame[name] = as_times(values)
        else:
            frame[name] = values if isinstance(values, np.ndarray) else pd.Series(values, dtype="str")
    frame |= {name: np.full(len(settles), np.nan) for name in ("closing_price", "closing_fair", "clv")}
    first = (*LEDGER_COLUMNS, *_CARRIED)
    return pd.DataFrame(
        {name: frame[name] for name in (*first, *(name for name in frame if name not in first))}, copy=False
    )


def _plain(column: pd.Series) -> NDArray | Any:
    """The values without pandas around them: numbers, times as numbers, or an Arrow array of text."""
    if column.dtype.kind == "M":
        return microseconds(column)
    return column.to_numpy() if column.dtype.kind in "fiub" else as_text(column)


def _counted(taken: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    counts = {TAKEN[code]: int((taken == code).sum()) for code in range(len(TAKEN))} if taken.any() else {}
    counts = {name: n for name, n in counts.items() if n}
    reduced = ("limited", "partly", "short of money")
    return {
        "refused": {name: n for name, n in counts.items() if name not in ("full", *reduced)},
        "reduced": {name: n for name, n in counts.items() if name in reduced},
    }


def judged_by_close(bets: pd.DataFrame, closing: pd.DataFrame) -> pd.DataFrame:
    """The same rows with closing_price, closing_fair and clv by other `closing_lines`."""
    keys = list(SELECTION)
    judged = bets.drop(columns=["closing_price", "closing_fair", "clv"])
    judged = judged.merge(closing[[*keys, "bookmaker", "closing_price"]], on=[*keys, "bookmaker"], how="left")
    judged = judged.merge(closing[[*keys, "closing_fair"]].drop_duplicates(keys), on=keys, how="left")
    value = judged["price"] * judged["closing_fair"] - 1
    return judged.assign(clv=value.where(judged["side"] == "back", -value))[list(bets)]
