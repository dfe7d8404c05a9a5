"""Rows that wait for a shadow, bounded by their number and by the length of their texts: what is beyond is turned away."""

from __future__ import annotations

from collections import deque
from typing import Final

from fairlead.events import Prediction
from fairlead.schema import Row, Schema

__all__ = ["MAX_TEXT", "MAX_WAITING", "Waiting"]

MAX_WAITING: Final = 4096
"""Rows that may wait for one shadow in one gateway."""
MAX_TEXT: Final = 8 * 2**20
"""Characters that the texts of waiting rows may have together."""


class Waiting:
    """The rows that wait, in their order.

    Args:
        schema: What the rows look like; without texts, their number bounds the memory.
    """

    def __init__(self, schema: Schema) -> None:
        self._texts = [place for place, column in enumerate(schema.columns) if column.type == "string"]
        self._rows: deque[Prediction] = deque()
        self._text = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, one: Prediction, beside: int) -> bool:
        """Let a row wait; say whether there was room.

        Args:
            one: What was answered.
            beside: How many rows of the same bound wait elsewhere.
        """
        text = self._text_of(one.inputs)
        if len(self._rows) + beside >= MAX_WAITING or self._text + text > MAX_TEXT:
            return False
        self._text += text
        self._rows.append(one)
        return True

    def take(self, most: int) -> list[Prediction]:
        """The rows whose turn it is.

        Args:
            most: How many at most.
        """
        taken = [self._rows.popleft() for _ in range(min(most, len(self._rows)))]
        self._text -= sum(self._text_of(one.inputs) for one in taken)
        return taken

    def clear(self) -> int:
        """Turn all away; return how many there were."""
        count = len(self._rows)
        self._rows.clear()
        self._text = 0
        return count

    def _text_of(self, row: Row | None) -> int:
        return sum(len(text) for place in self._texts if isinstance(text := row[place], str)) if row else 0
