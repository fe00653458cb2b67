"""The meter: what was planted comes back.

A busy machine must not fail these tests: what a stage tells is held against what the stage itself measured by
other means, inside and around, and never against what a clock should show.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from overround import Store
from overround.http.client import Fetcher
from overround.measure import Meter, cost_table
from overround.measure.meter import request_figures
from overround.measure.numba_compile import njit
from overround.sources.local_server import answering
from overround.stopwatch import WatchedPool, timed

MB = 1024**2


def figures(meter: Meter, stage: str) -> dict[str, float]:
    rows = meter.frame()
    return rows[rows["stage"] == stage].set_index("metric")["value"].to_dict()


def burn(seconds: float) -> float:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass
    return time.thread_time() - began


def queued() -> float:
    """Time in which this thread has stood in the queue for a processor, as its kernel tells it."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@contextmanager
def bracket(read: Callable[[], float]) -> Iterator[list[float]]:
    """What a counter says inside and around: the truth of whatever lies between."""
    spans: list[float] = []
    began = read()
    yield spans
    spans.append(read() - began)


def test_a_stage_that_sleeps_was_blocked_and_used_no_processor():
    meter = Meter("r")

    with bracket(time.perf_counter) as around, meter.stage("sleep"), bracket(time.perf_counter) as inside:
        time.sleep(0.2)

    got = figures(meter, "sleep")
    assert inside[0] <= got["wall_s"] <= around[0]
    # it slept for 0.2 s at least; time in which it could have gone on and had no processor does not count
    assert 0.2 * 0.95 < got["io_wait_s"] <= got["wall_s"]
    assert got["cpu_s"] < 0.05


def test_a_stage_that_computes_in_several_threads_was_not_blocked_and_all_their_time_counts():
    meter, threads = Meter("r"), 3

    with bracket(time.process_time) as around, meter.stage("burn"), bracket(time.process_time) as inside:
        others = [threading.Thread(target=burn, args=(0.1,)) for _ in range(threads)]
        for thread in others:
            thread.start()
        mine = burn(0.1)
        for thread in others:
            thread.join()

    got = figures(meter, "burn")
    assert inside[0] <= got["cpu_s"] <= around[0]
    assert got["cpu_s"] == pytest.approx(0.1 * (threads + 1), rel=0.05)
    # what the thread has not computed it may have waited for the others, and for nobody else
    assert got["io_wait_s"] <= got["wall_s"] - mine + 1e-3


def test_a_stage_that_waits_for_its_own_thread_to_compute_is_not_blocked():
    meter, spent = Meter("r"), []

    with meter.stage("burn"):
        other = threading.Thread(target=lambda: spent.append(burn(0.2)))
        other.start()
        other.join()

    got = figures(meter, "burn")
    assert got["io_wait_s"] <= got["wall_s"] - spent[0] + 1e-3


def test_a_stage_that_only_computes_is_never_called_blocked():
    meter = Meter("r")

    with meter.stage("burn"), bracket(queued) as stood:
        mine = burn(0.2)

    got = figures(meter, "burn")
    # nothing is left, but what a virtual machine was not given
    assert got["io_wait_s"] <= got["wall_s"] - mine - stood[0] + 1e-3


def test_memory_that_a_stage_frees_again_is_its_own_peak_and_not_the_next_ones():
    meter = Meter("r")

    with meter.stage("large"):
        block = np.ones(25_000_000)  # 200 MB
        del block
    with meter.stage("small"):
        pass

    assert figures(meter, "large")["peak_mb"] - figures(meter, "small")["peak_mb"] == pytest.approx(
        25_000_000 * 8 / MB, rel=0.05
    )


def test_a_stage_inside_another_takes_no_peak_from_it_and_gives_its_own():
    meter = Meter("r")
    before = psutil.Process().memory_info().rss / MB

    with meter.stage("outer early"):
        block = np.ones(25_000_000)
        del block
        with meter.stage("inner small"):
            pass
    with meter.stage("outer late"), meter.stage("inner large"):
        block = np.ones(25_000_000)
        del block

    peaks = {name: values["peak_mb"] - before for name, values in meter.stages.items()}
    assert peaks["inner small"] < 60
    assert [peaks[name] for name in ("outer early", "outer late", "inner large")] == pytest.approx(
        [190.7] * 3, abs=20
    )


