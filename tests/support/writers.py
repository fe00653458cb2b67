"""Writers to a store in processes of their own: several at once, and one that is killed again and again."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# each writes the same batches in an order of its own, and says how many rows it inserted
_OVERLAPPING = """
    import random, sys
    from overround import Store
    from tests.support.stores import many
    store, order = Store(sys.argv[1]), list(range(int(sys.argv[3])))
    random.Random(int(sys.argv[2])).shuffle(order)
    print(sum(store.append("quotes", many(30, bookmaker=f"b{i}")).inserted for i in order))
"""

# the writer is forked from a process that has imported everything, so that the kills hit appends and not
# imports
_KILLED = """
    import json, os, random, signal, sys, time
    from overround import Store
    from tests.support.stores import many
    kills, least, soonest, latest = map(float, sys.argv[2:])
    batches, acknowledged, rng = 0, [], random.Random(5)
    for kill in range(int(kills)):
        read, write = os.pipe()
        writer = os.fork()
        if not writer:
            store = Store(sys.argv[1])
            for i in range(batches, batches + 1000):
                store.append("quotes", many(20, bookmaker=f"b{i}"))
                os.write(write, f"{i}\\n".encode())
        os.close(write)
        began, said = time.monotonic(), ""
        while said.count("\\n") < (least if kill else 3):
            said += os.read(read, 100).decode()
        if not kill:  # how quick is this machine today
            pace = min((time.monotonic() - began) / 3, 0.3)  # not one busy moment for all kills
        acknowledged += map(int, said.split())
        time.sleep(rng.uniform(soonest, latest) * pace)
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        with os.fdopen(read) as pipe:
            acknowledged += map(int, pipe.read().split())
        # the next writer begins with the batch that this one may or may not have stored: it does not know either
        batches = max(acknowledged, default=-1) + 1
    print(json.dumps(acknowledged))
"""


def python(script: str, *arguments: object, **more: Any) -> subprocess.Popen:
    """A script in a process of its own."""
    words = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT, **more)


def overlapping(root: Path | str, batches: int) -> list[subprocess.Popen]:
    """Four writers of the same so many batches."""
    return [python(_OVERLAPPING, root, number, batches) for number in range(4)]


def killed(
    root: Path | str, kills: int, *, least: int = 0, appends: tuple[float, float], timeout_s: float
) -> list[int]:
    """Numbers of the batches that were acknowledged to a writer which was killed so many times.

    Each time once `least` are acknowledged and, at random, as long after it as so many appends take.
    """
    said, _ = python(_KILLED, root, kills, least, *appends).communicate(timeout=timeout_s)
    return json.loads(said)
