"""What earlier runs left in the store."""

import json

import pandas as pd
import pytest

from overround import Store
from overround.errors import ParameterError
from overround.perf.anomalies import histories
from overround.runs import history


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store")
    for pipeline, wall in (("20260101-000000-aaa", 1.0), ("20260102-000000-bbb", 3.0)):
        at = pd.Timestamp(f"{pipeline[:4]}-{pipeline[4:6]}-{pipeline[6:8]}", tz="UTC")
        same = {"run_id": f"{pipeline}.backtest", "unit": "s", "at": at}
        store.append(
            "measurements",
            [
                {**same, "stage": "signals", "metric": "wall_s", "value": wall},
                {**same, "stage": "found", "metric": "bankroll", "value": 500.0},
            ],
        )
        parameters = json.dumps(
            {"source": "sample", "min_edge": wall / 100, "seed": 7, "run_id": "x", "reference": ""}
        )
        store.append(
            "runs",
            [
                {
                    "run_id": same["run_id"],
                    "notebook": "backtest",
                    "parameters": parameters,
                    "git_revision": "abc",
                    "versions": '{"pandas": "3"}',
                    "store_version": "events=1",
                    "status": "ok",
                    "started_at": at,
                    "ended_at": at,
                }
            ],
        )
    return store


def test_the_newest_pipeline_and_the_one_before(store):
    measurements = store.read("measurements")

    assert history.newest_pipeline(measurements) == "20260102-000000-bbb"
    assert history.newest_pipeline(measurements, before="20260102-000000-bbb") == "20260101-000000-aaa"
    assert history.newest_pipeline(measurements.head(0)) == ""
    # a notebook run by hand that measured no stage cost nothing that could be shown
    by_hand = measurements.tail(1).assign(run_id="20260103-000000-ccc.iterations", stage=history.FOUND)
    assert history.newest_pipeline(pd.concat([measurements, by_hand])) == "20260102-000000-bbb"


def test_costs_are_compared_stage_by_stage(store):
    change = history.cost_change(store.read("measurements"), "20260101-000000-aaa", "20260102-000000-bbb")

    assert change.loc["backtest: signals", ["before", "after", "ratio"]].tolist() == [1, 3, 3]
    assert history.cost_change(store.read("measurements"), "", "20260102-000000-bbb").empty


def test_a_report_on_performance_is_no_part_of_the_pipeline_that_it_reports(store):
    measurements = store.read("measurements")
    own = measurements.tail(1).assign(
        run_id="20260102-000000-bbb.performance", stage="experiments", metric="wall_s", value=9.0
    )

    costs = history.stage_costs(pd.concat([measurements, own]), "20260102-000000-bbb")

    assert costs.index.tolist() == ["backtest: signals"]


def test_what_a_machine_compiles_once_is_no_change_and_no_anomaly(store):
    measurements = store.read("measurements")
    first = measurements[measurements["metric"] == "wall_s"].head(1)
    slow = measurements["value"].add(20 * measurements.index.isin(first.index))
    cold = pd.concat([measurements.assign(value=slow), first.assign(metric="compile_s", value=20.0)])

    change = history.cost_change(cold, "20260101-000000-aaa", "20260102-000000-bbb")

    assert change.loc["backtest: signals", ["before", "after", "ratio"]].tolist() == [1, 3, 3]
    kept = history.without_compiling(cold)
    assert kept.loc[kept["metric"] == "compile_s", "value"].tolist() == [20]
    assert histories(cold, store.read("runs"), "wall_s")["value"].tolist() == [1, 3]


def test_only_what_differs_between_runs_is_listed(store):
    runs = history.newest_backtests(store)

    facts = history.run_differences(store, runs)

    assert list(facts.index) == ["min_edge"]
    assert facts.loc["min_edge"].tolist() == ["0.01", "0.03"]
    assert history.source_of(store, runs) == "sample"


def test_runs_are_called_by_their_labels_unless_these_repeat():
    assert history.short_names(["p.a", "p.b"]) == {"p.a": "a", "p.b": "b"}
    assert history.short_names(["p.a", "q.a"]) == {"p.a": "p.a", "q.a": "q.a"}


def test_a_run_that_is_not_there_is_named_with_those_that_are(store):
    with pytest.raises(ParameterError, match=r"'nonesuch' is no finished backtest.*bbb.backtest"):
        history.read_ledgers(store, ["nonesuch"])
    with pytest.raises(ParameterError, match="has 2 finished backtests, 3 are needed"):
        history.newest_backtests(store, 3)
    with pytest.raises(ParameterError, match=r"'x' has no measurements.*the newest is 20260102"):
        history.stage_costs(store.read("measurements"), "x")