def test_stages_side_by_side_do_not_mix_their_processor_time():
    meter, both = Meter("r"), threading.Barrier(2)

    @meter.stage("works")
    def works() -> float:
        both.wait()
        spent = burn(0.15)
        both.wait()
        return spent

    @meter.stage("waits")
    def waits() -> None:
        both.wait()
        both.wait()

    with ThreadPoolExecutor(2) as pool:
        done, _ = pool.submit(works), pool.submit(waits)

    assert figures(meter, "works")["cpu_s"] == pytest.approx(done.result(), rel=0.05)
    assert figures(meter, "waits")["cpu_s"] < 0.05
    assert figures(meter, "waits")["io_wait_s"] > 0.1


def test_bytes_written_and_forced_to_the_disk_are_counted(tmp_path: Path):
    meter, size = Meter("r"), 3_000_000
    counted = psutil.Process().io_counters

    with (
        bracket(lambda: counted().write_bytes) as around,
        meter.stage("write"),
        bracket(lambda: counted().write_bytes) as inside,
        (tmp_path / "f").open("wb") as file,
    ):
        file.write(b"x" * size)
        file.flush()
        os.fsync(file.fileno())
    with meter.stage("read"):
        content = (tmp_path / "f").read_bytes()
    with meter.stage("neither"):
        pass

    got = figures(meter, "write")
    assert got["written_bytes"] == size
    assert inside[0] <= got.get("disk_written_bytes", 0) <= around[0]
    assert figures(meter, "read")["read_bytes"] == len(content)
    assert not {"read_bytes", "written_bytes"} & set(figures(meter, "neither"))


def test_parts_count_for_themselves_alone_and_in_every_stage_around():
    meter = Meter("r")

    with meter.stage("outer"), meter.stage("inner"), timed("store_commit_s"):
        with (
            bracket(time.perf_counter) as around,
            timed("store_fsync_s"),
            bracket(time.perf_counter) as inside,
        ):
            time.sleep(0.05)
        time.sleep(0.02)

    for stage in ("outer", "inner"):
        got = figures(meter, stage)
        assert inside[0] <= got["store_fsync_s"] <= around[0]
        assert 0.02 <= got["store_commit_s"] <= got["wall_s"] - got["store_fsync_s"]


def test_what_had_to_be_compiled_first_is_told_once_and_by_the_stage_that_waited():
    meter = Meter("r")
    inner = njit(lambda x: x * x + 1.0)
    kernel = njit(lambda n: sum([inner(float(i)) for i in range(n)]))

    with meter.stage("around"), meter.stage("first"), bracket(time.perf_counter) as took:
        kernel(10)
    with meter.stage("again"):
        kernel(10)

    got = figures(meter, "first")
    # one inside the other, counted once
    assert 0.3 * took[0] <= got["compile_s"] <= took[0]
    assert figures(meter, "around")["compile_s"] == got["compile_s"]
    assert "compile_s" not in figures(meter, "again")


def test_the_time_of_an_append_is_split_into_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    forced, fsync = [], os.fsync

    def slow(descriptor: int) -> None:
        began = time.perf_counter()
        time.sleep(0.01)
        fsync(descriptor)
        forced.append(time.perf_counter() - began)

    monkeypatch.setattr(os, "fsync", slow)
    store, meter, at = Store(tmp_path), Meter("r"), pd.Timestamp("2025-01-01", tz="UTC")

    with meter.stage("append"):
        store.append(
            "events",
            [
                {
                    "event_id": "e",
                    "sport": "soccer",
                    "competition": "E0",
                    "season": "x",
                    "starts_at": at,
                    "time_known": True,
                    "home": "a",
                    "away": "b",
                    "source": "s",
                }
            ],
        )

    got = figures(meter, "append")
    parts = {metric: value for metric, value in got.items() if metric.startswith("store_")}
    assert set(parts) == {f"store_{part}_s" for part in ("encode", "look", "write", "fsync", "commit")}
    assert sum(forced) <= got["store_fsync_s"] < sum(parts.values()) <= got["wall_s"]
    assert got["written_bytes"] > 0


