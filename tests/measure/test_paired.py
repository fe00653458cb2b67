"""The comparison's verdicts, proved on simulated machines whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from overround import figures
from overround.errors import ParameterError
from overround.measure.paired import (
    BETTER,
    NOISE,
    WORSE,
    compare,
    compare_all,
    difference,
    quiet_pairs,
    significant_first,
)
from tests.support.noisy_machine import machine


def processes(
    rng: np.random.Generator, pairs: int, factor: float = 1.0, shared: float = 0.07, own: float = 0.02
) -> pd.DataFrame:
    """Samples in fresh processes, each of a speed of its own that lasts as long as it does: the loop in it
    has it, too.
    """
    rows = []
    for pair in range(pairs):
        for side, true in (("A", 0.1), ("B", 0.1 * factor)):
            speed = rng.lognormal(0, 0.07)
            seconds = true * speed ** (shared / 0.07) * rng.lognormal(0, own)
            loop_s = 0.01 * speed * rng.lognormal(0, 0.02)
            rows.append(
                {"workload": "w", "pair": pair, "side": side, "wall_s": seconds, "calibration_s": loop_s}
            )
    return pd.DataFrame(rows)


def verdicts(factor: float, pairs: int = 15) -> list[str]:
    return [
        compare(machine(np.random.default_rng(seed), pairs, factor), resamples=1000).verdict
        for seed in range(100)
    ]


@pytest.mark.slow
def test_the_same_program_twice_is_within_noise_at_least_95_times_in_100():
    assert verdicts(1.0).count(NOISE) >= 95


@pytest.mark.slow
def test_a_tenth_slower_is_found_at_least_80_times_in_100_and_never_called_better():
    found = verdicts(1.10)

    assert found.count(WORSE) >= 80
    assert BETTER not in found


@pytest.mark.slow
def test_a_tenth_faster_is_found_as_well():
    assert verdicts(1 / 1.10).count(BETTER) >= 80


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = [
        (one := compare(machine(np.random.default_rng(seed), 15, 1.2), resamples=1000)).low <= 1.2 <= one.high
        for seed in range(200)
    ]

    assert 0.90 <= np.mean(held) <= 1.0


@pytest.mark.slow
def test_the_speed_that_a_process_happens_to_have_is_taken_out_of_its_times():
    def verdicts(factor: float, **loop: float) -> list[str]:
        return [
            compare(processes(np.random.default_rng(seed), 12, factor).assign(**loop), resamples=1000).verdict
            for seed in range(100)
        ]

    assert verdicts(1.0).count(NOISE) >= 95
    assert verdicts(1.10).count(WORSE) >= 95
    assert verdicts(1.10, calibration_s=0.01).count(WORSE) < 90  # as it was without the loop


@pytest.mark.slow
def test_the_corrected_interval_holds_the_truth_about_as_often_as_it_says():
    for pairs in (8, 15, 30):
        found = [
            compare(processes(np.random.default_rng(seed), pairs, 1.2), resamples=1000) for seed in range(200)
        ]

        assert 0.89 <= np.mean([one.low <= 1.2 <= one.high for one in found]) <= 0.99


@pytest.mark.slow
def test_times_that_the_loop_says_nothing_of_are_none_the_worse_for_it():
    widths: dict[str, list[float]] = {"with": [], "without": []}
    for seed in range(100):
        samples = processes(np.random.default_rng(seed), 15, shared=0.0, own=0.05)
        for name, taken in (("with", samples), ("without", samples.assign(calibration_s=1.0))):
            one = compare(taken, resamples=1000)
            widths[name].append(one.high - one.low)

    assert np.median(widths["with"]) <= 1.1 * np.median(widths["without"])


def test_a_program_that_slows_the_loop_beside_it_hides_nothing():
    """It leaves threads behind, say: they slow its own work and the loop alike, and are its cost."""
    for seed in range(20):
        samples = processes(np.random.default_rng(seed), 12)
        samples.loc[samples["side"] == "B", ["wall_s", "calibration_s"]] *= 1.3

        one = compare(samples, resamples=1000)

        assert one.verdict == WORSE
        assert abs(one.ratio - 1.3) < 0.15


def test_what_is_no_time_stays_as_it_was():
    samples = processes(np.random.default_rng(1), 15).assign(peak_mb=lambda d: 100 * d["wall_s"])

    assert compare(samples, "peak_mb").before == 100 * samples[samples["side"] == "A"]["wall_s"].median()
    assert compare(samples).before != samples[samples["side"] == "A"]["wall_s"].median()


def test_a_sure_but_small_change_is_no_change():
    pairs = np.arange(30)
    samples = pd.concat(
        [
            pd.DataFrame({"pair": pairs, "side": side, "wall_s": s + pairs * 1e-6, "calibration_s": 1.0})
            for side, s in (("A", 1.0), ("B", 1.03))
        ]
    )

    one = compare(samples)

    assert one.low > 1
    assert one.verdict == NOISE
    assert compare(samples, threshold=0.02).verdict == WORSE


def test_pairs_of_a_busy_spell_are_set_aside_by_the_loop_alone():
    calibration = np.ones((12, 2))
    calibration[3, 0], calibration[7] = 2.0, 1.9

    quiet = quiet_pairs(calibration)

    assert np.flatnonzero(~quiet).tolist() == [3, 7]
    assert quiet_pairs(np.linspace(1, 10, 24).reshape(12, 2)).sum() == 6


def test_what_a_busy_spell_did_to_one_side_does_not_decide():
    samples = machine(np.random.default_rng(5), 20)
    spell = samples["pair"].between(4, 9) & (samples["side"] == "B")
    samples.loc[spell, ["wall_s", "calibration_s"]] *= 2.3

    one = compare(samples)

    assert one.set_aside >= 6
    assert one.verdict == NOISE


def test_a_change_is_said_with_its_interval():
    text = str(compare(machine(np.random.default_rng(1), 15, 1.3)))

    assert "worse" in text
    assert "to +" in text
    assert "pairs" in text


def test_all_workloads_and_metrics_in_one_table():
    first = machine(np.random.default_rng(1), 12, 1.3).assign(cpu_s=lambda d: d["wall_s"] * 0.9)
    table = compare_all(pd.concat([first, first.assign(workload="other", cpu_s=1.0)]))

    assert list(zip(table["workload"], table["metric"], strict=True)) == [
        ("w", "wall_s"),
        ("w", "cpu_s"),
        ("other", "wall_s"),
        ("other", "cpu_s"),
    ]
    assert table["verdict"].tolist() == [WORSE, WORSE, WORSE, NOISE]


def test_what_became_worse_stands_first_then_what_became_better_then_noise_and_of_each_the_largest():
    factors = {"same": 1.0, "better": 0.8, "much better": 0.5, "worse": 1.3, "much worse": 2.0}
    samples = pd.concat(
        [
            machine(np.random.default_rng(3), 12, factor).assign(workload=name, own_s=lambda d: d["wall_s"])
            for name, factor in factors.items()
        ],
        ignore_index=True,
    )
    samples.loc[samples["workload"] == "much worse", "own_s"] = np.nan

    sorted_ = significant_first(samples)

    assert list(dict.fromkeys(sorted_["workload"])) == [
        "much worse",
        "worse",
        "much better",
        "better",
        "same",
    ]
    # without the metric nothing can be told
    assert list(dict.fromkeys(significant_first(samples, "own_s")["workload"]))[-1] == "much worse"
    assert list(dict.fromkeys(significant_first(samples, threshold=0.6)["workload"]))[:2] == [
        "much worse",
        "much better",
    ]
    pd.testing.assert_frame_equal(sorted_.sort_index(), samples)


def test_too_few_pairs_or_a_metric_that_is_not_there_is_said():
    samples = machine(np.random.default_rng(1), 4)

    with pytest.raises(ParameterError, match="4 pairs"):
        compare(samples)
    with pytest.raises(ParameterError, match="'peak_mb'"):
        compare(samples, "peak_mb")
    with pytest.raises(ParameterError, match="'calibration_s'"):
        compare(samples.drop(columns="calibration_s"))


def test_a_pair_whose_loop_was_not_timed_or_that_lacks_a_side_is_none():
    samples = processes(np.random.default_rng(1), 12)
    without, untimed, one_sided = samples[samples["pair"] != 1], samples.copy(), samples.copy()
    untimed.loc[3, "calibration_s"] = 0.0
    one_sided.loc[3, "wall_s"] = np.nan

    assert str(compare(untimed)) == str(compare(one_sided)) == str(compare(without))
    with pytest.raises(ParameterError, match="0 pairs of samples with wall_s and a timed loop"):
        compare(samples.assign(calibration_s=0.0))
    with pytest.raises(ParameterError, match="0 pairs of samples with wall_s"):
        compare(samples.assign(wall_s=samples["wall_s"].where(samples["side"] == "B")))


def test_what_is_0_has_no_ratio_but_a_difference():
    samples = processes(np.random.default_rng(1), 12).assign(
        io_wait_s=lambda d: (d["side"] == "B").astype(float)
    )

    with pytest.raises(ParameterError, match="io_wait_s is 0 in some samples"):
        compare(samples, "io_wait_s")
    assert difference(samples, "io_wait_s") == (1.0, 1.0, 1.0)


def test_the_figure_shows_every_sample_and_says_each_change_with_its_interval():
    samples = pd.concat(
        [
            machine(np.random.default_rng(n), 12, factor).assign(workload=name, floor_s=0.03)
            for n, (name, factor) in enumerate({"one": 1.3, "two": 0.5}.items())
        ]
    )

    picture = figures.change(samples, names=("old", "new"))

    dots = sum(len(shown.get_offsets()) for shown in picture.figure.axes[0].collections)
    assert dots == len(samples)
    assert str(compare(samples[samples["workload"] == "one"])) in picture.alt
    assert "one, wall_s" in picture.alt and "worse" in picture.alt
    assert "worse" not in figures.change(samples, threshold=0.5).alt
    assert b"floor" in picture.svg()
