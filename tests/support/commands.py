"""The command `overround` as a user calls it, in a home of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def overround(*words: str, env: dict[str, str], code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "overround.cli.main", *words],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def home(folder: Path, **more: str) -> dict[str, str]:
    own = {
        "OVERROUND_STORE": str(folder / "store"),
        "OVERROUND_CACHE": str(folder / "cache"),
        "OVERROUND_REPORTS": str(folder / "reports"),
    }
    return {**os.environ, **own, **more}
