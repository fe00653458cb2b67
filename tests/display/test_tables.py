"""Figures and tables: every number in its unit, every figure with words, every name as text."""

import base64
import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest

from overround import (
    backtest,
    breakdown,
    closing_lines,
    compare_ledgers,
    evaluate,
    fair_probabilities,
    figures,
    key_figures,
    stack,
    table,
)
from overround.display import download, evaluation_table
from overround.display.palette import ACCENT
from overround.encoding import encode
from overround.errors import ParameterError
from overround.evaluation import compare_parts, compare_within, delay_curve, difference_curves, haircut
from overround.forecasts import probability_scores
from overround.prices import relative_prices
from tests.support.books import KICK_OFF, bet, bets, quotes, result, results, season, three_way

HOSTILE = '<script>alert("x")</script> & "Ünïted" 🏆 $x^2$ שלום ' + "long " * 40


@pytest.fixture(scope="module")
def ledger():
    wanted, ended, closing = season(120, seed=1)
    return backtest(wanted.assign(bookmaker=HOSTILE), ended, closing=closing.assign(bookmaker=HOSTILE))


@pytest.fixture(scope="module")
def rows():
    moving = [
        three_way(
            f"m{i}",
            name,
            (2.0 + i / 9, 3.5, 4.0),
            phase="snapshot",
            at=str(KICK_OFF - pd.Timedelta(hours=h))[:19],
        )
        for i in range(4)
        for name in ("pinnacle", HOSTILE, "c", "d")
        for h in (9, 3)
    ]
    return quotes(*moving)


def teams(name):
    return pd.DataFrame(
        {"event_id": [f"m{i}" for i in range(4)], "home": name, "away": "b", "starts_at": KICK_OFF}
    )


def all_figures(ledger, rows):
    scores = probability_scores(
        fair_probabilities(rows.query("outcome != 'x'")),
        results(*(result(f"m{i}") for i in range(4))),
        "pinnacle",
    )
    requests = pd.DataFrame(
        {"from_cache": [True, False, False], "latency_s": [0.001, 0.1, 0.2], "bytes": [9, 9, 0]}
    )
    costs = pd.DataFrame(
        {"wall_s": [1.0, 0.2], "io_wait_s": [0.4, 0.0]}, index=pd.Index([HOSTILE, "b"], name="stage")
    )
    pair = {HOSTILE: ledger, "other": ledger.head(60)}
    untimed = rows.assign(phase="early", observed_at=rows["observed_at"].mask(rows["price"] > 0))
    return {
        "bankroll": figures.bankroll(ledger),
        "drawdown": figures.drawdown(ledger),
        "closing_line": figures.closing_line(ledger),
        "yields": figures.yields(breakdown(ledger, simulations=100)),
        "sharpness": figures.sharpness(scores, "pinnacle"),
        "match": figures.match_lines(
            rows, ledger.assign(event_id="m1").head(3), teams(HOSTILE), highlight="pinnacle", note=HOSTILE
        ),
        "line_movement": figures.line_movement(
            rows[rows["event_id"] == "m1"], HOSTILE, highlight="pinnacle", bet=ledger.iloc[0]
        ),
        "no bets": figures.match_lines(untimed, ledger.head(0), teams("a"), event="m1"),
        "heat map": figures.price_heat_map(relative_prices(rows), note=HOSTILE),
        "coverage": figures.coverage(rows),
        "compared": figures.compared_bankrolls(pair),
        "differences": figures.differences(compare_ledgers(pair, simulations=100)),
        "curves": figures.difference_curves(difference_curves(pair), compare_ledgers(pair, simulations=100)),
        "parts": figures.part_differences(
            compare_parts(ledger, "price_band", name=HOSTILE, simulations=50), "rest"
        ),
        "within": figures.part_differences(
            compare_within(pair, "bookmaker", simulations=50), HOSTILE, note=HOSTILE
        ),
        "closing_scatter": figures.closing_scatter(ledger),
        "calibration": figures.calibration(ledger),
        "yields by part": figures.yields(
            breakdown(ledger, ["bookmaker", "season", "price_band"], simulations=50)
        ),
        "price_cuts": figures.price_cuts(haircut(ledger, simulations=50)),
        "no clock": figures.delays(delay_curve(ledger, rows.head(0), rows)),
        "delays": figures.delays(haircut(ledger, simulations=50).rename_axis("minutes").assign(bets=120)),
        "costs": figures.costs(costs),
        "latencies": figures.latencies(requests, note=HOSTILE),
    }


