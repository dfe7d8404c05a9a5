"""The facts we record. They are written once and never changed.

A `Prediction` is positional and compact because it is written on the hot path; the `Columns` fact before it in the same
segment says what the positions mean, so a segment can be read by itself.
"""

from __future__ import annotations

import msgspec

from fairlead.schema import Value

__all__ = ["AuditEntry", "Columns", "Event", "Prediction"]


class Columns(msgspec.Struct, frozen=True, array_like=True, tag="c", gc=False):
    """What the positions of the predictions of one version mean.

    Attributes:
        model: The version that answers, "flights:3".
        digest: The digest of its bundle.
        inputs: The names of the columns, in the order of `Prediction.inputs`.
        classes: The labels, in the order of `Prediction.probabilities`.
    """

    model: str
    digest: str
    inputs: tuple[str, ...]
    classes: tuple[str | int | float | bool, ...]


class Prediction(msgspec.Struct, frozen=True, array_like=True, tag="p", gc=False):
    """One row that was asked and what was answered.

    Attributes:
        id: Unique for all time; feedback refers to it.
        time: When the answer was made, in seconds since 1970 (UTC).
        endpoint: The endpoint that was asked.
        model: The version that answered, "flights:3"; empty where none did.
        variant: The variant's name, "stable"; empty where none was chosen.
        key: What the caller is assigned by; `None` where each request stands for itself.
        status: "ok", or the code of the error that was answered.
        latency: From the last byte of the request to the answer, in seconds.
        inputs: The row, in the order of the schema; `None` where it could not be read.
        prediction: The label or number; `None` where there is none.
        probabilities: One for each class, in the order of the schema.
        flags: Names of the columns whose category was unseen in training.
    """

    id: str
    time: float
    endpoint: str
    model: str
    variant: str
    key: str | None
    status: str
    latency: float
    inputs: tuple[Value, ...] | None
    prediction: Value
    probabilities: tuple[float, ...] | None
    flags: tuple[str, ...]


class AuditEntry(msgspec.Struct, frozen=True):
    """One change somebody made to the registry or to what is served.

    Attributes:
        sequence: 1, 2, 3, … without gaps.
        time: When, in seconds since 1970 (UTC).
        actor: Who, as the operating system or the token names them.
        action: A verb in the past: "published", "aliased", "deployed".
        subject: What was changed: "flights:3", "flights:champion", an endpoint.
        detail: What else is needed to understand the entry.
        digest: SHA-256 over the entry and the digest of the one before it, so that an edit shows.
    """

    sequence: int
    time: float
    actor: str
    action: str
    subject: str
    detail: dict[str, Value]
    digest: str


Event = Columns | Prediction
"""What stands in a segment of the event log."""
