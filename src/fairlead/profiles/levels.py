"""Levels: how the values of a column of names are called in a profile, whatever they came as.

A class may be the text "1", the number 1 or `true`; JSON keeps them apart in a row, and a profile keys them by text, as
`schema.label_text` writes them. A file may bring the same column as doubles; they find their levels again here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from fairlead.columns import Names, Numbers
from fairlead.schema import Value, label_text

__all__ = ["LONGEST", "level_of", "named", "sayable", "tally"]

LONGEST: Final = 200
"""Characters of a level; longer texts are counted without their names."""

_DENSE: Final = 2**16
"""Whole numbers within so wide a range are codes as they are."""

_SAFE_INTEGER: Final = 2**53

_Array = np.ndarray[Any, Any]


def level_of(value: Value) -> str:
    """A value as a level."""
    return value if type(value) is str else label_text(value)


def sayable(level: str) -> bool:
    """Whether a level may stand in a profile by its name."""
    if len(level) > LONGEST:
        return False
    try:
        level.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def tally(column: Names) -> tuple[dict[str, int], int]:
    """How often each level occurs, and how many entries are missing."""
    counts = np.bincount(column.codes + 1, minlength=len(column.values) + 1).tolist()
    missing, found = counts[0], dict[str, int]()
    for value, count in zip(column.values, counts[1:], strict=True):
        if value is None:
            missing += count
        elif count:
            level = level_of(value)
            found[level] = found.get(level, 0) + count
    return found, missing


def named(column: Numbers, levels: Iterable[str]) -> Names:
    """A column of numbers as names, called as the known levels are.

    Args:
        column: Numbers, whole numbers or booleans.
        levels: Those of the reference.
    """
    called = {number: level for level in levels if (number := _number_of(level)) is not None}
    values = column.values
    present = ~np.isnan(values)
    codes = np.full(len(values), -1, np.int64)
    found = values[present]
    if not len(found):
        return Names(codes, ())
    low, high = found.min(), found.max()
    if high - low < _DENSE and low > -_SAFE_INTEGER and high < _SAFE_INTEGER and (found == np.rint(found)).all():
        numbers = np.arange(low, high + 1)
        codes[present] = (found - low).astype(np.int64)
    else:
        numbers, inverse = np.unique(found, return_inverse=True)
        codes[present] = inverse
    return Names(codes, [called.get(one) or _text(one) for one in numbers.tolist()])


def _number_of(level: str) -> float | None:
    """The number that a level is written for; `None` where it is text."""
    try:
        number = json.loads(level)
        return float(number) if isinstance(number, int | float) else None
    except (ValueError, OverflowError, RecursionError):
        return None


def _text(number: float) -> str:
    return str(int(number)) if abs(number) < _SAFE_INTEGER and number.is_integer() else repr(number)
