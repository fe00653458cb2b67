"""The report of a sweep: its tables are sums over the variants, its figures say what they show, whatever was
swept.
"""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import overround as ov
from overround import figures
from overround.errors import ParameterError
from overround.sweeps import SweepSettings
from overround.sweeps.summary import value_groups
from tests.support.books import noisy_quotes, season

HOSTILE = '<script>alert("x")</script> $x^2$'


def swept(
    n: int = 400, *, edge: float = 0.0, seed: int = 3, space: dict | None = None, **how
) -> ov.sweeps.Sweep:
    wanted, ended, closing = season(n, seed=seed, edge=edge)
    wanted = wanted.assign(edge=np.random.default_rng(seed).uniform(0, 0.1, n))
    space = space or {
        "min_edge": [0.0, 0.02, 0.05],
        "max_price": [2.0, 3.0, 5.0, 9.0],
        "staking": ["flat", "percentage"],
    }
    return ov.sweep(
        ov.backtest(wanted, ended, closing=closing), space, settings=SweepSettings(simulations=200, **how)
    )


def all_figures(sweep: ov.sweeps.Sweep, note: str = "") -> dict:
    choices = ov.sweeps.walk_forward_choice(sweep, every_days=7, least_days=5)
    return {
        "map": figures.yield_map(sweep, note=note),
        "lines": figures.parallel_coordinates(sweep, note=note),
        "neighbours": figures.neighbours(sweep, note=note),
        "p": figures.corrected_p_values(sweep, note=note),
        "picks": figures.picks(choices, note=note),
    }


