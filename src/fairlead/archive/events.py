"""The log event by event, wherever its events rest: what is compacted, then what stands in segments alone.

Where nothing was ever compacted, nothing but the segments is looked at, and neither polars nor pyarrow is needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger

from fairlead.archive.manifest import Manifest, Part, load
from fairlead.archive.needs import needing_monitor
from fairlead.errors import StorageError
from fairlead.eventlog import segment
from fairlead.eventlog.reader import segments
from fairlead.events import Columns, Event, Feedback, Mirrored, Prediction

if TYPE_CHECKING:
    from fairlead.archive.snapshot import Snapshot

__all__ = ["introduced", "read_archived", "read_events"]

_AT_ONCE: Final = 4096
_RANK: Final = {Prediction: 0, Mirrored: 1, Feedback: 2}


def read_events(folder: Path, since: float = 0.0) -> Iterator[Event]:
    """The events of every kind. What is compacted comes day by day, about by time; then segment by segment what is not.

    Each prediction stands somewhere after the `Columns` that say what its positions mean. Torn tails are passed over.

    Args:
        folder: Of the event log.
        since: Parts and segments without an event after this time are not read, in seconds since 1970; the others are read whole.

    Raises:
        NotFound: The log was compacted, and polars or pyarrow is missing.
        StorageError: The archive's manifest, or a segment, cannot be read.
    """
    manifest = load(folder)
    yield from read_archived(folder, manifest, since)
    yield from introduced(folder, manifest)
    for path in segments(folder, since):
        yield from _from(path, manifest.followed(path).offset)


def read_archived(folder: Path, manifest: Manifest, since: float) -> Iterator[Event]:
    """The events that are in parts.

    Raises:
        NotFound: polars or pyarrow is missing.
    """
    parts = [part for part in manifest.parts if part.last >= since]
    if not parts:
        return
    with needing_monitor("Reading a compacted event log"):
        from fairlead.archive.snapshot import Snapshot
    snapshot = Snapshot(folder, manifest)
    known: set[Columns] = set()
    for _, some in groupby(sorted(parts, key=lambda one: (one.day, one.first)), key=lambda one: one.day):
        for event in heapq.merge(*(_of_part(snapshot, part) for part in some), key=_order):
            columns, fact = event
            for one in columns:
                if one not in known:
                    known.add(one)
                    yield one
            yield fact
    for note in snapshot.notes:
        logger.warning("An event log is read with a gap: {note}", note=note)


_Told = tuple[tuple[Columns, ...], Prediction | Mirrored | Feedback]


def _order(told: _Told) -> tuple[float, int]:
    """By time; of one moment, the answer before what is said of it."""
    fact = told[1]
    return fact.time, _RANK[type(fact)]


def _of_part(snapshot: Snapshot, part: Part) -> Iterator[_Told]:
    from fairlead.archive.restored import restored

    for piece in snapshot.of_part(part, float("-inf"), float("inf")):
        first = piece.columns[0] if piece.columns else None
        for start in range(0, len(piece.frame), _AT_ONCE):
            for fact in restored(piece.kind, piece.endpoint, first, piece.frame[start : start + _AT_ONCE]):
                yield piece.columns, fact


def introduced(folder: Path, manifest: Manifest) -> Iterator[Columns]:
    """What segments say of columns before the byte up to which they are compacted."""
    for path in segments(folder):
        for offset in manifest.followed(path).introduced:
            data = _bytes(path, offset)
            payload = next(segment.whole(data, 0), None)
            event = segment.decode(payload[0]) if payload else None
            if isinstance(event, Columns):
                yield event


def _from(path: Path, offset: int) -> Iterator[Event]:
    """The events of a segment from a byte on."""
    data = _bytes(path, offset)
    if offset:
        yield from (segment.decode(payload) for payload, _ in segment.whole(data, 0))
    else:
        yield from (event for event in segment.read(data) if not isinstance(event, segment.TornTail))


def _bytes(path: Path, offset: int) -> bytes:
    """The bytes from there on; none where the segment was removed meanwhile.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as err:
        raise StorageError(f"The segment {path.name} cannot be read: {err.strerror}.") from err
