"""The index of all runs: which failed, how they group, how they differ, and which were compared.

Pure functions of the records of runs; nothing is read or written here.
"""

from collections.abc import Sequence
from typing import Any

from overround.reports.notebooks import COMPARISON
from overround.reports.records import OK
from overround.reports.svg import sparkline

Record = dict[str, Any]
# parameters that do not change the question
_NOT_ASKED = ("run_id", "pipeline", "runs")


def overview(runs: Sequence[Record], baseline: str = "", pipelines: Sequence[Record] = ()) -> dict[str, Any]:
    """Group runs for the index.

    Parameters
    ----------
    runs : sequence of dict
        Records as `overround.runs.runner` writes them, with `href` (without a suffix) and `pipeline`.
    baseline : str
        Run id that the others are compared with; by default the oldest run with bets of the same notebook.
    pipelines : sequence of dict
        With their steps, oldest first, see `overround.reports.records.read_pipelines`.

    Returns
    -------
    dict
        `failures`, newest first; `latest`, the runs of the newest pipeline in order, `kept` if reused;
        `latest_at`, when it started; `notebooks`, each a dict of `name` and `rows`, newest first;
        `comparable`, whether any run left bets.
    """
    runs = sorted(runs, key=lambda run: (run["started_at"], run["run_id"]))
    kept: dict[str, list[str]] = {}
    for pipeline in pipelines:
        for step in pipeline["steps"]:
            if step["status"] == "kept":
                kept.setdefault(step["run_id"], []).append(pipeline["started_at"])
    runs = [{**run, "kept_at": kept.get(run["run_id"], [])} for run in runs]
    pages = [run for run in runs if run["notebook"] == COMPARISON and run["status"] == OK]

    by_id = {run["run_id"]: run for run in runs}
    steps: dict[str, list[Record]] = {}
    for run in runs:
        steps.setdefault(run["pipeline"], []).append(run)
    steps |= {one["pipeline"]: one["steps"] for one in pipelines}
    newest_first = [
        [step for step in steps[name] if step["run_id"] in by_id] for name in sorted(steps, reverse=True)
    ]
    latest = [
        {**by_id[step["run_id"]], "kept": step["status"] == "kept"} for step in next(iter(newest_first), [])
    ]
    began = {one["pipeline"]: one["started_at"] for one in (*runs[::-1], *pipelines)}
    in_order = dict.fromkeys(step["notebook"] for of_one in newest_first for step in of_one)
    return {
        "failures": unresolved(runs),
        "latest": latest,
        "latest_at": began[max(began)] if began else "",
        "notebooks": [
            _group(name, [run for run in runs if run["notebook"] == name], pages, baseline)
            for name in in_order
        ],
        "comparable": any(map(has_bets, runs)),
    }


def unresolved(runs: Sequence[Record]) -> list[Record]:
    """Failed runs without a later good run of the same notebook and label, newest first.

    A run that a later pipeline reused counts as good from then on.
    """
    last = {
        (run["notebook"], run["label"]): run
        for run in sorted(runs, key=lambda run: max([run["started_at"], *run.get("kept_at", [])]))
    }
    return [
        run for run in reversed(runs) if run["status"] != OK and last[(run["notebook"], run["label"])] is run
    ]


def has_bets(run: Record) -> bool:
    """Whether a run left a ledger, without which it cannot be compared."""
    return run["status"] == OK and bool(run.get("bankroll"))


def differences(before: Record, run: Record) -> list[tuple[str, Any, Any]]:
    """Parameters that differ between two runs of a notebook, as (name, before, now)."""
    old, new = before["parameters"], run["parameters"]
    return [
        (name, old.get(name), new.get(name))
        for name in {**old, **new}
        if name not in _NOT_ASKED and old.get(name) != new.get(name)
    ]


def _group(name: str, runs: Sequence[Record], pages: Sequence[Record], baseline: str) -> dict[str, Any]:
    bets = [run for run in runs if has_bets(run)]
    # small multiples on one scale: each bankroll as a multiple of its start
    ratios = {
        run["run_id"]: [value / (run["bankroll"][0] or 1.0) for value in run["bankroll"]] for run in bets
    }
    every = [ratio for path in ratios.values() for ratio in path] or [1.0]
    base = next((run for run in runs if run["run_id"] == baseline), bets[0] if bets else None)
    before: dict[str, Record] = {}
    rows = []
    for run in runs:
        last = before.get(run["label"])
        row = {
            **run,
            "asked": {name: value for name, value in run["changed"].items() if name not in _NOT_ASKED},
            "differs": None if last is None else differences(last, run),
            "elsewhere": [] if last is None else _elsewhere(last, run),
            "compare": [],
        }
        if has_bets(run):
            words = f"Bankroll from {run['bankroll'][0]:,.0f} to {run['bankroll'][-1]:,.0f}"
            row["spark"] = sparkline(ratios[run["run_id"]], 1.0, min(every), max(every), words)
            row["compare"] = _comparisons(run, {"the run before": last, "the baseline": base}, pages)
            row["is_baseline"] = base is not None and run["run_id"] == base["run_id"]
        rows.append(row)
        if run["status"] == OK:
            before[run["label"]] = run
    return {"name": name, "rows": rows[::-1]}


def _elsewhere(before: Record, run: Record) -> list[str]:
    """Reasons besides parameters why two runs may differ."""
    reasons = {"source": "source", "store_version": "data", "git_revision": "program"}
    return [f"other {word}" for field, word in reasons.items() if before.get(field) != run.get(field)]


def _comparisons(
    run: Record, others: dict[str, Record | None], pages: Sequence[Record]
) -> list[dict[str, Any]]:
    words_of: dict[str, str] = {}
    for words, other in others.items():
        if other and has_bets(other) and other["run_id"] != run["run_id"]:
            words_of.setdefault(other["run_id"], words)  # the run before may be the baseline
    found = []
    for other_id, words in words_of.items():
        pair = {other_id, run["run_id"]}
        with_both = [page for page in reversed(pages) if pair <= set(page["parameters"].get("runs") or [])]
        page = min(with_both, key=lambda page: len(page["parameters"]["runs"]), default=None)
        href = f"{page['href']}.html" if page else ""
        command = f"overround compare {other_id} {run['run_id']}"
        found.append({"words": words, "href": href, "command": command})
    return found
