"""Rows of a table as a frame: conditions go down to the files, and text stays encoded on the way."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overround.encoding import ENCODED, to_frame
from overround.errors import StoreError
from overround.schema import HIDDEN, TABLES, TEXT, Table
from overround.store.catalog import Catalog, find_table
from overround.store.commits import dataset
from overround.store.data_files import in_order
from overround.store.object_store import hint, short

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from numpy.typing import NDArray

Version = int | str | Mapping[str, int] | None
Condition = Mapping[str, Any] | None
# columns of their event with which some tables are read
_OF_EVENT = {"quotes": ("starts_at", "last_asked_at"), "results": ("starts_at", "time_known")}
# whoever names one of these in a condition also sees what was retracted or retired
_SHOWS_HIDDEN = {"event_id", "status", "same_as"}


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
    if name == "events" and _SHOWS_HIDDEN.isdisjoint(where or {}):
        frame = _stored(catalog, table, list(dict.fromkeys([*own, "status"])), where, version)
        return _without(frame, frame["status"].isin(HIDDEN))[wanted]
    if name == "ledgers" and "event_id" in own:
        frame = _stored(catalog, table, list(table.columns), where, version)
        return under_current_ids(catalog, frame)[wanted]
    if name not in _OF_EVENT or (own == wanted and "event_id" in (where or {})):
        return _stored(catalog, table, own, where, version)
    # the kick-off is the event's, as what goes with it: read from there, and no condition may name it
    frame = _stored(catalog, table, list(dict.fromkeys([*own, "event_id"])), where, version)
    of_event, codes = _OF_EVENT[name], frame["event_id"].cat.codes
    events = _events_of(
        catalog, frame["event_id"].cat.categories, where, None if isinstance(version, int) else version
    )
    for column in set(of_event) & set(wanted):
        frame[column] = events[column].array.take(codes, allow_fill=True)
    if "event_id" not in (where or {}):
        frame = _without(frame, events["is_hidden"].to_numpy()[codes])
    return frame[wanted]


def under_current_ids(catalog: Catalog, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows under the ids that go on for retired ones, as `Store.current_ids` describes it."""
    columns = ["event_id", "same_as", "home", "away"]
    retired = _stored(catalog, TABLES["events"], columns, {"status": "retired"}, None)
    retired = retired.astype({"event_id": "str"}).set_index("event_id")
    given = frame["event_id"].astype("str")
    if not given.isin(retired.index).any():
        return frame
    on = retired["same_as"].to_dict()
    for name in on:
        seen = {name}
        while (then := on[name]) in on and then not in seen:  # it was retired itself later
            seen.add(then)
            on[name] = on[then]
    events = _stored(
        catalog, TABLES["events"], ["event_id", "home"], {"event_id": sorted(set(on.values()))}, None
    )
    home = dict(zip(events["event_id"].astype("str"), events["home"], strict=True))
    swapped = given.isin([name for name, then in on.items() if home.get(then) == retired["away"][name]])
    frame = frame.assign(event_id=given.map(on).fillna(given).astype(frame["event_id"].dtype.name))
    if "outcome" in frame and swapped.any():
        outcome = frame["outcome"].astype("str")
        other = outcome.map({"home": "away", "away": "home"}).fillna(outcome)
        frame = frame.assign(outcome=outcome.mask(swapped, other).astype(frame["outcome"].dtype.name))
        if "line" in frame:
            of_home = swapped & (frame["market"] == "spreads")
            frame["line"] = frame["line"].mask(of_home, -frame["line"] + 0.0)
    return frame


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
    """The columns asked for, in the table's order; those of the event, which some are read with, are last."""
    readable = [*table.columns, *_OF_EVENT.get(table.name, ())]
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
    # Arrow finds no type for a list without values
    if delta is None or not all(map(_values, (where or {}).values())):
        return to_frame(table.schema.empty_table())[columns]
    try:
        return to_frame(_rows(table, delta, columns, where))
    except (OSError, pa.ArrowException) as error:
        raise StoreError(
            f"store {catalog.root}: {table.name} cannot be read ({short(error)}).{hint(error)}"
        ) from None


def _rows(table: Table, delta: "DeltaTable", columns: list[str], where: Condition) -> pa.Table:
    """Rows with the text columns in `ENCODED` as dictionaries: never the strings of all rows at once."""
    # not a column that may be empty as a whole: Parquet then has a null among its words, and Arrow 26 cannot
    # unify these with the words of other files (ArrowNotImplementedError in `unify_dictionaries`)
    texts = {name for name in ENCODED if table.columns.get(name) == TEXT and name not in table.optional}
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


def _events_of(catalog: Catalog, ids: pd.Index, where: Condition, version: Version) -> pd.DataFrame:
    """Of each of these events its times, NaT where it is unknown, and whether it is hidden."""
    near = {
        name: value
        for name, value in (where or {}).items()
        if name in (*TABLES["events"].partition, "event_id")
    }
    events = _times_of(catalog, near, version)
    if near and not ids.isin(events.index).all():  # an event may have moved to another season
        elsewhere = {"event_id": ids.difference(events.index).tolist()}
        events = pd.concat([events, _times_of(catalog, elsewhere, version)])
    events = events.reindex(ids)
    return events.assign(is_hidden=events["status"].isin(HIDDEN))


def _times_of(catalog: Catalog, where: Condition, version: Version) -> pd.DataFrame:
    columns = ["event_id", "starts_at", "time_known", "last_asked_at", "status"]
    events = _stored(catalog, TABLES["events"], columns, where, version)
    return events.astype({"event_id": "str", "status": "str"}).set_index("event_id")


def _without(frame: pd.DataFrame, hidden: "NDArray[np.bool_] | pd.Series") -> pd.DataFrame:
    """The rows that are not hidden, with only their words as categories."""
    if not hidden.any():
        return frame
    frame = frame[~hidden].reset_index(drop=True)
    encoded = frame.columns[[isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes]]
    return frame.assign(**{name: frame[name].cat.remove_unused_categories() for name in encoded})
