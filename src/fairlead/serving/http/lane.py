"""The fast lane: HTTP/1.1 on a socket, from bytes to `Request` and from an answer back to bytes.

llhttp (through httptools) does the parsing; this module owns what a parser cannot know: deadlines, limits, the order of
answers, keep-alive, and draining. It knows no endpoint and no model. A request goes to the handler of its exact target, or
to the fallback, and the handler answers by `Connection.respond`, now or later.

```
            first byte         end of header        end of body            answered
   idle ───────────────▶ header ──────────▶ body ──────────▶ answering ──────────────▶ idle
 idle_timeout        header_timeout    body_timeout     (the room's deadline)
```

A connection's deadline is one number, looked at by one sweep of all connections: a request costs no timer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast

import httptools
import msgspec

from fairlead.errors import FairleadError, InvalidInput, NotFound, Overloaded, TooLarge
from fairlead.serving.http import problems

__all__ = ["Connection", "ErrorShape", "Handler", "Lane", "Limits", "Request", "too_much"]

_NEVER = float("inf")
_SWEEP_SECONDS = 0.25
_LINGER_SECONDS = 2.0
_GRACE_SECONDS = 0.5
_MAX_URL = 8 * 1024
_MAX_HEADER = 32 * 1024
_MAX_WAITING = 64
_LARGE_BODY = 64 * 1024
"""What a body holds beyond this is counted; what all hold below it is bounded by the number of connections."""
_PHRASES = {status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus}


class Limits(msgspec.Struct, frozen=True):
    """How long a client may take and how much it may send. Seconds and bytes."""

    max_body: int = 16 * 2**20
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    write_timeout: float = 30.0
    max_connections: int = 10_000
    max_buffered: int = 256 * 2**20


class Request:
    """One HTTP request, whole."""

    __slots__ = (
        "body",
        "expires",
        "headers",
        "held",
        "identity",
        "keep_alive",
        "live",
        "method",
        "received",
        "size",
        "status",
        "url",
        "version",
    )

    def __init__(  # noqa: PLR0913 - the seven facts of a request, made in one place
        self,
        method: bytes,
        url: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        *,
        keep_alive: bool,
        version: str,
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.version = version
        self.received = time.perf_counter()
        self.status = 0
        """Of the answer, once it was sent."""
        self.size = 0
        """Bytes of the answer's body, once it was sent."""
        self.held = 0
        """How much of the body counts as large."""
        self.expires = _NEVER
        """When the caller stops waiting, by `time.perf_counter`."""
        self.live: Any = None
        """The endpoint that answers, where a door has found it: the access log and the traces tell it."""
        self.identity: Any = None
        """What `Lane.identify` made of it."""

    def header(self, name: bytes) -> bytes | None:
        """The value of the first header of this lower-case name."""
        for found, value in self.headers:
            if len(found) == len(name) and found.lower() == name:
                return value
        return None


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
        self.limits = limits
        self.fallback: Handler = _nobody
        """Answers what no route does."""
        self.gate: Callable[[Connection, Request], FairleadError | None] | None = None
        """Asked before any handler; the error it returns is answered instead."""
        self.on_answer: Callable[[Connection, Request], None] | None = None
        """Told of every request that was answered, with its `status`."""
        self.identify: Callable[[Request], bytes] | None = None
        """Sets a request's `identity` before its handler is asked; the header lines it returns stand in every answer."""
        self.buffered = 0
        """Bytes of large bodies that are held."""
        self.turned_away = 0
        """Connections that were one too many."""
        self.routes: dict[bytes, Handler] = {}
        """Exact request targets, without a query, of `POST` requests."""
        self.error_shapes: dict[bytes, ErrorShape] = {}
        """How errors are told under a first segment of the path (`v2`); elsewhere, as problem details."""
        self.connections: set[Connection] = set()
        self.draining = False
        self.now = time.monotonic()
        """A clock that is read four times a second; good enough for deadlines of seconds."""
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
        self.now = time.monotonic()
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
    """One client's connection; also the parser's callbacks (`on_…`)."""

    __slots__ = (
        "_allowed",
        "_body",
        "_body_size",
        "_current",
        "_deadline",
        "_discarding",
        "_greeting",
        "_header_size",
        "_headers",
        "_held",
        "_in_header",
        "_lane",
        "_parser",
        "_transport",
        "_url",
        "_waiting",
        "_write_deadline",
        "on_lost",
        "writable",
    )

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._current: Request | None = None
        self._waiting: deque[Request] = deque()
        self._deadline = lane.now + lane.limits.header_timeout
        self._write_deadline = _NEVER
        self._discarding = False
        self._in_header = False
        self._greeting = b""
        self._allowed: float | None = None
        self._reset()
        self.writable: asyncio.Event | None = None
        self.on_lost: Callable[[], None] | None = None

    # -- the socket ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._lane.connections.add(self)
        if len(self._lane.connections) > self._lane.limits.max_connections:
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
        """Feed the parser; it calls `on_…`."""
        if self._discarding:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as err:
            self._ignore_upgrade(data[err.args[0] :])
        except httptools.HttpParserCallbackError as err:
            self._refuse_callback(err)
        except httptools.HttpParserError:
            self.refuse(InvalidInput("This is not HTTP/1.1."))
        else:
            if self._in_header:
                self._header_size += len(data)
                if self._header_size > _MAX_HEADER:
                    self.refuse(_header_too_large())

    def pause_writing(self) -> None:
        """Stop reading while the client does not read: its answers must not pile up here."""
        self._write_deadline = self._lane.now + self._lane.limits.write_timeout
        self._transport.pause_reading()
        if self.writable is not None:
            self.writable.clear()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._write_deadline = _NEVER
        self._resume_reading()
        if self.writable is not None:
            self.writable.set()

    # -- the parser ------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._in_header = True
        self._deadline = self._lane.now + self._lane.limits.header_timeout

    def on_url(self, url: bytes) -> None:
        """The target, or a part of it."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._header_size += len(name) + len(value)
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Refuse what is too large before it is sent."""
        self._in_header = False
        self._deadline = self._lane.now + self._lane.limits.body_timeout
        if self._header_size > _MAX_HEADER or len(self._url) > _MAX_URL:
            raise _Refused(_header_too_large())
        for name, value in self._headers:
            size = len(name)  # most names differ in length already
            if size == 14 and name.lower() == b"content-length" and int(value) > self._lane.limits.max_body:
                raise _Refused(self._too_large())
            if size == 6 and name.lower() == b"expect" and value.lower() == b"100-continue" and self._current is None:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if size == 20 and name.lower() == b"fairlead-deadline-ms":
                self._allowed = _allowed_seconds(value)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_size += len(body)
        if self._body_size > self._lane.limits.max_body:
            raise _Refused(self._too_large())
        if self._body_size > _LARGE_BODY:
            self._hold(len(body))
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole: answer it, or let it wait for the one before it."""
        if self._parser.should_upgrade():
            return
        parts = self._body
        request = Request(
            self._parser.get_method(),
            self._url,
            self._headers,
            parts[0] if len(parts) == 1 else b"".join(parts),
            keep_alive=self._parser.should_keep_alive(),
            version=self._parser.get_http_version(),
        )
        if self._allowed is not None:
            request.expires = request.received + self._allowed
        request.held = self._held
        self._reset()
        self._deadline = _NEVER
        if self._current is None:
            self._begin(request)
            return
        self._waiting.append(request)
        if len(self._waiting) >= _MAX_WAITING:
            self._transport.pause_reading()

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
        self._lane.buffered -= request.held
        if self._lane.on_answer is not None:
            self._lane.on_answer(self, request)
        if not keep:
            self._discarding = True
            self._transport.close()
            return
        self._deadline = self._lane.now + self._lane.limits.idle_timeout
        if self._waiting:
            self._begin(self._waiting.popleft())
            self._resume_reading()

    def refuse(self, error: FairleadError) -> None:
        """Answer what is not even a request, and close without cutting the answer off."""
        if self._discarding:
            return
        if self._current is None:
            status, body, content_type = self._lane.error_shape(self._url)(error)
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
        now = self._lane.now
        if now > self._write_deadline:
            self.abort()
        elif now > self._deadline:
            if self._discarding or not (self._in_header or self._url):
                self._transport.close()
                self._deadline = now + _LINGER_SECONDS
            else:
                self.refuse(problems.RequestTimeout("The request did not arrive in time.", hint="Send it faster."))

    def close_if_idle(self) -> None:
        """Close between requests."""
        if self._current is None and not self._waiting and not self._in_header and not self._url:
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
        return self._write_deadline != _NEVER

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

    def _reset(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._header_size = 0
        self._body: list[bytes] = []
        self._body_size = 0
        self._held = 0
        self._allowed = None

    def _hold(self, size: int) -> None:
        """Count what a large body holds, and refuse it where all of them hold too much."""
        self._held += size
        self._lane.buffered += size
        if self._lane.buffered > self._lane.limits.max_buffered:
            raise _Refused(too_much("Too many large bodies are being read."))

    def _release(self) -> None:
        """The connection holds nothing any more."""
        current = self._current.held if self._current is not None else 0
        self._lane.buffered -= self._held + current + sum(one.held for one in self._waiting)
        self._held = 0
        if self._current is not None:
            self._current.held = 0

    def _tell_refusal(self, status: int, size: int) -> None:
        """What never became a request is counted and logged like one."""
        if self._lane.on_answer is None:
            return
        request = Request(b"", self._url[:_MAX_URL], self._headers, b"", keep_alive=False, version="")
        request.status, request.size = status, size
        self._lane.on_answer(self, request)

    def _too_large(self) -> TooLarge:
        limit = self._lane.limits.max_body
        return TooLarge(
            f"The body is larger than {limit} bytes.", hint="Send the rows in several requests.", limit=limit
        )

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Answer as HTTP/1.1 who offers another protocol (RFC 9110, 7.8), as Java's client does with every request.

        llhttp stops after such a header and leaves the body unread, so the request is read again without the offer.
        """
        method = self._parser.get_method()
        offer = (b"connection", b"upgrade", b"http2-settings")
        kept = b"".join(b"%b: %b\r\n" % pair for pair in self._headers if pair[0].lower() not in offer)
        again = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self._url, kept, rest)
        self._reset()
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(again)

    def _refuse_callback(self, err: httptools.HttpParserCallbackError) -> None:
        cause = err.__context__
        if isinstance(cause, _Refused):
            self.refuse(cause.error)
        else:
            self.refuse(InvalidInput("The header cannot be read."))

    def _resume_reading(self) -> None:
        if not self._transport.is_closing() and self._write_deadline == _NEVER:
            self._transport.resume_reading()

    def _linger(self) -> None:
        """Stop talking, but read on for a while: closing a socket with unread data destroys the answer on its way."""
        self._discarding = True
        self._deadline = self._lane.now + _LINGER_SECONDS
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()


