"""The bridge from the fast lane to an ASGI application: pages, documents and assets share the port with predictions.

The lane has read the request whole before the application sees it, so its limits and deadlines hold here too, and there is
no second HTTP server with other rules beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from loguru import logger

from fairlead.serving.http import problems
from fairlead.serving.http.lane import Connection
from fairlead.serving.http.request import Request

__all__ = ["ASGIApp", "Bridge"]

_Message = MutableMapping[str, Any]
ASGIApp = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]],
    Awaitable[None],
]

# Framing is the lane's: an application's own would contradict it.
_FRAMING = frozenset({b"connection", b"content-length", b"date", b"transfer-encoding", b"keep-alive"})


class Bridge:
    """Hands requests to an ASGI application, each in a task of its own.

    Args:
        make_app: Makes the application at the first request, so that its imports do not delay the first prediction.
    """

    def __init__(self, make_app: Callable[[], ASGIApp]) -> None:
        self._make_app = make_app
        self._app: ASGIApp | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def warm_up(self) -> None:
        """Make the application now."""
        if self._app is None:
            self._app = self._make_app()

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer one request (a `lane.Handler`)."""
        self.warm_up()
        assert self._app is not None
        exchange = _Exchange(connection, request)
        task = asyncio.get_running_loop().create_task(exchange.run(self._app))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Exchange:
    """One request and its answer, as ASGI sees them."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self._connection = connection
        self._request = request
        self._body_given = False
        self._gone = asyncio.Event()
        self._head: bytes | None = None
        self._length: int | None = None
        self._started = False
        self._finished = False
        connection.on_lost = self._gone.set

    async def run(self, app: ASGIApp) -> None:
        """Run the application; whatever it does, the request is answered."""
        try:
            await app(self._scope(), self._receive, self._send)
        except Exception:  # noqa: BLE001 - the boundary: the operator gets the cause, the caller does not
            logger.exception("The page for {method} failed.", method=self._request.method.decode("ascii", "replace"))
        if not self._finished:
            self._give_up()

    def _scope(self) -> dict[str, Any]:
        path, _, query = self._request.url.partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": self._request.version,
            "method": self._request.method.decode("ascii", "replace"),
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in self._request.headers],
            "client": self._connection.peer,
            "server": self._connection.server,
        }

    async def _receive(self) -> _Message:
        if not self._body_given:
            self._body_given = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: _Message) -> None:
        if message["type"] == "http.response.start":
            self._start(message["status"], list(message.get("headers", ())))
        elif message["type"] == "http.response.body":
            await self._send_body(message.get("body", b""), more=message.get("more_body", False))

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = self._request.status = status
        lengths = [int(value) for name, value in headers if name.lower() == b"content-length"]
        self._length = lengths[0] if lengths else None
        kept = b"".join(b"%b: %b\r\n" % pair for pair in headers if pair[0].lower() not in _FRAMING)
        phrase = HTTPStatus(status).phrase.encode()
        kept += self._connection.greeting
        self._head = b"HTTP/1.1 %d %b\r\ndate: %b\r\n%b" % (status, phrase, self._connection.date, kept)

    async def _send_body(self, body: bytes, *, more: bool) -> None:
        """Send in one piece where the length is known, in chunks where it is not."""
        if self._gone.is_set() or self._head is None:
            self._finished = True
            return
        bodiless = self._request.method == b"HEAD" or self._status in {204, 304}
        if not self._started:
            self._started = True
            self._length = len(body) if self._length is None and not more else self._length
            self._connection.write(self._head + self._framing(bodiless=bodiless))
        if not bodiless:
            self._connection.write(self._chunk(body, last=not more) if self._length is None else body)
        if more:
            await self._drained()
        else:
            self._finished = True
            self._connection.finish(self._request, keep=self._keep)

    def _framing(self, *, bodiless: bool) -> bytes:
        self._keep = self._request.keep_alive and not self._connection.draining
        close = b"" if self._keep else b"connection: close\r\n"
        if self._length is not None:
            return b"content-length: %d\r\n%b\r\n" % (self._length, close) if self._status != 204 else close + b"\r\n"
        return b"%b\r\n" % close if bodiless else b"transfer-encoding: chunked\r\n%b\r\n" % close

    @staticmethod
    def _chunk(body: bytes, *, last: bool) -> bytes:
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return chunk + b"0\r\n\r\n" if last else chunk

    async def _drained(self) -> None:
        """Wait while the client does not read."""
        if self._connection.writable is None:
            self._connection.writable = asyncio.Event()
            if not self._connection.write_paused:
                self._connection.writable.set()
        await self._connection.writable.wait()

    def _give_up(self) -> None:
        """The application did not answer, or stopped in the middle."""
        if self._started:
            self._connection.abort()
        else:
            self._connection.respond_error(self._request, problems.unexpected())
