"""A real S3 server in a process of its own, and a way to it that breaks when told to.

moto looks whether an object is there and puts it in two steps, between which another of its threads may put
one: S3 does both in one. So requests are answered one at a time here; each is received whole before its turn.
"""

import io
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

KEY, SECRET = "AKIACANARYCANARY1234", "canary/secret+canary/secret"  # invented
_REQUEST = re.compile(rb"^(GET|PUT|POST|DELETE|HEAD) (\S+) HTTP/1\.1\r\n", re.MULTILINE)


def main(port: int) -> None:
    """Serve until killed."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, run_simple

    class Quiet(WSGIRequestHandler):
        def log_request(self, *_: object) -> None:
            pass

    app, turn = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(environ: dict[str, Any], start: Callable) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:  # the connection was lost in the middle of the request
            start("400 Bad Request", [])
            return []
        environ["wsgi.input"] = io.BytesIO(body)
        with turn:
            return list(app(environ, start))

    run_simple("127.0.0.1", port, one_at_a_time, threaded=True, request_handler=Quiet)


@contextmanager
def served() -> Iterator[int]:
    """A server on a free port."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.object_store", str(port)]
    server = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5).close()
                break
            assert server.poll() is None and time.monotonic() < deadline, "the object store did not start"
            time.sleep(0.1)
        yield port
    finally:
        server.kill()
        server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(port: int) -> dict[str, str]:
    """What a user sets to reach it."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "OVERROUND_STORE_TIMEOUT": os.environ.get("OVERROUND_STORE_TIMEOUT", "20"),
    }


class Way:
    """A way to the server that is told what trouble to make: `_Proxy` in a process of its own.

    Its own, because delta-rs keeps the interpreter locked in some of its requests.
    """

    def __init__(self, to: int):
        command = [sys.executable, "-m", "tests.support.object_store", "way", str(to)]
        self._proxy = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._ask("port"))

    def trouble(self, what: str, seed: int = 3) -> None:
        self._ask(f"trouble {seed} {what}")

    def counted(self) -> Counter:
        """Requests by kind, and troubles, since the last call."""
        return Counter(json.loads(self._ask("count")))

    def close(self) -> None:
        self._proxy.kill()
        self._proxy.communicate()

    def _ask(self, words: str) -> str:
        assert self._proxy.stdin and self._proxy.stdout
        self._proxy.stdin.write(words + "\n")
        self._proxy.stdin.flush()
        return self._proxy.stdout.readline()


class _Proxy:
    """Counts requests, and cuts, refuses, holds still or loses answers as `trouble` says."""

    def __init__(self, to: int):
        self.to, self.trouble, self.random = to, "", random.Random(3)  # noqa: S311
        self.counts: Counter = Counter()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        threading.Thread(target=self._accept, daemon=True).start()

    def listen(self, words: str) -> str:
        command, _, rest = words.strip().partition(" ")
        if command == "port":
            return str(self.listener.getsockname()[1])
        if command == "count":
            counts, self.counts = self.counts, Counter()
            return json.dumps(counts)
        seed, _, self.trouble = rest.partition(" ")
        self.random = random.Random(seed)  # noqa: S311
        return "done"

    def _accept(self) -> None:
        while True:
            client, _ = self.listener.accept()
            if self.trouble == "refuse":
                self.counts["refuse"] += 1
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self.to))
            # "cut" closes the connection after so many bytes, in whichever direction they go
            state = {"deaf": False, "left": self.random.randrange(4_000)}
            for source, target, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pump, args=(source, target, up, state), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, up: bool, state: dict[str, Any]) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if up:
                    found = _REQUEST.findall(data)
                    self.counts.update(kind.decode() for kind, _ in found)
                    state["deaf"] |= self.trouble == "lose the answer to a commit" and any(
                        kind == b"PUT" and b"/_delta_log/0" in path and path.endswith(b".json")
                        for kind, path in found
                    )
                while self.trouble == "hold still":
                    self.counts["hold still"] += 1
                    time.sleep(0.05)
                if self.trouble == "cut":
                    state["left"] -= len(data)
                    if state["left"] < 0:
                        target.sendall(data[: max(len(data) + state["left"], 0)])
                        self.counts["cut"] += 1
                        break
                if not up and state["deaf"]:
                    self.counts["deaf"] += 1
                    break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


if __name__ == "__main__":
    if sys.argv[1] == "way":
        proxy = _Proxy(int(sys.argv[2]))
        for line in sys.stdin:
            print(proxy.listen(line), flush=True)
    else:
        main(int(sys.argv[1]))
