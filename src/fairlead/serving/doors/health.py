"""`/livez` and `/readyz`: whether this process lives, and whether it may be sent requests."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import method_not_allowed
from fairlead.serving.http.request import Request

__all__ = ["Health"]

_encode = msgspec.json.Encoder().encode


class Health:
    """The health door.

    Args:
        gateway: Knows what is loaded.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._handlers: dict[bytes, Handler] = {b"/livez": self._live, b"/readyz": self._ready}

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`)."""
        return self._handlers.get(path)

    def _live(self, connection: Connection, request: Request) -> None:
        _answer(connection, request, 200, {"live": True})

    def _ready(self, connection: Connection, request: Request) -> None:
        if connection.draining:
            _answer(connection, request, 503, {"ready": False, "reason": "stopping"})
        elif self._gateway.revision < 0:
            _answer(connection, request, 503, {"ready": False, "reason": "nothing is loaded yet"})
        else:
            healthy = sorted(name for name, live in self._gateway.endpoints.items() if live.healthy)
            sick = sorted(self._gateway.endpoints.keys() - set(healthy))
            ready = bool(healthy) or not sick
            told = {"ready": ready, "revision": self._gateway.revision, "endpoints": healthy}
            _answer(connection, request, 200 if ready else 503, {**told, "unhealthy": sick} if sick else told)


def _answer(connection: Connection, request: Request, status: int, told: Mapping[str, object]) -> None:
    if request.method in {b"GET", b"HEAD"}:
        connection.respond(request, status, _encode(told), headers=b"cache-control: no-store\r\n")
    else:
        connection.respond_error(request, method_not_allowed(request.method, "GET, HEAD", "Health is asked with GET."))
