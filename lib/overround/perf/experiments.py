"""Before and after: the naive ways of `benchmarks/naive.py` in turns with the library's, on simulated or recorded answers.

Answers come over loopback from a server in a process of its own: a simulated market's, or recorded ones in
order of time.
"""

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.http.client import FOREVER, Fetcher
from overround.measure.meter import Meter, request_figures
from overround.measure.paired import Change, compare, difference, pairs_of
from overround.perf.samples import in_turns
from overround.perf.workloads import BOOK_SEED, book, quotes
from overround.settings import Settings, load_settings
from overround.sources.the_odds_api.parser import SOURCE, parse_many
from overround.store.store import Store

Run = Callable[[], object]
Call = tuple[str, dict[str, str]]
# name -> module of the library; before / after are said in the name
EXPERIMENTS = {
    "cache off / on": "collector",
    "one by one / pooled fetches": "collector",
    "row by row / batch insert": "collector",
    "whole answers / only changes": "collector",
    "loop / vectorised signals": "signals",
    "loop / compiled backtest": "backtest",
    "cold / warm kernels": "overall",
}
TOGETHER = "all together"
METRICS = {
    "wall_s": ("runtime", "ms", 1000.0),
    "calls_per_s": ("throughput", "calls a second", 1.0),
    "own_s": ("own time", "ms", 1000.0),
    "cpu_s": ("processor time", "ms", 1000.0),
    "peak_mb": ("memory", "MB", 1.0),
    "latency_ms": ("median API latency", "ms", 1.0),
    "io_wait_s": ("I/O wait", "ms", 1000.0),
    "thread_efficiency": ("thread efficiency", "%", 100.0),
    "calls": ("API calls", "", 1.0),
}
_CLOCK_S = 1e-3  # shorter waits are the clock's noise
_LATENCY_S, _CALLS, _WORKERS, _ROWS, _EVENTS, _PRICES, _BETS = 0.01, 12, 6, 6, 4, 3_000, 2_000
# of the bankroll on each bet: so little that all bets of a moment can be paid, which the loop takes for
# granted
_SHARE = 1e-4
_SEED = 7  # of drawn results
# sums over experiments, but for what does not add up
_SUMS = {
    "wall_s": "sum",
    "own_s": "sum",
    "cpu_s": "sum",
    "io_wait_s": "sum",
    "peak_mb": "max",
    "calls": "sum",
    "latency_ms": "mean",
    "thread_efficiency": "mean",
    "workers": "mean",
    "calibration_s": "median",
    "calibration_own_s": "median",
}


@dataclass(frozen=True)
class _Material:
    """What the experiments work on: a provider on loopback, what it is asked for, and prices, bets and results."""

    source: str
    url: str
    calls: list[Call]
    prices: pd.DataFrame
    bets: pd.DataFrame
    results: pd.DataFrame


def run(
    shown: pd.DataFrame,
    *,
    feed: Path | str = "",
    answers: int = 40,
    pairs: int = 5,
    cold_kernels: bool = False,
    settings: Settings | None = None,
) -> pd.DataFrame:
    """Samples of all experiments, as `overround.perf.in_turns` gives them.

    Parameters
    ----------
    shown : DataFrame
        Quotes with clock times for the signals, as `Store.read` gives them; where there are none, simulated
        ones.
    feed : Path or str
        Folder of recorded answers of The Odds API (`overround.sources.replay`), below `settings.home` where
        it is relative: in place of the simulated market and of `shown`. Who won is not in such answers:
        results of the bets are drawn, with a seed, from the prices.
    answers : int
        Of the feed, evenly spaced from its first to its last.
    pairs : int
        Samples of each way.
    cold_kernels : bool
        Also start Jupyter kernels afresh and from a warmed process, which takes some seconds each.
    settings : Settings, optional
        By default those of this environment.

    Raises
    ------
    ParameterError
        Where this is no checkout with `benchmarks/naive.py`, or the feed is none.
    """
    settings = settings or load_settings()
    naive, samples = _benchmark("naive", settings), []
    material = _recorded(settings.home / feed, answers) if str(feed) else _simulated(shown)
    with (
        tempfile.TemporaryDirectory() as folder,
        material as given,
        _fetcher(given, Path(folder) / "cache") as fetcher,
    ):
        ways = {
            **_fetching(naive, given, fetcher),
            **_storing(naive, given, fetcher, Path(folder)),
            **_computing(naive, given),
        }
        for name, (before, after) in ways.items():
            samples.append(in_turns(name, before, after, pairs=pairs))
    if cold_kernels:
        with _kernels(settings) as (cold, warm):
            samples.append(in_turns("cold / warm kernels", cold, warm, pairs=pairs, warm=False))
    return pd.concat(samples, ignore_index=True)


