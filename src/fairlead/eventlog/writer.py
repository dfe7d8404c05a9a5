"""Appending without making the caller wait.

An event is written to the file before its answer is sent, so the kernel has it and `kill -9` of the process loses nothing
that was answered; `sync` (called by the gateway every second, from a thread) hands it to the disk. The writer never raises:
a full disk drops the events, counts them, and the answers go on.

A segment is closed when it is full, and when its day is over: the folder of a day holds that day's events, and a second more.
While it is open, its writer holds a shared lock on it, by which who compacts the log knows that it may still grow.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from fairlead.eventlog import segment
from fairlead.eventlog.days import DAY, day_of
from fairlead.events import Columns, Event, Prediction

__all__ = ["EventLog"]

_RETRY_SECONDS = 1.0
_NAMES = 100
"""So many names are tried for a new segment."""


class EventLog:
    """The segments of one writer.

    Args:
        folder: Where segments are kept, in one folder a day.
        writer: A name that no other living process uses.
        segment_bytes: A segment is closed when it has grown beyond this.
    """

    def __init__(self, folder: Path, writer: str, *, segment_bytes: int = 64 * 2**20) -> None:
        self.dropped = 0
        """Events that could not be written."""
        self.written = 0
        """Events that were."""
        self.failing = False
        """Whether the last write failed."""
        self._folder = folder
        self._writer = writer
        self._segment_bytes = segment_bytes
        self._file = -1
        self._size = 0
        self._sequence = 0
        self._introduced: set[str] = set()
        self._retry_at = 0.0
        self._day_end = 0.0
        self._day_over = False
        self._lock = Lock()  # guards the list below, which `sync` empties from another thread
        self._full: list[int] = []

    def append(self, columns: Columns, predictions: Sequence[Prediction]) -> bool:
        """Write predictions of one version; say whether they were written.

        Args:
            columns: What their positions mean; written once in each segment.
            predictions: At least one.
        """
        if (self._file < 0 or self._size > self._segment_bytes or self._day_over) and not self._open():
            return self._drop(len(predictions))
        introduced = columns.model in self._introduced
        if not self._write_events(predictions if introduced else [columns, *predictions], len(predictions)):
            return False
        if not introduced:
            self._introduced.add(columns.model)
        return True

    def note(self, events: Sequence[Event]) -> bool:
        """Write events that speak for themselves: feedback, mirrored answers; say whether they were written."""
        if (self._file < 0 or self._size > self._segment_bytes or self._day_over) and not self._open():
            return self._drop(len(events))
        return self._write_events(events, len(events))

    def _write_events(self, events: Sequence[Event], count: int) -> bool:
        if not self._write(b"".join(segment.encode(events))):
            return self._drop(count)
        self.written += count
        self.failing = False
        return True

    def sync(self) -> None:
        """Hand what was written to the disk. Blocks; call it from a thread."""
        with self._lock:
            full, self._full = self._full, []
            # A duplicate keeps the file open though the writer may move on to the next segment meanwhile.
            current = os.dup(self._file) if self._file >= 0 else -1
        for file in [*full, *([current] if current >= 0 else [])]:
            try:
                os.fdatasync(file)
            except OSError:
                self.failing = True
            finally:
                os.close(file)
        # Looked at here and not at each write: whoever follows the log need not look at what days long gone have left.
        self._day_over = time.time() >= self._day_end

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
                self._file = -1

    def _open(self) -> bool:
        """Begin the next segment; after a failure, not again for a second."""
        now = time.time()
        if time.monotonic() < self._retry_at:
            return False
        try:
            file = self._create(now)
        except OSError:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return False
        with self._lock:
            if self._file >= 0:
                self._full.append(self._file)
            self._file = file
        self._size = 0
        self._day_end, self._day_over = (now // DAY + 1) * DAY, False
        self._introduced = set()
        if self._write(segment.MAGIC):
            return True
        self._abandon()
        return False

    def _create(self, now: float) -> int:
        """A new segment, held. A name that is taken, or a file that somebody looks at at this very moment, is passed over.

        Raises:
            OSError: It cannot be made.
        """
        folder = self._folder / day_of(now)
        folder.mkdir(parents=True, exist_ok=True)
        clock, last = time.strftime("%H%M%S", time.gmtime(now)), self._sequence + _NAMES
        while True:
            self._sequence += 1
            try:
                return _created(folder / f"{clock}-{self._writer}-{self._sequence:06d}{segment.SUFFIX}")
            except (FileExistsError, BlockingIOError):
                if self._sequence >= last:
                    raise

    def _write(self, data: bytes) -> bool:
        """Write all of `data` or nothing."""
        try:
            count = os.write(self._file, data)
        except OSError:
            return False
        if count == len(data):
            self._size += count
            return True
        return self._take_back()

    def _take_back(self) -> bool:
        """Cut off what a full disk let through of a frame; begin a new segment if even that fails."""
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._abandon()
        return False

    def _abandon(self) -> None:
        """Never write to this segment again; the next one is tried in a second."""
        self._size = self._segment_bytes + 1
        self._retry_at = time.monotonic() + _RETRY_SECONDS

    def _drop(self, count: int) -> bool:
        self.dropped += count
        self.failing = True
        return False


def _created(path: Path) -> int:
    """A new segment, held.

    Raises:
        OSError: It cannot be made, or somebody looks at it at this very moment.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise
    except OSError:
        pass  # a file system without locks: then nobody else gets the exclusive one either
    return file
