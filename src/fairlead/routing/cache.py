"""The routing table on this machine's disk: what gateways read, so that they never wait for a database."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from fairlead.errors import StorageError
from fairlead.routing.table import RoutingTable

__all__ = ["fingerprint", "read_cached", "write_cached"]


def read_cached(path: Path) -> RoutingTable | None:
    """The table that was last delivered to this machine, `None` before the first.

    Raises:
        StorageError: The file cannot be read or understood.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=RoutingTable)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as err:
        hint = "Delete the file; the service delivers it again."
        raise StorageError(f"The routing table {path} cannot be read: {err}.", hint=hint) from err


def write_cached(path: Path, table: RoutingTable) -> None:
    """Replace the table as a whole: a reader sees the old one or the new one.

    Raises:
        StorageError: The disk refuses.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with fresh.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(table), indent=1))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as err:
        raise StorageError(f"The routing table {path} cannot be written: {err.strerror}.") from err


def fingerprint(path: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file is replaced; one `stat`, so it may be asked five times a second."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
