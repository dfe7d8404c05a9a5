"""Rollouts on the operator's API: the same that the command line does, with a token's name in the records.

| route | what |
|---|---|
| `POST /api/endpoints/{e}/rollouts` | begins one: the body is a plan; `?dry_run=true`, `?supersede=true`, `?retry=REASON` |
| `GET /api/endpoints/{e}/rollouts` | the endpoint's rollouts, newest first |
| `GET /api/rollouts/{n}` | where one stands, and its plan |
| `GET /api/rollouts/{n}/history` | what happened in it, oldest first; `?looks=true` with what was seen |
| `POST /api/endpoints/{e}/{verb}` | promote, abort, pause, resume, approve, rollback |

A verb's body may be empty, or hold `because`, and `rollout` with `revision`: then it is done only if nobody has moved that rollout
since, and 409 tells who was faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import Meta

from fairlead.console.exchange import Operator, actor_of, decoded, json_body, json_reply, number_asked, operator_of
from fairlead.errors import InvalidInput, NotFound
from fairlead.rollout import operations
from fairlead.rollout.operations import Terms, begin
from fairlead.rollout.plan import Plan
from fairlead.rollout.reading import plain, plan_of, read_values
from fairlead.rollout.rehearsal import rehearse
from fairlead.rollout.rollout import Rollout
from fairlead.rollout.store import find_rollout, history, list_rollouts
from fairlead.rollout.summary import Summary, summarize, summary_of
from fairlead.routing.store import read_table
from fairlead.routing.table import check_endpoint

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

__all__ = ["VERBS", "rollout_routes"]

_MOST: Final = 1000
_LIMIT: Final = 50
_HINT: Final = 'Send {"because": "…", "rollout": 3, "revision": 7}; each may be left out.'


class _Steer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a verb."""

    because: Annotated[str, Meta(max_length=2000)] = ""
    rollout: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    revision: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    dry_run: bool = False


_Deed = Callable[[Operator, str, str, _Steer], Rollout]
"""Operator, endpoint, actor, wish: does it."""


def _terms(steer: _Steer) -> Terms:
    return Terms(steer.rollout, steer.revision, steer.dry_run)


def _deed(verb: Callable[..., Rollout]) -> _Deed:
    def do(operator: Operator, endpoint: str, actor: str, steer: _Steer) -> Rollout:
        return verb(operator.database, endpoint, actor=actor, because=steer.because, terms=_terms(steer))

    return do


def _roll_back(operator: Operator, endpoint: str, actor: str, steer: _Steer) -> Rollout:
    return operations.roll_back(
        operator.database, operator.blobs, endpoint, actor=actor, because=steer.because, terms=_terms(steer)
    )


VERBS: Final[Mapping[str, _Deed]] = {
    "promote": _deed(operations.promote),
    "abort": _deed(operations.abort),
    "pause": _deed(operations.pause),
    "resume": _deed(operations.resume),
    "approve": _deed(operations.approve),
    "rollback": _roll_back,
}
"""What can be done to the rollout of an endpoint."""


def rollout_routes() -> list[BaseRoute]:
    """The routes, for the API's app."""
    from starlette.routing import Route

    return [
        Route("/api/endpoints/{name}/rollouts", _rollouts, methods=["GET", "POST"]),
        Route("/api/rollouts/{number}", _one),
        Route("/api/rollouts/{number}/history", _history),
        *(Route(f"/api/endpoints/{{name}}/{verb}", partial(_steer, verb), methods=["POST"]) for verb in VERBS),
    ]


