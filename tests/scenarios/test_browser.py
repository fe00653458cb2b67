"""Pages of runs in a real browser: nothing is loaded, nothing runs, nothing overflows, at three widths, light
and dark.
"""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from overround.display.palette import NAMES as NAMES_OF_COLOURS
from overround.reports.page import render_index, render_run
from tests.support.books import KICK_OFF, quotes, result, results, season, three_way
from tests.support.contrast import contrast
from tests.support.pages import SCHEMES, faults_of_page, faults_of_reports, opened
from tests.support.projects import PARAMETERS, RECORD, project
from tests.support.run_records import a_run

pytestmark = pytest.mark.slow

FIGURE = """
from IPython.display import HTML, display
import base64
import pandas as pd
drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="1400" height="300"><rect width="1400" height="300"/></svg>'
svg = base64.b64encode(drawing).decode()
display(HTML(f'<figure><img src="data:image/svg+xml;base64,{svg}" alt="a black box"></figure>'))
wide = pd.DataFrame({f"a rather long column {n}": [1.5, n] for n in range(20)})
display(HTML(wide.to_html()))
print("x" * 400)
"""


# as a provider may write the names of teams and bookmakers
NAMES = {
    "markup": "<script>alert(1)</script>",
    "quotes": "O'Neil \"the\" & Sons' <b>bold",
    "emoji": "Łódź 🏴‍☠️ 👩‍🚀 FC",
    "right to left": "‮מכבי تل أبيب",
    "long": "Sportverein" * 14 + " Nordwest 1. FC of the very long name",
}


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from overround.runs.runner import Step, run_pipeline

    settings = project(
        tmp_path_factory.mktemp("browser"),
        good=["# A question?", PARAMETERS, "## A figure", FIGURE, "## A table", "1 + 1", RECORD],
        bad=["# Another", PARAMETERS, "raise ValueError('<img src=x onerror=alert(1)>' + 'y' * 300)", RECORD],
    )
    steps = [Step("good", "good", {"note": "<script>alert(1)</script>" + "z" * 200}), Step("bad", "bad")]
    run_pipeline(steps, settings=settings, show_code=True)
    _pages_of_hostile_names(settings.reports_folder)
    render_index(settings.reports_folder)
    return settings.reports_folder


def _pages_of_hostile_names(reports: Path) -> None:
    """A run with bets whose teams and bookmakers have such names, one that compares it, and one that failed
    over them.
    """
    from overround import (
        backtest,
        breakdown,
        compare_ledgers,
        evaluate,
        fair_probabilities,
        figures,
        key_figures,
        stack,
        table,
    )
    from overround.display import comparison_table, download, evaluation_table
    from overround.evaluation import compare_parts, difference_curves
    from overround.forecasts import probability_scores
    from overround.prices import relative_prices
    from overround.runs.run import bankroll_path

    names = list(NAMES.values())
    wanted, ended, closing = season(120, seed=1)
    bookmakers = [names[at % len(names)] for at in range(len(wanted))]
    ledger = backtest(
        wanted.assign(bookmaker=bookmakers), ended, closing=closing.assign(bookmaker=bookmakers)
    )
    rows = quotes(
        *(
            three_way(
                f"m{i}",
                name,
                (2.0 + i / 9, 3.5, 4.0),
                phase="snapshot",
                at=str(KICK_OFF - pd.Timedelta(hours=hours))[:19],
            )
            for i in range(4)
            for name in names
            for hours in (9, 3)
        )
    )
    scores = probability_scores(
        fair_probabilities(rows), results(*(result(f"m{i}") for i in range(4))), names[0]
    )
    evaluation = evaluate(ledger, simulations=100)
    pair = {name: ledger.head(60 + 10 * at) for at, name in enumerate(names)}
    compared = compare_ledgers(pair, simulations=50)
    played = pd.DataFrame({"event_id": ["m1"], "away": names[4], "starts_at": KICK_OFF})
    teams = pd.DataFrame(
        {"match": [f"{home} – {away}" for home in names for away in names[:2]], "price": 2.5}
    )
    teams.attrs["says"] = f"Flagged: {names[0]}"
    pictures = [
        figures.yields(breakdown(ledger, "bookmaker", simulations=50), note=names[3]),
        figures.sharpness(scores, names[0], note=names[0]),
        *(
            figures.match_lines(
                rows, ledger.assign(event_id="m1").head(2), played.assign(home=name), highlight=name
            )
            for name in names
        ),
        figures.price_heat_map(relative_prices(rows)),
        figures.difference_curves(difference_curves(pair), compared),
        figures.part_differences(compare_parts(ledger, "bookmaker", name=names[0], simulations=50), names[4]),
        figures.coverage(rows),
        figures.compared_bankrolls(pair),
        figures.differences(compared),
        figures.costs(pd.DataFrame({"wall_s": 1.0, "io_wait_s": 0.1}, index=pd.Index(names, name="stage"))),
    ]
    pieces = [
        key_figures(evaluation),
        stack(*pictures, comparison_table(compared)),
        table(teams),
        table(breakdown(ledger, "bookmaker", simulations=50)),
        evaluation_table(evaluation),
        *(download(teams, f"{name}.csv") for name in names),
    ]
    text = " and ".join(names)
    found = {
        "verdict": text,
        "title": text,
        "changed": {"note": names},
        "parameters": {"note": names, "seed": 7},
        "source": text,
    }
    _leave(reports, "names", pieces, **found, bankroll=bankroll_path(ledger), metrics={"yield": 0.01})
    wrong = {"cell": 2, "source": text, "name": "KeyError", "message": text, "traceback": text}
    _leave(reports, "wrong", pieces[:1], **found, status="failed", failure=wrong)