def iterations(
    number: int, settings: Settings | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """So many iterations of a run's stages from an empty store, and as many on the filled one, by `benchmarks/iterations.py`.

    Parameters
    ----------
    number : int
        At least 5, so that what the stages took can be compared.
    settings : Settings, optional
        By default those of this environment; the store is one of its own, which is removed.

    Returns
    -------
    facts, samples, growth : DataFrame
        A row an iteration; samples as of `run`, side A from the empty store and B on the filled one; a row a
        table of that store.
    faults : list of str
        Sentences on what differs, was doubled, or grew without reason; empty where all is well.

    Raises
    ------
    ParameterError
        Where this is no checkout with `benchmarks/iterations.py`.
    """
    benchmark = _benchmark("iterations", settings or load_settings())
    with tempfile.TemporaryDirectory() as folder:
        facts, samples = benchmark.iterations(Path(folder), number)
    return facts, samples, benchmark.growth(facts), benchmark.faults(facts)


def material(feed: Path | str = "", answers: int = 40) -> str:
    """Where the answers, prices, bets and results of `run` come from, and which seeds are in them, in words for a report."""
    intervals = "Intervals are bootstrapped over pairs with seed 0."
    if not str(feed):
        return f"Answers and prices are those of the simulated market; bets and results are drawn with seed {BOOK_SEED}. {intervals}"
    return (
        f"Answers and prices are {answers} recorded answers of The Odds API. Who won is not in them, so results of the bets are drawn with "
        f"seed {_SEED} from the last prices without their margins: they serve to time a backtest and say nothing of a yield. {intervals}"
    )


def by_module(
    samples: pd.DataFrame, modules: Mapping[str, str] = EXPERIMENTS, *, threshold: float = 0.05
) -> dict[str, pd.DataFrame]:
    """A table for each module and one of all.

    Parameters
    ----------
    samples : DataFrame
        Of `run`, or of `overround.perf.measure`.
    modules : mapping
        Workload -> module; of what `measure` gives: `overround.perf.workloads.MODULES`.
    threshold : float
        A change smaller than this share is none.

    Returns
    -------
    dict
        Module -> frame of experiment, figure (with its unit), change (with its 95 % interval), verdict,
        before, after (medians). Of a module with several experiments the first rows are of all together.
    """
    tables: dict[str, list[dict]] = {}
    module = samples["workload"].map(modules)
    for name, mine in samples.groupby(module, sort=False):
        together = [mine] if len(set(mine["workload"])) > 1 and name != "overall" else []
        rows = [row for one in together for row in _rows(TOGETHER, total(one), threshold)]
        tables[str(name)] = rows + [
            row
            for one, its in mine.groupby("workload", sort=False)
            for row in _rows(str(one), its, threshold)
        ]
    tables["overall"] = [*_rows(TOGETHER, total(samples), threshold), *tables.pop("overall", [])]
    return {name: pd.DataFrame(rows) for name, rows in tables.items()}


def total(samples: pd.DataFrame) -> pd.DataFrame:
    """Samples of all experiments together: sums over them, of peak memory the highest, of latency and efficiency the mean."""
    how = {name: sum_ for name, sum_ in _SUMS.items() if name in samples}
    return samples.groupby(["pair", "side"], as_index=False).agg(how).assign(workload=TOGETHER)


def _rows(name: str, samples: pd.DataFrame, threshold: float) -> list[dict]:
    present = [
        one for one in METRICS if one in samples and samples[one].notna().all() and (samples[one] > 0).any()
    ]
    return [{"experiment": name, **_row(samples, metric, threshold)} for metric in present]


def _row(samples: pd.DataFrame, metric: str, threshold: float) -> dict:
    """Figure, change, verdict where there is one, and both medians."""
    what, unit, factor = METRICS[metric]
    values, quiet = pairs_of(samples, metric)
    middle = np.median(values[quiet], axis=0)  # of what the change is judged by
    crowded = (
        metric == "latency_ms"
        and "workers" in samples
        and np.ptp(samples.groupby("side")["workers"].median()) > 0
    )
    # calls that wait together wait longer each, and all of them shorter: throughput and runtime judge that
    what += ", pooled" if crowded else ""
    row = {
        "figure": f"{what}, {unit}" if unit else what,
        "change": "",
        "verdict": "",
        "before": factor * middle[0],
        "after": factor * middle[1],
    }
    if metric == "io_wait_s" and middle.max() < _CLOCK_S:
        return row | {"change": "below the clock’s 1 ms"}
    if crowded or metric in ("thread_efficiency", "calls") or not (samples[metric] > 0).all():
        # more of it is no loss, or it may be 0: no ratio
        moved = [f"{factor * one:+z.3g}".replace("-", "−") for one in difference(samples, metric)]
        return row | {"change": f"{moved[0]} ({moved[1]} to {moved[2]})"}
    if metric == "calls_per_s":
        one = _upside_down(
            compare(samples.assign(calls_per_s=1 / samples[metric]), metric, threshold=threshold)
        )
    else:
        one = compare(samples, metric, threshold=threshold)
    return row | {"change": one.change(), "verdict": one.verdict}


def _upside_down(one: Change) -> Change:
    """The change of seconds a call, in calls a second; its verdict stays."""
    return replace(
        one,
        before=1 / one.before,
        after=1 / one.after,
        ratio=1 / one.ratio,
        low=1 / one.high,
        high=1 / one.low,
    )


@contextmanager
def _simulated(shown: pd.DataFrame) -> Iterator[_Material]:
    from overround.sources.sample.market import LEAGUES, SOURCE, Market, iso, snapshot_times
    from overround.sources.sample.source import serving

    market = Market(leagues=1, seasons=1, teams=4)
    path, times = f"/v4/historical/sports/{next(iter(LEAGUES))}/odds", snapshot_times(market, 0).ravel()
    asked = {"regions": "sim", "markets": "h2h", "oddsFormat": "decimal", "dateFormat": "iso"}
    prices = shown[(shown["phase"] == "snapshot") & (shown["market"] == "h2h")] if len(shown) else shown
    with serving(market, latency_s=_LATENCY_S) as url:
        calls = [(path, {**asked, "date": iso(time)}) for time in times[:_CALLS]]
        yield _Material(SOURCE, url, calls, prices if len(prices) else quotes(_EVENTS), *book(_BETS))


@contextmanager
def _recorded(folder: Path, answers: int) -> Iterator[_Material]:
    from overround.sources.replay import iso, recorded_answers, serving

    times = [one.at for one in recorded_answers(folder, most=answers)]
    sport = folder.parent.name if folder.name == "odds" else folder.name
    asked = {"regions": "us", "markets": "h2h,totals", "oddsFormat": "american", "dateFormat": "iso"}
    calls = [(f"/v4/historical/sports/{sport}/odds", {**asked, "date": iso(time)}) for time in times]
    with tempfile.TemporaryDirectory() as cache, serving(folder, latency_s=_LATENCY_S, most=answers) as url:
        with Fetcher(SOURCE, url, Path(cache), secrets={"apiKey": "recorded"}, workers=_WORKERS) as fetcher:
            batch = parse_many(fetcher.get_many(calls))
        prices = batch.quotes.merge(batch.events[["event_id", "starts_at"]], on="event_id")
        prices = prices[(prices["market"] == "h2h") & (prices["observed_at"] < prices["starts_at"])]
        if prices.empty:
            raise ParameterError(
                f"the {len(calls)} answers of {folder} show no price of a match before its start; take more of them."
            )
        step = max(1, len(calls) // _CALLS)
        yield _Material(SOURCE, url, calls[::step][:_CALLS], prices, *_drawn(prices))


def _drawn(prices: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A bet on each price in order of time, and results drawn from the last prices without their margins: who won is not in answers."""
    first = prices.sort_values(["observed_at", "event_id", "bookmaker", "outcome"], kind="stable").head(_BETS)
    bets = first.assign(
        side="back",
        probability=1 / first["price"],
        edge=0.0,
        placed_at=first["observed_at"],
        strategy="every price",
    )
    last = prices.drop_duplicates(["event_id", "bookmaker", "outcome"], keep="last")
    last = last.assign(inverse=1 / last["price"])
    inverse = last.pivot_table(
        index="event_id", columns="outcome", values="inverse", aggfunc="mean", fill_value=0.0
    )
    sums = inverse.div(inverse.sum(axis=1), axis=0).cumsum(axis=1).to_numpy()
    outcome = inverse.columns.to_numpy()[
        (np.random.default_rng(_SEED).random(len(sums))[:, None] > sums).sum(axis=1).clip(max=2)
    ]
    season = (
        last.drop_duplicates("event_id")
        .set_index("event_id")
        .loc[inverse.index, ["competition", "season"]]
        .reset_index()
    )
    return bets, season.assign(
        home_score=(outcome == "home").astype(float),
        away_score=(outcome == "away").astype(float),
        status="final",
        settled_at=pd.Series(pd.NaT, range(len(season)), "datetime64[us, UTC]"),
    )


def _fetcher(given: _Material, cache: Path) -> Fetcher:
    return Fetcher(given.source, given.url, cache, secrets={"apiKey": "loopback"}, workers=_WORKERS)


def _told(fetcher: Fetcher, work: Callable[[], object], workers: int) -> Run:
    """The work, which tells what it was like to call the provider."""

    def measured() -> dict[str, float]:
        fetcher.drain()
        meter = Meter("experiment")
        with meter.stage("fetch", workers=workers):
            work()
        rows = fetcher.drain()
        figures, wall_s = request_figures(rows), meter.stages["fetch"]["wall_s"]
        latency = figures.get("latency_p50_ms", figures.get("latency_hit_p50_ms", 0.0))
        busy = sum(row["latency_s"] for row in rows) / (wall_s * _WORKERS)
        calls = float(figures["missed"])
        throughput = {"calls_per_s": calls / wall_s} if calls else {}
        return {
            "latency_ms": latency,
            "thread_efficiency": min(busy, 1.0),
            "calls": calls,
            "workers": float(workers),
            **throughput,
        }

    return measured


def _fetching(naive: ModuleType, given: _Material, fetcher: Fetcher) -> dict[str, tuple[Run, Run]]:
    def one_by_one(ttl: float) -> Run:
        return _told(fetcher, lambda: naive.get_many(fetcher, given.calls, ttl=ttl), 1)

    return {
        "cache off / on": (one_by_one(0), one_by_one(FOREVER)),
        "one by one / pooled fetches": (
            one_by_one(0),
            _told(fetcher, lambda: list(fetcher.get_many(given.calls, ttl=0)), _WORKERS),
        ),
    }


def _storing(
    naive: ModuleType, given: _Material, fetcher: Fetcher, folder: Path
) -> dict[str, tuple[Run, Run]]:
    rows, numbers = given.prices.drop_duplicates(["event_id", "bookmaker", "outcome"]).head(_ROWS), count(1)
    stores = Store(folder / "by row"), Store(folder / "by batch")

    def fresh() -> pd.DataFrame:
        return rows.assign(observed_at=rows["observed_at"] + pd.Timedelta(seconds=next(numbers)))

    def new() -> Store:
        return Store(folder / f"collected {next(numbers)}")

    return {
        "row by row / batch insert": (
            lambda: naive.append(stores[0], fresh()),
            lambda: stores[1].append("quotes", fresh()),
        ),
        "whole answers / only changes": (
            _told(fetcher, lambda: naive.collect(fetcher, given.calls, new()), 1),
            _told(fetcher, lambda: _collect(fetcher, given.calls, new()), _WORKERS),
        ),
    }


def _collect(fetcher: Fetcher, calls: list[Call], store: Store) -> int:
    """Ask for all at once and store what has changed as one batch; returns how many prices were stored."""
    batch = parse_many(fetcher.get_many(calls, ttl=0), source=fetcher.provider)
    store.append("events", batch.events)
    return store.append("quotes", batch.quotes, changes_only=True).inserted


def _computing(naive: ModuleType, given: _Material) -> dict[str, tuple[Run, Run]]:
    from overround.betting.engine import backtest
    from overround.betting.staking import Percentage
    from overround.signals.value import value_signals

    rows = given.prices.groupby("event_id", sort=False).size().cumsum()
    prices = given.prices[given.prices["event_id"].isin(rows.index[: max(1, int((rows <= _PRICES).sum()))])]
    reference = prices["bookmaker"].value_counts().idxmax()
    return {
        "loop / vectorised signals": (
            lambda: naive.value_signals(prices, reference),
            lambda: value_signals(prices, reference, "multiplicative"),
        ),
        "loop / compiled backtest": (
            lambda: naive.backtest(given.bets, given.results, _SHARE),
            lambda: backtest(given.bets, given.results, stake=Percentage(_SHARE), bankroll=1_000),
        ),
    }


@contextmanager
def _kernels(settings: Settings) -> Iterator[tuple[Run, Run]]:
    """Run a notebook of one cell that imports what all notebooks import."""
    import nbformat

    from overround.runs.execute import execute, warmed

    with tempfile.TemporaryDirectory() as folder, warmed(settings) as warm:
        file = Path(folder) / "empty.ipynb"
        cells = [
            nbformat.v4.new_code_cell(
                "import pandas\nimport overround as ov\nov.figures, ov.Run, ov.backtest;"
            )
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
        yield lambda: execute(file, {}, settings, 60), lambda: execute(file, {}, settings, 60, warm)


def _benchmark(name: str, settings: Settings) -> ModuleType:
    file = settings.home / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"overround_{name}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ParameterError(
            f"what is to be measured is in {file}, which is not there: run this in a checkout of the project."
        )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
