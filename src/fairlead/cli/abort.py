"""`fairlead abort`: take the candidate out of the traffic."""

from __future__ import annotations

from fairlead.app import Stores
from fairlead.cli.rollouts.steering import steering_command
from fairlead.rollout import operations
from fairlead.rollout.operations import Terms
from fairlead.rollout.rollout import Rollout

__all__ = ["command"]


def _do(stores: Stores, endpoint: str, actor: str, because: str, terms: Terms) -> Rollout:
    return operations.abort(stores.database, endpoint, actor=actor, because=because, terms=terms)


command = steering_command("abort", "Take the candidate of ENDPOINT out of the traffic at once.", _do)
