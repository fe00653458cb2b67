"""Figures of signals: drawn of much, of little and of nothing, with words that hold the numbers, and hostile
names as text.
"""

import re

import pytest

from overround import arbitrage_signals, figures, value_signals
from overround.encoding import encode
from overround.prices import lowest_margin, reactions, stale_prices, steam_moves
from tests.support.markets import random_market

HOSTILE = '<script>alert("x")</script> & "Ünïted" $x^2$ ' + "long " * 20


def pictures(rows):
    leader = "pinnacle"
    return {
        "edges": figures.edge_certainty(value_signals(rows, leader, min_edge=0.0), note=HOSTILE),
        "arbitrages": figures.arbitrages(arbitrage_signals(rows)),
        "steam": figures.steam(steam_moves(rows, window_min=300)),
        "reaction": figures.reaction(reactions(rows, leader), leader),
        "stale": figures.stale(stale_prices(rows, least_move=0.01)),
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [random_market(1, events=6, polls=14).replace({"alpha": HOSTILE}), random_market(1).head(0)],
    ids=["some", "none"],
)
def test_every_figure_of_signals_is_drawn_and_says_in_words_what_it_shows(rows):
    for name, picture in pictures(rows).items():
        html = picture._repr_html_()

        alt = re.search(r'alt="([^"]*)"', html)[1]
        assert len(alt) > 30, name
        assert "nan" not in alt, name
        assert "<script" not in html, name
        assert picture.svg().startswith(b"<?xml"), name
        if len(rows):
            assert re.search(r"[1-9]", alt), name


@pytest.mark.slow
def test_figures_of_encoded_prices_are_those_of_their_text():
    rows = random_market(1, events=6, polls=14)

    as_text, encoded = pictures(rows), pictures(encode(rows))

    for name, picture in encoded.items():
        assert picture.alt == as_text[name].alt
        assert picture.svg() == as_text[name].svg(), name


def test_the_words_of_a_figure_hold_the_numbers():
    signals = arbitrage_signals(random_market(1, events=6, polls=14))

    alt = figures.arbitrages(signals).alt

    assert f"{signals['arbitrage'].nunique():,} arbitrages" in alt
    assert f"largest {100 * signals['guaranteed'].max():.2f}" in alt


def test_the_bookmaker_with_the_lowest_margin_leads_where_nobody_else_is_known_to():
    rows = random_market(1)
    dear = rows.assign(price=rows["price"].where(rows["bookmaker"] == "delta", 1 + (rows["price"] - 1) * 0.9))

    assert lowest_margin(dear) == "delta"
    assert lowest_margin(rows.head(0)) == ""


def test_the_same_figure_of_signals_has_the_same_bytes():
    found = reactions(random_market(1, events=6, polls=14), "pinnacle")

    assert figures.reaction(found, "pinnacle").svg() == figures.reaction(found, "pinnacle").svg()


def test_without_clock_times_words_stand_where_a_figure_would_be_empty():
    rows = random_market(1).head(0)

    for picture in (
        figures.steam(steam_moves(rows)),
        figures.reaction(reactions(rows, "pinnacle"), "pinnacle"),
        figures.stale(stale_prices(rows)),
    ):
        assert "clock time" in picture.alt
        assert not picture.figure.axes[0].axison
