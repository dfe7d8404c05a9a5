"""Reading segments back: every whole prediction, and how much was torn. Who reads a log that may be compacted goes to `archive.events`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from fairlead.errors import StorageError
from fairlead.eventlog import segment
from fairlead.events import Columns, Prediction

__all__ = ["Recorded", "read_log", "read_segment", "segments"]


class Recorded(msgspec.Struct, frozen=True):
    """A prediction with what its positions mean."""

    prediction: Prediction
    columns: Columns

    @property
    def row(self) -> dict[str, object]:
        """The inputs by name; empty where the row could not be read."""
        return dict(zip(self.columns.inputs, self.prediction.inputs or (), strict=False))


def segments(folder: Path, since: float = 0.0) -> list[Path]:
    """The segments below `folder`, oldest first.

    Args:
        folder: Of the event log.
        since: Segments that were last written to before this time are left out, in seconds since 1970. A segment may be older than
            its last event by days, so it goes by the file's time and not by the folder's name.
    """
    found = sorted(folder.glob(f"*/*{segment.SUFFIX}"))
    return [path for path in found if _written(path) >= since] if since > 0 else found


def read_segment(path: Path) -> Iterator[Recorded | segment.TornTail]:
    """The predictions of one segment; last a `TornTail` where its end is torn.

    Raises:
        StorageError: The file cannot be read, or a prediction stands before its columns.
    """
    try:
        data = path.read_bytes()
    except OSError as err:
        raise StorageError(f"The segment {path.name} cannot be read: {err.strerror}.") from err
    columns: dict[str, Columns] = {}
    for event in segment.read(data):
        if isinstance(event, segment.TornTail):
            yield event
        elif isinstance(event, Columns):
            columns[event.model] = event
        elif not isinstance(event, Prediction):
            continue
        elif event.model in columns:
            yield Recorded(event, columns[event.model])
        else:
            raise StorageError(f"The segment {path.name} holds a prediction of {event.model!r} before its columns.")


def read_log(folder: Path) -> Iterator[Recorded]:
    """The predictions of all segments below `folder`, segment by segment; torn tails are passed over."""
    for path in segments(folder):
        for event in read_segment(path):
            if isinstance(event, Recorded):
                yield event


def _written(path: Path) -> float:
    """When a segment was last written to; 0 where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
