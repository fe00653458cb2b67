"""The main line on the simulated market as a user runs it: the command, real HTTP, papermill, nbval, the
pages in a browser.
"""

import json
import resource
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from overround import Store
from tests.support.commands import ROOT, home, overround
from tests.support.pages import LABELS, SCHEMES, faults_of_page, faults_of_reports

pytestmark = pytest.mark.slow
MOST_CPU_S = 20  # that a notebook may take on the sample
AROUND_CPU_S = 8  # pytest, nbval and the start of a kernel, on a machine that is busy


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> dict[str, str]:
    """The environment of a finished `overround run` on the simulated market, which is what `make report`
    runs.
    """
    env = home(tmp_path_factory.mktemp("sample"))
    overround("run", env=env)
    return env


@pytest.fixture(scope="session")
def compared(tmp_path_factory) -> dict[str, str]:
    """The environment of a home in which `overround perf compare` has kept a comparison, which `revisions`
    tells of.
    """
    folder = tmp_path_factory.mktemp("compared")
    (folder / "notebooks").symlink_to(ROOT / "notebooks")
    env = home(folder, OVERROUND_HOME=str(folder))
    overround(
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
        env=env,
    )
    return env


class _Page(HTMLParser):
    """Images and drawings without words, and addresses that a page would load."""

    def __init__(self, page: Path):
        super().__init__()
        self.silent, self.loads, self.images, self.links = 0, [], 0, []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "img":
            self.images += 1
            self.silent += len(given.get("alt") or "") < 30
        if tag == "svg" and given.get("role") == "img":
            self.images += 1
            # a small drawing beside a row says less than a figure
            self.silent += len(given.get("aria-label") or "") < (15 if given.get("class") == "spark" else 30)
        self.loads += [
            given[name]
            for name in ("src", "srcset", "data", "poster")
            if given.get(name) and not given[name].startswith("data:")
        ]
        if tag in ("script", "link", "iframe", "object"):
            self.loads.append(tag)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def test_the_line_leaves_an_index_and_a_page_of_every_step_that_load_nothing_and_show_figures_with_words(
    sample,
):
    reports = Path(sample["OVERROUND_REPORTS"])

    pages = {page.stem: _Page(page) for page in reports.glob("runs/*/*.html")}
    index = _Page(reports / "index.html")

    assert sorted(pages) == sorted(LABELS)
    assert all((reports / link).exists() for link in index.links if not link.startswith("#"))
    assert sum(link.endswith(".html") for link in index.links) >= len(LABELS)
    for name, page in {**pages, "index": index}.items():
        assert page.loads == [], name
        assert page.silent == 0, name
    assert all(pages[name].images >= 1 for name in LABELS)
    assert all(page.stat().st_size < 500_000 for page in reports.glob("runs/*/*.html"))


def test_every_page_opens_with_a_verdict_and_four_to_six_key_figures_each_with_what_it_is_measured_against(
    sample,
):
    for page in Path(sample["OVERROUND_REPORTS"]).glob("runs/*/*.html"):
        soup = BeautifulSoup(page.read_text(), "html.parser")
        strip = soup.select("dl.ov-key")
        assert len(strip) == 1, page.stem
        assert strip[0].find_previous(class_="verdict").get_text(strip=True), page.stem
        figures = strip[0].find_all("dd")
        assert 4 <= len(figures) <= 6, page.stem
        assert all(figure.find("small").get_text(strip=True) for figure in figures), page.stem


def test_everything_made_from_the_sample_says_simulated(sample):
    for page in Path(sample["OVERROUND_REPORTS"]).glob("runs/*/*.html"):
        assert "Simulated market" in page.read_text(), page.stem


def test_the_verdicts_and_figures_are_kept_beside_the_pages_and_in_the_store(sample):
    records = {
        path.stem: json.loads(path.read_text())
        for path in Path(sample["OVERROUND_REPORTS"]).glob("runs/*/*.json")
    }
    store = Store(sample["OVERROUND_STORE"])

    runs = store.read("runs").set_index("run_id")
    assert {record["run_id"] for record in records.values()} == set(runs.index)
    assert (runs["status"] == "ok").all()
    sharp = records["backtest-sharp"]
    ledger = store.read("ledgers", {"run_id": sharp["run_id"]})
    assert sharp["metrics"]["bets"] == len(ledger) > 300
    assert sharp["metrics"]["profit"] == pytest.approx(ledger["profit"].sum())
    assert sharp["metrics"]["clv"] > 0.02  # soft bookmakers follow the sharp one late: the market is made so
    assert f"{len(ledger):,} bets" in sharp["verdict"]