def _leave(reports: Path, label: str, pieces: list[Any], **run: Any) -> None:
    from nbformat import v4, write

    folder = reports / "runs" / "20260101-000000-abc"
    folder.mkdir(parents=True, exist_ok=True)
    outputs = [
        v4.new_output("display_data", {"text/html": piece._repr_html_(), "text/plain": repr(piece)})
        for piece in pieces
    ]
    cells = [
        v4.new_markdown_cell("# Names\n\nWhat may they be?\n\n## All of it"),
        v4.new_code_cell("show(names)", outputs=outputs),
    ]
    write(v4.new_notebook(cells=cells), folder / f"{label}.ipynb")
    record = a_run(run_id=f"20260101-000000-abc.{label}", label=label, notebook="backtest", **run)
    (folder / f"{label}.json").write_text(json.dumps(record), encoding="utf-8")
    render_run(folder / f"{label}.ipynb", folder / f"{label}.html", folder / f"{label}.json")


def test_pages_load_nothing_and_overflow_nowhere_on_phone_and_desktop_light_and_dark(
    browser: Any, reports: Path
) -> None:
    assert faults_of_reports(browser, reports) == []


def test_the_check_of_a_page_finds_what_it_is_there_to_find(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        '<h1>x</h1><img src="http://127.0.0.1:9/x.png"><div style="width: 3000px">x</div><script>alert(1)</script><a href="#no">x</a>'
        '<a href="gone.html">x</a><p style="color: #aaa">too pale</p><input type="checkbox">'
    )

    found = " ".join(faults_of_page(browser, page, "light"))

    for fault in (
        "request: http",
        "without alt",
        "px of content",
        "dialog: 1",
        "nowhere",
        "a script",
        "language",
        "missing file",
        "axe color-contrast",
        "axe label",
        "axe html-has-lang",
    ):
        assert fault in found


def test_a_keyboard_reaches_the_skip_link_first_and_lands_in_the_report(browser: Any, reports: Path) -> None:
    with opened(browser, next(reports.glob("runs/*/good.html")), []) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")

        assert page.evaluate("location.hash") == "#report"


def test_one_control_shows_all_code_and_hides_it_again_by_keyboard(browser: Any, reports: Path) -> None:
    with opened(browser, next(reports.glob("runs/*/names.html")), []) as page:
        code = page.get_by_text("show(names)")
        assert not code.is_visible()
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "show-code":
                break
        page.keyboard.press("Space")
        assert code.is_visible()
        page.keyboard.press("Space")
        assert not code.is_visible()


