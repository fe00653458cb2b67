"""How long a live answer may stand in for a new one: calls saved against prices that are outdated by then.

Nothing is timed: the live calls in the store's log are replayed with other times to live, and the prices of
that time say what each answer from the cache would have got wrong. Longer saves more and is wrong more often,
so the user says how much may be outdated.
"""

import numpy as np
import pandas as pd

from overround._typing import Floats
from overround.errors import ParameterError
from overround.store.store import Store
from overround.times import microseconds

VALUES = (5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0)
_LEAST_CALLS, _MOST_CALLS = 60, 1_500  # for a sport, the newest
_LEAST_GAIN = 0.05
_BLOCKS, _RESAMPLES = 24, 2_000  # of calls in a row, drawn together: prices move in spells
_KEY = ["event_id", "bookmaker", "market", "line", "outcome", "starts_at"]


def time_to_live(store: Store, current: float, outdated: float) -> tuple[float | None, list[str]]:
    """The time to live that saves most calls while no more than a share of the prices used is outdated.

    The upper end of that share's 95 % interval has to stay below. Returns the value to take, None for the
    current one, and what was found as lines, the reason last.

    Raises
    ------
    ParameterError
        Where no sport has 60 calls in the log.
    """
    sports = _recorded(store)
    if not sports:
        raise ParameterError(
            f"what gets outdated is not known: the store’s log has no {_LEAST_CALLS} live calls for one sport"
        )
    many = sum(len(prices.columns) for prices in sports.values())
    lines = [f"seconds that a live answer stays fresh; {many:,} calls for {', '.join(sports)}"]
    calls: dict[float, int] = {}
    wrong: dict[float, tuple[float, float, float]] = {}
    for ttl in sorted({*VALUES, current}):
        blocks = np.concatenate([_replayed(prices, ttl) for prices in sports.values()])
        calls[ttl], wrong[ttl] = int(blocks[:, 1].sum()), _share(blocks[:, 2], blocks[:, 0])
        middle, low, high = (100 * one for one in wrong[ttl])
        lines.append(
            f"{ttl:>6g} s  {calls[ttl]:>6,} calls  {middle:.2g} % ({low:.2g} to {high:.2g}) outdated"
        )
    good = {ttl: number for ttl, number in calls.items() if wrong[ttl][2] <= outdated}
    # the shortest of those that save about as many
    best = next((ttl for ttl in good if good[ttl] <= min(good.values()) * (1 + _LEAST_GAIN)), current)
    saves = calls[best] < calls[current] / (1 + _LEAST_GAIN)
    if best != current and (saves or wrong[current][1] > outdated):
        said = f"{calls[best]:,} calls in place of {calls[current]:,}"
        return best, [*lines, f"{said}, with at most {100 * outdated:g} % of the prices outdated"]
    return None, [*lines, f"no other saves calls with at most {100 * outdated:g} % of the prices outdated"]


def _recorded(store: Store) -> dict[str, pd.DataFrame]:
    """Prices by sport: a row a selection, a column a call to The Odds API by its time, NaN where none stood.

    A price is known from the first call after it was collected, until the next of its kind.
    """
    log = store.read("requests", {"provider": "the-odds-api", "status": 200})
    sport = log["endpoint"].str.extract(r"/v4/sports/([a-z0-9_]+)/odds")[0]
    found = {}
    for name, mine in log.groupby(sport, sort=True):
        at = np.sort(microseconds(mine["at"]))[-_MOST_CALLS:]
        if len(at) < _LEAST_CALLS:
            continue
        quotes = store.read("quotes", {"competition": str(name), "source": "the-odds-api"})
        call = np.searchsorted(at, microseconds(quotes["collected_at"]))
        quotes = quotes.assign(call=call).fillna({"line": 0.0})[microseconds(quotes["starts_at"]) > at[0]]
        if len(quotes):
            # a withdrawn price is none, and stands as one
            shown = quotes.fillna({"price": np.inf}).pivot_table("price", _KEY, "call", "last", observed=True)
            prices = shown.reindex(columns=range(len(at))).ffill(axis=1).replace(np.inf, np.nan)
            found[str(name)] = prices.set_axis(at, axis=1)
    return found


def _replayed(prices: pd.DataFrame, ttl: float) -> Floats:
    """Calls, those that go out, and the sum of their shares of outdated prices, by block of calls."""
    times, true = prices.columns.to_numpy(), prices.to_numpy()
    asked: list[int] = []  # the call whose answer each one gets
    for call, at in enumerate(times):
        asked.append(asked[-1] if asked and at - times[asked[-1]] < 1e6 * ttl else call)
    shown = true[:, asked]
    # prices of events that have begun are nobody's loss
    starts = np.asarray(prices.index.get_level_values("starts_at"), "M8[us]").view(np.int64)
    offered = (starts[:, None] > times) & (np.isfinite(shown) | np.isfinite(true))
    # also what is there in one of them only: nothing equals NaN
    wrong = (offered & (shown != true)).sum(axis=0) / np.maximum(offered.sum(axis=0), 1)
    facts = np.column_stack([np.ones(len(times)), np.equal(asked, np.arange(len(times))), wrong])
    return np.array([block.sum(axis=0) for block in np.array_split(facts, _BLOCKS)])


def _share(part: Floats, of: Floats) -> tuple[float, float, float]:
    """Ratio of two sums over blocks, with its 95 % bootstrap interval."""
    draws = np.random.default_rng(0).integers(0, len(of), (_RESAMPLES, len(of)))
    low, high = np.quantile(part[draws].sum(axis=1) / of[draws].sum(axis=1), [0.025, 0.975])
    return float(part.sum() / of.sum()), float(low), float(high)
