"""The description of the prediction API (OpenAPI 3.1), made from the schemas of what is served.

It tells what the doors enforce and nothing else: a bound stands where a request beyond it is refused, the range seen in
training is told in words, and a category that was never seen is allowed because it is answered. Examples are sample rows with
the original's answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fairlead import errors
from fairlead.errors import FairleadError
from fairlead.schema import Column, Output, Schema, Value, label_text
from fairlead.serving.http import problems
from fairlead.serving.live import LiveEndpoint
from fairlead.serving.pages import answer_table, words
from fairlead.serving.pages.openapi_feedback import EXAMPLE_ID, feedback_operation, feedback_schema, receipt_schema

__all__ = ["document", "example_answer", "example_row"]

_SAFE_INTEGER = 2**53
_LARGEST = 1.7976931348623157e308
_EXAMPLES = 20
_VERSION = "1"

_REFUSALS: tuple[tuple[int, str, tuple[type[FairleadError], ...]], ...] = (
    (400, "The body cannot be read: empty, not UTF-8, not JSON, not CSV.", (errors.InvalidInput, errors.BadReference)),
    (401, "There is no token, or it is not known, was revoked, or has expired.", (errors.Unauthenticated,)),
    (403, "The token may not do this, or another site's page sent the request.", (errors.Forbidden,)),
    (404, "There is no such endpoint, or an id of feedback was never given out.", (errors.NotFound,)),
    (405, "The path takes another method.", (problems.MethodNotAllowed,)),
    (408, "The request did not arrive in time.", (problems.RequestTimeout,)),
    (413, "The body is too large, or holds too many rows; limit says how much is read.", (errors.TooLarge,)),
    (415, "The content type is neither JSON nor CSV.", (problems.UnsupportedMediaType,)),
    (421, "The request is addressed to a host that is not served here.", (problems.MisdirectedRequest,)),
    (
        422,
        "A row does not fit, or the model has no answer to so large a number; row, field, expected and got say where and why.",
        (errors.SchemaMismatch,),
    ),
    (429, "The token asks more often than it may; Retry-After says when to ask again.", (errors.RateLimited,)),
    (431, "The request's header is too large.", (problems.HeaderTooLarge,)),
    (500, "The model could not answer.", (errors.PredictionFailed, errors.FairleadError)),
    (
        503,
        "There is more work than can be done in time, or feedback cannot be recorded; Retry-After says when to ask again.",
        (errors.Overloaded, errors.QueueFull, errors.StorageError),
    ),
    (504, "The answer did not come in time.", (errors.DeadlineExceeded,)),
)
"""What the prediction door refuses: status, meaning, and the errors whose codes it carries."""

_ANYWHERE = (400, 405, 408, 413, 421, 431, 503)
"""What the port refuses whatever was asked for, health included."""

_SCHEME = "token"
_RETRY_AFTER: dict[str, Any] = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 3_600},
    }
}
_CHALLENGE: dict[str, Any] = {
    "WWW-Authenticate": {"description": "How to show a token.", "schema": {"type": "string", "maxLength": 200}}
}
_HEADERS = {401: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}


def document(endpoints: Mapping[str, LiveEndpoint], *, max_body: int, token_needed: bool = False) -> dict[str, Any]:
    """The OpenAPI 3.1 document of everything that is served.

    Args:
        endpoints: The live endpoints by name.
        max_body: Bytes of a request's body, which bound every text in it.
        token_needed: Whether nobody may ask without a token; where they may, one does no harm.
    """
    paths: dict[str, Any] = {
        f"/cases/{name}" if one.endpoint.dark else f"/predict/{name}": {
            "post": _cases_operation(one) if one.endpoint.dark else _operation(one, max_body)
        }
        for name, one in sorted(endpoints.items())
    }
    refusals = {str(status): _reference(status) for status, _, _ in _REFUSALS if status != 504}
    paths |= {
        f"/feedback/{name}": {"post": feedback_operation(one, max_body=max_body, refusals=refusals)}
        for name, one in sorted(endpoints.items())
    }
    paths["/livez"] = {"get": _live()}
    paths["/readyz"] = {"get": _ready()}
    schemas: dict[str, Any] = {"Problem": _problem_schema(), "Ready": _ready_schema(), "Receipt": receipt_schema()}
    for name, one in sorted(endpoints.items()):
        schemas[f"{name}.Row"] = _row_schema(one, max_body)
        schemas[f"{name}.Feedback"] = feedback_schema(one)
        schemas[f"{name}.Case" if one.endpoint.dark else f"{name}.Answer"] = (
            _case_schema(one) if one.endpoint.dark else _answer_schema(one)
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Predictions",
            "version": _VERSION,
            "summary": "Ask the models that are served here.",
            "description": "To ask, and to tell what became of an answer, at each endpoint; typed from the schema of its model.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": "predictions"}, {"name": "cases"}, {"name": "feedback"}, {"name": "health"}],
        "security": [{_SCHEME: []}] if token_needed else [{}, {_SCHEME: []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _refusal_responses(),
            "securitySchemes": {_SCHEME: _scheme()},
        },
    }


def example_row(endpoint: LiveEndpoint) -> dict[str, Value] | None:
    """A real row as it is sent, `None` where the bundle has no sample."""
    if not endpoint.samples.rows:
        return None
    return dict(zip(endpoint.schema.names, endpoint.samples.rows[0], strict=True))


def example_answer(endpoint: LiveEndpoint) -> dict[str, Any] | None:
    """The original's answer to the example row, in the form in which it is sent."""
    if not endpoint.samples.expected:
        return None
    expected = endpoint.samples.expected[0]
    told: dict[str, Any] = {
        "prediction": expected.prediction,
        "id": EXAMPLE_ID,
        "model": endpoint.model,
    }
    if expected.probabilities is not None:
        names = [label_text(one) for one in endpoint.schema.output.classes]
        told["probabilities"] = dict(zip(names, expected.probabilities, strict=True))
    return told