async def _rollouts(request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    if request.method != "POST":
        return await run_in_threadpool(_of_endpoint, request)
    body = await json_body(request)
    return await run_in_threadpool(_begun, request, body)


def _begun(request: Request, body: bytes) -> Response:
    operator, actor = operator_of(request), actor_of(request)
    plan, asked = _plan(body, request.path_params["name"]), _asked(request)
    how: dict[str, Any] = {"retry": asked.retry, "supersede": asked.supersede}
    if asked.dry_run:
        found = rehearse(operator.database, operator.blobs, operator.events, plan, actor=actor, **how)
        return json_reply({**msgspec.structs.asdict(found), "dry_run": True})
    begun = begin(operator.database, operator.blobs, plan, actor=actor, **how)
    former = begun.superseded.number if begun.superseded else None
    told = {"rollout": summary_of(begun.rollout, None), "superseded": former, "dry_run": False}
    return json_reply(told, 201, Location=f"/api/rollouts/{begun.rollout.number}")


def _plan(body: bytes, endpoint: str) -> Plan:
    """The plan of a body; its endpoint is the address's.

    Raises:
        InvalidInput: It is no plan, or one for another endpoint.
    """
    check_endpoint(endpoint)
    try:
        values = read_values(body.decode(), "json")
    except UnicodeDecodeError as err:
        raise InvalidInput("The body is no text in UTF-8.", hint="Send a plan as JSON.") from err
    if isinstance(values, dict) and values.setdefault("endpoint", endpoint) != endpoint:
        raise InvalidInput(
            f"The plan is for another endpoint than {endpoint!r}.", hint="Leave `endpoint` out.", field="endpoint"
        )
    return plan_of(values)


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The query of a rollout that shall begin."""

    retry: Annotated[str, Meta(max_length=2000)] = ""
    supersede: bool = False
    dry_run: bool = False


def _asked(request: Request) -> _Asked:
    try:
        return msgspec.convert(dict(request.query_params), _Asked, strict=False)
    except msgspec.ValidationError as err:
        raise InvalidInput(
            f"The query cannot be read: {err}.", hint="It takes `dry_run=true`, `supersede=true` and `retry=REASON`."
        ) from err


def _of_endpoint(request: Request) -> Response:
    name, limit = check_endpoint(request.path_params["name"]), number_asked(request, "limit", _LIMIT, _MOST)
    with operator_of(request).database.read() as connection:
        found = list_rollouts(connection, name, limit)
        if not found and read_table(connection).endpoint(name) is None:
            raise NotFound(f"There is no endpoint {name!r}.", hint="`/api/status` lists them.")
        return json_reply([summarize(connection, one) for one in found])


def _one(request: Request) -> Response:
    with operator_of(request).database.read() as connection:
        rollout = find_rollout(connection, _number(request))
        return json_reply({"rollout": summarize(connection, rollout), "plan": plain(rollout.plan)})


def _history(request: Request) -> Response:
    database, number = operator_of(request).database, _number(request)
    looks = request.query_params.get("looks", "false")
    if looks not in {"true", "false"}:
        raise InvalidInput(f"looks is {looks[:20]!r}.", hint="Ask `looks=true`, or leave it out.", field="looks")
    with database.read() as connection:
        find_rollout(connection, number)
    return json_reply(
        history(database, number, looks=looks == "true", limit=number_asked(request, "limit", _MOST, _MOST))
    )


def _number(request: Request) -> int:
    text: str = request.path_params["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound(f"There is no rollout {text[:20]!r}.", hint="Rollouts are numbered: 1, 2, 3, …")
    return int(text)


async def _steer(verb: str, request: Request) -> Response:
    from starlette.concurrency import run_in_threadpool

    body = await json_body(request)
    steer = decoded(body, _Steer, "wish", _HINT) if body.strip() else _Steer()
    return await run_in_threadpool(_steered, verb, request, steer)


def _steered(verb: str, request: Request, steer: _Steer) -> Response:
    operator, name = operator_of(request), check_endpoint(request.path_params["name"])
    done = VERBS[verb](operator, name, actor_of(request), steer)
    return json_reply({"rollout": _now(operator, done, steer), "dry_run": steer.dry_run})


def _now(operator: Operator, rollout: Rollout, steer: _Steer) -> Summary:
    if steer.dry_run:
        return summary_of(rollout, None)
    with operator.database.read() as connection:
        return summarize(connection, find_rollout(connection, rollout.number))
