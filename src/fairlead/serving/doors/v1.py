"""The V1 protocol of TensorFlow Serving and KServe: rows in JSON under `/v1/models`.

```
/v1/models   /v1/models/{endpoint}[/versions/{number}]   …/metadata   …:predict
```

`instances` holds rows, as objects or as arrays in the order of the schema; `inputs` holds columns, or rows as well. A text may
come as base64 (`base64_texts`). What comes back are the labels or numbers alone, as both servers answer: who needs probabilities asks `/predict` or `/v2`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from fairlead.answer import Answer
from fairlead.errors import FairleadError, InvalidInput, NotFound, SchemaMismatch
from fairlead.rows import RowReader
from fairlead.schema import Row, Value
from fairlead.serving.doors.base64_texts import MARK, plain
from fairlead.serving.doors.door import LARGE, Written, answer, segments, tell
from fairlead.serving.doors.tensor_endpoint import TensorEndpoint, TensorEndpoints
from fairlead.serving.doors.tensors import TensorSpec
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.compression import accepted, compress, inflate
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import method_not_allowed
from fairlead.serving.http.request import Request

__all__ = ["V1", "read_rows"]

_PREFIX: Final = b"/v1"
_DTYPES: Final = {"FP64": "DT_DOUBLE", "INT64": "DT_INT64", "BOOL": "DT_BOOL", "BYTES": "DT_STRING"}
_OBJECTS: Final = re.compile(rb"\s*\[\s*\{")
_LISTS: Final = re.compile(rb"\s*\[\s*\[")
_OBJECT: Final = re.compile(rb"\s*\{")
_KEYS: Final = re.compile(rb'"(instances|inputs)"\s*:')

_Entries = list[str | int | float | bool | None]
_encode = msgspec.json.Encoder().encode


class _Asked(msgspec.Struct, gc=False):
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(_Asked).decode
_decode_entries = msgspec.json.Decoder(_Entries).decode
_decode_lists = msgspec.json.Decoder(list[_Entries]).decode
_decode_columns = msgspec.json.Decoder(dict[str, list[str | int | float | bool | _Entries | None]]).decode


class V1:
    """The door.

    Args:
        gateway: Answers rows.
        endpoints: The live endpoints.
        max_body: How many bytes a compressed body may inflate to.
    """

    def __init__(self, gateway: Gateway, endpoints: TensorEndpoints, *, max_body: int) -> None:
        self._gateway = gateway
        self._endpoints = endpoints
        self._max_body = max_body

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`): everything under `/v1`."""
        return self._answer if path[:3] == _PREFIX and path[3:4] in {b"", b"/"} else None

    def _answer(self, connection: Connection, request: Request) -> None:
        try:
            self._route(connection, request)
        except FairleadError as error:
            connection.respond_error(request, error)

    def _route(self, connection: Connection, request: Request) -> None:
        found = segments(request.url.partition(b"?")[0])[1:]
        colon, verb = False, ""
        if found and ":" in found[-1]:
            colon = True
            found[-1], _, verb = found[-1].rpartition(":")
        match found:
            case ["models"] if not colon:
                tell(connection, request, lambda: {"models": sorted(self._gateway.endpoints)})
            case ["models", name, "versions", version]:
                self._model(connection, request, self._endpoints.find(name, version), verb)
            case ["models", name, "versions", version, "metadata"] if not colon:
                tell(connection, request, lambda: _metadata(self._endpoints.find(name, version)))
            case ["models", name]:
                self._model(connection, request, self._endpoints.find(name), verb)
            case ["models", name, "metadata"] if not colon:
                tell(connection, request, lambda: _metadata(self._endpoints.find(name)))
            case _:
                raise _nothing()

    def _model(self, connection: Connection, request: Request, endpoint: TensorEndpoint, verb: str) -> None:
        if verb == "predict":
            if request.method != b"POST":
                raise method_not_allowed(request.method, "POST", "Rows are sent with POST.")
            self._predict(connection, request, endpoint)
        elif verb:
            raise _nothing()
        else:
            tell(connection, request, lambda: _status(endpoint))

    def _predict(self, connection: Connection, request: Request, endpoint: TensorEndpoint) -> None:
        apart = len(request.body) > LARGE or request.header(b"content-encoding") is not None
        read = partial(self._read, endpoint.live.reader, request)
        answer(self._gateway, endpoint.live, connection, request, read, apart=apart)

    def _read(self, reader: RowReader, request: Request) -> tuple[list[Row], Callable[[list[Answer]], Written]]:
        body = request.body
        if (encoding := request.header(b"content-encoding")) is not None:
            body = inflate(body, encoding, limit=self._max_body)
        rows, keys = read_rows(reader, body)
        return rows, partial(_written, keys, accepted(request.header(b"accept-encoding")))


