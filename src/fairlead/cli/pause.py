"""`fairlead pause`: keep the weights as they are."""

from __future__ import annotations

from fairlead.app import Stores
from fairlead.cli.rollouts.steering import steering_command
from fairlead.rollout import operations
from fairlead.rollout.operations import Terms
from fairlead.rollout.rollout import Rollout

__all__ = ["command"]


def _do(stores: Stores, endpoint: str, actor: str, because: str, terms: Terms) -> Rollout:
    return operations.pause(stores.database, endpoint, actor=actor, because=because, terms=terms)


command = steering_command(
    "pause", "Keep the weights of ENDPOINT's rollout as they are; guardrails are watched on.", _do
)
