"""The store against its alternatives: appending quotes, and the last price before each kick-off.

Only the store both forces a batch to the disk before it returns and refuses repetitions; SQLite refuses them
by its key, DuckDB by an anti-join. Rows are made before the clock starts. `python -m benchmarks.store
10_000_000` asks for the last prices out of that many quotes; by default out of a million.
"""

import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.pairs import race
from overround.schema import TABLES, TIME, to_arrow
from overround.store.store import Store

KEY, COLUMNS = TABLES["quotes"].key, list(TABLES["quotes"].columns)
QUOTES, QUOTES_AN_EVENT = 1_000_000, 50
LAST_PRICE = """
    SELECT event_id, bookmaker, outcome, arg_max(price, observed_at) AS price
    FROM quotes JOIN events USING (event_id) WHERE observed_at <= starts_at GROUP BY ALL
"""


def main() -> None:
    """Race appends of 1 k, 20 k and 1 M rows, each into a growing table of its own, then the last prices."""
    for rows, rounds in ((1_000, 9), (20_000, 7), (1_000_000, 3)):
        append(rows, rounds)
    last_price(int(sys.argv[-1]) if sys.argv[-1].replace("_", "").isdigit() else QUOTES)


def append(rows: int, rounds: int) -> None:
    """Race appends of batches of this many new rows."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        batches = [batch(number, rows) for number in range(rounds + 1)]
        keyed, by_row, plain = (
            sqlite3.connect(root / f"{name}.sqlite") for name in ("keyed", "by_row", "pandas")
        )
        for database in (keyed, by_row):
            database.execute(f"CREATE TABLE quotes ({', '.join(COLUMNS)}, UNIQUE ({', '.join(KEY)}))")
        duck = duckdb.connect(root / "quotes.duckdb")
        duck.register("batch", to_arrow("quotes", batches[0]))
        duck.execute("CREATE TABLE quotes AS SELECT * FROM batch LIMIT 0")
        store = Store(root / "store")

        contenders: dict[str, Callable[[], object]] = {
            "bare Parquet file": each(batches, partial(parquet, root)),
            "store.append": each(batches, partial(store.append, "quotes")),
            "store.append, changes only": each(
                batches, partial(Store(root / "changes").append, "quotes", changes_only=True)
            ),
            "SQLite executemany, with a key": each(batches, partial(sqlite, keyed)),
            "DuckDB anti-join, no key": each(batches, partial(anti_join, duck)),
        }
        if rows <= 20_000:
            contenders["pandas.to_sql, no key"] = each(
                batches, lambda b: b.to_sql("quotes", plain, if_exists="append", index=False)
            )
            contenders["store.append, known rows"] = each(batches, partial(store.append, "quotes"))
        if rows <= 1_000:
            contenders["SQLite, a commit a row"] = each(batches, partial(sqlite_by_row, by_row))
        race(f"append of {rows:,} quotes", contenders, rounds=rounds)
        for connection in (keyed, by_row, plain, duck):
            connection.close()


def last_price(n: int) -> None:
    """Race the query over the compacted store and over bare files of the same rows."""
    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder), Store(Path(folder) / "store")
        events, quotes = matches(n // QUOTES_AN_EVENT), history(n)
        pq.write_table(events, root / "events.parquet")
        pq.write_table(quotes, root / "quotes.parquet", compression="zstd", row_group_size=131_072)
        store.append("events", events.to_pandas())
        for start in range(0, n, 1_000_000):
            store.append("quotes", quotes.slice(start, 1_000_000).to_pandas())
        store.compact()
        bare = duckdb.connect()
        for name in ("events", "quotes"):
            file = root / f"{name}.parquet"
            bare.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet('{file}')")  # noqa: S608
        contenders: dict[str, Callable[[], object]] = {
            "DuckDB over bare Parquet": lambda: bare.sql(LAST_PRICE).to_arrow_table().to_pandas(),
            "Store.sql": lambda: store.sql(LAST_PRICE),
        }
        race(
            f"last price before kick-off of {n // QUOTES_AN_EVENT:,} events out of {n:,} quotes",
            contenders,
            rounds=3,
        )
        bare.close()


def each(batches: list[pd.DataFrame], work: Callable[[pd.DataFrame], object]) -> Callable[[], object]:
    """A function that works on the next batch at each call."""
    rest: Iterator[pd.DataFrame] = iter(batches)
    return lambda: work(next(rest))


def parquet(root: Path, rows: pd.DataFrame) -> None:
    """Write a file of its own."""
    pq.write_table(to_arrow("quotes", rows), root / f"{rows['observed_at'].iloc[0].value}.parquet")


def sqlite(database: sqlite3.Connection, rows: pd.DataFrame) -> None:
    """Insert the rows that the key allows, in one commit."""
    database.executemany(INSERT, plain_rows(rows))
    database.commit()


def sqlite_by_row(database: sqlite3.Connection, rows: pd.DataFrame) -> None:
    """Insert and commit one row after the other."""
    for row in plain_rows(rows):
        database.execute(INSERT, row)
        database.commit()


INSERT = f"INSERT OR IGNORE INTO quotes VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608


def plain_rows(rows: pd.DataFrame) -> list[tuple]:
    """Rows as SQLite takes them; a missing line is 0, since SQLite's keys treat two nulls as different."""
    times = {name: rows[name].astype("int64") for name in ("observed_at", "collected_at")}
    return list(rows.assign(**times, line=0.0)[COLUMNS].itertuples(index=False, name=None))


