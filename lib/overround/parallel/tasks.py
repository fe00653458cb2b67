"""Pieces of work done wherever there is room, each answer kept as a file as soon as it is there: what was interrupted goes on.

Here in threads (where the work is compiled or NumPy's, and lets others run), in processes of this machine,
which may die, or on a Dask cluster, whose workers and scheduler may.
"""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from overround.errors import ParameterError, RunError
from overround.formatting import said
from overround.measure.procfs import cores
from overround.progress import watched

if TYPE_CHECKING:
    from distributed import Client

_log = logging.getLogger(__name__)

HERE = "here"
Answer: TypeAlias = pd.DataFrame | dict[str, np.ndarray]
_TRIES = 3  # of a piece whose process has died
_LOOK_S, _ASK_S = 0.02, 0.5  # at what is done, and who is there
_PATIENCE_S = 300.0  # so long a cluster that is gone is waited for


@dataclass(frozen=True, eq=False)
class Piece:
    """One piece of work: `call(*shared, *own)`. What is shared by several pieces goes to each worker of a cluster once."""

    name: str  # of its file, where it is kept
    call: Callable[..., Answer]
    own: tuple = ()
    shared: Any = None
    size: float = 1.0  # in proportion to its time
    mb: float = 0.0


@dataclass(frozen=True)
class Progress:
    """How far the work is: by size, not by number."""

    done: int
    of: int
    kept: int  # found finished, from an earlier time
    seconds_left: float  # NaN before anything is done
    what: str = "pieces"
    where: str = ""  # a cluster's dashboard

    def __str__(self) -> str:
        """In words, with the time left."""
        left = (
            "" if np.isnan(self.seconds_left) or self.done == self.of else f", {said(self.seconds_left)} left"
        )
        kept = f" ({self.kept} kept from before)" if self.kept else ""
        return f"{self.done} of {self.of} {self.what}{kept}{left}"


Show = Callable[[Progress], None]


@dataclass
class _Count:
    """Progress so far, told after each answer."""

    pieces: Sequence[Piece]
    show: Show | None
    what: str
    kept: int
    where: str = ""
    began: float = field(default_factory=lambda: time.monotonic())
    done: list[Piece] = field(default_factory=list)

    def add(self, piece: Piece | None) -> None:
        if piece is not None:
            self.done.append(piece)
        if self.show is not None:
            done, all_of_it = (sum(one.size for one in some) for some in (self.done, self.pieces))
            left = (time.monotonic() - self.began) * (all_of_it - done) / done if done else np.nan
            of = self.kept + len(self.pieces)
            self.show(Progress(self.kept + len(self.done), of, self.kept, left, self.what, self.where))


