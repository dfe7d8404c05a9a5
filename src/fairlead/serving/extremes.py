"""Whose fault it is that a model could not answer: its own, or that of a number which no model can be expected to bear.

A row's numbers may be as large as a double holds, and most models answer them all. Some do not: a product overflows, or a
framework refuses what a single-precision float cannot hold. Whoever sent such a number is told which it was; the gateway asks
here only after the model has failed, so an ordinary request pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fairlead.errors import SchemaMismatch
from fairlead.schema import Row

__all__ = ["LARGEST_SURE", "too_large"]

LARGEST_SURE: Final = (2 - 2**-23) * 2.0**127
"""The largest number of IEEE 754's binary32, about 3.4e38."""


def too_large(names: Sequence[str], rows: Iterable[Row]) -> SchemaMismatch | None:
    """What to tell a caller whose rows a model could not answer; `None` where none of their numbers explains it. Pure.

    Args:
        names: The columns'.
        rows: What the model was asked.
    """
    for number, row in enumerate(rows):
        for name, value in zip(names, row, strict=True):
            if isinstance(value, float) and abs(value) > LARGEST_SURE:
                expected, got = "a number that the model can compute with", f"{value:.4g}"
                return SchemaMismatch(
                    f"Row {number}: column {name!r}: expected {expected}, got {got}.",
                    hint="The model has no answer to so large a number.",
                    row=number,
                    field=name,
                    expected=expected,
                    got=got,
                )
    return None
