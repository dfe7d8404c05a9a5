"""The routing table at rest, and what the gateways say they do with it.

The control half writes the table with compare-and-swap; the gateways look at its revision, which is one small read, and
report the revision they answer by. Nothing else passes between the halves.
"""

from __future__ import annotations

import secrets
from typing import Literal

import msgspec
import sqlalchemy as sa

from fairlead.errors import Conflict, StorageError
from fairlead.routing.table import RoutingTable
from fairlead.routing.tables import gateways, routing

__all__ = [
    "GatewayReport",
    "GatewayState",
    "forget_gateway",
    "live_gateways",
    "read_revision",
    "read_table",
    "report_gateway",
    "write_table",
]

GatewayState = Literal["ready", "loading", "failed"]


class GatewayReport(msgspec.Struct, frozen=True):
    """What one gateway process does.

    Attributes:
        name: Unique among all gateways: host and process.
        host: The machine.
        pid: The process.
        revision: Of the routing table that it answers by.
        state: "ready"; "loading" a newer revision while it answers by the old one; "failed" to load it, and answers on.
        detail: For people: what is loaded, or why it failed.
        time: When it reported, seconds since 1970 (UTC).
    """

    name: str
    host: str
    pid: int
    revision: int
    state: GatewayState
    detail: str
    time: float


def read_revision(connection: sa.Connection) -> int:
    """The revision of the table that is to be served; 0 where nothing was ever deployed."""
    return connection.execute(sa.select(routing.c.revision)).scalar() or 0


def read_table(connection: sa.Connection) -> RoutingTable:
    """The table that is to be served; the empty one, revision 0, where nothing was ever deployed.

    Raises:
        StorageError: The row cannot be understood.
    """
    content = connection.execute(sa.select(routing.c.content)).scalar()
    if content is None:
        return RoutingTable()
    try:
        return msgspec.json.decode(content, type=RoutingTable)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"The routing table in the database cannot be read: {error}.", hint="Deploy again."
        ) from error


def write_table(connection: sa.Connection, table: RoutingTable, expected_revision: int) -> RoutingTable:
    """Put a table in place of the one with `expected_revision`; return it as it was written, with a secret.

    Raises:
        Conflict: Somebody else was faster; nothing is written.
    """
    found = read_revision(connection)
    if not table.secret:
        table = msgspec.structs.replace(table, secret=secrets.token_hex(32))
    values = {"revision": table.revision, "content": msgspec.json.encode(table).decode()}
    if found == expected_revision == 0 and not connection.execute(sa.select(routing.c.id)).first():
        connection.execute(sa.insert(routing).values(id=1, **values))
        return table
    # The condition stands in the statement as well, so that it holds even where a caller does not hold the write lock.
    changed = connection.execute(sa.update(routing).where(routing.c.revision == expected_revision).values(values))
    if changed.rowcount != 1:
        raise Conflict(
            f"What is served has changed meanwhile: its revision is {found}, not {expected_revision}.",
            hint="Look at `fairlead status` and try again.",
            revision=found,
        )
    return table


def report_gateway(connection: sa.Connection, report: GatewayReport) -> None:
    """Keep a gateway's report in place of its former one."""
    values = msgspec.structs.asdict(report)
    changed = connection.execute(sa.update(gateways).where(gateways.c.name == report.name).values(values))
    if changed.rowcount == 0:
        connection.execute(sa.insert(gateways).values(values))


def forget_gateway(connection: sa.Connection, name: str) -> None:
    """Take away the report of a gateway that ends."""
    connection.execute(sa.delete(gateways).where(gateways.c.name == name))


def live_gateways(connection: sa.Connection, since: float) -> list[GatewayReport]:
    """The gateways that have reported at or after `since` (seconds since 1970), by name."""
    rows = connection.execute(sa.select(gateways).where(gateways.c.time >= since).order_by(gateways.c.name))
    return [msgspec.convert(row, GatewayReport, from_attributes=True) for row in rows]
