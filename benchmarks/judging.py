"""A strategy judged on ten leagues and ten seasons: what each step takes, and the memory of all of them.

`python -m benchmarks.judging STORE` measures on an existing store; with `--fill URL` it is collected first
from a server with football-data.co.uk's files (ten divisions, 2015/16 to 2024/25: 2.5 M prices). The steps
run in one process that does nothing else, so that its peak is theirs; only public names are used, so that
`PYTHONPATH` of another revision measures that one.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LEAGUES = ("D1", "E0", "E1", "E2", "E3", "F1", "I1", "N1", "SC0", "SP1")
SEASONS = tuple(f"{year:02}{year + 1:02}" for year in range(15, 25))
ROUNDS = 5


def fill(store: str, url: str) -> None:
    """Collect the files of the ten divisions."""
    import overround as ov

    os.environ |= {
        "OVERROUND_FOOTBALL_DATA_URL": url,
        "OVERROUND_STORE": store,
        "OVERROUND_CACHE": f"{store}-cache",
    }
    ov.collect("football-data", leagues=LEAGUES, seasons=SEASONS)


def steps(root: str) -> dict[str, Any]:
    """CPU seconds of each step, rows, bets, and the process's peak."""
    import overround as ov

    found: dict[str, Any] = {}
    began = time.process_time()

    def done(step: str) -> None:
        nonlocal began
        now = time.process_time()
        found[step], began = now - began, now

    # compilers and imports are not what is measured
    _, quotes, results = ov.example()
    wanted = ov.value_signals(quotes, reference="sharp")
    ov.backtest(
        wanted, results, stake=ov.Kelly(0.25), bankroll=1_000, closing=ov.closing_lines(quotes, "sharp")
    )
    ov.arbitrage_signals(quotes)
    done("warm up")
    store, where = ov.Store(root), {"competition": list(LEAGUES)}
    quotes, results = store.read("quotes", where), store.read("results", where)
    done("read")
    wanted = ov.value_signals(quotes, reference="pinnacle", method="power", min_edge=0.02)
    done("signals")
    closing = ov.closing_lines(quotes, reference="pinnacle")
    done("closing lines")
    ledger = ov.backtest(wanted, results, stake=ov.Kelly(0.25, cap=0.05), bankroll=1_000, closing=closing)
    done("backtest")
    sure = ov.arbitrage_signals(quotes)
    done("arbitrage")
    found["all"] = sum(value for name, value in found.items() if name != "warm up")
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found |= {
        "quotes": len(quotes),
        "bets": len(ledger),
        "legs": len(sure),
        "profit": float(ledger["profit"].sum()),
    }
    return found


def main() -> None:
    """Print the median of each figure over fresh processes."""
    asked = argparse.ArgumentParser(prog="python -m benchmarks.judging")
    asked.add_argument("store")
    asked.add_argument("--fill", metavar="URL")
    asked.add_argument("--one", action="store_true", help="one round, as JSON")
    given = asked.parse_args()
    if given.fill:
        fill(given.store, given.fill)
    if given.one:
        print(json.dumps(steps(given.store)))
        return
    command = [sys.executable, str(Path(__file__)), given.store, "--one"]
    rounds = [
        json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(ROUNDS)
    ]
    for name in rounds[0]:
        values = sorted(one[name] for one in rounds)
        print(f"{name:14} {values[len(values) // 2]:>14,.3f}  ({values[0]:,.3f} to {values[-1]:,.3f})")


if __name__ == "__main__":
    main()
