"""grpc.health.v1, for the probes of containers and load balancers: `Check` once, `Watch` for as long as the caller likes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from fairlead.errors import NotFound
from fairlead.serving.gateway import Gateway
from fairlead.serving.grpc.call import Call
from fairlead.serving.grpc.messages import HEALTH, INFERENCE, message

__all__ = ["Health", "is_ready"]

_Reply: Final = message("grpc.health.v1.HealthCheckResponse")
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3
_LOOK_SECONDS = 0.25


class Health:
    """Whether this process may be sent calls.

    Args:
        gateway: Knows what is loaded.
        stopping: Is set when the service stops.
    """

    def __init__(self, gateway: Gateway, stopping: asyncio.Event) -> None:
        self._gateway = gateway
        self._stopping = stopping
        self._status_of: dict[str, Callable[[], int]] = {
            "": self._overall,
            INFERENCE: self._overall,
            HEALTH: lambda: _SERVING,
        }

    async def check(self, request: Any, call: Call) -> Any:  # noqa: ARG002 - a handler's signature
        """The status now.

        Raises:
            NotFound: There is no such service.
        """
        status = self._status_of.get(request.service)
        if status is None:
            raise NotFound(f"There is no service {request.service[:80]!r}.")
        return _Reply(status=status())

    async def watch(self, request: Any, call: Call) -> AsyncIterator[Any]:  # noqa: ARG002 - a handler's signature
        """The status now and whenever it changes, until the caller leaves or the service stops."""
        status = self._status_of.get(request.service, lambda: _SERVICE_UNKNOWN)
        last = None
        while True:
            stopping = self._stopping.is_set()
            if (now := status()) != last:
                last = now
                yield _Reply(status=now)
            if stopping:
                return
            await _pause(self._stopping, _LOOK_SECONDS)

    def _overall(self) -> int:
        return _SERVING if is_ready(self._gateway, self._stopping) else _NOT_SERVING


def is_ready(gateway: Gateway, stopping: asyncio.Event) -> bool:
    """Whether this process may be sent calls: it serves a table, and some endpoint of it answers."""
    lives = gateway.endpoints.values()
    return gateway.revision >= 0 and not stopping.is_set() and (not lives or any(live.healthy for live in lives))


async def _pause(until: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
