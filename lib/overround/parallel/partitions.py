"""Apply a function to the store one season of a league at a time, so that data may be larger than memory.

In this process, in processes of this machine, or on Dask: `overround.parallel.tasks` decides what runs when.
"""

import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from overround.errors import ParameterError, RunError
from overround.memory import trim
from overround.parallel.tasks import HERE, Task, run_tasks
from overround.schema import TABLES
from overround.settings import load_settings
from overround.store.store import Store

if TYPE_CHECKING:
    from distributed import Client

Frames = dict[str, pd.DataFrame]
Work = Callable[[Frames], pd.DataFrame]
_PARTITION = ("competition", "season")
# of a row of quotes while signals and a ledger are computed from it: 1.65 kB measured, see docs/scale.md
_ROW_BYTES = 1_700
_PATIENCE_S = 60.0


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
    """Apply a function to each season of each competition and concatenate its results.

    All partitions are read in one version of the store, and their results are in order of competition and
    season: the answer is the same to the last bit wherever and in whatever order they were computed.

    Parameters
    ----------
    store : Store
        On an object store where the workers are on other machines.
    work : callable
        Takes a dict, table name -> rows of one competition and season as `Store.read` gives them, and returns
        a DataFrame. Importable by name where it runs in other processes, and without state.
    tables : iterable of str
        Tables that it needs, each partitioned by competition and season.
    where : mapping, optional
        As in `Store.read`, applied to each table that has the column; a condition on competition or season
        chooses the partitions.
    version : str or mapping, optional
        What `Store.version` returned; by default the newest.
    scheduler : str or distributed.Client, optional
        "here" for this process; the address of a Dask scheduler (`tcp://host:8786`) or a client of one; by
        default the setting OVERROUND_SCHEDULER, and where that is empty processes of this machine.
    memory_mb : float, optional
        Limit on the memory of the partitions in work, at 1.7 kB for each row that the store's log counts; by
        default the setting OVERROUND_MEMORY_MB. The libraries of each process (about 250 MB) are not counted.
    workers : int, optional
        Processes of this machine; by default the setting OVERROUND_PROCESSES, and where that is 0 one a core.

    Returns
    -------
    DataFrame
        Empty where no partition meets the condition.

    Raises
    ------
    ParameterError
        For a table with other partitions, a condition on a column that no table has, work that cannot be
        sent to another process, a scheduler that cannot be reached, or a partition that exceeds the memory.
    RunError
        Naming the partition whose work failed, or killed its process several times; or when the cluster stays
        away.

    Examples
    --------
    >>> import overround as ov
    >>> from tempfile import mkdtemp
    >>> store = ov.Store(mkdtemp())
    >>> done = store.append("quotes", ov.example().quotes)
    >>> def mean_price(frames):
    ...     return frames["quotes"].groupby(["season", "bookmaker"], as_index=False)["price"].mean()
    >>> len(ov.parallel.map_partitions(store, mean_price, tables=["quotes"], scheduler="here"))
    4
    """
    settings, names = load_settings(), tuple(tables)
    memory_mb = settings.memory_mb if memory_mb is None else memory_mb
    scheduler = settings.scheduler if scheduler is None else scheduler
    version = version or store.version()
    parts = partition_sizes(store, names, where, version)
    _check(parts, memory_mb)
    if scheduler != HERE:
        try:
            pickle.dumps(work)
        except (pickle.PicklingError, AttributeError, TypeError):
            raise ParameterError(
                f"work {work!r} cannot be sent to another process: "
                "define it in a module, or use scheduler='here'."
            ) from None
    todo = []
    for part, rows, mb in parts.itertuples(name=None):
        own = (store, work, names, {**(where or {}), **dict(zip(_PARTITION, part, strict=True))}, version)
        todo.append(Task(" ".join(part), _of_partition, own, size=float(rows), mb=mb))
    many = 1 if scheduler == HERE else workers or settings.processes
    done = run_tasks(
        todo,
        scheduler=scheduler or HERE,
        processes=scheduler == "",
        workers=many,
        memory_mb=memory_mb,
        what="seasons of leagues",
        patience_s=_PATIENCE_S,
    )
    full = [frame for frame in done if isinstance(frame, pd.DataFrame) and len(frame)]
    if not full:
        return done[0] if done else pd.DataFrame()
    # categoricals of other words come out of `concat` as text
    words = [name for name, kind in full[0].dtypes.items() if isinstance(kind, pd.CategoricalDtype)]
    return pd.concat(full, ignore_index=True).astype(dict.fromkeys(words, "category"))


