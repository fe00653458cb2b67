"""References that change from one period to the next: whose opinion counts at a moment.

Where the reference of a period has shown no price of a market so far, the mean of at least three others takes
its place. Where it has, and shows none any more, nobody does: a sharp bookmaker that takes its price away
knows something.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.grouping import codes_and_words
from overround.prices.board import Board, rows_of
from overround.prices.references import CONSENSUS, CONSENSUS_NEEDS, EXCHANGE, REFERENCES, board_reference
from overround.schema import AUTO, NOT_AN_ACCOUNT
from overround.times import microseconds

# one for all times, or the table of `reference_periods`
Reference: TypeAlias = str | pd.DataFrame
_MOST_NAMED = 4


class Opinions(NamedTuple):
    """A reference's probability for each bookmaker judged, of how many opinions, and whose, on a board."""

    probability: Floats  # (K, T, 3)
    number: Floats  # (K, T, 3)
    whose: pd.Categorical  # (T,)


def reference_opinions(
    board: Board,
    reference: Reference,
    weights: Mapping[str, float] | pd.DataFrame | None = None,
    *,
    judged: bool = True,
) -> Opinions:
    """`board_reference`, at each moment of the reference of its period."""
    if isinstance(reference, str):
        whose = pd.Categorical.from_codes(np.zeros(len(board.time), np.int8), [reference])
        return Opinions(*board_reference(board, reference, weights, judged=judged), whose)
    words = sorted({CONSENSUS, *reference["reference"]})
    consensus = words.index(CONSENSUS)
    chosen = _codes(reference, words)[_period(reference, board.time)]
    whose = np.full(len(chosen), consensus, np.int8)
    for code in _present(chosen, len(words)):
        if code != consensus and words[code] in board.names:
            whose[(chosen == code) & _shown(board, board.names.index(words[code]))] = code
    first, *others = _present(whose, len(words))
    probability, number = board_reference(board, words[first], weights, judged=judged)
    for code in others:
        at = (whose == code)[:, None]
        own = board_reference(board, words[code], weights, judged=judged)
        probability, number = (np.where(at, *pair) for pair in zip(own, (probability, number), strict=True))
    return Opinions(probability, number, pd.Categorical.from_codes(whose, words))


def reference_at(periods: pd.DataFrame, time: Whole) -> NDArray[np.object_]:
    """Name of the reference at each time, in microseconds; before the first period the consensus."""
    return np.append(periods["reference"].to_numpy(object), CONSENSUS)[_period(periods, time)]


def _period(periods: pd.DataFrame, time: Whole) -> Whole:
    """Number of the period of each time, -1 before the first."""
    return np.searchsorted(microseconds(periods.index.to_series()), time, side="right") - 1


def _codes(periods: pd.DataFrame, words: list[str]) -> NDArray[np.int8]:
    """Number of the reference of each period among these words, and at the end that of the consensus."""
    return np.array([words.index(name) for name in (*periods["reference"], CONSENSUS)], np.int8)


def _present(codes: NDArray[np.int8], n: int) -> list[int]:
    return np.flatnonzero(np.bincount(codes, minlength=n)).tolist()


def check_periods(periods: pd.DataFrame) -> None:
    """Reject a table that is not one of references by time."""
    index = periods.index
    if "reference" not in periods or not isinstance(index, pd.DatetimeIndex) or index.tz is None:
        raise ParameterError(
            "a table of references needs the column 'reference' and an index of times in UTC, "
            "as forecasts.reference_periods returns it."
        )
    if not index.is_monotonic_increasing:
        raise ParameterError("a table of references needs its periods in order of time.")
    for name in periods["reference"]:
        if name != CONSENSUS and name in (AUTO, *REFERENCES):
            raise ParameterError(
                f"reference {name!r} cannot be one of several; a table names bookmakers and {CONSENSUS}."
            )


