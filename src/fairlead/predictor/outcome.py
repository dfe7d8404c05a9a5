"""What a predictor says of one row."""

from __future__ import annotations

import msgspec

from fairlead.schema import Value

__all__ = ["Outcome"]


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a model says of one row.

    Attributes:
        prediction: The label or number.
        probabilities: One for each class, in the order of the schema; `None` where the model gives none.
        flags: Columns whose value was not among the categories of the training data.
    """

    prediction: Value
    probabilities: tuple[float, ...] | None = None
    flags: tuple[str, ...] = ()
