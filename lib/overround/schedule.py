"""Work side by side: each piece once what it waits for has ended, never more pieces at a time than asked for."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]


@dataclass(frozen=True)
class Piece:
    """A piece of work by name; `after` names those whose end it waits for, beside one that is `alone` nothing runs."""

    name: str
    after: tuple[str, ...] = ()
    alone: bool = False


def side_by_side(
    pieces: Sequence[Piece], begin: Callable[[str], Work | None], *, jobs: int, stop: Callable[[], None]
) -> Iterator[tuple[str, Future]]:
    """Do pieces of work in threads, earlier ones first where several could begin; yield each name with its future as it ends.

    Parameters
    ----------
    pieces : sequence of Piece
        What waits for another comes after it.
    begin : callable
        Called in this thread, with the name of a piece that can begin: what is to be called in another one, or None where there is
        nothing to do.
    jobs : int
        So many at a time.
    stop : callable
        Called where this is left early, by an interrupt for example: it has to make the running work end, which is then waited for.
    """
    waiting, ended = list(pieces), set[str]()
    running: dict[Future, Piece] = {}
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        try:
            while waiting or running:
                while (piece := _next(waiting, ended, running, jobs)) is not None:
                    waiting.remove(piece)
                    work = begin(piece.name)
                    if work is None:
                        ended.add(piece.name)
                    else:
                        running[pool.submit(work)] = piece
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future).name
                    ended.add(name)
                    yield name, future
        except BaseException:
            stop()
            raise


def _next(waiting: Sequence[Piece], ended: set[str], running: dict[Future, Piece], jobs: int) -> Piece | None:
    """The first piece that can begin now."""
    if len(running) >= jobs or any(piece.alone for piece in running.values()):
        return None
    return next((piece for piece in waiting if ended.issuperset(piece.after) and not (piece.alone and running)), None)
