"""What a rollout becomes, and what the endpoint becomes with it. Pure: who calls this writes both in one transaction.

```
pending ──▶ warming ──▶ progressing ⇄ paused ──▶ promoting ──▶ promoted
   │            │            │            │
   └────────────┴────────────┴────────────┴──▶ aborting ──▶ aborted        superseded by another: at once
```

A promotion re-points: the candidate is loaded and answers already, so nothing is built and nothing is fetched.
"""

from __future__ import annotations

from typing import Final

import msgspec

from fairlead.errors import Conflict
from fairlead.rollout.plan import Assigned, Audience
from fairlead.rollout.rollout import CANDIDATE, FORMER, STABLE, Rollout, State, Stretch
from fairlead.routing import table
from fairlead.routing.slots import SLOTS, Run, rebalance, slots_of
from fairlead.routing.table import Assignment, Endpoint, Mirror, Variant

__all__ = ["endpoint_of", "moved", "restored", "stretched"]

_ALL_STABLE: Final = (Run(STABLE, SLOTS),)

_NOISE_SHARE: Final = 0.25
"""Which part of what a candidate is asked in the shadow the stable version is asked again."""

_NEXT: Final[dict[State, frozenset[State]]] = {
    "pending": frozenset({"warming", "promoting", "aborting", "superseded"}),
    "warming": frozenset({"progressing", "aborting", "superseded"}),
    "progressing": frozenset({"progressing", "paused", "promoting", "aborting", "superseded"}),
    "paused": frozenset({"progressing", "paused", "promoting", "aborting", "superseded"}),
    "promoting": frozenset({"promoted"}),
    "aborting": frozenset({"aborted"}),
    "promoted": frozenset(),
    "aborted": frozenset(),
    "superseded": frozenset(),
}


def moved(rollout: Rollout, state: State, because: str, now: float, *, step: int | None = None) -> Rollout:
    """The rollout in its next state.

    Args:
        rollout: As it was.
        state: Where it goes.
        because: Why.
        now: Seconds since 1970 (UTC).
        step: The step that begins with it; the one it is in where it is `None`.

    Raises:
        Conflict: It cannot go there from where it is.
    """
    if state not in _NEXT[rollout.state]:
        raise Conflict(
            f"Rollout {rollout.number} of {rollout.endpoint!r} is {rollout.state}: {rollout.because or 'It began.'}",
            hint="`fairlead status` shows where it stands.",
            state=rollout.state,
        )
    return msgspec.structs.replace(
        rollout,
        state=state,
        because=because,
        changed=now if state != rollout.state else rollout.changed,
        step=rollout.step if step is None else step,
        opened=now if step is not None and not rollout.opened else rollout.opened,
        stepped=rollout.stepped if step is None else now,
        revision=rollout.revision + 1,
    )


def stretched(rollout: Rollout, revision: int) -> Rollout:
    """The rollout that remembers with which weight a revision of the routing table was served."""
    here = rollout.here
    weight, mirror = (here.weight, here.mirror) if rollout.state in {"progressing", "paused"} else (0.0, 0.0)
    stretch = Stretch(revision, rollout.step, weight, mirror)
    return msgspec.structs.replace(rollout, stretches=(*rollout.stretches, stretch))


def endpoint_of(rollout: Rollout, found: Endpoint | None) -> Endpoint:
    """What the endpoint shall be while the rollout is where it is.

    Args:
        rollout: In its new state.
        found: The endpoint as it is; `None` where there is none yet.
    """
    match rollout.state:
        case "promoting" | "promoted":
            return _promoted(rollout)
        case "aborting" | "aborted" | "superseded":
            return _stable_alone(rollout, found)
        case _:
            return _divided(rollout, found)


def restored(endpoint: Endpoint) -> Endpoint:
    """The endpoint without the variant that was kept warm."""
    variants = tuple(one for one in endpoint.variants if one.name != FORMER)
    return msgspec.structs.replace(endpoint, variants=variants)


def _divided(rollout: Rollout, found: Endpoint | None) -> Endpoint:
    """Stable and candidate side by side, by the weights of the step; before the first step the candidate is only warm."""
    candidate = Variant(CANDIDATE, rollout.model, rollout.digest, 0)
    begun = rollout.state in {"progressing", "paused"}
    if rollout.dark:
        return Endpoint(rollout.endpoint, (msgspec.structs.replace(candidate, slots=SLOTS),), dark=True)
    weight, mirror = (rollout.here.weight, rollout.here.mirror) if begun else (0.0, 0.0)
    stable = Variant(STABLE, rollout.stable, rollout.stable_digest)
    kept = tuple(one for one in found.variants if one.name == FORMER) if found is not None else ()
    same = found is not None and found.salt == rollout.salt and found.division
    slots = {STABLE: SLOTS - slots_of(weight), CANDIDATE: slots_of(weight)}
    return Endpoint(
        rollout.endpoint,
        (stable, candidate, *kept),
        salt=rollout.salt,
        assignment=_assignment(rollout.plan.assignment),
        audience=_audience(rollout.plan.audience),
        mirrors=_mirrors(rollout, mirror) if mirror else (),
    ).divided(rebalance(found.division if found is not None and same else _ALL_STABLE, slots, STABLE))


def _mirrors(rollout: Rollout, percent: float) -> tuple[Mirror, ...]:
    """The candidate in the shadow, and now and then the stable version itself.

    What the stable version answers otherwise when it is asked again is the noise floor: no candidate can disagree less.
    """
    itself = round(percent * _NOISE_SHARE, 2)
    floor = (Mirror(STABLE, rollout.stable, rollout.stable_digest, itself),) if itself else ()
    return (Mirror(CANDIDATE, rollout.model, rollout.digest, percent), *floor)


def _stable_alone(rollout: Rollout, found: Endpoint | None) -> Endpoint:
    if rollout.dark:
        # Nobody was ever answered; the endpoint stays, so that cases may go on to be posted.
        return found or Endpoint(rollout.endpoint, (Variant(CANDIDATE, rollout.model, rollout.digest),), dark=True)
    kept = tuple(one for one in found.variants if one.name == FORMER) if found is not None else ()
    return Endpoint(rollout.endpoint, (Variant(STABLE, rollout.stable, rollout.stable_digest), *kept))


def _promoted(rollout: Rollout) -> Endpoint:
    stable = Variant(STABLE, rollout.model, rollout.digest)
    if rollout.dark or rollout.plan.strategy == "direct" or not rollout.plan.rollback.keep_warm:
        return Endpoint(rollout.endpoint, (stable,))
    former = Variant(FORMER, rollout.stable, rollout.stable_digest, 0)
    return Endpoint(rollout.endpoint, (stable, former))


def _assignment(assigned: Assigned) -> Assignment:
    by, _, name = assigned.key.partition(":")
    if by == "request":
        return Assignment(fallback=assigned.fallback)
    return msgspec.convert({"by": by, "name": name, "fallback": assigned.fallback}, Assignment)


def _audience(audience: Audience | None) -> table.Audience | None:
    if audience is None:
        return None
    if audience.column is not None:
        return table.Audience("column", audience.column, audience.values)
    return table.Audience("header", audience.header or "", audience.values)
