"""Tasks done wherever there is room, each answer kept as a file once it is there: interrupted work goes on.

In threads of this process (for work that is compiled or NumPy's and lets others run), in processes of this
machine, which may die, or on a Dask cluster, whose workers and scheduler may.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from overround.errors import ParameterError, RunError
from overround.formatting import duration
from overround.measure.procfs import cores
from overround.progress import watched

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

HERE = "here"
Answer: TypeAlias = pd.DataFrame | dict[str, np.ndarray]
_TRIES = 3  # of a task whose process has died
_POLL_S, _ASK_S = 0.02, 0.5  # between looks at what is done on a cluster, and at who is there
_PATIENCE_S = 300.0  # how long a cluster may be gone


@dataclass(frozen=True, eq=False)
class Task:
    """One call, `call(*shared, *own)`; what several tasks share is sent to each worker of a cluster once."""

    name: str  # of its file, where its answer is kept
    call: Callable[..., Answer]
    own: tuple = ()
    shared: Any = None
    size: float = 1.0  # in proportion to its time
    mb: float = 0.0


@dataclass(frozen=True)
class Progress:
    """How far the work is; the time left is estimated from the sizes of the tasks."""

    done: int
    of: int
    kept: int  # found finished, from an earlier time
    seconds_left: float  # NaN before anything is done
    what: str = "pieces"
    where: str = ""  # a cluster's dashboard

    def __str__(self) -> str:
        """In words, with the time left."""
        left = (
            ""
            if np.isnan(self.seconds_left) or self.done == self.of
            else f", {duration(self.seconds_left)} left"
        )
        kept = f" ({self.kept} kept from before)" if self.kept else ""
        return f"{self.done} of {self.of} {self.what}{kept}{left}"


Show = Callable[[Progress], None]


@dataclass
class _Count:
    """Progress so far, shown after each answer."""

    tasks: Sequence[Task]
    show: Show | None
    what: str
    kept: int
    where: str = ""
    began: float = field(default_factory=lambda: time.monotonic())
    done: list[Task] = field(default_factory=list)

    def add(self, task: Task | None) -> None:
        if task is not None:
            self.done.append(task)
        if self.show is not None:
            done, total = (sum(task.size for task in tasks) for tasks in (self.done, self.tasks))
            left = (time.monotonic() - self.began) * (total - done) / done if done else np.nan
            of = self.kept + len(self.tasks)
            self.show(Progress(self.kept + len(self.done), of, self.kept, left, self.what, self.where))


def run_tasks(
    tasks: Sequence[Task],
    keep: Path | None = None,
    *,
    scheduler: "str | Client" = HERE,
    processes: bool = False,
    workers: int | None = None,
    memory_mb: float = np.inf,
    what: str = "pieces",
    show: Show | None = None,
    patience_s: float = _PATIENCE_S,
) -> list[Answer]:
    """Answers of all tasks, in their order.

    Parameters
    ----------
    tasks : sequence of Task
        With names that differ, where answers are kept.
    keep : Path, optional
        Folder in which each answer is put as soon as it is there, whole or not at all; tasks whose answer is
        in it are not run again.
    scheduler : str or distributed.Client
        "here", the address of a Dask scheduler or a client of one.
    processes : bool
        Whether "here" means processes of this machine instead of threads of this process; a task whose
        process dies is begun again.
    workers : int, optional
        Threads or processes here, by default one a core.
    memory_mb : float
        Tasks are begun only as long as those in work take this together.
    what : str
        What the tasks are, for the progress.
    show : callable, optional
        Called with the progress, at first and after each answer; by default a bar where a notebook is open.
    patience_s : float
        How long a scheduler, or the last worker, may be gone before the work is given up.

    Raises
    ------
    ParameterError
        For a scheduler that cannot be reached at the beginning.
    RunError
        Where the cluster stayed away, or a task killed its worker again and again. Exceptions of the tasks
        themselves are passed on: of several the one of the first task in order.
    """
    answers = {task: kept for task in tasks if (kept := _read(keep, task.name)) is not None}
    todo = [task for task in tasks if task not in answers]
    count = _Count(todo, show or _bar(), what, kept=len(answers))
    if scheduler == HERE or not todo:
        count.add(None)
        found = _run_here(todo, min(workers or cores(), len(todo)), memory_mb, processes)
    else:
        found = _run_on_dask(
            todo, scheduler, memory_mb, patience_s, count, "" if keep is None else "; what was done is kept"
        )
    for task, answer in found:
        answers[task] = answer
        _write(keep, task.name, answer)
        count.add(task)
    return [answers[task] for task in tasks]


def client_of(address: str) -> "Client":
    """A client of the Dask scheduler at an address.

    Raises
    ------
    ParameterError
        Where it cannot be reached, or the extra is not installed.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ParameterError(
            "a Dask scheduler needs the extra `cluster`: pip install 'overround[cluster]'."
        ) from None
    try:
        return Client(address, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"scheduler {address!r} cannot be reached: {str(error).splitlines()[0]}"
        ) from None


