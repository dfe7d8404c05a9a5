"""The small parts of a day that is over become one: a year of parts of a minute would be half a million files.

The rows stream from the old parts to the new one; a part that cannot be read is named, and stays out of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from fairlead.archive import disk
from fairlead.archive.manifest import Part
from fairlead.archive.parts import ROWS, Meaning, fitted, read_meaning, slices, united, writer
from fairlead.archive.sheets import part_path
from fairlead.events import Columns

__all__ = ["UNREADABLE", "Merged", "merge", "to_merge"]

UNREADABLE: Final = (OSError, ValueError, pa.ArrowException)
"""What reading a part may raise: the disk, or what pyarrow finds in it."""

_MOST_ROWS: Final = 4_000_000
"""A part that is larger by itself is left as it is."""


class Merged(msgspec.Struct, frozen=True):
    """What became of some parts.

    Attributes:
        old: That were merged.
        new: All their rows.
        broken: That could not be read, with the reason.
    """

    old: tuple[Part, ...]
    new: Part | None
    broken: tuple[tuple[Part, str], ...] = ()


def to_merge(parts: Sequence[Part], today: str) -> list[list[Part]]:
    """The parts that belong together, of days before today; each list has several. Pure."""
    groups: dict[tuple[str, str, str, str], list[list[Part]]] = defaultdict(list)
    for part in sorted(parts, key=lambda one: (one.first, one.path)):
        if part.day >= today or part.rows >= _MOST_ROWS:
            continue
        some = groups[part.endpoint, part.day, part.kind, part.layout]
        for group in some:
            if _types(group, part) is not None and sum(one.rows for one in group) + part.rows <= _MOST_ROWS:
                group.append(part)
                break
        else:
            some.append([part])
    return [group for some in groups.values() for group in some if len(group) > 1]


def _types(group: Sequence[Part], part: Part | None = None) -> str | None:
    """The types of all together; `None` where they do not fit."""
    types: str | None = group[0].types
    for one in [*group[1:], *([part] if part else [])]:
        types = united(types, one.types) if types is not None else None
    return types


def merge(archive: Path, group: Sequence[Part], number: int) -> Merged:
    """Write the rows of these parts as one.

    Args:
        archive: The archive's folder.
        group: The parts, of one kind, endpoint, day and layout.
        number: Of the new part.

    Raises:
        OSError: The new part cannot be written.
    """
    sound, broken, columns = _checked(archive, group)
    if len(sound) < 2:
        return Merged((), None, broken)
    first = sound[0]
    types = _types(sound)
    assert types is not None
    path = part_path(first.endpoint, first.day, first.kind, number)
    meaning = Meaning(first.kind, first.endpoint, columns)
    size = disk.create(archive / path, lambda file: _copy(archive, sound, types, meaning, file))
    new = Part(
        path,
        first.endpoint,
        first.day,
        first.kind,
        sum(one.rows for one in sound),
        size,
        min(one.first for one in sound),
        max(one.last for one in sound),
        first.layout,
        types,
    )
    return Merged(tuple(sound), new, broken)


def _checked(
    archive: Path, group: Sequence[Part]
) -> tuple[list[Part], tuple[tuple[Part, str], ...], tuple[Columns, ...]]:
    """The parts that can be read to their end, those that cannot, and the columns of the first."""
    sound, broken = [], []
    columns: dict[Columns, None] = {}
    for part in group:
        try:
            rows = sum(len(batch) for _, batch in slices(archive / part.path))
            with pq.ParquetFile(archive / part.path) as file:
                columns |= dict.fromkeys(read_meaning(file).columns)
            if rows != part.rows:
                raise ValueError(f"it has {rows} rows and not {part.rows}")
        except UNREADABLE as err:
            broken.append((part, str(err)))
        else:
            sound.append(part)
    return sound, tuple(broken), tuple(columns)


def _copy(archive: Path, parts: Sequence[Part], types: str, meaning: Meaning, file: BinaryIO) -> None:
    batches = (fitted(batch, types) for part in parts for _, batch in slices(archive / part.path))
    into = None
    for table in _gathered(batches):
        if into is None:
            into = writer(file, table.schema.remove_metadata(), meaning)
        into.write_table(table.cast(into.schema), row_group_size=ROWS)
    assert into is not None
    into.close()


def _gathered(batches: Iterator[Any]) -> Iterator[pa.Table]:
    """Batches in tables of about a row group each."""
    some: list[Any] = []
    for batch in batches:
        some.append(pa.RecordBatch.from_arrays(batch.columns, batch.schema.names))
        if sum(map(len, some)) >= ROWS:
            yield pa.Table.from_batches(some)
            some = []
    if some:
        yield pa.Table.from_batches(some)
