"""The naive ways give what the library gives, and the experiments that hold them against each other tell the
truth of both.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd
import pytest

import overround as ov
from overround import Store
from overround.errors import ParameterError
from overround.perf import experiment_data, experiments, naive
from overround.perf.experiments import EXPERIMENTS, by_module, run, total
from overround.perf.workloads import BOOK_SEED, book, quotes
from overround.settings import load_settings
from tests.support.commands import ROOT

WORLD_CUP = Path("the-odds-api/soccer_fifa_world_cup/odds")


def test_signals_in_a_loop_are_the_library_s():
    shown = quotes(12)

    mine = naive.value_signals(shown, "book00", 0.02)
    theirs = ov.value_signals(shown, "book00", "multiplicative", 0.02)

    columns = ["event_id", "market", "outcome", "bookmaker", "price", "placed_at"]
    assert len(mine) > 10
    assert set(mine) == set(theirs[columns].itertuples(index=False, name=None))


def test_a_backtest_in_a_loop_ends_with_the_library_s_bankroll():
    wanted, results = book(2_000)

    ledger = ov.backtest(wanted, results, stake=ov.Percentage(0.01), bankroll=1_000)

    assert naive.backtest(wanted, results, 0.01, 1_000) == pytest.approx(
        1_000 + ledger["profit"].sum(), rel=1e-9
    )


def test_rows_stored_one_by_one_are_the_batch(tmp_path):
    rows = quotes(1, books=2, times=1)
    one_by_one, batch = Store(tmp_path / "a"), Store(tmp_path / "b")

    assert naive.append(one_by_one, rows) == len(rows) == batch.append("quotes", rows).inserted

    order = ["bookmaker", "outcome"]
    first, second = (
        store.read("quotes").drop(columns="starts_at").sort_values(order, ignore_index=True)
        for store in (one_by_one, batch)
    )
    pd.testing.assert_frame_equal(first, second)


@pytest.mark.parametrize(("workers", "said"), [((1.0, 6.0), ""), ((6.0, 6.0), "worse")])
def test_a_pool_is_judged_by_its_throughput_and_not_by_how_long_each_of_its_calls_waits(workers, said):
    sides = [("A", workers[0], 1.0, 10.0), ("B", workers[1], 0.25, 20.0)]
    samples = pd.DataFrame(
        [
            {
                "workload": "one by one / pooled fetches",
                "pair": pair,
                "side": side,
                "workers": many,
                "wall_s": wall * wobble,
                "calls_per_s": 12 / (wall * wobble),
                "latency_ms": latency * wobble,
                "calibration_s": 0.01,
            }
            for pair, wobble in enumerate((0.99, 1.0, 1.0, 1.01, 1.02))
            for side, many, wall, latency in sides
        ]
    )

    rows = by_module(samples)["collector"].set_index("figure")

    throughput = rows.loc["throughput, calls a second"]
    assert (throughput["verdict"], throughput["before"], throughput["after"]) == ("better", 12, 48)
    assert throughput["change"].startswith("+300.0 % (+")
    assert rows[rows.index.str.startswith("median API latency")]["verdict"].tolist() == [said]


def test_before_and_after_are_of_the_pairs_by_which_the_change_is_judged():
    quiet, busy = [(0.01, wait, wait - 0.006) for wait in np.arange(7, 14) / 1000], [(0.02, 0.0, 0.09)] * 5
    samples = pd.DataFrame(
        [
            {
                "workload": "cache off / on",
                "pair": pair,
                "side": side,
                "io_wait_s": wait,
                "wall_s": 0.1,
                "calibration_s": loop_s,
            }
            for pair, (loop_s, *waits) in enumerate(quiet + busy)
            for side, wait in zip("AB", waits, strict=True)
        ]
    )

    row = by_module(samples)["collector"].set_index("figure").loc["I/O wait, ms"]

    assert (row["before"], row["after"]) == pytest.approx((10, 4))
    assert row["change"].startswith("−6 (")


def test_the_page_says_which_results_are_drawn_and_with_which_seed():
    assert f"with seed {experiment_data.SEED} from the last prices" in experiments.material("feed", 12)
    assert f"drawn with seed {BOOK_SEED}" in experiments.material()
    notebook = (load_settings().home / "notebooks" / "performance.ipynb").read_text()
    assert "ov.perf.experiments.material(feed, answers)" in notebook


@pytest.mark.slow
def test_experiments_run_from_a_wheel_far_from_the_checkout(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    code = (
        "import pandas as pd, overround as ov\n"
        "samples = ov.perf.experiments.run(pd.DataFrame(), pairs=5)\n"
        "print(ov.__file__, *ov.perf.experiments.by_module(samples), sep='\\n')"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OVERROUND_HOME": str(tmp_path)}

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    place, *modules = done.stdout.splitlines()
    assert Path(place).is_relative_to(tmp_path / "site")
    assert modules == ["collector", "signals", "backtest", "overall"]


def test_the_library_opens_no_file_of_the_checkout_s_tests_or_benchmarks():
    texts = {path: path.read_text() for path in (ROOT / "lib").rglob("*.py")}

    assert [path for path, text in texts.items() if re.search(r"[\"'/](benchmarks|tests)[\"'/]", text)] == []


def assert_calls_saved(samples: pd.DataFrame) -> None:
    calls = samples[samples["workload"] == "cache off / on"].groupby("side")["calls"].agg(["min", "max"])
    assert calls.loc["A"].tolist() == [12, 12]
    assert calls.loc["B"].tolist() == [0, 0]


def test_a_feed_that_is_none_is_said(tmp_path):
    with pytest.raises(ParameterError, match=r"no folder of recorded answers: index\.csv cannot be read"):
        run(pd.DataFrame(), feed=tmp_path)
    (tmp_path / "index.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ParameterError, match="columns fetched_at, member, zip"):
        run(pd.DataFrame(), feed=tmp_path)


@pytest.mark.slow
def test_a_slice_of_the_recorded_feed_is_collected_alike_in_both_ways_and_shows_what_each_way_costs(
    recorded: Path, tmp_path: Path
):
    feed = recorded / WORLD_CUP
    with (
        experiment_data.recorded(feed, 24) as given,
        experiment_data.open_fetcher(given, tmp_path / "cache") as fetcher,
    ):
        whole, changes = Store(tmp_path / "whole"), Store(tmp_path / "changes")
        naive.collect(fetcher, given.calls, whole)
        experiments._collect(fetcher, given.calls, changes)
        ways = experiments._computing(given)
        bets = [sorted(bet[:5] for bet in ways["loop / vectorised signals"][0]())]
        frame = ways["loop / vectorised signals"][1]()
        ends = [
            ways["loop / compiled backtest"][0](),
            1_000 + ways["loop / compiled backtest"][1]()["profit"].sum(),
        ]

    # the whole, without what repeats the price before it, is what the library stores
    selection = ["event_id", "bookmaker", "market", "line", "outcome"]
    all_rows = whole.read("quotes").sort_values("observed_at", kind="stable")
    before = all_rows.groupby(selection, dropna=False)["price"].shift()
    stored = changes.read("quotes")
    key = [*selection, "observed_at", "price"]
    expected = all_rows.loc[before != all_rows["price"], key].fillna({"line": -1})
    assert set(stored[key].fillna({"line": -1}).itertuples(index=False, name=None)) == set(
        expected.itertuples(index=False, name=None)
    )
    assert len(all_rows) > len(stored) > 4_000
    bets.append(
        sorted(
            frame[["event_id", "market", "outcome", "bookmaker", "price"]].itertuples(index=False, name=None)
        )
    )
    assert bets[0] == bets[1] != []
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)
    assert ends[0] != 1_000


@pytest.mark.slow
def test_the_report_s_tables_on_a_slice_of_the_recorded_feed_hold_every_module(recorded: Path):
    samples = run(pd.DataFrame(), feed=recorded / WORLD_CUP, answers=12, pairs=5)

    tables = by_module(samples)

    assert_calls_saved(samples)
    assert {name.partition(",")[0] for name in tables["overall"]["figure"]} == {
        "runtime",
        "own time",
        "processor time",
        "memory",
        "median API latency",
        "I/O wait",
        "thread efficiency",
        "API calls",
    }
    assert list(tables) == ["collector", "signals", "backtest", "overall"]
    assert pd.concat(tables)["change"].str.contains(" to |clock").all()


@pytest.mark.slow
def test_every_experiment_but_the_kernels_finds_the_library_s_way_better_and_counts_the_calls():
    samples = run(pd.DataFrame(), pairs=5)

    tables = by_module(samples)

    assert set(samples["workload"]) == set(EXPERIMENTS) - {"cold / warm kernels"}
    assert set(tables) == {"collector", "signals", "backtest", "overall"}
    assert_calls_saved(samples)
    work = pd.concat(tables).query(
        "figure == 'processor time, ms' and experiment != 'one by one / pooled fetches'"
    )
    # by medians: on a machine that is busy with other things few pairs are sure of anything
    assert (work["after"] < 0.7 * work["before"]).all() and "worse" not in set(work["verdict"])
    assert total(samples)["wall_s"].sum() == pytest.approx(samples["wall_s"].sum())
    saved = tables["overall"].set_index("figure").loc["API calls"]
    assert (saved["before"], saved["after"], saved["change"]) == (36, 24, "−12 (−12 to −12)")


@pytest.mark.slow
def test_a_cold_and_a_warm_kernel_both_do_the_work_that_is_timed():
    with experiments._kernels(load_settings()) as (cold, warm):
        _, cold_error, _ = cold()
        _, warm_error, _ = warm()

    assert cold_error is None
    assert warm_error is None
