"""Work on the store league by league, so that data larger than memory passes through it: here, in processes of this machine, or on Dask.

It decides what runs when, and where; what is computed is the caller's function, what is read is the store's.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from overround.errors import ParameterError, RunError
from overround.progress import followed
from overround.settings import load_settings
from overround.store import Store
from overround.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from distributed import Client

_log = logging.getLogger(__name__)

Work = Callable[[dict[str, pd.DataFrame]], pd.DataFrame]
HERE = "here"
_PARTITION = ("competition", "season")
# of a row of quotes, while signals and a ledger are made of it: 1.65 kB measured, see docs/scale.md
_ROW_BYTES = 1_700
# so often a partition is tried whose worker has died
_TRIES = 3
_PATIENCE_S = 30


def map_partitions(
    store: Store,
    work: Work,
    tables: Iterable[str] = ("quotes", "results"),
    where: Mapping[str, Any] | None = None,
    version: str | Mapping[str, int] | None = None,
    scheduler: "str | Client | None" = None,
    memory_mb: float | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """What a function makes of each competition's season, one below the other.

    All partitions are read in one version of the store, and their results are in order of competition and season: the answer is
    the same to the last bit wherever, and in whatever order, they were worked on.

    Parameters
    ----------
    store : Store
        On an object store where the workers are on other machines.
    work : callable
        Takes a dict, table name -> rows of one competition and season as `Store.read` gives them, and returns a DataFrame. Importable
        by name where it runs in other processes, and without a memory of its own.
    tables : iterable of str
        Those it needs, each partitioned by competition and season.
    where : mapping, optional
        As in `Store.read`; a condition on competition or season leaves out the others.
    version : str or mapping, optional
        What `Store.version` returned; by default as the store stands now.
    scheduler : str or distributed.Client, optional
        "here" for this process; the address of a Dask scheduler (`tcp://host:8786`) or a client of one; by default the setting
        OVERROUND_SCHEDULER, and where that is empty processes of this machine.
    memory_mb : float, optional
        Partitions are begun only as long as those in work take this together, at 1.7 kB for each row that the store's log
        counts; by default the setting OVERROUND_MEMORY_MB. The libraries of each process (about 250 MB) come on top.
    workers : int, optional
        Processes of this machine; by default the setting OVERROUND_PROCESSES, and where that is 0 one a core.

    Returns
    -------
    DataFrame
        Empty where no partition is left.

    Raises
    ------
    ParameterError
        For a table that is not partitioned so, work that cannot be sent, or a partition that alone takes more memory than allowed.
    RunError
        Naming the partition whose work failed, or killed its process three times.

    Examples
    --------
    >>> import overround as ov
    >>> from tempfile import mkdtemp
    >>> store = ov.Store(mkdtemp())
    >>> for name, table in zip(("events", "quotes", "results"), ov.example(), strict=True):
    ...     done = store.append(name, table)
    >>> def mean_price(frames):
    ...     return frames["quotes"].groupby(["season", "bookmaker"], as_index=False)["price"].mean()
    >>> len(ov.map_partitions(store, mean_price, tables=["quotes"], scheduler="here"))
    4
    """
    names = tuple(tables)
    memory_mb = load_settings().memory_mb if memory_mb is None else memory_mb
    version = version or store.version()
    parts = partition_sizes(store, names, where, version)
    _check(parts, memory_mb)
    tasks: list[tuple] = [
        (store, work, names, {**(where or {}), **dict(zip(_PARTITION, part, strict=True))}, version) for part in parts.index
    ]
    sizes = parts["mb"].tolist()
    scheduler = load_settings().scheduler if scheduler is None else scheduler
    if scheduler == HERE:
        done = [_named(task, partial(_one, *task)) for task in followed(tasks, "seasons of leagues")]
    else:
        try:
            pickle.dumps(work)
        except (pickle.PicklingError, AttributeError, TypeError):
            raise ParameterError(
                f"work {work!r} cannot be sent to another process: define it in a module, or use scheduler='here'."
            ) from None
        with _pool(scheduler, workers or load_settings().processes or os.cpu_count() or 1, len(tasks)) as pool:
            done = pool(tasks, sizes, memory_mb)
    full = [frame for frame in done if len(frame)]
    return pd.concat(full, ignore_index=True) if full else (done[0] if done else pd.DataFrame())


def partition_sizes(
    store: Store,
    tables: Iterable[str] = ("quotes", "results"),
    where: Mapping[str, Any] | None = None,
    version: str | Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Rows of each competition's season by the store's log, without opening a file.

    Returns
    -------
    DataFrame
        Index competition, season, in order; columns rows, and mb: what it is expected to take in memory while worked on.

    Examples
    --------
    >>> import overround as ov
    >>> from tempfile import mkdtemp
    >>> store = ov.Store(mkdtemp())
    >>> for name, table in zip(("events", "quotes", "results"), ov.example(), strict=True):
    ...     done = store.append(name, table)
    >>> ov.partition_sizes(store)["rows"].to_dict()
    {('example', '2015'): 6100}
    """
    found = [pd.DataFrame(columns=[*_PARTITION, "rows"])]
    for name in tables:
        if name not in TABLES or TABLES[name].partition != _PARTITION:
            fit = ", ".join(one.name for one in TABLES.values() if one.partition == _PARTITION)
            raise ParameterError(f"table {name!r} is not partitioned by competition and season; these are: {fit}.")
        log = store.files(name, version)
        found.append(pd.DataFrame({column: log[column].to_pylist() for column in (*_PARTITION, "rows")}))
    rows = pd.concat([one for one in found[1:] if len(one)] or found[:1], ignore_index=True)
    for column in _PARTITION:
        if column in (where or {}):
            wanted = (where or {})[column]
            rows = rows[rows[column].isin([wanted] if isinstance(wanted, str) else list(wanted))]
    sums = rows.groupby(list(_PARTITION), sort=True)[["rows"]].sum()
    return sums.assign(mb=sums["rows"] * (_ROW_BYTES / 1e6))


