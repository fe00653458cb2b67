"""Servers on loopback: in a process of their own, so that their work is not measured as that of whoever asks them, or beside the caller."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread, Timer

from overround.errors import SourceError

_START_S = 20


class Handler(BaseHTTPRequestHandler):
    """Answers over connections that stay open, without a word of its own; what it answers to is its children's to say."""

    protocol_version = "HTTP/1.1"
    # head and body in one packet: two would wait for each other (Nagle's algorithm and delayed
    # acknowledgement)
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing: standard error is whose process it is."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 64  # of the usual 5 connections, the others that come at once wait a second each

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def answering(handler: Callable) -> Iterator[str]:
    """A server in this process for as long as the block lasts; gives its address."""
    with _Server(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server.url
        finally:
            server.shutdown()


def serve(handler: Callable, port: int = 0) -> None:
    """Print the address of a server and answer until interrupted; port 0 is any that is free."""
    with _Server(("127.0.0.1", port), handler) as server, suppress(KeyboardInterrupt):
        print(server.url, flush=True)
        server.serve_forever()


@contextmanager
def started(module: str, words: Sequence[str], what: str) -> Iterator[str]:
    """Run a module that prints its address and then serves; it ends with the block, and also when this process dies.

    Parameters
    ----------
    module : str
        Calls `end_with_input` and then `serve`.
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
                raise SourceError(
                    f"The server of {what} did not start within {_START_S} s: {' '.join(command[1:])}."
                )
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
