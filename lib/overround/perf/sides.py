"""The two sides of a comparison: a checkout, a revision, options, or a stored baseline."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from overround.errors import ParameterError, RunError
from overround.perf.stored import baseline_file, is_name, kept
from overround.provenance import git, git_revision
from overround.settings import PACKAGE, Settings, load_settings

HERE = "."


@dataclass(frozen=True)
class Side:
    """A library under some settings, or the samples that were taken of it earlier.

    Examples
    --------
    >>> import overround as ov
    >>> ov.perf.Side("with threads", options={"workers": 2}).options
    {'workers': 2}
    """

    name: str
    library: Path = PACKAGE.parent
    revision: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    kept: pd.DataFrame | None = None


@contextmanager
def resolved(*names: str) -> Iterator[list[Side]]:
    """Sides by name, for as long as the context lasts.

    A name is `.` for this checkout, `name=value,...` for options of the workload (or, in capitals, of the
    environment), a baseline's name, or a git revision, which is checked out in a temporary folder.

    Raises
    ------
    ParameterError
        For any other name.

    Examples
    --------
    >>> import overround as ov
    >>> with ov.perf.resolved(".", "workers=2") as (here, two):
    ...     print(here.name, dict(two.options))
    this checkout {'workers': 2}
    """
    settings = load_settings()
    with ExitStack() as stack:
        yield [_side(name, settings, stack) for name in names]


def _side(name: str, settings: Settings, stack: ExitStack) -> Side:
    revision = git_revision(settings.home)
    if name == HERE:
        return Side("this checkout", revision=revision)
    if "=" in name:
        parts = [part.split("=", 1) for part in name.split(",")]
        if wrong := next((part for part in parts if len(part) < 2), None):
            raise ParameterError(f"{name!r} cannot be read: {wrong[0]!r} is no name=value.")
        pairs = dict(parts)
        environment = {key: value for key, value in pairs.items() if key.isupper()}
        options = {key: _plain(value) for key, value in pairs.items() if key not in environment}
        return Side(name, revision=revision, options=options, environment=environment)
    if is_name(name) and baseline_file(name, settings).exists():
        samples, about = kept(name, settings)
        if len(about["sides"]) > 1:
            raise ParameterError(
                f"{name!r} is a comparison of two; a side is one: a baseline, a revision, name=value or '.'."
            )
        return Side(
            f"baseline {name}", revision=next(iter(about["sides"].values()))["revision"], kept=samples
        )
    found = git(settings.home, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not found or name.startswith("-"):
        raise ParameterError(
            f"{name!r} is neither '.', nor name=value, "
            f"nor a baseline in {settings.home / 'data' / 'perf'}, nor a revision of git."
        )
    return Side(name, stack.enter_context(_checkout(settings.home, found)), found[:12])


@contextmanager
def _checkout(home: Path, revision: str) -> Iterator[Path]:
    """A revision's library in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        if git(home, "worktree", "add", "--detach", str(tree), revision) is None:
            raise RunError(f"git cannot check out {revision[:12]} beside {home}.")
        try:
            yield tree / "lib"
        finally:
            git(home, "worktree", "remove", "--force", str(tree))


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
