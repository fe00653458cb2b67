"""Before and after: the naive ways of `benchmarks/naive.py` in turns with the library's, on the quotes at hand and over loopback."""

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import ModuleType

import pandas as pd

from overround.errors import ParameterError
from overround.fetch import FOREVER, Fetcher
from overround.meter import Meter, request_figures
from overround.perf import in_turns
from overround.perf_stats import compare
from overround.perf_workloads import book, quotes
from overround.settings import Settings, load_settings
from overround.store import Store

Run = Callable[[], object]
# name -> module of the library; before / after are said in the name
EXPERIMENTS = {
    "cache off / on": "collector", "one by one / pooled fetches": "collector", "row by row / batch insert": "collector",
    "loop / vectorised signals": "signals", "loop / compiled backtest": "backtest", "cold / warm kernels": "overall",
}  # fmt: skip
METRICS = {
    "wall_s": ("runtime", "ms", 1000.0), "cpu_s": ("processor time", "ms", 1000.0), "peak_mb": ("memory", "MB", 1.0),
    "latency_ms": ("median API latency", "ms", 1.0), "io_wait_s": ("I/O wait", "ms", 1000.0),
    "thread_efficiency": ("thread efficiency", "%", 100.0), "calls": ("API calls", "", 1.0),
}  # fmt: skip
_CLOCK_S = 1e-3  # shorter waits are the clock's noise
_LATENCY_S, _CALLS, _WORKERS, _ROWS, _EVENTS, _BETS = 0.01, 12, 6, 6, 4, 2_000


def run(shown: pd.DataFrame, *, pairs: int = 5, cold_kernels: bool = False, settings: Settings | None = None) -> pd.DataFrame:
    """Samples of all experiments, as `overround.perf.in_turns` gives them.

    Parameters
    ----------
    shown : DataFrame
        Quotes with clock times for the signals, as `Store.read` gives them; where there are none, simulated ones.
    pairs : int
        Samples of each way.
    cold_kernels : bool
        Also start Jupyter kernels afresh and from a warmed process, which takes some seconds each.
    settings : Settings, optional
        By default those of this environment.

    Raises
    ------
    ParameterError
        Where this is no checkout with `benchmarks/naive.py`.
    """
    settings = settings or load_settings()
    naive, samples = _naive(settings), []
    with tempfile.TemporaryDirectory() as folder, _fetching(naive, Path(folder)) as fetching:
        ways: dict[str, tuple[Run, Run]] = {**fetching, **_storing(naive, Path(folder)), **_computing(naive, shown)}
        for name, (before, after) in ways.items():
            samples.append(in_turns(name, before, after, pairs=pairs))
    if cold_kernels:
        with _kernels(settings) as (cold, warm):
            samples.append(in_turns("cold / warm kernels", cold, warm, pairs=pairs, warm=False))
    return pd.concat(samples, ignore_index=True)


