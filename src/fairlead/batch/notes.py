"""What a run into a file writes down so that it can go on after it was killed: how far the input is read, how long the outputs are.

The outputs only grow. The notes are replaced after the outputs have reached the disk, so that what stands beyond the noted lengths
is what a killed run had not finished: the next one cuts it off, and every row is answered exactly once.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from fairlead.batch.chunk import Told
from fairlead.batch.output import Progress
from fairlead.errors import StorageError

__all__ = ["Notes", "drop_notes", "read_notes", "write_notes"]


class Notes(msgspec.Struct, frozen=True):
    """How far a run into a file has come.

    Attributes:
        task: What is scored, with which version; another task must not go on from here.
        progress: The rows.
        out_bytes: The length of the output.
        bad_bytes: The length of the file of bad rows.
        parts: The length of each part of the output.
    """

    task: Told
    progress: Progress = Progress()
    out_bytes: int = 0
    bad_bytes: int = 0
    parts: tuple[int, ...] = ()


def read_notes(path: Path) -> Notes | None:
    """The notes of a run that did not finish, `None` where there are none.

    Raises:
        StorageError: They cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Notes)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as err:
        raise StorageError(
            f"{path} cannot be read, so it is unknown how far the run came.", hint="Begin anew with --overwrite."
        ) from err


def write_notes(path: Path, notes: Notes) -> None:
    """Replace the notes, all at once.

    Raises:
        StorageError: The disk is full or the folder is gone.
    """
    waiting = path.with_name(path.name + ".new")
    try:
        with waiting.open("wb") as file:
            file.write(msgspec.json.encode(notes))
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(path)
    except OSError as err:
        raise StorageError(f"{path} cannot be written: {err.strerror}.") from err


def drop_notes(path: Path) -> None:
    """The run is over."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
