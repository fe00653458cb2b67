"""The store on a real S3 server: the same as in a folder, with writers that race and are killed and a
connection that is lost.
"""

import os
import random
import time
import urllib.request
from pathlib import Path
from uuid import uuid4

import pandas as pd
import pytest

from overround import Flat, Store, backtest, closing_lines, evaluate, value_signals
from overround.errors import StoreError
from overround.schema import TABLES
from tests.support import object_store
from tests.support.books import quote, quotes, result, results, three_way
from tests.support.servers import require_module
from tests.support.stores import event, many
from tests.support.writers import killed, overlapping

pytestmark = pytest.mark.slow
HERE = Path(__file__).parents[2]
QUOTE_KEY = list(TABLES["quotes"].key)


@pytest.fixture(scope="module")
def server():
    require_module("moto")
    with object_store.served() as port:
        yield port


@pytest.fixture
def way(server):
    way = object_store.Way(server)
    yield way
    way.close()


@pytest.fixture
def s3(server):
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{server}",
        region_name="us-east-1",
        aws_access_key_id=object_store.KEY,
        aws_secret_access_key=object_store.SECRET,
    )


@pytest.fixture
def root(way, s3, monkeypatch):
    """A new bucket, reached on the way that can break."""
    for name, value in object_store.environment(way.port).items():
        monkeypatch.setenv(name, value)
    bucket = f"odds-{uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    return f"s3://{bucket}/path/store"


def polled(minute: int, n: int = 4, **more) -> pd.DataFrame:
    return many(n, phase="snapshot", at=f"2025-03-01 {10 + minute // 60}:{minute % 60:02d}", **more)


def operations(store: Store) -> list:
    """Everything a store does, and what it answered."""
    odd = quotes(quote()).assign(season="2012/2013", competition="L'1")
    done = [
        store.append("events", [event("m0"), event("m1", season="2324")]),
        store.append("quotes", many(5)),
        store.append("quotes", many(6)),
        store.append("quotes", many(2, prices=(2.2, 3.5, 4.0))),
        store.append("quotes", odd),
        store.append("quotes", odd),
        store.append("results", [result(home=None, away=None, status="unknown")]),
        store.append("results", [result(home=2, away=1)]),
        store.append("events", [event("m1", season="2425")]),
        store.append("runs", [run("r1", store.version())]),
    ]
    for minute, price in enumerate((2.0, 2.0, 2.1, 2.1, 2.0)):
        done.append(store.append("quotes", polled(minute, prices=(price, 3.5, 4.0)), changes_only=True))
    done += [
        store.append("quotes", polled(2), changes_only=True),
        store.version(),
        store.compact(),
        store.version(),
    ]
    done.append(len(store.check().query("what != 'orphan file'")))
    done.append(
        store.sql(
            "SELECT outcome, count(*) AS n, max(observed_at) AS last FROM quotes GROUP BY ALL ORDER BY ALL"
        )
        .to_numpy()
        .tolist()
    )
    return done


def run(name: str, version: str) -> dict:
    at = pd.Timestamp("2025-03-01", tz="UTC")
    return {
        "run_id": name,
        "notebook": "b",
        "parameters": "{}",
        "git_revision": "",
        "versions": "",
        "store_version": version,
        "status": "ok",
        "started_at": at,
        "ended_at": at,
    }