def _check(parts: pd.DataFrame, memory_mb: float) -> None:
    if memory_mb <= 0:
        raise ParameterError(f"memory_mb is {memory_mb:g}; it is a number of megabytes above 0.")
    if len(parts) and parts["mb"].max() > memory_mb:
        worst = parts["mb"].idxmax()
        rows, mb = parts.loc[worst, ["rows", "mb"]]
        raise ParameterError(f"{' '.join(worst)} has {rows:,.0f} rows, about {mb:,.4g} MB in work; memory_mb is {memory_mb:,.4g}.")


def _one(store: Store, work: Work, tables: tuple[str, ...], where: dict[str, Any], version: str) -> pd.DataFrame:
    frames = {name: store.read(name, where, version=version) for name in tables}
    answer = work(frames)
    if not isinstance(answer, pd.DataFrame):
        raise TypeError(f"the work returned {type(answer).__name__}, not a DataFrame")
    answer = _apart(answer)
    frames.clear()
    pa.default_memory_pool().release_unused()
    return answer


def _apart(answer: pd.DataFrame) -> pd.DataFrame:
    """The same rows in memory of their own: a slice of what was read keeps all of it for as long as the answers are gathered."""
    if not len(answer):
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in answer.dtypes.items()})
    # taking all rows in their order gives them back as they are; one more, and they are copied
    return answer.take(np.append(np.arange(len(answer)), 0)).iloc[:-1]


