"""The fast lane: HTTP/1.1 on a socket, from an answer back to bytes, and in the order in which it was asked.

`reading` makes requests of bytes; this module owns what comes after: who answers, the order of answers, keep-alive, deadlines,
and draining. It knows no endpoint and no model. A request goes to the handler of its exact target, or to the fallback, and the
handler answers by `Connection.respond`, now or later.

```
            whole             answered                next request
   read ───────────▶ answering ───────────▶ idle ───────────────────▶ read
             (the room's deadline)   idle_timeout
```

A connection's deadline is one number, looked at by one sweep of all connections: a request costs no timer.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import cast

from fairlead.errors import FairleadError, NotFound
from fairlead.serving.http import problems
from fairlead.serving.http.reading import MAX_URL, Intake, Reader, Refused, too_much
from fairlead.serving.http.request import NEVER, Limits, Request

__all__ = ["Connection", "ErrorShape", "Handler", "Lane"]

_SWEEP_SECONDS = 0.25
_LINGER_SECONDS = 2.0
_GRACE_SECONDS = 0.5
_MAX_WAITING = 64
_PHRASES = {status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus}


Handler = Callable[["Connection", Request], None]
"""Answers a request by `connection.respond(request, …)`, now or later."""

ErrorShape = Callable[[FairleadError], tuple[int, bytes, bytes]]
"""An error as a protocol tells it: status, body, content type."""


class Lane:
    """What all connections of one process share.

    Args:
        limits: Deadlines and sizes.
    """

    def __init__(self, limits: Limits) -> None:
        self.intake = Intake(limits, time.monotonic())
        """What was read and not yet answered, and the clock of all deadlines."""
        self.fallback: Handler = _nobody
        """Answers what no route does."""
        self.gate: Callable[[Connection, Request], FairleadError | None] | None = None
        """Asked before any handler; the error it returns is answered instead."""
        self.on_answer: Callable[[Connection, Request], None] | None = None
        """Told of every request that was answered, with its `status`."""
        self.identify: Callable[[Request], bytes] | None = None
        """Sets a request's `identity` before its handler is asked; the header lines it returns stand in every answer."""
        self.turned_away = 0
        """Connections that were one too many."""
        self.routes: dict[bytes, Handler] = {}
        """Exact request targets, without a query, of `POST` requests."""
        self.error_shapes: dict[bytes, ErrorShape] = {}
        """How errors are told under a first segment of the path (`v2`); elsewhere, as problem details."""
        self.connections: set[Connection] = set()
        self.draining = False
        self.date = b""

    def connection(self) -> Connection:
        """A protocol for one more connection."""
        return Connection(self)

    def error_shape(self, url: bytes) -> ErrorShape:
        """How an error is told to who asked for this target."""
        segment = url.partition(b"?")[0][1:].partition(b"/")[0]
        return self.error_shapes.get(segment, problems.told)

    async def sweep(self) -> None:
        """Close what has passed its deadline; runs until cancelled."""
        while True:
            self.tick()
            for connection in tuple(self.connections):
                connection.check_deadline()
            await asyncio.sleep(_SWEEP_SECONDS)

    def tick(self) -> None:
        """Read the clocks."""
        self.intake.now = time.monotonic()
        self.date = formatdate(usegmt=True).encode()

    async def drain(self, seconds: float) -> None:
        """Let requests in flight finish, then close idle connections, and after `seconds` the rest.

        A client that is about to use its idle connection again would lose that request; so for a moment each is rather
        answered, and told to close.
        """
        self.draining = True
        if self.connections:
            await asyncio.sleep(min(_GRACE_SECONDS, seconds))
        end = time.monotonic() + seconds
        while self.connections and time.monotonic() < end:
            for connection in tuple(self.connections):
                connection.close_if_idle()
            await asyncio.sleep(0.02)
        for connection in tuple(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_current",
        "_discarding",
        "_greeting",
        "_intake",
        "_lane",
        "_reader",
        "_transport",
        "_waiting",
        "_write_deadline",
        "on_lost",
        "writable",
    )

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._intake = lane.intake
        self._reader = Reader(lane.intake, self._take, self._go_on)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._current: Request | None = None
        self._waiting: deque[Request] = deque()
        self._write_deadline = NEVER
        self._discarding = False
        self._greeting = b""
        self.writable: asyncio.Event | None = None
        self.on_lost: Callable[[], None] | None = None

    # -- the socket ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._lane.connections.add(self)
        if len(self._lane.connections) > self._intake.limits.max_connections:
            self._lane.turned_away += 1
            self.refuse(too_much("There are too many connections."))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget everything; who still answers is told by `on_lost`."""
        self._lane.connections.discard(self)
        self._release()
        self._waiting.clear()
        self._discarding = True
        if self.on_lost is not None:
            self.on_lost()
        if self.writable is not None:
            self.writable.set()

    def eof_received(self) -> bool:
        """Keep the connection half open where an answer is still due, and close it after the last one."""
        if self._current is None or self._discarding:
            return False
        (self._waiting[-1] if self._waiting else self._current).keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Read on; whatever is whole is answered."""
        if self._discarding:
            return
        try:
            self._reader.feed(data)
        except Refused as refused:
            self.refuse(refused.error)

    def pause_writing(self) -> None:
        """Stop reading while the client does not read: its answers must not pile up here."""
        self._write_deadline = self._intake.now + self._intake.limits.write_timeout
        self._transport.pause_reading()
        if self.writable is not None:
            self.writable.clear()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._write_deadline = NEVER
        self._resume_reading()
        if self.writable is not None:
            self.writable.set()

    def _take(self, request: Request) -> None:
        """A request is whole: answer it, or let it wait for the one before it."""
        if self._current is None:
            self._begin(request)
            return
        self._waiting.append(request)
        if len(self._waiting) >= _MAX_WAITING:
            self._transport.pause_reading()

    def _go_on(self) -> None:
        """Let a client send its body, unless an answer before it is still due."""
        if self._current is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # -- answering -------------------------------------------------------------------------------------------------

    def respond(
        self,
        request: Request,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        headers: bytes = b"",
    ) -> None:
        """Send a whole answer.

        Args:
            request: What is answered; nothing is sent if the connection has gone meanwhile.
            status: The HTTP status.
            body: All of it; not sent for HEAD.
            content_type: Of the body.
            headers: Further header lines, each ended by CRLF.
        """
        if request is not self._current or self._discarding:
            return
        keep = request.keep_alive and not self._lane.draining
        request.status = status
        request.size = len(body)
        self._transport.write(
            b"HTTP/1.1 %b\r\ndate: %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%b%b%b\r\n%b"
            % (
                _PHRASES[status],
                self._lane.date,
                content_type,
                len(body),
                headers,
                self._greeting,
                b"" if keep else b"connection: close\r\n",
                b"" if request.method == b"HEAD" else body,
            )
        )
        self.finish(request, keep=keep)

    def respond_error(self, request: Request, error: FairleadError) -> None:
        """Send an error in the shape of the protocol that was spoken."""
        (status, body, content_type), headers = self._lane.error_shape(request.url)(error), b""
        if (retry := error.values.get("retry_after")) is not None:
            headers = _retry_after(retry)
        elif (allow := error.values.get("allow")) is not None:
            headers = b"allow: %b\r\n" % str(allow).encode()
        elif (challenge := error.values.get("authenticate")) is not None:
            headers = b"www-authenticate: %b\r\n" % str(challenge).encode()
        self.respond(request, status, body, content_type, headers)

    def write(self, data: bytes) -> None:
        """Send a part of an answer that is written in pieces; end it by `finish`."""
        if not self._discarding:
            self._transport.write(data)
            if self._current is not None:
                self._current.size += len(data)

    def finish(self, request: Request, *, keep: bool) -> None:
        """The answer is sent: close, or go on with the next request."""
        if request is not self._current:
            return
        self._current = None
        self.on_lost = None
        self._intake.release(request.held)
        if self._lane.on_answer is not None:
            self._lane.on_answer(self, request)
        if not keep:
            self._discarding = True
            self._transport.close()
            return
        self._reader.deadline = self._intake.now + self._intake.limits.idle_timeout
        if self._waiting:
            self._begin(self._waiting.popleft())
            self._resume_reading()

    def refuse(self, error: FairleadError) -> None:
        """Answer what is not even a request, and close without cutting the answer off."""
        if self._discarding:
            return
        if self._current is None:
            status, body, content_type = self._lane.error_shape(self._reader.url)(error)
            retry = error.values.get("retry_after")
            headers = b"" if retry is None else _retry_after(retry)
            self._transport.write(
                b"HTTP/1.1 %b\r\ndate: %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b"
                % (_PHRASES[status], self._lane.date, content_type, len(body), headers, body)
            )
            self._tell_refusal(status, len(body))
        self._linger()

    def check_deadline(self) -> None:
        """Close what is late: with 408 where a request was begun, silently where none was."""
        now, reader = self._intake.now, self._reader
        if now > self._write_deadline:
            self.abort()
        elif now > reader.deadline:
            if self._discarding or not reader.begun:
                self._transport.close()
                reader.deadline = now + _LINGER_SECONDS
            else:
                self.refuse(problems.RequestTimeout("The request did not arrive in time.", hint="Send it faster."))

    def close_if_idle(self) -> None:
        """Close between requests."""
        if self._current is None and not self._waiting and not self._reader.begun:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._discarding = True
        self._transport.abort()

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address."""
        found = self._transport.get_extra_info("peername")
        return (found[0], found[1]) if found else None

    @property
    def server(self) -> tuple[str, int] | None:
        """The address the client connected to."""
        found = self._transport.get_extra_info("sockname")
        return (found[0], found[1]) if found else None

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._current is not None

    @property
    def greeting(self) -> bytes:
        """Header lines that every answer to the current request carries."""
        return self._greeting

    @property
    def date(self) -> bytes:
        """Now, as a header's value."""
        return self._lane.date

    @property
    def write_paused(self) -> bool:
        """Whether the client reads more slowly than it is answered."""
        return self._write_deadline != NEVER

    @property
    def draining(self) -> bool:
        """Whether the service is about to stop."""
        return self._lane.draining

    def _begin(self, request: Request) -> None:
        self._current = request
        if self._lane.identify is not None:
            self._greeting = self._lane.identify(request)
        if self._lane.gate is not None and (error := self._lane.gate(self, request)) is not None:
            self.respond_error(request, error)
            return
        handler = self._lane.routes.get(request.url) if request.method == b"POST" else None
        (handler or self._lane.fallback)(self, request)

    def _release(self) -> None:
        """The connection holds nothing any more."""
        current = self._current.held if self._current is not None else 0
        self._intake.release(current + sum(one.held for one in self._waiting))
        self._reader.release()
        if self._current is not None:
            self._current.held = 0

    def _tell_refusal(self, status: int, size: int) -> None:
        """What never became a request is counted and logged like one."""
        if self._lane.on_answer is None:
            return
        request = Request(b"", self._reader.url[:MAX_URL], self._reader.headers, b"", keep_alive=False, version="")
        request.status, request.size = status, size
        self._lane.on_answer(self, request)

    def _resume_reading(self) -> None:
        if not self._transport.is_closing() and self._write_deadline == NEVER:
            self._transport.resume_reading()

    def _linger(self) -> None:
        """Stop talking, but read on for a while: closing a socket with unread data destroys the answer on its way."""
        self._discarding = True
        self._reader.deadline = self._intake.now + _LINGER_SECONDS
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()


def _nobody(connection: Connection, request: Request) -> None:
    connection.respond_error(request, NotFound("Nothing is served here."))


def _retry_after(seconds: object) -> bytes:
    return b"retry-after: %d\r\n" % max(1, round(cast("float", seconds)))