@pytest.mark.slow
def test_every_figure_is_drawn_and_says_in_words_what_it_shows(ledger, rows):
    for name, picture in all_figures(ledger, rows).items():
        html = picture._repr_html_()

        alt = re.search(r'alt="([^"]*)"', html)[1]
        assert len(alt) > 30, name
        assert "nan" not in alt, name
        assert "<script" not in html, name
        assert picture.svg().startswith(b"<?xml"), name


@pytest.mark.slow
def test_every_figure_and_file_of_an_encoded_frame_is_that_of_its_text(ledger, rows):
    ledger_then = encode(ledger)
    ledger_then.attrs.update(ledger.attrs)

    as_text, encoded = all_figures(ledger, rows), all_figures(ledger_then, encode(rows))

    for name, picture in encoded.items():
        assert picture.alt == as_text[name].alt
        assert picture.svg() == as_text[name].svg(), name
    for make in (download, table):
        assert make(encode(ledger)).html == make(ledger).html
        assert make(encode(rows)).html == make(rows).html


def test_what_was_compiled_is_a_part_of_its_own_in_the_figure_of_costs():
    costs = pd.DataFrame(
        {"wall_s": [3.0, 1.0], "io_wait_s": [0.5, 0.0], "compile_s": [2.0, np.nan]}, index=["a: x", "b: y"]
    )

    cold, warm = figures.costs(costs), figures.costs(costs.drop(columns="compile_s"))

    assert "4.0 s in all, 2.0 s of them compiling; the longest is a: x" in cold.alt
    assert "4.0 s in all; the longest" in warm.alt
    assert [bar.get_width() for bar in cold.figure.axes[0].patches] == [0.5, 1.0, 2.0, 0.0, 0.5, 0.0]
    assert "compiling" in cold.figure.axes[0].get_xlabel()
    assert "compiling" not in warm.figure.axes[0].get_xlabel()


def test_a_call_that_the_provider_confirmed_took_as_long_as_the_network_does():
    requests = pd.DataFrame(
        {"from_cache": [True, True, False], "latency_s": [0.001, 0.3, 0.1], "bytes": [9, 0, 9]}
    )

    picture = figures.latencies(requests)

    assert "network median 200.0 ms over 2 calls" in picture.alt
    assert "cache median 1.0 ms over 1 calls" in picture.alt


@pytest.mark.slow
def test_every_figure_can_be_drawn_of_nothing(ledger, rows):
    nothing, no_rows = ledger.head(0), rows.head(0)
    nothing.attrs.update(ledger.attrs)

    for picture in (
        figures.bankroll(nothing),
        figures.drawdown(nothing),
        figures.closing_line(nothing),
        figures.yields(breakdown(nothing)),
        figures.match_lines(no_rows, nothing, teams("a")),
        figures.line_movement(no_rows, "none"),
        figures.price_heat_map(relative_prices(no_rows)),
        figures.compared_bankrolls({"a": nothing, "b": nothing}),
        figures.latencies(pd.DataFrame({"from_cache": [], "latency_s": []})),
        figures.coverage(no_rows),
        figures.difference_curves(
            difference_curves({"a": nothing, "b": nothing}), compare_ledgers({"a": nothing, "b": nothing})
        ),
        figures.differences(compare_ledgers({"a": nothing, "b": nothing})),
        figures.part_differences(compare_parts(nothing, "bookmaker"), "rest"),
        figures.part_differences(compare_within({"a": nothing, "b": nothing}, "season"), "a"),
        figures.closing_scatter(nothing),
        figures.calibration(nothing),
        figures.price_cuts(haircut(nothing, simulations=10)),
    ):
        assert picture.svg()
        assert len(picture.alt) > 30
        assert "nan" not in picture.alt


