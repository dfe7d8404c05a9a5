"""A chunk of a table becomes the model's columns; what the columns cannot vouch for is read row by row.

The columns say of most entries that they are good. Of the rest (text where a number belongs, infinity, a missing entry) the
`RowReader` decides, as it does for a single request, so that a batch and the service never disagree about a row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fairlead.batch.arrays import numpy_of
from fairlead.batch.chunk import BadRow, Chunk
from fairlead.columns import Columns, Names, Numbers
from fairlead.errors import SchemaMismatch
from fairlead.predictor.columnar import numbers_of
from fairlead.rows import RowReader, boolean_of
from fairlead.schema import Column, Row, Schema

__all__ = ["Sorted", "sort_rows", "spelled_out", "taken", "typed"]

_Array = np.ndarray[Any, Any]
_SHOWN: Final = 200
_SAFE_INTEGER: Final = 2.0**53


class Sorted(NamedTuple):
    """A chunk's rows, sorted by what can be said of them; positions are those in the chunk's table.

    Attributes:
        sure: The positions of the rows that `columns` holds.
        columns: Good as they are.
        late: The positions of the rows that needed a closer look, and are good.
        rows: Those rows.
        bad: What is wrong with the others.
    """

    sure: _Array
    columns: Columns
    late: list[int]
    rows: list[Row]
    bad: list[BadRow]


def sort_rows(chunk: Chunk, reader: RowReader) -> Sorted:
    """Read a chunk. Raises nothing: what is wrong with a row is told of that row."""
    columns, doubtful = _read(chunk, reader.schema)
    if not doubtful.any():
        return Sorted(np.arange(len(doubtful)), columns, [], [], sorted(chunk.unreadable, key=lambda one: one.row))
    look = np.flatnonzero(doubtful)
    bad, late, rows = list(chunk.unreadable), [], []
    for at, given in zip(look.tolist(), _given(chunk, reader.schema, look), strict=True):
        number = chunk.start + at if chunk.numbers is None else chunk.numbers[at]
        found = _look(given, number, reader, text=chunk.text)
        if isinstance(found, BadRow):
            bad.append(found)
        else:
            late.append(at)
            rows.append(found)
    sure = np.flatnonzero(~doubtful)
    return Sorted(sure, taken(columns, sure), late, rows, sorted(bad, key=lambda one: one.row))


def taken(columns: Columns, positions: Any) -> Columns:
    """Some rows of a table; `positions` are positions or a slice."""
    return [
        Names(one.codes[positions], one.values)
        if isinstance(one, Names)
        else Numbers(one.values[positions], None if one.missing is None else one.missing[positions])
        for one in columns
    ]


def spelled_out(table: Any, coded: Mapping[str, Any]) -> Any:
    """A table whose texts stand in it plainly; `coded` are those that do not, and of which type they are."""
    for name, kind in coded.items():
        place = table.schema.get_field_index(name)
        if place >= 0:
            entries = table.column(place)
            plain = entries.cast(entries.type.value_type).cast(kind)
            table = table.set_column(place, table.schema.field(place).with_type(kind), plain)
    return table


def typed(table: Any, told: Sorted, schema: Schema) -> Any:
    """A text table, in which the columns that the model takes hold what the model was given; bad rows hold nothing there."""
    types = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
    for at, column in enumerate(schema.columns):
        place = table.schema.get_field_index(column.name)
        if place >= 0 and column.type != "string":
            entries = _given_numbers(told, at, table.num_rows).cast(types[column.type])
            table = table.set_column(place, column.name, entries)
    return table


def _given_numbers(told: Sorted, at: int, length: int) -> Any:
    """The entries of one column for all rows of a chunk, by position."""
    values, missing = np.zeros(length), np.ones(length, np.bool_)
    sure = told.columns[at]
    assert isinstance(sure, Numbers)
    values[told.sure], missing[told.sure] = np.nan_to_num(sure.values), False if sure.missing is None else sure.missing
    for position, row in zip(told.late, told.rows, strict=True):
        value = row[at]
        values[position], missing[position] = value or 0.0, value is None
    return pa.array(values, mask=missing)


def _read(chunk: Chunk, schema: Schema) -> tuple[Columns, _Array]:
    doubtful = np.zeros(chunk.table.num_rows, np.bool_)
    columns: list[Numbers | Names] = []
    for column in schema.columns:
        entries = _whole(chunk.table.column(column.name))
        if column.name in chunk.mixed:
            read, wrong = _hopeless(column, len(entries))
        elif column.type == "string":
            read, wrong = _names(entries, column, text=chunk.text)
        else:
            read, wrong = _numbers(entries, column, text=chunk.text)
        columns.append(read)
        doubtful |= wrong
    return columns, doubtful


def _whole(entries: Any) -> Any:
    """A column as one array; it is copied only where it is several."""
    if entries.num_chunks == 1:
        return entries.chunk(0)
    joined = entries.combine_chunks()
    # What does not fit into one array stays in several.
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _hopeless(column: Column, length: int) -> tuple[Numbers | Names, _Array]:
    """A column of which every entry needs a closer look."""
    every = np.ones(length, np.bool_)
    if column.type == "string":
        return Names(np.full(length, -1), ()), every
    return Numbers(np.full(length, np.nan), every), every


def _names(entries: Any, column: Column, *, text: bool) -> tuple[Numbers | Names, _Array]:
    encoded = _encoded(entries)
    if encoded is None:
        return _hopeless(column, len(entries))
    codes, missing = numpy_of(encoded.indices)
    codes = codes.astype(np.int64) if missing is None else np.where(missing, -1, codes.astype(np.int64))
    values = encoded.dictionary.to_pylist()
    if text:
        values, codes = _stripped(values, codes)
    return Names(codes, values), (codes < 0) & (not column.nullable)


def _encoded(entries: Any) -> Any | None:
    """Texts as a dictionary and each entry's place in it; `None` where they are none."""
    if pa.types.is_dictionary(entries.type):
        known = entries.dictionary
        # That of a whole file may be larger than what this chunk has of it.
        if _is_text(known.type) and not known.null_count and len(known) <= len(entries):
            return entries
        entries = entries.cast(entries.type.value_type)
    if pa.types.is_null(entries.type):
        entries = entries.cast(pa.string())
    if not _is_text(entries.type):
        return None
    if pa.types.is_string_view(entries.type):
        entries = entries.cast(pa.large_string())
    return entries.dictionary_encode()


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _stripped(values: list[str], codes: _Array) -> tuple[list[str], _Array]:
    """Texts of a CSV without blanks around them; an empty one is a missing entry."""
    bare = [value.strip() for value in values]
    if "" not in bare:
        return bare, codes
    renamed = np.array([*(-1 if value == "" else at for at, value in enumerate(bare)), -1], np.int64)
    return bare, renamed[codes]


