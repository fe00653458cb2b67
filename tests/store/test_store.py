"""The store: all or nothing, nothing twice, nothing lost, and any version again."""

import errno
import os
import pickle
import random
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from overround import Store
from overround.encoding import ENCODED
from overround.errors import StoreError, TableError
from overround.schema import TABLES
from overround.store import commits, fsync
from tests.support.books import KICK_OFF, quote, quotes, result, results, three_way
from tests.support.disks import mounted
from tests.support.servers import require
from tests.support.stores import event, many

QUOTE_KEY = list(TABLES["quotes"].key)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_is_appended_is_read_back_with_its_kick_off(store):
    store.append("events", [event()])
    store.append("quotes", quotes(three_way()))

    rows = store.read("quotes")

    assert rows[["outcome", "price"]].to_numpy().tolist() == [["home", 2.0], ["draw", 3.5], ["away", 4.0]]
    assert (rows["starts_at"] == KICK_OFF).all()


def test_the_same_batch_again_adds_nothing_and_makes_no_version(store):
    first = store.append("quotes", many(50))

    again = store.append("quotes", many(50).sample(frac=1, random_state=1))

    assert (first.inserted, again.inserted, again.updated, again.unchanged) == (150, 0, 0, 150)
    assert again.version == first.version
    assert len(store.read("quotes")) == 150


def test_a_key_given_twice_in_a_batch_is_stored_once_as_given_last(store):
    store.append("quotes", quotes(quote(price=2.0), quote(price=2.1)))

    assert store.read("quotes")["price"].tolist() == [2.1]


def test_keys_with_nothing_in_them_are_compared_too(store):
    # h2h has no line and an early price no time: nothing equals nothing here
    store.append(
        "quotes",
        quotes(
            quote(),
            quote(market="totals", outcome="over", line=2.5),
            quote(phase="snapshot", at="2025-03-01 10:00"),
        ),
    )

    again = store.append(
        "quotes",
        quotes(
            quote(),
            quote(market="totals", outcome="over", line=3.5),
            quote(phase="snapshot", at="2025-03-01 11:00"),
        ),
    )

    assert (again.inserted, again.unchanged) == (2, 1)


def test_a_corrected_price_replaces_the_old_one_which_the_version_before_still_has(store):
    before = store.append("quotes", many(3)).version

    done = store.append("quotes", quotes(three_way("m1", prices=(2.2, 3.5, 4.0)), three_way("m9")))

    assert (done.inserted, done.updated, done.unchanged) == (3, 1, 2)
    now = store.read("quotes", {"event_id": "m1", "outcome": "home"})["price"].tolist()
    then = store.read("quotes", {"event_id": "m1", "outcome": "home"}, version=before)["price"].tolist()
    assert (now, then) == ([2.2], [2.0])
    assert len(store.read("quotes")) == 12


def test_when_it_was_collected_alone_is_no_news(store):
    store.append("quotes", many(2))

    assert (
        store.append("quotes", many(2).assign(collected_at=pd.Timestamp("2026-01-01", tz="UTC"))).updated == 0
    )


def test_a_score_that_arrives_later_fills_its_match(store):
    store.append("results", [result(home=None, away=None, status="unknown")])

    done = store.append("results", [result(home=2, away=1)])

    assert done.updated == 1
    assert store.read("results")[["home_score", "away_score", "status"]].to_numpy().tolist() == [
        [2, 1, "final"]
    ]


def test_an_event_that_moves_to_another_season_stays_one_event(store):
    store.append("events", [event(season="2024")])

    store.append("events", [event(start=KICK_OFF + pd.Timedelta(days=300), season="2025")])

    assert store.read("events")["season"].tolist() == ["2025"]


def test_prices_stored_before_their_event_moved_are_read_with_the_new_kick_off(store):
    later = KICK_OFF + pd.Timedelta(days=300)
    store.append("events", [event("m1"), event("m2")])
    store.append(
        "quotes", quotes(three_way("m1"), three_way("m2"), three_way("unknown")).assign(season="2425")
    )
    store.append("events", [event("m2", later, season="2526")])

    rows = store.read("quotes", {"season": "2425"})

    starts = rows.groupby("event_id")["starts_at"].agg(lambda found: found.iloc[0])
    assert starts["m1"] == KICK_OFF
    assert starts["m2"] == later
    assert starts["unknown"] is pd.NaT


