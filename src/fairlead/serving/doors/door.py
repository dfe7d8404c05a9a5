"""Which door a request came to. A door is a protocol's entry: it translates, and the gateway answers.

The lane knows the exact targets of the fast routes; every other request is offered to the doors in turn, and what no door
takes belongs to the pages.

What doors have in common stands here as well: rows are read, the gateway answers them, and the answers are written. A door
says how it reads and how it writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

import msgspec
from loguru import logger

from fairlead.answer import Answer
from fairlead.errors import FairleadError
from fairlead.schema import Row
from fairlead.serving.doors.tally import Tally
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import method_not_allowed, unexpected
from fairlead.serving.http.request import Request
from fairlead.serving.live import LiveEndpoint

__all__ = ["LARGE", "Door", "Doors", "Read", "Written", "answer", "segments", "tell"]

LARGE: Final = 64 * 1024
"""A longer body is read, and its answer written, in a thread."""

Written = tuple[bytes, ...]
"""An answer as `Connection.respond` takes it: the body; where they are not the usual ones, its content type and header lines."""

Read = Callable[[], tuple[list[Row], Callable[[list[Answer]], Written]]]
"""Reads a request: its rows, and how their answers are written. Raises a `FairleadError` where it cannot be read."""

_encode = msgspec.json.Encoder().encode


class Door(Protocol):
    """A protocol's entry."""

    def handler(self, request: Request, path: bytes) -> Handler | None:
        """Who answers this request; `None` where it is another door's.

        Pure and quick: it may look at the target and the method, and raises nothing.

        Args:
            request: The request.
            path: Its target without the query.
        """
        ...


class Doors:
    """The doors of one gateway process, in the order in which they are asked.

    Args:
        doors: Each takes what is its own.
        pages: Takes the rest.
    """

    def __init__(self, doors: Sequence[Door], pages: Handler) -> None:
        self._doors = tuple(doors)
        self._pages = pages

    def handle(self, connection: Connection, request: Request) -> None:
        """Let the right door answer (a `lane.Handler`)."""
        path = request.url.partition(b"?")[0]
        for door in self._doors:
            if (handler := door.handler(request, path)) is not None:
                handler(connection, request)
                return
        self._pages(connection, request)


def segments(path: bytes) -> list[str]:
    """The segments of a path, each decoded once."""
    return [unquote_to_bytes(one).decode("utf-8", "replace") for one in path.strip(b"/").split(b"/")]


def tell(connection: Connection, request: Request, answer: Callable[[], object]) -> None:
    """Answer a question that changes nothing, as JSON that is not to be kept.

    Raises:
        MethodNotAllowed: It was not asked with GET or HEAD.
    """
    if request.method not in {b"GET", b"HEAD"}:
        raise method_not_allowed(request.method, "GET, HEAD", "Ask with GET.")
    connection.respond(request, 200, _encode(answer()), headers=b"cache-control: no-store\r\n")


def answer(  # noqa: PLR0913 - a request, who answers it, and how
    gateway: Gateway,
    live: LiveEndpoint,
    connection: Connection,
    request: Request,
    read: Read,
    *,
    apart: bool,
    tally: Tally | None = None,
) -> None:
    """Answer a request for predictions, or tell what is wrong with it.

    Args:
        gateway: Answers rows.
        live: The endpoint that was asked.
        connection: Where the answer goes.
        request: The request.
        read: Reads it.
        apart: Whether to read and write in a thread: what takes long must not hold up those who ask for one row.
        tally: Counts for the protocols that tell figures of their own.
    """
    request.live = live
    asking = _Asking(gateway, live, connection, request, tally)
    if apart:
        gateway.start(asking.answer_apart(read))
    else:
        asking.answer(read)


class _Asking:
    """One request on its way: read, refused or answered, written."""

    __slots__ = ("_connection", "_gateway", "_live", "_request", "_tally")

    def __init__(
        self, gateway: Gateway, live: LiveEndpoint, connection: Connection, request: Request, tally: Tally | None
    ) -> None:
        self._gateway = gateway
        self._live = live
        self._connection = connection
        self._request = request
        self._tally = tally

    def answer(self, read: Read) -> None:
        try:
            rows, write = read()
        except FairleadError as error:
            self._refuse(error)
            return

        def done(found: list[Answer] | FairleadError) -> None:
            if isinstance(found, FairleadError):
                self._fail(found)
            else:
                request.answered_by = found[0].model
                self._tell(len(rows), write(found))

        request = self._request
        request.rows = len(rows)
        self._gateway.submit(
            self._live, rows, done, request.received, self._live.caller(request.headers), request.expires
        )

    async def answer_apart(self, read: Read) -> None:
        live, request = self._live, self._request
        try:
            rows, write = await asyncio.to_thread(read)
        except FairleadError as error:
            self._refuse(error)
            return
        except Exception:  # noqa: BLE001 - what a foreign parser may raise must not leave a caller without an answer
            logger.exception("A body for {endpoint} could not be read.", endpoint=live.name)
            self._refuse(unexpected())
            return
        request.rows = len(rows)
        try:
            caller = live.caller(request.headers)
            found = await self._gateway.predict(
                live.name, rows, caller=caller, live=live, received=request.received, expires=request.expires
            )
        except FairleadError as error:
            self._fail(error)
        else:
            request.answered_by = found[0].model
            self._tell(len(rows), await asyncio.to_thread(write, found))

    def _refuse(self, error: FairleadError) -> None:
        """The rows could not be read: the gateway has not heard of this request, and records it."""
        self._gateway.refuse(self._live, error, self._request.received)
        self._fail(error)

    def _fail(self, error: FairleadError) -> None:
        if self._tally is not None:
            self._tally.failed(self._request.received)
        self._connection.respond_error(self._request, error)

    def _tell(self, rows: int, written: Written) -> None:
        if self._tally is not None:
            self._tally.succeeded(rows, self._request.received)
        self._connection.respond(self._request, 200, *written)