def _numbers(entries: Any, column: Column, *, text: bool) -> tuple[Numbers | Names, _Array]:
    length = len(entries)
    if text and column.type == "boolean":
        return _truths(entries, column)
    if text and (entries := _cast(entries, column)) is None:
        return _hopeless(column, length)
    if pa.types.is_null(entries.type):
        entries = entries.cast(pa.bool_() if column.type == "boolean" else pa.float64())
    if pa.types.is_dictionary(entries.type):
        entries = entries.cast(entries.type.value_type)
    if not (
        pa.types.is_integer(entries.type) or pa.types.is_floating(entries.type) or pa.types.is_boolean(entries.type)
    ):
        return _hopeless(column, length)
    return numbers_of(*numpy_of(entries), column) or _hopeless(column, length)


def _truths(texts: Any, column: Column) -> tuple[Numbers, _Array]:
    """A CSV's texts as booleans; each distinct text is read once."""
    encoded = texts.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    read = [boolean_of(one.strip()) for one in encoded.dictionary.to_pylist()]
    values = np.array([np.nan if one is None or isinstance(one, str) else float(one) for one in read])[codes]
    odd = np.array([isinstance(one, str) for one in read], np.bool_)[codes]
    missing = np.isnan(values)
    return Numbers(values, missing), odd | (missing & (not column.nullable))


def _cast(texts: Any, column: Column) -> Any | None:
    """A CSV's texts as numbers; `None` where one of them needs a closer look."""
    try:
        bare = pc.utf8_trim_whitespace(texts)
        filled = pc.if_else(pc.equal(bare, ""), pa.scalar(None, pa.string()), bare)
        # Plain digits only: Arrow's reading of "nan", "1_0" or "0x1F" is not ours.
        if not pc.all(pc.match_substring_regex(filled, r"^[+-]?[0-9]+(\.[0-9]+)?$")).as_py():
            return _within(_cast_loosely(filled), column)
        return _within(filled.cast(pa.float64()), column)
    except pa.ArrowException:
        return None


def _cast_loosely(texts: Any) -> Any:
    """What Arrow and Python both read as the same number is cast; the rest is infinity, and so looked at more closely."""
    plain = pc.match_substring_regex(texts, r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$")
    return pc.if_else(plain, texts, "inf").cast(pa.float64())


def _within(numbers: Any, column: Column) -> Any:
    """Whole numbers that may have lost their last digit as doubles are looked at more closely, too."""
    if column.type != "integer":
        return numbers
    return pc.if_else(pc.greater_equal(pc.abs(numbers), _SAFE_INTEGER), math.inf, numbers)


def _given(chunk: Chunk, schema: Schema, positions: _Array) -> list[dict[str, Any]]:
    """Rows of a chunk as they were given, the model's columns only."""
    if not len(positions):
        return []
    part = chunk.table.select(list(schema.names)).take(pa.array(positions))
    if not chunk.mixed:
        return list(part.to_pylist())
    return [
        {name: json.loads(value) if name in chunk.mixed and value is not None else value for name, value in row.items()}
        for row in part.to_pylist()
    ]


def _look(given: dict[str, Any], number: int, reader: RowReader, *, text: bool) -> Row | BadRow:
    try:
        return reader.from_form(given) if text else reader.from_mappings([given])[0]
    except SchemaMismatch as error:
        field = error.values.get("field")
        shown = _shown(given.get(str(field))) if field is not None else None
        reason = error.detail.removeprefix("Row 0: ")
        expected = error.values.get("expected")
        return BadRow(
            number, reason, str(field) if field is not None else None, shown, str(expected) if expected else None
        )


def _shown(value: Any) -> Any:
    """An entry as JSON can hold it; long text is cut."""
    if isinstance(value, str):
        return value[:_SHOWN]
    return value if value is None or isinstance(value, bool | int) else str(value)[:_SHOWN]
