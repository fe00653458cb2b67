"""What CONTRIBUTING, README and the pages of docs name is there: files, symbols defined in them, links."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import ROOT

LIBRARY = ROOT / "lib" / "overround"
GUIDE = ROOT / "CONTRIBUTING.md"
PAGES = [ROOT / "README.md", GUIDE, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
# those of docs/reference quote docstrings
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]
NAMED = re.findall(r"`(\w+)` in `([\w/]+\.py)`", GUIDE.read_text())
KINDS = (
    "source",
    "market",
    "margin method",
    "staking rule",
    "figure of merit",
    "notebook",
    "figure",
    "signal",
    "model",
)


def rows_under(heading: str) -> list[list[str]]:
    """Cells of the table below a heading of CONTRIBUTING, without its own head."""
    section = re.search(
        rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", GUIDE.read_text(), re.MULTILINE | re.DOTALL
    )[1]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@cache
def defined_in(path: Path) -> set[str]:
    """Functions, classes and variables at the top level of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name):
                names.add(target.id)
    return names


def files_named_in(page: Path) -> set[str]:
    """What looks like a file of this repository between backticks."""
    words = re.findall(r"`([\w./<>*-]+)`", page.read_text())
    return {
        word
        for word in words
        if re.fullmatch(r"[\w./-]+\.(py|pyi|md|toml|yml|yaml|cfg|ipynb|lock|html\.j2)", word)
    }


@pytest.mark.parametrize(("symbol", "path"), NAMED, ids=[f"{symbol}-{path}" for symbol, path in NAMED])
def test_a_symbol_that_contributing_names_is_defined_in_that_file(symbol, path):
    assert symbol in defined_in(LIBRARY / path)


def test_contributing_has_a_row_for_each_kind_of_thing_and_ten_questions():
    kinds = [row[0] for row in rows_under("Where does a new ... go?")]
    questions = rows_under("Where is ...?")

    assert set(KINDS) <= set(kinds)
    assert all(re.search(r"`[\w/]+\.(py|ipynb)`", row[1]) for row in rows_under("Where does a new ... go?"))
    assert len(questions) == 10
    assert all(re.fullmatch(r"`\w+` in `[\w/]+\.py`", answer) for _, answer in questions)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_file_that_a_page_names_exists(page):
    left_by_runs = {"index.html", "reports/index.html", "out.ipynb", "NAME.ipynb", "notebooks/NAME.ipynb"}
    roots = (ROOT, LIBRARY, page.parent, ROOT / "notebooks", ROOT / ".github" / "workflows")

    missing = {
        name
        for name in files_named_in(page) - left_by_runs
        if not any((root / name).exists() for root in roots)
        and not any(LIBRARY.rglob(name) if "/" not in name else ())
    }
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_repository_leads_somewhere(page):
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_a_symbol_or_a_file_that_is_not_there_is_noticed(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("A = 1\nB: int = 2\n\n\ndef f():\n    inner = 1\n")
    page = tmp_path / "page.md"
    page.write_text("`lib/overround/nothing.py` and `a word`, `*.py`")

    assert defined_in(module) == {"A", "B", "f"}
    assert files_named_in(page) == {"lib/overround/nothing.py"}
