"""How long a live answer may stand in for a new one: the calls that it saves against the prices that are outdated by then.

Nothing is timed: calls that were made are gone through again with other times to live, and prices that were
stored, or recorded, say what each answer that the cache would have given had wrong. Longer saves more and is
wrong more, so what may be outdated is the user's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overround._typing import Floats
from overround.errors import ParameterError
from overround.perf.tuning import Tuned
from overround.store.store import Store

VALUES = (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0)
LEAST_CALLS = 60
_MOST_CALLS, _MOST_FEED = 1_500, 300  # the newest calls; of a feed answers in a row, in its middle
_BLOCKS = 12  # of calls in a row, drawn together: prices move in spells
_RESAMPLES = 2_000
_KEY = ["event_id", "bookmaker", "market", "line", "outcome"]


@dataclass(frozen=True)
class Record:
    """Calls in order of time, and what they were, or would have been, answered.

    `times` are in seconds since 1970, shape (calls,); `prices` has the shape (calls, quotes), NaN where a
    quote was not on offer; `starts`, shape (quotes,), is when each quote's event begins: prices of events
    that have begun are nobody's loss.
    """

    times: Floats
    prices: Floats
    starts: Floats
    said: str


@dataclass(frozen=True)
class _Told:
    """Of a time to live, in blocks of calls: calls, calls that go out, and the share of outdated prices summed over calls."""

    calls: Floats
    out: Floats
    outdated: Floats

    def share(self, of: str, draws: NDArray[np.int64]) -> tuple[float, float, float]:
        part = getattr(self, of)
        return _with_interval(
            part.sum() / self.calls.sum(), part[draws].sum(axis=1) / self.calls[draws].sum(axis=1)
        )


def from_store(store: Store) -> list[Record]:
    """Live calls of the table `requests` to The Odds API, one record a sport, with the prices of the table `quotes` that stood then."""
    calls = store.read("requests", {"provider": "the-odds-api"})
    sport = calls["endpoint"].str.extract(r"/v4/sports/([a-z0-9_]+)/odds")[0]
    found = []
    for name, mine in calls[calls["status"] == 200].groupby(sport, sort=True):
        at = np.sort(_seconds(mine["at"]))[-_MOST_CALLS:]
        if len(at) < LEAST_CALLS:
            continue
        quotes = store.read("quotes", {"competition": str(name), "source": "the-odds-api"})
        quotes = quotes[quotes["starts_at"].notna() & (_seconds(quotes["starts_at"]) > at[0])]
        if len(quotes):
            # a price is known from the first call after it was collected, until the next of its kind
            record = _record(
                at, quotes.assign(call=np.searchsorted(at, _seconds(quotes["collected_at"]))), str(name)
            )
            found.append(replace(record, prices=pd.DataFrame(record.prices).ffill().to_numpy()))
    return found


def from_feed(folder: Path) -> list[Record]:
    """Recorded answers in a row, as if each had been asked for; see `overround.sources.replay.recorded_answers` for the folder.

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
    for number, one in enumerate(answers):
        batch = parse_odds(one.content(), str(folder), fetched_at=one.at)
        frames.append(
            batch.quotes.merge(batch.events[["event_id", "starts_at"]], on="event_id").assign(call=number)
        )
    at = np.array([one.at.timestamp() for one in answers])
    name = folder.parent.name if folder.name == "odds" else folder.name
    return [_record(at, pd.concat([rows for rows in frames if len(rows)], ignore_index=True), name)]


def time_to_live(
    records: list[Record],
    current: float,
    *,
    outdated: float = 0.01,
    threshold: float = 0.05,
    values: Iterable[float] = VALUES,
) -> Tuned:
    """The time to live that saves most calls while no more than a share of the prices used is outdated.

    Chosen by the first half of each record, and taken only if the second half says the same.

    Parameters
    ----------
    records : list of Record
        Each with 60 calls or more.
    current : float
        The value that stands, seconds.
    outdated : float
        Share of the prices used, over all calls, that may differ from what the provider would have said; the
        upper end of its 95 % interval has to stay below.
    threshold : float
        A saving smaller than this share of the calls is none.
    values : iterable of float
        Seconds to try.
    """
    ordered = sorted({*values, current})
    halves = [_halves(records, ttl) for ttl in ordered]
    told = {ttl: half[0] for ttl, half in zip(ordered, halves, strict=True)}
    after = {ttl: half[1] for ttl, half in zip(ordered, halves, strict=True)}
    whole = {ttl: _joined(list(half)) for ttl, half in zip(ordered, halves, strict=True)}
    where = "; ".join(
        f"{len(one.times):,} calls for {one.said}, {np.median(np.diff(one.times)):,.0f} s apart"
        for one in records
    )
    curve = _curve(whole, current)
    same = [f"{ttl:g}" for ttl in ordered if ttl not in set(curve["value"])]
    notes = [f"{', '.join(same)} s: as many calls as now"] if same else []
    what = f"seconds that a live answer stays fresh, by {where}"
    result = Tuned("live_ttl", what, "% of calls go out", current, curve, notes=notes)
    allowed = [ttl for ttl in ordered if ttl != current and _outdated(told[ttl])[2] <= outdated]
    if _outdated(told[current])[1] > outdated:
        smaller = [ttl for ttl in allowed if ttl < current]
        best = max(smaller, default=None)
        wrong = (
            f"at the value that stands {_per_cent(_outdated(whole[current]))} of the prices used are outdated"
        )
        if best is None or not (_outdated(after[best])[2] <= outdated < _outdated(after[current])[1]):
            return replace(result, why=f"{wrong}, and none that was tried is surely better")
        gain = f"{_per_cent(_outdated(after[best]))} of the prices used in place of {_per_cent(_outdated(after[current]))}"
        return replace(
            result,
            chosen=best,
            gain=gain,
            why=f"{wrong}; outdated will be {gain}, by the second half of the calls",
        )
    fewer = {
        ttl: change[0]
        for ttl in allowed
        if (change := _change(told[current], told[ttl]))[2] < 1 and change[0] < 1 / (1 + threshold)
    }
    best = next((ttl for ttl, ratio in fewer.items() if ratio <= min(fewer.values()) * (1 + threshold)), None)
    if best is None:
        return replace(
            result, why=f"no other saves calls with at most {100 * outdated:g} % of the prices used outdated"
        )
    ratio, low, high = _change(after[current], after[best])
    wrong = f"{_per_cent(_outdated(after[best]))} of the prices used outdated"
    said = f"{_signed(ratio, low, high)} calls, {wrong}, by the second half of the calls"
    if not (high < 1 and ratio < 1 / (1 + threshold) and _outdated(after[best])[2] <= outdated):
        return replace(
            result, why=f"{best:g} s looked better in the first half of the calls, but the second says {said}"
        )
    return replace(result, chosen=best, gain=said, why=said)


