"""Three iterations in a row, from an empty store and on the filled one; and runs made again from what they
read.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from benchmarks import iterations as benchmark

from overround import Store
from overround.collection.collector import collect
from overround.errors import ParameterError
from overround.perf.iterations import faults, growth, iterations, write_files
from overround.reports.records import can_be_made_again
from overround.runs.reproduce import rebuild
from overround.runs.runner import Step, run_pipeline
from overround.settings import Settings
from tests.support.books import result, results
from tests.support.projects import PARAMETERS, RECORD, project
from tests.support.run_records import a_run

HOME = Path(__file__).parents[2]


@pytest.mark.slow
def test_three_iterations_and_three_on_the_filled_store_say_the_same_and_nothing_is_doubled(tmp_path):
    facts, samples = iterations(tmp_path, 3)

    assert faults(facts) == []
    assert facts["store"].tolist() == ["empty"] * 3 + ["filled"] * 3
    assert facts["new"].iloc[0] > 10_000 and facts["new"].iloc[1:].eq(0).all()
    assert facts["bets"].iloc[0] > 100
    # every bet of every run is kept, so that runs can be compared later
    assert facts["ledgers_rows"].tolist() == [facts["bets"].iloc[0] * many for many in range(1, 7)]
    same = facts[["found", "version", "events_rows", "quotes_rows", "events_kb", "quotes_kb"]]
    assert (same == same.iloc[0]).all(axis=None)
    assert len(samples) == 6 * len(
        {"collect", "read", "signals", "backtest", "evaluate", "compare", "keep", "performance"}
    )
    assert set(growth(facts).query("`kB, first` != `kB, last`")["because"]) == {
        "each iteration adds its own",
        "an entry a commit",
    }


FACTS = {
    "store": ["empty"] * 2 + ["filled"] * 2,
    "found": 1,
    "version": "a",
    "bets": 10,
    "new": [30, 0, 0, 0],
    "memory_mb": [300, 310, 312, 311],
    "logs_kb": [10, 12, 14, 16],
    **{
        f"{name}_{unit}": 5 for name in ("events", "quotes", "results", "editions") for unit in ("rows", "kb")
    },
    **{
        f"{name}_{unit}": [10, 20, 30, 40]
        for name in ("ledgers", "measurements", "requests")
        for unit in ("rows", "kb")
    },
}


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("found", [1, 1, 1, 2], "found differs"),
        ("version", ["a", "a", "b", "b"], "version differs"),
        ("new", [30, 0, 4, 0], "4 rows were new"),
        ("quotes_rows", [5, 5, 5, 10], "quotes grew"),
        ("events_kb", [5, 6, 7, 8], "events grew"),
        ("ledgers_rows", [10, 20, 40, 80], "different numbers of rows to table ledgers"),
        ("ledgers_kb", [10, 20, 40, 80], "ledgers takes more room a row"),
        ("logs_kb", [10, 12, 40, 90], "logs grow"),
        ("memory_mb", [300, 310, 330, 350], "memory grew from 310 to 350 MB"),
    ],
)
def test_what_is_not_the_same_was_doubled_or_grew_is_said(column, values, words):
    assert faults(pd.DataFrame(FACTS)) == []

    assert any(words in one for one in faults(pd.DataFrame({**FACTS, column: values})))


@pytest.mark.parametrize(
    ("new", "said"), [([30, 0, 0, 0], "nothing doubled"), ([30, 0, 4, 0], "4 rows were new in iteration 3")]
)
def test_the_command_says_what_is_wrong_and_ends_with_status_one(monkeypatch, capsys, new, said):
    monkeypatch.setattr(
        benchmark, "iterations", lambda folder, number: (pd.DataFrame({**FACTS, "new": new}), number)
    )
    monkeypatch.setattr(sys, "argv", ["iterations", "2"])

    with pytest.raises(SystemExit) as ended:
        benchmark.main()

    assert said in capsys.readouterr().out
    assert ended.value.code == (said != "nothing doubled")


@pytest.fixture
def settings(tmp_path, serve):
    write_files(tmp_path / "site")
    return Settings(
        home=HOME,
        store=str(tmp_path / "store"),
        cache=tmp_path / "cache",
        reports=tmp_path / "reports",
        football_data_url=serve(tmp_path / "site").url,
    )


@pytest.mark.slow
def test_a_report_is_rebuilt_from_its_pinned_version_to_the_last_bit(tmp_path, settings):
    collect("football-data", leagues=["E0"], seasons=["1819", "1920"], settings=settings)
    given = {
        "source": "football-data",
        "min_edge": 0.01,
        "simulations": 200,
        "staking": "flat",
        "stake": 10.0,
    }
    first = run_pipeline([Step("backtest", "backtest", given)], settings=settings)[0]
    assert first.ok, first.failure
    # later there is more data, which must not be seen, and another library, which must be said
    collect("football-data", leagues=["E0"], seasons=["2021"], settings=settings)
    record = first.html.with_suffix(".json")
    older = json.loads(record.read_text())
    older["versions"] |= {"pandas": "0.1"}
    del older["versions"]["numba"]
    record.write_text(json.dumps(older))

    done = rebuild(first.run_id, settings=settings)
    places = {"STORE": settings.store, "REPORTS": settings.reports, "CACHE": settings.cache}
    changed = json.loads(record.read_text())
    changed["metrics"]["yield"] = changed["metrics"].get("yield", 0.0) + 1e-15
    record.write_text(json.dumps(changed))
    said = subprocess.run(
        [sys.executable, "-m", "overround.cli.main", "rebuild", first.run_id],
        cwd=HOME,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **{f"OVERROUND_{name}": str(place) for name, place in places.items()}},
    )

    assert done.outcome.ok and done.metrics > 10
    assert done.differing == {}
    assert done.outcome.store_version == first.store_version
    assert {"pandas", "numpy", "numba", "scipy", "pyarrow"} <= set(first.versions)
    assert [warning.split(" is ")[0] for warning in done.warnings] == ["pandas was 0.1 and", "numba"]
    assert f"overround rebuild {first.run_id}" in first.html.read_text()
    assert (
        said.returncode == 1
        and "1 of" in said.stderr
        and "yield" in said.stderr
        and "pandas was 0.1" in said.stderr
    )


@pytest.mark.slow
def test_a_comparison_is_rebuilt_of_the_runs_that_it_compared_though_there_are_newer_ones(settings):
    collect("football-data", leagues=["E0"], seasons=["1819", "1920"], settings=settings)
    given = {"source": "football-data", "simulations": 200, "staking": "flat", "stake": 10.0}
    bets = [Step("backtest", f"edge-{edge}", {**given, "min_edge": edge}) for edge in (0.01, 0.03)]
    compare = Step("compare", "compare", {"simulations": 200}, from_runs=lambda runs: {"runs": runs})
    *runs, first = run_pipeline([*bets, compare], settings=settings)
    _, newest = run_pipeline(
        [Step("backtest", "later", {**given, "min_edge": 0.05}), Step("compare", "newest", {})],
        settings=settings,
    )

    done = rebuild(first.run_id, settings=settings)

    assert first.ok and newest.ok and done.outcome.ok
    assert done.outcome.parameters["runs"] == [run.run_id for run in runs]
    assert (done.metrics, done.differing) == (2, {})
    assert f"overround rebuild {first.run_id}" in first.html.read_text()
    # of the newest two: which these are, the moment decides
    assert "overround rebuild" not in newest.html.read_text()
    with pytest.raises(ParameterError, match="depends on more than"):
        rebuild(newest.run_id, settings=settings)


@pytest.mark.parametrize(
    ("notebook", "parameters", "can"),
    [
        ("backtest", {"store_version": ""}, True),
        ("compare", {"runs": ["p1.a", "p1.b"]}, True),
        ("compare", {"runs": []}, False),
        ("daily", {"store_version": ""}, False),
        ("collection", {"store_version": ""}, False),
        ("performance", {"pipeline": "p1"}, False),
    ],
)
def test_only_what_depends_on_nothing_of_the_moment_can_be_made_again(notebook, parameters, can):
    assert can_be_made_again(notebook, parameters) == can


@pytest.mark.slow
def test_a_run_is_made_again_each_time_that_is_asked_for(tmp_path):
    asks, pinned = (
        PARAMETERS + 'store_version: str = ""\n',
        RECORD.replace('"source": source', '"source": source, "store_version": "results=1"'),
    )
    settings = project(tmp_path, trial=[asks, pinned])
    Store(settings.store_root).append("results", results(result()))
    first = run_pipeline([Step("trial", "trial", {"store_version": "results=1"})], settings=settings)[0]

    done = [rebuild(first.run_id, settings=settings) for _ in range(2)]

    assert len({first.run_id, *(one.outcome.run_id for one in done)}) == 3
    assert not any(one.outcome.reused or one.differing for one in done)


def test_what_cannot_be_rebuilt_is_said(tmp_path):
    settings = Settings(home=HOME, store=str(tmp_path / "store"), reports=tmp_path / "reports")
    (tmp_path / "reports" / "runs" / "p1").mkdir(parents=True)
    (tmp_path / "reports" / "runs" / "p1" / "torn.json").write_text("{")
    of_today = a_run(
        run_id="p1.today", notebook="daily", parameters={"store_version": ""}, store_version="events=1"
    )
    (tmp_path / "reports" / "runs" / "p1" / "today.json").write_text(json.dumps(of_today))
    (tmp_path / "secret.json").write_text("{}")

    for run_id, words in (
        ("p1.none", "there is no run"),
        ("p1.today", "notebook 'daily' finds depends on more than"),
        ("p1.torn", "cannot be read"),
        ("../../.secret", "there is no run"),
        ("", "there is no run"),
    ):
        with pytest.raises(ParameterError, match=words):
            rebuild(run_id, settings=settings)
