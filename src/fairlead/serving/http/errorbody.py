"""Errors as the V1 and V2 protocols tell them: one JSON member, `error`, with a sentence in it."""

from __future__ import annotations

import msgspec

from fairlead.errors import FairleadError, Overloaded
from fairlead.serving.http.problems import status_of

__all__ = ["error_text", "told"]

_encode = msgspec.json.Encoder().encode


def error_text(error: FairleadError) -> str:
    """What a caller may know of an error; the cause stays with the operator."""
    if status_of(error) >= 500 and not isinstance(error, Overloaded):
        return error.title
    return str(error)


def told(error: FairleadError) -> tuple[int, bytes, bytes]:
    """The error as the lane sends it (a `lane.ErrorShape`); a row that does not fit is a plain 400 in these protocols."""
    status = status_of(error)
    return 400 if status == 422 else status, _encode({"error": error_text(error)}), b"application/json"
