"""Baselines and comparisons, with real processes: what was planted is found, in processor time, which a busy
machine leaves alone.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from overround import perf
from overround.cli.main import app
from overround.errors import ParameterError, RunError
from overround.measure import procfs
from overround.measure.paired import BETTER, NOISE, WORSE, compare
from overround.perf import worker as perf_worker
from overround.perf.workloads import WORKLOADS
from tests.support.commands import ROOT, overround
from tests.support.commands import home as command_home
from tests.support.noisy_machine import machine
from tests.support.servers import require_module


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OVERROUND_HOME", str(tmp_path))
    return tmp_path


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *words],
        cwd=folder,
        check=True,
        capture_output=True,
    )


def loop(steps: int) -> int:
    return sum(number & 7 for number in range(steps))


@pytest.mark.slow
def test_two_ways_in_turns_in_one_process_are_told_apart():
    samples = perf.in_turns(
        "loop", lambda: loop(1_000_000), lambda: loop(250_000), pairs=7
    )  # long enough for a busy machine

    one = compare(samples, "cpu_s")

    assert one.verdict == BETTER
    assert one.ratio == pytest.approx(0.25, rel=0.3)
    assert list(samples["side"][:4]) == ["A", "B", "A", "B"]


def test_time_in_the_queue_for_a_processor_is_no_time_of_one_s_own():
    others = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))
    ]
    try:
        busy = perf_worker.take(lambda: loop(1_000_000))
        waits = perf_worker.take(lambda: time.sleep(0.1))
    finally:
        for other in others:
            other.kill()
            other.wait()

    # it computes and nothing else: all that it was not computing it stood in the queue, or its whole machine
    # did
    assert busy["cpu_s"] * 0.98 <= busy["own_s"] < busy["wall_s"] * 0.9
    # what it waits for is its own
    assert waits["own_s"] >= 0.1


@pytest.mark.parametrize(("queued_ns", "queued"), [(4_000_000, 0.0005), (200_000, 0.0002), (0, 0.0)])
def test_who_is_sent_into_the_queue_while_counters_are_read_has_not_worked_for_no_time(queued_ns, queued):
    # 2 ms on the clock, 1.5 of them on the processor, whatever the kernel counted before the clock was read
    first = (10.0, 5.0, 3.0, b"7000000 1000000 9\n", b"", b"")
    last = (10.002, 5.0015, 3.0015, b"8500000 %d 11\n" % (1_000_000 + queued_ns), b"", b"")

    assert procfs.queued_s(first, last) == pytest.approx(queued)


def test_what_is_kept_comes_back_with_what_it_was_taken_of(home: Path):
    samples = machine(np.random.default_rng(1), 6)

    file = perf.keep("before", samples, {"A": perf.Side("this checkout", revision="abc")})
    again, about = perf.kept("before")

    pd.testing.assert_frame_equal(again, samples, check_dtype=False)
    assert file == home / "data" / "perf" / "before.json"
    assert about["sides"]["A"]["revision"] == "abc"
    assert {"python", "pandas", "numpy"} <= set(about["versions"])
    assert about["machine"]["cores"]


def test_a_baseline_of_a_machine_half_as_fast_is_held_against_its_own_loop(home: Path):
    rng = np.random.default_rng(1)
    earlier = machine(rng, 15).query("side == 'A'").assign(cpu_s=lambda rows: rows["wall_s"])
    now = machine(rng, 15).query("side == 'A'").assign(cpu_s=lambda rows: rows["wall_s"], workload="spin")
    earlier = earlier.assign(
        workload="spin", wall_s=2 * earlier["wall_s"], calibration_s=2 * earlier["calibration_s"]
    )
    perf.keep("slow", earlier, {"A": perf.Side("x")})
    perf.keep("fast", now, {"A": perf.Side("x")})

    with perf.resolved("slow", "fast") as (a, b):
        samples = perf.measure({"A": a, "B": b}, ["spin"], pairs=15)

    assert compare(samples).verdict == NOISE


def test_a_baseline_of_a_quiet_day_makes_no_own_time_better_on_a_machine_with_a_queue(home: Path):
    """Others make the wall time of work and loop half as long again, and no own time."""
    for name, queue, own in (("quiet", 1.0, 1.0), ("crowded", 1.5, 1.0), ("quick", 1.0, 0.5)):
        rng = np.random.default_rng(len(name))
        rows = [
            {
                "workload": "spin",
                "pair": pair,
                "side": "A",
                "floor_s": 0.04 * own,
                **{
                    kind: seconds * own * noise
                    for kind, seconds in (
                        ("own_s", 0.1),
                        ("wall_s", 0.1 * queue),
                        ("calibration_own_s", 0.01),
                        ("calibration_s", 0.01 * queue),
                    )
                },
            }
            for pair, noise in enumerate(rng.lognormal(0, 0.02, 12))
        ]
        perf.keep(name, pd.DataFrame(rows), {"A": perf.Side("x")})

    for name in ("crowded", "quick"):
        with perf.resolved("quiet", name) as (a, b):
            samples = perf.measure({"A": a, "B": b}, ["spin"], pairs=12)
        found = {metric: compare(samples, metric) for metric in ("own_s", "wall_s")}

        assert [one.verdict for one in found.values()] == [NOISE, NOISE], name
        # a machine half as slow was half as long at the floor
        assert found["own_s"].floor == pytest.approx(0.04, rel=0.05), name


def test_a_workload_that_a_baseline_has_no_samples_of_is_left_out_and_said(home: Path):
    samples = machine(np.random.default_rng(1), 6).query("side == 'A'")
    perf.keep("one", samples.assign(workload="spin"), {"A": perf.Side("x")})
    perf.keep(
        "two",
        pd.concat([samples.assign(workload=name) for name in ("margin", "spin")]),
        {"A": perf.Side("x")},
    )

    with perf.resolved("one", "two") as (a, b):
        found = perf.measure({"A": a, "B": b}, ["margin", "spin"], pairs=5)
        perf.keep("compared-1", found, {"A": a, "B": b})
        with pytest.raises(RunError, match="baseline one has no samples of margin; it has spin"):
            perf.measure({"A": a, "B": b}, ["margin"], pairs=6)

    assert set(found["workload"]) == {"spin"}
    assert found.groupby("side").size().to_dict() == {
        "A": 6,
        "B": 6,
    }  # nothing had to be measured: all that were kept
    assert list(found.attrs["left_out"]) == list(perf.kept("compared-1")[1]["left_out"]) == ["margin"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no-such-thing", "nor a revision of git"),
        ("../x", "nor a revision of git"),
        ("method=shin,markets", "'markets' is no name=value"),
        ("compared-1", "is a comparison of two"),
    ],
)
def test_a_side_that_is_nothing_is_refused(home: Path, name: str, words: str):
    perf.keep("compared-1", machine(np.random.default_rng(1), 6), {"A": perf.Side("x"), "B": perf.Side("y")})
    with pytest.raises(ParameterError, match=words), perf.resolved(name):
        pass


def test_names_workloads_and_files_that_cannot_be_are_said(home: Path):
    with pytest.raises(ParameterError, match="cannot be a baseline's name"):
        perf.keep("../x", pd.DataFrame(), {})
    with pytest.raises(ParameterError, match="no baseline 'x'"):
        perf.kept("x")
    with pytest.raises(ParameterError, match="'nothing' is unknown"):
        perf.measure({}, ["nothing"])
    (home / "data" / "perf").mkdir(parents=True)
    for text in (
        "{",
        "[]",
        "5",
        '{"samples": [], "sides": {"A": {}}}',
        '{"samples": [{"a": 1}], "sides": {"A": {}}}',
        '{"samples": [{"workload": "spin", "pair": 0, "side": "A", "calibration_s": 1}], "sides": {}}',
    ):
        (home / "data" / "perf" / "x.json").write_text(text)
        with pytest.raises(ParameterError, match="is no baseline"), perf.resolved("x"):
            pass


def test_a_wrong_option_and_a_failing_workload_are_said(home: Path):
    with (
        perf.resolved("colour=red") as (side,),
        pytest.raises(ParameterError, match="spin does not take colour"),
    ):
        perf.measure({"A": side}, ["spin"], pairs=1)
    with (
        perf.resolved("steps=many") as (side,),
        pytest.raises(RunError, match="workload spin of steps=many failed"),
    ):
        perf.measure({"A": side}, ["spin"], pairs=1)


@pytest.mark.slow
def test_a_workload_that_takes_too_long_is_said(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("overround.perf.samples._LONGEST_S", 0.05)

    with (
        perf.resolved(".") as (here,),
        pytest.raises(RunError, match=r"workload spin of this checkout took more than 0\.05 s"),
    ):
        perf.measure({"A": here}, ["spin"], pairs=1)


@pytest.mark.slow
def test_a_planted_slow_down_fails_the_command_and_the_same_again_does_not(home: Path):
    command = [
        "perf",
        "compare",
        "steps=500000",
        "steps=2000000",  # so much slower that no neighbour on a busy machine hides it
        "-w",
        "spin",
        "--pairs",
        "7",
        "--metric",
        "cpu_s",
        "--fail-on",
        "worse",
    ]

    slower = CliRunner().invoke(app, [*command, "--figure", str(home / "f.svg")])
    faster = CliRunner().invoke(app, [*command[:2], command[3], command[2], *command[4:]])

    assert slower.exit_code == 1, slower.output
    assert "worse in cpu_s: spin" in slower.output
    assert (home / "f.svg").read_text().startswith("<?xml")
    assert faster.exit_code == 0, faster.output
    kept = json.loads(next((home / "data" / "perf").glob("compared-*.json")).read_text())
    assert {"load", "cpu_s", "wall_s", "calibration_s", "at"} <= set(kept["samples"][0])
    assert kept["versions"]


@pytest.mark.slow
def test_each_revision_is_measured_with_its_own_library(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    library = home / "lib" / "overround"
    library.mkdir(parents=True)
    git(home, "init", "-q")
    for tag, steps in (("quick", 1_000_000), ("slow", 4_000_000)):
        (library / "__init__.py").write_text(
            f"def remove_margin(prices, method):\n    return sum(n & 7 for n in range({steps}))\n"
        )
        git(home, "add", ".")
        git(home, "commit", "-qm", tag)
        git(home, "tag", tag)

    with perf.resolved("quick", "slow") as (a, b):
        samples = perf.measure({"A": a, "B": b}, ["margin"], pairs=5, repeats=2)
        folders = [a.library, b.library]
        compiled = [len([*folder.rglob("__init__*.pyc")]) for folder in folders]

    assert compiled == [1, 1]  # once, not in every sample
    one = compare(samples, "cpu_s")
    assert one.verdict == WORSE
    assert one.ratio == pytest.approx(4, rel=0.3)
    assert not any(folder.exists() for folder in folders)
    assert (
        subprocess.run(["git", "worktree", "list"], cwd=home, capture_output=True, text=True).stdout.count(
            "\n"
        )
        == 1
    )


@pytest.mark.slow
def test_a_baseline_can_be_compared_with_what_is_measured_now(home: Path):
    kept = CliRunner().invoke(
        app, ["perf", "baseline", "now", "-w", "spin", "--pairs", "5", "--repeats", "2"]
    )
    compared = CliRunner().invoke(
        app, ["perf", "compare", "now", ".", "-w", "spin", "--pairs", "5", "--repeats", "2"]
    )

    assert kept.exit_code == 0, kept.output
    assert compared.exit_code == 0, compared.output
    assert "spin         cpu" in compared.output


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKLOADS)
def test_every_workload_works(name: str, tmp_path: Path):
    with WORKLOADS[name](tmp_path) as (run, floor):
        assert run() is not None
        assert run() is not None  # again, on what the first has left
        if floor is not None:
            floor()


def test_a_profile_shows_where_a_workload_spends_its_time(tmp_path: Path):
    require_module("pyinstrument")

    said = CliRunner().invoke(app, ["perf", "profile", "append", "--html", str(tmp_path / "p.html")])
    unknown = CliRunner().invoke(app, ["perf", "profile", "nothing"])

    assert said.exit_code == 0, said.output
    assert "Store.append" in said.output
    assert "<html" in (tmp_path / "p.html").read_text().lower()
    assert unknown.exit_code == 2


@pytest.mark.slow
def test_a_workload_that_the_older_revision_cannot_do_is_left_out_and_said(home: Path):
    git(home, "init", "-q")
    library = home / "lib" / "overround"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text(
        "def remove_margin(prices, method):\n    return sum(n & 7 for n in range(100_000))\n"
    )
    git(home, "add", ".")
    git(home, "commit", "-qm", "old")

    done = CliRunner().invoke(
        app,
        ["perf", "compare", "HEAD", ".", "-w", "margin", "-w", "signals", "--pairs", "5", "--repeats", "1"],
    )
    alone = CliRunner().invoke(
        app, ["perf", "compare", "HEAD", ".", "-w", "signals", "--pairs", "5", "--repeats", "1"]
    )

    assert done.exit_code == 0, done.output
    assert "left out: signals: workload signals of HEAD failed: AttributeError" in done.output
    assert alone.exit_code == 1
    assert "workload signals of HEAD failed" in alone.output


def test_only_a_whole_interval_beyond_the_threshold_stops_others(home: Path, monkeypatch: pytest.MonkeyPatch):
    said = {}
    for factor in (1.2, 1.53, 2.5):
        # own time decides: the wall says nothing here
        samples = (
            machine(np.random.default_rng(3), 12, factor)
            .rename(columns={"wall_s": "own_s"})
            .assign(wall_s=0.1)
        )
        samples.attrs["left_out"] = {}
        monkeypatch.setattr(perf, "measure", lambda *_, samples=samples, **__: samples)
        done = CliRunner().invoke(
            app, ["perf", "compare", ".", ".", "--fail-on", "worse", "--threshold", "0.5"]
        )
        said[factor] = done.exit_code, compare(samples, "own_s", threshold=0.5)

    assert [code for code, _ in said.values()] == [0, 0, 1]
    # worse it is, but not for sure by half
    assert said[1.53][1].verdict == WORSE
    assert said[1.53][1].low < 1.5


def test_a_metric_that_decides_and_was_not_measured_on_one_side_passes_nobody(home: Path):
    """A baseline that was kept before there was own time, say."""
    samples = machine(np.random.default_rng(1), 12, 3.0).assign(
        workload="spin", cpu_s=lambda rows: rows["wall_s"]
    )
    perf.keep("old", samples.query("side == 'A'"), {"A": perf.Side("x")})
    perf.keep(
        "slow", samples.query("side == 'B'").assign(own_s=lambda rows: rows["wall_s"]), {"A": perf.Side("x")}
    )

    own = CliRunner().invoke(app, ["perf", "compare", "old", "slow", "-w", "spin", "--fail-on", "worse"])
    cpu = CliRunner().invoke(
        app, ["perf", "compare", "old", "slow", "-w", "spin", "--fail-on", "worse", "--metric", "cpu_s"]
    )

    assert own.exit_code == 2
    assert "overround: own_s of spin was not measured on both sides" in own.output
    assert "worse" in own.output  # of what was measured, all is said
    assert cpu.exit_code == 1


@pytest.mark.slow
def test_a_comparison_becomes_a_page_that_the_index_lists(tmp_path: Path):
    env = command_home(tmp_path)
    words = [
        "perf",
        "compare",
        "steps=300000",
        "steps=600000",
        "-w",
        "spin",
        "--pairs",
        "5",
        "--repeats",
        "1",
        "--report",
    ]

    done = overround(*words, env=env)

    page = Path(done.stdout.strip().splitlines()[-1])
    kept = Path(done.stdout.strip().splitlines()[-2])
    kept.unlink()
    text = page.read_text()
    assert "spin" in text
    assert "worse" in text
    assert "steps=300000" in text
    assert (
        page.relative_to(tmp_path / "reports").as_posix() in (tmp_path / "reports" / "index.html").read_text()
    )
    assert len(text) < 500_000


@pytest.mark.slow
def test_this_checkout_is_not_half_as_slow_again_as_the_revision_before(tmp_path: Path):
    """What a user's CI does, on ourselves. Twice before it is believed: noise must stop nobody."""
    before = (
        subprocess.run(
            ["git", "rev-parse", "-q", "--verify", "HEAD~1^{commit}"], cwd=ROOT, capture_output=True
        ).returncode
        == 0
    )
    if not before:
        print("this checkout knows no revision before its own: it is compared with itself")
    words = [
        "perf",
        "compare",
        "HEAD~1" if before else ".",
        ".",
        "--fail-on",
        "worse",
        "--threshold",
        "0.5",
        "--pairs",
        "5",
    ]
    words += ["--repeats", "1", *(word for name in ("signals", "append") for word in ("-w", name))]
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "overround.cli.main", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
        )
        if done.returncode == 0:
            break

    assert done.returncode == 0, done.stdout + done.stderr
    kept = Path(done.stdout.strip().splitlines()[-1])
    assert set(json.loads(kept.read_text())["samples"][0]) >= {"own_s", "cpu_s", "wall_s"}
    kept.unlink()
