"""One row sent as the bytes of its columns: the request that comes most often, read without a detour.

It says the row or `None`, and never what is wrong: whatever is unusual is read again by `serving.tensors`, which knows all
datatypes and shapes and finds the words. Both must agree on every request, and a test compares them.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any, Final

from fairlead.schema import Column, Row, Schema

__all__ = ["OneRow"]

_SAFE_INTEGER: Final = 2**53
_UNREAD: Final[Any] = object()
"""Stands for what is not read here; compared by identity."""

_Decode = Callable[[bytes], Any]


class OneRow:
    """Reads one row of a schema.

    Args:
        schema: What the row must look like.
    """

    def __init__(self, schema: Schema) -> None:
        self._width = len(schema.columns)
        self._columns = {
            (column.name, datatype): (place, decode)
            for place, column in enumerate(schema.columns)
            for datatype, decode in _decoders(column).items()
        }

    def read(self, request: Any) -> Row | None:
        """The row of a `ModelInferRequest`; `None` where it must be read with care."""
        inputs, raw = request.inputs, request.raw_input_contents
        width = self._width
        if len(inputs) != width or len(raw) != width:
            return None
        row: list[Any] = [_UNREAD] * width
        for one, data in zip(inputs, raw, strict=True):
            found = self._columns.get((one.name, one.datatype))
            if found is None or one.shape != _SHAPE or one.HasField("contents"):
                return None
            place, decode = found
            if row[place] is not _UNREAD or (value := decode(data)) is _UNREAD:
                return None
            row[place] = value
        return tuple(row)


_SHAPE: Final = [1, 1]


def _decoders(column: Column) -> dict[str, _Decode]:
    """How a column's entry is read, by the datatypes in which it usually comes."""
    if column.type == "number":
        return {"FP64": _number("<d", nullable=column.nullable), "FP32": _number("<f", nullable=column.nullable)}
    if column.type == "integer":
        return {"INT64": _integer}
    if column.type == "boolean":
        return {"BOOL": _boolean}
    return {"BYTES": _text(missing=column.nullable and "" not in column.categories)}


def _number(form: str, *, nullable: bool) -> _Decode:
    unpack, size = struct.Struct(form).unpack, struct.calcsize(form)
    missing = None if nullable else _UNREAD

    def decode(data: bytes) -> Any:
        if len(data) != size:
            return _UNREAD
        (value,) = unpack(data)
        if math.isfinite(value):
            return value
        return missing if math.isnan(value) else _UNREAD

    return decode


def _integer(data: bytes) -> Any:
    value = int.from_bytes(data, "little", signed=True)
    return value if len(data) == 8 and -_SAFE_INTEGER <= value <= _SAFE_INTEGER else _UNREAD


def _boolean(data: bytes) -> Any:
    return data != b"\x00" if len(data) == 1 else _UNREAD


def _text(*, missing: bool) -> _Decode:
    def decode(data: bytes) -> Any:
        if len(data) < 4 or int.from_bytes(data[:4], "little") != len(data) - 4:
            return _UNREAD
        try:
            text = data[4:].decode()
        except UnicodeDecodeError:
            return _UNREAD
        return text if text or not missing else None

    return decode
