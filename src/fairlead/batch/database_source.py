"""Rows of a database's table or query; they are fetched through a cursor of the server's where the driver has one."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from fairlead.batch.chunk import Chunk, Told
from fairlead.batch.database import open_engine, shown, translated
from fairlead.batch.entries import table_of
from fairlead.errors import InvalidInput, NotFound

__all__ = ["DatabaseSource"]


class DatabaseSource:
    """A `Source` that is a table or a query.

    Args:
        url: SQLAlchemy's.
        table: In the order of its primary key; its name may have a schema before it.
        query: A SELECT, instead.

    Raises:
        InvalidInput: Not exactly one of both is given, or the URL is none.
        NotFound: There is no such table.
        StorageError: The database cannot be reached or the query is wrong.
    """

    def __init__(self, url: str, table: str | None, query: str | None) -> None:
        if (table is None) == (query is None):
            raise InvalidInput(
                "Say what to read of the database.", hint="Give either --table NAME or --query 'SELECT …'."
            )
        self._url, self._engine = url, open_engine(url)
        self._statement: Any
        self.rows: int | None = None
        with translated(url, "read"), self._engine.connect() as connection:
            if table is not None:
                found = _table(connection, table)
                self._statement = _in_order(found)
                self.rows = int(connection.execute(sa.select(sa.func.count()).select_from(found)).scalar_one())
            else:
                self._statement = sa.text(str(query))
            self.names: tuple[str, ...] = _names(connection, self._statement)
        self._told: Told = {"input": shown(url), "query": query or f"table {table}", "rows": self.rows}

    def identity(self) -> Told:
        """The database, what is read of it, and how many rows it has."""
        return self._told

    def chunks(self, start: int, size: int) -> Generator[Chunk]:
        """The rows from number `start` on."""
        with translated(self._url, "read"), self._engine.connect() as connection:
            streaming = connection.execution_options(stream_results=True, max_row_buffer=size)
            found = streaming.execute(self._statement)
            for _ in itertools.islice(found, start):
                pass
            while taken := found.fetchmany(size):
                columns = ([_number(one) for one in entries] for entries in zip(*taken, strict=True))
                table, mixed = table_of(dict(zip(self.names, columns, strict=True)))
                yield Chunk(start, len(taken), table, mixed=mixed)
                start += len(taken)


def _table(connection: sa.Connection, name: str) -> sa.Table:
    schema, _, bare = name.rpartition(".")
    try:
        return sa.Table(bare, sa.MetaData(), autoload_with=connection, schema=schema or None)
    except sa.exc.NoSuchTableError as err:
        raise NotFound(f"The database has no table {name!r}.") from err


def _in_order(table: sa.Table) -> Any:
    """The table in the order of its primary key: without an order, a run could not go on in the middle."""
    keys = list(table.primary_key.columns) or list(table.columns)
    return sa.select(table).order_by(*keys)


def _names(connection: sa.Connection, statement: Any) -> tuple[str, ...]:
    """The columns of a query, of which no row is fetched."""
    with connection.execution_options(stream_results=True).execute(statement) as found:
        return tuple(found.keys())


def _number(value: Any) -> Any:
    """A decimal as the number that a model takes; the rest as it is."""
    return float(value) if isinstance(value, Decimal) else value
