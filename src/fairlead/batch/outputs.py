"""Opens the output that a name stands for: a file, or a table of a database."""

from __future__ import annotations

from pathlib import Path

from fairlead.batch.file_output import FileOutput
from fairlead.batch.output import Output
from fairlead.errors import InvalidInput

__all__ = ["open_output"]


def open_output(where: str, *, table: str | None = None, overwrite: bool = False) -> Output:
    """Open what is to be written; nothing is written yet.

    Args:
        where: A file, or a database's SQLAlchemy URL.
        table: Of a database; it is made.
        overwrite: Whether to replace what an earlier run wrote, and to begin anew where one was stopped.

    Raises:
        InvalidInput: It is of a kind that is not written.
    """
    if "://" in where:
        from fairlead.batch.database_output import DatabaseOutput

        if table is None:
            raise InvalidInput("Say which table of the database is to be written.", hint="Give --into NAME.")
        return DatabaseOutput(where, table, overwrite=overwrite)
    if table is not None:
        raise InvalidInput("--into is for a database.", hint="Give a SQLAlchemy URL as OUT, sqlite:///file.db.")
    return FileOutput(Path(where), overwrite=overwrite)