def ordered(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values([name for name in QUOTE_KEY if name in rows], ignore_index=True)


def test_a_store_on_this_machine_is_reached_past_a_proxy_that_the_environment_names(root, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "example.com")

    store = Store(root)
    store.append("events", [event("m0")])

    assert len(store.read("events")) == 1
    assert os.environ["NO_PROXY"] == "example.com,127.0.0.1"


def test_it_does_what_a_store_in_a_folder_does(root, tmp_path):
    here, there = Store(tmp_path / "store"), Store(root)

    assert repr(operations(there)) == repr(operations(here))
    for where in (
        None,
        {"season": "2012/2013"},
        {"competition": "L1", "season": ["2425"]},
        {"event_id": "m1"},
    ):
        for version in (None, 3):
            pd.testing.assert_frame_equal(
                ordered(there.read("quotes", where, version=version)),
                ordered(here.read("quotes", where, version=version)),
            )


def test_the_same_signals_and_ledger_come_out(root, tmp_path):
    rng, rows, ended, known = random.Random(4), [], [], []  # noqa: S311
    for i in range(60):
        fair = [rng.uniform(2, 3), rng.uniform(3, 4), rng.uniform(2.5, 4)]
        for book, factor in (("pinnacle", 0.99), ("acme", rng.uniform(0.9, 1.12))):
            for phase in ("early", "close"):
                rows += three_way(f"m{i}", book, [round(p * factor, 2) for p in fair], phase=phase)
        ended.append(result(f"m{i}", rng.randrange(3), rng.randrange(3)))
        known.append(event(f"m{i}"))
    ledgers = []
    for store in (Store(tmp_path / "store"), Store(root)):
        for table, batch in (("events", known), ("quotes", quotes(rows)), ("results", results(*ended))):
            store.append(table, batch)
        read = store.read("quotes")
        bets = value_signals(read, min_edge=0.02)
        ledgers.append(backtest(bets, store.read("results"), stake=Flat(10), closing=closing_lines(read)))

    assert len(ledgers[0]) > 10
    pd.testing.assert_frame_equal(*ledgers, check_exact=True)
    pd.testing.assert_frame_equal(*(evaluate(one, simulations=200) for one in ledgers), check_exact=True)


def test_four_writers_with_overlapping_batches_store_each_row_once_while_readers_read(root):
    Store(root).append("quotes", many(30, bookmaker="b0"))
    writers = overlapping(root, 12)
    sizes, store = [], Store(root)
    while any(writer.poll() is None for writer in writers):
        sizes.append(len(store.read("quotes", columns=["price"])))
        sizes.append(int(store.sql("SELECT count(*) AS n FROM quotes")["n"].iloc[0]))
    inserted = [int(writer.communicate()[0]) for writer in writers]

    rows = store.read("quotes")
    assert len(rows) == 12 * 90 == sum(inserted) + 90
    assert not rows.duplicated(QUOTE_KEY).any()
    assert sizes == sorted(sizes)
    assert {size % 90 for size in sizes} == {0}
    assert len(set(sizes)) > 2


def test_twenty_kills_in_mid_append_lose_and_double_nothing_acknowledged(root):
    acknowledged = killed(root, 21, least=1, appends=(0, 1.5), timeout_s=300)

    store = Store(root)
    by_book = store.read("quotes")["bookmaker"].value_counts()
    assert len(acknowledged) == len(set(acknowledged)) >= 21
    assert {f"b{i}" for i in acknowledged} <= set(by_book.index)
    assert (by_book == 60).all()
    assert store.check().empty
    assert store.append("quotes", many(20, bookmaker="after")).inserted == 60


@pytest.mark.parametrize("table", ["quotes", "requests"])
def test_a_commit_whose_answer_is_lost_is_known_to_stand(root, way, table, monkeypatch):
    monkeypatch.setenv("OVERROUND_STORE_TIMEOUT", "3")
    store = Store(root)
    store.append(table, rows_of(table, 0))
    way.counted()
    way.trouble("lose the answer to a commit")

    done = store.append(table, rows_of(table, 1))

    way.trouble("")
    assert way.counted()["deaf"] > 0
    assert (done.inserted, done.version) == (60, 2)
    assert store.append(table, rows_of(table, 2)).version == 3
    assert len(store.read(table)) == 180


def rows_of(table: str, number: int) -> pd.DataFrame:
    if table == "quotes":
        return many(20, bookmaker=f"b{number}")
    at = pd.Timestamp("2025-03-01", tz="UTC") + pd.to_timedelta(range(60), unit="s")
    return pd.DataFrame(
        {
            "provider": "p",
            "endpoint": f"e{number}",
            "status": 200,
            "from_cache": False,
            "latency_s": 0.1,
            "bytes": 5,
            "at": at,
        }
    )


@pytest.mark.parametrize("table", ["quotes", "requests"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_connection_that_breaks_anywhere_never_loses_or_doubles(root, way, table, seed, monkeypatch):
    monkeypatch.setenv("OVERROUND_STORE_TIMEOUT", "2")
    store, rng, refused, longest = Store(root), random.Random(seed), 0, 0.0  # noqa: S311
    store.append(table, rows_of(table, 0))
    for number in range(1, 13):
        way.trouble(
            rng.choice(["cut", "cut", "cut", "refuse", "hold still", "lose the answer to a commit"]),
            seed=100 * seed + number,
        )
        began = time.monotonic()
        try:
            store.append(table, rows_of(table, number))
        except StoreError as error:
            refused += 1
            assert str(error).startswith(f"store {root}: {table} ")
            assert "\n" not in str(error)
            assert object_store.KEY not in str(error) and object_store.SECRET not in str(error)
            longest = max(longest, time.monotonic() - began)
            way.trouble("")
            store.append(table, rows_of(table, number))
        way.trouble("")
        assert len(Store(root).read(table)) == 60 * (number + 1)

    assert refused > 2
    assert way.counted()["cut"] > 0
    # a request is given up after twice the limit; an append that fails makes a few one after the other
    assert longest < 30
    if table == "quotes":
        assert not store.read(table).duplicated(QUOTE_KEY).any()


def test_a_server_that_is_gone_a_missing_bucket_and_a_refused_key_are_one_sentence_each(
    root, way, monkeypatch
):
    monkeypatch.setenv("OVERROUND_STORE_TIMEOUT", "1")
    calls = [
        lambda s: s.append("quotes", many(1)),
        lambda s: s.read("quotes"),
        lambda s: s.version(),
        lambda s: s.check(),
    ]
    for trouble, sentence in (
        ("refuse", "did not answer; OVERROUND_STORE_TIMEOUT"),
        ("hold still", "did not answer"),
    ):
        way.trouble(trouble)
        for call in calls:
            assert sentence in refusal(call, root)
        way.trouble("")
    for call in calls:
        assert "the bucket does not exist" in refusal(call, "s3://nobody-made-this/store")


def refusal(call, root: str) -> str:
    began = time.monotonic()
    with pytest.raises(StoreError) as error:
        call(Store(root))
    text = str(error.value)
    assert time.monotonic() - began < 15
    assert "\n" not in text and object_store.KEY not in text and object_store.SECRET not in text
    return text


def test_wrong_keys_are_a_sentence_that_does_not_tell_them(root, way, server, monkeypatch):
    Store(root).append("quotes", many(1))
    # from now on the server asks who is calling
    asks_who(server, b"0")
    try:
        for call in (
            lambda s: s.append("quotes", many(2)),
            lambda s: s.read("quotes"),
            lambda s: s.version(),
        ):
            assert "access was denied" in refusal(call, root)
    finally:
        asks_who(server, b"Infinity")
    assert object_store.KEY not in repr(Store(root)) + repr(Store(root).__dict__)


def asks_who(server: int, after: bytes) -> None:
    url = f"http://127.0.0.1:{server}/moto-api/reset-auth"
    asked = urllib.request.Request(url, data=after, headers={"Content-Type": "text/plain"}, method="POST")
    urllib.request.urlopen(asked, timeout=5).close()


def test_what_would_be_unsafe_is_refused(root, monkeypatch):
    with pytest.raises(StoreError, match="keys do not belong in the URL") as error:
        Store("s3://somekey:somesecret@bucket/store")
    assert "somesecret" not in str(error.value)
    monkeypatch.setenv("AWS_S3_ALLOW_UNSAFE_RENAME", "true")
    with pytest.raises(StoreError, match="AWS_S3_ALLOW_UNSAFE_RENAME is set"):
        Store(root)
    monkeypatch.delenv("AWS_S3_ALLOW_UNSAFE_RENAME")
    monkeypatch.delenv("AWS_ALLOW_HTTP")
    with pytest.raises(StoreError, match="AWS_ALLOW_HTTP=true"):
        Store(root).append("quotes", many(1))


def test_an_append_costs_few_requests_and_files_and_the_log_stay_few(root, way, s3, monkeypatch):
    monkeypatch.setattr("overround.store.maintenance._LOG_HOURS", 0)
    monkeypatch.setattr("overround.store.maintenance._VERSIONS", 20)
    store, costs = Store(root), []
    for minute in range(140):
        if minute == 30:
            store.append("runs", [run("r1", store.version())])
            pinned, then = store.version(), len(store.read("quotes"))
        way.counted()
        store.append("quotes", polled(minute, prices=(2.0 + minute % 7 / 10, 3.5, 4.0)), changes_only=True)
        costs.append(sum(way.counted().values()))

    costs = pd.Series(costs)
    print(f"requests an append: median {costs.median():.0f}, mean {costs.mean():.1f}, most {costs.max()}")
    assert costs.median() <= 11
    assert costs.mean() <= 20
    rows = store.read("quotes")
    live = len(store.catalog.open("quotes").file_uris())
    bucket, path = root.removeprefix("s3://").split("/", 1)
    log = [
        one["Key"].rsplit("/", 1)[1]
        for one in s3.list_objects_v2(Bucket=bucket, Prefix=f"{path}/quotes/_delta_log")["Contents"]
    ]
    assert len(rows) == 140 * 4 + 2 * 4
    assert live <= 40
    assert len([name for name in log if name.endswith(".json")]) < 110
    # the version that a run has read is kept, and its files outlast the vacuum
    store.vacuum(0)
    assert len(store.read("quotes", version=pinned)) == then
    pd.testing.assert_frame_equal(ordered(store.read("quotes")), ordered(rows))
    with pytest.raises(StoreError, match="version 5 of quotes"):
        store.read("quotes", version=5)


def test_damage_is_found_and_mended(root, s3):
    store = Store(root)
    for i in range(3):
        store.append("quotes", many(10, bookmaker=f"b{i}"))
    bucket = root.removeprefix("s3://").split("/", 1)[0]
    keys = [one.removeprefix(f"s3://{bucket}/") for one in store.catalog.open("quotes").file_uris()]
    s3.delete_object(Bucket=bucket, Key=keys[0])
    s3.put_object(Bucket=bucket, Key=keys[1], Body=b"torn")

    assert sorted(store.check()["what"]) == ["damaged file", "missing file"]
    assert "60 ROWS ARE LOST with 2 missing or damaged files" in " ".join(store.repair())
    assert store.check().empty
    assert len(store.read("quotes")) == 30


def test_a_store_travels_to_another_process(root):
    import pickle

    store = Store(root)
    store.append("quotes", many(1))

    assert pickle.loads(pickle.dumps(store)).append("quotes", many(1)).unchanged == 3  # noqa: S301  # our own
    assert object_store.SECRET.encode() not in pickle.dumps(store)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == object_store.SECRET
