"""The feedback door: `POST /feedback/{endpoint}` with an object, an array or CSV. It translates; the box records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from loguru import logger

from fairlead.errors import FairleadError
from fairlead.serving.doors.door import LARGE
from fairlead.serving.doors.rest import body_is_csv, table_text
from fairlead.serving.feedback.box import FeedbackBox
from fairlead.serving.feedback.said import FeedbackReader, Said
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import method_not_allowed, unexpected
from fairlead.serving.http.request import Request
from fairlead.serving.live import LiveEndpoint

__all__ = ["FeedbackDoor", "read_feedback"]

_PREFIX: Final = b"/feedback/"
_encode = msgspec.json.Encoder().encode


class FeedbackDoor:
    """The door.

    Args:
        gateway: Knows the live endpoints.
        box: Takes the feedback.
        source: Who sends a request, for the record: the name of the token, or how it came.
    """

    def __init__(self, gateway: Gateway, box: FeedbackBox, source: Callable[[Request], str]) -> None:
        self._gateway = gateway
        self._box = box
        self._source = source

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`)."""
        return self._answer if path.startswith(_PREFIX) else None

    def _answer(self, connection: Connection, request: Request) -> None:
        name = request.url.partition(b"?")[0][len(_PREFIX) :].decode("utf-8", "replace")
        live = self._gateway.endpoints.get(name)
        if live is None:
            connection.respond_error(request, self._gateway.unknown(name))
        elif request.method != b"POST":
            hint = f"POST what became of a prediction to /feedback/{name}; GET /docs tells how."
            connection.respond_error(request, method_not_allowed(request.method, "POST", hint))
        elif len(request.body) > LARGE:
            request.live = live
            self._gateway.start(self._take_apart(live, connection, request))
        else:
            request.live = live
            self._take(live, connection, request)

    def _take(self, live: LiveEndpoint, connection: Connection, request: Request) -> None:
        try:
            told = read_feedback(live, request.header(b"content-type"), request.body)
            request.rows = len(told)
            receipt = self._box.take(live, told, self._source(request))
        except FairleadError as error:
            self._refuse(live, connection, request, error)
        else:
            connection.respond(request, 200, _encode(receipt))

    async def _take_apart(self, live: LiveEndpoint, connection: Connection, request: Request) -> None:
        """Take many at once without holding up those who ask."""
        try:
            told = await asyncio.to_thread(read_feedback, live, request.header(b"content-type"), request.body)
            request.rows = len(told)
            receipt = await self._box.take_many(live, told, self._source(request))
        except FairleadError as error:
            self._refuse(live, connection, request, error)
        except Exception:  # noqa: BLE001 - a bug of ours must not leave a caller without an answer
            logger.exception("Feedback for {endpoint} could not be taken.", endpoint=live.name)
            self._refuse(live, connection, request, unexpected())
        else:
            connection.respond(request, 200, _encode(receipt))

    def _refuse(self, live: LiveEndpoint, connection: Connection, request: Request, error: FairleadError) -> None:
        self._box.refuse(live, max(1, request.rows))
        connection.respond_error(request, error)


def read_feedback(live: LiveEndpoint, content_type: bytes | None, body: bytes) -> list[Said]:
    """Read feedback by its content type; without one, JSON is assumed.

    Raises:
        UnsupportedMediaType: Neither JSON nor CSV.
        InvalidInput: It cannot be read, or does not fit the endpoint.
    """
    reader = FeedbackReader(live.schema.output, most=live.reader.max_rows)
    return reader.from_csv(table_text(body)) if body_is_csv(content_type) else reader.from_json(body)
