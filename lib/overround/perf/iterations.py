"""Runs in a row from an empty store and on the filled one: equal results, nothing doubled, no growing cost.

`overround run iterations` shows them as a page. What is collected are generated files of six seasons, served
on loopback.
"""

from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler
from itertools import permutations
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd

from overround.betting.engine import backtest
from overround.betting.staking import Kelly
from overround.collection.collector import collect
from overround.evaluation.comparison import compare_ledgers
from overround.evaluation.merit import evaluate
from overround.measure import procfs
from overround.measure.meter import Meter
from overround.perf.worker import take
from overround.runs.history import cost_change, newest_pipeline, stage_costs
from overround.schema import COLLECTED
from overround.settings import Settings
from overround.signals.value import value_signals
from overround.store.store import Store

SEASONS = ("1819", "1920", "2021", "2122", "2223", "2324")
ONCE = (*COLLECTED, "editions")
KEPT = ("ledgers", "measurements", "requests")  # every run adds to them, so that runs can be compared later
REFERENCES = ("pinnacle", "market_average")
START, FILLED = "empty", "filled"
MEMORY_MB = 25.0  # allowed between the ends of both halves
MORE = 0.2  # of the rows that an iteration adds: allowed between iterations
BYTES = 1.25  # times those of a row in the first iteration: allowed of later ones


