"""Rollouts at rest: one row each, replaced by compare-and-swap, and a log that is only ever appended to.

Everything that belongs to one move (the row, the routing table, the log, the audit, the alias) is written in one transaction by
`commit`: whoever is killed around it leaves the state before or the state after, and nothing between.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
import sqlalchemy as sa

from fairlead.errors import Conflict, NotFound
from fairlead.registry.audit import append_entry
from fairlead.registry.registry import move_alias, resolve_in
from fairlead.rollout.moves import endpoint_of, stretched
from fairlead.rollout.rollout import ACTIVE, Rollout, State
from fairlead.rollout.tables import quarantine, rollout_log, rollouts
from fairlead.routing.store import read_table, write_table
from fairlead.routing.table import RoutingTable
from fairlead.schema import Value
from fairlead.storage.database import Database

__all__ = [
    "CHAMPION",
    "Kind",
    "LogEntry",
    "Quarantined",
    "active_of",
    "active_rollouts",
    "append_log",
    "commit",
    "find_quarantined",
    "find_rollout",
    "history",
    "insert",
    "last_look",
    "last_move",
    "last_promoted",
    "lift_quarantine",
    "list_rollouts",
    "put_in_quarantine",
    "replace",
]

CHAMPION: Final = "champion"
"""The alias of the version that was deployed or promoted last."""

_AUDITED: Final[dict[State, str]] = {
    "progressing": "stepped",
    "paused": "paused",
    "promoting": "promoted",
    "aborting": "aborted",
    "superseded": "superseded",
}
"""What changes what is served, as the audit says it."""

Kind = Literal["began", "look", "moved", "approved", "alert"]


class LogEntry(msgspec.Struct, frozen=True):
    """One line of a rollout's history.

    Attributes:
        sequence: 1, 2, 3, … over all rollouts, without gaps.
        rollout: Its number.
        time: Seconds since 1970 (UTC).
        actor: Who did it; "controller" where the plan did.
        kind: What it was: "look" tells what was seen and decided.
        because: Why, for people.
        content: What it rests on: the evidence and the verdicts of a look, the states of a move.
    """

    sequence: int
    rollout: int
    time: float
    actor: str
    kind: Kind
    because: str
    content: dict[str, Any]


class Quarantined(msgspec.Struct, frozen=True):
    """A version that failed at an endpoint, and is not tried again without a reason."""

    endpoint: str
    digest: str
    rollout: int
    time: float
    because: str


def insert(connection: sa.Connection, rollout: Rollout) -> Rollout:
    """Write a new rollout; return it with its number."""
    last = connection.execute(sa.select(sa.func.max(rollouts.c.number))).scalar()
    numbered = msgspec.structs.replace(rollout, number=(last or 0) + 1)
    connection.execute(sa.insert(rollouts).values(number=numbered.number, **_row(numbered)))
    return numbered


def replace(connection: sa.Connection, rollout: Rollout) -> None:
    """Put a rollout in place of its former revision.

    Raises:
        Conflict: Somebody else was faster; nothing is written.
    """
    row = rollouts.c
    changed = connection.execute(
        sa.update(rollouts)
        .where(row.number == rollout.number, row.revision == rollout.revision - 1)
        .values(**_row(rollout))
    )
    if changed.rowcount != 1:
        raise Conflict(
            f"Rollout {rollout.number} of {rollout.endpoint!r} was changed by somebody else at the same time.",
            hint="`fairlead history` tells by whom; look at `fairlead status` and try again.",
        )


def commit(
    connection: sa.Connection,
    rollout: Rollout,
    actor: str,
    content: Mapping[str, Any] | None = None,
    *,
    action: str | None = None,
) -> tuple[Rollout, RoutingTable]:
    """Write a moved rollout and all that follows from it: the endpoint, where it changes, and a line of history.

    Args:
        connection: Of a `database.write()`.
        rollout: In its new state.
        actor: Who moved it.
        content: What the move rests on.
        action: What the audit calls it, where that is not said by the state.

    Returns:
        The rollout as it was written, and the routing table.

    Raises:
        Conflict: Somebody else was faster; nothing is written.
    """
    table = read_table(connection)
    found = table.endpoint(rollout.endpoint)
    wanted = endpoint_of(rollout, found)
    if found is None or wanted != msgspec.structs.replace(found, since=wanted.since):
        rollout = stretched(rollout, table.revision + 1)
        table = write_table(connection, table.with_endpoint(wanted), table.revision)
    elif not rollout.stretches or rollout.stretches[-1].step != rollout.step:
        rollout = stretched(rollout, found.since)
    replace(connection, rollout)
    told = {"state": rollout.state, "step": rollout.step, "revision": table.revision, **(content or {})}
    append_log(connection, rollout, actor, "moved", rollout.because, told)
    audited = action or _AUDITED.get(rollout.state)
    if audited is not None:
        append_entry(connection, actor, audited, rollout.endpoint, _told_to_the_audit(rollout, table))
    if rollout.state == "promoting":
        move_alias(connection, resolve_in(connection, rollout.model), CHAMPION, actor)
    return rollout, table


def append_log(  # noqa: PLR0913, PLR0917 - the columns of a line
    connection: sa.Connection, rollout: Rollout, actor: str, kind: Kind, because: str, content: Mapping[str, Any]
) -> None:
    """Append a line to a rollout's history."""
    last = connection.execute(sa.select(sa.func.max(rollout_log.c.sequence))).scalar()
    connection.execute(
        sa.insert(rollout_log).values(
            sequence=(last or 0) + 1,
            rollout=rollout.number,
            time=time.time(),
            actor=actor,
            kind=kind,
            because=because,
            content=msgspec.json.encode(content).decode(),
        )
    )


