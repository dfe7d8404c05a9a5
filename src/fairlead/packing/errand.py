"""What the opener's process is sent for, and what it may leave behind: the data between two processes.

The parent writes an errand, the opener leaves one `Left`. The errand is trusted; what is left was made in a process that has
run somebody's pickle, so it is decoded by type, bounded, and never more than data.
"""

from __future__ import annotations

import msgspec

from fairlead.packing.examination import Examination
from fairlead.schema import Sensitivity

__all__ = ["ERRAND", "LEFT", "Errand", "Examined", "Left", "Refused"]

ERRAND = "errand.msgpack"
"""The file in the opener's folder that says what to do."""

LEFT = "left.msgpack"
"""The file the opener leaves; it appears whole or not at all."""


class Errand(msgspec.Struct, frozen=True):
    """Open a model and examine it.

    Attributes:
        original: The path of the model's file.
        table: The path of the user's table, pickled by the parent.
        memory: The most address space, in bytes.
        seconds: The most processor time.
        measure: Whether metrics are wanted.
        reference: The path of the pickled held-out table; empty where there is none.
        sensitive: Columns whose values no profile may hold.
    """

    original: str
    table: str
    memory: int
    seconds: int
    measure: bool
    reference: str = ""
    sensitive: dict[str, Sensitivity] = {}


class Examined(msgspec.Struct, frozen=True, tag="examined"):
    """What was found out."""

    examination: Examination


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


Left = Examined | Refused