def partition_sizes(
    store: Store,
    tables: Iterable[str] = ("quotes", "results"),
    where: Mapping[str, Any] | None = None,
    version: str | Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Rows of each season of each competition by the store's log, without opening a file.

    Returns
    -------
    DataFrame
        Index competition, season, sorted; columns rows, and mb: the memory that work on it is expected to
        take.

    Raises
    ------
    ParameterError
        For a table with other partitions, or a condition on a column that no table has.

    Examples
    --------
    >>> import overround as ov
    >>> from tempfile import mkdtemp
    >>> store = ov.Store(mkdtemp())
    >>> done = store.append("quotes", ov.example().quotes)
    >>> ov.parallel.partition_sizes(store, ["quotes"])["rows"].to_dict()
    {('example', '2015'): 6000}
    """
    where, names = where or {}, tuple(tables)
    logs = [pd.DataFrame(columns=[*_PARTITION, "rows"])]
    for name in names:
        if name not in TABLES or TABLES[name].partition != _PARTITION:
            allowed = ", ".join(table.name for table in TABLES.values() if table.partition == _PARTITION)
            raise ParameterError(
                f"table {name!r} is not partitioned by competition and season; these are: {allowed}."
            )
        log = store.files(name, version)
        logs.append(pd.DataFrame({column: log[column].to_pylist() for column in (*_PARTITION, "rows")}))
    for column in where:
        if not any(column in TABLES[name].columns for name in names):
            raise ParameterError(f"no table of {', '.join(names)} has the column {column!r}.")
    rows = pd.concat([log for log in logs[1:] if len(log)] or logs[:1], ignore_index=True)
    for column in where.keys() & set(_PARTITION):
        wanted = where[column]
        rows = rows[rows[column].isin([wanted] if isinstance(wanted, str) else list(wanted))]
    sums = rows.groupby(list(_PARTITION), sort=True)[["rows"]].sum()
    return sums.assign(mb=sums["rows"] * (_ROW_BYTES / 1e6))


def _check(parts: pd.DataFrame, memory_mb: float) -> None:
    if memory_mb <= 0:
        raise ParameterError(f"memory_mb is {memory_mb:g}; it is a number of megabytes above 0.")
    if len(parts) and parts["mb"].max() > memory_mb:
        worst = parts["mb"].idxmax()
        rows, mb = parts.loc[worst, ["rows", "mb"]]
        raise ParameterError(
            f"{' '.join(worst)} has {rows:,.0f} rows, about {mb:,.4g} MB in work; "
            f"memory_mb is {memory_mb:,.4g}."
        )


def partition_frames(
    store: Store, tables: Iterable[str], where: Mapping[str, Any], version: str | Mapping[str, int]
) -> Frames:
    """Rows of these tables; each condition applies to the tables that have its column."""
    frames = {}
    for name in tables:
        of_table = {column: value for column, value in where.items() if column in TABLES[name].columns}
        frames[name] = store.read(name, of_table, version=version)
    return frames


def _of_partition(
    store: Store, work: Work, tables: tuple[str, ...], where: dict[str, Any], version: str | Mapping[str, int]
) -> pd.DataFrame:
    """Result of the work on one partition; an error names the partition."""
    try:
        frames = partition_frames(store, tables, where, version)
        answer = work(frames)
        if not isinstance(answer, pd.DataFrame):
            raise TypeError(f"the work returned {type(answer).__name__}, not a DataFrame")
    except Exception as error:
        raise RunError(
            f"{' '.join(where[name] for name in _PARTITION)}: {type(error).__name__}: {error}"
        ) from error
    answer = _copied(answer)
    frames.clear()
    trim()
    return answer


def _copied(answer: pd.DataFrame) -> pd.DataFrame:
    """The same rows in memory of their own: a slice of the rows read would keep all of them alive."""
    if not len(answer):
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in answer.dtypes.items()})
    # `take` of all rows in their order returns a view; with one more row it copies
    return answer.take(np.append(np.arange(len(answer)), 0)).iloc[:-1]
