"""Execute one notebook by papermill in a kernel of this very environment.

Nothing is written here, and nothing judged. Kept is what papermill would lose: the notebook as far as it was
executed, and the last words of the kernel's process.
"""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

from pydantic import SecretStr

from overround.settings import Settings

if TYPE_CHECKING:
    from overround.runs.fork_server import ForkServer

# a Unix socket's path has at most 107 bytes, and the kernel adds names of its own
_LONGEST_SOCKET_FOLDER = 90


# variable of a kernel: the answer of `git_revision`, at a fraction of the time
REVISION = "OVERROUND_REVISION"


class Stop:
    """Ends notebooks that run in other threads, which an interrupt does not reach."""

    def __init__(self) -> None:
        self.asked = False
        self._kernels: list[Any] = []

    def ask(self) -> None:
        """Kill their kernels; no other one starts."""
        self.asked = True
        for kernel in list(self._kernels):
            kernel.kill()

    def watch(self, kernel: Any) -> None:
        """Add a kernel's process."""
        self._kernels.append(kernel)
        if self.asked:
            kernel.kill()


def execute(
    source: Path,
    given: Mapping[str, Any],
    settings: Settings,
    timeout_s: int,
    fork_server: "ForkServer | None" = None,
    stop: Stop | None = None,
    revision: str = "",
) -> tuple[Any, BaseException | None, str]:
    """Execute a notebook.

    Parameters
    ----------
    source : Path
        The notebook.
    given : mapping
        Its parameters, checked.
    settings : Settings
        What the kernel gets as its environment; it works in `settings.home`.
    timeout_s : int
        The longest that one cell may take.
    fork_server : ForkServer, optional
        Where the kernel is forked from; else it is a process of its own.
    stop : Stop, optional
        Ends this from another thread, as an interrupt does.
    revision : str
        Of the checkout, for the notebook to record.

    Returns
    -------
    notebook : NotebookNode
        As far as it was executed.
    error : BaseException or None
        The error that stopped it, other than a cell's own; an interrupt, too.
    words : str
        Output of the kernel's process outside of cells.
    """
    import nbformat
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import execute_notebook

    class Engine(NBClientEngine):
        """papermill loses the notebook on a timeout or a dead kernel; `kept` holds on to it."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, *, kept: list, **kwargs: Any) -> Any:
            kept.append(nb_man.nb)
            return super().execute_managed_notebook(nb_man, kernel_name, **kwargs)

    papermill_engines.register("overround", Engine)
    logger = logging.getLogger("papermill")
    if not logger.handlers:  # the outcome says as much as this log, which users may still configure
        logger.addHandler(logging.NullHandler())
    kept: list[Any] = []
    stop = stop or Stop()
    error: BaseException | None = None
    with TemporaryDirectory(prefix="overround-") as scratch, (Path(scratch) / "said").open("w+b") as said:
        try:
            execute_notebook(
                # papermill formats a path: braces in it are doubled
                str(source).replace("{", "{{").replace("}", "}}"),
                None,
                parameters=dict(given),
                engine_name="overround",
                kept=kept,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                request_save_on_cell_execute=False,
                autosave_cell_every=0,
                execution_timeout=timeout_s,
                iopub_timeout=60,  # the default of 4 s fails on a busy machine
                coalesce_streams=True,
                kernel_manager_class=_kernel_manager(
                    scratch,
                    {**_environment(settings, scratch), REVISION: revision},
                    settings,
                    said,
                    fork_server,
                    stop,
                ),
            )
        except PapermillExecutionError:
            pass  # the notebook says more
        # an interrupt, too, has to leave the notebook behind; the caller raises it again
        except BaseException as stopped:
            error = KeyboardInterrupt() if stop.asked else stopped
        said.seek(0)
        words = said.read().decode(errors="replace").strip()
    return (kept[0] if kept else nbformat.read(source, as_version=4)), error, words


@contextmanager
def open_fork_server(settings: Settings) -> Iterator["ForkServer | None"]:
    """Yield a process that forks kernels while the context lasts; None where that is not possible."""
    from overround.runs.fork_server import ForkServer, is_possible

    if not is_possible():
        yield None
        return
    with TemporaryDirectory(prefix="overround-") as scratch:
        server = ForkServer(_environment(settings, scratch))
        try:
            yield server
        finally:
            server.close()


def _kernel_manager(
    scratch: str,
    env: dict[str, str],
    settings: Settings,
    said: IO[bytes],
    server: "ForkServer | None",
    stop: Stop,
) -> type:
    """Kernels of this very environment, whichever kernel spec named python3 a user has installed."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    metadata = {"kernel_provisioner": {"provisioner_name": "overround-forked"}} if server else {}
    sockets = os.name == "posix" and len(scratch) < _LONGEST_SOCKET_FOLDER

    class ThisEnvironment(AsyncKernelManager):
        fork_server = server  # for the provisioner

        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(argv=argv, display_name="Python 3", language="python", metadata=metadata)

        def __init__(self, **kwargs: Any):
            # sockets in a folder of its own: no race for free ports, and nobody else can connect
            place = {"transport": "ipc", "ip": str(Path(scratch) / "k")} if sockets else {}
            super().__init__(**kwargs, **place, connection_file=str(Path(scratch) / "kernel.json"))

        # the asynchronous manager overrides it in this way itself
        async def start_kernel(self, **kwargs: Any) -> None:  # type: ignore[override]
            await super().start_kernel(
                **{"env": env, "cwd": str(settings.home), "stdout": said, "stderr": said, **kwargs}
            )
            assert self.provisioner is not None  # noqa: S101  # there is one once a kernel has started
            stop.watch(self.provisioner.process)

    return ThisEnvironment


def _environment(settings: Settings, scratch: str) -> dict[str, str]:
    """Environment of a kernel: figures inline, whatever the shell asks for; no start-up scripts."""
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "IPYTHONDIR": scratch}
    return {**os.environ, **_variables(settings), **inline}


def _variables(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for a kernel that works in another folder."""
    values = settings.model_dump()
    for name, place in (
        ("store", settings.store_root),
        ("cache", settings.cache_folder),
        ("reports", settings.reports_folder),
    ):
        values[name] = place if "://" in str(place) else Path(place).resolve()
    return {
        f"OVERROUND_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
    }
