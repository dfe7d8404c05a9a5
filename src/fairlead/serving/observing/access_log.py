"""The access log: one JSON object a line for each request that a gateway process has answered.

A line is made when the answer is sent and joins the others of its tenth of a second; a thread appends them in one write, so
that a slow disk, or a pipe that nobody reads, never holds up an answer. What does not fit meanwhile is dropped and counted.

A line is ASCII without control characters, whatever a caller sends: everything else is an escape.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import msgspec

from fairlead.logs import escaped
from fairlead.serving.http.request import Peer, Request
from fairlead.serving.keys.proxies import Proxies
from fairlead.serving.observing.identity import Identity, identify

__all__ = ["AccessLog", "Line"]

_EVERY_SECONDS = 0.1
_MAX_LINES = 20_000
_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is told of one request.

    Attributes:
        time: When it was answered, in UTC.
        id: Of the request: the caller's `x-request-id`, or one that was made; the answer tells it, too.
        trace: The trace it belongs to (W3C Trace Context).
        span: Its place there.
        parent: The caller's place there.
        peer: The address of who asked, as a trusted proxy told it; of a proxy that is not trusted, its own.
        method: As sent; empty where the request could not be read.
        path: The target without its query.
        status: What was answered.
        seconds: From the request's last byte to the answer.
        bytes: Of the answer.
        endpoint: Which endpoint was asked.
        version: Which version answered, or answers there.
        rows: How many it brought, where a door has read them.
        code: The status that gRPC told; `status` is then the one that HTTP would have.
        process: Which process answered.
    """

    time: str
    id: str
    trace: str
    span: str
    method: str
    path: str
    status: int
    seconds: float
    bytes: int
    process: str
    peer: str = ""
    parent: str = ""
    endpoint: str = ""
    version: str = ""
    rows: int = 0
    code: str = ""


class AccessLog:
    """The access log of one gateway process.

    Args:
        process: "gateway-0".
        write: Appends whole lines; raises OSError where it cannot.
        proxies: Who is believed about whom they speak for.
    """

    def __init__(self, process: str, write: Callable[[str], None], proxies: Proxies) -> None:
        self.dropped = 0
        """Lines that could not be written."""
        self._process = process
        self._write = write
        self._proxies = proxies
        self._lines: list[bytes] = []
        self._second = 0
        self._prefix = ""

    def answered(self, peer: Peer, request: Request) -> None:
        """Tell of one request (a `Lane.on_answer`)."""
        if len(self._lines) >= _MAX_LINES:
            self.dropped += 1
            return
        if request.identity is None:
            identify(request)
        identity: Identity = request.identity
        live = request.live
        line = Line(
            self._now(),
            identity.request,
            identity.trace,
            identity.span,
            request.method.decode("latin-1"),
            escaped(request.url.partition(b"?")[0].decode("latin-1")),
            request.status,
            round(time.perf_counter() - request.received, 6),
            request.size,
            self._process,
            self._asker(peer, request),
            identity.parent,
            live.name if live is not None else "",
            request.answered_by or (live.model if live is not None else ""),
            request.rows,
            request.code,
        )
        self._lines.append(_encode(line))

    def _asker(self, peer: Peer, request: Request) -> str:
        address = peer.peer
        return (self._proxies.client(address[0], request.headers) or address[0]) if address is not None else ""

    async def keep(self) -> None:
        """Write what has gathered, again and again; and once more when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(_EVERY_SECONDS)
                if lines := self._taken():
                    await asyncio.to_thread(self._append, lines)
        finally:
            if lines := self._taken():
                self._append(lines)

    def _taken(self) -> list[bytes]:
        lines, self._lines = self._lines, []
        return lines

    def _append(self, lines: list[bytes]) -> None:
        try:
            self._write((b"\n".join(lines) + b"\n").decode("ascii"))
        except OSError:
            self.dropped += len(lines)

    def _now(self) -> str:
        now = time.time()
        if int(now) != self._second:
            self._second = int(now)
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        return f"{self._prefix}.{int(now * 1000) % 1000:03d}Z"
