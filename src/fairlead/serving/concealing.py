"""What must not be kept is not written: sensitive columns are hashed or dropped before a prediction reaches the event log.

The model, the shadow and the caller see the row as it is; only what is recorded changes. A digest is keyed with the installation's
secret, so that nobody who reads the log can try values; the same value gives the same digest in a column, so that it can be counted.
What is missing stays missing.

An endpoint without such columns pays nothing: what conceals is made when a version is loaded, or is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

from fairlead.events import Prediction
from fairlead.schema import Row, Schema, Value

__all__ = ["Conceal", "concealing"]

Conceal = Callable[[Sequence[Prediction]], list[Prediction]]
"""Predictions as they may be kept."""

_DIGEST_BYTES = 8
_encode = msgspec.json.Encoder().encode


def concealing(schemas: Sequence[Schema], secret: bytes) -> Conceal | None:
    """What makes predictions fit to be kept; `None` where they are so as they are.

    Args:
        schemas: Of the version that answers, and of the others at its endpoint: what one of them marks, none gives away.
        secret: Of the installation; without one nothing can be hashed, and is dropped.
    """
    key = blake2b(b"fairlead/sensitive", key=secret, digest_size=32).digest()
    veils: list[tuple[int, Callable[[Value], Value]]] = []
    for place, column in enumerate(schemas[0].columns):
        marks = {one.sensitive for schema in schemas for one in schema.columns if one.name == column.name}
        if "drop" in marks or ("hash" in marks and not secret):
            veils.append((place, _nothing))
        elif "hash" in marks:
            veils.append((place, _digesting(key, column.name)))
    if not veils:
        return None

    def conceal(predictions: Sequence[Prediction]) -> list[Prediction]:
        return [
            one if one.inputs is None else msgspec.structs.replace(one, inputs=_veiled(one.inputs, veils))
            for one in predictions
        ]

    return conceal


def _veiled(row: Row, veils: Sequence[tuple[int, Callable[[Value], Value]]]) -> Row:
    kept = list(row)
    for place, veil in veils:
        kept[place] = veil(kept[place])
    return tuple(kept)


def _nothing(_: Value) -> Value:
    return None


def _digesting(key: bytes, column: str) -> Callable[[Value], Value]:
    """Digests of a column's values, 16 hex digits; other columns give the same value another digest."""
    begun = blake2b(column.encode() + b"\0", key=key, digest_size=_DIGEST_BYTES)

    def digest(value: Value) -> Value:
        if value is None:
            return None
        sealed = begun.copy()
        sealed.update(_encode(value))
        return sealed.hexdigest()

    return digest
