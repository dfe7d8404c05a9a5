"""Following the log from a day in the past: what is compacted first, then what is written, as it is written.

It goes by the manifest as it was at the beginning, and looks at segments alone from then on: a segment stays for an hour after it was
compacted, so who looks more often than that misses nothing and hears nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fairlead.archive.events import introduced, read_archived
from fairlead.archive.manifest import GRACE, load
from fairlead.eventlog.days import day_begins, day_of
from fairlead.eventlog.tail import Tail
from fairlead.events import Event

__all__ = ["Following"]


class Following:
    """Follows a log, as `eventlog.tail` does, and knows what is compacted.

    Args:
        folder: Of the event log.
        since: Events of days before this time are passed over, in seconds since 1970 (UTC).

    Raises:
        StorageError: The archive's manifest cannot be read.
    """

    def __init__(self, folder: Path, since: float) -> None:
        manifest = load(folder)
        begin = day_begins(day_of(since))
        self._past = chain(read_archived(folder, manifest, begin), introduced(folder, manifest))
        offsets = {folder / name: followed.offset for name, followed in manifest.segments.items() if followed.offset}
        self._looked = time.time()
        self._tail = Tail(folder, since, offsets)

    @property
    def overslept(self) -> bool:
        """Whether the last look was so long ago that a segment may have gone unseen: who needs all must follow anew."""
        return abs(time.time() - self._looked) > GRACE / 2

    def read(self) -> Iterator[Event]:
        """The events that have come since the last look, and at first all before.

        Raises:
            NotFound: The log was compacted, and polars or pyarrow is missing.
            OSError: A segment cannot be read.
            StorageError: As for `archive.events`.
        """
        yield from self._past
        yield from self._tail.read()
        self._looked = time.time()