class _Refused(Exception):
    """Stops the parser; carries what the client is told."""

    def __init__(self, error: FairleadError) -> None:
        super().__init__(error.detail)
        self.error = error


def _nobody(connection: Connection, request: Request) -> None:
    connection.respond_error(request, NotFound("Nothing is served here."))


def too_much(detail: str) -> Overloaded:
    """What to tell a caller who is one too many; spread over seconds, so that they do not all come back at once."""
    return Overloaded(detail, hint="Wait for as long as Retry-After says.", retry_after=random.randint(1, 3))  # noqa: S311 - jitter


def _retry_after(seconds: object) -> bytes:
    return b"retry-after: %d\r\n" % max(1, round(cast("float", seconds)))


def _allowed_seconds(value: bytes) -> float:
    """How long the caller waits, of a `fairlead-deadline-ms` header."""
    if not value.isdigit() or len(value) > 9:
        shown = value[:20].decode("ascii", "replace")
        raise _Refused(InvalidInput(f"fairlead-deadline-ms is {shown!r}; it takes whole milliseconds."))
    return int(value) / 1000


def _header_too_large() -> problems.HeaderTooLarge:
    return problems.HeaderTooLarge(f"The header is larger than {_MAX_HEADER} bytes.", limit=_MAX_HEADER)
