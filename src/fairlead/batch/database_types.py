"""What kinds of column a database's table can hold, and how a part of a table is written into it.

SQLite has no types for dates and decimals: there they are text, in the form that SQLAlchemy reads back (ISO 8601). PostgreSQL takes
a whole part by COPY, as CSV, which is made without holding the interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import sqlalchemy as sa

from fairlead.errors import InvalidInput

__all__ = ["kind_of", "postgresql_part", "sql_type", "sqlite_rows", "with_kinds"]

_ROWS: Final = 4096
"""Rows that are Python values at once."""


class _Kind(NamedTuple):
    """How a kind is declared, and what a part's entries are made before they are written; decimals stay as they are."""

    sql: Any
    arrow: Any


_KINDS: Final = {
    "boolean": _Kind(sa.Boolean(), pa.bool_()),
    "integer": _Kind(sa.BigInteger(), pa.int64()),
    "number": _Kind(sa.Double(), pa.float64()),
    "decimal": _Kind(sa.Numeric().with_variant(sa.Text(), "sqlite"), None),
    "text": _Kind(sa.Text(), pa.large_string()),
    "bytes": _Kind(sa.LargeBinary(), pa.large_binary()),
    "date": _Kind(sa.Date(), pa.date32()),
    "time": _Kind(sa.Time(), pa.time64("us")),
    "moment": _Kind(sa.DateTime(), pa.timestamp("us")),
    "moment in UTC": _Kind(sa.DateTime(timezone=True), pa.timestamp("us", "UTC")),
}


def sql_type(kind: str) -> Any:
    """How a column of a kind is declared, for SQLAlchemy."""
    return _KINDS[kind].sql


def kind_of(name: str, arrow: Any) -> str:
    """The kind of a column.

    Args:
        name: The column's, for the error.
        arrow: Its type. A column of which only missing entries are known is text.

    Raises:
        InvalidInput: A table of a database has no such columns.
    """
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if pa.types.is_timestamp(arrow):
        return "moment" if arrow.tz is None else "moment in UTC"
    for is_one, kind in _TESTS:
        if is_one(arrow):
            return kind
    raise InvalidInput(
        f"The column {name!r} is of the type {arrow}, which a database's table does not hold.",
        hint="Choose the columns to keep with --columns.",
    )


_TESTS: Final = (
    (pa.types.is_boolean, "boolean"),
    (pa.types.is_integer, "integer"),
    (pa.types.is_floating, "number"),
    (pa.types.is_decimal, "decimal"),
    (pa.types.is_string, "text"),
    (pa.types.is_large_string, "text"),
    (pa.types.is_string_view, "text"),
    (pa.types.is_null, "text"),
    (pa.types.is_binary, "bytes"),
    (pa.types.is_large_binary, "bytes"),
    (pa.types.is_fixed_size_binary, "bytes"),
    (pa.types.is_binary_view, "bytes"),
    (pa.types.is_date, "date"),
    (pa.types.is_time, "time"),
)


def with_kinds(table: Any, kinds: dict[str, str]) -> Any:
    """A part whose columns are of the kinds that the first part's were.

    Raises:
        InvalidInput: A column cannot be read as its kind without loss.
    """
    for at, (name, kind) in enumerate(kinds.items()):
        wanted, entries = _KINDS[kind].arrow, table.column(at)
        try:
            if pa.types.is_dictionary(entries.type):
                entries = entries.cast(entries.type.value_type)
            entries = entries.cast(pa.string() if wanted is None else wanted)
        except pa.ArrowException as err:
            raise InvalidInput(
                f"The column {name!r} began as {kind}, and further down it is {entries.type}.",
                hint="Make it of one type, or choose the columns to keep with --columns.",
            ) from err
        table = table.set_column(at, name, entries)
    return table


def postgresql_part(table: Any) -> bytes:
    """A part as the CSV that COPY reads: a missing entry is nothing, an empty text is quoted."""
    for at, name in enumerate(table.column_names):
        if pa.types.is_large_binary(table.column(at).type):
            hexed = [None if one is None else "\\x" + one.hex() for one in table.column(at).to_pylist()]
            table = table.set_column(at, name, pa.array(hexed, pa.string()))
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=False))
    return bytes(sink.getvalue())


def sqlite_rows(table: Any) -> Iterator[list[tuple[Any, ...]]]:
    """A part as rows of what SQLite holds, some thousands at a time."""
    for at, name in enumerate(table.column_names):
        entries = table.column(at)
        if pa.types.is_timestamp(entries.type):
            entries = entries.cast(pa.timestamp("us"))  # the same moment, without its zone
        if pa.types.is_temporal(entries.type):
            entries = pc.cast(entries, pa.string())
        table = table.set_column(at, name, entries)
    for start in range(0, table.num_rows, _ROWS):
        columns = [one.to_pylist() for one in table.slice(start, _ROWS).columns]
        yield list(zip(*columns, strict=True))
