"""Tokens at rest: created, listed, revoked, each with its audit entry in the same transaction.

A revoked token's row stays, so that its number and the count of all that were ever issued hold. The token itself is in no
table and in no audit entry: it is returned once, by `create_token`.
"""

from __future__ import annotations

import difflib
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from fairlead.errors import Conflict, InvalidInput, NotFound
from fairlead.refs import check_name
from fairlead.registry.audit import append_entry
from fairlead.registry.tables import tokens
from fairlead.routing.table import check_endpoint
from fairlead.schema import Value
from fairlead.storage.database import Database
from fairlead.tokens import SCOPES, Scope, Token, TokenSet, digest_of, make_secret

__all__ = ["IssuedToken", "create_token", "list_tokens", "revoke_token", "token_set", "token_stamp"]

_MAX_RATE = 1e6


class IssuedToken(msgspec.Struct, frozen=True):
    """A token as people see it: everything but what could be used.

    Attributes:
        name: Whose it is.
        id: As it stands in the token.
        scopes: What it allows.
        endpoints: Where; everywhere if empty.
        rate: Requests a second; `None` allows any number.
        burst: How many may come at once.
        created: When, in seconds since 1970.
        actor: Who created it.
        expires: When it ends; `None` never.
        revoked: When it was revoked; `None` where it was not.
    """

    name: str
    id: str
    scopes: tuple[Scope, ...]
    endpoints: tuple[str, ...]
    rate: float | None
    burst: int
    created: float
    actor: str
    expires: float | None = None
    revoked: float | None = None

    def state(self, now: float) -> str:
        """What has become of it: "live", "expired" or "revoked"."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "live"


def create_token(  # noqa: PLR0913 - a token's facts, each by its name
    database: Database,
    name: str,
    *,
    scopes: Sequence[str],
    endpoints: Sequence[str] = (),
    rate: float | None = None,
    burst: int | None = None,
    seconds: float | None = None,
    actor: str,
    dry_run: bool = False,
) -> tuple[IssuedToken, str]:
    """Create a token.

    Args:
        database: Where it is kept.
        name: Whose it is.
        scopes: What it allows.
        endpoints: Where; everywhere if empty. They need not exist yet.
        rate: Requests a second.
        burst: How many may come at once; the requests of one second where it is `None`.
        seconds: How long it lasts; for ever where it is `None`.
        actor: Who creates it.
        dry_run: Check everything and change nothing; the token that is returned opens nothing.

    Returns:
        What is known of it, and the token itself, which cannot be had again.

    Raises:
        BadReference: `name` or an endpoint is none.
        InvalidInput: A scope is unknown, or a number makes no sense.
        Conflict: A token of this name is in use.
        StorageError: The database cannot be written; there is no token.
    """
    check_name(name, "token")
    facts = IssuedToken(
        name=name,
        id="",
        scopes=_checked_scopes(scopes),
        endpoints=tuple(sorted({check_endpoint(one) for one in endpoints})),
        rate=_checked_rate(rate),
        burst=_checked_burst(rate, burst),
        created=time.time(),
        actor=actor,
        expires=None if seconds is None else time.time() + seconds,
    )
    if dry_run:
        with database.read() as connection:
            _refuse_taken(connection, name)
        return facts, ""
    secret, identity = make_secret()
    facts = msgspec.structs.replace(facts, id=identity)
    with database.write() as connection:
        _refuse_taken(connection, name)
        connection.execute(sa.insert(tokens).values(_row(facts, _next_number(connection), digest_of(secret))))
        append_entry(connection, actor, "token created", name, _detail(facts))
    return facts, secret


def list_tokens(database: Database) -> list[IssuedToken]:
    """All tokens that were ever created, newest first."""
    with database.read() as connection:
        return [_issued(row) for row in connection.execute(sa.select(tokens).order_by(tokens.c.number.desc()))]


def revoke_token(database: Database, name: str, *, actor: str, dry_run: bool = False) -> IssuedToken:
    """Make a token worthless, for good.

    Args:
        database: Where it is kept.
        name: Its name, or its id.
        actor: Who revokes it.
        dry_run: Check everything and change nothing.

    Raises:
        NotFound: No token in use has this name or id.
        StorageError: The database cannot be written; the token holds.
    """
    with database.read() if dry_run else database.write() as connection:
        found = _require(connection, name)
        now = time.time()
        if not dry_run:
            connection.execute(sa.update(tokens).where(tokens.c.id == found.id).values(revoked=now))
            append_entry(connection, actor, "token revoked", found.name, {"id": found.id})
    return msgspec.structs.replace(found, revoked=now)


def token_stamp(connection: sa.Connection) -> tuple[int, int]:
    """Changes whenever a token is created or revoked; cheap enough to be asked five times a second."""
    row = connection.execute(sa.select(sa.func.count(), sa.func.count(tokens.c.revoked)).select_from(tokens)).one()
    return int(row[0]), int(row[1])


def token_set(connection: sa.Connection) -> TokenSet:
    """What the gateways are told."""
    issued, _ = token_stamp(connection)
    rows = connection.execute(sa.select(tokens).where(tokens.c.revoked.is_(None)).order_by(tokens.c.number))
    return TokenSet(issued, tuple(_told(row) for row in rows))


def _checked_scopes(scopes: Sequence[str]) -> tuple[Scope, ...]:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        what = f"There is no scope {unknown[0][:40]!r}." if unknown else "A token without a scope opens nothing."
        raise InvalidInput(what, hint=f"The scopes are {', '.join(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in scopes)


def _checked_rate(rate: float | None) -> float | None:
    if rate is not None and not (math.isfinite(rate) and 0 < rate <= _MAX_RATE):
        raise InvalidInput(f"The rate {rate} is not between 0 and {_MAX_RATE:g} requests a second.")
    return rate


def _checked_burst(rate: float | None, burst: int | None) -> int:
    if burst is None:
        return max(1, math.ceil(rate or 1))
    if rate is None:
        raise InvalidInput("A burst without a rate limits nothing.", hint="Give the rate, too.")
    if not 1 <= burst <= _MAX_RATE:
        raise InvalidInput(f"The burst {burst} is not between 1 and {_MAX_RATE:g} requests.")
    return burst


def _refuse_taken(connection: sa.Connection, name: str) -> None:
    if connection.execute(_in_use().where(tokens.c.name == name)).first() is not None:
        raise Conflict(
            f"A token {name!r} is in use.", hint=f"Choose another name, or `fairlead token revoke {name}` first."
        )


def _require(connection: sa.Connection, name: str) -> IssuedToken:
    row = connection.execute(_in_use().where((tokens.c.name == name) | (tokens.c.id == name))).first()
    if row is None:
        names = [str(one) for one in connection.execute(_in_use().with_only_columns(tokens.c.name)).scalars()]
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "`fairlead token list` shows them."
        raise NotFound(f"No token in use has the name or the id {name[:80]!r}.", hint=hint)
    return _issued(row)


def _in_use() -> sa.Select[Any]:
    return sa.select(tokens).where(tokens.c.revoked.is_(None))


def _next_number(connection: sa.Connection) -> int:
    return 1 + int(connection.execute(sa.select(sa.func.max(tokens.c.number))).scalar() or 0)


def _detail(facts: IssuedToken) -> dict[str, Value]:
    detail: dict[str, Value] = {"id": facts.id, "scopes": " ".join(facts.scopes)}
    detail |= {"endpoints": " ".join(facts.endpoints) or None, "rate": facts.rate}
    expires = facts.expires and datetime.fromtimestamp(facts.expires, UTC).isoformat(timespec="seconds")
    return {**detail, "expires": expires}


def _row(facts: IssuedToken, number: int, digest: str) -> dict[str, object]:
    row = msgspec.structs.asdict(facts)
    row |= {"scopes": " ".join(facts.scopes), "endpoints": " ".join(facts.endpoints)}
    return row | {"number": number, "digest": digest}


def _values(row: sa.Row[Any]) -> dict[str, Any]:
    named = {str(name): value for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name
    return {**named, "scopes": row.scopes.split(), "endpoints": row.endpoints.split()}


def _issued(row: sa.Row[Any]) -> IssuedToken:
    return msgspec.convert(_values(row), IssuedToken)


def _told(row: sa.Row[Any]) -> Token:
    return msgspec.convert(_values(row), Token)
