"""What a predictor says of one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from fairlead.schema import Row, Value

__all__ = ["Answer", "Outcome"]


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


Answer = Callable[[Sequence[Row]], list[Outcome]]
"""Asks a model, here and now; raises whatever that raises."""