def test_a_ledger_that_lost_its_bankroll_at_the_start_is_not_drawn_from_zero(ledger):
    lost = ledger.copy()
    lost.attrs = {}
    lost = lost.drop(columns="bankroll_at_start").iloc[::2]  # a whole one says it by its path

    path, fall = figures.bankroll(lost), figures.drawdown(lost)

    assert path.alt.endswith("the ledger does not say its bankroll at the start.")
    assert "luck" not in path.alt
    assert min(path.figure.axes[0].get_ylim()) > 0
    assert "does not say its bankroll" in fall.alt


def test_the_same_figure_has_the_same_bytes(ledger):
    assert figures.bankroll(ledger).svg() == figures.bankroll(ledger).svg()


def test_a_hostile_name_is_text_in_a_table():
    html = table(pd.DataFrame({HOSTILE: [1], "team": [HOSTILE]}))._repr_html_()

    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 2


def test_columns_of_our_tables_are_written_in_their_units():
    html = table(
        pd.DataFrame(
            {
                "yield": [-0.01234],
                "price": [2.5],
                "bets": [12345],
                "clv": [np.nan],
                "low": [-0.1],
                "high": [0.2],
            }
        )
    ).html

    cells = re.findall(r">([^<>]+)</t[dh]>", html)
    assert cells[:5] == ["yield", "price", "bets", "CLV", "95 % interval"]
    assert cells[5:] == ["−1.23\u00a0%", "2.50", "12,345", "–", "−10.0\u00a0% to 20.0\u00a0%"]


def test_columns_that_are_measured_have_their_unit_behind_a_comma():
    columns = [
        "stage",
        "wall_s",
        "io_wait_s",
        "peak_mb",
        "rows_per_s",
        "latency_p50_ms",
        "store_encode_s",
        "wins",
        "_s",
    ]

    cells = re.findall(
        r'scope="col"[^>]*>([^<>]+)</th>', table(pd.DataFrame([range(len(columns))], columns=columns)).html
    )

    words = [
        "stage",
        "runtime, s",
        "I/O wait, s",
        "memory, MB",
        "rows a second",
        "latency p50, ms",
        "store encode, s",
        "wins",
        " s",
    ]
    assert cells == [word.replace(", ", ",\u00a0") for word in words]
    # less than a millisecond of a stage is noise
    seconds = table(pd.DataFrame({"wall_s": [12.345, 0.0117, 9.6e-6, 0.0]})).html
    assert re.findall(r">([^<>]+)</t[dh]>", seconds)[1:] == ["12.3", "0.012", "0.000", "0"]


def test_a_format_may_be_a_function_and_one_that_is_none_is_said():
    frame = pd.DataFrame({"low": [0.1], "high": [0.2], "n": [3.0]})

    assert "1e-01 to 2e-01" in table(frame, {"low": lambda x: f"{x:.0e}"}).html
    with pytest.raises(
        ParameterError, match="format 'percents' is unknown; there are percent, signed percent"
    ):
        table(frame, {"n": "percents"})


def test_a_number_without_end_is_written_as_one():
    assert re.findall(r">([^<>]+)</t[dh]>", table(pd.DataFrame({"x": [np.inf, -np.inf, 1.5, 0.0]})).html) == [
        "x",
        "inf",
        "−inf",
        "1.50",
        "0",
    ]


def test_an_index_of_several_names_is_shown():
    frame = pd.DataFrame(
        {"missing": [0.5]}, index=pd.MultiIndex.from_tuples([("b1", "2425")], names=["bookmaker", "season"])
    )

    assert re.findall(r">([^<>]+)</t[dh]>", table(frame).html)[:2] == ["bookmaker", "season"]


