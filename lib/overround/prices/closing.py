"""Closing prices, and the fair probabilities that they imply."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from overround.encoding import no_rows
from overround.grouping import SELECTION
from overround.prices.board import boards, check_quotes, rows_of
from overround.prices.periods import Reference, check_periods, reference_opinions
from overround.prices.references import CLOSE, CONSENSUS, REFERENCES, board_reference, check_reference
from overround.prices.standing import first_and_closing
from overround.prices.ways import as_column

_CLOSING_COLUMNS = (*SELECTION, "bookmaker", "closing_price", "closing_fair", "ways")


def closing_lines(
    quotes: pd.DataFrame,
    reference: Reference = CONSENSUS,
    method: str = "power",
    *,
    weights: Mapping[str, float] | pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The price of each bookmaker that stood at kick-off, and the reference's fair probability then.

    A price that was withdrawn has no close; nor has one that was last seen before a gap of the feed up to
    kick-off: no answer within two of the usual steps or half an hour (`stood_at_kick_off`) shows it.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    reference, method, weights
        As in `value_signals`, but no bookmaker is left out of the reference. Where the reference has
        no closing price, the mean of all bookmakers takes its place, if there are three.

    Returns
    -------
    DataFrame
        event_id, market, line, outcome, bookmaker, closing_price, closing_fair, ways. An exchange's lay
        prices keep their market, h2h_lay, and are judged by the same probability. Match odds of two ways are
        judged by the close of bookmakers that offer two, those of three by those that offer three; `ways`
        says which (empty in other markets, and where it is not known).

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> closing = ov.closing_lines(quotes, "sharp")
    >>> closing[["closing_price", "closing_fair"]].notna().all().tolist()
    [True, True]
    """
    if not isinstance(reference, str):
        check_periods(reference)
    parts = []
    for board in boards(quotes, method, at_close=True, judged_later=True):
        closing = board_reference(board, CONSENSUS, judged=False)[0]
        # a reference without prices (no lay prices, a bookmaker that has left): the mean takes its place
        if _has_own_close(reference, board.names):
            if isinstance(reference, str):
                check_reference(reference, board.names, weights=weights)
            own = reference_opinions(board, reference, weights, judged=False).probability
            closing = np.where(np.isnan(own), closing, own)
        for rows in (board.row, board.lay_row):
            if rows is not None:
                book, moment, _ = at = np.nonzero(rows >= 0)
                parts.append((rows[at], closing[at], board.ways[book, moment]))
    if not parts:
        return no_rows(_CLOSING_COLUMNS, ways="Int8")
    row, fair, ways = (np.concatenate(part) for part in zip(*parts, strict=True))
    prices = rows_of(quotes, row, (*SELECTION, "bookmaker", "price"))
    return prices.rename(columns={"price": "closing_price"}).assign(closing_fair=fair, ways=as_column(ways))


def _has_own_close(reference: Reference, names: list[str]) -> bool:
    if isinstance(reference, str):
        return reference not in (CONSENSUS, CLOSE) and reference in (*names, *REFERENCES)
    return True


def closing_quotes(quotes: pd.DataFrame) -> pd.DataFrame:
    """The closing quotes: the provider's own, or the snapshots that stood at kick-off, as in `closing_lines`.

    Their `observed_at` is empty, so that a
    market's outcomes are seen as one market although they were last touched at different times.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> last = ov.prices.closing_quotes(quotes)
    >>> len(last) == len(events) * 4 * 3
    True
    """
    check_quotes(quotes)
    # `not >=`: a price without a clock time was shown before kick-off by the provider's word
    closes = (quotes["phase"] == "close") & ~(quotes["observed_at"] >= quotes["starts_at"])
    closing = quotes.take(np.append(np.flatnonzero(closes), first_and_closing(quotes)[1]))
    return closing.assign(observed_at=pd.Series(pd.NaT, index=closing.index, dtype="datetime64[us, UTC]"))
