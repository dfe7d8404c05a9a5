"""Rows of CSV and of JSON lines, also packed by gzip."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import pyarrow as pa

from fairlead.batch.chunk import BadRow, Chunk, Told, file_identity, unreadable
from fairlead.batch.entries import table_of
from fairlead.errors import InvalidInput

__all__ = ["CsvSource", "JsonLinesSource"]


def _opened(path: Path) -> IO[str]:
    if path.name.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


class CsvSource:
    """A table with a header line; Python's own reader, because it is the one that the service uses."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: int | None = None
        with _opened(path) as file:
            self.names: tuple[str, ...] = tuple(next(self._records(file), ()))
        if not self.names:
            raise InvalidInput(f"{path.name} is empty.", hint="The first line names the columns.")
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise InvalidInput(f"{path.name} has two columns {twice[0][:80]!r}.")

    def identity(self) -> Told:
        """The file, its size and when it was changed."""
        return file_identity(self._path)

    def chunks(self, start: int, size: int) -> Generator[Chunk]:
        """The rows from number `start` on."""
        try:
            with _opened(self._path) as file:
                records = itertools.islice(self._records(file), 1 + start, None)
                while taken := list(itertools.islice(records, size)):
                    yield self._chunk(start, taken)
                    start += len(taken)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as err:
            raise unreadable(self._path, err) from err

    def _records(self, file: IO[str]) -> Iterator[list[str]]:
        first = file.read(1)
        if first != "\ufeff":
            file.seek(0)
        return filter(None, csv.reader(file, strict=True))

    def _chunk(self, start: int, records: list[list[str]]) -> Chunk:
        width = len(self.names)
        if all(len(record) == width for record in records):
            return Chunk(start, len(records), _texts(self.names, records), text=True)
        wrong = tuple(
            BadRow(start + at, f"Expected {width} cells, got {len(record)}.", expected=f"{width} cells")
            for at, record in enumerate(records)
            if len(record) != width
        )
        right = [(start + at, record) for at, record in enumerate(records) if len(record) == width]
        numbers = tuple(number for number, _ in right)
        table = _texts(self.names, [record for _, record in right])
        return Chunk(start, len(records), table, numbers, text=True, unreadable=wrong)


def _texts(names: Sequence[str], records: Sequence[Sequence[str]]) -> Any:
    columns = zip(*records, strict=True) if records else itertools.repeat((), len(names))
    return pa.table({name: pa.array(list(entries), pa.string()) for name, entries in zip(names, columns, strict=False)})


class JsonLinesSource:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: int | None = None
        with _opened(path) as file:
            first = next((line for line in file if line.strip()), None)
        if first is None:
            raise InvalidInput(f"{path.name} is empty.")
        told = _object(first)
        if isinstance(told, str):
            raise InvalidInput(f"{path.name}: the first line is {told}.", hint="Each line holds one JSON object.")
        self.names: tuple[str, ...] = tuple(told)

    def identity(self) -> Told:
        """The file, its size and when it was changed."""
        return file_identity(self._path)

    def chunks(self, start: int, size: int) -> Generator[Chunk]:
        """The rows from number `start` on."""
        try:
            with _opened(self._path) as file:
                lines = itertools.islice((line for line in file if line.strip()), start, None)
                while taken := list(itertools.islice(lines, size)):
                    yield self._chunk(start, taken)
                    start += len(taken)
        except (OSError, EOFError, UnicodeDecodeError) as err:
            raise unreadable(self._path, err) from err

    def _chunk(self, start: int, lines: list[str]) -> Chunk:
        told = [_object(line) for line in lines]
        wrong = tuple(
            BadRow(start + at, f"The line is {one}.", value=lines[at][:200])
            for at, one in enumerate(told)
            if isinstance(one, str)
        )
        good = [(start + at, one) for at, one in enumerate(told) if not isinstance(one, str)]
        table, mixed = table_of({name: [one.get(name) for _, one in good] for name in self.names})
        numbers = tuple(number for number, _ in good) if wrong else None
        return Chunk(start, len(lines), table, numbers, mixed=mixed, unreadable=wrong)


def _object(line: str) -> dict[str, Any] | str:
    """A line's object, or what it is instead; NaN, which Python writes for a missing entry, is one."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return "no JSON"
    return found if isinstance(found, dict) else "no JSON object"
