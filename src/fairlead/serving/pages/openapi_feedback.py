"""The description of the feedback door, for each endpoint: what `serving.feedback.said` enforces, typed from what the model gives."""

from __future__ import annotations

from typing import Any, Final

from fairlead.schema import Output, Value, label_text
from fairlead.serving.feedback.said import LONGEST_COMMENT, MOST_VALUES, VALUE_NAME, VALUE_PREFIX
from fairlead.serving.live import LiveEndpoint

__all__ = ["EXAMPLE_ID", "feedback_operation", "feedback_schema", "receipt_schema"]

EXAMPLE_ID: Final = "19ac2f0e5b1-8c1f6d3a90-2f-9b41c07e66"
"""What an id looks like; none that was given out."""

_LARGEST: Final = 1.7976931348623157e308
_LONGEST_ID: Final = 80


def feedback_operation(endpoint: LiveEndpoint, *, max_body: int, refusals: dict[str, Any]) -> dict[str, Any]:
    """`POST /feedback/{endpoint}`.

    Args:
        endpoint: The endpoint.
        max_body: Bytes of a request's body.
        refusals: The responses that are no answer, by status.
    """
    receipt = {
        "schema": {"$ref": "#/components/schemas/Receipt"},
        "example": {"received": 1, "duplicates": 0, "corrections": 0},
    }
    told = {"description": "All of it is in the event log.", "content": {"application/json": receipt}}
    return {
        "operationId": f"feedback_{endpoint.name}",
        "tags": ["feedback"],
        "summary": "Tell what became of predictions",
        "description": "What proved true, or what a person says of an answer; all of it is recorded, or nothing. It may come late, "
        "and may be sent again: what is told twice counts once, and what is told otherwise counts as told last.",
        "requestBody": {"required": True, "content": _request(endpoint, max_body)},
        "responses": {"200": told, **refusals},
    }


def feedback_schema(endpoint: LiveEndpoint) -> dict[str, Any]:
    """One feedback: with a label, a rating, a comment or values; a label is about the answer."""
    output = endpoint.schema.output
    numbers = {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST}
    rating: dict[str, Any] = {"type": "integer", "minimum": 1, "maximum": 5}
    comment: dict[str, Any] = {"type": "string", "maxLength": LONGEST_COMMENT}
    values: dict[str, Any] = {
        "type": "object",
        "propertyNames": {"pattern": VALUE_NAME},
        "additionalProperties": numbers,
        "maxProperties": MOST_VALUES,
    }
    said = {
        "label": _label(output),
        "rating": rating,
        # What Python calls blank: four control characters more than the patterns of JSON schemas do.
        "comment": {**comment, "pattern": r"[^\s\u001c-\u001f\u0085]"},
        "values": {**values, "minProperties": 1},
    }
    meaning = {
        "label": "What proved true, or what a person decided.",
        "rating": "1 (bad) to 5 (good).",
        "comment": "In a person's words.",
        "values": "Numbers by name, such as what it earned.",
    }
    kinds = {"label": _label(output), "rating": rating, "comment": comment, "values": values}
    identity = {"type": "string", "minLength": 1, "maxLength": _LONGEST_ID, "description": "Of the answer."}
    about = {"enum": ["answer", "page"], "default": "answer", "description": "What rating and comment are about."}
    properties = {
        name: {"description": text, "anyOf": [kinds[name], {"type": "null"}]} for name, text in meaning.items()
    }
    page = {"required": ["label", "about"], "properties": {"about": {"const": "page"}, "label": _label(output)}}
    return {
        "type": "object",
        "title": f"Feedback on {endpoint.name}",
        "properties": {"id": identity, **properties, "about": about},
        "required": ["id"],
        "additionalProperties": False,
        "anyOf": [{"required": [name], "properties": {name: kind}} for name, kind in said.items()],
        "not": page,
        "examples": [_example(output)],
    }


def receipt_schema() -> dict[str, Any]:
    """What is answered."""
    meaning = {
        "received": "How many were recorded, all of those below among them.",
        "duplicates": "How many had been told before, as far as the answering process remembers.",
        "corrections": "How many contradict what was told before; the later one counts.",
    }
    count = {"type": "integer", "minimum": 0, "maximum": 2**53}
    return {
        "type": "object",
        "title": "What became of feedback",
        "properties": {name: {**count, "description": text} for name, text in meaning.items()},
        "required": list(meaning),
    }


def _request(endpoint: LiveEndpoint, max_body: int) -> dict[str, Any]:
    one = {"$ref": f"#/components/schemas/{endpoint.name}.Feedback"}
    many = {"type": "array", "items": one, "minItems": 1, "maxItems": endpoint.reader.max_rows}
    example = _example(endpoint.schema.output)
    table = f"id,label,rating\n{EXAMPLE_ID},{_text(example['label'])},4\n"
    header = f"A header line and one line for each. Columns: id, label, rating, comment, about, and {VALUE_PREFIX}NAME for a number."
    return {
        "application/json": {
            "schema": {"oneOf": [one, many]},
            "examples": {
                "one": {"summary": "Of one prediction", "value": example},
                "many": {"summary": "Of many", "value": [example]},
            },
        },
        "text/csv": {
            "schema": {"type": "string", "maxLength": max_body, "description": header},
            "example": table,
        },
    }


def _label(output: Output) -> dict[str, Any]:
    if output.task == "regression":
        return {"type": "number", "minimum": -_LARGEST, "maximum": _LARGEST}
    return {"enum": list(output.classes)}


def _example(output: Output) -> dict[str, Any]:
    return {"id": EXAMPLE_ID, "label": output.classes[-1] if output.classes else 1.5, "rating": 4}


def _text(label: Value) -> str:
    quoted = label_text(label).replace('"', '""')
    return f'"{quoted}"' if set(quoted) & set(',"\r\n') else quoted
