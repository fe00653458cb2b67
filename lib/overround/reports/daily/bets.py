"""Value bets of the last days, a unit each, and the selections whose price moved most."""

import pandas as pd

from overround.betting.engine import backtest
from overround.betting.staking import Flat
from overround.forecasts.past_references import reference_periods
from overround.grouping import OFFER, SELECTION
from overround.prices.closing import closing_lines
from overround.prices.periods import Reference
from overround.prices.references import REFERENCES, lowest_margin
from overround.reports.daily.data import Recent
from overround.schema import AUTO
from overround.signals.value import value_signals


def value_bets(
    recent: Recent, reference: str = "", *, method: str = "power", min_edge: float = 0.02
) -> pd.DataFrame:
    """Every value bet of the last days, a unit each, settled if the result is known.

    Parameters
    ----------
    recent : Recent
        What `recent` returned.
    reference : str
        As in `value_signals`; "auto" is found anew each day, from the days before it that were read. If it
        has no prices here, the bookmaker with the lowest margin.
    method, min_edge
        As in `value_signals`.

    Returns
    -------
    DataFrame
        Signals with profit, settled_at and clv, which are empty while a bet is open.
    """
    quotes = recent.quotes
    believed: Reference = reference
    if reference == AUTO:
        believed = reference_periods(quotes, recent.results, method, every="D")
    elif reference not in {*quotes["bookmaker"], *REFERENCES}:
        believed = lowest_margin(quotes) if len(quotes) else "none"
    signals = value_signals(quotes, believed, method, min_edge)
    closing = closing_lines(quotes, believed, method)
    # a bankroll that cannot run out: each bet is a unit
    ledger = backtest(signals, recent.results, stake=Flat(1), bankroll=1e9, closing=closing)
    ledger = ledger[ledger["settled_at"] <= recent.until]
    columns = [*SELECTION, "profit", "settled_at", "clv"]
    return signals.merge(ledger[columns], on=list(SELECTION), how="left")


def moves(recent: Recent, most: int = 12) -> pd.DataFrame:
    """Selections whose price before kick-off moved most on the last day, over all bookmakers that quote them.

    Returns
    -------
    DataFrame
        match, outcome (with the line), books, begin and end (medians over bookmakers of the price that stood
        when the day began, or else of the day's first price, and of its last), move (begin / end - 1: the
        relative change of the probability); the largest first.
    """
    rows = recent.quotes
    rows = rows[~(rows["collected_at"] >= rows["starts_at"]) & (rows["starts_at"] > recent.begin)]
    rows = rows.sort_values("collected_at", kind="stable")
    today = rows["collected_at"] > recent.begin
    prices = rows.assign(before=rows["price"].mask(today), today=rows["price"].where(today))
    pair = prices.groupby(list(OFFER), dropna=False).agg(
        stood=("before", "last"), first=("today", "first"), end=("today", "last")
    )
    pair = pair.dropna(subset="end").assign(begin=pair["stood"].fillna(pair["first"]))
    found = pair.groupby(list(SELECTION), dropna=False).agg(
        books=("end", "size"), begin=("begin", "median"), end=("end", "median")
    )
    found = found.assign(move=found["begin"] / found["end"] - 1)
    found = found[found["move"] != 0].sort_values("move", key=lambda move: -move.abs(), kind="stable")
    found = found.head(most).reset_index()
    return found.assign(match=matches(recent, found), outcome=outcomes(found))[
        ["match", "outcome", "books", "begin", "end", "move"]
    ]


def matches(recent: Recent, rows: pd.DataFrame) -> pd.Series:
    """Names of both teams for each row."""
    names = recent.quotes.drop_duplicates("event_id").set_index("event_id")
    return rows["event_id"].map(names["home"] + " – " + names["away"])


def outcomes(rows: pd.DataFrame) -> pd.Series:
    """The outcome of each row with its line."""
    lines = rows["line"].map(lambda line: "" if pd.isna(line) else f" {line:g}")
    return rows["outcome"].astype("str") + lines.astype("str")
