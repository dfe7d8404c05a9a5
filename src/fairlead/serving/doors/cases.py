"""The door for cases that people decide: `POST /cases/{endpoint}`.

An application tells a case, and with it what a person decided, or later through `/feedback`. The model answers in the dark: its
answer is recorded beside the decision, and the application learns the case's id and nothing else.

```
{"case": {row}, "decision": label}   ──▶ 202 {"id": …}
[{"case": …}, …]                     ──▶ 202 [{"id": …}, …]
```
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec
from loguru import logger

from fairlead.answer import Answer
from fairlead.errors import Conflict, FairleadError, InvalidInput, SchemaMismatch, StorageError
from fairlead.rows import RowReader
from fairlead.schema import Row, Value, check_label
from fairlead.serving.doors.door import LARGE
from fairlead.serving.feedback.box import FeedbackBox
from fairlead.serving.feedback.said import Said
from fairlead.serving.gateway import Gateway
from fairlead.serving.http.lane import Connection, Handler
from fairlead.serving.http.problems import UnsupportedMediaType, method_not_allowed, unexpected
from fairlead.serving.http.request import Request
from fairlead.serving.live import LiveEndpoint

__all__ = ["PREFIX", "Cases", "Told", "read_cases"]

PREFIX: Final = b"/cases/"
SOURCE: Final = "decision"
"""As what a decision stands in the event log that came with its case."""

_JSON: Final = frozenset({b"application/json", b"text/json"})
_encode = msgspec.json.Encoder().encode


class _Case(msgspec.Struct, forbid_unknown_fields=True):
    case: msgspec.Raw
    decision: Value = None


_decode = msgspec.json.Decoder(list[_Case]).decode


class Told(NamedTuple):
    """What an application told.

    Attributes:
        rows: The cases.
        decisions: What was decided of each; `None` where it was not told.
        single: Whether it was one case, and no list.
    """

    rows: list[Row]
    decisions: list[Value]
    single: bool


class Cases:
    """The door.

    Args:
        gateway: Lets the model answer in the dark.
        box: Takes the decisions.
    """

    def __init__(self, gateway: Gateway, box: FeedbackBox) -> None:
        self._gateway = gateway
        self._box = box

    def handler(self, request: Request, path: bytes) -> Handler | None:  # noqa: ARG002 - a door's signature
        """Who answers this request (see `doors.Door`)."""
        return self._answer if path.startswith(PREFIX) else None

    def _answer(self, connection: Connection, request: Request) -> None:
        name = request.url.partition(b"?")[0][len(PREFIX) :].decode("utf-8", "replace")
        live = self._gateway.endpoints.get(name)
        if live is None:
            connection.respond_error(request, self._gateway.unknown(name))
            return
        request.live = live
        if request.method != b"POST":
            connection.respond_error(request, method_not_allowed(request.method, "POST", "Cases are sent with POST."))
        elif (error := self._closed(live)) is not None:
            self._refuse(live, connection, request, error)
        elif len(request.body) > LARGE:
            self._gateway.start(self._take_apart(live, connection, request))
        else:
            self._take(live, connection, request)

    def _closed(self, live: LiveEndpoint) -> FairleadError | None:
        if not live.endpoint.dark:
            return Conflict(f"{live.name!r} answers itself.", hint=f"POST rows to /predict/{live.name}.")
        if not self._box.open:
            return StorageError(hint="This service keeps no event log (`event_log`), so a case would lead to nothing.")
        return None

    def _take(self, live: LiveEndpoint, connection: Connection, request: Request) -> None:
        try:
            told = read_cases(live.reader, request.header(b"content-type"), request.body)
        except FairleadError as error:
            self._refuse(live, connection, request, error)
        else:
            self._submit(live, connection, request, told)

    async def _take_apart(self, live: LiveEndpoint, connection: Connection, request: Request) -> None:
        """Read a long body in a thread, so that it does not hold up those who ask."""
        try:
            told = await asyncio.to_thread(read_cases, live.reader, request.header(b"content-type"), request.body)
        except FairleadError as error:
            self._refuse(live, connection, request, error)
        except Exception:  # noqa: BLE001 - a bug of ours must not leave a caller without an answer
            logger.exception("Cases for {endpoint} could not be read.", endpoint=live.name)
            self._refuse(live, connection, request, unexpected())
        else:
            self._submit(live, connection, request, told)

    def _submit(self, live: LiveEndpoint, connection: Connection, request: Request, told: Told) -> None:
        def done(found: list[Answer] | FairleadError) -> None:
            try:
                if isinstance(found, FairleadError):
                    raise found
                self._decide(live, found, told.decisions)
            except FairleadError as error:
                connection.respond_error(request, error)
                return
            request.answered_by = found[0].model
            ids = [{"id": one.id} for one in found]
            connection.respond(request, 202, _encode(ids[0] if told.single else ids))

        self._gateway.submit_dark(live, told.rows, done, request.received, request.expires)

    def _decide(self, live: LiveEndpoint, answers: Sequence[Answer], decisions: Sequence[Value]) -> None:
        """Record what was decided, under the ids of the answers in the dark."""
        said = [
            Said(answer.id, decision)
            for answer, decision in zip(answers, decisions, strict=True)
            if decision is not None
        ]
        if said:
            self._box.take(live, said, SOURCE)

    def _refuse(self, live: LiveEndpoint, connection: Connection, request: Request, error: FairleadError) -> None:
        self._gateway.refuse(live, error, request.received)
        connection.respond_error(request, error)


def read_cases(reader: RowReader, content_type: bytes | None, body: bytes) -> Told:
    """Read cases.

    Args:
        reader: Of the endpoint.
        content_type: Of the body; without one, JSON is assumed.
        body: One case, or an array of them.

    Raises:
        UnsupportedMediaType: It is no JSON.
        InvalidInput: The body cannot be read.
        SchemaMismatch: A case does not fit the model's schema, or a decision is none that it could have made.
        TooLarge: There are more cases than one request may hold.
    """
    kind = b"application/json" if content_type is None else content_type.partition(b";")[0].strip().lower()
    if kind not in _JSON:
        raise UnsupportedMediaType(
            f"The content type {kind[:80].decode('ascii', 'replace')!r} is not read here.",
            hint="Cases are sent as application/json.",
        )
    single = body.lstrip()[:1] != b"["
    cases = _parsed(b"[" + body + b"]" if single else body)
    if single and len(cases) != 1:
        raise InvalidInput(
            "The body is not JSON: it holds more than one value.", hint="Send several cases as an array."
        )
    reader.check_count(len(cases))
    rows, _ = reader.from_json(b"[" + b",".join(bytes(one.case) for one in cases) + b"]")
    return Told(rows, [_decision(reader, number, one.decision) for number, one in enumerate(cases)], single)


def _parsed(body: bytes) -> list[_Case]:
    """The cases as they stand in an array; what is wrong with one is told with its place."""
    try:
        json.loads(body, object_pairs_hook=_each_key_once)
        return _decode(body)
    except msgspec.ValidationError as err:
        raise SchemaMismatch(
            f"This is no list of cases: {err}.", hint='Send {"case": {…}, "decision": …}, or an array of such.'
        ) from err
    except (ValueError, msgspec.DecodeError) as err:  # of which JSON's and UTF-8's errors are kinds
        raise InvalidInput(
            f"The body is not JSON that can be read: {err}.", hint='Send {"case": {…}, "decision": …}.'
        ) from err
    except RecursionError as err:
        raise InvalidInput("The body is nested too deeply.", hint="A case holds plain values only.") from err


def _decision(reader: RowReader, row: int, decision: Value) -> Value:
    if decision is None:
        return None
    try:
        return check_label(reader.schema, decision)
    except SchemaMismatch as error:
        values = {**error.values, "row": row, "field": "decision"}
        told = error.detail.replace("The label", "the decision", 1)
        raise SchemaMismatch(f"Row {row}: {told}", hint=error.hint, **values) from error


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in an object")
    return found
