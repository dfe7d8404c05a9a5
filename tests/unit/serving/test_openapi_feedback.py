"""What the document says of feedback, against what the reader takes: jsonschema judges the one, the reader the other."""

import json

import jsonschema
import msgspec
import pytest

from fairlead.bundle.manifest import Samples
from fairlead.errors import SchemaMismatch
from fairlead.schema import Column, Output, Schema
from fairlead.serving.feedback.said import FeedbackReader
from fairlead.serving.pages.openapi_feedback import feedback_operation, feedback_schema
from live_endpoints import live_endpoint

LATE = Output("classification", "late", ("late", "on_time"))
PRICE = Output("regression", "price")


class Unasked:
    """A predictor that a document never asks."""

    healthy = True
    queue = None

    async def answer(self, rows):
        raise AssertionError(rows)


def live(output):
    schema = Schema((Column("x", "number"),), output)
    return live_endpoint("one", model="one:1", schema=schema, samples=Samples((), ()), predictor=Unasked())


def takes(output, told):
    try:
        FeedbackReader(output).from_json(json.dumps(told).encode())
    except SchemaMismatch:
        return False
    return True


@pytest.mark.parametrize(
    "told",
    [
        {"label": "late"},
        {"label": "lat"},
        {"label": 1},
        {"label": 1.5},
        {"label": True},
        {"label": None},
        {"label": None, "rating": 3},
        {"rating": 1},
        {"rating": 5.0},
        {"rating": 0},
        {"rating": 6},
        {"rating": 4.5},
        {"rating": True},
        {"comment": "Fine."},
        {"comment": " "},
        {"comment": " ", "rating": 2},
        {"comment": "x" * 2000},
        {"comment": "x" * 2001},
        {"values": {"revenue": 1}},
        {"values": {}},
        {"values": {}, "rating": 2},
        {"values": {"a b": 1}},
        {"values": {"revenue": "1"}},
        {"values": {"revenue": None}},
        {"values": {f"v{number}": 0 for number in range(20)}},
        {"values": {f"v{number}": 0 for number in range(21)}},
        {"about": "page", "rating": 3},
        {"about": "page", "label": "late"},
        {"about": "page", "label": None, "rating": 3},
        {"about": "you", "rating": 3},
        {"raiting": 3},
        {},
    ],
    ids=lambda told: json.dumps(told)[:60],
)
@pytest.mark.parametrize("output", [LATE, PRICE], ids=["classes", "number"])
def test_the_document_and_the_reader_agree_on_what_is_feedback(output, told):
    one = {"id": "19ac2f0e5b1-8c1f6d3a90-2f-9b41c07e66", **told}
    document = json.loads(msgspec.json.encode(feedback_schema(live(output))))
    judge = jsonschema.Draft202012Validator(document)
    assert judge.is_valid(one) == takes(output, one)


@pytest.mark.parametrize("output", [LATE, PRICE, Output("classification", "odd", ('a, "b"', "c\nd"))], ids=str)
def test_the_examples_are_feedback_that_the_reader_takes(output):
    reader, operation = FeedbackReader(output), feedback_operation(live(output), max_body=2**20, refusals={})
    content = operation["requestBody"]["content"]
    one = content["application/json"]["examples"]["one"]["value"]
    read = reader.from_json(json.dumps(one).encode())
    assert (read[0].label, read[0].rating) == (one["label"], 4)
    assert reader.from_csv(content["text/csv"]["example"]) == read
