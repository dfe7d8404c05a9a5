"""What a caller is told of one row: the noun that the gateway makes, every door writes and the client reads."""

from __future__ import annotations

import msgspec

from fairlead.schema import Value

__all__ = ["Answer"]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
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
