"""An endpoint as an ASGI application: `app.mount("/flights", fairlead.asgi("flights"))`.

It answers in the event loop of the server that runs it; requests that one turn of that loop brings in are answered
together. Nothing is opened before the first request or the lifespan's start, and nothing is raised to the framework.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from loguru import logger

from fairlead.config import Config, load_config
from fairlead.errors import FairleadError
from fairlead.mount import exchange
from fairlead.mount.exchange import Reply
from fairlead.mount.room import Room
from fairlead.routing.table import check_endpoint
from fairlead.serving.doors.rest import read_rows
from fairlead.serving.http import problems

__all__ = ["MountedASGI", "asgi"]

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]


def asgi(endpoint: str, *, home: Path | str | None = None) -> MountedASGI:
    """An endpoint as an ASGI application, to be mounted in FastAPI or Starlette or run by itself.

    It answers `POST /` with rows and `GET /schema`, below the path where it is mounted. Who may ask is the application's to
    decide.

    Args:
        endpoint: The endpoint's name, as in `fairlead deploy`.
        home: The folder that holds the state; as configured where it is `None`.

    Raises:
        BadReference: No endpoint can have this name.
        InvalidInput: A setting is unknown or not allowed.
    """
    check_endpoint(endpoint)
    return MountedASGI(endpoint, load_config({"home": None if home is None else str(home)}))


class MountedASGI:
    """The application; made by `fairlead.asgi`."""

    def __init__(self, endpoint: str, config: Config) -> None:
        self._endpoint = endpoint
        self._config = config
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
        except FairleadError as error:
            reply = exchange.refused(error)
        except _Gone:
            return
        except Exception:  # noqa: BLE001 - the boundary: the operator gets the cause, the framework and the caller do not
            logger.exception("Answering at {endpoint} failed.", endpoint=self._endpoint)
            reply = exchange.refused(problems.unexpected())
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.fields]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def _reply(self, scope: _Message, receive: _Receive) -> Reply:
        wanted = exchange.asked(scope["method"], _local_path(scope))
        body = await _body(scope, receive, self._config.max_body) if wanted == "predict" else b""
        received = time.perf_counter()
        room = await self._room()
        live = room.live()
        if wanted == "schema":
            return exchange.described(live)
        content_type, large = _header(scope, b"content-type"), len(body) > exchange.LARGE
        caller = live.caller(scope["headers"])
        try:
            if large:
                rows, single = await asyncio.to_thread(read_rows, live.reader, content_type, body)
            else:
                rows, single = read_rows(live.reader, content_type, body)
        except FairleadError as error:
            room.gateway.refuse(live, error, received)
            raise
        found = await room.gateway.predict(live.name, rows, caller=caller, live=live, received=received)
        if large:
            return await asyncio.to_thread(exchange.answered, found, single=single)
        return exchange.answered(found, single=single)

    async def _room(self) -> Room:
        """The room of this event loop; whoever asks first opens it, the others wait for that."""
        loop = asyncio.get_running_loop()
        opening = self._rooms.get(loop)
        if opening is not None and opening.done() and (opening.cancelled() or opening.exception() is not None):
            opening = None
        if opening is None:
            self._forget_closed()
            opening = self._rooms[loop] = loop.create_task(_open(self._endpoint, self._config))
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
            logger.exception("Opening {endpoint} failed.", endpoint=self._endpoint)
            await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._close()
        await send({"type": "lifespan.shutdown.complete"})


class _Gone(Exception):
    """The client left before its request was whole."""


async def _open(endpoint: str, config: Config) -> Room:
    room = Room(endpoint, config)
    await room.open()
    return room


def _local_path(scope: _Message) -> str:
    """What is left of the path after the mount."""
    path, root = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path


def _header(scope: _Message, wanted: bytes) -> bytes | None:
    return next((bytes(value) for name, value in scope["headers"] if name.lower() == wanted), None)


async def _body(scope: _Message, receive: _Receive, limit: int) -> bytes:
    """The body, whole.

    Raises:
        TooLarge: It is larger than the limit.
    """
    length = _header(scope, b"content-length")
    if length is not None and length.isdigit():
        exchange.check_length(int(length[:20]), limit)
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _Gone
        part, more = message.get("body", b""), message.get("more_body", False)
        size += len(part)
        exchange.check_length(size, limit)
        parts.append(part)
    return b"".join(parts)
