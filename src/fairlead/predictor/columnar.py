"""Answers by a compiled graph for whole columns: what scores a table, where `compiled` answers a request.

A request has a handful of rows, and building them by hand is quickest. A table has millions: here each column stays one
numpy array from the file to the graph's matrix, and a category is looked up once for each distinct value. The two must
agree to the last bit, so both fill the same matrix from the same layout; tests hold them against each other.

```
Columns ─▶ matrix [1024, width] ─▶ ONNX Runtime ─▶ Answers (class or value, probabilities)
```
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fairlead.columns import Columns, Names, Numbers
from fairlead.errors import PredictionFailed
from fairlead.formats.layout import CategoryInput, ColumnsLayout, Layout, MatrixLayout, NumberInput, TensorInput
from fairlead.predictor.ordering import Ordering, Trial
from fairlead.predictor.outcome import Outcome
from fairlead.predictor.unseen import known_categories
from fairlead.schema import Column, Row, Schema, Value

__all__ = [
    "Answers",
    "ColumnarPredictor",
    "answers_of",
    "names_of",
    "numbers_of",
    "rows_of",
]

_CHUNK: Final = 1024
"""Rows of one call: its matrix stays in the processor's cache."""

_SAFE_INTEGER: Final = 2**53

_Array = np.ndarray[Any, Any]


class Answers(NamedTuple):
    """What the model says of each row.

    Attributes:
        predictions: The position of the class for classification, the number for regression.
        probabilities: `[rows, classes]`; `None` where the model gives none.
    """

    predictions: _Array
    probabilities: _Array | None


class ColumnarPredictor:
    """Answers columns by an ONNX Runtime session.

    Args:
        session: The opened graph; it may be shared by threads.
        layout: How columns become its tensors.
        schema: What the columns look like.
    """

    def __init__(self, session: Any, layout: Layout, schema: Schema) -> None:
        self._run = session.run
        self._classes = schema.output.classes
        self._result = layout.result
        self._known = known_categories(schema, _further(layout))
        self._label = layout.label if isinstance(layout, ColumnsLayout) else None
        self._outputs = [layout.score, *([self._label] if self._label is not None else [])]
        self._feed = _matrix_feed(layout) if isinstance(layout, MatrixLayout) else _columns_feed(layout)
        self._ordering = Ordering(sorted(_further(layout)))

    def answer(self, columns: Columns) -> Answers:
        """Answer a table, row by row in order.

        Raises:
            PredictionFailed: The graph failed or gave a number that is not finite.
        """
        trial, feed = self._ordering.begin(columns), self._feed(columns)
        try:
            found = [self._part(feed, trial, start) for start in range(0, trial.rows, _CHUNK)]
        except Exception as err:  # ONNX Runtime raises classes of its own without a common ancestor
            raise PredictionFailed("The compiled model could not answer.") from err
        scores, *labels = (np.concatenate(parts) for parts in zip(*found, strict=True))
        self._ordering.told(trial)
        if not np.isfinite(scores).all():
            raise PredictionFailed("The model gave a number that is not finite.")
        answers = self._read(scores)
        return answers if not labels else Answers(self._positions(labels[0].reshape(-1)), answers.probabilities)

    def _part(self, feed: _Tensors, trial: Trial, start: int) -> list[_Array]:
        """The outputs for the rows of one call, as the rows stand in the table."""
        end = min(start + _CHUNK, trial.rows)
        # The last rows of a call that is not full are computed one by one, and may differ in the last bit from those before them: which
        # rows those are must not depend on what was quickest.
        places = trial.places(start, end) if end - start == _CHUNK else None
        if places is None:
            return list(self._run(self._outputs, feed(slice(start, end))))
        found = []
        for output in self._run(self._outputs, feed(places + start)):
            back = np.empty_like(output)
            back[places] = output
            found.append(back)
        return found

    def unseen(self, columns: Columns) -> dict[str, int]:
        """How many entries of each column were not among the categories of the training data; columns without any are left out."""
        counts = {name: _strangers(columns[position], known) for position, known, name in self._known}
        return {name: count for name, count in counts.items() if count}

    def _read(self, scores: _Array) -> Answers:
        """The score tensor → answers, by the rule that `layout.Result` states."""
        if self._result == "value":
            return Answers(scores.reshape(-1).astype(np.float64), None)
        if self._result == "positive":
            positive = scores.reshape(-1).astype(np.float64)
            return Answers((positive > 0.5).astype(np.int64), np.stack((1.0 - positive, positive), axis=1))
        shares = scores.reshape(-1, len(self._classes))
        return Answers(shares.argmax(axis=1), shares.astype(np.float64))

    def _positions(self, labels: _Array) -> _Array:
        """The graph's own labels as positions of classes."""
        classes: dict[Any, int] = {**{str(one): at for at, one in enumerate(self._classes)}}
        classes |= {one: at for at, one in enumerate(self._classes)}
        return np.fromiter((classes[one] for one in labels.tolist()), np.int64, len(labels))


