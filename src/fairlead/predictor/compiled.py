"""Answers by a compiled graph, in this process: rows → tensors → ONNX Runtime → outcomes.

This is the model's part of the hot path. A row becomes the bytes of a float64 matrix: numbers are packed as they are, and a
category is one dictionary look-up that gives the finished bytes of its block. There is no per-cell numpy work.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

import numpy as np
import onnxruntime

from fairlead.errors import BundleError, PredictionFailed
from fairlead.formats.layout import CategoryInput, ColumnsLayout, Layout, MatrixLayout, NumberInput, Result
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.unseen import known_categories, unseen
from fairlead.schema import Row, Schema, Value

__all__ = ["CompiledPredictor", "compiled", "open_compiled", "open_session"]

_Encoder = Callable[[Sequence[Row]], tuple[dict[str, Any], list[tuple[str, ...]] | None]]
"""Rows → the graph's feed, and each row's flags (`None` where no row has any)."""

_Reader = Callable[[list[Any]], list[tuple[Value, tuple[float, ...] | None]]]
"""The graph's outputs → prediction and probabilities of each row."""


class CompiledPredictor:
    """Answers rows by one ONNX Runtime session."""

    def __init__(self, session: Any, outputs: list[str], encode: _Encoder, read: _Reader) -> None:
        self._run = session.run
        self._outputs = outputs
        self._encode = encode
        self._read = read

    def answer(self, rows: Sequence[Row]) -> list[Outcome]:
        """Answer rows, in order.

        Raises:
            PredictionFailed: The graph failed or gave a number that is not finite.
        """
        try:
            feed, flags = self._encode(rows)
            found = self._read(self._run(self._outputs, feed))
        except PredictionFailed:
            raise
        except Exception as err:  # ONNX Runtime raises classes of its own without a common ancestor
            raise PredictionFailed("The compiled model could not answer.") from err
        if flags is None:
            return [Outcome(prediction, probabilities) for prediction, probabilities in found]
        return [Outcome(*pair, flag) for pair, flag in zip(found, flags, strict=True)]


def open_compiled(graph: bytes, layout: Layout, schema: Schema, *, threads: int = 1) -> CompiledPredictor:
    """Open a compiled graph.

    Args:
        graph: The ONNX model.
        layout: How rows become its tensors.
        schema: What the rows look like.
        threads: For one call; 1 in a gateway, where each core has its own process.

    Raises:
        BundleError: ONNX Runtime refuses the graph.
    """
    return compiled(open_session(graph, threads=threads), layout, schema)


