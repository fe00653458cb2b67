"""Iterations in a row from an empty store, and as many on the filled one: do they say the same, double nothing, and cost no more.

`overround run iterations` shows it as a page; `python -m benchmarks.iterations [N]` prints it, with exit
status 1 where something is wrong. Collected are generated files of six seasons, served on loopback.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]

SEASONS = ("1819", "1920", "2021", "2122", "2223", "2324")
COLLECTED = ("events", "quotes", "results")
# what every run adds to, so that runs can be compared later
KEPT = ("ledgers", "measurements", "requests")
REFERENCES = ("pinnacle", "market_average")
START, FILLED = "empty", "filled"
MEMORY_MB = 25.0  # that the filled half may end above the first
MORE = 0.2  # of the rows that an iteration adds: as much may another add more
BYTES = 1.25  # times those of a row in the first iteration that a later row may take


def main() -> None:
    """Run and print."""
    number = next((int(word) for word in sys.argv[1:] if word.isdecimal()), 3)
    with tempfile.TemporaryDirectory() as folder:
        facts, _ = iterations(Path(folder), number)
    with pd.option_context("display.width", 200, "display.max_columns", 40):
        print(facts.round(2).to_string())
    wrong = faults(facts)
    print("\n".join(wrong) or "same results, nothing doubled, growth is what the data explain")
    sys.exit(bool(wrong))


def iterations(folder: Path, number: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twice so many iterations in a row in one process; everything is left in the folder.

    Returns
    -------
    facts : DataFrame
        One row an iteration: store ("empty", where the first of them began, or "filled"), found (a hash of
        all numbers found), version of what is collected, new, bets, rows and kilobytes of each table,
        memory_mb.
    samples : DataFrame
        What each stage took, as `overround.perf.in_turns` gives it: side A from the empty store, B on the
        filled one.
    """
    import overround as ov
    from overround.settings import Settings
    from overround.sources.local_server import answering

    write_files(folder / "site")
    facts, samples = [], []
    with answering(partial(_Quiet, directory=str(folder / "site"))) as url:
        settings = Settings(store=str(folder / "store"), cache=folder / "cache", football_data_url=url)
        for i in range(2 * number):
            side, pair = divmod(i, number)
            fact, stages = _iteration(
                ov.Store(settings.store_root), settings, f"2026010{side + 1}-{pair:06}-abc"
            )
            facts.append({"store": (START, FILLED)[side], **fact, **_sizes(folder / "store")})
            samples += [
                {"workload": stage, "pair": pair, "side": "AB"[side], **taken}
                for stage, taken in stages.items()
            ]
    return pd.DataFrame(facts), pd.DataFrame(samples)


def faults(facts: pd.DataFrame) -> list[str]:
    """Sentences on what is not as it should be: results that differ, rows that were doubled, growth that no data explain."""
    wrong = [
        f"{what} differs between iterations" for what in ("found", "version", "bets") if _varies(facts[what])
    ]
    wrong += [
        f"{int(new)} rows were new in iteration {at + 1}" for at, new in facts["new"].items() if at and new
    ]
    for name in COLLECTED:
        if _varies(facts[f"{name}_rows"]) or _varies(facts[f"{name}_kb"]):
            wrong.append(f"table {name} grew, though nothing new was collected")
    for name in KEPT:
        rows, kilobytes = facts[f"{name}_rows"], facts[f"{name}_kb"]
        added = rows.diff().iloc[1:]
        if np.ptp(added) > MORE * added.median():  # figures that are nought are not kept
            wrong.append(f"iterations add different numbers of rows to table {name}")
        if kilobytes.iloc[-1] > BYTES * kilobytes.iloc[0] / rows.iloc[0] * rows.iloc[-1]:
            wrong.append(f"table {name} takes more room a row than at first")
    logs = facts.groupby("store")["logs_kb"].last()
    if logs[FILLED] > 2 * BYTES * logs[START]:
        wrong.append("logs grow by more than an entry a commit")
    memory = facts.groupby("store")["memory_mb"].last()
    if memory[FILLED] > memory[START] + MEMORY_MB:
        wrong.append(
            f"memory grew from {memory[START]:.0f} to {memory[FILLED]:.0f} MB in the iterations on the filled store"
        )
    return wrong


def growth(facts: pd.DataFrame) -> pd.DataFrame:
    """One row a table, and one of all logs: rows and kilobytes after the first iteration and at the end, bytes a row, and why it grew."""
    why = (
        dict.fromkeys(COLLECTED, "collected once")
        | dict.fromkeys(KEPT, "each iteration adds its own")
        | {"logs": "an entry a commit"}
    )
    found = pd.DataFrame(
        {
            f"{what}, {when}": [
                facts[f"{name}_{unit}"].iloc[at] if f"{name}_{unit}" in facts else np.nan for name in why
            ]
            for what, unit in (("rows", "rows"), ("kB", "kb"))
            for when, at in (("first", 0), ("last", -1))
        },
        index=pd.Index(why, name="table"),
    )
    return found.assign(
        **{"bytes a row": 1000 * found["kB, last"] / found["rows, last"]}, because=why.values()
    )


def _varies(values: pd.Series) -> bool:
    return bool((values != values.iloc[0]).any())


