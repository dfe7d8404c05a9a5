"""Following the event log while it is written: what has come since the last look, from every writer's segment.

A writer appends whole frames in one write, so what is not whole yet is simply read again at the next look. Only new bytes are
read. Days that are over and were read to their end are not looked at again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from fairlead.eventlog import segment
from fairlead.eventlog.days import DAY, day_of
from fairlead.events import Event

__all__ = ["Tail"]


class Tail:
    """Follows the segments below a folder.

    Args:
        folder: Of the event log.
        since: Events of days before this time are passed over, in seconds since 1970 (UTC).
        offsets: Up to where segments were read already, elsewhere.
    """

    def __init__(self, folder: Path, since: float, offsets: Mapping[Path, int] | None = None) -> None:
        self._folder = folder
        self._first_day = day_of(since)
        self._offsets: dict[Path, int] = dict(offsets or {})
        self._seen: set[Path] = set()

    def read(self) -> Iterator[Event]:
        """The events that have come since the last look; those of one writer in their order.

        Raises:
            OSError: A segment cannot be read.
        """
        for path in self._segments():
            yield from self._new(path)
            self._seen.add(path)

    def _segments(self) -> list[Path]:
        days = sorted(day for day in self._folder.glob("????-??-??") if day.name >= self._first_day)
        # Yesterday's last segment may still grow after midnight; what is older is read to its end.
        fresh = day_of(time.time() - DAY)
        found = []
        for day in days:
            files = sorted(day.glob(f"*{segment.SUFFIX}"))
            found += files if day.name >= fresh else [path for path in files if path not in self._seen]
        return found

    def _new(self, path: Path) -> Iterator[Event]:
        offset = self._offsets.get(path, 0)
        try:
            if path.stat().st_size <= offset:
                return
            with path.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except FileNotFoundError:
            return  # compacted, or pruned by age
        start = 0 if offset else len(segment.MAGIC)
        for payload, end in segment.whole(data, start):
            # Kept before it is told: who stops half way does not hear the same event twice.
            self._offsets[path] = offset + end
            yield segment.decode(payload)