def test_with_nothing_changed_nothing_is_run_and_every_step_says_so(sample):
    reports = Path(sample["OVERROUND_REPORTS"])
    pages, before = set(reports.glob("runs/*/*.html")), resource.getrusage(resource.RUSAGE_CHILDREN)

    done = overround("run", env=sample)

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert [line.split()[:2] for line in done.stderr.splitlines()] == [["kept", label] for label in LABELS]
    assert "Nothing has changed, nothing was run" in done.stdout
    assert set(reports.glob("runs/*/*.html")) == pages
    assert "Nothing had changed, so no step of it was run" in (reports / "index.html").read_text()
    # of a processor: a busy machine may let it wait
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


def test_another_parameter_runs_what_takes_it_and_keeps_the_rest(sample):
    done = overround("run", "-p", "simulations=500", env=sample)

    said = {line.split()[1]: line.split()[0] for line in done.stderr.splitlines()}
    assert said == {
        label: "kept" if label in ("collect", "bookmakers", "signals") else "done" for label in LABELS
    }


def test_the_sample_is_large_enough_to_look_real(sample):
    store = Store(sample["OVERROUND_STORE"])

    events, quotes = store.read("events"), store.read("quotes")

    snapshots = quotes.groupby("event_id")["collected_at"].nunique()
    assert len(events) >= 700
    assert events["season"].nunique() >= 2
    assert quotes["bookmaker"].nunique() >= 8
    assert snapshots.median() >= 20


def test_no_page_of_the_line_has_a_fault_in_a_browser(sample, browser):
    assert faults_of_reports(browser, Path(sample["OVERROUND_REPORTS"])) == []


def test_a_second_run_stores_nothing_new_and_fetches_nothing(sample):
    store = Store(sample["OVERROUND_STORE"])
    version, requests = store.version(), len(store.read("requests"))

    done = overround("collect", "sample", env=sample)

    assert store.version() == version
    assert "0 new events, 0 new quotes, 0 new results" in done.stdout
    again = store.read("requests").sort_values("at", kind="stable").iloc[requests:]
    assert again["from_cache"].all()


@pytest.mark.parametrize("notebook", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_under_nbval(request, notebook):
    env = request.getfixturevalue("compared" if notebook.stem == "revisions" else "sample")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        str(notebook),
    ]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stdout[-3000:]
    # processor time, which a busy machine hardly changes, of the kernel and of pytest around it
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MOST_CPU_S + AROUND_CPU_S


def test_plain_papermill_runs_a_notebook_with_a_parameter(sample, tmp_path):
    command = [sys.executable, "-m", "papermill", "notebooks/backtest.ipynb", str(tmp_path / "out.ipynb")]
    command += ["-p", "min_edge", "0.04", "-p", "simulations", "500", "--no-progress-bar"]

    subprocess.run(command, env=sample, cwd=ROOT, capture_output=True, check=True, timeout=300)

    outputs = [
        output
        for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]
        for output in cell.get("outputs", [])
    ]
    found = next(
        output["data"][key]
        for output in outputs
        for key in output.get("data", {})
        if key.startswith("application/vnd.overround")
    )
    assert 0 < found["metrics"]["bets"] < 400
    assert "edge from 4.0\u00a0%" in found["verdict"]


