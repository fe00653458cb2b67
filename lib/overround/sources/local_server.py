"""Servers on loopback, in the caller's process or in one of their own.

In a process of its own a server's work does not count as that of the client that is being measured.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread, Timer

from overround.errors import SourceError

_START_S = 20


class Handler(BaseHTTPRequestHandler):
    """Base of our handlers: keeps connections open and logs nothing."""

    protocol_version = "HTTP/1.1"
    # head and body in one packet: two would wait for each other (Nagle's algorithm and delayed
    # acknowledgement)
    wbufsize = -1
    disable_nagle_algorithm = True

    def answer(self, body: bytes, status: int = 200, headers: Mapping[str, object] | None = None) -> None:
        """Send an answer, as JSON unless the headers say otherwise."""
        usual = {
            "Date": self.date_time_string(),
            "Content-Type": "application/json",
            "Content-Length": len(body),
        }
        self.send_response_only(status)
        for name, value in {**usual, **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing: standard error belongs to the process that runs the server."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 64  # with the usual 5, further connections at the same time wait a second each

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def answering(handler: Callable) -> Iterator[str]:
    """Run a server in this process while the block lasts; yields its address."""
    with _Server(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server.url
        finally:
            server.shutdown()


def serve(handler: Callable, port: int = 0) -> None:
    """Print the address of a server and answer until interrupted; port 0 picks a free one."""
    with _Server(("127.0.0.1", port), handler) as server, suppress(KeyboardInterrupt):
        print(server.url, flush=True)
        server.serve_forever()


@contextmanager
def started(module: str, words: Sequence[str], what: str) -> Iterator[str]:
    """Run a module that prints its address and then serves; it ends with the block or with this process.

    Parameters
    ----------
    module : str
        A module that calls `end_with_input` and then `serve`.
    words : sequence of str
        Its arguments.
    what : str
        The server's name in error messages.

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
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:  # noqa: S603  ours
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
    """End this process, whatever it is doing, as soon as its standard input closes."""
    Thread(target=_end, daemon=True).start()


def _end() -> None:
    with suppress(KeyboardInterrupt):
        sys.stdin.read()
    # at once, even while an answer is being prepared or sent
    os._exit(0)
