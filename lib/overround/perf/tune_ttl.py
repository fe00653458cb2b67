"""How long a live answer may stand in for a new one: calls saved against prices that are outdated by then.

Nothing is timed: recorded calls are replayed with other times to live, and the prices of that time say what
each answer from the cache would have got wrong. Longer saves more and is wrong more often, so the user says
how much may be outdated.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.errors import ParameterError
from overround.perf.tuning import THRESHOLD, Tuned
from overround.store.store import Store
from overround.times import microseconds

VALUES = (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0)
LEAST_CALLS = 60
_MOST_CALLS, _MOST_FEED = 1_500, 300  # the newest calls; of a feed answers in a row, in its middle
_BLOCKS = 12  # of calls in a row, drawn together: prices move in spells
_RESAMPLES = 2_000
_KEY = ["event_id", "bookmaker", "market", "line", "outcome"]
Interval = tuple[float, float, float]  # a figure, and the ends of its 95 % interval


@dataclass(frozen=True)
class Record:
    """Calls in order of time, and the answers that they got, or would have got.

    `times` are in seconds since 1970, shape (calls,); `prices` has the shape (calls, quotes), NaN where a
    quote was not on offer; `starts`, shape (quotes,), is when each quote's event begins: prices of events
    that have begun are nobody's loss.
    """

    times: Floats
    prices: Floats
    starts: Floats
    name: str


@dataclass(frozen=True)
class _Replayed:
    """Sums over blocks of calls: calls, calls that go out, and the share of outdated prices."""

    calls: Floats
    out: Floats
    outdated: Floats

    @property
    def share_outdated(self) -> Interval:
        return _ratio(self.outdated, self.calls)


def from_store(store: Store) -> list[Record]:
    """Live calls to The Odds API in the table `requests`, a record a sport, with the prices of that time."""
    calls = store.read("requests", {"provider": "the-odds-api"})
    sport = calls["endpoint"].str.extract(r"/v4/sports/([a-z0-9_]+)/odds")[0]
    found = []
    for name, mine in calls[calls["status"] == 200].groupby(sport, sort=True):
        at = np.sort(microseconds(mine["at"]))[-_MOST_CALLS:]
        if len(at) < LEAST_CALLS:
            continue
        quotes = store.read("quotes", {"competition": str(name), "source": "the-odds-api"})
        quotes = quotes[quotes["starts_at"].notna()]
        quotes = quotes[microseconds(quotes["starts_at"]) > at[0]]
        if len(quotes):
            # a price is known from the first call after it was collected, until the next of its kind
            call = np.searchsorted(at, microseconds(quotes["collected_at"]))
            record = _record(at / 1e6, quotes.assign(call=call), str(name))
            found.append(replace(record, prices=pd.DataFrame(record.prices).ffill().to_numpy()))
    return found


def from_feed(folder: Path) -> list[Record]:
    """Recorded answers (`overround.sources.replay.recorded_answers`) in a row, as if each had been asked for.

    Raises
    ------
    ParameterError
        For a folder without recorded answers, or with too few.
    """
    from overround.sources.replay import recorded_answers
    from overround.sources.the_odds_api.parser import parse_odds

    answers = recorded_answers(folder)
    begin = max(0, (len(answers) - _MOST_FEED) // 2)
    answers = answers[begin : begin + _MOST_FEED]
    if len(answers) < LEAST_CALLS:
        raise ParameterError(
            f"{folder} has {len(answers)} recorded answers; at least {LEAST_CALLS} are needed."
        )
    frames = []
    for number, answer in enumerate(answers):
        batch = parse_odds(answer.content(), str(folder), fetched_at=answer.at)
        starts = batch.events[["event_id", "starts_at"]]
        frames.append(batch.quotes.merge(starts, on="event_id").assign(call=number))
    at = np.array([answer.at.timestamp() for answer in answers])
    name = folder.parent.name if folder.name == "odds" else folder.name
    return [_record(at, pd.concat([rows for rows in frames if len(rows)], ignore_index=True), name)]


def time_to_live(
    records: list[Record], current: float, *, outdated: float = 0.01, values: Iterable[float] = VALUES
) -> Tuned:
    """The time to live that saves most calls while no more than a share of the prices used is outdated.

    Chosen by the first half of each record, and taken only if the second half says the same.

    Parameters
    ----------
    records : list of Record
        Each with 60 calls or more.
    current : float
        Seconds.
    outdated : float
        Share of the prices used, over all calls, that may differ from what the provider would have said; the
        upper end of its 95 % interval has to stay below.
    values : iterable of float
        Seconds to try.
    """
    first: dict[float, _Replayed] = {}
    second, whole = first.copy(), first.copy()
    for ttl in sorted({*values, current}):
        first[ttl], second[ttl], whole[ttl] = _replayed(records, ttl)
    curve = _curve(whole, current)
    same = [f"{ttl:g}" for ttl in whole if ttl not in set(curve["value"])]
    where = "; ".join(
        f"{len(record.times):,} calls for {record.name}, {np.median(np.diff(record.times)):,.0f} s apart"
        for record in records
    )
    choose = _shorter if first[current].share_outdated[1] > outdated else _longer
    chosen, why = choose(first, second, whole, current, outdated)
    return Tuned(
        "live_ttl",
        f"seconds that a live answer stays fresh, by {where}",
        "% of calls go out",
        current,
        curve,
        chosen,
        why,
        [f"{', '.join(same)} s: as many calls as now"] if same else [],
    )


_Halves = dict[float, _Replayed]


def _shorter(
    first: _Halves, second: _Halves, whole: _Halves, current: float, outdated: float
) -> tuple[float | None, str]:
    """The longest time to live below the current one that is right often enough."""
    wrong = (
        f"at the value that stands {_per_cent(whole[current].share_outdated)} of the prices used are outdated"
    )
    good = [ttl for ttl in first if ttl < current and first[ttl].share_outdated[2] <= outdated]
    after = {ttl: second[ttl].share_outdated for ttl in (current, *good[-1:])}
    if not good or not after[good[-1]][2] <= outdated < after[current][1]:
        return None, f"{wrong}, and none that was tried is surely better"
    gain = f"{_per_cent(after[good[-1]])} of the prices used in place of {_per_cent(after[current])}"
    return good[-1], f"{wrong}; outdated will be {gain}, by the second half of the calls"


def _longer(
    first: _Halves, second: _Halves, whole: _Halves, current: float, outdated: float
) -> tuple[float | None, str]:
    """The shortest time to live that saves about as many calls as any that is right often enough."""

    def saves(change: Interval) -> bool:
        return change[2] < 1 and change[0] < 1 / (1 + THRESHOLD)

    fewer = {}
    for ttl, replayed in first.items():
        change = _ratio(replayed.out, first[current].out)
        if ttl != current and replayed.share_outdated[2] <= outdated and saves(change):
            fewer[ttl] = change[0]
    if not fewer:
        return None, f"no other saves calls with at most {100 * outdated:g} % of the prices used outdated"
    best = next(ttl for ttl, ratio in fewer.items() if ratio <= min(fewer.values()) * (1 + THRESHOLD))
    change, wrong = _ratio(second[best].out, second[current].out), second[best].share_outdated
    said = (
        f"{_signed(change)} calls, {_per_cent(wrong)} of the prices used outdated, "
        "by the second half of the calls"
    )
    if saves(change) and wrong[2] <= outdated:
        return best, said
    return None, f"{best:g} s looked better in the first half of the calls, but the second says {said}"


def _record(at: Floats, quotes: pd.DataFrame, name: str) -> Record:
    """Quotes with the number of the call that showed them, as a matrix."""
    quotes = quotes.sort_values("call", kind="stable")
    key = quotes.groupby(_KEY, dropna=False, sort=False, observed=True).ngroup().to_numpy()
    call = quotes["call"].to_numpy()
    seen = call < len(at)
    prices = np.full((len(at), key.max() + 1), np.nan)
    prices[call[seen], key[seen]] = quotes["price"].to_numpy()[seen]
    starts = np.zeros(prices.shape[1])
    starts[key] = microseconds(quotes["starts_at"]) / 1e6
    return Record(at, prices, starts, name)


def _replay(record: Record, ttl: float) -> tuple[NDArray[np.bool_], Floats]:
    """Which calls go out, and the share of the offered prices at each call that the cache gets wrong."""
    out, outdated, last = np.zeros(len(record.times), dtype=bool), np.zeros(len(record.times)), -1
    for number, at in enumerate(record.times):
        if last < 0 or not at - record.times[last] < ttl:
            last, out[number] = number, True
            continue
        still_open = record.starts > at
        shown, true = record.prices[last, still_open], record.prices[number, still_open]
        offered = np.isfinite(shown) | np.isfinite(true)
        # also what is there in one of them only: nothing equals NaN
        outdated[number] = np.mean((shown != true)[offered]) if offered.any() else 0.0
    return out, outdated


def _replayed(records: list[Record], ttl: float) -> list[_Replayed]:
    """The first halves of all records, the second halves, and both."""
    halves: list[list[tuple[float, float, float]]] = [[], []]
    for record in records:
        out, outdated = _replay(record, ttl)
        for half, calls in zip(halves, np.array_split(np.arange(len(out)), 2), strict=True):
            for block in np.array_split(calls, _BLOCKS):
                half.append((len(block), out[block].sum(), outdated[block].sum()))
    return [_Replayed(*np.array(blocks, float).T) for blocks in (*halves, halves[0] + halves[1])]


def _ratio(part: Floats, of: Floats) -> Interval:
    """Ratio of two sums over blocks, with its bootstrap interval."""
    draws = np.random.default_rng(0).integers(0, len(of), (_RESAMPLES, len(of)))
    drawn = part[draws].sum(axis=1) / np.maximum(of[draws].sum(axis=1), 1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(part.sum() / of.sum()), float(low), float(high)


def _curve(whole: _Halves, current: float) -> pd.DataFrame:
    rows = []
    for ttl, replayed in whole.items():
        if ttl != current and np.array_equal(replayed.out, whole[current].out):
            continue  # calls are farther apart than that, or nearer together than the current value
        middle, low, high = (100 * share for share in _ratio(replayed.out, replayed.calls))
        change = f"{_signed(_ratio(replayed.out, whole[current].out))} calls"
        said = f"{_per_cent(replayed.share_outdated)} of prices outdated"
        rows.append(
            {
                "value": ttl,
                "shown": f"{ttl:g} s",
                "middle": middle,
                "low": low,
                "high": high,
                "change": f"{said}; {'stands now' if ttl == current else change}",
            }
        )
    return pd.DataFrame(rows)


def _per_cent(shares: Interval) -> str:
    middle, low, high = (100 * share for share in shares)
    return f"{middle:.2g} % ({low:.2g} to {high:.2g})"


def _signed(ratios: Interval) -> str:
    middle, low, high = (f"{100 * (ratio - 1):+.1f}".replace("-", "−") for ratio in ratios)
    return f"{middle} % ({low} to {high})"
