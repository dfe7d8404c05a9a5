"""The model repository extension of the Open Inference Protocol: which models are here, and loading them.

Which version is live is decided by who deploys, under the operator's plans and audit, so a gateway does not load on its own:
the service is given `steer` where a caller may, and refuses everybody where it is not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from fairlead.errors import FairleadError, Forbidden, InvalidInput, NotFound
from fairlead.serving.doors import segments
from fairlead.serving.gateway import Gateway
from fairlead.serving.lane import Connection, Handler, Request
from fairlead.serving.problems import method_not_allowed
from fairlead.serving.tensor_endpoint import TensorEndpoints

__all__ = ["Repository", "Steer"]

Steer = Callable[[Literal["load", "unload"], str], Awaitable[None]]
"""Makes an endpoint answer, or no longer; raises a `FairleadError` where it cannot."""

_PREFIX: Final = b"/v2/repository"
_encode = msgspec.json.Encoder().encode


class _Index(msgspec.Struct):
    ready: bool = False


class Repository:
    """The door.

    Args:
        gateway: Runs what takes a while.
        endpoints: The live endpoints.
        steer: Carries out load and unload; without it they are refused.
    """

    def __init__(self, gateway: Gateway, endpoints: TensorEndpoints, steer: Steer | None = None) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._steer = steer

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
                self._gateway.start(self._carry_out(connection, request, "load" if verb == "load" else "unload", name))
            case _:
                raise NotFound("The model repository has nothing here.", hint="POST /v2/repository/index lists it.")

    def _index(self, body: bytes) -> bytes:
        """What is live; all of it is ready, so `ready` selects nothing."""
        try:
            msgspec.json.decode(body or b"{}", type=_Index)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as err:
            raise InvalidInput('The body is empty, or {"ready": true} or false.') from err
        return _encode(
            [
                {"name": one.live.name, "version": one.version, "state": "READY", "reason": ""}
                for one in self._endpoints.all()
            ]
        )

    async def _carry_out(
        self, connection: Connection, request: Request, verb: Literal["load", "unload"], name: str
    ) -> None:
        try:
            if self._steer is None:
                raise Forbidden(
                    f"Nobody may {verb} models through this port.",
                    hint="Whoever operates the service decides what is live: `fairlead deploy MODEL:VERSION`.",
                )
            await self._steer(verb, name)
        except FairleadError as error:
            connection.respond_error(request, error)
        else:
            connection.respond(request, 200, b"")


def _check_post(request: Request) -> None:
    if request.method != b"POST":
        raise method_not_allowed(request.method, "POST", "The repository is asked with POST.")