def test_a_page_opens_with_the_verdict_and_the_key_figures(browser: Any, reports: Path) -> None:
    with opened(browser, next(reports.glob("runs/*/names.html")), []) as page:
        order = (".verdict", ".ov-key", ".ov-figure", "table", "#made")
        tops = [page.locator(one).first.bounding_box()["y"] for one in order]

        assert tops == sorted(tops)
        assert page.locator(".ov-key").count() == 1
        assert 4 <= page.locator(".ov-key dt").count() <= 6


def test_names_of_any_kind_are_text_everywhere(browser: Any, reports: Path) -> None:
    faults: list[str] = []
    for file in (
        *(next(reports.glob(f"runs/*/{name}.html")) for name in ("names", "wrong")),
        reports / "index.html",
    ):
        with opened(browser, file, faults) as page:
            text = page.evaluate("document.body.textContent")
            for kind, name in NAMES.items():
                assert name in text, f"{kind} in {file.name}"
            assert page.locator("b, main script").count() == 0
    assert faults == []

    with opened(browser, next(reports.glob("runs/*/names.html")), faults) as page:
        cells = page.locator("tbody :is(th, td)").all_text_contents()
        labels = "".join(page.locator(".ov-figure text").all_text_contents()).replace(
            "\N{NO-BREAK SPACE}", " "
        )
        saved = page.evaluate("[...document.querySelectorAll('a[download]')].map(a => a.download)")
        for kind, name in NAMES.items():
            assert f"{name} – {NAMES['markup']}" in cells, kind
            assert name[:20] in labels, f"{kind} in the drawings"
            assert f"{name}.csv" in saved, kind


def test_drawings_take_the_colours_of_the_page_and_can_be_read_in_both(browser: Any, reports: Path) -> None:
    papers = {}
    for scheme in SCHEMES:
        with opened(browser, next(reports.glob("runs/*/names.html")), [], scheme) as page:
            # the browser's own arithmetic: a canvas turns any colour into red, green and blue
            found = page.evaluate(
                """names => { const style = getComputedStyle(document.documentElement); return names.map(name =>
                style.getPropertyValue(`--fig-${name}`).trim()) }""",
                sorted(set(NAMES_OF_COLOURS.values())),
            )
            colours = dict(zip(sorted(set(NAMES_OF_COLOURS.values())), found, strict=True))
            papers[scheme] = colours["paper"]
            for name in set(colours) - {"paper", "grid", "light"}:
                least = 4.5 if name in ("ink", "middle", "accent") else 3
                assert contrast(colours[name], colours["paper"]) >= least, f"{name} on {scheme} paper"
            fill = page.evaluate("getComputedStyle(document.querySelector('.ov-figure text')).fill")
            assert fill == f"rgb({', '.join(str(int(colours['ink'][at : at + 2], 16)) for at in (1, 3, 5))})"
    assert papers["light"] != papers["dark"]


def test_a_page_prints_on_a4_without_its_controls(browser: Any, reports: Path) -> None:
    with opened(browser, next(reports.glob("runs/*/names.html")), []) as page:
        printed = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print")

        assert printed.startswith(b"%PDF")
        assert 4 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 16
        width, height = (
            float(x) for x in re.search(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", printed).groups()
        )  # type: ignore[union-attr]
        assert (round(width), round(height)) == (595, 842)
        for hidden in ("#show-code", ".masthead", ".code", ".contents"):
            assert not page.locator(hidden).first.is_visible(), hidden


def test_the_index_draws_a_bankroll_and_offers_to_compare(browser: Any, reports: Path) -> None:
    with opened(browser, reports / "index.html", []) as page:
        drawing = page.get_by_role("img", name=re.compile("Bankroll from .* to "))

        assert drawing.count() == 1
        assert page.locator(".failure li").count() == 2
        assert page.locator(".failure a").first.get_attribute("href").endswith("bad.html#failure")
