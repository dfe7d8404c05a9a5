"""Who asks, and whether they may: the tokens as a gateway holds them.

It follows the tokens' file as the gateway follows the routing table's. Whatever cannot be read opens nothing: the tokens that
were known go on to count, and before the first delivery nobody is let in.

A header that proved right is remembered by its bytes, so a client that asks again costs one look-up; what proved wrong is
never remembered.
"""

from __future__ import annotations

import base64
import binascii
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec
from loguru import logger

from fairlead.errors import FairleadError, Forbidden, RateLimited, Unauthenticated
from fairlead.serving.keys.rates import Rates
from fairlead.serving.keys.tokens_file import read_tokens
from fairlead.storage.replaced import fingerprint
from fairlead.tokens import Scope, Token, TokenSet, holds, id_of

__all__ = ["CHALLENGE", "OPEN_SCOPES", "Keyring", "Need", "refusal"]

OPEN_SCOPES: Final[frozenset[Scope]] = frozenset({"predict", "feedback", "read"})
"""What this machine may on a loopback address as long as no token was ever created: to ask, to tell what became of an answer (which
needs its unguessable id), and to see the counters."""

CHALLENGE: Final = 'Bearer realm="fairlead"'
_BASIC: Final = 'Basic realm="fairlead", charset="UTF-8"'
_REMEMBERED: Final = 4096
_NO_DIGEST: Final = "0" * 64
_CREATE: Final = "`fairlead token create NAME --scope SCOPE` makes one."


Reach = Literal["endpoints", "meant", "service"]


class Need(msgspec.Struct, frozen=True):
    """What a request must be allowed to do.

    Attributes:
        scope: The scope.
        endpoint: Where; `None` where no address says so.
        reach: What is asked about where no address says so: all endpoints together, the one that the request means (a header,
            a query or a setting names it), or the service as such, of which nobody learns about an endpoint.
    """

    scope: Scope
    endpoint: str | None = None
    reach: Reach = "endpoints"


class Keyring:
    """The tokens that hold, and what each may.

    Args:
        path: The tokens' file.
        rates: The file that the gateways of this machine share, to count requests.
        open_scopes: What is allowed to this machine as long as no token was ever created.
        clock: Seconds since 1970; a test has its own.
    """

    def __init__(
        self,
        path: Path,
        rates: Path,
        *,
        open_scopes: frozenset[Scope] = frozenset(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._rates = Rates(rates)
        self._open_scopes = open_scopes
        self._clock = clock
        self._fingerprint: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}
        self.is_open = False
        """Whether this machine may ask without a token."""
        self._remembered: dict[bytes, Token] = {}

    def look(self) -> None:
        """Read the file if it was replaced; one `stat` otherwise."""
        found = fingerprint(self._path)
        if found is None or found == self._fingerprint:
            return
        self._fingerprint = found
        try:
            told = read_tokens(self._path)
            if told is not None:
                self._rates.make_room(max((token.number for token in told.tokens if token.rate), default=0))
                self._obey(told)
        except FairleadError as err:
            logger.error("The tokens cannot be followed; those known before go on to count: {error}", error=str(err))

    def open_to(self, scope: Scope) -> bool:
        """Whether everybody may do this, since no token was ever created."""
        return self.is_open and scope in self._open_scopes

    def admit(self, authorization: bytes | None, need: Need, *, local: bool = False) -> FairleadError | None:
        """Whether a request may be answered; the error to answer where not. Counts it against the token's rate.

        Args:
            authorization: The value of its `Authorization`, as it was sent.
            need: What it must be allowed to do.
            local: Whether it surely comes from this machine, by none but ourselves; looked at only while we are open.
        """
        if self.is_open:
            if not local:
                return _from_elsewhere()
            return None if need.scope in self._open_scopes else _closed(need)
        token = self._remembered.get(authorization) if authorization is not None else None
        if token is None:
            token = self.find(authorization)
            if token is None:
                return _unknown(authorization)
        if token.expires is not None and token.expires <= self._clock():
            return _challenge("The token has expired.", f"Ask the operator for another. {_CREATE}")
        return refusal(token, need) or self._limited(token)

    def find(self, authorization: bytes | None) -> Token | None:
        """The token in an `Authorization`, expired or not; `None` where there is none that holds."""
        if authorization is None or (text := _token_in(authorization)) is None:
            return None
        token = self._tokens.get(id_of(text))
        # An unknown id is compared as well, so that the time taken does not tell which ids there are.
        if not holds(token.digest if token else _NO_DIGEST, text) or token is None:
            return None
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[authorization] = token
        return token

    def _obey(self, told: TokenSet) -> None:
        self._tokens = {token.id: token for token in told.tokens}
        self._remembered.clear()
        self.is_open = told.issued == 0 and bool(self._open_scopes)

    def _limited(self, token: Token) -> RateLimited | None:
        if token.rate is None:
            return None
        wait = self._rates.take(token.number, time.monotonic(), token.rate, token.burst)
        if not wait:
            return None
        return RateLimited(
            f"This token may ask {token.rate:g} times a second.",
            hint="Ask again later, or send several rows in one request.",
            retry_after=math.ceil(wait),
        )


def refusal(token: Token, need: Need) -> Forbidden | None:
    """Why a token that holds may not do this; `None` where it may. Pure."""
    if not token.allows(need.scope):
        return Forbidden(
            f"This needs a token with the scope {need.scope!r}; yours has {', '.join(map(repr, token.scopes))}.",
            hint="Ask the operator for another token.",
        )
    if token.endpoints and need.endpoint not in token.endpoints and need.reach != "service":
        return Forbidden(
            f"Your token is for {', '.join(map(repr, token.endpoints))} only.",
            hint="Ask at an address that names one of these endpoints, such as /predict/NAME or /invocations?endpoint=NAME.",
        )
    return None


def _token_in(authorization: bytes) -> str | None:
    """The token of a program (`Bearer`), or what a browser sends for its visitor (`Basic`, as the password)."""
    scheme, _, value = authorization.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
    return None


def _unknown(authorization: bytes | None) -> Unauthenticated:
    if authorization is None:
        return _challenge("This needs a token.", f"Send `Authorization: Bearer TOKEN`. {_CREATE}")
    return _challenge("The token is not known here, or it was revoked.", f"Ask the operator for another. {_CREATE}")


def _challenge(detail: str, hint: str) -> Unauthenticated:
    return Unauthenticated(detail, hint=hint, authenticate=f"{CHALLENGE}, {_BASIC}")


def _from_elsewhere() -> Unauthenticated:
    return _challenge(
        "There is no token yet, and until there is one only this machine may ask; this came by a proxy or under another name.",
        f"{_CREATE} The proxy or its callers then show it.",
    )


def _closed(need: Need) -> Forbidden:
    """In a home without tokens there is nothing a caller could show."""
    return Forbidden(f"This needs a token with the scope {need.scope!r}, and there is no token at all.", hint=_CREATE)
