"""Parquet files written one behind the other become one Parquet file: a footer that names all their row groups.

A Parquet file is readable only once its footer is written, and what was written before a process was killed is lost. So each part of
an output is a whole Parquet file of its own, made in a thread of its own; they follow each other in one file, and at the end comes a
footer in which every offset is moved by where its part begins. No page is read or encoded twice.

The footer is Thrift's compact protocol. It is taken apart by its wire types alone; only the fields that hold an offset, a number of
rows or an ordinal are known here by their numbers (Apache Parquet, parquet.thrift).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

__all__ = ["MAGIC", "footer_of", "joined_footer"]

MAGIC: Final = b"PAR1"

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
_NUM_ROWS, _ROW_GROUPS = 3, 4  # of FileMetaData
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7  # of RowGroup
_META_DATA = 3  # of ColumnChunk
_CHUNK_OFFSETS: Final = (2, 4, 6)  # file, offset index, column index
_META_OFFSETS: Final = (9, 10, 11, 14)  # data page, index page, dictionary page, bloom filter


class _Field(NamedTuple):
    """A value with its wire type."""

    kind: int
    value: Any


_Struct = dict[int, _Field]


def footer_of(part: bytes) -> bytes:
    """The footer of a whole Parquet file: Thrift bytes.

    Raises:
        ValueError: It is none.
    """
    if len(part) < 12 or part[-4:] != MAGIC:
        raise ValueError("this is no Parquet file")
    (length,) = struct.unpack("<I", part[-8:-4])
    return part[-8 - length : -8]


def joined_footer(footers: Sequence[bytes], lengths: Sequence[int]) -> bytes:
    """What to write behind parts so that together they are one file.

    Args:
        footers: Of each part, at least one; all have the same schema.
        lengths: Of each part, in bytes.
    """
    first = _Reader(footers[0]).struct()
    groups: list[_Struct] = []
    begin = rows = 0
    for footer, length in zip(footers, lengths, strict=True):
        told = _Reader(footer).struct()
        rows += told[_NUM_ROWS].value
        for group in told[_ROW_GROUPS].value[1]:
            groups.append(_moved(group, begin, len(groups)))
        begin += length
    first[_NUM_ROWS] = _Field(_I64, rows)
    first[_ROW_GROUPS] = _Field(_LIST, (_STRUCT, groups))
    told_bytes = _written(first)
    return told_bytes + struct.pack("<I", len(told_bytes)) + MAGIC


def _moved(group: _Struct, by: int, ordinal: int) -> _Struct:
    """A row group whose bytes begin `by` later in the file."""
    chunks = []
    for chunk in group[_COLUMNS].value[1]:
        there = _shifted(chunk, _CHUNK_OFFSETS, by)
        there[_META_DATA] = _Field(_STRUCT, _shifted(chunk[_META_DATA].value, _META_OFFSETS, by))
        chunks.append(there)
    found = _shifted(group, (_GROUP_OFFSET,), by)
    found[_COLUMNS] = _Field(_LIST, (_STRUCT, chunks))
    if _ORDINAL in found:
        found[_ORDINAL] = _Field(_I16, ordinal)
        if ordinal >= 2**15:  # it is optional, and too small for more
            del found[_ORDINAL]
    return found


def _shifted(told: _Struct, fields: Sequence[int], by: int) -> _Struct:
    """A struct with some offsets moved; 0 stands for none."""
    return {
        number: _Field(one.kind, one.value + by) if number in fields and one.value else one
        for number, one in told.items()
    }


class _Reader:
    """Reads Thrift's compact protocol."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> _Struct:
        """One struct, up to its stop byte."""
        found: _Struct = {}
        number = 0
        while head := self._byte():
            kind = head & 15
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            found[number] = _Field(kind, None if kind in {_TRUE, _FALSE} else self._value(kind))
        return found

    def _value(self, kind: int) -> Any:
        if kind in {_I16, _I32, _I64}:
            return self._zigzag()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind in {_LIST, _SET}:
            return self._list()
        if kind == _DOUBLE:
            return self._take(8)
        if kind in {_BYTE, _TRUE, _FALSE}:  # a boolean in a list is a byte
            return self._byte()
        raise ValueError(f"a footer holds no field of kind {kind}")

    def _list(self) -> tuple[int, list[Any]]:
        head = self._byte()
        kind, size = head & 15, head >> 4
        if size == 15:
            size = self._varint()
        return kind, [self._value(kind) for _ in range(size)]

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def _varint(self) -> int:
        found = shift = 0
        while (byte := self._byte()) & 128:
            found |= (byte & 127) << shift
            shift += 7
        return found | byte << shift

    def _zigzag(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)


def _written(told: _Struct) -> bytes:
    parts, before = [], 0
    for number, field in sorted(told.items()):
        step = number - before
        parts.append(bytes([step << 4 | field.kind]) if 0 < step < 16 else bytes([field.kind]) + _zigzag(number))
        if field.kind not in {_TRUE, _FALSE}:
            parts.append(_value(field.kind, field.value))
        before = number
    return b"".join(parts) + b"\0"


def _value(kind: int, value: Any) -> bytes:
    if kind in {_I16, _I32, _I64}:
        return _zigzag(value)
    if kind == _BINARY:
        return _varint(len(value)) + bytes(value)
    if kind == _STRUCT:
        return _written(value)
    if kind in {_LIST, _SET}:
        entry, entries = value
        head = bytes([len(entries) << 4 | entry]) if len(entries) < 15 else bytes([240 | entry]) + _varint(len(entries))
        return head + b"".join(_value(entry, one) for one in entries)
    return bytes(value) if kind == _DOUBLE else bytes([value])


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 ^ value >> 63)
