"""The door of MLflow's and SageMaker's clients: `POST /invocations`, `GET /ping`, `/health`, `/version`.

Both protocols know one model a server, so their addresses name none: `meant.py` tells which endpoint is meant. It translates; rows
are read by the same `RowReader` as everywhere, and errors have MLflow's shape.

```
JSON   dataframe_split | dataframe_records | instances | inputs (columns, or a matrix in the order of the schema)
CSV    with a header; without one where the content type says `header=absent`
Parquet    where pyarrow is installed
```
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from fairlead import errors
from fairlead.answer import Answer
from fairlead.errors import FairleadError, InvalidInput, SchemaMismatch, TooLarge
from fairlead.rows import RowReader
from fairlead.schema import Row
from fairlead.serving.doors.door import LARGE, Written, answer
from fairlead.serving.doors.meant import MeantEndpoint
from fairlead.serving.gateway import Gateway
from fairlead.serving.http import problems
from fairlead.serving.http.compression import inflate
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import UnsupportedMediaType, method_not_allowed
from fairlead.serving.http.request import Request
from fairlead.serving.live import LiveEndpoint

__all__ = ["Invocations", "told"]

_SHAPES: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
_PARQUET: Final = frozenset({"application/vnd.apache.parquet", "application/x-parquet"})
_CODES: Final[dict[type[FairleadError], str]] = {
    FairleadError: "INTERNAL_ERROR",
    InvalidInput: "BAD_REQUEST",
    SchemaMismatch: "INVALID_PARAMETER_VALUE",
    errors.NotFound: "RESOURCE_DOES_NOT_EXIST",
    errors.Conflict: "RESOURCE_CONFLICT",
    errors.Unauthenticated: "UNAUTHENTICATED",
    errors.NotAllowed: "PERMISSION_DENIED",
    errors.Overloaded: "TEMPORARILY_UNAVAILABLE",
    errors.StorageError: "TEMPORARILY_UNAVAILABLE",
}
"""MLflow's names for what went wrong, looked up along the class's ancestry."""

_Write = Callable[[list[Answer]], Written]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def told(error: FairleadError) -> tuple[int, bytes, bytes]:
    """An error in MLflow's shape: status, body, content type (a `lane.ErrorShape`)."""
    status = 400 if isinstance(error, SchemaMismatch) else problems.status_of(error)
    shown = problems.problem(error)
    message = f"{shown['detail']} {shown.get('hint', '')}".strip()
    code = next(_CODES[ancestor] for ancestor in type(error).__mro__ if ancestor in _CODES)
    return status, _encode({"error_code": code, "message": message}), b"application/json"