def open_session(graph: bytes, *, threads: int = 1) -> Any:
    """Open a compiled graph as an ONNX Runtime session.

    Args:
        graph: The ONNX model.
        threads: For one call.

    Raises:
        BundleError: ONNX Runtime refuses the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is refused is told by our own error
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as err:  # as above
        raise BundleError("ONNX Runtime cannot open the compiled graph.", hint="Pack the model again.") from err
    return session


def compiled(session: Any, layout: Layout, schema: Schema) -> CompiledPredictor:
    """Answer rows by an opened graph."""
    classes = schema.output.classes
    if isinstance(layout, MatrixLayout):
        encode = _matrix_encoder(layout, schema)
        return CompiledPredictor(session, [layout.score], encode, _score_reader(layout.result, classes))
    read = _score_reader(layout.result, classes)
    if layout.label is None:
        return CompiledPredictor(session, [layout.score], _columns_encoder(layout, schema), read)
    return CompiledPredictor(
        session, [layout.score, layout.label], _columns_encoder(layout, schema), _labelled_reader(read, classes)
    )


def _matrix_encoder(layout: MatrixLayout, schema: Schema) -> _Encoder:
    """Rows → one float64 matrix, built as bytes from left to right."""
    parts = _parts(layout)
    known = known_categories(
        schema, {one.column: one.values for one in layout.inputs if isinstance(one, CategoryInput)}
    )
    width = sum(1 if isinstance(one, NumberInput) else len(one.unseen) for one in layout.inputs)
    tensor = layout.tensor

    def encode(rows: Sequence[Row]) -> tuple[dict[str, Any], list[tuple[str, ...]] | None]:
        cells = b"".join([part(row) for row in rows for part in parts])
        return {tensor: np.frombuffer(cells).reshape(len(rows), width)}, unseen(known, rows)

    return encode


def _parts(layout: MatrixLayout) -> list[Callable[[Row], bytes]]:
    """One function for each run of numbers and each category, from left to right."""
    parts: list[Callable[[Row], bytes]] = []
    for is_number, run in groupby(layout.inputs, lambda one: isinstance(one, NumberInput)):
        if is_number:
            parts.append(_pack_numbers(cast("list[NumberInput]", list(run))))
        else:
            parts.extend(_pack_category(one) for one in cast("list[CategoryInput]", list(run)))
    return parts


def _pack_numbers(inputs: list[NumberInput]) -> Callable[[Row], bytes]:
    columns = [one.column for one in inputs]
    missing = [math.nan if one.missing is None else one.missing for one in inputs]
    pack = struct.Struct(f"<{len(inputs)}d").pack
    if len(columns) == 1:
        (only,), (instead,) = columns, missing
        return lambda row: pack(instead if row[only] is None else row[only])
    pick = itemgetter(*columns)

    def numbers(row: Row) -> bytes:
        found = pick(row)
        if None in found:
            found = [instead if one is None else one for one, instead in zip(found, missing, strict=True)]
        return pack(*found)

    return numbers


def _pack_category(one: CategoryInput) -> Callable[[Row], bytes]:
    column, get, unseen = one.column, _cells(one).get, _pack(one.unseen)
    return lambda row: get(row[column], unseen)


def _cells(one: CategoryInput) -> dict[Value, bytes]:
    table: dict[Value, bytes] = {value: _pack(cells) for value, cells in zip(one.values, one.cells, strict=True)}
    table[None] = _pack(one.missing)
    return table


def _pack(cells: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(cells)}d", *cells)


def _columns_encoder(layout: ColumnsLayout, schema: Schema) -> _Encoder:
    """Rows → one tensor `[rows, 1]` a column."""
    types = {"double": np.float64, "float": np.float32, "int64": np.int64, "string": object, "bool": np.bool_}
    known = known_categories(schema)

    def encode(rows: Sequence[Row]) -> tuple[dict[str, Any], list[tuple[str, ...]] | None]:
        feed: dict[str, Any] = {}
        for one in layout.inputs:
            instead = math.nan if one.missing is None and one.dtype in {"double", "float"} else one.missing
            entries = [instead if row[one.column] is None else row[one.column] for row in rows]
            feed[one.tensor] = np.array(entries, dtype=types[one.dtype]).reshape(-1, 1)
        return feed, unseen(known, rows)

    return encode


def _score_reader(result: Result, classes: Sequence[Value]) -> _Reader:
    """The score tensor → predictions, by the rule that `Result` states."""
    if result == "value":
        return _read_values
    if result == "positive":
        return _positive_reader(classes)
    return _classes_reader(classes)


def _read_values(outputs: list[Any]) -> list[tuple[Value, tuple[float, ...] | None]]:
    values = outputs[0].reshape(-1).tolist()
    if not all(map(math.isfinite, values)):
        raise PredictionFailed("The model gave a number that is not finite.")
    return [(value, None) for value in values]


def _positive_reader(classes: Sequence[Value]) -> _Reader:
    negative, positive = classes

    def read(outputs: list[Any]) -> list[tuple[Value, tuple[float, ...] | None]]:
        scores = outputs[0].reshape(-1).tolist()
        if not all(map(math.isfinite, scores)):
            raise PredictionFailed("The model gave a probability that is not finite.")
        return [(positive if score > 0.5 else negative, (1.0 - score, score)) for score in scores]

    return read


def _classes_reader(classes: Sequence[Value]) -> _Reader:
    def read(outputs: list[Any]) -> list[tuple[Value, tuple[float, ...] | None]]:
        scores = outputs[0].reshape(-1, len(classes))
        if not np.isfinite(scores).all():
            raise PredictionFailed("The model gave a probability that is not finite.")
        best = scores.argmax(axis=1).tolist()
        return [(classes[index], tuple(row)) for index, row in zip(best, scores.tolist(), strict=True)]

    return read


def _labelled_reader(read: _Reader, classes: Sequence[Value]) -> _Reader:
    """Take the probabilities from the score and the label from the graph's own label tensor."""
    names: dict[Value, Value] = {**{str(one): one for one in classes}, **{one: one for one in classes}}

    def labelled(outputs: list[Any]) -> list[tuple[Value, tuple[float, ...] | None]]:
        labels = outputs[1].reshape(-1).tolist()
        return [(names[label], probabilities) for label, (_, probabilities) in zip(labels, read(outputs), strict=True)]

    return labelled
