"""Which value of a setting is fastest on this machine: a bounded search that never takes a value whose gain is within noise.

First the curve: every value in turns with the others. Then the best of it, in fresh pairs, against the value
that stands: the best of many looks better than it is, and samples that it was chosen by cannot tell by how
much.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.measure.paired import BETTER, LEAST_PAIRS, Change, compare, loop_of, quiet_pairs
from overround.perf.samples import in_turns
from overround.perf.worker import take

METRIC = "own_s"
LEAST_ROUNDS, MOST_ROUNDS = LEAST_PAIRS, 15
LEAST_FRESH, MOST_FRESH = 7, 20
_SLOWER = 1.25  # than it was when it was tried first
Run = Callable[[], object]
# opens the work with a value: the same work whatever the value, only its speed may differ
Open = Callable[[int], AbstractContextManager[Run]]


@dataclass(frozen=True)
class Tuned:
    """What a search found; `chosen` is None where the value that stands is left.

    `curve` has a row a value: value, shown (text), middle, low, high (of the metric, with its 95 % interval)
    and change (text, against the value that stands). `gain` is text with its interval, and `why` says in a
    sentence why that is so.
    """

    setting: str
    what: str
    unit: str
    current: float
    curve: pd.DataFrame
    chosen: float | None = None
    gain: str = ""
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
    threshold: float = 0.05,
    name: Callable[[int], str] = str,
) -> Tuned:
    """Measure some values of a setting, and choose one if it is better than the value that stands.

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
        The value that stands; measured as well.
    budget_s : float
        Seconds that may be spent.
    threshold : float
        A gain smaller than this share is none.
    name : callable
        How a value is shown.

    Raises
    ------
    ParameterError
        Where the budget does not pay for the current value and one other.
    """
    from contextlib import ExitStack

    ends = time.monotonic() + budget_s
    with ExitStack() as stack:
        works = {value: stack.enter_context(open_with(value)) for value in dict.fromkeys([current, *values])}
        first = {value: _first(work) for value, work in works.items()}
        works, left_out = _affordable(works, first, current, ends - time.monotonic(), setting)
        once = sum(first[value] for value in works)
        # half of what is left; the other half is for the fresh pairs
        half = (ends - time.monotonic()) / 2
        samples = _curve(works, int(np.clip(half / (_SLOWER * once), LEAST_ROUNDS, MOST_ROUNDS)), ends - half)
        order = [value for value in dict.fromkeys(values) if value in works and value != current]
        changes = {
            value: compare(_pair(samples, current, value), METRIC, threshold=threshold) for value in order
        }
        result = Tuned(setting, what, "ms", current, _rows(samples, [*works], changes, name), notes=left_out)
        best = _best(changes, threshold)
        if best is None:
            return replace(result, why="no value is better than the one that stands by more than noise")
        each = _SLOWER * (first[current] + first[best])
        pairs = int(np.clip((ends - time.monotonic()) / each, LEAST_FRESH, MOST_FRESH))
        fresh = compare(
            in_turns(setting, works[current], works[best], pairs=pairs, warm=False),
            METRIC,
            threshold=threshold,
        )
    if fresh.verdict != BETTER:
        return replace(
            result,
            why=f"{name(best)} looked best, but {pairs} fresh pairs say {fresh.change()}: within noise",
        )
    return replace(result, chosen=best, gain=fresh.change(), why=f"{fresh.change()} in {pairs} fresh pairs")


def _first(work: Run) -> float:
    """Seconds of the work, once it has been done once."""
    began = time.perf_counter()
    work()
    if time.perf_counter() - began < 1.0:
        began = time.perf_counter()
        work()
    return time.perf_counter() - began + 0.03  # and the calibration loops beside it


def _affordable(
    works: Mapping[int, Run], first: Mapping[int, float], current: int, left_s: float, setting: str
) -> tuple[dict[int, Run], list[str]]:
    """The values that the budget pays for, and a note on those that it does not: the slowest are left out."""
    kept = dict(works)

    def needs() -> float:
        slowest = max(first[value] for value in kept)
        return _SLOWER * (
            LEAST_ROUNDS * sum(first[value] for value in kept) + LEAST_FRESH * (first[current] + slowest)
        )

    left_out = []
    while len(kept) > 1 and needs() > left_s:
        slowest = max((value for value in kept if value != current), key=lambda value: first[value])
        kept.pop(slowest)
        left_out.append(
            f"{slowest:,} was left out: the budget does not pay for it ({first[slowest]:.2g} s each time)"
        )
    if len(kept) < 2:
        least = _SLOWER * (LEAST_ROUNDS + LEAST_FRESH) * (first[current] + min(first.values()))
        raise ParameterError(
            f"{max(left_s, 0):.0f} s are left to measure {setting}; it takes about {least:.0f} s at least."
        )
    return kept, left_out


def _curve(works: Mapping[int, Run], rounds: int, until: float) -> pd.DataFrame:
    """Samples of all values in turns, another one first each round; a machine that has become slower gives fewer."""
    order = list(works)
    rows = []
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.monotonic() > until:
            break
        at = number % len(order)
        rows += [{"pair": number, "value": value, **take(works[value])} for value in order[at:] + order[:at]]
    return pd.DataFrame(rows)


def _pair(samples: pd.DataFrame, current: int, value: int) -> pd.DataFrame:
    two = samples[samples["value"].isin([current, value])]
    return two.assign(side=np.where(two["value"] == current, "A", "B"), workload=str(value))


def _best(changes: Mapping[int, Change], threshold: float) -> int | None:
    """Of the values that are better, the first that is as good as the best but for the threshold."""
    better = {value: one.ratio for value, one in changes.items() if one.verdict == BETTER}
    return next(
        (value for value, ratio in better.items() if ratio <= min(better.values()) * (1 + threshold)), None
    )


def _rows(
    samples: pd.DataFrame, values: list[int], changes: Mapping[int, Change], name: Callable[[int], str]
) -> pd.DataFrame:
    rows = []
    for value in sorted(values):
        mine = samples[samples["value"] == value]
        # as taken: at the speed of its own loop a value's interval would leave out how unsure that speed is
        quiet = mine[METRIC].to_numpy(float)[quiet_pairs(mine[[loop_of(samples, METRIC)]].to_numpy(float))]
        draws = np.random.default_rng(0).integers(0, len(quiet), (4000, len(quiet)))
        low, high = np.quantile(np.median(quiet[draws], axis=1), [0.025, 0.975])
        change = f"{changes[value].change()}, {changes[value].verdict}" if value in changes else "stands now"
        rows.append(
            {
                "value": value,
                "shown": name(value),
                "middle": 1000 * np.median(quiet),
                "low": 1000 * low,
                "high": 1000 * high,
                "change": change,
            }
        )
    return pd.DataFrame(rows)


def lines_of(tuned: Tuned) -> list[str]:
    """The curve and what follows from it, as lines of text with a bar a value."""
    curve, widest = tuned.curve, 24
    lines = [f"{tuned.setting}: {tuned.what}"]
    if len(curve):
        width = max(map(len, curve["shown"]))
        top = max(curve["high"].max(), 1e-9)
        for row in curve.itertuples(index=False):
            bar = "█" * max(1, round(widest * row.middle / top)) if row.middle > 0 else ""
            middle, low, high = (
                f"{one:,.0f}" if one >= 100 else f"{one:.3g}" for one in (row.middle, row.low, row.high)
            )
            figure = f"{middle} {tuned.unit} ({low} to {high})"
            lines.append(f"  {row.shown:>{width}}  {bar:<{widest}}  {figure:<30}  {row.change}".rstrip())
    lines += [f"  {note}." for note in tuned.notes]
    verdict = f"{tuned.current:g} stays" if tuned.chosen is None else f"{tuned.current:g} -> {tuned.chosen:g}"
    return [*lines, f"  {verdict}: {tuned.why}."]