def test_a_long_table_says_how_much_is_left_out_and_an_empty_one_that_it_is():
    frame = pd.DataFrame({"n": range(30)})

    assert "10 more rows" in table(frame, most=20).html
    assert "Nothing there." in table(frame.head(0), empty="Nothing there.").html


def test_the_strip_of_key_figures_carries_the_uncertainty(ledger):
    evaluation = evaluate(ledger, simulations=200)

    text = key_figures(evaluation).text

    assert re.search(r"Yield [+−][\d.]+\s% [−\d.]+\s% to [−\d.]+\s%; Profit", text)
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
        "ways",
    ]


def saved(html):
    """The file behind a link, as a browser saves it, and the words beside it."""
    source, words = re.search(
        r'href="data:text/csv;base64,([^"]+)" download="bets.csv">[^<]*</a>([^<]*)', html
    ).groups()
    return base64.b64decode(source).decode(), words


def test_a_table_can_be_saved_from_the_page_and_read_back(ledger):
    text, words = saved(download(ledger)._repr_html_())

    back = pd.read_csv(StringIO(text))
    assert list(back.columns) == list(ledger.columns)
    assert np.allclose(back["profit"], ledger["profit"], atol=1e-4)
    assert pd.to_datetime(back["placed_at"]).tolist() == ledger["placed_at"].tolist()
    assert "120 rows" in words


def test_text_that_a_spreadsheet_would_run_is_saved_as_text():
    frame = pd.DataFrame(
        {
            "=1+1": ["=HYPERLINK(1)", "+1", "-x", "@a", "\tb", "\rc", "a=b", "Bayern"],
            "profit": [-1.5, *range(7)],
        }
    )

    text, _ = saved(download(frame).html)

    back = pd.read_csv(StringIO(text, newline=""), dtype=str, lineterminator="\n")
    assert back.columns[0] == "'=1+1"
    assert back.iloc[:, 0].tolist() == [
        "'=HYPERLINK(1)",
        "'+1",
        "'-x",
        "'@a",
        "'\tb",
        "'\rc",
        "a=b",
        "Bayern",
    ]
    assert back["profit"].iloc[0] == "-1.5"  # a number is no formula


def test_a_long_table_is_cut_to_what_fits_and_the_link_says_so(ledger):
    text, words = saved(download(ledger, most_kb=10).html)

    rows = text.count("\n") - 1
    assert 3_000 < len(text) <= 10_000
    assert f"the first {rows} of 120 rows" in words


def test_the_link_of_a_download_survives_the_rendering_and_needs_no_right_of_the_page(ledger, tmp_path):
    from bs4 import BeautifulSoup

    from overround.reports.page import _tidy

    page = _tidy(download(ledger).html)[-1]

    link = BeautifulSoup(page, "html.parser").find("a")
    assert link["href"].startswith("data:text/csv;base64,")
    assert link["download"] == "bets.csv"


def test_what_a_table_says_of_itself_stands_below_it_as_text():
    frame = pd.DataFrame({"n": [1]})
    frame.attrs["says"] = f"Flagged: {HOSTILE}"

    html = stack(table(frame), table(frame)).html

    assert html.count("<p>Flagged: &lt;script&gt;") == 2


def test_a_figure_keeps_its_words_and_loses_digits_that_no_screen_shows(ledger):
    drawing = figures.bankroll(ledger).svg()

    longest = max(re.findall(rb' d="([^"]+)"', drawing), key=len)
    assert len(longest) > 500
    assert not re.search(rb"\.\d\d\d", longest)
    assert b"0.005" in figures.over_time(pd.Series([0.005], index=[KICK_OFF]), "0.005 of it", "x").svg()


