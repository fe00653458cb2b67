"""The naive ways give what the library gives, and the experiments that hold them against each other tell the truth of both."""

import importlib

import pandas as pd
import pytest
from benchmarks import naive

import overround as ov
from overround import Store
from overround.errors import ParameterError
from overround.experiments import EXPERIMENTS, by_module, run, total
from overround.perf_workloads import book, quotes
from overround.settings import load_settings


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

    assert naive.backtest(wanted, results, 0.01, 1_000) == pytest.approx(1_000 + ledger["profit"].sum(), rel=1e-9)


def test_rows_stored_one_by_one_are_the_batch(tmp_path):
    rows = quotes(1, books=2, times=1)
    one_by_one, batch = Store(tmp_path / "a"), Store(tmp_path / "b")

    assert naive.append(one_by_one, rows) == len(rows) == batch.append("quotes", rows).inserted

    order = ["bookmaker", "outcome"]
    first, second = (store.read("quotes").drop(columns="starts_at").sort_values(order, ignore_index=True) for store in (one_by_one, batch))
    pd.testing.assert_frame_equal(first, second)


def test_experiments_without_a_checkout_say_what_is_missing(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OVERROUND_HOME", str(tmp_path))

    with pytest.raises(ParameterError, match=r"naive\.py"):
        run(pd.DataFrame())


@pytest.mark.slow
def test_every_experiment_but_the_kernels_finds_the_library_s_way_better_and_counts_the_calls():
    samples = run(pd.DataFrame(), pairs=5)

    tables = by_module(samples)

    assert set(samples["workload"]) == set(EXPERIMENTS) - {"cold / warm kernels"}
    assert set(tables) == {"collector", "signals", "backtest", "overall"}
    calls = samples[samples["workload"] == "cache off / on"].groupby("side")["calls"].agg(["min", "max"])
    assert calls.loc["A"].tolist() == [12, 12]
    assert calls.loc["B"].tolist() == [0, 0]
    work = pd.concat(tables).query("figure == 'processor time, ms' and experiment != 'one by one / pooled fetches'")
    assert set(work["verdict"]) == {"better"}
    assert total(samples)["wall_s"].sum() == pytest.approx(samples["wall_s"].sum())


@pytest.mark.slow
def test_a_cold_and_a_warm_kernel_both_do_the_work_that_is_timed():
    experiments = importlib.import_module("overround.experiments")
    with experiments._kernels(load_settings()) as (cold, warm):
        _, cold_error, _ = cold()
        _, warm_error, _ = warm()

    assert cold_error is None
    assert warm_error is None