def test_a_bad_row_writes_nothing_of_its_batch(store):
    store.append("quotes", many(2))

    with pytest.raises(TableError, match="above 1"):
        store.append("quotes", quotes(three_way("new"), quote("new2", price=0.9)))

    assert len(store.read("quotes")) == 6


def test_reading_pushes_down_columns_and_conditions(store):
    store.append("quotes", many(5))

    chosen = {"event_id": ["m1", "m2"], "outcome": "home"}
    rows = store.read("quotes", chosen, ["event_id", "price"])

    assert rows.to_numpy().tolist() == [["m1", 2.0], ["m2", 2.0]]
    assert store.read("quotes", chosen, iter(["event_id", "price"])).equals(rows)


@pytest.mark.parametrize("where", [None, {"bookmaker": ["b", "d"], "season": "2425"}])
def test_words_are_read_as_sorted_categories_that_occur_in_rows_as_stored(store, where):
    given = pd.concat(
        quotes(three_way("m1")).assign(bookmaker=bookmaker, season=season)
        for bookmaker, season in (("d", "2425"), ("b", "2425"), ("a", "2324"))
    )
    store.append("quotes", given)

    rows = store.read("quotes", where)

    words = [name for name, kind in rows.dtypes.items() if isinstance(kind, pd.CategoricalDtype)]
    assert words == [name for name in TABLES["quotes"].columns if name in ENCODED]
    kept = given[given["season"].eq("2425") if where else given["season"].notna()]
    stored_first = kept.sort_values("season", kind="stable")
    for name in words:
        assert rows[name].tolist() == stored_first[name].tolist()
        assert rows[name].cat.categories.tolist() == sorted(kept[name].unique())


def test_rows_that_were_read_are_appended_again_as_the_same_rows(store, tmp_path):
    store.append("events", [event("m0")])
    store.append("quotes", many(3))
    rows = store.read("quotes")

    assert store.append("quotes", rows).unchanged == len(rows)
    other = Store(tmp_path / "other")
    assert other.append("quotes", rows).inserted == len(rows)
    other.append("events", store.read("events"))
    pd.testing.assert_frame_equal(other.read("quotes"), rows)
    file = next((tmp_path / "other" / "quotes").rglob("*.parquet"))
    assert pq.read_schema(file).field("bookmaker").type == "string"


def test_an_answer_in_sql_has_categories_as_read_has_them(store):
    store.append("quotes", quotes(three_way("m1"), three_way("m0")))

    rows = store.sql("SELECT outcome, event_id, market || '!' AS loud FROM quotes WHERE outcome != 'draw'")

    assert rows["outcome"].cat.categories.tolist() == ["away", "home"]
    assert rows["event_id"].cat.categories.tolist() == ["m0", "m1"]
    assert rows["loud"].tolist() == ["h2h!"] * 4
    none = store.sql("SELECT outcome FROM quotes WHERE price < 1")
    assert none["outcome"].cat.categories.tolist() == []


def test_rows_that_were_read_can_be_changed(store):
    store.append("quotes", many(2))

    for rows in (store.read("quotes"), store.sql("SELECT price FROM quotes")):
        rows.loc[0, "price"] = 9.5
        assert rows["price"].iloc[0] == 9.5


def test_an_empty_store_reads_as_empty_tables(store):
    assert store.read("quotes").empty
    assert "starts_at" in store.read("quotes")
    assert store.version() == ""


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda s: s.read("odds"), "no table 'odds'; the tables are events, quotes"),
        (lambda s: s.read("quotes", {"colour": "red"}), "no column 'colour'; it has event_id"),
        (lambda s: s.read("quotes", {"starts_at": KICK_OFF}), "no column 'starts_at'"),
        (lambda s: s.read("quotes", columns=iter(["price", "colour"])), "no column 'colour'"),
        (lambda s: s.read("quotes", version=99), "version 99 of quotes"),
        (lambda s: s.read("quotes", version="newest"), "'newest' cannot be read; it looks like"),
        (lambda s: s.sql("SELECT nothing FROM quotes"), "nothing"),
        (lambda s: s.sql("-- later"), "the query asks nothing; write a SELECT"),
    ],
)
def test_what_cannot_be_answered_is_said_in_a_sentence(store, call, sentence):
    store.append("quotes", many(1))

    with pytest.raises((StoreError, TableError), match=sentence):
        call(store)


