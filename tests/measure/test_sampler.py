"""Profiles: what takes the time is seen, under the stage that it belongs to, and looking costs next to
nothing.
"""

import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overround import figures
from overround.measure import Meter
from overround.measure import sampler as profiles
from overround.measure.sampler import Sampler, call_table
from overround.runs.profile_files import of_run, of_stage
from overround.settings import Settings


@contextmanager
def sampled() -> Iterator[Sampler]:
    sampler = Sampler().start()
    yield sampler
    sampler.stop()


def burn(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def quick() -> None:
    burn(0.1)


def dear() -> None:
    burn(0.4)


@pytest.mark.slow
def test_a_stage_s_time_is_seen_where_it_goes_and_looking_is_cheap():
    meter = Meter("r")

    with sampled() as sampler:
        with meter.stage("work"):
            quick()
            dear()
        dear()  # in no stage: nobody's

    table = call_table(sampler.stacks["work"]).set_index("function")
    assert list(sampler.stacks) == ["work"]
    # it is four times as long; how many looks there were, and when, is the machine's affair
    assert table.loc["dear", "with_calls"] > 2 * table.loc["quick", "with_calls"]
    assert table.index[0] == "burn"
    assert table.loc["burn", "module"] == "test_sampler"
    assert 0.5 < sum(sampler.stacks["work"].values()) / 1e6 / meter.stages["work"]["wall_s"] < 1.2
    # some per cent on a quiet machine, see docs/decisions; a sampler that walks too far takes as long as the work
    assert 0 < sampler.cpu_s < 0.3 * meter.stages["work"]["wall_s"]


@pytest.mark.slow
def test_a_stage_inside_another_has_its_own_calls_and_what_waits_is_seen_waiting():
    meter = Meter("r")

    with sampled() as sampler, meter.stage("outer"):
        with meter.stage("inner"):
            dear()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: quick(), range(2)))

    inner, outer = (";".join(sampler.stacks[name]) for name in ("inner", "outer"))
    assert "dear" in inner
    assert "dear" not in outer
    assert "wait (threading)" in outer


def test_a_long_call_into_a_library_has_all_of_its_time():
    numbers = np.random.default_rng(1).random(5_000_000)
    meter = Meter("r")

    with sampled() as sampler, meter.stage("sort"):
        np.sort(numbers)  # one step of Python: only at its end the thread can look

    assert sum(sampler.stacks["sort"].values()) / 1e6 > 0.8 * meter.stages["sort"]["wall_s"]


def test_who_handles_the_signal_keeps_it_and_other_threads_are_left_alone():
    def handler(*_: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with sampled() as sampler, Meter("r").stage("work"):
            quick()
        assert signal.getsignal(signal.SIGALRM) is handler
    finally:
        signal.signal(signal.SIGALRM, before)
    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(lambda: Sampler().start()).result()
        quick()

    assert sampler.stacks == elsewhere.stop() == {}
    with sampled(), Meter("r").stage("work"):
        quick()
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_is_kept_comes_back_and_holds_no_path(tmp_path: Path):
    settings, stacks = (
        Settings(reports=tmp_path),
        {"fetch and parse": Counter({"a (m);b (n.o)": 12, "c (m)": 3})},
    )

    profiles.write(stacks, of_run("20260101-000000-abc.collect", settings))

    assert of_stage("collect: fetch and parse", "20260101-000000-abc", settings) == stacks["fetch and parse"]
    assert of_stage("collect: append", "20260101-000000-abc", settings) == Counter()
    assert of_stage("other: append", "20260101-000000-abc", settings) == Counter()
    with sampled() as sampler, Meter("r").stage("s"):
        pd.DataFrame({"a": range(1000)}).groupby("a").apply(len)
        dear()
    assert "/" not in ";".join(sampler.stacks["s"])
    (tmp_path / "torn").write_text("s;a (m) 5\ns;b\nnothing\n")
    assert profiles.read(tmp_path / "torn") == {"s": Counter({"a (m)": 5})}


def test_a_recursive_function_counts_once_a_look():
    table = call_table({"f (m);f (m);g (m)": 30, "f (m)": 10}).set_index("function")

    assert table["with_calls"].to_dict() == {"g": 0.75, "f": 1.0}
    assert table["itself"].to_dict() == {"g": 0.75, "f": 0.25}
    assert table["seconds"].to_dict() == {"g": 30e-6, "f": 10e-6}


def test_the_flame_graph_has_a_box_a_call_as_wide_as_its_time_and_says_the_dearest():
    stacks = {
        "run (overround.a);b (pandas.x);c (pandas.y)": 750_000,
        "run (overround.a);<d> (overround.a)": 250_000,
    }

    picture = figures.flame(stacks, "work & <play>")

    widths = sorted(round(box.get_width(), 6) for box in picture.figure.axes[0].patches)
    assert widths == [0.25, 0.75, 1.0]  # what pandas calls in itself is no box of its own
    assert "c (pandas.y) 75%" in picture.alt
    svg = picture.svg()
    assert b"<script" not in svg
    assert b"work &amp; &lt;play&gt;" in svg
    assert "No profile" in figures.flame({}, "work").alt


def test_a_sampler_that_saw_nothing_ends():
    assert Sampler().start().stop() == {}


def test_a_look_that_comes_before_another_is_left_sees_what_that_one_saw(monkeypatch: pytest.MonkeyPatch):
    sampler, within = Sampler(3600), iter([True])
    sampler._is_running = True
    # the next look, at the very moment at which it is ordered
    monkeypatch.setattr(
        signal, "setitimer", lambda *_: sampler._sample(0, sys._getframe(1)) if next(within, False) else None
    )

    with Meter("r").stage("work"):
        sampler._sample(0, sys._getframe())

    assert list(sampler.stacks["work"])
    assert not any("overround.measure.sampler" in stack for stack in sampler.stacks["work"])


@pytest.mark.slow
def test_looking_never_stops_a_process_whose_garbage_holds_locals_of_threads():
    # python/cpython#106883 and #99110: looks at other threads stopped such a process for ever, or crashed it,
    # before Python 3.12
    program = """
        import gc, threading, time
        from overround.measure.meter import Meter
        from overround.measure.sampler import Sampler

        gc.set_threshold(6)

        def litter():
            one = [threading.local()]
            one[0].it = one

        def rest():
            time.sleep(0.0005)

        def go_on():
            while time.monotonic() < end:
                litter()
                rest()

        end = time.monotonic() + 2
        sampler = Sampler(0.0002).start()
        with Meter("r").stage("work"):
            threads = [threading.Thread(target=go_on) for _ in range(12)]
            for thread in threads:
                thread.start()
            go_on()
            for thread in threads:
                thread.join()
        seen = sampler.stacks["work"]
        print(sum(seen.values()) > 1_000_000, any("overround.measure.sampler" in stack for stack in seen))
    """

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=60
    )

    assert done.stdout.split() == ["True", "False"], done.stderr