def anti_join(duck: duckdb.DuckDBPyConnection, rows: pd.DataFrame) -> None:
    """Insert the rows whose key is not stored."""
    duck.register("batch", to_arrow("quotes", rows))
    same = " AND ".join(f"q.{name} IS NOT DISTINCT FROM batch.{name}" for name in KEY)
    duck.execute(
        f"INSERT INTO quotes FROM batch WHERE NOT EXISTS (SELECT 1 FROM quotes q WHERE {same})"  # noqa: S608
    )


def batch(number: int, rows: int) -> pd.DataFrame:
    """Quotes of one poll at its own time, as a collector would append them."""
    at = pd.Timestamp("2025-01-01", tz="UTC") + pd.Timedelta(minutes=number + 1)
    i = np.arange(rows)
    return pd.DataFrame(
        {
            "event_id": [f"{n:016x}" for n in i // 60],
            "bookmaker": [f"book{n}" for n in i % 20],
            "market": "h2h",
            "line": np.nan,
            "outcome": np.array(["home", "draw", "away"])[i // 20 % 3],
            "phase": "snapshot",
            "observed_at": at,
            "price": 1.5 + (i + number) % 97 / 10,
            "collected_at": at,
            "source": "benchmark",
            "competition": "L1",
            "season": "2025",
        }
    )


def matches(n: int) -> pa.Table:
    """Ten seasons of matches, ten minutes apart."""
    i = np.arange(n)
    start = pd.Series(pd.Timestamp("2015-08-01", tz="UTC") + pd.to_timedelta(i * 10, unit="min")).astype(
        "datetime64[us, UTC]"
    )
    return to_arrow(
        "events",
        pd.DataFrame(
            {
                "event_id": [f"{k:016x}" for k in i],
                "sport": "soccer",
                "competition": "L1",
                "season": season(i, n),
                "starts_at": start,
                "time_known": True,
                "home": "A",
                "away": "B",
                "source": "benchmark",
            }
        ),
    )


def history(n: int) -> pa.Table:
    """Price changes of five bookmakers from three days before to an hour after each kick-off, unsorted."""
    rng, of = np.random.default_rng(1), np.arange(n) // QUOTES_AN_EVENT
    start = matches(n // QUOTES_AN_EVENT)["starts_at"].cast(pa.int64()).to_numpy()
    at = pa.array(start[of] + rng.integers(-3 * 86_400, 3_600, n) * 1_000_000, TIME)

    def word(words: list[str], which: np.ndarray) -> pa.Array:
        return pa.array(words).take(pa.array(which))

    same = np.zeros(n, int)
    return pa.table(
        {
            "event_id": word([f"{k:016x}" for k in range(n // QUOTES_AN_EVENT)], of),
            "bookmaker": word([f"book{k}" for k in range(5)], rng.integers(0, 5, n)),
            "market": word(["h2h"], same),
            "line": pa.nulls(n, pa.float64()),
            "outcome": word(["home", "draw", "away"], rng.integers(0, 3, n)),
            "phase": word(["snapshot"], same),
            "observed_at": at,
            "price": 1.01 + rng.integers(0, 500, n) / 100,
            "collected_at": at,
            "source": word(["benchmark"], same),
            "competition": word(["L1"], same),
            "season": pa.array(season(of, n // QUOTES_AN_EVENT).tolist()),
        },
        schema=TABLES["quotes"].schema,
    )


def season(event: np.ndarray, events: int) -> np.ndarray:
    """One of ten for each event."""
    return (2015 + event * 10 // events).astype(str)


if __name__ == "__main__":
    main()
