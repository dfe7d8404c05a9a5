"""One call of gRPC as the rest of the house knows a request: a `Request` whose target is the method and whose header is the metadata.

So what looks on (counters, access log, traces) and what asks who the caller is see no second kind of question. A stream is one
request, told of when it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from grpc import StatusCode

from fairlead.errors import DeadlineExceeded, FairleadError
from fairlead.serving.grpc.status import code_of
from fairlead.serving.http.problems import STATUS, status_of
from fairlead.serving.http.request import DEADLINE_HEADER, NEVER, Peer, Request, allowed_seconds

__all__ = ["Call", "Onlooker"]

_LEFT: Final = 499
"""What a log says of a caller that did not wait; no caller ever reads it."""


class Onlooker(Protocol):
    """What looks on while a process answers (`observing.Observation`)."""

    @property
    def answered(self) -> Callable[[Peer, Request], None]:
        """Told of every call that has ended."""
        ...

    @property
    def identify(self) -> Callable[[Request], bytes] | None:
        """Gives a call its id and its place in a trace, where somebody wants to know."""
        ...


class Call:
    """One call.

    Args:
        path: `/inference.GRPCInferenceService/ModelInfer`.
        context: As grpcio gives it.
        onlooker: Is told when it ends.

    Attributes:
        request: The call as a request.
    """

    __slots__ = ("_allowed", "_context", "_onlooker", "request")

    def __init__(self, path: bytes, context: Any, onlooker: Onlooker | None) -> None:
        self._context = context
        self._onlooker = onlooker
        self._allowed: float | None = None
        headers = [(name.encode(), _bytes(value)) for name, value in context.invocation_metadata() or ()]
        self.request = Request(b"POST", path, headers, b"", keep_alive=True, version="2")
        if onlooker is not None and onlooker.identify is not None:
            onlooker.identify(self.request)
            context.set_trailing_metadata(self.trailer)

    @property
    def trailer(self) -> tuple[tuple[str, str], ...]:
        """What the caller is told at the end: the id of its call, and our place in its trace."""
        who = self.request.identity
        if who is None:
            return ()
        flags = "01" if who.sampled else "00"
        return (("x-request-id", who.request), ("traceparent", f"00-{who.trace}-{who.span}-{flags}"))

    def expires(self) -> float:
        """When the caller stops waiting for what it asks now, by `time.perf_counter`: the call's deadline, or what its metadata allows.

        Raises:
            InvalidInput: The metadata allows something else than milliseconds.
        """
        if self._allowed is None:
            said = self.request.header(DEADLINE_HEADER)
            self._allowed = NEVER if said is None else allowed_seconds(said)
        remaining = self._context.time_remaining()
        seconds = self._allowed if remaining is None else min(remaining, self._allowed)
        return NEVER if seconds == NEVER else time.perf_counter() + seconds

    def answered(self, reply: Any) -> None:
        """A part of the answer is on its way."""
        if self.request.identity is not None:
            self.request.size += reply.ByteSize()

    def ended(self, error: BaseException | None) -> None:
        """Tell who looks on how it ended; `error` is what came instead of an answer."""
        if self._onlooker is None:
            return
        request = self.request
        if error is None:
            request.status, request.code = 200, StatusCode.OK.name
        elif isinstance(error, FairleadError):
            request.status, request.code = status_of(error), code_of(error).name
        elif self._late:
            request.status, request.code = STATUS[DeadlineExceeded], StatusCode.DEADLINE_EXCEEDED.name
        else:
            request.status, request.code = _LEFT, StatusCode.CANCELLED.name
        self._onlooker.answered(self, request)

    @property
    def _late(self) -> bool:
        """Whether the caller's time is over: then grpcio cancels the call, as it does where the caller leaves."""
        remaining = self._context.time_remaining()
        return remaining is not None and remaining <= 0

    @property
    def peer(self) -> tuple[str, int] | None:
        """The caller's address, of `ipv4:127.0.0.1:50210` or `ipv6:%5B::1%5D:50210`."""
        kind, _, address = str(self._context.peer()).partition(":")
        host, _, port = address.rpartition(":")
        if kind not in {"ipv4", "ipv6"} or not port.isdecimal():
            return None
        return host.replace("%5B", "").replace("%5D", "").strip("[]"), int(port)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
