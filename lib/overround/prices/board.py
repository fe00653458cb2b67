"""The standing prices of every bookmaker at every moment, as arrays.

All signals are read from this one view, so that none can look ahead.

A moment is a time at which the collector learnt something (`collected_at`), not a time of the bookmaker's
own clock: a change between two polls is known only at the second, for all bookmakers at once.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.grouping import SELECTION, codes_and_words, column_codes, combined_codes
from overround.prices.at_kick_off import stood_at_kick_off
from overround.prices.commission import net_price, paid_out
from overround.prices.margin import markets_without_margin
from overround.prices.ways import PLAUSIBLE, SLOT, ways_on_board
from overround.times import HOUR_US, microseconds

_EARLY, _SNAPSHOT, _CLOSE = range(3)
_LAY = 3
_WITHDRAWN = -2  # in the kernels
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Board:
    """The standing prices of some markets: K bookmakers, T moments, 3 slots.

    The slots are home or over, draw, away or under. The moments of a market follow each other in time; prices
    without a clock time are one moment. Where no price stands there is -1 or NaN.
    """

    quotes: pd.DataFrame
    names: list[str]
    time: Whole  # (T,) microseconds since 1970; of prices without a clock: when they could be bet
    market: Whole  # (T,) equal for the same event, market and line, whatever the phase
    begin: Whole  # (T,) the first moment of the same market and phase
    h2h: NDArray[np.bool_]  # (T,) whether the market is match odds
    ways: NDArray[np.int8]  # (K, T) outcomes of the bookmaker's match odds; see `prices.ways`, 0: not known
    row: Whole  # (K, T, 3) the row of `quotes` that stands
    price: Floats  # (K, T, 3)
    since: Whole  # (K, T) the moment at which the bookmaker last changed a price of the market
    fair: Floats  # (K, T, 3) margin-free probability
    overround: Floats  # (K, T)
    lay: Floats | None  # (K, T, 3) price at which one may lay; None where nobody shows any
    lay_row: Whole | None

    @cached_property
    def net(self) -> Floats:
        """Prices net of an exchange's commission, (K, T, 3)."""
        kept = paid_out(self.names)[:, None, None]
        return net_price(self.price, kept) if (kept < 1).any() else self.price

    @cached_property
    def mixed(self) -> NDArray[np.bool_]:
        """Moments at which some bookmakers offer two ways and others three, shape (T,)."""
        return (self.ways == 2).any(axis=0) & (self.ways == 3).any(axis=0)

    def by_ways(self, values: Floats, of: Callable[[Floats], tuple[Floats, ...]]) -> tuple[Floats, ...]:
        """Arrays (K, T, 3) that a function makes of values (K, T, 3) of all bookmakers.

        Where some bookmakers offer two ways and others three, their prices are of different selections: the
        function gets those of each apart, and those whose ways are not known get NaN.
        """
        if not self.mixed.any():
            return of(values)
        ways = np.where(self.mixed, self.ways, 2)[:, :, None]
        two, three = (of(np.where(ways == number, values, np.nan)) for number in (2, 3))
        return tuple(
            np.where(ways == 2, one, np.where(ways == 3, other, np.nan))
            for one, other in zip(two, three, strict=True)
        )

    def among(self, bookmakers: Iterable[str]) -> NDArray[np.bool_]:
        """Which bookmakers are among these, shape (K, 1, 1)."""
        return np.isin(self.names, list(bookmakers))[:, None, None]

    def selections(self, rows: Whole) -> pd.DataFrame:
        """Selection, kick-off, league and season of rows of `quotes`; lay prices are of the market h2h."""
        found = rows_of(self.quotes, rows, (*SELECTION, "starts_at", "competition", "season"))
        lays = found["market"] == "h2h_lay"
        # a categorical column may not have the word "h2h"
        return found.assign(market=found["market"].astype("str").mask(lays, "h2h")) if lays.any() else found


def boards(
    quotes: pd.DataFrame,
    method: str | None = "power",
    *,
    at_close: bool = False,
    judged_later: bool = False,
    max_age_h: float | None = 24.0,
    across_lines: bool = False,
    cells: int = 400_000,
) -> Iterator[Board]:
    """Boards of all markets, some markets each, so that memory does not grow with the table.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`. Prices shown in play, or seen only after kick-off, are left out.
    method : str, optional
        Margin removal; None where no probabilities are needed (`fair` is then NaN).
    at_close : bool
        One moment a market, its kick-off: the closing prices, or the snapshots that stood then
        (`at_kick_off.stood_at_kick_off`), however long ago they last changed. Otherwise all earlier prices.
    judged_later : bool
        With `at_close`: also what was observed before kick-off but collected later. It can judge a bet, never
        select one.
    max_age_h : float, optional
        A bookmaker's prices of a market no longer stand when it has changed none of them for this long.
    across_lines : bool
        All lines of a market on one board: the bookmakers, and `names`, are repeated for each line, lowest
        line first.
    cells : int
        Approximate size of an array of one board.

    Raises
    ------
    ParameterError
        Quotes without kick-off, times without a time zone, or an unknown market, outcome or phase.
    """
    coded = _coded(quotes, at_close=at_close, judged_later=judged_later, across_lines=across_lines)
    if not len(coded.first):
        return
    limit = None if at_close or max_age_h is None else max_age_h * HOUR_US
    # whole markets, all phases: a selection is bet once
    starts = np.flatnonzero(np.diff(coded.market, prepend=-1))
    part = starts // max(1, cells // (3 * len(coded.names)))
    cuts = [*starts[np.flatnonzero(np.diff(part, prepend=-1))], len(coded.first)]
    for a, b in pairwise(cuts):
        yield _board(quotes, coded, int(a), int(b), method, limit)


