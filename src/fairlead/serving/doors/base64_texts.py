"""Texts that came as base64: where JSON cannot hold its bytes, V1 lets a client write `{"b64": "SGVsbG8="}` for a text.

Few clients do, so the rows are first looked through for the word, and only then read and written again as plain JSON for the
readers that all other requests use.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, Final

import msgspec

from fairlead.errors import InvalidInput

__all__ = ["MARK", "plain"]

MARK: Final = b'"b64"'
"""What cannot be absent where there is such a text."""

_KEY: Final = "b64"


def plain(raw: bytes) -> bytes:
    """The same JSON with texts instead of base64; numbers stay as they are written.

    Raises:
        InvalidInput: It is no JSON, says a key twice, or what should be base64 of a text in UTF-8 is not.
        RecursionError: It is nested too deeply.
    """
    try:
        told = json.loads(
            raw, object_pairs_hook=_object, parse_int=_number, parse_float=_number, parse_constant=_constant
        )
    except json.JSONDecodeError as err:
        raise InvalidInput(f"The request is not as the protocol says: {err}.") from err
    return msgspec.json.encode(told)


def _object(pairs: list[tuple[str, Any]]) -> object:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidInput("A JSON object has the same key twice.")
    return _text(found[_KEY]) if list(found) == [_KEY] else found


def _text(value: object) -> str:
    try:
        if isinstance(value, str):
            return base64.b64decode(value, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        pass
    raise InvalidInput("What stands under `b64` is not the base64 of a text in UTF-8.")


def _number(digits: str) -> msgspec.Raw:
    return msgspec.Raw(digits.encode())


def _constant(name: str) -> object:
    raise InvalidInput(f"{name} is no number in JSON.")
