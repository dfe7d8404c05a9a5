"""Whether anything may have been written since one last looked: what is asked five times a second must cost next to nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

from fairlead.storage.database import Database, sqlite_file

__all__ = ["Changes"]

_SQLITE_COUNT: Final = "PRAGMA data_version"
"""Differs from what it was on the same connection as soon as another one has committed anything (sqlite.org/pragma.html)."""


class Changes:
    """Tells whether a database may have changed.

    SQLite counts what others commit, and tells in microseconds; another database would have to be asked what one wants to know anyway, so
    there something may always have changed.

    Args:
        database: Which.
    """

    def __init__(self, database: Database) -> None:
        self._file = sqlite_file(database.engine.url)
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, int, int] | None = None

    def since(self) -> bool:
        """Whether anything may have been committed since this was last called; `True` at first, and where it cannot be told."""
        if self._file is None:
            return True
        try:
            seen = self._look(self._file)
        except (OSError, sqlite3.Error):
            self.close()  # who reads next will say what is wrong
            return True
        changed, self._seen = seen != self._seen, seen
        return changed

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._seen = None, None

    def _look(self, file: Path) -> tuple[int, int, int]:
        """Which file it is, and SQLite's count.

        Raises:
            OSError: It is not there.
            sqlite3.Error: It is no database, or somebody holds it.
        """
        stat = file.stat()
        if self._connection is None or (self._seen or ())[:2] != (stat.st_dev, stat.st_ino):
            self.close()  # it was put back from a backup
            # The pool's own connections may still hold the file before; and the mode makes none where there is none.
            self._connection = sqlite3.connect(f"file:{quote(str(file))}?mode=rw", uri=True, timeout=0)
        (count,) = self._connection.execute(_SQLITE_COUNT).fetchone()
        return stat.st_dev, stat.st_ino, int(count)
