"""Real HTTP servers on loopback, and what a test needs of this machine."""

import os
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

import pytest

DATA = Path(__file__).parents[3] / "shared" / "data"


def require(what: Path | bool, reason: str, *, of_machine: bool = False) -> None:
    """Skip where something a user may not have is missing; where OVERROUND_REQUIRE_DATA=1 (CI) that is a
    failure.

    Not `of_machine`, of what nobody can install: a right to mount disks, the history of a checkout.
    """
    if what.exists() if isinstance(what, Path) else what:
        return
    if os.environ.get("OVERROUND_REQUIRE_DATA") == "1" and not of_machine:
        pytest.fail(f"OVERROUND_REQUIRE_DATA=1, but {reason}")
    pytest.skip(reason)


def require_module(name: str) -> None:
    """As `require`, for a package of the extras."""
    require(find_spec(name) is not None, f"{name} is not installed")


class _Handler(SimpleHTTPRequestHandler):
    """Serves a folder the way football-data.co.uk does: a missing file is an HTML page with status 300."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else every answer waits 40 ms for an acknowledgement

    def log_message(self, *_: object) -> None:
        pass

    def send_error(self, code: int, *_: object) -> None:
        page = b"<!DOCTYPE HTML><html><head><title>300 Multiple Choices</title></head><body><h1>Multiple Choices</h1></body></html>"
        self.send_response(300 if code == 404 else code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_GET(self) -> None:
        self.server.hits.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()


class Served:
    """A running server: its address and the paths that it was asked for."""

    def __init__(self, handler: Callable):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.hits = []  # type: ignore[attr-defined]
        self.hits: list[str] = self._server.hits  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