def work(
    pieces: Sequence[Piece],
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
    """Answers of all pieces, in their order.

    Parameters
    ----------
    pieces : sequence of Piece
        With names of their own where they are kept.
    keep : Path, optional
        Folder in which each answer is put as soon as it is there, whole or not at all; those that are there
        are not worked on again.
    scheduler : str or distributed.Client
        "here", the address of a Dask scheduler or a client of one.
    processes : bool
        Whether here means in processes of this machine, and not in threads of this one; a piece whose process
        dies is begun again.
    workers : int, optional
        Threads or processes here, by default one a core.
    memory_mb : float
        Pieces are begun only as long as those in work take this together.
    what : str
        What the pieces are, for the progress.
    show : callable, optional
        Told the progress, at first and after each answer; by default a bar where a notebook is open.
    patience_s : float
        How long a scheduler, or the last worker, that is gone may stay away before the work is given up.

    Raises
    ------
    ParameterError
        For a scheduler that cannot be reached at the beginning.
    RunError
        Where the cluster stayed away, or a piece killed its worker again and again. What the work itself
        raises is passed on.
    """
    answers = {piece: kept for piece in pieces if (kept := _read(keep, piece.name)) is not None}
    todo = [piece for piece in pieces if piece not in answers]
    count = _Count(todo, show or _bar(), what, kept=len(answers))
    if scheduler == HERE or not todo:
        count.add(None)
        most = min(workers or cores(), len(todo))
        found = _in_processes(todo, most, memory_mb) if processes else _in_threads(todo, most, memory_mb)
    else:
        found = _on_dask(
            todo, scheduler, memory_mb, patience_s, count, "" if keep is None else "; what was done is kept"
        )
    for piece, answer in found:
        answers[piece] = answer
        _write(keep, piece.name, answer)
        count.add(piece)
    return [answers[piece] for piece in pieces]


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
    """A bar where somebody watches."""
    show = watched()
    return (
        None
        if show is None
        else lambda progress: show(progress.done / progress.of if progress.of else 1.0, str(progress))
    )


def _in_threads(pieces: list[Piece], most: int, memory_mb: float) -> Iterator[tuple[Piece, Answer]]:
    if most <= 1:
        for piece in pieces:
            yield piece, _call(piece)
        return
    waiting, running = list(pieces), dict[Future, Piece]()
    with ThreadPoolExecutor(most) as pool:
        try:
            while waiting or running:
                _begin(waiting, running, most, memory_mb, lambda piece: pool.submit(_call, piece))
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _in_processes(pieces: list[Piece], most: int, memory_mb: float) -> Iterator[tuple[Piece, Answer]]:
    """Where a process dies, the pieces that were in work are begun again."""
    from multiprocessing import get_context

    left, tries, failed = list(pieces), Counter[Piece](), dict[Piece, BaseException]()
    while left and not failed:
        waiting, running = list(left), dict[Future, Piece]()
        with ProcessPoolExecutor(most, mp_context=get_context("spawn")) as pool:
            try:
                while running or (waiting and not failed):
                    # after an error none is begun, but those in work are waited for: the first in order is
                    # told, not the quickest
                    _begin(
                        [] if failed else waiting,
                        running,
                        most,
                        memory_mb,
                        lambda piece: pool.submit(_call, piece),
                    )
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        error = future.exception()
                        if isinstance(error, BrokenProcessPool):
                            raise error
                        piece = running.pop(future)
                        left.remove(piece)
                        if error is None:
                            yield piece, future.result()
                        else:
                            failed[piece] = error
            except BrokenProcessPool:
                tries.update(running.values())
                if worst := next((piece for piece in running.values() if tries[piece] == _TRIES), None):
                    raise RunError(f"{worst.name}: its process died {_TRIES} times; out of memory?") from None
                _log.warning("a process died; %d pieces of work are begun again", len(running))
    if failed:
        raise failed[min(failed, key=pieces.index)]


def _call(piece: Piece) -> Answer:
    return piece.call(*(() if piece.shared is None else (piece.shared,)), *piece.own)


def _begin(
    waiting: list[Piece],
    running: dict[Any, Piece],
    most: int,
    memory_mb: float,
    submit: Callable[[Piece], Any],
) -> None:
    """Begin what there is room for; one piece always."""
    while waiting and len(running) < most:
        if running and sum(piece.mb for piece in running.values()) + waiting[0].mb > memory_mb:
            return
        piece = waiting.pop(0)
        running[submit(piece)] = piece


def _on_dask(
    pieces: list[Piece],
    scheduler: "str | Client",
    memory_mb: float,
    patience_s: float,
    count: _Count,
    kept: str,
) -> Iterator[tuple[Piece, Answer]]:
    """On a cluster: a worker's death is Dask's to mend; when the scheduler dies all that is not here yet is sent to its successor."""
    waiting, first, gone_since = list(pieces), True, None
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
            for piece, answer in _until_lost(client, waiting, memory_mb, patience_s, kept):
                gone_since = None
                waiting.remove(piece)
                yield piece, answer
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
    """The scheduler, or what only a dead worker had."""


def _until_lost(
    client: "Client", pieces: list[Piece], memory_mb: float, patience_s: float, kept: str
) -> Iterator[tuple[Piece, Answer]]:
    from distributed import KilledWorker

    waiting, running, sent = list(pieces), dict[Any, Piece](), dict[int, Any]()
    peopled, asked, threads = time.monotonic(), -np.inf, 0
    while waiting or running:
        if time.monotonic() - asked > _ASK_S:
            threads, asked = _threads(client), time.monotonic()
        if threads:
            peopled = time.monotonic()
            # twice as many as can run, so that no worker waits for us
            _begin(waiting, running, 2 * threads, memory_mb, lambda piece: _submit(client, piece, sent))
        elif time.monotonic() - peopled > patience_s:
            raise RunError(f"the Dask cluster had no worker for {patience_s:.0f} s{kept}.")
        finished = [future for future in running if future.status != "pending"]
        for future in finished:
            piece = running.pop(future)
            if future.status == "finished":
                yield piece, _fetched(future)
            elif future.status == "error":
                error = future.exception()
                if isinstance(error, KilledWorker):
                    raise RunError(f"{piece.name}: its worker died again and again; out of memory?") from None
                raise error
            else:
                raise _Lost
        if not finished:
            time.sleep(_LOOK_S)


def _threads(client: "Client") -> int:
    try:
        if client.status == "running":
            return sum(client.nthreads().values())
    except (OSError, TimeoutError) as error:
        raise _Lost from error
    raise _Lost


def _submit(client: "Client", piece: Piece, sent: dict[int, Any]) -> Any:
    shared: tuple = ()
    try:
        if piece.shared is not None:
            if id(piece.shared) not in sent:
                sent[id(piece.shared)] = client.scatter(piece.shared, broadcast=True, hash=False)
            shared = (sent[id(piece.shared)],)
        return client.submit(piece.call, *shared, *piece.own, pure=False)
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
    """Put an answer into a file, whole or not at all."""
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
    """An answer that was kept; None where there is none, or one that a crash of the machine has left unreadable."""
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
