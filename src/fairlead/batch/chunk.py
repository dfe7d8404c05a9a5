"""A part of a table on its way through a run, and what is wrong with a row of it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fairlead.errors import InvalidInput
from fairlead.schema import Value

__all__ = ["BadRow", "Chunk", "Source", "Told", "file_identity", "unreadable"]

Told = Mapping[str, Value]
"""What identifies an input, as it is written into the notes of a run."""


class BadRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row that was not answered, as one line of `OUT.bad.jsonl`.

    Attributes:
        row: Its number in the input, from 0.
        reason: What is wrong, for people.
        field: The column, where one is to blame.
        value: What stands there.
        expected: What should.
    """

    row: int
    reason: str
    field: str | None = None
    value: Any = None
    expected: str | None = None


class Chunk(msgspec.Struct, frozen=True):
    """Some consecutive rows of an input.

    Attributes:
        start: The number of the first row, from 0.
        length: How many rows of the input it stands for, those that could not even be read among them.
        table: A pyarrow table of those that could be read.
        numbers: The row numbers of `table`, where some are left out.
        text: Whether every entry is text, as in CSV, to be read by its column's type.
        mixed: Columns whose entries are of several types; each entry is JSON.
        coded: Columns that stand in `table` as dictionaries although they are plain text, and of which type.
        unreadable: The rows that are left out.
    """

    start: int
    length: int
    table: Any
    numbers: tuple[int, ...] | None = None
    text: bool = False
    mixed: frozenset[str] = frozenset()
    coded: Mapping[str, Any] = {}
    unreadable: tuple[BadRow, ...] = ()

    def parted(self, rows: int) -> list[Chunk]:
        """The chunk in two, of which the first has so many rows; whole where it has no more, or lacks rows that could not be read."""
        if self.length <= rows or self.numbers is not None or self.unreadable:
            return [self]
        first = msgspec.structs.replace(self, length=rows, table=self.table.slice(0, rows))
        second = msgspec.structs.replace(
            self, start=self.start + rows, length=self.length - rows, table=self.table.slice(rows)
        )
        return [first, second]


class Source(Protocol):
    """Where rows come from."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        ...

    @property
    def rows(self) -> int | None:
        """How many rows there are, where that is known beforehand."""
        ...

    def identity(self) -> Told:
        """What tells this input from another, or from itself after a change."""
        ...

    def chunks(self, start: int, size: int) -> Generator[Chunk]:
        """The rows from number `start` on, about `size` at a time.

        Raises:
            InvalidInput: The input cannot be read.
        """
        ...


def file_identity(path: Path) -> Told:
    """What tells a file from another, or from itself after a change."""
    found = path.stat()
    return {"input": str(path.resolve()), "size": found.st_size, "changed": found.st_mtime_ns}


def unreadable(path: Path, err: BaseException) -> InvalidInput:
    """The error for a file that cannot be read, with the first line of the reason."""
    reason = (str(err).strip().splitlines() or [type(err).__name__])[0][:200].rstrip(".")
    return InvalidInput(f"{path.name} cannot be read: {reason}.")
