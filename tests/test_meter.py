"""The meter: what was planted comes back."""

import time

import numpy as np
import pandas as pd
import pytest

from overround import Meter, cost_table
from overround.meter import request_figures


def figures(meter: Meter, stage: str) -> dict[str, float]:
    rows = meter.frame()
    return rows[rows["stage"] == stage].set_index("metric")["value"].to_dict()


def test_a_stage_that_sleeps_was_blocked_and_used_no_processor():
    meter = Meter("r")

    with meter.stage("sleep"):
        time.sleep(0.3)

    got = figures(meter, "sleep")
    assert got["wall_s"] == pytest.approx(0.3, abs=0.1)
    assert got["io_wait_s"] == pytest.approx(0.3, rel=0.1)
    assert got["cpu_s"] < 0.05


def test_a_stage_that_computes_was_not_blocked():
    meter = Meter("r")

    with meter.stage("burn"):
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass

    got = figures(meter, "burn")
    assert got["cpu_s"] == pytest.approx(0.3, rel=0.1)
    assert got["io_wait_s"] < 0.03


def test_memory_that_a_stage_frees_again_is_its_own_peak_and_not_the_next_ones():
    meter = Meter("r")

    with meter.stage("large"):
        block = np.ones(25_000_000)  # 200 MB
        del block
    with meter.stage("small"):
        pass

    assert figures(meter, "large")["peak_mb"] - figures(meter, "small")["peak_mb"] == pytest.approx(190.7, rel=0.1)


def test_a_stage_entered_again_adds_up_and_keeps_the_higher_peak():
    meter = Meter("r")
    for n in (10, 20):
        with meter.stage("s") as stage:
            stage.count(rows=n)
            time.sleep(0.02)

    got = figures(meter, "s")
    assert got["rows"] == 30
    assert got["rows_per_s"] == pytest.approx(30 / got["wall_s"])


def test_a_stage_that_fails_is_measured_and_its_error_goes_on():
    meter = Meter("r")

    with pytest.raises(ZeroDivisionError), meter.stage("fails"):
        1 / 0  # noqa: B018

    assert figures(meter, "fails")["wall_s"] > 0


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
