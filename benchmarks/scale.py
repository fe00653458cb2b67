"""Data larger than memory: quotes written and backtested partition by partition, at two sizes.

`python -m benchmarks.scale [QUOTES]` measures both for QUOTES quotes (10 M by default) and for a tenth of
them. A match has 20 quotes: three bookmakers' 1X2 twice, the day before and shortly before kick-off, and one
total. pinnacle knows the true probabilities.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]
import pyarrow as pa

from overround import Flat, Store, backtest, closing_lines, evaluate, value_signals
from overround.parallel import map_partitions, partition_sizes

QUOTES, QUOTES_A_MATCH, MATCHES = 10_000_000, 20, 12_500  # matches in a partition: 250,000 quotes
MEMORY_MB = 1_000
SEASONS = ("2021", "2122", "2223", "2324")
_US = 1_000_000
_START = pd.Timestamp("2021-08-01", tz="UTC").value // 1000


def main() -> None:
    """Measure a tenth of the size and the size, each step in a process of its own."""
    words = sys.argv[1:]
    if words[:1] == ["step"]:
        step(words[1], Path(words[2]), int(words[3]))
        return
    quotes = next((int(word) for word in words if word.replace("_", "").isdigit()), QUOTES)
    figures = {n: measured(n) for n in (quotes // 10, quotes)}
    table = pd.DataFrame(figures).T
    table.index = [f"{n / 1e6:,.3g} M quotes" for n in figures]
    print(table.round(1).to_string())
    small, large = figures.values()
    for name in (
        "write_s",
        "write_cpu_s",
        "backtest_s",
        "backtest_cpu_s",
        "write_peak_mb",
        "backtest_peak_mb",
    ):
        print(f"{name}: 10 times the quotes cost {large[name] / small[name]:.2f} times as much")


def measured(quotes: int) -> dict[str, float]:
    """Seconds and peak memory of both steps."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, float] = {}
        for name in ("write", "backtest"):
            seconds, cpu, peak = watched(
                [sys.executable, "-m", "benchmarks.scale", "step", name, folder, str(quotes)]
            )
            found |= {
                f"{name}_s": seconds,
                f"{name}_cpu_s": cpu,
                f"{name}_k_rows_s": quotes / seconds / 1e3,
                f"{name}_peak_mb": peak,
            }
        files = [
            path.stat().st_size for path in Path(folder).rglob("*.parquet") if "_delta_log" not in path.parts
        ]
        return {**found, "bytes_a_quote": sum(files) / quotes, "files": len(files)}


