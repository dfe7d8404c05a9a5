"""Who leads: one controller at a time, by a row that expires.

Whoever takes the lease over counts its epoch up. A leader names its epoch in every transaction it writes; one that was stopped for
a minute and wakes up finds another epoch there, and its write is refused before anything of it counts.
"""

from __future__ import annotations

import sqlalchemy as sa

from fairlead.errors import Conflict
from fairlead.rollout.tables import lease

__all__ = ["check_lease", "give_up_lease", "take_lease"]


def take_lease(connection: sa.Connection, holder: str, now: float, seconds: float) -> int | None:
    """Take or renew the lease.

    Args:
        connection: Of a `database.write()`.
        holder: Who asks; unique among all controllers.
        now: Seconds since 1970 (UTC).
        seconds: How long it shall hold.

    Returns:
        The epoch in which `holder` leads; `None` where another leads.
    """
    found = connection.execute(sa.select(lease)).first()
    if found is None:
        connection.execute(sa.insert(lease).values(id=1, holder=holder, epoch=1, expires=now + seconds))
        return 1
    if found.holder != holder and found.expires > now:
        return None
    epoch: int = found.epoch if found.holder == holder else found.epoch + 1
    connection.execute(sa.update(lease).values(holder=holder, epoch=epoch, expires=now + seconds))
    return epoch


def check_lease(connection: sa.Connection, holder: str, epoch: int) -> None:
    """Refuse a leader that leads no more; to be called first in its transaction.

    Raises:
        Conflict: Another has taken over.
    """
    found = connection.execute(sa.select(lease)).first()
    if found is None or (found.holder, found.epoch) != (holder, epoch):
        raise Conflict("Another controller leads now.", hint="Nothing is to be done: this one steps back.")


def give_up_lease(connection: sa.Connection, holder: str) -> None:
    """Let another lead at once; who does not hold the lease changes nothing."""
    connection.execute(sa.update(lease).where(lease.c.holder == holder).values(expires=0.0))
