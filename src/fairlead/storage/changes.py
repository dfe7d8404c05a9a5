"""Whether anything may have been written since one last looked: what is asked five times a second must cost next to nothing."""

from __future__ import annotations

import contextlib
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from fairlead.storage.database import Database

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
        self._database = database
        self._counts = database.engine.dialect.name == "sqlite"
        self._connection: Any = None
        self._seen: int | None = None

    def since(self) -> bool:
        """Whether anything may have been committed since this was last called; `True` at first, and where it cannot be told."""
        if not self._counts:
            return True
        try:
            count = self._count()
        except (SQLAlchemyError, self._database.engine.dialect.loaded_dbapi.Error):
            self.close()  # who reads next will say what is wrong
            return True
        changed, self._seen = count != self._seen, count
        return changed

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.invalidate()
            self._connection = None
        self._seen = None

    def _count(self) -> int:
        if self._connection is None:
            self._connection = self._database.engine.raw_connection()
        (count,) = self._connection.driver_connection.execute(_SQLITE_COUNT).fetchone()
        return int(count)
