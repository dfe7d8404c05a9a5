"""Where the answers of a run go, as the run sees it: parts are made in threads, added in order, and marked as done.

Whatever an output is, a part and the mark of how far the run came become lasting together, so that a run that was killed at any
moment goes on without losing a row or writing one twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from fairlead.batch.chunk import BadRow, Told

__all__ = ["Output", "Progress"]


class Progress(msgspec.Struct, frozen=True):
    """How far a run has come.

    Attributes:
        read: Rows of the input.
        answered: Of these, rows with an answer.
        bad: Of these, rows without.
        unseen: How many entries of each column were not among the categories of the training data.
    """

    read: int = 0
    answered: int = 0
    bad: int = 0
    unseen: Mapping[str, int] = {}


class Output(Protocol):
    """Takes the answers of one run. Only `encode` is called from several threads."""

    @property
    def name(self) -> str:
        """Where the answers are, for people."""
        ...

    @property
    def bad_name(self) -> str:
        """Where the rows without an answer are told, for people."""
        ...

    @property
    def keeps_text(self) -> bool:
        """Whether the entries of a CSV stay as they were written; else they get their column's type."""
        ...

    @property
    def keeps_codes(self) -> bool:
        """Whether texts may come as dictionaries behind the first part, although they are plain in it."""
        ...

    @property
    def is_begun(self) -> bool:
        """Whether there is a part already."""
        ...

    def take_up(self, task: Told) -> Progress:
        """Begin, or go on where this very run was stopped.

        Args:
            task: What is scored, with which version; another task must not go on from here.

        Raises:
            Conflict: Something stands there, or a run of something else was not finished there.
            StorageError: It cannot be written.
        """
        ...

    def begin(self, table: Any) -> None:
        """Fix the columns' types: those of the first part.

        Raises:
            InvalidInput: A column is of a kind that cannot be held.
        """
        ...

    def encode(self, table: Any, *, is_first: bool = False) -> Any:
        """A table as a part.

        Raises:
            InvalidInput: A column is not of the type it began with.
        """
        ...

    def add(self, data: Any, bad: Sequence[BadRow], progress: Progress) -> None:
        """Append a part, `None` where it has no row, and mark how far the run is with it.

        Raises:
            Conflict: Another run has taken over.
            StorageError: The disk is full, the server is gone.
        """
        ...

    def finish(self, progress: Progress) -> None:
        """Let everybody see it, all at once. Raises as `add`."""
        ...

    def abandon(self) -> None:
        """Leave nothing behind: there was no row."""
        ...

    def close(self) -> None:
        """Let go of it, finished or not."""
        ...
