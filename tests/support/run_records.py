"""Records of runs."""

from typing import Any


def a_run(**changes: Any) -> dict:
    return {
        "run_id": "20260101-000000-abc.first",
        "notebook": "backtest",
        "label": "first",
        "title": "A question?",
        "status": "ok",
        "parameters": {"min_edge": 0.03, "leagues": [], "run_id": "x"},
        "changed": {"min_edge": 0.03},
        "started_at": "2026-01-01T00:00:00+00:00",
        "ended_at": "2026-01-01T00:01:10+00:00",
        "seconds": 70.2,
        "git_revision": "0123456789ab+",
        "versions": {"python": "3.11.9"},
        "verdict": "No edge.",
        "metrics": {},
        "source": "sample",
        "failure": None,
        **changes,
    }
