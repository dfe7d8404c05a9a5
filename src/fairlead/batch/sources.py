"""Opens the source that a name stands for: Parquet, CSV and JSON lines (also `.gz`), and a table or a query of a database.

All become chunks of a pyarrow table. A source is asked from a row number on, so that a run can go on in the middle; it holds
no more than a chunk or two at a time.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from fairlead.batch.chunk import Source, unreadable
from fairlead.batch.parquet_source import ParquetSource
from fairlead.batch.text_source import CsvSource, JsonLinesSource
from fairlead.errors import InvalidInput, NotFound

__all__ = ["open_source"]


def open_source(where: str, *, table: str | None = None, query: str | None = None) -> Source:
    """Open what is to be scored.

    Args:
        where: A file, or a database's SQLAlchemy URL.
        table: Of a database.
        query: Of a database: a SELECT.

    Raises:
        NotFound: There is no such file or table.
        InvalidInput: It is of a kind that is not read, or cannot be read.
        StorageError: The database cannot be reached.
    """
    if "://" in where:
        from fairlead.batch.database_source import DatabaseSource

        return DatabaseSource(where, table, query)
    if table is not None or query is not None:
        raise InvalidInput("--table and --query are for a database.", hint="Give a SQLAlchemy URL, sqlite:///file.db.")
    path = Path(where)
    if not path.is_file():
        raise NotFound(
            f"There is no file {where!r}.", hint="Give a .parquet, .csv or .jsonl file, or a database's URL."
        )
    try:
        return _kind(path)(path)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, csv.Error) as err:
        raise unreadable(path, err) from err


def _kind(path: Path) -> Callable[[Path], Source]:
    """Who reads a file, by its name's ending.

    Raises:
        InvalidInput: Nobody does.
    """
    packed = path.name.endswith(".gz")
    kinds: dict[str, Callable[[Path], Source]] = {".csv": CsvSource, ".jsonl": JsonLinesSource}
    if not packed:
        kinds[".parquet"] = ParquetSource
    found = kinds.get(Path(path.name.removesuffix(".gz")).suffix)
    if found is None:
        raise InvalidInput(
            f"{path.name!r} is of a kind that is not read.",
            hint="Known are .parquet, .csv, .jsonl, .csv.gz, .jsonl.gz.",
        )
    return found
