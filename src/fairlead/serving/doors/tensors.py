"""Tables as tensors: what a client of the Open Inference Protocol sees of a schema, whatever carries its bytes.

A model takes a table, so a tensor client sees one tensor for each column, `[rows, 1]`, and, where every column is a number,
one matrix of all of them as well. This module knows no JSON and no protobuf: a door hands it `Tensor`s with values or with
little-endian bytes, and gets rows; it hands it answers, and gets `Tensor`s back.

```
Tensor (name, datatype, shape, data) ──sizes checked before a byte is read──▶ columns ──RowReader──▶ rows
answers ──▶ Tensor (prediction, probabilities, id) ──▶ values, or `raw_of` it
```

A missing entry is NaN, or `None` among values; in BYTES it is the empty text, where that is no category of the column's.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt

from fairlead.answer import Answer
from fairlead.errors import InvalidInput, SchemaMismatch, TooLarge
from fairlead.rows import RowReader
from fairlead.schema import Column, Row, Schema, Value, label_text

__all__ = ["DATATYPES", "Tensor", "TensorReader", "TensorSpec", "TensorWriter", "raw_of", "specs_of_inputs"]

_NUMPY: Final = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # the upper half of an FP32
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
DATATYPES: Final = frozenset({*_NUMPY, "BYTES"})
"""The protocol's datatypes, and Triton's BF16."""

_FLOATS: Final = frozenset({"FP16", "BF16", "FP32", "FP64"})
_INTEGERS: Final = DATATYPES - _FLOATS - {"BOOL", "BYTES"}
_DATATYPE: Final = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}
_READABLE: Final = {
    "number": _FLOATS | _INTEGERS,
    "integer": _FLOATS | _INTEGERS,
    "boolean": frozenset({"BOOL"}),
    "string": frozenset({"BYTES"}),
}
_KINDS: Final[dict[str, frozenset[type]]] = {
    **dict.fromkeys(_FLOATS, frozenset({float, int, type(None)})),
    **dict.fromkeys(_INTEGERS, frozenset({int, type(None)})),
    "BOOL": frozenset({bool, type(None)}),
    "BYTES": frozenset({str, bytes, type(None)}),
}
_DIM_END: Final = 2**31
_SAFE_INTEGER: Final = 2**53
_PREDICTION: Final = "prediction"
_PROBABILITIES: Final = "probabilities"
_ID: Final = "id"
_NO_CLASSES: Final[Mapping[str, int]] = {}


class TensorSpec(NamedTuple):
    """A tensor as metadata tells of it; -1 stands for any number of rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor with its data.

    Attributes:
        name: Of the column, or of the matrix.
        datatype: One of `DATATYPES`.
        shape: Its dimensions, row-major.
        data: Flat values (a missing entry is `None`), or little-endian bytes; BYTES are then prefixed by their lengths.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[Value | bytes] | bytes | memoryview


