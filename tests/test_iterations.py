"""Three iterations in a row, from an empty store and on the filled one; and a run made again from the version that it read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.iterations import iterations, write_files

from overround.collect import collect
from overround.errors import ParameterError
from overround.rebuild import rebuild
from overround.runner import Step, run_pipeline
from overround.settings import Settings

HOME = Path(__file__).parents[1]


@pytest.mark.slow
def test_three_iterations_say_the_same_and_nothing_is_doubled(tmp_path):
    got = iterations(tmp_path, 3)

    assert got["new"].tolist()[0] > 10_000 and got["new"].tolist()[1:] == [0, 0]
    assert got["bets"].iloc[0] > 100
    for same in ("found", "version", "events", "quotes", "bets", "collected_kb"):
        assert got[same].nunique() == 1, same
    # every bet of every run is kept, so that runs can be compared later; nothing else grows
    assert (got["ledgers"] == got["bets"] * [1, 2, 3]).all()
    assert got["ledgers_kb"].iloc[2] < 3.5 * got["ledgers_kb"].iloc[0]
    assert got["memory_mb"].iloc[2] < got["memory_mb"].iloc[0] + 60


@pytest.fixture
def settings(tmp_path, serve):
    write_files(tmp_path / "site")
    return Settings(
        home=HOME, store=str(tmp_path / "store"), cache=tmp_path / "cache", reports=tmp_path / "reports",
        football_data_url=serve(tmp_path / "site").url,
    )  # fmt: skip


@pytest.mark.slow
def test_a_report_is_rebuilt_from_its_pinned_version_to_the_last_bit(tmp_path, settings):
    collect("football-data", leagues=["E0"], seasons=["1819", "1920"], settings=settings)
    given = {"source": "football-data", "min_edge": 0.01, "simulations": 200, "staking": "flat", "stake": 10.0}
    first = run_pipeline([Step("backtest", "backtest", given)], settings=settings)[0]
    assert first.ok, first.failure
    # later there is more data, which must not be seen, and another library, which must be said
    collect("football-data", leagues=["E0"], seasons=["2021"], settings=settings)
    record = first.html.with_suffix(".json")
    record.write_text(record.read_text().replace(f'"pandas": "{first.versions["pandas"]}"', '"pandas": "0.1"'))

    done = rebuild(first.run_id, settings=settings)
    places = {"STORE": settings.store, "REPORTS": settings.reports, "CACHE": settings.cache}
    changed = json.loads(record.read_text())
    changed["metrics"]["yield"] = changed["metrics"].get("yield", 0.0) + 1e-15
    record.write_text(json.dumps(changed))
    said = subprocess.run(
        [sys.executable, "-m", "overround.cli", "rebuild", first.run_id], cwd=HOME, capture_output=True, text=True, timeout=120,
        env={**os.environ, **{f"OVERROUND_{name}": str(place) for name, place in places.items()}},
    )  # fmt: skip

    assert done.outcome.ok and done.metrics > 10
    assert done.differing == {}
    assert done.outcome.store_version == first.store_version
    assert any("pandas was 0.1" in warning for warning in done.warnings)
    assert f"overround rebuild {first.run_id}" in first.html.read_text()
    assert said.returncode == 1 and "1 of" in said.stderr and "yield" in said.stderr and "pandas was 0.1" in said.stderr


def test_what_cannot_be_rebuilt_is_said(tmp_path):
    settings = Settings(home=HOME, store=str(tmp_path / "store"), reports=tmp_path / "reports")
    (tmp_path / "reports" / "runs" / "p1").mkdir(parents=True)
    (tmp_path / "reports" / "runs" / "p1" / "torn.json").write_text("{")
    (tmp_path / "secret.json").write_text("{}")

    for run_id, words in (
        ("p1.none", "there is no run"),
        ("p1.torn", "cannot be read"),
        ("../../.secret", "there is no run"),
        ("", "there is no run"),
    ):
        with pytest.raises(ParameterError, match=words):
            rebuild(run_id, settings=settings)
