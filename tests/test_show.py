"""Figures and tables: every number in its unit, every figure with words, every name as text."""

import re

import numpy as np
import pandas as pd
import pytest

from overround import (
    backtest,
    breakdown,
    closing_lines,
    compare_ledgers,
    evaluate,
    evaluation_table,
    fair_probabilities,
    figures,
    key_figures,
    probability_scores,
    table,
    value_signals,
)
from tests.books import KICK_OFF, quotes, result, results, season, three_way

HOSTILE = '<script>alert("x")</script> & "Ünïted" 🏆 $x^2$ שלום ' + "long " * 40


@pytest.fixture(scope="module")
def ledger():
    wanted, ended, closing = season(120, seed=1)
    return backtest(wanted.assign(bookmaker=HOSTILE), ended, closing=closing.assign(bookmaker=HOSTILE))


@pytest.fixture(scope="module")
def rows():
    moving = [three_way(f"m{i}", name, (2.0 + i / 9, 3.5, 4.0), phase="snapshot", at=str(KICK_OFF - pd.Timedelta(hours=h))[:19])
              for i in range(4) for name in ("pinnacle", HOSTILE, "c", "d") for h in (9, 3)]  # fmt: skip
    return quotes(*moving)


def all_figures(ledger, rows):
    scores = probability_scores(fair_probabilities(rows.query("outcome != 'x'")), results(*(result(f"m{i}") for i in range(4))), "pinnacle")
    requests = pd.DataFrame({"from_cache": [True, False, False], "latency_s": [0.001, 0.1, 0.2]})
    costs = pd.DataFrame({"wall_s": [1.0, 0.2], "io_wait_s": [0.4, 0.0]}, index=pd.Index([HOSTILE, "b"], name="stage"))
    pair = {HOSTILE: ledger, "other": ledger.head(60)}
    return {
        "bankroll": figures.bankroll(ledger), "drawdown": figures.drawdown(ledger), "closing_line": figures.closing_line(ledger),
        "yields": figures.yields(breakdown(ledger, simulations=100)), "sharpness": figures.sharpness(scores, "pinnacle"),
        "line_movement": figures.line_movement(rows[rows["event_id"] == "m1"], HOSTILE, highlight="pinnacle"),
        "edges": figures.edges(value_signals(rows, min_edge=0.0)), "coverage": figures.coverage(rows),
        "compared": figures.compared_bankrolls(pair), "differences": figures.differences(compare_ledgers(pair, simulations=100)),
        "costs": figures.costs(costs), "latencies": figures.latencies(requests, note=HOSTILE),
    }  # fmt: skip


def test_every_figure_is_drawn_and_says_in_words_what_it_shows(ledger, rows):
    for name, picture in all_figures(ledger, rows).items():
        html = picture._repr_html_()

        alt = re.search(r'alt="([^"]*)"', html)[1]
        assert len(alt) > 30, name
        assert "nan" not in alt, name
        assert "<script" not in html, name
        assert picture.svg().startswith(b"<?xml"), name


def test_every_figure_can_be_drawn_of_nothing(ledger, rows):
    nothing, no_rows = ledger.head(0), rows.head(0)
    nothing.attrs.update(ledger.attrs)

    for picture in (
        figures.bankroll(nothing), figures.drawdown(nothing), figures.closing_line(nothing), figures.edges(value_signals(rows).head(0)),
        figures.yields(breakdown(nothing)), figures.line_movement(no_rows, "none"),
        figures.compared_bankrolls({"a": nothing, "b": nothing}),
        figures.latencies(pd.DataFrame({"from_cache": [], "latency_s": []})), figures.coverage(no_rows),
    ):  # fmt: skip
        assert picture.svg()


def test_the_same_figure_has_the_same_bytes(ledger):
    assert figures.bankroll(ledger).svg() == figures.bankroll(ledger).svg()


def test_a_hostile_name_is_text_in_a_table():
    html = table(pd.DataFrame({HOSTILE: [1], "team": [HOSTILE]}))._repr_html_()

    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 2


def test_columns_of_our_tables_are_written_in_their_units():
    html = table(pd.DataFrame({"yield": [-0.01234], "price": [2.5], "bets": [12345], "clv": [np.nan], "low": [-0.1], "high": [0.2]})).html

    cells = re.findall(r">([^<>]+)</t[dh]>", html)
    assert cells == ["yield", "price", "bets", "clv", "95 % interval", "−1.23\u00a0%", "2.50", "12,345", "–", "−10.0\u00a0% to 20.0\u00a0%"]


def test_a_long_table_says_how_much_is_left_out_and_an_empty_one_that_it_is():
    frame = pd.DataFrame({"n": range(30)})

    assert "10 more rows" in table(frame, most=20).html
    assert "Nothing there." in table(frame.head(0), empty="Nothing there.").html


def test_the_strip_of_key_figures_carries_the_uncertainty(ledger):
    evaluation = evaluate(ledger, simulations=200)

    text = key_figures(evaluation).text

    assert re.search(r"Yield [−\d.]+\s% [−\d.]+\s% to [−\d.]+\s%; Profit", text)
    assert "Luck test p 0." in text
    assert "max drawdown" in evaluation_table(evaluation).html


def test_closing_lines_of_nothing_are_a_table_of_nothing(rows):
    assert list(closing_lines(rows.head(0)).columns) == [
        "event_id",
        "market",
        "line",
        "outcome",
        "bookmaker",
        "closing_price",
        "closing_fair",
    ]