def test_the_version_string_gives_the_same_rows_again(store):
    store.append("events", [event("m0"), event("m1")])
    store.append("quotes", many(1))
    version = store.version()
    store.append("quotes", many(2))

    assert len(store.read("quotes", version=version)) == 3
    assert store.sql("SELECT count(*) AS n FROM quotes", version=version)["n"].tolist() == [3]
    assert version == "events=1,quotes=1"


@pytest.mark.slow
def test_sql_speaks_utc_whatever_the_machines_zone(store):
    store.append("quotes", quotes(quote(phase="snapshot", at="2025-03-01 23:30")))
    script = textwrap.dedent("""
        import sys, overround as ov
        query = "SELECT observed_at, date_trunc('day', observed_at) FROM quotes"
        print(ov.Store(sys.argv[1]).sql(query).iloc[0].tolist())
    """)

    tokyo = {**os.environ, "TZ": "Asia/Tokyo"}
    said = subprocess.run(
        [sys.executable, "-c", script, store.root], env=tokyo, capture_output=True, text=True, check=True
    ).stdout

    assert (
        said.strip() == "[Timestamp('2025-03-01 23:30:00+0000', tz='UTC'), "
        "Timestamp('2025-03-01 00:00:00+0000', tz='UTC')]"
    )


def test_seasons_with_a_slash_and_leagues_with_a_quote_are_only_text(store):
    odd = quotes(quote()).assign(season="2012/2013", competition="L'1")
    store.append("quotes", odd)

    assert store.append("quotes", odd).unchanged == 1
    assert store.sql("SELECT season, competition FROM quotes").to_numpy().tolist() == [["2012/2013", "L'1"]]


@pytest.mark.slow
def test_writers_that_race_with_the_same_batches_store_every_row_once(tmp_path):
    # real processes: each appends the same ten batches in its own order, as two collectors of one league
    # would
    script = textwrap.dedent("""
        import random, sys
        from overround import Store
        from tests.support.stores import many
        store, order = Store(sys.argv[1]), list(range(10))
        random.Random(sys.argv[2]).shuffle(order)
        print(sum(store.append("quotes", many(40, bookmaker=f"b{i}")).inserted for i in order))
    """)
    root = str(tmp_path / "store")

    command = [sys.executable, "-c", script, root]
    writers = [
        subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        for i in range(3)
    ]
    inserted = [int(writer.communicate(timeout=120)[0]) for writer in writers]

    rows = Store(root).read("quotes")
    assert sum(inserted) == len(rows) == 10 * 120
    assert not rows.duplicated(["event_id", "bookmaker", "outcome"]).any()


@pytest.mark.slow
def test_readers_see_whole_batches_while_a_writer_writes(store):
    store.append("quotes", many(10, bookmaker="b"))

    def write() -> None:
        for i in range(15):
            store.append("quotes", many(10, bookmaker=f"b{i}"))

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        sizes = []
        while not writing.done():
            sizes.append(len(Store(store.root).read("quotes")))
        writing.result()

    assert {size % 30 for size in sizes} == {0}
    assert sizes == sorted(sizes)