def by_module(samples: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A table for each module and one of all.

    Returns
    -------
    dict
        Module -> frame of experiment, figure (with its unit), change (with its 95 % interval), verdict, before, after (medians).
    """
    tables: dict[str, list[dict]] = {}
    for name, mine in samples.groupby("workload", sort=False):
        tables.setdefault(EXPERIMENTS[name], []).extend(_rows(name, mine))
    tables["overall"] = [*_rows("all experiments", total(samples)), *tables.pop("overall", [])]
    return {module: pd.DataFrame(rows) for module, rows in tables.items()}


def total(samples: pd.DataFrame) -> pd.DataFrame:
    """Samples of all experiments together: the sums over them, of peak memory the highest."""
    how = {"wall_s": "sum", "cpu_s": "sum", "io_wait_s": "sum", "peak_mb": "max", "calls": "sum", "calibration_s": "median"}
    return samples.groupby(["pair", "side"], as_index=False).agg(how).assign(workload="all experiments")


def _rows(name: str, samples: pd.DataFrame) -> list[dict]:
    rows = []
    for metric, (what, unit, factor) in METRICS.items():
        if metric not in samples or samples[metric].isna().any() or not (samples[metric] > 0).any():
            continue
        middle = samples.groupby("side")[metric].median()
        if metric == "io_wait_s" and middle.max() < _CLOCK_S:
            continue
        row = {
            "experiment": name, "figure": f"{what}, {unit}" if unit else what, "change": "–", "verdict": "",
            "before": factor * middle["A"], "after": factor * middle["B"],
        }  # fmt: skip
        if (samples[metric] > 0).all():
            one = compare(samples, metric)
            row |= {"before": factor * one.before, "after": factor * one.after, "change": one.change()}
            # more of it is no loss, unlike time and memory
            row["verdict"] = "" if metric in ("thread_efficiency", "calls") else one.verdict
        rows.append(row)
    return rows


@contextmanager
def _fetching(naive: ModuleType, folder: Path) -> Iterator[dict[str, tuple[Run, Run]]]:
    from overround.sources.sample import LEAGUES, Market, iso, serving, snapshot_times

    market = Market(leagues=1, seasons=1, teams=4)
    path, times = f"/v4/historical/sports/{next(iter(LEAGUES))}/odds", snapshot_times(market, 0).ravel()
    asked = {"regions": "sim", "markets": "h2h", "oddsFormat": "decimal", "dateFormat": "iso"}
    calls = [(path, {**asked, "date": iso(time)}) for time in times[:_CALLS]]
    with (
        serving(market, latency_s=_LATENCY_S) as url,
        Fetcher("sample", url, folder / "cache", secrets={"apiKey": "simulated"}, workers=_WORKERS) as fetcher,
    ):

        def told(work: Callable[[], object], workers: int) -> Run:
            def measured() -> dict[str, float]:
                fetcher.drain()
                meter = Meter("experiment")
                with meter.stage("fetch", workers=workers):
                    work()
                rows = fetcher.drain()
                figures, frame = request_figures(rows), meter.frame().set_index("metric")["value"]
                busy = sum(row["latency_s"] for row in rows) / (frame["wall_s"] * _WORKERS)
                latency = figures.get("latency_p50_ms", figures.get("latency_hit_p50_ms", 0.0))
                return {"latency_ms": latency, "thread_efficiency": min(busy, 1.0), "calls": float(figures["missed"])}

            return measured

        def one_by_one(ttl: float) -> Run:
            return told(lambda: naive.get_many(fetcher, calls, ttl=ttl), 1)

        yield {
            "cache off / on": (one_by_one(0), one_by_one(FOREVER)),
            "one by one / pooled fetches": (one_by_one(0), told(lambda: list(fetcher.get_many(calls, ttl=0)), _WORKERS)),
        }


def _storing(naive: ModuleType, folder: Path) -> dict[str, tuple[Run, Run]]:
    rows, numbers = quotes(1, books=_ROWS // 3, times=1), count(1)
    stores = Store(folder / "by row"), Store(folder / "by batch")

    def fresh() -> pd.DataFrame:
        return rows.assign(observed_at=rows["observed_at"] + pd.Timedelta(seconds=next(numbers)))

    return {"row by row / batch insert": (lambda: naive.append(stores[0], fresh()), lambda: stores[1].append("quotes", fresh()))}


def _computing(naive: ModuleType, shown: pd.DataFrame) -> dict[str, tuple[Run, Run]]:
    from overround.backtest import backtest
    from overround.signals import value_signals
    from overround.staking import Percentage

    prices = shown[(shown["phase"] == "snapshot") & (shown["market"] == "h2h")] if len(shown) else shown
    if prices.empty:
        prices = quotes(_EVENTS)
    prices = prices[prices["event_id"].isin(prices["event_id"].unique()[:_EVENTS])]
    reference = prices["bookmaker"].value_counts().idxmax()
    wanted, results = book(_BETS)
    return {
        "loop / vectorised signals": (
            lambda: naive.value_signals(prices, reference),
            lambda: value_signals(prices, reference, "multiplicative"),
        ),
        "loop / compiled backtest": (
            lambda: naive.backtest(wanted, results),
            lambda: backtest(wanted, results, stake=Percentage(0.01), bankroll=1_000),
        ),
    }


@contextmanager
def _kernels(settings: Settings) -> Iterator[tuple[Run, Run]]:
    """Run a notebook of one cell that imports what all notebooks import."""
    import nbformat

    from overround.execute import execute, warmed

    with tempfile.TemporaryDirectory() as folder, warmed(settings) as warm:
        file = Path(folder) / "empty.ipynb"
        cells = [nbformat.v4.new_code_cell("import pandas\nimport overround as ov\nov.figures, ov.Run, ov.backtest;")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
        yield lambda: execute(file, {}, settings, 60), lambda: execute(file, {}, settings, 60, warm)


def _naive(settings: Settings) -> ModuleType:
    file = settings.home / "benchmarks" / "naive.py"
    spec = importlib.util.spec_from_file_location("overround_naive", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ParameterError(f"the naive ways to compare with are in {file}, which is not there: run this in a checkout of the project.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
