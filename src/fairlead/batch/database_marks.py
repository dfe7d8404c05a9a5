"""What tables of a database are ours: a row in `fairlead_batch` for each table that a run has made or is making, in the same schema.

The row says how far the run came, in the same transaction as the rows it came with. A table without one is somebody else's, and so is
one whose columns have changed: neither is written or dropped.
"""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from fairlead.batch.chunk import BadRow, Told
from fairlead.batch.output import Progress
from fairlead.errors import Conflict

__all__ = ["Mark", "Marks", "bad_name"]


class Mark(msgspec.Struct, frozen=True):
    """What is known of a table that a run has made or is making.

    Attributes:
        task: What is scored, with which version.
        kinds: The columns with their kinds.
        progress: How far the run has come.
        finished: Whether it is over.
    """

    task: Told
    kinds: dict[str, str]
    progress: Progress
    finished: bool = False

    @property
    def has_bad_rows(self) -> bool:
        """Whether there is a table of bad rows beside it."""
        return bool(self.progress.bad) or not self.finished


class Marks:
    """The marks of one schema; every call is within a caller's transaction.

    Args:
        schema: `None` for the connection's own.
    """

    def __init__(self, schema: str | None) -> None:
        self._schema = schema
        columns = [sa.Column("run", sa.Text(), nullable=False), sa.Column("mark", sa.Text(), nullable=False)]
        key = sa.Column("name", sa.Text(), primary_key=True)
        self._table = sa.Table("fairlead_batch", sa.MetaData(), key, *columns, schema=schema)

    def read(self, connection: sa.Connection, name: str) -> Mark | None:
        """The mark of a table; `None` where it has none."""
        if not self._exist(connection):
            return None
        wanted = sa.select(self._table.c.mark).where(self._table.c.name == name)
        found = connection.execute(wanted).scalar_one_or_none()
        return None if found is None else msgspec.json.decode(found, type=Mark)

    def add(self, connection: sa.Connection, name: str, run: str, mark: Mark) -> None:
        """Mark a table that a run begins to make.

        Raises:
            Conflict: Another run has begun to make it.
        """
        connection.execute(sa.schema.CreateTable(self._table, if_not_exists=True))
        try:
            connection.execute(sa.insert(self._table).values(name=name, run=run, mark=_encoded(mark)))
        except sa.exc.IntegrityError as err:
            raise _taken_over(name) from err

    def take(self, connection: sa.Connection, name: str, run: str) -> None:
        """Put a run's number into a mark, where there is one, and wait for who is changing it; from now on the other may not."""
        if self._exist(connection):
            connection.execute(sa.update(self._table).where(self._table.c.name == name).values(run=run))

    def change(self, connection: sa.Connection, name: str, run: str, mark: Mark, *, rename: str | None = None) -> None:
        """Replace the mark of a run.

        Raises:
            Conflict: Another run has taken it.
        """
        ours = sa.and_(self._table.c.name == name, self._table.c.run == run)
        values = {"mark": _encoded(mark), "name": rename or name}
        if connection.execute(sa.update(self._table).where(ours).values(**values)).rowcount != 1:
            raise _taken_over(name)

    def check(self, connection: sa.Connection, name: str, mark: Mark | None) -> None:
        """See that what stands under a table's two names is what its mark tells: nothing, or our tables as we made them.

        Raises:
            Conflict: It is not.
        """
        seen = sa.inspect(connection)
        expected: dict[str, set[str]] = {} if mark is None else {name: set(mark.kinds)}
        if mark is not None and mark.has_bad_rows:
            expected[bad_name(name)] = set(BadRow.__struct_fields__)
        for one in (name, bad_name(name)):
            there = seen.has_table(one, self._schema)
            if there and one not in expected:
                raise Conflict(f"There is a table {one} that no run has made.", hint="Choose another name with --into.")
            columns = {column["name"] for column in seen.get_columns(one, self._schema)} if there else set()
            if columns != expected.get(one, set()):
                raise Conflict(
                    f"The table {one} is not as a run has made it: its columns have changed, or it is gone.",
                    hint="Choose another name with --into, or drop it together with its row in fairlead_batch.",
                )

    def drop(self, connection: sa.Connection, name: str) -> None:
        """Drop the tables that a run has made, with their mark; there may be none.

        Raises:
            Conflict: They are not as the run has made them.
        """
        mark = self.read(connection, name)
        if mark is None:
            return
        self.check(connection, name, mark)
        for one in (name, bad_name(name)) if mark.has_bad_rows else (name,):
            sa.Table(one, sa.MetaData(), schema=self._schema).drop(connection)
        connection.execute(sa.delete(self._table).where(self._table.c.name == name))

    def _exist(self, connection: sa.Connection) -> bool:
        return bool(sa.inspect(connection).has_table(self._table.name, self._schema))


def bad_name(table: str) -> str:
    """The name of the table beside a table, in which its bad rows are told."""
    return f"{table}_bad"


def _encoded(mark: Mark) -> str:
    return msgspec.json.encode(mark).decode()


def _taken_over(name: str) -> Conflict:
    return Conflict(f"Another run has taken over the table {name}.", hint="Nothing is lost: the other one goes on.")
