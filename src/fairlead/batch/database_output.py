"""A table of SQLite or PostgreSQL that a run makes: `NAME_partial` grows, and gets its last name when the run is over.

A part, the rows that were bad in it, and the mark of how far the run came are one transaction: whatever moment a run is killed
at, the next one finds either all three or none. A run puts its own number into the mark (`database_marks`) when it begins or goes on,
and every transaction asks for that number: of two runs into one table the later goes on and the earlier ends.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from fairlead.batch.chunk import BadRow, Told
from fairlead.batch.database import first_line, open_engine, shown, translated
from fairlead.batch.database_marks import Mark, Marks, bad_name
from fairlead.batch.database_types import kind_of, postgresql_part, sql_type, sqlite_rows, with_kinds
from fairlead.batch.output import Progress
from fairlead.errors import Conflict, InvalidInput, StorageError

__all__ = ["DatabaseOutput"]

_LONGEST: Final = 63 - len("_partial_bad")
"""PostgreSQL cuts longer names off, after 63 bytes."""


class DatabaseOutput:
    """An `Output` that is a table.

    Args:
        url: SQLAlchemy's, of SQLite or of PostgreSQL by psycopg.
        table: Its name; a schema may stand before it.
        overwrite: Whether to replace a table that an earlier run made, and to begin anew where one was stopped.

    Raises:
        InvalidInput: It is another kind of database, or the name is too long.
    """

    keeps_text = keeps_codes = False

    def __init__(self, url: str, table: str, *, overwrite: bool = False) -> None:
        self._url, self._engine, self._overwrite = url, open_engine(url), overwrite
        schema, _, self._name = table.rpartition(".")
        self._schema = schema or None
        if (self._engine.dialect.name, self._engine.driver) not in {("sqlite", "pysqlite"), ("postgresql", "psycopg")}:
            raise InvalidInput(
                "Tables are written into SQLite and PostgreSQL only.",
                hint="Use sqlite:///… or postgresql+psycopg://…, or write a file.",
            )
        if not self._name or len(self._name.encode()) > _LONGEST:
            raise InvalidInput(f"The name of a table to write has 1 to {_LONGEST} bytes.", hint="Choose a shorter one.")
        self._partial = f"{self._name}_partial"
        self._run = secrets.token_hex(8)
        self._task: Told = {}
        self._kinds: dict[str, str] = {}
        self._marks = Marks(self._schema)
        self.is_begun = False
        self.name = f"{shown(url)}, table {table}"
        self.bad_name = f"the table {bad_name(table)}"

    def take_up(self, task: Told) -> Progress:
        """Begin, or take up the table of a run that was stopped; where two do so at once, the later one has it."""
        self._task = task
        with self._writing() as connection:
            self._check_place(connection)
            if self._overwrite:
                self._marks.drop(connection, self._partial)
            # Before the mark is read: the run that had it may be at its last transaction.
            self._marks.take(connection, self._partial, self._run)
            found = self._marks.read(connection, self._partial)
            self._marks.check(connection, self._partial, found)
            if found is None:
                return Progress()
            if found.task != task:
                raise Conflict(
                    f"A run that was not finished left the table {self._partial}, and it is not this one.",
                    hint="The input, the version or the columns have changed: begin anew with --overwrite.",
                )
        self._kinds, self.is_begun = found.kinds, True
        return found.progress

    def begin(self, table: Any) -> None:
        """Fix the columns' kinds: those of the first part."""
        self._kinds = {one.name: kind_of(one.name, one.type) for one in table.schema}
        long = [name for name in self._kinds if len(name.encode()) > 63]
        if long and self._engine.dialect.name == "postgresql":
            raise InvalidInput(
                f"PostgreSQL's columns have names of at most 63 bytes; {long[0]!r} is longer.",
                hint="Choose the columns to keep with --columns.",
            )

    def encode(self, table: Any, *, is_first: bool = False) -> Any:  # noqa: ARG002 - parts are all alike
        """A table as a part."""
        part = with_kinds(table, self._kinds)
        return part if self._engine.dialect.name == "sqlite" else postgresql_part(part)

    def add(self, data: Any, bad: Sequence[BadRow], progress: Progress) -> None:
        """Insert a part and its bad rows, and mark it."""
        mark = Mark(self._task, self._kinds, progress)
        with self._writing() as connection:
            if self.is_begun:
                self._marks.change(connection, self._partial, self._run, mark)
            else:
                self._marks.add(connection, self._partial, self._run, mark)
                self._create(connection)
            if data is not None:
                self._insert(connection, data)
            if bad:
                connection.execute(sa.insert(self._bad_table()), [_bad_values(one) for one in bad])
        self.is_begun = True

    def finish(self, progress: Progress) -> None:
        """Give the tables their last names."""
        mark = Mark(self._task, self._kinds, progress, finished=True)
        with self._writing() as connection:
            self._marks.change(connection, self._partial, self._run, mark)
            self._check_place(connection)
            self._marks.drop(connection, self._name)
            self._rename(connection, self._partial, self._name)
            if progress.bad:
                self._rename(connection, bad_name(self._partial), bad_name(self._name))
            else:
                self._bad_table().drop(connection)
            self._marks.change(connection, self._partial, self._run, mark, rename=self._name)

    def abandon(self) -> None:
        """Nothing was written yet."""

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction.

        Raises:
            InvalidInput: An entry cannot be held, such as a text with a NUL in PostgreSQL.
            StorageError: The database cannot be written.
        """
        driver = self._engine.dialect.loaded_dbapi
        with translated(self._url, "written"):
            try:
                with self._engine.connect() as connection:
                    connection.execution_options(fairlead_writes=True)  # it changes the connection in place
                    with connection.begin():
                        yield connection
            except (sa.exc.DataError, driver.DataError, OverflowError, UnicodeError) as err:
                raise InvalidInput(
                    f"The table cannot hold an entry: {first_line(getattr(err, 'orig', None) or err)}.",
                    hint="Choose the columns to keep with --columns.",
                ) from err
            except driver.Error as err:  # COPY is the driver's own, and so are its errors
                raise StorageError(f"The database {shown(self._url)} cannot be written: {first_line(err)}.") from err

    def _check_place(self, connection: sa.Connection) -> None:
        """See that the table's name is free, or a table of ours that is to be replaced.

        Raises:
            Conflict: It is not.
        """
        self._check_file(connection)
        found = self._marks.read(connection, self._name)
        self._marks.check(connection, self._name, found)
        if found is not None and not self._overwrite:
            raise Conflict(f"The table {self._name} exists.", hint="Write another one, or replace it with --overwrite.")

    def _check_file(self, connection: sa.Connection) -> None:
        """See that reading does not keep us from writing, where both are one file of SQLite.

        Raises:
            Conflict: It does.
        """
        told = str(self._task.get("input", ""))
        if self._engine.dialect.name != "sqlite" or not told.startswith("sqlite:") or not self._engine.url.database:
            return
        source = sa.make_url(told).database
        if source is None or Path(source).resolve() != Path(self._engine.url.database).resolve():
            return
        if connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            raise Conflict(
                "IN and OUT are one SQLite database, in which nobody can write while another reads.",
                hint="Write into another database, or let it keep a log first: PRAGMA journal_mode = WAL.",
            )

    def _create(self, connection: sa.Connection) -> None:
        columns = [sa.Column(name, sql_type(kind)) for name, kind in self._kinds.items()]
        sa.Table(self._partial, sa.MetaData(), *columns, schema=self._schema).create(connection)
        self._bad_table().create(connection)

    def _insert(self, connection: sa.Connection, data: Any) -> None:
        table, columns = self._quoted(self._partial), ", ".join(map(_quoted, self._kinds))
        if self._engine.dialect.name == "sqlite":
            statement = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(self._kinds))})"  # noqa: S608 - quoted
            for rows in sqlite_rows(data):
                connection.exec_driver_sql(statement, rows)
            return
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv, ENCODING 'UTF8')") as copy:
            copy.write(data)

    def _rename(self, connection: sa.Connection, name: str, to: str) -> None:
        connection.exec_driver_sql(f"ALTER TABLE {self._quoted(name)} RENAME TO {_quoted(to)}")

    def _quoted(self, name: str) -> str:
        return _quoted(name) if self._schema is None else f"{_quoted(self._schema)}.{_quoted(name)}"

    def _bad_table(self) -> sa.Table:
        columns = [
            sa.Column(field, sa.BigInteger() if field == "row" else sa.Text()) for field in BadRow.__struct_fields__
        ]
        return sa.Table(bad_name(self._partial), sa.MetaData(), *columns, schema=self._schema)


def _quoted(name: str) -> str:
    """A name as SQL has it; SQLAlchemy's own quoting doubles the per cent signs, which COPY takes as they are."""
    return '"' + name.replace('"', '""') + '"'


def _bad_values(one: BadRow) -> dict[str, Any]:
    """A bad row as the table holds it; the value as JSON, in which even a NUL is text."""
    found = {field: getattr(one, field) for field in BadRow.__struct_fields__}
    told = {name: value.replace("\0", "\\0") if isinstance(value, str) else value for name, value in found.items()}
    return {**told, "value": None if one.value is None else msgspec.json.encode(one.value).decode()}