_Tensors = Callable[[slice | _Array], dict[str, Any]]
"""Some rows of a table, by their places → the tensors that ask about them."""

_Feed = Callable[[Columns], _Tensors]


def answers_of(outcomes: Sequence[Outcome], schema: Schema) -> Answers:
    """Outcomes, one a row, as columns."""
    shares = np.array([one.probabilities for one in outcomes], np.float64) if schema.output.probabilities else None
    if schema.output.task == "regression":
        return Answers(np.array([one.prediction for one in outcomes], np.float64), None)
    positions = {label: at for at, label in enumerate(schema.output.classes)}
    found = np.fromiter((positions[_label(one.prediction)] for one in outcomes), np.int64, len(outcomes))
    return Answers(found, shares)


def _label(value: Value) -> str | int | float | bool:
    assert value is not None  # a model gives a label for every row
    return value


def numbers_of(values: _Array, missing: _Array | None, column: Column) -> tuple[Numbers, _Array] | None:
    """A numeric array as a column, and which of its entries need a closer look before they may be asked about.

    Args:
        values: Floats, whole numbers or booleans.
        missing: Which entries are missing beside NaN; `None` where none is.
        column: What they are meant to be.

    Returns:
        The column with doubtful entries as if they were missing, and the mask of those; `None` where the array is not of
        the column's kind at all.
    """
    kind = values.dtype.kind
    if kind not in "fiub" or (kind == "b") != (column.type == "boolean"):
        return None
    if missing is None and _is_plain(values, column):
        return Numbers(values.astype(np.float64, copy=False), None), np.zeros(len(values), np.bool_)
    doubles = values.astype(np.float64)
    absent = np.isnan(doubles) if kind == "f" else np.zeros(len(values), np.bool_)
    if missing is not None:
        absent |= missing
    doubtful = absent & (not column.nullable)
    with np.errstate(invalid="ignore"):
        if kind == "f":
            doubtful |= np.isinf(doubles)
            if column.type == "integer":
                doubtful |= ~absent & ((np.abs(doubles) > _SAFE_INTEGER) | (np.trunc(doubles) != doubles))
        elif kind in "iu":  # as whole numbers: 2^53 + 1 has no double of its own
            doubtful |= ~absent & (column.type == "integer") & ((values > _SAFE_INTEGER) | (values < -_SAFE_INTEGER))
    gone = absent | doubtful
    if not gone.any():
        return Numbers(doubles, None), doubtful
    doubles[gone] = np.nan
    return Numbers(doubles, gone), doubtful


def _is_plain(values: _Array, column: Column) -> bool:
    """Whether nothing is missing and nothing doubtful, as it usually is; that is seen without a mask."""
    if values.dtype.kind == "f":
        return column.type != "integer" and bool(np.isfinite(values).all())
    if values.dtype.kind == "b" or column.type != "integer" or not len(values):
        return True
    return bool(values.min() >= -_SAFE_INTEGER and values.max() <= _SAFE_INTEGER)


def names_of(entries: Sequence[Any], column: Column) -> Names | None:
    """Texts as a column; `None` where an entry is no text, or missing where it may not be."""
    distinct = set(entries)
    texts = [one for one in distinct if type(one) is str]
    others = [one for one in distinct if type(one) is not str]
    if not all(one is None or _is_nan(one) for one in others) or (others and not column.nullable):
        return None
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return None
    table: dict[Any, int] = {text: code for code, text in enumerate(texts)} | dict.fromkeys(others, -1)
    return Names(np.fromiter(map(table.__getitem__, entries), np.int64, len(entries)), texts)


