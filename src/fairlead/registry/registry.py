"""Models, versions and aliases.

A version is published once and never changes; only an alias moves. Every change and its audit entry are one transaction, so
what the audit tells is what happened.
"""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from fairlead.bundle.manifest import Road
from fairlead.errors import InvalidInput, NotFound
from fairlead.refs import ModelRef, check_name
from fairlead.registry.audit import append_entry
from fairlead.registry.tables import aliases, models, versions
from fairlead.schema import Task, Value
from fairlead.storage.database import Database
from fairlead.storage.digest import check_digest

__all__ = [
    "Alias",
    "Model",
    "Version",
    "list_models",
    "list_versions",
    "move_alias",
    "plan_alias",
    "publish",
    "remove_alias",
    "resolve",
    "resolve_in",
    "set_alias",
]


class Version(msgspec.Struct, frozen=True):
    """One immutable published bundle.

    Attributes:
        model: The model's name.
        number: 1, 2, 3, … within the model.
        digest: Of the bundle.
        road: How it answers.
        task: What it answers.
        created: When it was published, seconds since 1970 (UTC).
        actor: Who published it.
        description: For people.
        metrics: What was measured at training or packing.
        params: What it was trained with.
        aliases: The aliases that point at it now, sorted.
    """

    model: str
    number: int
    digest: str
    road: Road
    task: Task
    created: float
    actor: str
    description: str = ""
    metrics: dict[str, float] = {}
    params: dict[str, Value] = {}
    aliases: tuple[str, ...] = ()

    @property
    def ref(self) -> str:
        """The version's name, "flights:3"."""
        return f"{self.model}:{self.number}"


class Model(msgspec.Struct, frozen=True):
    """A name under which versions are published.

    Attributes:
        name: The name.
        created: When its first version was published, seconds since 1970 (UTC).
        latest: The number of its newest version.
        aliases: The version's number by alias.
    """

    name: str
    created: float
    latest: int
    aliases: dict[str, int]


class Alias(msgspec.Struct, frozen=True):
    """What became of an alias.

    Attributes:
        model: The model.
        alias: The alias.
        number: The version it points at; `None` where it was removed.
        former: The version it pointed at before; `None` where it is new.
    """

    model: str
    alias: str
    number: int | None
    former: int | None


def publish(  # noqa: PLR0913 - a version's facts, each by its name
    database: Database,
    *,
    model: str,
    digest: str,
    road: Road,
    task: Task,
    actor: str,
    description: str = "",
    metrics: Mapping[str, float] | None = None,
    params: Mapping[str, Value] | None = None,
) -> Version:
    """Give a bundle the model's next number; a bundle that the model has already keeps its number.

    The bundle's blobs must be in place: from now on others will fetch them.

    Args:
        database: Where to publish.
        model: The model's name.
        digest: Of the bundle.
        road: How it answers.
        task: What it answers.
        actor: Who publishes.
        description: For people.
        metrics: What was measured; finite numbers.
        params: What it was trained with.

    Raises:
        BadReference: `model` or `digest` is none.
        InvalidInput: A metric is no finite number, a parameter is no plain value, or a text cannot be stored.
        StorageError: The database cannot be written; nothing is published.
    """
    check_name(model, "model")
    check_digest(digest)
    facts = _checked_facts(description, metrics or {}, params or {})
    with database.write() as connection:
        known = connection.execute(
            sa.select(versions.c.number).where(versions.c.model == model, versions.c.digest == digest)
        ).scalar()
        if known is not None:
            return resolve_in(connection, ModelRef(model, number=known))
        now = time.time()
        number = _next_number(connection, model, now)
        version = Version(model, number, digest, road, task, now, actor, facts.description, facts.metrics, facts.params)
        connection.execute(sa.insert(versions).values(_row(version)))
        append_entry(connection, actor, "published", version.ref, {"digest": digest, "road": road})
    return version


