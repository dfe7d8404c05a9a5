"""The routing table on this machine's disk: what gateways read, so that they never wait for a database."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fairlead.errors import StorageError
from fairlead.routing.table import RoutingTable
from fairlead.storage.replaced import read_whole, replace

__all__ = ["read_cached", "write_cached"]


def read_cached(path: Path) -> RoutingTable | None:
    """The table that was last delivered to this machine, `None` before the first.

    Raises:
        StorageError: The file cannot be read or understood.
    """
    return read_whole(path, RoutingTable, f"The routing table {path}")


def write_cached(path: Path, table: RoutingTable) -> None:
    """Replace the table as a whole: a reader sees the old one or the new one.

    Raises:
        StorageError: The disk refuses.
    """
    try:
        replace(path, msgspec.json.format(msgspec.json.encode(table), indent=1))
    except OSError as err:
        raise StorageError(f"The routing table {path} cannot be written: {err.strerror}.") from err
