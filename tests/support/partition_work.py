"""Work for partitions, which processes import by name."""

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd


def sums(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a match, with sums whose last bits depend on the order of their terms."""
    prices = frames["quotes"].groupby(["competition", "season", "event_id"], sort=False)["price"]
    found = prices.agg(lambda p: (np.log(p) * np.sin(np.arange(len(p)))).sum()).rename("sum").reset_index()
    return found.merge(frames["results"][["event_id", "home_score"]], on="event_id")


def sums_after_a_death(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The first process that gets L2 is killed."""
    mark = Path(os.environ["DEATH"])
    if frames["quotes"]["competition"].iloc[0] == "L2" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return sums(frames)


def sums_unless_l2(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    if frames["quotes"]["competition"].iloc[0] == "L2":
        raise ValueError("no sharp prices")
    return sums(frames)


def peak_mb() -> float:
    """Of this process; what `getrusage` says is at least what the parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def widest(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return frames["quotes"].sort_values("price").tail(1)