def _bar() -> Show | None:
    """A progress bar in an open notebook, else None."""
    show = watched()
    return (
        None
        if show is None
        else lambda progress: show(progress.done / progress.of if progress.of else 1.0, str(progress))
    )


def _run_here(
    tasks: list[Task], most: int, memory_mb: float, processes: bool
) -> Iterator[tuple[Task, Answer]]:
    """In this thread where one is enough, else in a pool; where a process dies, its tasks are begun again."""
    if most <= 1 and not processes:
        for task in tasks:
            yield task, _call(task)
        return
    left, tries = list(tasks), Counter[Task]()
    while left:
        running: dict[Future, Task] = {}
        try:
            for task, answer in _run_in_pool(left, running, most, memory_mb, processes):
                left.remove(task)
                yield task, answer
        except BrokenProcessPool:
            tries.update(running.values())
            if worst := next((task for task in running.values() if tries[task] == _TRIES), None):
                raise RunError(f"{worst.name}: its process died {_TRIES} times; out of memory?") from None
            _log.warning("a process died; %d pieces of work are begun again", len(running))


def _run_in_pool(
    tasks: list[Task], running: dict[Future, Task], most: int, memory_mb: float, processes: bool
) -> Iterator[tuple[Task, Answer]]:
    """Answers as they come; `running` holds the tasks in work."""
    from multiprocessing import get_context

    waiting, failed = list(tasks), dict[Task, BaseException]()
    pool: Executor = (
        ProcessPoolExecutor(most, mp_context=get_context("spawn")) if processes else ThreadPoolExecutor(most)
    )
    try:
        while running or waiting:
            _begin(waiting, running, most, memory_mb, lambda task: pool.submit(_call, task))
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise error
                task = running.pop(future)
                if error is None:
                    yield task, future.result()
                else:
                    # none is begun any more, but those in work are waited for: the error of the first in
                    # order is raised, not the quickest
                    failed[task] = error
                    waiting.clear()
    finally:
        pool.shutdown(cancel_futures=True)
    if failed:
        raise failed[min(failed, key=tasks.index)]


def _call(task: Task) -> Answer:
    return task.call(*(() if task.shared is None else (task.shared,)), *task.own)


def _begin(
    waiting: list[Task], running: dict[Any, Task], most: int, memory_mb: float, submit: Callable[[Task], Any]
) -> None:
    """Begin the tasks that there is room for, one in any case."""
    while waiting and len(running) < most:
        if running and sum(task.mb for task in running.values()) + waiting[0].mb > memory_mb:
            return
        task = waiting.pop(0)
        running[submit(task)] = task


