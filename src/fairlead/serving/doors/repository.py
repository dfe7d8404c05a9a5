"""The model repository extension of the Open Inference Protocol: which models are here, and loading them.

Which version is live is not a gateway's decision. The gate has let nobody come here to load or unload who may not deploy; what
they want is carried out by `steer`, under the operator's checks and audit, and refused where there is none (a mounted app).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from fairlead.errors import FairleadError, Forbidden, InvalidInput, NotFound
from fairlead.serving.doors.door import segments
from fairlead.serving.doors.tensor_endpoint import TensorEndpoint, TensorEndpoints
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import method_not_allowed
from fairlead.serving.http.request import Request
from fairlead.serving.processes.wishes import Verb

__all__ = ["Actor", "Repository", "Steer"]

Steer = Callable[[Verb, str, str], Awaitable[None]]
"""Makes an endpoint answer with its model's newest version, or no longer, in an actor's name; raises a `FairleadError`."""

Actor = Callable[[Request], str]
"""Who asks, for the audit."""

_PREFIX: Final = b"/v2/repository"
_encode = msgspec.json.Encoder().encode


class _Index(msgspec.Struct):
    ready: bool = False


class _Load(msgspec.Struct):
    parameters: dict[str, object] | None = None


class Repository:
    """The door.

    Args:
        gateway: Runs what takes a while.
        endpoints: The live endpoints.
        steer: Carries out load and unload; without it they are refused.
        actor: Tells who asks.
    """

    def __init__(
        self,
        gateway: Gateway,
        endpoints: TensorEndpoints,
        steer: Steer | None = None,
        actor: Actor = lambda _: "a caller",
    ) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._steer = steer
        self._actor = actor

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`): everything under `/v2/repository`."""
        return self._answer if path.startswith(_PREFIX) and path[len(_PREFIX) :][:1] in {b"", b"/"} else None

    def _answer(self, connection: Connection, request: Request) -> None:
        try:
            self._route(connection, request)
        except FairleadError as error:
            connection.respond_error(request, error)

    def _route(self, connection: Connection, request: Request) -> None:
        match segments(request.url.partition(b"?")[0])[2:]:
            case ["index"]:
                _check_post(request)
                connection.respond(request, 200, self._index(request.body))
            case ["models", name, "load" | "unload" as verb]:
                _check_post(request)
                _check_load(request.body)
                self._gateway.start(self._carry_out(connection, request, "load" if verb == "load" else "unload", name))
            case _:
                raise NotFound("The model repository has nothing here.", hint="POST /v2/repository/index lists it.")

    def _index(self, body: bytes) -> bytes:
        """What is live; with `ready`, what answers."""
        try:
            asked = msgspec.json.decode(body or b"{}", type=_Index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            raise InvalidInput('The body is empty, or {"ready": true} or false.') from err
        found = [_entry(one) for one in self._endpoints.all() if one.live.healthy or not asked.ready]
        return _encode(found)

    async def _carry_out(self, connection: Connection, request: Request, verb: Verb, name: str) -> None:
        try:
            if self._steer is None:
                raise Forbidden(
                    f"Nobody may {verb} models here.",
                    hint="Whoever operates the service decides what is live: `fairlead deploy MODEL:VERSION`.",
                )
            await self._steer(verb, name, self._actor(request))
        except FairleadError as error:
            connection.respond_error(request, error)
        else:
            connection.respond(request, 200, b"")


def _entry(endpoint: TensorEndpoint) -> dict[str, str]:
    told = {"name": endpoint.live.name, "version": endpoint.version}
    if endpoint.live.healthy:
        return {**told, "state": "READY", "reason": ""}
    return {**told, "state": "UNAVAILABLE", "reason": "it does not answer at the moment"}


def _check_post(request: Request) -> None:
    if request.method != b"POST":
        raise method_not_allowed(request.method, "POST", "The repository is asked with POST.")


def _check_load(body: bytes) -> None:
    """Refuse what would be ignored: a model is made by packing it, not by files in a request.

    Raises:
        InvalidInput: The body cannot be read, or carries a configuration or files.
    """
    try:
        asked = msgspec.json.decode(body or b"{}", type=_Load)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
        raise InvalidInput('The body is empty, or {"parameters": {…}}.') from err
    refused = [name for name in asked.parameters or {} if name != "unload_dependents"]
    if refused:
        raise InvalidInput(
            f"The parameter {refused[0][:40]!r} is not taken: a request brings neither files nor a configuration.",
            hint="`fairlead pack` publishes a version; load then takes the newest.",
        )
