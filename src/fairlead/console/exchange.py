"""What the operator's doors share: what they work with, who asks, and how a body is read and an answer written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from fairlead.errors import InvalidInput
from fairlead.monitor.overlay import Tables
from fairlead.serving.http import problems
from fairlead.serving.keys.keyring import Keyring
from fairlead.storage.blobs import Blobs
from fairlead.storage.database import Database

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["HEADERS", "Operator", "actor_of", "decoded", "json_body", "json_reply", "number_asked", "operator_of"]

HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer."""

_encode = msgspec.json.Encoder().encode
_Kind = TypeVar("_Kind")


class Operator(msgspec.Struct, frozen=True):
    """What the API works with.

    Attributes:
        database: Models, versions, audit, tokens, the routing table.
        blobs: The bundles.
        status: Tells what is deployed, and what the gateways do with it.
        keyring: Knows whose a token is.
        events: The event log's folder.
        bundles: Bundles unpacked on this machine.
        watched: How endpoints are watched, by the file.
    """

    database: Database
    blobs: Blobs
    status: Callable[[], object]
    keyring: Keyring
    events: Path
    bundles: Path = Path("bundles")
    watched: Tables = Tables()


def operator_of(request: Request) -> Operator:
    """What the app was built with."""
    operator = request.app.state.operator
    assert isinstance(operator, Operator)
    return operator


def actor_of(request: Request) -> str:
    """Who asks, as the audit names them."""
    token = operator_of(request).keyring.find(request.headers.get("authorization", "").encode("latin-1"))
    return f"token {token.name}" if token else "a token that was revoked meanwhile"


async def json_body(request: Request) -> bytes:
    """The body of a request that changes something.

    Raises:
        UnsupportedMediaType: It is not announced as JSON, which another site's page cannot do.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise problems.UnsupportedMediaType("The body is not announced as JSON.", hint="Send application/json.")
    return await request.body()


def decoded(body: bytes, kind: type[_Kind], what: str, hint: str) -> _Kind:
    """The body as `kind`.

    Raises:
        InvalidInput: It cannot be read, or it is something else.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as err:
        reason = str(err) if isinstance(err, msgspec.ValidationError) else "It is no JSON"
        raise InvalidInput(f"The body is no {what}. {reason}.", hint=hint) from err


def json_reply(value: object, status: int = 200, **headers: str) -> Response:
    """An answer in JSON."""
    from starlette.responses import Response

    return Response(_encode(value), status, media_type="application/json", headers={**HEADERS, **headers})


def number_asked(request: Request, name: str, default: int, most: int) -> int:
    """A whole number of the query, from 1 on.

    Raises:
        InvalidInput: It is none, or larger than `most`.
    """
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise InvalidInput(f"The {name} {text[:20]!r} is not between 1 and {most}.", field=name)
    return int(text)