@pytest.mark.slow
def test_a_kill_at_any_moment_loses_no_acknowledged_batch(tmp_path):
    script = textwrap.dedent("""
        import sys
        from overround import Store
        from tests.support.stores import many
        store = Store(sys.argv[1])
        for i in range(int(sys.argv[2]), 1000):
            store.append("quotes", many(20, bookmaker=f"b{i}"))
            print(i, flush=True)
    """)
    root, acknowledged = str(tmp_path / "store"), []
    for attempt in range(6):
        begin = max(acknowledged, default=-1) + 1
        writer = subprocess.Popen(
            [sys.executable, "-c", script, root, str(begin)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        acknowledged.append(int(writer.stdout.readline()))
        time.sleep(0.05 + 0.037 * attempt)
        writer.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in writer.stdout.read().split()]
        writer.wait()

    rows = Store(root).read("quotes")
    by_book = rows["bookmaker"].value_counts()
    assert set(acknowledged) <= {int(name[1:]) for name in by_book.index}
    assert (by_book == 60).all()


def test_an_acknowledged_commit_has_been_forced_to_the_disk(store, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink()), real(fd))
    )

    store.append("quotes", many(1))

    kinds = {path.suffix or "folder" for path in synced}
    assert kinds == {".parquet", ".json", "folder"}


