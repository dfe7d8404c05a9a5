"""The REST door: `POST /predict/{endpoint}`, `/livez`, `/readyz`. It translates; the gateway answers.

Everything else on the port (pages, documents, assets) is an ASGI application behind `asgi.Bridge`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

import msgspec

from fairlead.answer import Answer
from fairlead.errors import FairleadError, InvalidInput
from fairlead.rows import RowReader
from fairlead.schema import Row
from fairlead.serving.gateway import Gateway, LiveEndpoint
from fairlead.serving.lane import Connection, Handler, Lane, Request
from fairlead.serving.problems import MethodNotAllowed, UnsupportedMediaType

__all__ = ["PREFIX", "Rest"]

PREFIX: Final = b"/predict/"

_LARGE: Final = 64 * 1024
"""A longer body is read in a thread."""

_encode = msgspec.json.Encoder().encode
_JSON: Final = frozenset({b"application/json", b"text/json"})
_CSV: Final = frozenset({b"text/csv", b"application/csv"})


class Rest:
    """The routes of one gateway process.

    Args:
        gateway: Answers rows.
        lane: Where requests come from; its fallback becomes ours.
        pages: Answers what is no prediction.
    """

    def __init__(self, gateway: Gateway, lane: Lane, pages: Handler) -> None:
        self._gateway = gateway
        self._lane = lane
        self._pages = pages
        lane.fallback = self._fallback

    def publish(self, endpoints: Mapping[str, LiveEndpoint]) -> None:
        """Make the fast routes lead to these endpoints."""
        self._lane.routes = {PREFIX + name.encode(): self._predictor(live) for name, live in endpoints.items()}

    def _fallback(self, connection: Connection, request: Request) -> None:
        """Answer what is no exact match: health, targets with a query, mistakes; the rest goes to the pages."""
        path = request.url.partition(b"?")[0]
        if path == b"/livez":
            _answer_health(connection, request, 200, {"live": True})
        elif path == b"/readyz":
            self._readyz(connection, request)
        elif path.startswith(PREFIX):
            self._predict_slowly(connection, request, path)
        else:
            self._pages(connection, request)

    def _predictor(self, live: LiveEndpoint) -> Handler:
        """The handler of one endpoint: the hot path."""
        submit, from_json = self._gateway.submit, live.reader.from_json

        def predict(connection: Connection, request: Request) -> None:
            if len(request.body) > _LARGE:
                self._gateway.start(self._predict_large(live, connection, request))
                return
            content_type = request.header(b"content-type")
            try:
                if content_type == b"application/json":
                    rows, single = from_json(request.body)
                else:
                    rows, single = _read(live.reader, content_type, request.body)
            except FairleadError as error:
                self._gateway.refuse(live, error, request.received)
                connection.respond_error(request, error)
                return

            def done(found: list[Answer] | FairleadError) -> None:
                if isinstance(found, FairleadError):
                    connection.respond_error(request, found)
                else:
                    connection.respond(request, 200, _encode(found[0] if single else found))

            submit(live, rows, done, request.received)

        return predict

    async def _predict_large(self, live: LiveEndpoint, connection: Connection, request: Request) -> None:
        """Read and write many rows in a thread: what takes long must not hold up those who ask for one."""
        content_type = request.header(b"content-type")
        try:
            rows, single = await asyncio.to_thread(_read, live.reader, content_type, request.body)
        except FairleadError as error:
            self._gateway.refuse(live, error, request.received)
            connection.respond_error(request, error)
            return
        try:
            answers = await self._gateway.predict(live.name, rows, live=live, received=request.received)
        except FairleadError as error:
            connection.respond_error(request, error)
        else:
            connection.respond(request, 200, await asyncio.to_thread(_encode, answers[0] if single else answers))

    def _predict_slowly(self, connection: Connection, request: Request, path: bytes) -> None:
        name = path[len(PREFIX) :].decode("utf-8", "replace")
        live = self._gateway.endpoints.get(name)
        if live is None:
            connection.respond_error(request, self._gateway.unknown(name))
        elif request.method != b"POST":
            hint = f"POST a row to /predict/{name}; GET /docs tells how."
            connection.respond_error(request, _method_not_allowed(request, "POST", hint))
        else:
            self._predictor(live)(connection, request)

    def _readyz(self, connection: Connection, request: Request) -> None:
        if connection.draining:
            _answer_health(connection, request, 503, {"ready": False, "reason": "stopping"})
        elif self._gateway.revision < 0:
            _answer_health(connection, request, 503, {"ready": False, "reason": "nothing is loaded yet"})
        else:
            told = {"ready": True, "revision": self._gateway.revision, "endpoints": sorted(self._gateway.endpoints)}
            _answer_health(connection, request, 200, told)


def _answer_health(connection: Connection, request: Request, status: int, told: Mapping[str, object]) -> None:
    if request.method in {b"GET", b"HEAD"}:
        connection.respond(request, status, _encode(told), headers=b"cache-control: no-store\r\n")
    else:
        connection.respond_error(request, _method_not_allowed(request, "GET, HEAD", "Health is asked with GET."))


def _method_not_allowed(request: Request, allow: str, hint: str) -> MethodNotAllowed:
    method = request.method.decode("ascii", "replace")
    return MethodNotAllowed(f"{method} is not answered here.", hint=hint, allow=allow)


def _read(reader: RowReader, content_type: bytes | None, body: bytes) -> tuple[list[Row], bool]:
    """Read rows by their content type; without one, JSON is assumed.

    Raises:
        UnsupportedMediaType: Neither JSON nor CSV.
        InvalidInput: The rows cannot be read.
    """
    kind = b"application/json" if content_type is None else content_type.partition(b";")[0].strip().lower()
    if kind in _JSON:
        return reader.from_json(body)
    if kind in _CSV:
        try:
            return reader.from_csv(body.decode("utf-8")), False
        except UnicodeDecodeError as err:
            raise InvalidInput(f"The table is not UTF-8: byte {err.start} cannot be read.") from err
    raise UnsupportedMediaType(
        f"The content type {kind[:80].decode('ascii', 'replace')!r} is not read here.",
        hint="Send application/json or text/csv; with curl: -H 'content-type: application/json'.",
    )
