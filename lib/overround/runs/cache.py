"""Reuse of earlier runs: same notebook, parameters, library, packages, settings and data.

A run is a function of these where its notebook reads one version of the tables, which is what a parameter
`store_version` promises, or nothing but earlier runs. The library counts by the digest of its files: `git
describe` says `+` for every edit.
"""

import hashlib
import json
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from overround.reports.notebooks import declared
from overround.reports.records import read_record, reads_one_version
from overround.schema import COLLECTED
from overround.settings import Settings

_SETTLED = timedelta(days=30)  # before a season that is over is asked for again
# places, and a secret; which store it is, is in the identity of its tables
_NOT_ASKED = {"home", "store", "cache", "reports", "odds_api_key", "scheduler"}


def packages() -> str:
    """Digest of Python's version and of the names and versions of all installed packages."""
    names = {
        path.name for folder in sys.path if Path(folder).is_dir() for path in Path(folder).glob("*.dist-info")
    }
    return hashlib.blake2b(
        "\n".join([platform.python_version(), *sorted(names)]).encode(), digest_size=16
    ).hexdigest()


def key_of(
    notebook: Path,
    parameters: Mapping[str, Any],
    runs: Sequence[str],
    settings: Settings,
    *,
    show_code: bool,
    program: Sequence[str],
) -> str:
    """Digest of what a run depends on besides the data.

    Parameters
    ----------
    notebook : Path
        Its cells count, but not the outputs or metadata that an editor leaves.
    parameters : mapping
        As the notebook gets them; its run id does not count.
    runs : sequence of str
        Ids of the runs that its parameters are made from.
    settings : Settings
        Only those count that change what is asked, not places.
    show_code : bool
        Whether its page offers the code.
    program : sequence of str
        `library_digest()` and `packages()`.
    """
    cells = [
        (cell["cell_type"], cell["source"], cell.get("metadata", {}).get("tags"))
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    ]
    asked = {name: value for name, value in parameters.items() if name != "run_id"}
    facts = [
        cells,
        asked,
        list(runs),
        settings.model_dump(mode="json", exclude=_NOT_ASKED),
        show_code,
        list(program),
    ]
    return hashlib.blake2b(
        json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=16
    ).hexdigest()


def data_of(settings: Settings, version: str = "") -> str:
    """A version of the tables events, quotes and results, by default the newest, with the identity of each.

    A store that was removed and filled again may have the same version numbers, but not the same tables.
    """
    from overround.store.store import Store

    store = Store(settings.store_root)
    tables = {name: table_id for name in COLLECTED if (table_id := store.identity(name))}
    return f"{version or store.version()} of {','.join(tables.values())}" if tables else ""


def earlier(
    notebook: str,
    label: str,
    key: str,
    parameters: Mapping[str, Any],
    runs: Sequence[str],
    settings: Settings,
) -> dict | None:
    """Record of the newest good run with this label and key on the current data; None where there is none."""
    asks = declared(notebook).asks
    if not runs and not asks and not reads_one_version(notebook, parameters):
        return None
    data = ""
    for record in _with_key(settings.reports_folder, label, key):
        # what is made from runs depends on them alone
        data = data or ("" if runs else data_of(settings, parameters.get("store_version") or ""))
        if not runs and (not data or record["data"] != data):
            continue
        if not asks or settled(parameters, record):
            return record
    return None


def settled(parameters: Mapping[str, Any], record: Mapping[str, Any], now: datetime | None = None) -> bool:
    """Whether a source would answer a collection as it did.

    The simulated market always would, football-data.co.uk for a month where the seasons are over. A season in
    play, a file of many seasons, current prices, and a collection that failed in part are asked for again.
    """
    if parameters["source"] == "sample":
        return True
    if parameters["source"] != "football-data" or record["metrics"].get("failed_jobs"):
        return False
    from overround.sources.football_data.leagues import is_over

    at = datetime.fromisoformat(record["started_at"])
    asked = [(league, season) for league in parameters["leagues"] for season in parameters["seasons"]]
    fresh = (now or datetime.now(UTC)) - at < _SETTLED
    return bool(asked) and fresh and all(is_over(league, season, at) for league, season in asked)


def _with_key(reports: Path, label: str, key: str) -> Iterator[dict]:
    """Records of good runs whose notebook and page are still there, newest first."""
    for folder in sorted((reports / "runs").glob("*"), reverse=True):
        path = folder / f"{label}.json"
        record = read_record(path) if path.is_file() else None
        there = all(path.with_name(label + suffix).is_file() for suffix in (".ipynb", ".html"))
        if record and there and record["status"] == "ok" and record.get("key") == key:
            yield record
