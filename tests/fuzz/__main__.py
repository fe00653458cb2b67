"""`python -m tests.fuzz [--executions N] [--seed S] [--chunk N] [TARGET ...]`: the long form; prints a count
after each chunk.

Inputs that failed are written to `.fuzz/`; make each one small, and a test in `tests/scenarios/test_fuzz.py`. Exit
status 1 if there are any.
"""

import argparse
import sys
import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path

from tests.fuzz.loop import TARGETS, fuzz


def main() -> int:
    """Run chunk after chunk, each with a seed of its own."""
    given = argparse.ArgumentParser(prog="python -m tests.fuzz")
    given.add_argument(
        "targets", nargs="*", default=list(TARGETS), metavar=f"TARGET (of {', '.join(TARGETS)})"
    )
    given.add_argument("--executions", type=int, default=1_000_000)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--chunk", type=int, default=20_000)
    asked = given.parse_args()
    failed = 0
    for target in asked.targets:
        seeds, done, ended, began = TARGETS[target][0](), 0, Counter(), time.perf_counter()  # type: ignore[var-annotated]
        kinds: Counter[str] = Counter()
        while done < asked.executions:
            found = fuzz(
                target, min(asked.chunk, asked.executions - done), asked.seed * 1_000_003 + done, seeds
            )
            done += found.executions
            ended += found.ended
            for content, wrong in found.failures:
                kinds[wrong[:60]] += 1
                if kinds[wrong[:60]] <= 5:  # the first of each kind are enough to mend it
                    _keep(target, content, wrong)
            took, cpu = time.perf_counter() - began, time.process_time()
            print(
                f"{target}: {done:,} executions, {done / took:.0f}/s ({cpu:.0f} s CPU), {dict(ended)}, failures {dict(kinds)}",
                flush=True,
            )
        failed += sum(kinds.values())
    return 1 if failed else 0


def _keep(target: str, content: bytes, wrong: str) -> None:
    folder = Path(".fuzz") / target
    folder.mkdir(parents=True, exist_ok=True)
    name = blake2b(content, digest_size=6).hexdigest()
    (folder / name).write_bytes(content)
    (folder / f"{name}.txt").write_text(wrong + "\n")


if __name__ == "__main__":
    sys.exit(main())
