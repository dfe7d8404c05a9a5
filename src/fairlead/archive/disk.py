"""Every touch of the disk that compaction makes, so that what is durable when can be read in one place, and tested at each step.

A file is on the disk before its folder names it for good, and both are before a manifest names the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from fairlead.errors import Conflict

__all__ = ["BROKEN", "aside", "create", "holding", "is_held", "remove", "replace", "sync_folder"]

_LOOK_SECONDS = 0.05

BROKEN = ".broken"
"""The ending of what cannot be read and is kept."""


@contextlib.contextmanager
def holding(path: Path, *, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock; the folder is made where it is missing.

    Args:
        path: The lock's file.
        patience: How long to wait for another process, in seconds.

    Raises:
        Conflict: Another process holds it.
    """
    _make_folder(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    end = time.monotonic() + patience
    try:
        while not _locked(handle):
            if time.monotonic() >= end:
                raise Conflict(
                    "The event log is being compacted by another process.",
                    hint="Wait until it is done, and look again.",
                )
            time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether a writer holds a segment, so that it may still grow. One that is gone is held by nobody."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held; or a file system without locks, where nobody can tell
        return True
    finally:
        os.close(handle)
    return False


def create(path: Path, write: Callable[[BinaryIO], None]) -> int:
    """Make a file that was not there, whole and on the disk; its size in bytes.

    Args:
        path: The file; its folder is made where it is missing.
        write: Writes all of it.

    Raises:
        OSError: The disk refuses.
    """
    _make_folder(path.parent)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640), "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    sync_folder(path.parent)
    return size


def replace(path: Path, content: bytes) -> None:
    """Put `content` in the file's place; whoever looks, even after a crash, sees all of the old or all of the new.

    Raises:
        OSError: The disk refuses; the old file stays.
    """
    fresh = path.with_name(path.name + ".tmp")
    fresh.unlink(missing_ok=True)
    create(fresh, lambda file: _write_all(file, content))
    fresh.replace(path)
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there still."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def aside(path: Path) -> None:
    """Keep a file that cannot be read under a name that nobody reads, if it is there still."""
    with contextlib.suppress(FileNotFoundError):
        path.rename(path.with_name(path.name + BROKEN))
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; one that is gone has none."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(file: BinaryIO, content: bytes) -> None:
    file.write(content)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each on the disk before what is in it."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)