def reference_runs(periods: pd.DataFrame) -> pd.DataFrame:
    """Periods in a row that have the same reference as one row.

    Returns
    -------
    DataFrame
        from, to (empty: the last one), reference, and why and the figures as of when it was chosen.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> periods = ov.forecasts.reference_periods(quotes, results, every="W-MON")
    >>> ov.prices.reference_runs(periods)["reference"].tolist()
    ['consensus', 'sharp']
    """
    check_periods(periods)
    first = periods["reference"] != periods["reference"].shift()
    runs = periods[first].rename_axis("from").reset_index()
    runs.insert(1, "to", runs["from"].shift(-1))
    return runs


def reference_words(reference: Reference) -> str:
    """A reference in words, for sentences: "consensus, from Sep 2024 pinnacle".

    Examples
    --------
    >>> import overround as ov
    >>> ov.prices.reference_words("pinnacle")
    'pinnacle'
    """
    if isinstance(reference, str):
        return reference
    runs = reference_runs(reference)
    if runs.empty:
        return CONSENSUS
    if len(runs) > _MOST_NAMED:
        counts = reference["reference"].value_counts()
        return f"{runs['reference'].nunique()} references by period, mostly {counts.index[0]}"
    first, *later = runs.itertuples(index=False)
    # months need no day
    days = (runs["from"].dt.day != 1).any()
    when = [f"{run[0].day} {run[0]:%b %Y}" if days else f"{run[0]:%b %Y}" for run in later]
    return ", ".join([first.reference, *(f"from {at} {run[2]}" for at, run in zip(when, later, strict=True))])


def referenced_matches(quotes: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """Whose prices each match could be compared with.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`.
    reference : str or DataFrame
        As in `value_signals`.

    Returns
    -------
    DataFrame
        Index event_id, in order of kick-off; columns starts_at, reference (of the period of the kick-off),
        priced (whether it showed any price of the match), whose (it, or the consensus that stands in where
        references are by period, or "" where there is none: too few other bookmakers, or a fixed reference
        without prices).

    Examples
    --------
    >>> import overround as ov
    >>> found = ov.prices.referenced_matches(ov.example().quotes, "sharp")
    >>> int(found["priced"].sum()), found["whose"].unique().tolist()
    (100, ['sharp'])
    """
    event, events = codes_and_words(quotes["event_id"])
    book, words = codes_and_words(quotes["bookmaker"])
    # a row without a price says that there is none any more
    known = quotes["price"].notna().to_numpy()
    shown = np.zeros((len(events), len(words) + 1), bool)
    shown[event[known], book[known]] = True
    row = np.unique(event, return_index=True)[1]
    found = rows_of(quotes, row, ("event_id", "starts_at")).set_index("event_id").sort_index()
    shown = shown[events.get_indexer(found.index)]
    order = np.argsort(microseconds(found["starts_at"]), kind="stable")
    found, shown = found.iloc[order], shown[order]
    # the bookmaker that is judged is not one of the three
    others = shown[:, :-1][:, ~words.isin(NOT_AN_ACCOUNT)].sum(axis=1) > CONSENSUS_NEEDS
    if isinstance(reference, str):
        names = np.full(len(found), reference, object)
    else:
        names = reference_at(reference, microseconds(found["starts_at"]))
    # of a reference without any price the last, empty column
    priced = shown[np.arange(len(found)), words.get_indexer(names)]
    if isinstance(reference, str) and reference == EXCHANGE:
        priced = found.index.isin(quotes.loc[quotes["market"] == "h2h_lay", "event_id"].unique())
    elif isinstance(reference, str) and reference in REFERENCES and reference not in words:
        priced = others
    elif not isinstance(reference, str):
        priced = np.where(names == CONSENSUS, others, priced)
    stands_in = ~priced & others & (not isinstance(reference, str))
    whose = np.where(priced, names, np.where(stands_in, CONSENSUS, ""))
    return found.assign(reference=names, priced=priced, whose=whose)


def _shown(board: Board, book: int) -> NDArray[np.bool_]:
    """Whether a bookmaker has had an opinion of the market so far, at each moment."""
    known = ~np.isnan(board.fair[book, :, 0])
    last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return last >= board.begin
