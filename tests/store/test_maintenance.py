"""Compaction, vacuum, older and newer tables, damage and its repair: rows stay, pinned versions stay, losses
are said aloud.
"""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from typer.testing import CliRunner

from overround import Store
from overround.cli.main import app
from overround.errors import StoreError
from overround.schema import TABLES, to_arrow
from overround.store import maintenance
from overround.store.commits import dataset, row_codes, scope_of
from tests.support.books import quote, quotes
from tests.support.stores import event, many

QUOTES = TABLES["quotes"]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def fill(store, polls, *, events=2):
    for i in range(polls):
        store.append(
            "quotes",
            many(
                events,
                phase="snapshot",
                at=f"2025-02-{1 + i // 20:02d} 10:{i % 20:02d}",
                prices=(2 + i / 10, 3, 4),
            ),
        )
    return store


def files(store, name="quotes"):
    return [Path(file) for file in DeltaTable(f"{store.root}/{name}").file_uris()]


def sorted_rows(store, **more):
    return store.read("quotes", **more).sort_values(["event_id", "outcome", "observed_at"], ignore_index=True)


def run_of(version):
    return {
        "run_id": "r1",
        "notebook": "n",
        "parameters": "{}",
        "git_revision": "g",
        "versions": "v",
        "store_version": version,
        "status": "ok",
        "started_at": pd.Timestamp("2025-03-01", tz="UTC"),
        "ended_at": pd.NaT,
    }


def test_compaction_makes_one_ordered_file_and_changes_no_row(store):
    before = sorted_rows(fill(store, 5))

    assert store.compact() == 1

    assert len(files(store)) == 1
    rows = pq.read_table(files(store)[0], partitioning=None)
    assert rows.equals(rows.sort_by([("event_id", "ascending"), ("observed_at", "ascending")]))
    pd.testing.assert_frame_equal(sorted_rows(store), before)
    assert store.compact() == 0


def test_a_compacted_table_is_read_with_conditions_and_takes_appends(store):
    fill(store, 3).compact()

    known = store.append("quotes", many(2, phase="snapshot", at="2025-02-01 10:01", prices=(2.1, 3, 4)))

    assert known.unchanged == 6
    assert len(store.read("quotes", {"event_id": "m1", "competition": "L1", "outcome": ["home"]})) == 3
    assert store.sql("SELECT count(*) AS n FROM quotes WHERE observed_at >= TIMESTAMP '2025-02-01 10:01'")[
        "n"
    ].tolist() == [12]


@pytest.mark.slow
def test_appending_merges_small_files_by_itself(store, monkeypatch):
    monkeypatch.setattr(maintenance, "_FILES", 8)

    fill(store, 20)

    assert len(files(store)) < 8
    rows = store.read("quotes", {"event_id": "m0", "competition": "L1"})
    assert len(rows) == 60
    assert not rows.duplicated(list(QUOTES.key)).any()


def test_merging_the_small_files_of_a_season_with_a_slash_keeps_each_row_once(store, monkeypatch):
    monkeypatch.setattr(maintenance, "_FILES", 4)

    for day in range(1, 5):
        store.append(
            "quotes", many(2, phase="snapshot", at=f"2025-02-0{day} 10:00").assign(season="2012/2013")
        )

    assert len(files(store)) == 1 and len(store.read("quotes")) == 4 * 6
    store.append(
        "quotes",
        many(2, phase="snapshot", at="2025-02-01 10:00", prices=(5, 6, 7)).assign(season="2012/2013"),
    )
    assert len(store.read("quotes")) == 4 * 6


@pytest.mark.parametrize(
    "damage",
    [lambda p: p.write_bytes(p.read_bytes()[:-9]), lambda p: p.write_bytes(b""), lambda p: p.unlink()],
)
def test_an_append_stands_where_a_damaged_file_keeps_others_from_being_merged(
    store, monkeypatch, caplog, damage
):
    monkeypatch.setattr(maintenance, "_FILES", 4)
    fill(store, 3)
    damage(files(store)[0])

    done = store.append("quotes", many(2, phase="snapshot", at="2025-02-01 11:00", prices=(5, 3, 4)))

    assert done.inserted == 6 and len(files(store)) == 4
    assert "quotes: maintenance is put off: " in caplog.text
    store.repair()
    assert len(store.read("quotes")) == 18


