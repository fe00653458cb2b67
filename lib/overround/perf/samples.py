"""Baselines and comparisons of what the library costs: samples taken in turns, A B A B, each in a fresh process.

A side is this checkout, another revision of it, a setting, or a baseline that was kept. Samples, with the
revision, versions and load under which they were taken, are JSON files in `data/perf` under the project.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from overround.errors import ParameterError, RunError
from overround.measure.meter import machine
from overround.measure.paired import LOOPS, loop_of
from overround.perf.worker import take
from overround.perf.workloads import MODULES as MODULES
from overround.perf.workloads import WORKLOADS
from overround.provenance import git_revision, versions
from overround.settings import PACKAGE, Settings, load_settings

PAIRS, REPEATS = 15, 5
DEFAULT = ("margin", "signals", "backtest", "evaluate", "append", "read", "collect")
HERE = "."
COMPARED = "compared-"
_LONGEST_S = 600
Progress = Callable[[str], object]


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: whose library, under which settings; or samples that were taken earlier.

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


def measure(
    sides: Mapping[str, Side],
    workloads: Iterable[str] = DEFAULT,
    *,
    pairs: int = PAIRS,
    repeats: int = REPEATS,
    progress: Progress = str,
) -> pd.DataFrame:
    """Samples of each workload, the sides in turns, each sample in a process of its own.

    Parameters
    ----------
    sides : mapping
        Name of the side ("A", "B") -> what it is.
    workloads : iterable of str
        Of `overround.perf.workloads.WORKLOADS`.
    pairs : int
        Samples of each side; of two that were kept, all are taken.
    repeats : int
        Calls in a process after one that is not counted; a sample is their median.
    progress : callable
        Told what is measured next.

    Returns
    -------
    DataFrame
        workload, pair, side, load, at, and the figures of `overround.perf.worker.take`.

    Raises
    ------
    ParameterError
        For a workload that does not exist or an option that it does not take.
    RunError
        Where a workload fails, with its last words. One that another revision cannot do, or that a baseline
        has no samples of, is left out, as long as there are others: `attrs["left_out"]` has the reasons.

    Examples
    --------
    >>> import overround as ov
    >>> here = ov.perf.Side("this checkout")
    >>> samples = ov.perf.measure({"A": here, "B": here}, ["margin"], pairs=1, repeats=1)
    >>> samples["side"].tolist()
    ['A', 'B']
    """
    rows: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for workload in known(workloads):
        try:
            rows += _in_turns(sides, workload, pairs, repeats, progress)
        except _NotThere as error:
            left_out[workload] = str(error)
    if left_out and not rows:
        raise RunError(next(iter(left_out.values())))
    samples = pd.DataFrame(rows)
    samples = _on_one_scale(samples) if any(side.kept is not None for side in sides.values()) else samples
    samples.attrs["left_out"] = left_out
    return samples


def in_turns(
    name: str,
    before: Callable[[], object],
    after: Callable[[], object],
    *,
    pairs: int = PAIRS,
    warm: bool = True,
) -> pd.DataFrame:
    """Samples of two ways to do one thing, in turns in this process, as `measure` gives them.

    Parameters
    ----------
    name : str
        Of the workload.
    before, after : callable
        Work without arguments.
    pairs : int
        Samples of each.
    warm : bool
        Do both once before, uncounted.

    Examples
    --------
    >>> import overround as ov
    >>> samples = ov.perf.in_turns("sum", lambda: sum(range(20_000)), lambda: sum(range(10_000)), pairs=5)
    >>> samples["side"].value_counts().to_dict()
    {'A': 5, 'B': 5}
    """
    if warm:
        before()
        after()
    rows = [
        {"workload": name, "pair": pair, "side": side, **take(work)}
        for pair in range(pairs)
        for side, work in (("A", before), ("B", after))
    ]
    return pd.DataFrame(rows)


@contextmanager
def resolved(*names: str) -> Iterator[list[Side]]:
    """What each name means: `.` for this checkout, `name=value,...` for options of the workload (or, in capitals, of the environment), a
    baseline's name, or a git revision, which is checked out in a temporary folder for as long as the context
    lasts.

    Raises
    ------
    ParameterError
        For a name that is none of these.

    Examples
    --------
    >>> import overround as ov
    >>> with ov.perf.resolved(".", "workers=2") as (here, two):
    ...     print(here.name, dict(two.options))
    this checkout {'workers': 2}
    """  # noqa: D205
    settings = load_settings()
    with ExitStack() as stack:
        yield [_side(name, settings, stack) for name in names]


def keep(name: str, samples: pd.DataFrame, sides: Mapping[str, Side]) -> Path:
    """Write samples with what they were taken of and on, as `data/perf/<name>.json`; returns the file.

    Examples
    --------
    >>> import os
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> os.environ["OVERROUND_HOME"] = mkdtemp()
    >>> samples = ov.perf.in_turns("sum", lambda: sum(range(20_000)), lambda: sum(range(10_000)), pairs=5)
    >>> sides = {"A": ov.perf.Side("long"), "B": ov.perf.Side("short")}
    >>> ov.perf.keep("sums", samples, sides).name
    'sums.json'
    """
    file = _file(name, load_settings())
    file.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "name": name,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "sides": {
            side: {
                "name": one.name,
                "revision": one.revision,
                "options": dict(one.options),
                "environment": dict(one.environment),
            }
            for side, one in sides.items()
        },
        "left_out": samples.attrs.get("left_out", {}),
        "samples": json.loads(samples.to_json(orient="records")),
    }
    draft = file.with_suffix(".part")
    draft.write_text(json.dumps(about, indent=1) + "\n")
    draft.replace(file)
    return file


def kept(name: str, settings: Settings | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Samples that were kept under a name, and what is known of them.

    Raises
    ------
    ParameterError
        For a name that nothing was kept under, or a file that cannot be read.

    Examples
    --------
    >>> import os
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> os.environ["OVERROUND_HOME"] = mkdtemp()
    >>> samples = ov.perf.in_turns("sum", lambda: sum(range(20_000)), lambda: sum(range(10_000)), pairs=5)
    >>> sides = {"A": ov.perf.Side("long"), "B": ov.perf.Side("short")}
    >>> file = ov.perf.keep("sums", samples, sides)
    >>> again, about = ov.perf.kept("sums")
    >>> len(again), about["sides"]["A"]["name"]
    (10, 'long')
    """
    file = _file(name, settings or load_settings())
    try:
        about = json.loads(file.read_text())
        samples = pd.DataFrame(about.pop("samples"))
        if not about["sides"] or samples[["workload", "pair", "side", LOOPS[0]]].empty:
            raise ValueError
        return samples, about
    except FileNotFoundError:
        raise ParameterError(f"there is no baseline {name!r} in {file.parent}.") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # JSON, but of something else
        raise ParameterError(
            f"{file} is no baseline ({type(error).__name__}); remove it and take another."
        ) from None


