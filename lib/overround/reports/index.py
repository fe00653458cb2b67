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
        `latest_at`, when it started; `notebooks`, each a dict of `name`, `rows`, newest first, and number of
        `labels`; `comparable`, whether any run left bets.
    """
    runs = sorted(runs, key=lambda run: (run["started_at"], run["run_id"]))
    kept = _kept(pipelines)
    runs = [{**run, "kept_at": kept.get(run["run_id"], [])} for run in runs]
    pages = [run for run in runs if run["notebook"] == COMPARISON and run["status"] == OK]
    return {
        "failures": unresolved(runs),
        **_latest(runs, pipelines),
        "notebooks": [
            _group(name, [run for run in runs if run["notebook"] == name], pages, baseline)
            for name in _in_order(runs, pipelines)
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


def _kept(pipelines: Sequence[Record]) -> dict[str, list[str]]:
    """Run id -> start times of the pipelines that reused it, oldest first."""
    found: dict[str, list[str]] = {}
    for pipeline in pipelines:
        for step in pipeline["steps"]:
            if step["status"] == "kept":
                found.setdefault(step["run_id"], []).append(pipeline["started_at"])
    return found


def _latest(runs: Sequence[Record], pipelines: Sequence[Record]) -> dict[str, Any]:
    """The runs of the newest pipeline, and when it started."""
    newest = max((one["pipeline"] for one in (*runs, *pipelines)), default="")
    noted = next((one for one in pipelines if one["pipeline"] == newest), None)
    if noted is None:
        mine = [{**run, "kept": False} for run in runs if run["pipeline"] == newest]
        return {"latest": mine, "latest_at": mine[0]["started_at"] if mine else ""}
    by_id = {run["run_id"]: run for run in runs}
    steps = [step for step in noted["steps"] if step["run_id"] in by_id]
    return {
        "latest": [{**by_id[step["run_id"]], "kept": step["status"] == "kept"} for step in steps],
        "latest_at": noted["started_at"],
    }


def _in_order(runs: Sequence[Record], pipelines: Sequence[Record]) -> list[str]:
    """Notebooks in the order of the newest pipeline that has them, reused or run."""
    order: dict[str, list[str]] = {}
    for run in runs:
        order.setdefault(run["pipeline"], []).append(run["notebook"])
    there = {run["notebook"] for run in runs}
    order |= {
        one["pipeline"]: [step["notebook"] for step in one["steps"] if step["notebook"] in there]
        for one in pipelines
    }
    return list(dict.fromkeys(name for pipeline in sorted(order, reverse=True) for name in order[pipeline]))


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
    return {"name": name, "rows": rows[::-1], "labels": len({run["label"] for run in runs})}


def _elsewhere(before: Record, run: Record) -> list[str]:
    """Reasons besides parameters why two runs may differ."""
    reasons = {"source": "source", "store_version": "data", "git_revision": "program"}
    return [f"other {word}" for field, word in reasons.items() if before.get(field) != run.get(field)]


def _comparisons(
    run: Record, others: dict[str, Record | None], pages: Sequence[Record]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for words, other in others.items():
        if other is None or not has_bets(other) or other["run_id"] == run["run_id"]:
            continue
        pair = {other["run_id"], run["run_id"]}
        if any(pair == one["pair"] for one in found):  # the run before is the baseline
            continue
        with_both = [page for page in reversed(pages) if pair <= set(page["parameters"].get("runs") or [])]
        page = min(with_both, key=lambda page: len(page["parameters"]["runs"]), default=None)
        command = f"overround compare {other['run_id']} {run['run_id']}"
        href = f"{page['href']}.html" if page else ""
        found.append({"words": words, "href": href, "command": command, "pair": pair})
    return found
