"""Who changed what, in order: a chain in which each entry seals the one before it.

Every change to the registry or to what is served appends its entry in the change's own transaction: no entry, no change. An
entry's digest is SHA-256 over the digest before it and the entry's own canonical JSON, so an entry that is altered, taken
out or slipped in breaks the chain from there on. (Whoever can rewrite the whole table can rewrite the whole chain: keep the
last digest elsewhere if that is to be seen, too.)
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping

import msgspec
import sqlalchemy as sa

from fairlead.events import AuditEntry
from fairlead.registry.tables import audit
from fairlead.schema import Value
from fairlead.storage.database import Database

__all__ = ["Break", "append_entry", "audit_entries", "verify_chain"]


class Break(msgspec.Struct, frozen=True):
    """Where the chain does not hold.

    Attributes:
        sequence: The first entry that is not as it was written.
        reason: What is wrong with it.
    """

    sequence: int
    reason: str


def append_entry(
    connection: sa.Connection, actor: str, action: str, subject: str, detail: Mapping[str, Value] | None = None
) -> AuditEntry:
    """Append an entry inside the transaction of the change it tells of.

    Args:
        connection: Of a `database.write()`, which makes appending serial.
        actor: Who made the change.
        action: A verb in the past: "published", "aliased", "deployed".
        subject: What was changed: "flights:3", "flights:champion", an endpoint.
        detail: What else is needed to understand the entry.
    """
    last = connection.execute(
        sa.select(audit.c.sequence, audit.c.digest).order_by(audit.c.sequence.desc()).limit(1)
    ).first()
    sequence, previous = (last.sequence + 1, last.digest) if last else (1, "")
    entry = AuditEntry(sequence, time.time(), actor, action, subject, dict(detail or {}), "")
    entry = msgspec.structs.replace(entry, digest=_seal(previous, entry))
    row = msgspec.structs.asdict(entry) | {"detail": _canonical(entry.detail).decode()}
    connection.execute(sa.insert(audit).values(row))
    return entry


def audit_entries(
    database: Database, *, subject: str | None = None, action: str | None = None, limit: int | None = None
) -> list[AuditEntry]:
    """The newest entries, newest first.

    Args:
        database: Where they are.
        subject: Only those about this, or about a version or an alias of this model.
        action: Only those of this action.
        limit: At most so many; all where it is `None`.
    """
    query = sa.select(audit).order_by(audit.c.sequence.desc()).limit(limit)
    if subject is not None:
        query = query.where((audit.c.subject == subject) | audit.c.subject.startswith(subject + ":", autoescape=True))
    if action is not None:
        query = query.where(audit.c.action == action)
    with database.read() as connection:
        return [_entry(row) for row in connection.execute(query)]


def verify_chain(database: Database) -> tuple[int, Break | None]:
    """Recompute the chain: how many entries hold, and the first break, `None` where all hold."""
    with database.read() as connection:
        rows = connection.execution_options(yield_per=1000).execute(sa.select(audit).order_by(audit.c.sequence))
        return _walk(iter(rows))


def _walk(rows: Iterator[sa.Row[tuple[object, ...]]]) -> tuple[int, Break | None]:
    held, previous = 0, ""
    for row in rows:
        expected = held + 1
        if row.sequence != expected:
            return held, Break(expected, f"entry {expected} is missing")
        try:
            entry = _entry(row)
        except msgspec.DecodeError:
            return held, Break(expected, f"entry {expected} cannot be read")
        if _seal(previous, entry) != entry.digest:
            return held, Break(
                expected, f"entry {expected} is not the one that was written, or the one before it is not"
            )
        held, previous = expected, entry.digest
    return held, None


def _entry(row: sa.Row[tuple[object, ...]]) -> AuditEntry:
    detail = msgspec.json.decode(row.detail, type=dict[str, Value])
    return AuditEntry(row.sequence, row.time, row.actor, row.action, row.subject, detail, row.digest)


def _seal(previous: str, entry: AuditEntry) -> str:
    return hashlib.sha256(previous.encode() + _canonical(msgspec.structs.replace(entry, digest=""))).hexdigest()


def _canonical(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")