def test_of_two_compactions_of_the_same_files_one_gives_way(store, monkeypatch):
    # delta-rs's own optimize lets both commit: every row is there twice
    fill(store, 4)
    monkeypatch.setattr(maintenance, "_FILES", 2)
    first, second = (DeltaTable(f"{store.root}/quotes") for _ in range(2))

    maintenance.after_append(store.catalog, QUOTES, first, [("L1", "2425")], {})
    maintenance.after_append(store.catalog, QUOTES, second, [("L1", "2425")], {})

    assert len(store.read("quotes")) == 24
    assert len(files(store)) == 1


def test_a_pinned_version_outlives_compaction_and_vacuum(store):
    fill(store, 3)
    pinned = store.version()
    then = sorted_rows(store)
    store.append("runs", [run_of(pinned)])
    store.append("quotes", many(2, phase="snapshot", at="2025-02-03 10:00", prices=(9, 9, 9)))
    unpinned = store.version()
    store.append("quotes", many(2, phase="snapshot", at="2025-02-04 10:00", prices=(8, 8, 8)))

    store.compact()
    removed = store.vacuum(retention_days=0)

    assert removed == 2
    pd.testing.assert_frame_equal(sorted_rows(store, version=pinned), then)
    assert len(store.read("quotes")) == 30
    with pytest.raises(StoreError, match="overround store check"):
        store.read("quotes", version=unpinned)


def test_vacuum_leaves_what_is_younger_than_its_retention(store):
    fill(store, 3)
    version = store.version()
    store.compact()

    assert store.vacuum(retention_days=7) == 0
    assert len(store.read("quotes", version=version)) == 18


@pytest.mark.slow
def test_the_log_stays_short_but_for_what_a_pinned_version_is_built_from(store, monkeypatch):
    monkeypatch.setattr(maintenance, "_VERSIONS", 4)
    monkeypatch.setattr(maintenance, "_CLEAN_EVERY", 10)
    fill(store, 12, events=1)
    store.append("runs", [run_of("quotes=12")])

    fill(Store(store.root), 40, events=1)

    log = sorted(int(path.stem) for path in Path(store.root, "quotes", "_delta_log").glob("*.json"))
    assert len(log) < 25
    assert {11, 12} <= set(log)
    assert 25 not in log
    assert len(store.read("quotes", version="quotes=12")) == 36
    assert len(store.read("quotes")) == len(fill(Store(store.root), 40, events=1).read("quotes")) == 120


def test_a_table_without_a_new_optional_column_reads_as_null_and_takes_it_on(store):
    old = pa.schema([one for one in QUOTES.schema if one.name != "line"])
    rows = to_arrow("quotes", quotes(quote(phase="snapshot", at="2025-02-01 10:00")))
    write_deltalake(
        f"{store.root}/quotes", rows.select(old.names).cast(old), partition_by=list(QUOTES.partition)
    )

    assert store.read("quotes")["line"].isna().all()
    assert store.sql("SELECT line FROM quotes")["line"].isna().all()
    again = store.append("quotes", quotes(quote(phase="snapshot", at="2025-02-01 10:00")))
    more = store.append(
        "quotes",
        quotes(quote(market="totals", outcome="over", line=2.5, phase="snapshot", at="2025-02-01 10:00")),
    )

    assert (again.unchanged, more.inserted) == (1, 1)
    assert (
        sorted(store.read("quotes")["line"].fillna(0))
        == sorted(store.sql("SELECT line FROM quotes")["line"].fillna(0))
        == [0, 2.5]
    )


