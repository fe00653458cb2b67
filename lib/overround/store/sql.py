"""The tables as DuckDB sees them: each a view, all times in UTC."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from overround.schema import TABLES, TIME, encode_text
from overround.store.commits import dataset, quoted

if TYPE_CHECKING:
    from deltalake import DeltaTable


_BATCH = 122_880  # rows: one row group of DuckDB


def register(connection: Any, name: str, delta: "DeltaTable", is_local: bool) -> None:
    """A view of a table under its own name."""
    table = TABLES[name]
    files = delta.file_uris() if is_local else []
    if files:
        # the table's own files: DuckDB prunes and streams them itself, through a dataset it is 40 times
        # slower
        listing = ", ".join(map(quoted, files))
        source = f"read_parquet([{listing}], hive_partitioning=true, hive_types_autocast=false)"
        if [one.name for one in delta.schema().fields] != list(table.columns):
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
    # and skips what it rules out
    columns = ", ".join(
        f'make_timestamp(epoch_us("{column}")) AS "{column}"' if kind == TIME else f'"{column}"'
        for column, kind in table.columns.items()
    )
    connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {source}")  # noqa: S608


def encoded_batches(answer: Any) -> pa.Table:
    """The rows of DuckDB's answer, the columns in `schema.ENCODED` as dictionaries batch by batch."""
    reader = answer.to_arrow_reader(_BATCH)
    batches = [encode_text(pa.Table.from_batches([batch])) for batch in reader]
    return pa.concat_tables(batches or [encode_text(reader.schema.empty_table())])


def utc(answer: pa.Table) -> pa.Table:
    """An answer with its times as the tables have them."""
    kinds = [pa.field(one.name, TIME) if pa.types.is_timestamp(one.type) else one for one in answer.schema]
    return answer.cast(pa.schema(kinds))
