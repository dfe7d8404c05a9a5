"""What stands in an event log at one moment: parts, and what was appended since. Frames are made of either in the same way.

```
manifest ─┬─▶ its parts ───────────────────────────────▶ batches ─▶ polars frames
          └─▶ each segment from the byte it is read to ─▶ batches ─┘
```

A part that cannot be read is named in the notes and passed over; the next compaction sets it aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa

from fairlead.archive.appended import read_new
from fairlead.archive.manifest import FOLDER, Kind, Manifest, Part, load
from fairlead.archive.merging import UNREADABLE
from fairlead.archive.parts import layout_of, slices
from fairlead.archive.sheets import batches_of
from fairlead.errors import StorageError
from fairlead.eventlog.days import DAY, day_begins
from fairlead.eventlog.reader import segments
from fairlead.events import Columns

__all__ = ["Piece", "Snapshot"]


class Piece(msgspec.Struct, frozen=True):
    """Some rows of one kind and endpoint; predictions also of the same columns.

    Attributes:
        kind: What they are.
        endpoint: Whose.
        columns: What the positions of predictions mean; of each version in it.
        frame: As `tables` made it.
    """

    kind: Kind
    endpoint: str
    columns: tuple[Columns, ...]
    frame: pl.DataFrame

    @property
    def layout(self) -> str:
        """The same for pieces whose columns are the same."""
        return layout_of(self.columns[0] if self.columns else None)


class Snapshot:
    """An event log as it is now; what is appended to its segments afterwards may be seen, too.

    Args:
        events: The event log's folder.
        manifest: The manifest, where it was read already.

    Raises:
        StorageError: The manifest cannot be read.
    """

    def __init__(self, events: Path, manifest: Manifest | None = None) -> None:
        self.manifest = manifest or load(events)
        self.notes: list[str] = []
        """What could not be read, a sentence each."""
        self._events = events

    def pieces(
        self,
        kind: Kind,
        endpoint: str,
        start: float = float("-inf"),
        end: float = float("inf"),
        *,
        columns: list[str] | None = None,
    ) -> Iterator[Piece]:
        """The rows of one kind and endpoint with start ≤ time < end: of parts by day and time, then what is in segments alone.

        Args:
            kind: Which.
            endpoint: Whose.
            start: In seconds since 1970 (UTC).
            end: In seconds since 1970 (UTC).
            columns: The columns that are needed; all where it is `None`.
        """
        for part in self.parts(kind, endpoint, start, end):
            for piece in self.of_part(part, start, end, columns):
                yield from _within(piece, start, end)
        for piece in self._appended(kind, endpoint, start):
            found = piece if columns is None else msgspec.structs.replace(piece, frame=piece.frame.select(columns))
            yield from _within(found, start, end)

    def parts(self, kind: Kind, endpoint: str, start: float, end: float) -> list[Part]:
        """The parts that may hold such rows, by day and time."""
        return sorted(
            (
                part
                for part in self.manifest.parts
                if part.kind == kind and part.endpoint == endpoint and part.last >= start and part.first < end
            ),
            key=lambda one: (one.day, one.first, one.path),
        )

    def of_part(self, part: Part, start: float, end: float, columns: list[str] | None = None) -> Iterator[Piece]:
        """The rows of a part, about within these times; nothing where it cannot be read."""
        path = self._events / FOLDER / part.path
        try:
            for meaning, batch in slices(path, start=start, end=end, columns=columns):
                yield Piece(meaning.kind, meaning.endpoint, meaning.columns, as_frame(batch))
        except UNREADABLE as err:
            why = "it was removed meanwhile" if isinstance(err, FileNotFoundError) else str(err)
            self.notes.append(f"{part.path} with {part.rows:,} events cannot be read: {why}.")

    def _appended(self, kind: Kind, endpoint: str, start: float) -> Iterator[Piece]:
        """The rows that stand in segments alone."""
        for path in segments(self._events):
            if not _may_hold(path, start):
                continue
            try:
                for block in read_new(path, self.manifest.followed(path)):
                    for group in block.groups:
                        if group.kind != kind or group.endpoint != endpoint:
                            continue
                        batches, damaged = batches_of(group)
                        if damaged:
                            self.notes.append(f"{path.name} holds {damaged:,} events that cannot be understood.")
                        known = () if group.columns is None else (group.columns,)
                        for batch in batches:
                            yield Piece(kind, endpoint, known, as_frame(batch))
            except OSError as err:
                raise StorageError(f"The segment {path.name} cannot be read: {err.strerror}.") from err


def _may_hold(path: Path, start: float) -> bool:
    """Whether a segment may hold something as late as that. Its last change tells, or its day: a clock may be set, and a file be copied."""
    try:
        changed = path.stat().st_mtime
        ended = day_begins(path.parent.name) + DAY
    except (FileNotFoundError, ValueError):
        return True
    return max(changed, ended) >= start - DAY


def as_frame(batch: pa.RecordBatch) -> pl.DataFrame:
    """A batch as a frame, without copying."""
    frame: Any = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _within(piece: Piece, start: float, end: float) -> Iterator[Piece]:
    frame = piece.frame
    if "time" in frame.columns and not frame["time"].is_between(start, end, closed="left").all():
        frame = frame.filter(pl.col("time").is_between(start, end, closed="left"))
    if len(frame):
        yield msgspec.structs.replace(piece, frame=frame)