def newest_comparison(settings: Settings | None = None) -> str:
    """Name of the newest comparison that `overround perf compare` has kept.

    Raises
    ------
    ParameterError
        Where there is none.

    Examples
    --------
    >>> import os
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> os.environ["OVERROUND_HOME"] = mkdtemp()
    >>> samples = ov.perf.in_turns("sum", lambda: sum(range(20_000)), lambda: sum(range(10_000)), pairs=5)
    >>> sides = {"A": ov.perf.Side("long"), "B": ov.perf.Side("short")}
    >>> file = ov.perf.keep("compared-20260815", samples, sides)
    >>> ov.perf.newest_comparison()
    'compared-20260815'
    """
    folder = (settings or load_settings()).home / "data" / "perf"
    names = sorted(file.stem for file in folder.glob(f"{COMPARED}*.json"))
    if not names:
        raise ParameterError(
            f"there is no comparison in {folder}: overround perf compare HEAD~1 . makes one."
        )
    return names[-1]


def said(about: Mapping[str, Any], samples: pd.DataFrame) -> pd.DataFrame:
    """What is known of kept samples: a row a side, with its name, revision, options, and when and under which load it was taken.

    Examples
    --------
    >>> import os
    >>> from tempfile import mkdtemp
    >>> import overround as ov
    >>> os.environ["OVERROUND_HOME"] = mkdtemp()
    >>> samples = ov.perf.in_turns("sum", lambda: sum(range(20_000)), lambda: sum(range(10_000)), pairs=5)
    >>> samples = samples.assign(at="2026-08-15T12:00", load=0.5)
    >>> sides = {"A": ov.perf.Side("long"), "B": ov.perf.Side("short")}
    >>> file = ov.perf.keep("sums", samples, sides)
    >>> again, about = ov.perf.kept("sums")
    >>> ov.perf.said(about, again)[["side", "name", "samples"]].to_dict("list")
    {'side': ['before', 'after'], 'name': ['long', 'short'], 'samples': [5, 5]}
    """
    rows = []
    for side, mine in samples.groupby("side", sort=False):
        one, taken = about["sides"][side], pd.to_datetime(mine["at"])
        rows.append(
            {
                "side": {"A": "before", "B": "after"}.get(str(side), side),
                "name": one["name"],
                "revision": one["revision"] or "–",
                "options": ", ".join(
                    f"{name}={value}" for name, value in {**one["options"], **one["environment"]}.items()
                )
                or "–",
                "samples": len(mine),
                "load": float(mine["load"].median()),
                "first": taken.min(),
                "last": taken.max(),
            }
        )
    return pd.DataFrame(rows)


def known(workloads: Iterable[str]) -> list[str]:
    """Names of workloads, each once; ParameterError for one that does not exist."""
    asked = list(dict.fromkeys(workloads))
    unknown = [name for name in asked if name not in WORKLOADS]
    if unknown or not asked:
        raise ParameterError(
            f"workload {(unknown or [''])[0]!r} is unknown; there are {', '.join(WORKLOADS)}."
        )
    return asked


