"""The REST door: `POST /predict/{endpoint}` with an object, an array or CSV. It translates; the gateway answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from fairlead.answer import Answer
from fairlead.errors import FairleadError, InvalidInput
from fairlead.rows import RowReader
from fairlead.schema import Row
from fairlead.serving.doors.door import LARGE, Read, Written, answer
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import UnsupportedMediaType, method_not_allowed
from fairlead.serving.http.request import Request
from fairlead.serving.live import LiveEndpoint

__all__ = ["PREFIX", "Rest", "body_is_csv", "read_rows", "table_text"]

PREFIX: Final = b"/predict/"

_encode = msgspec.json.Encoder().encode
_JSON: Final = frozenset({b"application/json", b"text/json"})
_CSV: Final = frozenset({b"text/csv", b"application/csv"})


class Rest:
    """The REST door.

    Args:
        gateway: Answers rows.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def routes(self, endpoints: Mapping[str, LiveEndpoint]) -> dict[bytes, Handler]:
        """The fast routes: the handler of each endpoint by its exact target."""
        return {PREFIX + name.encode(): self._predictor(live) for name, live in endpoints.items()}

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`): a target with a query, or a mistake."""
        return self._predict_slowly if path.startswith(PREFIX) else None

    def _predictor(self, live: LiveEndpoint) -> Handler:
        """The handler of one endpoint: the hot path."""
        submit, from_json, caller = self._gateway.submit, live.reader.from_json, live.caller

        def predict(connection: Connection, request: Request) -> None:
            request.live = live
            if len(request.body) > LARGE:
                answer(self._gateway, live, connection, request, _reading(live, request), apart=True)
                return
            content_type = request.header(b"content-type")
            try:
                if content_type == b"application/json":
                    rows, single = from_json(request.body)
                else:
                    rows, single = read_rows(live.reader, content_type, request.body)
            except FairleadError as error:
                self._gateway.refuse(live, error, request.received)
                connection.respond_error(request, error)
                return

            request.rows = len(rows)

            def done(found: list[Answer] | FairleadError) -> None:
                if isinstance(found, FairleadError):
                    connection.respond_error(request, found)
                else:
                    request.answered_by = found[0].model
                    connection.respond(request, 200, _encode(found[0] if single else found))

            submit(live, rows, done, request.received, caller(request.headers), request.expires)

        return predict

    def _predict_slowly(self, connection: Connection, request: Request) -> None:
        name = request.url.partition(b"?")[0][len(PREFIX) :].decode("utf-8", "replace")
        live = self._gateway.endpoints.get(name)
        if live is None:
            connection.respond_error(request, self._gateway.unknown(name))
        elif request.method != b"POST":
            hint = f"POST a row to /predict/{name}; GET /docs tells how."
            connection.respond_error(request, method_not_allowed(request.method, "POST", hint))
        else:
            self._predictor(live)(connection, request)


def _reading(live: LiveEndpoint, request: Request) -> Read:
    """How a long body is read and answered."""

    def read() -> tuple[list[Row], Callable[[list[Answer]], Written]]:
        rows, single = read_rows(live.reader, request.header(b"content-type"), request.body)
        return rows, lambda found: (_encode(found[0] if single else found),)

    return read


def read_rows(reader: RowReader, content_type: bytes | None, body: bytes) -> tuple[list[Row], bool]:
    """Read rows by their content type; without one, JSON is assumed.

    Raises:
        UnsupportedMediaType: Neither JSON nor CSV.
        InvalidInput: The rows cannot be read.
    """
    if body_is_csv(content_type):
        return reader.from_csv(table_text(body)), False
    return reader.from_json(body)


def body_is_csv(content_type: bytes | None) -> bool:
    """Whether a body is CSV, by its content type, and not JSON; without one it is JSON.

    Raises:
        UnsupportedMediaType: Neither.
    """
    kind = b"application/json" if content_type is None else content_type.partition(b";")[0].strip().lower()
    if kind in _JSON or kind in _CSV:
        return kind in _CSV
    raise UnsupportedMediaType(
        f"The content type {kind[:80].decode('ascii', 'replace')!r} is not read here.",
        hint="Send application/json or text/csv; with curl: -H 'content-type: application/json'.",
    )


def table_text(body: bytes) -> str:
    """The text of a body that is CSV.

    Raises:
        InvalidInput: It is not UTF-8.
    """
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise InvalidInput(f"The table is not UTF-8: byte {err.start} cannot be read.") from err