def test_a_column_that_this_version_does_not_know_is_ignored_and_kept(store):
    rows = to_arrow("quotes", quotes(quote(), quote("m2")))
    newer = rows.append_column("stake_limit", pa.array([50.0, 60.0]))
    write_deltalake(f"{store.root}/quotes", newer, partition_by=list(QUOTES.partition))

    assert list(store.read("quotes")) == [*QUOTES.columns, "starts_at", "last_asked_at"]
    assert store.append("quotes", quotes(quote(price=2.5), quote("m3"))).updated == 1
    store.compact()

    kept = (
        DeltaTable(f"{store.root}/quotes")
        .to_pyarrow_dataset()
        .to_table()
        .to_pandas()
        .set_index("event_id")["stake_limit"]
    )
    assert kept.fillna(0).to_dict() == {"m1": 0.0, "m2": 60.0, "m3": 0.0}
    assert len(store.sql("SELECT * FROM quotes")) == 3


def test_a_table_that_lacks_what_it_needs_is_not_appended_to(store):
    write_deltalake(
        f"{store.root}/quotes", pa.table({"competition": ["L1"], "season": ["2425"], "event_id": ["m1"]})
    )

    with pytest.raises(StoreError, match="has no column 'bookmaker'"):
        store.append("quotes", quotes(quote()))


def test_a_sound_store_has_no_findings(store):
    store.append("events", [event("m0")])
    fill(store, 3).compact()

    assert store.check().empty
    assert store.repair() == []


@pytest.mark.parametrize("end", ["\x85", "\u2028"], ids=["next line", "line separator"])
def test_a_name_with_a_line_end_of_another_script_is_no_damage(store, end):
    league = {"competition": f"E{end}0"}
    store.append("quotes", many(2).assign(**league))
    store.append(
        "quotes", many(2, prices=(2.5, 3, 4)).assign(**league)
    )  # a correction: its files are named in the log

    assert store.check().query("what != 'orphan file'").empty
    assert store.repair() == []
    assert len(store.read("quotes", league)) == 6


@pytest.mark.parametrize("keep", [0, 40, 0.5, -1], ids=["nothing", "a word", "half", "all but the rows"])
def test_a_half_written_last_log_entry_is_found_and_removed(store, keep):
    fill(store, 3)
    last = sorted(Path(store.root, "quotes", "_delta_log").glob("*.json"))[-1]
    text = last.read_text()
    lines = [line for line in text.splitlines() if "commitInfo" in line]
    last.write_text(
        lines[0] + "\n" if keep == -1 else text[: int(keep * len(text)) if isinstance(keep, float) else keep]
    )

    found = store.check()
    said = Store(store.root).repair()

    assert found["what"].tolist()[0] == "half-written last log entry"
    assert found["where"].tolist()[0] == str(last)
    assert "never acknowledged" in said[0]
    assert len(store.read("quotes")) == 12
    assert (
        Store(store.root)
        .append("quotes", many(2, phase="snapshot", at="2025-02-01 10:02", prices=(2.2, 3, 4)))
        .inserted
        == 6
    )
    assert (store.check()["what"] == "orphan file").all()


@pytest.mark.parametrize(
    "damage",
    [
        lambda p: p.unlink(),
        lambda p: p.write_bytes(p.read_bytes()[:-9]),
        lambda p: p.write_bytes(b"x" * p.stat().st_size),
    ],
    ids=["gone", "cut", "overwritten"],
)
def test_a_missing_or_damaged_file_is_dropped_with_a_loud_sentence(store, damage):
    fill(store, 3)
    victim = files(store)[0]
    damage(victim)

    with pytest.raises(StoreError, match="overround store check"):
        store.read("quotes")
    with pytest.raises(StoreError, match="overround store check"):
        store.sql("SELECT sum(price) FROM quotes")
    found = store.check()
    said = store.repair()

    assert found[["table", "where"]].to_numpy().tolist() == [["quotes", str(victim)]]
    assert "6 ROWS ARE LOST" in said[0]
    assert len(store.read("quotes")) == 12
    assert store.check().empty