def test_a_pool_tells_how_long_it_worked_of_how_long_it_could_have():
    meter, own = Meter("r"), []

    def work() -> None:
        began = time.perf_counter()
        time.sleep(0.04)
        burn(0.01)
        own.append(time.perf_counter() - began)

    with meter.stage("pool"):
        began = time.perf_counter()
        with WatchedPool(4) as pool:
            for _ in range(6):
                pool.submit(work)
        could = 4 * (time.perf_counter() - began)

    assert figures(meter, "pool")["thread_efficiency"] == pytest.approx(sum(own) / could, rel=0.05)
    assert meter.stages["pool"]["helpers_cpu_s"] == pytest.approx(0.06, rel=0.2)


def test_a_pool_that_works_on_when_its_stage_has_ended_still_counts_there():
    meter, go = Meter("r"), threading.Event()
    with meter.stage("early"):
        pool = WatchedPool(2)
        pool.submit(go.wait)
    wall = meter.stages["early"]["wall_s"]

    time.sleep(0.05)
    go.set()
    pool.shutdown()

    assert meter.stages["early"]["busy_s"] > wall
    assert 0 < figures(meter, "early")["thread_efficiency"] <= 0.51


def test_a_stage_entered_again_adds_up_and_keeps_the_higher_peak():
    meter = Meter("r")
    for n in (10, 20):
        with meter.stage("s") as stage:
            stage.count(rows=n)
            time.sleep(0.02)

    got = figures(meter, "s")
    assert got["rows"] == 30
    assert got["rows_per_s"] == pytest.approx(30 / got["wall_s"])


def test_a_stage_that_fails_is_measured_and_its_error_counts_and_goes_on():
    meter = Meter("r")

    with pytest.raises(ZeroDivisionError), meter.stage("fails"):
        1 / 0  # noqa: B018

    assert figures(meter, "fails")["wall_s"] > 0
    assert figures(meter, "fails")["errors"] == 1


@pytest.mark.slow
def test_latencies_are_those_that_the_server_was_told_to_have(tmp_path: Path):
    rng = np.random.default_rng(3)
    waits = list(rng.lognormal(np.log(0.01), 0.5, 30))
    slept: list[float] = []
    around: list[float] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            again = "If-None-Match" in self.headers
            began = time.perf_counter()
            time.sleep(waits[len(slept)] if not again else 0)
            if not again:
                slept.append(time.perf_counter() - began)
            self.send_response(304 if again else 200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0" if again else "2")
            self.end_headers()
            if not again:
                self.wfile.write(b"[]")

    with answering(Handler) as url, Fetcher("p", url, tmp_path) as fetcher:
        for n in range(len(waits)):
            began = time.perf_counter()
            fetcher.get(f"a/{n}")
            around.append(time.perf_counter() - began)
        for n in range(8):
            fetcher.get(f"a/{n}")
        with bracket(time.perf_counter) as confirming:
            for n in range(5):
                fetcher.get(f"a/{n}", ttl=0)
        got = request_figures(fetcher.requests)

    assert (got["missed"], got["hit"], got["revalidated"]) == (30, 8, 5)
    for q in (50, 95, 99):
        least, most = (1000 * np.percentile(times, q) for times in (slept, around))
        assert least <= got[f"latency_p{q}_ms"] <= most
    assert got["latency_hit_p50_ms"] < got["latency_p50_ms"]
    # half of the five took the median or longer
    assert 0 < 3 * got["latency_revalidated_p50_ms"] <= 1000 * confirming[0]


def test_requests_are_summed_up_with_hits_apart_from_calls():
    rows = [
        {"status": 200, "from_cache": hit, "latency_s": s, "bytes": 10}
        for hit, s in ((False, 0.1), (False, 0.3), (True, 0.001), (True, 0.001))
    ]
    rows.append({"status": 500, "from_cache": False, "latency_s": 0.2, "bytes": 0})

    got = request_figures(rows)

    assert (got["requests"], got["requests_failed"], got["cache_hits"], got["bytes"]) == (5, 1, 2, 40)
    assert got["latency_p50_ms"] == pytest.approx(200)
    assert request_figures([]) == {}


def test_the_cost_table_has_a_row_a_stage_in_order_of_time():
    meter = Meter("r")
    for name in ("second", "first"):
        with meter.stage(name):
            pass

    table = cost_table(meter.frame())

    assert list(table.index) == ["second", "first"]
    assert list(table.columns) == ["wall_s", "cpu_s", "io_wait_s", "peak_mb"]
    assert isinstance(table, pd.DataFrame)
