"""What a caller is told, of one row and of feedback: the nouns that the gateway makes, doors write and the client reads."""

from __future__ import annotations

import msgspec

from fairlead.schema import Value

__all__ = ["Answer", "Receipt"]


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


class Receipt(msgspec.Struct, frozen=True):
    """What became of feedback: all of it is in the event log.

    Attributes:
        received: How many were recorded, all of those below among them.
        duplicates: How many had been told before, word for word, as far as the answering process remembers.
        corrections: How many contradict what was told before; the later one counts.
    """

    received: int
    duplicates: int = 0
    corrections: int = 0