def list_models(database: Database) -> list[Model]:
    """All models, by name."""
    with database.read() as connection:
        newest = sa.select(versions.c.model, sa.func.max(versions.c.number)).group_by(versions.c.model)
        latest = {row[0]: int(row[1]) for row in connection.execute(newest)}
        pointing = connection.execute(sa.select(aliases).order_by(aliases.c.alias)).all()
        return [
            Model(row.name, row.created, latest[row.name], {a.alias: a.number for a in pointing if a.model == row.name})
            for row in connection.execute(sa.select(models).order_by(models.c.name))
        ]


def list_versions(database: Database, model: str) -> list[Version]:
    """A model's versions, newest first.

    Raises:
        NotFound: There is no such model.
    """
    with database.read() as connection:
        _require_model(connection, model)
        query = sa.select(versions).where(versions.c.model == model).order_by(versions.c.number.desc())
        return [_version(connection, row) for row in connection.execute(query).all()]


def resolve(database: Database, ref: ModelRef | str) -> Version:
    """The version that a reference means; a model without number or alias means its newest version.

    Raises:
        BadReference: `ref` is none.
        NotFound: There is no such model, version or alias; the hint names the nearest.
    """
    with database.read() as connection:
        return resolve_in(connection, ref)


def resolve_in(connection: sa.Connection, ref: ModelRef | str) -> Version:
    """As `resolve`, inside a transaction."""
    ref = ModelRef.parse(ref) if isinstance(ref, str) else ref
    _require_model(connection, ref.model)
    number = ref.number
    if ref.alias is not None:
        number = _pointed_at(connection, ref.model, ref.alias)
        if number is None:
            known = _column(connection, sa.select(aliases.c.alias).where(aliases.c.model == ref.model))
            raise _not_found(f"The model {ref.model!r} has no alias {ref.alias!r}.", ref.alias, known, f"{ref.model}:")
    elif number is None:
        number = _latest(connection, ref.model)
    row = connection.execute(
        sa.select(versions).where(versions.c.model == ref.model, versions.c.number == number)
    ).first()
    if row is None:
        latest = _latest(connection, ref.model)
        raise NotFound(
            f"The model {ref.model!r} has no version {number}.",
            hint=f"Its newest is {ref.model}:{latest}; `fairlead show {ref.model}` lists them.",
            version=str(ref),
        )
    return _version(connection, row)


def set_alias(database: Database, model: str, alias: str, ref: ModelRef | str, *, actor: str) -> Alias:
    """Let an alias of `model` point at a version of the same model; pointing it where it points already changes nothing.

    Raises:
        BadReference: A name is none.
        InvalidInput: `ref` is a version of another model, or the alias would read as a number.
        NotFound: There is no such version.
    """
    with database.write() as connection:
        return move_alias(connection, _of_model(connection, model, ref), alias, actor)


def plan_alias(database: Database, model: str, alias: str, ref: ModelRef | str) -> Alias:
    """What `set_alias` would do; nothing is changed. Raises what it would raise."""
    _check_alias(alias)
    with database.read() as connection:
        version = _of_model(connection, model, ref)
        return Alias(model, alias, version.number, _pointed_at(connection, model, alias))


def move_alias(connection: sa.Connection, version: Version, alias: str, actor: str) -> Alias:
    """As `set_alias`, inside a transaction, with its audit entry."""
    _check_alias(alias)
    former = _pointed_at(connection, version.model, alias)
    if former == version.number:
        return Alias(version.model, alias, version.number, former)
    if former is None:
        connection.execute(sa.insert(aliases).values(model=version.model, alias=alias, number=version.number))
    else:
        connection.execute(
            sa.update(aliases)
            .where(aliases.c.model == version.model, aliases.c.alias == alias)
            .values(number=version.number)
        )
    detail: dict[str, Value] = {"version": version.ref, "former": f"{version.model}:{former}" if former else None}
    append_entry(connection, actor, "aliased", f"{version.model}:{alias}", detail)
    return Alias(version.model, alias, version.number, former)


