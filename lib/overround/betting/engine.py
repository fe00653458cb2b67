"""From signals to a ledger: every bet placed, staked and settled in the order of time."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.betting.accounts import NO_ACCOUNT, TAKEN, Account, Execution, availability, worse_prices
from overround.betting.book import BetArrays, bet_arrays, make_book, placement_order
from overround.betting.settlement import RESULTS, is_lay, settlement_times
from overround.betting.sports import best_known_ways, stated_ways, undecided, ways_at_ties
from overround.betting.staking import Flat, Staking
from overround.errors import ParameterError
from overround.grouping import SELECTION, is_constant, rows_of
from overround.prices.ways import as_column
from overround.schema import COMMISSION, LEDGER_COLUMNS, OPTIONAL_SIGNAL_COLUMNS, SIGNAL_COLUMNS
from overround.times import Times, as_times, microseconds

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

    Bets are placed at `placed_at` and settled at `settled_at` (where the provider gives no time: two hours
    after kick-off, or at the end of the day where only the day is known). A stake is sized on the bankroll
    that is free when it is placed: money on open bets is not available, winnings are, from their settlement
    on. Bets placed at the same time see the same bankroll; where they ask for more than it holds, all are cut
    in proportion. Once the bankroll is lost, no more bets are placed.

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
        What `closing_lines` returned, to compare each bet with the close.
    commission : mapping
        Bookmaker -> share that it keeps of the net winnings of all bets on a market (match, market and line).
    accounts : iterable of Account, optional
        Where bets can be placed, with their own money and limits; by default everywhere, from one bankroll
        without limits.
    execution : Execution, optional
        Slippage, refusals, delay; by default every price is got and every stake taken.

    Returns
    -------
    DataFrame
        Signals plus stake, result (won, lost, push, void, half_won, half_lost), profit, settled_at, bankroll
        (after settlement, all accounts together), bankroll_at_start (the same in all rows, so that a merged
        or filtered ledger still has it), closing_price, closing_fair and clv (closing-line value:
        price x closing_fair - 1 for a back bet), ordered by settlement. A bet that was not placed stays in
        the ledger with a stake of 0. Text columns keep their type, `result` and `taken` are categoricals.
        `attrs` are notes for display: unsettled, and refused and reduced, which count bets by reason.

        With `accounts` or `execution` also wanted_price (`price` is the one that was got, `placed_at` the
        time of the bet), asked (the stake that the rule wanted), accepted (share of any stake that the
        bookmaker takes), taken (one of `accounts.TAKEN`: full, or what made the stake smaller or nothing) and
        account_bankroll (that of the bet's own account).

    Raises
    ------
    ParameterError
        A bankroll that is not positive, a column that is missing, a price that is not above 1, a side other
        than back and lay, a market or outcome that is unknown, a total or spread without a line, a bet placed
        after kick-off, a commission outside [0, 1).

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
    same = _constant_texts(signals)
    codes = np.zeros(len(signals), np.int8)
    signals = signals.assign(
        **{name: pd.Categorical.from_codes(codes, [texts[0]]) for name, texts in same.items()}
    )
    lay, placed, starts = _checked(signals)
    bets, arrays = _with_results(signals, results, lay, placed, starts)
    accepted, code, wanted = None, None, arrays.price
    if execution is not None:
        arrays = arrays._replace(
            placed=arrays.placed + round(execution.delay_s * 1e6),
            price=worse_prices(wanted, arrays.lay, execution),
        )
        accepted, code = availability(bets, arrays.placed, execution)
    book, order = make_book(
        bets,
        arrays,
        stake=stake or Flat(bankroll / 100),
        bankroll=float(bankroll),
        commission=commission,
        accounts=accounts,
        execution=execution,
        accepted=accepted,
    )
    if order is not None:
        bets, wanted, code = bets.take(order), wanted[order], code if code is None else code[order]
    gain, result = book.gain(book.bets.ended)
    played = book.play(gain)
    taken = played.taken if code is None else np.where(code > 0, code, played.taken)
    if not book.known.all():
        taken = np.where(book.known, taken, NO_ACCOUNT)
    columns = {
        "stake": played.stake,
        "result": result,
        "profit": played.profit,
        "settled_at": as_times(book.bets.settled),
        "bankroll": played.after,
    }
    if accounts is not None or execution is not None:
        columns |= {
            "price": book.bets.price,
            "placed_at": as_times(book.bets.placed),
            "asked": played.asked,
            "account_bankroll": played.own if len(played.own) else played.after,
            "wanted_price": wanted,
            "accepted": book.limits.accepted,
            "taken": taken,
        }
    settles, start = book.order.settles, float(book.money.sum())
    attrs = {"bankroll": start, "unsettled": len(signals) - len(bets), **_counted(taken)}
    # the ledger moves into the memory of the book: pages that are new to a process cost as much as the sums
    del book, arrays, played, gain, result, taken, wanted
    ledger = _ledger(bets, columns, settles, start, same)
    if closing is not None:
        ledger = judged_by_close(ledger, closing)
    ledger.attrs.update(attrs)
    return ledger


def _check(
    signals: pd.DataFrame, results: pd.DataFrame, closing: pd.DataFrame | None, bankroll: float
) -> None:
    needed = [("signals", signals, (*SIGNAL_COLUMNS, *_CARRIED)), ("results", results, _RESULT)]
    if closing is not None:
        needed.append(("closing lines", closing, _CLOSING))
    for name, frame, columns in needed:
        missing = [column for column in columns if column not in frame]
        if missing:
            raise ParameterError(
                f"{name} need the column {missing[0]!r}; they have {', '.join(frame.columns)}."
            )
    price = signals["price"].to_numpy(float)
    if len(price) and not (price.min() > 1 and price.max() < np.inf):
        row = int((~((price > 1) & (price < np.inf))).argmax())
        raise ParameterError(
            f"a bet on {signals['event_id'].iloc[row]} has the price {price[row]}; decimal odds are above 1."
        )
    if not bankroll > 0:
        raise ParameterError(f"bankroll is {bankroll}; it must be above 0.")


def _constant_texts(signals: pd.DataFrame) -> dict[str, Any]:
    """The columns of plain text that have the same word in all rows; codes stand for them on the way."""
    texts = {name: signals[name] for name in (*SIGNAL_COLUMNS, *_CARRIED)}
    return {
        name: text.array
        for name, text in texts.items()
        if isinstance(text.dtype, pd.StringDtype) and is_constant(text) and pd.notna(text.iloc[0])
    }


def _checked(signals: pd.DataFrame) -> tuple[NDArray[np.bool_], Times, Times]:
    """Whether each bet is a lay bet, and its times of placement and kick-off."""
    lay = is_lay(signals["side"])
    placed, starts = microseconds(signals["placed_at"]), microseconds(signals["starts_at"])
    late = placed > starts
    if late.any():
        bet = signals[late].iloc[0]
        raise ParameterError(
            f"a bet on {bet['event_id']} is placed at {bet['placed_at']}, "
            f"after its kick-off at {bet['starts_at']}."
        )
    return lay, placed, starts


def _with_results(
    signals: pd.DataFrame, results: pd.DataFrame, lay: NDArray[np.bool_], placed: Times, starts: Times
) -> tuple[pd.DataFrame, BetArrays]:
    """Bets whose match has a result, in the order of placement."""
    rows = rows_of(signals["event_id"], results["event_id"])
    keep = placement_order(signals, placed)
    if rows is not None and (rows < 0).any():
        keep = np.arange(len(rows)) if keep is None else keep
        keep = keep[rows[keep] >= 0]
    if keep is not None:
        signals, rows = signals.take(keep), keep if rows is None else rows[keep]
        lay, placed, starts = lay[keep], placed[keep], starts[keep]
    home, away, overtime, settled_at, known = _scores(results, rows)
    if "time_known" in signals:
        known = signals["time_known"].ne(False).to_numpy(bool)
    if "sport" in signals:  # which no ledger has
        h2h = signals["market"].isin(("h2h", "h2h_lay"))
        signals = signals.assign(ways=as_column(np.where(h2h, best_known_ways(signals), 0)))
    bets = bet_arrays(signals, lay, placed, settlement_times(starts, settled_at, known))
    if overtime is not None:
        decided = _decided(signals, bets, home - away, overtime)
        if not decided.all():
            at = np.flatnonzero(decided)
            signals, bets, home, away = signals.take(at), bets.take(at), home[at], away[at]
    tied = (home == away) & (bets.kind == 0) & (bets.pick != 1)
    if (ways := stated_ways(signals)) is not None:
        tied &= ways == 0
    if tied.any():
        at = np.flatnonzero(tied)
        at = at[ways_at_ties(signals, at) == 2]
        kind, line = bets.kind.copy(), bets.line.copy()
        kind[at], line[at] = 3, 0.0
        bets = bets._replace(kind=kind, line=line)
    return signals, bets._replace(ended=bets.outcome(home, away))


def _decided(signals: pd.DataFrame, bets: BetArrays, lead: Floats, overtime: Floats) -> NDArray[np.bool_]:
    """Which bets the recorded scores decide; see `sports.undecided`."""
    decided = np.ones(len(signals), bool)
    at = np.flatnonzero(np.isin(bets.kind, (0, 3)) & (overtime == (lead != 0)))
    if len(at):
        some = signals.take(at)
        ways = np.where(bets.pick[at] == 1, 3, best_known_ways(some))
        decided[at] = ~undecided(some, ways, lead[at], overtime[at])
    return decided


def _scores(results: pd.DataFrame, rows: Whole | None) -> tuple[Any, ...]:
    """Scores of home and away, whether with overtime, times of settlement, and whether kick-offs are known.

    Of these rows, or of all; overtime and kick-offs are None where nothing is said of them.
    """
    found: list[Any] = [
        results[name].to_numpy(float, na_value=np.nan) for name in ("home_score", "away_score")
    ]
    said = "with_overtime" in results and results["with_overtime"].notna().any()
    overtime = results["with_overtime"].astype("boolean").to_numpy(float, na_value=np.nan) if said else None
    # a match without an event in the store has no kick-off at all
    known = results["time_known"].ne(False).to_numpy(bool) if "time_known" in results else None
    found += [overtime, microseconds(results["settled_at"]), known]
    return tuple(values if rows is None or values is None else values[rows] for values in found)


def _ledger(
    bets: pd.DataFrame, columns: dict[str, Any], settles: Whole, start: float, same: dict[str, Any]
) -> pd.DataFrame:
    """Bets and what became of them, in the order of settlement; `same` are texts that no order changes."""
    optional = [name for name in OPTIONAL_SIGNAL_COLUMNS if name in bets]
    named = (*SIGNAL_COLUMNS, *_CARRIED, *optional)
    columns = {name: _values(bets[name]) for name in named if name not in {*columns, *same}} | columns
    if (settles[:-1] > settles[1:]).any():
        columns = {name: _moved(values, settles) for name, values in columns.items()}
    for name, words in (("result", RESULTS), ("taken", TAKEN)):
        if name in columns:
            columns[name] = _words(columns[name], words)
    numbers = {"bankroll_at_start": start, "closing_price": np.nan, "closing_fair": np.nan, "clv": np.nan}
    columns |= {name: np.full(len(settles), value) for name, value in numbers.items()}
    columns |= {name: texts[: len(settles)] for name, texts in same.items()}
    first = (*LEDGER_COLUMNS, *_CARRIED)
    return pd.DataFrame({name: columns[name] for name in dict.fromkeys((*first, *columns))}, copy=False)


def _values(column: pd.Series) -> Any:
    """The values of a column of signals: times in microseconds, plain objects as text."""
    if column.dtype.kind == "M":
        return as_times(microseconds(column)).array
    return column.astype("str").array if column.dtype == object else column.array


def _moved(values: Any, order: Whole) -> Any:
    """The values in another order of all of them."""
    text = isinstance(values.dtype, pd.StringDtype | pd.CategoricalDtype)
    return values if text and is_constant(pd.Series(values, copy=False)) else values.take(order)


def _words(codes: NDArray[np.int8], words: tuple[str, ...]) -> pd.Categorical:
    """Words of these codes, with the categories in the order of text."""
    categories, place = np.unique(words, return_inverse=True)
    return pd.Categorical.from_codes(place.astype(np.int8).take(codes), categories)


def _counted(taken: NDArray[np.int8]) -> dict[str, dict[str, int]]:
    counts = {}
    if taken.any():
        counted = zip(TAKEN, np.bincount(taken, minlength=len(TAKEN)).tolist(), strict=True)
        counts = {name: n for name, n in counted if n}
    reduced = ("limited", "partly", "short of money")
    return {
        "refused": {name: n for name, n in counts.items() if name not in ("full", *reduced)},
        "reduced": {name: n for name, n in counts.items() if name in reduced},
    }


def judged_by_close(bets: pd.DataFrame, closing: pd.DataFrame) -> pd.DataFrame:
    """The same rows with closing_price, closing_fair and clv by other `closing_lines`."""
    keys = list(SELECTION)
    closing = closing[closing["event_id"].isin(bets["event_id"].unique())]  # of all matches a few have a bet
    merged = bets.drop(columns=["closing_price", "closing_fair", "clv"])
    merged = merged.merge(closing[[*keys, "bookmaker", "closing_price"]], on=[*keys, "bookmaker"], how="left")
    shown = {
        number for frame in (bets, closing) if "ways" in frame for number in frame["ways"].dropna().unique()
    }
    if len(shown) < 2:
        merged = merged.merge(closing[[*keys, "closing_fair"]].drop_duplicates(keys), on=keys, how="left")
    else:
        merged = merged.assign(closing_fair=_fair_of_its_ways(merged, closing))
    value = merged["price"] * merged["closing_fair"] - 1
    return merged.assign(clv=value.where(merged["side"] == "back", -value))[list(bets)]


def _fair_of_its_ways(bets: pd.DataFrame, closing: pd.DataFrame) -> Floats:
    """Closing probability of each bet by bookmakers that offer as many ways as its own.

    Where a bet does not say how many, its bookmaker's close does, and else those of all if they agree. Closes
    that do not say it judge what no other does.
    """
    keys = list(SELECTION)
    said, own = (
        frame["ways"].to_numpy(float, na_value=np.nan) if "ways" in frame else np.full(len(frame), np.nan)
        for frame in (closing, bets)
    )
    closing = closing.assign(ways=said)
    its = bets[[*keys, "bookmaker"]].merge(closing[[*keys, "bookmaker", "ways"]], how="left")["ways"]
    ways = np.where(np.isnan(own), its.to_numpy(float), own)
    fair = []
    for which in (np.isnan(said), said == 2, said == 3):
        table = closing.loc[which & closing["closing_fair"].notna().to_numpy(), [*keys, "closing_fair"]]
        table = table.drop_duplicates(keys)
        fair.append(bets[keys].merge(table, on=keys, how="left")["closing_fair"].to_numpy(float))
    other, two, three = fair
    agreed = np.where(np.isnan(two), three, np.where(np.isnan(three), two, np.nan))
    mine = np.where(ways == 2, two, np.where(ways == 3, three, agreed))
    unsaid = np.isnan(two) & np.isnan(three)
    return np.where(unsaid, other, mine)
