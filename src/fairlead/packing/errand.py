"""What the opener's process is sent for, and what it may leave behind: the data between two processes.

The parent writes an errand, the opener leaves one `Left`. The errand is trusted; what is left was made in a process that has
run somebody's pickle, so it is decoded by type, bounded, and never more than data.
"""

from __future__ import annotations

import msgspec

from fairlead.bundle.manifest import Expected
from fairlead.packing.examination import Examination
from fairlead.schema import Row, Schema

__all__ = ["ERRAND", "LEFT", "Answer", "Answered", "Errand", "Examine", "Examined", "Left", "Refused"]

ERRAND = "errand.msgpack"
"""The file in the opener's folder that says what to do."""

LEFT = "left.msgpack"
"""The file the opener leaves; it appears whole or not at all."""


class Examine(msgspec.Struct, frozen=True, tag="examine"):
    """Open a model and examine it.

    Attributes:
        original: The path of the model's file.
        table: The path of the user's table, pickled by the parent.
        memory: The most address space, in bytes.
        seconds: The most processor time.
    """

    original: str
    table: str
    memory: int
    seconds: int


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """Open a model and let it answer rows.

    Attributes:
        original: The path of the model's file.
        schema: What the rows look like.
        dtypes: Of the frame the model takes; empty where it takes a bare array.
        rows: To answer.
        memory: The most address space, in bytes.
        seconds: The most processor time.
    """

    original: str
    schema: Schema
    dtypes: dict[str, str]
    rows: tuple[Row, ...]
    memory: int
    seconds: int


class Examined(msgspec.Struct, frozen=True, tag="examined"):
    """What was found out."""

    examination: Examination


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """What the model said, one a row."""

    answers: tuple[Expected, ...]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """Why it could not be done.

    Attributes:
        code: Of the error, as in `fairlead.errors`.
        detail: What happened.
        hint: What to do next.
    """

    code: str
    detail: str
    hint: str


Errand = Examine | Answer
Left = Examined | Answered | Refused
