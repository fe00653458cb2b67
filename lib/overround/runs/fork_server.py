"""A process that has imported the modules of notebooks and forks kernels, so that they start quickly.

`python -m overround.runs.fork_server FD` waits for orders on an inherited socket. Each order is one JSON
message with the kernel's connection file, environment, folder and the file for its output. This is done on
Linux only: elsewhere, or where the process is gone, kernels start as Jupyter starts them.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

# none of them starts a thread on import: a fork has only the thread that forks
_IMPORTED = (
    "ipykernel.ipkernel",
    "ipykernel.kernelapp",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "matplotlib_inline.backend_inline",
    "numba",
    "numpy.random",
    "pandas",
    "pyarrow.compute",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "scipy.special",
    "deltalake",
    "duckdb",
    "overround.figures",
    "overround.runs.run",
)
_LONGEST = 1 << 20  # bytes of an order: an environment may be long


def is_possible() -> bool:
    """Whether kernels can be forked on this machine."""
    return sys.platform == "linux" and hasattr(socket, "SOCK_SEQPACKET")


class ForkServer:
    """The waiting process, for the one that runs notebooks; its answers are read by one thread at a time."""

    def __init__(self, env: dict[str, str]):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(  # noqa: S603  this very interpreter
            [sys.executable, "-m", "overround.runs.fork_server", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=env,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._socket, self._lock = ours, Lock()

    def fork(self, connection_file: str, env: dict[str, str], cwd: str, said: str) -> "Forked":
        """Start a kernel; OSError where the process is gone."""
        return Forked(self, int(self._ask({"fork": connection_file, "env": env, "cwd": cwd, "said": said})))

    def ended(self, pid: int) -> int | None:
        """Exit status of a kernel, negative for a signal; None while it runs."""
        try:
            status = self._ask({"ended": pid})
        except OSError:  # its parent is gone, so the kernel soon will be
            return None if Path(f"/proc/{pid}").exists() else -signal.SIGKILL
        return None if status is None else int(status)

    def close(self) -> None:
        """End the process; kernels that are left end with it."""
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _ask(self, order: dict[str, Any]) -> Any:
        with self._lock:
            self._socket.send(json.dumps(order).encode())
            answer = self._socket.recv(_LONGEST)
        if not answer:
            raise ConnectionError("the process that forks kernels is gone")
        return json.loads(answer)


class Forked:
    """A forked kernel, with the methods of a `subprocess.Popen` that Jupyter uses."""

    stdin = stdout = stderr = None

    def __init__(self, server: ForkServer, pid: int):
        self.pid, self._server = pid, server
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Exit status, None while it runs."""
        if self.returncode is None:
            self.returncode = self._server.ended(self.pid)
        return self.returncode

    def wait(self) -> int | None:
        """Exit status of a kernel that has ended: Jupyter polls before it waits."""
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork a kernel for each order, until the other side hangs up; in a fork, returns its order."""
    while True:
        try:
            message = channel.recv(_LONGEST)
        except ConnectionResetError:
            return None
        if not message:
            return None
        order = json.loads(message)
        answer = os.fork() if "fork" in order else _status(order["ended"])
        if "fork" in order and not answer:
            return order
        channel.send(json.dumps(answer).encode())


def _status(pid: int) -> int | None:
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return -signal.SIGKILL
    return os.waitstatus_to_exitcode(status) if done else None


def main() -> None:
    """Import, then serve; in a fork, be a kernel."""
    from overround.reports.notebooks import NOTEBOOKS

    for name in (*_IMPORTED, *(name for notebook in NOTEBOOKS.values() for name in notebook.imports)):
        import_module(name)
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        order = serve(channel)
    if order is None:
        return
    os.setsid()
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    said = os.open(order["said"], os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.close(said)
    import numpy as np
    from ipykernel.kernelapp import IPKernelApp

    # else all forks would draw the same from NumPy's global generator; Python's own is seeded on fork
    np.random.seed()  # noqa: NPY002
    # ipykernel takes its parent's number on import, which was before the fork
    kernel = IPKernelApp.instance(parent_handle=os.getppid())
    kernel.initialize(["-f", order["fork"]])
    kernel.start()
    # end as an interpreter does (join threads, run exit functions), but without taking down every module and
    # object, for which Jupyter would wait seconds; CPython has no public function for either
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