class _NotThere(RunError):
    """Another revision cannot do a workload of this one, or a baseline has no samples of it."""


def _in_turns(
    sides: Mapping[str, Side], workload: str, pairs: int, repeats: int, progress: Progress
) -> list[dict[str, Any]]:
    rows = []
    for side in sides.values():
        if side.kept is not None and workload not in set(side.kept["workload"]):
            raise _NotThere(
                f"{side.name} has no samples of {workload}; it has {', '.join(side.kept['workload'].unique())}."
            )
    if all(side.kept is not None for side in sides.values()):  # nothing to measure: all that there is
        pairs = 1 + max(int(side.kept["pair"].max()) for side in sides.values() if side.kept is not None)
    for pair in range(pairs):
        progress(f"{workload}, pair {pair + 1} of {pairs}")
        for name, side in sides.items():
            if side.kept is not None:
                earlier = side.kept[(side.kept["workload"] == workload) & (side.kept["pair"] == pair)]
                rows += earlier.assign(side=name).to_dict("records")
                continue
            try:
                rows.append(
                    {"workload": workload, "pair": pair, "side": name, **_sample(side, workload, repeats)}
                )
            except RunError as error:
                if pair or side.library == PACKAGE.parent:
                    raise
                raise _NotThere(str(error)) from None
    return rows


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
    if _is_name(name) and _file(name, settings).exists():
        samples, about = kept(name, settings)
        if len(about["sides"]) > 1:
            raise ParameterError(
                f"{name!r} is a comparison of two; a side is one: a baseline, a revision, name=value or '.'."
            )
        return Side(
            f"baseline {name}", revision=next(iter(about["sides"].values()))["revision"], kept=samples
        )
    found = _git(settings.home, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    if not found or name.startswith("-"):
        raise ParameterError(
            f"{name!r} is neither '.', nor name=value, nor a baseline in {settings.home / 'data' / 'perf'}, nor a revision of git."
        )
    return Side(name, stack.enter_context(_checkout(settings.home, found)), found[:12])


@contextmanager
def _checkout(home: Path, revision: str) -> Iterator[Path]:
    """A revision's library in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        if _git(home, "worktree", "add", "--detach", str(tree), revision) is None:
            raise RunError(f"git cannot check out {revision[:12]} beside {home}.")
        try:
            yield tree / "lib"
        finally:
            _git(home, "worktree", "remove", "--force", str(tree))


def _sample(side: Side, workload: str, repeats: int) -> dict[str, Any]:
    asked = json.dumps({"workload": workload, "options": dict(side.options), "repeats": repeats})
    # both sides keep their bytecode: else a new checkout compiles in every sample, and this one in none
    environment = {
        **os.environ,
        **side.environment,
        "PYTHONPATH": str(side.library),
        "PYTHONDONTWRITEBYTECODE": "",
    }
    try:
        # without the folder of the program on the path, whose modules would be found as if they were the
        # standard library's
        done = subprocess.run(  # noqa: S603  our own module
            [sys.executable, "-P", str(PACKAGE / "perf" / "worker.py"), asked],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RunError(
            f"workload {workload} of {side.name} took more than {_LONGEST_S} s: ask for fewer repeats, or less work."
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        if "unexpected keyword argument" in last and side.options:
            raise ParameterError(f"workload {workload} does not take {', '.join(side.options)}: {last}.")
        raise RunError(f"workload {workload} of {side.name} failed: {last}")
    figures = json.loads(done.stdout.splitlines()[-1])
    return {**figures, "at": datetime.now(UTC).isoformat(timespec="seconds")}


def _on_one_scale(samples: pd.DataFrame) -> pd.DataFrame:
    """Times in units of each side's own calibration loop: a baseline was taken when the machine had another speed.

    Each by the loop that it is judged by: a queue for the processor makes the wall time of the loop longer,
    and no own time.
    """
    return pd.concat([_scaled(mine) for _, mine in samples.groupby("workload", sort=False)])


def _scaled(samples: pd.DataFrame) -> pd.DataFrame:
    usual = samples.groupby("side")[[loop for loop in LOOPS if loop in samples]].quantile(0.25)
    times = [column for column in ("wall_s", "own_s", "cpu_s", "floor_s", *LOOPS) if column in samples]
    by_loop = {column: usual[loop_of(samples, column)] for column in times}
    return samples.assign(
        **{
            column: samples[column] * samples["side"].map(loop["A"] / loop)
            for column, loop in by_loop.items()
        }
    )


def _file(name: str, settings: Settings) -> Path:
    if not _is_name(name):
        raise ParameterError(
            f"{name!r} cannot be a baseline's name; it takes letters, digits, -, _ and dots inside."
        )
    return settings.home / "data" / "perf" / f"{name}.json"


def _is_name(name: str) -> bool:
    return (
        bool(name)
        and not name.startswith(".")
        and all(letter.isalnum() or letter in "-_." for letter in name)
    )


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _git(home: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *words],  # noqa: S607
            cwd=home,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
