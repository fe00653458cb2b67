"""Fixtures: the recorded data, and real HTTP servers on loopback that serve it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from overround.sources.replay import Replay, replayed
from tests.support import chromium
from tests.support.servers import DATA, Served, _Handler, require

# no test is timed: a busy machine is no defect
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session")
def recorded() -> Path:
    require(DATA, "the recorded data is not beside this checkout")
    return DATA


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Served]]:
    """`serve(folder)` starts a server of that folder; all stop at the end of the test."""
    with ExitStack() as stack:

        def start(folder: Path) -> Served:
            served = Served(partial(_Handler, directory=str(folder)))
            stack.callback(served.close)
            return served

        yield start


@pytest.fixture
def play() -> Iterator[Callable[..., Replay]]:
    with ExitStack() as stack:
        yield lambda answers, **more: stack.enter_context(replayed(answers, **more))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    require(bool(chromium.found()), chromium.MISSING)
    with chromium.launched() as browser:
        yield browser