def remove_alias(database: Database, model: str, alias: str, *, actor: str) -> Alias:
    """Take an alias away; the version stays.

    Raises:
        NotFound: There is no such alias.
    """
    with database.write() as connection:
        former = resolve_in(connection, ModelRef(check_name(model, "model"), alias=check_name(alias, "alias")))
        connection.execute(sa.delete(aliases).where(aliases.c.model == model, aliases.c.alias == alias))
        append_entry(connection, actor, "unaliased", f"{model}:{alias}", {"former": former.ref})
    return Alias(model, alias, None, former.number)


class _Facts(msgspec.Struct, frozen=True):
    description: str
    metrics: dict[str, float]
    params: dict[str, Value]


def _checked_facts(description: str, metrics: Mapping[str, float], params: Mapping[str, Value]) -> _Facts:
    """What people said of a version, if it reads back as it is written: JSON has neither NaN nor half a character."""
    for name, value in (*metrics.items(), *params.items()):
        if isinstance(value, float) and not math.isfinite(value):
            raise InvalidInput(f"{name!r} is {value}: it must be a finite number.", hint="Leave it out.", field=name)
    facts = {"description": description, "metrics": dict(metrics), "params": dict(params)}
    try:
        return msgspec.json.decode(msgspec.json.encode(facts), type=_Facts)
    except (msgspec.DecodeError, TypeError, UnicodeEncodeError) as error:
        raise InvalidInput(
            f"The version's facts cannot be stored: {error}.", hint="Metrics are numbers; parameters numbers and texts."
        ) from error


def _check_alias(alias: str) -> None:
    check_name(alias, "alias")
    if alias.isdigit():
        raise InvalidInput(f"{alias!r} cannot be an alias: it reads as a version's number.", hint="Use a word.")


def _of_model(connection: sa.Connection, model: str, ref: ModelRef | str) -> Version:
    version = resolve_in(connection, ref)
    if version.model != model:
        raise InvalidInput(
            f"An alias of {model!r} cannot point at {version.ref}.", hint="Name a version of the same model."
        )
    return version


def _next_number(connection: sa.Connection, model: str, now: float) -> int:
    latest = connection.execute(sa.select(sa.func.max(versions.c.number)).where(versions.c.model == model)).scalar()
    if latest is None:
        connection.execute(sa.insert(models).values(name=model, created=now))
        return 1
    return int(latest) + 1


def _latest(connection: sa.Connection, model: str) -> int:
    return int(
        connection.execute(sa.select(sa.func.max(versions.c.number)).where(versions.c.model == model)).scalar_one()
    )


def _pointed_at(connection: sa.Connection, model: str, alias: str) -> int | None:
    query = sa.select(aliases.c.number).where(aliases.c.model == model, aliases.c.alias == alias)
    number = connection.execute(query).scalar()
    return None if number is None else int(number)


def _require_model(connection: sa.Connection, model: str) -> None:
    if connection.execute(sa.select(models.c.name).where(models.c.name == model)).first() is None:
        raise _not_found(f"There is no model {model!r}.", model, _column(connection, sa.select(models.c.name)), "")


def _not_found(detail: str, wanted: str, known: Iterable[str], prefix: str) -> NotFound:
    close = difflib.get_close_matches(wanted, list(known), n=1)
    hint = f"Did you mean {prefix + close[0]!r}?" if close else "`fairlead models` lists what there is."
    return NotFound(detail, hint=hint, wanted=wanted)


def _column(connection: sa.Connection, query: sa.Select[Any]) -> list[str]:
    return [str(entry) for entry in connection.execute(query).scalars()]


def _row(version: Version) -> dict[str, object]:
    row = msgspec.structs.asdict(version)
    del row["aliases"]
    return row | {key: msgspec.json.encode(row[key]).decode() for key in ("metrics", "params")}


def _version(connection: sa.Connection, row: sa.Row[tuple[object, ...]]) -> Version:
    pointing = sa.select(aliases.c.alias).where(aliases.c.model == row.model, aliases.c.number == row.number)
    fields = {name: getattr(row, name) for name in Version.__struct_fields__ if name != "aliases"}
    fields |= {key: msgspec.json.decode(fields[key]) for key in ("metrics", "params")}
    return msgspec.convert(fields | {"aliases": sorted(_column(connection, pointing))}, Version)