def test_plain_papermill_stops_in_the_first_cell_at_a_wrong_parameter(sample, tmp_path):
    command = [
        sys.executable,
        "-m",
        "papermill",
        "notebooks/backtest.ipynb",
        str(tmp_path / "out.ipynb"),
        "-p",
        "min_edge",
        "7",
    ]

    done = subprocess.run(command, env=sample, cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode != 0
    assert "min_edge" in done.stderr
    assert "0 to 1" in done.stderr
    ran = [
        cell
        for cell in json.loads((tmp_path / "out.ipynb").read_text())["cells"]
        if cell.get("execution_count")
    ]
    assert len(ran) <= 3  # the parameters, the injected ones, and the first cell


def test_two_runs_are_compared_by_command(sample):
    runs = set(Store(sample["OVERROUND_STORE"]).read("runs")["run_id"])
    pair = [
        next(run for run in runs if run.endswith(label))
        for label in (".backtest-sharp", ".backtest-consensus")
    ]

    done = overround("compare", *pair, env=sample)

    page = Path(done.stdout.strip().splitlines()[-1]).read_text()
    assert "Difference in yield to " in page
    assert "<td>consensus</td>" in page  # what differs


def test_a_sweep_ends_with_its_page_which_the_index_lists(sample, browser):
    reports = Path(sample["OVERROUND_REPORTS"])
    vary = [
        "sweep",
        "--vary",
        "min_edge=0.02,0.04,0.06",
        "--vary",
        "staking=flat,kelly",
        "--simulations",
        "200",
    ]
    before = set(reports.glob("runs/*"))

    skipped = overround(*vary, "--no-report", env=sample)
    assert set(reports.glob("runs/*")) == before
    done = overround(*vary, env=sample)

    page = Path(done.stdout.strip().splitlines()[-1])
    record = json.loads(page.with_suffix(".json").read_text())
    assert done.stdout.startswith(skipped.stdout)
    assert record["verdict"] in skipped.stdout  # the notebook finds what the command found
    assert record["metrics"]["tried"] == 6
    assert str(page.relative_to(reports)) in (reports / "index.html").read_text()
    assert _Page(page).silent == 0
    assert "Simulated market" in page.read_text()
    assert faults_of_reports(browser, page.parent) == []


def test_a_notebook_is_run_with_many_sets_of_parameters_by_command(sample, browser):
    reports = Path(sample["OVERROUND_REPORTS"])

    done = overround(
        "run",
        "backtest",
        "--vary",
        "staking=flat,kelly-drawdown",
        "-p",
        "simulations=500",
        "-p",
        "stake=0.1",
        env=sample,
    )

    labels = ["staking=flat", "staking=kelly-drawdown", "compare"]
    assert sorted(line.split()[1] for line in done.stderr.splitlines()) == sorted(labels)
    folder = max(reports.glob("runs/*"))
    assert sorted(page.stem for page in folder.glob("*.html")) == sorted(labels)
    records = [json.loads((folder / f"{label}.json").read_text()) for label in labels]
    assert records[-1]["parameters"]["runs"] == [record["run_id"] for record in records[:2]]
    assert records[-1]["verdict"].startswith("The yield of staking=kelly-drawdown")
    assert records[0]["metrics"]["tried"] == 2
    pages = [folder / "compare.html", reports / "index.html"]
    assert [
        fault for page in pages for scheme in SCHEMES for fault in faults_of_page(browser, page, scheme)
    ] == []


def test_a_wrong_parameter_stops_the_line_before_anything_runs(sample):
    before = len(list(Path(sample["OVERROUND_REPORTS"]).glob("runs/*")))

    wrong_value = overround("run", "-p", "min_edge=7", env=sample, code=2).stderr
    wrong_name = overround("run", "-p", "mn_edge=0.03", env=sample, code=2).stderr
    wrong_source = overround("run", "--source", "nowhere", env=sample, code=2).stderr

    assert "min_edge" in wrong_value
    assert "0 to 1" in wrong_value
    assert "mn_edge" in wrong_name
    assert "sample, football-data, the-odds-api" in wrong_source
    assert len(list(Path(sample["OVERROUND_REPORTS"]).glob("runs/*"))) == before


def test_a_failing_step_stops_the_line_and_leaves_its_page(tmp_path):
    env = home(tmp_path, OVERROUND_FOOTBALL_DATA_URL="http://127.0.0.1:9")

    done = overround(
        "run", "--source", "football-data", "--league", "E0", "--season", "2425", env=env, code=1
    )

    assert "FAILED  collect" in done.stderr
    assert "no answer from http://127.0.0.1:9/mmz4281/2425/E0.csv" in done.stderr
    page = next((tmp_path / "reports").glob("runs/*/collect.html")).read_text()
    assert "no answer from" in page
    assert "failed" in (tmp_path / "reports" / "index.html").read_text().lower()
    assert Store(env["OVERROUND_STORE"]).read("runs")["status"].tolist() == ["failed"]
