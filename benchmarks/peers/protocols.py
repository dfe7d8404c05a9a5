"""How each peer is asked for one flight over HTTP, and how its answer is read. Imports nothing: peers use it, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

CATEGORIES = ("carrier", "origin", "dest")
COLUMNS = (
    *CATEGORIES,
    *("distance", "hour", "month", "weekday"),
    *("temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"),
)

Row = dict[str, Any]


class Protocol(NamedTuple):
    """A peer's own: where it is asked, the body for one row, and the probabilities, in the order of the classes, in the answer."""

    path: str
    body: Callable[[Row], Any]
    scores: Callable[[Any, list[str]], list[float]]


def _named(answer: Any, classes: list[str]) -> list[float]:
    """Probabilities by label, beside the label, which must be theirs."""
    scores = [answer["probabilities"][name] for name in classes]
    if answer["prediction"] != classes[scores.index(max(scores))]:
        raise ValueError(f"the label {answer['prediction']!r} is not the likeliest of {answer['probabilities']}")
    return scores


def _tensors(row: Row) -> Any:
    """One tensor a column, JSON: the Open Inference Protocol."""
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": "BYTES" if name in CATEGORIES else "FP64", "data": [row[name]]}
        for name in COLUMNS
    ]
    return {"inputs": inputs}


def _split(row: Row) -> Any:
    return {"dataframe_split": {"columns": list(COLUMNS), "data": [[row[name] for name in COLUMNS]]}}


def plain(path: str) -> Protocol:
    """A JSON object of the columns; label and probabilities come back."""
    return Protocol(path, lambda row: row, _named)


BENTOML = Protocol("/predict", lambda row: {"flights": [row]}, lambda answer, classes: _named(answer[0], classes))
TENSORS = Protocol("/v2/models/flights/infer", _tensors, lambda answer, _: list(answer["outputs"][0]["data"]))
MLFLOW = Protocol("/invocations", _split, lambda answer, _: list(answer["predictions"][0]))
