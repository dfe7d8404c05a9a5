"""What a file is made of. Every kind of file is a row of parts, each made from one chunk, in a thread, and only ever appended.

A part of CSV or JSON lines is its lines (of `.gz`, a gzip member of its own); a part of Parquet is a whole Parquet file, and the
footer at the end joins them (see `parquet_parts`). So a file that was cut off is cut back to its last whole part, and goes on.

What a reader takes the columns of a Parquet file for is said by its first part alone. In its pages a text is the same whether Arrow
had it plain or as a dictionary; so behind the first part, in which they are plain, texts may come as dictionaries and are not hashed anew.
"""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fairlead.batch.parquet_parts import MAGIC, footer_of, joined_footer
from fairlead.errors import InvalidInput

__all__ = ["Parts", "open_parts"]

_FAST = 1
_REPEATED = 4
"""How often an entry of a dictionary must be used on average; a part's pages hold the whole of it, used or not."""


_JUDGED = 1024
"""Rows of a first part that tell whether a column's numbers repeat."""

_TEXTS = frozenset({"string", "large_string", "string_view"})


class Parts:
    """How answers are written into a file of some kind.

    Args:
        ending: ".parquet", ".csv" or ".jsonl".
        packed: Whether the file is compressed by gzip.
    """

    def __init__(self, ending: str, *, packed: bool) -> None:
        self._ending = ending
        self._packed = packed
        self._schema: Any = None
        self._repeating: list[str] = []
        self.keeps_text = ending == ".csv"
        self.keeps_codes = ending == ".parquet"

    def begin(self, table: Any) -> None:
        """Fix the columns' types, and which of them get a dictionary: by the first part."""
        self._schema = table.schema
        if self._ending == ".parquet":
            self._repeating = [name for name in table.column_names if _repeats(name, table.column(name))]

    def go_on(self, first: bytes) -> None:
        """Fix the same as `begin` did for the first part of a file that is gone on with."""
        if self._ending == ".parquet":
            told = pq.read_metadata(io.BytesIO(first))
            self._schema = told.schema.to_arrow_schema()
            self._repeating = _with_dictionary(told)

    def encode(self, table: Any, *, is_first: bool = False) -> bytes:
        """A table as a part of the file.

        Raises:
            InvalidInput: A column is of a kind that this file cannot hold, or is not of the type it began with.
        """
        try:
            data = self._part(table, is_first=is_first)
        except (pa.ArrowException, TypeError, ValueError) as err:
            reason = (str(err).splitlines() or [""])[0][:200]
            raise InvalidInput(
                f"An input's column cannot be written as {self._ending}: {reason}.",
                hint="Choose the columns to keep with --columns, or write .jsonl.",
            ) from err
        return gzip.compress(data, _FAST, mtime=0) if self._packed else data

    def end(self, path: Path, lengths: Sequence[int]) -> bytes:
        """What stands behind the last part.

        Args:
            path: The file with all its parts.
            lengths: Of the parts.
        """
        if self._ending != ".parquet" or not lengths:
            return b""
        return joined_footer(_footers(path, lengths), lengths)

    def _part(self, table: Any, *, is_first: bool) -> bytes:
        if self._ending == ".jsonl":
            return msgspec.json.Encoder().encode_lines(table.to_pylist())
        sink = pa.BufferOutputStream()
        if self._ending == ".csv":
            pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=is_first))
        else:
            fitting = table if table.schema == self._schema else _fitting(table, self._schema)
            pq.write_table(fitting, sink, use_dictionary=self._repeating, write_statistics=_told_of(fitting.schema))
        return bytes(sink.getvalue())


def open_parts(path: Path) -> Parts:
    """How the parts of a file are made, by its name's ending.

    Raises:
        InvalidInput: It is of a kind that is not written.
    """
    packed = path.name.endswith(".gz")
    ending = Path(path.name.removesuffix(".gz")).suffix
    if ending not in {".parquet", ".csv", ".jsonl"} or (packed and ending == ".parquet"):
        raise InvalidInput(
            f"{path.name!r} is of a kind that is not written.",
            hint="Known are .parquet, .csv, .jsonl, .csv.gz, .jsonl.gz.",
        )
    return Parts(ending, packed=packed)


def _repeats(name: str, entries: Any) -> bool:
    """Whether a dictionary of a column's entries is worth its time and space. One of numbers that hardly repeat costs both."""
    if name.startswith("probability_"):
        return False
    tests = (pa.types.is_integer, pa.types.is_float32, pa.types.is_float64, pa.types.is_timestamp)
    if len(entries) < _JUDGED or not any(is_one(entries.type) for is_one in tests):
        return True
    return bool(_REPEATED * pc.count_distinct(entries).as_py() <= len(entries))


def _with_dictionary(told: pq.FileMetaData) -> list[str]:
    """The columns that have a dictionary in a part."""
    if not told.num_row_groups:
        return list(told.schema.to_arrow_schema().names)
    chunks = [told.row_group(0).column(at) for at in range(told.num_columns)]
    return [one.path_in_schema for one in chunks if one.has_dictionary_page]


def _fitting(table: Any, begun: Any) -> Any:
    """A table of the types that the file began with, but for texts that are dictionaries and may stay so."""
    fields = list(begun)
    for at, field in enumerate(begun):
        entries = table.column(at)
        if pa.types.is_dictionary(field.type) or not pa.types.is_dictionary(entries.type):
            continue
        if _stays_coded(entries, field.type):
            fields[at] = field.with_type(entries.type)
        else:
            table = table.set_column(at, field.name, entries.cast(entries.type.value_type))
    return table.cast(pa.schema(fields))


def _told_of(schema: Any) -> bool | list[str]:
    """The columns whose least and greatest entry are told. Of a text that comes as a dictionary any part has about all, and finding them is dear."""
    told = [field.name for field in schema if not pa.types.is_dictionary(field.type)]
    return told if len(told) < len(schema) else True


def _stays_coded(entries: Any, begun: Any) -> bool:
    repeats = all(_REPEATED * len(one.dictionary) <= len(one) for one in entries.chunks)
    return repeats and pa.types.is_string(entries.type.value_type) and str(begun) in _TEXTS


def _footers(path: Path, lengths: Sequence[int]) -> list[bytes]:
    """The footer of each part; only they are read."""
    found, end = [], 0
    with path.open("rb") as file:
        for length in lengths:
            end += length
            file.seek(end - 8)
            size, magic = struct.unpack("<I4s", file.read(8))
            assert magic == MAGIC
            file.seek(end - 8 - size)
            found.append(footer_of(file.read(size + 8) if size + 8 >= 12 else b""))
    return found
