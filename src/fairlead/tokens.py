"""Tokens: who may ask for what.

A token is shown once, to whoever creates it; what is kept is its SHA-256. The secret has 256 random bits, so nobody can guess
it, and a slow hash, which passwords need, would only slow every request.

The registry holds the tokens, and delivery brings them to the gateways as a `TokenSet`: one noun for both halves.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Literal, get_args

import msgspec

__all__ = ["SCOPES", "Scope", "Token", "TokenSet", "digest_of", "holds", "id_of", "make_secret"]

Scope = Literal["predict", "feedback", "read", "deploy", "admin"]
"""What a token allows: to ask, to tell what became of it, to see, to change what is served, and everything."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "fl"


class Token(msgspec.Struct, frozen=True):
    """What is known of a token; not the token itself.

    Attributes:
        number: 1, 2, 3, … in the order of creation.
        id: Stands in the token, so that it can be found; no secret.
        name: Whose it is, for people and the audit.
        digest: SHA-256 of the token, in hex.
        scopes: What it allows.
        endpoints: Where it allows that; everywhere if empty.
        rate: How many requests a second it allows, over all gateways of a machine; `None` allows any number.
        burst: How many requests may come at once before the rate counts.
        expires: When it ends, in seconds since 1970; `None` never.
    """

    number: int
    id: str
    name: str
    digest: str
    scopes: tuple[Scope, ...]
    endpoints: tuple[str, ...] = ()
    rate: float | None = None
    burst: int = 1
    expires: float | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether it has this scope; `admin` has all."""
        return scope in self.scopes or "admin" in self.scopes


class TokenSet(msgspec.Struct, frozen=True):
    """The tokens that hold.

    Attributes:
        issued: How many were ever created, revoked ones too. Once it is not 0, nobody is let in without a token again.
        tokens: Those that were not revoked.
    """

    issued: int = 0
    tokens: tuple[Token, ...] = ()


def make_secret() -> tuple[str, str]:
    """A new token and its id."""
    identity = secrets.token_hex(5)
    return f"{_PREFIX}_{identity}_{secrets.token_urlsafe(32)}", identity


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def id_of(token: str) -> str:
    """The id in a token; empty where it is none."""
    prefix, _, rest = token.partition("_")
    return rest.partition("_")[0] if prefix == _PREFIX else ""


def holds(kept: str, token: str) -> bool:
    """Whether `token` is the one whose digest was kept; takes as long for a near miss as for a far one."""
    return hmac.compare_digest(kept, digest_of(token))
