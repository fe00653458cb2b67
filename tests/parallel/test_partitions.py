"""Work league by league: the same answer wherever it runs, within its memory, and whatever dies."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from overround import Store
from overround.errors import ParameterError, RunError
from overround.parallel import map_partitions, partition_sizes
from tests.support.books import quotes, result, results, three_way
from tests.support.partition_work import sums, sums_after_a_death, sums_unless_l2
from tests.support.servers import require_module

LEAGUES = [(league, season) for league in ("L1", "L2", "L'3") for season in ("2324", "24/25")]
ROOT = Path(__file__).parents[2]


def death(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    os.kill(os.getpid(), signal.SIGKILL)
    return sums(frames)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("partitions") / "store")
    fill(store)
    return store


def fill(store: Store, events: int = 20) -> None:
    rng = np.random.default_rng(2)
    for number, (league, season) in enumerate(LEAGUES):
        same = {"competition": league, "season": season}
        for book in ("a", "b"):  # two files a partition
            rows = [
                three_way(f"{number}-{i}", book, tuple(rng.uniform(1.5, 6, 3)))
                for i in range(events + number)
            ]
            store.append("quotes", quotes(*rows).assign(**same))
        store.append(
            "results", results(*(result(f"{number}-{i}") for i in range(events + number))).assign(**same)
        )


def test_the_log_tells_how_many_rows_each_season_has(store):
    sizes = partition_sizes(store)

    assert list(sizes.index) == sorted(LEAGUES)
    assert sizes.loc[("L1", "2324"), "rows"] == 20 * (6 + 1)


def test_every_partition_is_worked_on_once_in_a_fixed_order(store):
    answer = map_partitions(store, sums, scheduler="here")

    assert len(answer) == sum(20 + number for number in range(len(LEAGUES)))
    assert list(
        answer[["competition", "season"]].drop_duplicates().itertuples(index=False, name=None)
    ) == sorted(LEAGUES)


def test_a_condition_leaves_the_others_out_and_a_version_is_kept_to(store, tmp_path):
    own = Store(tmp_path / "store")
    fill(own, events=3)
    version = own.version()
    own.append("quotes", quotes(three_way("0-0", "c")).assign(competition="L1", season="2324"))

    then = map_partitions(own, sums, where={"competition": "L1"}, version=version, scheduler="here")
    now = map_partitions(own, sums, where={"competition": "L1"}, scheduler="here")

    assert set(then["competition"]) == {"L1"}
    assert (then["sum"] != now["sum"]).sum() == 1


def test_a_condition_is_one_on_the_tables_that_have_its_column(store):
    nothing = map_partitions(
        store, quotes_of, where={"competition": "L1", "source": "elsewhere"}, scheduler="here"
    )
    book = map_partitions(store, quotes_of, where={"competition": "L1", "bookmaker": "a"}, scheduler="here")

    assert nothing.empty
    assert set(book["bookmaker"]) == {"a"}


def quotes_of(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    assert len(frames["results"])
    return frames["quotes"]


def test_an_empty_store_has_an_empty_answer(tmp_path):
    assert map_partitions(Store(tmp_path / "none"), sums).empty


@pytest.mark.parametrize("where", [None, {"competition": "L1", "season": "2324"}])
def test_words_stay_categories_however_many_partitions_there_are(store, where):
    answer = map_partitions(store, lambda frames: frames["quotes"].head(2), where=where, scheduler="here")

    for name in ("competition", "season", "event_id", "bookmaker"):
        assert set(answer[name]) <= set(answer[name].cat.categories)
        assert answer[name].cat.categories.is_monotonic_increasing


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"memory_mb": 0.01}, "L'3 24/25 has 175 rows, about 0.2975 MB in work; memory_mb is 0.01"),
        ({"memory_mb": -1}, "memory_mb is -1; it is a number of megabytes above 0"),
        (
            {"tables": ["runs"]},
            "'runs' is not partitioned by competition and season; "
            "these are: events, quotes, results, standing",
        ),
        ({"where": {"colour": "red"}}, "no table of quotes, results has the column 'colour'"),
        ({"work": lambda frames: frames}, "cannot be sent to another process: define it in a module"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "'tcp://127.0.0.1:9' cannot be reached"),
        ({"scheduler": "nonsense"}, "'nonsense' cannot be reached"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(store, more, sentence):
    if "scheduler" in more:
        require_module("distributed")
    with pytest.raises(ParameterError, match=sentence):
        map_partitions(store, **{"work": sums, **more})


@pytest.mark.slow
def test_an_error_of_the_work_says_where(store):
    for more in ({"scheduler": "here"}, {"scheduler": "", "workers": 2}):
        with pytest.raises(RunError, match=r"^L2 2324: ValueError: no sharp prices$"):
            map_partitions(store, sums_unless_l2, **more)


@pytest.mark.slow
def test_processes_give_the_same_to_the_last_bit_also_when_one_is_killed(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DEATH", str(tmp_path / "died"))
    here = map_partitions(store, sums, scheduler="here")

    pd.testing.assert_frame_equal(
        map_partitions(store, sums, scheduler="", workers=2), here, check_exact=True
    )
    pd.testing.assert_frame_equal(
        map_partitions(store, sums_after_a_death, scheduler="", workers=2), here, check_exact=True
    )
    assert (tmp_path / "died").exists()
    with pytest.raises(RunError, match="its process died 3 times"):
        map_partitions(store, death, scheduler="", workers=1, where={"competition": "L1"})


CLUSTER = """
    import os, sys, pandas as pd
    from distributed import Client, LocalCluster
    from overround import Store, map_partitions
    from overround.errors import RunError
    from tests.support.partition_work import sums, sums_after_a_death, sums_unless_l2
    if __name__ == "__main__":
        store = Store(sys.argv[1])
        here = map_partitions(store, sums, scheduler="here")
        with LocalCluster(
            n_workers=3, threads_per_worker=1, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster:
            there = map_partitions(store, sums, scheduler=cluster.scheduler_address)
            pd.testing.assert_frame_equal(there, here, check_exact=True)
            try:
                map_partitions(store, sums_unless_l2, scheduler=cluster.scheduler_address)
            except RunError as error:
                text = str(error)
                assert text.startswith("L2 2") and text.endswith(": ValueError: no sharp prices"), text
            else:
                raise AssertionError("no error")
            with Client(cluster) as client:
                before = set(client.nthreads())
                again = map_partitions(store, sums_after_a_death, scheduler=client)
                assert os.path.exists(os.environ["DEATH"])
            pd.testing.assert_frame_equal(again, here, check_exact=True)
        print("the same")
"""


def on_a_cluster(root: str, folder: Path) -> None:
    (folder / "cluster.py").write_text(textwrap.dedent(CLUSTER))
    where = {"DEATH": str(folder / "died"), "PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, folder / "cluster.py", root],
        env={**os.environ, **where},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.stdout.strip().endswith("the same"), done.stderr[-3000:]


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_to_the_last_bit_also_when_a_worker_is_killed(store, tmp_path):
    require_module("distributed")

    on_a_cluster(store.root, tmp_path)


@pytest.mark.slow
def test_a_dask_cluster_reads_from_an_object_store(tmp_path, monkeypatch):
    require_module("distributed")
    require_module("moto")
    import boto3

    from tests.support import object_store

    with object_store.served() as port:
        for name, value in object_store.environment(port).items():
            monkeypatch.setenv(name, value)
        boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1").create_bucket(
            Bucket="partitions"
        )
        fill(Store("s3://partitions/store"), events=5)
        on_a_cluster("s3://partitions/store", tmp_path)


MEMORY = """
    import sys
    from overround import Store, map_partitions
    from tests.support.partition_work import peak_mb, widest
    if __name__ == "__main__":
        store, leagues = Store(sys.argv[1]), sys.argv[2].split(",")
        base = peak_mb()
        map_partitions(store, widest, where={"competition": leagues[:3]}, scheduler="here")
        few = peak_mb()
        map_partitions(store, widest, where={"competition": leagues}, scheduler="here", memory_mb=400)
        print(base, few, peak_mb())
"""


@pytest.mark.slow
def test_more_leagues_take_no_more_memory(tmp_path):
    from benchmarks.scale import generate

    store, leagues = Store(tmp_path / "store"), [f"L{i:03d}" for i in range(10)]
    for number in range(10):
        generate(store, number, matches=10_000)  # 200,000 quotes
    assert partition_sizes(store, ["quotes"])["mb"].sum() > 3_000

    script = tmp_path / "memory.py"
    script.write_text(textwrap.dedent(MEMORY))
    done = subprocess.run(
        [sys.executable, script, store.root, ",".join(leagues)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), str(ROOT)])},
    )
    base, few, many = map(float, done.stdout.split())

    print(f"peak {base:.0f} MB before, {few:.0f} MB after three leagues, {many:.0f} MB after ten more")
    assert many < base + 300  # all ten at once are estimated at 3,400
    assert many < 1.15 * few


@pytest.mark.slow
def test_no_more_is_begun_at_once_than_there_is_room_for(store, tmp_path, monkeypatch):
    monkeypatch.setenv("DEATH", str(tmp_path))
    room = partition_sizes(store)["mb"].max() * 1.5

    map_partitions(store, overlapping, scheduler="", workers=3, memory_mb=room)

    spans = sorted(tuple(map(float, path.read_text().split())) for path in tmp_path.glob("span-*"))
    assert len(spans) == len(LEAGUES)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


def overlapping(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    begin = time.monotonic()
    time.sleep(0.2)
    rows = frames["quotes"]
    name = f"span-{rows['competition'].iloc[0]}-{rows['season'].iloc[0]}".replace("/", "_")
    Path(os.environ["DEATH"], name).write_text(f"{begin} {time.monotonic()}")
    return sums(frames)
