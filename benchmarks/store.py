"""Appending 20,000 quotes: idempotent and durable here, against a bare Parquet file (neither) and SQLite with a key."""

import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from benchmarks.pairs import race
from overround.store import Store
from overround.tables import TABLES, to_arrow

ROWS = 20_000


def main() -> None:
    """Race appends of ever new batches, and the same batch again."""
    with tempfile.TemporaryDirectory() as folder:
        store, root = Store(Path(folder) / "store"), Path(folder)
        database = sqlite3.connect(root / "quotes.sqlite")
        columns = list(TABLES["quotes"].columns)
        database.execute(f"CREATE TABLE quotes ({', '.join(columns)}, UNIQUE ({', '.join(TABLES['quotes'].key)}))")
        numbers = iter(range(10**9))

        def parquet() -> None:
            pq.write_table(to_arrow("quotes", batch(next(numbers))), root / f"{next(numbers)}.parquet")

        def sqlite() -> None:
            rows = batch(next(numbers))
            rows = rows.assign(observed_at="2025-03-01", collected_at="2025-03-01", line=0.0)
            values = list(rows[columns].itertuples(index=False, name=None))
            database.executemany(f"INSERT OR IGNORE INTO quotes VALUES ({', '.join('?' * len(columns))})", values)  # noqa: S608
            database.commit()

        def delta() -> None:
            store.append("quotes", batch(next(numbers)))

        same = batch(-1)

        def again() -> None:
            store.append("quotes", same)

        contenders = {
            "bare Parquet file": parquet,
            "store.append, new rows": delta,
            "store.append, known rows": again,
            "SQLite, with a key": sqlite,
        }
        race(f"append of {ROWS:,} quotes", contenders)
        database.close()


def batch(number: int) -> pd.DataFrame:
    """Quotes of one poll at its own time, as a collector would append them."""
    at = pd.Timestamp("2025-01-01", tz="UTC") + pd.Timedelta(minutes=number + 1)
    i = np.arange(ROWS)
    return pd.DataFrame({
        "event_id": [f"{n:016x}" for n in i // 60], "bookmaker": [f"book{n}" for n in i % 20], "market": "h2h", "line": np.nan,
        "outcome": np.array(["home", "draw", "away"])[i // 20 % 3], "phase": "snapshot", "observed_at": at,
        "price": 1.5 + i % 97 / 10, "collected_at": at, "source": "benchmark", "competition": "L1", "season": "2025",
    })  # fmt: skip