def find_rollout(connection: sa.Connection, number: int) -> Rollout:
    """The rollout of this number.

    Raises:
        NotFound: There is none.
    """
    content = connection.execute(sa.select(rollouts.c.content).where(rollouts.c.number == number)).scalar()
    if content is None:
        raise NotFound(f"There is no rollout {number}.", hint="`fairlead history ENDPOINT` lists them.")
    return _decode(content)


def active_of(connection: sa.Connection, endpoint: str) -> Rollout | None:
    """The rollout of an endpoint that is under way, `None` where there is none."""
    return next((one for one in active_rollouts(connection) if one.endpoint == endpoint), None)


def active_rollouts(connection: sa.Connection) -> list[Rollout]:
    """The rollouts that are under way, by number."""
    query = sa.select(rollouts.c.content).where(rollouts.c.state.in_(sorted(ACTIVE))).order_by(rollouts.c.number)
    return [_decode(content) for content in connection.execute(query).scalars()]


def list_rollouts(connection: sa.Connection, endpoint: str | None = None, limit: int = 50) -> list[Rollout]:
    """The newest rollouts, newest first."""
    query = sa.select(rollouts.c.content).order_by(rollouts.c.number.desc()).limit(limit)
    if endpoint is not None:
        query = query.where(rollouts.c.endpoint == endpoint)
    return [_decode(content) for content in connection.execute(query).scalars()]


def last_promoted(connection: sa.Connection, endpoint: str) -> Rollout | None:
    """The rollout that brought the version which is stable now, as far as one did."""
    row = rollouts.c
    query = (
        sa.select(row.content)
        .where(row.endpoint == endpoint, row.state.in_(["promoting", "promoted"]))
        .order_by(row.number.desc())
        .limit(1)
    )
    content = connection.execute(query).scalar()
    return None if content is None else _decode(content)


def history(database: Database, rollout: int, *, looks: bool = True, limit: int | None = None) -> list[LogEntry]:
    """What happened in a rollout, oldest first.

    Args:
        database: Where it is.
        rollout: Its number.
        looks: Whether looks are told, too; there may be thousands.
        limit: Only the newest so many.
    """
    query = sa.select(rollout_log).where(rollout_log.c.rollout == rollout)
    if not looks:
        query = query.where(rollout_log.c.kind != "look")
    query = query.order_by(rollout_log.c.sequence.desc()).limit(limit)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [_entry(row) for row in reversed(rows)]


def last_look(connection: sa.Connection, rollout: int) -> LogEntry | None:
    """The newest look at a rollout, as far as one was written down."""
    return _last(connection, rollout, rollout_log.c.kind == "look")


def last_move(connection: sa.Connection, rollout: int) -> LogEntry | None:
    """What somebody or the plan did last with a rollout."""
    return _last(connection, rollout, rollout_log.c.kind != "look")


def _last(connection: sa.Connection, rollout: int, kind: sa.ColumnElement[bool]) -> LogEntry | None:
    query = sa.select(rollout_log).where(rollout_log.c.rollout == rollout, kind)
    row = connection.execute(query.order_by(rollout_log.c.sequence.desc()).limit(1)).first()
    return None if row is None else _entry(row)


def _entry(row: sa.Row[Any]) -> LogEntry:
    content = msgspec.json.decode(row.content)
    return LogEntry(row.sequence, row.rollout, row.time, row.actor, row.kind, row.because, content)


def put_in_quarantine(connection: sa.Connection, rollout: Rollout) -> None:
    """Remember that a version failed at an endpoint."""
    lift_quarantine(connection, rollout.endpoint, rollout.digest)
    connection.execute(
        sa.insert(quarantine).values(
            endpoint=rollout.endpoint,
            digest=rollout.digest,
            rollout=rollout.number,
            time=rollout.changed,
            because=rollout.because,
        )
    )


def find_quarantined(connection: sa.Connection, endpoint: str, digest: str) -> Quarantined | None:
    """Why a version may not be tried at an endpoint; `None` where it may."""
    row = quarantine.c
    found = connection.execute(sa.select(quarantine).where(row.endpoint == endpoint, row.digest == digest)).first()
    return None if found is None else msgspec.convert(found, Quarantined, from_attributes=True)


def lift_quarantine(connection: sa.Connection, endpoint: str, digest: str) -> None:
    """Let a version be tried again."""
    connection.execute(sa.delete(quarantine).where(quarantine.c.endpoint == endpoint, quarantine.c.digest == digest))


def _told_to_the_audit(rollout: Rollout, table: RoutingTable) -> dict[str, Value]:
    weight = rollout.here.weight if rollout.state == "progressing" else None
    return {
        "rollout": rollout.number,
        "version": rollout.model,
        "former": rollout.stable or None,
        "weight": weight,
        "because": rollout.because,
        "revision": table.revision,
    }


def _row(rollout: Rollout) -> dict[str, object]:
    return {
        "endpoint": rollout.endpoint,
        "state": rollout.state,
        "revision": rollout.revision,
        "started": rollout.started,
        "content": msgspec.json.encode(rollout).decode(),
    }


def _decode(content: str) -> Rollout:
    return msgspec.json.decode(content, type=Rollout)