@dataclass(frozen=True, eq=False)
class _Coded:
    """Usable quotes as numbers, in order of market, phase and time, and the moments that they make."""

    names: list[str]
    row: Whole  # of each usable quote, as are book, slot and lays
    book: NDArray[np.int32]
    slot: NDArray[np.int8]
    lays: NDArray[np.bool_]
    first: Whole  # the first usable quote of each moment; market, time and begin as in `Board`
    market: Whole
    time: Whole
    begin: Whole
    h2h: NDArray[np.bool_]  # of each moment: whether its market is match odds


def _coded(quotes: pd.DataFrame, *, at_close: bool, judged_later: bool, across_lines: bool) -> _Coded:
    check_quotes(quotes)
    observed, collected, starts = (
        microseconds(quotes[name]) for name in ("observed_at", "collected_at", "starts_at")
    )
    if (starts == _NEVER).any():
        starts = np.where(starts == _NEVER, np.iinfo(np.int64).max, starts)
    phase = _coded_as(quotes["phase"], {"early": _EARLY, "snapshot": _SNAPSHOT, "close": _CLOSE})
    usable = (observed < starts) & (phase != (_EARLY if at_close else _CLOSE))
    if not (at_close and judged_later):
        usable &= (phase != _SNAPSHOT) | (collected < starts)
    if at_close:
        usable[usable] = stood_at_kick_off(quotes, np.flatnonzero(usable))
    rows = np.flatnonzero(usable)

    kind = _coded_as(quotes["market"], {"h2h": 0, "totals": 1, "spreads": 2, "h2h_lay": _LAY})
    lays = kind == _LAY
    kind[lays] = 0
    line, lines = codes_and_words(quotes["line"])
    book, found = codes_and_words(quotes["bookmaker"])
    # a categorical may have words that are in no row
    names = sorted(map(str, found[np.bincount(book, minlength=len(found)) > 0]))
    book = pd.Index(names).get_indexer(found.astype(str)).astype(np.int32)[book]
    event, n_events = column_codes(quotes["event_id"])
    columns = [(event[rows], n_events), (kind[rows], _LAY)]
    if across_lines:
        market, _ = combined_codes(len(rows), columns)
        of_row = pd.Series(lines.to_numpy(float)[line[rows]])
        nth = of_row.groupby(market).rank("dense").to_numpy(np.int64) - 1
        book[rows], names = nth * len(names) + book[rows], names * int(nth.max(initial=0) + 1)
    else:
        market, _ = combined_codes(len(rows), [*columns, (line[rows], len(lines))])
    del line, columns

    phase = phase[rows]
    # prices learnt at the same time are in the order of the bookmaker's own clock
    order: list[Whole] = [observed[rows]]
    if at_close:
        # the last word counts, and one that came back may have the time of before it left
        order.append(np.where(phase == _SNAPSHOT, collected[rows], _NEVER))
        phase[:], time = 0, starts[rows]
    else:
        time = np.where(phase == _SNAPSHOT, collected[rows], 0)
        early = np.flatnonzero(phase == _EARLY)
        time[early] = early_placed_at(starts[rows[early]])
    # in place, and one after the other: each of these arrays has a number for every quote
    chain = market
    chain *= 3
    chain += phase
    sorted_by = np.lexsort((*order, time, chain))
    rows = rows[sorted_by]
    chain = chain[sorted_by]
    time = time[sorted_by]
    opens = changes(chain)
    first = np.flatnonzero(opens | changes(time))
    begin = np.maximum.accumulate(np.where(opens[first], np.arange(len(first)), 0))
    return _Coded(
        names,
        rows,
        book[rows],
        _coded_as(quotes["outcome"], SLOT)[rows],
        lays[rows],
        first,
        chain[first] // 3,
        time[first],
        begin,
        kind[rows[first]] == 0,
    )


