"""What people do to rollouts: begin, promote, abort, pause, resume, approve, roll back.

Each is one transaction that reads, checks and writes, so two people at once are served one after the other: the first is obeyed, the
second is told what has become of it. None of them waits for a gateway or for the controller.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Final

import msgspec
import sqlalchemy as sa

from fairlead.bundle.store import check_bundle, stored_schema
from fairlead.errors import Conflict, InvalidInput, NotFound, SchemaMismatch
from fairlead.refs import ModelRef
from fairlead.registry.audit import append_entry
from fairlead.registry.registry import Version, resolve, resolve_in
from fairlead.rollout.direct import carry_out, direct_rollout
from fairlead.rollout.moves import moved
from fairlead.rollout.plan import Plan
from fairlead.rollout.rollout import ALIVE_SECONDS, ENDING, FORMER, Rollout, State
from fairlead.rollout.store import (
    active_of,
    append_log,
    commit,
    find_quarantined,
    insert,
    last_move,
    last_promoted,
    lift_quarantine,
    list_rollouts,
)
from fairlead.routing.store import live_gateways, read_table
from fairlead.routing.table import Endpoint, RoutingTable
from fairlead.schema import Schema, Value, differences
from fairlead.storage.blobs import Blobs
from fairlead.storage.database import Database

__all__ = ["UNCONDITIONAL", "Begun", "Terms", "abort", "approve", "begin", "pause", "promote", "resume", "roll_back"]

_SHOWN: Final = 5


class Begun(msgspec.Struct, frozen=True):
    """A rollout that begins, or in a dry run would.

    Attributes:
        rollout: Its number is 0 in a dry run.
        superseded: The rollout that it takes the place of; `None` where there is none.
    """

    rollout: Rollout
    superseded: Rollout | None


class Terms(msgspec.Struct, frozen=True):
    """On what terms something is done; otherwise it is refused.

    Attributes:
        rollout: Only to the rollout of this number; for a rollback, if it is the endpoint's last.
        revision: Only while that rollout is at this revision: nobody has moved it since it was looked at.
        dry_run: Check everything, and change nothing.
    """

    rollout: int | None = None
    revision: int | None = None
    dry_run: bool = False


UNCONDITIONAL: Final = Terms()


def begin(  # noqa: PLR0913 - where, what, who, and what else is allowed
    database: Database,
    blobs: Blobs,
    plan: Plan,
    *,
    actor: str,
    retry: str = "",
    supersede: bool = False,
    dry_run: bool = False,
) -> Begun:
    """Begin a rollout; the controller carries it out from here on.

    Args:
        database: Where rollouts, versions and the routing table are.
        blobs: Where bundles are.
        plan: Complete and checked; for a direct deployment see `direct.deploy`.
        actor: Who begins it.
        retry: Why a version is tried again that failed at this endpoint.
        supersede: Whether it takes the place of a rollout that is under way.
        dry_run: Check everything and change nothing.

    Raises:
        BadReference: The candidate is no reference.
        NotFound: There is no such version, or nothing to compare it with.
        Conflict: It answers already, another rollout is under way, or it failed here before.
        SchemaMismatch: The candidate's columns or answers do not fit the endpoint.
        InvalidInput: The plan names a column, a class or a strategy that there is not.
        BundleError: The candidate's bundle is not complete.
    """
    if plan.strategy == "direct":
        raise InvalidInput("A direct deployment is no rollout.", hint="`fairlead deploy` makes it at once.")
    version = resolve(database, plan.candidate)
    problems = check_bundle(version.digest, blobs)
    if problems:
        raise problems[0]
    schema = stored_schema(version.digest, blobs)
    with database.read() as connection:
        found = read_table(connection).endpoint(plan.endpoint)
    served = stored_schema(found.stable.digest, blobs) if found is not None and not found.dark else None
    _check_fit(plan, served, schema, version)
    with database.read() if dry_run else database.write() as connection:
        rollout, active = _checked(connection, plan, version, actor, retry, supersede=supersede)
        if not dry_run:
            rollout = _write_begun(connection, rollout, active)
    return Begun(rollout, active)


def _write_begun(connection: sa.Connection, rollout: Rollout, active: Rollout | None) -> Rollout:
    if active is not None:
        because = f"{rollout.model} takes its place."
        commit(connection, moved(active, "superseded", because, rollout.started), rollout.actor)
    if rollout.retry:
        lift_quarantine(connection, rollout.endpoint, rollout.digest)
    rollout = insert(connection, rollout)
    append_log(connection, rollout, rollout.actor, "began", rollout.because, {"plan": rollout.plan})
    told: dict[str, Value] = {
        "rollout": rollout.number,
        "version": rollout.model,
        "strategy": rollout.plan.strategy,
    }
    append_entry(connection, rollout.actor, "began rollout", rollout.endpoint, told)
    return rollout


def _checked(  # noqa: PLR0913 - as `begin`
    connection: sa.Connection, plan: Plan, version: Version, actor: str, retry: str, *, supersede: bool
) -> tuple[Rollout, Rollout | None]:
    """The new rollout and the one that is under way."""
    active = active_of(connection, plan.endpoint)
    if active is not None and not supersede:
        raise Conflict(
            f"Rollout {active.number} of {plan.endpoint!r} brings {active.model} and is {active.state}; {active.actor} "
            "began it.",
            hint=f"`fairlead abort {plan.endpoint}` ends it; --supersede takes its place.",
            rollout=active.number,
        )
    live = _live(read_table(connection), plan)
    if live is not None and live.stable.digest == version.digest:
        raise Conflict(f"{version.ref} answers at {plan.endpoint!r} already.", hint="`fairlead status` shows it.")
    failed = find_quarantined(connection, plan.endpoint, version.digest)
    if failed is not None and not retry:
        raise Conflict(
            f"{version.ref} failed at {plan.endpoint!r} in rollout {failed.rollout}: {failed.because}",
            hint="If what made it fail is mended, try again with --retry REASON.",
            rollout=failed.rollout,
        )
    now = time.time()
    named = msgspec.structs.replace(plan, candidate=version.ref)
    rollout = Rollout(
        number=0,
        plan=named,
        model=version.ref,
        digest=version.digest,
        stable=live.stable.model if live is not None else "",
        stable_digest=live.stable.digest if live is not None else "",
        salt=secrets.token_hex(16),
        actor=actor,
        state="pending",
        because=f"{actor} began it." if not retry else f"{actor} tries again: {retry}",
        started=now,
        stepped=now,
        changed=now,
        retry=retry,
        carried=0 if failed is not None else _carried(connection, plan.endpoint, version.digest),
    )
    return rollout, active


def _carried(connection: sa.Connection, endpoint: str, digest: str) -> int:
    """The attempt whose evidence a new one of the same version carries on: the last, unless it was promoted."""
    for former in list_rollouts(connection, endpoint, limit=1):
        if former.digest == digest and former.state in {"aborted", "aborting", "superseded"}:
            return former.number
    return 0


def _live(table: RoutingTable, plan: Plan) -> Endpoint | None:
    """The endpoint with its live model; `None` where people decide and the candidate shall answer in the dark."""
    found = table.endpoint(plan.endpoint)
    if found is not None and not found.dark:
        return found
    if plan.strategy == "shadow":
        return None
    raise NotFound(
        f"No version answers at {plan.endpoint!r} yet, so there is nothing to compare {plan.candidate} with.",
        hint=f"`fairlead deploy {plan.candidate}` lets it answer; --strategy shadow runs it behind people.",
    )


def _check_fit(plan: Plan, served: Schema | None, candidate: Schema, version: Version) -> None:
    found = differences(served, candidate) if served is not None else []
    if found:
        more = f" … and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise SchemaMismatch(
            f"{version.ref} does not fit the endpoint {plan.endpoint!r}: {' '.join(found[:_SHOWN])}{more}",
            hint="A model with other columns needs an endpoint of its own: --endpoint NAME.",
            differences=found,
        )
    names = set(candidate.names)
    by, _, key = plan.assignment.key.partition(":")
    wanted = [("assignment, key", key)] if by == "column" else []
    if plan.audience is not None and plan.audience.column is not None:
        wanted.append(("audience", plan.audience.column))
    for metric in plan.metrics:
        wanted += [(f"{metric.name}, segment", name) for name in metric.segment]
        wanted += [(f"{metric.name}, covariate", metric.covariate)] if metric.covariate is not None else []
        if metric.label is not None and candidate.output.classes and metric.label not in candidate.output.classes:
            classes = ", ".join(str(one) for one in candidate.output.classes)
            raise InvalidInput(
                f"{metric.name}: the model has no class {metric.label!r}.", hint=f"It has {classes}.", field="label"
            )
    for where, name in wanted:
        if name not in names:
            columns = ", ".join(candidate.names)[:500]
            raise InvalidInput(f"{where}: there is no column {name!r}.", hint=f"There are: {columns}.", field=where)


def promote(
    database: Database, endpoint: str, *, actor: str, because: str = "", terms: Terms = UNCONDITIONAL
) -> Rollout:
    """Let the candidate answer alone from now on, whatever steps are left.

    Raises:
        NotFound: No rollout is under way.
        Conflict: It cannot be promoted from where it is.
    """

    def check(rollout: Rollout) -> None:
        if rollout.state in {"pending", "warming"}:
            raise Conflict(
                f"Rollout {rollout.number} of {endpoint!r} is {rollout.state}: {rollout.model} is not loaded everywhere yet.",
                hint="`fairlead status` shows when it is; a service must be running.",
            )

    return _moved(database, endpoint, "promoting", actor, because or f"{actor} promoted it.", terms, check=check)


def abort(database: Database, endpoint: str, *, actor: str, because: str = "", terms: Terms = UNCONDITIONAL) -> Rollout:
    """Take the candidate out of the traffic at once.

    Raises:
        NotFound, Conflict: As `promote`.
    """
    return _moved(database, endpoint, "aborting", actor, because or f"{actor} aborted it.", terms)


def pause(database: Database, endpoint: str, *, actor: str, because: str = "", terms: Terms = UNCONDITIONAL) -> Rollout:
    """Keep the weights as they are; guardrails are watched on.

    Raises:
        NotFound, Conflict: As `promote`.
    """

    def check(rollout: Rollout) -> None:
        if rollout.state == "paused":
            raise Conflict(
                f"Rollout {rollout.number} of {endpoint!r} is paused already: {rollout.because}",
                hint=f"`fairlead resume {endpoint}` goes on; `fairlead abort {endpoint}` ends it.",
            )

    return _moved(database, endpoint, "paused", actor, because or f"{actor} paused it.", terms, check=check)


def resume(
    database: Database, endpoint: str, *, actor: str, because: str = "", terms: Terms = UNCONDITIONAL
) -> Rollout:
    """Go on where it was paused; the step's time begins anew.

    Raises:
        NotFound, Conflict: As `promote`.
    """

    def check(rollout: Rollout) -> None:
        if rollout.state != "paused":
            raise Conflict(
                f"Rollout {rollout.number} of {endpoint!r} is {rollout.state}, not paused.",
                hint=f"`fairlead approve {endpoint}` is for a step that asks for it; `fairlead status` shows where it stands.",
            )

    return _moved(
        database, endpoint, "progressing", actor, because or f"{actor} resumed it.", terms, check=check, again=True
    )


def approve(
    database: Database, endpoint: str, *, actor: str, because: str = "", terms: Terms = UNCONDITIONAL
) -> Rollout:
    """Let it go on after a step that asks for approval.

    Raises:
        NotFound: No rollout is under way.
        Conflict: Nothing is to be approved where it is.
    """
    with database.read() if terms.dry_run else database.write() as connection:
        rollout = _agreed(connection, _require_active(connection, endpoint), terms)
        if rollout.state not in {"progressing", "paused"} or not rollout.here.approve:
            raise Conflict(
                f"Rollout {rollout.number} of {endpoint!r} is {rollout.state} in step {rollout.step + 1}, which asks for no "
                "approval.",
                hint=f"`fairlead promote {endpoint}` goes to the end; `fairlead resume {endpoint}` ends a pause.",
            )
        told = because or f"{actor} approved step {rollout.step + 1}."
        approved = msgspec.structs.replace(rollout, approved=rollout.step)
        approved = moved(approved, "progressing", told, time.time())
        if terms.dry_run:
            return approved
        approved, _ = commit(connection, approved, actor, action="approved")
        append_log(connection, approved, actor, "approved", told, {"step": rollout.step})
    return approved


def roll_back(  # noqa: PLR0913 - where, who, why, and on what terms
    database: Database, blobs: Blobs, endpoint: str, *, actor: str, because: str = "", terms: Terms = UNCONDITIONAL
) -> Rollout:
    """Return to the version that was promoted before: a pointer move for as long as it is kept warm.

    Raises:
        NotFound: There is no such endpoint, or nothing before what answers now.
        Conflict: A rollout is under way; abort it instead.
        BundleError: The former version's bundle is not complete any more.
    """
    with database.read() as connection:
        former = _former(connection, endpoint)
    version = resolve(database, former)
    problems = check_bundle(version.digest, blobs)
    if problems:
        raise problems[0]
    with database.read() if terms.dry_run else database.write() as connection:
        version = resolve_in(connection, _former(connection, endpoint))
        for last in list_rollouts(connection, endpoint, limit=1):
            _agreed(connection, last, terms)
        live = read_table(connection).endpoint(endpoint)
        assert live is not None  # `_former` has found it
        rollout = direct_rollout(
            endpoint, version, live, actor, because or f"{actor} rolled back from {live.stable.model}."
        )
        if terms.dry_run:
            return rollout
        carry_out(connection, rollout, actor, action="rolled back")
        return list_rollouts(connection, endpoint, limit=1)[0]


def _former(connection: sa.Connection, endpoint: str) -> ModelRef:
    """The version to return to."""
    found = read_table(connection).endpoint(endpoint)
    if found is None or found.dark:
        raise NotFound(f"No version answers at {endpoint!r}.", hint="`fairlead status` lists the endpoints.")
    active = active_of(connection, endpoint)
    if active is not None:
        raise Conflict(
            f"Rollout {active.number} of {endpoint!r} is {active.state}.",
            hint=f"`fairlead abort {endpoint}` ends it; a rollback returns to what was promoted before.",
        )
    warm = found.variant(FORMER)
    if warm is not None:
        return ModelRef.parse(warm.model)
    last = last_promoted(connection, endpoint)
    if last is None or not last.stable or last.model != found.stable.model:
        raise NotFound(
            f"Nothing answered at {endpoint!r} before {found.stable.model}.",
            hint=f"`fairlead history {endpoint}` lists what did; `fairlead deploy MODEL:VERSION` lets any version answer.",
        )
    return ModelRef.parse(last.stable)


def _moved(  # noqa: PLR0913, PLR0917 - where, where to, who and why
    database: Database,
    endpoint: str,
    state: State,
    actor: str,
    because: str,
    terms: Terms,
    *,
    check: Callable[[Rollout], None] = lambda _: None,
    again: bool = False,
) -> Rollout:
    with database.read() if terms.dry_run else database.write() as connection:
        rollout = _agreed(connection, _require_active(connection, endpoint), terms)
        check(rollout)
        done = moved(rollout, state, because, time.time(), step=rollout.step if again else None)
        if not terms.dry_run:
            done, _ = commit(connection, done, actor, action="resumed" if again else None)
            if done.state in ENDING and not live_gateways(connection, time.time() - ALIVE_SECONDS):
                # Nobody is to be waited for: a service that starts later starts with this.
                done, _ = commit(connection, moved(done, ENDING[done.state], done.because, time.time()), actor)
    return done


def _agreed(connection: sa.Connection, rollout: Rollout, terms: Terms) -> Rollout:
    """The rollout, if the terms hold.

    Raises:
        Conflict: Somebody was faster; the message tells who.
    """
    if terms.rollout in {None, rollout.number} and terms.revision in {None, rollout.revision}:
        return rollout
    last = last_move(connection, rollout.number)
    who = last.actor if last is not None else rollout.actor
    raise Conflict(
        f"{who} was faster: rollout {rollout.number} of {rollout.endpoint!r} is {rollout.state} at revision "
        f"{rollout.revision}: {rollout.because}",
        hint="Look at it again, and decide again.",
        rollout=rollout.number,
        revision=rollout.revision,
        actor=who,
    )


def _require_active(connection: sa.Connection, endpoint: str) -> Rollout:
    rollout = active_of(connection, endpoint)
    if rollout is not None:
        return rollout
    last = list_rollouts(connection, endpoint, limit=1)
    if last:
        ended = f"The last one, {last[0].number}, {_ENDED.get(last[0].state, last[0].state)}: {last[0].because}"
        raise Conflict(
            f"No rollout of {endpoint!r} is under way. {ended}",
            hint=f"`fairlead history {endpoint} --rollout {last[0].number}` tells all of it.",
            rollout=last[0].number,
        )
    raise NotFound(
        f"No rollout of {endpoint!r} is under way.",
        hint="`fairlead deploy MODEL:VERSION --strategy canary` begins one; `fairlead status` lists the endpoints.",
    )


_ENDED: Final[dict[State, str]] = {"promoted": "was promoted", "aborted": "was aborted", "superseded": "was superseded"}