SPACES = {
    "a grid": {},
    "a sample": {"space": {"min_edge": (0.0, 0.08), "max_price": (1.5, 9.0, "log")}, "sample": 60},
    "one parameter": {"space": {"min_edge": [0.0, 0.05]}},
    "one variant": {"space": {"min_edge": 0.0}},
    "no bets": {"space": {"min_edge": [0.5, 0.6]}},
    "six hundred": {
        "space": {"min_edge": list(np.linspace(0, 0.08, 200)), "staking": ["flat", "kelly", "percentage"]}
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("what", SPACES)
def test_every_figure_is_drawn_and_says_in_words_what_it_shows(what):
    sweep = swept(**SPACES[what])

    for name, picture in all_figures(sweep, HOSTILE).items():
        html = picture._repr_html_()
        alt = re.search(r'alt="([^"]*)"', html)[1]
        assert len(alt) > 30, name
        assert "nan" not in alt, name
        assert "<script" not in html, name
        assert len(picture.svg()) < 90_000, name


@pytest.mark.slow
def test_every_table_is_made_of_any_sweep():
    for what, how in SPACES.items():
        sweep = swept(**how)
        choices = ov.sweeps.walk_forward_choice(sweep, every_days=7, least_days=5)

        strip, matters = ov.display.sweep_key_figures(sweep, choices), ov.sweeps.influence(sweep)
        tests, picked = ov.sweeps.search_tests(sweep), ov.sweeps.picked_variants(sweep, choices)

        assert f"Variants tried {sweep.tried:,}" in strip.text, what
        assert "nan" not in strip.text + tests.to_string(), what
        assert len(matters) == len(sweep.varied), what
        assert len(picked) <= len(choices.periods), what
    assert "–" in ov.sweeps.search_tests(swept(**SPACES["no bets"]))["value"].tolist()


def test_a_cell_of_the_map_is_the_median_of_its_variants():
    space = {
        "min_edge": [0.0, 0.02, 0.05],
        "max_price": [2.0, 3.0, 5.0, 9.0],
        "staking": ["flat", "target", "percentage:0.2"],
    }
    sweep = swept(space=space)
    table = sweep.table

    picture = figures.yield_map(sweep, "max_price", "min_edge")

    middle = table.groupby(["min_edge", "max_price"])["yield"].median().to_numpy().reshape(3, 4)
    drawn = [text.get_text() for text in picture.figure.axes[0].texts]
    numbers = [float(re.search(r"[−0-9.]+", text)[0].replace("−", "-")) for text in drawn]
    assert [text.startswith("(") for text in drawn] == (
        table.groupby(["min_edge", "max_price"])["bets"].median() < 30
    ).tolist()
    assert numbers == pytest.approx((100 * middle).ravel(), abs=0.051)
    assert [tick.get_text() for tick in picture.figure.axes[0].get_xticklabels()] == ["2", "3", "5", "9"]
    assert f"to {ov.percent(middle.max())}" in picture.alt


def test_significance_is_marked_by_more_than_a_colour():
    without, real = swept(), swept(2_000, edge=0.3)

    marks = [
        "".join(text.get_text() for text in figures.yield_map(one).figure.axes[0].texts)
        for one in (without, real)
    ]

    assert (real.table["luck_p_adjusted"] <= 0.05).any()
    assert not (without.table["luck_p_adjusted"] <= 0.05).any()
    assert "●" not in marks[0]
    assert "●" in marks[1]


def test_a_map_of_what_does_not_vary_is_refused():
    with pytest.raises(
        ParameterError,
        match="'method' does not vary in this sweep; those that do: max_price, min_edge, staking",
    ):
        figures.yield_map(swept(), "method")


def test_what_a_parameter_matters_is_the_share_of_the_differences_between_its_values():
    sweep = swept()
    table = sweep.table

    found = ov.sweeps.influence(sweep)

    weight = table["bets"] / table["bets"].sum()
    around = table["yield"] - (weight * table["yield"]).sum()
    for name in sweep.varied:
        parts = [
            (weight[rows].sum(), np.average(around[rows], weights=weight[rows]))
            for rows in table.groupby(name).groups.values()
        ]
        share = sum(heavy * mean**2 for heavy, mean in parts) / (weight * around**2).sum()
        assert found.loc[name.replace("_", " "), "share"] == pytest.approx(share)
    by_price = table.groupby("max_price")[["profit", "staked"]].sum()
    of_value = by_price["profit"] / by_price["staked"]
    assert found.loc["max price", "best"] == f"{of_value.idxmax():g}"
    assert found.loc["max price", "worst_yield"] == pytest.approx(of_value.min())
    assert found["share"].is_monotonic_decreasing


def test_many_values_become_ranges_with_as_many_variants_each():
    sweep = swept(space={"min_edge": (0.0, 0.08), "max_price": (1.5, 9.0)}, sample=80)

    codes, words = value_groups(sweep, "min_edge", most=4)

    assert np.bincount(codes).tolist() == [20] * 4
    assert [word.split("–")[0] for word in words] == sorted(word.split("–")[0] for word in words)
    lowest = sweep.table["min_edge"][codes == 0]
    assert words[0] == f"{lowest.min():.2g}–{lowest.max():.2g}"


def test_the_key_figures_are_those_of_the_best_and_count_all():
    sweep = swept(2_000, edge=0.3)
    choices = ov.sweeps.walk_forward_choice(sweep, every_days=30)
    best = sweep.table.loc[sweep.table.attrs["best"]]

    text = ov.display.sweep_key_figures(sweep, choices).text

    assert f"Variants tried {sweep.tried}" in text
    assert f"Yield of the best {ov.percent(best['yield'], sign=True)}" in text
    assert f"Significant {(sweep.table['luck_p_adjusted'] <= 0.05).sum()}" in text
    assert f"Picked by the past {ov.percent(choices.value, sign=True)}" in text
    near = ov.sweeps.stability(sweep).loc[best.name]
    assert (
        f"Neighbours win {near['neighbours'] * near['neighbours_winning']:.0f} of {near['neighbours']:.0f}"
        in text
    )


def test_periods_with_the_same_pick_are_one_row_with_all_their_money():
    sweep = swept(1_500, edge=0.05)
    choices = ov.sweeps.walk_forward_choice(sweep, every_days=7, least_days=5)

    found = ov.sweeps.picked_variants(sweep, choices)

    periods = choices.periods[choices.periods["staked"] > 0]
    assert len(found) < len(periods) == found["periods"].sum()
    assert found["staked"].sum() == pytest.approx(periods["staked"].sum())
    assert found["profit"].sum() == pytest.approx(periods["profit"].sum())
    same = [tuple(row) for row in found[sweep.varied].itertuples(index=False)]
    assert all(one != other for one, other in pairwise(same))
    assert found["from"].iloc[0] == periods.index[0]


def test_the_tests_of_all_are_those_of_the_library():
    sweep = swept()

    found = ov.sweeps.search_tests(sweep)["value"]

    daily = pd.DataFrame(sweep.profit[:, sweep.staked.any(axis=0)].T)
    assert found["independent variants"] == f"{ov.evaluation.effective_number(daily):.0f}"
    assert found["reality check"] == f"{sweep.table.attrs['reality_check']:.3f}"
    assert found["probability of overfitting"] == ov.percent(
        ov.evaluation.backtest_overfitting(daily, blocks=10)["pbo"], 0
    )
    assert (
        found["luck test, corrected"]
        == f"{sweep.table.loc[sweep.table.attrs['best'], 'luck_p_adjusted']:.3f}"
    )


def test_without_closing_lines_the_days_judge():
    prices, ended = noisy_quotes(150, 3, seed=4)
    sweep = ov.sweep(
        prices[prices["phase"] != "close"],
        {"reference": "b0", "min_edge": [0.0, 0.01, 0.02]},
        ended,
        settings=SweepSettings(simulations=200),
    )
    assert sweep.table["luck_p"].isna().all()

    choices = ov.sweeps.walk_forward_choice(sweep)
    best = sweep.table.loc[sweep.table.attrs["best"]]

    assert (
        f"Its p, corrected {best['p_adjusted']:.3f} {best['p']:.3f} alone"
        in ov.display.sweep_key_figures(sweep, choices).text
    )
    assert "days drawn anew" in figures.corrected_p_values(sweep).alt
    assert "nan" not in figures.yield_map(sweep).alt


def test_the_same_figure_has_the_same_bytes():
    sweep = swept()

    assert figures.yield_map(sweep).svg() == figures.yield_map(sweep).svg()