def _board(
    quotes: pd.DataFrame, coded: _Coded, a: int, b: int, method: str | None, limit: float | None
) -> Board:
    """The board of the moments from a to b."""
    first = coded.first[a:b]
    part = slice(first[0], coded.first[b] if b < len(coded.first) else len(coded.row))
    moment = np.repeat(np.arange(b - a), np.diff(first, append=part.stop))
    shape = (len(coded.names), b - a, 3)
    begin, time, lays = coded.begin[a:b] - a, coded.time[a:b], coded.lays[part]
    place = (coded.book[part] * shape[1] + moment) * 3 + coded.slot[part]
    prices = quotes["price"].to_numpy(float)

    def standing(rows: slice | NDArray[np.bool_]) -> tuple[Whole, Floats, Whole]:
        from overround.prices.board_kernels import carry_forward

        row, since = np.full(shape, -1), np.full(shape[:2], -1)
        shown = coded.row[part][rows]
        row.reshape(-1)[place[rows]] = np.where(np.isnan(prices[shown]), _WITHDRAWN, shown)
        carry_forward(row, since, begin)
        if limit is not None:
            old = time - time[since] > limit
            row[old], since[old] = -1, -1
        price = prices[row]
        price[row < 0] = np.nan
        return row, price, since

    any_lay = bool(lays.any())
    row, price, since = standing(~lays if any_lay else slice(None))
    lay_row, lay, lay_since = standing(lays) if any_lay else (None, None, since)
    drawn = np.zeros(shape[:2], bool)
    drawn.reshape(-1)[place[coded.slot[part] == SLOT["draw"]] // 3] = True
    shown = (since >= 0) | (lay_since >= 0) if any_lay else since >= 0
    ways = ways_on_board(price, drawn, shown, begin, coded.h2h[a:b])
    fair, overround = _fair(price, since, ways == 3, method)
    if any_lay:
        # what was not known to have a draw when its price last changed, and has one since
        late = (ways == 3) & (np.take_along_axis(ways, np.maximum(since, 0), axis=1) != 3)
        fair[late], overround[late] = np.nan, np.nan
    return Board(
        quotes,
        coded.names,
        time,
        coded.market[a:b],
        begin,
        coded.h2h[a:b],
        ways,
        row,
        price,
        since,
        fair,
        overround,
        lay,
        lay_row,
    )


def _fair(price: Floats, since: Whole, three: NDArray[np.bool_], method: str | None) -> tuple[Floats, Floats]:
    """Probabilities and overround of each bookmaker's market since it last changed; `three`: (K, T)."""
    if method is None:
        return np.full(price.shape, np.nan), np.full(since.shape, np.nan)
    at = np.flatnonzero(since == np.arange(since.shape[1]))
    solved, book = np.full((len(at) + 1, 3), np.nan), np.full(len(at) + 1, np.nan)
    fair, book[:-1], _ = markets_without_margin(price.reshape(-1, 3)[at], three.reshape(-1)[at], method)
    plausible = (book[:-1] >= PLAUSIBLE[0]) & (book[:-1] <= PLAUSIBLE[1])
    solved[:-1][plausible] = fair[plausible]
    # the last, empty row is for prices that do not stand
    number = np.full(since.shape, len(at))
    number.reshape(-1)[at] = np.arange(len(at))
    number = np.take_along_axis(number, np.maximum(since, 0), axis=1)
    number[since < 0] = len(at)
    return solved[number], book[number]


def check_quotes(quotes: pd.DataFrame) -> None:
    """Reject quotes without the kick-off of their match."""
    if "starts_at" not in quotes:
        raise ParameterError(
            "quotes need the column 'starts_at', the kick-off of their match; Store.read('quotes') gives it."
        )


def early_placed_at(starts: Whole) -> Whole:
    """When an early price could have been bet, from kick-offs in microseconds.

    football-data.co.uk says (notes.txt) that it collects on Friday afternoon for weekend matches and on
    Tuesday afternoon for midweek ones: no result of those days can have been known, so the bet is placed on
    that Friday or Tuesday at noon, or at kick-off where that comes first.
    """
    day = starts // (24 * HOUR_US)
    weekday = (day + 3) % 7  # Monday is 0: 1970 began on a Thursday
    # Friday to Monday belong to Friday, the rest to Tuesday
    back = np.where(weekday >= 4, weekday - 4, np.where(weekday == 0, 3, weekday - 1))
    return np.minimum((24 * (day - back) + 12) * HOUR_US, starts)


def _coded_as(values: pd.Series, numbers: dict[str, int]) -> NDArray[np.int8]:
    codes, found = codes_and_words(values)
    # the last place is for -1, a missing value
    coded = np.array([*(numbers.get(name, -1) for name in found), -1], np.int8)[codes]
    if (coded < 0).any():
        word = values.iloc[int((coded < 0).argmax())]
        raise ParameterError(
            f"quotes, column {values.name!r}: {word!r} is unknown; allowed: {', '.join(numbers)}."
        )
    return coded


def rows_of(frame: pd.DataFrame, rows: Whole, columns: Iterable[str]) -> pd.DataFrame:
    """Some rows of some columns; `frame[columns]` would copy all rows first."""
    return pd.DataFrame({name: frame[name].array.take(rows) for name in columns})


def changes(values: Whole) -> NDArray[np.bool_]:
    """Which values differ from the one before; the first does."""
    changed = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changed[1:])
    return changed