class TensorReader:
    """Reads tensors into the rows of one schema.

    Args:
        reader: The schema's own reader; it checks what the tensors hold, and says how many rows one request may have.
    """

    def __init__(self, reader: RowReader) -> None:
        self._reader = reader
        self._columns = {column.name: column for column in reader.schema.columns}
        self.specs = specs_of_inputs(reader.schema)
        """What a client may send: every column, or the matrix alone, which stands last where there is one."""
        self._all_numbers = all(column.type == "number" for column in reader.schema.columns)
        self._matrix = self.specs[-1].name if len(self.specs) > len(self._columns) else None

    def read(self, tensors: Sequence[Tensor]) -> list[Row]:
        """Read all columns in any order, or the matrix.

        Raises:
            InvalidInput: A tensor's shape, datatype and data do not agree, or there are too many tensors.
            SchemaMismatch: A column is missing or unknown, or an entry does not fit.
            TooLarge: There are more rows than one request may hold.
        """
        names = [tensor.name for tensor in tensors]
        if len(set(names)) != len(names):
            raise InvalidInput("Two inputs have the same name.")
        if self._matrix is not None and self._matrix in names:
            if len(tensors) > 1:
                raise InvalidInput(f"Send either {self._matrix!r} or one input for each column, not both.")
            return self._read_matrix(tensors[0])
        for tensor in tensors:
            self._check_column(tensor)
        known = self._columns
        columns = {one.name: _column(known[one.name], one) if one.name in known else () for one in tensors}
        return self._reader.from_columns(columns)

    def sole(self, data: bytes) -> Tensor:
        """The one input of a request that is nothing but its bytes; the number of rows follows from their number.

        Raises:
            InvalidInput: The model takes several inputs, or the bytes are no whole rows.
        """
        spec = self.specs[-1]
        if (self._matrix is None and len(self.specs) > 1) or spec.datatype == "BYTES":
            raise InvalidInput(
                "A raw body can only hold one tensor of numbers, and this model takes more than that.",
                hint="Say what it holds in a JSON header, and give its length in Inference-Header-Content-Length.",
            )
        width = spec.shape[1] * _NUMPY[spec.datatype].itemsize
        if not data or len(data) % width:
            raise InvalidInput(f"The body has {len(data)} bytes; a row of {spec.name!r} has {width}.")
        return Tensor(spec.name, spec.datatype, (len(data) // width, spec.shape[1]), data)

    def _check_column(self, tensor: Tensor) -> None:
        rows = self._check(tensor)
        if tensor.shape not in {(rows,), (rows, 1)}:
            raise _wrong_shape(tensor, "[rows, 1]")

    def _read_matrix(self, tensor: Tensor) -> list[Row]:
        rows, width = self._check(tensor), len(self._columns)
        if tensor.shape != (rows, width):
            raise _wrong_shape(tensor, f"[rows, {width}]")
        if tensor.datatype not in _READABLE["number"]:
            raise _wrong_datatype(tensor, "FP64")
        if self._all_numbers and tensor.datatype in _FLOATS and isinstance(tensor.data, bytes | memoryview):
            _check_length(tensor, rows * width)
            if np.isfinite(table := _array(tensor).reshape(rows, width)).all():
                return list(map(tuple, table.tolist()))
        flat = _values(tensor)
        columns = {
            column.name: _fitted(column, tensor, flat[place::width])
            for place, column in enumerate(self._columns.values())
        }
        return self._reader.from_columns(columns)

    def _check(self, tensor: Tensor) -> int:
        """Check the shape before anything is made of it; return the number of rows."""
        shape = tensor.shape
        if tensor.datatype not in DATATYPES:
            raise InvalidInput(f"Input {_shown(tensor)}: there is no datatype {tensor.datatype[:40]!r}.")
        if not 1 <= len(shape) <= 2 or not _is_size(shape[0]) or not _is_size(shape[-1]):
            raise InvalidInput(f"Input {_shown(tensor)}: its shape is not one or two sizes from 0 to 2^31 - 1.")
        rows, limit = shape[0], self._reader.max_rows
        if rows == 0:
            raise InvalidInput(f"Input {_shown(tensor)} has no row.", hint="Give at least one.")
        if rows > limit:
            raise TooLarge(
                f"{rows} rows are more than the {limit} that one request may hold.",
                hint="Send them in parts.",
                rows=rows,
                limit=limit,
            )
        return rows


class TensorWriter:
    """Writes answers of one schema as tensors."""

    def __init__(self, schema: Schema) -> None:
        output = schema.output
        self._datatype = _datatype_of(output.classes) if output.task == "classification" else "FP64"
        specs = [TensorSpec(_PREDICTION, self._datatype, (-1, 1))]
        if output.probabilities:
            specs.append(TensorSpec(_PROBABILITIES, "FP64", (-1, len(output.classes))))
        specs.append(TensorSpec(_ID, "BYTES", (-1, 1)))
        self.specs = tuple(specs)
        """What a client may ask for; without being asked, all of it is answered, in this order."""
        self._by_name = {spec.name: spec for spec in specs}

    def check(self, names: Sequence[str], classes: Mapping[str, int] = _NO_CLASSES) -> tuple[TensorSpec, ...]:
        """The outputs that were asked for, in their order; all of them where none was named.

        Args:
            names: Of the outputs.
            classes: By output, how many of its classes are asked for instead of its numbers, the likeliest first (Triton's
                classification extension).

        Raises:
            InvalidInput: There is no such output, one was named twice, or it has no classes.
        """
        if classes:
            return tuple(self._ranked(one, classes.get(one.name, 0)) for one in self.check(names))
        if not names:
            return self.specs
        if len(names) > len(self.specs) or len(set(names)) != len(names):
            raise InvalidInput("An output is named twice, or there are more than the model has.", hint=self._hint())
        unknown = [name for name in names if name not in self._by_name]
        if unknown:
            raise InvalidInput(f"There is no output {unknown[0][:80]!r}.", hint=self._hint())
        return tuple(self._by_name[name] for name in names)

    def write(self, answers: Sequence[Answer], specs: Iterable[TensorSpec]) -> list[Tensor]:
        """The answers as tensors of values, one for each of `specs`."""
        rows = len(answers)
        return [Tensor(one.name, one.datatype, (rows, one.shape[1]), self._values(one, answers)) for one in specs]

    def _ranked(self, spec: TensorSpec, count: int) -> TensorSpec:
        """The output as its likeliest classes, at most as many as there are."""
        if not count:
            return spec
        if spec.name != _PROBABILITIES or count < 0:
            raise InvalidInput(
                f"Output {spec.name!r} cannot be given as {count} classes.",
                hint=f"Ask {_PROBABILITIES!r} for one or more, or leave the parameter `classification` out.",
            )
        return TensorSpec(spec.name, "BYTES", (-1, min(count, spec.shape[1])))

    def _values(self, spec: TensorSpec, answers: Sequence[Answer]) -> list[Value | bytes]:
        if spec.name == _ID:
            return [answer.id for answer in answers]
        if spec.name == _PROBABILITIES and spec.datatype == "BYTES":
            return [text for answer in answers for text in _likeliest(answer, spec.shape[1])]
        if spec.name == _PROBABILITIES:
            return [chance for answer in answers for chance in (answer.probabilities or {}).values()]
        if spec.datatype == "BYTES":
            return [label_text(answer.prediction) for answer in answers]
        return [answer.prediction for answer in answers]

    def _hint(self) -> str:
        return f"The outputs are {', '.join(self._by_name)}."


def specs_of_inputs(schema: Schema) -> tuple[TensorSpec, ...]:
    """The tensors that a client may send: one for each column, then the matrix where every column is a number."""
    specs = [TensorSpec(column.name, _DATATYPE[column.type], (-1, 1)) for column in schema.columns]
    if all(column.type in {"number", "integer"} for column in schema.columns):
        name = "input"
        while name in schema.names:
            name += "_"
        specs.append(TensorSpec(name, "FP64", (-1, len(specs))))
    return tuple(specs)


def _likeliest(answer: Answer, count: int) -> list[str]:
    """The likeliest classes as "probability:index:label"; of equal ones the first stands first."""
    told = list((answer.probabilities or {}).items())
    places = sorted(range(len(told)), key=lambda place: -told[place][1])[:count]
    return [f"{told[place][1]!r}:{place}:{told[place][0]}" for place in places]


def raw_of(tensor: Tensor) -> bytes:
    """The tensor's data as little-endian bytes."""
    if isinstance(tensor.data, bytes | memoryview):
        return bytes(tensor.data)
    if tensor.datatype == "BYTES":
        parts = [one if isinstance(one, bytes) else str(one).encode() for one in tensor.data]
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)
    return np.asarray(tensor.data, dtype=_NUMPY[tensor.datatype]).tobytes()


def _column(column: Column, tensor: Tensor) -> Sequence[Value]:
    """A column's entries, of the column's type where they can be.

    Raises:
        InvalidInput: The data are not as shape and datatype say.
        SchemaMismatch: The datatype does not fit the column.
    """
    if tensor.datatype not in _READABLE[column.type]:
        raise _wrong_datatype(tensor, _DATATYPE[column.type])
    return _fitted(column, tensor, _values(tensor))


def _fitted(column: Column, tensor: Tensor, values: list[Value]) -> list[Value]:
    """Entries as their column has them; what does not fit is left as it is, for the row reader to refuse."""
    if column.type == "string":
        missing = column.nullable and "" not in column.categories
        return [None if one == "" else one for one in values] if missing else values
    if column.type == "integer" and tensor.datatype in _FLOATS:
        return [_whole(one) for one in values]
    if column.type == "number" and tensor.datatype in _INTEGERS:
        return [_exact(tensor, row, one) for row, one in enumerate(values)]
    return values


def _is_size(size: object) -> bool:
    return type(size) is int and 0 <= size < _DIM_END


def _whole(value: Value) -> Value:
    if type(value) is float and value.is_integer() and abs(value) <= _SAFE_INTEGER:
        return int(value)
    return value


def _exact(tensor: Tensor, row: int, value: Value) -> float | None:
    if value is None:
        return None
    number = float(cast("int", value))
    if number != value:
        raise SchemaMismatch(
            f"Input {_shown(tensor)}: {value} in row {row} is no exact FP64.", row=row, field=tensor.name
        )
    return number


def _values(tensor: Tensor) -> list[Value]:
    """The tensor's data as flat Python values.

    Raises:
        InvalidInput: The data are not as shape and datatype say.
    """
    count = math.prod(tensor.shape)
    if not isinstance(tensor.data, bytes | memoryview):
        return _checked(tensor, tensor.data, count)
    if tensor.datatype == "BYTES":
        return [_text(tensor, row, one) for row, one in enumerate(_split(tensor, count))]
    _check_length(tensor, count)
    return cast("list[Value]", _array(tensor).tolist())


def _check_length(tensor: Tensor, count: int) -> None:
    """Check the bytes of a tensor of numbers."""
    size = len(cast("bytes", tensor.data))
    expected = count * _NUMPY[tensor.datatype].itemsize
    if size != expected:
        raise InvalidInput(f"Input {_shown(tensor)} has {size} bytes; its shape and datatype need {expected}.")


def _array(tensor: Tensor) -> npt.NDArray[Any]:
    found: npt.NDArray[Any] = np.frombuffer(cast("bytes", tensor.data), dtype=_NUMPY[tensor.datatype])
    if tensor.datatype == "BF16":
        found = (found.astype("<u4") << 16).view("<f4")
    elif tensor.datatype == "BOOL":
        found = np.not_equal(found.view("u1"), 0)
    return found


def _checked(tensor: Tensor, values: Sequence[Value | bytes], count: int) -> list[Value]:
    """Values that came as such: as many as the shape says, all of the datatype."""
    if len(values) != count:
        raise InvalidInput(f"Input {_shown(tensor)} has {len(values)} values; its shape needs {count}.")
    kinds = set(map(type, values))
    if not kinds <= _KINDS[tensor.datatype]:
        raise InvalidInput(f"Input {_shown(tensor)}: not all of its values are {tensor.datatype}.")
    if bytes in kinds:
        return [_text(tensor, row, one) if isinstance(one, bytes) else one for row, one in enumerate(values)]
    if tensor.datatype in _INTEGERS:
        _check_range(tensor, [cast("int", one) for one in values if one is not None])
    if tensor.datatype in _FLOATS and int in kinds:
        return [_float(tensor, one) for one in values]
    return list(cast("Sequence[Value]", values))


def _float(tensor: Tensor, value: Value | bytes) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError as err:
        raise InvalidInput(f"Input {_shown(tensor)}: a value is out of the range of {tensor.datatype}.") from err


def _check_range(tensor: Tensor, values: list[int]) -> None:
    bounds = np.iinfo(cast("np.dtype[np.integer[Any]]", _NUMPY[tensor.datatype]))
    if values and (min(values) < bounds.min or max(values) > bounds.max):
        raise InvalidInput(f"Input {_shown(tensor)}: a value is out of the range of {tensor.datatype}.")


def _split(tensor: Tensor, count: int) -> Iterable[bytes]:
    """The elements of BYTES; never more than the shape says, never beyond the end.

    Raises:
        InvalidInput: The lengths and the data do not agree.
    """
    data, position = bytes(cast("bytes", tensor.data)), 0
    wrong = InvalidInput(f"Input {_shown(tensor)}: its bytes are not {count} elements, each after its length.")
    if len(data) < 4 * count:
        raise wrong
    found = []
    for _ in range(count):
        start = position + 4
        position = start + int.from_bytes(data[position:start], "little")
        if start > len(data) or position > len(data):
            raise wrong
        found.append(data[start:position])
    if position != len(data):
        raise wrong
    return found


def _text(tensor: Tensor, row: int, element: bytes) -> str:
    try:
        return element.decode()
    except UnicodeDecodeError as err:
        raise InvalidInput(f"Input {_shown(tensor)}: element {row} is not UTF-8.") from err


def _datatype_of(classes: Sequence[Value]) -> str:
    """The datatype of labels; labels of several types are written as text."""
    kinds = {type(one) for one in classes}
    names: Mapping[frozenset[type], str] = {
        frozenset({bool}): "BOOL",
        frozenset({int}): "INT64",
        frozenset({float}): "FP64",
        frozenset({int, float}): "FP64",
    }
    return names.get(frozenset(kinds), "BYTES")


def _wrong_shape(tensor: Tensor, expected: str) -> SchemaMismatch:
    shape = list(tensor.shape)
    return SchemaMismatch(
        f"Input {_shown(tensor)}: expected the shape {expected}, got {shape}.",
        field=tensor.name[:80],
        expected=expected,
        got=str(shape),
    )


def _wrong_datatype(tensor: Tensor, expected: str) -> SchemaMismatch:
    return SchemaMismatch(
        f"Input {_shown(tensor)}: expected the datatype {expected}, got {tensor.datatype}.",
        field=tensor.name[:80],
        expected=expected,
        got=tensor.datatype,
    )


def _shown(tensor: Tensor) -> str:
    return repr(tensor.name[:80])
