"""CI can do what its files ask for: they parse, their commands exist, and docs/sharing.md shows them."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.exceptions import TyperException
from typer.main import get_command

from overround.cli.main import app
from tests.support.commands import ROOT

GITHUB, CHECKS, GITLAB, HOOKS, PAGE = (
    ROOT / ".github" / "workflows" / "report.yml",
    ROOT / ".github" / "workflows" / "check.yml",
    ROOT / ".gitlab-ci.yml",
    ROOT / ".pre-commit-config.yaml",
    ROOT / "docs" / "sharing.md",
)
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
# docs/settlement.md is about rules, and has nothing to type
PAGES_WITH_COMMANDS = [
    *sorted({*(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "settlement.md"}),
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
]


def lines_of(path: Path) -> list[str]:
    """The shell commands of a CI file, or of a page: of its blocks, and those of ours in its sentences."""
    if path.suffix == ".md":
        sentences, *blocks = re.split(r"^```", path.read_text(), flags=re.MULTILINE)
        sentences, shown = (
            "\n".join([sentences, *blocks[1::2]]),
            [block.partition("\n") for block in blocks[::2]],
        )
        said = re.findall(r"`((?:overround|make|python -m) [^`]*)`|^    (\S.*)$", sentences, re.MULTILINE)
        text = "\n".join(
            [*(lines for kind, _, lines in shown if kind in ("sh", "bash", "")), *map("".join, said)]
        )
    else:
        text = "\n".join(_scripts(yaml.safe_load(path.read_text())))
    return [
        part.strip()
        for line in text.splitlines()
        for part in re.split(r"&&|\|\||;", re.split(r"(?:^|\s)#", line)[0])
        if part.strip()
    ]


def _scripts(node: Any) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key in ("run", "script"):
            yield from [value] if isinstance(value, str) else value
        elif isinstance(value, dict | list):
            yield from _scripts(value)


def wrong(line: str) -> str:
    """What is wrong with a command of ours; nothing is said of other programs."""
    words = shlex.split(line)
    if Path(words[0]).name == "python" and words[1] == "-m":
        return "" if find_spec(words[2]) else f"there is no module {words[2]}"
    if words[0] == "make":
        unknown = [word for word in words[1:] if "=" not in word and word not in TARGETS]
        return f"make has no target {unknown[0]}" if unknown else ""
    if Path(words[0]).name != "overround":
        return ""
    command, rest = get_command(app), words[1:]
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            return f"overround has no command {' '.join(rest[:1])}"
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        command.make_context(words[0], rest)
    except TyperException as error:
        return error.format_message()
    return ""


@pytest.mark.parametrize("path", [GITHUB, CHECKS, GITLAB, *PAGES_WITH_COMMANDS], ids=lambda path: path.name)
def test_every_command_of_ours_exists_and_takes_its_options(path):
    lines = lines_of(path)

    assert any(re.match(r"make|\S*overround ", line) for line in lines)
    assert [f"{line}: {wrong(line)}" for line in lines if wrong(line)] == []


def test_a_command_that_does_not_exist_is_noticed():
    assert wrong("make nothing") == "make has no target nothing"
    assert wrong("python -m benchmarks.nothing") == "there is no module benchmarks.nothing"
    assert "no command" in wrong(".venv/bin/overround publish")
    assert "--kep" in wrong("overround prune --kep 20")
    assert wrong("overround prune --keep twenty") != ""
    assert wrong("overround prune --keep 20 --yes") == ""


@pytest.mark.parametrize("path", [GITHUB, CHECKS, GITLAB], ids=lambda path: path.name)
def test_the_page_shows_the_file_as_it_is(path):
    assert f"```yaml\n{path.read_text()}```" in PAGE.read_text()


def test_github_keeps_the_pages_of_a_failed_run_and_publishes_those_of_main():
    workflow = yaml.safe_load(GITHUB.read_text())
    steps = workflow["jobs"]["report"]["steps"]
    uses = {step["uses"].split("@")[0]: step for step in steps if "uses" in step}

    assert next(step["run"] for step in steps if "run" in step) == "make report"
    assert uses["actions/upload-artifact"]["if"] == "${{ !cancelled() }}"
    for name in ("actions/upload-artifact", "actions/upload-pages-artifact"):
        assert uses[name]["with"]["path"] == "reports"
    publish = workflow["jobs"]["publish"]
    assert publish["needs"] == "report"
    assert "refs/heads/main" in publish["if"]
    # the job that runs the project's code may write nothing
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["report"]
    assert publish["permissions"] == {"pages": "write", "id-token": "write"}


def test_gitlab_keeps_the_pages_of_a_failed_run_and_publishes_those_of_the_default_branch():
    jobs = yaml.safe_load(GITLAB.read_text())

    assert jobs["report"]["script"][0] == "make report"
    assert jobs["report"]["artifacts"]["when"] == "always"
    assert jobs["report"]["artifacts"]["paths"] == ["reports"]
    assert jobs["pages"]["artifacts"]["paths"] == ["public"]  # where GitLab looks for a site
    assert jobs["pages"]["needs"] == ["report"]
    assert jobs["pages"]["rules"] == [{"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"}]
    assert [jobs[name]["stage"] for name in ("check", "report", "pages")] == jobs["stages"]


def test_pull_requests_are_checked_with_the_oldest_python_and_the_newest_and_every_night_all_tests_run():
    workflow = yaml.safe_load(CHECKS.read_text())
    check, test = workflow["jobs"]["check"], workflow["jobs"]["test"]
    pythons = check["strategy"]["matrix"]["python"]
    triggers = workflow[True]  # YAML reads the word `on` as a truth value

    assert "pull_request" in triggers
    assert triggers["schedule"]
    assert check["steps"][-1]["run"].startswith("make check ")
    assert test["steps"][-1]["run"].startswith("make test ")
    assert "schedule" in test["if"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert oldest == f">={pythons[0]}"
    # what may fail is told apart from what may not by the oldest Python alone
    assert check["continue-on-error"] == f"${{{{ matrix.python != '{pythons[0]}' }}}}"
    assert workflow["permissions"] == {"contents": "read"}

    jobs = yaml.safe_load(GITLAB.read_text())
    images = [jobs[name]["image"] for name in ("check", "check-newest")]
    assert images == [f"python:{version}" for version in pythons]
    assert jobs["check"]["script"] == ["make check PYTHON=python"]
    assert jobs["test"]["script"][-1] == "make test PYTHON=python"
    assert jobs["test"]["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]


def test_each_hook_before_a_commit_is_a_command_of_make_check_or_looks_at_what_is_staged():
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    of_check = set(re.findall(r"\$\(BIN\)/(ruff \w+|[\w-]+)", recipe))
    [group] = yaml.safe_load(HOOKS.read_text())["repos"]
    entries = {hook["id"]: hook["entry"] for hook in group["hooks"]}
    strip = entries.pop("nbstripout")

    assert group["repo"] == "local"
    for entry in entries.values():
        assert re.match(r"\.venv/bin/(ruff \w+|[\w-]+)", entry)[1] in of_check
    assert "git show" in strip
    assert "--verify" in strip


def test_the_folders_that_are_cached_and_published_are_those_that_runs_write():
    from overround.settings import Settings

    settings = Settings(home=ROOT, store="", cache=None, reports=None)
    cached = yaml.safe_load(GITHUB.read_text())["jobs"]["report"]["steps"][2]["with"]["path"].split()

    assert settings.reports_folder == ROOT / "reports"
    assert all(
        Path(one).is_relative_to(ROOT / "data") for one in (settings.store_root, settings.cache_folder)
    )
    assert (
        cached == ["data", "reports/runs"] == yaml.safe_load(GITLAB.read_text())["report"]["cache"]["paths"]
    )


def test_the_lock_and_the_workflow_use_the_same_python():
    version = yaml.safe_load(GITHUB.read_text())["jobs"]["report"]["steps"][1]["with"]["python-version"]

    assert f"python{version}" in (ROOT / "Makefile").read_text()
    assert all(
        job.get("image") in (None, f"python:{version}")
        for name, job in yaml.safe_load(GITLAB.read_text()).items()
        if isinstance(job, dict) and name != "check-newest"
    )
