import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overround.errors import RunError
from overround.reports.page import RUN_MIME, TEMPLATES, render_index, render_run, write_atomically
from tests.support.contrast import contrast
from tests.support.run_records import a_run

HOSTILE = "<script>alert(1)</script> \"quoted\" 'single' & 🏴‍☠️ ‮ مانشستر {{ 7*7 }}"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;"

Page = Callable[..., str]


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """`page(*outputs, text=..., **run)` renders a run and returns its page."""

    def make(*outputs: dict, text: str = "# A question?", show_code: bool = False, **run: Any) -> str:
        from nbformat import v4, write

        folder = tmp_path / "runs" / "20260101-000000-abc"
        label = run.get("label", "first")
        folder.mkdir(parents=True, exist_ok=True)
        made = [
            v4.output_from_msg({"header": {"msg_type": one.pop("type", "display_data")}, "content": one})
            for one in outputs
        ]
        cells = [
            v4.new_markdown_cell(text),
            v4.new_code_cell("secret_code = 1", outputs=made, execution_count=1),
        ]
        write(v4.new_notebook(cells=cells), folder / f"{label}.ipynb")
        (folder / f"{label}.json").write_text(json.dumps(a_run(**run)), encoding="utf-8")
        render_run(
            folder / f"{label}.ipynb", folder / f"{label}.html", folder / f"{label}.json", show_code=show_code
        )
        return (folder / f"{label}.html").read_text(encoding="utf-8")

    return make


def html(text: str) -> dict:
    return {"data": {"text/html": text, "text/plain": "x"}, "metadata": {}}


def failure(message: str, **changes: Any) -> dict:
    return {
        "cell": 3,
        "source": "1 / 0",
        "name": "ZeroDivisionError",
        "message": message,
        "traceback": "Traceback",
        **changes,
    }


@pytest.mark.slow
def test_a_page_says_verdict_first_then_the_story_then_how_it_was_made(page: Page) -> None:
    got = page(html("<p>the figure</p>"), text="# A question?\n\nWhy.\n\n## One\n\nwords\n\n## Two")

    order = [
        "<h1>A question?</h1>",
        "No edge.",
        'href="#section-1"',
        "the figure",
        'id="made"',
        "1 min 10 s",
        "0123456789ab+",
        "3.11.9",
    ]
    places = [got.find(part) for part in order]
    assert -1 not in places
    assert places == sorted(places)
    assert got.count("A question?") == 2  # the title and the heading


def test_a_page_has_no_script_loads_nothing_and_says_so_in_a_policy(page: Page) -> None:
    nasty = (
        "<script>alert(1)</script><img src='https://example.org/x.png' alt='a far image'><iframe src='https://example.org'></iframe>"
        "<p onclick='alert(1)'>text</p><a href='jAva\tscript:alert(1)'>link</a><link rel=stylesheet href=//example.org>"
        "<object data=x></object>"
    )
    javascript = {"data": {"application/javascript": "alert(1)", "text/plain": "plain"}, "metadata": {}}

    got = page(html(nasty), javascript, text=f"# Title\n\n{nasty}")

    assert "Content-Security-Policy" in got
    assert "default-src 'none'" in got
    assert not re.search(r"<script|<iframe|<object|<link|javascript:|onclick|alert\(1\)", got, re.IGNORECASE)
    assert not re.search(r"""(src|srcset|data)\s*=\s*["']?(https?:)?//""", got)
    assert "a far image" in got


def test_hostile_text_in_parameters_verdict_title_and_source_appears_as_text(page: Page) -> None:
    got = page(
        verdict=HOSTILE, parameters={"note": HOSTILE, HOSTILE: [HOSTILE]}, source=HOSTILE, title=HOSTILE
    )

    assert got.count(ESCAPED) >= 5
    assert "<script" not in got
    assert "مانشستر" in got
    assert "🏴‍☠️" in got
    assert "{{ 7*7 }}" in got


def test_hostile_text_in_an_error_appears_as_text(page: Page) -> None:
    got = page(status="failed", failure=failure(HOSTILE, source=HOSTILE, traceback=HOSTILE, name=HOSTILE))

    assert got.count(ESCAPED) == 4
    assert "<script" not in got


