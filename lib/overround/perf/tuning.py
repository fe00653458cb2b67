"""Which values of a few settings are best on this machine, each by the library's own work that it steers.

Every value is measured in turns with the one that stands. The best of many looks better than it is, so it is
measured again in fresh pairs, and a gain within noise changes nothing. Data are invented, and the provider is
a server on loopback.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.measure.paired import BETTER, compare, compare_all, comparison_lines
from overround.measure.procfs import cores
from overround.perf.experiment_data import simulated_provider
from overround.perf.samples import in_turns
from overround.perf.tune_ttl import time_to_live
from overround.perf.worker import take
from overround.perf.workloads import quotes
from overround.schema import COLLECTED
from overround.settings import Settings
from overround.sources.base import Batch
from overround.store.store import Store

SETTINGS = ("batch_rows", "fetch_workers", "live_ttl", "processes")
_METRIC, _THRESHOLD = "own_s", 0.05
_PAIRS = (7, 15)  # least and most
_SLOWER, _LOOPS_S = 1.25, 0.03  # than when first tried, allowed for in the budget; of the calibration
_ANSWERS, _MATCHES = 12, 20  # of 720 prices each, as one call for a league with 12 bookmakers gives
_CALLS, _LATENCY_S, _LEAST_LATENCIES = 16, 0.1, 20
_LEAGUES, _LEAGUE_MATCHES, _LEAST_ROWS, _MOST_ROWS = 4, 120, 100_000, 3_000_000
Run = Callable[[], object]
Found = tuple[float | None, list[str]]  # the value to take, None for the current one; lines, the reason last


@dataclass(frozen=True)
class Trial:
    """Values in order of what they cost otherwise (memory, politeness), and what opens the work with one."""

    what: str
    choices: tuple[int, ...]
    open_with: Callable[[int], AbstractContextManager[Run]]
    label: Callable[[int], str] = "{:,}".format


def tune(
    names: tuple[str, ...], settings: Settings, *, budget_s: float, latency_s: float, outdated: float
) -> Iterator[tuple[str, Found]]:
    """Tune one setting after the other; what one leaves of its share of the budget, the others may use.

    A setting that cannot be measured, because the budget is too small or nothing is recorded, stays as it is.
    `latency_s` is the distance of the provider (0: as the store's log says), and `outdated` the share of the
    prices used that may be outdated.
    """
    for name in names:
        if name not in SETTINGS:
            raise ParameterError(f"setting {name!r} cannot be tuned; these can: {', '.join(SETTINGS)}.")
    if not 0 < outdated < 1:
        raise ParameterError(f"outdated is {outdated:g}; it is a share above 0 and below 1, e.g. 0.01.")
    ends = time.monotonic() + budget_s
    trials: dict[str, Callable[[Settings, Path], AbstractContextManager[Trial]]] = {
        "batch_rows": storing,
        "fetch_workers": partial(fetching, latency_s=latency_s),
        "processes": partitioned,
    }
    for number, name in enumerate(names):
        now, current = time.monotonic(), getattr(settings, name)
        until = now + (ends - now) / (len(names) - number)
        try:
            if name == "live_ttl":
                yield name, time_to_live(Store(settings.store_root), current, outdated)
                continue
            with tempfile.TemporaryDirectory() as folder, trials[name](settings, Path(folder)) as trial:
                yield name, search(trial, current, until)
        except ParameterError as error:
            yield name, (None, ["not measured", str(error)])


def search(trial: Trial, current: int, until: float) -> Found:
    """The first of the values that are better than the current one by about as much as the best of them."""
    lines, label = [trial.what, f"each value in turns with {trial.label(current)}:"], trial.label
    with ExitStack() as stack:
        works = {
            value: stack.enter_context(trial.open_with(value))
            for value in dict.fromkeys([current, *trial.choices])
        }
        for work in works.values():
            work()  # compilers, caches, imports
        cost = {value: take(work)["wall_s"] + _LOOPS_S for value, work in works.items()}
        others, left_s = list(works)[1:], until - time.monotonic()

        def pair_s() -> float:
            """Seconds of a pair for each value, and of one more for the fresh pairs."""
            each = [cost[current] + cost[value] for value in others]
            return _SLOWER * (sum(each) + max(each))

        while left_s < _PAIRS[0] * (needed := pair_s()):
            if len(others) == 1:
                least = _PAIRS[0] * needed
                raise ParameterError(f"{max(left_s, 0):.0f} s are left for it; it takes about {least:.0f} s")
            others.remove(slowest := max(others, key=cost.__getitem__))
            lines.append(f"{label(slowest)} was left out: the budget does not pay for it")
        pairs = int(min(left_s / needed, _PAIRS[1]))

        def measured(value: int) -> pd.DataFrame:
            return in_turns(label(value), works[current], works[value], pairs=pairs, warm=False)

        table = compare_all(pd.concat(map(measured, others)), (_METRIC,), threshold=_THRESHOLD)
        lines += comparison_lines(table)
        ratios = table["ratio"].where(table["verdict"] == BETTER, np.inf).to_numpy()
        if np.isinf(ratios).all():
            return None, [*lines, "no value is better than the one that stands by more than noise"]
        best = others[int(np.argmax(ratios <= ratios.min() * (1 + _THRESHOLD)))]
        fresh = compare(measured(best), _METRIC, threshold=_THRESHOLD)
    said = f"{fresh.change()} in {pairs} fresh pairs"
    if fresh.verdict == BETTER:
        return best, [*lines, said]
    return None, [*lines, f"{label(best)} looked best, but it is {said}: within noise"]


@contextmanager
def storing(settings: Settings, folder: Path) -> Iterator[Trial]:
    """Store small answers as a collection does, in a new store each time."""
    from overround.collection.collector import Gathering
    from overround.measure.meter import Meter

    prices, numbers = quotes(_MATCHES, times=_ANSWERS), count()
    looks = prices.groupby(prices["starts_at"] - prices["observed_at"], sort=False)
    answers = [Batch(prices.head(0), rows.reset_index(drop=True), prices.head(0)) for _, rows in looks]

    def store(batch_rows: int) -> None:
        root = folder / f"store-{next(numbers)}"
        kinds = ["inserted", "updated", "unchanged"]
        totals = pd.DataFrame(0, index=list(COLLECTED), columns=kinds)
        gathering = Gathering(Store(root), Meter("tune"), totals, batch_rows, changes_only=True)
        for answer in answers:
            gathering.add(answer)
        gathering.store_all()
        for error in gathering.failed.values():
            raise error
        shutil.rmtree(root)

    @contextmanager
    def open_with(batch_rows: int) -> Iterator[Run]:
        yield partial(store, batch_rows)

    what = (
        f"rows that a collection gathers before it stores them; {_ANSWERS} answers of {36 * _MATCHES} prices"
    )
    yield Trial(what, (0, 2_000, 5_000, 10_000), open_with)


@contextmanager
def fetching(settings: Settings, folder: Path, *, latency_s: float) -> Iterator[Trial]:
    """Ask for answers that are not in the cache, no faster than The Odds API allows."""
    from overround.http.client import Fetcher
    from overround.sources.the_odds_api.client import INTERVAL_S
    from overround.sources.the_odds_api.parser import SOURCE

    whence = "as asked"
    if not latency_s:
        log = Store(settings.store_root).read("requests", {"provider": SOURCE, "from_cache": False})
        waits = log.loc[log["status"] == 200, "latency_s"]
        latency_s, whence = _LATENCY_S, f"as usual: the store’s log has no {_LEAST_LATENCIES} calls"
        if len(waits) >= _LEAST_LATENCIES:
            latency_s = float(np.clip(waits.median(), 0.001, 10.0))
            whence = f"the median of {len(waits):,} calls in the store’s log"
    with simulated_provider(latency_s, _CALLS) as (url, calls):

        @contextmanager
        def open_with(workers: int) -> Iterator[Run]:
            place, secrets = folder / f"cache-{workers}", {"apiKey": "simulated"}
            with Fetcher(
                SOURCE, url, place, min_interval_s=INTERVAL_S, secrets=secrets, workers=workers
            ) as fetcher:
                yield lambda: list(fetcher.get_many(calls, ttl=0))

        what = f"{_CALLS} calls of {1000 * latency_s:.0f} ms ({whence}), at most 25 a second"
        yield Trial(f"calls on their way together; {what}", (1, 2, 4, 8, 16), open_with)


@contextmanager
def partitioned(settings: Settings, folder: Path) -> Iterator[Trial]:
    """Make signals of each competition's season, in a number of processes."""
    from overround.parallel.partitions import map_partitions

    here = cores()
    store, where, which = partitions(Store(settings.store_root), folder)
    numbers = {1, here, *(2**power for power in range(8) if 2**power <= 2 * here)}

    @contextmanager
    def open_with(workers: int) -> Iterator[Run]:
        some = workers or here
        yield lambda: map_partitions(store, _signals, ["quotes"], where, scheduler="", workers=some)

    yield Trial(
        f"processes that work on partitions; signals of {which}, the start of the processes counted",
        tuple(sorted(numbers - ({here} if settings.processes == 0 else set()))),
        open_with,
        lambda number: f"{number}" if number else f"0 (here {here})",
    )


def partitions(store: Store, folder: Path) -> tuple[Store, dict[str, list[str]], str]:
    """A store's partitions in the seasons with most prices, in words too; invented ones where it has few."""
    from overround.parallel.partitions import partition_sizes

    rows = partition_sizes(store, ["quotes"])["rows"]
    if len(rows) < 2 or rows.sum() < _LEAST_ROWS:
        invented = Store(folder)
        for number in range(_LEAGUES):
            invented.append("quotes", quotes(_LEAGUE_MATCHES).assign(competition=f"L{number}"))
        return invented, {}, f"{_LEAGUES} invented leagues of {720 * _LEAGUE_MATCHES:,} prices"
    seasons = rows.groupby("season").sum().sort_values(ascending=False, kind="stable")
    chosen = seasons.index[: max(1, int((seasons.cumsum() <= _MOST_ROWS).sum()))].tolist()
    mine = rows[rows.index.get_level_values("season").isin(chosen)]
    return store, {"season": chosen}, f"{len(mine):,} partitions of the store, {mine.sum():,.0f} prices"


def _signals(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    from overround.signals.value import value_signals

    prices = tables["quotes"]
    return value_signals(prices, reference=prices["bookmaker"].value_counts().idxmax(), min_edge=0.01)
