"""Parts: Parquet files of events, each with what is needed to understand it by itself.

Written with a checksum a page, so that a disk that forgets is noticed; statistics of time alone, by which a reader of one hour passes
over the rest of the day.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fairlead.archive.manifest import Kind
from fairlead.events import Columns

__all__ = [
    "ROWS",
    "Meaning",
    "fitted",
    "layout_of",
    "read_meaning",
    "slices",
    "types_of",
    "united",
    "write_table",
    "writer",
]

ROWS: Final = 100_000
"""Rows of a row group, and of what is read at once."""

_META: Final = b"fairlead"

_LETTERS: Final = {pa.float64(): "f", pa.int64(): "i", pa.bool_(): "b", pa.string(): "s", pa.null(): "-"}
_BY_LETTER: Final = {letter: kind for kind, letter in _LETTERS.items()}


class Meaning(msgspec.Struct, frozen=True):
    """What a part says of itself.

    Attributes:
        kind: What its rows are.
        endpoint: Whose.
        columns: What the positions of predictions mean: one for each version, all with the same inputs and classes.
    """

    kind: Kind
    endpoint: str
    columns: tuple[Columns, ...] = ()


def layout_of(columns: Columns | None) -> str:
    """The same for versions with the same inputs and classes, in hex; empty for what has none."""
    if columns is None:
        return ""
    return blake2b(msgspec.json.encode((columns.inputs, columns.classes)), digest_size=8).hexdigest()


def _varies(name: str) -> bool:
    """Whether the data decide a column's type."""
    return name.startswith("input.") or name == "prediction"


def types_of(schema: pa.Schema) -> str:
    """A letter for each column whose type the data decide."""
    return "".join(_LETTERS[field.type] for field in schema if _varies(field.name))


def united(one: str, other: str) -> str | None:
    """The types of both together; `None` where a column has two."""
    if len(one) != len(other):
        return None
    pairs = list(zip(one, other, strict=True))
    if any(a != b and "-" not in {a, b} for a, b in pairs):
        return None
    return "".join(b if a == "-" else a for a, b in pairs)


def fitted(batch: Any, types: str) -> Any:
    """A batch or table with these types: a column without any value takes any."""
    letters = iter(types)
    arrays, names = [], []
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        wanted = _BY_LETTER[next(letters)] if _varies(name) else array.type
        arrays.append(array if array.type == wanted else pa.nulls(len(array), wanted))
        names.append(name)
    return type(batch).from_arrays(arrays, names)


def writer(file: BinaryIO, schema: pa.Schema, meaning: Meaning) -> Any:
    """Writes tables as row groups; a context manager."""
    schema = schema.with_metadata({_META: msgspec.json.encode(meaning)})
    texts = [field.name for field in schema if field.type == pa.string() and field.name not in {"id", "key"}]
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=[*texts, "revision"],
        write_statistics=["time"],
        write_page_checksum=True,
    )


def write_table(file: BinaryIO, table: pa.Table, meaning: Meaning) -> None:
    """Write one table as a whole file."""
    with writer(file, table.schema, meaning) as into:
        into.write_table(table.cast(into.schema), row_group_size=ROWS)


def read_meaning(file: pq.ParquetFile) -> Meaning:
    """What an open part says of itself.

    Raises:
        ValueError: It says nothing that we know.
    """
    try:
        return msgspec.json.decode(file.schema_arrow.metadata[_META], type=Meaning)
    except (KeyError, TypeError, msgspec.DecodeError) as err:
        raise ValueError("it does not say what it holds") from err


def slices(
    path: Path, *, start: float = float("-inf"), end: float = float("inf"), columns: list[str] | None = None
) -> Iterator[tuple[Meaning, pa.RecordBatch]]:
    """A part in batches of at most `ROWS`; row groups outside of [start, end) are passed over, the others told whole.

    Args:
        path: The file.
        start: In seconds since 1970.
        end: In seconds since 1970.
        columns: The columns to read; all where it is `None`.

    Raises:
        OSError: The file cannot be read, or a page fails its checksum.
        ValueError: It is no part of ours (pyarrow's own errors are both).
    """
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        meaning = read_meaning(file)
        place = file.schema_arrow.get_field_index("time")
        groups = [at for at in range(file.num_row_groups) if _meets(file.metadata.row_group(at), place, start, end)]
        if groups:
            for batch in file.iter_batches(ROWS, row_groups=groups, columns=columns):
                yield meaning, batch


def _meets(group: Any, place: int, start: float, end: float) -> bool:
    statistics = group.column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.max >= start and statistics.min < end)