def test_a_file_system_that_forces_no_folders_is_used_after_one_warning(store, monkeypatch, caplog):
    real = os.fsync

    def files_only(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    monkeypatch.setattr(fsync, "_warned", set())

    for _ in range(2):
        store.append("quotes", many(1))

    assert len(store.read("quotes")) == len(many(1))
    assert caplog.text.count("cannot force a folder to the disk (Invalid argument)") == 1


def test_a_file_that_cannot_be_forced_to_the_disk_is_refused_and_leaves_nothing(store, monkeypatch):
    store.append("quotes", many(1))
    before, real = set(Path(store.root).rglob("*.parquet")), os.fsync

    def no_folder(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", no_folder)

    for number in range(2, 6):
        with pytest.raises(StoreError, match="Input/output error"):
            store.append("quotes", many(number))

    assert set(Path(store.root).rglob("*.parquet")) == before


def test_a_commit_that_the_log_does_not_take_leaves_nothing_and_says_why(store):
    store.append("quotes", many(1))
    before, log = set(Path(store.root).rglob("*.parquet")), Path(store.root) / "quotes" / "_delta_log"
    bound = subprocess.run(["mount", "--bind", log, log], capture_output=True, text=True)
    require(not bound.returncode, f"nothing can be mounted here: {bound.stderr.strip()}", of_machine=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", log], check=True)
        for number in range(2, 6):
            with pytest.raises(StoreError, match=r"\(the file system is read-only\); nothing was written\.$"):
                store.append("quotes", many(number))
    finally:
        subprocess.run(["umount", "-l", log], check=True)

    assert set(Path(store.root).rglob("*.parquet")) == before
    assert store.append("quotes", many(2)).inserted == len(many(2)) - len(many(1))


def test_a_failed_append_to_new_partitions_leaves_neither_files_nor_folders(store):
    store.append("quotes", many(1))
    before = set(Path(store.root).rglob("*"))
    # a file where the folder of the second partition has to be
    taken = next(Path(store.root).rglob("season=*")).parent / "season=2728"
    taken.write_text("")

    for _ in range(2):
        with pytest.raises(StoreError, match="nothing was written"):
            store.append("quotes", pd.concat([many(1).assign(season=season) for season in ("2627", "2728")]))
    taken.unlink()

    assert set(Path(store.root).rglob("*")) == before


def test_a_store_that_cannot_be_made_leaves_no_folders(no_hard_links, tmp_path):
    (tmp_path / "mine").mkdir()
    code = "import sys; from overround import Store; from tests.support.stores import many; Store(sys.argv[1]).append('quotes', many(2))"
    for root in ("mine", "a/new/one", "a%20b [c]"):
        done = no_hard_links(code, str(tmp_path / root))

        assert "has no hard links, which a commit needs" in done.stderr

    assert [path for path in tmp_path.rglob("*") if path.is_dir()] == [tmp_path / "mine"]


@pytest.fixture
def no_hard_links(tmp_path):
    """Runs code on a disk without hard links."""
    compiler = shutil.which("cc")
    require(bool(compiler), "there is no C compiler to take hard links away with")
    (tmp_path / "nolink.c").write_text(
        "#include <errno.h>\n"
        "int link(const char *a, const char *b) { errno = EPERM; return -1; }\n"
        "int linkat(int a, const char *b, int c, const char *d, int e) { errno = EPERM; return -1; }\n"
    )
    library = tmp_path / "nolink.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "nolink.c"], check=True)

    def run(code: str, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", code, *words],
            env={**os.environ, "LD_PRELOAD": str(library)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
        )

    return run


def test_a_disk_without_hard_links_is_named_and_nothing_is_left(store, no_hard_links):
    store.append("quotes", many(1))
    before = set(Path(store.root).rglob("*"))

    done = no_hard_links(
        "import sys; from overround import Store; from tests.support.stores import many; "
        "Store(sys.argv[1]).append('quotes', many(2).assign(season='2627'))",
        store.root,
    )

    assert "has no hard links, which a commit needs" in done.stderr
    assert set(Path(store.root).rglob("*")) == before


def test_files_that_the_log_names_survive_an_error_after_the_commit(store):
    store.append("quotes", many(1))
    files = set(Path(store.root).rglob("*.parquet"))
    delta, folder = store.catalog.open("quotes"), Path(store.root) / "quotes"

    commits._remove_unnamed(delta, [str(path.relative_to(folder)) for path in files], 0)

    assert set(Path(store.root).rglob("*.parquet")) == files


@pytest.mark.parametrize("call", ["compact", "vacuum", "repair", "check"])
def test_what_a_read_only_disk_does_not_allow_is_a_sentence(tmp_path, call):
    with mounted(tmp_path, "size=16m"):
        store = Store(tmp_path / "store")
        for number in (1, 2):
            store.append("quotes", many(number))
        log = tmp_path / "store" / "quotes" / "_delta_log"
        if call in ("repair", "check"):
            (log / f"{2:020d}.json").rename(log / f"{9:020d}.json.gone")
            (log / f"{2:020d}.json").write_text("{")
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)

        if call == "check":
            assert "half-written last log entry" in set(store.check()["what"])
            return
        with pytest.raises(StoreError, match=r"store .*: .*the file system is read-only"):
            getattr(store, call)()


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="quotes"):
        Store(tmp_path / "file" / "store").append("quotes", many(1))


def poll(rng, at, price):
    """A few prices of two events, some moved, some late, some of no clock time."""
    rows = []
    for match, book, outcome in {
        (f"m{rng.randrange(2)}", f"b{rng.randrange(2)}", rng.choice(["home", "away"])) for _ in range(5)
    }:
        if rng.random() < 0.5:
            price[match, book, outcome] = rng.choice([2.0, 2.5, 3.0])
        late = rng.choice([0, 0, 0, 1, 5])
        when = None if rng.random() < 0.1 else f"2025-02-01 10:{max(at - late, 0):02d}"
        value = price.get((match, book, outcome), 2.0)
        rows.append(quote(match, book, outcome, value, phase="snapshot" if when else "early", at=when))
    return quotes(rows)


def naive_changes(stored: dict, batch: pd.DataFrame) -> None:
    """The rule in plain words, one row after the other."""
    rows = {}
    for row in batch.itertuples():
        rows[
            row.event_id,
            row.bookmaker,
            row.outcome,
            row.phase,
            row.observed_at if row.phase == "snapshot" else None,
        ] = row.price
    for (*who, at), price in sorted(rows.items(), key=lambda row: row[0][-1] or KICK_OFF):
        before = [
            (key[-1], old) for key, old in stored.items() if at and list(key[:-1]) == who and key[-1] < at
        ]
        if (*who, at) in stored or not before or max(before)[1] != price:
            stored[(*who, at)] = price


def found(store) -> dict:
    rows = store.read("quotes").itertuples()
    return {
        (
            r.event_id,
            r.bookmaker,
            r.outcome,
            r.phase,
            None if pd.isna(r.observed_at) else r.observed_at,
        ): r.price
        for r in rows
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_only_changes_are_stored_as_a_naive_reading_of_the_history_has_them(tmp_path, seed):
    rng, stored, price = random.Random(seed), {}, {}  # noqa: S311
    stores = [
        Store(tmp_path / "store"),
        Store(tmp_path / "store"),
    ]  # two collectors, in turns: each sees the other's files
    for at in range(12):
        batch = poll(rng, at, price)
        naive_changes(stored, batch)

        done = rng.choice(stores).append("quotes", batch, changes_only=True)

        assert done.inserted + done.updated + done.unchanged == len(batch.drop_duplicates(QUOTE_KEY))
        if at == 6:
            stores[0].compact()
    assert found(stores[0]) == stored


def test_a_price_that_stands_is_stored_once_however_often_it_is_seen(store):
    done = [
        store.append(
            "quotes", quotes(quote(price=p, phase="snapshot", at=f"2025-03-01 10:0{i}")), changes_only=True
        )
        for i, p in enumerate([2.0, 2.0, 2.1, 2.1, 2.0])
    ]

    assert [(one.inserted, one.unchanged) for one in done] == [(1, 0), (0, 1), (1, 0), (0, 1), (1, 0)]


def test_a_late_price_is_held_against_what_stood_at_its_own_time(store):
    for at, price in (("10:00", 2.0), ("10:10", 2.5)):
        store.append(
            "quotes", quotes(quote(price=price, phase="snapshot", at=f"2025-03-01 {at}")), changes_only=True
        )

    same = store.append(
        "quotes", quotes(quote(price=2.0, phase="snapshot", at="2025-03-01 10:05")), changes_only=True
    )
    other = store.append(
        "quotes", quotes(quote(price=2.5, phase="snapshot", at="2025-03-01 10:05")), changes_only=True
    )

    # the row of 10:10 repeats the late one now, and stays: what is stored is never taken away
    assert (same.inserted, other.inserted, len(store.read("quotes"))) == (0, 1, 3)


def test_an_event_that_was_forgotten_is_looked_up_again(store):
    for day, name in ((1, "m1"), (9, "m2"), (9, "m1")):
        at = f"2025-02-{day:02d} 10:00"
        done = store.append("quotes", quotes(quote(name, phase="snapshot", at=at)), changes_only=True)

    assert (done.inserted, done.unchanged) == (0, 1)


def test_changes_are_only_for_quotes(store):
    with pytest.raises(StoreError, match="changes_only is for quotes"):
        store.append("events", [event()], changes_only=True)


@pytest.mark.slow
def test_two_collectors_that_see_the_same_prices_store_each_change_once(tmp_path):
    # real processes go through one history, each with its own clock: the second sees all a moment later
    script = textwrap.dedent("""
        import random, sys
        from overround import Store
        from tests.support.books import quotes, three_way
        store, late, rng, price = Store(sys.argv[1]), int(sys.argv[2]), random.Random(3), [2.0] * 5
        for minute in range(15):
            price = [rng.choice([2.0, 2.5, 3.0]) if rng.random() < 0.3 else old for old in price]
            at = f"2025-03-01 10:{minute:02d}:{late:02d}"
            rows = [
                three_way(f"m{i}", prices=(p, p, p), phase="snapshot", at=at) for i, p in enumerate(price)
            ]
            store.append("quotes", quotes(*rows), changes_only=True)
            sys.stdout.write("."); sys.stdout.flush(); sys.stdin.readline()
    """)
    root = str(tmp_path / "store")
    command = [sys.executable, "-c", script, root]
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "text": True,
        "cwd": Path(__file__).parents[2],
    }
    collectors = [subprocess.Popen([*command, late], **pipes) for late in ("00", "07")]

    for _ in range(15):  # minute by minute, both at once
        for one in collectors:
            assert one.stdout.read(1) == "."
        for one in collectors:
            one.stdin.write("\n")
            one.stdin.flush()
    assert [one.wait(60) for one in collectors] == [0, 0]
    for one in collectors:
        one.stdin.close()
        one.stdout.close()

    rng, price, before, changes = random.Random(3), [2.0] * 5, [None] * 5, 0  # noqa: S311
    for _ in range(15):
        price = [rng.choice([2.0, 2.5, 3.0]) if rng.random() < 0.3 else old for old in price]
        changes, before = changes + sum(a != b for a, b in zip(price, before, strict=True)), price
    rows = Store(root).read("quotes").sort_values("observed_at")
    steps = rows.groupby(["event_id", "outcome"])["price"].apply(lambda p: (p != p.shift()).sum()).sum()
    # a change that the earlier clock reports after the later one stands as its own row; it is no further
    # change of price
    assert steps == 3 * changes
    assert len(rows) <= 3 * changes + 3 * 15


def test_a_store_that_was_removed_and_made_anew_is_seen(store):
    store.append("quotes", many(1))
    shutil.rmtree(store.root)

    assert store.append("quotes", many(1)).inserted == 3
    assert len(store.read("quotes")) == 3


def test_a_store_travels_to_another_process_without_its_open_tables(store):
    store.append("quotes", many(1))

    assert pickle.loads(pickle.dumps(store)).append("quotes", many(1)).unchanged == 3  # noqa: S301  # our own


def test_a_correction_forces_its_files_to_the_disk_too(store, monkeypatch):
    store.append("quotes", many(2))
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: (synced.append(Path(f"/proc/self/fd/{fd}").readlink()), real(fd))
    )

    store.append("quotes", many(2, prices=(2.5, 3.5, 4.0)))

    assert {path.suffix for path in synced} == {".parquet", ".json", ""}
    # the entry of each new file in its folder, too
    assert {path.parent for path in synced if path.suffix} <= set(synced)


@pytest.mark.parametrize("one_line", [False, True])
def test_a_corrected_line_takes_the_place_of_the_old_one_where_a_market_has_one_line(tmp_path, one_line):
    store = Store(tmp_path / "store")

    def spread(line: float, price: float, *, phase: str = "early", bookmaker: str = "acme") -> pd.DataFrame:
        shown = [("spreads", "home", price), ("spreads", "away", 2.0)]
        at = KICK_OFF if phase == "snapshot" else None
        return pd.DataFrame(
            [
                {
                    "event_id": "m1",
                    "bookmaker": bookmaker,
                    "market": market,
                    "line": line,
                    "outcome": outcome,
                    "phase": phase,
                    "observed_at": at,
                    "price": one,
                    "collected_at": KICK_OFF,
                    "source": "test",
                    "competition": "L1",
                    "season": "2425",
                }
                for market, outcome, one in shown
            ]
        )

    others = [
        spread(-0.5, 1.9, **one) for one in ({"phase": "close"}, {"phase": "snapshot"}, {"bookmaker": "b"})
    ]
    store.append("quotes", pd.concat([spread(-0.5, 1.8), *others]))
    store.append("quotes", spread(-0.25, 1.7), one_line=one_line)
    store.append("quotes", spread(-0.25, 1.7), one_line=one_line)

    rows = store.read("quotes")
    early = rows[(rows["phase"] == "early") & (rows["bookmaker"] == "acme")]
    assert sorted(early["line"].unique()) == ([-0.25] if one_line else [-0.5, -0.25])
    assert len(rows) - len(early) == 6
    assert store.check().empty


def test_one_line_is_for_quotes(tmp_path):
    with pytest.raises(StoreError, match="one_line is for quotes"):
        Store(tmp_path).append("events", [event()], one_line=True)


def test_results_say_whether_the_time_of_their_kick_off_is_known(tmp_path):
    store = Store(tmp_path / "store")
    store.append("events", [event("m1"), {**event("m2", season="2526"), "time_known": False}])
    store.append("results", results(result("m1"), result("m2", 2, 2), result("m3")))

    read = store.read("results").set_index("event_id")

    assert read["time_known"].loc[["m1", "m2"]].tolist() == [True, False]
    assert read["time_known"].isna().tolist() == read["starts_at"].isna().tolist() == [False, False, True]
    # m2 moved to another season than its result's
    part = store.read("results", {"season": "2425"}, ["event_id", "time_known"]).set_index("event_id")
    assert part["time_known"].loc[["m1", "m2"]].tolist() == [True, False]
    assert "time_known" not in store.read("quotes")


def test_whether_a_score_has_overtime_is_kept_and_may_be_unknown(tmp_path):
    store = Store(tmp_path / "store")
    store.append("results", results(result("old")))
    store.append("results", results(result("m1"), result("m2")).assign(with_overtime=[True, False]))

    read = store.read("results").set_index("event_id")["with_overtime"]

    assert read.loc[["m1", "m2"]].tolist() == [True, False]
    assert read.isna().to_dict() == {"old": True, "m1": False, "m2": False}