def test_a_failed_page_shows_notebook_cell_source_and_error_on_top(page: Page) -> None:
    error = {
        "type": "error",
        "ename": "ZeroDivisionError",
        "evalue": "division by zero",
        "traceback": ["long"],
    }

    got = page(html("<p>the figure</p>"), error, status="failed", failure=failure("division by zero"))

    box = got[got.index('id="failure"') : got.index("the figure")]
    for part in (
        "failed",
        "ZeroDivisionError",
        "division by zero",
        "backtest",
        "cell 3",
        "1 / 0",
        "<details><summary>Traceback",
    ):
        assert part in box
    assert "No edge." not in got
    assert "The run stopped here" in got[got.index("the figure") :]


def test_code_is_in_the_page_hidden_behind_one_control_until_asked_for(page: Page) -> None:
    hidden, shown = page(), page(show_code=True)

    assert hidden.count('<input type="checkbox" id="show-code" autocomplete="off">') == 1
    assert '<input type="checkbox" id="show-code" autocomplete="off" checked>' in shown
    assert re.search(r'<div class="code">.*secret_code', hidden, re.DOTALL)
    assert ".code { display: none; }" in hidden


def test_the_record_itself_is_not_shown_nor_a_last_heading_over_nothing(page: Page) -> None:
    got = page(
        {"data": {RUN_MIME: {"verdict": "zzz"}, "text/plain": "zzz"}, "metadata": {}},
        text="# Title\n\nwords\n\n## Record",
    )

    assert "zzz" not in got
    assert "Record" not in got


def test_the_simulated_market_is_announced_before_anything_else(page: Page) -> None:
    simulated, real = page(source="football-data+sample"), page(source="football-data")

    assert 0 < simulated.index("Simulated market:") < simulated.index("<header")
    assert "invented" not in real[real.index("</style>") :]


def test_warnings_are_folded_and_printed_text_is_not(page: Page) -> None:
    got = page(
        {"type": "stream", "name": "stderr", "text": "careful"},
        {"type": "stream", "name": "stdout", "text": "printed"},
    )

    assert re.search(r'<details class="messages">.*careful.*</details>', got)
    assert re.search(r'<pre [^>]*class="printed"[^>]*>printed', got)


def test_tables_scroll_in_a_box_with_scoped_headers_and_numbers_to_the_right(page: Page) -> None:
    import pandas as pd

    frame = pd.DataFrame(
        {
            "team": ["Ayr", "1. FC"],
            "yield, %": ["2.1 (-0.4 to 4.6)", "-1.0"],
            "n": [1, 2],
            "p": [float("nan"), 0.5],
        }
    )

    got = page(html(frame.to_html()))

    table = got[
        got.index('<div aria-label="Table 1"')
        if '<div aria-label="Table 1"' in got
        else got.index('class="scroll"') :
    ]
    assert 'scope="col"' in table
    assert 'scope="row"' in table
    assert 'class="number">2.1 (-0.4 to 4.6)' in table
    assert 'class="number">NaN' in table
    assert "<td>Ayr" in table
    assert "border=" not in table


def test_every_image_has_a_description(page: Page) -> None:
    png = {"data": {"image/png": "iVBORw0KGgo="}, "metadata": {"image/png": {"alt": "a described figure"}}}
    svg = {"data": {"image/svg+xml": "<svg xmlns='http://www.w3.org/2000/svg'/>"}, "metadata": {}}
    foreign = html("<img src='data:image/png;base64,iVBORw0KGgo='>")

    got = page(png, svg, foreign)

    assert 'alt="a described figure"' in got
    assert len(re.findall("<img", got)) == len(re.findall('alt="[^"]+"', got)) == 2
    assert re.search('<svg aria-label="A figure without a description" role="img"', got)


def test_a_page_links_to_the_pages_of_its_pipeline(page: Page) -> None:
    page(label="zero", started_at="2025-12-31T23:59:00+00:00")

    got = page()

    assert got.index('href="zero.html"') < got.index('aria-current="page">first')
    assert 'href="../../index.html"' in got
    assert 'href="first.ipynb"' in got


