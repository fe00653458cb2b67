"""How a sweep is done: sample, closing lines, bankroll, correction, and where the work is done."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from overround.errors import ParameterError
from overround.parallel.tasks import HERE, Answer, Show, Task, run_tasks
from overround.settings import load_settings

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep is done.

    Parameters
    ----------
    sample, how : int, str
        As in `variants`.
    judge, judge_method : str, optional
        Reference and method of the closing lines that all variants are measured against; by default those of
        the first variant.
    bankroll : float
        Of each variant, at the start.
    simulations, block_days, seed
        As in `correct_for_search`; the seed is also that of the sample.
    keep : Path, optional
        Folder of partial results. They are found again by parameters, data and library: an interrupted sweep
        goes on where it was, a finished one is read.
    scheduler : str or distributed.Client, optional
        "here", the address of a Dask scheduler (`tcp://host:8786`) or a client of one; by default the setting
        OVERROUND_SCHEDULER, or here if that is empty.
    workers : int, optional
        Threads on this machine, by default one per core.
    memory_mb : float, optional
        For a store: as in `map_partitions`.
    patience_s : float
        How long to wait for a cluster that is gone.
    progress : callable, optional
        Called with the `Progress` after each answer.

    Raises
    ------
    ParameterError
        For a bankroll that is not above 0.

    Examples
    --------
    >>> import overround as ov
    >>> ov.sweeps.SweepSettings(sample=200, bankroll=500).seed
    7
    """

    sample: int | None = None
    how: str = "latin"
    judge: str | None = None
    judge_method: str | None = None
    bankroll: float = 1_000.0
    simulations: int = 2_000
    block_days: float = 1
    seed: int = 7
    keep: Path | None = None
    scheduler: "str | Client | None" = None
    workers: int | None = None
    memory_mb: float | None = None
    patience_s: float = 300.0
    progress: Show | None = None

    def __post_init__(self) -> None:
        """Check the bankroll; `variants` and `correct_for_search` check what they take."""
        if not self.bankroll > 0:
            raise ParameterError(f"bankroll is {self.bankroll}; it must be above 0.")

    def closing(self, variants: pd.DataFrame) -> tuple[str, str]:
        """Reference and method of the closing lines."""
        first = variants.iloc[0]
        return self.judge or str(first["reference"]), self.judge_method or str(first["method"])

    def work(self, tasks: Sequence[Task], folder: str, what: str, memory_mb: float = np.inf) -> list[Answer]:
        """Answers of all tasks, wherever these settings have them worked on, kept in a folder of `keep`."""
        return run_tasks(
            tasks,
            None if self.keep is None else self.keep / folder,
            scheduler=(load_settings().scheduler or HERE) if self.scheduler is None else self.scheduler,
            workers=self.workers,
            memory_mb=memory_mb,
            what=what,
            show=self.progress,
            patience_s=self.patience_s,
        )
