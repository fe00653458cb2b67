"""Cost of running notebooks beyond their work: the pipeline against the same code as one script, in turns.

`python -m benchmarks.pipeline [ROUNDS] [performance]` (3 rounds by default, some minutes) on the simulated
market, all steps but the last, or all. Both ways find store, HTTP cache and compiled functions warm. The
script runs the code of the same notebooks with the same parameters in one process, one after the other, and
draws every figure and table that they show; what it does not do is start kernels, speak to them, and write
pages.
"""

import ast
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BARS = (1.5, 3.0)  # of the ratio; of a run with nothing changed, seconds


def main() -> None:
    """Measure and print."""
    rounds = next((int(word) for word in sys.argv[1:] if word.isdecimal()), 3)
    last = "performance" if "performance" in sys.argv else "compare"
    with tempfile.TemporaryDirectory() as folder:
        places = {
            f"OVERROUND_{name.upper()}": str(Path(folder) / name) for name in ("store", "cache", "reports")
        }
        env = {**os.environ, **places, "MPLBACKEND": "agg"}
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT / "lib"), str(ROOT), env.get("PYTHONPATH", "")])
        first = _seconds(["overround.cli.main", "run"], env)
        print(f"\nthe line on an empty store: {first[0]:.1f} s wall, {first[1]:.1f} s CPU", flush=True)
        again = [_seconds(["overround.cli.main", "run"], env) for _ in range(rounds)]
        print(
            f"with nothing changed:       {_median(again, 0):.2f} s wall, "
            f"{_median(again, 1):.2f} s CPU; bar {BARS[1]} s",
            flush=True,
        )
        found: dict[str, list[tuple[float, float]]] = {"script": [], "line": []}
        for _ in range(rounds):
            for way in found:
                found[way].append(_seconds(["benchmarks.pipeline", way, last], env))
    print(f"collect to {last}, warm, {rounds} rounds in turns")
    for way in found:
        print(f"  {way:<8}{_median(found[way], 0):8.2f} s wall {_median(found[way], 1):8.2f} s CPU")
    ratios = [mine[0] / floor[0] for mine, floor in zip(found["line"], found["script"], strict=True)]
    print(
        f"  ratio of wall time {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f}); bar {BARS[0]}"
    )


def steps_to(last: str) -> list:
    """The main line on the simulated market up to a step."""
    from overround.runs.pipeline import steps_of
    from overround.settings import load_settings

    steps = steps_of("", "sample", [], [], {}, settings=load_settings())
    return steps[: [step.label for step in steps].index(last) + 1]


def line(last: str) -> None:
    """The notebooks as `overround run --force` runs them."""
    from overround.runs.runner import run_pipeline
    from overround.settings import load_settings

    outcomes = run_pipeline(steps_to(last), settings=load_settings(), force=True)
    assert all(outcome.ok for outcome in outcomes), [outcome.failure for outcome in outcomes]


def script(last: str) -> None:
    """The notebooks' code, one after the other in this process."""
    from overround.provenance import new_pipeline
    from overround.runs.parameters import notebook_path
    from overround.settings import load_settings

    pipeline, home = new_pipeline(), load_settings().home
    for step in steps_to(last):
        notebook = json.loads(notebook_path(step.notebook, home).read_text(encoding="utf-8"))
        runs = [f"{pipeline}.{label}" for label in step.after]
        given = {
            **step.parameters,
            **(step.from_runs(runs) if step.from_runs else {}),
            "run_id": f"{pipeline}.{step.label}",
        }
        values: dict[str, Any] = {}
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                _run("".join(cell["source"]), values)
                values |= given if "parameters" in cell["metadata"].get("tags", []) else {}


def _run(source: str, values: dict[str, Any]) -> None:
    """As a cell: what its last line is worth is drawn."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), values)  # noqa: S102  the notebooks of this checkout
    if isinstance(last, ast.Expr):
        shown = eval(compile(ast.Expression(last.value), "cell", "eval"), values)  # noqa: S307  as above
        if hasattr(shown, "_repr_html_"):
            shown._repr_html_()


def _seconds(words: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU time of a process and its children."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", *words], env=env, cwd=ROOT, capture_output=True, text=True, check=False
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _median(found: list[tuple[float, float]], at: int) -> float:
    return statistics.median(one[at] for one in found)


if __name__ == "__main__":
    ways = [way for way in (line, script) if way.__name__ in sys.argv[1:2]]
    ways[0](sys.argv[2]) if ways else main()
