"""Stores of an older layout: read as they are, written to, and brought up to date."""

from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable

import overround as ov
from overround import Store
from overround.errors import StoreError
from overround.schema import TABLES
from tests.support.commands import home, overround

START = pd.Timestamp("2030-05-04 12:00", tz="UTC")


def old_store(root: Path) -> Store:
    """A store as version 0.1 made it: no layout number, prices required, neither scope nor last answer."""
    for name in ("events", "quotes", "standing"):
        table = TABLES[name]
        schema = table.schema
        for column in ("scope", "last_asked_at", "status", "same_as"):
            if column in schema.names:
                schema = schema.remove(schema.get_field_index(column))
        if "price" in schema.names:
            place = schema.get_field_index("price")
            schema = schema.set(place, schema.field("price").with_nullable(False))
        DeltaTable.create(str(root / name), schema, partition_by=list(table.partition))
    store = Store(str(root))
    # the tables as they are, so that nothing of ours brings them up to date
    events = ov.example(2).events.assign(competition="league", season="2030")
    events = events.assign(starts_at=START + pd.Timedelta(hours=3))
    write(root, "events", events)
    rows = [
        # shown in all three answers, in the first two, and in the first one only
        *prices("sharp", "match 00000", 0, last=20),
        *prices("soft", "match 00000", 0, last=10),
        *prices("gone", "match 00001", 0, last=0),
    ]
    frame = pd.DataFrame(rows)
    write(root, "quotes", frame.assign(phase="snapshot", collected_at=frame["observed_at"], source="x"))
    write(root, "standing", frame)
    return store


def prices(bookmaker: str, event: str, first: float, last: float) -> list[dict]:
    return [
        {
            "event_id": event,
            "bookmaker": bookmaker,
            "market": "h2h",
            "line": None,
            "outcome": outcome,
            "price": 3.0,
            "observed_at": START + pd.Timedelta(minutes=first),
            "last_seen_at": START + pd.Timedelta(minutes=last),
            "competition": "league",
            "season": "2030",
        }
        for outcome in ("home", "draw", "away")
    ]


def write(root: Path, name: str, frame: pd.DataFrame) -> None:
    import pyarrow as pa
    from deltalake import write_deltalake

    delta = DeltaTable(str(root / name))
    schema = pa.schema(delta.schema().to_arrow())
    write_deltalake(
        delta, pa.Table.from_pandas(frame[schema.names], schema, preserve_index=False), mode="append"
    )


def withdrawn(store: Store) -> list[tuple]:
    quotes = store.read("quotes")
    gone = quotes[quotes["price"].isna()]
    minutes = (gone["observed_at"] - START) / pd.Timedelta(minutes=1)
    return sorted(set(zip(gone["bookmaker"], minutes, strict=True)))


def test_an_older_store_is_read_and_written_to_and_says_what_it_does_not_know(tmp_path: Path):
    store = old_store(tmp_path / "store")

    assert store.layout == 1
    assert len(store.read("quotes")) == 9 and store.read("quotes")["last_asked_at"].isna().all()
    gone = store.read("quotes").head(3).assign(price=float("nan"), observed_at=START + pd.Timedelta(hours=1))
    assert store.append("quotes", gone, changes_only=True).inserted == 3
    assert DeltaTable(str(tmp_path / "store" / "quotes")).schema().fields[7].nullable
    said = overround("store", "check", env=home(tmp_path, OVERROUND_STORE=str(tmp_path / "store")))
    assert "layout 1, of version 0.1" in said.stderr + said.stdout
    assert "`overround store upgrade` marks those" in said.stderr + said.stdout


def test_the_upgrade_marks_what_the_next_answer_did_not_show(tmp_path: Path):
    store = old_store(tmp_path / "store")

    done = overround("store", "upgrade", env=home(tmp_path, OVERROUND_STORE=str(tmp_path / "store")))

    assert "layout 1, now 2; 6 prices marked as gone" in done.stdout
    assert withdrawn(store) == [("gone", 10.0), ("soft", 20.0)]
    standing = store.read("standing").set_index("bookmaker")
    assert standing["price"].isna().groupby("bookmaker").all().to_dict() == {
        "gone": True,
        "sharp": False,
        "soft": True,
    }
    assert store.layout == 2 and store.upgrade() == 0
    assert (
        "layout"
        not in overround("store", "check", env=home(tmp_path, OVERROUND_STORE=str(tmp_path / "store"))).stderr
    )


def test_the_upgrade_believes_no_answer_that_a_killed_poller_had_not_kept_in_standing(tmp_path: Path):
    store = old_store(tmp_path / "store")
    # one price moved ten minutes after `standing` was last written; what else that answer showed is not known
    moved = pd.DataFrame(prices("sharp", "match 00000", 30, last=30)[:1]).assign(price=3.2)
    write(
        tmp_path / "store",
        "quotes",
        moved.assign(phase="snapshot", collected_at=moved["observed_at"], source="x"),
    )

    assert store.upgrade() == 6

    assert withdrawn(store) == [("gone", 10.0), ("soft", 20.0)]


def test_a_store_of_a_later_layout_is_refused(tmp_path: Path):
    store = Store(str(tmp_path))
    store.append("quotes", ov.example(4).quotes)
    assert store.layout == 2
    DeltaTable(str(tmp_path / "quotes")).alter.set_table_description("Overround layout 3")

    for use in (
        lambda: store.read("quotes"),
        lambda: Store(str(tmp_path)).append("quotes", ov.example(5).quotes),
    ):
        with pytest.raises(StoreError, match=r"quotes is of layout 3, .* knows up to 2: update it"):
            use()
