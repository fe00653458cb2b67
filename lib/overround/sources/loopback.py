"""Servers of this package in processes of their own, so that their work is not measured as that of whoever asks them. Only loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from threading import Thread, Timer

from overround.errors import SourceError

_START_S = 20


class Handler(BaseHTTPRequestHandler):
    """Answers over connections that stay open, without a word of its own; what it answers to is its children's to say."""

    protocol_version = "HTTP/1.1"
    # head and body in one packet: two would wait for each other (Nagle's algorithm and delayed acknowledgement)
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing: standard error is whose process it is."""


@contextmanager
def started(module: str, words: Sequence[str], what: str) -> Iterator[str]:
    """Run a module that prints its address and then serves; it ends with the block, and also when this process dies.

    Parameters
    ----------
    module : str
        Calls `end_with_input` before it serves.
    words : sequence of str
        Its arguments.
    what : str
        How an error names it.

    Yields
    ------
    str
        The server's address.

    Raises
    ------
    SourceError
        The server did not start.
    """
    command = [sys.executable, "-m", module, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 our own module
        too_late = Timer(_START_S, process.kill)
        too_late.start()
        try:
            url = process.stdout.readline().strip()  # type: ignore[union-attr]
            too_late.cancel()
            if not url:
                raise SourceError(f"The server of {what} did not start within {_START_S} s: {' '.join(command[1:])}.")
            yield url
        finally:
            too_late.cancel()
            process.stdin.close()  # type: ignore[union-attr]
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def end_with_input() -> None:
    """From now on end this process, whatever it is doing, when its standard input closes."""
    Thread(target=_end, daemon=True).start()


def _end() -> None:
    with suppress(KeyboardInterrupt):
        sys.stdin.read()
    # at once, also while something is still being prepared or an answer is on its way
    os._exit(0)
