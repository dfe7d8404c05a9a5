"""`fairlead rollback`: return to the version before."""

from __future__ import annotations

from fairlead.app import Stores
from fairlead.cli.rollouts.steering import steering_command
from fairlead.rollout import operations
from fairlead.rollout.operations import Terms
from fairlead.rollout.rollout import Rollout

__all__ = ["command"]


def _do(stores: Stores, endpoint: str, actor: str, because: str, terms: Terms) -> Rollout:
    return operations.roll_back(stores.database, stores.blobs, endpoint, actor=actor, because=because, terms=terms)


command = steering_command("rollback", "Return ENDPOINT to the version that was promoted before.", _do)
