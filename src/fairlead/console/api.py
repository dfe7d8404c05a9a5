"""The operator's API: what is there, what is served, who changed what; and `deploy`. Rollouts and monitoring have files of their own.

It is a door like any other and decides nothing: registry and rollout answer, and the gate in front of it has looked at the
token before. What the token's holder changes, the audit records under the token's name.

Starlette is imported when the app is built: a control process whose port nobody may use starts without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from fairlead.console.exchange import (
    HEADERS,
    Operator,
    actor_of,
    decoded,
    json_body,
    json_reply,
    number_asked,
    operator_of,
)
from fairlead.console.monitoring import monitor_routes
from fairlead.console.rollouts import VERBS, rollout_routes
from fairlead.errors import FairleadError, InvalidInput, NotFound
from fairlead.registry.audit import audit_entries
from fairlead.registry.registry import list_models, list_versions
from fairlead.registry.tokens import list_tokens
from fairlead.rollout.direct import deploy
from fairlead.serving.http import problems
from fairlead.serving.http.asgi import ASGIApp
from fairlead.serving.keys.keyring import Need

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["build_app", "operator_need"]

_MOST_ENTRIES: Final = 1000


class _Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a deployment."""

    ref: str


def operator_need(method: bytes, path: str) -> Need | None:
    """What a path of the operator's port needs. Pure. Nothing is public, and what stands in no line here needs `admin`."""
    parts = path[1:].split("/")
    match parts:
        case ["api", "endpoints", name, verb] if verb == "deploy" or verb in VERBS:
            return Need("deploy", name)
        case ["api", "endpoints", name, "rollouts" | "reports" | "monitor", *_]:
            return Need("read" if method in {b"GET", b"HEAD"} else "deploy", name)
        case ["api", "models" | "status" | "audit" | "rollouts", *_] if method in {b"GET", b"HEAD"}:
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
        *rollout_routes(),
        *monitor_routes(),
    ]
    handlers: dict[Any, Any] = {FairleadError: _refuse, HTTPException: _refuse_http, Exception: _refuse_unexpected}
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.operator = operator
    return app


# The handlers are plain functions, which Starlette runs in a thread: a database that is slow holds up nobody else.


def _models(request: Request) -> Response:
    return json_reply(list_models(operator_of(request).database))


def _versions(request: Request) -> Response:
    return json_reply(list_versions(operator_of(request).database, request.path_params["name"]))


def _status(request: Request) -> Response:
    return json_reply(operator_of(request).status())


def _audit(request: Request) -> Response:
    limit = number_asked(request, "limit", 50, _MOST_ENTRIES)
    subject = request.query_params.get("subject")
    return json_reply(audit_entries(operator_of(request).database, subject=subject, limit=limit))


def _tokens(request: Request) -> Response:
    return json_reply(list_tokens(operator_of(request).database))


async def _deploy(request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    operator, body = operator_of(request), await json_body(request)
    wish = decoded(body, _Wish, "deployment", 'Send {"ref": "flights:2"}.')
    name, actor = request.path_params["name"], actor_of(request)
    done = await run_in_threadpool(deploy, operator.database, operator.blobs, wish.ref, name, actor=actor)
    told = {"endpoint": done.endpoint, "model": done.model, "former": done.former}
    return json_reply({**told, "changed": done.changed, "revision": done.table.revision})


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
    headers = {**HEADERS, "Allow": str(allow)} if allow else HEADERS
    return Response(body, status, media_type=content_type.decode(), headers=headers)
