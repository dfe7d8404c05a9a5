"""A rollout that does not begin: everything is checked, and what it would need is said."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from fairlead.rollout.needs import Needs, Traffic, needs
from fairlead.rollout.operations import begin
from fairlead.rollout.plan import Plan
from fairlead.rollout.reading import whole, write_plan
from fairlead.rollout.traffic import recent_traffic
from fairlead.storage.blobs import Blobs
from fairlead.storage.database import Database

__all__ = ["Rehearsal", "rehearse"]


class Rehearsal(msgspec.Struct, frozen=True):
    """What would be.

    Attributes:
        plan: The whole plan, as people write it.
        needs: What it needs.
        traffic: The last hour's; `None` where nothing was recorded.
        superseded: The number of the rollout whose place it would take; `None` where there is none.
        yaml: The whole plan as text.
        sentences: Traffic and needs for people.
    """

    plan: dict[str, Any]
    needs: Needs
    traffic: Traffic | None
    superseded: int | None
    yaml: str
    sentences: tuple[str, ...]


def rehearse(  # noqa: PLR0913 - as `operations.begin`, and where the traffic stands
    database: Database,
    blobs: Blobs,
    events: Path,
    plan: Plan,
    *,
    actor: str,
    retry: str = "",
    supersede: bool = False,
) -> Rehearsal:
    """Say what a rollout would need, and change nothing.

    Raises:
        FairleadError: As `operations.begin`.
    """
    begun = begin(database, blobs, plan, actor=actor, retry=retry, supersede=supersede, dry_run=True)
    plan = begun.rollout.plan
    traffic = recent_traffic(events, plan.endpoint, time.time())
    found = needs(plan, traffic or Traffic(0.0))
    told = "no answer was recorded" if traffic is None else f"{traffic.per_second:.3g} answers a second"
    return Rehearsal(
        plan=whole(plan),
        needs=found,
        traffic=traffic,
        superseded=begun.superseded.number if begun.superseded else None,
        yaml=write_plan(plan),
        sentences=(f"In the last hour: {told}.", *found.sentences),
    )