def read_rows(reader: RowReader, body: bytes) -> tuple[list[Row], Sequence[str]]:
    """Read the body of a prediction.

    Args:
        reader: Of the endpoint.
        body: JSON.

    Returns:
        The rows, and under which names the answers are given.

    Raises:
        InvalidInput: The body is not as the protocol says.
        SchemaMismatch: A row does not fit.
        TooLarge: There are more rows than one request may hold.
    """
    try:
        asked = _decode(body)
        given = [one for one in (asked.instances, asked.inputs) if not isinstance(one, msgspec.UnsetType)]
        if len(given) != 1 or len(_KEYS.findall(_outside(body, given[0]))) != 1:
            raise InvalidInput("Give either `instances` or `inputs`, once.")
        raw = bytes(given[0])
        if MARK in raw and "b64" not in reader.schema.names:
            raw = plain(raw)
        if given[0] is asked.inputs and _OBJECT.match(raw):
            # TensorFlow Serving answers columns under `outputs`, KServe everything under `predictions`.
            return _columns(reader, raw), ("predictions", "outputs")
        return _rows(reader, raw), ("predictions",)
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise InvalidInput(f"The request is not as the protocol says: {err}.") from err
    except RecursionError as err:
        raise InvalidInput("The request is nested too deeply.") from err


def _outside(body: bytes, raw: msgspec.Raw) -> bytes:
    """The body without its rows, to look for a second mention of them."""
    before, _, after = body.partition(bytes(raw))
    return before + after


def _rows(reader: RowReader, raw: bytes) -> list[Row]:
    if _OBJECTS.match(raw):
        return reader.from_json(raw)[0]
    names = reader.schema.names
    if _LISTS.match(raw):
        rows = _decode_lists(raw)
    else:
        entries = _decode_entries(raw)
        rows = [[entry] for entry in entries]
    reader.check_count(len(rows))
    for number, row in enumerate(rows):
        if len(row) != len(names):
            expected = f"{len(names)} entries in the order {', '.join(names)[:1000]}"
            raise SchemaMismatch(f"Row {number}: expected {expected}; got {len(row)}.", row=number)
    return reader.from_columns(dict(zip(names, zip(*rows, strict=True), strict=True)))


def _columns(reader: RowReader, raw: bytes) -> list[Row]:
    _refuse_twin_columns(raw)
    columns = {name: _flat(name, entries) for name, entries in _decode_columns(raw).items()}
    reader.check_count(max(map(len, columns.values()), default=0))
    return reader.from_columns(columns)


def _flat(name: str, entries: Sequence[Any]) -> Sequence[Value]:
    """A column's entries; each may stand in a list of its own, as a tensor of the shape [rows, 1] does."""
    if not any(isinstance(entry, list) for entry in entries):
        return entries
    if not all(isinstance(entry, list) and len(entry) == 1 for entry in entries):
        raise InvalidInput(f"The column {name[:80]!r} is not one entry for each row.")
    return [entry[0] for entry in entries]


def _refuse_twin_columns(raw: bytes) -> None:
    import json

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            raise InvalidInput("A column is given twice.")

    json.loads(raw, object_pairs_hook=check, parse_int=float)


def _written(keys: Sequence[str], encoding: bytes, answers: Sequence[Answer]) -> Written:
    predictions = [one.prediction for one in answers]
    body, headers = compress(_encode(dict.fromkeys(keys, predictions)), encoding)
    return body, b"application/json", headers


def _status(endpoint: TensorEndpoint) -> Mapping[str, object]:
    """Ready, in KServe's words and in TensorFlow Serving's."""
    ready = endpoint.live.healthy
    status = {"error_code": "OK" if ready else "UNAVAILABLE", "error_message": ""}
    state = {"version": endpoint.version, "state": "AVAILABLE" if ready else "LOADING", "status": status}
    return {"name": endpoint.live.name, "ready": ready, "model_version_status": [state]}


def _metadata(endpoint: TensorEndpoint) -> Mapping[str, object]:
    """What it takes and gives, as TensorFlow Serving tells it."""
    columns = endpoint.reader.specs[: len(endpoint.live.schema.columns)]
    signature = {
        "inputs": {one.name: _tensor(one) for one in columns},
        "outputs": {one.name: _tensor(one) for one in endpoint.writer.specs if one.name == "prediction"},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": endpoint.live.name, "signature_name": "", "version": endpoint.version},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


def _tensor(spec: TensorSpec) -> Mapping[str, object]:
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    return {"dtype": _DTYPES[spec.datatype], "tensor_shape": shape, "name": spec.name}


def _nothing() -> NotFound:
    return NotFound("The V1 protocol has nothing here.", hint="POST rows to /v1/models/ENDPOINT:predict.")
