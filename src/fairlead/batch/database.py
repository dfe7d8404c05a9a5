"""Databases of the user's: how one is opened, and what its errors are called.

They are not the store of Fairlead's own rows (`storage.database`): nothing is migrated, nothing is locked for longer than a part
takes, and any database that SQLAlchemy knows may be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event

from fairlead.errors import InvalidInput, StorageError

__all__ = ["first_line", "open_engine", "shown", "translated"]

_BUSY_SECONDS: Final = 30.0
"""How long a statement waits for another process's write to SQLite."""


def open_engine(url: str) -> sa.Engine:
    """SQLAlchemy's engine; nothing is connected yet. Its transactions hold DDL, too, and those that write begin as such.

    Raises:
        InvalidInput: The URL is none, or its driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
        is_sqlite = parsed.get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": _BUSY_SECONDS}} if is_sqlite else {}
        engine = sa.create_engine(parsed, **options)
    except sa.exc.ArgumentError as err:
        raise InvalidInput(
            "The database's URL is not one that SQLAlchemy knows.", hint="Use sqlite:///… or postgresql+psycopg://…"
        ) from err
    except ImportError as err:
        raise InvalidInput(
            f"The database's driver {err.name!r} is not installed.",
            hint="For PostgreSQL: pip install 'fairlead[postgres]', and a URL postgresql+psycopg://…",
        ) from err
    if is_sqlite:
        _in_transactions(engine)
    return engine


def shown(url: str) -> str:
    """The URL for people: without its password."""
    return sa.make_url(url).render_as_string(hide_password=True)


@contextmanager
def translated(url: str, doing: str) -> Iterator[None]:
    """Say in our words what goes wrong in a block.

    Args:
        url: Of the database.
        doing: "read" or "written".

    Raises:
        StorageError: Whatever SQLAlchemy or the driver raised.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as err:
        reason = err.orig if isinstance(err, sa.exc.DBAPIError) and err.orig else err
        raise StorageError(f"The database {shown(url)} cannot be {doing}: {first_line(reason)}.") from err


def first_line(err: BaseException) -> str:
    """What an error says, without the statement and its parameters."""
    return (str(err).strip().splitlines() or [type(err).__name__])[0][:200].rstrip(".")


def _in_transactions(engine: sa.Engine) -> None:
    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: object) -> None:
        # Python's driver would otherwise leave DDL outside of transactions, and begin them late.
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("fairlead_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
