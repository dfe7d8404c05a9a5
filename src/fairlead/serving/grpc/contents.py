"""Tensors in protobuf: a request's inputs become `Tensor`s, and `Tensor`s become a reply's outputs.

A client sends either typed contents in each input, or the bytes of all of them at the top of the request; the reply comes in
the form in which the request came. Nothing here goes through elements one by one: protobuf's lists and numpy's buffers do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from fairlead.errors import InvalidInput
from fairlead.serving.doors.tensors import DATATYPES, Tensor, raw_of
from fairlead.serving.grpc.messages import message

__all__ = ["FIELD", "read_inputs", "write_outputs"]

FIELD: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where typed contents of a datatype stand. FP16 and BF16 have no field: they travel as bytes only."""

_TensorContents: Final = message("inference.InferTensorContents")
_Output: Final = message("inference.ModelInferResponse.InferOutputTensor")


def read_inputs(request: Any) -> list[Tensor]:
    """The inputs of a `ModelInferRequest`.

    Raises:
        InvalidInput: Bytes and typed contents are mixed, or stand in the wrong place.
    """
    inputs, raw = request.inputs, request.raw_input_contents
    if not raw:
        return [Tensor(one.name, one.datatype, tuple(one.shape), _typed(one)) for one in inputs]
    if len(raw) != len(inputs):
        raise InvalidInput(
            f"There are {len(inputs)} inputs and {len(raw)} entries in raw_input_contents.",
            hint="Send one entry for each input, or typed contents for all of them.",
        )
    if any(one.HasField("contents") for one in inputs):
        raise InvalidInput("Some inputs have contents although raw_input_contents is used.", hint="Use one of the two.")
    return [Tensor(one.name, one.datatype, tuple(one.shape), data) for one, data in zip(inputs, raw, strict=True)]


def _typed(tensor: Any) -> list[Any]:
    """The typed contents of one input.

    Raises:
        InvalidInput: They stand in a field of another datatype, or the datatype has none.
    """
    field = FIELD.get(tensor.datatype)
    if field is None and tensor.datatype in DATATYPES:
        raise InvalidInput(
            f"Input {tensor.name[:80]!r}: {tensor.datatype} has no typed contents.",
            hint="Send it in raw_input_contents.",
        )
    filled = [one.name for one, _ in tensor.contents.ListFields()]
    if any(name != field for name in filled):
        raise InvalidInput(
            f"Input {tensor.name[:80]!r}: {tensor.datatype[:40]!r} and {filled[0]} do not belong together.",
            hint=f"Put its data into {field}." if field else "",
        )
    return list(getattr(tensor.contents, field)) if field else []


def write_outputs(reply: Any, tensors: Sequence[Tensor], *, raw: bool) -> None:
    """Put tensors into a `ModelInferResponse`, as bytes or as typed contents."""
    if raw:
        reply.outputs.extend([_Output(name=one.name, datatype=one.datatype, shape=one.shape) for one in tensors])
        reply.raw_output_contents.extend([raw_of(one) for one in tensors])
        return
    for one in tensors:
        contents = _TensorContents(**{FIELD[one.datatype]: _values(one)})
        reply.outputs.append(_Output(name=one.name, datatype=one.datatype, shape=one.shape, contents=contents))


def _values(tensor: Tensor) -> Iterable[Any]:
    if tensor.datatype != "BYTES":
        return tensor.data
    return [one if isinstance(one, bytes) else str(one).encode() for one in tensor.data]
