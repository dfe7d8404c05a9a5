"""Small files that are replaced as a whole: one process writes, others look five times a second and see the old or the new one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from fairlead.errors import StorageError

__all__ = ["fingerprint", "read_whole", "replace"]

_T = TypeVar("_T")


def read_whole(path: Path, kind: type[_T], what: str) -> _T | None:
    """The file's JSON as a struct, `None` where there is no file.

    Args:
        path: The file.
        kind: The struct.
        what: Of what the file is, for the message: "The routing table …".

    Raises:
        StorageError: The file cannot be read or understood.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as err:
        hint = "Delete the file; the service delivers it again."
        raise StorageError(f"{what} cannot be read: {err}.", hint=hint) from err


def replace(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Put `content` in the file's place, on the disk before it has the name.

    Args:
        path: The file; its folder is made where it is missing.
        content: All of it.
        mode: Who may read it, less the process's umask.

    Raises:
        OSError: The disk refuses; the old file stays.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file is replaced; one `stat`, so it may be asked five times a second."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