def _operation(endpoint: LiveEndpoint, max_body: int) -> dict[str, Any]:
    output = endpoint.schema.output
    what = output.target or "the answer"
    return {
        "operationId": f"predict_{endpoint.name}",
        "tags": ["predictions"],
        "summary": f"Predict {what}",
        "description": f"Answered by {endpoint.model}. One row gives one answer; an array or a CSV table gives a list of them.",
        "parameters": [_deadline()],
        "requestBody": {"required": True, "content": _request_content(endpoint, max_body)},
        "responses": {"200": _answered(endpoint), **{str(status): _reference(status) for status, _, _ in _REFUSALS}},
    }


def _cases_operation(endpoint: LiveEndpoint) -> dict[str, Any]:
    """Where people decide, and the model answers in the dark."""
    case = {"$ref": f"#/components/schemas/{endpoint.name}.Case"}
    id_schema = {
        "type": "string",
        "maxLength": 80,
        "description": "Of this case; a decision that comes later refers to it.",
    }
    told = {"type": "object", "properties": {"id": id_schema}, "required": ["id"]}
    most = endpoint.reader.max_rows
    request: dict[str, Any] = {
        "schema": {"oneOf": [case, {"type": "array", "items": case, "minItems": 1, "maxItems": most}]}
    }
    example = example_row(endpoint)
    if example is not None:
        request["examples"] = {"one": {"summary": "One case", "value": {"case": example}}}
    answer = {"schema": {"oneOf": [told, {"type": "array", "items": told, "minItems": 1, "maxItems": most}]}}
    refusals = {str(status): _reference(status) for status, _, _ in _REFUSALS}
    return {
        "operationId": f"cases_{endpoint.name}",
        "tags": ["cases"],
        "summary": f"Tell a case that a person decides: {endpoint.schema.output.target or endpoint.name}",
        "description": f"{endpoint.model} answers in the dark: recorded beside the decision, and told to nobody.",
        "parameters": [_deadline()],
        "requestBody": {"required": True, "content": {"application/json": request}},
        "responses": {
            "202": {
                "description": "The case's id, or one for each case in order.",
                "content": {"application/json": answer},
            },
            **refusals,
        },
    }


def _case_schema(endpoint: LiveEndpoint) -> dict[str, Any]:
    decided = {"description": "What a person decided; it may come later, to /feedback."}
    output = endpoint.schema.output
    decision: dict[str, Any] = (
        {"type": ["number", "null"], "minimum": -_LARGEST, "maximum": _LARGEST}
        if output.task == "regression"
        else {"enum": [*output.classes, None]}
    )
    return {
        "type": "object",
        "title": f"A case for {endpoint.name}",
        "properties": {
            "case": {"$ref": f"#/components/schemas/{endpoint.name}.Row"},
            "decision": {**decision, **decided},
        },
        "required": ["case"],
        "additionalProperties": False,
        "maxProperties": 2,
    }


