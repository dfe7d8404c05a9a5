"""An endpoint as a WSGI application, for Flask, Django, gunicorn and mod_wsgi.

WSGI servers call from threads and fork processes. So the room lives in an event loop of its own, in one thread of each
process that is asked: it is opened at the first request, after every fork, and what several threads ask at once is answered
together.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import time
from collections.abc import Callable, Iterable, MutableMapping
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Final

from loguru import logger

from fairlead.answer import Answer
from fairlead.config import Config, load_config
from fairlead.errors import DeadlineExceeded, FairleadError, InvalidInput
from fairlead.mount import exchange
from fairlead.mount.exchange import Reply
from fairlead.mount.room import Room
from fairlead.routing.table import check_endpoint
from fairlead.serving.doors.rest import read_rows
from fairlead.serving.http import problems

__all__ = ["MountedWSGI", "wsgi"]

_GRACE_SECONDS: Final = 2.0
_Environment = MutableMapping[str, Any]
_Start = Callable[[str, list[tuple[str, str]]], object]


def wsgi(endpoint: str, *, home: Path | str | None = None) -> MountedWSGI:
    """An endpoint as a WSGI application, to be mounted in Flask or Django or run by itself.

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
    return MountedWSGI(endpoint, load_config({"home": None if home is None else str(home)}))


class MountedWSGI:
    """The application; made by `fairlead.wsgi`."""

    def __init__(self, endpoint: str, config: Config) -> None:
        self._endpoint = endpoint
        self._config = config
        self._opened: _Background | None = None
        self._lock = Lock()
        os.register_at_fork(after_in_child=self._begin_anew)

    def __call__(self, environ: _Environment, start_response: _Start) -> Iterable[bytes]:
        """Answer one request of a server."""
        try:
            reply = self._reply(environ)
        except FairleadError as error:
            reply = exchange.refused(error)
        except Exception:  # noqa: BLE001 - the boundary: the operator gets the cause, the framework and the caller do not
            logger.exception("Answering at {endpoint} failed.", endpoint=self._endpoint)
            reply = exchange.refused(problems.unexpected())
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", reply.fields)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]

    def _reply(self, environ: _Environment) -> Reply:
        wanted = exchange.asked(environ["REQUEST_METHOD"], environ.get("PATH_INFO", ""))
        body = _body(environ, self._config.max_body) if wanted == "predict" else b""
        received = time.perf_counter()
        room = self._room()
        live = room.live()
        if wanted == "schema":
            return exchange.described(live)
        content_type = environ.get("CONTENT_TYPE", "").encode("latin-1") or None
        try:
            rows, single = read_rows(live.reader, content_type, body)
        except FairleadError as error:
            room.loop.call_soon_threadsafe(room.gateway.refuse, live, error, received)
            raise
        answer: Future[list[Answer] | FairleadError] = Future()
        caller = live.caller(_headers(environ))
        room.loop.call_soon_threadsafe(room.gateway.submit, live, rows, answer.set_result, received, caller)
        found = self._wait(answer)
        if isinstance(found, FairleadError):
            raise found
        return exchange.answered(found, single=single)

    def _wait(self, answer: Future[list[Answer] | FairleadError]) -> list[Answer] | FairleadError:
        try:
            return answer.result(self._config.request_deadline + _GRACE_SECONDS)
        except TimeoutError as err:
            seconds = self._config.request_deadline
            raise DeadlineExceeded(f"The model did not answer within {seconds:g} s.", retry_after=1) from err

    def _room(self) -> Room:
        """The room of this process; whoever asks first opens it, the others wait for that."""
        opened = self._opened
        if opened is None or not opened.alive:
            with self._lock:
                opened = self._opened
                if opened is None or not opened.alive:
                    opened = self._opened = _Background(self._endpoint, self._config)
        return opened.room

    def _begin_anew(self) -> None:
        """Nothing is open. Also so in a fork: it has no threads, and what its parent opened is its parent's."""
        self._lock = Lock()
        self._opened = None


class _Background:
    """A room in an event loop and a thread of its own."""

    def __init__(self, endpoint: str, config: Config) -> None:
        self._endpoint = endpoint
        self._config = config
        self._ready: Future[Room] = Future()
        self._stop = asyncio.Event()
        self._owner = os.getpid()
        self._thread = Thread(target=self._run, name=f"fairlead-{endpoint}", daemon=True)
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
                logger.exception("The room of {endpoint} ended.", endpoint=self._endpoint)
            else:
                self._ready.set_exception(error)

    async def _live(self) -> None:
        room = Room(self._endpoint, self._config)
        await room.open()
        self._ready.set_result(room)
        await self._stop.wait()
        await room.close()

    def _end(self) -> None:
        if os.getpid() == self._owner and self.alive:
            self.room.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(self._config.request_deadline)


def _headers(environ: _Environment) -> list[tuple[bytes, bytes]]:
    """The header's lines, from the names that CGI gives them."""
    return [
        (name[5:].replace("_", "-").encode("latin-1"), str(value).encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]


def _body(environ: _Environment, limit: int) -> bytes:
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
