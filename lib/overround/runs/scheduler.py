"""Tasks side by side: each begins when those it waits for have ended, and only so many run at a time."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]


@dataclass(frozen=True)
class Task:
    """A task by name; it waits for those named by `after`, and beside one that is `alone` nothing runs."""

    name: str
    after: tuple[str, ...] = ()
    alone: bool = False


def side_by_side(
    tasks: Sequence[Task], begin: Callable[[str], Work | None], *, jobs: int, stop: Callable[[], None]
) -> Iterator[tuple[str, Future]]:
    """Do tasks in threads, in their order where several could begin; yield each name and future as it ends.

    Parameters
    ----------
    tasks : sequence of Task
        What waits for another comes after it.
    begin : callable
        Called in this thread with the name of a task that can begin; returns the function to call in another
        thread, or None where there is nothing to do.
    jobs : int
        Tasks at a time.
    stop : callable
        Called where this is left early, e.g. by an interrupt: it has to end the running work, which is then
        waited for.
    """
    waiting, ended = list(tasks), set[str]()
    running: dict[Future, Task] = {}
    with ThreadPoolExecutor(max(jobs, 1)) as pool:
        try:
            while waiting or running:
                while (task := _next(waiting, ended, running, jobs)) is not None:
                    waiting.remove(task)
                    work = begin(task.name)
                    if work is None:
                        ended.add(task.name)
                    else:
                        running[pool.submit(work)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future).name
                    ended.add(name)
                    yield name, future
        except BaseException:
            stop()
            raise


def _next(waiting: Sequence[Task], ended: set[str], running: dict[Future, Task], jobs: int) -> Task | None:
    """The first task that can begin now."""
    if len(running) >= jobs or any(task.alone for task in running.values()):
        return None
    return next(
        (task for task in waiting if ended.issuperset(task.after) and not (task.alone and running)), None
    )
