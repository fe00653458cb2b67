"""The settings that `overround perf tune` measures, each by the library's own work that it steers.

Data are invented, and the provider is a server on loopback.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import pandas as pd

from overround.errors import ParameterError
from overround.measure.procfs import cores
from overround.perf.experiment_data import Call, simulated_provider
from overround.perf.tuning import Run, Tuned, search
from overround.perf.workloads import quotes
from overround.settings import Settings
from overround.sources.base import Batch
from overround.store.store import Store

_ANSWERS, _MATCHES = 12, 20  # of 720 prices each, as one call for a league with 12 bookmakers gives
_CALLS, _LEAGUES, _LEAGUE_MATCHES = 16, 4, 120
_LEAST_ROWS, _MOST_ROWS = 100_000, 3_000_000
_LEAST_LATENCIES, _USUAL_LATENCY_S = 20, 0.1
# share of the budget; processes take seconds to start
_SHARES = {"batch_rows": 0.2, "fetch_workers": 0.25, "live_ttl": 0.05, "processes": 0.5}
SETTINGS = tuple(_SHARES)


@dataclass(frozen=True)
class TuningPlan:
    """Which settings to tune, and how.

    `latency_s` is the distance of the provider (0: as the store's log says), `feed` a folder of recorded
    answers, by default the calls in the store's log, and `outdated` the share of the prices used that may be
    outdated.
    """

    settings: tuple[str, ...] = SETTINGS
    budget_s: float = 600.0
    latency_s: float = 0.0
    feed: str = ""
    outdated: float = 0.01

    def __post_init__(self) -> None:
        for name in self.settings:
            if name not in SETTINGS:
                raise ParameterError(f"setting {name!r} cannot be tuned; these can: {', '.join(SETTINGS)}.")
        if not 0 <= self.latency_s <= 10:
            raise ParameterError(
                f"a latency of {1000 * self.latency_s:g} ms cannot be measured with; "
                "it is from 0 to 10,000 ms."
            )
        if not 0 < self.outdated < 1:
            raise ParameterError(
                f"outdated is {self.outdated:g}; it is a share above 0 and below 1, e.g. 0.01."
            )


def tune(plan: TuningPlan, settings: Settings) -> Iterator[Tuned]:
    """Measure one setting after the other; what one leaves of its share of the budget, the next may use.

    A setting that cannot be measured, because the budget is too small or nothing is recorded, stays as it is,
    and `why` says so.
    """
    ends = time.monotonic() + plan.budget_s
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(plan.settings):
            share = _SHARES[name] / sum(_SHARES[later] for later in plan.settings[number:])
            current = getattr(settings, name)
            work = Path(folder) / name
            try:
                yield _TUNE[name](plan, settings, current, work, share * (ends - time.monotonic()))
            except ParameterError as error:
                yield Tuned(name, "not measured", "", current, pd.DataFrame(), why=str(error).rstrip("."))


def _batch_rows(plan: TuningPlan, settings: Settings, current: int, folder: Path, budget_s: float) -> Tuned:
    what = (
        f"rows that a collection gathers before it stores them; {_ANSWERS} answers of {36 * _MATCHES} prices"
    )
    values = (0, 2_000, 5_000, 10_000)
    return search(
        "batch_rows",
        what,
        partial(storing, folder),
        values,
        current,
        budget_s=budget_s,
        name=lambda rows: f"{rows:,}" if rows else "each answer",
    )


def _fetch_workers(
    plan: TuningPlan, settings: Settings, current: int, folder: Path, budget_s: float
) -> Tuned:
    latency_s, whence = (plan.latency_s, "as asked") if plan.latency_s else _latency(settings)
    what = (
        f"calls on their way together; {_CALLS} calls of {1000 * latency_s:.0f} ms ({whence}), "
        "at most 25 a second"
    )
    with simulated_provider(latency_s, _CALLS) as (url, calls):
        work = partial(fetching, folder, url, calls)
        return search("fetch_workers", what, work, (1, 2, 4, 8, 16), current, budget_s=budget_s)


def _live_ttl(plan: TuningPlan, settings: Settings, current: float, folder: Path, budget_s: float) -> Tuned:
    from overround.perf.tune_ttl import LEAST_CALLS, from_feed, from_store, time_to_live

    records = from_feed(settings.home / plan.feed) if plan.feed else from_store(Store(settings.store_root))
    if not records:
        raise ParameterError(
            "what gets outdated is not known: "
            f"the store’s log has no {LEAST_CALLS} live calls for one sport, and --feed names no answers"
        )
    return time_to_live(records, current, outdated=plan.outdated)


def _processes(plan: TuningPlan, settings: Settings, current: int, folder: Path, budget_s: float) -> Tuned:
    began = time.monotonic()
    store, where, which = partitions(Store(settings.store_root), folder)
    here = cores()
    powers = sorted({1, here, *(2**power for power in range(8) if 2**power <= 2 * here)})
    current = 0 if current == here else current
    return search(
        "processes",
        f"processes that work on partitions; signals of {which}, the start of the processes counted",
        partial(partitioned, store, where),
        [0 if one == here and not current else one for one in powers],
        current,
        budget_s=budget_s - (time.monotonic() - began),
        name=lambda number: f"{number:,}" if number else f"0 (one a core: {here})",
    )


_TUNE: dict[str, Callable[[TuningPlan, Settings, int, Path, float], Tuned]] = {
    "batch_rows": _batch_rows,
    "fetch_workers": _fetch_workers,
    "live_ttl": _live_ttl,
    "processes": _processes,
}


def _latency(settings: Settings) -> tuple[float, str]:
    """Seconds that The Odds API took to answer: of calls in the store's log, or as is usual."""
    calls = Store(settings.store_root).read("requests", {"provider": "the-odds-api", "from_cache": False})
    waits = calls.loc[calls["status"] == 200, "latency_s"]
    if len(waits) < _LEAST_LATENCIES:
        return _USUAL_LATENCY_S, f"a usual distance: the store’s log has no {_LEAST_LATENCIES} calls"
    median = float(waits.median())
    return min(max(median, 0.001), 10.0), f"the median of {len(waits):,} calls in the store’s log"


@contextmanager
def storing(folder: Path, batch_rows: int) -> Iterator[Run]:
    """Store small answers as a collection does, in a new store each time."""
    from overround.collection.collector import Gathering
    from overround.measure.meter import Meter

    answers, numbers = _answers(), count()

    def run() -> None:
        root = folder / f"store-{batch_rows}-{next(numbers)}"
        totals = pd.DataFrame(
            0, index=["events", "quotes", "results"], columns=["inserted", "updated", "unchanged"]
        )
        gathering = Gathering(Store(root), Meter("tune"), totals, batch_rows, changes_only=True)
        for answer in answers:
            gathering.add(answer)
        gathering.store_all()
        shutil.rmtree(root)

    yield run


@contextmanager
def fetching(folder: Path, url: str, calls: list[Call], workers: int) -> Iterator[Run]:
    """Ask for answers that are not in the cache, no faster than The Odds API allows."""
    from overround.http.client import Fetcher
    from overround.sources.the_odds_api.client import INTERVAL_S
    from overround.sources.the_odds_api.parser import SOURCE

    secrets = {"apiKey": "simulated"}
    with Fetcher(
        SOURCE, url, folder / f"cache-{workers}", min_interval_s=INTERVAL_S, secrets=secrets, workers=workers
    ) as fetcher:
        yield lambda: sum(1 for _ in fetcher.get_many(calls, ttl=0))


@contextmanager
def partitioned(store: Store, where: dict[str, list[str]], workers: int) -> Iterator[Run]:
    """Make signals of each competition's season of a store, in a number of processes."""
    from overround.parallel.partitions import map_partitions

    yield lambda: map_partitions(store, _signals, ["quotes"], where, scheduler="", workers=workers or cores())


def partitions(store: Store, folder: Path) -> tuple[Store, dict[str, list[str]], str]:
    """Partitions to work on, and their description: a store's own, in the seasons with most prices.

    Where it has few, invented ones.
    """
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


def _answers() -> list[Batch]:
    prices = quotes(_MATCHES, times=_ANSWERS)
    nothing = prices.head(0)
    looks = prices.groupby(prices["starts_at"] - prices["observed_at"], sort=False)
    return [Batch(nothing, answer.reset_index(drop=True), nothing) for _, answer in looks]


def _signals(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    from overround.signals.value import value_signals

    prices = tables["quotes"]
    return value_signals(prices, reference=prices["bookmaker"].value_counts().idxmax(), min_edge=0.01)
