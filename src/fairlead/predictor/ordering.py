"""In which order the rows of a table are answered quickest: tried on its first chunks, and then kept to.

A processor guesses which way a tree's test will go from how it went for the rows before. Rows of one carrier behind each other go the same
ways, and a hundred trees answered them a fifth quicker than as they stood in the table; sorted by destination they took longer. Which
column does that is a matter of the model and of the data, so it is measured: every chunk has to be answered in some order anyhow. The
answers do not depend on it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, Final

import numpy as np

from fairlead.columns import Columns, Names

__all__ = ["Ordering", "Trial"]

_LEAST_ROWS: Final = 16_384
"""Of a chunk whose time tells anything."""

_TRIALS: Final = 2
"""Of each order; the quicker one counts, because other work on the machine only adds."""

_MOST_COLUMNS: Final = 7
_MOST_NAMES: Final = 255

_Array = np.ndarray[Any, Any]


class Trial:
    """One chunk, answered in one order; its time runs from here to `Ordering.told`.

    Args:
        number: Of the order.
        rows: Of the chunk.
        codes: What they are sorted by, bytes; `None` where they are left as they stand.
    """

    def __init__(self, number: int, rows: int, codes: _Array | None) -> None:
        self.number = number
        self.rows = rows
        self.began = time.thread_time()
        self._codes = codes

    def places(self, start: int, end: int) -> _Array | None:
        """Of the rows from `start` to before `end`, which comes first, second, …, counted from `start`; `None` where they are left as they stand."""
        # Numpy sorts bytes by counting them. Those of one value stay in their order: a table by time has rows alike next to each other.
        return None if self._codes is None else np.argsort(self._codes[start:end], kind="stable")


class Ordering:
    """Chooses among the orders of one model; may be asked from many threads.

    Args:
        columns: Positions of the columns by which rows may be sorted; more than a few are not tried.
    """

    def __init__(self, columns: Sequence[int]) -> None:
        self._columns: list[int | None] = [None, *columns[:_MOST_COLUMNS]]
        self._begun = [0] * len(self._columns)
        self._seconds = [float("inf")] * len(self._columns)
        self._lock = Lock()

    def begin(self, columns: Columns) -> Trial:
        """Choose the order for a chunk: one that was tried too seldom, or the quickest."""
        rows = len(columns[0][0])
        if rows < _LEAST_ROWS:
            return Trial(0, rows, None)
        with self._lock:
            number = min(range(len(self._columns)), key=self._begun.__getitem__)
            if self._begun[number] >= _TRIALS:
                number = self._seconds.index(min(self._seconds))
            self._begun[number] += 1
        column = self._columns[number]
        return Trial(number, rows, None if column is None else _codes(columns[column]))

    def told(self, trial: Trial) -> None:
        """The chunk is answered."""
        if trial.rows < _LEAST_ROWS:
            return
        seconds = (time.thread_time() - trial.began) / trial.rows
        with self._lock:
            self._seconds[trial.number] = min(seconds, self._seconds[trial.number])


def _codes(column: Any) -> _Array | None:
    """A column of names as bytes; `None` where it has too many."""
    if not isinstance(column, Names) or len(column.values) > _MOST_NAMES:
        return None
    return (column.codes + 1).astype(np.uint8)
