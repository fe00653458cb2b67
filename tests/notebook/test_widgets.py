"""Sliders show what the backtest of that variant says, from what was computed beforehand."""

import re

import pytest

import overround as ov
from overround.errors import ParameterError
from overround.sweeps import SweepSettings
from tests.support.books import noisy_quotes

SPACE = {"reference": "b0", "min_edge": [0.0, 0.02, 0.04], "staking": "percentage", "stake": [0.01, 0.02]}


@pytest.fixture(scope="module")
def market():
    return noisy_quotes(120, 4, seed=3)


@pytest.fixture(scope="module")
def swept(market) -> ov.sweeps.Sweep:
    quotes, results = market
    return ov.sweep(quotes, SPACE, results, settings=SweepSettings(simulations=200))


def shown(widget) -> str:
    return widget.children[-1].value


@pytest.mark.parametrize(("edge", "stake"), [(0.0, 0.01), (0.02, 0.02), (0.04, 0.01)])
def test_the_figure_is_that_of_a_backtest_with_these_values(market, swept, edge, stake):
    quotes, results = market
    alone = ov.backtest(ov.value_signals(quotes, "b0", min_edge=edge), results, stake=ov.Percentage(stake))

    html = ov.sliders(swept).at(min_edge=edge, stake=stake)

    ends = f"{1_000 + alone['profit'].sum():,.0f}"
    assert f"{len(alone):,} bets" in html
    assert f"bankroll 1,000 to {ends}," in html
    assert f">{ends}</text>" in html  # at the end of the line


def test_a_moved_slider_draws_anew(swept):
    widget = ov.sliders(swept).widget()
    before = shown(widget)

    widget.children[0].value = 0.04

    assert [one.description for one in widget.children[:-1]] == ["min edge", "stake"]
    assert shown(widget) != before
    assert "min edge 4.0\u00a0%" in shown(widget)


def test_the_p_is_that_corrected_for_every_setting_which_the_sliders_reach(swept):
    p = swept.table["luck_p_adjusted"].iloc[0]

    html = ov.sliders(swept).at(min_edge=0.0, stake=0.01)

    assert p > swept.table["luck_p"].iloc[0]
    assert f"p {p:.3f}, corrected for the 6 settings" in html


def test_the_scale_stays_where_it_is(swept):
    found = ov.sliders(swept)

    axes = [
        re.findall(r'text-anchor="end"[^>]*>([^<]*)<', found.at(min_edge=edge)) for edge in SPACE["min_edge"]
    ]

    assert axes[0] == axes[1] == axes[2]
    assert len(axes[0]) >= 3


def test_a_page_gets_the_figure_that_stands_still_beside_the_widget(swept, monkeypatch):
    bundle = ov.sliders(swept)._repr_mimebundle_()
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    without = ov.sliders(swept)._repr_mimebundle_()

    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert set(without) == {"text/html", "text/plain"}
    assert without["text/html"] == bundle["text/html"]
    assert 'aria-label="Bankroll over time.' in bundle["text/html"]


def test_where_no_variant_bets_the_bankroll_stands_still(market):
    quotes, results = market
    found = ov.sliders(
        ov.sweep(
            quotes,
            SPACE | {"min_edge": [0.9, 1.0], "max_edge": 1.5},
            results,
            settings=SweepSettings(simulations=50),
        )
    )

    assert "no bets" in repr(found)
    assert "1,000</text>" in found.at(min_edge=0.9)


def test_what_is_no_grid_has_no_sliders(market, swept):
    quotes, results = market

    with pytest.raises(ParameterError, match="variants of nothing"):
        ov.sliders(ov.sweep(quotes, {"reference": "b0"}, results, settings=SweepSettings(simulations=50)))
    with pytest.raises(ParameterError, match="a whole grid has"):
        ov.sliders(
            ov.sweep(
                quotes,
                SPACE | {"min_edge": (0.0, 0.04)},
                results,
                settings=SweepSettings(sample=3, simulations=50),
            )
        )
    with pytest.raises(ParameterError, match="no variant has"):
        ov.sliders(swept).at(min_edge=0.5)
