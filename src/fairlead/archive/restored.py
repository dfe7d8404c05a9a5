"""From columns back to events, as they were written: integers stay integers, and what was missing is missing.

The counterpart of `tables`, row by row, for those who read the log event by event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import polars as pl

from fairlead.archive.column_names import column_names
from fairlead.archive.manifest import Kind
from fairlead.archive.tables import classes_by_text
from fairlead.events import Columns, Feedback, Mirrored, Prediction

__all__ = ["restored"]

Fact = Prediction | Mirrored | Feedback
"""An event that is about one row."""


def restored(kind: Kind, endpoint: str, columns: Columns | None, frame: pl.DataFrame) -> Iterator[Fact]:
    """The events of a frame, in its order.

    Args:
        kind: What they are.
        endpoint: Whose.
        columns: Of predictions: what their positions mean.
        frame: As `tables.record_batch` made it.
    """
    made = _RESTORE[kind](endpoint, columns, frame)
    if frame["exact"].null_count() == len(frame):
        yield from made
        return
    for event, exact in zip(made, frame["exact"].to_list(), strict=True):
        yield event if exact is None else _decoded(exact)


def _decoded(exact: bytes) -> Fact:
    event: Fact = _decode(exact)
    return event


def _predictions(endpoint: str, columns: Columns | None, frame: pl.DataFrame) -> Iterator[Prediction]:
    assert columns is not None
    inputs, scores = column_names(columns)
    back = classes_by_text(columns.classes)
    plain = all(text == one for text, one in back.items())
    answers = frame["prediction"].to_list()
    if back and not plain:
        answers = [back.get(one, one) for one in answers]
    for fields in zip(
        *(frame[name].to_list() for name in ("id", "time")),
        [endpoint] * len(frame),
        *(frame[name].to_list() for name in ("model", "variant", "key", "status", "latency")),
        _rows(frame, inputs),
        answers,
        _rows(frame, scores),
        map(tuple, frame["flags"].to_list()),
        *(frame[name].to_list() for name in ("revision", "exposure")),
        strict=True,
    ):
        yield Prediction(*fields)


def _rows(frame: pl.DataFrame, names: list[str]) -> list[tuple[Any, ...] | None]:
    """Rows of these columns; `None` where all are empty."""
    if not names:
        return [None] * len(frame)
    columns = [frame[name].to_list() for name in names]
    rows: list[tuple[Any, ...] | None] = list(zip(*columns, strict=True))
    if all(frame[name].null_count() for name in names):
        blank = (None,) * len(names)
        rows = [None if row == blank else row for row in rows]
    return rows


def _mirrored(endpoint: str, _: Columns | None, frame: pl.DataFrame) -> Iterator[Mirrored]:
    listed = {name: frame[name].to_list() for name in frame.columns}
    for at, identity in enumerate(listed["id"]):
        yield Mirrored(
            identity,
            listed["time"][at],
            endpoint,
            listed["model"][at],
            listed["variant"][at],
            listed["status"][at],
            listed["latency"][at],
            _of_json(listed["prediction"][at]),
            _tuple(listed["probabilities"][at]),
            listed["given_model"][at],
            listed["given_latency"][at],
            _of_json(listed["given_prediction"][at]),
            _tuple(listed["given_probabilities"][at]),
            listed["revision"][at],
        )


def _feedback(endpoint: str, _: Columns | None, frame: pl.DataFrame) -> Iterator[Feedback]:
    listed = {name: frame[name].to_list() for name in frame.columns}
    for at, identity in enumerate(listed["id"]):
        values = listed["values"][at]
        yield Feedback(
            identity,
            listed["time"][at],
            endpoint,
            _of_json(listed["label"][at]),
            listed["rating"][at],
            listed["comment"][at],
            None if values is None else _numbers(values),
            listed["about"][at],
            listed["source"][at],
        )


_decode: Final = msgspec.msgpack.Decoder(Fact).decode


def _numbers(text: str) -> dict[str, float]:
    """Numbers by name. NaN is `null` in JSON: the row is odd then, and what is made of it here is thrown away."""
    found = msgspec.json.decode(text, type=dict[str, float | None])
    return {name: number for name, number in found.items() if number is not None}


def _of_json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _tuple(values: list[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)


_RESTORE: Final[dict[Kind, Callable[[str, Columns | None, pl.DataFrame], Iterator[Fact]]]] = {
    "prediction": _predictions,
    "mirrored": _mirrored,
    "feedback": _feedback,
}