def step(name: str, folder: Path, quotes: int) -> None:
    """Write all partitions or backtest them."""
    store = Store(folder / "store")
    if name == "write":
        for number in range(quotes // QUOTES_A_MATCH // MATCHES):
            generate(store, number)
        return
    found = map_partitions(store, edge, scheduler="", memory_mb=MEMORY_MB)
    assert partition_sizes(store, ["quotes"])["rows"].sum() == quotes
    print(
        f"{found['bets'].sum():,.0f} bets, yield {100 * found['profit'].sum() / found['staked'].sum():.2f} %",
        flush=True,
    )


def watched(command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds of a process with its children, and their peak memory together, MB.

    Shared pages count once.
    """
    peak, ended = 0.0, Event()
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command)

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.1):
            peak = max(peak, held(process.pid))

    thread = Thread(target=watch)
    thread.start()
    code = process.wait()
    ended.set()
    thread.join()
    assert code == 0, command
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (
        time.perf_counter() - began,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        peak,
    )


def held(pid: int) -> float:
    """Proportional set size of a process and its children, MB."""
    total = 0
    try:
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            try:
                total += process.memory_full_info().pss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return total / 1e6


def edge(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """One season of one league: the result of bets at prices above pinnacle's fair ones."""
    quotes = frames["quotes"]
    ledger = backtest(
        value_signals(quotes), frames["results"], stake=Flat(10), closing=closing_lines(quotes, "pinnacle")
    )
    figures = evaluate(ledger, simulations=200)["value"]
    where = quotes[["competition", "season"]].iloc[:1].reset_index(drop=True)
    return where.assign(**figures[["bets", "staked", "profit", "yield", "clv", "luck_p"]].to_dict())


def generate(store: Store, number: int, matches: int = MATCHES) -> None:
    """Store events, quotes and results of one season of one league."""
    rng = np.random.default_rng([7, number])
    league, season = f"L{number:03d}", SEASONS[number % len(SEASONS)]
    fair = rng.dirichlet([5, 3, 4], matches)
    start = (
        _START + (np.arange(matches) // 40 + 1) * 86_400 * _US + rng.integers(14, 21, matches) * 3600 * _US
    )
    ids = pa.array([f"{number:04x}{i:012x}" for i in range(matches)])
    home, away = scores(rng, fair)
    append(
        store,
        "events",
        matches,
        event_id=ids,
        sport="soccer",
        competition=league,
        season=season,
        starts_at=start,
        time_known=True,
        home="A",
        away="B",
        source="generated",
    )
    append(
        store,
        "results",
        matches,
        event_id=ids,
        home_score=home.astype(float),
        away_score=away.astype(float),
        status="final",
        settled_at=start + 7_200 * _US,
        competition=league,
        season=season,
    )
    match, outcome = np.repeat(np.arange(matches), 3), np.tile(np.arange(3), matches)
    for book, margin, noise in (("pinnacle", 1.025, 0.0), ("acme", 1.05, 0.04), ("bwin", 1.06, 0.05)):
        for before in (24 * 3600, 600):
            price = np.clip(
                1 / (fair.ravel() * margin) * (1 + noise * rng.standard_normal(3 * matches)), 1.01, 500
            ).round(3)
            prices(
                store,
                ids.take(pa.array(match)),
                book,
                "h2h",
                np.nan,
                pa.array(["home", "draw", "away"]).take(pa.array(outcome)),
                start[match] - before * _US,
                price,
                league,
                season,
            )
    over = rng.uniform(0.4, 0.6, matches)
    both = np.column_stack([1 / (over * 1.025), 1 / ((1 - over) * 1.025)]).ravel().round(3)
    match = np.repeat(np.arange(matches), 2)
    outcomes = pa.array(["over", "under"]).take(pa.array(np.tile([0, 1], matches)))
    prices(
        store,
        ids.take(pa.array(match)),
        "pinnacle",
        "totals",
        2.5,
        outcomes,
        start[match] - 600 * _US,
        both,
        league,
        season,
    )


def scores(rng: np.random.Generator, fair: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Goals such that home win, draw and away win have the true probabilities."""
    ended = (rng.random((len(fair), 1)) > fair.cumsum(axis=1)).sum(axis=1)
    goals = rng.integers(0, 3, len(fair))
    return goals + (ended == 0), goals + (ended == 2)


def prices(
    store: Store,
    event_id: pa.Array,
    book: str,
    market: str,
    line: float,
    outcome: pa.Array,
    at: np.ndarray,
    price: np.ndarray,
    league: str,
    season: str,
) -> None:
    """Store one snapshot of one bookmaker's prices of a whole season."""
    append(
        store,
        "quotes",
        len(price),
        event_id=event_id,
        bookmaker=book,
        market=market,
        line=line,
        outcome=outcome,
        phase="snapshot",
        observed_at=at,
        price=price,
        collected_at=at,
        source="generated",
        competition=league,
        season=season,
    )


def append(store: Store, table: str, n: int, **columns: object) -> None:
    """Append columns, each an array or one value for all rows."""
    convert: Callable = partial(column, n)
    store.append(table, pd.DataFrame({name: convert(name, value) for name, value in columns.items()}))


def column(n: int, name: str, value: object) -> object:
    """A pandas column: text in Arrow's memory, times as microseconds in UTC."""
    if name.endswith("_at"):
        return pd.Series(np.asarray(value).astype("datetime64[us]")).dt.tz_localize("UTC")
    if isinstance(value, str):
        value = pa.array([value]).take(pa.array(np.zeros(n, int)))
    return value.to_pandas() if isinstance(value, pa.Array) else value


if __name__ == "__main__":
    main()
