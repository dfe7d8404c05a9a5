"""An endpoint as an ASGI application: `app.mount("/flights", fairlead.asgi("flights"))`.

It answers in the event loop of the server that runs it; requests that one turn of that loop brings in are answered
together. Nothing is opened before the first request or the lifespan's start, and nothing is raised to the framework.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from fairlead.mount import exchange
from fairlead.mount.answering import answer
from fairlead.mount.exchange import Gone, Reply
from fairlead.mount.room import Mount, Room, mount
from fairlead.serving.http import problems
from fairlead.serving.http.request import Request

__all__ = ["MountedASGI", "asgi"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


def asgi(endpoint: str, *, home: Path | str | None = None, tokens: bool | None = None) -> MountedASGI:
    """An endpoint as an ASGI application, to be mounted in FastAPI or Starlette or run by itself.

    It answers `POST /` with rows and `GET /schema`, below the path where it is mounted.

    Args:
        endpoint: The endpoint's name, as in `fairlead deploy`.
        home: The folder that holds the state; as configured where it is `None`.
        tokens: Whether who asks must show one of the home's tokens: as soon as there is one, where it is `None`; never where it
            is false, because the application decides who may ask.

    Raises:
        BadReference: No endpoint can have this name.
        InvalidInput: A setting is unknown or not allowed.
    """
    return MountedASGI(mount(endpoint, home, tokens))


class MountedASGI:
    """The application; made by `fairlead.asgi`."""

    def __init__(self, mounted: Mount) -> None:
        self._mounted = mounted
        # One for each running event loop: a test client or a reloading server begins a new one.
        self._rooms: dict[asyncio.AbstractEventLoop, asyncio.Task[Room]] = {}

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one connection of a server."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    @asynccontextmanager
    async def lifespan(self, _: object = None) -> AsyncIterator[None]:
        """Be open inside of this: `FastAPI(lifespan=flights.lifespan)` loads the model before the first request."""
        await self._room()
        try:
            yield
        finally:
            await self._close()

    async def _http(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        try:
            reply = await self._reply(scope, receive)
        except Gone:
            return
        except Exception:  # noqa: BLE001 - the boundary: the operator gets the cause, the framework and the caller do not
            logger.exception("Opening {endpoint} failed.", endpoint=self._mounted.endpoint)
            reply = exchange.refused(problems.unexpected())
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.fields]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def _reply(self, scope: _Message, receive: _Receive) -> Reply:
        room, config = await self._room(), self._mounted.config
        url = scope.get("raw_path") or str(scope["path"]).encode()
        headers = [(bytes(name).lower(), bytes(value)) for name, value in scope["headers"]]
        method, version = str(scope["method"]).encode("latin-1", "replace"), str(scope.get("http_version", ""))
        request = Request(method, url, headers, b"", keep_alive=True, version=version)

        async def body() -> bytes:
            try:
                async with asyncio.timeout(config.body_timeout):
                    return await _body(room, request, receive, config.max_body)
            except TimeoutError:
                raise problems.RequestTimeout("The request did not arrive in time.", hint="Send it faster.") from None

        return await answer(room, _Client(scope), request, _local_path(scope), body)

    async def _room(self) -> Room:
        """The room of this event loop; whoever asks first opens it, the others wait for that."""
        loop = asyncio.get_running_loop()
        opening = self._rooms.get(loop)
        if opening is not None and opening.done() and (opening.cancelled() or opening.exception() is not None):
            opening = None
        if opening is None:
            self._forget_closed()
            opening = self._rooms[loop] = loop.create_task(_open(self._mounted))
        # A caller that leaves meanwhile must not take the room away from the others.
        return opening.result() if opening.done() else await asyncio.shield(opening)

    def _forget_closed(self) -> None:
        """Let go of rooms whose event loop was closed under them."""
        for loop in [one for one in self._rooms if one.is_closed()]:
            opening = self._rooms.pop(loop)
            if opening.done() and not opening.cancelled() and opening.exception() is None:
                opening.result().release()

    async def _close(self) -> None:
        opening = self._rooms.pop(asyncio.get_running_loop(), None)
        if opening is not None:
            await (await opening).close()

    async def _lifespan(self, receive: _Receive, send: _Send) -> None:
        await receive()
        try:
            await self._room()
        except Exception as error:  # noqa: BLE001 - as above; the server says it and ends
            logger.exception("Opening {endpoint} failed.", endpoint=self._mounted.endpoint)
            await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._close()
        await send({"type": "lifespan.shutdown.complete"})


class _Client:
    """Who asks, as the server tells it."""

    __slots__ = ("peer",)

    def __init__(self, scope: _Message) -> None:
        found = scope.get("client")
        self.peer: tuple[str, int] | None = (str(found[0]), int(found[1] or 0)) if found else None


async def _open(mounted: Mount) -> Room:
    room = Room(mounted)
    await room.open()
    return room


def _local_path(scope: _Message) -> str:
    """What is left of the path after the mount."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path


async def _body(room: Room, request: Request, receive: _Receive, limit: int) -> bytes:
    """The body, whole.

    Raises:
        TooLarge: It is larger than the limit.
        Overloaded: All large ones together hold too much.
        Gone: The client has left.
    """
    length = request.header(b"content-length")
    if length is not None and length.isdigit():
        exchange.check_length(int(length[:20]), limit)
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise Gone
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        exchange.check_length(size, limit)
        if size > exchange.LARGE:
            room.hold(request, len(part))
        parts.append(part)
    return b"".join(parts)
