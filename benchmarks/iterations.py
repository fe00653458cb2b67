"""Iterations in a row: collect, signals, two backtests, comparison. They say the same, double nothing, grow by no more than they add.

`python -m benchmarks.iterations [N]` runs N (3 by default) from an empty store and again on the filled one, on generated files of
six seasons that are served on loopback, and prints a table.
"""

import sys
import tempfile
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
import psutil  # type: ignore[import-untyped]

SEASONS = ("1819", "1920", "2021", "2122", "2223", "2324")
TABLES = ("events", "quotes", "results")


def main() -> None:
    """Run and print."""
    number = next((int(word) for word in sys.argv[1:] if word.isdecimal()), 3)
    with tempfile.TemporaryDirectory() as folder:
        table = iterations(Path(folder), number)
    with pd.option_context("display.width", 200, "display.max_columns", 40):
        print(table.round(2).to_string())
    print("same results" if len(set(table["found"])) == 1 else "RESULTS DIFFER")


def iterations(folder: Path, number: int = 3) -> pd.DataFrame:
    """Facts of each iteration.

    Returns
    -------
    DataFrame
        One row an iteration: found (a hash of all numbers found), version, rows of each table, kilobytes on disk of what is collected and
        of ledgers, seconds of each stage, memory_mb.
    """
    import overround as ov
    from overround.collect import collect
    from overround.settings import Settings

    write_files(folder / "site")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder / "site")))
    Thread(target=server.serve_forever, daemon=True).start()
    settings = Settings(
        store=str(folder / "store"), cache=folder / "cache", football_data_url=f"http://127.0.0.1:{server.server_port}",
    )  # fmt: skip
    rows = []
    try:
        for i in range(number):
            store = ov.Store(settings.store_root)
            seconds: dict[str, float] = {}

            def timed(name: str, work: Any, seconds: dict = seconds) -> Any:
                began = time.perf_counter()
                done = work()
                seconds[f"{name}_s"] = time.perf_counter() - began
                return done

            got = timed(
                "collect", lambda store=store: collect("football-data", leagues=["E0"], seasons=SEASONS, settings=settings, store=store)
            )
            version = store.version()
            quotes, results = timed("read", lambda store=store, version=version: [store.read(name, version=version) for name in TABLES[1:]])
            found, ledgers = [], {}
            for reference in ("pinnacle", "market_average"):
                signals = timed(f"signals_{reference}", lambda r=reference, q=quotes: ov.value_signals(q, r, min_edge=0.01))
                ledger = timed(
                    f"backtest_{reference}", lambda s=signals, r=results: ov.backtest(s, r, stake=ov.Kelly(fraction=0.25, cap=0.05))
                )
                found.append(timed(f"evaluate_{reference}", lambda one=ledger: ov.evaluate(one, simulations=500, seed=7)))
                store.append("ledgers", ledger.assign(run_id=f"p{i}.{reference}"))
                ledgers[reference] = ledger
            compared = timed("compare", lambda some=ledgers: ov.compare_ledgers(some, simulations=500, seed=7))
            timed("measure", lambda store=store, got=got: store.append("measurements", got.meter.frame()))
            rows.append({
                "found": _hash([*found, compared]), "version": version, "new": int(got.rows["inserted"].sum()),
                **{name: len(store.read(name)) for name in (*TABLES, "ledgers")}, "bets": sum(len(one) for one in ledgers.values()),
                "collected_kb": sum(_kilobytes(folder / "store" / name) for name in TABLES),
                "ledgers_kb": _kilobytes(folder / "store" / "ledgers"),
                **seconds, "memory_mb": psutil.Process().memory_info().rss / 1e6,
            })  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    return pd.DataFrame(rows)


def write_files(site: Path) -> None:
    """Six seasons of twenty teams, two bookmakers and an average, in the provider's layout; prices are fair but for noise and a margin."""
    random = np.random.default_rng(3)
    for season in SEASONS:
        pairs = [(home, away) for home in range(20) for away in range(20) if home != away]
        days = pd.Timestamp(2000 + int(season[:2]), 8, 10) + pd.to_timedelta(np.arange(380) // 10 * 7, unit="D")
        order, strength = random.permutation(380), random.normal(0, 0.4, 20)
        lines = ["Div,Date,Time,HomeTeam,AwayTeam,FTHG,FTAG,FTR,B365H,B365D,B365A,PSH,PSD,PSA,PSCH,PSCD,PSCA,AvgH,AvgD,AvgA"]
        for day, at in zip(days, order, strict=True):
            home, away = pairs[at]
            goals = [int(random.poisson(np.exp(0.3 + sign * (strength[home] - strength[away]) + 0.15 * (sign > 0)))) for sign in (1, -1)]
            edge = strength[home] - strength[away]
            chance = np.array([np.exp(0.4 + 1.6 * edge), 0.9, np.exp(-1.6 * edge)])
            chance /= chance.sum()
            prices = [np.maximum(1.01, noise / chance / 1.03).round(2) for noise in np.exp(random.normal(0, 0.03, (4, 3)))]
            won = "H" if goals[0] > goals[1] else "A" if goals[0] < goals[1] else "D"
            cells = ["E0", f"{day:%d/%m/%Y}", "15:00", f"Team {home}", f"Team {away}", *goals, won, *np.concatenate(prices)]
            lines.append(",".join(map(str, cells)))
        (site / "mmz4281" / season).mkdir(parents=True, exist_ok=True)
        (site / "mmz4281" / season / "E0.csv").write_text("\n".join(lines) + "\n")


def _hash(frames: list[pd.DataFrame]) -> int:
    """Equal only where all values are, to the last bit."""
    text = "\n".join(frame.to_json(orient="split", double_precision=15, default_handler=str) for frame in frames)
    bits = [frame.select_dtypes("number").to_numpy(dtype=float).tobytes() for frame in frames]
    return hash((text, *bits)) & 0xFFFFFFFF


def _kilobytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e3


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    main()
