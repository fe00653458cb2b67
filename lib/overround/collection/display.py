"""How a running poller shows itself: a live line on a terminal, elsewhere a plain line now and then; and how it is told to stop."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

from overround.collection.poller import Polled

_PLAIN_EVERY_S = 60


@contextmanager
def shown() -> Iterator[Callable[[Polled], None]]:
    """What to call after each poll; writes to standard error."""
    if sys.stderr.isatty():
        yield from _live()
        return
    said_at = float("-inf")

    def say(polled: Polled) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _PLAIN_EVERY_S:
            said_at = time.monotonic()
            print(polled, file=sys.stderr, flush=True)

    yield say


def _live() -> Iterator[Callable[[Polled], None]]:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    newest = Polled()

    def line() -> Text:
        wait = max(0.0, newest.next_poll_s - time.time())
        return Text(
            f"next poll in {wait:.0f} s | {newest}" if newest.polls else "first poll", overflow="fold"
        )

    def say(polled: Polled) -> None:
        nonlocal newest
        newest = polled

    with Live(get_renderable=line, console=Console(stderr=True), refresh_per_second=1, transient=True):
        yield say


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """An event that SIGTERM or Ctrl-C sets, so that the batch at hand is finished; a second one ends the process as usual."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def set_stop(number: int, frame: FrameType | None) -> None:
        stop.set()
        for one, handler in before.items():
            signal.signal(one, handler)

    for number in before:
        signal.signal(number, set_stop)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
