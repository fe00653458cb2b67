"""Whose prices to believe in each period, found from what was known before it began.

Nothing of a period, neither its results nor its prices, has a say in the choice of its reference.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats, Whole
from overround.errors import ParameterError
from overround.grouping import SELECTION, codes_and_words
from overround.prices.board import Board, boards, check_quotes, rows_of
from overround.prices.references import CONSENSUS, CONSENSUS_NEEDS
from overround.schema import NOT_AN_ACCOUNT
from overround.stats import clustered_variance, holm
from overround.times import DAY_US, as_times, microseconds

FIRST = "nothing is known yet"
NOBODY = "no bookmaker with enough matches"
LOWEST = "lowest margin, nobody more accurate"
LEFT = "the one before priced too few; lowest margin"
MORE_ACCURATE = "more accurate beyond noise"
LOWER_MARGIN = "lower margin, no less accurate"

# a match without a time of settlement is over by then
_OVER_US = DAY_US
# a margin that is lower by less than half a point is no reason to change
_LOWER = 0.005
_SURE = 0.05
_PHASES = ("close", "early")
# columns that a board needs
_PRICED = (*SELECTION, "bookmaker", "phase", "observed_at", "collected_at", "starts_at", "price")


def reference_periods(
    quotes: pd.DataFrame,
    results: pd.DataFrame,
    method: str = "power",
    *,
    every: str = "MS",
    past_days: float = 730,
    recent_days: float = 14,
    least: int = 20,
    coverage: float = 0.8,
) -> pd.DataFrame:
    """The reference of each period, chosen by accuracy, margin and coverage before it began.

    A bookmaker can be chosen if it priced enough of the matches of the last days before the period, and
    enough of the past ones to be scored. Its accuracy is the mean log loss of its margin-free closing 1X2
    prices; where fewer than three bookmakers have a closing price of a match, everybody's early ones. The
    reference of the period before is kept unless

    - it can no longer be chosen,
    - another one is more accurate on the matches that both priced, by more than the noise (5 %, two-sided,
      match days as clusters, allowing for all that are compared), or
    - another one's margin, commission included, is lower by half a point, and its accuracy no worse beyond
      noise.

    A new one is looked for by the same rule, beginning with the lowest margin: margins are known after a few
    matches, accuracy only after hundreds.

    Parameters
    ----------
    quotes : DataFrame
        The table `quotes`, with `starts_at`; all matches that a choice may look back at.
    results : DataFrame
        The table `results`.
    method : str
        Margin removal.
    every : str
        Length of a period, an offset of pandas: "MS" (a calendar month), "QS", "W-MON" ...
    past_days : float
        How far accuracy and margin look back from the beginning of a period.
    recent_days : float
        The coverage is of the matches in so many days up to the last kick-off before the period.
    least : int
        Scored matches of the past that a bookmaker needs.
    coverage : float
        Share of the recent matches, early and at the close, that it must have priced.

    Returns
    -------
    DataFrame
        Index `since`, the beginnings of the periods; columns reference (a bookmaker; "consensus" in a first
        period without any past, and where no bookmaker can be chosen), why, and of the past: matches
        (scored), log_loss, overround (commission included) and coverage of the reference. What
        `value_signals`, `closing_lines` and others take as a reference: a moment has that of its period.

    Raises
    ------
    ParameterError
        A length, number or share that makes no sense.

    Examples
    --------
    >>> import overround as ov
    >>> events, quotes, results = ov.example()
    >>> periods = ov.forecasts.reference_periods(quotes, results, every="W-MON")
    >>> periods["reference"].iloc[0], periods["reference"].iloc[-1]
    ('consensus', 'sharp')
    """
    scored = scored_markets(quotes, results, method)
    return chosen_periods(scored, every, past_days, recent_days, least, coverage)


def scored_markets(quotes: pd.DataFrame, results: pd.DataFrame, method: str = "power") -> pd.DataFrame:
    """Margin and log loss of each account's closing and early 1X2 market of each match, to choose from.

    Parts of a table, such as its seasons, may be scored one by one and put together.

    Returns
    -------
    DataFrame
        event_id, starts_at, over_at, phase ("close", also the last snapshot, or "early"), bookmaker,
        overround (of prices net of an exchange's commission), log_loss (NaN without a result).
    """
    check_quotes(quotes)
    known = _Known.of(quotes, results)
    counted = ((quotes["market"] == "h2h") & ~quotes["bookmaker"].isin(NOT_AN_ACCOUNT)).to_numpy()
    early = (quotes["phase"] == "early").to_numpy()
    parts = []
    for phase, wanted in zip(_PHASES, (counted & ~early, counted & early), strict=True):
        rows = np.flatnonzero(wanted)
        some = rows_of(quotes, rows, _PRICED)
        boards_of_phase = boards(some, method, at_close=phase == "close")
        parts += [_scored(board, known, rows, phase) for board in boards_of_phase]
    columns = ["event_id", "starts_at", "over_at", "phase", "bookmaker", "overround", "log_loss"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def chosen_periods(
    scored: pd.DataFrame,
    every: str = "MS",
    past_days: float = 730,
    recent_days: float = 14,
    least: int = 20,
    coverage: float = 0.8,
) -> pd.DataFrame:
    """`reference_periods` from what `scored_markets` returned."""
    _check(past_days, recent_days, least, coverage)
    matches, holder, why, rows = _matches_of(scored), CONSENSUS, FIRST, []
    begins = _beginnings(scored["starts_at"], every)
    for since in microseconds(begins.to_series()):
        past = _past(matches, since, past_days, recent_days)
        can_be = np.flatnonzero((past.coverage >= coverage) & (past.matches >= least))
        if len(can_be):
            holder, why = _choice(past, can_be, holder, why)
        else:
            holder, why = CONSENSUS, NOBODY if past.matches.any() else FIRST
        rows.append((holder, why, *past.figures(holder)))
    columns = ["reference", "why", "matches", "log_loss", "overround", "coverage"]
    return pd.DataFrame(rows, index=begins, columns=columns).astype({"matches": int})


@dataclass(frozen=True, eq=False)
class _Matches:
    """K bookmakers' 1X2 markets of n matches in order of kick-off, in the phase in which they are scored."""

    names: list[str]
    starts: Whole  # (n,) microseconds since 1970
    over: Whole  # (n,)
    loss: Floats  # (K, n)
    margin: Floats  # (K, n)
    priced: Whole  # (K, n) phases in which it has a price, of those that count
    phases: Whole  # (n,) phases that count


@dataclass(frozen=True, eq=False)
class _Past:
    """What was known of K bookmakers when a period began."""

    names: list[str]
    loss: Floats  # (K, m) of the m matches that were over
    day: Whole  # (m,)
    margin: Floats  # (K,)
    matches: Whole  # (K,)
    coverage: Floats  # (K,)

    def figures(self, reference: str) -> tuple[int, float, float, float]:
        """Matches, log loss, overround and coverage of a reference; of the consensus none."""
        if reference not in self.names:
            return 0, np.nan, np.nan, np.nan
        book = self.names.index(reference)
        return int(self.matches[book]), np.nanmean(self.loss[book]), self.margin[book], self.coverage[book]


@dataclass(frozen=True, eq=False)
class _Known:
    """Numbers of the events and bookmakers of quotes, and how each event ended."""

    event: Whole  # of each quote
    events: pd.Index
    bookmakers: list[str]
    lead: Floats  # of home over away; NaN without a result
    settled: Whole

    @classmethod
    def of(cls, quotes: pd.DataFrame, results: pd.DataFrame) -> "_Known":
        event, events = codes_and_words(quotes["event_id"])
        ended = results.drop_duplicates("event_id").set_index("event_id").reindex(events)
        lead = ended["home_score"].to_numpy(float) - ended["away_score"].to_numpy(float)
        names = sorted(codes_and_words(quotes["bookmaker"])[1].astype("str"))
        return cls(event, events, names, lead, microseconds(ended["settled_at"]))


def _scored(board: Board, known: _Known, rows: Whole, phase: str) -> pd.DataFrame:
    book, moment = np.nonzero(~np.isnan(board.fair[:, :, 0]))
    row = board.row[book, moment, 0]
    event = known.event[rows[row]]
    lead = known.lead[event]
    won = 1 - np.sign(np.nan_to_num(lead)).astype(np.int64)
    # a tie where no draw was offered has no probability either
    chance = np.where(np.isnan(lead), np.nan, board.fair[book, moment, won])
    starts, settled = (
        microseconds(rows_of(board.quotes, row, ["starts_at"])["starts_at"]),
        known.settled[event],
    )
    name = pd.Index(known.bookmakers).get_indexer(board.names)[book]
    return pd.DataFrame(
        {
            "event_id": pd.Categorical.from_codes(event, known.events, validate=False),
            "starts_at": as_times(starts),
            "over_at": as_times(np.where(settled > starts, settled, starts + _OVER_US)),
            "phase": pd.Categorical.from_codes(np.full(len(row), _PHASES.index(phase)), _PHASES),
            "bookmaker": pd.Categorical.from_codes(name, known.bookmakers, validate=False),
            "overround": np.nansum(1 / board.net[book, moment], axis=1),
            "log_loss": -np.log(chance),
        }
    )


def _matches_of(scored: pd.DataFrame) -> _Matches:
    book, names = pd.factorize(scored["bookmaker"], sort=True)
    event, events = pd.factorize(scored["event_id"])
    phase = (scored["phase"] == "early").to_numpy(np.int64)
    first = np.full(len(events), -1)
    first[event] = np.arange(len(event))
    known = np.zeros((2, len(names), len(events)), bool)
    known[phase, book, event] = True
    # a phase of which hardly anybody has prices says nothing about the others
    shown = known.sum(axis=1)
    counts = (shown >= np.minimum(CONSENSUS_NEEDS, shown.max(axis=0))) & (shown > 0)
    starts, over = (microseconds(scored[name])[first] for name in ("starts_at", "over_at"))
    values = np.full((2, 2, len(names), len(events)), np.nan)
    values[:, phase, book, event] = scored[["log_loss", "overround"]].to_numpy(float).T
    # the close, or early prices where that does not count
    loss, margin = np.where(counts[0], values[:, 0], values[:, 1])
    order = np.argsort(starts, kind="stable")
    return _Matches(
        list(names),
        starts[order],
        over[order],
        loss[:, order],
        margin[:, order],
        (known & counts[:, None]).sum(axis=0)[:, order],
        counts.sum(axis=0)[order],
    )


def _past(matches: _Matches, since: int, past_days: float, recent_days: float) -> _Past:
    begun = int(np.searchsorted(matches.starts, since))
    oldest = int(np.searchsorted(matches.starts, since - round(past_days * DAY_US)))
    over = oldest + np.flatnonzero(matches.over[oldest:begun] <= since)
    last = matches.starts[begun - 1] if begun else since
    recent = slice(np.searchsorted(matches.starts, last - round(recent_days * DAY_US)), begun)
    loss, margin = matches.loss[:, over], matches.margin[:, over]
    scored = ~np.isnan(loss)
    n = scored.sum(axis=1)
    return _Past(
        matches.names,
        loss,
        matches.starts[over] // DAY_US,
        np.where(scored, margin, 0.0).sum(axis=1) / np.maximum(n, 1),
        n,
        matches.priced[:, recent].sum(axis=1) / max(int(matches.phases[recent].sum()), 1),
    )


def _choice(past: _Past, can_be: NDArray[np.intp], holder: str, why: str) -> tuple[str, str]:
    """Name and reason of the reference among these bookmakers, the holder's if it is to be kept."""
    margin = past.margin[can_be]
    kept = [past.names[book] for book in can_be]
    first = kept.index(holder) if holder in kept else int(margin.argmin())
    if holder not in kept:
        why = LOWEST if holder == CONSENSUS else LEFT
    gap, p = _compared(past.loss[can_be], first, past.day)
    better = (holm(p) < _SURE) & (gap < 0)
    if better.any():
        return kept[int(np.where(better, gap, np.inf).argmin())], MORE_ACCURATE
    cheaper = (margin < margin[first] - _LOWER) & ~((p < _SURE) & (gap > 0))
    if cheaper.any():
        return kept[int(np.where(cheaper, margin, np.inf).argmin())], LOWER_MARGIN
    return kept[first], why


def _compared(loss: Floats, first: int, day: Whole) -> tuple[Floats, Floats]:
    """Mean difference of each log loss to the first one's on common matches, and its p-value by match day."""
    from scipy.special import stdtr

    gap = loss - loss[first]
    n = (~np.isnan(gap)).sum(axis=1)
    mean = np.nansum(gap, axis=1) / np.maximum(n, 1)
    book = np.repeat(np.arange(len(loss)), loss.shape[1])
    variance, days = clustered_variance(
        (gap - mean[:, None]).ravel(), book, np.tile(day, len(loss)), len(loss)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(days - 1.0, -np.abs(mean) * n / np.sqrt(variance))
    p[first] = np.nan
    return mean, p


def _beginnings(starts: pd.Series, every: str) -> pd.DatetimeIndex:
    """Beginnings of the periods from the one of the first kick-off to that of the last."""
    known = starts.dropna()
    if known.empty:
        return pd.DatetimeIndex([], tz="UTC", name="since").as_unit("us")
    try:
        length = pd.tseries.frequencies.to_offset(every)
    except ValueError:
        raise ParameterError(
            f"every is {every!r}; it takes an offset of pandas, such as MS or W-MON."
        ) from None
    begin = length.rollback(known.min().normalize())
    return pd.date_range(begin, known.max(), freq=length, name="since").as_unit("us")


def _check(past_days: float, recent_days: float, least: int, coverage: float) -> None:
    for name, value in {"past_days": past_days, "recent_days": recent_days, "least": least}.items():
        if not value > 0:
            raise ParameterError(f"{name} is {value}; it must be above 0.")
    if not 0 < coverage <= 1:
        raise ParameterError(f"coverage is {coverage}; it is a share, above 0 and up to 1.")
