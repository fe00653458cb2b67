"""Tasks of work side by side: in their order, never too many, none beside one that is alone, none lost."""

import threading
import time
from collections.abc import Callable

import pytest

from overround.runs.scheduler import Task, side_by_side


class Watched:
    """Tasks that note when they begin and end, and how many there are at a time."""

    def __init__(self, last_s: float = 0.02):
        self.last_s, self.lock = last_s, threading.Lock()
        self.now, self.most = set[str](), 0
        self.beside: dict[str, set[str]] = {}
        self.order: list[str] = []

    def begin(self, name: str) -> Callable[[], None]:
        def work() -> None:
            with self.lock:
                self.order.append(name)
                for other in self.now:
                    self.beside.setdefault(other, set()).add(name)
                self.beside.setdefault(name, set()).update(self.now)
                self.now.add(name)
                self.most = max(self.most, len(self.now))
            time.sleep(self.last_s)
            with self.lock:
                self.now.remove(name)
            if name == "bad":
                raise ValueError(name)

        return work


def do(tasks: list[Task], watched: Watched, jobs: int) -> dict[str, BaseException | None]:
    return {
        name: future.exception()
        for name, future in side_by_side(tasks, watched.begin, jobs=jobs, stop=lambda: None)
    }


def test_never_more_at_a_time_than_jobs_and_as_many_where_there_are() -> None:
    for jobs in (1, 3):
        watched = Watched()
        do([Task(str(number)) for number in range(9)], watched, jobs)
        assert watched.most == jobs
        assert sorted(watched.order) == [str(number) for number in range(9)]


def test_one_at_a_time_goes_in_the_given_order() -> None:
    watched = Watched(0)
    do([Task("b"), Task("a"), Task("c", ("b",)), Task("d")], watched, 1)
    assert watched.order == ["b", "a", "c", "d"]


def test_a_piece_waits_for_what_it_needs_and_for_nothing_else() -> None:
    watched = Watched(0.05)
    do([Task("a"), Task("after a", ("a",)), Task("b"), Task("c", ("a", "b"))], watched, 4)
    assert "after a" not in watched.beside["a"]
    assert watched.beside["c"].isdisjoint({"a", "b"})
    assert "b" in watched.beside["a"]


def test_beside_what_is_alone_nothing_runs() -> None:
    for tasks in (
        [Task("a"), Task("measure", alone=True), Task("b")],
        [Task("measure", alone=True), Task("a"), Task("b")],
    ):
        watched = Watched()
        do(tasks, watched, 4)
        assert watched.beside["measure"] == set()
        assert sorted(watched.order) == ["a", "b", "measure"]


def test_one_that_fails_takes_no_other_with_it() -> None:
    watched = Watched()
    ended = do([Task("bad"), Task("a"), Task("after", ("bad",))], watched, 2)
    assert isinstance(ended["bad"], ValueError)
    assert (ended["a"], ended["after"]) == (None, None)


def test_what_has_nothing_to_do_counts_as_ended() -> None:
    begun = []

    def begin(name: str) -> Callable[[], None] | None:
        begun.append(name)
        return None if name == "kept" else lambda: None

    ended = [
        name
        for name, _ in side_by_side(
            [Task("kept"), Task("after", ("kept",))], begin, jobs=2, stop=lambda: None
        )
    ]

    assert begun == ["kept", "after"]
    assert ended == ["after"]


def test_an_interrupt_stops_what_runs_and_waits_for_it() -> None:
    asked, ended = threading.Event(), threading.Event()

    def begin(name: str) -> Callable[[], None]:
        def waits() -> None:
            asked.wait(30)
            time.sleep(0.05)
            ended.set()

        return (lambda: None) if name == "first" else waits

    def run() -> None:
        for _ in side_by_side(
            [Task("first"), Task("second"), Task("never", ("second",))], begin, jobs=2, stop=asked.set
        ):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    stopped = asked.is_set()
    asked.set()

    assert stopped
    assert ended.is_set()
