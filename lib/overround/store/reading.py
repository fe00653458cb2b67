"""Rows of a table as a frame: conditions go down to the files, and text stays encoded on the way."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overround.encoding import ENCODED, to_frame
from overround.errors import StoreError
from overround.schema import TABLES, TEXT, Table
from overround.store.catalog import Catalog, find_table
from overround.store.commits import dataset
from overround.store.data_files import in_order
from overround.store.object_store import hint, short

if TYPE_CHECKING:
    from deltalake import DeltaTable

Version = int | str | Mapping[str, int] | None
Condition = Mapping[str, Any] | None
_READ_WITH_KICK_OFF = ("quotes", "results")


def read(
    catalog: Catalog,
    name: str,
    where: Condition = None,
    columns: Iterable[str] | None = None,
    version: Version = None,
) -> pd.DataFrame:
    """Rows of a table, as `Store.read` describes them."""
    table = find_table(name)
    wanted = _checked_columns(table, columns, where)
    own = [column for column in wanted if column in table.columns]
    if own == wanted:
        return _stored(catalog, table, own, where, version)
    # the kick-off is the event's: it is read from there, and no condition may name it
    key = [] if "event_id" in own else ["event_id"]
    frame = _stored(catalog, table, [*own, *key], where, version)
    version = None if isinstance(version, int) else version
    frame["starts_at"] = _kick_offs(catalog, frame["event_id"], where, version)
    return frame[wanted]


def version_of(name: str, version: Version) -> int | None:
    """The version of one table in what `Store.version` returned; None for the newest.

    Raises
    ------
    StoreError
        For a text that is not of that form.
    """
    if version is None or isinstance(version, int):
        return version
    if isinstance(version, str):
        try:
            version = {
                table: int(number)
                for table, number in (part.split("=") for part in version.split(",") if part)
            }
        except ValueError:
            raise StoreError(
                f"version {version!r} cannot be read; it looks like 'events=3,quotes=12,results=3'."
            ) from None
    return version.get(name)


def _checked_columns(table: Table, columns: Iterable[str] | None, where: Condition) -> list[str]:
    """The columns asked for, in the table's order; the kick-off, which some are read with, is last."""
    readable = [*table.columns, *(["starts_at"] if table.name in _READ_WITH_KICK_OFF else [])]
    asked = readable if columns is None else list(columns)
    unknown = [column for column in asked if column not in readable]
    unknown += [column for column in where or {} if column not in table.columns]
    if unknown:
        raise StoreError(
            f"table {table.name} has no column {unknown[0]!r}; it has {', '.join(table.columns)}."
        )
    return [column for column in readable if column in asked]


def _stored(
    catalog: Catalog, table: Table, columns: list[str], where: Condition, version: Version
) -> pd.DataFrame:
    delta = catalog.open(table.name, version_of(table.name, version))
    if delta is None:
        return to_frame(table.schema.empty_table())[columns]
    try:
        return to_frame(_rows(table, delta, columns, where))
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"store {catalog.root}: {table.name} cannot be read ({short(error)}).{hint(error)}"
        ) from None


def _rows(table: Table, delta: "DeltaTable", columns: list[str], where: Condition) -> pa.Table:
    """Rows with the text columns in `ENCODED` as dictionaries: never the strings of all rows at once."""
    texts = {name for name in ENCODED if table.columns.get(name) == TEXT}
    conditions = {name: _values(value) for name, value in (where or {}).items()}
    # a column with a condition is encoded after it is met: Arrow 26 skips row groups by the bounds of text,
    # not of dictionaries (no issue upstream found)
    files = dataset(
        table,
        delta,
        _log_condition(table, conditions),
        encoded=texts - (conditions.keys() - set(table.partition)),
    )
    chosen = [(name, "in", values) for name, values in conditions.items()]
    wanted = {name: pc.field(name) for name in columns}
    for name in (texts & conditions.keys() & set(columns)) - set(table.partition):
        wanted[name] = wanted[name].cast(pa.dictionary(pa.int32(), TEXT))
    # the C library's memory: Arrow's own pool keeps what decoding took beside the frame, and is slower here
    pool = pa.system_memory_pool()
    return in_order(files).to_table(
        columns=wanted, filter=pq.filters_to_expression(chosen) if chosen else None, memory_pool=pool
    )


def _log_condition(table: Table, conditions: dict[str, list]) -> list[tuple[str, str, list[str]]]:
    """The part of a condition that the log answers without opening a file."""
    return [
        (name, "in", values)
        for name, values in conditions.items()
        if name in table.partition and values and all(isinstance(value, str) for value in values)
    ]


def _values(value: Any) -> list:
    return list(value) if isinstance(value, list | tuple | set | frozenset | pd.Series) else [value]


def _kick_offs(catalog: Catalog, event_ids: pd.Series, where: Condition, version: Version) -> Any:
    """When the event of each row starts, NaT where it is unknown."""
    near = {name: value for name, value in (where or {}).items() if name in TABLES["events"].partition}
    events = event_ids.cat.categories
    starts = _starts(catalog, near, version)
    place = starts.index.get_indexer(events)
    if near and (place < 0).any():  # an event may have moved to another season
        elsewhere = _starts(catalog, {"event_id": events[place < 0].tolist()}, version)
        starts = pd.concat([starts, elsewhere])
        place = starts.index.get_indexer(events)
    return starts.array.take(place, allow_fill=True).take(event_ids.cat.codes, allow_fill=True)


def _starts(catalog: Catalog, where: Condition, version: Version) -> pd.Series:
    events = read(catalog, "events", where, ("event_id", "starts_at"), version)
    return pd.Series(events["starts_at"].array, events["event_id"].astype("str"))