def _run_on_dask(
    tasks: list[Task],
    scheduler: "str | Client",
    memory_mb: float,
    patience_s: float,
    count: _Count,
    kept: str,
) -> Iterator[tuple[Task, Answer]]:
    """On a cluster: Dask replaces a dead worker; tasks that a dead scheduler had go to its successor."""
    waiting, first, gone_since = list(tasks), True, None
    while waiting:
        try:
            client = client_of(scheduler) if isinstance(scheduler, str) else scheduler
        except ParameterError:
            if first:
                raise
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > patience_s:
                raise RunError(
                    f"scheduler {scheduler!r} has been gone for {patience_s:.0f} s{kept}."
                ) from None
            time.sleep(1)
            continue
        try:
            count.where = client.dashboard_link
            if first:
                count.add(None)
            first = False
            for task, answer in _until_lost(client, waiting, memory_mb, patience_s, kept):
                gone_since = None
                waiting.remove(task)
                yield task, answer
        except _Lost:
            gone_since = gone_since or time.monotonic()
            if client is scheduler or time.monotonic() - gone_since > patience_s:
                raise RunError(
                    f"the Dask cluster {client.scheduler_info().get('address', '')} is gone{kept}."
                ) from None
            _log.warning("the cluster was lost; %d pieces of work are sent again", len(waiting))
            time.sleep(0.5)
        finally:
            if client is not scheduler:
                with suppress(Exception):  # of a connection that is broken anyway
                    client.close(timeout=2)


class _Lost(Exception):
    """The scheduler is gone, or an answer that only a dead worker had."""


def _until_lost(
    client: "Client", tasks: list[Task], memory_mb: float, patience_s: float, kept: str
) -> Iterator[tuple[Task, Answer]]:
    from distributed import KilledWorker

    waiting, running, sent = list(tasks), dict[Any, Task](), dict[int, Any]()
    peopled, asked, threads = time.monotonic(), -np.inf, 0
    while waiting or running:
        if time.monotonic() - asked > _ASK_S:
            threads, asked = _threads(client), time.monotonic()
        if threads:
            peopled = time.monotonic()
            # twice as many as can run at once, so that no worker waits for us
            _begin(waiting, running, 2 * threads, memory_mb, lambda task: _submit(client, task, sent))
        elif time.monotonic() - peopled > patience_s:
            raise RunError(f"the Dask cluster had no worker for {patience_s:.0f} s{kept}.")
        finished = [future for future in running if future.status != "pending"]
        for future in finished:
            task = running.pop(future)
            if future.status == "finished":
                yield task, _fetched(future)
            elif future.status == "error":
                error = future.exception()
                if isinstance(error, KilledWorker):
                    raise RunError(f"{task.name}: its worker died again and again; out of memory?") from None
                raise error
            else:
                raise _Lost
        if not finished:
            time.sleep(_POLL_S)


def _threads(client: "Client") -> int:
    try:
        if client.status == "running":
            return sum(client.nthreads().values())
    except (OSError, TimeoutError) as error:
        raise _Lost from error
    raise _Lost


def _submit(client: "Client", task: Task, sent: dict[int, Any]) -> Any:
    shared: tuple = ()
    try:
        if task.shared is not None:
            if id(task.shared) not in sent:
                sent[id(task.shared)] = client.scatter(task.shared, broadcast=True, hash=False)
            shared = (sent[id(task.shared)],)
        return client.submit(task.call, *shared, *task.own, pure=False)
    except (OSError, TimeoutError) as error:
        raise _Lost from error


def _fetched(future: Any) -> Answer:
    from concurrent.futures import CancelledError

    try:
        answer = future.result(timeout=60)
    except (OSError, TimeoutError, CancelledError) as error:
        raise _Lost from error
    future.release()
    return answer


def _write(folder: Path | None, name: str, answer: Answer) -> None:
    """Write an answer to a file, whole or not at all."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.{'parquet' if isinstance(answer, pd.DataFrame) else 'npz'}"
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    with unfinished.open("wb") as out:
        if isinstance(answer, pd.DataFrame):
            answer.to_parquet(out)
        else:
            np.savez(out, **answer)
    unfinished.replace(file)


def _read(folder: Path | None, name: str) -> Answer | None:
    """An answer that was kept; None where there is none, or a crash of the machine left it unreadable."""
    if folder is None:
        return None
    try:
        if (file := folder / f"{name}.parquet").exists():
            return pd.read_parquet(file)
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        _log.warning("%s in %s cannot be read (%s); it is worked on again", name, folder, error)
        return None