def test_a_page_without_a_readable_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")

    with pytest.raises(RunError, match=r"x\.json is not a record"):
        render_run(tmp_path / "x.ipynb", tmp_path / "x.html", tmp_path / "x.json")


def index_of(reports: Path, *runs: dict) -> str:
    for run in runs:
        path = reports / "runs" / run["run_id"].split(".")[0] / f"{run['label']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(run), encoding="utf-8")
    return render_index(reports).read_text(encoding="utf-8")


def test_the_index_of_nothing_says_how_to_begin(tmp_path: Path) -> None:
    assert "overround run" in index_of(tmp_path)


def test_the_index_lists_failures_first_then_pipelines_newest_first(tmp_path: Path) -> None:
    old = a_run(run_id="20260101-000000-aaa.x", verdict="old verdict")
    bad = a_run(
        run_id="20260102-000000-bbb.x",
        label="bad",
        status="failed",
        failure=failure("the reason"),
        started_at="2026-01-02T00:00:00+00:00",
    )
    new = a_run(run_id="20260103-000000-ccc.x", verdict="new verdict", started_at="2026-01-03T00:00:00+00:00")

    got = index_of(tmp_path, old, bad, new)

    assert (
        got.index("1 failed")
        < got.index("cell 3:")
        < got.index("the reason")
        < got.index("new verdict")
        < got.index("old verdict")
    )
    assert 'href="runs/20260102-000000-bbb/bad.html"' in got
    assert "min_edge=<bdi>0.03</bdi>" in got
    assert got.count('badge invented">simulated market') == 3
    assert "<script" not in got


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.26, "4.3 s"), (59.97, "1 min 0 s"), (70.2, "1 min 10 s"), (119.7, "2 min 0 s"), (7_300, "2 h 1 min")],
)
def test_no_time_has_sixty_seconds_or_minutes(tmp_path: Path, seconds: float, words: str) -> None:
    assert f"<span>{words}</span>" in index_of(tmp_path, a_run(seconds=seconds))


def test_a_failure_that_a_later_run_made_good_is_not_on_top_of_the_index(tmp_path: Path) -> None:
    bad = a_run(
        run_id="20260102-000000-bbb.x",
        status="failed",
        failure=failure("the reason"),
        started_at="2026-01-02T00:00:00+00:00",
    )
    good = a_run(run_id="20260103-000000-ccc.x", started_at="2026-01-03T00:00:00+00:00")

    got = index_of(tmp_path, bad, good)

    assert "1 failed" not in got
    assert "the reason" in got


def test_the_index_shows_hostile_text_as_text_and_goes_on_past_a_broken_record(tmp_path: Path) -> None:
    (tmp_path / "runs" / "20260104-000000-ddd").mkdir(parents=True)
    (tmp_path / "runs" / "20260104-000000-ddd" / "half.json").write_text('{"run_id": ')
    run = a_run(verdict=HOSTILE, title=HOSTILE, changed={HOSTILE: HOSTILE})
    bad = a_run(label="bad", status="failed", failure=failure(HOSTILE), source=HOSTILE)

    got = index_of(tmp_path, run, bad)

    assert got.count(ESCAPED) >= 6
    assert "<script" not in got
    assert "20260104-000000-ddd/half.json" in got


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "page.html"
    write_atomically(path, "old")

    with pytest.raises(TypeError):
        write_atomically(path, None)  # type: ignore[arg-type]
    write_atomically(path, "a lone surrogate: \ud800")

    assert path.read_text() == r"a lone surrogate: \ud800"
    assert [entry.name for entry in path.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_text_colour_can_be_read_on_every_ground(scheme: int) -> None:
    css = (TEMPLATES / "report.css").read_text()
    colours = dict(
        re.findall(r"--(\w[\w-]*): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", css, re.DOTALL)[scheme])
    )

    for text in ("ink", "soft", "accent", "bad"):
        for ground in ("paper", "raised", "accent-wash", "bad-wash"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert contrast(colours["paper"], colours["bad"]) >= 4.5
