"""Watching a stage's history: few alarms where nothing happened, soon one where something did."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from overround import Store, figures
from overround.cli.main import app
from overround.perf.anomalies import ACCEPTED, FASTER, RECOVERED, SLOWER, changes, histories, watch


def quiet(rng: np.random.Generator, runs: int, noise: float = 0.05, spikes: float = 0.05) -> np.ndarray:
    """A stage of a tenth of a second that does not change, on a machine that is busy in one run of twenty."""
    values = 0.1 * rng.lognormal(0, noise, runs)
    busy = rng.random(runs) < spikes
    values[busy] *= rng.uniform(1.3, 2.3, busy.sum())
    return values


def stepped(rng: np.random.Generator, before: int = 60, after: int = 40, factor: float = 1.25) -> np.ndarray:
    values = quiet(rng, before + after)
    values[before:] *= factor
    return values


def kinds(values: np.ndarray) -> list[str]:
    return [one.kind for one in changes(values)]


@pytest.mark.slow
def test_of_a_thousand_quiet_histories_of_100_runs_at_most_one_in_a_hundred_is_flagged():
    rng = np.random.default_rng(11)

    flagged = sum(bool(changes(quiet(rng, 100))) for _ in range(1000))

    assert flagged <= 10


def test_a_quarter_slower_is_found_within_five_runs_in_nine_of_ten_histories():
    rng = np.random.default_rng(12)

    in_time = [
        any(one.kind == SLOWER and 60 <= one.noticed < 65 for one in changes(stepped(rng, after=5)))
        for _ in range(60)
    ]

    assert np.mean(in_time) >= 0.9


def test_what_was_found_says_when_it_began_and_by_how_much():
    found = changes(stepped(np.random.default_rng(3), factor=1.5))

    assert found[0].kind == SLOWER
    assert abs(found[0].began - 60) <= 1
    assert found[0].ratio == pytest.approx(1.5, rel=0.1)


def test_recovery_is_noted():
    values = stepped(np.random.default_rng(4), after=20, factor=1.5)
    after = quiet(np.random.default_rng(5), 20)

    assert kinds(np.concatenate([values, after])) == [SLOWER, RECOVERED]


def test_a_slow_stage_that_stays_slow_becomes_the_usual_and_a_second_step_is_found_from_there():
    rng = np.random.default_rng(6)
    values = np.concatenate([quiet(rng, 60), 1.5 * quiet(rng, 60), 2.25 * quiet(rng, 10)])

    assert kinds(values) == [SLOWER, ACCEPTED, SLOWER]


def test_an_improvement_is_the_new_usual():
    rng = np.random.default_rng(7)
    values = np.concatenate([quiet(rng, 60), 0.5 * quiet(rng, 40), quiet(rng, 10)])

    assert kinds(values) == [FASTER, SLOWER]


def test_single_slow_runs_raise_no_alarm_however_slow():
    values = np.full(60, 0.1) * np.random.default_rng(8).lognormal(0, 0.02, 60)
    values[[30, 33, 40, 41, 42, 55]] *= 50

    assert changes(values) == []


def test_a_short_history_is_not_judged():
    assert changes([0.1] * 20 + [0.2] * 4) == []
    assert changes([]) == []


def history_store(tmp_path, values: np.ndarray) -> Store:
    store = Store(tmp_path / "store")
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(len(values)), unit="D")
    ids = [f"{time:%Y%m%d-%H%M%S}-aaa.backtest" for time in at]
    rows = [
        {"run_id": run_id, "stage": stage, "metric": metric, "value": scale * value, "unit": "s", "at": time}
        for run_id, time, value in zip(ids, at, values, strict=True)
        for stage, metric, scale in (
            ("evaluate", "cpu_s", 1),
            ("evaluate", "wall_s", 2),
            ("tiny", "cpu_s", 1e-4),
        )
    ]
    store.append("measurements", rows)
    store.append(
        "runs",
        [
            {
                "run_id": run_id,
                "notebook": "backtest",
                "parameters": json.dumps({"league": "a", "run_id": run_id}),
                "git_revision": "g",
                "versions": "{}",
                "store_version": "",
                "status": "ok",
                "started_at": time,
                "ended_at": time,
            }
            for run_id, time in zip(ids, at, strict=True)
        ],
    )
    return store


@pytest.mark.slow
def test_the_stages_of_the_store_are_watched_and_the_command_fails_while_one_is_slower(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    store = history_store(tmp_path, stepped(np.random.default_rng(9), before=40, after=8, factor=1.6))
    monkeypatch.setenv("OVERROUND_STORE", store.root)

    found = watch(histories(store.read("measurements"), store.read("runs")))
    said = CliRunner().invoke(app, ["perf", "watch", "--figure", str(tmp_path / "f.svg")])

    assert found[["stage", "kind", "open"]].to_dict("records") == [
        {"stage": "backtest: evaluate", "kind": SLOWER, "open": True}
    ]
    assert found["ratio"].item() == pytest.approx(1.6, rel=0.1)
    assert said.exit_code == 1
    assert "backtest: evaluate" in said.output
    assert "times the usual 0.1" in said.output
    assert (tmp_path / "f.svg").exists()


def test_the_command_says_that_all_is_as_usual(tmp_path, monkeypatch: pytest.MonkeyPatch):
    store = history_store(tmp_path, quiet(np.random.default_rng(10), 40, spikes=0))
    monkeypatch.setenv("OVERROUND_STORE", store.root)

    said = CliRunner().invoke(app, ["perf", "watch"])

    assert said.exit_code == 0, said.output
    assert "1 stage" in said.output


def test_a_metric_that_is_none_is_said_and_does_not_pass_as_all_well(
    tmp_path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OVERROUND_STORE", str(tmp_path / "store"))

    said = CliRunner().invoke(app, ["perf", "watch", "--metric", "cpu"])

    assert said.exit_code == 2
    assert "--metric takes cpu_s, wall_s, peak_mb, not 'cpu'" in said.output


def test_runs_with_other_parameters_are_another_history(tmp_path):
    store = history_store(tmp_path, np.full(6, 0.1))
    runs = store.read("runs")
    runs.loc[3:, "parameters"] = json.dumps({"league": "b"})

    history = histories(store.read("measurements"), runs)

    assert history["stage"].value_counts().to_dict() == {"backtest: evaluate": 3, "backtest: evaluate (2)": 3}


@pytest.mark.slow
def test_the_time_line_marks_what_changed_and_says_where_there_is_too_little_to_show(tmp_path):
    store = history_store(tmp_path, stepped(np.random.default_rng(9), before=40, after=8, factor=1.6))
    history = histories(store.read("measurements"), store.read("runs"))

    picture = figures.stage_history(history, watch(history))
    short = figures.stage_history(history.head(2), watch(history.head(2)))

    assert "backtest: evaluate slower" in picture.alt
    assert any("slower 1." in text.get_text() for text in picture.figure.axes[0].texts)
    assert "No stage has 3 runs" in short.alt
