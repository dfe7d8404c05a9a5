"""A rollout: one attempt to change what an endpoint serves, and where it stands.

It is one row, written before what it says is applied, so whoever reads it after a crash knows what to do next. What follows from it
for the endpoint is worked out by `moves`, and never remembered.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from fairlead.rollout.plan import Plan, PlannedStep, steps_of

__all__ = ["ACTIVE", "ALIVE_SECONDS", "CANDIDATE", "ENDING", "FORMER", "STABLE", "Rollout", "State", "Stretch"]

State = Literal[
    "pending",
    "warming",
    "progressing",
    "paused",
    "promoting",
    "promoted",
    "aborting",
    "aborted",
    "superseded",
]

ACTIVE: Final[frozenset[State]] = frozenset({"pending", "warming", "progressing", "paused", "promoting", "aborting"})
"""While it is in one of these, no other rollout of the endpoint begins."""

ENDING: Final[dict[State, State]] = {"promoting": "promoted", "aborting": "aborted"}
"""What it is when every gateway obeys."""

ALIVE_SECONDS: Final = 5.0
"""A gateway that has not reported for so long is not waited for."""

STABLE: Final = "stable"
"""The variant that answers where nothing else is said."""

CANDIDATE: Final = "candidate"
"""The variant that a rollout brings."""

FORMER: Final = "former"
"""The variant that was stable before a promotion, and is kept warm."""


class Stretch(msgspec.Struct, frozen=True):
    """A span of constant weights. Evidence is counted by it.

    Attributes:
        revision: The routing table's, with which it began.
        step: The step of the plan.
        weight: What the candidate is given meanwhile, in percent.
        mirror: What it is asked in the shadow meanwhile, in percent.
    """

    revision: int
    step: int
    weight: float
    mirror: float = 0.0


class Rollout(msgspec.Struct, frozen=True):
    """One attempt to change what an endpoint serves.

    Attributes:
        number: 1, 2, 3, … over all endpoints.
        plan: What is to be done.
        model: The version that comes, "flights:4".
        digest: Of its bundle.
        stable: The version that answered before; empty where the endpoint has no live model yet.
        stable_digest: Of its bundle.
        salt: Divides the keys, in hex.
        actor: Who began it.
        state: Where it stands.
        step: The number of the step that is carried out.
        approved: The number of the last step that somebody approved; -1 where none was.
        because: Why it is in this state.
        started: When it began, in seconds since 1970 (UTC).
        opened: When its first step began; 0 before.
        stepped: When its step began.
        changed: When its state last changed.
        stretches: The weights it has had, oldest first.
        retry: The reason for trying a version again that failed before; empty where it did not.
        carried: The number of the attempt whose evidence this one carries on; 0 where there is none.
        revision: Of this row, for compare-and-swap: 1, 2, 3, …
    """

    number: int
    plan: Plan
    model: str
    digest: str
    stable: str
    stable_digest: str
    salt: str
    actor: str
    state: State
    started: float
    stepped: float
    changed: float
    step: int = 0
    approved: int = -1
    because: str = ""
    stretches: tuple[Stretch, ...] = ()
    opened: float = 0.0
    retry: str = ""
    carried: int = 0
    revision: int = 1

    @property
    def endpoint(self) -> str:
        """The endpoint that it changes."""
        return self.plan.endpoint

    @property
    def active(self) -> bool:
        """Whether it is still under way."""
        return self.state in ACTIVE

    @property
    def dark(self) -> bool:
        """Whether it works behind people: the endpoint has no live model, and the candidate answers in the dark."""
        return not self.stable

    @property
    def here(self) -> PlannedStep:
        """The step that is carried out."""
        return steps_of(self.plan)[self.step]