def _named(task: tuple, call: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """Call; an error of the work says at which partition."""
    try:
        return call()
    except Exception as error:
        part = " ".join(task[3][name] for name in _PARTITION)
        raise RunError(f"{part}: {type(error).__name__}: {error}") from error


Pool = Callable[[list[tuple], list[float], float], list[pd.DataFrame]]


@contextmanager
def _pool(scheduler: "str | Client", workers: int, tasks: int) -> "Iterator[Pool]":
    if scheduler == "":
        yield lambda todo, sizes, room: _in_processes(min(workers, tasks) or 1, todo, sizes, room)
        return
    try:
        from distributed import Client
    except ImportError:
        raise ParameterError("a Dask scheduler needs the extra `cluster`: pip install 'overround[cluster]'.") from None
    if not isinstance(scheduler, str):
        yield lambda todo, sizes, room: _on_dask(scheduler, todo, sizes, room)
        return
    try:
        client = Client(scheduler, timeout=10, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ParameterError(f"scheduler {scheduler!r} cannot be reached: {str(error).splitlines()[0]}") from None
    with client:
        yield lambda todo, sizes, room: _on_dask(client, todo, sizes, room)


def _in_processes(workers: int, tasks: list[tuple], sizes: list[float], room: float) -> list[pd.DataFrame]:
    """Each task in a process of this machine; where one dies, those that were in work are begun again."""
    from multiprocessing import get_context

    done: dict[int, pd.DataFrame] = {}
    failed: dict[int, RunError] = {}
    tries = [0] * len(tasks)
    while len(done) < len(tasks):
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            todo = [number for number in range(len(tasks)) if number not in done]
            running: dict[Future, int] = {}
            try:
                while running or (todo and not failed):
                    # after an error none is begun, but those in work are waited for: the first in order is told, not the quickest
                    _begin(pool, workers, tasks, sizes, room, [] if failed else todo, running)
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        if isinstance(future.exception(), BrokenProcessPool):
                            future.result()
                        number = running.pop(future)
                        try:
                            done[number] = _named(tasks[number], future.result)
                        except RunError as error:
                            failed[number] = error
            except BrokenProcessPool:
                for number in running.values():
                    tries[number] += 1
                    if tries[number] == _TRIES:
                        part = " ".join(tasks[number][3][name] for name in _PARTITION)
                        raise RunError(f"{part}: its process died {_TRIES} times; out of memory?") from None
                _log.warning("a process died; %d partitions are begun again", len(running))
        if failed:
            raise failed[min(failed)]
    return [done[number] for number in range(len(tasks))]


def _begin(
    pool: Executor, workers: int, tasks: list[tuple], sizes: list[float], room: float, todo: list[int], running: dict[Future, int]
) -> None:
    """Begin what there is room for: at most one task a worker, and in memory no more than all together may take."""
    for number in list(todo):
        if len(running) >= workers:
            return
        if sum(sizes[one] for one in running.values()) + sizes[number] <= room:
            todo.remove(number)
            running[pool.submit(_one, *tasks[number])] = number


def _on_dask(client: "Client", tasks: list[tuple], sizes: list[float], room: float) -> list[pd.DataFrame]:
    """Each task on a worker of the cluster; Dask itself begins again what a lost worker was at."""
    from distributed import as_completed

    done: dict[int, pd.DataFrame] = {}
    todo, completed = list(range(len(tasks))), as_completed(loop=client.loop)
    running: dict[Any, int] = {}
    try:
        client.wait_for_workers(1, timeout=_PATIENCE_S)
    except TimeoutError:
        raise ParameterError(f"the Dask scheduler had no worker within {_PATIENCE_S} s.") from None
    while todo or running:
        for number in list(todo):
            # more than there are workers would only wait, on the worker that it was given to
            if running and (sum(sizes[one] for one in running.values()) + sizes[number] > room or len(running) >= _threads(client)):
                break
            todo.remove(number)
            future = client.submit(_one, *tasks[number], pure=False, retries=0)
            running[future] = number
            completed.add(future)
        future = next(completed)
        number = running.pop(future)
        done[number] = _named(tasks[number], future.result)
        future.release()
    return [done[number] for number in range(len(tasks))]


def _threads(client: "Client") -> int:
    return max(sum(client.nthreads().values()), 1)
