"""The Open Inference Protocol (V2) over REST, with Triton's binary tensors, model configuration and statistics.

```
/v2   /v2/health/{live,ready}   /v2/models   /v2/models/stats
/v2/models/{endpoint}[/versions/{number}]   …/ready   …/config   …/stats   …/infer
```

An endpoint is what the protocol calls a model. One version of it is live at a time, so a version in the address is a claim
that is checked. Whatever is wrong, the answer is `{"error": "…"}`; the repository extension has a door of its own.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from fairlead.answer import Answer
from fairlead.errors import FairleadError, NotFound, Overloaded
from fairlead.schema import Row
from fairlead.serving.doors.door import LARGE, Written, answer, segments, tell
from fairlead.serving.doors.openinference_wire import Asked, Wanted, header_length, read_request, write_response
from fairlead.serving.doors.tensor_endpoint import TensorEndpoint, TensorEndpoints, version_number
from fairlead.serving.doors.tensors import TensorSpec
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.compression import accepted, compress, inflate
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import method_not_allowed
from fairlead.serving.http.request import Request

__all__ = ["OpenInference"]

EXTENSIONS: Final = ("binary_tensor_data", "classification", "model_configuration", "model_repository", "statistics")

_PREFIX: Final = b"/v2"
_BINARY: Final = b"application/octet-stream"
_JSON: Final = b"application/json"


class OpenInference:
    """The door.

    Args:
        gateway: Answers rows.
        endpoints: The live endpoints as tensor clients see them.
        max_body: How many bytes a compressed body may inflate to.
    """

    def __init__(self, gateway: Gateway, endpoints: TensorEndpoints, *, max_body: int) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._max_body = max_body
        self._version = importlib.metadata.version("fairlead")

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`): everything under `/v2`."""
        return self._answer if path[:3] == _PREFIX and path[3:4] in {b"", b"/"} else None

    def _answer(self, connection: Connection, request: Request) -> None:
        try:
            self._route(connection, request)
        except FairleadError as error:
            connection.respond_error(request, error)

    def _route(self, connection: Connection, request: Request) -> None:
        match segments(request.url.partition(b"?")[0])[1:]:
            case []:
                answer = self._server
            case ["health", "live"]:
                answer = _live
            case ["health", "ready"]:
                answer = self._ready(connection)
            case ["models"]:
                answer = self._models
            case ["models", "stats"] if "stats" not in self._gateway.endpoints:
                answer = self._statistics
            case ["models", name, "versions", version, *rest]:
                return self._model(connection, request, name, version, rest)
            case ["models", name, *rest]:
                return self._model(connection, request, name, None, rest)
            case _:
                raise _nothing()
        tell(connection, request, answer)
        return None

    def _model(
        self, connection: Connection, request: Request, name: str, version: str | None, rest: Sequence[str]
    ) -> None:
        endpoint = self._endpoints.find(name, version)
        if rest == ["infer"]:
            self._infer(connection, request, endpoint)
            return
        answer: Callable[[], object]
        match rest:
            case []:
                answer = endpoint.metadata
            case ["ready"]:
                answer = self._model_ready(connection, endpoint)
            case ["config"]:
                answer = endpoint.config
            case ["stats"]:
                answer = lambda: {"model_stats": [endpoint.statistics()]}  # noqa: E731 - as short as its neighbours
            case _:
                raise _nothing()
        tell(connection, request, answer)

    # -- what is told ----------------------------------------------------------------------------------------------

    def _server(self) -> object:
        return {"name": "fairlead", "version": self._version, "extensions": EXTENSIONS}

    def _models(self) -> object:
        return {"models": sorted(self._gateway.endpoints)}

    def _statistics(self) -> object:
        return {"model_stats": [endpoint.statistics() for endpoint in self._endpoints.all()]}

    def _ready(self, connection: Connection) -> Callable[[], object]:
        if connection.draining or self._gateway.revision < 0:
            raise Overloaded("The service is stopping." if connection.draining else "Nothing is loaded yet.")
        live = self._gateway.endpoints.values()
        if live and not any(one.healthy for one in live):
            raise Overloaded("No endpoint answers at the moment.", retry_after=1)
        return lambda: {"ready": True}

    def _model_ready(self, connection: Connection, endpoint: TensorEndpoint) -> Callable[[], object]:
        self._ready(connection)
        if not endpoint.live.healthy:
            raise Overloaded(f"{endpoint.live.name!r} does not answer at the moment.", retry_after=1)
        return lambda: {"name": endpoint.live.name, "ready": True}

    # -- infer -----------------------------------------------------------------------------------------------------

    def _infer(self, connection: Connection, request: Request, endpoint: TensorEndpoint) -> None:
        if request.method != b"POST":
            raise method_not_allowed(request.method, "POST", "Tensors are sent with POST.")
        apart = len(request.body) > LARGE or request.header(b"content-encoding") is not None
        read = partial(self._read, endpoint, request)
        answer(self._gateway, endpoint.live, connection, request, read, apart=apart, tally=endpoint.tally)

    def _read(self, endpoint: TensorEndpoint, request: Request) -> tuple[list[Row], Callable[[list[Answer]], Written]]:
        """The rows, and how their answers are written.

        Raises:
            InvalidInput: The body is not as the protocol says, or its rows do not fit.
        """
        body = request.body
        if (encoding := request.header(b"content-encoding")) is not None:
            body = inflate(body, encoding, limit=self._max_body)
        length = header_length(request.header(b"inference-header-content-length"))
        asked = Asked((endpoint.reader.sole(body),), binary=True) if length == 0 else read_request(body, length)
        _specs(endpoint, asked.outputs)
        rows = endpoint.reader.read(asked.tensors)
        return rows, partial(_written, endpoint, asked, accepted(request.header(b"accept-encoding")))


def _written(endpoint: TensorEndpoint, asked: Asked, encoding: bytes, answers: Sequence[Answer]) -> Written:
    """The answer's body, content type and header lines."""
    wanted = asked.outputs or [Wanted(spec.name, asked.binary) for spec in endpoint.writer.specs]
    specs = _specs(endpoint, wanted)
    tensors = endpoint.writer.write(answers, specs)
    # A caller who gave the request no name gets ours: the first prediction's.
    request_id = asked.id or answers[0].id
    flags = [one.binary for one in wanted]
    body, length = write_response(endpoint.live.name, version_number(answers[0].model), request_id, tensors, flags)
    body, headers = compress(body, encoding)
    if length is None:
        return body, _JSON, headers
    return body, _BINARY, headers + b"inference-header-content-length: %d\r\n" % length


def _specs(endpoint: TensorEndpoint, wanted: Sequence[Wanted]) -> tuple[TensorSpec, ...]:
    classes = {one.name: one.classes for one in wanted if one.classes}
    return endpoint.writer.check([one.name for one in wanted], classes)


def _live() -> object:
    return {"live": True}


def _nothing() -> NotFound:
    return NotFound("The Open Inference Protocol has nothing here.", hint="GET /v2 names the extensions.")
