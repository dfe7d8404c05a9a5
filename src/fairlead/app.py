"""Builds a running Fairlead out of its parts; the only module that knows them all.

Everything else receives what it needs as arguments.
"""

from __future__ import annotations

import os
import pwd

import msgspec

from fairlead.config import Config
from fairlead.storage.blobs import Blobs, open_blobs
from fairlead.storage.database import Database, open_database

__all__ = ["Stores", "current_actor", "open_stores"]


class Stores(msgspec.Struct, frozen=True):
    """Where rows and bytes rest."""

    database: Database
    blobs: Blobs


def open_stores(config: Config) -> Stores:
    """Open the database, brought to this code's schema, and the blobs; both are created where they are missing.

    Raises:
        StorageError: One of them cannot be opened, or the database was written by a newer Fairlead.
    """
    return Stores(open_database(config.database_url), open_blobs(config.blobs_url))


def current_actor() -> str:
    """Who acts, as the operating system knows them; not what the environment claims."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
