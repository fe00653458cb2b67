"""Defects of delta-rs and Arrow that the store works around.

Each test shows one defect. When it fails, the defect is mended: remove the test and the work-around that its
docstring names, once the oldest version that pyproject.toml allows has the fix.
"""

import itertools
import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tomllib
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction

ROWS = pa.table({"key": ["a", "b"], "value": [1.0, 2.0]})


@pytest.fixture
def table(tmp_path):
    write_deltalake(tmp_path / "table", ROWS)
    return DeltaTable(tmp_path / "table")


def test_files_of_a_merge_cannot_be_filtered_by_text(table):
    """`commits.commit` rewrites files instead of merging: apache/arrow#49368, delta-rs 1.6, Arrow 26."""
    merge = table.merge(ROWS, "old.key = new.key", source_alias="new", target_alias="old")
    merge.when_matched_update_all().execute()

    with pytest.raises(pa.ArrowNotImplementedError, match="string_view"):
        table.to_pyarrow_dataset(schema=ROWS.schema).to_table(filter=pc.field("key") == "a")


def test_a_column_without_bounds_in_the_log_hides_its_rows(table, tmp_path):
    """`data_files` gives bounds of every column: delta-io/delta-rs#3173, closed but here in 1.6."""
    file = tmp_path / "table" / "unbounded.parquet"
    pq.write_table(ROWS, file)
    stats = {
        "numRecords": 2,
        "minValues": {"value": 1.0},
        "maxValues": {"value": 2.0},
        "nullCount": {"value": 0},
    }
    action = AddAction(file.name, file.stat().st_size, {}, 0, True, json.dumps(stats))
    table.create_write_transaction([action], "overwrite", table.schema(), [])
    table.update_incremental()

    assert table.to_pyarrow_dataset().count_rows() == 2
    assert table.to_pyarrow_dataset().to_table(filter=pc.field("key") == "a").num_rows == 0


def test_two_compactions_of_the_same_files_both_commit(table, tmp_path):
    """`maintenance` merges small files by commits of our own: since delta-io/delta-rs#3982, here in 1.6."""
    write_deltalake(table, ROWS, mode="append")
    first, second = (DeltaTable(tmp_path / "table") for _ in range(2))

    first.optimize.compact()
    second.optimize.compact()

    assert DeltaTable(tmp_path / "table").to_pyarrow_dataset().count_rows() == 2 * 4


def test_looking_for_a_table_far_away_stops_all_threads():
    """`catalog` opens tables instead: delta-io/delta-rs#4402, mended for other calls in 1.6 by #4406."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        options = {
            "aws_endpoint": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "aws_allow_http": "true",
            "aws_region": "x",
            "aws_access_key_id": "x",
            "aws_secret_access_key": "x",
            "timeout": "1s",
            "max_retries": "0",
        }

        assert longest_stop(lambda: DeltaTable.is_deltatable("s3://bucket/table", options)) > 0.8
        assert longest_stop(lambda: DeltaTable("s3://bucket/table", storage_options=options)) < 0.8


def longest_stop(call) -> float:
    """The longest time, s, in which another thread could not run while a call was waiting."""
    done, ticks = threading.Event(), [time.perf_counter()]

    def tick():
        while not done.wait(0.01):
            ticks.append(time.perf_counter())

    thread = threading.Thread(target=tick)
    thread.start()
    with pytest.raises((DeltaError, OSError)):
        call()
    done.set()
    thread.join()
    ticks.append(time.perf_counter())
    return max(later - sooner for sooner, later in itertools.pairwise(ticks))


def test_no_row_group_is_skipped_by_the_bounds_of_a_dictionary(tmp_path):
    """`reading` encodes a column with a condition after it is met: no issue upstream found, Arrow 26."""
    pq.write_table(ROWS, tmp_path / "rows.parquet", row_group_size=1)
    wanted = pc.field("key").isin(["a"])

    def row_groups(**read) -> int:
        found = ds.dataset(tmp_path, format=ds.ParquetFileFormat(**read))
        return sum(len(file.split_by_row_group(wanted, found.schema)) for file in found.get_fragments())

    assert row_groups() == 1
    assert row_groups(dictionary_columns={"key"}) == 2


def test_the_handler_of_an_object_store_is_made_of_a_private_attribute(table):
    """`data_files.file_system` uses `DeltaTable._table`: no issue upstream found, delta-rs 1.6."""
    assert not hasattr(table, "filesystem")
    assert not hasattr(table, "storage_options")


def test_an_arrow_whose_threads_may_crash_at_exit_is_still_allowed():
    """`data_files.local_system` avoids Python's file handlers: apache/arrow#49942, mended after Arrow 24."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    oldest = next(line for line in project["dependencies"] if line.startswith("pyarrow"))

    assert int(oldest.removeprefix("pyarrow>=").partition(".")[0]) <= 24


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps freed memory until it is told")
def test_the_system_pool_keeps_freed_memory_unless_it_is_the_default():
    """`memory.trim` asks the C library itself: Arrow 26, no issue upstream found."""
    program = textwrap.dedent("""
        import pyarrow as pa
        from overround.memory import trim

        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * 4096

        pool = pa.system_memory_pool()
        blocks = [pa.allocate_buffer(60_000, memory_pool=pool) for _ in range(4_000)]
        for block in blocks:
            memoryview(block).cast("B")[:] = bytes(60_000)
        kept = blocks[::50]  # else the whole of it goes back at once
        del blocks, block
        freed = resident()
        pool.release_unused()
        released = resident()
        trim()
        print(freed - released, freed - resident())
    """)
    env = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    by_arrow, by_us = map(int, done.stdout.split())

    assert by_arrow < 10_000_000
    assert by_us > 100_000_000
