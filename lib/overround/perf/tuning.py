"""Which value of a setting is fastest on this machine; a gain within noise changes nothing.

First the curve: every value in turns with the others. Then the best of it against the current value, in fresh
pairs: the best of many looks better than it is, and the samples it was chosen by cannot tell by how much.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.measure.paired import BETTER, LEAST_PAIRS, Change, compare, loop_of, quiet_pairs
from overround.perf.samples import in_turns
from overround.perf.worker import take

METRIC, THRESHOLD = "own_s", 0.05
_ROUNDS, _FRESH = (LEAST_PAIRS, 15), (7, 20)  # least and most
_SLOWER = 1.25  # than when it was first tried
Run = Callable[[], object]
# opens the work with a value: only its speed may depend on the value
Open = Callable[[int], AbstractContextManager[Run]]


@dataclass(frozen=True)
class Tuned:
    """Result of a search; `chosen` is None where the current value stays, and `why` says why in a sentence.

    `curve` has a row a value: value, shown (text), middle, low, high (of the metric, with its 95 % interval)
    and change (text, against the current value).
    """

    setting: str
    what: str
    unit: str
    current: float
    curve: pd.DataFrame
    chosen: float | None = None
    why: str = ""
    notes: list[str] = field(default_factory=list)


def search(
    setting: str,
    what: str,
    open_with: Open,
    values: Iterable[int],
    current: int,
    *,
    budget_s: float,
    name: Callable[[int], str] = str,
) -> Tuned:
    """Measure some values of a setting, and choose one if it is better than the current value.

    Parameters
    ----------
    setting, what : str
        The field of `Settings`, and what is done with it.
    open_with : callable
        Value -> context that gives the work.
    values : iterable of int
        In order of what they cost otherwise (memory, politeness): of several that are as fast the first is
        taken.
    current : int
        Measured as well.
    budget_s : float
        Seconds that may be spent.
    name : callable
        How a value is shown.

    Raises
    ------
    ParameterError
        Where the budget does not pay for the current value and one other.
    """
    ends = time.monotonic() + budget_s
    with ExitStack() as stack:
        works = {value: stack.enter_context(open_with(value)) for value in dict.fromkeys([current, *values])}
        cost = {value: _seconds(work) for value, work in works.items()}
        works, notes = _affordable(works, cost, current, ends - time.monotonic(), setting)
        half = (ends - time.monotonic()) / 2  # the other half is for the fresh pairs
        rounds = half / (_SLOWER * sum(cost[value] for value in works))
        samples = _curve(works, int(np.clip(rounds, *_ROUNDS)), ends - half)
        others = [value for value in dict.fromkeys(values) if value in works and value != current]
        changes = {value: _change(samples, current, value) for value in others}
        found = Tuned(setting, what, "ms", current, _rows(samples, changes, name), notes=notes)
        best = _best(changes)
        if best is None:
            return replace(found, why="no value is better than the one that stands by more than noise")
        pairs = (ends - time.monotonic()) / (_SLOWER * (cost[current] + cost[best]))
        fresh_samples = in_turns(
            setting, works[current], works[best], pairs=int(np.clip(pairs, *_FRESH)), warm=False
        )
    fresh = compare(fresh_samples, METRIC, threshold=THRESHOLD)
    count = fresh.pairs + fresh.set_aside
    if fresh.verdict != BETTER:
        why = f"{name(best)} looked best, but {count} fresh pairs say {fresh.change()}: within noise"
        return replace(found, why=why)
    return replace(found, chosen=best, why=f"{fresh.change()} in {count} fresh pairs")


def lines_of(tuned: Tuned) -> list[str]:
    """The curve and what follows from it, as lines of text with a bar a value."""
    curve, widest = tuned.curve, 24
    lines = [f"{tuned.setting}: {tuned.what}"]
    for row in curve.itertuples(index=False):
        bar = "█" * round(max(widest * row.middle / max(curve["high"].max(), 1e-9), row.middle > 0))
        middle, low, high = (
            f"{one:,.0f}" if one >= 100 else f"{one:.3g}" for one in (row.middle, row.low, row.high)
        )
        figure = f"{middle} {tuned.unit} ({low} to {high})"
        shown = row.shown.rjust(curve["shown"].str.len().max())
        lines.append(f"  {shown}  {bar:<{widest}}  {figure:<30}  {row.change}".rstrip())
    lines += [f"  {note}." for note in tuned.notes]
    verdict = f"{tuned.current:g} stays" if tuned.chosen is None else f"{tuned.current:g} -> {tuned.chosen:g}"
    return [*lines, f"  {verdict}: {tuned.why}."]


def _seconds(work: Run) -> float:
    """Seconds of the work with its calibration loops; a short one is done twice, the first time uncounted."""
    for _ in range(2):
        began = time.perf_counter()
        work()
        if (took := time.perf_counter() - began) >= 1.0:
            break
    return took + 0.03


def _affordable(
    works: Mapping[int, Run], cost: Mapping[int, float], current: int, left_s: float, setting: str
) -> tuple[dict[int, Run], list[str]]:
    """The values that the budget pays for, and a note on each that was left out, the slowest first."""
    kept, notes = dict(works), []

    def needed() -> float:
        fresh = _FRESH[0] * (cost[current] + max(cost[value] for value in kept))
        return _SLOWER * (_ROUNDS[0] * sum(cost[value] for value in kept) + fresh)

    while len(kept) > 1 and needed() > left_s:
        slowest = max(kept.keys() - {current}, key=lambda value: cost[value])
        kept.pop(slowest)
        notes.append(
            f"{slowest:,} was left out: the budget does not pay for it ({cost[slowest]:.2g} s each time)"
        )
    if len(kept) < 2:
        least = _SLOWER * (_ROUNDS[0] + _FRESH[0]) * (cost[current] + min(cost.values()))
        raise ParameterError(
            f"{max(left_s, 0):.0f} s are left to measure {setting}; it takes about {least:.0f} s at least."
        )
    return kept, notes


def _curve(works: Mapping[int, Run], rounds: int, until: float) -> pd.DataFrame:
    """Samples of all values in turns, each round beginning with another; fewer if the machine slows down."""
    order, rows = list(works), []
    for number in range(rounds):
        if number >= _ROUNDS[0] and time.monotonic() > until:
            break
        at = number % len(order)
        rows += [{"pair": number, "value": value, **take(works[value])} for value in order[at:] + order[:at]]
    return pd.DataFrame(rows)


def _change(samples: pd.DataFrame, current: int, value: int) -> Change:
    two = samples[samples["value"].isin([current, value])]
    return compare(two.assign(side=np.where(two["value"] == current, "A", "B")), METRIC, threshold=THRESHOLD)


def _best(changes: Mapping[int, Change]) -> int | None:
    """Of the values that are better, the first that is as good as the best but for the threshold."""
    better = {value: change.ratio for value, change in changes.items() if change.verdict == BETTER}
    good = (value for value, ratio in better.items() if ratio <= min(better.values()) * (1 + THRESHOLD))
    return next(good, None)


def _rows(samples: pd.DataFrame, changes: Mapping[int, Change], name: Callable[[int], str]) -> pd.DataFrame:
    rows = []
    for value, mine in samples.groupby("value"):
        # as taken: at the speed of its own loop a value's interval would leave out how unsure that speed is
        quiet = mine[METRIC].to_numpy(float)[quiet_pairs(mine[[loop_of(samples, METRIC)]].to_numpy(float))]
        draws = np.random.default_rng(0).integers(0, len(quiet), (4000, len(quiet)))
        low, high = 1000 * np.quantile(np.median(quiet[draws], axis=1), [0.025, 0.975])
        change = changes.get(value)
        rows.append(
            {
                "value": value,
                "shown": name(value),
                "middle": 1000 * np.median(quiet),
                "low": low,
                "high": high,
                "change": f"{change.change()}, {change.verdict}" if change else "stands now",
            }
        )
    return pd.DataFrame(rows)