def _request_content(endpoint: LiveEndpoint, max_body: int) -> dict[str, Any]:
    row = {"$ref": f"#/components/schemas/{endpoint.name}.Row"}
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": endpoint.reader.max_rows}
    json_body: dict[str, Any] = {"schema": {"oneOf": [row, rows]}}
    csv_body: dict[str, Any] = {
        "schema": {"type": "string", "maxLength": max_body, "description": _csv_header(endpoint.schema)}
    }
    example = example_row(endpoint)
    if example is not None:
        json_body["examples"] = {
            "one": {"summary": "One row", "value": example},
            "many": {"summary": "Many rows", "value": [example]},
        }
        csv_body["example"] = answer_table.template_csv(endpoint.schema, endpoint.samples.rows[:1])
    return {"application/json": json_body, "text/csv": csv_body}


def _csv_header(schema: Schema) -> str:
    return f"A header line and one line for each row; an empty cell is a missing entry. Columns: {', '.join(schema.names)}."


def _answered(endpoint: LiveEndpoint) -> dict[str, Any]:
    answer = {"$ref": f"#/components/schemas/{endpoint.name}.Answer"}
    answers = {"type": "array", "items": answer, "minItems": 1, "maxItems": endpoint.reader.max_rows}
    content: dict[str, Any] = {"schema": {"oneOf": [answer, answers]}}
    example = example_answer(endpoint)
    if example is not None:
        content["examples"] = {
            "one": {"summary": "To one row", "value": example},
            "many": {"summary": "To an array or a table", "value": [example]},
        }
    return {"description": "The answer, or one answer for each row in order.", "content": {"application/json": content}}


def _row_schema(endpoint: LiveEndpoint, max_body: int) -> dict[str, Any]:
    columns = endpoint.schema.columns
    schema: dict[str, Any] = {
        "type": "object",
        "title": f"A row for {endpoint.name}",
        "properties": {column.name: _column_schema(column, max_body) for column in columns},
        "required": [column.name for column in columns],
        "additionalProperties": False,
        "maxProperties": len(columns),
    }
    example = example_row(endpoint)
    return schema if example is None else {**schema, "examples": [example]}


def _column_schema(column: Column, max_body: int) -> dict[str, Any]:
    told: dict[str, Any] = {"type": [column.type, "null"] if column.nullable else column.type}
    if column.type == "integer":
        told.update(minimum=-_SAFE_INTEGER, maximum=_SAFE_INTEGER)
    if column.type == "number":
        told.update(minimum=-_LARGEST, maximum=_LARGEST)
    if column.type == "string":
        told["maxLength"] = max_body
    about = " ".join(text for text in (_sentence(column.description), _seen(column)) if text)
    if about:
        told["description"] = about
    if column.categories:
        told["examples"] = list(column.categories[:_EXAMPLES])
    return told


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def _seen(column: Column) -> str:
    """What occurred in training, in words: it does not bound what is answered."""
    if column.categories:
        known = ", ".join(words.exact(value) for value in column.categories[:_EXAMPLES])
        more = len(column.categories) - _EXAMPLES
        rest = f" and {more:,} more" if more > 0 else ""
        return f"In training: {known}{rest}. Another value is answered and flagged."
    if column.minimum is None or column.maximum is None or column.type == "boolean":
        return ""
    return f"In training: {words.number(column.minimum)} to {words.number(column.maximum)}."


def _answer_schema(endpoint: LiveEndpoint) -> dict[str, Any]:
    names = list(endpoint.schema.names)
    properties: dict[str, Any] = {
        "prediction": _prediction_schema(endpoint.schema.output),
        "id": {"type": "string", "maxLength": 64, "description": "Of this prediction; feedback refers to it."},
        "model": {"type": "string", "maxLength": 80, "description": "The version that answered."},
        "unseen": {
            "type": "array",
            "items": {"type": "string", "enum": names, "maxLength": max(map(len, names), default=0)},
            "maxItems": len(names),
            "description": "Columns whose value never occurred in training; absent where there is none.",
        },
    }
    required = ["prediction", "id", "model"]
    if endpoint.schema.output.probabilities:
        properties["probabilities"] = _probabilities_schema(endpoint.schema.output)
        required.append("probabilities")
    return {"type": "object", "title": f"An answer of {endpoint.name}", "properties": properties, "required": required}