class Invocations:
    """The door.

    Args:
        gateway: Answers rows.
        meant: Knows which endpoint a request means.
        max_body: What a compressed body may inflate to, in bytes.
    """

    def __init__(self, gateway: Gateway, meant: MeantEndpoint, *, max_body: int) -> None:
        self._gateway = gateway
        self._meant = meant
        self._max_body = max_body
        self._version = importlib.metadata.version("fairlead").encode()
        self._handlers: dict[bytes, Handler] = {
            b"/invocations": self._invoke,
            b"/ping": self._ping,
            b"/health": self._ping,
            b"/version": self._tell_version,
        }

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`)."""
        return self._handlers.get(path)

    def _ping(self, connection: Connection, request: Request) -> None:
        """Whether requests may be sent: 200 with an empty line; 404 where nothing is loaded, as MLflow says it."""
        status = 503 if connection.draining else 200 if self._gateway.endpoints else 404
        self._tell(connection, request, status, b"\n")

    def _tell_version(self, connection: Connection, request: Request) -> None:
        self._tell(connection, request, 200, self._version)

    def _tell(self, connection: Connection, request: Request, status: int, body: bytes) -> None:
        if request.method in {b"GET", b"HEAD"}:
            connection.respond(request, status, body, headers=b"cache-control: no-store\r\n")
        else:
            connection.respond_error(
                request, method_not_allowed(request.method, "GET, HEAD", "This is asked with GET.")
            )

    def _invoke(self, connection: Connection, request: Request) -> None:
        if request.method != b"POST":
            hint = "POST rows to /invocations."
            connection.respond_error(request, method_not_allowed(request.method, "POST", hint))
            return
        try:
            live = self._meant.live(request)
            kind, header = _content_type(request)
        except FairleadError as error:
            connection.respond_error(request, error)
            return
        encoding = request.header(b"content-encoding") or b""
        apart = len(request.body) > LARGE or kind in _PARQUET or bool(encoding)

        def read() -> tuple[list[Row], _Write]:
            return _read(live, kind, inflate(request.body, encoding, limit=self._max_body), header=header)

        answer(self._gateway, live, connection, request, read, apart=apart)


def _content_type(request: Request) -> tuple[str, bool]:
    """What kind of body this is, and whether a CSV has a header; without a content type, JSON is assumed.

    Raises:
        UnsupportedMediaType: It is of a kind, or has a parameter, that is not read here.
    """
    given = (request.header(b"content-type") or b"application/json")[:200].decode("latin-1").lower()
    kind, *parameters = (part.strip() for part in given.split(";"))
    header = True
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if (name, value.strip('"')) == ("header", "absent"):
            header = False
        elif (name, value.strip('"')) not in {("charset", "utf-8"), ("header", "present")}:
            raise UnsupportedMediaType(f"The parameter {parameter!r} is not read here.", hint="Send UTF-8.")
    if kind not in {"application/json", "text/csv", *_PARQUET}:
        raise UnsupportedMediaType(
            f"The content type {kind!r} is not read here.",
            hint="Send application/json, text/csv or application/vnd.apache.parquet.",
        )
    return kind, header


def _read(live: LiveEndpoint, kind: str, body: bytes, *, header: bool) -> tuple[list[Row], _Write]:
    """The rows of a body, and how their answers are written.

    Raises:
        InvalidInput: They cannot be read.
    """
    if kind == "application/json":
        return _from_json(live, body)
    if kind == "text/csv":
        return _from_csv(live.reader, body, header=header), _predictions
    return _from_parquet(live.reader, body), _predictions


def _from_csv(reader: RowReader, body: bytes, *, header: bool) -> list[Row]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as err:
        raise InvalidInput(f"The table is not UTF-8: byte {err.start} cannot be read.") from err
    if not header:
        names = ",".join(f'"{name.replace(chr(34), chr(34) * 2)}"' for name in reader.schema.names)
        text = f"{names}\n{text}"
    return reader.from_csv(text)


def _from_json(live: LiveEndpoint, body: bytes) -> tuple[list[Row], _Write]:
    told = _parsed(body)
    if not isinstance(told, dict):
        raise InvalidInput("The body is no JSON object.", hint=_hint())
    shapes = [name for name in _SHAPES if name in told]
    if len(shapes) != 1:
        got = " and ".join(shapes) or "none of them"
        raise InvalidInput(f"The body must have exactly one of {', '.join(_SHAPES)}; it has {got}.", hint=_hint())
    unknown = [name for name in told if name not in {*_SHAPES, "params", "signature_name"}]
    if unknown:
        raise InvalidInput(f"The body has an unknown member {unknown[0][:80]!r}.", hint=_hint())
    write = _writer(live, told.get("params"))
    return _rows(live.reader, shapes[0], told[shapes[0]]), write


def _hint() -> str:
    return 'For example {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}}.'


def _parsed(body: bytes) -> object:
    """Parse JSON; NaN, which Python's clients write for a missing entry, is one.

    Raises:
        InvalidInput: It is no JSON.
    """
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    constants = {"NaN": None, "Infinity": math.inf, "-Infinity": -math.inf}
    try:
        return json.loads(body.decode("utf-8"), parse_constant=constants.__getitem__)
    except UnicodeDecodeError as err:
        raise InvalidInput(f"The body is not UTF-8: byte {err.start} cannot be read.", hint=_hint()) from err
    except json.JSONDecodeError as err:
        raise InvalidInput(
            f"The body is not JSON: {err.msg} at line {err.lineno}, column {err.colno}.", hint=_hint()
        ) from err
    except (RecursionError, ValueError) as err:
        raise InvalidInput("The body is nested too deeply, or holds a number with too many digits.") from err


def _writer(live: LiveEndpoint, params: object) -> _Write:
    """How answers are written: labels, or with `{"predict_method": "predict_proba"}` the probabilities.

    Raises:
        InvalidInput: A parameter is unknown, or the model gives no probabilities.
    """
    if params is None or params == {}:
        return _predictions
    if params == {"predict_method": "predict"}:
        return _predictions
    if params != {"predict_method": "predict_proba"}:
        raise InvalidInput("These params are not known.", hint='Known is {"predict_method": "predict_proba"}.')
    if not live.schema.output.probabilities:
        raise InvalidInput("The model gives no probabilities.", hint="Leave params out.")
    return _probabilities


def _predictions(answers: list[Answer]) -> Written:
    return (_encode({"predictions": [one.prediction for one in answers]}),)


def _probabilities(answers: list[Answer]) -> Written:
    return (_encode({"predictions": [list((one.probabilities or {}).values()) for one in answers]}),)


def _rows(reader: RowReader, shape: str, data: object) -> list[Row]:
    """Rows of one of MLflow's four shapes; columns that the model does not take are ignored, as MLflow does.

    Raises:
        InvalidInput: It has not the shape, or a row does not fit.
    """
    if shape == "dataframe_split":
        return _from_split(reader, data)
    if isinstance(data, dict) and shape == "inputs":
        return _from_columns(reader, data)
    if not isinstance(data, list):
        raise InvalidInput(f"{shape!r} must hold a list of rows.", hint=_hint())
    _check_count(reader, len(data))
    if all(isinstance(one, dict) for one in data):
        records = cast("list[dict[str, Any]]", data)
        wanted = frozenset(reader.schema.names)
        return reader.from_mappings({name: one[name] for name in one if name in wanted} for one in records)
    if shape == "dataframe_records":
        raise InvalidInput("'dataframe_records' must hold objects, one a row.", hint=_hint())
    return _from_matrix(reader, reader.schema.names, data)


def _from_split(reader: RowReader, data: object) -> list[Row]:
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise InvalidInput("'dataframe_split' must hold 'columns' and 'data'.", hint=_hint())
    names = data.get("columns", list(reader.schema.names))
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidInput("'columns' must hold the columns' names.", hint=_hint())
    return _from_matrix(reader, names, data["data"])


def _from_matrix(reader: RowReader, names: Sequence[str], data: list[Any]) -> list[Row]:
    _check_count(reader, len(data))
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(names):
            got = f"{len(row)} entries" if isinstance(row, list) else "no list"
            raise SchemaMismatch(f"Row {number}: expected {len(names)} entries, got {got}.", hint=_hint(), row=number)
    if len(set(names)) < len(names):
        raise InvalidInput("'columns' names a column twice.")
    return _from_columns(reader, dict(zip(names, zip(*data, strict=True), strict=True)))


def _from_columns(reader: RowReader, columns: Mapping[str, Any]) -> list[Row]:
    wanted = {name: columns[name] for name in columns if name in reader.schema.names}
    for name, entries in wanted.items():
        if not isinstance(entries, list | tuple):
            raise SchemaMismatch(f"Column {name!r}: expected a list of entries.", hint=_hint(), field=name)
        # A tensor client writes a column as [rows, 1].
        if entries and all(isinstance(one, list) and len(one) == 1 for one in entries):
            wanted[name] = [one[0] for one in entries]
        _check_count(reader, len(entries))
    return reader.from_columns(wanted)


def _from_parquet(reader: RowReader, body: bytes) -> list[Row]:
    """Read a Parquet table; its size is looked at before it is unpacked.

    Raises:
        UnsupportedMediaType: pyarrow is not installed.
        InvalidInput: It is no Parquet file, or a row does not fit.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as err:
        raise UnsupportedMediaType(
            "This service does not read Parquet.", hint="Send JSON or CSV, or install pyarrow beside Fairlead."
        ) from err
    try:
        here = frozenset(pq.read_schema(io.BytesIO(body)).names)
        names = [name for name in reader.schema.names if name in here]
        # A dictionary is read as one: ten thousand references to one long text must not become ten thousand texts.
        file = pq.ParquetFile(io.BytesIO(body), read_dictionary=names)
        _check_count(reader, file.metadata.num_rows)
        table = file.read(columns=names, use_threads=False)
        columns = {name: _entries(table.column(name)) for name in names}
    except (pa.ArrowException, OSError, ValueError) as err:
        raise InvalidInput("The body is no Parquet table that can be read.") from err
    return reader.from_columns(columns)


def _entries(column: Any) -> list[Any]:
    """A column of Arrow's as Python values; equal texts are one object where the file had a dictionary."""
    found: list[Any] = []
    for chunk in column.chunks:
        if hasattr(chunk, "dictionary"):
            texts = chunk.dictionary.to_pylist()
            found += [None if at is None else texts[at] for at in chunk.indices.to_pylist()]
        else:
            found += chunk.to_pylist()
    return found


def _check_count(reader: RowReader, count: int) -> None:
    if count == 0:
        raise InvalidInput("There is no row.", hint="Give at least one.")
    if count > reader.max_rows:
        raise TooLarge(
            f"{count} rows are more than the {reader.max_rows} that one request may hold.",
            hint="Send them in parts, or score the table with `fairlead batch`.",
            limit=reader.max_rows,
        )
