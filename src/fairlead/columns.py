"""A table as columns, each one numpy array: what a file, a compiled graph and a profile hand to each other.

A row is what a request has; a million rows are quicker as columns. The nouns stand here, below all who read, answer or count
tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fairlead.schema import Value

__all__ = ["Columns", "Names", "Numbers"]

_Array = np.ndarray[Any, Any]


class Numbers(NamedTuple):
    """A column of numbers, whole numbers or booleans.

    Attributes:
        values: As doubles; NaN where the entry is missing.
        missing: Which entries are missing; `None` where none is.
    """

    values: _Array
    missing: _Array | None


class Names(NamedTuple):
    """A column of text.

    Attributes:
        codes: For each entry its position in `values`, -1 where it is missing.
        values: The distinct texts.
    """

    codes: _Array
    values: Sequence[Value]


Columns = Sequence[Numbers | Names]
"""A table in the order of the schema; every column is as long as the others, and every entry is one that rows may hold."""
