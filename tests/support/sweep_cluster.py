"""A Dask scheduler and workers in processes of their own, that a test kills; and the sweep that is to survive
it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

import overround as ov
from overround.sweeps import SweepSettings
from overround.sweeps.bets import block
from tests.support.books import noisy_quotes

ROOT = Path(__file__).parents[2]
SPACE = {"reference": ["b0", "consensus"], "min_edge": np.linspace(0, 0.05, 64 * 12), "staking": "kelly:0.25"}


def slow_block(*given):
    """The same numbers, so slowly that there is time to kill something."""
    time.sleep(0.4)
    return block(*given)


def run(keep: Path | None, **more) -> ov.sweeps.Sweep:
    prices, ended = noisy_quotes(60, 3, seed=30)
    return ov.sweep(prices, SPACE, ended, settings=SweepSettings(keep=keep, simulations=100, **more))


class Cluster:
    """A scheduler on a port that stays the same, and workers without nannies: what is killed stays dead."""

    def __init__(self, port: int):
        self.address = f"tcp://127.0.0.1:{port}"
        self._port = port
        self.workers: list[subprocess.Popen] = []
        self.start_scheduler()

    def start_scheduler(self) -> None:
        self.scheduler = _start(
            "scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
            "--dashboard-address",
            "127.0.0.1:0",
        )

    def start_workers(self, count: int) -> None:
        for _ in range(count):
            self.workers.append(
                _start(
                    "worker",
                    self.address,
                    "--nthreads",
                    "1",
                    "--no-nanny",
                    "--no-dashboard",
                    "--death-timeout",
                    "120",
                )
            )

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            kill(process)


def await_(there: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill(process: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    process.wait()


def _start(kind: str, *words: str) -> subprocess.Popen:
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), str(ROOT)]),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + kind, *words],
        env=env,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def stopped(keep: Path, **more) -> ov.sweeps.Sweep:
    prices, ended = noisy_quotes(40, 3, seed=14)
    return ov.sweep(
        prices,
        {"reference": "b0", "min_edge": np.linspace(0, 0.05, 64 * 12)},
        ended,
        settings=SweepSettings(keep=keep, simulations=100, **more),
    )
