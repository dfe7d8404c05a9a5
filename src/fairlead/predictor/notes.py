"""What a keeper tells its supervisor, through a pipe: which process answers now, and how the one before has ended."""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

__all__ = ["Note", "Notes", "tell"]

_NOTE: Final = struct.Struct("=i?i")
_AT_ONCE: Final = 64


class Note(NamedTuple):
    """What a keeper tells of a process that answers.

    Attributes:
        pid: Its id.
        code: How it ended, as `Popen.returncode`; `None` when it begins.
    """

    pid: int
    code: int | None = None


class Notes:
    """The pipe by which a keeper tells its supervisor; this is the supervisor's end."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        """The second is the keeper's end, which whoever starts the keeper hands over and closes."""
        os.set_blocking(self._reading, False)

    def read(self) -> list[Note]:
        """What has been told since; returns at once."""
        try:
            # A note is shorter than PIPE_BUF, so it comes whole.
            told = os.read(self._reading, _NOTE.size * _AT_ONCE)
        except BlockingIOError:
            return []
        whole = told[: len(told) // _NOTE.size * _NOTE.size]  # foreign code may have written what is no note
        return [Note(pid, code if ended else None) for pid, ended, code in _NOTE.iter_unpack(whole)]

    def close(self) -> None:
        """Listen no more; again does nothing."""
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1


def tell(writing: int, note: Note) -> bool:
    """Write a note; whether anybody is there to read it.

    Args:
        writing: The keeper's end.
        note: What to tell.
    """
    try:
        os.write(writing, _NOTE.pack(note.pid, note.code is not None, note.code or 0))
    except OSError:
        return False
    return True
