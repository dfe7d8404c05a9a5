"""Where rows rest: SQLite on one machine, PostgreSQL for many.

Each package owns its tables and declares them on the one `metadata` here. Statements are SQLAlchemy Core; what differs
between the databases is in the two hooks `_for_sqlite` and `_for_postgresql` and nowhere else.

A write is serial: SQLite takes its write lock at the beginning (`BEGIN IMMEDIATE`), PostgreSQL takes an advisory lock. So a
transaction may read, decide and write without looking over its shoulder, and never dies of a lock half-way.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fairlead.errors import InvalidInput, StorageError

__all__ = ["SCHEMA", "Database", "found_schema", "metadata", "migrate", "open_database", "sqlite_file"]

SCHEMA = "0004"
"""The newest migration. It stands here so that a start with a current database need not import Alembic."""

BUSY_SECONDS = 5
"""How long a write waits for another process's write."""

# One number for all our advisory locks on PostgreSQL; any constant does, if nobody else uses it.
_ADVISORY_LOCK = 0x6661_6972

_WRITES = "fairlead_writes"

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""Every table of Fairlead, as far as its package has been imported."""


class Database(msgspec.Struct, frozen=True):
    """A database that can be read and written; safe to share between threads, not across a fork.

    Attributes:
        engine: SQLAlchemy's.
        where: The URL for people; a password in it is hidden.
    """

    engine: sa.Engine
    where: str

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database; it must not write.

        Raises:
            StorageError: The database cannot be read.
        """
        with self._translated(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A connection whose changes happen together, after those of every earlier `write`, or not at all.

        Raises:
            StorageError: The database cannot be written, or another process held it for longer than 5 s.
        """
        with self._translated(), self.engine.connect() as connection:
            connection.execution_options(**{_WRITES: True})  # it changes the connection in place
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close the connections that are not in use."""
        self.engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (IntegrityError, ProgrammingError):
            raise  # a fault in our statements, which nobody should mistake for a broken disk
        except DBAPIError as error:
            raise _storage_error(self.where, str(error.orig)) from error
        except PoolTimeout as error:
            raise _storage_error(self.where, "too many connections are in use") from error


def open_database(url: str, *, create: bool = True) -> Database:
    """Open a database and bring it to this code's schema.

    Any number of processes may do so at once on an empty one: the first migrates, the others wait.

    Args:
        url: SQLAlchemy's, `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql+psycopg://…`.
        create: Whether a missing SQLite file may be made.

    Raises:
        InvalidInput: The URL is none, or its driver is not installed.
        StorageError: The database cannot be opened, or it was written by a newer Fairlead.
    """
    database = _connect(url)
    file = sqlite_file(database.engine.url)
    if file is not None and not file.exists() and not create:
        raise StorageError(f"There is no database at {database.where}.", hint="Restore it, or check `--home`.")
    if file is not None:
        _make_folder(file.parent)
    found = _schema_of(database) if file is None or file.exists() else None
    if found is not None and found > SCHEMA:
        database.close()
        raise StorageError(
            f"The database {database.where} has schema {found}; this Fairlead knows schemas up to {SCHEMA}.",
            hint="Install the Fairlead that wrote it, or a newer one.",
        )
    if found != SCHEMA:
        migrate(database)
    return database


def found_schema(url: str) -> str | None:
    """The schema of a database as it stands; nothing is created and nothing is migrated.

    Args:
        url: As for `open_database`.

    Returns:
        The newest migration it has seen; `None` where there is no database yet, or an empty one.

    Raises:
        InvalidInput: The URL is none, or its driver is not installed.
        StorageError: The database cannot be read.
    """
    database = _connect(url)
    file = sqlite_file(database.engine.url)
    try:
        return _schema_of(database) if file is None or file.exists() else None
    finally:
        database.close()


def migrate(database: Database) -> None:
    """Bring the tables to `SCHEMA` in one transaction; waits for another process that does the same.

    Raises:
        StorageError: It could not be done; the database is as it was.
    """
    from alembic import command
    from alembic.config import Config as AlembicConfig

    settings = AlembicConfig()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    settings.set_main_option("path_separator", "os")
    with _migration_lock(database.engine.url):
        if database.engine.dialect.name == "sqlite":
            _use_wal(database)
        with database.write() as connection:
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")


def _connect(url: str) -> Database:
    try:
        parsed = sa.make_url(url)
        options: dict[str, Any] = (
            {"connect_args": {"timeout": BUSY_SECONDS}} if parsed.get_backend_name() == "sqlite" else {}
        )
        engine = sa.create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite", **options)
    except (ArgumentError, NoSuchModuleError) as error:
        raise InvalidInput(
            "The database's URL is not one that SQLAlchemy knows.", hint="Use sqlite:///… or postgresql+psycopg://…"
        ) from error
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"The database's driver {error.name!r} is not installed.", hint=f"Run `pip install {error.name}`."
        ) from error
    {"sqlite": _for_sqlite, "postgresql": _for_postgresql}.get(engine.dialect.name, _for_nobody)(engine)
    return Database(engine, parsed.render_as_string(hide_password=True))


def _for_sqlite(engine: sa.Engine) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        # Python's driver would otherwise begin transactions by itself, and late.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _for_postgresql(engine: sa.Engine) -> None:
    @event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _for_nobody(engine: sa.Engine) -> None:
    raise InvalidInput(
        f"Fairlead does not keep its rows in {engine.dialect.name}.", hint="Use sqlite:///… or postgresql+psycopg://…"
    )


def _schema_of(database: Database) -> str | None:
    """The newest migration that the database has seen; `None` where it is empty."""
    with database.read() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _use_wal(database: Database) -> None:
    # The mode is a property of the file and outlives us. It cannot change inside a transaction, nor while others are at
    # it; hence here, once, under the lock.
    with database._translated(), database.engine.connect() as connection:  # noqa: SLF001 - this is the class's module
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA journal_mode = WAL")


@contextmanager
def _migration_lock(url: sa.URL) -> Iterator[None]:
    """Let one process of this machine migrate; on PostgreSQL the write lock alone does it."""
    file = sqlite_file(url)
    if file is None:
        yield
        return
    try:
        handle = os.open(file.with_name(file.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _storage_error(str(file), str(error.strerror)) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)  # and with it the lock


def sqlite_file(url: sa.URL) -> Path | None:
    """The file of a SQLite database; `None` for any other, and for one in memory."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Path(url.database).absolute()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be made: {error.strerror}.", hint="Choose another home."
        ) from error


_HINTS = {
    "locked": "Another process is writing for long; try again.",
    "lock timeout": "Another process is writing for long; try again.",
    "full": "Free some space.",
    "readonly": "Make the file and its folder writable.",
    "unable to open": "Check that the folder exists and is writable.",
    "not a database": "Restore it from a backup, or move it away.",
    "malformed": "Restore it from a backup, or move it away.",
}


def _storage_error(where: str, reason: str) -> StorageError:
    hint = next((hint for sign, hint in _HINTS.items() if sign in reason), "Check the database and try again.")
    return StorageError(f"The database {where} cannot be used: {reason.strip()}.", hint=hint, database=where)
