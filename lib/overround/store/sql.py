"""The tables as DuckDB sees them: each a view, all times in UTC."""

import glob
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from overround.encoding import encode_text
from overround.schema import TABLES, TIME
from overround.store.commits import dataset, files_of, quoted
from overround.store.data_files import local_folder

if TYPE_CHECKING:
    from deltalake import DeltaTable

_BATCH_ROWS = 122_880  # a row group of DuckDB


def register(connection: Any, name: str, delta: "DeltaTable") -> None:
    """A view of a table under its own name."""
    table = TABLES[name]
    folder = local_folder(delta)
    # DuckDB takes patterns, these are paths
    files = [
        glob.escape(str(folder / unquote(path)))
        for path in (files_of(table, delta, [])["path"].to_pylist() if folder else ())
        if folder
    ]
    if files:
        # the table's own files: DuckDB prunes and streams them itself; through a dataset it is 40 times
        # slower
        listing = ", ".join(map(quoted, files))
        source = f"read_parquet([{listing}], hive_partitioning=true, hive_types_autocast=false)"
        if [column.name for column in delta.schema().fields] != list(table.columns):
            # another version's table: its files may lack a column, which an empty table of all columns
            # supplies
            source = source[:-1] + ", union_by_name=true)"
            connection.register(f"_{name}", table.schema.empty_table())
            source = f"(SELECT * FROM {source} UNION ALL BY NAME SELECT * FROM _{name})"  # noqa: S608
    else:
        source = f"_{name}"
        connection.register(source, dataset(table, delta))
    # plain timestamps in UTC: a timestamp with a zone would be cut into days by the machine's own zone. In
    # these words and not as a cast, since DuckDB turns a condition on them into one on the file's own column,
    # and skips the row groups that it rules out
    columns = ", ".join(
        f'make_timestamp(epoch_us("{column}")) AS "{column}"' if kind == TIME else f'"{column}"'
        for column, kind in table.columns.items()
    )
    connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {source}")  # noqa: S608


def encoded_answer(answer: Any) -> pa.Table:
    """The rows of an answer with times in UTC, the text columns in `ENCODED` as dictionaries.

    Encoded batch by batch, so that the strings of all rows are never in memory at once.
    """
    reader = answer.to_arrow_reader(_BATCH_ROWS)
    batches = [encode_text(_in_utc(pa.Table.from_batches([batch]))) for batch in reader]
    return pa.concat_tables(batches) if batches else encode_text(_in_utc(reader.schema.empty_table()))


def _in_utc(rows: pa.Table) -> pa.Table:
    kinds = [
        pa.field(column.name, TIME) if pa.types.is_timestamp(column.type) else column
        for column in rows.schema
    ]
    return rows.cast(pa.schema(kinds))
