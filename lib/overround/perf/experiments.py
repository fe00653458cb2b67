"""Before and after: the naive ways of `overround.perf.naive` in turns with the library's.

Answers come over loopback from a server in a process of its own: a simulated market's, or recorded ones in
order of time.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pandas as pd

from overround.http.client import FOREVER, Fetcher
from overround.measure.meter import request_figures
from overround.perf import iterations as in_a_row
from overround.perf import naive
from overround.perf.experiment_data import WORKERS, Call, Material, open_fetcher, recorded, simulated
from overround.perf.experiment_data import material as material
from overround.perf.experiment_tables import EXPERIMENTS as EXPERIMENTS
from overround.perf.experiment_tables import METRICS as METRICS
from overround.perf.experiment_tables import by_module as by_module
from overround.perf.experiment_tables import total as total
from overround.perf.samples import in_turns
from overround.settings import Settings, load_settings
from overround.sources.the_odds_api.parser import parse_many
from overround.store.store import Store

Run = Callable[[], object]
_ROWS, _PRICES = 6, 3_000
# of the bankroll on each bet: so little that all bets of a moment can be paid, which the loop takes for
# granted
_SHARE = 1e-4


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
        Where the feed is no folder of recorded answers.
    """
    settings, samples = settings or load_settings(), []
    source = recorded(settings.home / feed, answers) if str(feed) else simulated(shown)
    with (
        tempfile.TemporaryDirectory() as folder,
        source as given,
        open_fetcher(given, Path(folder) / "cache") as fetcher,
    ):
        ways = {**_fetching(given, fetcher), **_storing(given, fetcher, Path(folder)), **_computing(given)}
        for name, (before, after) in ways.items():
            samples.append(in_turns(name, before, after, pairs=pairs))
    if cold_kernels:
        with _kernels(settings) as (cold, warm):
            samples.append(in_turns("cold / warm kernels", cold, warm, pairs=pairs, warm=False))
    return pd.concat(samples, ignore_index=True)


def iterations(number: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, list[str]]:
    """`overround.perf.iterations` in a store of their own, which is removed.

    Parameters
    ----------
    number : int
        From an empty store, and as many on the filled one; at least 5, so that stages can be compared.

    Returns
    -------
    facts, samples, growth : DataFrame
        A row an iteration; samples as of `run`, side A from the empty store and B on the filled one; a row a
        table of that store.
    faults : list of str
        Sentences on what differs, was doubled, or grew without reason; empty where all is well.
    """
    with tempfile.TemporaryDirectory() as folder:
        facts, samples = in_a_row.iterations(Path(folder), number)
    return facts, samples, in_a_row.growth(facts), in_a_row.faults(facts)


def _measured(fetcher: Fetcher, work: Callable[[], object], workers: int) -> Run:
    """The work, which returns figures on its calls to the provider."""

    def measured() -> dict[str, float]:
        fetcher.drain()
        began = time.perf_counter()
        work()
        wall_s = time.perf_counter() - began
        rows = fetcher.drain()
        figures = request_figures(rows)
        calls = float(figures["missed"])
        return {
            "latency_ms": figures.get("latency_p50_ms", figures.get("latency_hit_p50_ms", 0.0)),
            "thread_efficiency": min(sum(row["latency_s"] for row in rows) / (wall_s * WORKERS), 1.0),
            "calls": calls,
            "workers": float(workers),
            **({"calls_per_s": calls / wall_s} if calls else {}),
        }

    return measured


def _fetching(given: Material, fetcher: Fetcher) -> dict[str, tuple[Run, Run]]:
    def one_by_one(ttl: float) -> Run:
        return _measured(fetcher, lambda: naive.get_many(fetcher, given.calls, ttl=ttl), 1)

    return {
        "cache off / on": (one_by_one(0), one_by_one(FOREVER)),
        "one by one / pooled fetches": (
            one_by_one(0),
            _measured(fetcher, lambda: list(fetcher.get_many(given.calls, ttl=0)), WORKERS),
        ),
    }


def _storing(given: Material, fetcher: Fetcher, folder: Path) -> dict[str, tuple[Run, Run]]:
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
            _measured(fetcher, lambda: naive.collect(fetcher, given.calls, new()), 1),
            _measured(fetcher, lambda: _collect(fetcher, given.calls, new()), WORKERS),
        ),
    }


def _collect(fetcher: Fetcher, calls: list[Call], store: Store) -> int:
    """Ask for all at once and store what has changed as one batch; returns how many prices were stored."""
    batch = parse_many(fetcher.get_many(calls, ttl=0), source=fetcher.provider)
    store.append("events", batch.events)
    return store.append("quotes", batch.quotes, changes_only=True).inserted


def _computing(given: Material) -> dict[str, tuple[Run, Run]]:
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

    from overround.runs.execute import execute, open_fork_server

    with tempfile.TemporaryDirectory() as folder, open_fork_server(settings) as server:
        file = Path(folder) / "empty.ipynb"
        cells = [
            nbformat.v4.new_code_cell(
                "import pandas\nimport overround as ov\nov.figures, ov.Run, ov.backtest;"
            )
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), file)
        yield lambda: execute(file, {}, settings, 60), lambda: execute(file, {}, settings, 60, server)