def _record(at: Floats, quotes: pd.DataFrame, said: str) -> Record:
    """Quotes with the number of the call that showed them, as a matrix."""
    quotes = quotes.sort_values("call", kind="stable")
    key = quotes.groupby(_KEY, dropna=False, sort=False).ngroup().to_numpy()
    seen = (quotes["call"] < len(at)).to_numpy()
    prices = np.full((len(at), key.max() + 1), np.nan)
    prices[quotes["call"].to_numpy()[seen], key[seen]] = quotes["price"].to_numpy()[seen]
    starts = np.zeros(prices.shape[1])
    starts[key] = _seconds(quotes["starts_at"])
    return Record(at, prices, starts, said)


def _gone_through(record: Record, ttl: float) -> tuple[NDArray[np.bool_], Floats]:
    """Which calls go out, and of each the share of prices on offer then of which the cache's answer says something else."""
    out, outdated, last = np.zeros(len(record.times), dtype=bool), np.zeros(len(record.times)), -1
    for number, at in enumerate(record.times):
        if last < 0 or not at - record.times[last] < ttl:
            last, out[number] = number, True
            continue
        open_ = record.starts > at
        shown, true = record.prices[last, open_], record.prices[number, open_]
        offered = np.isfinite(shown) | np.isfinite(true)
        # also what is there in one of them only: nothing equals NaN
        outdated[number] = np.mean((shown != true)[offered]) if offered.any() else 0.0
    return out, outdated


def _halves(records: list[Record], ttl: float) -> tuple[_Told, _Told]:
    halves: tuple[list[_Told], list[_Told]] = ([], [])
    for record in records:
        out, outdated = _gone_through(record, ttl)
        for half, calls in zip(halves, np.array_split(np.arange(len(out)), 2), strict=True):
            blocks = np.array_split(calls, _BLOCKS)
            sums = (
                [float(len(one)) for one in blocks],
                [out[one].sum() for one in blocks],
                [outdated[one].sum() for one in blocks],
            )
            half.append(_Told(*(np.array(one, dtype=float) for one in sums)))
    return _joined(halves[0]), _joined(halves[1])


def _joined(parts: list[_Told]) -> _Told:
    return _Told(
        *(np.concatenate([getattr(one, name) for one in parts]) for name in ("calls", "out", "outdated"))
    )


def _draws(blocks: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, blocks, (_RESAMPLES, blocks))


def _with_interval(value: float, drawn: Floats) -> tuple[float, float, float]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(value), float(low), float(high)


def _outdated(told: _Told) -> tuple[float, float, float]:
    return told.share("outdated", _draws(len(told.calls)))


def _change(before: _Told, after: _Told) -> tuple[float, float, float]:
    """Calls that go out, as a share of those that go out now."""
    draws = _draws(len(before.calls))
    return _with_interval(
        after.out.sum() / before.out.sum(),
        after.out[draws].sum(axis=1) / np.maximum(before.out[draws].sum(axis=1), 1),
    )


def _curve(whole: dict[float, _Told], current: float) -> pd.DataFrame:
    rows = []
    for ttl, told in whole.items():
        if ttl != current and np.array_equal(told.out, whole[current].out):
            continue  # calls are farther apart than that, or nearer together than the value that stands
        middle, low, high = (100 * one for one in told.share("out", _draws(len(told.calls))))
        change = "stands now" if ttl == current else f"{_signed(*_change(whole[current], told))} calls"
        rows.append(
            {
                "value": ttl,
                "shown": f"{ttl:g} s",
                "middle": middle,
                "low": low,
                "high": high,
                "change": f"{_per_cent(_outdated(told))} of prices outdated; {change}",
            }
        )
    return pd.DataFrame(rows)


def _per_cent(shares: tuple[float, float, float]) -> str:
    middle, low, high = (100 * one for one in shares)
    return f"{middle:.2g} % ({low:.2g} to {high:.2g})"


def _signed(*ratios: float) -> str:
    middle, low, high = (f"{100 * (one - 1):+.1f}".replace("-", "−") for one in ratios)
    return f"{middle} % ({low} to {high})"


def _seconds(times: pd.Series) -> Floats:
    return (
        times.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]").astype("int64").to_numpy()
        / 1e6
    )