def _iteration(store: Any, settings: Any, pipeline: str) -> tuple[dict, dict[str, dict[str, float]]]:
    """What the notebooks of a run do, in their order: facts, and what each stage took."""
    import overround as ov
    from overround.collection.collector import collect
    from overround.measure.meter import Meter
    from overround.perf.worker import take

    stages: dict[str, dict[str, float]] = {}
    meter = Meter(f"{pipeline}.line")

    def done(stage: str, work: Callable[[], Any]) -> Any:
        got = []
        with meter.stage(stage):
            stages[stage] = take(lambda: got.append(work()))
        return got[0]

    collected = done(
        "collect",
        lambda: collect("football-data", leagues=["E0"], seasons=SEASONS, settings=settings, store=store),
    )
    version = store.version()
    quotes, results = done("read", lambda: [store.read(name, version=version) for name in COLLECTED[1:]])
    signals = done("signals", lambda: [ov.value_signals(quotes, one, min_edge=0.01) for one in REFERENCES])
    ledgers = done(
        "backtest",
        lambda: [ov.backtest(one, results, stake=ov.Kelly(fraction=0.25, cap=0.05)) for one in signals],
    )
    found = done("evaluate", lambda: [ov.evaluate(one, simulations=500, seed=7) for one in ledgers])
    named = dict(zip(REFERENCES, ledgers, strict=True))
    found.append(done("compare", lambda: ov.compare_ledgers(named, simulations=500, seed=7)))
    done(
        "keep",
        lambda: [
            store.append("ledgers", one.assign(run_id=f"{pipeline}.{name}")) for name, one in named.items()
        ],
    )
    store.append("measurements", meter.frame())

    def performance() -> int:
        measured = store.read("measurements")
        before = ov.runs.history.newest_pipeline(measured, before=pipeline)
        ov.runs.history.cost_change(measured, before, pipeline)
        return len(ov.runs.history.stage_costs(measured, pipeline))

    seen = done("performance", performance)
    assert seen == len(stages) - 1, f"performance sees {seen} of {len(stages) - 1} stages"
    memory_mb = psutil.Process().memory_info().rss / 1e6
    facts = {
        "found": _hash(found),
        "version": version,
        "new": int(collected.rows["inserted"].sum()),
        "bets": sum(map(len, ledgers)),
        **{f"{name}_rows": len(store.read(name)) for name in (*COLLECTED, *KEPT)},
        "memory_mb": memory_mb,
    }
    return facts, stages


def _sizes(root: Path) -> dict[str, float]:
    """Kilobytes of each table's rows, and of all tables' logs."""
    files = {True: 0.0} | dict.fromkeys((*COLLECTED, *KEPT), 0.0)
    for path in root.rglob("*"):
        if path.is_file():
            files["_delta_log" in path.parts or path.relative_to(root).parts[0]] += path.stat().st_size / 1e3
    return {"logs_kb": files.pop(True), **{f"{name}_kb": kilobytes for name, kilobytes in files.items()}}


def write_files(site: Path) -> None:
    """Six seasons of twenty teams, two bookmakers and an average, in the provider's layout; prices are fair but for noise and a margin."""
    random = np.random.default_rng(3)
    for season in SEASONS:
        pairs = [(home, away) for home in range(20) for away in range(20) if home != away]
        days = pd.Timestamp(2000 + int(season[:2]), 8, 10) + pd.to_timedelta(
            np.arange(380) // 10 * 7, unit="D"
        )
        order, strength = random.permutation(380), random.normal(0, 0.4, 20)
        lines = [
            "Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,B365H,B365D,B365A,PSH,PSD,PSA,PSCH,PSCD,PSCA,AvgH,AvgD,AvgA"
        ]
        for day, at in zip(days, order, strict=True):
            home, away = pairs[at]
            goals = [
                int(
                    random.poisson(np.exp(0.3 + sign * (strength[home] - strength[away]) + 0.15 * (sign > 0)))
                )
                for sign in (1, -1)
            ]
            edge = strength[home] - strength[away]
            chance = np.array([np.exp(0.4 + 1.6 * edge), 0.9, np.exp(-1.6 * edge)])
            chance /= chance.sum()
            prices = [
                np.maximum(1.01, noise / chance / 1.03).round(2)
                for noise in np.exp(random.normal(0, 0.03, (4, 3)))
            ]
            won = "H" if goals[0] > goals[1] else "A" if goals[0] < goals[1] else "D"
            cells = [
                "E0",
                f"{day:%d/%m/%Y}",
                "15:00",
                f"Team {home}",
                f"Team {away}",
                *goals,
                won,
                *np.concatenate(prices),
            ]
            lines.append(",".join(map(str, cells)))
        (site / "mmz4281" / season).mkdir(parents=True, exist_ok=True)
        (site / "mmz4281" / season / "E0.csv").write_text("\n".join(lines) + "\n")


def _hash(frames: list[pd.DataFrame]) -> int:
    """Equal only where all values are, to the last bit; the same in every process, so that two pages can be held side by side."""
    text = "\n".join(
        frame.to_json(orient="split", double_precision=15, default_handler=str) for frame in frames
    )
    bits = [frame.select_dtypes("number").to_numpy(dtype=float).tobytes() for frame in frames]
    return crc32(b"\n".join([text.encode(), *bits]))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    main()
