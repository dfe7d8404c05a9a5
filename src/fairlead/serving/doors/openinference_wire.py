"""The Open Inference Protocol's bodies over REST: JSON, and tensors as bytes after it (Triton's binary extension).

```
{"inputs": [{… "parameters": {"binary_data_size": 24}}, {… "data": [1, 2]}]} │ 24 bytes
◀──────────────── Inference-Header-Content-Length ─────────────────────────▶ │ in the order of the inputs
```

Whether a body has such a tail is told by the length header alone: clients send no content type. What the tensors mean is
`tensors`' business; this module only finds them, and writes them down again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, cast

import msgspec

from fairlead.errors import InvalidInput
from fairlead.schema import Value
from fairlead.serving.doors.tensors import DATATYPES, Tensor, raw_of

__all__ = ["Asked", "Wanted", "header_length", "read_request", "write_response"]

_Parameters = dict[str, str | int | float | bool | None]


class _Input(msgspec.Struct, gc=False):
    name: str
    datatype: str
    shape: list[int]
    parameters: _Parameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Output(msgspec.Struct, gc=False):
    name: str
    parameters: _Parameters | None = None


class _Infer(msgspec.Struct, gc=False):
    inputs: list[_Input]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


class Wanted(msgspec.Struct, frozen=True):
    """An output that was asked for by name, whether as bytes, and as how many of its classes; 0 for its numbers."""

    name: str
    binary: bool
    classes: int = 0


class Asked(msgspec.Struct, frozen=True):
    """What a caller asks.

    Attributes:
        tensors: The inputs.
        id: The caller's own name for the request; empty where there is none.
        outputs: In the order they were asked for; empty for all.
        binary: Whether outputs that were not named come as bytes.
    """

    tensors: Sequence[Tensor]
    id: str = ""
    outputs: Sequence[Wanted] = ()
    binary: bool = False


_decode = msgspec.json.Decoder(_Infer).decode
_encode = msgspec.json.Encoder().encode
_NESTED: Final = re.compile(rb"\s*\[\s*\[")
_FLAT_TYPES: Final[dict[str, Any]] = {
    name: float if name[-4:-2] in {"FP", "BF"} else {"BOOL": bool, "BYTES": str}.get(name, int) for name in DATATYPES
}
_FLAT: Final = {name: msgspec.json.Decoder(list[one | None]) for name, one in _FLAT_TYPES.items()}  # type: ignore[valid-type]
_ROWS: Final = {name: msgspec.json.Decoder(list[list[one | None]]) for name, one in _FLAT_TYPES.items()}  # type: ignore[valid-type]


def header_length(header: bytes | None) -> int | None:
    """The value of `Inference-Header-Content-Length`; `None` where the whole body is JSON.

    Raises:
        InvalidInput: It is no number.
    """
    if header is None:
        return None
    if not header.isdigit() or len(header) > 10:
        raise InvalidInput("Inference-Header-Content-Length is not a number of bytes.")
    return int(header)


def read_request(body: bytes, header: int | None) -> Asked:
    """Read a request.

    Args:
        body: JSON, and behind it the binary tensors.
        header: How long the JSON is; `None` for all of the body.

    Raises:
        InvalidInput: The body is not as the protocol says.
    """
    if header is not None and header > len(body):
        raise InvalidInput(f"Inference-Header-Content-Length is {header}; the body has {len(body)} bytes.")
    text = body if header is None else body[:header]
    try:
        found = _decode(text)
        _refuse_twins(text, found)
        tail = memoryview(b"" if header is None else body)[header or 0 :]
        tensors = _tensors(found.inputs, tail)
    except (msgspec.DecodeError, UnicodeDecodeError, json.JSONDecodeError) as err:
        raise InvalidInput(f"The request is not as the protocol says: {err}.") from err
    except RecursionError as err:
        raise InvalidInput("The request is nested too deeply.") from err
    binary = _flag(found.parameters, "binary_data_output", otherwise=False)
    wanted = tuple(_wanted(one, binary=binary) for one in found.outputs or ())
    return Asked(tensors, found.id or "", wanted, binary)


def write_response(
    name: str, version: str, request_id: str, tensors: Sequence[Tensor], binary: Sequence[bool]
) -> tuple[bytes, int | None]:
    """Write an answer.

    Args:
        name: The endpoint's.
        version: The version's number.
        request_id: The caller's name for the request, or ours.
        tensors: The outputs.
        binary: For each of them, whether it comes as bytes.

    Returns:
        The body, and how much of it is JSON where bytes follow.
    """
    outputs, tail = [], []
    for tensor, as_bytes in zip(tensors, binary, strict=True):
        told: dict[str, object] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if as_bytes:
            tail.append(raw_of(tensor))
            told["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            told["data"] = tensor.data
        outputs.append(told)
    head = _encode({"model_name": name, "model_version": version, "id": request_id, "outputs": outputs})
    return (head + b"".join(tail), len(head)) if tail else (head, None)


def _tensors(inputs: Sequence[_Input], tail: memoryview) -> list[Tensor]:
    """The inputs with their data: from the JSON, or their share of the tail."""
    found, position = [], 0
    for one in inputs:
        size = None if one.parameters is None else one.parameters.get("binary_data_size")
        data: Sequence[Value] | memoryview
        if one.parameters is not None and "shared_memory_region" in one.parameters:
            raise InvalidInput("Shared memory is not served.", hint="Send the tensor in the request.")
        if size is None:
            data = _values(one)
        elif type(size) is not int or size < 0 or one.data is not msgspec.UNSET:
            raise InvalidInput(f"Input {one.name[:80]!r}: give `data`, or the number of bytes as `binary_data_size`.")
        else:
            data = tail[position : position + size]
            position += size
        found.append(Tensor(one.name, one.datatype, tuple(one.shape), data))
    if position != len(tail):
        raise InvalidInput(f"The inputs need {position} bytes after the JSON; the body has {len(tail)}.")
    return found


def _values(one: _Input) -> Sequence[Value]:
    """The values of `data`, flat or as rows."""
    if isinstance(one.data, msgspec.UnsetType):
        raise InvalidInput(f"Input {one.name[:80]!r} has no `data`.")
    if one.datatype not in DATATYPES:
        raise InvalidInput(f"Input {one.name[:80]!r}: there is no datatype {one.datatype[:40]!r}.")
    if not _NESTED.match(one.data):
        return cast("list[Value]", _FLAT[one.datatype].decode(one.data))
    rows = _ROWS[one.datatype].decode(one.data)
    if len(one.shape) != 2 or len(rows) != one.shape[0] or any(len(row) != one.shape[1] for row in rows):
        raise InvalidInput(f"Input {one.name[:80]!r}: its nested `data` do not have the shape {one.shape[:8]}.")
    return list(chain.from_iterable(rows))


def _wanted(one: _Output, *, binary: bool) -> Wanted:
    if one.parameters is None:
        return Wanted(one.name, binary)
    if "shared_memory_region" in one.parameters:
        raise InvalidInput(f"Output {one.name[:80]!r}: shared memory is not served.")
    classes = one.parameters.get("classification") or 0
    if type(classes) is not int:
        raise InvalidInput("The parameter `classification` is a number of classes.")
    return Wanted(one.name, _flag(one.parameters, "binary_data", otherwise=binary), classes)


def _flag(parameters: _Parameters | None, name: str, *, otherwise: bool) -> bool:
    value = None if parameters is None else parameters.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, bool):
        raise InvalidInput(f"The parameter `{name}` is true or false.")
    return value


def _refuse_twins(text: bytes, found: _Infer) -> None:
    """Refuse an object that says the same thing twice.

    Each member has one colon. A text with as many colons as what was understood has members cannot hold a duplicate; any
    other (colons in texts, members that we do not know) is read again to be sure.
    """
    members = _given(found, ("id", "parameters", "outputs")) + 1
    for one in found.inputs:
        members += 3 + _given(one, ("parameters",)) + (one.data is not msgspec.UNSET)
    for wanted in found.outputs or ():
        members += 1 + _given(wanted, ("parameters",))
    if text.count(b":") != members:
        # As float, an integer of ten thousand digits is read, too.
        json.loads(text, object_pairs_hook=_without_twins, parse_int=float)


def _given(part: object, names: Sequence[str]) -> int:
    """How many members these optional parts had, with those of `parameters`."""
    values = [getattr(part, name) for name in names]
    return sum(1 + (len(value) if isinstance(value, dict) else 0) for value in values if value is not None)


def _without_twins(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise InvalidInput("A JSON object has the same key twice.")
