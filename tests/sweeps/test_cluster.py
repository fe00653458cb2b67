"""A real Dask cluster: the same numbers as here, to the last bit, also when a worker and then the scheduler
are killed in mid-sweep.
"""

import sys
from threading import Thread

import pandas as pd
import pytest

from overround.errors import ParameterError, RunError
from tests.support import sweep_cluster
from tests.support.object_store import free_port
from tests.support.servers import require_module
from tests.support.sweep_cluster import Cluster, await_, kill

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def dask():
    require_module("distributed")


@pytest.fixture
def cluster():
    made = Cluster(free_port())
    yield made
    made.close()


def test_a_killed_worker_and_a_restarted_scheduler_lose_nothing(cluster, tmp_path, monkeypatch):
    here = sweep_cluster.run(None)
    cluster.start_workers(3)
    monkeypatch.setattr(sys.modules["overround.sweeps.blocks"], "block", sweep_cluster.slow_block)
    told, events = [], []

    def misfortune() -> None:
        await_(lambda: told and told[-1].done >= 3)
        kill(cluster.workers[0])
        events.append(("worker", told[-1].done))
        await_(lambda: told[-1].done >= events[0][1] + 4)
        kill(cluster.scheduler)
        for worker in cluster.workers:
            kill(worker)  # they end by themselves when their scheduler does, but not at once
        events.append(("scheduler", told[-1].done))
        cluster.start_scheduler()
        cluster.start_workers(3)

    thread = Thread(target=misfortune, daemon=True)
    thread.start()
    there = sweep_cluster.run(tmp_path, scheduler=cluster.address, progress=told.append)
    thread.join(60)

    assert [name for name, _ in events] == ["worker", "scheduler"]
    assert events[1][1] < told[-1].of == told[-1].done
    assert told[-1].where.endswith("/status")  # the dashboard
    pd.testing.assert_frame_equal(there.table, here.table, check_exact=True)
    assert (there.profit == here.profit).all()
    # each answer was kept once it was there
    assert len(list((tmp_path / there.key).glob("*.npz"))) == told[-1].of


def test_a_cluster_that_stays_away_is_given_up_and_what_was_done_is_kept(cluster, tmp_path, monkeypatch):
    cluster.start_workers(1)
    monkeypatch.setattr(sys.modules["overround.sweeps.blocks"], "block", sweep_cluster.slow_block)
    told = []

    def misfortune() -> None:
        await_(lambda: told and told[-1].done >= 2)
        cluster.close()

    thread = Thread(target=misfortune, daemon=True)
    thread.start()
    with pytest.raises(RunError, match="what was done is kept"):
        sweep_cluster.run(tmp_path, scheduler=cluster.address, progress=told.append, patience_s=3)
    thread.join(60)

    again = []
    sweep_cluster.run(tmp_path, progress=again.append)
    assert 2 <= again[0].kept < again[0].of


def test_a_scheduler_that_is_not_there_is_a_sentence():
    with pytest.raises(ParameterError, match=r"'tcp://127.0.0.1:9' cannot be reached"):
        sweep_cluster.run(None, scheduler="tcp://127.0.0.1:9")
