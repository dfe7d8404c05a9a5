"""The version that answers a run: compiled, by column and from many threads at once; or its original, by row in processes of their own.

Whatever a model refuses is narrowed down by halves, so that one guilty row costs itself and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from fairlead.batch.reading import Sorted, taken
from fairlead.batch.workers import Workers
from fairlead.bundle.reader import Bundle
from fairlead.columns import Columns
from fairlead.errors import FairleadError, Overloaded, PredictionFailed
from fairlead.predictor.columnar import Answers, ColumnarPredictor, answers_of, rows_of
from fairlead.predictor.compiled import compiled, open_session
from fairlead.predictor.local import LocalWorker
from fairlead.predictor.outcome import Outcome
from fairlead.schema import Row, Schema

__all__ = ["Found", "Model", "answer", "open_model"]

_ROWS: Final = 4096
"""Rows of one question to a model that is asked by row."""

_Array = np.ndarray[Any, Any]


class Found(NamedTuple):
    """The answers of some rows.

    Attributes:
        positions: Of the rows that have an answer.
        answers: In that order.
        failed: Positions of the rows that the model could not answer, and why.
        unseen: How many entries of each column were not among the categories of the training data.
    """

    positions: _Array
    answers: Answers
    failed: list[tuple[int, str]]
    unseen: dict[str, int]


class Model(Protocol):
    """Answers rows and columns; may be called from many threads."""

    schema: Schema

    @property
    def chunk(self) -> int:
        """How many rows of a table are best read at once."""
        ...

    def columns(self, columns: Columns) -> Answers:
        """Answer a table.

        Raises:
            PredictionFailed: The model could not answer these rows.
        """
        ...

    def rows(self, rows: list[Row]) -> list[Outcome]:
        """Answer rows. Raises as `columns`."""
        ...

    def unseen(self, columns: Columns) -> dict[str, int]:
        """How many entries of each column were not among the categories of the training data."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


def open_model(bundle: Bundle, *, memory: int, seconds: float, processes: int = 1) -> Model:
    """Open the version of a bundle.

    Args:
        bundle: Opened and verified.
        memory: Of a worker, where one is needed, in bytes.
        seconds: How long one call of a worker may take.
        processes: How many workers there may be, where they are needed.

    Raises:
        BundleError: The graph cannot be opened.
        PredictionFailed: The worker ended before it was ready.
    """
    if bundle.graph is not None and bundle.layout is not None:
        return _Compiled(bundle)
    return _Original(bundle, memory=memory, seconds=seconds, processes=processes)


def answer(model: Model, told: Sorted) -> Found:
    """Answer sorted rows; what is wrong with one of them is told of that one."""
    schema = model.schema

    def by_column(start: int, end: int) -> Answers:
        return model.columns(taken(told.columns, slice(start, end)))

    def by_row(start: int, end: int) -> Answers:
        outcomes = [one for at in range(start, end, _ROWS) for one in model.rows(told.rows[at : min(at + _ROWS, end)])]
        return answers_of(outcomes, schema)

    sure, late = _Halving(by_column), _Halving(by_row)
    sure.ask(0, len(told.sure))
    late.ask(0, len(told.rows))
    places = [told.sure, np.array(told.late, np.int64)]
    failed = [(int(place[at]), why) for place, one in zip(places, (sure, late), strict=True) for at, why in one.failed]
    positions = [place[start:end] for place, one in zip(places, (sure, late), strict=True) for start, end in one.spans]
    unseen = model.unseen(told.columns) if len(told.sure) else {}
    return Found(*_in_order(positions, sure.parts + late.parts), failed, unseen)


def _in_order(positions: list[_Array], parts: list[Answers]) -> tuple[_Array, Answers]:
    if not parts:
        return np.empty(0, np.int64), Answers(np.empty(0), None)
    if len(parts) == 1:
        return positions[0], parts[0]
    places = np.concatenate(positions)
    predictions = np.concatenate([one.predictions for one in parts])
    shares = [one.probabilities for one in parts if one.probabilities is not None]
    probabilities = np.concatenate(shares) if shares else None
    order = np.argsort(places)
    return places[order], Answers(predictions[order], None if probabilities is None else probabilities[order])


class _Halving:
    """Asks, and where that fails asks both halves, down to the one row that is to blame."""

    def __init__(self, ask: Callable[[int, int], Answers]) -> None:
        self._ask = ask
        self.spans: list[tuple[int, int]] = []
        self.parts: list[Answers] = []
        self.failed: list[tuple[int, str]] = []

    def ask(self, start: int, end: int) -> None:
        """Ask about the rows from `start` to before `end`."""
        if start == end:
            return
        try:
            found = self._ask(start, end)
        except (PredictionFailed, Overloaded) as error:
            self._narrow(start, end, error)
        else:
            self.spans.append((start, end))
            self.parts.append(found)

    def _narrow(self, start: int, end: int, error: FairleadError) -> None:
        if end - start == 1:
            self.failed.append((start, error.detail))
            return
        middle = (start + end) // 2
        self.ask(start, middle)
        self.ask(middle, end)


class _Compiled:
    """Answers in this process. ONNX Runtime lets go of the interpreter while it computes, so threads are enough."""

    chunk = 131_072

    def __init__(self, bundle: Bundle) -> None:
        assert bundle.graph is not None
        assert bundle.layout is not None
        session = open_session(bundle.graph, threads=1)
        self.schema = bundle.schema
        self._columnar = ColumnarPredictor(session, bundle.layout, bundle.schema)
        self.columns = self._columnar.answer
        self.rows = compiled(session, bundle.layout, bundle.schema).answer
        self.unseen = self._columnar.unseen

    def close(self) -> None:
        """Nothing is held."""


class _Original:
    """Asks the original in worker processes; a process that has ended is replaced."""

    chunk = 2 * _ROWS

    def __init__(self, bundle: Bundle, *, memory: int, seconds: float, processes: int) -> None:
        self.schema = bundle.schema
        self._workers = Workers(lambda: LocalWorker(bundle, memory=memory, seconds=seconds), processes)
        self.rows, self.close = self._workers.answer, self._workers.close

    def columns(self, columns: Columns) -> Answers:
        """Answer a table, row by row."""
        rows = rows_of(columns, self.schema)
        found = [one for at in range(0, len(rows), _ROWS) for one in self.rows(rows[at : at + _ROWS])]
        return answers_of(found, self.schema)

    def unseen(self, columns: Columns) -> dict[str, int]:  # noqa: ARG002 - the model itself is not asked
        """Not counted: an original does not say which categories it knows."""
        return {}
