"""The plainest way to change what an endpoint serves: all of its traffic, at once.

The bundle is read through before anything moves: a corrupt one is refused and what is live goes on. The routing table, the
alias `champion`, the endpoint's history and the audit then change in one transaction.
"""

from __future__ import annotations

import difflib
import secrets
import time

import msgspec
import sqlalchemy as sa

from fairlead.bundle.store import check_bundle
from fairlead.errors import Conflict, NotFound
from fairlead.refs import ModelRef
from fairlead.registry.audit import append_entry
from fairlead.registry.registry import Version, move_alias, resolve, resolve_in
from fairlead.rollout.moves import moved, restored
from fairlead.rollout.plan import default_plan
from fairlead.rollout.rollout import STABLE, Rollout
from fairlead.rollout.store import CHAMPION, active_of, append_log, commit, insert
from fairlead.routing.store import read_table, write_table
from fairlead.routing.table import Endpoint, RoutingTable, Variant, check_endpoint
from fairlead.schema import Value
from fairlead.storage.blobs import Blobs
from fairlead.storage.database import Database

__all__ = ["Deployment", "carry_out", "check_idle", "deploy", "direct_rollout", "retire"]


class Deployment(msgspec.Struct, frozen=True):
    """What became of an endpoint.

    Attributes:
        endpoint: Its name.
        model: The version that answers from now on, "flights:3"; `None` where the endpoint was retired.
        former: The versions that answered before; empty where the endpoint is new.
        changed: Whether anything is different; `False` where all was so already.
        table: What is served now; in a dry run, what would be.
    """

    endpoint: str
    model: str | None
    former: tuple[str, ...]
    changed: bool
    table: RoutingTable


def deploy(  # noqa: PLR0913 - where, what, who, and whether at all
    database: Database,
    blobs: Blobs,
    ref: ModelRef | str,
    endpoint: str | None = None,
    *,
    actor: str,
    dry_run: bool = False,
) -> Deployment:
    """Let an endpoint answer with a version.

    Args:
        database: Where versions and the routing table are.
        blobs: Where bundles are.
        ref: The version; a model alone means its newest.
        endpoint: The endpoint, made where it is missing; the model's name where it is `None`.
        actor: Who deploys.
        dry_run: Check everything and change nothing.

    Raises:
        BadReference: `ref` is none, or no endpoint may have the name.
        NotFound: There is no such version.
        BundleError: The bundle is not complete.
        DigestMismatch: The bundle is corrupt.
        Conflict: A rollout is under way, or somebody else changed what is served at the same time.
        StorageError: The database cannot be written, or the blobs cannot be read; nothing is changed.
    """
    version = resolve(database, ref)
    name = check_endpoint(version.model if endpoint is None else endpoint)
    problems = check_bundle(version.digest, blobs)
    if problems:
        raise problems[0]
    if dry_run:
        with database.read() as connection:
            return _planned(read_table(connection), name, version)
    with database.write() as connection:
        version = resolve_in(connection, ModelRef(version.model, number=version.number))
        check_idle(connection, name)
        found = read_table(connection)
        deployment = _planned(found, name, version)
        if deployment.changed:
            rollout = direct_rollout(name, version, found.endpoint(name), actor, f"{actor} deployed it.")
            written = carry_out(connection, rollout, actor, action="deployed")
            deployment = msgspec.structs.replace(deployment, table=written)
        else:
            move_alias(connection, version, CHAMPION, actor)
    return deployment


def check_idle(connection: sa.Connection, endpoint: str) -> None:
    """Refuse to change an endpoint by hand while a rollout changes it.

    Raises:
        Conflict: One is under way.
    """
    active = active_of(connection, endpoint)
    if active is not None:
        raise Conflict(
            f"Rollout {active.number} of {endpoint!r} brings {active.model} and is {active.state}; {active.actor} began it.",
            hint=f"`fairlead abort {endpoint}` ends it, `fairlead promote {endpoint}` lets its version answer.",
            rollout=active.number,
        )


def direct_rollout(endpoint: str, version: Version, live: Endpoint | None, actor: str, because: str) -> Rollout:
    """The rollout that lets a version answer at once: it stands in the history beside those that took their time."""
    now = time.time()
    answered = live is not None and not live.dark
    return Rollout(
        number=0,
        plan=default_plan("direct", endpoint, version.ref),
        model=version.ref,
        digest=version.digest,
        stable=live.stable.model if live is not None and answered else "",
        stable_digest=live.stable.digest if live is not None and answered else "",
        salt=secrets.token_hex(16),
        actor=actor,
        state="pending",
        because=because,
        started=now,
        stepped=now,
        changed=now,
    )


def carry_out(connection: sa.Connection, rollout: Rollout, actor: str, *, action: str) -> RoutingTable:
    """Write a direct rollout from its beginning to its end.

    Raises:
        Conflict: Somebody else changed what is served at the same time.
    """
    rollout = insert(connection, rollout)
    append_log(connection, rollout, actor, "began", rollout.because, {"plan": rollout.plan})
    now = rollout.started
    rollout, _ = commit(connection, moved(rollout, "promoting", rollout.because, now), actor, action=action)
    _, table = commit(connection, moved(rollout, "promoted", rollout.because, now), actor)
    return table


def retire(database: Database, endpoint: str, *, actor: str, dry_run: bool = False) -> Deployment:
    """Take an endpoint away; versions and aliases stay.

    Raises:
        NotFound: There is no such endpoint.
        Conflict: Somebody else changed what is served at the same time.
        StorageError: The database cannot be written; nothing is changed.
    """
    with database.read() if dry_run else database.write() as connection:
        check_idle(connection, endpoint)
        found = read_table(connection)
        live = _require(found, endpoint)
        table = found.without_endpoint(endpoint)
        former = _models(live)
        if not dry_run:
            write_table(connection, table, found.revision)
            detail: dict[str, Value] = {"former": ", ".join(former), "revision": table.revision}
            append_entry(connection, actor, "retired", endpoint, detail)
    return Deployment(endpoint, None, former, changed=True, table=table)


def _planned(table: RoutingTable, name: str, version: Version) -> Deployment:
    """The deployment that leaves `version` alone on the endpoint. Pure."""
    live = table.endpoint(name)
    wanted = Endpoint(name, (Variant(STABLE, version.ref, version.digest),))
    former = _models(live) if live else ()
    if live is not None and restored(live) == msgspec.structs.replace(wanted, since=live.since):
        return Deployment(name, version.ref, former, changed=False, table=table)
    return Deployment(name, version.ref, former, changed=True, table=table.with_endpoint(wanted))


def _models(endpoint: Endpoint) -> tuple[str, ...]:
    return tuple(variant.model for variant in restored(endpoint).variants)


def _require(table: RoutingTable, name: str) -> Endpoint:
    live = table.endpoint(name)
    if live is None:
        close = difflib.get_close_matches(name, [endpoint.name for endpoint in table.endpoints], n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "`fairlead status` lists them."
        raise NotFound(f"There is no endpoint {name!r}.", hint=hint, endpoint=name)
    return live