def rows_of(columns: Columns, schema: Schema) -> list[Row]:
    """A table as rows, for a model that is asked by row."""
    return list(zip(*(_entries(one, column) for one, column in zip(columns, schema.columns, strict=True)), strict=True))


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _entries(one: Numbers | Names, column: Column) -> list[Value]:
    if isinstance(one, Names):
        return [None if code < 0 else one.values[code] for code in one.codes.tolist()]
    kinds: dict[str, Callable[[float], Value]] = {"number": float, "integer": int, "boolean": bool}
    plain = kinds[column.type]
    if one.missing is None:
        return [plain(value) for value in one.values.tolist()]
    return [
        None if gone else plain(value) for value, gone in zip(one.values.tolist(), one.missing.tolist(), strict=True)
    ]


def _matrix_feed(layout: MatrixLayout) -> _Feed:
    width = sum(1 if isinstance(one, NumberInput) else len(one.unseen) for one in layout.inputs)
    tables = [None if isinstance(one, NumberInput) else _cells(one) for one in layout.inputs]

    def feed(columns: Columns) -> _Tensors:
        blocks = [
            _filled(columns[one.column], one.missing)
            if isinstance(one, NumberInput)
            else _ranks(columns[one.column], one)
            for one in layout.inputs
        ]

        def part(rows: slice | _Array) -> dict[str, Any]:
            asked = [block[rows] for block in blocks]
            matrix, at = np.empty((len(asked[0]), width)), 0
            for block, table in zip(asked, tables, strict=True):
                if table is None:
                    matrix[:, at] = block
                    at += 1
                else:
                    matrix[:, at : at + table.shape[1]] = table.take(block, axis=0)
                    at += table.shape[1]
            return {layout.tensor: matrix}

        return part

    return feed


def _columns_feed(layout: ColumnsLayout) -> _Feed:
    types = {"double": np.float64, "float": np.float32, "int64": np.int64, "bool": np.bool_}

    def tensor(one: TensorInput, column: Numbers | Names) -> _Array:
        if isinstance(column, Names):
            return np.array([*column.values, one.missing], object)[column.codes]
        missing = one.missing
        assert not isinstance(missing, str)
        return _filled(column, None if missing is None else float(missing)).astype(types[one.dtype])

    def feed(columns: Columns) -> _Tensors:
        tensors = {one.tensor: tensor(one, columns[one.column]).reshape(-1, 1) for one in layout.inputs}
        return lambda rows: {name: entries[rows] for name, entries in tensors.items()}

    return feed


def _filled(column: Numbers | Names, instead: float | None) -> _Array:
    """The numbers with what stands for a missing entry; NaN already stands where that is `None`."""
    assert isinstance(column, Numbers)
    if column.missing is None or instead is None:
        return column.values
    return np.where(column.missing, instead, column.values)


def _cells(one: CategoryInput) -> _Array:
    """The blocks of all known values, then that of an unseen one, then that of a missing one."""
    return np.array([*one.cells, one.unseen, one.missing], np.float64)


def _ranks(column: Numbers | Names, one: CategoryInput) -> _Array:
    """For each entry, where its block stands in `_cells`."""
    rank: Mapping[Any, int] = {value: at for at, value in enumerate(one.values)}
    return _looked_up(column, rank, unseen=len(one.values), missing=len(one.values) + 1)


def _looked_up(column: Numbers | Names, table: Mapping[Any, int], *, unseen: int, missing: int) -> _Array:
    """Each entry's number in a table; every distinct value is looked up once."""
    if isinstance(column, Names):
        found = [table.get(value, unseen) for value in column.values]
        return np.array([*found, missing], np.int64)[column.codes]  # -1, a missing entry, is the last
    values, inverse = np.unique(column.values, return_inverse=True)
    numbers = np.array([table.get(value, unseen) for value in values.tolist()], np.int64)[inverse]
    return numbers if column.missing is None else np.where(column.missing, missing, numbers)


def _strangers(column: Numbers | Names, known: frozenset[Value]) -> int:
    return int(_looked_up(column, dict.fromkeys(known, 0), unseen=1, missing=0).sum())


def _further(layout: Layout) -> dict[int, Sequence[Value]]:
    """What a model knows beside the observed categories, as the row path counts it."""
    if isinstance(layout, ColumnsLayout):
        return {}
    return {one.column: one.values for one in layout.inputs if isinstance(one, CategoryInput)}
