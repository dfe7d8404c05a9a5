"""The operator's API: what is there, what is served, who changed what; and `deploy`.

It is a door like any other and decides nothing: registry and rollout answer, and the gate in front of it has looked at the
token before. What the token's holder changes, the audit records under the token's name.

Starlette is imported when the app is built: a control process whose port nobody may use starts without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from fairlead.errors import FairleadError, InvalidInput, NotFound
from fairlead.registry.audit import audit_entries
from fairlead.registry.registry import list_models, list_versions
from fairlead.registry.tokens import list_tokens
from fairlead.rollout.direct import deploy
from fairlead.serving.http import problems
from fairlead.serving.http.asgi import ASGIApp
from fairlead.serving.keys.keyring import Keyring, Need
from fairlead.storage.blobs import Blobs
from fairlead.storage.database import Database

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["Operator", "build_app", "operator_need"]

_MOST_ENTRIES: Final = 1000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_encode = msgspec.json.Encoder().encode


class Operator(msgspec.Struct, frozen=True):
    """What the API works with.

    Attributes:
        database: Models, versions, audit, tokens, the routing table.
        blobs: The bundles.
        status: Tells what is deployed, and what the gateways do with it.
        keyring: Knows whose a token is.
    """

    database: Database
    blobs: Blobs
    status: Callable[[], object]
    keyring: Keyring


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a deployment."""

    ref: str


def operator_need(method: bytes, path: str) -> Need | None:
    """What a path of the operator's port needs. Pure. Nothing is public, and what stands in no line here needs `admin`."""
    parts = path[1:].split("/")
    match parts:
        case ["api", "endpoints", name, "deploy"]:
            return Need("deploy", name)
        case ["api", "models" | "status" | "audit", *_] if method in {b"GET", b"HEAD"}:
            return Need("read")
    return Need("admin")


def build_app(operator: Operator) -> ASGIApp:
    """The ASGI app of the API; the gate stands before it, in the lane."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    routes = [
        Route("/api/models", _models),
        Route("/api/models/{name}", _versions),
        Route("/api/status", _status),
        Route("/api/audit", _audit),
        Route("/api/tokens", _tokens),
        Route("/api/endpoints/{name}/deploy", _deploy, methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {FairleadError: _refuse, HTTPException: _refuse_http, Exception: _refuse_unexpected}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.operator = operator
    return app


# The handlers are plain functions, which Starlette runs in a thread: a database that is slow holds up nobody else.


def _models(request: Request) -> Response:
    return _json(list_models(_operator(request).database))


def _versions(request: Request) -> Response:
    return _json(list_versions(_operator(request).database, request.path_params["name"]))


def _status(request: Request) -> Response:
    return _json(_operator(request).status())


def _audit(request: Request) -> Response:
    subject, limit = request.query_params.get("subject"), request.query_params.get("limit", "50")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 5 and 1 <= int(limit) <= _MOST_ENTRIES):
        raise InvalidInput(f"The limit {limit[:20]!r} is not between 1 and {_MOST_ENTRIES}.", field="limit")
    return _json(audit_entries(_operator(request).database, subject=subject, limit=int(limit)))


def _tokens(request: Request) -> Response:
    return _json(list_tokens(_operator(request).database))


async def _deploy(request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    operator, wish = _operator(request), _wish(request.headers.get("content-type", ""), await request.body())
    token = operator.keyring.find(request.headers.get("authorization", "").encode("latin-1"))
    actor = f"token {token.name}" if token else "a token that was revoked meanwhile"
    name = request.path_params["name"]
    done = await run_in_threadpool(deploy, operator.database, operator.blobs, wish.ref, name, actor=actor)
    told = {"endpoint": done.endpoint, "model": done.model, "former": done.former}
    return _json({**told, "changed": done.changed, "revision": done.table.revision})


def _wish(content_type: str, body: bytes) -> _Wish:
    """What is to be deployed.

    Raises:
        UnsupportedMediaType: It is not announced as JSON, which another site's page cannot do.
        InvalidInput: It cannot be read.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise problems.UnsupportedMediaType("The body is not announced as JSON.", hint="Send application/json.")
    try:
        return msgspec.json.decode(body, type=_Wish)
    except (msgspec.DecodeError, RecursionError) as err:
        raise InvalidInput("The body is no deployment.", hint='Send {"ref": "flights:2"}.') from err


def _operator(request: Request) -> Operator:
    operator = request.app.state.operator
    assert isinstance(operator, Operator)
    return operator


def _json(value: object) -> Response:
    from starlette.responses import Response

    return Response(_encode(value), media_type="application/json", headers=_HEADERS)


async def _refuse(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, FairleadError)  # the table of handlers sends nothing else here
    return _refusal(error)


async def _refuse_http(request: Request, error: Exception) -> Response:
    """What Starlette itself refuses: an unknown path, a wrong method."""
    from starlette.exceptions import HTTPException

    assert isinstance(error, HTTPException)  # as above
    path = request.url.path[:80]
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        return _refusal(problems.method_not_allowed(request.method.encode(), allow, f"It takes {allow}."))
    if error.status_code == 404:
        return _refusal(NotFound(f"There is nothing at {path!r}."))
    return _refusal(InvalidInput("The request cannot be read."))


async def _refuse_unexpected(request: Request, error: Exception) -> Response:
    """Tell nothing of what went wrong; Starlette raises it again for the operator's log."""
    del request, error
    return _refusal(problems.unexpected())


def _refusal(error: FairleadError) -> Response:
    from starlette.responses import Response

    status, body, content_type = problems.told(error)
    allow = error.values.get("allow")
    headers = {**_HEADERS, "Allow": str(allow)} if allow else _HEADERS
    return Response(body, status, media_type=content_type.decode(), headers=headers)