def _prediction_schema(output: Output) -> dict[str, Any]:
    if output.task == "regression":
        return {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST, "description": "The predicted number."}
    return {"enum": list(output.classes), "description": "The predicted label."}


def _probabilities_schema(output: Output) -> dict[str, Any]:
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "type": "object",
        "properties": {label_text(label): share for label in output.classes},
        "maxProperties": len(output.classes),
        "description": "A probability for each label; they add up to 1.",
    }


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string", "maxLength": 4_000}
    place = {
        "row": {"type": "integer", "minimum": 0, "maximum": _SAFE_INTEGER},
        "field": text,
        "expected": text,
        "got": text,
    }
    codes = {kind.code for _, _, kinds in _REFUSALS for kind in kinds}
    return {
        "type": "object",
        "title": "Problem details (RFC 9457)",
        "properties": {
            "type": {**text, "description": "A name for this kind of problem."},
            "title": {**text, "description": "The kind of problem in one sentence."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {**text, "description": "What happened, with the values."},
            "code": {"type": "string", "enum": sorted(codes), "maxLength": 64, "description": "Stable; for programs."},
            "hint": {**text, "description": "What to do next."},
            **place,
            "errors": {
                "type": "array",
                "maxItems": 20,
                "items": {"type": "object", "properties": {**place, "hint": text}},
                "description": "Each mistake by itself, where there are several.",
            },
            "limit": {"type": "integer", "minimum": 0, "maximum": _SAFE_INTEGER},
            "allow": {**text, "description": "The methods that the path takes."},
        },
        "required": ["type", "title", "status", "detail", "code"],
    }


def _refusal_responses() -> dict[str, Any]:
    return {f"Refused{status}": _refusal(status, meaning, kinds) for status, meaning, kinds in _REFUSALS}


def _refusal(status: int, meaning: str, kinds: Iterable[type[FairleadError]]) -> dict[str, Any]:
    codes = sorted(kind.code for kind in kinds)
    narrowed = {"properties": {"status": {"const": status}, "code": {"enum": codes}}}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, narrowed]}
    response: dict[str, Any] = {"description": meaning, "content": {problems.CONTENT_TYPE: {"schema": schema}}}
    if status in _HEADERS:
        response["headers"] = _HEADERS[status]
    return response


def _reference(status: int) -> dict[str, str]:
    return {"$ref": f"#/components/responses/Refused{status}"}


def _scheme() -> dict[str, str]:
    return {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of the scope `predict`, or `feedback`, which the operator makes: `fairlead token create`.",
    }


def _deadline() -> dict[str, Any]:
    return {
        "name": "fairlead-deadline-ms",
        "in": "header",
        "description": "How many milliseconds the caller waits; what is late is not given to the model.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    }


def _live() -> dict[str, Any]:
    live = {
        "type": "object",
        "properties": {"live": {"const": True}},
        "required": ["live"],
        "additionalProperties": False,
    }
    return _health("livez", "Whether the process runs.", live)


def _ready() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Ready"}
    told = _health("readyz", "Whether predictions are answered.", schema)
    refused = _refusal(*next(one for one in _REFUSALS if one[0] == 503))
    content = {"application/json": {"schema": schema}, **refused["content"]}
    told["responses"]["503"] = {**refused, "description": "No; the reason says why.", "content": content}
    return told


def _health(name: str, what: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    yes = {"description": "Yes.", "content": {"application/json": {"schema": schema}}}
    return {
        "operationId": name,
        "tags": ["health"],
        "summary": what,
        "security": [],
        "responses": {"200": yes, **{str(status): _reference(status) for status in _ANYWHERE}},
    }


def _ready_schema() -> dict[str, Any]:
    name = {"type": "string", "maxLength": 64}
    names = {"type": "array", "items": name, "maxItems": _SAFE_INTEGER}
    return {
        "type": "object",
        "title": "Whether predictions are answered",
        "properties": {
            "ready": {"type": "boolean"},
            "reason": {"type": "string", "maxLength": 200, "description": "Why not."},
            "revision": {
                "type": "integer",
                "minimum": 0,
                "maximum": _SAFE_INTEGER,
                "description": "Of the routing table that is served.",
            },
            "endpoints": {**names, "description": "Those that answer."},
            "unhealthy": {**names, "description": "Those that do not; absent where there is none."},
        },
        "required": ["ready"],
        "additionalProperties": False,
    }