def test_a_comparison_says_which_difference_is_beyond_noise_and_draws_it_filled(ledger):
    better = ledger.assign(profit=ledger["profit"] + 0.1 * ledger["stake"])
    pair = {"base": ledger, "better": better, "few": ledger.head(4)}
    comparison = compare_ledgers(pair, simulations=300)

    intervals = figures.differences(comparison)
    curves = figures.difference_curves(difference_curves(pair), comparison)

    assert re.search(
        r"to base: better \+10.0 \(.*\) points, higher; few .* points, too few bets\.$", intervals.alt
    )
    assert [text.get_text() for text in intervals.figure.axes[0].get_yticklabels()] == ["better", "few"]
    assert [axes.get_title(loc="left") for axes in curves.figure.axes if axes.get_visible()] == [
        "better: higher",
        "few: too few bets",
    ]
    assert re.search(r"better ends at \+10.0 points, outside the band of ±", curves.alt)


def test_small_multiples_share_their_axes_and_each_column_has_its_scale_below(ledger):
    pair = {"base": ledger, **{f"run {n}": ledger.head(40 + 20 * n) for n in range(1, 4)}}

    figure = figures.difference_curves(difference_curves(pair), compare_ledgers(pair, simulations=100)).figure

    shown = [axes for axes in figure.axes if axes.get_visible()]
    figure.canvas.draw()
    assert len(shown) == 3
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in shown}) == 1
    assert [
        any(text.get_visible() and text.get_text() for text in axes.get_xticklabels()) for axes in shown
    ] == [False, True, True]


def test_all_bets_on_a_match_are_marked_where_they_were_placed_and_say_how_they_ended(rows):
    at = KICK_OFF - pd.Timedelta(hours=5)
    wanted = bets(
        *(
            bet("m1", outcome, price, placed=str(at)[:19], bookmaker=name)
            for outcome, price, name in (("home", 2.1, "c"), ("home", 2.2, "d"), ("away", 4.0, "c"))
        )
    )
    settled = backtest(
        pd.concat([wanted, bets(bet("m2", "home", 3.0))]), results(result("m1", 1, 0), result("m2", 0, 1))
    )

    picture = figures.match_lines(rows, settled, teams("Home"), highlight="pinnacle")

    assert picture.alt == (
        "Prices of Home – b at 4 bookmakers over time. Bets: home 2.10 at c, won; home 2.20 at d, won; away 4.00 at c, lost."
    )
    home, draw, away = picture.figure.axes
    marks = [[dots.get_offsets()[0][1] for dots in axes.collections] for axes in (home, draw, away)]
    assert marks == [[2.1, 2.2], [], [4.0]]
    filled = [dots.get_facecolor().size > 0 for axes in (home, away) for dots in axes.collections]
    assert filled == [True, True, False]
    assert len(home.lines) == 4
    assert len({axes.get_xlim() for axes in (home, draw, away)}) == 1


def test_the_reference_of_the_bets_shown_is_in_the_accent_colour(rows):
    at = str(KICK_OFF - pd.Timedelta(hours=5))[:19]
    wanted = bets(bet("m1", "home", 2.1, placed=at, bookmaker="c"))

    def coloured(placed):
        home = figures.match_lines(rows, placed, teams("Home")).figure.axes[0]
        return [set(line.get_ydata()) for line in home.lines if line.get_color() == ACCENT]

    of_pinnacle = rows.query("event_id == 'm1' and bookmaker == 'pinnacle' and outcome == 'home'")
    assert coloured(wanted) == []
    assert coloured(wanted.assign(edge=0.1, reference="pinnacle")) == [set(of_pinnacle["price"])]


def test_a_heat_map_writes_its_numbers_and_bold_is_what_is_beyond_noise():
    relative = pd.DataFrame(
        {
            "bookmaker": ["a", "b"],
            "moment": "close",
            "relative": [0.021, -0.0004],
            "low": [0.01, -0.01],
            "high": [0.03, 0.01],
            "matches": 9,
        }
    )

    axes = figures.price_heat_map(relative).figure.axes[0]

    assert [(text.get_text(), text.get_fontweight()) for text in axes.texts] == [
        ("+2.1", "bold"),
        ("0.0", "normal"),
    ]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["b", "a"]
