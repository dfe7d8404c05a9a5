"""Events as columns: what a row of a segment is in Parquet, and how much of it a column can hold.

A column has one type. Where a value has another (an integer among floats, a label that is no class), the row is *odd*: the columns hold
what is nearest, and the column `exact` holds the event itself, so that it can be given back as it was. Rows are hardly ever odd:
doors read them by the schema.

| column | prediction | mirrored | feedback |
|---|---|---|---|
| `id` `time` | both | both | both |
| `input.<name>` | the row's; all empty where it could not be read | | |
| `prediction` `probability.<label>` | a class as text, or a number | JSON, and a list | |
| `label` `values` | | | JSON |
| `exact` | MessagePack, where the row is odd | too | too |
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from types import NoneType
from typing import Any, Final

import msgspec
import pyarrow as pa

from fairlead.archive.appended import Group, Raw
from fairlead.archive.column_names import column_names
from fairlead.archive.manifest import Kind
from fairlead.events import Columns
from fairlead.schema import Value, label_text

__all__ = ["classes_by_text", "record_batch"]

_DEFAULTS: Final[dict[str, list[Any]]] = {
    "p": [0, ""],
    "m": [0],
    "f": [None, None, None, None, "answer", ""],
}
"""Of the last fields, which older events have not."""

_LENGTHS: Final = {"p": 15, "m": 15, "f": 10}

_TEXT: Final = pa.string()
_REAL: Final = pa.float64()
_WHOLE: Final = pa.int64()
_REALS: Final = pa.list_(pa.float64())
_TYPES: Final = {float: _REAL, int: _WHOLE, bool: pa.bool_(), str: _TEXT}


def record_batch(group: Group) -> pa.RecordBatch:
    """Rows as columns, in their order."""
    rows, odd = _even(group.rows)
    fields = group.fields if group.fields is not None and rows is group.rows else list(zip(*rows, strict=True))
    names, arrays = zip(*_TABLES[group.kind](fields, group.columns, odd), strict=True)
    exact = [msgspec.msgpack.encode(row) if at in odd else None for at, row in enumerate(group.rows)] if odd else None
    stored = pa.nulls(len(rows), pa.binary()) if exact is None else pa.array(exact, pa.binary())
    return pa.RecordBatch.from_arrays([*arrays, stored], [*names, "exact"])


def _even(rows: list[Raw]) -> tuple[list[Raw], set[int]]:
    """Rows of the length that we know: older ones get their defaults; newer ones are odd."""
    tag, length = rows[0][0], len(rows[0])
    wanted = _LENGTHS[tag]
    if length == wanted:
        return rows, set()
    if length < wanted:
        return [[*row, *_DEFAULTS[tag][length - wanted :]] for row in rows], set()
    return [row[:wanted] for row in rows], set(range(len(rows)))


_Fields = list[tuple[Any, ...]]
_Made = Iterator[tuple[str, pa.Array]]


def _prediction(fields: _Fields, columns: Columns | None, odd: set[int]) -> _Made:
    assert columns is not None
    inputs, scores = column_names(columns)
    _, ids, times, _, models, variants, keys, statuses, latencies, rows, answers, probabilities, flags, *rest = fields
    revisions, exposures = rest
    yield "id", pa.array(ids, _TEXT)
    yield "time", pa.array(times, _REAL)
    yield "model", _same(models)
    yield "variant", _same(variants)
    yield "key", _same(keys)
    yield "status", _same(statuses)
    yield "latency", pa.array(latencies, _REAL)
    yield "revision", pa.array(revisions, _WHOLE)
    yield "exposure", _same(exposures)
    yield "flags", pa.array(flags if any(flags) else [()] * len(ids), pa.list_(_TEXT))
    yield from zip(inputs, _inputs(rows, len(inputs), odd), strict=True)
    yield "prediction", _classes(answers, columns, odd) if columns.classes else _column(answers, odd)
    yield from zip(scores, _probabilities(probabilities, len(scores), odd), strict=True)


def _mirrored(fields: _Fields, columns: Columns | None, odd: set[int]) -> _Made:  # noqa: ARG001 - as for predictions
    _, ids, times, _, models, variants, statuses, latencies, answers, probabilities, *rest = fields
    given, waits, said, scores, revisions = rest
    yield "id", pa.array(ids, _TEXT)
    yield "time", pa.array(times, _REAL)
    yield "model", _same(models)
    yield "variant", _same(variants)
    yield "status", _same(statuses)
    yield "latency", pa.array(latencies, _REAL)
    yield "revision", pa.array(revisions, _WHOLE)
    yield "prediction", _json(answers, odd)
    yield "probabilities", pa.array(probabilities, _REALS)
    yield "given_model", _same(given)
    yield "given_latency", pa.array(waits, _REAL)
    yield "given_prediction", _json(said, odd)
    yield "given_probabilities", pa.array(scores, _REALS)


def _feedback(fields: _Fields, columns: Columns | None, odd: set[int]) -> _Made:  # noqa: ARG001 - as for predictions
    _, ids, times, _, labels, ratings, comments, values, abouts, sources = fields
    yield "id", pa.array(ids, _TEXT)
    yield "time", pa.array(times, _REAL)
    yield "label", _json(labels, odd)
    yield "rating", pa.array(ratings, _WHOLE)
    yield "comment", pa.array(comments, _TEXT)
    yield "values", _json(values, odd)
    yield "about", _same(abouts)
    yield "source", _same(sources)


def _same(values: tuple[Any, ...]) -> pa.Array:
    """Texts, which are mostly one and the same."""
    first = values[0]
    if values.count(first) == len(values):
        return pa.nulls(len(values), _TEXT) if first is None else pa.repeat(pa.scalar(first, _TEXT), len(values))
    return pa.array(values, _TEXT)


def _inputs(rows: tuple[Any, ...], width: int, odd: set[int]) -> list[pa.Array]:
    """A column an input. A row that could not be read is empty in all of them, so one that is empty though it was read is odd."""
    filled = rows
    if not _all_of(rows, width):
        filled = _filled(rows, width, odd)
    columns = list(zip(*filled, strict=True)) if width else []
    if all(None in values for values in columns):
        odd.update(at for at, row in enumerate(rows) if row is not None and all(value is None for value in row))
    return [_column(values, odd) for values in columns]


def _probabilities(rows: tuple[Any, ...], width: int, odd: set[int]) -> list[pa.Array]:
    """A column a class; empty where there are none."""
    if not width or not _all_of(rows, width):
        rows = _filled(rows, width, odd)
        odd.update(at for at, row in enumerate(rows) if not width and row is not None)
    return [pa.array(values, _REAL) for values in zip(*rows, strict=True)] if width else []


def _all_of(rows: tuple[Any, ...], width: int) -> bool:
    """Whether all are rows of this width."""
    try:
        return set(map(len, rows)) == {width}
    except TypeError:
        return False


def _filled(rows: tuple[Any, ...], width: int, odd: set[int]) -> tuple[Any, ...]:
    """The same rows, all of one width; one of another width is odd."""
    blank = (None,) * width
    odd.update(at for at, row in enumerate(rows) if row is not None and len(row) != width)
    return tuple(row if row is not None and len(row) == width else blank if width else row for row in rows)


def _column(values: tuple[Value, ...], odd: set[int]) -> pa.Array:
    """A column of the type that its values have, and of the nearest where they have several."""
    kinds = set(map(type, values)) - {NoneType}
    if not kinds:
        return pa.nulls(len(values))
    if len(kinds) == 1:
        with contextlib.suppress(OverflowError):  # an integer beyond 64 bits with a sign
            return pa.array(values, _TYPES[next(iter(kinds))])
    if kinds <= {int, float}:
        odd.update(at for at, value in enumerate(values) if type(value) is int)
        return pa.array([None if value is None else float(value) for value in values], _REAL)
    odd.update(at for at, value in enumerate(values) if value is not None and type(value) is not str)
    return pa.array([None if value is None else label_text(value) for value in values], _TEXT)


def _classes(values: tuple[Value, ...], columns: Columns, odd: set[int]) -> pa.Array:
    """Labels as texts; a label that its text does not give back is odd."""
    if {*map(type, values), *map(type, columns.classes)} <= {str, NoneType}:
        return pa.array(values, _TEXT)
    back = classes_by_text(columns.classes)
    known: dict[tuple[type, Value], tuple[str, bool]] = {}
    texts: list[str | None] = []
    for at, value in enumerate(values):
        if value is None:
            texts.append(None)
            continue
        found = known.get((type(value), value))
        if found is None:
            text = label_text(value)
            restored = back.get(text, text)
            found = known[type(value), value] = (text, type(restored) is type(value) and restored == value)
        texts.append(found[0])
        if not found[1]:
            odd.add(at)
    return pa.array(texts, _TEXT)


def classes_by_text(classes: Sequence[Value]) -> dict[str, Value]:
    """The class that each text stands for; the first of several."""
    found: dict[str, Value] = {}
    for one in classes:
        found.setdefault(label_text(one), one)
    return found


def _json(values: tuple[Any, ...], odd: set[int]) -> pa.Array:
    """Values as JSON; what JSON does not know (NaN) is odd."""
    known: dict[tuple[type, Any], str] = {}  # labels are few
    texts: list[str | None] = []
    for at, value in enumerate(values):
        if value is None:
            texts.append(None)
            continue
        kind = type(value)
        text = known.get((kind, value)) if kind is not dict else None
        if text is None:
            numbers = value.values() if kind is dict else (value,)
            if any(isinstance(one, float) and not math.isfinite(one) for one in numbers):
                odd.add(at)
            text = _encode(value).decode()
            if kind in {str, bool, int}:
                known[kind, value] = text
        texts.append(text)
    return pa.array(texts, _TEXT)


_encode = msgspec.json.Encoder().encode

_TABLES: Final[dict[Kind, Callable[[_Fields, Columns | None, set[int]], _Made]]] = {
    "prediction": _prediction,
    "mirrored": _mirrored,
    "feedback": _feedback,
}
