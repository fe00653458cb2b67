"""Baselines and comparisons in `data/perf` under the project: samples, and what they were taken of and on."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from overround.errors import ParameterError
from overround.measure.meter import machine
from overround.measure.paired import LOOPS
from overround.provenance import versions
from overround.reports.records import write_atomically
from overround.settings import Settings, load_settings

if TYPE_CHECKING:
    from overround.perf.sides import Side

COMPARED = "compared-"  # of a comparison's name


def keep(name: str, samples: pd.DataFrame, sides: Mapping[str, "Side"]) -> Path:
    """Write samples with what they were taken of and on; returns the file, `data/perf/<name>.json`.

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
    file = baseline_file(name, load_settings())
    about = {
        "name": name,
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "sides": {
            name: {"options": dict(side.options), "environment": dict(side.environment)}
            | {"name": side.name, "revision": side.revision}
            for name, side in sides.items()
        },
        "left_out": samples.attrs.get("left_out", {}),
        "samples": json.loads(samples.to_json(orient="records")),
    }
    write_atomically(file, json.dumps(about, indent=1) + "\n")
    return file


def kept(name: str, settings: Settings | None = None) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Samples that were stored under a name, and what they were taken of and on.

    Raises
    ------
    ParameterError
        For a name without samples, or a file that cannot be read.

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
    file = baseline_file(name, settings or load_settings())
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
    """Name of the newest comparison that `overround perf compare` has stored.

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
    """A row for each side of stored samples: name, revision, options, and when and under which load taken.

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
        options = {**one["options"], **one["environment"]}
        rows.append(
            {
                "side": {"A": "before", "B": "after"}.get(str(side), side),
                "name": one["name"],
                "revision": one["revision"] or "–",
                "options": ", ".join(f"{name}={value}" for name, value in options.items()) or "–",
                "samples": len(mine),
                "load": float(mine["load"].median()),
                "first": taken.min(),
                "last": taken.max(),
            }
        )
    return pd.DataFrame(rows)


def baseline_file(name: str, settings: Settings) -> Path:
    """The file of samples; ParameterError for a name that cannot be one."""
    if not is_name(name):
        raise ParameterError(
            f"{name!r} cannot be a baseline's name; it takes letters, digits, -, _ and dots inside."
        )
    return settings.home / "data" / "perf" / f"{name}.json"


def is_name(name: str) -> bool:
    """Whether samples can be stored under a name."""
    return re.fullmatch(r"[\w-][\w.-]*", name) is not None