def test_rows_stored_twice_are_found_and_the_last_is_kept(store):
    fill(store, 2)
    write_deltalake(
        f"{store.root}/quotes", to_arrow("quotes", store.read("quotes", {"event_id": "m1"})), mode="append"
    )

    found = store.check()
    said = store.repair()

    assert found[["what", "where"]].to_numpy().tolist() == [["rows stored twice", "L1/2425"]]
    assert "6 rows that were stored twice" in said[0]
    assert len(store.read("quotes")) == 12
    assert store.check().empty


def test_an_event_in_two_seasons_is_found_and_kept_once(store):
    store.append("events", [event("m0"), event("m1")])
    write_deltalake(f"{store.root}/events", to_arrow("events", [event("m0", season="2324")]), mode="append")

    assert store.check()["what"].tolist() == ["rows stored twice"]
    store.repair()

    assert sorted(store.read("events")["event_id"]) == ["m0", "m1"]


def test_orphan_files_are_listed_and_left_to_the_vacuum(store):
    fill(store, 2)
    orphan = files(store)[0].with_name("part-of-a-killed-writer.parquet")
    orphan.write_bytes(files(store)[0].read_bytes())

    assert store.check()[["what", "where"]].to_numpy().tolist() == [["orphan file", str(orphan)]]
    assert store.repair() == []
    assert orphan.exists()
    store.vacuum(retention_days=0)
    assert not orphan.exists()


def test_a_log_that_cannot_be_read_is_said_to_need_a_backup(store):
    fill(store, 2)
    Path(store.root, "quotes", "_delta_log", f"{1:020d}.json").write_text("{")

    assert store.check()["what"].tolist() == ["log cannot be read"]
    assert "NOT MENDED" in store.repair()[0]
    with pytest.raises(StoreError, match="overround store check"):
        Store(store.root).append("quotes", many(1))


def test_the_command_line_says_it_in_a_sentence_and_by_its_exit_status(store, monkeypatch):
    monkeypatch.setenv("OVERROUND_STORE", store.root)
    fill(store, 3)
    say = CliRunner().invoke

    sound, compacted = say(app, ["store", "check"]), say(app, ["store", "compact", "--days", "0"])
    files(store)[0].unlink()
    broken, mended, again = (
        say(app, ["store", "check"]),
        say(app, ["store", "repair"]),
        say(app, ["store", "check"]),
    )

    assert [one.exit_code for one in (sound, compacted, broken, mended, again)] == [0, 0, 1, 0, 0]
    assert "nothing is wrong" in sound.output
    assert "1 partitions compacted, 3 old files removed" in compacted.output
    assert "missing file" in broken.output
    assert "things wrong: 1, which" in broken.output
    assert "18 ROWS ARE LOST" in mended.output


def test_the_log_rules_out_files_before_any_is_opened(store):
    fill(store, 5)
    delta = DeltaTable(f"{store.root}/quotes")
    batch = to_arrow("quotes", many(1, phase="snapshot", at="2025-02-01 10:03"))

    scope = scope_of(QUOTES, [("L1", "2425")], batch)

    assert len(delta.file_uris(file_pruning_predicate=scope)) == 1
    assert dataset(QUOTES, delta, scope).to_table(filter=pq.filters_to_expression(scope)).num_rows == 6


def test_codes_are_equal_for_equal_rows_only():
    rows = pa.table({"a": ["x", "x", None, None, "x"], "b": [1.0, None, None, None, 1.0]})

    assert pd.factorize(row_codes(rows)[0])[0].tolist() == [0, 1, 2, 2, 0]


def test_codes_of_many_wide_columns_do_not_overflow():
    wide = pa.table({f"c{i}": pa.array(range(3000)) for i in range(8)})

    twice, _ = row_codes(pa.concat_tables([wide, wide.filter(pc.less(wide["c0"], 10))]))

    assert len(set(twice)) == 3000
    assert (twice[3000:] == twice[:10]).all()


def test_new_tables_keep_their_log_until_vacuum_says_otherwise(store):
    fill(store, 1)

    entry = Path(store.root, "quotes", "_delta_log", f"{0:020d}.json").read_text().splitlines()
    properties = next(json.loads(line)["metaData"]["configuration"] for line in entry if "metaData" in line)

    assert properties["delta.enableExpiredLogCleanup"] == "false"
