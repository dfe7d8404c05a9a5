"""A file that a run writes: `OUT.partial` grows, `OUT.bad.jsonl` beside it, and the notes say how much of both is good.

The notes are written after what they tell of has reached the disk, which takes longer than answering a part does; so not after each part,
but about once a second, and a killed run loses at most what it did since. At the end `OUT.partial` gets its last name. A lock on it keeps a second run away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

from fairlead.batch.chunk import BadRow, Told
from fairlead.batch.file_parts import Parts, open_parts
from fairlead.batch.notes import Notes, drop_notes, read_notes, write_notes
from fairlead.batch.output import Progress
from fairlead.errors import Conflict, StorageError

__all__ = ["FileOutput"]

_NOTE_SECONDS: Final = 1.0


class FileOutput:
    """An `Output` that is a file.

    Args:
        path: Where to.
        overwrite: Whether to begin anew, whatever was written before.

    Raises:
        InvalidInput: It is of a kind that is not written.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self._path, self._partial = path, _beside(path, ".partial")
        self._bad, self._notes_path = _beside(path, ".bad.jsonl"), _beside(path, ".progress.json")
        self._overwrite = overwrite
        self._parts: Parts = open_parts(path)
        self._notes = self._noted = Notes({})
        self._due = 0.0
        self._files: list[IO[bytes]] = []
        self.name, self.bad_name = str(path), str(self._bad)
        self.keeps_text, self.keeps_codes = self._parts.keeps_text, self._parts.keeps_codes
        self.encode = self._parts.encode
        self.begin = self._parts.begin

    @property
    def is_begun(self) -> bool:
        """Whether there is a part already."""
        return bool(self._notes.parts)

    def take_up(self, task: Told) -> Progress:
        """Begin, or take up what is there, where it belongs to this very run."""
        if self._path.exists() and not self._overwrite:
            raise Conflict(f"{self._path} exists.", hint="Write somewhere else, or replace it with --overwrite.")
        self._lock()
        if self._overwrite:
            drop_notes(self._notes_path)
        found = read_notes(self._notes_path)
        if found is not None and found.task != task:
            raise Conflict(
                f"A run that was not finished left {self._partial.name}, and it is not this one.",
                hint="The input, the version or the columns have changed: begin anew with --overwrite.",
            )
        self._notes = self._noted = found or Notes(task)
        self._cut_off()
        return self._notes.progress

    def add(self, data: bytes | None, bad: Sequence[BadRow], progress: Progress) -> None:
        """Append a part; note it if the last note is a second old."""
        before, lines = self._notes, msgspec.json.Encoder().encode_lines(bad)
        size = 0 if data is None else len(data)
        for file, more in zip(self._files, (data, lines), strict=True):
            _write(file, more)
        self._notes = Notes(
            before.task,
            progress,
            before.out_bytes + size,
            before.bad_bytes + len(lines),
            (*before.parts, size) if size else before.parts,
        )
        if time.monotonic() >= self._due:
            self._note()

    def finish(self, progress: Progress) -> None:
        """Make it the output."""
        _flush(self._files[0])
        _write(self._files[0], self._parts.end(self._partial, self._notes.parts))
        self._note()
        self._partial.replace(self._path)
        if not progress.bad:
            self._bad.unlink()
        drop_notes(self._notes_path)

    def abandon(self) -> None:
        """Leave nothing behind."""
        for path in (self._partial, self._bad, self._notes_path):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files, and with them the lock; a run that failed goes on behind its last part."""
        # What goes wrong here has gone wrong before and is being told; what is noted already stays right.
        if self._notes != self._noted:
            with contextlib.suppress(StorageError):
                self._note()
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()

    def _lock(self) -> None:
        try:
            # Not "wb": what a killed run has written must not be lost before the notes are read.
            self._files.append(self._partial.open("ab+"))
            fcntl.flock(self._files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._files.append(self._bad.open("ab"))
        except BlockingIOError as err:
            raise Conflict(f"Another run is writing {self._path}.", hint="Wait until it has ended.") from err
        except OSError as err:
            raise StorageError(f"{self._partial} cannot be written: {err.strerror}.") from err

    def _note(self) -> None:
        for file in self._files:
            _sync(file)
        write_notes(self._notes_path, self._notes)
        self._noted, self._due = self._notes, time.monotonic() + _NOTE_SECONDS

    def _cut_off(self) -> None:
        """Take away what was not finished."""
        for file, length in zip(self._files, (self._notes.out_bytes, self._notes.bad_bytes), strict=True):
            if os.fstat(file.fileno()).st_size < length:
                raise StorageError(f"{file.name} is shorter than it was.", hint="Begin anew with --overwrite.")
            file.truncate(length)
        if self.is_begun:
            out = self._files[0]
            out.seek(0)
            self._parts.go_on(out.read(self._notes.parts[0]))


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _write(file: IO[bytes], data: bytes | None) -> None:
    if data:
        with _telling(file):
            file.write(data)


def _flush(file: IO[bytes]) -> None:
    with _telling(file):
        file.flush()


def _sync(file: IO[bytes]) -> None:
    with _telling(file):
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _telling(file: IO[bytes]) -> Iterator[None]:
    """Say in our words what goes wrong with a file.

    Raises:
        StorageError: The disk is full.
    """
    try:
        yield
    except OSError as err:
        raise StorageError(f"{file.name} cannot be written: {err.strerror}.", hint="The same command goes on.") from err