def iterations(folder: Path, number: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twice a number of iterations in a row, in this process; everything is left in the folder.

    Returns
    -------
    facts : DataFrame
        One row an iteration: store ("empty" for those of the first half, or "filled"), found (a hash of
        all numbers found), version of what is collected, new, bets, rows and kilobytes of each table,
        memory_mb.
    samples : DataFrame
        The cost of each stage, as of `overround.perf.in_turns`: side A from the empty store, B on the filled
        one.
    """
    from overround.sources.local_server import answering

    write_files(folder / "site")
    facts, samples = [], []
    with answering(partial(_Quiet, directory=str(folder / "site"))) as url:
        settings = Settings(store=str(folder / "store"), cache=folder / "cache", football_data_url=url)
        for i in range(2 * number):
            side, pair = divmod(i, number)
            store = Store(settings.store_root)
            fact, stages = _iteration(store, settings, f"2026010{side + 1}-{pair:06}-abc")
            facts.append({"store": (START, FILLED)[side], **fact, **_sizes(folder / "store")})
            for stage, taken in stages.items():
                samples.append({"workload": stage, "pair": pair, "side": "AB"[side], **taken})
    return pd.DataFrame(facts), pd.DataFrame(samples)


def faults(facts: pd.DataFrame) -> list[str]:
    """Sentences on results that differ, rows that were doubled, and growth that no data explain."""
    wrong = [
        f"{what} differs between iterations" for what in ("found", "version", "bets") if _varies(facts[what])
    ]
    wrong += [
        f"{int(new)} rows were new in iteration {at + 1}" for at, new in facts["new"].items() if at and new
    ]
    for name in ONCE:
        if _varies(facts[f"{name}_rows"]) or _varies(facts[f"{name}_kb"]):
            wrong.append(f"table {name} grew, though nothing new was collected")
    for name in KEPT:
        rows, kilobytes = facts[f"{name}_rows"], facts[f"{name}_kb"]
        added = rows.diff().iloc[1:]
        if np.ptp(added) > MORE * added.median():  # figures that are 0 are not stored
            wrong.append(f"iterations add different numbers of rows to table {name}")
        if kilobytes.iloc[-1] > BYTES * kilobytes.iloc[0] / rows.iloc[0] * rows.iloc[-1]:
            wrong.append(f"table {name} takes more room a row than at first")
    last = facts.groupby("store")[["logs_kb", "memory_mb"]].last()
    (logs, logs_filled), (memory, memory_filled) = last.loc[[START, FILLED]].to_numpy().T
    if logs_filled > 2 * BYTES * logs:
        wrong.append("logs grow by more than an entry a commit")
    if memory_filled > memory + MEMORY_MB:
        wrong.append(
            f"memory grew from {memory:.0f} to {memory_filled:.0f} MB in the iterations on the filled store"
        )
    return wrong


def growth(facts: pd.DataFrame) -> pd.DataFrame:
    """Size of each table, and of all logs, after the first iteration and at the end, and why it grew."""
    why = {
        **dict.fromkeys(ONCE, "collected once"),
        **dict.fromkeys(KEPT, "each iteration adds its own"),
        "logs": "an entry a commit",
    }
    first, last = facts.iloc[0], facts.iloc[-1]
    found = pd.DataFrame(
        [[size.get(f"{name}_{unit}") for unit in ("rows", "kb") for size in (first, last)] for name in why],
        pd.Index(why, name="table"),
        ["rows, first", "rows, last", "kB, first", "kB, last"],
        dtype=float,
    )
    return found.assign(
        **{"bytes a row": 1000 * found["kB, last"] / found["rows, last"]}, because=why.values()
    )


def _varies(values: pd.Series) -> bool:
    return bool((values != values.iloc[0]).any())


def _iteration(
    store: Store, settings: Settings, pipeline: str
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Do what the notebooks of a run do, in their order; returns facts, and the cost of each stage."""
    stages: dict[str, dict[str, float]] = {}
    meter = Meter(f"{pipeline}.line")

    def done(stage: str, work: Callable[[], Any]) -> Any:
        got = []
        with meter.stage(stage):
            stages[stage] = take(lambda: got.append(work()))
        return got[0]

    def keep() -> None:
        for name, ledger in named.items():
            store.append("ledgers", ledger.assign(run_id=f"{pipeline}.{name}"))

    def performance() -> int:
        measured = store.read("measurements")
        cost_change(measured, newest_pipeline(measured, before=pipeline), pipeline)
        return len(stage_costs(measured, pipeline))

    collected = done(
        "collect",
        lambda: collect("football-data", leagues=["E0"], seasons=SEASONS, settings=settings, store=store),
    )
    version = store.version()
    quotes, results = done("read", lambda: [store.read(name, version=version) for name in COLLECTED[1:]])
    signals = done("signals", lambda: [value_signals(quotes, one, min_edge=0.01) for one in REFERENCES])
    stake = Kelly(fraction=0.25, cap=0.05)
    ledgers = done("backtest", lambda: [backtest(one, results, stake=stake) for one in signals])
    found = done("evaluate", lambda: [evaluate(one, simulations=500, seed=7) for one in ledgers])
    named = dict(zip(REFERENCES, ledgers, strict=True))
    found.append(done("compare", lambda: compare_ledgers(named, simulations=500, seed=7)))
    done("keep", keep)
    store.append("measurements", meter.frame())
    seen = done("performance", performance)
    assert seen == len(stages) - 1, f"performance sees {seen} of {len(stages) - 1} stages"  # noqa: S101
    procfs.reset_peak()
    return {
        "found": _hash(found),
        "version": version,
        "new": int(collected.rows["inserted"].sum()),
        "bets": sum(map(len, ledgers)),
        **{f"{name}_rows": len(store.read(name)) for name in (*ONCE, *KEPT)},
        "memory_mb": procfs.peak_mb(),
    }, stages


def _sizes(root: Path) -> dict[str, float]:
    """Kilobytes of each table's rows, and of all tables' logs."""
    sizes = dict.fromkeys(("logs_kb", *(f"{name}_kb" for name in (*ONCE, *KEPT))), 0.0)
    for path in root.rglob("*"):
        if path.is_file():
            table = "logs" if "_delta_log" in path.parts else path.relative_to(root).parts[0]
            sizes[f"{table}_kb"] += path.stat().st_size / 1e3
    return sizes


def write_files(site: Path) -> None:
    """Six seasons of twenty teams in the provider's layout; prices are fair but for noise and a margin."""
    random = np.random.default_rng(3)
    books = [f"{book}{outcome}" for book in ("B365", "PS", "PSC", "Avg") for outcome in "HDA"]
    header = ",".join(["Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR", *books])
    for season in SEASONS:
        pairs = list(permutations(range(20), 2))
        weeks = pd.to_timedelta(np.arange(380) // 10 * 7, unit="D")
        days = pd.Timestamp(2000 + int(season[:2]), 8, 10) + weeks
        order, strength = random.permutation(380), random.normal(0, 0.4, 20)
        lines = [header]
        for day, at in zip(days, order, strict=True):
            home, away = pairs[at]
            edge = strength[home] - strength[away]
            goals = [int(random.poisson(np.exp(0.3 + sign * edge + 0.15 * (sign > 0)))) for sign in (1, -1)]
            chance = np.array([np.exp(0.4 + 1.6 * edge), 0.9, np.exp(-1.6 * edge)])
            chance /= chance.sum()
            noise = np.exp(random.normal(0, 0.03, (4, 3)))
            prices = np.maximum(1.01, noise / chance / 1.03).round(2)
            won = "H" if goals[0] > goals[1] else "A" if goals[0] < goals[1] else "D"
            cells = ["E0", f"{day:%d/%m/%Y}", "15:00", f"Team {home}", f"Team {away}", *goals, won]
            lines.append(",".join(map(str, [*cells, *prices.ravel()])))
        (site / "mmz4281" / season).mkdir(parents=True, exist_ok=True)
        (site / "mmz4281" / season / "E0.csv").write_text("\n".join(lines) + "\n")


def _hash(frames: list[pd.DataFrame]) -> int:
    """Equal only where all values are, to the last bit; the same in every process."""
    text = "\n".join(
        frame.to_json(orient="split", double_precision=15, default_handler=str) for frame in frames
    )
    bits = [frame.select_dtypes("number").to_numpy(dtype=float).tobytes() for frame in frames]
    return crc32(b"\n".join([text.encode(), *bits]))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass
