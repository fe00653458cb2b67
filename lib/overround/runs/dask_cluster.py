"""Notebooks on the workers of a Dask cluster: text goes there, the executed notebook comes back.

A worker has the same state of this library installed and reaches the store, the only shared files, under the
same address. The key of a provider stays here.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep
from typing import TYPE_CHECKING, Any

from overround.errors import OverroundError, ParameterError, RunError
from overround.parallel.tasks import client_of
from overround.provenance import library_digest
from overround.runs.execute import Stop, execute
from overround.settings import Settings

if TYPE_CHECKING:
    from distributed import Client

_PATIENCE_S = 60


class Cluster:
    """The workers of a scheduler, which execute notebooks."""

    def __init__(self, client: "Client"):
        self._client = client
        self._library = library_digest()
        self.dashboard = str(client.dashboard_link)

    @property
    def threads(self) -> int:
        """How many notebooks run at a time."""
        return max(sum(self._client.nthreads().values()), 1)

    def execute(
        self,
        source: Path,
        given: Mapping[str, Any],
        settings: Settings,
        timeout_s: int,
        *,
        stop: Stop,
        revision: str,
    ) -> tuple[Any, BaseException | None, str]:
        """As `overround.runs.execute.execute`, in a kernel beside a worker, never forked."""
        import nbformat

        asked = (
            source.name,
            source.read_text(encoding="utf-8"),
            dict(given),
            _for_there(settings),
            timeout_s,
            revision,
            self._library,
        )
        # where a worker dies, Dask begins its notebook again on another one
        future = self._client.submit(_there, *asked, pure=False)
        while not future.done():
            if stop.asked:
                future.cancel(force=True)
                return nbformat.read(source, as_version=4), KeyboardInterrupt(), ""
            sleep(0.05)
        try:
            text, error, said = future.result()
        except OverroundError:
            raise
        # the cluster's own: a worker that was killed again and again, a scheduler that is gone
        except Exception as own:
            refused = RunError(f"the Dask cluster did not run it ({own})")
            return nbformat.read(source, as_version=4), refused, ""
        # an error of the same name: those of nbclient cannot be sent
        here = None if error is None else type(error[0], (Exception,), {})(error[1])
        return nbformat.reads(text, as_version=4), here, said


@contextmanager
def connected(scheduler: str) -> Iterator[Cluster]:
    """A cluster by the address of its scheduler.

    Raises
    ------
    ParameterError
        Where it cannot be reached or has no worker, or the extra is not installed.
    """
    with client_of(scheduler) as client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_S)
        except TimeoutError:
            raise ParameterError(f"the Dask scheduler had no worker within {_PATIENCE_S} s.") from None
        yield Cluster(client)


def _for_there(settings: Settings) -> dict[str, Any]:
    store = settings.store_root
    return {
        **settings.model_dump(mode="json", exclude={"home", "cache", "reports", "odds_api_key"}),
        "store": store if "://" in store else str(Path(store).resolve()),
    }


def _there(
    name: str,
    text: str,
    given: dict[str, Any],
    values: dict[str, Any],
    timeout_s: int,
    revision: str,
    library: str,
) -> tuple[str, tuple[str, str] | None, str]:
    """On a worker: the executed notebook, name and message of its error, the last words of its kernel."""
    import nbformat

    if library_digest() != library:
        raise RunError(
            "a Dask worker has another state of this library; "
            "install the same one there, or restart the worker."
        )
    with TemporaryDirectory(prefix="overround-there-") as folder:
        home = Path(folder)
        source = home / "notebooks" / name
        source.parent.mkdir()
        source.write_text(text, encoding="utf-8")
        settings = Settings(**{**values, "home": home, "cache": home / "cache", "reports": home / "reports"})
        notebook, error, said = execute(source, given, settings, timeout_s, revision=revision)
    return nbformat.writes(notebook), None if error is None else (type(error).__name__, str(error)), said
