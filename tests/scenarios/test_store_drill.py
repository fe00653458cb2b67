"""The store under fire: killed writers, a full disk, many processes at once. What was acknowledged is there,
once.
"""

import json
import resource
import signal
from pathlib import Path

import pandas as pd
import pytest

from overround import Store
from overround.errors import StoreError
from overround.schema import TABLES
from tests.support.disks import mounted
from tests.support.stores import many
from tests.support.writers import killed, overlapping, python

pytestmark = pytest.mark.slow


def test_fifty_kills_at_random_moments_lose_and_double_no_acknowledged_batch(tmp_path):
    root = tmp_path / "store"

    acknowledged = killed(root, 50, appends=(0.5, 8), timeout_s=300)

    store = Store(root)
    by_book = store.read("quotes")["bookmaker"].value_counts()
    damage = store.check().query("what != 'orphan file'")

    assert len(acknowledged) == len(set(acknowledged)) >= 20
    assert {f"b{i}" for i in acknowledged} <= set(by_book.index)
    assert (by_book == 60).all()
    assert damage.empty
    assert store.append("quotes", many(20, bookmaker="after")).inserted == 60


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path, "size=600k"):
        yield tmp_path


def test_a_full_disk_is_an_error_that_loses_nothing_and_work_goes_on_when_there_is_room(small_disk):
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    store, stored = Store(small_disk / "store"), 0

    with pytest.raises(StoreError, match="nothing was written"):
        for i in range(500):
            store.append("quotes", many(300, bookmaker=f"b{i}"))
            stored += 900
    assert len(store.read("quotes")) == stored > 0
    assert store.check().query("what != 'orphan file'").empty

    ballast.unlink()
    before = stored // 900
    assert store.append("quotes", many(300, bookmaker=f"b{before}")).inserted == 900
    assert not Store(store.root).read("quotes").duplicated(list(TABLES["quotes"].key)).any()


def test_a_file_that_may_not_grow_is_an_error_too(tmp_path):
    # what a quota does, and what shows a full disk where none can be mounted
    store = Store(tmp_path / "store")
    store.append("quotes", many(10))
    limit, was = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limit[1]))
    try:
        with pytest.raises(StoreError, match="nothing was written"):
            store.append("quotes", many(5_000, bookmaker="big"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, was)

    assert len(store.read("quotes")) == 30
    assert store.append("quotes", many(5_000, bookmaker="big")).inserted == 15_000


def test_four_writers_and_two_readers_at_once_double_nothing_and_tear_nothing(tmp_path):
    root = tmp_path / "store"
    Store(root).append("quotes", many(30, bookmaker="b0"))
    read = """
        import json, pathlib, sys
        from overround import Store
        store, sizes = Store(sys.argv[1]), []
        while not pathlib.Path(sys.argv[2]).exists():
            sizes.append(len(store.read("quotes", columns=["price"])) if len(sizes) % 2 else
                         int(store.sql("SELECT count(*) AS n FROM quotes")["n"].iloc[0]))
        print(json.dumps(sizes))
    """
    ended = tmp_path / "ended"

    readers = [python(read, root, ended) for _ in range(2)]
    writers = overlapping(root, 40)
    inserted = [int(writer.communicate(timeout=240)[0]) for writer in writers]
    ended.touch()
    sizes = [json.loads(reader.communicate(timeout=60)[0]) for reader in readers]

    rows = Store(root).read("quotes")
    assert len(rows) == 40 * 90 == sum(inserted) + 90
    assert not rows.duplicated(list(TABLES["quotes"].key)).any()
    for seen in sizes:
        assert len(seen) > 3
        assert {size % 90 for size in seen} == {0}
        assert seen == sorted(seen)


def test_hundreds_of_appends_leave_few_files_and_a_short_way_to_open_them(tmp_path):
    # what an append costs shows in counts, whatever else the machine is doing
    store = Store(tmp_path / "store")
    for i in range(300):
        at = (pd.Timestamp("2025-01-01", tz="UTC") + pd.Timedelta(minutes=i)).strftime("%Y-%m-%d %H:%M")
        store.append("quotes", many(1, phase="snapshot", at=at))

    folder = Path(store.root) / "quotes"
    live = len(store.catalog.open("quotes").file_uris())
    assert len(store.read("quotes")) == 900
    assert live < 70
    assert len(list((folder / "_delta_log").glob("*.checkpoint.parquet"))) >= 5
