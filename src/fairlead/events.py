"""The facts we record. They are written once and never changed.

A `Prediction` is positional and compact because it is written on the hot path; the `Columns` fact before it in the same
segment says what the positions mean, so a segment can be read by itself.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from fairlead.schema import Value

__all__ = [
    "DARK",
    "OUTSIDE",
    "PINNED",
    "AuditEntry",
    "Columns",
    "Event",
    "Exposure",
    "Feedback",
    "Mirrored",
    "Prediction",
]

Exposure = Literal["", "pinned", "outside", "dark"]
"""How a request came to its variant: "" by assignment; it named the variant itself; it is not of the audience or has no key; or
people decide and the answer was recorded and not given. Only what was assigned is analysed as a comparison of variants."""

PINNED: Final = "pinned"
OUTSIDE: Final = "outside"
DARK: Final = "dark"


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
        key: What stands for the caller's key, salted by the rollout, so that it tells nothing of the key; or an id of the request,
            with dashes, for several rows that were assigned together. `None` where each row stands for itself.
        status: "ok", or the code of the error that was answered.
        latency: From the last byte of the request to the answer, in seconds.
        inputs: The row, in the order of the schema; `None` where it could not be read.
        prediction: The label or number; `None` where there is none.
        probabilities: One for each class, in the order of the schema.
        flags: Names of the columns whose category was unseen in training.
        revision: The routing table's revision in which the endpoint had last changed: it tells the weights.
        exposure: How the request came to the variant.
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
    revision: int = 0
    exposure: Exposure = ""


class Mirrored(msgspec.Struct, frozen=True, array_like=True, tag="m", gc=False):
    """One row that was answered and then asked of a shadow, too: both answers side by side.

    Attributes:
        id: Of the prediction that was given.
        time: When the shadow had answered, in seconds since 1970 (UTC).
        endpoint: The endpoint that was asked.
        model: The version in the shadow, "flights:4".
        variant: Its name.
        status: "ok", or the code of what went wrong in the shadow.
        latency: Of the shadow's run for this row alone or its batch, in seconds; without its waiting.
        prediction: The shadow's label or number.
        probabilities: The shadow's, in the order of the schema.
        given_model: The version whose answer was given.
        given_latency: Of its answer, in seconds.
        given_prediction: The label or number that was given.
        given_probabilities: Those that were given.
        revision: As in `Prediction`.
    """

    id: str
    time: float
    endpoint: str
    model: str
    variant: str
    status: str
    latency: float
    prediction: Value
    probabilities: tuple[float, ...] | None
    given_model: str
    given_latency: float
    given_prediction: Value
    given_probabilities: tuple[float, ...] | None
    revision: int = 0


class Feedback(msgspec.Struct, frozen=True, array_like=True, tag="f", gc=False):
    """What proved true of a prediction, or what a person said of it.

    Attributes:
        id: Of the prediction.
        time: When it came, in seconds since 1970 (UTC).
        endpoint: The endpoint of the prediction.
        label: What proved true, or what a person decided.
        rating: 1 (bad) to 5 (good).
        comment: In a person's words.
        values: Numbers by name, such as what it earned.
        about: Whether rating and comment are about the answer, or about the page and the way of working.
        source: Who says so: the name of the token, or how it came.
    """

    id: str
    time: float
    endpoint: str
    label: Value = None
    rating: int | None = None
    comment: str | None = None
    values: dict[str, float] | None = None
    about: Literal["answer", "page"] = "answer"
    source: str = ""


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


Event = Columns | Prediction | Mirrored | Feedback
"""What stands in a segment of the event log."""
