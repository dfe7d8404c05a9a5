"""The room behind every door: the live endpoints and how a row of theirs is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from fairlead.bundle.manifest import Samples
from fairlead.schema import Row, Schema, Value

__all__ = ["Answer", "Gateway", "LiveEndpoint"]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one row is answered.

    Attributes:
        prediction: The label or number.
        id: Of the prediction; feedback refers to it.
        model: The version that answered, "flights:3".
        probabilities: By class, as text; `None` where the model gives none.
        unseen: Columns whose value was not among the categories of the training data.
    """

    prediction: Value
    id: str
    model: str
    probabilities: dict[str, float] | None = None
    unseen: tuple[str, ...] = ()


class LiveEndpoint(Protocol):
    """What a page needs to know of an endpoint."""

    name: str
    model: str
    schema: Schema
    samples: Samples


class Gateway(Protocol):
    """What a door asks of the room."""

    endpoints: Mapping[str, LiveEndpoint]

    async def predict(self, endpoint: str, rows: Sequence[Row], *, key: str | None = None) -> list[Answer]:
        """Answer rows, in order. Raises NotFound, Overloaded, PredictionFailed."""
        ...
