"""An endpoint as a WSGI application, for Flask, Django, gunicorn and mod_wsgi.

WSGI servers call from threads and fork processes. So the room lives in an event loop of its own, in one thread of each
process that is asked: it is opened at the first request, after every fork, and what several threads ask at once is answered
together.
"""

from __future__ import annotations

import asyncio
import atexit
import os
from collections.abc import Callable, Iterable, MutableMapping
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final

from loguru import logger

from fairlead.errors import DeadlineExceeded, FairleadError, InvalidInput
from fairlead.mount import exchange
from fairlead.mount.answering import answer
from fairlead.mount.exchange import Reply
from fairlead.mount.room import Mount, Room, mount
from fairlead.serving.http import problems
from fairlead.serving.http.request import Request

__all__ = ["MountedWSGI", "wsgi"]

_GRACE_SECONDS: Final = 2.0
_Environment = MutableMapping[str, Any]
_Start = Callable[[str, list[tuple[str, str]]], object]


def wsgi(endpoint: str, *, home: Path | str | None = None, tokens: bool | None = None) -> MountedWSGI:
    """An endpoint as a WSGI application, to be mounted in Flask or Django or run by itself.

    It answers `POST /` with rows and `GET /schema`, below the path where it is mounted.

    Args:
        endpoint: The endpoint's name, as in `fairlead deploy`.
        home: The folder that holds the state; as configured where it is `None`.
        tokens: Whether who asks must show one of the home's tokens: as soon as there is one, where it is `None`; never where it
            is false, because the application decides who may ask. mod_wsgi passes them on with `WSGIPassAuthorization On`.

    Raises:
        BadReference: No endpoint can have this name.
        InvalidInput: A setting is unknown or not allowed.
    """
    return MountedWSGI(mount(endpoint, home, tokens))


class MountedWSGI:
    """The application; made by `fairlead.wsgi`."""

    def __init__(self, mounted: Mount) -> None:
        self._mounted = mounted
        self._opened: _Background | None = None
        self._lock = Lock()
        os.register_at_fork(after_in_child=self._begin_anew)

    def __call__(self, environ: _Environment, start_response: _Start) -> Iterable[bytes]:
        """Answer one request of a server."""
        try:
            reply = self._reply(environ)
        except Exception:  # noqa: BLE001 - the boundary: the operator gets the cause, the framework and the caller do not
            logger.exception("Answering at {endpoint} failed.", endpoint=self._mounted.endpoint)
            reply = exchange.refused(problems.unexpected())
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", reply.fields)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]

    def _reply(self, environ: _Environment) -> Reply:
        room, config = self._room(), self._mounted.config
        path = str(environ.get("PATH_INFO", ""))
        url = (str(environ.get("SCRIPT_NAME", "")) + path).encode("latin-1", "replace")
        method = str(environ["REQUEST_METHOD"]).encode("latin-1", "replace")
        version = str(environ.get("SERVER_PROTOCOL", ""))
        request = Request(method, url, _headers(environ), b"", keep_alive=True, version=version)
        # Read here, in the server's own thread, and judged there: an error is told as all others are.
        found = _body(environ, config.max_body) if method == b"POST" else b""

        async def body() -> bytes:
            if isinstance(found, FairleadError):
                raise found
            if len(found) > exchange.LARGE:
                room.hold(request, len(found))
            return found

        asked = answer(room, _Client(environ), request, path, body)
        return self._wait(asyncio.run_coroutine_threadsafe(asked, room.loop))

    def _wait(self, reply: Future[Reply]) -> Reply:
        seconds = self._mounted.config.request_deadline
        try:
            return reply.result(seconds + _GRACE_SECONDS)
        except TimeoutError:
            reply.cancel()
            return exchange.refused(DeadlineExceeded(f"The model did not answer within {seconds:g} s.", retry_after=1))

    def _room(self) -> Room:
        """The room of this process; whoever asks first opens it, the others wait for that."""
        opened = self._opened
        if opened is None or not opened.alive:
            with self._lock:
                opened = self._opened
                if opened is None or not opened.alive:
                    opened = self._opened = _Background(self._mounted)
        return opened.room

    def _begin_anew(self) -> None:
        """Nothing is open. Also so in a fork: it has no threads, and what its parent opened is its parent's."""
        self._lock = Lock()
        self._opened = None


class _Background:
    """A room in an event loop and a thread of its own."""

    def __init__(self, mounted: Mount) -> None:
        self._mounted = mounted
        self._ready: Future[Room] = Future()
        self._stop = asyncio.Event()
        self._owner = os.getpid()
        self._thread = Thread(target=self._run, name=f"fairlead-{mounted.endpoint}", daemon=True)
        self._thread.start()
        self.room = self._ready.result()
        atexit.register(self._end)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except Exception as error:  # noqa: BLE001 - told to whoever opens, else logged
            if self._ready.done():
                logger.exception("The room of {endpoint} ended.", endpoint=self._mounted.endpoint)
            else:
                self._ready.set_exception(error)

    async def _live(self) -> None:
        room = Room(self._mounted)
        await room.open()
        self._ready.set_result(room)
        await self._stop.wait()
        await room.close()

    def _end(self) -> None:
        if os.getpid() == self._owner and self.alive:
            self.room.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(self._mounted.config.request_deadline)


class _Client:
    """Who asks, as the server tells it."""

    __slots__ = ("peer",)

    def __init__(self, environ: _Environment) -> None:
        host, port = str(environ.get("REMOTE_ADDR") or ""), str(environ.get("REMOTE_PORT") or "0")
        self.peer: tuple[str, int] | None = (host, int(port) if port.isdecimal() else 0) if host else None


def _headers(environ: _Environment) -> list[tuple[bytes, bytes]]:
    """The headers, of CGI's names for them."""
    found = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    if content_type := environ.get("CONTENT_TYPE"):
        found.append((b"content-type", str(content_type).encode("latin-1", "replace")))
    return found


def _body(environ: _Environment, limit: int) -> bytes | FairleadError:
    """The body, whole; or why it cannot be had."""
    try:
        return _read(environ, limit)
    except FairleadError as error:
        return error


def _read(environ: _Environment, limit: int) -> bytes:
    """The body, whole.

    Raises:
        TooLarge: It is larger than the limit.
        InvalidInput: It is not as long as it was said to be.
    """
    stream, text = environ["wsgi.input"], environ.get("CONTENT_LENGTH") or ""
    if not text and environ.get("wsgi.input_terminated"):  # chunked, and the server marks the end
        body = bytes(stream.read(limit + 1))
        exchange.check_length(len(body), limit)
        return body
    if not text.isdecimal():
        raise InvalidInput("The request does not say how long its body is.", hint="Send a Content-Length.")
    length = int(text[:20])
    exchange.check_length(length, limit)
    try:
        body = bytes(stream.read(length))
    except OSError as err:
        raise InvalidInput("The body could not be read.") from err
    if len(body) != length:
        raise InvalidInput(f"The body ended after {len(body)} of {length} bytes.")
    return body
